"""The `clouds.yaml` of the data folder: kept current where we wrote it, else left alone."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from tintype import clouds_file

URL = "http://127.0.0.1:9292"
NEW = "https://[::1]:9393"
AWKWARD = 'a "quoted" \\ é 𝄞 # : {x} \'pass'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the file of a first start."""
    path = tmp_path / clouds_file.FILE
    clouds_file.create(path, clouds_file.Login("admin", "first", "admin"), URL, "RegionOne")
    return path


def entry(path: Path, name: str = "tintype") -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text())["clouds"][name])


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_a_new_address(path: Path) -> None:
    """Address, region and certificate are replaced in their places, as often as they change."""
    add(path, "  # mine\n  bob: {auth: {username: bob, password: x}}\n")
    before = path.read_text()
    assert clouds_file.keep_current(path, URL, "RegionOne", None) is None
    assert path.read_text() == before
    assert clouds_file.keep_current(path, NEW, "RegionTwo", "/certificates/ca.pem") is None
    changed = entry(path)
    assert (changed["auth"]["auth_url"], changed["auth"]["password"]) == (f"{NEW}/identity", "first")
    assert (changed["region_name"], changed["cacert"]) == ("RegionTwo", "/certificates/ca.pem")
    assert clouds_file.cacert_of(path) == "/certificates/ca.pem"
    assert "  # mine\n  bob: {auth: {username: bob, password: x}}\n" in path.read_text()
    assert clouds_file.keep_current(path, URL, "RegionOne", None) is None
    assert entry(path)["cacert"] is None
    assert entry(path)["auth"]["auth_url"] == f"{URL}/identity"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_address_that_was_edited(path: Path) -> None:
    """It is left alone, and a sentence says what this start's is."""
    path.write_text(path.read_text().replace(f"{URL}/identity", "https://images.example.org/identity"))
    before = path.read_text()
    note = clouds_file.keep_current(path, NEW, "RegionOne", None)
    assert note is not None
    assert "https://images.example.org/identity" in note
    assert f"auth_url {NEW}/identity" in note
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b\n",
        "clouds: {tintype",
        "\x00",
        "clouds: {}\n",
        "clouds: {other: {auth: {auth_url: x}}}\n",
        "clouds: {tintype: {auth: text}}\n",
        "clouds: {tintype: {auth: {}}}\n",
        "base: &base {auth_url: 'http://127.0.0.1:1/identity'}\nclouds: {tintype: {auth: *base}}\n",
        "clouds:\n  tintype:\n    auth:\n      auth_url: [x]\n      username: admin\n      password: y\n",
    ],
)
def test_a_file_that_is_not_ours_any_more(path: Path, text: str) -> None:
    """Edited beyond recognition, it is left as it is, and a sentence says so; nothing fails."""
    path.write_text(text)
    for note in (
        clouds_file.keep_current(path, NEW, "RegionOne", None),
        clouds_file.set_password(path, "admin", "x"),
    ):
        assert note is not None
        assert str(path) in note
    assert clouds_file.cacert_of(path) is None
    assert path.read_text() == text


@pytest.mark.parametrize("flow", [None, True])
def test_a_file_without_our_comment(path: Path, flow: bool | None) -> None:
    """Written again by another program, it is still ours while its address is of this machine."""
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()), default_flow_style=flow, width=1000))
    assert clouds_file.keep_current(path, NEW, "RegionTwo", "/ca.pem") is None
    assert clouds_file.keep_current(path, "http://192.0.2.7:1", "RegionTwo", "/ca.pem") is None
    changed = entry(path)
    assert changed["auth"]["auth_url"] == "http://192.0.2.7:1/identity"
    assert (changed["region_name"], changed["cacert"]) == ("RegionTwo", "/ca.pem")


def test_a_new_password(path: Path) -> None:
    """It is written into each entry that logs the user in here, whatever characters it has."""
    add(
        path,
        "  again:\n    auth: {auth_url: 'http://127.0.0.1:9292/identity', username: admin, password: first}\n"
        "  bob:\n    auth: {auth_url: 'http://127.0.0.1:9292/identity', username: bob, password: bobs}\n",
    )
    assert clouds_file.set_password(path, "admin", AWKWARD) is None
    assert entry(path)["auth"]["password"] == AWKWARD
    assert entry(path, "again")["auth"]["password"] == AWKWARD
    assert entry(path, "bob")["auth"]["password"] == "bobs"
    before = path.read_text()
    assert clouds_file.set_password(path, "carol", "x") is None
    assert path.read_text() == before
    path.unlink()
    assert clouds_file.set_password(path, "admin", "x") is None


def test_a_new_password_elsewhere(path: Path) -> None:
    """An entry of the same user at another address is not touched, but named."""
    add(path, "  far:\n    auth: {auth_url: 'https://far/identity', username: admin, password: x}\n")
    note = clouds_file.set_password(path, "admin", "second")
    assert note is not None
    assert "clouds.far.auth.password" in note
    assert "second" not in note
    assert (entry(path)["auth"]["password"], entry(path, "far")["auth"]["password"]) == ("second", "x")


def test_a_disk_that_takes_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays whole, nothing is left beside it, and a sentence says what to do."""
    before = path.read_text()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    note = clouds_file.keep_current(path, NEW, "RegionOne", None)
    assert note is not None
    assert "No space left on device" in note
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_link(path: Path, tmp_path: Path) -> None:
    """The file that it leads to is rewritten, and it stays a link."""
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    assert clouds_file.keep_current(link, NEW, "RegionOne", None) is None
    assert link.is_symlink()
    assert entry(path)["auth"]["auth_url"] == f"{NEW}/identity"
