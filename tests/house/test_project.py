"""Facts in several files of the project agree, and the first command reports problems."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from processes import BIN
from tintype import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_printed() -> None:
    """`tintype --version` and `tintype version` print the one version."""
    for command in ("--version", "version"):
        done = subprocess.run([BIN / "tintype", command], capture_output=True, text=True, check=True)
        assert done.stdout == f"{__version__}\n"


def test_versions_of_python_agree() -> None:
    """The classifiers and the workflow name the same ones, from `requires-python` on."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith(prefix)]
    assert tested == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_containers_ignore_the_same_files() -> None:
    """Docker and Podman read files of different names."""
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    """Before anything is installed, in one line that says what to do."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "python3.10"
    pretend = "import sys; sys.version_info = (3, 10); exec(sys.argv.pop())"
    old.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -c '{pretend}' \"$@\"\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "serve", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"Tintype needs Python 3.11 or later; {old} is 3.10." in done.stderr
    assert "PYTHON=python3.13" in done.stderr
    assert not (tmp_path / ".venv").exists()
    assert "Installing" not in done.stdout
