"""The `openstack` command, unchanged, does all it does with images."""

import json
from pathlib import Path
from typing import Any

import pytest

from processes import Server


def openstack(server: Server, *arguments: str, cloud: str = "alice") -> Any:
    """Run `openstack` and give its JSON, if it prints any."""
    shows = {"create", "show", "list"} & set(arguments[:3])
    done = server.run("openstack", *arguments, *(("-f", "json") if shows else ()), cloud=cloud)
    return json.loads(done.stdout) if shows else done.stdout


def names(server: Server, *arguments: str, cloud: str = "alice") -> list[str]:
    return sorted(image["Name"] for image in openstack(server, "image", "list", *arguments, cloud=cloud))


def test_the_life_of_an_image(server: Server, disk: Path, tmp_path: Path) -> None:
    """Create from a file, show, set and unset, save, delete."""
    made = openstack(
        server, "image", "create", "life", "--file", str(disk), "--disk-format", "raw", "--min-ram", "64",
        "--property", "hw_disk_bus=virtio", "--tag", "one", "--private",
    )  # fmt: skip
    assert (made["status"], made["size"], made["visibility"]) == ("active", 2_000_000, "private")
    openstack(
        server, "image", "set", "life", "--name", "renamed", "--property", "os_distro=debian", "--tag", "two",
        "--min-disk", "1", "--protected", "--hidden",
    )  # fmt: skip
    shown = openstack(server, "image", "show", "renamed")
    assert (shown["min_disk"], shown["min_ram"], shown["protected"]) == (1, 64, True)
    assert sorted(shown["tags"]) == ["one", "two"]
    assert shown["properties"]["os_distro"] == "debian"
    refused = server.run("openstack", "image", "delete", "renamed", cloud="alice", check=False)
    assert refused.returncode == 1
    assert "is protected and cannot be deleted" in refused.stderr
    openstack(server, "image", "set", "renamed", "--unprotected", "--unhidden")
    openstack(server, "image", "unset", "renamed", "--property", "os_distro", "--tag", "one")
    shown = openstack(server, "image", "show", "renamed")
    assert shown["tags"] == ["two"]
    assert "os_distro" not in shown["properties"]
    openstack(server, "image", "save", "renamed", "--file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()
    openstack(server, "image", "set", "renamed", "--deactivate")
    save = ("openstack", "image", "save", "renamed", "--file", str(tmp_path / "no"))
    assert server.run(*save, cloud="alice", check=False).returncode == 1
    openstack(server, "image", "set", "renamed", "--activate")
    openstack(server, "image", "delete", "renamed")
    gone = server.run("openstack", "image", "show", "renamed", cloud="alice", check=False)
    assert gone.returncode == 1
    assert "No Image found for renamed" in gone.stderr


@pytest.mark.needs("time")
def test_list_with_each_filter(server: Server, disk: Path) -> None:
    """Every option of `image list` finds what it should."""
    openstack(
        server, "image", "create", "l-file", "--file", str(disk), "--tag", "listed", "--property", "kind=list"
    )
    for name, option in (
        ("l-private", "--private"),
        ("l-community", "--community"),
        ("l-shared", "--shared"),
    ):
        openstack(server, "image", "create", name, option, "--tag", "listed")
    openstack(server, "image", "create", "l-public", "--public", "--tag", "listed", cloud="tintype")
    openstack(server, "image", "create", "l-hidden", "--tag", "listed")
    openstack(server, "image", "set", "l-hidden", "--hidden")
    assert names(server, "--tag", "listed") == ["l-community", "l-file", "l-private", "l-public", "l-shared"]
    assert names(server, "--tag", "listed", cloud="bob") == ["l-public"]
    assert names(server, "--tag", "listed", "--all", cloud="bob") == ["l-community", "l-public"]
    assert names(server, "--tag", "listed", "--private") == ["l-private"]
    assert names(server, "--tag", "listed", "--public") == ["l-public"]
    assert names(server, "--tag", "listed", "--community") == ["l-community"]
    assert names(server, "--tag", "listed", "--shared") == ["l-file", "l-shared"]
    assert names(server, "--tag", "listed", "--hidden") == ["l-hidden"]
    assert names(server, "--property", "kind=list") == ["l-file"]
    assert names(server, "--name", "l-private") == ["l-private"]
    assert names(server, "--tag", "listed", "--status", "queued") == []
    assert (
        len(names(server, "--tag", "listed", "--status", "active")) == 5
    )  # without --file it uploads nothing
    assert names(server, "--tag", "listed", "--project", "alpha") == [
        "l-community",
        "l-file",
        "l-private",
        "l-shared",
    ]
    assert len(names(server, "--tag", "listed", "--limit", "2")) == 2
    page = openstack(
        server, "image", "list", "--tag", "listed", "--sort", "name:asc", "--marker", "l-community"
    )
    assert [image["Name"] for image in page] == ["l-file", "l-private"]
    long = openstack(server, "image", "list", "--name", "l-file", "--long")
    assert (long[0]["Size"], long[0]["Disk Format"]) == (2_000_000, "raw")


@pytest.mark.needs("time")
def test_sharing(server: Server) -> None:
    """Add a project by name, list members, accept, reject, remove."""
    image = openstack(server, "image", "create", "for bob", "--shared")["id"]
    openstack(server, "image", "add", "project", "for bob", "beta")
    members = openstack(server, "image", "member", "list", "for bob")
    assert [member["Status"] for member in members] == ["pending"]
    assert "for bob" in names(server, "--member-status", "pending", cloud="bob")
    assert "for bob" not in names(server, cloud="bob")
    openstack(server, "image", "set", image, "--accept", cloud="bob")
    assert "for bob" in names(server, cloud="bob")
    member = openstack(server, "image", "member", "list", image)[0]["Member ID"]
    assert server.run(
        "openstack", "image", "member", "get", "-f", "json", image, member, cloud="alice"
    ).stdout
    openstack(server, "image", "set", image, "--reject", cloud="bob")
    assert "for bob" not in names(server, cloud="bob")
    openstack(server, "image", "remove", "project", "for bob", "beta")
    assert server.run("openstack", "image", "show", image, cloud="bob", check=False).returncode == 1


@pytest.mark.parametrize(
    ("command", "who"),
    [
        ("token issue", "alice"),
        ("catalog list", "alice"),
        ("project list --my-projects", "alice"),
        ("image stores list", "alice"),
        ("image import info", "alice"),
        ("image task list", "tintype"),  # admins' alone, as Glance's
    ],
)
def test_what_people_look_at_first(server: Server, command: str, who: str) -> None:
    """The commands by which somebody finds out where they are work."""
    done = server.run("openstack", *command.split(), cloud=who, check=False)
    assert done.returncode == 0, done.stderr


def test_admins_see_projects_and_users(server: Server) -> None:
    """The identity slice answers `project list`, `user list` and `role list`."""
    assert {"admin", "alpha", "beta"} <= {
        project["Name"] for project in openstack(server, "project", "list", cloud="tintype")
    }
    assert {"admin", "alice", "bob"} <= {
        user["Name"] for user in openstack(server, "user", "list", cloud="tintype")
    }
    assert {"admin", "member", "reader", "service"} == {
        role["Name"] for role in openstack(server, "role", "list", cloud="tintype")
    }


def test_tags_with_slashes(server: Server) -> None:
    """Openstackclient sends the slash of a tag as it is."""
    openstack(server, "image", "create", "slashed", "--tag", "x/y", "--tag", "a//b")
    openstack(server, "image", "set", "slashed", "--tag", "new/one")
    assert sorted(openstack(server, "image", "show", "slashed")["tags"]) == ["a//b", "new/one", "x/y"]
    openstack(server, "image", "unset", "slashed", "--tag", "x/y", "--tag", "a//b")
    assert openstack(server, "image", "show", "slashed")["tags"] == ["new/one"]
    openstack(server, "image", "delete", "slashed")
