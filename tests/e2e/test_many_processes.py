"""Two processes on one PostgreSQL: whichever of them is asked, it is one service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inprocess import PASSWORD, PEOPLE
from postgres import Cluster
from processes import BINARY, Api, Server, started

pytestmark = [pytest.mark.e2e, pytest.mark.needs("postgresql"), pytest.mark.xdist_group("many")]
RAW = {"disk_format": "raw", "container_format": "bare"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server of two processes, and the people of the contract."""
    environment: dict[str, Any] = {"TINTYPE_DATABASE_URL": cluster.url(cluster.create())}
    with started(tmp_path_factory.mktemp("many") / "data", "--workers", "2", **environment) as server:
        for name, (project, role) in PEOPLE.items():
            command = ("tintype", "user", "create", name, "--password", PASSWORD, "--project", project)
            server.run(*command, "--role", role, **environment)
        limits = (
            "tintype",
            "project",
            "limits",
            "beta",
            "--image-size-total",
            "3",
            "--image-count-total",
            "70",
        )
        server.run(*limits, **environment)
        yield server


def token(server: Server, name: str) -> str:
    """Log somebody in."""
    if name == "admin":
        return server.log_in()
    domain = {"id": "default"}
    auth = {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": name, "domain": domain, "password": PASSWORD}},
        },
        "scope": {"project": {"name": PEOPLE[name][0], "domain": domain}},
    }
    answer = httpx2.post(f"{server.url}/identity/v3/auth/tokens", json={"auth": auth})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["x-subject-token"])


def test_the_whole_contract(server: Server) -> None:
    """Every table, each request on a connection of its own, which goes to either process."""
    tokens = ",".join(f"{name}={token(server, name)}" for name in ("alice", "bob", "carol", "admin"))
    tables = Path(__file__).parents[1] / "contract"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", tables],
        env={
            **os.environ,
            "CONTRACT_URL": server.url,
            "CONTRACT_TOKEN": tokens,
            "CONTRACT_OF": "tintype",
            "REQUIRE": "",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_quotas_of_64_uploads_at_once(server: Server) -> None:
    """Neither process lets through what the other one has given away."""
    headers = {"X-Auth-Token": token(server, "bob")}
    gone = httpx2.get(f"{server.url}/v2/images?owner=&limit=1000&visibility=shared", headers=headers).json()[
        "images"
    ]
    for image in gone:
        httpx2.delete(f"{server.url}/v2/images/{image['id']}", headers=headers)

    def create(_number: int) -> str:
        answer = httpx2.post(f"{server.url}/v2/images", json=RAW, headers=headers, timeout=60)
        assert answer.status_code == 201, answer.text
        return f"{server.url}/v2/images/{answer.json()['id']}"

    def upload(image: str) -> int:
        data = b"x" * (MIB // 4)
        put = httpx2.put(f"{image}/file", content=data, headers={**headers, **BINARY}, timeout=60)
        return put.status_code

    with ThreadPoolExecutor(64) as threads:
        images = list(threads.map(create, range(64)))
        codes = sorted(threads.map(upload, images))
    assert codes == [204] * 12 + [413] * 52
    usage = httpx2.get(f"{server.url}/v2/info/usage", headers=headers).json()["usage"]
    assert usage["image_size_total"] == {"usage": 3, "limit": 3}
    api = Api(server)
    assert len(api.files()) >= 12
    api.http.close()
