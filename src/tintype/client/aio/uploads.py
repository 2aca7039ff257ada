"""Uploads: resumable if the server supports it, otherwise in one request."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any, Final

from tintype.client import errors, retries
from tintype.client.aio import io
from tintype.client.aio.transport import Transport
from tintype.client.files import Bytes, Source
from tintype.client.operations import data, images, uploads
from tintype.client.progress import Count, Progress, RetryBudget
from tintype.client.requests import Request

_SMALL: Final = 8 << 20
"""Smaller data, in bytes, is sent again rather than resumed."""
_NO_TUS: Final = frozenset({404, 405, 501})
_LOST: Final = frozenset({404, 410})
_SECONDS_OF_SAVING: Final = 30.0


async def upload(
    transport: Transport,
    image_id: str,
    given: Bytes,
    *,
    size: int | None = None,
    store: str | None = None,
    progress: Progress | None = None,
    resumable: bool | None = None,
    verify: bool | None = None,
) -> None:
    """Upload the data of an image; see `Images.upload`."""
    source = await io.call(Source, given, size)
    try:
        if verify and not source.again:
            raise ValueError("Only bytes that can be read again can be verified afterwards.")
        session = None
        if source.again and source.size and resumable is not False:
            session = await _session(transport, image_id, source, store, wanted=resumable)
        count = Count(progress, source.size)
        if session is None:
            cut = await _whole(transport, image_id, source, store, count)
        else:
            cut = await _resume(transport, image_id, session, source, count)
        if source.again and (verify or (cut and verify is None)):
            await _verify(transport, image_id, source)
    finally:
        await io.call(source.close)


async def stage(
    transport: Transport,
    image_id: str,
    given: Bytes,
    *,
    size: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Stage data for an import; see `Images.stage`."""
    source = await io.call(Source, given, size)
    try:
        await _send(
            transport, data.stage(image_id, size=source.size), source, 0, Count(progress, source.size)
        )
    finally:
        await io.call(source.close)


async def _session(
    transport: Transport, image_id: str, source: Source, store: str | None, *, wanted: bool | None
) -> str | None:
    """Return an upload to resume, or a new one; None if one request is enough, or tus is not supported."""
    assert source.size is not None  # noqa: S101  data that can be read again has a size
    try:
        if source.label:
            known = await transport.send(uploads.list_(image_id))
            label = uploads.metadata(source.label)
            for each in known:
                if each.length == source.size and each.metadata == label:
                    return each.id
        if source.size < _SMALL and not wanted:
            return None
        return await transport.send(uploads.create(image_id, source.size, label=source.label, store=store))
    except errors.HTTPError as refused:
        if refused.code not in _NO_TUS or wanted:
            raise
        return None


async def _resume(transport: Transport, image_id: str, upload_id: str, source: Source, count: Count) -> bool:
    """Send the missing bytes until none is missing; return whether that needed more than one request."""
    budget = RetryBudget(transport.attempts)
    try:
        start = await transport.send(uploads.offset(image_id, upload_id))
    except errors.HTTPError as failure:
        start = await _continue(transport, image_id, upload_id, source, budget, 0, failure)
    cut = start > 0
    while start != source.size:
        count.at(start)
        try:
            reached = await _send(transport, uploads.append(image_id, upload_id, start), source, start, count)
            if not start < reached <= (source.size or 0):
                raise errors.CommunicationError(f"The server has {reached} bytes now, after {start}.")
            start = reached
        except errors.ClientError as failure:
            start = await _continue(transport, image_id, upload_id, source, budget, start, failure)
            cut = True
    count.at(start)
    return cut


async def _continue(
    transport: Transport,
    image_id: str,
    upload_id: str,
    source: Source,
    budget: RetryBudget,
    start: int,
    failure: errors.ClientError,
) -> int:
    """Return the offset at which to continue after a failure at `start`; raise it if that is no use.

    While a process that died still holds the upload, its lease not yet over, the server answers 423.
    """
    while True:
        failures = budget.record_failure(start)
        if failures is None or not retries.is_transient(failure):
            raise failure
        await io.sleep(retries.pause(failures, failure))
        try:
            return await transport.send(uploads.offset(image_id, upload_id))
        except errors.HTTPError as refused:
            if refused.code in _LOST and await _is_active(transport, image_id):
                return source.size or 0  # the last chunk arrived, but its response was lost
            failure = refused


async def _whole(
    transport: Transport, image_id: str, source: Source, store: str | None, count: Count
) -> bool:
    """Send everything in one request, and again after an interruption; return whether there was one."""
    budget, cut = RetryBudget(transport.attempts), False
    request = data.upload(image_id, size=source.size, store=store)
    while True:
        try:
            await _send(transport, request, source, 0, count)
        except errors.ClientError as failure:
            failures = budget.record_failure(0)
            if failures is None or not source.again or not retries.may_repeat(request, failure):
                raise
            await io.sleep(retries.pause(failures, failure))
            if await _wait_settled(transport, image_id) == "active":
                return True
            cut = True
        else:
            return cut


async def _send(transport: Transport, request: Request[Any], source: Source, start: int, count: Count) -> int:
    """Send bytes with a request; return the offset in the response, else the number of bytes sent."""
    if source.size is not None:
        length = {"Content-Length": str(source.size - start)}
        request = dataclasses.replace(request, headers={**request.headers, **length})
    async with transport.stream(request, _pieces(source, start, count)) as answer:
        offset = answer.headers.get("upload-offset", "")
    return int(offset) if offset.isdecimal() else count.done


async def _pieces(source: Source, start: int, count: Count) -> AsyncIterator[bytes]:
    count.at(start)
    pieces = source.pieces(start)
    while (piece := await io.call(next, pieces, None)) is not None:
        if piece:  # an empty chunk is not the end
            yield piece
            count.add(len(piece))


async def _is_active(transport: Transport, image_id: str) -> bool:
    return (await transport.send(images.get(image_id))).status == "active"


async def _wait_settled(transport: Transport, image_id: str) -> str:
    """Return the image's status once the server has ended a broken upload, or a timeout has passed."""
    waited, pause = 0.0, 0.1
    while True:
        status = (await transport.send(images.get(image_id))).status
        if status != "saving" or waited > _SECONDS_OF_SAVING:
            return status
        await io.sleep(pause)
        waited, pause = waited + pause, min(2 * pause, 2.0)


async def _verify(transport: Transport, image_id: str, source: Source) -> None:
    """Check the data against the server's digest; raises DigestMismatch."""
    image = await transport.send(images.get(image_id))
    algorithm, expected = image.os_hash_algo or "md5", image.os_hash_value or image.checksum
    if expected is not None:
        made = await io.call(source.digest, algorithm)
        if made != expected:
            raise errors.DigestMismatch(
                f"The data of image {image_id} is not what was sent: {algorithm} was {expected}, not {made}. "
                "Delete the image."
            )
