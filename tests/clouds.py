"""Image services to test the client with: a Tintype, and a Glance with a Keystone."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from keystoneauth1 import loading
from keystoneauth1.session import Session

import glance
import officials
import web
from keystone import PASSWORD, Keystone
from processes import PASSWORDS, Server, started

DISK = b"disk" * 1000
"""What Tintype may import."""


@dataclasses.dataclass
class Cloud:
    """An image service, with admin, alice (project alpha) and bob (beta) in a clouds.yaml."""

    kind: str
    url: str
    clouds: Path
    projects: dict[str, str]
    allowed_port: int = 0
    """Of 127.0.0.1, from where Tintype imports: it has /disk.raw, and 404 for all else."""

    @property
    def is_tintype(self) -> bool:
        return self.kind == "tintype"

    def session(self, who: str) -> Session:
        """Return a keystoneauth session of a user, created as in the documentation."""
        loader: Any = loading.get_plugin_loader("password")
        return Session(auth=loader.load_from_options(**self.login(who)))

    def login(self, who: str) -> dict[str, str]:
        """Return the credentials of a user."""
        return dict(yaml.safe_load(self.clouds.read_text())["clouds"][who]["auth"])


def run(cloud: Cloud, *arguments: str, who: str = "alice", code: int = 0, folder: Path | None = None) -> str:
    """Run a command of the client as a user; return its output."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cloud.clouds.parent),
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds),
        "OS_CLOUD": who,
        "LANG": "C.UTF-8",
    }
    done = officials.run(["tintype", *arguments], environment, folder)
    assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def a_tintype(folder: Path) -> Iterator[Cloud]:
    """Start a Tintype with the built-in identity, a cache, and a web server to import from."""
    with web.serving(_source) as source:
        settings: dict[str, Any] = {
            "TINTYPE_CACHE_FOLDER": "cache",
            "TINTYPE_LOCATIONS_SHOW_MULTIPLE": "true",
            "TINTYPE_IMPORTS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TINTYPE_IMPORTS_PORTS": str(source.server_port),
        }
        with started(folder / "data", **settings) as server:
            path = folder / "clouds.yaml"
            path.write_text(yaml.safe_dump({"clouds": _people(server)}))
            listed = server.run("tintype", "project", "list").stdout.splitlines()[1:]
            projects = {line.split("\t")[1]: line.split("\t")[0] for line in listed}
            yield Cloud("tintype", server.url, path, projects, source.server_port)


def _source(request: web.Request) -> None:
    if request.path == "/disk.raw":
        request.give(DISK)
    else:
        request.give(b"", status=404)


def _people(server: Server) -> dict[str, Any]:
    clouds = yaml.safe_load(server.clouds.read_text())["clouds"]
    for name, project in (("alice", "alpha"), ("bob", "beta")):
        server.run("tintype", "user", "create", name, "--password", PASSWORDS[name], "--project", project)
        auth = {"username": name, "password": PASSWORDS[name], "project_name": project}
        clouds[name] = {**clouds["tintype"], "auth": {**clouds["tintype"]["auth"], **auth}}
    return {**clouds, "admin": clouds["tintype"]}


def a_glance(folder: Path, database: str) -> Iterator[Cloud]:
    """Start a Glance with a Keystone whose tokens expire after seconds."""
    for name in ("keystone", "glance"):
        (folder / name).mkdir()
    keystone = Keystone(folder / "keystone")
    try:
        url = keystone.url.removesuffix("/v3")
        peer = glance.with_keystone(folder / "glance", database, url, PASSWORD)
        try:
            keystone.offer(peer.url)
            path = folder / "clouds.yaml"
            path.write_text(keystone.clouds())
            yield Cloud("glance", peer.url, path, keystone.projects)
        finally:
            peer.stop()
    finally:
        keystone.stop()
