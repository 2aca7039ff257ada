"""Tokens of a Keystone, validated with it and remembered for a while.

What Keystone said of a token is trusted for `cache_seconds`, and never past the token's end: so long
may a revoked token live. While Keystone does not answer, a token that it has confirmed before holds on.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from keystoneauth1 import session as keystone
from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity.v3 import Password

from tintype.auth.limits import UnifiedLimits
from tintype.blobs.failures import service_failure, status_text
from tintype.domain.callers import Caller
from tintype.domain.proxies import ProxyRules
from tintype.domain.quotas import Quota
from tintype.errors import Unauthenticated, Unavailable
from tintype.policy.engine import Policy

_CACHED_TOKENS: Final = 10_000
_REFUSED_SECONDS: Final = 10.0
"""For which a token that does not hold is refused without asking again."""
_OUTAGE_SECONDS: Final = 600.0
"""For which a confirmed token is trusted while Keystone does not answer."""
_THREADS: Final = 8
_LONGEST_TOKEN: Final = 8192


class Verdict(msgspec.Struct, frozen=True):
    """What Keystone said of a token, and when; no caller if it does not hold."""

    caller: Caller | None
    expires_at: float
    asked_at: float


class _User(msgspec.Struct):
    id: str
    name: str = ""


class _Named(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Token(msgspec.Struct):
    """What we read of Keystone's answer (Identity API v3, `GET /auth/tokens`)."""

    expires_at: str
    user: _User
    project: _Named | None = None
    roles: list[_Named] = []


class _Answer(msgspec.Struct):
    token: _Token


class KeystoneAuthenticator:
    """Turns tokens into callers. `session` is the service's own, with a role that may validate tokens."""

    def __init__(
        self,
        session: keystone.Session,
        auth_url: str,
        policy: Policy,
        log: structlog.typing.FilteringBoundLogger,
        *,
        cache_seconds: int,
        service_roles: tuple[str, ...],
        quota: Quota,
        limits: UnifiedLimits | None,
    ) -> None:
        """Make it. `quota` is that of every project, unless Keystone tells the `limits`."""
        self._session = session
        self._version = version_3(auth_url)
        self._url = f"{self._version}/auth/tokens?nocatalog"
        self._quota = quota
        self._limits = limits
        self._policy = policy
        self._log = log
        self._cache_seconds = cache_seconds
        self._service_roles = frozenset(role.lower() for role in service_roles)
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Verdict]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "keystone")

    async def authenticate(self, token: str, service_token: str | None = None) -> Caller:
        """Give the caller; a service that speaks for it may bring a token that has just expired.

        Raises Unauthenticated for a token that does not hold, Unavailable where Keystone does not say.
        """
        if service_token is None:
            return await self._caller(token, expired_too=False)
        service = await self._caller(service_token, expired_too=False)
        trusted = bool(service.roles & self._service_roles)
        caller = await self._caller(token, expired_too=trusted)
        return msgspec.structs.replace(caller, service_roles=service.roles) if trusted else caller

    def forget(self, token: str) -> None:
        """Trust a token no longer without asking."""
        for expired_too in (False, True):
            self._verdicts.pop(_key(token, expired_too=expired_too), None)

    async def check(self) -> None:
        """Ask Keystone which version it speaks."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._ask_version)

    def _ask_version(self) -> None:
        try:
            self._session.get(self._version, authenticated=False, log=False)
        except ClientException as error:
            raise unreachable(error) from error

    async def _caller(self, token: str, *, expired_too: bool) -> Caller:
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            raise _refused()
        key = _key(token, expired_too=expired_too)
        verdict = self._verdicts.get(key)
        moment = time.time()
        if verdict is None or moment > verdict.asked_at + self._trust(verdict):
            verdict = await self._ask_once(key, token, verdict, expired_too=expired_too)
        if verdict.caller is None or (not expired_too and moment >= verdict.expires_at):
            raise _refused()
        return verdict.caller

    def _trust(self, verdict: Verdict) -> float:
        return _REFUSED_SECONDS if verdict.caller is None else self._cache_seconds

    async def _ask_once(
        self, key: bytes, token: str, before: Verdict | None, *, expired_too: bool
    ) -> Verdict:
        """Ask Keystone, once for all who wait for the same answer."""
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(token, expired_too=expired_too))
            self._asking[key] = asking
            asking.add_done_callback(lambda _task: self._asking.pop(key, None))
        try:
            verdict = await asyncio.shield(asking)
        except Unavailable:
            if before is None or before.caller is None or time.time() > before.asked_at + _OUTAGE_SECONDS:
                raise
            return before
        self._verdicts[key] = verdict
        self._verdicts.move_to_end(key)
        if len(self._verdicts) > _CACHED_TOKENS:
            self._verdicts.popitem(last=False)
        return verdict

    async def _ask(self, token: str, *, expired_too: bool) -> Verdict:
        loop = asyncio.get_running_loop()
        asked_at = time.time()
        status, content = await loop.run_in_executor(self._threads, self._request, token, expired_too)
        if status == 200:
            answer = msgspec.json.decode(content, type=_Answer).token
            expires_at = datetime.fromisoformat(answer.expires_at).timestamp()
            quota = self._quota
            if self._limits is not None and answer.project is not None:
                project = answer.project.id
                quota = await loop.run_in_executor(self._threads, self._ask_limits, self._limits, project)
            return Verdict(self._to_caller(answer, quota), expires_at, asked_at)
        if status in {400, 404}:
            return Verdict(None, 0.0, asked_at)
        self._log.error("keystone does not validate tokens", status=status)
        raise unexpected(status)

    def _request(self, token: str, expired_too: bool) -> tuple[int, bytes]:
        url = f"{self._url}&allow_expired=1" if expired_too else self._url
        try:
            answer: Any = self._session.get(
                url, headers={"X-Subject-Token": token}, raise_exc=False, log=False, connect_retries=1
            )
        except ClientException as error:
            failure = unreachable(error)
            self._log.error("keystone does not answer", reason=failure.message, error=type(error).__name__)
            raise failure from error
        return answer.status_code, answer.content

    def _ask_limits(self, limits: UnifiedLimits, project_id: str) -> Quota:
        try:
            return limits.of(project_id)
        except (ClientException, Unavailable) as error:
            failure = error if isinstance(error, Unavailable) else unreachable(error)
            self._log.error("keystone does not tell limits", reason=failure.message)
            raise failure from error

    def _to_caller(self, token: _Token, quota: Quota) -> Caller:
        if token.project is None:  # of a domain, or of the whole system: those roles are none over images
            return Caller(token.user.id, token.user.name, None)
        roles = frozenset(role.name.lower() for role in token.roles)
        project = token.project.id
        caller = Caller(token.user.id, token.user.name, project, roles, quota=quota)
        return msgspec.structs.replace(caller, is_admin=self._policy.allows("context_is_admin", caller, {}))


def open_session(
    *,
    auth_url: str,
    username: str,
    password: str,
    project_name: str,
    user_domain_name: str,
    project_domain_name: str,
    cafile: str | None,
    timeout: int,
) -> keystone.Session:
    """Give a session of the service's own user; it logs in when it is first used, and again when need be."""
    auth = Password(
        auth_url=version_3(auth_url),
        username=username,
        password=password,
        project_name=project_name,
        user_domain_name=user_domain_name,
        project_domain_name=project_domain_name,
    )
    return keystone.Session(auth=auth, verify=cafile or True, timeout=timeout)


def set_proxies(session: keystone.Session, proxies: ProxyRules) -> None:
    """Have a session use these proxies, and none of the environment's, nor its passwords and certificates."""
    session.session.trust_env = False
    session.session.proxies = {scheme: proxy.whole_url for scheme, proxy in proxies.proxies.items()}


def version_3(auth_url: str) -> str:
    """Give the URL of the API's version 3, whether an operator names the version or not."""
    return f"{auth_url.rstrip('/').removesuffix('/v3')}/v3"


def _key(token: str, *, expired_too: bool) -> bytes:
    return hashlib.sha256(token.encode()).digest() + bytes([expired_too])  # memory holds no tokens


def _refused() -> Unauthenticated:
    return Unauthenticated("The request you have made requires authentication.")


def unreachable(error: Exception) -> Unavailable:
    """Return that Keystone cannot be asked, and why, in words for callers: no addresses, no credentials."""
    message = f"The identity service cannot be used: {service_failure(error)}."
    return Unavailable(message, Retry_After="5")


def unexpected(status: int) -> Unavailable:
    """Return that Keystone answered, but not what it should have."""
    return Unavailable(f"The identity service answered {status_text(status)}.", Retry_After="5")
