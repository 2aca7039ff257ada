"""Tasks: what callers see of jobs, and how they cancel one."""

from collections.abc import Awaitable, Callable, Sequence

from tintype.db import images as image_rows
from tintype.db import jobs
from tintype.db.engine import Database, fetch
from tintype.domain.callers import Caller
from tintype.domain.tasks import Task, TaskQuery
from tintype.errors import Conflict, Forbidden, Invalid, NotFound
from tintype.services.access import ImageAccess


class Tasks:
    """The use cases."""

    def __init__(
        self, database: Database, access: ImageAccess, *, cancel: Callable[[str], Awaitable[bool]]
    ) -> None:
        """`cancel` cancels a job, now or soon, and returns whether there was one to cancel."""
        self._database = database
        self._policy = access.policy
        self._access = access
        self._cancel = cancel

    def check_access(self, caller: Caller) -> None:
        """Raise Forbidden if the caller may not use the task API."""
        self._policy.require("tasks_api_access", caller, {})

    async def list(self, caller: Caller, query: TaskQuery) -> Sequence[Task]:
        """Return a page of tasks: all for an admin, else those of the caller's project."""
        if not caller.is_admin:
            query = query.of(caller.project_id or "")
        async with self._database.read() as tx:
            marker = None
            if query.marker is not None:
                marker = await jobs.get(tx, query.marker)
                if marker is None or not _sees(caller, marker):
                    raise Invalid(f"No task found with ID {query.marker}")
            return await jobs.page(tx, query, marker)

    async def show(self, caller: Caller, task_id: str) -> Task:
        """Return one task."""
        task = await fetch(self._database, jobs.get, task_id.lower())
        if task is None or not _sees(caller, task):
            raise _no_task(task_id)
        return task

    async def of(self, caller: Caller, image_id: str) -> Sequence[Task]:
        """Return those tasks of an image that belong to the caller's project; the image must be visible."""
        image = await self._access.get(caller, image_id)
        self._access.authorize("get_image", caller, image)
        return [
            task for task in await fetch(self._database, jobs.list_latest, image.id) if _sees(caller, task)
        ]

    async def images(self, caller: Caller, tasks: Sequence[Task]) -> dict[str, tuple[str | None, str]]:
        """Return name and status by id of those images of the tasks that belong to the caller's project."""
        ids = {task.image_id for task in tasks if task.image_id is not None}
        found = await fetch(self._database, image_rows.names, ids) if ids else []
        return {
            image_id: (name, status)
            for image_id, name, status, owner in found
            if caller.is_admin or (owner is not None and owner == caller.project_id)
        }

    async def cancel(self, caller: Caller, task_id: str) -> Task:
        """Cancel a task. Raises Conflict if it has ended.

        Admins may cancel any task, others those of their project whose image is visible and theirs to modify.
        """
        task = await fetch(self._database, jobs.get, task_id.lower())
        if task is None:
            raise _no_task(task_id)
        if not caller.is_admin:
            await self._check_may_cancel(caller, task)
        if not await self._cancel(task.id):
            raise Conflict(f"The task {task.id} has ended already.")
        return await fetch(self._database, jobs.get, task.id) or task

    async def _check_may_cancel(self, caller: Caller, task: Task) -> None:
        if task.image_id is None:
            raise _no_task(task.id)
        try:
            image = await self._access.get(caller, task.image_id)
            self._access.authorize("get_image", caller, image)
        except NotFound:
            raise _no_task(task.id) from None
        if task.owner != caller.project_id:
            raise Forbidden("Only the project that created a task may cancel it.")
        self._access.authorize("modify_image", caller, image)


def _sees(caller: Caller, task: Task) -> bool:
    return caller.is_admin or (task.owner is not None and task.owner == caller.project_id)


def _no_task(task_id: str) -> NotFound:
    return NotFound(f"No task found with ID {task_id}")
