"""Signed images: this service cannot verify a signature, so no way brings bytes into one unnoticed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from test_imports import BARE, BINARY, DATA, begin, ended, loopback, new_image, show, working
from test_takeover import record, take

import web
from inprocess import Prepared, Service, running
from tintype.settings import ImageSettings, LocationSettings
from tintype.settings.stores import FileStore, HttpStore

SIGNED = {
    "img_signature": "c2lnbmF0dXJl",
    "img_signature_hash_method": "SHA-256",
    "img_signature_key_type": "RSA-PSS",
    "img_signature_certificate_uuid": "c0ffee00-0000-4000-8000-000000000000",
}
STORES = {"local": FileStore(), "near": FileStore(folder="near"), "web": HttpStore()}
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
Way = Callable[[Service, str], Awaitable[tuple[int, str]]]


def signing(prepared: Prepared, folder: Path, server: web.Server, mode: str) -> Any:
    return running(
        prepared,
        folder,
        stores=STORES,
        images=ImageSettings(signatures=mode),  # type: ignore[arg-type]
        imports=loopback(server, copied_properties=("img_",)),
        locations=LocationSettings(show_multiple=True),
    )


@pytest_asyncio.fixture
async def refusing(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Service]:
    """Give a service as it is without settings, which has every way to bring bytes; no worker is at work."""
    with web.serving(lambda request: request.ranged(DATA)) as server:
        async with signing(prepared, tmp_path, server, "refuse") as service:
            service.web = server
            yield service


async def sign(service: Service, image: str, who: str = "alice") -> None:
    change = [{"op": "add", "path": f"/{name}", "value": value} for name, value in SIGNED.items()]
    answer = await service.call(who, "PATCH", image, json=change, headers=PATCH)
    assert answer.status_code == 200, answer.text


async def upload(service: Service, image: str) -> tuple[int, str]:
    answer = await service.call("alice", "PUT", f"{image}/file", content=DATA, headers=BINARY)
    return answer.status_code, answer.text


async def stage(service: Service, image: str) -> tuple[int, str]:
    answer = await service.call("alice", "PUT", f"{image}/stage", content=DATA, headers=BINARY)
    return answer.status_code, answer.text


async def resumable(service: Service, image: str) -> tuple[int, str]:
    headers = {**TUS, "Upload-Length": str(len(DATA))}
    answer = await service.call("alice", "POST", f"{image}/uploads", headers=headers)
    return answer.status_code, answer.text


async def in_one_piece(service: Service, image: str) -> tuple[int, str]:
    headers = {**PIECE, "Upload-Length": str(len(DATA))}
    answer = await service.call("alice", "POST", f"{image}/uploads", content=DATA, headers=headers)
    return answer.status_code, answer.text


async def download_from_the_web(service: Service, image: str) -> tuple[int, str]:
    answer = await begin(service, image, {"name": "web-download", "uri": f"{service.web.url}/disk"})
    return answer.status_code, answer.text


async def download_from_a_region(service: Service, image: str) -> tuple[int, str]:
    source = await new_image(service)
    assert await upload(service, source) == (204, "")
    key = source.rpartition("/")[2]
    method = {"name": "glance-download", "glance_region": "RegionOne", "glance_image_id": key}
    answer = await begin(service, image, method)
    return answer.status_code, answer.text


async def location(service: Service, image: str) -> tuple[int, str]:
    body = {"url": f"{service.web.url}/disk"}
    answer = await service.call("alice", "POST", f"{image}/locations", json=body)
    return answer.status_code, answer.text


async def older_location(service: Service, image: str) -> tuple[int, str]:
    value = {"url": f"{service.web.url}/disk", "metadata": {}}
    change = [{"op": "add", "path": "/locations/-", "value": value}]
    answer = await service.call("alice", "PATCH", image, json=change, headers=PATCH)
    return answer.status_code, answer.text


WAYS = [
    *(upload, stage, resumable, in_one_piece),
    *(download_from_the_web, download_from_a_region, location, older_location),
]


def check_refusal(text: str, image: str) -> None:
    assert f"Signature verification failed for image {image.rpartition('/')[2]}: " in text
    assert "images.signatures" in text


def stored(service: Service) -> list[str]:
    found = [path for folder in ("images", "near") for path in (service.folder / folder).glob("*/*")]
    return [path.name for path in found if path.is_file()]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_no_way_brings_bytes_into_a_signed_image(refusing: Service, way: Way) -> None:
    """Each answers 400 with the reason and the way out; the image stays queued, and nothing is stored."""
    image = await new_image(refusing, **SIGNED)
    status, text = await way(refusing, image)
    assert status == 400, text
    check_refusal(text, image)
    shown = await show(refusing, image)
    assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
    assert (shown.get("locations"), (await refusing.call("alice", "GET", f"{image}/tasks")).json()) == (
        [],
        {"tasks": []},
    )
    others = 1 if way is download_from_a_region else 0
    assert len(stored(refusing)) == others


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_three_of_the_four_properties_are_no_signature(refusing: Service, way: Way) -> None:
    """As with Glance, an image that lacks one of them is one like any other."""
    partly = {name: value for name, value in SIGNED.items() if name != "img_signature_key_type"}
    image = await new_image(refusing, **partly)
    status, text = await way(refusing, image)
    assert status in {200, 201, 202, 204}, text


async def test_a_task_that_imports(refusing: Service) -> None:
    """A signed image is not even made by a task; its properties come in the same request."""
    given = {
        "import_from": f"{refusing.web.url}/disk",
        "import_from_format": "raw",
        "image_properties": {**BARE, **SIGNED},
    }
    answer = await refusing.call("admin", "POST", "/v2/tasks", json={"type": "import", "input": given})
    assert answer.status_code == 400
    assert "Signature verification failed" in answer.text
    assert (await refusing.call("admin", "GET", "/v2/images")).json()["images"] == []


async def test_signed_while_its_upload_waits(refusing: Service) -> None:
    """The last piece of a resumable upload meets the image as it is then; the bytes go."""
    image = await new_image(refusing)
    headers = {**PIECE, "Upload-Length": str(len(DATA))}
    begun = await refusing.call("alice", "POST", f"{image}/uploads", content=DATA[:9], headers=headers)
    assert begun.status_code == 201
    await sign(refusing, image)
    headers = {**PIECE, "Upload-Offset": "9"}
    answer = await refusing.call(
        "alice", "PATCH", begun.headers["location"], content=DATA[9:], headers=headers
    )
    assert answer.status_code == 400, answer.text
    check_refusal(answer.text, image)
    assert (await show(refusing, image))["status"] == "queued"


async def test_signed_while_it_is_staged(refusing: Service) -> None:
    """The staged bytes of an image that was signed since are not imported."""
    image = await new_image(refusing)
    assert (await stage(refusing, image))[0] == 204
    await sign(refusing, image)
    answer = await begin(refusing, image, "glance-direct")
    assert answer.status_code == 400
    check_refusal(answer.text, image)
    assert (await show(refusing, image))["status"] == "uploading"


@pytest.mark.parametrize("way", [download_from_the_web, location], ids=lambda way: way.__name__)
async def test_signed_while_its_job_waits(refusing: Service, way: Way) -> None:
    """The job decides once more when it ends: it fails with the reason, and the image is queued again."""
    image = await new_image(refusing)
    assert (await way(refusing, image))[0] == 202
    await sign(refusing, image)
    async with working(refusing):
        task = await ended(refusing, image)
    assert task["status"] == "failure"
    check_refusal(task["message"], image)
    shown = await show(refusing, image)
    assert (shown["status"], shown["size"], shown["locations"]) == ("queued", None, [])
    check_refusal(shown["os_glance_failed_reason"], image)
    assert stored(refusing) == []


async def test_properties_that_come_with_the_bytes(refusing: Service) -> None:
    """An image that an import would make a signed one does not become active, either."""
    source = await new_image(refusing)
    assert await upload(refusing, source) == (204, "")
    await sign(refusing, source)
    image = await new_image(refusing)
    key = source.rpartition("/")[2]
    method = {"name": "glance-download", "glance_region": "RegionOne", "glance_image_id": key}
    assert (await begin(refusing, image, method)).status_code == 202
    async with working(refusing):
        task = await ended(refusing, image)
    assert task["status"] == "failure"
    check_refusal(task["message"], image)
    assert (await show(refusing, image))["status"] == "queued"


async def test_what_is_refused_to_others_stays_so(refusing: Service) -> None:
    """Who may not see the image, or not fill it, does not learn that it is signed."""
    image = await new_image(refusing, **SIGNED)
    for who, status in (("bob", 404), ("carol", 403)):
        answer = await refusing.call(who, "PUT", f"{image}/file", content=DATA, headers=BINARY)
        assert (answer.status_code, "ignature" in answer.text) == (status, False)


async def test_copies_of_what_is_there(refusing: Service) -> None:
    """An active image may be copied: its bytes are held against their digest. No location is added to it."""
    image = await new_image(refusing)
    assert await upload(refusing, image) == (204, "")
    await sign(refusing, image)
    assert (await begin(refusing, image, "copy-image", "admin", stores=["near"])).status_code == 202
    async with working(refusing):
        assert (await ended(refusing, image))["status"] == "success"
    assert (await show(refusing, image))["stores"] == "local,near"
    status, text = await older_location(refusing, image)
    assert status == 400
    check_refusal(text, image)


async def test_a_signed_image_moves_in(refusing: Service) -> None:
    """What a Glance had verified is taken over as it is, and can be read."""
    folder = refusing.folder / "images"
    taken = record(refusing, folder)
    taken.properties.update(SIGNED)
    assert (await take(refusing, folder, taken)).what == "taken"
    image = f"/v2/images/{taken.row['id']}"
    assert (await show(refusing, image))["status"] == "active"
    assert (await refusing.call("alice", "GET", f"{image}/file")).status_code == 200


async def test_unverified_bytes_may_be_accepted(
    prepared: Prepared, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With `ignore` each way works, and the log warns once of each image."""
    with web.serving(lambda request: request.ranged(DATA)) as server:
        async with signing(prepared, tmp_path, server, "ignore") as service, working(service):
            service.web = server
            made = {way: await new_image(service, **SIGNED) for way in WAYS}
            for way, image in made.items():
                status, text = await way(service, image)
                assert status in {200, 201, 202, 204}, (way.__name__, text)
            assert (await begin(service, made[stage], "glance-direct")).status_code == 202
            del made[resumable]  # none of its bytes was sent
            async with asyncio.timeout(20):
                while True:
                    if {(await show(service, image))["status"] for image in made.values()} == {"active"}:
                        break
                    await asyncio.sleep(0.05)
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    warned = [event for event in events if event["event"] == "signature not verified"]
    assert sorted(event["image_id"] for event in warned) == sorted(
        image.rpartition("/")[2] for image in made.values()
    )
    assert {event["level"] for event in warned} == {"warning"}
