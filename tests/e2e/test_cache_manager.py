"""Glance's own command for its cache, and its older routes, on Tintype as on a real Glance."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

import glance
from glance import Glance
from processes import BINARY, Api, Server, eventually, started

pytestmark = pytest.mark.needs("glance")
COMMAND = glance.PYTHON.parent / "glance-cache-manage"
PASTE = glance.PASTE.replace("context rootapp", "context cachemanage rootapp") + (
    "[filter:cachemanage]\n"
    "paste.filter_factory = glance.api.middleware.cache_manage:CacheManageFilter.factory\n"
)
REQUESTS = (
    *("GET /v2/cached_images", "GET /v2/queued_images", "GET /v2/cache"),
    *("DELETE /v2/cached_images/{id}", "DELETE /v2/queued_images/{id}", "DELETE /v2/queued_images"),
    *("DELETE /v2/cached_images", "PUT /v2/queued_images/{id}", "PUT /v2/cache/{id}"),
    *("DELETE /v2/cache/{id}", "GET /v2/cache/nodes/{id}", "DELETE /v2/cache"),
    *("PUT /v2/cache/{none}", "POST /v2/cache/clean", "POST /v2/cache/prune"),
)
NONE = "c0ffee00-0000-4000-8000-000000000000"


@pytest.fixture(scope="module", params=["with a cache", "without one"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Glance, Server]]:
    """Give a Glance with the middleware and a Tintype, both with a cache or both without."""
    folder = tmp_path_factory.mktemp("cache")
    has_one = request.param == "with a cache"
    (folder / "glance").mkdir()
    chosen = f"[DEFAULT]\nimage_cache_dir = {folder}/cached\n" if has_one else ""
    peer = Glance(folder / "glance", f"sqlite:///{folder}/glance.db", chosen, PASTE)
    settings: dict[str, Any] = {"TINTYPE_CACHE_FOLDER": "cache"} if has_one else {}
    with started(folder / "data", **settings) as server:
        server.run("tintype", "user", "create", "carl", "--password", "secret", "--project", "other")
        yield peer, server
    peer.stop()


def told(answer: httpx2.Response) -> tuple[int, object]:
    """Give the status, and a body of JSON by its keys: which images are there yet is another matter."""
    if answer.status_code >= 400 or not answer.content:
        return answer.status_code, None
    return answer.status_code, sorted(answer.json()) if answer.json() else answer.json()


def filled(call: Callable[..., httpx2.Response], data: bytes = b"x" * 1000) -> str:
    body = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = call("POST", "/v2/images", json=body).json()["id"]
    path = f"/v2/images/{made}/file"
    assert call("PUT", path, content=data, headers=BINARY).status_code == 204
    return str(made)


def test_routes(both: tuple[Glance, Server]) -> None:
    """Each request of an admin and of others is answered alike, with a cache and without one."""
    peer, server = both
    api = Api(server)
    login: dict[str, Any] = {"methods": ["password"]}
    login["password"] = {"user": {"name": "carl", "domain": {"id": "default"}, "password": "secret"}}
    scope = {"project": {"name": "other", "domain": {"id": "default"}}}
    body = {"auth": {"identity": login, "scope": scope}}
    logged_in = httpx2.post(f"{server.url}/identity/v3/auth/tokens", json=body, timeout=20)
    carl = {"X-Auth-Token": logged_in.headers["x-subject-token"]}
    there = filled(lambda *request, **options: peer.call("admin", *request, **options))
    here = filled(api.http.request)
    for request in REQUESTS:
        method, path = request.split(" ")
        of_peer = path.replace("{id}", there).replace("{none}", NONE)
        of_us = path.replace("{id}", here).replace("{none}", NONE)
        for who, headers in (("admin", api.headers), ("carl", carl)):
            found = told(api.http.request(method, of_us, headers=headers))
            expected = told(peer.call(who, method, of_peer))
            if "nodes" in path:  # a list of names, perhaps empty
                found, expected = (found[0], None), (expected[0], None)
            assert found == expected, f"{who}: {request}"
    api.http.close()


def test_the_command(tmp_path: Path) -> None:
    """`glance-cache-manage` lists, queues and deletes, logged in as the first admin."""
    with started(tmp_path / "data", TINTYPE_CACHE_FOLDER="cache") as server:
        api = Api(server)
        key = filled(api.http.request)
        auth = yaml.safe_load(server.clouds.read_text())["clouds"]["tintype"]["auth"]
        port = str(urlsplit(server.url).port)

        def run(*command: str) -> str:
            login = {
                "OS_AUTH_URL": f"{server.url}/identity/v3",
                "OS_USERNAME": auth["username"],
                "OS_PASSWORD": auth["password"],
                "OS_PROJECT_NAME": auth["project_name"],
            }
            options = ("--force", "--host", "127.0.0.1", "--port", port)
            done = subprocess.run(
                [glance.PYTHON, COMMAND, *options, *command],
                capture_output=True,
                text=True,
                check=False,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **login},
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        assert key not in run("list-cached")
        run("queue-image", key)
        eventually(lambda: key in run("list-cached"))
        assert key not in run("list-queued")
        run("delete-cached-image", key)
        assert key not in run("list-cached")
        run("queue-image", key)
        eventually(lambda: key in run("list-cached"))
        run("delete-all-cached-images")
        run("delete-queued-image", key)
        run("delete-all-queued-images")
        assert key not in run("list-cached") + run("list-queued")
        api.http.close()
