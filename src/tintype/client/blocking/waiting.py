# Made by `make docs` of ../aio; do not edit.
"""Waits for background work on the server."""

import time
from collections.abc import Collection
from typing import Final

from tintype.client import errors
from tintype.client.blocking import io
from tintype.client.blocking.transport import Transport
from tintype.client.models import Image, Task
from tintype.client.operations import images
from tintype.client.progress import Progress

_ENDED: Final = frozenset({"killed", "deleted", "pending_delete"})
_LIVE: Final = frozenset({"pending", "processing"})
_LONGEST_PAUSE: Final = 2.0


def wait(
    transport: Transport,
    image_id: str,
    *,
    within: float = 3600.0,
    progress: Progress | None = None,
    known: Collection[str] | None = None,
) -> Image:
    """Wait until an image is active and none of its tasks is running; see `Images.wait`."""
    until, pause = time.monotonic() + within, 0.1
    seen: set[str] = set()
    while True:
        tasks = _tasks(transport, image_id)
        image = transport.send(images.get(image_id))
        running = {task.id for task in tasks if task.status in _LIVE}
        seen |= running
        newest = tasks[0] if tasks else None
        if progress is not None and newest is not None and isinstance(newest.result, dict):
            progress(int(newest.result.get("bytes") or 0), newest.result.get("bytes_total") or image.size)
        if newest is not None and newest.status == "failure":
            ours = newest.id in seen or (known is not None and newest.id not in known)
            if ours or image.status != "active":
                raise errors.TransferFailed(newest.message or f"Task {newest.id} failed.")
        if image.status in _ENDED:
            raise errors.TransferFailed(f"Image {image_id} is {image.status}.")
        if image.status == "active" and not running:
            if progress is not None and image.size:
                progress(image.size, image.size)
            return image
        if time.monotonic() > until:
            raise errors.TransferFailed(f"Image {image_id} is still {image.status} after {within:.0f} s.")
        io.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)


def _tasks(transport: Transport, image_id: str) -> list[Task]:
    """Return an image's tasks, newest first; empty if the server does not list them (before 2.12)."""
    try:
        found = transport.send(images.tasks(image_id))
    except (errors.NotFound, errors.Forbidden):
        return []
    return sorted(found, key=lambda task: str(task.created_at), reverse=True)
