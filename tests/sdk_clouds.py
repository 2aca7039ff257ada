"""How openstacksdk and the `openstack` command interpret files, variables and arguments.

Nothing is sent: a Keystone in this process answers the requests and records them.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from keystoneauth1.session import Session
from openstack.config.loader import OpenStackConfig
from requests.adapters import BaseAdapter

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of these libraries among themselves
    from openstackclient.shell import OpenStackShell
    from osc_lib.cli.client_config import OSC_Config

REGIONS = ("RegionOne", "RegionTwo", "eu-west", "a.b", "test-region", "region1", "region2", "region-no-value")
CATALOGUE = [
    {
        "type": kind,
        "name": name,
        "endpoints": [
            {
                "interface": interface,
                "region_id": region,
                "region": region,
                "url": f"https://{name}.{interface}.{region}.example",
            }
            for region in REGIONS
            for interface in ("public", "internal", "admin")
        ],
    }
    for kind, name in (("image", "glance"), ("image", "mirror"), ("image-old", "old"))
]
TOKEN = {
    "expires_at": "2100-01-01T00:00:00.000000Z",
    "issued_at": "2026-01-01T00:00:00.000000Z",
    "methods": ["password"],
    "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
    "project": {"id": "p", "name": "p", "domain": {"id": "d", "name": "d"}},
    "catalog": CATALOGUE,
}


def _body(request: requests.PreparedRequest) -> bytes | str:
    assert request.body is None or isinstance(request.body, bytes | str)
    return request.body or b"{}"


class Keystone(BaseAdapter):
    """Answers every request of a session, and records logins."""

    def __init__(self) -> None:
        super().__init__()
        self.logins: list[tuple[str, Any]] = []

    def send(self, request: requests.PreparedRequest, *_how: Any, **_more: Any) -> requests.Response:
        response = requests.Response()
        response.request, response.url, response.status_code = request, str(request.url), 404
        response.headers["Content-Type"] = "application/json"
        response._content = b"{}"
        if request.method == "POST":
            self.logins.append((str(request.url), json.loads(_body(request))["auth"]))
            response.status_code, response._content = 201, json.dumps({"token": TOKEN}).encode()
            response.headers["X-Subject-Token"] = "t"
        elif "/v3" in str(request.url):
            version = {
                "id": "v3.14",
                "status": "stable",
                "links": [{"rel": "self", "href": str(request.url)}],
            }
            response.status_code, response._content = 200, json.dumps({"version": version}).encode()
        return response

    def close(self) -> None:
        """Do nothing: nothing is open."""


@contextmanager
def environment(variables: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Set these variables and no others of OpenStack, in an empty folder."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("OS_")]:
            patched.delenv(name)
        for name, value in variables.items():
            patched.setenv(name, value)
        patched.setenv("HOME", str(folder))
        patched.chdir(folder)
        yield


def by_sdk(files: Mapping[str, str], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return what `openstack.connect()` would send."""
    return _told(_loader(OpenStackConfig, files).get_one(**arguments))


def by_command(files: Mapping[str, str], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return what the `openstack` command would send."""
    shell = OpenStackShell()
    words = [word for name, value in arguments.items() for word in (f"--os-{name.replace('_', '-')}", value)]
    shell.options, _ = shell.parser.parse_known_args(words)
    shell._final_defaults()
    loader = _loader(
        OSC_Config, files, override_defaults={"interface": "public", "auth_type": shell._auth_type}
    )
    return _told(loader.get_one(cloud=shell.options.cloud, argparse=shell.options))


def _loader(kind: Any, files: Mapping[str, str], **more: Any) -> Any:
    """Return a loader that reads only these files."""
    given = {
        "config_files": [path for path in files if Path(path).stem == "clouds"],
        "secure_files": [path for path in files if Path(path).stem == "secure"],
        "vendor_files": [path for path in files if Path(path).stem == "clouds-public"],
    }
    return kind(**given, **more)


def _told(region: Any) -> dict[str, Any]:
    session: Session = region.get_session()
    keystone = Keystone()
    session.session.mount("https://", keystone)
    session.session.mount("http://", keystone)
    client = region.get_session_client("image")
    endpoint = client.endpoint_override or session.get_endpoint(
        service_type=client.service_type,
        service_name=client.service_name,
        interface=client.interface,
        region_name=client.region_name,
        skip_discovery=True,
    )
    headers = session.get_auth_headers() or {}
    return {
        "login": keystone.logins[-1] if keystone.logins else None,
        "token": headers.get("X-Auth-Token"),
        "endpoint": endpoint,
        "verify": session.verify,
        "cert": session.cert,
        "timeout": session.timeout,
    }
