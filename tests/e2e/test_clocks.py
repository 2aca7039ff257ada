"""Clocks that change or differ between nodes: live work is never rolled back."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

import web
from clocks import Clock
from postgres import Cluster
from processes import BINARY, Api, Server, eventually, started

pytestmark = [pytest.mark.needs("faketime"), pytest.mark.needs("time")]
HOUR, DAY = 3600, 86400
DATA = b"x" * 1000
RAW = {"disk_format": "raw", "container_format": "bare"}


class Uploading(threading.Thread):
    """An upload that goes on until it is let go."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self.image = api.image()
        self._http = httpx2.Client(base_url=api.server.url, headers=api.headers, timeout=60, trust_env=False)
        self._api = api
        self._go = threading.Event()
        self.start()
        eventually(lambda: api.show(self.image)["status"] == "saving")

    def run(self) -> None:
        self.answer = self._http.put(f"{self.image}/file", content=self._body(), headers=BINARY)

    def end(self) -> int:
        """Send the rest, and return the status of the answer."""
        self._go.set()
        self.join(60)
        self._http.close()
        return self.answer.status_code

    def _body(self) -> Iterator[bytes]:
        yield DATA
        self._go.wait(60)
        yield DATA


def swept(api: Api) -> None:
    """Wait until this service has swept: a deletion wakes its sweeper, which deletes bytes last."""
    before = set(api.files())
    image = api.image()
    assert api.put(image, DATA).status_code == 204
    assert api.http.delete(image).status_code == 204
    eventually(lambda: set(api.files()) <= before)


def admin(server: Server) -> dict[str, str]:
    return dict(yaml.safe_load(server.clouds.read_text())["clouds"]["tintype"]["auth"])


def log_in(server: Server, password: str) -> httpx2.Response:
    """Log the first admin in."""
    auth = admin(server)
    domain = {"id": "default"}
    user = {"name": auth["username"], "domain": domain, "password": password}
    body = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": auth["project_name"], "domain": domain}},
    }
    return httpx2.post(f"{server.url}/identity/v3/auth/tokens", json={"auth": body}, timeout=60)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    with started(tmp_path / "data", **clock.environment) as server:
        yield server


def test_an_hour_ahead_in_an_upload(server: Server, clock: Clock) -> None:
    """The upload ends as if nothing had been: its lease is not by the time of day."""
    api = Api(server)
    with contextlib.closing(api.http):
        upload = Uploading(api)
        for seconds in (HOUR, 0, -HOUR):
            clock.set(seconds)
            swept(api)
        assert upload.end() == 204
        assert (api.show(upload.image)["status"], api.show(upload.image)["size"]) == ("active", 2000)


def test_failed_log_ins_while_the_clock_is_a_day_ahead(server: Server, clock: Clock) -> None:
    """Nobody waits for a day once it is set right; the failures are remembered all the same."""
    clock.set(DAY)
    assert [log_in(server, "wrong").status_code for _ in range(4)] == [401] * 4
    delayed = log_in(server, "wrong")
    assert (delayed.status_code, delayed.headers["retry-after"]) == (429, "1")
    clock.set(0)
    assert log_in(server, "wrong").status_code == 401
    delayed = log_in(server, "wrong")
    assert delayed.status_code == 429
    assert 1 <= int(delayed.headers["retry-after"]) <= 2
    time.sleep(2.1)
    assert log_in(server, admin(server)["password"]).status_code == 201


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_password_changed_while_the_clock_is_wrong(server: Server, clock: Clock, seconds: int) -> None:
    """It ends the tokens of before, and none of those that are issued later."""
    before = Api(server)
    clock.set(seconds)
    user = {"original_password": admin(server)["password"], "password": "another"}
    subject = {"X-Subject-Token": before.headers["X-Auth-Token"]}
    shown = before.http.get("/identity/v3/auth/tokens", headers=subject).json()["token"]
    path = f"/identity/v3/users/{shown['user']['id']}/password"
    assert before.http.post(path, json={"user": user}).status_code == 204
    clock.set(0)
    with contextlib.closing(before.http):
        assert before.http.get("/v2/images").status_code == 401
        issued = log_in(server, "another")
        token = issued.headers["x-subject-token"]
        assert before.http.get("/v2/images", headers={"X-Auth-Token": token}).status_code == 200


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("seconds", [20 * 60, -20 * 60])
def test_nodes_whose_clocks_differ(cluster: Cluster, tmp_path: Path, clock: Clock, seconds: int) -> None:
    """Neither node takes the other's uploads and jobs for dead ones."""
    name = cluster.create()
    database: dict[str, Any] = {"TINTYPE_DATABASE_URL": cluster.url(name)}
    clock.set(seconds)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(web.serving(lambda request: request.drip(b"x" * 150, 0.1, 150)))
        apis: list[Api] = []
        environment: dict[str, Any]
        for folder, environment in ((tmp_path / "one", {}), (tmp_path / "two", clock.environment)):
            folder.mkdir()
            (folder / "tintype.toml").write_text(
                f"[stores.local]\ntype = 'file'\nfolder = '{tmp_path / 'images'}'\n"
                f"[imports]\nallowed_networks = ['127.0.0.0/8']\nports = [{source.server_port}]\n"
            )
            if apis:
                (folder / "clouds.yaml").write_text(apis[0].server.clouds.read_text())
            server = stack.enter_context(started(folder, **database, **environment))
            apis.append(Api(server))
            stack.callback(apis[-1].http.close)
        jobs = []
        for api in apis:
            jobs.append(api.image())
            method = {"name": "web-download", "uri": f"{source.url}/slow"}
            assert api.http.post(f"{jobs[-1]}/import", json={"method": method}).status_code == 202
        uploads = [Uploading(api) for api in apis]
        running = "SELECT count(*) FROM jobs WHERE state = 'processing' AND attempts = 1"
        eventually(lambda: cluster.sql(running, name) == "2")
        time.sleep(6)  # longer than each node takes until it looks for leases and jobs by itself
        assert [upload.end() for upload in uploads] == [204, 204]
        eventually(lambda: all(apis[0].show(job)["status"] == "active" for job in jobs), 60)
        assert cluster.sql("SELECT max(attempts) FROM jobs", name) == "1"
