"""Tintype's catalogue compared with a real Glance's; each loads the files of the other."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glance import METADEFS, Glance
from inprocess import Service
from tintype.cli import catalogue as cli

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.needs("glance"),
    pytest.mark.xdist_group("glance"),
    pytest.mark.parametrize("prepared", ["sqlite"], indirect=True),
]
SPACES = "/v2/metadefs/namespaces"
READ_ONLY = ("self", "schema", "created_at", "updated_at")
PROSE = ("title", "description")


@pytest.fixture(scope="module")
def glance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """Give a Glance with the definitions that come with it."""
    folder = tmp_path_factory.mktemp("glance")
    glance = Glance(folder, f"sqlite:///{folder}/glance.db")
    yield glance
    glance.stop()


@pytest.fixture(scope="module")
def theirs(glance: Glance) -> dict[str, Any]:
    """Give each namespace of Glance, whole."""
    listed = glance.call("admin", "GET", f"{SPACES}?limit=1000").json()["namespaces"]
    assert len(listed) >= 32
    return {
        each["namespace"]: glance.call("admin", "GET", f"{SPACES}/{each['namespace']}").json()
        for each in listed
    }


def facts(namespace: dict[str, Any]) -> dict[str, Any]:
    """Give all that a namespace says but prose: names, types, choices, bounds, defaults, resource types."""

    def of(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {key: value for key, value in each.items() if key not in PROSE}
            for name, each in properties.items()
        }

    return {
        "protected": namespace["protected"],
        "properties": of(namespace.get("properties", {})),
        "objects": {
            each["name"]: (sorted(each["required"]), of(each["properties"]))
            for each in namespace.get("objects", ())
        },
        "types": {
            each["name"]: (each.get("prefix"), each.get("properties_target"))
            for each in namespace.get("resource_type_associations", ())
        },
        "tags": namespace.get("tags", []),
    }


async def test_the_same_facts(theirs: dict[str, Any], service: Service) -> None:
    """Every namespace of Glance is here with the same facts, described in words of our own, for everybody."""
    for name, namespace in theirs.items():
        mine = (await service.call("alice", "GET", f"{SPACES}/{name}")).json()
        assert facts(mine) == facts(namespace), name
        assert mine["display_name"]
        assert mine["description"]
        assert mine["description"] != namespace["description"], name


async def test_what_glance_has_comes_back_from_here(
    theirs: dict[str, Any], service: Service, tmp_path: Path
) -> None:
    """Namespaces as Glance shows them, loaded here and exported again, are the same JSON."""
    for folder in ("from", "to"):
        (tmp_path / folder).mkdir()
    for number, namespace in enumerate(theirs.values()):
        (tmp_path / "from" / f"{number}.json").write_text(json.dumps(namespace))

    def round_trip() -> None:
        cli.load(tmp_path / "from", overwrite=True, data_dir=service.folder)
        cli.export(tmp_path / "to", service.folder)

    await asyncio.to_thread(round_trip)
    back = {each["namespace"]: each for each in map(read, (tmp_path / "to").iterdir())}
    for name, namespace in theirs.items():
        written = without_read_only(namespace)
        if written["owner"] == "admin":  # which a file need not say
            del written["owner"]
        assert ordered(back[name]) == ordered(written), name


async def test_files_of_glance_load_unchanged(service: Service, tmp_path: Path) -> None:
    """The files that come with Glance, loaded here and exported again, say what they said."""

    def round_trip() -> None:
        cli.load(METADEFS, overwrite=True, data_dir=service.folder)
        cli.export(tmp_path / "out", service.folder)

    await asyncio.to_thread(round_trip)
    back = {each["namespace"]: each for each in map(read, (tmp_path / "out").iterdir())}
    for path in METADEFS.glob("*.json"):
        written = read(path)
        found = back[written["namespace"]]
        for name in ("properties", "objects", "resource_type_associations", "tags"):
            assert ordered(found.get(name, [])) == ordered(with_required(written.get(name, []))), path
        for name in ("display_name", "description"):
            assert found.get(name) == written.get(name)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def without_read_only(value: Any) -> Any:
    """Leave out what only the service says."""
    if isinstance(value, list):
        return [without_read_only(each) for each in value]
    if isinstance(value, dict):
        return {name: without_read_only(each) for name, each in value.items() if name not in READ_ONLY}
    return value


def with_required(value: Any) -> Any:
    """Say of objects that nothing is required where that is not said."""
    if isinstance(value, list):
        return [{"required": [], **each} if "properties" in each else each for each in value] or []
    return value or []


def ordered(value: Any) -> Any:
    """Put lists of named things in the order of their names: nobody promises another."""
    if isinstance(value, list):
        each = [ordered(one) for one in value]
        return sorted(each, key=lambda one: one["name"]) if each and isinstance(each[0], dict) else each
    if isinstance(value, dict):
        return {name: ordered(one) for name, one in value.items()}
    return value


async def test_the_schemas_are_the_same(glance: Glance, service: Service) -> None:
    """What clients build their models from differs in descriptions only."""
    for noun in ("namespace", "object", "property", "resource_type", "tag"):
        for name in (noun, "properties" if noun == "property" else f"{noun}s"):
            path = f"/v2/schemas/metadefs/{name}"
            mine = (await service.call("alice", "GET", path)).json()
            theirs = (await asyncio.to_thread(glance.call, "alpha", "GET", path)).json()
            assert without_descriptions(mine) == without_descriptions(theirs), name


def without_descriptions(value: Any) -> Any:
    """Leave out what is said to people."""
    if isinstance(value, list):
        return [without_descriptions(each) for each in value]
    if isinstance(value, dict):
        return {
            name: without_descriptions(each)
            for name, each in value.items()
            if name != "description" or isinstance(each, dict)
        }
    return value
