"""The moves of docs/howto/move.md that restart the service in between."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import keystone
from keystone import Keystone
from pages import DOCS, blocks
from processes import BIN, Api, Server, free_ports, started

PAGE = DOCS / "howto/move.md"
DATA = b"disk" * 10_000


def run_blocks(
    way: str, folder: Path, clouds: Path, changed: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run the page's commands of one kind, with what readers put in place of the examples."""
    commands = "\n".join(block.text for block in blocks(PAGE) if (block.kind, block.way) == ("run", way))
    assert commands
    for example, real in changed.items():
        commands = commands.replace(example, real)
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{commands}"],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "OS_CLIENT_CONFIG_FILE": str(clouds),
            "OS_CLOUD": "admin" if way in {"keystone", "owner"} else "tintype",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def settings(section: str) -> str:
    """Return the page's example of settings that begins with a section."""
    [found] = re.findall(rf"```toml\n( *\[{section}\]\n.*?)```", PAGE.read_text(), re.DOTALL)
    return re.sub("^ +", "", found, flags=re.MULTILINE)


def store_image(server: Server) -> str:
    api = Api(server)
    with api.http:
        image = api.image()
        assert api.put(image, DATA).status_code == 204
    return image.rpartition("/")[2]


def test_a_store_gets_another_name(tmp_path: Path) -> None:
    """The image is in the new store alone, and its bytes can be read without the old one."""
    folder = tmp_path / "data"
    with started(folder) as server:
        image = store_image(server)
    both = settings("stores.local").replace("/srv/fast", str(tmp_path / "fast"))
    (folder / "tintype.toml").write_text(both)
    with started(folder) as server:
        printed = run_blocks("rename", tmp_path, server.clouds)
        assert re.search(r'"fast",\s*"local"', printed)
    (folder / "tintype.toml").write_text(both[both.index("[stores.fast]") :])
    with started(folder) as server:
        shown = server.run("tintype", "image", "show", image, "-f", "value", "-c", "stores")
        assert shown.stdout.strip() == "fast"
        server.run("tintype", "image", "pull", image, str(tmp_path / "pulled"))
    assert (tmp_path / "pulled").read_bytes() == DATA


@pytest.mark.needs("keystone")
def test_from_the_builtin_identity_to_keystone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member of the project in Keystone sees and downloads the image that it was given."""
    monkeypatch.setattr(keystone, "TOKEN_SECONDS", 600)
    folder, clouds, secret = tmp_path / "data", tmp_path / "clouds.yaml", "secret-of-both"
    with started(folder) as server:
        image = store_image(server)
    (tmp_path / "keystone").mkdir()
    real = Keystone(tmp_path / "keystone")
    try:
        clouds.write_text(real.clouds().replace("alice:", "mia:", 1).replace("alice", "mia"))
        text = clouds.read_text().replace("project_name: alpha", "project_name: team", 1)
        clouds.write_text(re.sub(rf"(username: mia, password: ){keystone.PASSWORD}", rf"\g<1>{secret}", text))
        region = ("openstack", "region", "create", "RegionOne")
        server.run(*region, cloud="admin", OS_CLIENT_CONFIG_FILE=str(clouds))
        [port] = free_ports(1)
        given = {"--password-prompt": f"--password {secret}", "9292": str(port)}
        run_blocks("keystone", tmp_path, clouds, given)
        ours = settings("keystone").replace("https://keystone.example.org/v3", real.url)
        (folder / "tintype.toml").write_text(ours)
        monkeypatch.setenv("TINTYPE_KEYSTONE_PASSWORD", secret)
        assert "Keystone" in run_blocks("check", tmp_path, clouds)
        shown = ("openstack", "project", "show", "team", "-f", "value", "-c", "id")
        project = server.run(*shown, cloud="admin", OS_CLIENT_CONFIG_FILE=str(clouds)).stdout.strip()
        with started(folder, "--port", str(port)) as server:
            run_blocks("owner", tmp_path, clouds, {"IMAGE-ID": image, "PROJECT-ID": project})
            pull = ("tintype", "image", "pull", image, str(tmp_path / "pulled"))
            server.run(*pull, cloud="mia", OS_CLIENT_CONFIG_FILE=str(clouds))
    finally:
        real.stop()
    assert (tmp_path / "pulled").read_bytes() == DATA
