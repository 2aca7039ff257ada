"""What is not installed: one line with the one command that installs it, in the words of the installation."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tintype import extras

STORE = {"TINTYPE_STORES_A_TYPE": "s3", "TINTYPE_STORES_A_BUCKET": "b"}
KEYS = {"TINTYPE_STORES_A_ACCESS_KEY": "a", "TINTYPE_STORES_A_SECRET_KEY": "s"}
GOOGLE = {"TINTYPE_STORES_A_TYPE": "gcs", "TINTYPE_STORES_A_BUCKET": "b"}
POSTGRES = {"TINTYPE_DATABASE_URL": "postgresql://u@127.0.0.1:1/x"}
KEYSTONE = {"TINTYPE_KEYSTONE_AUTH_URL": "http://127.0.0.1:1/v3", "TINTYPE_KEYSTONE_PASSWORD": "x"}
TRACES = {"TINTYPE_TRACING_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("module", "environment", "extra"),
    [
        ("asyncpg", POSTGRES, "postgres"),
        ("greenlet", POSTGRES, "postgres"),
        ("keystoneauth1", KEYSTONE, "keystone"),
        ("obstore", GOOGLE, "objects"),
        ("aiobotocore", STORE | KEYS, "objects"),
        ("opentelemetry", TRACES, "tracing"),
        ("argon2", {}, "server"),
        ("alembic", {}, "server"),
    ],
)
def test_a_start_names_what_is_missing(
    tmp_path: Path, module: str, environment: dict[str, str], extra: str
) -> None:
    """Whichever part lacks its package: one line, exit code 1, and nothing is printed of serving."""
    done = run_without(module, tmp_path, "serve", "--port", "0", **environment)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.strip().splitlines()
    assert module in line
    assert line.endswith(f"Run: {extras.command(extra)}")


@pytest.mark.parametrize("module", ["rados", "rbd"])
def test_a_start_names_the_packages_of_ceph(tmp_path: Path, module: str) -> None:
    """Its bindings come from the distribution, not from pip."""
    done = run_without(module, tmp_path, "serve", "--port", "0", TINTYPE_STORES_A_TYPE="rbd")
    (line,) = done.stderr.strip().splitlines()
    assert (done.returncode, "apt-get install python3-rbd python3-rados" in line) == (1, True)


@pytest.mark.parametrize(
    ("module", "database"),
    [
        ("pymysql", "mysql+pymysql://u@127.0.0.1:1/glance"),
        ("asyncpg", "postgresql://u@127.0.0.1:1/glance"),
        ("greenlet", "postgresql://u@127.0.0.1:1/glance"),
    ],
)
def test_moving_in_names_what_is_missing(tmp_path: Path, module: str, database: str) -> None:
    """Each database that a Glance may have is read by a driver of its own."""
    config = tmp_path / "glance-api.conf"
    config.write_text(f"[database]\nconnection = {database}\n")
    done = run_without(module, tmp_path, "import-glance", "--dry-run", "--config", str(config))
    (line,) = done.stderr.strip().splitlines()
    assert (done.returncode, line.endswith(f"Run: {extras.command('glance')}")) == (1, True), line


def test_any_command_names_the_server(tmp_path: Path) -> None:
    """A command of the client that needs the server's parts for once, too."""
    done = run_without("sqlalchemy", tmp_path, "store", "claim", "local")
    (line,) = done.stderr.strip().splitlines()
    assert (done.returncode, line.endswith(f"Run: {extras.command('server')}")) == (1, True), line


def run_without(
    module: str, folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `tintype` where a package cannot be imported."""
    program = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['tintype', *sys.argv[1:]]\n"
        "from tintype.cli.main import run; run()"
    )
    command = [sys.executable, "-c", program, *arguments, "--data-dir", str(folder / "data")]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


class Installed:
    """A package as pip has noted it."""

    def __init__(self, origin: dict[str, object] | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self._origin is None else json.dumps(self._origin)


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (None, "'tintype[postgres]'"),
        ({"url": "file://{here}", "dir_info": {"editable": True}}, "-e '.[postgres]'"),
        ({"url": "file://{here}", "dir_info": {}}, "'.[postgres]'"),
        ({"url": "file://{here}/sub", "dir_info": {"editable": True}}, "-e '{here}/sub[postgres]'"),
        ({"url": "file://{here}/gone", "dir_info": {}}, "'tintype[postgres]'"),
        (
            {"url": "https://git.example/tintype.git", "vcs_info": {"vcs": "git", "commit_id": "1"}},
            "'tintype[postgres] @ git+https://git.example/tintype.git'",
        ),
        (
            {"url": "https://example.org/tintype-1.whl", "archive_info": {}},
            "'tintype[postgres] @ https://example.org/tintype-1.whl'",
        ),
    ],
)
def test_the_command_is_that_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None, requirement: str
) -> None:
    """A checkout, an address and the package of an index each install their extras in another way."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    if origin is not None:
        origin = {**origin, "url": str(origin["url"]).format(here=tmp_path)}
    monkeypatch.setattr(metadata, "distribution", lambda _name: Installed(origin))
    said = extras.command("postgres")
    assert said == f"{sys.prefix}/bin/pip install {requirement.format(here=tmp_path)}"
