"""The client and its command line without what only POSIX systems have, as on Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clouds import Cloud

WITHOUT = """
import os, sys
for name in ("fcntl", "termios", "resource", "uvloop", "grp", "pwd", "tty", "pty", "syslog"):
    sys.modules[name] = None
for name in ("pwrite", "preadv", "pread", "O_NOFOLLOW", "O_CLOEXEC", "posix_fadvise", "fork", "sendfile"):
    if hasattr(os, name):
        delattr(os, name)
"""
RUN = "from tintype.cli.main import run\nrun()"


def without(code: str, *arguments: str, cloud: Cloud | None = None, folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    if cloud is not None:
        environment |= {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds), "OS_CLOUD": "alice"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports(tmp_path: Path) -> None:
    """Every module of the client, and of its commands."""
    root = Path(__file__).parents[2] / "src" / "tintype"
    modules = [
        ".".join(("tintype", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for path in (root / "client").rglob("*.py")
    ]
    commands = (
        "images",
        "members",
        "tags",
        "tasks",
        "stores",
        "metadefs",
        "cache",
        "info",
        "commands",
        "main",
    )
    modules += [f"tintype.cli.{name}" for name in commands]
    without("\n".join(f"import {module}" for module in modules), folder=tmp_path)


@pytest.mark.parametrize("renames", [True, False])
def test_bytes_there_and_back(renames: bool, cloud: Cloud, disk: Path, tmp_path: Path) -> None:
    """`push` and `pull`, by ranges at once, where an open file may be renamed and where it may not."""
    code = f"import tintype.client.files as files\nfiles.REPLACES_OPEN_FILES = {renames}\n{RUN}"
    without(code, "image", "push", str(disk), "--name", "ported", cloud=cloud, folder=tmp_path)
    without(code, "image", "pull", "ported", "copy", cloud=cloud, folder=tmp_path)
    assert (tmp_path / "copy").read_bytes() == disk.read_bytes()
    assert not list(tmp_path.glob("copy.part*"))
    without(RUN, "image", "delete", "ported", cloud=cloud, folder=tmp_path)
