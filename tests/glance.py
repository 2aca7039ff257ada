"""A real Glance, for comparisons and migrations. `make glance` installs it."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from processes import free_ports

PYTHON = Path(__file__).parents[1] / ".venv-glance" / "bin" / "python"
METADEFS = PYTHON.parents[1] / "etc" / "glance" / "metadefs"
CONFIG = """\
[DEFAULT]
log_file = {folder}/glance.log
enabled_backends = fast:file, slow:file, web:http
enabled_import_methods = [glance-direct,copy-image]
node_staging_uri = file://{folder}/staging
[database]
connection = {database}
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {folder}/fast
[slow]
filesystem_store_datadir = {folder}/slow
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
config_file = {folder}/paste.ini
[oslo_concurrency]
lock_path = {folder}/lock
"""
TOKENS = """\
[keystone_authtoken]
www_authenticate_uri = {url}
auth_url = {url}
auth_type = password
interface = public
project_domain_id = default
user_domain_id = default
project_name = service
username = glance
password = {password}
"""
AUTHENTICATE = """\
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
"""
PASTE = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: api
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = versionnegotiation context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
"""
SERVE = """\
import sys, waitress
port = int(sys.argv.pop())
from glance.wsgi.api import application
waitress.serve(application, host="127.0.0.1", port=port, threads=4, max_request_body_size=1 << 34)
"""


class Glance:
    """A server that trusts identity headers of its callers, or validates tokens with a Keystone."""

    def __init__(self, folder: Path, database: str, tokens: str = "", paste: str = PASTE) -> None:
        """Start it; `database` is a URL, `tokens` the part of its configuration that names a Keystone."""
        database = database.replace("postgresql:", "postgresql+psycopg2:")
        self.folder = folder
        for name in ("fast", "slow", "staging", "tasks"):
            (folder / name).mkdir()
        self.config = folder / "glance-api.conf"
        self.config.write_text(CONFIG.format(folder=folder, database=database) + tokens)
        (folder / "paste.ini").write_text(paste)
        self._manage("db_sync")
        self._manage("db_load_metadefs", str(METADEFS))
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        with (folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [PYTHON, "-c", SERVE, str(port)],
                env={"OS_GLANCE_CONFIG_DIR": str(folder)},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(self.url, timeout=20).status_code == 300:
                    return
            time.sleep(0.1)
        raise AssertionError("Glance does not start: " + (folder / "stderr").read_text())

    def _manage(self, *command: str) -> None:
        manage = "import sys; from glance.cmd.manage import main; sys.exit(main())"
        done = subprocess.run(
            [PYTHON, "-c", manage, "--config-file", self.config, *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def call(self, project: str, method: str, path: str, **options: object) -> httpx2.Response:
        """Send a request as a member of a project, or as admin."""
        headers = {
            "X-Identity-Status": "Confirmed",
            "X-User-Id": f"user-of-{project}",
            "X-Project-Id": project,
            "X-Roles": "admin,member,reader" if project == "admin" else "member,reader",
            **dict(options.pop("headers", None) or {}),  # type: ignore[call-overload]
        }
        return httpx2.request(method, f"{self.url}{path}", headers=headers, timeout=60, **options)  # type: ignore[arg-type]

    def stop(self) -> None:
        """Stop the server."""
        self.process.terminate()
        self.process.wait(30)


def with_keystone(folder: Path, database: str, url: str, password: str) -> Glance:
    """Start a Glance that validates tokens with a Keystone.

    One that imports needs a server of databases: on SQLite "database is locked" ends a task now and then,
    when its state is asked for while it works.
    """
    paste = PASTE.replace(
        "versionnegotiation context rootapp", "versionnegotiation authtoken context rootapp"
    )
    tokens = TOKENS.format(url=url, password=password)
    return Glance(folder, database, tokens, paste + AUTHENTICATE)


def available() -> bool:
    """Return whether Glance is installed."""
    return PYTHON.exists() and sys.platform == "linux"
