"""Invalid values of every setting: one line names the setting, its source and the allowed values."""

import contextlib
import json
import math
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from tintype import process
from tintype.cli import serve
from tintype.cli.main import run
from tintype.configuration import load
from tintype.errors import StartError
from tintype.listener import listen
from tintype.plugins import base
from tintype.settings import Setting, every_setting, every_store_setting

REQUIRED = {
    "s3": {"bucket": "b", "access_key": "a", "secret_key": "s"},
    "gcs": {"bucket": "b"},
    "azure": {"bucket": "b"},
}
"""What a store of each kind needs before anything else is looked at."""
BY_FORM = {
    "host": ("127.0.0.1:9292", "[::1", "not a host", "http://127.0.0.1", "300.1.1.1"),
    "public_url": ("images.example", "https://u:hidden@images.example", "https://x:99999", "https://x?a=b"),
    "auth_url": ("keystone.example:5000", "ftp://keystone.example", "http://keystone.example:port/v3"),
    "endpoint": ("localhost:4318", "http://", "file:///x"),
    "url": ("mysql://u:hidden@host/x", "/srv/tintype.db", "postgresql://u:hid#den@h/x", "http//web"),
    "trusted_proxies": ("proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*"),
    "allowed_networks": ("10.0.0.1/8", "everything"),
    "denied_networks": ("10.0.0.1/8", "everything"),
    "cors_origins": ("page.example", "https://page.example/", "https://Page.example", "null"),
    "token": ("short", "with spaces, and long enough"),
    "disk_formats": ("raw,qcow2", "a b"),
    "container_formats": ("a b",),
    "accel_redirect": ("protected", "/a b"),
    "prefix": ("no-slash", "/"),
    "bucket": ("a/b", "s3://bucket"),
    "user": ("client.tintype",),
}
"""Text that some settings may not have, by their names."""


def wrong_values(setting: Setting) -> Iterator[Any]:
    """Return values of every kind that a setting may not have."""
    kind = setting.type
    inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
    wrapped = (lambda value: [value]) if get_origin(kind) is tuple else (lambda value: value)
    yield {"a": {"table": "of tables"}}
    if get_origin(kind) is tuple:
        yield 5
    if get_origin(inner) is Literal:
        yield wrapped("another choice")
    elif inner is bool:
        yield "perhaps"
    elif inner in {int, float}:
        yield from ("many", 10**30, -(10**30))
        if inner is float:
            yield math.inf
    elif str in (inner, *get_args(inner)):
        yield wrapped(5)
        yield wrapped("two\nlines")
        if setting.default not in ("", "tintype/"):
            yield wrapped("")
    for text in BY_FORM.get(setting.name, ()):
        yield wrapped(text)


def written(value: Any) -> str:
    """Write a value in TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {written(inner)}" for name, inner in value.items()) + " }"
    return "inf" if value == math.inf else json.dumps(value)


IN_FILE = [
    pytest.param(setting, value, id=f"{setting.section}.{setting.name}-{number}")
    for setting in (*every_setting(), *every_store_setting())
    if setting.section
    for number, value in enumerate(wrong_values(setting))
]


@pytest.mark.parametrize(("setting", "value"), IN_FILE)
def test_in_the_file(setting: Setting, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the setting and the file, and says what is allowed, not what is secret."""
    is_store = setting.section in {each.section for each in every_store_setting()}
    section = "stores.a" if is_store else setting.section
    lines = {setting.name: written(value)}
    if is_store:
        others = {"type": setting.section, **REQUIRED.get(setting.section, {})}
        lines = {**{name: written(other) for name, other in others.items()}, **lines}
    text = "\n".join(f"{name} = {line}" for name, line in lines.items())
    (tmp_path / "tintype.toml").write_text(f"[{section}]\n{text}\n")
    said = start(tmp_path, monkeypatch)
    assert said.startswith(f"tintype: {section}.{setting.name} ({tmp_path / 'tintype.toml'}) is ")
    assert "; it must be " in said
    assert "hidden" not in said


IN_ENVIRONMENT = [
    pytest.param(setting, value, id=f"{setting.variable}-{number}")
    for setting in every_setting()
    if setting.section and "dict" not in str(setting.type)
    for number, value in enumerate(
        value[0] if isinstance(value, list) else value
        for value in wrong_values(setting)
        if not isinstance(value, dict) and value not in (5, [5])
    )
    if not (isinstance(value, str) and ("," in value or not value) and "tuple" in str(setting.type))
]


@pytest.mark.parametrize(("setting", "value"), IN_ENVIRONMENT)
def test_in_the_environment(
    setting: Setting, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the setting and the variable."""
    monkeypatch.setenv(setting.variable, str(value))
    said = start(tmp_path, monkeypatch)
    assert said.startswith(f"tintype: {setting.section}.{setting.name} ({setting.variable}) is ")
    assert "; it must be " in said
    assert "hidden" not in said


def start(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """Start a service that cannot start; return the one line with which it exits."""
    monkeypatch.setattr(sys, "argv", ["tintype", "serve", "--data-dir", str(folder), *options])
    monkeypatch.setattr(process, "serve", lambda *_: pytest.fail("it was let pass, and would be served"))
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(serve, "listen", lambda *at: stack.enter_context(listen(*at)))
        with pytest.raises(SystemExit) as ended:
            run()
    said = ended.value.code
    assert isinstance(said, str), "a line on standard error, and exit code 1"
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--port", "70000"), "server.port (--port) is 70000; it must be a whole number from 0 to 65535."),
        (("--workers", "0"), "server.workers (--workers) is 0; it must be a whole number from 1 to 256."),
        (("--host", "[::1]:80"), "server.host (--host) is '[::1]:80'; it must be an IP address"),
        (("--host", "192.0.2.1", "--port", "0"), "This host has no such address"),
        (("--host", "no-such-host.invalid", "--port", "0"), "Cannot listen on no-such-host.invalid"),
    ],
)
def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    """The line names the option."""
    assert says in start(tmp_path, monkeypatch, *options)


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost", "127.0.0.1"])
def test_addresses_to_listen_on(host: str) -> None:
    """IPv6 addresses with and without brackets, and names."""
    with listen(host, 0) as listener:
        assert listener.family in {socket.AF_INET, socket.AF_INET6}
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize(
    ("file", "environment", "says"),
    [
        ("data_dir = '/srv'\n", {}, "data_dir cannot be set in"),
        ("", {"TINTYPE_DATA_DIR": ""}, "TINTYPE_DATA_DIR is empty"),
        ("[stores.a]\ntype = 's3'\nbucket = 'b'\naccess_key = 'a'\n", {}, "TINTYPE_STORES_A_SECRET_KEY"),
        ("[stores.a-b]\ntype = 's3'\nbucket = 'b'\n", {}, "TINTYPE_STORES_A_B_ACCESS_KEY"),
        ('[stores."a b"]\ntype = "file"\n', {}, "The store 'a b'"),
        ("[stores.a]\ntype = 'file'\nfolda = 'x'\n", {}, "did you mean 'stores.a.folder'"),
        ("[stores.a]\nfolder = 'x'\n", {}, "stores.a.type is missing; it must be one of: file, s3"),
        ("[stores]\na = 1\n", {}, "written [stores.a]"),
        ("server = 1\n", {"TINTYPE_SERVER_PORT": "1"}, "written [server]"),
        ("stores = 1\n", {"TINTYPE_STORES_A_TYPE": "file"}, "written [stores]"),
        ("", {"TINTYPE_IMPORTS_INJECT_PROPERTIES": '{"a": 1}'}, "JSON such as"),
    ],
)
def test_what_is_written_in_the_wrong_place(
    tmp_path: Path, file: str, environment: dict[str, str], says: str
) -> None:
    """Sections, names of stores, and settings that are missing or not for a file."""
    (tmp_path / "tintype.toml").write_text(file)
    with pytest.raises(StartError) as failure:
        load(None if "TINTYPE_DATA_DIR" in environment else tmp_path, environment)
    assert says in failure.value.message
    assert "\n" not in failure.value.message


def test_a_store_of_the_file_has_its_secret_from_the_environment(tmp_path: Path) -> None:
    """Whatever signs its name has: they are _ in the variable."""
    (tmp_path / "tintype.toml").write_text("[stores.My-store]\ntype = 'file'\n")
    stores = load(tmp_path, {"TINTYPE_STORES_MY_STORE_RESERVE": "5"}).stores
    assert {name: store.reserve for name, store in stores.items()} == {"My-store": 5}  # type: ignore[union-attr]


class _Broken:
    name = "broken"

    @staticmethod
    def load() -> object:
        """Fail as a package that is half installed does."""
        raise AttributeError("module 'others' has no attribute 'plugin'\nand more")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TINTYPE_IMPORTS_PLUGINS", "squash", "There are: convert, decompress, inject."),
        ("TINTYPE_IMPORTS_PLUGINS", "broken", "does not load: AttributeError: module 'others' has no"),
        ("TINTYPE_IMPORTS_PLUGINS", "inject,inject", "a plugin is named twice"),
        ("TINTYPE_IMAGES_TOLERATED_FORMAT_CHECKS", "colour", "there is no format check 'colour'. There are:"),
        ("TINTYPE_POLICY_FILE", "none.yaml", "none.yaml"),
        ("TINTYPE_POLICY_PROPERTY_FILE", "none.conf", "none.conf"),
        ("TINTYPE_SERVER_TLS_CERTIFICATE", "/nowhere/cert.pem", "cannot read /nowhere/cert.pem"),
        ("TINTYPE_SERVER_TLS_KEY", "/nowhere/key.pem", "requires server.tls_certificate"),
    ],
)
def test_what_only_a_look_at_the_host_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """Files, plugins and checks by names that are not there: the line names the variable, too."""
    known = metadata.entry_points

    def entry_points(**wanted: str) -> Any:
        return [_Broken] if wanted.get("name") == "broken" else known(**wanted)

    monkeypatch.setattr(base, "entry_points", entry_points)
    monkeypatch.setenv(variable, value)
    said = start(tmp_path / "data", monkeypatch, "--port", "0")
    assert f"({variable})" in said
    assert says in said
