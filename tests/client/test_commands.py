"""The command line of a client: what it prints and how it ends, on a Tintype and on a Glance."""

import csv
import json
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from clouds import DISK, Cloud, run


def test_the_main_job(cloud: Cloud, disk: Path, tmp_path: Path) -> None:
    """`push` makes an image of a file, `pull` a file of an image, without a word more; lists show it."""
    made = json.loads(run(cloud, "image", "push", str(disk), "--name", "job", "--tag", "a", "-f", "json"))
    assert (made["name"], made["status"], made["disk_format"], made["tags"]) == (
        "job",
        "active",
        "raw",
        ["a"],
    )
    assert run(cloud, "image", "list", "--name", "job", "-f", "value", "-c", "id").strip() == made["id"]
    assert "job" in run(cloud, "image", "list")
    assert run(cloud, "image", "pull", "job", folder=tmp_path).strip() == "job"
    assert (tmp_path / "job").read_bytes() == disk.read_bytes()
    told = run(cloud, "image", "pull", "job", folder=tmp_path, code=2)
    assert "exists already" in told, "another's name overwrites nothing"
    run(cloud, "image", "pull", "job", "elsewhere", folder=tmp_path)
    run(cloud, "image", "set", "job", "--name", "renamed", "--property", "os_distro=debian")
    shown = yaml.safe_load(run(cloud, "image", "show", "renamed", "-f", "yaml"))
    assert shown["os_distro"] == "debian"
    run(cloud, "image", "set", "renamed", "--remove", "os_distro")
    run(cloud, "tag", "add", "renamed", "b", "c")
    run(cloud, "tag", "remove", "renamed", "b")
    assert sorted(json.loads(run(cloud, "image", "show", made["id"], "-f", "json"))["tags"]) == ["a", "c"]
    run(cloud, "tag", "clear", "renamed")
    assert run(cloud, "tag", "list", "renamed", "-f", "value") == ""
    run(cloud, "image", "delete", "renamed")
    assert "no image" in run(cloud, "image", "show", "renamed", code=1)


def test_sharing(cloud: Cloud) -> None:
    """One adds, the other accepts or rejects."""
    image = json.loads(run(cloud, "image", "create", "given", "-f", "json"))["id"]
    beta = cloud.projects["beta"]
    run(cloud, "member", "add", "given", beta)
    assert json.loads(run(cloud, "member", "accept", image, "-f", "json", who="bob"))["status"] == "accepted"
    assert image in run(cloud, "image", "list", "--visibility", "shared", who="bob")
    assert json.loads(run(cloud, "member", "reject", image, "-f", "json", who="bob"))["status"] == "rejected"
    assert beta in run(cloud, "member", "list", "given")
    run(cloud, "member", "remove", "given", beta)
    run(cloud, "image", "delete", image)


def test_stage_import_and_what_is_known(cloud: Cloud, disk: Path) -> None:
    """Stage and import; tasks, stores, usage, versions, methods, schemas; the catalogue of definitions."""
    formats = ("--disk-format", "raw", "--container-format", "bare")
    run(cloud, "image", "create", "staged", *formats, who="admin")
    run(cloud, "image", "upload", "staged", str(disk), "--stage", who="admin")
    done = json.loads(run(cloud, "image", "import", "staged", "-f", "json", who="admin"))
    assert done["size"] == disk.stat().st_size
    assert "success" in run(cloud, "image", "tasks", "staged", who="admin")
    assert run(cloud, "task", "list", who="admin")
    assert json.loads(run(cloud, "store", "list", "-f", "json"))[0]["id"]
    assert "image_count_total" in run(cloud, "info", "usage") or not cloud.is_tintype
    assert "CURRENT" in run(cloud, "info", "versions")
    assert "glance-direct" in run(cloud, "info", "methods")
    assert json.loads(run(cloud, "info", "schema", "image", "-f", "json"))["name"] == "image"
    run(cloud, "metadef", "create", "cli", "--display-name", "D", who="admin")
    run(cloud, "metadef", "tag", "add", "cli", "x", who="admin")
    assert json.loads(run(cloud, "metadef", "show", "cli", "-f", "json", who="admin"))["display_name"] == "D"
    run(cloud, "metadef", "delete", "cli", who="admin")
    run(cloud, "image", "delete", "staged", who="admin")


def test_what_goes_wrong(cloud: Cloud, tmp_path: Path) -> None:
    """One line and an exit code: 1 for what is refused, 2 for a wrong command line."""
    assert "There is no cloud nobody" in run(cloud, "image", "list", who="nobody", code=1)
    assert "tintype:" in run(cloud, "image", "push", str(tmp_path / "none"), code=1)
    assert "is not a regular file" in run(cloud, "image", "push", str(tmp_path), code=1)
    assert "KEY=VALUE" in run(cloud, "image", "create", "x", "--property", "no sign", code=2)
    assert "No such command" in run(cloud, "image", "frobnicate", code=2)
    assert "Nothing to change" in run(cloud, "image", "set", "x", code=2)
    image = json.loads(run(cloud, "image", "create", "one", "-f", "json"))["id"]
    assert "no image" in run(cloud, "image", "delete", "not there", image, code=1)
    assert "no image" in run(cloud, "image", "show", image, code=1), "the other was deleted all the same"


def test_other_peoples_names(cloud: Cloud) -> None:
    """A name cannot move the cursor of a terminal, nor leave the folder."""
    from tintype.cli.image_transfers import _file_of
    from tintype.cli.output import harmless
    from tintype.client.models import Image

    assert harmless("\x1b[2Jgone\nforged\trow") == "\\x1b[2Jgone\\nforged\\trow"
    hostile = Image(id="/etc/evil/autostart", name="..", disk_format="desktop")
    assert _file_of(hostile) == Path("etcevilautostart.desktop")
    assert _file_of(Image(id="i", name="../../etc/passwd")) == Path("passwd")
    assert _file_of(Image(id="i", name=".bashrc")) == Path("bashrc")
    assert _file_of(Image(id="i", name="..", disk_format="raw")) == Path("i.raw")


def test_what_a_new_image_has(cloud: Cloud) -> None:
    """`--name` as an option, a container without a word, that of Amazon's formats after the disk's."""
    for arguments, expected in (
        (("--name", "as an option"), ("as an option", "bare")),
        (("plain", "--container-format", "ova"), ("plain", "ova")),
        (("amazon", "--disk-format", "aki"), ("amazon", "aki")),
    ):
        made = json.loads(run(cloud, "image", "create", *arguments, "-f", "json"))
        assert (made["name"], made["container_format"]) == expected
        run(cloud, "image", "delete", made["id"])
    assert "Give the name only once" in run(cloud, "image", "create", "a", "--name", "b", code=2)


def test_forms_for_programs(cloud: Cloud) -> None:
    """CSV and shell variables, which are safe to evaluate whatever others have called their properties."""
    name = "it's \"$(touch pwned)\", isn't it"
    properties = ("--property", "PATH=/evil", "--property", "odd key;x=`touch pwned`", "--tag", "a")
    image = json.loads(run(cloud, "image", "create", name, *properties, "-f", "json"))["id"]
    listed = run(cloud, "image", "list", "--name", name, "-f", "csv", "-c", "id", "-c", "name", "-c", "tags")
    assert list(csv.reader(listed.splitlines())) == [["id", "name", "tags"], [image, name, "a"]]
    shown = run(cloud, "image", "show", image, "-f", "shell")
    script = f'{shown}\nprintf "%s|" "$name" "$id" "$PATH" "$property_PATH" "$property_odd_key_x"; ls'
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, env={"PATH": "/bin:/usr/bin"}, check=True
    )
    assert done.stdout.startswith(f"{name}|{image}|/bin:/usr/bin|/evil|`touch pwned`|")
    assert "pwned" not in done.stdout.rpartition("|")[2]
    assert run(cloud, "image", "show", image, "-f", "shell", "-c", "name").count("\n") == 1
    assert "for one record" in run(cloud, "image", "list", "-f", "shell", code=2)
    run(cloud, "image", "delete", image)


@pytest.mark.parametrize("form", ["table", "json", "shell"])
def test_unknown_columns(form: str, cloud: Cloud) -> None:
    """They are refused, with those there are; a property is a column where an image has it."""
    image = json.loads(run(cloud, "image", "create", "c", "--property", "mine=1", "-f", "json"))["id"]
    told = run(cloud, "image", "show", image, "-f", form, "-c", "nmae", "-c", "id", code=2)
    assert "no column nmae" in told
    assert "name, status" in " ".join(told.split())
    assert "1" in run(cloud, "image", "show", image, "-f", form, "-c", "mine")
    if form != "shell":
        assert "no column" in run(cloud, "image", "list", "--name", "c", "-f", form, "-c", "nmae", code=2)
        run(cloud, "image", "list", "--name", "there is none", "-f", form, "-c", "nmae")
    run(cloud, "image", "delete", image)


def test_from_an_address(cloud: Cloud) -> None:
    """One command makes an image of an address; one that cannot be fetched leaves no image behind."""
    if not cloud.is_tintype:
        return  # this Glance imports from nowhere
    address = f"http://127.0.0.1:{cloud.allowed_port}"
    made = json.loads(run(cloud, "image", "create", "fetched", "--from", f"{address}/disk.raw", "-f", "json"))
    assert (made["status"], made["size"], made["disk_format"]) == ("active", len(DISK), "raw")
    run(cloud, "image", "delete", made["id"])
    for gone in (f"{address}/none.qcow2", "http://127.0.0.1:1/forbidden.iso"):
        run(cloud, "image", "create", "fetched", "--from", gone, code=1)
        assert run(cloud, "image", "list", "--name", "fetched", "-f", "value") == ""
    assert "--disk-format" in run(cloud, "image", "create", "fetched", "--from", "http://x/y", code=2)
    made = json.loads(
        run(cloud, "image", "create", "later", "--from", f"{address}/x.qcow2.xz", "--no-wait", "-f", "json")
    )
    assert made["disk_format"] == "qcow2"
    run(cloud, "image", "delete", made["id"])


def test_a_timeout(cloud: Cloud) -> None:
    """`--timeout` ends the wait for a server that says nothing; 0 is no timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = run(
            cloud, "--endpoint", address, "--token", "t", "--timeout", "0.2", "tag", "clear", "x", code=1
        )
    assert "timed out" in told.lower()
    assert "--timeout" in run(cloud, "--timeout", "0", "image", "list", code=2)
