"""An operator's schema-image.json is enforced for all properties, and shown in the image schema."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from inprocess import Prepared, Service, running
from tintype.domain.images import BASE_ATTRIBUTES
from tintype.domain.property_schema import read
from tintype.errors import StartError
from tintype.settings import ImageSettings, Settings
from tintype.wiring.policy import create_property_schema

UUID_OR_NOTHING = {
    "type": ["null", "string"],
    "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$",
    "description": "ID of an image",
}
FLAT = {"kernel_id": UUID_OR_NOTHING, "os_distro": {"type": "string", "enum": ["debian", "fedora"]}}
EXTENDED = {"properties": FLAT, "required": ["os_distro"]}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
KERNEL = str(uuid.uuid4())


def written(folder: Path, schema: Any) -> ImageSettings:
    """Write the file and return the settings that name it."""
    path = folder / "schema.json"
    path.write_text(json.dumps(schema))
    return ImageSettings(schema_file=str(path))


async def answers(
    prepared: Prepared, folder: Path, schema: Any, requests: list[tuple[str, Any]]
) -> list[int]:
    """Return the statuses of requests: bodies of `create`, or operations of a `patch` of the last image."""
    statuses = []
    async with running(prepared, folder, images=written(folder, schema)) as service:
        image = ""
        for what, body in requests:
            if what == "create":
                answer = await service.call("alice", "POST", "/v2/images", json=body)
                image = answer.json().get("id", image)
            else:
                content = json.dumps([body]).encode()
                path = f"/v2/images/{image}"
                answer = await service.call("alice", "PATCH", path, content=content, headers=PATCH)
            statuses.append(answer.status_code)
    return statuses


def patch(op: str, name: str, value: Any = None) -> tuple[str, Any]:
    return "patch", {"op": op, "path": f"/{name}", **({} if op == "remove" else {"value": value})}


async def test_values_match_the_definitions(prepared: Prepared, tmp_path: Path) -> None:
    """On create and on update; what is not defined stays free, and null is no value."""
    requests: dict[int, list[tuple[str, Any]]] = {
        201: [("create", {"kernel_id": KERNEL, "other": "x"}), ("create", {"kernel_id": None})],
        400: [
            ("create", {"kernel_id": "vmlinuz"}),
            ("create", {"kernel_id": 5}),
            ("create", {"os_distro": "beos"}),
            ("create", {"other": None}),
            patch("add", "kernel_id", "vmlinuz"),
            patch("replace", "kernel_id", ""),
            patch("add", "os_distro", None),
        ],
        200: [
            patch("add", "kernel_id", KERNEL),
            patch("replace", "kernel_id", None),
            patch("add", "os_distro", "debian"),
            patch("remove", "os_distro"),
        ],
    }
    wanted = [status for status, some in requests.items() for _ in some]
    assert (
        await answers(prepared, tmp_path, FLAT, [each for some in requests.values() for each in some])
        == wanted
    )


async def test_required_properties(prepared: Prepared, tmp_path: Path) -> None:
    """A new image has them, and keeps them; other changes need not repeat them."""
    requests = [
        ("create", {"name": "without"}),
        ("create", {"os_distro": "debian"}),
        patch("add", "other", "x"),
        patch("replace", "name", "y"),
        patch("remove", "os_distro"),
        patch("replace", "os_distro", "fedora"),
    ]
    assert await answers(prepared, tmp_path, EXTENDED, requests) == [400, 201, 200, 200, 400, 200]


async def test_the_definitions_are_published(prepared: Prepared, tmp_path: Path) -> None:
    """In both schemas, as they stand in the file, with the required names."""
    async with running(prepared, tmp_path, images=written(tmp_path, EXTENDED)) as service:
        image = (await service.call("alice", "GET", "/v2/schemas/image")).json()
        images = (await service.call("alice", "GET", "/v2/schemas/images")).json()
    assert image["properties"]["kernel_id"] == UUID_OR_NOTHING
    assert image["required"] == ["os_distro"]
    assert images["properties"]["images"]["items"] == image


async def test_without_a_file_nothing_changes(service: Service) -> None:
    """As before: any string is taken, and null is refused."""
    created = await service.call("alice", "POST", "/v2/images", json={"kernel_id": "vmlinuz"})
    assert created.status_code == 201
    assert (await service.call("alice", "POST", "/v2/images", json={"kernel_id": None})).status_code == 400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1"),
        ("[]", "JSON object"),
        ('{"properties": []}', "must be an object"),
        ('{"properties": {}, "required": "x"}', "list of names"),
        ('{"min_ram": {"type": "string"}}', "redefines attributes of every image: min_ram"),
        ('{"x": "string"}', "'x' is not an object"),
        ('{"x": {"type": "strange"}}', "'x' is not a JSON schema"),
        ('{"x": {"type": "string", "pattern": "("}}', "'x' is not a JSON schema"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, text: str, reason: str) -> None:
    """The message names the file, the setting and the fault."""
    (tmp_path / "schema-image.json").write_text(text)
    with pytest.raises(StartError, match=r"images\.schema_file") as caught:
        create_property_schema(Settings(data_dir=tmp_path))
    assert reason in caught.value.message
    assert str(tmp_path / "schema-image.json") in caught.value.message


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    """Only the default one may be missing."""
    assert create_property_schema(Settings(data_dir=tmp_path)) is None
    with pytest.raises(StartError, match=r"other\.json"):
        create_property_schema(Settings(data_dir=tmp_path, images=ImageSettings(schema_file="other.json")))


def test_both_forms_are_read() -> None:
    """An extended file without `required` demands nothing."""
    assert read(json.dumps({"properties": FLAT}), BASE_ATTRIBUTES).required == ()
    assert read(json.dumps(FLAT), BASE_ATTRIBUTES).definitions == FLAT
