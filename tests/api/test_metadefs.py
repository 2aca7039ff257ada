"""The catalogue of metadata definitions: what comes with the service, files, checks of image properties."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import delete

from browsing import browser
from inprocess import Prepared, Service, running
from tintype.cli import catalogue as cli
from tintype.db import images as image_rows
from tintype.db.tables import secrets
from tintype.domain import metadef_documents as documents
from tintype.domain.metadefs import Namespace
from tintype.errors import StartError
from tintype.services.catalogue import Catalogue, shipped
from tintype.settings import ImageSettings, ImportSettings, PolicySettings
from web import serving

SPACES = "/v2/metadefs/namespaces"
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
WARNINGS = "OpenStack-image-property-warnings"


async def shown(service: Service, name: str, who: str = "alice") -> Any:
    answer = await service.call(who, "GET", f"{SPACES}/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_first_start_loads_the_catalogue_once(service: Service) -> None:
    """It is there for everybody from the start; what an operator deletes does not come back."""
    listed = (await service.call("alice", "GET", f"{SPACES}?limit=1000")).json()["namespaces"]
    assert {each["namespace"] for each in listed} == {each.namespace for each in shipped()}
    assert len(listed) == 33
    catalogue = Catalogue(service.parts.database)
    await catalogue.unload()
    assert (await service.call("alice", "GET", SPACES)).json()["namespaces"] == []
    assert (await service.call("alice", "GET", "/v2/metadefs/resource_types")).json() == {
        "resource_types": []
    }
    await catalogue.load_first()
    assert await catalogue.export() == []


async def test_changes_of_one_namespace_at_once_are_all_kept(service: Service) -> None:
    """Fifty callers put a property each into one namespace: none is lost, though it is one document."""
    await service.call("admin", "POST", SPACES, json={"namespace": "n", "visibility": "public"})
    answers = await asyncio.gather(
        *(
            service.call(
                *("admin", "POST", f"{SPACES}/n/properties"),
                json={"name": f"p{number % 50}", "title": "t", "type": "string"},
            )
            for number in range(100)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 50 + [409] * 50
    assert len((await shown(service, "n"))["properties"]) == 50


async def test_namespaces_made_at_once_by_one_name(service: Service) -> None:
    """One is made, whole; the others are told that it is there."""
    answers = await asyncio.gather(
        *(
            service.call(
                *("admin", "POST", SPACES),
                json={"namespace": "n", "resource_type_associations": [{"name": f"r{number}"}]},
            )
            for number in range(10)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len((await shown(service, "n", "admin"))["resource_type_associations"]) == 1


async def test_a_namespace_does_not_grow_without_end(service: Service) -> None:
    """Past a bound it is refused, and what is there stays."""
    await service.call("admin", "POST", SPACES, json={"namespace": "n"})
    for number in range(6):
        body = {"name": f"p{number}", "title": "t" * 900_000, "type": "string"}
        answer = await service.call("admin", "POST", f"{SPACES}/n/properties", json=body)
        assert answer.status_code == (201 if number < 4 else 413), answer.text
    assert len((await shown(service, "n", "admin"))["properties"]) == 4


async def test_an_operator_may_let_others_write(prepared: Prepared, tmp_path: Path) -> None:
    """Each rule guards what its name says, as with Glance; the others stay as they are."""
    file = tmp_path / "rules.yaml"
    file.write_text('"add_metadef_namespace": "role:member"\n"add_metadef_property": "role:member"\n')
    async with running(prepared, tmp_path, policy=PolicySettings(file=str(file))) as service:
        made = await service.call("alice", "POST", SPACES, json={"namespace": "mine"})
        assert made.status_code == 201
        assert made.json()["owner"] == service.projects["alice"]
        tagged = {"namespace": "tagged", "tags": [{"name": "t"}]}
        assert (await service.call("alice", "POST", SPACES, json=tagged)).status_code == 403
        body = {"name": "p", "title": "t", "type": "string"}
        path = f"{SPACES}/mine/properties"
        assert (await service.call("alice", "POST", path, json=body)).status_code == 201
        assert (await service.call("alice", "DELETE", f"{path}/p")).status_code == 403
        assert (await service.call("bob", "POST", path, json=body)).status_code == 404


NEW: dict[str, Any] = {
    "namespace": "n",
    "display_name": "new",
    "properties": {"both": {"title": "new", "type": "string"}, "fresh": {"title": "new", "type": "string"}},
    "objects": [{"name": "o", "required": [], "properties": {"x": {"title": "new", "type": "number"}}}],
    "tags": [{"name": "t2"}],
    "resource_type_associations": [{"name": "B", "prefix": "b_"}],
}
OLD: dict[str, Any] = {
    "namespace": "n",
    "display_name": "old",
    "description": "words",
    "visibility": "public",
    "protected": True,
    "properties": {"both": {"title": "old", "type": "string"}, "own": {"title": "old", "type": "string"}},
    "tags": [{"name": "t1"}],
    "resource_type_associations": [{"name": "A"}],
}


@pytest.mark.parametrize(
    ("mode", "name", "titles", "tags", "types"),
    [
        ("keep", "old", {"both": "old", "own": "old"}, {"t1"}, {"A"}),
        ("merge", "old", {"both": "old", "own": "old", "fresh": "new"}, {"t1", "t2"}, {"A", "B"}),
        ("prefer-new", "new", {"both": "new", "own": "old", "fresh": "new"}, {"t1", "t2"}, {"A", "B"}),
        ("overwrite", "new", {"both": "new", "fresh": "new"}, {"t2"}, {"B"}),
    ],
)
async def test_loading_what_is_there(
    service: Service, mode: Any, name: str, titles: dict[str, str], tags: set[str], types: set[str]
) -> None:
    """What is kept, added, exchanged or replaced is what the mode says; lists find it by its new types."""
    await service.call("admin", "POST", SPACES, json=OLD)
    await Catalogue(service.parts.database).load([documents.from_file(NEW)], mode)
    found = await shown(service, "n", "admin")
    assert found["display_name"] == name
    kept = mode != "overwrite"  # what a file does not say is no wish to change it
    assert (found["visibility"], found["protected"]) == (("public", True) if kept else ("private", False))
    assert found.get("description") == ("words" if kept else None)
    assert {key: each["title"] for key, each in found["properties"].items()} == titles
    assert {each["name"] for each in found["tags"]} == tags
    assert {each["name"] for each in found["resource_type_associations"]} == types
    for wanted in ("A", "B"):
        listed = (await service.call("admin", "GET", f"{SPACES}?resource_types={wanted}")).json()
        assert len(listed["namespaces"]) == (wanted in types)


async def test_what_is_written_to_files_can_be_loaded(service: Service, tmp_path: Path) -> None:
    """`export`, `unload --yes` and `load` give the same catalogue, through the command line."""
    await service.call("admin", "POST", SPACES, json=NEW)
    await service.call("admin", "POST", SPACES, json=OLD | {"namespace": "N"})
    (service.folder / "tintype.toml").write_text(
        f'[database]\nurl = "{service.database_url}"\n' if service.database_url else ""
    )

    def round_trip() -> None:
        cli.export(tmp_path / "out", service.folder)
        cli.unload(yes=True, data_dir=service.folder)
        cli.load(tmp_path / "out", data_dir=service.folder)
        cli.export(tmp_path / "again", service.folder)

    await asyncio.to_thread(round_trip)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(files) == 35
    assert {"n.json", "n-2.json", "os-compute-libvirt.json"} <= set(files)
    assert files == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in files:
        assert json.loads((tmp_path / "out" / name).read_text()) == json.loads(
            (tmp_path / "again" / name).read_text()
        )
    said, owner = {"visibility": "private", "protected": False}, {"owner": service.projects["admin"]}
    assert json.loads((tmp_path / "out" / "n-2.json").read_text()) == NEW | said | owner
    assert {each.owner for each in await exported(service)} == {"admin", *owner.values()}
    originals = [documents.from_file(documents.document(each)) for each in await exported(service)]
    assert [each for each in originals if "::" in each.namespace] == sorted(
        shipped(), key=lambda each: each.namespace
    )


async def exported(service: Service) -> list[Any]:
    return await Catalogue(service.parts.database).export()


async def test_a_bad_file_loads_nothing(service: Service, tmp_path: Path) -> None:
    """One of two files is no namespace: the command names it, and the other is not loaded either."""
    (tmp_path / "a.json").write_text(json.dumps(NEW))
    deep = "[" * 900 + "]" * 900
    for text in (
        *("{", "[]", "{}", json.dumps({"namespace": "x", "tags": [{"name": "t"}, {"name": "t"}]})),
        '{"namespace": "x", "properties": {"p": {"type": "mood", "title": "t"}}}',
        '{"namespace": "x", "properties": {"p": {"type": "array", "title": "t", "default": ' + deep + "}}}",
        json.dumps(NEW),
    ):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(StartError, match=r"Nothing was loaded: .*b\.json"):
            await asyncio.to_thread(cli.load, tmp_path, data_dir=service.folder)
    assert (await service.call("admin", "GET", f"{SPACES}/n")).status_code == 404
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartError, match=r"no file \*\.json"):
        await asyncio.to_thread(cli.load, tmp_path / "empty", data_dir=service.folder)


async def test_a_file_with_nulls(service: Service) -> None:
    """Glance writes null for what is not said, and its own times and owner: they are read, not refused."""
    written: dict[str, Any] = {
        "namespace": "n",
        "display_name": None,
        "description": None,
        "visibility": None,
        "protected": None,
        "owner": "somebody",
        "created_at": "2020-01-01T00:00:00Z",
        "self": "x",
        "schema": "y",
        "resource_type_associations": [{"name": "A", "prefix": None, "properties_target": None}],
        "objects": [{"name": "o", "description": None, "properties": {}, "updated_at": "x"}],
        "properties": {},
        "tags": [],
    }
    await Catalogue(service.parts.database).load([documents.from_file(written)], "keep")
    found = await shown(service, "n", "admin")
    assert (found["owner"], found["visibility"], found["protected"]) == ("somebody", "private", False)


async def test_image_properties_are_not_checked_unless_asked_for(service: Service) -> None:
    """As with Glance a property may have any value."""
    body = {"hw_disk_bus": "carrier pigeon"}
    answer = await service.call("alice", "POST", "/v2/images", json=body)
    assert (answer.status_code, answer.headers.get(WARNINGS)) == (201, None)


async def test_image_properties_that_the_catalogue_does_not_accept(
    prepared: Prepared, tmp_path: Path
) -> None:
    """They are told in a header, or refused; what is in no definition, or in another's, may be anything."""
    good = {
        "hw_disk_bus": "virtio",
        "hw_cpu_cores": "4",
        "hw_firmware_stateless": "True",
        "mood": "any",
        "hw_vif_model": "VirtualE1000",
        "kernel_id": "not checked: in no namespace for images",
        "cinder_img_volume_type": "fast",
        "CIM_PASD_InstructionSetExtensionName": "x86:AES, x86:AVX",
        "os_shutdown_timeout": "60",
        "sw_webserver_nginx_http_port": "8080",
    }
    bad = {
        "hw_disk_bus": "carrier pigeon",
        "hw_cpu_cores": "many",
        "hw_firmware_stateless": "perhaps",
        "hw_vif_model": "wet string",
        "os_shutdown_timeout": "-1",
        "hw_video_ram": "1_000",
        "CIM_PASD_InstructionSetExtensionName": "x86:AES, x86:MAGIC",
        "sw_webserver_nginx_http_port": "65536",
    }
    async with running(prepared, tmp_path, images=ImageSettings(property_check="warn")) as service:
        answer = await service.call("alice", "POST", "/v2/images", json=good)
        assert (answer.status_code, answer.headers.get(WARNINGS)) == (201, None)
        answer = await service.call("alice", "POST", "/v2/images", json=bad)
        assert answer.status_code == 201
        said = answer.headers[WARNINGS].split("; ")
        assert [each.split(" ")[0] for each in said] == list(bad)
        assert "hw_cpu_cores must be a whole number" in said
        assert "os_shutdown_timeout must be a whole number of at least 0" in said
        image = f"/v2/images/{answer.json()['id']}"
        change = [
            {"op": "replace", "path": "/hw_disk_bus", "value": "tin can"},
            {"op": "remove", "path": "/hw_video_ram"},
        ]
        answer = await service.call("alice", "PATCH", image, json=change, headers=PATCH)
        assert answer.headers[WARNINGS].startswith("hw_disk_bus must be one of scsi, virtio")
    async with running(prepared, tmp_path / "2", images=ImageSettings(property_check="refuse")) as service:
        for name, value in bad.items():
            answer = await service.call("alice", "POST", "/v2/images", json={name: value})
            assert answer.status_code == 400, name
            assert name in answer.json()["error"]["message"]
        made = await service.call("alice", "POST", "/v2/images", json=good)
        assert made.status_code == 201
        path = f"/v2/images/{made.json()['id']}"
        change = [{"op": "replace", "path": "/hw_disk_bus", "value": "tin can"}]
        assert (await service.call("alice", "PATCH", path, json=change, headers=PATCH)).status_code == 400
        assert (await service.call("alice", "GET", path)).json()["hw_disk_bus"] == "virtio"


async def test_every_way_to_set_properties_is_checked(prepared: Prepared, tmp_path: Path) -> None:
    """What POST refuses, no import by task, no form of the page and no import from another region sets."""
    formats = {"disk_format": "raw", "container_format": "bare"}
    with serving(lambda request: request.ranged(b"x" * 9)) as source:
        web: dict[str, Any] = {"allowed_networks": ("127.0.0.0/8",), "ports": (source.server_port,)}
        imports = ImportSettings(
            **web, methods=("web-download", "glance-download"), copied_properties=("hw_",)
        )
        refusing = ImageSettings(property_check="refuse")
        async with running(prepared, tmp_path, images=refusing, imports=imports) as service:
            found = await asks_for_bad_properties(service, source.url, formats)
            assert found == {
                "task": 400,
                "page": 400,
                "page's form": 400,
                "page's change": 400,
                "page's patch": 400,
            }
            every = (await service.call("alice", "GET", "/v2/images")).json()["images"]
            assert [image.get("hw_disk_bus") for image in every] == ["virtio"]
            moved = await moved_with_bad_properties(service, formats)
            assert moved["os_glance_failed_reason"].startswith("hw_disk_bus must be one of"), moved
            assert (moved["status"], moved.get("hw_disk_bus")) == ("queued", None)
        warning = ImageSettings(property_check="warn")
        async with running(prepared, tmp_path / "2", images=warning, imports=imports) as service:
            answer = await service.call("admin", "POST", "/v2/tasks", json=import_task(source.url, formats))
            assert answer.status_code == 201, answer.text
            assert answer.headers[WARNINGS].startswith("hw_disk_bus must be one of")


def import_task(url: str, formats: dict[str, str]) -> dict[str, Any]:
    properties = {**formats, "hw_disk_bus": "tin can"}
    asked = {"import_from": f"{url}/image", "import_from_format": "raw", "image_properties": properties}
    return {"type": "import", "input": asked}


async def asks_for_bad_properties(service: Service, url: str, formats: dict[str, str]) -> dict[str, int]:
    """Try to set a property that is refused in each way, and return what was answered."""
    page = await browser(service, "alice")
    image = await page.make(hw_disk_bus="virtio", **formats)
    bad = {"name": "x", "visibility": "private", "hw_disk_bus": "tin can", **formats}
    answers = {
        "task": await service.call("admin", "POST", "/v2/tasks", json=import_task(url, formats)),
        "page": await page.send("PUT", "images/", json=bad),
        "page's form": await page.send("POST", "images/", data=bad, files={"data": ("a", b"x")}),
        "page's change": await page.send("PATCH", f"images/{image['id']}/", json=bad),
        "page's patch": await page.send(
            "PATCH", f"images/{image['id']}/properties/", json={"updated": {"hw_disk_bus": "tin can"}}
        ),
    }
    return {way: answer.status_code for way, answer in answers.items()}


async def moved_with_bad_properties(service: Service, formats: dict[str, str]) -> dict[str, Any]:
    """Import an image whose property was set before it was checked; return what became of it."""
    source = (await service.call("alice", "POST", "/v2/images", json=formats)).json()["id"]
    binary = {"Content-Type": "application/octet-stream"}
    await service.call("alice", "PUT", f"/v2/images/{source}/file", content=b"x", headers=binary)
    async with service.parts.database.write() as tx:
        before = await image_rows.get(tx, source, None)
        assert before is not None
        await image_rows.save(tx, before, replace(before, properties={"hw_disk_bus": "tin can"}))
    target = (await service.call("alice", "POST", "/v2/images", json=formats)).json()["id"]
    method = {"name": "glance-download", "glance_region": "RegionOne", "glance_image_id": source}
    answer = await service.call("alice", "POST", f"/v2/images/{target}/import", json={"method": method})
    assert answer.status_code == 202, answer.text
    working = asyncio.create_task(service.parts.worker.run())
    try:
        for _ in range(300):
            shown: dict[str, Any] = (await service.call("alice", "GET", f"/v2/images/{target}")).json()
            if shown["status"] != "importing":
                return shown
            await asyncio.sleep(0.1)
        raise AssertionError(shown)
    finally:
        working.cancel()
        await asyncio.wait([working])


async def test_a_pattern_without_end_holds_nobody_up(prepared: Prepared, tmp_path: Path) -> None:
    """One that others take years for is quick; one that is none, or is too much to hold, says nothing."""
    async with running(prepared, tmp_path, images=ImageSettings(property_check="refuse")) as service:
        patterns = {
            "slow": r"^(a|aa)+$",
            "none": "(",
            "short": "^[a-z]{2,3}$",
            "large": "(?:(?:a{1000}){1000}){1000}",
            "deep": "(" * 3000 + "a" + ")" * 3000,
        }
        for name, pattern in patterns.items():
            body = {
                "namespace": name,
                "visibility": "public",
                "resource_type_associations": [{"name": "OS::Glance::Image"}],
                "properties": {name: {"title": "t", "type": "string", "pattern": pattern, "maxLength": 99}},
            }
            assert (await service.call("admin", "POST", SPACES, json=body)).status_code == 201
        begun = time.monotonic()
        held = {"none": "x", "large": "a", "deep": "b"}
        answer = await service.call("alice", "POST", "/v2/images", json=held)
        assert answer.status_code == 201, answer.text
        answer = await service.call("alice", "POST", "/v2/images", json={"slow": "a" * 60 + "!"})
        assert answer.status_code == 400, answer.text
        assert time.monotonic() - begun < 5
        assert (await service.call("alice", "POST", "/v2/images", json={"short": "ab"})).status_code == 201
        for value in ("a", "AB", "x" * 100):
            answer = await service.call("alice", "POST", "/v2/images", json={"short": value})
            assert answer.status_code == 400


async def test_a_private_namespace_says_nothing_about_images(prepared: Prepared, tmp_path: Path) -> None:
    """What somebody keeps to themselves does not bind others."""
    async with running(prepared, tmp_path, images=ImageSettings(property_check="refuse")) as service:
        body = {
            "namespace": "n",
            "resource_type_associations": [{"name": "OS::Glance::Image"}],
            "properties": {"mood": {"title": "t", "type": "string", "enum": ["good"]}},
        }
        assert (await service.call("admin", "POST", SPACES, json=body)).status_code == 201
        assert (await service.call("alice", "POST", "/v2/images", json={"mood": "bad"})).status_code == 201
        public = {"namespace": "n", "visibility": "public"}
        assert (await service.call("admin", "PUT", f"{SPACES}/n", json=public)).status_code == 200
        assert (await service.call("alice", "POST", "/v2/images", json={"mood": "bad"})).status_code == 400


async def test_the_check_says_no_more_than_the_caller_may_know(prepared: Prepared, tmp_path: Path) -> None:
    """Attributes of images are no properties; of an image that one may not change, that is what is told."""
    async with running(prepared, tmp_path, images=ImageSettings(property_check="refuse")) as service:
        body = {
            "namespace": "n",
            "visibility": "public",
            "resource_type_associations": [{"name": "OS::Glance::Image"}],
            "properties": {"name": {"title": "t", "type": "integer"}},
        }
        assert (await service.call("admin", "POST", SPACES, json=body)).status_code == 201
        made = await service.call("alice", "POST", "/v2/images", json={"name": "no number"})
        assert made.status_code == 201
        bad = [{"op": "add", "path": "/hw_disk_bus", "value": "tin can"}]
        for who, image, status in (
            ("alice", made.json()["id"], 400),
            ("carol", made.json()["id"], 403),
            ("bob", made.json()["id"], 404),
            ("alice", "5f3a9a7c-0000-4000-8000-000000000000", 404),
        ):
            answer = await service.call(who, "PATCH", f"/v2/images/{image}", json=bad, headers=PATCH)
            assert answer.status_code == status, (who, answer.text)


async def test_new_types_of_resources_in_any_order(service: Service) -> None:
    """Namespaces made at once, for the same new types in opposite orders, do not wait for each other."""
    for turn in range(5):
        types = [{"name": f"type {turn} {number}"} for number in range(20)]
        bodies = [
            {"namespace": f"n {turn} {number}", "resource_type_associations": types[:: (-1) ** number]}
            for number in range(4)
        ]
        answers = await asyncio.gather(*(service.call("admin", "POST", SPACES, json=body) for body in bodies))
        assert [answer.status_code for answer in answers] == [201] * 4, [each.text for each in answers]


async def test_names_of_all_the_world(service: Service) -> None:
    """A name of any script has an address that a header can hold; control characters are in none."""
    for name in ("名前", "ü ö", "a?b#c", "100%"):
        made = await service.call("admin", "POST", SPACES, json={"namespace": name, "visibility": "public"})
        assert made.status_code == 201
        location = made.headers["location"].removeprefix("http://testserver")
        assert (await service.call("alice", "GET", location)).json()["namespace"] == name
    for name in ("a\r\nX-Evil: 1", "\x7f", "a\0", ""):
        for body in ({"namespace": name}, {"namespace": "n", "tags": [{"name": name}]}):
            assert (await service.call("admin", "POST", SPACES, json=body)).status_code == 400


async def test_hostile_queries_and_numbers(service: Service) -> None:
    """NUL, too many types, and numbers without end are a clear 400 on every database."""
    for query in (
        "marker=%00",
        "resource_types=%00",
        "resource_types=a%00,b",
        f"resource_types={','.join(map(str, range(1001)))}",
    ):
        assert (await service.call("alice", "GET", f"{SPACES}?{query}")).status_code == 400, query[:40]
    for field in ('"minimum": 1e999', '"enum": [1e999]', '"default": -1e999'):
        body = '{"namespace": "n", "properties": {"p": {"title": "t", "type": "number", ' + field + "}}}"
        answer = await service.call(
            "admin", "POST", SPACES, content=body.encode(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
    many = {"tags": [{"name": f"t{number}"} for number in range(50_000)]}
    assert (await service.call("admin", "POST", SPACES, json={"namespace": "n"})).status_code == 201
    assert (await service.call("admin", "POST", f"{SPACES}/n/tags", json=many)).status_code == 413


async def test_a_property_is_shown_by_the_name_it_is_held_by(service: Service) -> None:
    """Whatever name stands inside its definition."""
    body = {"namespace": "n", "properties": {"p": {"name": "other", "title": "t", "type": "string"}}}
    await service.call("admin", "POST", SPACES, json=body)
    assert (await service.call("admin", "GET", f"{SPACES}/n/properties/p")).json()["name"] == "p"


def elsewhere(*names: str, **changes: Any) -> list[Namespace]:
    """Give namespaces of another service."""
    return [
        Namespace(id=f"id of {name}", namespace=name, owner="o", created_at=1, updated_at=1, **changes)
        for name in names
    ]


async def test_taking_over_again_follows_what_was_deleted(service: Service) -> None:
    """What was deleted or renamed here stays so; what was deleted there goes, unless it was changed here."""
    catalogue = Catalogue(service.parts.database)

    async def take(*names: str) -> dict[str, str]:
        taken = await catalogue.import_namespaces(elsewhere(*names), [], dry_run=False)
        return {name: what for name, what, _ in taken}

    assert set((await take("a", "b", "c", "d")).values()) == {"added"}
    assert (await service.call("admin", "DELETE", f"{SPACES}/a")).status_code == 204
    renamed = {"namespace": "B", "owner": "o"}
    assert (await service.call("admin", "PUT", f"{SPACES}/b", json=renamed)).status_code == 200
    assert (await service.call("admin", "POST", f"{SPACES}/c/tags/t")).status_code == 201
    assert await take("a", "b", "c", "d") == {"a": "kept", "b": "kept", "c": "left", "d": "kept"}
    for gone in ("a", "b"):
        assert (await service.call("admin", "GET", f"{SPACES}/{gone}")).status_code == 404
    assert await take("a", "b") == {"a": "kept", "b": "kept", "c": "left", "d": "deleted"}
    assert (await service.call("admin", "GET", f"{SPACES}/c")).status_code == 200
    assert (await service.call("admin", "GET", f"{SPACES}/d")).status_code == 404


async def test_what_no_client_may_write_is_not_taken_over(service: Service) -> None:
    """Glance loads any file unread; what of it means nothing is left, and named."""
    bad: list[dict[str, Any]] = [
        {"title": "t", "type": "string", "minLength": None},
        {"title": "t", "type": "integer", "minimum": "1"},
        {"title": "t", "type": "string", "enum": 5},
        {"title": "t", "type": "array", "items": [1]},
        {"?": "no JSON at all"},
    ]
    for definition in bad:
        namespaces = elsewhere("n", properties={"p": definition})
        [(name, what, why)] = await Catalogue(service.parts.database).import_namespaces(
            namespaces, [], dry_run=False
        )
        assert (name, what) == ("n", "left")
        assert why.startswith("Property 'p': ")
    assert (await service.call("admin", "GET", f"{SPACES}/n")).status_code == 404
    mended = elsewhere("n", properties={"p": {"title": "t", "type": "string"}})
    assert await Catalogue(service.parts.database).import_namespaces(mended, [], dry_run=False) == [
        ("n", "added", "")
    ]


async def test_own_files_before_the_first_start(service: Service) -> None:
    """Whoever loads their own first gets the shipped catalogue with the first start all the same."""
    catalogue = Catalogue(service.parts.database)
    await catalogue.unload()
    async with service.parts.database.write() as tx:
        await tx.execute(delete(secrets).where(secrets.c.name == "metadata definitions were loaded"))
    await catalogue.load([documents.from_file(NEW)], "keep")
    await catalogue.load_first()
    assert len(await catalogue.export()) == 34
