"""What only many writers at once show: on PostgreSQL nothing waits for one file's lock."""

import asyncio
import functools
import gc
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
from sqlalchemy import literal, select

from inprocess import Prepared, Service, make_settings, running
from tintype import data_folder
from tintype.cli.upkeep import gc as gc_command
from tintype.db import compiled, postgres
from tintype.db import images as image_rows
from tintype.db.postgres import Postgres
from tintype.errors import StartError, Unavailable
from tintype.observability.logs import make_logger, route_libraries
from tintype.settings import DatabaseSettings, KeystoneSettings
from tintype.settings.stores import MemoryStore
from tintype.wiring import service as wiring

pytestmark = [
    pytest.mark.parametrize("prepared", ["postgresql"], indirect=True),
    pytest.mark.needs("postgresql"),
]
RAW = {"disk_format": "raw", "container_format": "bare"}
BINARY = {"Content-Type": "application/octet-stream"}


async def test_uploads_and_deletions_of_the_same_images(service: Service) -> None:
    """Locks are taken in one order: nobody is told of a deadlock, and nothing is left."""

    async def one(number: int) -> tuple[int, int]:
        image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
        path = f"/v2/images/{image}"
        put = asyncio.create_task(
            service.call("alice", "PUT", f"{path}/file", content=b"x" * 1000, headers=BINARY)
        )
        await asyncio.sleep(number % 30 / 1000)
        deleted = await service.call("alice", "DELETE", path)
        return (await put).status_code, deleted.status_code

    found = set()
    for _ in range(10):
        found |= set(await asyncio.gather(*(one(number) for number in range(15))))
    assert {put for put, _ in found} <= {204, 404, 409, 410}
    assert {deleted for _, deleted in found} <= {204, 409}


async def test_an_id_is_not_given_again_while_its_deletion_commits(service: Service) -> None:
    """Who creates an image with the id of one that is just being deleted waits, and is refused."""
    image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
    cluster_url = service.database_url

    deleter = await asyncpg.connect(cluster_url)
    async with deleter.transaction():
        await deleter.execute("DELETE FROM images WHERE id = $1", image)
        await deleter.execute("INSERT INTO image_tombstones (id, deleted_at) VALUES ($1, 1)", image)
        creating = asyncio.create_task(service.call("bob", "POST", "/v2/images", json={"id": image}))
        await asyncio.sleep(0.2)
        assert not creating.done()
    assert (await creating).status_code == 409
    await deleter.close()


async def test_parallel_failures_and_revocations(service: Service) -> None:
    """Each failed login counts, and a token may be revoked by many at once."""
    token = service.tokens["alice"]
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    answers = await asyncio.gather(
        *(service.client.delete("/identity/v3/auth/tokens", headers=headers) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} <= {204, 401, 404}


async def test_other_statements_evict_none(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 5,000 statements of changing shapes `show` is not compiled again, and theirs are collected."""
    image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
    assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 200
    names: list[tuple[str, ...]] = []
    real = compiled.CompiledStatement.__init__

    def count(self: compiled.CompiledStatement, statement: object, wanted: Collection[str]) -> None:
        names.append(tuple(wanted))
        real(self, statement, wanted)

    monkeypatch.setattr(compiled.CompiledStatement, "__init__", count)
    gc.collect()
    kept = len(compiled._COMPILED)
    for number in range(5000):
        assert compiled.compile_statement(select(literal(1).label(f"c{number}")), ()).sql.endswith(
            f"c{number}"
        )
    async with service.parts.database.read() as tx:
        for number in range(50):
            assert (await tx.execute(select(literal(number).label(f"c{number}")))).scalar_one() == number
    assert len(names) == 5050
    gc.collect()
    assert len(compiled._COMPILED) <= kept + 1
    names.clear()
    assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 200
    assert [each for each in names if "image_id" in each] == []


async def test_a_list_of_values_is_one_statement(service: Service) -> None:
    """However many values are asked for, the server prepares one text, so its cache holds."""
    ids = [(await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"] for _ in range(3)]
    async with service.parts.database.read() as tx:
        for wanted in ([], ids[:1], ids):
            assert {row[0] for row in await image_rows.names(tx, wanted)} == set(wanted)
    by_names = compiled._COMPILED[image_rows._NAMES]
    assert len(by_names) == 1
    assert "= ANY ($1::TEXT[])" in by_names["ids",].sql


@pytest.mark.parametrize("style", ["json", "console"])
async def test_a_lost_listener_is_one_line(
    prepared: Prepared, style: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the server closes the connection for notifications; it is opened again, and wakes the worker."""
    assert prepared.cluster is not None
    url = prepared.cluster.url(prepared.cluster.create())
    woken = asyncio.Queue[None]()
    root = logging.getLogger()
    kept = (root.handlers, root.level)
    hooks = (threading.excepthook, sys.unraisablehook)
    route_libraries(make_logger(style))
    listening = asyncio.create_task(Postgres(url, connections=4).listen(lambda: woken.put_nowait(None)))
    try:
        await asyncio.wait_for(woken.get(), 10)
        admin = await asyncpg.connect(url)
        await admin.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.close()
        await asyncio.wait_for(woken.get(), 10)
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        root.handlers, root.level = kept
        threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(capture=False)
    (line,) = capsys.readouterr().err.splitlines()
    for expected in ("job notifications was lost", "tintype.postgres", "error"):
        assert expected in line
    if style == "json":
        event = json.loads(line)
        assert (event["level"], event["source"]) == ("error", "tintype.postgres")


async def test_numbers_of_any_size_may_be_asked_for(service: Service) -> None:
    """A number that no image can have finds none."""
    for number in (2**31 - 1, 2**31, 2**63 - 1):
        answer = await service.call("alice", "GET", f"/v2/images?min_ram={number}&min_disk={number}")
        assert (answer.status_code, answer.json()["images"]) == (200, [])


async def test_what_is_asked_together_is_answered_each(service: Service) -> None:
    """Of hundreds of shows at once everybody is told of the image that it asked for, as it sees it."""
    images = [
        (await service.call("alice", "POST", "/v2/images", json={"name": str(n)})).json() for n in range(60)
    ]
    shared = images[7]["id"]
    member = {"member": service.projects["bob"]}
    assert (
        await service.call("alice", "POST", f"/v2/images/{shared}/members", json=member)
    ).status_code == 200

    async def show(who: str, image: dict[str, str]) -> None:
        answer = await service.call(who, "GET", f"/v2/images/{image['id']}")
        if who == "alice" or image["id"] == shared:
            assert (answer.status_code, answer.json()["name"]) == (200, image["name"])
        else:
            assert answer.status_code == 404

    nowhere = {"id": "00000000-0000-0000-0000-000000000000", "name": ""}
    asked = [show(who, image) for image in images * 3 for who in ("alice", "bob")]
    asked += [show("bob", nowhere) for _ in range(20)]
    await asyncio.gather(*asked)


async def test_who_goes_away_takes_nobody_along(service: Service) -> None:
    """A reader that is cancelled while others wait for the same question leaves them their answers."""
    image = (await service.call("alice", "POST", "/v2/images", json={"name": "n"})).json()["id"]
    caller = (await service.parts.identity.tokens.validate(service.tokens["alice"])).caller
    show = functools.partial(service.parts.images.show, caller, image)
    for number in range(30):
        tasks = [asyncio.create_task(show()) for _ in range(8)]
        await asyncio.sleep(0)
        tasks[number % 8].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each.image.name for each in found if not isinstance(each, BaseException)] == ["n"] * 7


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_work_that_is_cancelled_is_told_just_that(service: Service, turns: int) -> None:
    """Also where the database is let go of before its transaction is rolled back, or meanwhile."""
    begun = asyncio.Event()

    async def work() -> None:
        async with service.parts.database.write():
            begun.set()
            await asyncio.Event().wait()

    at_work = asyncio.create_task(work())
    await begun.wait()
    at_work.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not at_work.done()
    await service.parts.database.close()
    at_work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await at_work


async def _end_waiting(url: str | None) -> int:
    """End the connections that wait for a lock, as a restart of the server would; give how many."""
    admin = await asyncpg.connect(url)
    count = await admin.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = 'tintype' AND wait_event_type = 'Lock'"
    )
    await admin.close()
    return int(count)


async def test_a_transaction_that_loses_its_connection(service: Service) -> None:
    """Whoever waits for it is told so, with a time to come back."""
    image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
    other = await asyncpg.connect(service.database_url)
    async with other.transaction():
        await other.execute("SELECT id FROM images WHERE id = $1 FOR UPDATE", image)
        upload = service.call("alice", "PUT", f"/v2/images/{image}/file", content=b"x", headers=BINARY)
        uploading = asyncio.create_task(upload)
        await asyncio.sleep(0.3)
        assert await _end_waiting(service.database_url) == 1
        answer = await uploading
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    await other.close()


async def test_an_upload_outlives_a_lost_heartbeat(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next beat finds a new connection."""
    monkeypatch.setattr("tintype.services.leases.HEARTBEAT_SECONDS", 0.1)
    image = (await service.call("alice", "POST", "/v2/images", json=RAW)).json()["id"]
    other = await asyncpg.connect(service.database_url)
    ended = []

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        async with other.transaction():
            await other.execute("LOCK TABLE blobs IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(0.4)
            ended.append(await _end_waiting(service.database_url))
        await asyncio.sleep(0.4)
        yield b"y"

    answer = await service.call("alice", "PUT", f"/v2/images/{image}/file", content=body(), headers=BINARY)
    assert (answer.status_code, ended) == (204, [1])
    await other.close()


async def test_a_lost_connection_is_told_to_all_who_asked(service: Service) -> None:
    """Each gets its own 503; the next ones are answered over a new connection."""
    image = (await service.call("alice", "POST", "/v2/images", json={"name": "n"})).json()["id"]
    assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 200
    slow = await asyncpg.connect(service.database_url)
    async with slow.transaction():
        await slow.execute("LOCK TABLE images IN ACCESS EXCLUSIVE MODE")
        asking = [asyncio.create_task(service.call("alice", "GET", f"/v2/images/{image}")) for _ in range(6)]
        await asyncio.sleep(0.3)
        await _end_waiting(service.database_url)
        await asyncio.sleep(0.1)
    assert {(await each).status_code for each in asking} <= {200, 503}
    assert (await asking[0]).status_code == 503
    assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 200
    await slow.close()


async def test_hosts_that_start_at_once(prepared: Prepared, tmp_path: Path) -> None:
    """One of them makes the first admin; the others go on without."""
    assert prepared.cluster is not None
    url = prepared.cluster.url(prepared.cluster.create())

    def start(number: int) -> object:
        stores = {"memory": MemoryStore()}
        settings = make_settings(tmp_path / str(number), database=DatabaseSettings(url=url), stores=stores)
        return data_folder.prepare(wiring.Service(settings), "http://testserver")

    made = await asyncio.gather(*(asyncio.to_thread(start, number) for number in range(4)))
    assert len([first for first in made if first is not None]) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@h:port/x",
        "postgresql://u:secret@127.0.0.1:1/x",
        "postgresql://u:secret@127.0.0.1:99999/x",
        "postgresql://127.0.0.1:1/x?user=u&password=secret",
        "postgresql://u:sec#ret@127.0.0.1:1/x",
    ],
)
async def test_a_database_that_cannot_be_reached(prepared: Prepared, tmp_path: Path, url: str) -> None:
    """One line, without the password."""
    settings = make_settings(tmp_path / "data", database=DatabaseSettings(url=url))
    with pytest.raises(StartError) as failure:
        await asyncio.to_thread(data_folder.prepare, wiring.Service(settings), "http://testserver")
    assert "sec" not in failure.value.message
    assert "\n" not in failure.value.message


async def test_hosts_have_one_folder_in_common(prepared: Prepared, tmp_path: Path) -> None:
    """A host with another folder for the same store is refused, and so is a folder of another service."""
    assert prepared.cluster is not None
    urls = [prepared.cluster.url(prepared.cluster.create()) for _ in range(2)]

    async def start(folder: str, url: str) -> None:
        settings = make_settings(tmp_path / folder, database=DatabaseSettings(url=url))
        await asyncio.to_thread(data_folder.prepare, wiring.Service(settings), "http://testserver")

    await start("one", urls[0])
    await start("one", urls[0])
    with pytest.raises(StartError, match="not the one"):
        await start("two", urls[0])
    (tmp_path / "one" / "images" / "ab").mkdir()
    (tmp_path / "one" / "images" / "ab" / "abc").touch()
    with pytest.raises(StartError, match="another Tintype"):
        await start("one", urls[1])
    (tmp_path / "one" / "tintype.toml").write_text(f"[database]\nurl = '{urls[1]}'\n")
    with pytest.raises(StartError, match="another Tintype"):
        await asyncio.to_thread(lambda: gc_command(dry_run=False, data_dir=tmp_path / "one"))
    assert (tmp_path / "one" / "images" / "ab" / "abc").exists()


@pytest.mark.parametrize("kind", [asyncpg.InternalClientError, asyncpg.InterfaceError, ConnectionResetError])
def test_what_a_dying_connection_says(prepared: Prepared, kind: type[Exception]) -> None:
    """All of it means 503 to a client, who is told nothing of the driver."""
    with pytest.raises(Unavailable) as failure, postgres._map_driver_errors():
        raise kind("cannot switch to state 12")
    assert "state" not in failure.value.message


async def test_certificates_that_cannot_be_read(prepared: Prepared, tmp_path: Path) -> None:
    """A wrong `keystone.cafile` stops the start, not each request."""
    chosen = KeystoneSettings(auth_url="https://keystone.example.org", cafile=str(tmp_path / "none.pem"))
    with pytest.raises(StartError, match="cafile"):
        _ = wiring.Service(make_settings(tmp_path, keystone=chosen)).app


async def test_a_killed_database_is_told_and_outlived(prepared: Prepared, tmp_path: Path) -> None:
    """While it is gone each request is 503 with a time to come back; what was acknowledged is there."""
    async with running(prepared, tmp_path) as service:
        cluster = prepared.cluster
        assert cluster is not None
        made, codes = [], []
        stopped: list[bool] = []

        async def load() -> None:
            while not stopped:
                answer = await service.call("alice", "POST", "/v2/images", json={"name": "x"})
                codes.append(answer.status_code)
                if answer.status_code == 201:
                    made.append(answer.json()["id"])
                else:
                    assert "retry-after" in answer.headers
                    await asyncio.sleep(0.02)

        loading = [asyncio.create_task(load()) for _ in range(4)]
        await asyncio.sleep(0.5)
        assert made
        await asyncio.to_thread(cluster.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(cluster.start)
        count = len(made)
        await asyncio.sleep(2)
        assert len(made) > count
        stopped.append(True)
        await asyncio.gather(*loading)
        assert set(codes) == {201, 503}
        for image in made:
            assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 200
