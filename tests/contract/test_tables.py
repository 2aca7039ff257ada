"""The image API as tables: each YAML file beside this one is a list of scenarios.

A scenario is a list of steps; a step is a request by somebody and what it must be answered. The
same tables run against another image service with `make contract URL=… AUTH=headers` (one that
trusts identity headers) or `TOKEN=alice=…,bob=…,carol=…,admin=…`. Where a step says `glance`, that
is what Glance answers instead, and `because` is why we do not.

Expected bodies are subsets: a mapping may have more keys. `<uuid>`, `<time>` and `<any>` stand for
values; `{name}` for what an earlier step saved. What Tintype answers is also held against its document of
the API (`/openapi.json`).
"""

import fnmatch
import json
import os
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import yaml

from described import Document
from inprocess import Service

TABLES = sorted(Path(__file__).parent.glob("*.yaml"))
ACTORS = ("alice", "bob", "carol", "admin", "nobody")
URL = os.environ.get("CONTRACT_URL")
PEER = URL is not None and os.environ.get("CONTRACT_OF") != "tintype"
"""Whether another image service is asked, as whose the differences are."""
ROLES = {"alice": "member,reader", "bob": "member,reader", "carol": "reader", "admin": "admin,member,reader"}
PATTERNS = {
    "<uuid>": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "<bare time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}


def scenarios() -> list[Any]:
    """Give every scenario of every table, as test parameters."""
    return [
        pytest.param(scenario, id=f"{table.stem}: {scenario['scenario']}")
        for table in TABLES
        for scenario in yaml.safe_load(table.read_text())
    ]


class Target:
    """The service under test: how to call it as somebody."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        headers: dict[str, dict[str, str]],
        projects: dict[str, str],
        document: Document | None = None,
    ) -> None:
        """`document` describes what this service answers, if it is ours."""
        self.client, self.headers, self.projects = client, headers, projects
        self.document = document

    async def send(self, who: str, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Accept": "application/json", **self.headers.get(who, {}), **options.pop("headers", {})}
        url = str(self.client.base_url).rstrip("/") + path  # whole: a path of two slashes would be a host
        response = await self.client.request(method, url, headers=headers, **options)
        if self.document is not None:
            self.document.check(method, path, response)
        return response


if URL is None:

    @pytest_asyncio.fixture(name="target")
    async def own_target(service: Service) -> Target:
        """Give the Tintype of this process."""
        headers = {who: {"X-Auth-Token": token} for who, token in service.tokens.items()}
        document = Document((await service.client.get("/openapi.json")).json())
        return Target(service.client, headers, service.projects, document)

else:

    @pytest_asyncio.fixture(name="target")
    async def remote_target() -> AsyncIterator[Target]:
        """Give the service at the URL, with a connection for each request: uWSGI cuts the ones it refuses."""
        no_reuse = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(base_url=URL or "", timeout=60, limits=no_reuse) as client:
            yield await _remote(client)


async def _remote(client: httpx2.AsyncClient) -> Target:
    if os.environ.get("CONTRACT_AUTH") == "headers":
        projects = {"alice": "alpha", "bob": "beta", "carol": "alpha", "admin": "admin"}
        headers = {
            who: {
                "X-Identity-Status": "Confirmed",
                "X-User-Id": who,
                "X-Project-Id": projects[who],
                "X-Roles": ROLES[who],
            }
            for who in projects
        }
    else:
        tokens = dict(pair.split("=", 1) for pair in os.environ["CONTRACT_TOKEN"].split(","))
        headers = {who: {"X-Auth-Token": token} for who, token in tokens.items()}
        projects = {who: await _project_of(client, headers[who]) for who in ("alice", "bob", "admin")}
    return Target(client, headers, projects)


async def _project_of(client: httpx2.AsyncClient, headers: dict[str, str]) -> str:
    """Ask whose images a caller makes."""
    image = (await client.post("/v2/images", json={"name": "contract probe"}, headers=headers)).json()
    await client.delete(f"/v2/images/{image['id']}", headers=headers)
    return str(image["owner"])


@pytest.mark.parametrize("scenario", scenarios())
async def test_scenario(scenario: dict[str, Any], target: Target) -> None:
    """Each request is answered as the table says."""
    known = {
        "run": uuid.uuid4().hex,
        "alpha": target.projects["alice"],
        "beta": target.projects["bob"],
        "fresh": str(uuid.uuid4()),
        "long": "x" * 256,
    }
    for number, step in enumerate(scenario["steps"], 1):
        who = next(actor for actor in ACTORS if actor in step)
        method, path = fill(step[who], known).split(" ", 1)
        response = await target.send(who, method, path, **request_options(step, known))
        expected = dict(step)
        if "glance" in step:
            assert "because" in step, "a difference needs its reason"
            if PEER:
                expected.update(step["glance"])
        where = f"step {number}, {who}: {method} {path} → {response.status_code} {response.text[:500]}"
        assert response.status_code == expected["status"], where
        check(fill(expected, known), response, where)
        for name, key in step.get("save", {}).items():
            known[name] = response.json()[key]


def request_options(step: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {"headers": fill(step.get("send", {}), known)}
    if "json" in step:
        options["content"] = json.dumps(fill(step["json"], known)).encode()
        options["headers"].setdefault("Content-Type", "application/json")
    if "patch" in step:
        options["content"] = json.dumps(fill(step["patch"], known)).encode()
        options["headers"].setdefault("Content-Type", "application/openstack-images-v2.1-json-patch")
    if "raw" in step:
        options["content"] = str(step["raw"]).encode()
        options["headers"].setdefault("Content-Type", "application/json")
    if "data" in step:
        options["content"] = str(step["data"]).encode()
        options["headers"].setdefault("Content-Type", "application/octet-stream")
    return options


def check(expected: dict[str, Any], response: httpx2.Response, where: str) -> None:
    for name, pattern in expected.get("headers", {}).items():
        assert fnmatch.fnmatch(response.headers.get(name, "absent"), str(pattern)), (
            f"{where}\n{name}: {response.headers}"
        )
    if "text" in expected:
        assert response.text == expected["text"], where
    if "body" in expected:
        assert matches(expected["body"], response.json()), f"{where}\nexpected {expected['body']}"
    if "names" in expected:
        assert [image["name"] for image in response.json()["images"]] == expected["names"], where
    if "keys" in expected:
        assert sorted(response.json()) == expected["keys"], where
    for key in expected.get("absent", ()):
        assert key not in response.json(), f"{where}\n{key} must be absent"
    if response.status_code >= 400 and not PEER and response.content:
        assert set(response.json()) == {"error"}, where
        error = response.json()["error"]
        assert set(error) == {"code", "title", "message", "request_id"}, where
        assert error["code"] == response.status_code
        assert error["request_id"] == response.headers["x-openstack-request-id"]
    if "message" in expected and not PEER:
        assert expected["message"] in response.json()["error"]["message"], where


def matches(expected: Any, actual: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            key in actual and matches(value, actual[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(matches(one, other) for one, other in zip(expected, actual, strict=True))
        )
    if expected == "<any>":
        return actual is not None
    if expected in PATTERNS:
        return isinstance(actual, str) and re.fullmatch(PATTERNS[expected], actual) is not None
    return expected == actual and type(expected) is type(actual)


def fill(value: Any, known: dict[str, str]) -> Any:
    """Put what is known where `{name}` stands."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], match[0]), value)
    if isinstance(value, list):
        return [fill(part, known) for part in value]
    if isinstance(value, dict):
        return {fill(key, known): fill(part, known) for key, part in value.items()}
    return value
