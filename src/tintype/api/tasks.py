"""Tasks over HTTP."""

from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from tintype.api import parameters, wire
from tintype.api.call import Call
from tintype.api.json_schema import one_of
from tintype.api.operation import Answer, describe
from tintype.domain import tasks as rules
from tintype.domain.tasks import PROCESSING, Task, size_text
from tintype.services.imports import Imports
from tintype.services.tasks import Tasks

_PATH: Final = "/v2/tasks"
_LIST: Final = (
    *(parameters.LIMIT, parameters.MARKER_ID, parameters.SORT_DIR),
    parameters.in_query("sort_key", "The key to sort by.", one_of(*rules.SORT_KEYS)),
    parameters.in_query("status", "Filter.", one_of(*rules.STATES)),
    parameters.in_query("type", "Filter.", one_of(*rules.TYPES)),
    parameters.in_query("owner", "Filter."),
)


class TasksApi:
    """Handlers of `/v2/tasks`, and of the tasks of an image."""

    def __init__(self, tasks: Tasks, imports: Imports, *, page_size: int, max_page_size: int) -> None:
        self._tasks = tasks
        self._imports = imports
        self._page_size = page_size
        self._max_page_size = max_page_size

    @describe(Answer(200, "tasks"), takes=_LIST)
    async def index(self, call: Call) -> Response:
        """List a page of tasks."""
        self._tasks.check_access(call.caller)
        pairs = wire.query_pairs(call.scope["query_string"])
        query = rules.parse_query(pairs, default_limit=self._page_size, max_limit=self._max_page_size)
        tasks = await self._tasks.list(call.caller, query)
        rest = [pair for pair in pairs if pair[0] != "marker"]
        body: dict[str, Any] = {
            "tasks": [_short_view(task) for task in tasks],
            "first": _page_path(rest),
            "schema": "/v2/schemas/tasks",
        }
        if tasks and len(tasks) == query.limit:
            body["next"] = _page_path([*rest, ("marker", tasks[-1].id)])
        return wire.json_response(body)

    @describe(
        Answer(201, "task", ("Location", "OpenStack-image-property-warnings")), body="new_task", errors=(409,)
    )
    async def create(self, call: Call) -> Response:
        """Create a task of type import: a new image with data from a URL."""
        self._tasks.check_access(call.caller)
        given = rules.check_legacy_import(wire.parse_json(await call.bounded_body()))
        task, warnings = await self._imports.begin_legacy(call.caller, given, call.request_id)
        headers = {"Location": f"{call.base_url_text}{_PATH}/{task.id}", **wire.property_warnings(warnings)}
        return wire.json_response(view(task), 201, headers)

    @describe(Answer(200, "task"))
    async def show(self, call: Call) -> Response:
        """Show one task."""
        self._tasks.check_access(call.caller)
        return wire.json_response(view(await self._tasks.show(call.caller, call.params["id"])))

    @describe(Answer(202, "task"), errors=(409,))
    async def cancel(self, call: Call) -> Response:
        """Request the cancellation of a task."""
        task = await self._tasks.cancel(call.caller, call.params["id"])
        return wire.json_response(view(task), 202)

    @describe(Answer(200, "image_tasks"))
    async def of_image(self, call: Call) -> Response:
        """List the tasks of an image."""
        tasks = await self._tasks.of(call.caller, call.params["id"])
        return wire.json_response({"tasks": [_image_view(task) for task in tasks]})


def _short_view(task: Task) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": task.id,
        "type": task.type,
        "status": task.state,
        "owner": task.owner,
        "created_at": wire.timestamp(task.created_at),
        "updated_at": wire.timestamp(task.updated_at),
        "self": f"{_PATH}/{task.id}",
        "schema": "/v2/schemas/task",
    }
    if task.expires_at is not None:
        view["expires_at"] = wire.timestamp(task.expires_at)
    return view


def view(task: Task) -> dict[str, Any]:
    """Return a task with all its fields."""
    shown = _short_view(task) | {"input": task.input, "message": _message(task), "result": _result(task)}
    for name in ("image_id", "request_id", "user_id"):
        if getattr(task, name):
            shown[name] = getattr(task, name)
    return shown


def _image_view(task: Task) -> dict[str, Any]:
    """Return a task as listed for an image: no links, and, as in Glance, UTC times without a zone."""
    return {
        "id": task.id,
        "type": task.type,
        "status": task.state,
        "owner": task.owner,
        "input": task.input,
        "result": _result(task),
        "message": _message(task),
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
        "expires_at": None if task.expires_at is None else wire.bare_timestamp(task.expires_at),
        "created_at": wire.bare_timestamp(task.created_at),
        "updated_at": wire.bare_timestamp(task.updated_at),
        "deleted": False,
        "deleted_at": None,
    }


def _result(task: Task) -> dict[str, Any] | None:
    """Return the result of a task; while it runs, its progress in bytes."""
    if task.state == PROCESSING and task.bytes_done:
        return {"bytes": task.bytes_done, "bytes_total": task.bytes_total}
    return task.result


def _message(task: Task) -> str:
    if task.state != PROCESSING or not task.bytes_done:
        return task.message
    of = "" if task.bytes_total is None else f" of {size_text(task.bytes_total)}"
    return f"Copied {size_text(task.bytes_done)}{of}."


def _page_path(pairs: list[tuple[str, str]]) -> str:
    return f"{_PATH}?{urlencode(pairs)}" if pairs else _PATH
