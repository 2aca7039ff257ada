# Made by `make docs` of ../aio; do not edit.
"""Downloads: parallel ranges, resumed after interruptions, checked against the image's digest."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from tintype.client import errors, retries
from tintype.client.blocking import io
from tintype.client.blocking.transport import Streamed, Transport
from tintype.client.files import PIECE, Hashing, PartFile, hasher
from tintype.client.models import Image
from tintype.client.operations import data as operations
from tintype.client.operations import images
from tintype.client.progress import Count, Progress, RetryBudget

_RANGE: Final = 32 << 20
"""Bytes in each of several requests: large enough for little overhead, small enough to run in parallel."""
_BUSY: Final = 0.6
"""Share of a core above which the client is the bottleneck, and parallel ranges would be slower."""
_WITHOUT: Final = frozenset({"queued", "saving", "uploading", "importing"})


def download(
    transport: Transport,
    image_id: str,
    target: str | os.PathLike[str] | IO[bytes],
    *,
    parallel: int = 4,
    progress: Progress | None = None,
    verify: bool = True,
    prefer: Sequence[str] = (),
) -> Image:
    """Download the data of an image; see `Images.download`."""
    image = _with_bytes(transport, image_id)
    if isinstance(target, str | os.PathLike):
        path = io.call(Path(target).resolve)
        if io.call(_is_special, path):
            file = io.call(path.open, "wb")
            try:
                _in_order(transport, image, file, progress, verify=verify, prefer=prefer)
            finally:
                io.call(file.close)
        else:
            _to_file(transport, image, path, parallel, progress, verify=verify, prefer=prefer)
    else:
        _in_order(transport, image, target, progress, verify=verify, prefer=prefer)
    return image


def _in_order(
    transport: Transport,
    image: Image,
    file: IO[bytes],
    progress: Progress | None,
    *,
    verify: bool,
    prefer: Sequence[str],
) -> None:
    count = Count(progress, image.size)
    for piece in _verified(transport, image, verify=verify, prefer=prefer):
        io.call(file.write, piece)
        count.add(len(piece))


def data(
    transport: Transport, image_id: str, *, verify: bool = True, prefer: Sequence[str] = ()
) -> Iterator[bytes]:
    """Yield the data of an image in order; see `Images.data`."""
    image = _with_bytes(transport, image_id)
    for piece in _verified(transport, image, verify=verify, prefer=prefer):
        yield piece


def _to_file(
    transport: Transport,
    image: Image,
    target: Path,
    parallel: int,
    progress: Progress | None,
    *,
    verify: bool,
    prefer: Sequence[str],
) -> None:
    if image.size is None:
        raise errors.ClientError(f"Image {image.id} has no size; it can only be read in order, with data().")
    algorithm, expected = _digest(image, verify=verify)
    label = f"{image.id} {image.os_hash_value or image.checksum}"
    part = io.call(PartFile, target, image.size, label)
    hashing = None if expected is None else Hashing(part, algorithm)
    count = Count(progress, image.size, part.done)

    def fetch(span: tuple[int, int]) -> None:
        _fetch(transport, image, part, span, count, prefer)

    try:
        for first in part.missing(_RANGE):
            began, worked = time.monotonic(), time.process_time()
            fetch(first)  # a server without ranges has sent everything now
            busy = time.process_time() - worked > _BUSY * (time.monotonic() - began)
            if first == (0, _RANGE) and busy:  # no data from an earlier download was hashed meanwhile
                parallel = 1
            break
        longest = _RANGE if parallel > 1 else max(1, part.size)  # without parallelism, one request
        io.every(fetch, part.missing(longest), parallel, part.close)
        if hashing is not None:
            made = io.call(hashing.result)
            if made != expected:
                io.call(part.discard)
                raise _mismatch(image, algorithm, made, expected)
        io.call(part.finish)
    finally:
        io.call(part.close)


def _fetch(
    transport: Transport,
    image: Image,
    part: PartFile,
    span: tuple[int, int],
    count: Count,
    prefer: Sequence[str],
) -> None:
    """Download a range, and resume it after interruptions."""
    budget = RetryBudget(transport.attempts)
    position, end = span
    while position < end:
        try:
            request = operations.download(image.id, start=position, end=end, prefer=prefer)
            with transport.stream(request) as answer:
                begun = _begin(answer, position)
                until = end if answer.status == 206 else part.size
                for piece in _gathered(answer.pieces()):
                    if begun + len(piece) > until:
                        raise errors.CommunicationError("The server sent more bytes than requested.")
                    io.call(part.write, begun, piece)
                    begun += len(piece)
                    count.add(max(0, min(len(piece), begun - position)))
                    position = max(position, begun)
            if position < end:
                raise errors.CommunicationError("The bytes ended early.")
        except errors.ClientError as failure:
            failures = budget.record_failure(position)
            if failures is None or not retries.is_transient(failure):
                raise
            io.sleep(retries.pause(failures, failure))


def _verified(transport: Transport, image: Image, *, verify: bool, prefer: Sequence[str]) -> Iterator[bytes]:
    """Yield the data in order, resume after interruptions, and check the digest at the end."""
    algorithm, expected = _digest(image, verify=verify)
    made = None if expected is None else hasher(algorithm)
    budget, position = RetryBudget(transport.attempts), 0
    while image.size is None or position < image.size or position == 0:
        try:
            with transport.stream(operations.download(image.id, start=position, prefer=prefer)) as answer:
                passed = position - _begin(answer, position)  # skip bytes that were received before
                for piece in _gathered(answer.pieces()):
                    fresh = piece[passed:]
                    passed = max(0, passed - len(piece))
                    if image.size is not None and position + len(fresh) > image.size:
                        raise errors.CommunicationError("The server sent more bytes than the image has.")
                    if fresh:
                        if made is not None:
                            io.call(made.update, fresh)
                        position += len(fresh)
                        yield fresh
            if image.size is not None and position < image.size:
                raise errors.CommunicationError("The bytes ended early.")
            break
        except errors.ClientError as failure:
            failures = budget.record_failure(position)
            if failures is None or not retries.is_transient(failure):
                raise
            io.sleep(retries.pause(failures, failure))
    if made is not None and made.hexdigest() != expected:
        raise _mismatch(image, algorithm, made.hexdigest(), expected)


def _is_special(path: Path) -> bool:
    """Return whether a path is a pipe or device, which is written to, not replaced."""
    return path.exists() and not path.is_file()


def _begin(answer: Streamed, wanted: int) -> int:
    """Return the offset of a response's first byte: 0 if the server does not support ranges."""
    if answer.status != 206:
        return 0
    received = answer.headers.get("content-range", "")
    if not received.startswith(f"bytes {wanted}-"):
        raise errors.CommunicationError(
            f"The server sent other bytes than the requested ones: {received or 'no range'}."
        )
    return wanted


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield larger chunks, to save calls; yield the rest even if the connection breaks."""
    waiting: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
    except errors.CommunicationError:
        if waiting:
            yield b"".join(waiting)
        raise
    if waiting:
        yield b"".join(waiting)


def _with_bytes(transport: Transport, image_id: str) -> Image:
    image = transport.send(images.get(image_id))
    if image.status in _WITHOUT:
        raise errors.Conflict(f"Image {image.id} has no bytes yet: it is {image.status}.")
    return image


def _digest(image: Image, *, verify: bool) -> tuple[str, str | None]:
    """Return the algorithm and the expected digest; the digest is None if there is nothing to check."""
    if not verify:
        return "", None
    algorithm, expected = image.os_hash_algo or "md5", image.os_hash_value or image.checksum
    if expected is not None:
        hasher(algorithm)  # raises before the download begins if the algorithm is unknown
    return algorithm, expected


def _mismatch(image: Image, algorithm: str, made: str, expected: str | None) -> errors.DigestMismatch:
    return errors.DigestMismatch(
        f"The downloaded data of image {image.id} is damaged: {algorithm} is {made}, expected {expected}."
    )
