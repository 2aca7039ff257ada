"""Tokens of the built-in identity: signed, validated against the database, cached for a second, revoked.

A token names a user, a project and an expiry. Roles are looked up when it is validated, at most once a
second. So revoking a token or a role takes effect within a second in every process, and revoking a token at
once in the process that does it.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
import msgspec

from tintype.db import identity as rows
from tintype.db.engine import Database, fetch, now
from tintype.db.identity import Delegation, Project, Standing, User
from tintype.domain.callers import Caller
from tintype.domain.identity import expanded
from tintype.domain.quotas import Quota
from tintype.errors import Forbidden, Unauthenticated

SIGNING_KEY: Final = "token signing key"
WRONG: Final = "The request you have made requires authentication: user name or password is wrong."
WRONG_CREDENTIAL: Final = (
    "The request you have made requires authentication: application credential or secret is wrong."
)
_SECOND: Final = 1_000_000
_TRUSTED_SECONDS: Final = 1.0
_CACHED_TOKENS: Final = 10_000
_DELEGATED: Final = "application credential"
"""The audience of application credentials' tokens; versions without such credentials reject it."""


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


class Tokens:
    """The tokens, and the authentication of requests by them (`auth/base.py`)."""

    def __init__(
        self, database: Database, resolve_admin: Callable[[Caller], Caller], *, lifetime: int, quota: Quota
    ) -> None:
        """`resolve_admin` marks admins; `lifetime` is in seconds; `quota` is the projects' default."""
        self._database, self._resolve_admin = database, resolve_admin
        self._quota, self.lifetime = quota, lifetime * _SECOND
        self._key: str | None = None
        self._cache: dict[str, tuple[float, Token]] = {}

    async def authenticate(
        self,
        token: str,
        service_token: str | None = None,  # noqa: ARG002
        *,
        address: str,  # noqa: ARG002
    ) -> Caller:
        """Return the caller; service tokens are ignored, and forged tokens fail on their signature."""
        return (await self.token(token)).caller

    async def check(self) -> None:
        """Do nothing: the database has a check of its own."""

    async def close(self) -> None:
        """Do nothing: nothing runs in the background."""

    async def token(self, value: str) -> Token:
        """Return the validated token, from the cache if it was validated within the last second."""
        moment = time.monotonic()
        cached = self._cache.get(value)
        if cached is not None and moment < cached[0] and now() < cached[1].expires_at:
            return cached[1]
        token = await self.validate(value)
        if len(self._cache) >= _CACHED_TOKENS:
            self._cache.clear()
        self._cache[value] = (moment + _TRUSTED_SECONDS, token)
        return token

    async def validate(self, value: str) -> Token:
        """Return the token that a value stands for, as the database has it now.

        Raises Unauthenticated if it is invalid or revoked.
        """
        self.invalidate(value)
        claims = await self._claims(value)
        project_id, chain, credential_id = claims.get("prj"), claims["chain"], claims.get("cred")
        standing = await fetch(self._database, rows.standing, claims["sub"], project_id, chain, credential_id)
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
        self.invalidate(token.value)

    def invalidate(self, value: str) -> None:
        """Remove a token from the cache."""
        self._cache.pop(value, None)

    async def rescope(self, value: str, project: Mapping[str, str] | None) -> Token:
        """Return a token for another scope in exchange for a valid one; both expire and are revoked together.

        Raises Forbidden for a token of an application credential, which is bound to one project.
        """
        old = await self.validate(value)
        if old.delegation is not None:
            raise Forbidden("A token of an application credential cannot be exchanged for another one.")
        methods = tuple(sorted({*old.methods, "token"}))
        return await self.issue(
            old.caller.user_id,
            project,
            methods,
            valid_from=old.valid_from,
            chain=old.chain,
            expires_at=old.expires_at,
        )

    async def issue(
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
        issued = now()
        expires = expires_at or issued + self.lifetime
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
            raise Unauthenticated(WRONG)
        if credential_id is not None and (standing.delegation is None or not standing.user.enabled):
            raise Unauthenticated(WRONG_CREDENTIAL)
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
            self._key = await fetch(self._database, rows.secret, SIGNING_KEY)
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
