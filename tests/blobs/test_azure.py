"""A store in Azure Blob Storage, as Azurite emulates it."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from azurite import ACCOUNT, CONTAINER, Azurite
from tintype.blobs import objects
from tintype.blobs.base import Resumable
from tintype.blobs.objects import ObjectStore
from tintype.errors import NotFound, Unavailable
from tintype.testing import stores as conformance
from tintype.testing.stores import Check, by_writing, keys, read

pytestmark = [pytest.mark.needs("azurite"), pytest.mark.xdist_group("azurite")]
MIB = 1 << 20
ANY = objects.azure("cloud", bucket="b", prefix="", timeout=5, options={"account_name": "a"})


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Start an Azurite for all tests here."""
    running = Azurite(tmp_path_factory.mktemp("azurite"))
    yield running
    running.close()


@pytest_asyncio.fixture
async def store(azure: Azurite) -> AsyncIterator[ObjectStore]:
    """Give a store that is empty before and after."""
    opened = azure.store()
    yield opened
    assert await keys(opened) == set()
    await opened.close()


@pytest.mark.parametrize("check", conformance.checks_of(ANY), ids=lambda check: str(check.__name__))
async def test_azure(store: ObjectStore, check: Check) -> None:
    """Objects in a container do what a store must."""
    await check(store, by_writing(store))


async def test_whole_objects_are_listed(store: ObjectStore) -> None:
    """By their keys, also more than a page of them; what is outside the prefix is not ours."""
    names = {str(uuid.uuid4()) for _ in range(3)}
    for name in names:
        await store.put(store.path(name), b"x")
    await store.put("others", b"x")
    assert await keys(store) == names
    for name in names:
        await store.delete(name)
    await store.delete_object("others")


async def test_what_a_killed_upload_leaves(store: ObjectStore, azure: Azurite) -> None:
    """A mark by which it is found; its blocks are seen by no reader, and a new upload takes their place."""
    assert not isinstance(store, Resumable)
    key = conformance.new_key()
    writer = await store.create(key, None)
    await writer.write(memoryview(os.urandom(20 * MIB)))
    blocks = f"/{CONTAINER}/{store.path(key)}", "blocklisttype=uncommitted&comp=blocklist"
    for _ in range(300):  # they are sent beside the writer
        if "<Block>" in (stored := azure.request("GET", *blocks).text):
            break
        await asyncio.sleep(0.1)
    assert "<Block>" in stored
    await writer.close()
    assert await store.size(key) is None
    assert await keys(store) == {key}
    data = os.urandom(9 * MIB)
    await by_writing(store)(key, data)
    assert await read(store, key, 0, len(data)) == data
    assert "<Block>" not in azure.request("GET", *blocks).text
    assert [found async for found in store.keys()] == [key], "the mark goes with the commit"
    await store.delete(key)


async def test_late_writers_and_objects_of_others(store: ObjectStore) -> None:
    """Who commits after the deletion deletes its object again; marks of other objects are left alone."""
    key = conformance.new_key()
    writer = await store.create(key, None)
    await writer.write(memoryview(b"x"))
    await store.delete(key)
    with pytest.raises(NotFound, match="deleted meanwhile"):
        await writer.commit()
    assert await store.size(key) is None
    for name in ("others", "others.writing"):
        await store.put(name, b"x")
    await store.delete("=others")
    assert await store.has("others.writing")
    assert not await store.has("others")
    await store.delete_object("others.writing")


async def test_the_url_of_an_object_leads_back_to_it(store: ObjectStore) -> None:
    """Unless the service has written the object."""
    key = conformance.new_key()
    await by_writing(store)(key, b"0123456789")
    assert await store.url(key) == f"az://{CONTAINER}/tintype/{key}"
    assert await store.place(f"az://{CONTAINER}/theirs/disk") == "theirs/disk"
    assert await store.place(f"az://{CONTAINER}/tintype/{key}") is None
    await store.delete(key)


async def test_a_container_that_cannot_be_used(azure: Azurite) -> None:
    """One that is missing, or credentials that are wrong: said in words, and no object passes for deleted."""
    missing = azure.store(container="missing")
    await conformance.says_what_is_wrong(missing)
    for work in (missing.size("x"), missing.delete("x"), read(missing, "x", 0, 1)):
        with pytest.raises(Unavailable, match="does not exist"):
            await work
    wrong = azure.store(key="aGlkZGVu")
    await conformance.says_what_is_wrong(wrong)
    with pytest.raises(Unavailable) as failure:
        await wrong.check()
    assert "aGlkZGVu" not in str(failure.value)
    assert ACCOUNT not in str(failure.value)


async def test_a_service_that_goes_away(azure: Azurite) -> None:
    """A silent one fails writes and first reads; a read that has begun goes on when it is back."""
    store, impatient = azure.store(), azure.store(timeout=2)
    key, data = conformance.new_key(), os.urandom(30 * MIB)
    await by_writing(store)(key, data)
    with azure.silent():
        with pytest.raises(Unavailable):
            await impatient.check()
        with pytest.raises(Unavailable):
            await read(impatient, key, 0, 1)
    pieces = store.read(key, 0, len(data))
    got = bytearray(await anext(pieces))
    with azure.silent():
        await asyncio.sleep(1)
    async for piece in pieces:
        got += piece
    assert bytes(got) == data
    await store.delete(key)
    with pytest.raises(NotFound):
        await read(store, key, 0, 1)
