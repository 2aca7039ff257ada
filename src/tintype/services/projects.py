"""Projects of the built-in identity, and their limits."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from tintype.db import identity as rows
from tintype.db.engine import Database, Transaction, fetch
from tintype.db.identity import Project
from tintype.domain.identity import check_name
from tintype.domain.quotas import MOST, NAMES, UNLIMITED, Quota
from tintype.errors import Invalid, NotFound


class Projects:
    """The use cases of projects. A `ref` is an id or a name."""

    def __init__(self, database: Database, quota: Quota) -> None:
        """`quota` is the default for projects without limits of their own."""
        self._database = database
        self._quota = quota

    async def find(self, ref: str) -> Project:
        """Return a project by id or name. Raises NotFound."""
        return await fetch(self._database, find_project, ref)

    async def get(self, project_id: str) -> Project:
        """Return a project by id. Raises NotFound."""
        project = await fetch(self._database, rows.find_project, project_id=project_id)
        if project is None:
            raise NotFound(f"Could not find project: {project_id}.")
        return project

    async def list(self, name: str | None = None) -> Sequence[Project]:
        """Return all projects sorted by name, or the one with a name."""
        async with self._database.read() as tx:
            if name is None:
                return await rows.all_projects(tx)
            project = await rows.find_project(tx, name=name)
        return [] if project is None else [project]

    async def of_user(self, user_id: str) -> Sequence[Project]:
        """Return the projects in which a user has a role."""
        return await fetch(self._database, rows.projects_of, user_id)

    async def create(self, name: str, description: str = "", *, enabled: bool = True) -> Project:
        """Create a project. Raises Conflict if the name is taken."""
        check_name("project", name)
        project = Project(uuid.uuid4().hex, name, description, enabled=enabled)
        async with self._database.write() as tx:
            await rows.add_project(tx, project)
        return project

    async def update(self, ref: str, **values: Any) -> Project:
        """Update fields of a project and return it. Raises Conflict if a new name is taken."""
        if "name" in values:
            check_name("project", values["name"])
        async with self._database.write() as tx:
            project = await find_project(tx, ref)
            if values:
                await rows.change_project(tx, project.id, **values)
            return await find_project(tx, project.id)

    async def delete(self, ref: str) -> None:
        """Delete a project with the roles and application credentials in it; its images stay."""
        async with self._database.write() as tx:
            await rows.remove_project(tx, (await find_project(tx, ref)).id)

    async def get_limits(self, ref: str) -> Quota:
        """Return the limits of a project; those it does not have come from the settings."""
        async with self._database.read() as tx:
            project = await find_project(tx, ref)
            own = msgspec.json.decode(await rows.limits(tx, project.id))
        return msgspec.structs.replace(self._quota, **own)

    async def set_limit(self, ref: str, name: str, value: int | None) -> None:
        """Set a limit of a project, -1 for none; None restores that of the settings.

        Raises Invalid for an unknown name or a value out of range.
        """
        if name not in NAMES or (value is not None and not UNLIMITED <= value <= MOST):
            raise Invalid(f"A limit is a number from -1 to {MOST}, of one of: {', '.join(NAMES)}.")
        async with self._database.write(turn=f"limits of {ref}") as tx:
            project = await find_project(tx, ref)
            own = msgspec.json.decode(await rows.limits(tx, project.id))
            own.pop(name, None)
            if value is not None:
                own[name] = value
            await rows.set_limits(tx, project.id, msgspec.json.encode(own).decode())


async def find_project(tx: Transaction, ref: str) -> Project:
    """Return a project by id or name. Raises NotFound."""
    project = await rows.find_project(tx, project_id=ref) or await rows.find_project(tx, name=ref)
    if project is None:
        raise NotFound(f"Could not find project: {ref}.")
    return project
