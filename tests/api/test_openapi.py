"""The document of the API is the API: its routes, valid, for everybody, or switched off."""

import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from inprocess import Prepared, Service, running
from tintype.api.openapi import PRIVATE, document
from tintype.api.operation import Answer, describe
from tintype.api.route import Route
from tintype.settings import CacheSettings, KeystoneSettings, Server


def operations(found: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the methods and paths of a document."""
    return {
        (method.upper(), path)
        for path, item in found["paths"].items()
        for method in item
        if method != "parameters"
    }


def routed(service: Service) -> set[tuple[str, str]]:
    """Return the methods and paths of a service, without those of its own page."""
    pairs = set()
    for path, route in service.parts.routes.items():
        if not re.match("/(dashboard|api)(/|$)", path):
            methods = [*route.methods, *(["OPTIONS"] if route.options else [])]
            pairs |= {(method, path.replace("...}", "}")) for method in methods}
    return pairs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cache": CacheSettings(folder="cache")},
        {"keystone": KeystoneSettings(auth_url="http://127.0.0.1:9", username="u", password="p")},
    ],
    ids=["alone", "cache", "keystone"],
)
async def test_every_route_is_described_and_nothing_else(
    prepared: Prepared, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Both ways: each method of each path is in the document, and the document has no other."""
    async with running(prepared, tmp_path, **changes) as service:
        found = (await service.client.get("/openapi.json")).json()
        assert operations(found) == routed(service)
        assert len(operations(found)) > 100 or "keystone" in changes


async def test_the_document_is_valid(service: Service) -> None:
    """It is OpenAPI 3.1; each operation has a summary, a name of its own and responses with descriptions."""
    found = (await service.client.get("/openapi.json")).json()
    schemathesis.openapi.from_dict(found).validate()
    assert found["openapi"] == "3.1.0"
    named = [
        item[method]["operationId"]
        for item in found["paths"].values()
        for method in item.keys() - {"parameters"}
    ]
    assert len(named) == len(set(named))
    for method, path in operations(found):
        operation = found["paths"][path][method.lower()]
        assert operation["summary"].endswith("."), path
        assert operation["responses"], path
    referred = set(re.findall(r"#/components/schemas/(\w+)", str(found)))
    assert referred == found["components"]["schemas"].keys(), (
        "each shared schema is used, and each used one is there"
    )


async def test_a_handler_without_a_description_is_a_fault() -> None:
    """The document is not made around it."""

    async def handler(_call: object) -> None: ...

    with pytest.raises(AttributeError):
        document({"/new": Route({"GET": handler})}, {}, "1")  # type: ignore[dict-item]
    described = describe(Answer(204))(handler)
    made = document({"/new": Route({"GET": described})}, {}, "1")  # type: ignore[dict-item]
    assert made["paths"]["/new"]["get"]["security"] == [{"token": []}]
    assert PRIVATE == ("/dashboard", "/api/")


async def test_the_document_needs_no_token_and_is_asked_for_once(service: Service) -> None:
    """A client that has it gets 304."""
    first = await service.client.get("/openapi.json")
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    tag = first.headers["etag"]
    for known in (tag, f'"older", W/{tag}', "*"):  # proxies that compress weaken a tag
        again = await service.client.get("/openapi.json", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    other = await service.client.get("/openapi.json", headers={"If-None-Match": '"older"'})
    assert other.status_code == 200


async def test_the_page_has_all_it_needs(service: Service) -> None:
    """Its files come from the service itself, and its policy lets nothing else in."""
    home = await service.client.get("/docs")
    assert (home.status_code, home.headers["location"]) == (308, "docs/")
    page = await service.client.get("/docs/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    named = re.findall(r'(?:src|href)="([\w.]+)"', page.text)
    assert sorted(named) == ["docs.css", "docs.js", "redoc.standalone.js"]
    for name in named:
        assert (await service.client.get(f"/docs/{name}")).status_code == 200
    assert "https://cdn" not in (await service.client.get("/docs/redoc.standalone.js")).text
    assert (await service.client.get("/docs/nothing.js")).status_code == 404


async def test_both_can_be_switched_off(prepared: Prepared, tmp_path: Path) -> None:
    """`server.docs = false`: there is no such path."""
    async with running(prepared, tmp_path, server=Server(docs=False)) as service:
        for path in ("/openapi.json", "/docs", "/docs/", "/docs/docs.js"):
            assert (await service.client.get(path)).status_code == 404


async def test_formats_of_the_operator_are_in_the_document(service: Service) -> None:
    """What the settings allow is what the document says."""
    found = (await service.client.get("/openapi.json")).json()
    new = found["components"]["schemas"]["new_image"]["properties"]
    assert new["disk_format"]["enum"] == [None, *service.parts.settings.images.disk_formats]
