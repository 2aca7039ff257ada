"""Imports and tasks for the page: start, list, and events about their progress."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.extensions import STOPPING
from tintype.api.imports import ImportsApi
from tintype.api.tasks import view
from tintype.auth.base import Authenticator
from tintype.dashboard.guard import SESSION, document, items
from tintype.domain import tasks as rules
from tintype.domain.callers import Caller
from tintype.domain.imports import COPY
from tintype.domain.tasks import Task
from tintype.errors import TooManyAttempts, Unauthenticated, Unavailable
from tintype.services.tasks import Tasks

_SHOWN: Final = 50
_EVERY_SECONDS: Final = 1.0
_SILENT_SECONDS: Final = 15.0
_TRUSTED_SECONDS: Final = 5.0
"""Seconds between two checks of the session."""
_STREAM_SECONDS: Final = 600.0
"""Seconds after which the browser reconnects."""


class DashboardTasks:
    """Handlers of `/api/glance/tasks/`, `/api/glance/events/`, and of imports."""

    def __init__(
        self,
        tasks: Tasks,
        imports: ImportsApi,
        authenticator: Authenticator,
        *,
        streams: int,
        user_streams: int,
    ) -> None:
        """Allow `streams` event streams at once, and `user_streams` for one user."""
        self._most, self._most_of_user = streams, user_streams
        self._tasks = tasks
        self._imports = imports
        self._authenticator = authenticator
        self._streams: Counter[str] = Counter()

    async def begin(self, call: Call) -> Response:
        """Begin an import; the body is the image API's."""
        await self._imports.begin(call, await document(call), call.cookies[SESSION])
        return wire.no_content()

    async def copy(self, call: Call) -> Response:
        """Copy an image to the given `stores`, or to all of them."""
        data = await document(call)
        more = {name: data[name] for name in ("stores", "all_stores") if name in data}
        method: dict[str, Any] = {"method": {"name": COPY}, "all_stores_must_succeed": False}
        await self._imports.begin(call, method | more, call.cookies[SESSION])
        return wire.no_content()

    async def index(self, call: Call) -> Response:
        """List the newest tasks of the project, running ones with their progress."""
        return items(await self._newest(call.caller))

    async def of_image(self, call: Call) -> Response:
        """List the tasks of an image."""
        found = await self._tasks.of(call.caller, call.params["id"])
        return items(await self._views(call.caller, found))

    async def show(self, call: Call) -> Response:
        """Show one task."""
        return await self._one(call.caller, await self._tasks.show(call.caller, call.params["id"]))

    async def cancel(self, call: Call) -> Response:
        """Request the cancellation of a task."""
        return await self._one(call.caller, await self._tasks.cancel(call.caller, call.params["id"]))

    async def events(self, call: Call) -> Response:
        """Stream the newest tasks, now and after each change (server-sent events)."""
        mine = self._streams[call.caller.user_id]
        if mine >= self._most_of_user or self._streams.total() >= self._most:
            raise Unavailable("Too many event streams are open; request the list instead.", retry_after=10)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stopping = call.scope.get("extensions", {}).get(STOPPING) or asyncio.Event()
        token = call.cookies[SESSION]
        events = self._task_events(call.caller, call.address, token, stopping)
        return StreamingResponse(events, 200, headers, "text/event-stream")

    async def _task_events(
        self, caller: Caller, address: str, token: str, stopping: asyncio.Event
    ) -> AsyncIterator[bytes]:
        began, said, spoke = time.monotonic(), b"", 0.0
        asked = began
        self._streams[caller.user_id] += 1
        try:
            yield b"retry: 2000\n\n"
            while not stopping.is_set() and (moment := time.monotonic()) < began + _STREAM_SECONDS:
                news = msgspec.json.encode(await self._newest(caller))
                if news != said:
                    yield b"event: tasks\ndata: " + news + b"\n\n"
                    said, spoke = news, moment
                elif moment > spoke + _SILENT_SECONDS:
                    yield b":\n\n"  # to detect browsers that have disconnected
                    spoke = moment
                if moment > asked + _TRUSTED_SECONDS:
                    await self._authenticator.authenticate(token, address=address)
                    asked = moment
                try:
                    async with asyncio.timeout(_EVERY_SECONDS):
                        await stopping.wait()
                except TimeoutError:
                    pass
        except (TooManyAttempts, Unauthenticated, Unavailable):
            return  # the browser reconnects, and gets the error then
        finally:
            self._streams[caller.user_id] -= 1
            self._streams += Counter()  # removes users without streams

    async def _newest(self, caller: Caller) -> list[dict[str, Any]]:
        own = rules.parse_query([], default_limit=_SHOWN, max_limit=_SHOWN).of(caller.project_id or "")
        return await self._views(caller, await self._tasks.list(caller, own))

    async def _one(self, caller: Caller, task: Task) -> Response:
        return wire.json_response((await self._views(caller, [task]))[0])

    async def _views(self, caller: Caller, tasks: Sequence[Task]) -> list[dict[str, Any]]:
        """Return tasks with the current names and statuses of their images."""
        images = await self._tasks.images(caller, tasks)
        shown = []
        for task in tasks:
            name, status = images.get(task.image_id or "", (None, None))
            shown.append(_view(task) | {"image_name": name, "image_status": status})
        return shown


def _view(task: Task) -> dict[str, Any]:
    """Return the API's view of a task, with its image and bytes, and without the API's URLs."""
    shown = view(task)
    for name in ("self", "schema"):
        del shown[name]
    return shown | {"image_id": task.image_id, "bytes": task.bytes_done, "bytes_total": task.bytes_total}
