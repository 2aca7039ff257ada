"""A real Glance to measure beside: released packages under uWSGI, two processes, files, PostgreSQL.

It trusts identity headers, so that token validation is not part of what is measured: Glance is
measured at its best. Everything lives in one folder that can be deleted.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("glance", "uwsgi", "psycopg2-binary")
HEADERS = {
    "X-Identity-Status": "Confirmed",
    "X-User-Id": "bench",
    "X-Project-Id": "bench",
    "X-Roles": "admin,member,reader",
}
CONFIG = """\
[DEFAULT]
log_file={folder}/glance.log
enabled_backends=local:file
enabled_import_methods=[web-download]
node_staging_uri=file://{folder}/staging
[import_filtering_opts]
allowed_hosts=[127.0.0.1]
allowed_ports=[19492]
[database]
connection={database}
max_pool_size=20
[glance_store]
default_backend=local
[local]
filesystem_store_datadir={folder}/images
[os_glance_staging_store]
filesystem_store_datadir={folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir={folder}/tasks
[paste_deploy]
config_file={folder}/paste.ini
[oslo_concurrency]
lock_path={folder}/lock
[wsgi]
python_interpreter={python}
"""


@contextlib.contextmanager
def glance(folder: Path, port: int, processes: int = 2) -> Iterator[str]:
    """Give the URL of a running Glance."""
    environment = install(folder / "venv-glance")
    work = folder / "glance"
    shutil.rmtree(work, ignore_errors=True)
    for name in ("images", "staging", "tasks"):
        (work / name).mkdir(parents=True)
    with postgresql(folder / "postgresql", port + 1) as database:
        python = environment / "bin" / "python"
        config = work / "glance-api.conf"
        config.write_text(
            CONFIG.format(
                folder=work, database=database.replace("postgresql:", "postgresql+psycopg2:"), python=python
            )
        )
        paste = (environment / "etc/glance/glance-api-paste.ini").read_text()
        lines = [
            "default = cors http_proxy_to_wsgi versionnegotiation osprofiler context rootapp"
            if line.startswith("default = cors ")
            else line
            for line in paste.splitlines()
        ]
        (work / "paste.ini").write_text("\n".join(lines))
        manage: list[Path | str] = [environment / "bin" / "glance-manage", "--config-file", config, "db_sync"]
        subprocess.run(manage, check=True, capture_output=True)
        server = subprocess.Popen(
            [
                *(environment / "bin" / "uwsgi", "--http-socket", f"127.0.0.1:{port}", "--master"),
                *("--processes", str(processes), "--lazy-apps", "--enable-threads", "--die-on-term"),
                *("--module", "glance.wsgi.api:application", "--virtualenv", environment),
                *(
                    "--buffer-size",
                    "65535",
                    "--http-chunked-input",
                    "--http-auto-chunked",
                    "--http-keepalive",
                ),
                *("--disable-logging", "--logto", work / "uwsgi.log"),
            ],
            env={**os.environ, "OS_GLANCE_CONFIG_DIR": str(work)},
        )
        try:
            wait(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def install(folder: Path) -> Path:
    """Make a virtual environment with Glance, once."""
    if not (folder / ".ready").exists():
        print("Installing Glance …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [folder / "bin" / "pip", "install", "-qq", "--disable-pip-version-check", *PACKAGES],
            check=True,
        )
        (folder / ".ready").touch()
    return folder


@contextlib.contextmanager
def postgresql(folder: Path, port: int, *options: str) -> Iterator[str]:
    """Give the URL of a throw-away PostgreSQL of this machine's binaries, with settings as `name=value`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    user: dict[str, object] = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres"}
        for parent in folder.parents:
            if not parent.stat().st_mode & 0o001:
                sys.exit(
                    f"PostgreSQL's user must be able to enter {parent}: set BENCH_DIR to another folder."
                )
    data = folder / "data"
    subprocess.run(  # type: ignore[call-overload]
        [found[-1] / "initdb", "-D", data, "-U", "glance", "-A", "trust"],
        check=True,
        capture_output=True,
        cwd="/",
        **user,
    )
    server = subprocess.Popen(  # type: ignore[call-overload]
        [
            *(found[-1] / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder),
            *(part for option in options for part in ("-c", option)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    try:
        for _ in range(100):
            ready: list[Path | str] = [found[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            if subprocess.run(ready, check=False).returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql://glance@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)


def wait(url: str, seconds: float = 60) -> None:
    """Wait until a URL answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} does not answer")
