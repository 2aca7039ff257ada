"""Application credentials of the built-in identity: secrets by which programs log in for a user."""

import secrets
import uuid
from collections.abc import Iterable, Sequence

from tintype.db import application_credentials as rows
from tintype.db import identity as identity_rows
from tintype.db.application_credentials import ApplicationCredential
from tintype.db.engine import Database, Transaction, fetch, now
from tintype.domain.callers import Caller
from tintype.domain.identity import ROLES, check_name, expanded
from tintype.errors import Forbidden, Invalid, NotFound
from tintype.services.passwords import Passwords


class ApplicationCredentials:
    """The use cases of application credentials."""

    def __init__(self, database: Database, passwords: Passwords, *, limit: int) -> None:
        """Allow each user at most `limit` credentials."""
        self._limit = limit
        self._database = database
        self._passwords = passwords

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        description: str | None,
        secret: str | None,
        roles: Iterable[str],
        unrestricted: bool,
        expires_at: int | None,
    ) -> tuple[ApplicationCredential, str]:
        """Create a credential for the caller in its project; return it and its secret, generated if None.

        An empty `roles` stands for all roles of the caller. Raises Invalid for a role that the caller does
        not have and for an expiry in the past, Conflict if the user has a credential of that name, Forbidden
        if the caller's token has no project or the user has reached the limit, and NotFound if the user or
        the project was deleted meanwhile.
        """
        check_name("application credential", name)
        if caller.project_id is None:
            raise Forbidden("An application credential is of one project: use a token of that project.")
        wanted = expanded(roles) or caller.roles
        if unassigned := sorted(wanted - caller.roles):
            raise Invalid(
                "Invalid application credential: Could not find role assignment with role: "
                f"{', '.join(unassigned)}. A credential has only roles that its user has in the project."
            )
        if expires_at is not None and expires_at <= now():
            raise Invalid("The expires_at of an application credential must not be in the past.")
        await fetch(self._database, self._check_count, caller.user_id)  # before hashing, which is expensive
        secret = secrets.token_urlsafe(64) if secret is None else secret
        credential = ApplicationCredential(
            uuid.uuid4().hex,
            caller.user_id,
            caller.project_id,
            name,
            description,
            await self._passwords.hash(secret, group=caller.user_id),
            tuple(role for role in ROLES if role in wanted),
            unrestricted,
            expires_at,
        )
        async with self._database.write(turn=f"application credentials of {caller.user_id}") as tx:
            await self._check_count(tx, caller.user_id)
            await rows.add(tx, credential)
        return credential, secret

    async def _check_count(self, tx: Transaction, user_id: str) -> None:
        if await rows.count_of(tx, user_id) >= self._limit:
            raise Forbidden(
                "Unable to create additional application credentials, "
                f"maximum of {self._limit} already exceeded for user. Delete one that is not used any more."
            )

    async def find(
        self, *, credential_id: str | None, name: str | None, user_id: str | None, user_name: str | None
    ) -> ApplicationCredential | None:
        """Return the credential with an id, or with a name and a user's id or name; None if there is none."""
        async with self._database.read() as tx:
            if credential_id is not None:
                return await rows.find(tx, credential_id)
            user = await identity_rows.find_user(tx, user_id=user_id, name=user_name)
            return None if user is None else await rows.find_named(tx, user.id, name or "")

    async def get(self, user_id: str, credential_id: str) -> ApplicationCredential:
        """Return a user's credential by its id. Raises NotFound."""
        credential = await fetch(self._database, rows.find, credential_id)
        if credential is None or credential.user_id != user_id:
            raise NotFound(f"Could not find Application Credential: {credential_id}.")
        return credential

    async def list(self, user_id: str) -> Sequence[ApplicationCredential]:
        """Return a user's credentials, sorted by name."""
        return await fetch(self._database, rows.of_user, user_id)

    async def delete(self, user_id: str, credential_id: str) -> None:
        """Delete a user's credential and thereby revoke its tokens. Raises NotFound."""
        await self.get(user_id, credential_id)
        async with self._database.write() as tx:
            await rows.remove(tx, credential_id)
