"""Files and variables mean here what they mean for openstacksdk and the `openstack` command.

Each case is read by both, and what they would send to Keystone, which address of the image service they would
take, and how they would check its certificate is compared.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml

import sdk_clouds
from tintype.client import AsyncClient, Client, clouds, errors
from tintype.client.identity import Access
from tintype.client.requests import Reply, Request

CASES: dict[str, dict[str, Any]] = {
    name: case
    for name, case in yaml.safe_load(Path(__file__).with_name("clouds.yaml").read_text()).items()
    if not name.startswith(".")
}
Case = dict[str, Any]


def written(case: Case, folder: Path) -> dict[str, str]:
    """Write a case's files where the search path finds them."""
    files = {}
    for name, content in (case.get("files") or {}).items():
        path = folder / name
        text = content if isinstance(content, str) else json.dumps(content)
        if not isinstance(content, str) and path.suffix != ".json":
            text = yaml.safe_dump(content)
        path.write_text(text)
        files[str(path)] = text
    return files


def by_us(arguments: dict[str, str]) -> dict[str, Any]:
    """Return what our client would do."""
    given = {key: value for key, value in arguments.items() if key != "cloud"}
    found = clouds.find(arguments.get("cloud"), os.environ, **given)
    step: Any = found.identity.step(None)
    login = None
    if isinstance(step, Request):
        login = (step.path, step.body["auth"])
        answer = msgspec.json.encode({"token": sdk_clouds.TOKEN})
        step = found.identity.step(Reply(201, {"x-subject-token": "t"}, answer))
    assert isinstance(step, Access)
    return {
        "login": login,
        "token": step.headers.get("X-Auth-Token"),
        "endpoint": step.endpoint,
        "verify": found.verify,
        "cert": found.cert,
        "timeout": found.timeout,
    }


def plain(told: dict[str, Any]) -> dict[str, Any]:
    """Leave out what makes no difference: versions in addresses, the token that stands for none."""
    login = told["login"]
    if login is not None:
        login = (login[0].replace("/v2/", "/").replace("/v3/v3/", "/v3/"), login[1])
    endpoint = str(told["endpoint"]).rstrip("/").removesuffix("/v2")
    token = None if told["token"] == "notused" else told["token"]
    return {**told, "login": login, "token": token, "endpoint": endpoint}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_as_openstack_reads_it(name: str, tmp_path: Path) -> None:
    """The login, the address, the checks of certificates and the timeout are those of openstacksdk."""
    case = CASES[name]
    files = written(case, tmp_path)
    arguments = case.get("arguments") or {}
    with sdk_clouds.environment(case.get("variables") or {}, tmp_path):
        for reader in (case["as"],) if isinstance(case["as"], str) else case["as"]:
            theirs = {"sdk": sdk_clouds.by_sdk, "command": sdk_clouds.by_command}[reader]
            assert plain(by_us(arguments)) == plain(theirs(files, arguments)), reader


AUTH = "auth: {auth_url: 'https://k.example/v3', username: u, password: s3cret, project_name: p}"
REFUSED = {
    "an unknown cloud": ("clouds: {two: {}}", "There are: two"),
    "an unknown region": (f"clouds: {{one: {{{AUTH}, region_name: RegionTwo}}}}", "It has: RegionTwo"),
    "a strange region": (f"clouds: {{one: {{{AUTH}, regions: [{{name: a, foo: b}}]}}}}", "'regions'"),
    "verify as text": (f"clouds: {{one: {{{AUTH}, verify: 'False'}}}}", "without quotes"),
    "insecure as a number": (f"clouds: {{one: {{{AUTH}, insecure: []}}}}", "true or false"),
    "a strange timeout": (f"clouds: {{one: {{{AUTH}, api_timeout: soon}}}}", "not 'soon'"),
    "another kind of login": ("clouds: {one: {auth_type: v3oidcpassword}}", "session="),
    "a domain's scope": (
        "clouds: {one: {auth: {auth_url: 'https://k', username: u, password: p, domain_id: d}}}",
        "Set a project",
    ),
    "no password": ("clouds: {one: {auth: {auth_url: 'https://k', username: u}}}", "lacks.*password"),
    "no user": ("clouds: {one: {auth: {auth_url: 'https://k', password: u}}}", "username or user_id"),
    "an address that is none": ("clouds: {one: {auth_type: none, auth: {endpoint: ftp://x}}}", "ftp://x"),
    "braces around nothing": (f"clouds: {{one: {{{AUTH}, cacert: '/{{x}}.pem'}}}}", "cacert has braces"),
    "bad YAML": ("clouds:\n  one:\n    auth: {password: *s3cret}\n", "line 3"),
    "bad YAML, a tag": ("clouds: !s3cret x\n", "line 1"),
    "a list": ("- clouds\n", "mapping"),
    "a list of clouds": ("clouds: [one]\n", "mapping"),
    "a cloud that is text": ("clouds: {one: s3cret}\n", "mapping"),
    "a login that is text": ("clouds: {one: {auth: s3cret}}\n", "mapping"),
    "nested too deeply": ("clouds: " + "[" * 20_000, "nested|YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense(name: str, tmp_path: Path) -> None:
    """It is told in one line, with the value or place, and never with a secret."""
    text, words = REFUSED[name]
    (tmp_path / "clouds.yaml").write_text(text)
    wanted = {"region_name": "RegionOne"} if "unknown region" in name else {}
    with (
        sdk_clouds.environment({}, tmp_path),
        pytest.raises(errors.InvalidEndpoint, match=words) as refused,
    ):
        clouds.find("one", os.environ, **wanted).identity.step(None)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"clouds: \x00", b"clouds: {one: \xe9}"])
def test_a_file_that_is_no_text(data: bytes, tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "clouds.yaml").write_bytes(data)
    with sdk_clouds.environment({}, tmp_path), pytest.raises(errors.InvalidEndpoint, match=r"clouds\.yaml"):
        clouds.find("one", os.environ)


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    """It is named, found by the search or by a variable."""
    (tmp_path / "clouds.yaml").mkdir()
    for variables in ({}, {"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml")}):
        with (
            sdk_clouds.environment(variables, tmp_path),
            pytest.raises(errors.InvalidEndpoint, match=r"clouds\.yaml cannot be read: Is a directory"),
        ):
            clouds.find("one", os.environ)


@pytest.mark.parametrize(
    "place",
    ["clouds.yaml", "clouds.yml", "clouds.json", ".config/openstack/clouds.yaml", "xdg/openstack/clouds.yml",
     "snap/.config/openstack/clouds.yaml", "site/openstack/clouds.yaml", "named.yaml"],
)  # fmt: skip
def test_where_files_are_looked_for(place: str, tmp_path: Path) -> None:
    """In the folders of openstacksdk's search path."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"clouds": {"one": {"auth_type": "none", "auth": {"endpoint": "https://i"}}}}))
    variables = {
        "OS_CLIENT_CONFIG_FILE": str(tmp_path / "named.yaml"),
        "XDG_CONFIG_DIRS": f"/nowhere:{tmp_path}/site",
    }
    with sdk_clouds.environment(variables, tmp_path):
        os.environ |= {"XDG_CONFIG_HOME": str(tmp_path / "xdg")} if "xdg" in place else {}
        os.environ |= {"SNAP_REAL_HOME": str(tmp_path / "snap")} if "snap" in place else {}
        try:
            with Client() as client:
                assert client.transport.access().endpoint == "https://i"
        finally:
            os.environ.pop("XDG_CONFIG_HOME", None)
            os.environ.pop("SNAP_REAL_HOME", None)


def test_a_variable_names_another_project_than_the_file_by_id(tmp_path: Path) -> None:
    """The variable wins, where openstacksdk would go on with the id of the file."""
    entry = {"auth_url": "https://k", "username": "u", "password": "p", "project_id": "of-the-file"}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"one": {"auth": entry}}}))
    with sdk_clouds.environment({"OS_CLOUD": "one", "OS_PROJECT_NAME": "beta"}, tmp_path):
        scope = by_us({})["login"][1]["scope"]
    assert scope == {"project": {"name": "beta", "domain": {"id": "default"}}}


def test_a_profile_without_openstacksdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is told; one that its data cannot give is told, too."""
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{one: {{profile: elastx, {AUTH}}}}}")
    with sdk_clouds.environment({}, tmp_path):
        for module, words in (
            (None, "Install openstacksdk"),
            (SimpleNamespace(), "cannot read the profile"),
        ):
            monkeypatch.setitem(sys.modules, "openstack.config", SimpleNamespace(vendors=module))
            if module is None:
                monkeypatch.setitem(sys.modules, "openstack.config", None)
            with pytest.raises(errors.InvalidEndpoint, match=words):
                clouds.find("one", os.environ)


async def test_arguments_of_clients(tmp_path: Path) -> None:
    """`timeout` wins over the file; an endpoint with a token takes the certificates of variables."""
    entry = {"auth_type": "none", "auth": {"endpoint": "https://i"}, "api_timeout": 7, "verify": False}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"one": entry}}))
    with sdk_clouds.environment({}, tmp_path):
        async with AsyncClient() as found, AsyncClient(cloud="one", timeout=3) as own:
            assert found.transport._http.timeout.read == 7
            assert own.transport._http.timeout.read == 3
        async with AsyncClient(endpoint="https://i", token="t") as plain_client:
            assert plain_client.transport._http.timeout.read == 600
    missing = str(tmp_path / "none.pem")
    with (
        sdk_clouds.environment({"OS_CACERT": missing}, tmp_path),
        pytest.raises(errors.InvalidEndpoint, match=r"none\.pem"),
    ):
        Client(endpoint="https://i", token="t")
