"""The digest pipeline: order, limits, and threads whose caller is cancelled."""

import asyncio
import errno
import fcntl
import gc
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from tintype.blobs import stream
from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.marks import set_folder_mark
from tintype.blobs.reading import closing
from tintype.blobs.stream import Chunks, DigestPipeline, SizeCheckedSource, in_thread, run_pipeline
from tintype.errors import Invalid, OverLimit, Unavailable

MIB = 1 << 20


def pieces(data: bytes, step: int) -> Chunks:
    async def cut() -> AsyncIterator[bytes]:
        for start in range(0, len(data), step):
            yield data[start : start + step]

    return Chunks(cut())


@pytest.mark.parametrize("step", [1000, 65_536, 5 * MIB, 40 * MIB])
async def test_every_step_sees_every_byte_in_order(step: int) -> None:
    """However the bytes come, and however long the steps take, buffers are never mixed up."""
    data = os.urandom(26 * MIB + 3)
    written = bytearray()

    async def write(part: memoryview) -> None:
        await asyncio.sleep(random.random() / 100)
        written.extend(part)

    look = DigestPipeline(None, algorithm="sha256", expected={"sha1": hashlib.sha1(data).hexdigest()})  # noqa: S324
    await look.run(pieces(data, step), write, None)
    digests = look.finish()
    assert bytes(written) == data
    assert (digests.size, digests.os_hash_value) == (len(data), hashlib.sha256(data).hexdigest())


async def test_a_pass_goes_on_in_a_second_run() -> None:
    """Two runs see what one run would have seen."""
    data = os.urandom(3 * MIB)
    look = DigestPipeline(None, algorithm="sha512")
    await look.run(pieces(data[:MIB], 1000), None, MIB)
    await look.run(pieces(data[MIB:], 70_000), None, None)
    assert look.finish().os_hash_value == hashlib.sha512(data).hexdigest()


async def test_md5_where_openssl_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built or told to leave out what secures nothing, it refuses; checksums are made all the same."""

    def refuse(*_arguments: object) -> None:
        raise UnsupportedAlgorithm("md5")

    right = hashlib.md5(b"abc" * MIB).hexdigest()  # noqa: S324
    for patched in (("hashlib", "new"), ("hashes", "Hash")):  # neither needs the other
        with monkeypatch.context() as without:
            without.setattr(getattr(stream, patched[0]), patched[1], refuse)
            look = DigestPipeline(None, algorithm="md5")
            await look.run(pieces(b"abc" * MIB, 70_000), None, None)
            assert look.finish().checksum == right


def test_md5_where_openssl_is_held_to_fips(tmp_path: Path) -> None:
    """As a host's configuration may say, here of a process of its own: uploads work all the same."""
    config = tmp_path / "openssl.cnf"
    config.write_text("openssl_conf = a\n[a]\nalg_section = b\n[b]\ndefault_properties = fips=yes\n")
    script = """if True:
        import asyncio
        from cryptography.hazmat.primitives import hashes
        from tintype.blobs.stream import Chunks, DigestPipeline
        async def data():
            yield b"abc"
        look = DigestPipeline(None, algorithm="sha512")
        asyncio.run(look.run(Chunks(data()), None, None))
        print(look.finish().checksum)
        hashes.Hash(hashes.MD5())"""
    environment = {**os.environ, "OPENSSL_CONF": str(config)}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=False)
    assert ran.stdout.decode().split() == [hashlib.md5(b"abc").hexdigest()], ran.stderr  # noqa: S324
    assert b"Error" in ran.stderr  # it was refused there


async def test_a_digest_leaves_others_to_work() -> None:
    """While md5 is made of a buffer, the event loop and other threads go on."""
    seen: list[float] = []

    async def beat() -> None:
        while True:
            seen.append(time.monotonic())
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    await DigestPipeline(None, algorithm="md5").run(pieces(bytes(64 * MIB), 64 * MIB), None, None)
    beating.cancel()
    assert len(seen) > 20


class Broken(BaseException):
    """What is no Exception: a panic in a library written in Rust is none."""


@pytest.mark.parametrize(
    ("failure", "told"),
    [(Unavailable("no"), Unavailable), (Broken(), Broken), (StopIteration(), RuntimeError)],
)
async def test_a_look_that_fails(failure: BaseException, told: type[BaseException]) -> None:
    """It is told, and takes no later buffer; a write beside it has the buffers so far."""
    looked = 0
    written: list[int] = []

    def look(_part: memoryview) -> None:
        nonlocal looked
        looked += 1
        raise failure

    async def write(part: memoryview) -> None:
        written.append(len(part))

    with pytest.raises(told):
        await asyncio.wait_for(run_pipeline(pieces(b"x" * 30 * MIB, MIB), write, [look], None), 5)
    assert looked == 1
    assert set(written) == {stream.BUFFER}


async def test_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be done is told, not waited for."""

    def refuse(*_arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
    with pytest.raises(RuntimeError, match="thread"):
        await asyncio.wait_for(
            DigestPipeline(None, algorithm="md5").run(pieces(b"x" * 30 * MIB, MIB), None, None), 5
        )


async def test_all_tasks_are_cancelled_at_once() -> None:
    """As at the end of a process: also a write that has not begun yet keeps nobody."""
    before = asyncio.all_tasks()

    async def write(_part: memoryview) -> None:
        raise AssertionError("it has not begun")

    class CancelsWhenTaken:
        async def fill(self, buffer: stream.Buffer) -> bool:
            buffer.add(memoryview(b"x"))
            asyncio.get_running_loop().call_soon(cancel)
            return False

    def cancel() -> None:
        for task in asyncio.all_tasks() - before:
            task.cancel()

    pumping = asyncio.create_task(run_pipeline(CancelsWhenTaken(), write, [], None))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(pumping), 5)


@pytest.mark.parametrize(("fast", "most"), [(True, stream._BUFFERS), (False, 0)])
async def test_large_pages_are_for_streams_that_fill_them(
    monkeypatch: pytest.MonkeyPatch, fast: bool, most: int
) -> None:
    """At most three buffers however slow the store; those of what trickles in grow as they are filled."""
    made: list[stream.Buffer] = []
    two_made = asyncio.Event()

    class Noted(stream.Buffer):
        def __init__(self, length: int, *, whole: bool = False) -> None:
            super().__init__(length, whole=whole)
            if whole:
                made.append(self)
            if len(made) == 2:
                two_made.set()

    monkeypatch.setattr(stream, "Buffer", Noted)

    async def numbered() -> AsyncIterator[bytes]:
        for number in range(12):
            if not fast:
                await asyncio.sleep(0.03)
            yield bytes([number]) * (stream.BUFFER if fast else 1000)

    written = bytearray()

    async def write(part: memoryview) -> None:
        if fast:
            await two_made.wait()
        written.extend(bytes(part[::1000]))

    await run_pipeline(Chunks(numbered()), write, [], None, 2.0 if fast else 0.001)
    each = len(range(0, stream.BUFFER, 1000)) if fast else 1
    assert written == b"".join(bytes([number]) * each for number in range(12))
    assert len(made) == most


async def test_a_silent_source_holds_no_memory() -> None:
    """What a client brought before it fell silent is written and let go of: silence may last long."""
    gone = asyncio.Event()
    wake = asyncio.get_running_loop().call_soon_threadsafe
    seen: list[weakref.finalize[..., stream.Buffer]] = []

    async def fill(buffer: stream.Buffer) -> bool:
        if seen:
            async with asyncio.timeout(5):
                await gone.wait()
            return False
        seen.append(weakref.finalize(buffer, wake, gone.set))
        buffer.add(memoryview(bytes(MIB)))
        return True

    async def write(part: memoryview) -> None:
        await in_thread(bytes, part)

    def look(part: memoryview) -> None:
        bytes(part)

    assert await run_pipeline(SimpleNamespace(fill=fill), write, [look], None) == MIB


async def test_another_digest_than_expected() -> None:
    """It is refused by name."""
    look = DigestPipeline(None, algorithm="sha512", expected={"md5": "0" * 32})
    await look.run(pieces(b"abc", 3), None, 3)
    with pytest.raises(Invalid, match="md5"):
        look.finish()


@pytest.mark.parametrize(
    ("size", "limit", "failure"), [(9, 100, Invalid), (11, 100, Invalid), (None, 9, OverLimit)]
)
async def test_sizes_are_held_to(size: int | None, limit: int, failure: type[Exception]) -> None:
    """Fewer or more than declared, or more than allowed."""
    with pytest.raises(failure):
        await run_pipeline(SizeCheckedSource(pieces(b"x" * 10, 3), size, limit), None, [], None)


async def test_nothing_is_written_behind_a_hole() -> None:
    """After a write that failed the same step takes no later buffer, though that is waiting already."""
    taken: list[int] = []

    async def fails_at_the_second(part: memoryview) -> None:
        await asyncio.sleep(0.01)
        if len(taken) == 1:
            raise Unavailable("no")
        taken.append(len(part))

    with pytest.raises(Unavailable):
        await run_pipeline(pieces(b"x" * 30 * MIB, MIB), fails_at_the_second, [], None)
    assert len(taken) == 1


async def test_a_failing_step_ends_the_pass_when_all_threads_have_ended() -> None:
    """Nothing works on a buffer after `run_pipeline` has ended."""
    working = 0

    def work(_part: memoryview) -> None:
        nonlocal working
        working += 1
        threading.Event().wait(0.05)
        working -= 1

    async def take(part: memoryview) -> None:
        await in_thread(work, part)
        raise Unavailable("no")

    with pytest.raises(Unavailable):
        await run_pipeline(pieces(b"x" * 30 * MIB, MIB), take, [], None)
    assert working == 0


@pytest.mark.parametrize("where", ["write", "disk", "look", "source"])
async def test_a_failed_pass_lets_go_of_its_memory(where: str) -> None:
    """Soon, not when the interpreter next looks for what refers to itself."""
    seen: list[weakref.ref[stream.Buffer]] = []

    def fails(kind: str, seen: int) -> None:
        if kind == where and seen >= 5:
            raise OverLimit("full")

    async def fill(buffer: stream.Buffer) -> bool:
        seen.append(weakref.ref(buffer))
        buffer.add(memoryview(bytes(stream.BUFFER)))
        fails("source", len(seen))
        return True

    written: list[int] = []

    async def write(part: memoryview) -> None:
        written.append(len(part))
        await asyncio.sleep(0)
        fails("write", len(written))
        await in_thread(to_disk, part)

    def to_disk(_part: memoryview) -> None:
        fails("disk", len(written))

    def look(_part: memoryview) -> None:
        fails("look", len(seen))

    gc.disable()
    try:
        with pytest.raises(OverLimit):
            await run_pipeline(SimpleNamespace(fill=fill), write, [look], None)
        await asyncio.sleep(0.05)  # the thread is on its way out
        assert [ref for ref in seen if ref() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("failure", [None, Unavailable("The connection broke.")])
async def test_who_is_cancelled_is_not_told_how_a_source_was_closed(failure: Exception | None) -> None:
    """A reader that goes on with another copy where a source fails must not do so when it shall end."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"x"
        finally:
            if failure is not None:
                raise failure

    async def read() -> None:
        async with closing(chunks()) as found:
            async for _ in found:
                await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_however_often_it_is_cancelled_a_thread_is_waited_for() -> None:
    """A buffer or descriptor is let go of only when nothing uses it any more."""
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(5)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.sleep(0.05)
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def marked(folder: Path) -> FilesystemStore:
    """Give a store in a folder that is marked as one."""
    set_folder_mark(folder, "mark")
    return FilesystemStore("files", folder)


async def test_a_file_has_one_writer(tmp_path: Path) -> None:
    """Who goes on while another still writes is told to come back; the other's bytes stay as they are."""
    store = marked(tmp_path)
    first = await store.resume("key", 0, 10)
    await first.write(memoryview(b"abc"))
    await first.flush()
    with pytest.raises(Unavailable):
        await store.resume("key", 3, 10)
    anew = await store.resume("key", 0, 10)
    with pytest.raises(Unavailable):
        await anew.write(memoryview(b"xyz"))
    await anew.close()
    await first.close()
    assert store.partial("key").read_bytes() == b"abc"
    second = await store.resume("key", 3, 10)
    await second.write(memoryview(b"def"))
    await second.commit()
    await second.close()
    assert store.path("key").read_bytes() == b"abcdef"
    await store.delete("key")


@pytest.mark.parametrize("capable", [True, False])
@pytest.mark.parametrize("seed", range(4))
async def test_whole_pages_and_rests_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, capable: bool
) -> None:
    """Writes past the page cache and through it, resumed in between, on file systems that can and cannot."""
    real = fcntl.fcntl
    if not capable:

        def refuse(file: int, command: int, argument: int = 0) -> int:
            if argument:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return real(file, command, argument)

        monkeypatch.setattr(fcntl, "fcntl", refuse)
    chance = random.Random(seed)
    store, data, offset = marked(tmp_path), os.urandom(3 * MIB + 777), 0
    memory = stream.Buffer(len(data)).memory
    memory[:] = data
    writer = await store.resume("key", 0, len(data))
    while offset < len(data):
        until = min(len(data), offset + chance.choice([1, 4095, 4096, 8192, MIB, 1_000_000]))
        await writer.write(memory[offset:until])
        offset = until
        if chance.random() < 0.3:
            await writer.flush()
            await writer.close()
            offset -= chance.choice([0, min(offset, 100), offset % 4096])
            writer = await store.resume("key", offset, len(data))
    await writer.commit()
    await writer.close()
    assert store.path("key").read_bytes() == data


async def test_a_cancelled_pipeline_leaves_no_hole() -> None:
    """Whoever waits for a slow store may be cancelled; what is written afterwards follows what was before."""
    written: list[int] = []
    waiting = asyncio.Event()

    async def slow(part: memoryview) -> None:
        waiting.set()
        await asyncio.sleep(0.05)
        written.append(part[0])

    async def numbered() -> AsyncIterator[bytes]:
        for number in range(20):
            yield bytes([number]) * stream.BUFFER

    pumping = asyncio.create_task(run_pipeline(Chunks(numbered()), slow, [], None))
    await waiting.wait()
    await asyncio.sleep(0.12)  # every buffer is taken: the pipeline waits for the oldest
    pumping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pumping
    assert written == list(range(len(written)))
