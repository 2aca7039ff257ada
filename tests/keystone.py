"""A real Keystone, whose tokens expire soon. `make keystone` installs it."""

import contextlib
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx2

from processes import free_ports

PYTHON = Path(__file__).parents[1] / ".venv-keystone" / "bin" / "python"
TOKEN_SECONDS = 15
PASSWORD = "keystone-secret"
CONFIG = """\
[DEFAULT]
log_file={folder}/keystone.log
[database]
connection=sqlite:///{folder}/keystone.db
[token]
expiration={seconds}
[fernet_tokens]
key_repository={folder}/fernet
[credential]
key_repository={folder}/credential
[cache]
enabled=true
backend=dogpile.cache.memory
[identity]
password_hash_rounds=4
"""
SERVE = """\
import sys, waitress
port = int(sys.argv.pop())  # what is left there Keystone takes for its own
from keystone.wsgi.api import application
waitress.serve(application, host="127.0.0.1", port=port, threads=8)
"""


class Keystone:
    """A server with the users alice (member of alpha), bob (beta), carol (reader of alpha), admin, glance."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "keystone.conf").write_text(CONFIG.format(folder=folder, seconds=TOKEN_SECONDS))
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/v3"
        user = ("--keystone-user", "root") if Path("/root").exists() and Path.home() == Path("/root") else ()
        group = ("--keystone-group", "root") if user else ()
        self._manage("db_sync")
        self._manage("fernet_setup", *user, *group)
        self._manage("credential_setup", *user, *group)
        self._manage("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", self.url)
        self.start()
        self._roles: dict[str, str] = {}
        try:
            self._fill()
        except BaseException:
            self.stop()  # nobody else can
            raise

    def start(self) -> None:
        """Start the server. It can be started again after `stop`."""
        self.process = subprocess.Popen(
            [PYTHON, "-c", SERVE, str(self.port)],
            env={
                "OS_KEYSTONE_CONFIG_DIR": str(self._folder),
                "OS_KEYSTONE_CONFIG_FILES": str(self._folder / "keystone.conf"),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(self.url, timeout=20).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("Keystone does not start")

    def stop(self, with_signal: int = signal.SIGKILL) -> None:
        """Stop the server."""
        self.process.send_signal(with_signal)
        self.process.wait(30)

    def log_in(self, name: str, project: str | None) -> str:
        """Return a token; without a project, a system-scoped one."""
        domain = {"id": "default"}
        user = {"name": name, "domain": domain, "password": PASSWORD}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": project, "domain": domain}}
            if project
            else {"system": {"all": True}},
        }
        answer = httpx2.post(f"{self.url}/auth/tokens", json={"auth": auth}, timeout=20)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])

    def restrict(self, name: str, project: str, rules: list[tuple[str, str, str]] | None) -> str:
        """Return a token of a new application credential with access rules: (service, method, path) each."""
        token = self.log_in(name, project)
        about = {"X-Auth-Token": token, "X-Subject-Token": token}
        user = httpx2.get(f"{self.url}/auth/tokens", headers=about, timeout=20).json()["token"]["user"]["id"]
        wished: dict[str, object] = {"name": uuid.uuid4().hex}
        if rules is not None:
            fields = ("service", "method", "path")
            wished["access_rules"] = [dict(zip(fields, rule, strict=True)) for rule in rules]
        url = f"{self.url}/users/{user}/application_credentials"
        body = {"application_credential": wished}
        answer = httpx2.post(url, headers=about, json=body, timeout=20)
        assert answer.status_code == 201, answer.text
        made = answer.json()["application_credential"]
        method = {"id": made["id"], "secret": made["secret"]}
        identity = {"methods": ["application_credential"], "application_credential": method}
        answer = httpx2.post(f"{self.url}/auth/tokens", json={"auth": {"identity": identity}}, timeout=20)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        headers = {**self._admin(), "X-Subject-Token": token}
        assert httpx2.delete(f"{self.url}/auth/tokens", headers=headers, timeout=20).status_code == 204

    def offer(self, url: str) -> tuple[str, str]:
        """Add the image service to the catalogue; return the ids of service and endpoint."""
        service = self._post("services", "service", {"type": "image", "name": "glance"})
        endpoint = {"service_id": service, "interface": "public", "url": url}
        return service, self._post("endpoints", "endpoint", endpoint)

    def offer_in(self, region: str, url: str) -> None:
        """Add the image service of a region to the catalogue."""
        self._post("regions", "region", {"id": region})
        service = self._post("services", "service", {"type": "image", "name": f"glance-{region}"})
        endpoint = {"service_id": service, "interface": "public", "url": url, "region_id": region}
        self._post("endpoints", "endpoint", endpoint)

    def limit(self, service: str, defaults: dict[str, int], alpha: dict[str, int]) -> None:
        """Register limits of a service, with others for the project alpha."""
        registered = [
            {"service_id": service, "resource_name": name, "default_limit": value}
            for name, value in defaults.items()
        ]
        own = [
            {
                "service_id": service,
                "project_id": self.projects["alpha"],
                "resource_name": name,
                "resource_limit": value,
            }
            for name, value in alpha.items()
        ]
        for what, values in (("registered_limits", registered), ("limits", own)):
            answer = httpx2.post(f"{self.url}/{what}", headers=self._admin(), json={what: values}, timeout=20)
            assert answer.status_code == 201, answer.text

    def clouds(self) -> str:
        """Return a `clouds.yaml`."""
        people = {"admin": "admin", "alice": "alpha", "bob": "beta", "carol": "alpha"}
        entries = "".join(
            f"  {name}:\n    auth: {{auth_url: '{self.url}', username: {name}, password: {PASSWORD}, "
            f"project_name: {project}, user_domain_id: default, project_domain_id: default}}\n"
            for name, project in people.items()
        )
        return f"clouds:\n{entries}"

    def _fill(self) -> None:
        roles = httpx2.get(f"{self.url}/roles", headers=self._admin(), timeout=20).json()["roles"]
        self._roles = {role["name"]: role["id"] for role in roles}
        if "service" not in self._roles:
            self._roles["service"] = self._post("roles", "role", {"name": "service"})
        self.projects = projects = {
            name: self._post("projects", "project", {"name": name}) for name in ("alpha", "beta", "service")
        }
        for name, project, *names in (
            ("alice", "alpha", "member"),
            ("bob", "beta", "member"),
            ("carol", "alpha", "reader"),
            ("glance", "service", "admin", "service"),
        ):
            user = self._post("users", "user", {"name": name, "password": PASSWORD})
            for role in names:
                url = f"{self.url}/projects/{projects[project]}/users/{user}/roles/{self._roles[role]}"
                assert httpx2.put(url, headers=self._admin(), timeout=20).status_code == 204

    def _admin(self) -> dict[str, str]:
        """Return headers for one request, with a new token: tokens expire soon."""
        return {"X-Auth-Token": self.log_in("admin", "admin")}

    def _post(self, path: str, noun: str, body: dict[str, str]) -> str:
        answer = httpx2.post(f"{self.url}/{path}", headers=self._admin(), json={noun: body}, timeout=20)
        assert answer.status_code == 201, answer.text
        return str(answer.json()[noun]["id"])

    def _manage(self, *arguments: str) -> None:
        script = "import sys; from keystone.cmd.manage import main; sys.exit(main())"
        command = [
            str(PYTHON),
            "-c",
            script,
            "--config-file",
            str(self._folder / "keystone.conf"),
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def available() -> bool:
    """Return whether Keystone is installed."""
    return PYTHON.exists() and sys.platform == "linux"
