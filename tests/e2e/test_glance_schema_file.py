"""An operator's schema-image.json, held against the Glance whose file it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glance import Glance
from inprocess import Prepared, Service, running
from tintype.settings import ImageSettings

UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
SCHEMA = {
    "kernel_id": {"type": ["null", "string"], "pattern": UUID, "description": "ID of an image"},
    "os_distro": {"type": "string", "enum": ["debian", "fedora"]},
    "os_version": {"type": "string", "maxLength": 3},
    "cores": {"type": "integer", "minimum": 1},
}
KERNEL = "6caf7a3f-feb9-4fb1-afb2-993c1ef019e6"
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
VALUES: dict[str, list[Any]] = {
    "kernel_id": [KERNEL, "vmlinuz", "", None, 5],
    "os_distro": ["debian", "beos", None],
    "os_version": ["12", "12.10"],
    "cores": [0, "4", True],
    "other": ["anything", None, 5],
}


@pytest.fixture(scope="module")
def glance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """Start a Glance that has the file."""
    folder = tmp_path_factory.mktemp("glance")
    (folder / "schema-image.json").write_text(json.dumps(SCHEMA))
    server = Glance(folder, f"sqlite:///{folder}/glance.db")
    yield server
    server.stop()


@pytest.mark.needs("glance")
async def test_the_same_values_are_taken(glance: Glance, prepared: Prepared, tmp_path: Path) -> None:
    """Each value is accepted or refused on create and on update as Glance does, and shown as it does."""
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    async with running(prepared, tmp_path, images=ImageSettings(schema_file=str(path))) as service:
        for name, values in VALUES.items():
            for value in values:
                wanted = _at_glance(glance, name, value)
                assert await _here(service, name, value) == wanted, (name, value)


def _patch(name: str, value: Any) -> bytes:
    return json.dumps([{"op": "add", "path": f"/{name}", "value": value}]).encode()


def _at_glance(glance: Glance, name: str, value: Any) -> list[Any]:
    created = glance.call("alpha", "POST", "/v2/images", json={name: value})
    image = glance.call("alpha", "POST", "/v2/images", json={}).json()["id"]
    changed = glance.call("alpha", "PATCH", f"/v2/images/{image}", content=_patch(name, value), headers=PATCH)
    return [*_seen(created, name), *_seen(changed, name)]


async def _here(service: Service, name: str, value: Any) -> list[Any]:
    created = await service.call("alice", "POST", "/v2/images", json={name: value})
    image = (await service.call("alice", "POST", "/v2/images", json={})).json()["id"]
    path = f"/v2/images/{image}"
    changed = await service.call("alice", "PATCH", path, content=_patch(name, value), headers=PATCH)
    return [*_seen(created, name), *_seen(changed, name)]


def _seen(answer: Any, name: str) -> list[Any]:
    shown = answer.json().get(name) if answer.status_code < 300 else None
    return [answer.status_code, shown]
