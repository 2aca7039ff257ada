"""Users of the built-in identity."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tintype.db import application_credentials as credential_rows
from tintype.db import identity as rows
from tintype.db.engine import Database, Transaction
from tintype.db.identity import Project, User
from tintype.domain.names import check_name
from tintype.domain.roles import check_role
from tintype.errors import NotFound, Unauthenticated
from tintype.services.passwords import ADMINS, Passwords

_WRONG: Final = "Error when changing user password: the user or the original password is wrong."


class Users:
    """The use cases of users. A `ref` is an id or a name."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def get(self, user_id: str) -> User:
        """Return a user by id. Raises NotFound."""
        async with self._database.read() as tx:
            user = await rows.find_user(tx, user_id=user_id)
        if user is None:
            raise NotFound(f"Could not find user: {user_id}.")
        return user

    async def list(self, name: str | None = None) -> Sequence[User]:
        """Return all users sorted by name, or the one with a name."""
        async with self._database.read() as tx:
            if name is None:
                return await rows.all_users(tx)
            user = await rows.find_user(tx, name=name)
        return [] if user is None else [user]

    async def create(
        self,
        name: str,
        password: str | None,
        *,
        project: str | None = None,
        role: str = "member",
        enabled: bool = True,
        about: Mapping[str, str | None] | None = None,
    ) -> User:
        """Create a user with a role in a project, which is created if needed; all or nothing.

        `about` has further fields of the user, such as its description. Raises Conflict if the name is taken,
        Invalid for a role that does not exist.
        """
        check_name("user", name)
        check_role(role)
        stored = "" if password is None else await self._passwords.hash(password, group=ADMINS)
        user = User(uuid.uuid4().hex, name, stored, enabled=enabled, tokens_valid_from=0, **(about or {}))
        async with self._database.write() as tx:
            await rows.add_user(tx, user)
            if project is not None:
                found = await rows.find_project(tx, name=project)
                if found is None:
                    check_name("project", project)
                    found = Project(uuid.uuid4().hex, project, "", enabled=True)
                    await rows.add_project(tx, found)
                await rows.grant(tx, user.id, found.id, role)
        return user

    async def update(
        self,
        ref: str,
        *,
        name: str | None = None,
        password: str | None = None,
        enabled: bool | None = None,
        about: Mapping[str, str | None] | None = None,
    ) -> User:
        """Update a user and return it. Raises Conflict if a new name is taken.

        A new password revokes the user's tokens. So does disabling the user, which also deletes its
        application credentials.
        """
        values: dict[str, Any] = dict(about or {})
        if name is not None:
            check_name("user", name)
            values["name"] = name
        if password is not None:
            values["password_hash"] = await self._passwords.hash(password, group=ADMINS)
        if enabled is not None:
            values["enabled"] = enabled
        async with self._database.write() as tx:
            user = await find_user(tx, ref)
            if password is not None or enabled is False:
                values["tokens_valid_from"] = _later(user)
            if values:
                await rows.change_user(tx, user.id, **values)
            if enabled is False:
                await credential_rows.remove_all(tx, user.id)
            return await find_user(tx, user.id)

    async def change_password(self, user_id: str, original: str, password: str, *, address: str) -> None:
        """Change a password, given the original one, and revoke the user's tokens.

        Raises Unauthenticated if the user or the original password is wrong, and TooManyAttempts as a login
        does.
        """
        async with self._passwords.attempt(address):
            async with self._database.read() as tx:
                user = await rows.find_user(tx, user_id=user_id)
            allowed = await self._passwords.check(
                original,
                user.password_hash if user is not None else None,
                usable=user is not None and user.enabled,
                owner=user_id,
                address=address,
            )
        if user is None or not allowed:
            raise Unauthenticated(_WRONG)
        stored = await self._passwords.hash(password, group=user_id)
        async with self._database.write() as tx:
            now = await rows.find_user(tx, user_id=user_id)
            if now is None or now.password_hash != user.password_hash:  # changed meanwhile
                raise Unauthenticated(_WRONG)
            await rows.change_user(tx, user_id, password_hash=stored, tokens_valid_from=_later(now))

    async def delete(self, ref: str) -> None:
        """Delete a user, with its roles and application credentials."""
        async with self._database.write() as tx:
            await rows.remove_user(tx, (await find_user(tx, ref)).id)


async def find_user(tx: Transaction, ref: str) -> User:
    """Return a user by id or name. Raises NotFound."""
    user = await rows.find_user(tx, user_id=ref) or await rows.find_user(tx, name=ref)
    if user is None:
        raise NotFound(f"Could not find user: {ref}.")
    return user


def _later(user: User) -> int:
    """Return a new start of validity for a user's tokens, later than the old one whatever the clock says."""
    return max(time.time_ns() // 1000, user.tokens_valid_from + 1)
