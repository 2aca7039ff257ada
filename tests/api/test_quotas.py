"""Quotas of projects are exact, also with concurrent requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from test_imports import ended, loopback, working

import web
from inprocess import Prepared, Service, running
from tintype.cli.identity import limits as limits_command
from tintype.domain.quotas import Quota
from tintype.errors import Invalid
from tintype.settings.stores import FileStore, HttpStore

BINARY = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}
MIB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}


async def make(service: Service, who: str = "alice") -> str:
    answer = await service.call(who, "POST", "/v2/images", json=RAW)
    assert answer.status_code == 201, answer.text
    return f"/v2/images/{answer.json()['id']}"


async def put(service: Service, image: str, content: object, to: str = "file", **headers: str) -> int:
    answer = await service.call("alice", "PUT", f"{image}/{to}", content=content, headers=BINARY | headers)
    return answer.status_code


async def usage(service: Service, who: str = "alice") -> dict[str, tuple[int, int]]:
    found = (await service.call(who, "GET", "/v2/info/usage")).json()["usage"]
    return {name: (each["usage"], each["limit"]) for name, each in found.items()}


async def of_unknown_size(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_images_of_a_project(prepared: Prepared, tmp_path: Path) -> None:
    """Of 64 creations at once exactly as many succeed as there is room for; deleting one makes room."""
    async with running(prepared, tmp_path, quotas=Quota(image_count_total=10)) as service:
        requests = (service.call("alice", "POST", "/v2/images", json=RAW) for _ in range(64))
        answers = await asyncio.gather(*requests)
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [413] * 54
        refused = next(answer for answer in answers if answer.status_code == 413)
        assert "image_count_total" in refused.json()["error"]["message"]
        assert (await usage(service))["image_count_total"] == (10, 10)
        assert (await service.call("bob", "POST", "/v2/images", json=RAW)).status_code == 201
        made = next(answer for answer in answers if answer.status_code == 201).json()["id"]
        assert (await service.call("alice", "DELETE", f"/v2/images/{made}")).status_code == 204
        await make(service)


async def test_bytes_of_64_uploads_at_once(prepared: Prepared, tmp_path: Path) -> None:
    """Declared sizes are reserved when they begin: exactly as many end well as the quota has room for."""
    async with running(prepared, tmp_path, quotas=Quota(image_size_total=3)) as service:
        images = [await make(service) for _ in range(64)]
        codes = await asyncio.gather(*(put(service, image, b"x" * (MIB // 4)) for image in images))
        assert sorted(codes) == [204] * 12 + [413] * 52
        assert (await usage(service))["image_size_total"] == (3, 3)
        shown = [(await service.call("alice", "GET", image)).json() for image in images]
        assert sorted(image["status"] for image in shown) == ["active"] * 12 + ["queued"] * 52
        filled = next(image for image in shown if image["status"] == "active")["id"]
        assert (await service.call("alice", "DELETE", f"/v2/images/{filled}")).status_code == 204
        empty = next(image for image in shown if image["status"] == "queued")["id"]
        assert await put(service, f"/v2/images/{empty}", b"x" * (MIB // 4)) == 204


async def test_bytes_that_are_not_declared(prepared: Prepared, tmp_path: Path) -> None:
    """An upload without a length ends where the room does; of several at once the last ones are refused."""
    async with running(prepared, tmp_path, quotas=Quota(image_size_total=2)) as service:
        images = [await make(service) for _ in range(8)]
        assert await put(service, images[0], of_unknown_size(MIB, MIB, 1)) == 413
        shown = (await service.call("alice", "GET", images[0])).json()
        assert shown["status"] == "queued"
        work = (put(service, image, of_unknown_size(MIB // 2, MIB // 2)) for image in images)
        assert sorted(await asyncio.gather(*work)) == [204] * 2 + [413] * 6
        assert (await usage(service))["image_size_total"] == (2, 2)


async def test_staged_bytes_count_by_themselves(prepared: Prepared, tmp_path: Path) -> None:
    """What waits for an import has a limit of its own, and takes none of the other's room."""
    async with running(prepared, tmp_path, quotas=Quota(image_stage_total=1, image_size_total=1)) as service:
        first, second, third = [await make(service) for _ in range(3)]
        assert await put(service, first, b"x" * MIB, "stage") == 204
        assert await put(service, second, b"x", "stage") == 413
        assert await put(service, second, of_unknown_size(1), "stage") == 413
        assert await put(service, third, b"x" * MIB) == 204
        found = await usage(service)
        assert (found["image_stage_total"], found["image_size_total"]) == ((1, 1), (1, 1))


async def test_resumable_uploads_reserve_their_length(prepared: Prepared, tmp_path: Path) -> None:
    """From their creation to their end; one that is given up makes room."""
    async with running(
        prepared, tmp_path, quotas=Quota(image_size_total=1, image_count_uploading=1)
    ) as service:
        image = await make(service)

        async def begin(length: int) -> tuple[int, str]:
            headers = {**TUS, "Upload-Length": str(length)}
            answer = await service.call("alice", "POST", f"{image}/uploads", headers=headers)
            return answer.status_code, answer.headers.get("location", "")

        assert (await begin(MIB + 1))[0] == 413
        status, location = await begin(MIB)
        assert status == 201
        assert (await begin(1))[0] == 413
        assert await put(service, await make(service), b"x") == 413
        assert (await usage(service))["image_count_uploading"] == (1, 1)
        path = location.removeprefix("http://testserver")
        assert (await service.call("alice", "DELETE", path, headers=TUS)).status_code == 204
        assert (await usage(service))["image_size_total"] == (0, 1)
        status, location = await begin(MIB)
        headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        path = location.removeprefix("http://testserver")
        answer = await service.call("alice", "PATCH", path, headers=headers, content=b"x" * MIB)
        assert answer.status_code == 204, answer.text
        assert (await usage(service))["image_count_uploading"] == (0, 1)


async def test_uploads_at_the_same_time(prepared: Prepared, tmp_path: Path) -> None:
    """While two are on their way a third is refused, and takes nothing."""
    async with running(prepared, tmp_path, quotas=Quota(image_count_uploading=2)) as service:
        go = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            await go.wait()
            yield b"x"

        images = [await make(service) for _ in range(3)]
        running_ones = [asyncio.create_task(put(service, image, slow())) for image in images[:2]]
        for _ in range(100):
            if (await usage(service))["image_count_uploading"] == (2, 2):
                break
            await asyncio.sleep(0.02)
        assert await put(service, images[2], b"x") == 413
        assert (await service.call("alice", "GET", images[2])).json()["status"] == "queued"
        go.set()
        assert await asyncio.gather(*running_ones) == [204, 204]
        assert await put(service, images[2], b"x") == 204


async def import_by_web(service: Service, image: str) -> int:
    method = {"name": "web-download", "uri": f"{service.web.url}/disk"}
    answer = await service.call("admin", "POST", f"{image}/import", json={"method": method})
    return answer.status_code


async def import_from_a_region(service: Service, image: str) -> int:
    key = image.rpartition("/")[2]
    method = {"name": "glance-download", "glance_region": "RegionOne", "glance_image_id": key}
    answer = await service.call("admin", "POST", f"{image}/import", json={"method": method})
    return answer.status_code


async def import_by_task(service: Service, _image: str) -> int:
    given = {
        "import_from": f"{service.web.url}/disk",
        "import_from_format": "raw",
        "image_properties": RAW,
    }
    answer = await service.call("admin", "POST", "/v2/tasks", json={"type": "import", "input": given})
    return answer.status_code


async def add_location(service: Service, image: str) -> int:
    body = {"url": f"{service.web.url}/disk"}
    return (await service.call("admin", "POST", f"{image}/locations", json=body)).status_code


async def begin_resumable(service: Service, image: str) -> int:
    headers = {**TUS, "Upload-Length": "2"}
    return (await service.call("admin", "POST", f"{image}/uploads", headers=headers)).status_code


async def stage(service: Service, image: str) -> int:
    answer = await service.call("admin", "PUT", f"{image}/stage", content=b"x", headers=BINARY)
    return answer.status_code


async def copy(service: Service, _image: str) -> int:
    body = {"method": {"name": "copy-image"}, "stores": ["near"]}
    return (await service.call("admin", "POST", f"{service.active}/import", json=body)).status_code


WAYS = [stage, begin_resumable, import_by_web, import_from_a_region, import_by_task, add_location, copy]


@pytest.fixture
def counting(prepared: Prepared, tmp_path: Path) -> Iterator[AbstractAsyncContextManager[Service]]:
    """Give a service in which one upload may be under way, with the web to import from and a second store."""
    with web.serving(lambda request: request.ranged(b"x" * MIB)) as server:
        near = {"local": FileStore(), "near": FileStore(folder="near"), "web": HttpStore()}

        @asynccontextmanager
        async def started() -> AsyncIterator[Service]:
            quota = Quota(image_count_uploading=1)
            async with running(
                prepared, tmp_path, quotas=quota, stores=near, imports=loopback(server)
            ) as service:
                service.web = server
                service.active = await make(service, "admin")
                path = f"{service.active}/file"
                answer = await service.call("admin", "PUT", path, content=b"x", headers=BINARY)
                assert answer.status_code == 204
                yield service

        yield started()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_every_way_of_moving_bytes_counts(
    counting: AbstractAsyncContextManager[Service], way: Callable[[Service, str], Awaitable[int]]
) -> None:
    """Each is shown as an upload under way while it is, and is refused while another one is."""
    async with counting as service:
        image, other = [await make(service, "admin") for _ in range(2)]
        assert (await usage(service, "admin"))["image_count_uploading"] == (0, 1)
        assert await way(service, image) in {201, 202, 204}
        assert (await usage(service, "admin"))["image_count_uploading"] == (1, 1)
        assert await begin_resumable(service, other) == 413


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_every_way_of_moving_bytes_is_limited(
    counting: AbstractAsyncContextManager[Service], way: Callable[[Service, str], Awaitable[int]]
) -> None:
    """While one upload is under way the next is refused, whatever its way, and leaves its image alone."""
    async with counting as service:
        image, other = [await make(service, "admin") for _ in range(2)]
        assert await begin_resumable(service, other) == 201
        before = (await service.call("admin", "GET", service.active)).json()
        assert await way(service, image) == 413
        assert (await service.call("admin", "GET", image)).json()["status"] == "queued"
        assert (await service.call("admin", "GET", service.active)).json() == before
        assert (await usage(service, "admin"))["image_count_uploading"] == (1, 1)


async def test_a_copy_counts_until_it_ends(counting: AbstractAsyncContextManager[Service]) -> None:
    """The end of a copy, good or by a cancel, makes room for the next one."""
    async with counting as service:
        assert await copy(service, "") == 202
        task = (await service.call("admin", "GET", f"{service.active}/tasks")).json()["tasks"][0]["id"]
        assert (await service.call("admin", "POST", f"/v2/tasks/{task}/actions/cancel")).status_code == 202
        async with working(service):
            await ended(service, service.active)
            assert (await usage(service, "admin"))["image_count_uploading"] == (0, 1)
            assert await copy(service, "") == 202
            async with asyncio.timeout(20):
                while True:
                    if (await usage(service, "admin"))["image_count_uploading"] == (0, 1):
                        break
                    await asyncio.sleep(0.02)
        assert (await service.call("admin", "GET", service.active)).json()["stores"] == "local,near"


async def test_an_admin_who_acts_for_others_is_not_held(prepared: Prepared, tmp_path: Path) -> None:
    """What an admin makes for a project counts there, and is not refused."""
    async with running(prepared, tmp_path, quotas=Quota(image_count_total=1)) as service:
        await make(service)
        body = {**RAW, "owner": service.projects["alice"]}
        assert (await service.call("admin", "POST", "/v2/images", json=body)).status_code == 201
        assert (await usage(service))["image_count_total"] == (2, 1)
        await make(service, "admin")
        assert (await service.call("admin", "POST", "/v2/images", json=RAW)).status_code == 413


async def test_limits_of_one_project(service: Service) -> None:
    """They are set by an operator, count within a second, and may be taken back."""
    identity = service.parts.identity
    await identity.projects.set_limit("alpha", "image_count_total", 0)
    token = (await identity.tokens.validate(service.tokens["alice"])).caller
    assert token.quota.image_count_total == 0
    await asyncio.sleep(1.1)
    assert (await service.call("alice", "POST", "/v2/images", json=RAW)).status_code == 413
    assert (await service.call("bob", "POST", "/v2/images", json=RAW)).status_code == 201
    await identity.projects.set_limit("alpha", "image_count_total", None)
    assert (await identity.projects.get_limits("alpha")).image_count_total == -1
    for name, value in (("images", 1), ("image_count_total", -2), ("image_count_total", 1 << 50)):
        with pytest.raises(Invalid):
            await identity.projects.set_limit("alpha", name, value)


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
async def test_the_command_line(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tintype project limits` sets, shows and takes back."""
    async with running(prepared, tmp_path) as service:

        async def run(**options: Any) -> None:
            await asyncio.to_thread(limits_command, "alpha", data_dir=service.folder, **options)

        await run(image_size_total="5", image_count_total="7")
        assert "image_size_total\t5" in capsys.readouterr().out
        await run(image_size_total="default")
        shown = capsys.readouterr().out
        assert "image_size_total\t-1" in shown
        assert "image_count_total\t7" in shown
        with pytest.raises(Invalid, match="many"):
            await run(image_size_total="many")
