"""Tasks on the server."""

from typing import Any

from tintype.client.models import Task
from tintype.client.requests import Listing, Request, one, pages, path, query


def list_(
    *,
    limit: int | None = None,
    marker: str | None = None,
    sort_key: str | None = None,
    sort_dir: str | None = None,
    status: str | None = None,
    type: str | None = None,  # noqa: A002  the API's name
    **filters: Any,
) -> Listing[Task]:
    """List tasks, optionally by `status` and `type`; for operators, in both Glance and Tintype."""
    asked = {
        "status": status,
        "type": type,
        **filters,
        "limit": limit,
        "marker": marker,
        "sort_key": sort_key,
        "sort_dir": sort_dir,
    }
    return Listing("GET", "/v2/tasks", pages(Task, "tasks"), query=query(asked))


def get(task_id: str) -> Request[Task]:
    """Show a task."""
    return Request("GET", path("v2", "tasks", task_id), one(Task))


def create(type: str, input: dict[str, Any]) -> Request[Task]:  # noqa: A002  the API's names
    """Create a task; `input` of type `import` has `import_from`, `import_from_format`, `image_properties`."""
    return Request("POST", "/v2/tasks", one(Task), body={"type": type, "input": input})


def cancel(task_id: str) -> Request[Task]:
    """Request the cancellation of a task (Tintype only)."""
    return Request("POST", path("v2", "tasks", task_id, "actions", "cancel"), one(Task))
