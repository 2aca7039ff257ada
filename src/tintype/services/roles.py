"""Roles of users in projects of the built-in identity."""

from tintype.db import identity as rows
from tintype.db.engine import Database, fetch
from tintype.db.identity import Assignment
from tintype.domain.identity import check_role
from tintype.errors import NotFound
from tintype.services.projects import find_project
from tintype.services.users import find_user


class Roles:
    """The use cases of roles. A `ref` is an id or a name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def grant(self, user_ref: str, project_ref: str, role: str) -> None:
        """Grant a user a role in a project; do nothing if it has the role."""
        check_role(role)
        async with self._database.write() as tx:
            user, project = await find_user(tx, user_ref), await find_project(tx, project_ref)
            await rows.grant(tx, user.id, project.id, role)

    async def revoke(self, user_ref: str, project_ref: str, role: str) -> None:
        """Revoke a user's role in a project. Raises NotFound if it has not been granted."""
        async with self._database.write() as tx:
            user, project = await find_user(tx, user_ref), await find_project(tx, project_ref)
            if not await rows.withdraw(tx, user.id, project.id, role):
                raise NotFound(f"{user.name} has no role {role} in {project.name}.")

    async def assignments(
        self, *, user_id: str | None = None, project_id: str | None = None, role: str | None = None
    ) -> list[Assignment]:
        """Return the granted roles, sorted: all, or those of a user, project or role."""
        return await fetch(
            self._database, rows.assignments, user_id=user_id, project_id=project_id, role=role
        )
