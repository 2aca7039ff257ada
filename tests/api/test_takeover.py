"""Taking over from a Glance in cases that a real one seldom shows: attacks, accidents, two sides changing."""

import hashlib
import uuid
from pathlib import Path

import pytest
from sqlalchemy import select

from inprocess import Service
from tintype.db.tables import blobs
from tintype.errors import Unavailable
from tintype.glance import Location, Member, Record
from tintype.services.takeover import Outcome, Takeover

BINARY = {"Content-Type": "application/octet-stream"}
DATA = b"bytes of glance"
START = 1_700_000_000_000_000


@pytest.fixture
def folder(service: Service) -> Path:
    """Give the folder of the only store, where Glance had its files, too."""
    return service.folder / "images"


def record(service: Service, folder: Path, image: str | None = None, **changes: object) -> Record:
    """Give an image with its file there."""
    image = image or str(uuid.uuid4())
    row = {
        "id": image,
        "name": "n",
        "owner": service.projects["alice"],
        "status": "active",
        "visibility": "shared",
        "protected": False,
        "os_hidden": False,
        "disk_format": "raw",
        "container_format": "bare",
        "min_disk": 0,
        "min_ram": 0,
        "size": len(DATA),
        "virtual_size": None,
        "checksum": hashlib.md5(DATA, usedforsecurity=False).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(DATA).hexdigest(),
        "created_at": START,
        "updated_at": START,
        "deleted": False,
        "deleted_at": 0,
    }
    locations = changes.pop("locations", (f"file://{folder}/{image}",))
    members = changes.pop("members", ())
    if row["status"] == "active":
        (folder / image).write_bytes(DATA)
    return Record(
        {**row, **changes},
        {"colour": "red"},
        ("t",),
        tuple(Member(each, "accepted", START, START) for each in members),  # type: ignore[attr-defined]
        tuple(Location(each, "active") for each in locations),  # type: ignore[attr-defined]
    )


async def take(service: Service, folder: Path, taken: Record, *, lost: bool = False) -> Outcome:
    """Take a record over; with `lost` the store is none of ours any more."""
    homes = {} if lost else {("file", str(folder.resolve())): "local"}
    stores = service.parts.ingest.stores
    return await Takeover(service.parts.database, stores, homes, dry_run=False).import_image(taken)


async def download(service: Service, image: str) -> bytes | int:
    answer = await service.call("alice", "GET", f"/v2/images/{image}/file")
    return answer.content if answer.status_code == 200 else answer.status_code


async def test_a_store_that_is_away_the_second_time(
    service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be looked at is not given up: no bytes are deleted, and none of its rows."""
    taken = record(service, folder)
    image = taken.row["id"]
    assert (await take(service, folder, taken)).what == "taken"

    async def away(_self: object, _key: str) -> int:
        raise Unavailable("It does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(type(service.parts.ingest.stores["local"]), "size", away)
        assert (await take(service, folder, taken)).what == "known"
    assert (await take(service, folder, taken, lost=True)).what == "left"
    await service.parts.sweeper.sweep()
    assert (folder / image).read_bytes() == DATA
    assert await download(service, image) == DATA


async def test_bytes_that_came_here_meanwhile(service: Service, folder: Path) -> None:
    """An image that was filled here and renamed there is told of, and stays as it is here."""
    queued = record(service, folder, status="queued", size=None, locations=())
    image = queued.row["id"]
    assert (await take(service, folder, queued)).what == "taken"
    put = await service.call("alice", "PUT", f"/v2/images/{image}/file", content=b"ours", headers=BINARY)
    assert put.status_code == 204
    changed = record(
        service, folder, image, status="queued", size=None, locations=(), name="x", updated_at=2**62
    )
    outcome = await take(service, folder, changed)
    assert (outcome.what, outcome.detail) == ("left", "it was changed there and here")
    gone = record(service, folder, image, status="deleted", deleted=True, deleted_at=2**62)
    assert (await take(service, folder, gone)).what == "left"
    await service.parts.sweeper.sweep()
    assert await download(service, image) == b"ours"


async def test_members_follow_by_themselves(service: Service, folder: Path) -> None:
    """Who was shut out there is shut out here, although the image is unchanged; who was let in here stays."""
    bob = service.projects["bob"]
    taken = record(service, folder, members=(bob, "carol"))
    image = taken.row["id"]
    await take(service, folder, taken)
    assert (await service.call("bob", "GET", f"/v2/images/{image}")).status_code == 200
    here = await service.call("alice", "POST", f"/v2/images/{image}/members", json={"member": "dave"})
    assert here.status_code == 200
    assert (
        await take(service, folder, record(service, folder, image, members=("carol", "erin")))
    ).what == "updated"
    assert (await service.call("bob", "GET", f"/v2/images/{image}")).status_code == 404
    shown = (await service.call("alice", "GET", f"/v2/images/{image}/members")).json()["members"]
    assert sorted(each["member_id"] for each in shown) == ["carol", "dave", "erin"]
    again = record(service, folder, image, members=("carol", "erin"))
    assert (await take(service, folder, again)).what == "known"


async def test_bytes_of_others_are_not_taken(service: Service, folder: Path) -> None:
    """A location is what somebody wrote: other images' bytes, and ways out of the folder, are refused."""
    victim = record(service, folder)
    assert (await take(service, folder, victim)).what == "taken"
    mine = (
        await service.call(
            "alice", "POST", "/v2/images", json={"disk_format": "raw", "container_format": "bare"}
        )
    ).json()
    await service.call("alice", "PUT", f"/v2/images/{mine['id']}/file", content=DATA, headers=BINARY)
    ours = next(path for path in folder.glob("??/*") if path.is_file())
    for url in (
        f"file://{folder}/{victim.row['id']}",
        f"file://{folder}/{ours.parent.name}/{ours.name}",
        f"file://{folder}/..",
        f"file://{folder}/.",
        f"file://{folder}/",
        f"file://{folder}/../tintype.db",
        f"file://{folder}/partial",
        "swift+https://user:hidden@[x/container/object",
        "nonsense",
        "",
    ):
        outcome = await take(service, folder, record(service, folder, size=None, locations=(url,)))
        assert outcome.what == "left", url
        assert "hidden" not in outcome.detail
    assert await download(service, victim.row["id"]) == DATA


async def test_the_same_location_twice(service: Service, folder: Path) -> None:
    """Is one copy."""
    image = str(uuid.uuid4())
    taken = record(service, folder, image, locations=(f"file://{folder}/{image}",) * 2)
    assert (await take(service, folder, taken)).what == "taken"
    assert await download(service, image) == DATA


async def test_deletions(service: Service, folder: Path) -> None:
    """What was deleted there goes here; its bytes are not ours to delete, its id is never given again."""
    taken = record(service, folder)
    image = taken.row["id"]
    await take(service, folder, taken)
    gone = record(service, folder, image, status="deleted", deleted=True, deleted_at=START + 1)
    assert (await take(service, folder, gone)).what == "deleted"
    assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 404
    assert (await take(service, folder, gone)).what == "known"
    await service.parts.sweeper.sweep()
    assert (folder / image).exists()
    async with service.parts.database.read() as tx:
        assert (await tx.execute(select(blobs.c.id))).all() == []
    assert (await service.call("alice", "POST", "/v2/images", json={"id": image})).status_code == 409


async def test_an_id_that_is_in_use_here(service: Service, folder: Path) -> None:
    """An image of our own with the same id is never touched."""
    mine = (await service.call("alice", "POST", "/v2/images", json={"name": "mine"})).json()
    assert (await take(service, folder, record(service, folder, mine["id"]))).what == "left"
    gone = record(service, folder, mine["id"], deleted=True, deleted_at=2**62)
    assert (await take(service, folder, gone)).what == "left"
    assert (await service.call("alice", "GET", f"/v2/images/{mine['id']}")).json()["name"] == "mine"


async def test_digests_that_are_none(service: Service, folder: Path) -> None:
    """What is no digest is not taken over as one; the bytes are served without."""
    taken = record(service, folder, os_hash_value="x", checksum="nonsense")
    assert (await take(service, folder, taken)).what == "taken"
    assert await download(service, taken.row["id"]) == DATA
