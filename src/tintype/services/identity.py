"""The built-in identity: logins, and its users, projects and roles; for laptops, CI and small sites."""

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from tintype.db import identity as rows
from tintype.db.engine import Database, fetch, now
from tintype.db.identity import Project, User
from tintype.domain.identity import FAILURES_EXPIRE_AFTER
from tintype.domain.quotas import Quota
from tintype.errors import Unauthenticated
from tintype.services.application_credentials import ApplicationCredentials
from tintype.services.passwords import ADMINS, Passwords
from tintype.services.projects import Projects
from tintype.services.roles import Roles
from tintype.services.tokens import SIGNING_KEY, WRONG, WRONG_CREDENTIAL, Token, Tokens
from tintype.services.users import Users

_REMEMBER: Final = 7 * 24 * 3600 * 1_000_000
"""Microseconds for which a revoked token is remembered after its expiry, in case the clock is set back."""


class Identity:
    """The use cases of logins, with those of tokens, users, projects, roles and application credentials."""

    def __init__(
        self,
        database: Database,
        tokens: Tokens,
        passwords: Passwords,
        *,
        quota: Quota,
        application_credentials: int,
    ) -> None:
        """`quota` is the projects' default; a user may have so many `application_credentials`."""
        self._database = database
        self._passwords = passwords
        self.tokens = tokens
        self.users = Users(database, passwords)
        self.projects = Projects(database, quota)
        self.roles = Roles(database)
        self.application_credentials = ApplicationCredentials(
            database, passwords, limit=application_credentials
        )

    async def login(
        self,
        *,
        user_id: str | None,
        user_name: str | None,
        password: str,
        project: Mapping[str, str] | None,
        address: str,
        to_default: bool = False,
    ) -> Token:
        """Return a token for a password.

        `project` names the scope by id or name. Without it the token is unscoped or, with `to_default`,
        scoped to the user's default project if the user has a role there. Raises Unauthenticated, which
        takes as long whether user or password is wrong, and TooManyAttempts if too many attempts wait or
        during the delay after failures of this user from this address.
        """
        async with self._passwords.attempt(address):
            user = await fetch(self._database, rows.find_user, user_id=user_id, name=user_name)
            allowed = await self._passwords.check(
                password,
                user.password_hash if user is not None else None,
                usable=user is not None and user.enabled,
                owner=user.id if user is not None else user_id or user_name or "",
                address=address,
            )
        if user is None or not allowed:
            raise Unauthenticated(WRONG)
        valid_from = user.tokens_valid_from
        if project is None and to_default and user.default_project_id is not None:
            try:
                project = {"id": user.default_project_id}
                return await self.tokens.issue(user.id, project, ("password",), valid_from=valid_from)
            except Unauthenticated:  # no role there, or disabled
                project = None
        return await self.tokens.issue(user.id, project, ("password",), valid_from=valid_from)

    async def login_with_credential(
        self,
        secret: str,
        *,
        credential_id: str | None,
        name: str | None,
        user_id: str | None,
        user_name: str | None,
        address: str,
    ) -> Token:
        """Return a token for the secret of an application credential. Raises as `login` does.

        The credential is given by its id, or by its name and its user's id or name. Failures are counted even
        if it does not exist.
        """
        named = credential_id or f"{user_id or user_name}\0{name}"
        async with self._passwords.attempt(address):
            credential = await self.application_credentials.find(
                credential_id=credential_id, name=name, user_id=user_id, user_name=user_name
            )
            allowed = await self._passwords.check(
                secret,
                credential.secret_hash if credential is not None else None,
                usable=credential is not None
                and (credential.expires_at is None or credential.expires_at > now()),
                owner=credential.id if credential is not None else named,
                address=address,
            )
        if credential is None or not allowed:
            raise Unauthenticated(WRONG_CREDENTIAL)
        latest = now() + self.tokens.lifetime
        return await self.tokens.issue(
            credential.user_id,
            {"id": credential.project_id},
            ("application_credential",),
            expires_at=min(latest, credential.expires_at or latest),
            credential_id=credential.id,
        )

    async def bootstrap(
        self, *, user_name: str, project_name: str, save_password: Callable[[str], None]
    ) -> str | None:
        """Create the first project and its admin; return the password, or None if they exist already.

        `save_password` is called inside the transaction: a start that dies midway leaves no admin whose
        password nobody knows, and the next start tries again.
        """
        password = secrets.token_urlsafe(18)
        user = User(
            uuid.uuid4().hex,
            user_name,
            await self._passwords.hash(password, group=ADMINS),
            enabled=True,
            tokens_valid_from=0,
        )
        project = Project(uuid.uuid4().hex, project_name, "The first project", enabled=True)
        async with self._database.write() as tx:
            if not await rows.set_secret(tx, SIGNING_KEY, secrets.token_urlsafe(48)):
                return None
            await rows.add_user(tx, user)
            await rows.add_project(tx, project)
            await rows.grant(tx, user.id, project.id, "admin")
            save_password(password)
        return password

    async def prune(self) -> None:
        """Delete records of revoked tokens and of failures that have expired."""
        moment = now()
        async with self._database.write() as tx:
            await rows.prune(tx, moment - _REMEMBER, moment - FAILURES_EXPIRE_AFTER)
