"""The built-in identity: users, projects and roles for laptops, CI and small sites.

Tokens are signed and name a user, a project and a time; what the user may do is looked up when a
token is used, so a role that is taken away is gone at once.
"""

import asyncio
import hashlib
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import argon2
import jwt
import msgspec

from tintype.db import identity as rows
from tintype.db.engine import Database, Transaction
from tintype.db.identity import Project, Standing, User
from tintype.domain.callers import Caller
from tintype.domain.logins import FORGET_FAILURES_AFTER, FailedLogins
from tintype.domain.quotas import MOST, NAMES, UNLIMITED, Quota
from tintype.errors import Invalid, NotFound, Unauthenticated

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "admin": frozenset({"admin", "member", "reader"}),
    "member": frozenset({"member", "reader"}),
    "reader": frozenset({"reader"}),
    "service": frozenset({"service"}),
}
"""Each role with those that it implies."""

_SECOND: Final = 1_000_000
_SIGNING_KEY: Final = "token signing key"
_HASHES_AT_ONCE: Final = 2
_WRONG: Final = "The request you have made requires authentication: user name or password is wrong."


class Token(msgspec.Struct, frozen=True):
    """A token and what it stands for. Times are microseconds since the epoch."""

    id: str
    """The audit id, which may be shown and logged."""
    value: str
    """The signed token itself, a secret."""
    caller: Caller
    project: Project | None
    methods: tuple[str, ...]
    issued_at: int
    expires_at: int
    chain: str
    """The id of the first of the tokens that were exchanged one for the other."""


class Identity:
    """The use cases of tokens, users, projects and roles."""

    def __init__(
        self, database: Database, judge: Callable[[Caller], Caller], *, token_lifetime: int, quota: Quota
    ) -> None:
        """`judge` says who is admin; lifetime is in seconds; projects without limits have `quota`."""
        self._database, self._judge = database, judge
        self._quota, self._lifetime = quota, token_lifetime * _SECOND
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._decoy = ""
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(_HASHES_AT_ONCE, "argon2")  # beside those that move bytes
        self._key: str | None = None

    async def login(
        self,
        *,
        user_id: str | None,
        user_name: str | None,
        password: str,
        project: Mapping[str, str] | None,
        address: str,
    ) -> Token:
        """Give a token for a password; `project` names the scope by id or name.

        Raises Unauthenticated in the same time whether user or password is wrong, and
        TooManyAttempts while the delay runs that the user has at this address after failures.
        """
        async with self._turn:  # the delay is looked at when it is this attempt's turn, not before
            async with self._database.read() as tx:
                user = await rows.find_user(tx, user_id=user_id, name=user_name)
                who = user.id if user is not None else user_id or user_name
                key = _digest(f"{who}\0{address}")
                (await rows.failures(tx, key)).check(_now())
            matches = await self._verify(user, password)
            allowed = user is not None and matches and user.enabled
            async with self._database.write() as tx:
                failed = (
                    FailedLogins(0, 0) if allowed else (await rows.lock_failures(tx, key)).one_more(_now())
                )
                await rows.set_failures(tx, key, failed)
        if user is None or not allowed:
            raise Unauthenticated(_WRONG)
        return await self._issue(user.id, project, ("password",), verified=user.password_hash)

    async def exchange(self, value: str, project: Mapping[str, str] | None) -> Token:
        """Give a token for another scope in return for a valid one; it expires, and is revoked, with that."""
        old = await self.validate(value)
        methods = tuple(sorted({*old.methods, "token"}))
        return await self._issue(
            old.caller.user_id, project, methods, chain=old.chain, expires_at=old.expires_at
        )

    async def validate(self, value: str) -> Token:
        """Give what a token stands for now; raises Unauthenticated where it does not hold (any more)."""
        claims = await self._claims(value)
        project_id, chain = claims.get("prj"), claims["chain"]
        async with self._database.read() as tx:
            standing = await rows.standing(tx, claims["sub"], project_id, chain)
        if standing is None or standing.revoked or not standing.user.enabled:
            raise Unauthenticated("The token is not valid any more.")
        if claims["iss_us"] < standing.user.tokens_valid_from:
            raise Unauthenticated("The token was made void.")
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
        )

    async def revoke(self, token: Token) -> None:
        """Make a token void, and all that were exchanged for it or that it was exchanged for."""
        async with self._database.write() as tx:
            await rows.revoke(tx, token.chain, token.expires_at)

    async def user(self, ref: str) -> User:
        """Give a user by id or name; raises NotFound."""
        async with self._database.read() as tx:
            return await _user(tx, ref)

    async def project(self, ref: str) -> Project:
        """Give a project by id or name; raises NotFound."""
        async with self._database.read() as tx:
            return await _project(tx, ref)

    async def users(self) -> list[User]:
        """Give every user."""
        async with self._database.read() as tx:
            return await rows.all_users(tx)

    async def projects(self) -> list[Project]:
        """Give every project."""
        async with self._database.read() as tx:
            return await rows.all_projects(tx)

    async def projects_of(self, user_id: str) -> list[Project]:
        """Give the projects that a user may work in."""
        async with self._database.read() as tx:
            return await rows.projects_of(tx, user_id)

    async def grants(self) -> list[tuple[str, str, str]]:
        """Give (user name, project name, role) of every grant."""
        async with self._database.read() as tx:
            return await rows.all_grants(tx)

    async def create_user(
        self, name: str, password: str, *, project: str | None = None, role: str = "member"
    ) -> User:
        """Make a user, with a role in a project, which is made if it does not exist; or nothing at all.

        Raises Conflict where the user's name is taken, Invalid for a role that does not exist.
        """
        _check_name("user", name)
        _check_role(role)
        user = User(uuid.uuid4().hex, name, await self._hash(password), enabled=True, tokens_valid_from=0)
        async with self._database.write() as tx:
            await rows.add_user(tx, user)
            if project is not None:
                found = await rows.find_project(tx, name=project)
                if found is None:
                    _check_name("project", project)
                    found = Project(uuid.uuid4().hex, project, "", enabled=True)
                    await rows.add_project(tx, found)
                await rows.grant(tx, user.id, found.id, role)
        return user

    async def create_project(self, name: str, description: str = "") -> Project:
        """Make a project; raises Conflict where the name is taken."""
        _check_name("project", name)
        project = Project(uuid.uuid4().hex, name, description, enabled=True)
        async with self._database.write() as tx:
            await rows.add_project(tx, project)
        return project

    async def change_user(
        self, ref: str, *, password: str | None = None, enabled: bool | None = None
    ) -> None:
        """Set a password, or open or close an account. Both end the user's tokens."""
        values: dict[str, Any] = {}
        if password is not None:
            values["password_hash"] = await self._hash(password)
        if enabled is not None:
            values["enabled"] = enabled
        async with self._database.write() as tx:
            user = await _user(tx, ref)
            await rows.change_user(tx, user.id, tokens_valid_from=_now(), **values)

    async def delete_user(self, ref: str) -> None:
        """Delete a user."""
        async with self._database.write() as tx:
            await rows.remove_user(tx, (await _user(tx, ref)).id)

    async def limits(self, ref: str) -> Quota:
        """Give the limits of a project, those of the settings where it has none of its own."""
        async with self._database.read() as tx:
            project = await _project(tx, ref)
            own = msgspec.json.decode(await rows.limits(tx, project.id))
        return msgspec.structs.replace(self._quota, **own)

    async def limit(self, ref: str, name: str, value: int | None) -> None:
        """Set a limit of a project, -1 for none; None gives it that of the settings again.

        Raises Invalid for a name or value that no limit can have.
        """
        if name not in NAMES or (value is not None and not UNLIMITED <= value <= MOST):
            raise Invalid(f"A limit is a number from -1 to {MOST}, of one of: {', '.join(NAMES)}.")
        async with self._database.write(turn=f"limits of {ref}") as tx:
            project = await _project(tx, ref)
            own = msgspec.json.decode(await rows.limits(tx, project.id))
            own.pop(name, None)
            if value is not None:
                own[name] = value
            await rows.set_limits(tx, project.id, msgspec.json.encode(own).decode())

    async def delete_project(self, ref: str) -> None:
        """Delete a project; its images stay, for an admin to see to."""
        async with self._database.write() as tx:
            await rows.remove_project(tx, (await _project(tx, ref)).id)

    async def grant(self, user_ref: str, project_ref: str, role: str) -> None:
        """Give a user a role in a project; well if it has it."""
        _check_role(role)
        async with self._database.write() as tx:
            await rows.grant(tx, (await _user(tx, user_ref)).id, (await _project(tx, project_ref)).id, role)

    async def withdraw(self, user_ref: str, project_ref: str, role: str) -> None:
        """Take a role from a user; raises NotFound where it has none."""
        async with self._database.write() as tx:
            user, project = await _user(tx, user_ref), await _project(tx, project_ref)
            if not await rows.withdraw(tx, user.id, project.id, role):
                raise NotFound(f"{user.name} has no role {role} in {project.name}.")

    async def bootstrap(
        self, *, user_name: str, project_name: str, keep: Callable[[str], None]
    ) -> str | None:
        """Make the first project and its admin; give the password, or None where that was done before.

        One transaction, and `keep` is given the password before it commits: a start that dies
        half-way leaves no admin whose password nobody knows, and the next one begins anew.
        """
        password = secrets.token_urlsafe(18)
        user = User(
            uuid.uuid4().hex, user_name, await self._hash(password), enabled=True, tokens_valid_from=0
        )
        project = Project(uuid.uuid4().hex, project_name, "The first project", enabled=True)
        async with self._database.write() as tx:
            if not await rows.set_secret(tx, _SIGNING_KEY, secrets.token_urlsafe(48)):
                return None
            await rows.add_user(tx, user)
            await rows.add_project(tx, project)
            await rows.grant(tx, user.id, project.id, "admin")
            keep(password)
        return password

    async def prune(self) -> None:
        """Delete notes of tokens and failures that no longer matter."""
        moment = _now()
        async with self._database.write() as tx:
            await rows.prune(tx, moment, moment - FORGET_FAILURES_AFTER)

    async def _issue(
        self,
        user_id: str,
        scope: Mapping[str, str] | None,
        methods: tuple[str, ...],
        *,
        verified: str | None = None,
        chain: str | None = None,
        expires_at: int | None = None,
    ) -> Token:
        """Sign a token. `verified` is the password's hash that was checked: it must still be the user's."""
        issued = _now()
        expires = expires_at or issued + self._lifetime
        expires -= expires % _SECOND  # a signed token says whole seconds
        token_id = secrets.token_urlsafe(16)
        chain = chain or token_id
        async with self._database.read() as tx:
            project = None
            if scope is not None:
                project = await rows.find_project(tx, project_id=scope.get("id"), name=scope.get("name"))
            standing = await rows.standing(tx, user_id, project.id if project else None, chain)
        if standing is None or (scope is not None and project is None):
            raise Unauthenticated("The project does not exist, or the user has no role in it.")
        if standing.revoked or (verified is not None and verified != standing.user.password_hash):
            raise Unauthenticated(_WRONG)
        caller, scoped = self._caller(standing, project.id if project else None)
        claims = {
            "sub": user_id,
            "prj": scoped.id if scoped else None,
            "jti": token_id,
            "chain": chain,
            "amr": list(methods),
            "iss_us": issued,
            "exp": expires // _SECOND,
        }
        value = jwt.encode(claims, await self._signing_key(), algorithm="HS256")
        return Token(token_id, value, caller, scoped, methods, issued, expires, chain)

    async def _claims(self, value: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                value,
                await self._signing_key(),
                algorithms=["HS256"],
                options={"require": ["sub", "jti", "exp", "chain", "iss_us", "amr"]},
            )
        except jwt.InvalidTokenError:
            raise Unauthenticated("The token is wrong or has expired.") from None

    def _caller(self, standing: Standing, project_id: str | None) -> tuple[Caller, Project | None]:
        """Give the caller and its project; Unauthenticated where the user has no role there."""
        user = standing.user
        if project_id is None:
            return Caller(user.id, user.name, None), None
        if standing.project_id is None or not standing.project_enabled or not standing.granted:
            raise Unauthenticated("The project does not exist, or the user has no role in it.")
        roles = frozenset[str]().union(*(ROLES.get(role, frozenset({role})) for role in standing.granted))
        project = Project(standing.project_id, standing.project_name or "", "", enabled=True)
        quota = msgspec.structs.replace(self._quota, **msgspec.json.decode(standing.limits))
        return self._judge(Caller(user.id, user.name, project.id, roles, quota=quota)), project

    async def _signing_key(self) -> str:
        if self._key is None:
            async with self._database.read() as tx:
                self._key = await rows.secret(tx, _SIGNING_KEY)
        if self._key is None:
            raise Unauthenticated("No token has ever been issued here.")
        return self._key

    async def _hash(self, password: str) -> str:
        if not password or "\0" in password:
            raise Invalid("A password must have at least one character, and no NUL.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def _verify(self, user: User | None, password: str) -> bool:
        """Check a password; for no user a decoy is checked, so that it takes as long."""
        if not self._decoy:
            self._decoy = await self._hash(secrets.token_urlsafe())
        stored = user.password_hash if user is not None else self._decoy
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._hasher.verify, stored, password
            )
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _now() -> int:
    return time.time_ns() // 1000


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Invalid(f"There is no role {role}. There are: {', '.join(ROLES)}.")


def _check_name(noun: str, name: str) -> None:
    if not 1 <= len(name) <= 255 or not name.isprintable() or name != name.strip():
        raise Invalid(f"The name of a {noun} has 1 to 255 printable characters, no space at its ends.")


async def _user(tx: Transaction, ref: str) -> User:
    user = await rows.find_user(tx, user_id=ref) or await rows.find_user(tx, name=ref)
    if user is None:
        raise NotFound(f"Could not find user: {ref}.")
    return user


async def _project(tx: Transaction, ref: str) -> Project:
    project = await rows.find_project(tx, project_id=ref) or await rows.find_project(tx, name=ref)
    if project is None:
        raise NotFound(f"Could not find project: {ref}.")
    return project
