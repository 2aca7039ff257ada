"""How many statements a request costs: what keeps the speed of metadata from ebbing away unseen."""

import warnings
from typing import Any

import pytest
from sqlalchemy.exc import SAWarning

from inprocess import Service
from tintype.db import engine, postgres
from tintype.services.catalogue import Catalogue

BINARY = {"Content-Type": "application/octet-stream"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
RAW = {"disk_format": "raw", "container_format": "bare"}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a list of all that is asked of the database; transactions' begins and ends apart."""
    asked: list[str] = []

    def listen(kind: Any, name: str) -> None:
        real = getattr(kind, name)

        async def note(self: Any, statement: Any, *more: Any) -> Any:
            with warnings.catch_warnings():  # an insert does not name the columns that the parameters fill
                warnings.simplefilter("ignore", SAWarning)
                asked.append(" ".join(str(statement).split()))
            return await real(self, statement, *more)

        monkeypatch.setattr(kind, name, note)

    listen(engine._Inline, "execute")
    listen(postgres._Connection, "execute")
    listen(postgres._Batcher, "_fetch")
    return asked


async def test_metadata(service: Service, statements: list[str]) -> None:
    """One for what is shown or listed, one more for the marker of a page, one for each change."""

    async def cost(*request: str, status: int, **options: Any) -> int:
        await service.call("alice", "GET", "/v2/schemas/image")  # the token is looked at once a second
        statements.clear()
        answer = await service.call("alice", *request, **options)
        assert answer.status_code == status, answer.text
        return len([each for each in statements if "tokens" not in each])

    body = {**RAW, "name": "n", "colour": "red", "tags": ["a", "b"]}
    assert await cost("POST", "/v2/images", status=201, json=body) == 1
    for _ in range(30):
        await service.call("alice", "POST", "/v2/images", json=body)
    page = (await service.call("alice", "GET", "/v2/images")).json()
    image = f"/v2/images/{page['images'][0]['id']}"
    assert await cost("GET", image, status=200) == 1
    for query in ("", "?limit=1000", "?colour=red", "?tag=a&tag=b", "?sort=name:asc", "?visibility=shared"):
        assert await cost("GET", f"/v2/images{query}", status=200) == 1
    assert await cost("GET", page["next"], status=200) == 2
    change = [{"op": "replace", "path": "/name", "value": "m"}, {"op": "add", "path": "/x", "value": "y"}]
    assert await cost("PATCH", image, status=200, json=change, headers=PATCH) == 2
    assert await cost("PUT", f"{image}/tags/c", status=204) == 2
    assert await cost("GET", f"{image}/members", status=200) == 2
    assert await cost("GET", "/v2/info/usage", status=200) == 1
    assert await cost("DELETE", image, status=204) == 4  # seen, deleted, buried, its bytes condemned


async def test_metadefs(service: Service, statements: list[str]) -> None:
    """One to show a namespace, to list them, or all with all that is in them; two to change one."""

    async def cost(*request: str, status: int = 200, **options: Any) -> int:
        await service.call("admin", "GET", "/v2/schemas/image")
        statements.clear()
        answer = await service.call("admin", *request, **options)
        assert answer.status_code == status, answer.text
        return len([each for each in statements if "tokens" not in each])

    spaces = "/v2/metadefs/namespaces"
    for number in range(40):
        properties = {f"p{each}": {"title": "t", "type": "string"} for each in range(number)}
        body = {"namespace": f"n{number}", "properties": properties, "tags": [{"name": "t"}]}
        await service.call("admin", "POST", spaces, json=body)
    assert await cost("GET", f"{spaces}?limit=1000") == 1
    assert await cost("GET", f"{spaces}?limit=5&resource_types=OS::Glance::Image") == 1
    assert await cost("GET", f"{spaces}?limit=5&marker=n7") == 2
    statements.clear()
    assert len(await Catalogue(service.parts.database).export()) == 73
    assert len(statements) == 1
    assert await cost("GET", f"{spaces}/n39") == 1
    assert await cost("GET", f"{spaces}/n39/properties") == 1
    assert await cost("PUT", f"{spaces}/n39/tags/t", json={"name": "u"}) == 2
    assert await cost("DELETE", f"{spaces}/n39", status=204) == 2


async def test_bytes(service: Service, statements: list[str]) -> None:
    """An upload is two short transactions, whatever its size; a download asks for the image and its blob."""
    image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
    path = f"/v2/images/{image}/file"
    statements.clear()
    put = await service.call("alice", "PUT", path, content=b"x" * (5 << 20), headers=BINARY)
    assert put.status_code == 204
    assert len([each for each in statements if "tokens" not in each]) == 5
    statements.clear()
    assert (await service.call("alice", "GET", path)).status_code == 200
    assert len([each for each in statements if "tokens" not in each]) == 2
