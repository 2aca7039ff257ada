"""The built-in identity: users, projects and roles for laptops, CI and small sites.

Tokens are signed and name a user, a project and an expiry. Roles are looked up whenever a token is used,
so revoking a role takes effect at once.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
import msgspec

from tintype.db import identity as rows
from tintype.db.engine import Database
from tintype.db.identity import Delegation, Project, Standing, User
from tintype.domain.callers import Caller
from tintype.domain.logins import FAILURES_EXPIRE_AFTER
from tintype.domain.quotas import Quota
from tintype.domain.roles import expanded
from tintype.errors import Forbidden, Unauthenticated
from tintype.services.application_credentials import ApplicationCredentials
from tintype.services.passwords import ADMINS, Passwords
from tintype.services.projects import Projects
from tintype.services.roles import Roles
from tintype.services.users import Users

_SECOND: Final = 1_000_000
_REMEMBER: Final = 7 * 24 * 3600 * _SECOND
"""How long a revoked token is remembered after its expiry, in case the clock is set back."""
_SIGNING_KEY: Final = "token signing key"
_DELEGATED: Final = "application credential"
"""The audience of application credentials' tokens; versions without such credentials reject it."""
_WRONG: Final = "The request you have made requires authentication: user name or password is wrong."
_WRONG_CREDENTIAL: Final = (
    "The request you have made requires authentication: application credential or secret is wrong."
)


class Token(msgspec.Struct, frozen=True):
    """A validated token. Times are microseconds since the epoch."""

    id: str
    """The audit id, which is safe to show and log."""
    value: str
    """The signed token itself, a secret."""
    caller: Caller
    project: Project | None
    methods: tuple[str, ...]
    issued_at: int
    expires_at: int
    chain: str
    """The id of the first token in the chain of rescoped tokens, which are revoked together."""
    valid_from: int
    """Identifies the last change that revoked the user's tokens before this one was validated."""
    delegation: Delegation | None = None
    """The application credential it was issued for, if it was."""


class Identity:
    """The use cases of tokens, with those of users, projects, roles and application credentials."""

    def __init__(
        self,
        database: Database,
        resolve_admin: Callable[[Caller], Caller],
        passwords: Passwords,
        *,
        token_lifetime: int,
        quota: Quota,
        application_credentials: int,
    ) -> None:
        """`resolve_admin` marks admins; `token_lifetime` is in seconds; `quota` is the projects' default.

        `application_credentials` is how many of them a user may have.
        """
        self._database, self._resolve_admin = database, resolve_admin
        self._quota, self._lifetime = quota, token_lifetime * _SECOND
        self._key: str | None = None
        self._passwords = passwords
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
            async with self._database.read() as tx:
                user = await rows.find_user(tx, user_id=user_id, name=user_name)
            allowed = await self._passwords.check(
                password,
                user.password_hash if user is not None else None,
                usable=user is not None and user.enabled,
                owner=user.id if user is not None else user_id or user_name or "",
                address=address,
            )
        if user is None or not allowed:
            raise Unauthenticated(_WRONG)
        valid_from = user.tokens_valid_from
        if project is None and to_default and user.default_project_id is not None:
            try:
                project = {"id": user.default_project_id}
                return await self._issue(user.id, project, ("password",), valid_from=valid_from)
            except Unauthenticated:  # no role there, or disabled
                project = None
        return await self._issue(user.id, project, ("password",), valid_from=valid_from)

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
                and (credential.expires_at is None or credential.expires_at > _now()),
                owner=credential.id if credential is not None else named,
                address=address,
            )
        if credential is None or not allowed:
            raise Unauthenticated(_WRONG_CREDENTIAL)
        latest = _now() + self._lifetime
        return await self._issue(
            credential.user_id,
            {"id": credential.project_id},
            ("application_credential",),
            expires_at=min(latest, credential.expires_at or latest),
            credential_id=credential.id,
        )

    async def rescope(self, value: str, project: Mapping[str, str] | None) -> Token:
        """Return a token for another scope in exchange for a valid one; both expire and are revoked together.

        Raises Forbidden for a token of an application credential, which is bound to one project.
        """
        old = await self.validate(value)
        if old.delegation is not None:
            raise Forbidden("A token of an application credential cannot be exchanged for another one.")
        methods = tuple(sorted({*old.methods, "token"}))
        return await self._issue(
            old.caller.user_id,
            project,
            methods,
            valid_from=old.valid_from,
            chain=old.chain,
            expires_at=old.expires_at,
        )

    async def validate(self, value: str) -> Token:
        """Return the token that a value stands for. Raises Unauthenticated if it is invalid or revoked."""
        claims = await self._claims(value)
        project_id, chain, credential_id = claims.get("prj"), claims["chain"], claims.get("cred")
        async with self._database.read() as tx:
            standing = await rows.standing(tx, claims["sub"], project_id, chain, credential_id)
        if standing is None or standing.revoked or not standing.user.enabled:
            raise Unauthenticated("The token is not valid any more.")
        if _is_older(claims, standing.user):
            raise Unauthenticated("The token has been revoked.")
        if credential_id is not None and standing.delegation is None:
            raise Unauthenticated("The application credential of the token has been deleted.")
        caller, project = self._caller(standing, project_id)
        return Token(
            claims["jti"],
            value,
            caller,
            project,
            tuple(claims["amr"]),
            issued_at=claims["iss_us"],
            expires_at=claims["exp"] * _SECOND,
            chain=chain,
            valid_from=standing.user.tokens_valid_from,
            delegation=standing.delegation,
        )

    async def revoke(self, token: Token) -> None:
        """Revoke a token and all tokens of its chain."""
        async with self._database.write() as tx:
            await rows.revoke(tx, token.chain, token.expires_at)

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
            if not await rows.set_secret(tx, _SIGNING_KEY, secrets.token_urlsafe(48)):
                return None
            await rows.add_user(tx, user)
            await rows.add_project(tx, project)
            await rows.grant(tx, user.id, project.id, "admin")
            save_password(password)
        return password

    async def prune(self) -> None:
        """Delete records of revoked tokens and of failures that have expired."""
        moment = _now()
        async with self._database.write() as tx:
            await rows.prune(tx, moment - _REMEMBER, moment - FAILURES_EXPIRE_AFTER)

    async def _issue(
        self,
        user_id: str,
        scope: Mapping[str, str] | None,
        methods: tuple[str, ...],
        *,
        valid_from: int | None = None,
        chain: str | None = None,
        expires_at: int | None = None,
        credential_id: str | None = None,
    ) -> Token:
        """Sign a token, unless the user's tokens have been revoked since `valid_from` was read.

        `valid_from` is None for an application credential, which outlives a change of the password.
        """
        issued = _now()
        expires = expires_at or issued + self._lifetime
        expires -= expires % _SECOND  # a signed token has whole seconds
        token_id = secrets.token_urlsafe(16)
        chain = chain or token_id
        async with self._database.read() as tx:
            project = None
            if scope is not None:
                project = await rows.find_project(tx, project_id=scope.get("id"), name=scope.get("name"))
            standing = await rows.standing(tx, user_id, project.id if project else None, chain, credential_id)
        if standing is None or (scope is not None and project is None):
            raise Unauthenticated("The project does not exist, or the user has no role in it.")
        since = standing.user.tokens_valid_from
        if standing.revoked or valid_from not in {None, since}:
            raise Unauthenticated(_WRONG)
        if credential_id is not None and (standing.delegation is None or not standing.user.enabled):
            raise Unauthenticated(_WRONG_CREDENTIAL)
        caller, scoped = self._caller(standing, project.id if project else None)
        claims = {
            "sub": user_id,
            "prj": scoped.id if scoped else None,
            "jti": token_id,
            "chain": chain,
            "amr": list(methods),
            "iss_us": issued,
            "from": since,
            "exp": expires // _SECOND,
        }
        if credential_id is not None:
            claims |= {"cred": credential_id, "aud": _DELEGATED}
        value = jwt.encode(claims, await self._signing_key(), algorithm="HS256")
        return Token(
            token_id, value, caller, scoped, methods, issued, expires, chain, since, standing.delegation
        )

    async def _claims(self, value: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                value,
                await self._signing_key(),
                algorithms=["HS256"],
                options={"require": ["sub", "jti", "exp", "chain", "iss_us", "amr"], "verify_aud": False},
            )
        except jwt.InvalidTokenError:
            raise Unauthenticated("The token is wrong or has expired.") from None

    def _caller(self, standing: Standing, project_id: str | None) -> tuple[Caller, Project | None]:
        """Return the caller and its project. Raises Unauthenticated if the user has no role there."""
        user = standing.user
        if project_id is None:
            return Caller(user.id, user.name, None), None
        if standing.project_id is None or not standing.project_enabled or not standing.granted:
            raise Unauthenticated("The project does not exist, or the user has no role in it.")
        roles = expanded(standing.granted)
        if standing.delegation is not None:
            roles &= standing.delegation.roles
        if not roles:
            raise Unauthenticated("The user has none of the application credential's roles any more.")
        project = Project(standing.project_id, standing.project_name or "", "", enabled=True)
        quota = msgspec.structs.replace(self._quota, **msgspec.json.decode(standing.limits))
        return self._resolve_admin(Caller(user.id, user.name, project.id, roles, quota=quota)), project

    async def _signing_key(self) -> str:
        if self._key is None:
            async with self._database.read() as tx:
                self._key = await rows.secret(tx, _SIGNING_KEY)
        if self._key is None:
            raise Unauthenticated("This service has not issued any token.")
        return self._key


def _is_older(claims: Mapping[str, Any], user: User) -> bool:
    """Return whether a token is older than the last change that revoked its user's tokens.

    A token names that change as of its issue, so this does not depend on the clock. Tokens of earlier
    versions have only the time of issue.
    """
    if "from" in claims:
        return bool(claims["from"] != user.tokens_valid_from)
    return bool(claims["iss_us"] < user.tokens_valid_from)


def _now() -> int:
    return time.time_ns() // 1000
