"""Tokens of a Keystone, validated by it and cached.

A validated token is trusted for `cache_seconds`, and never past its expiry; a revoked token stays valid up
to this long. While Keystone does not answer, a token that it has confirmed before is trusted without
waiting.
"""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from keystoneauth1 import session as keystone
from keystoneauth1.identity.v3 import Password

from tintype.auth.keystone_calls import KeystoneCalls, unexpected_status, v3_url, with_retry
from tintype.auth.limits import UnifiedLimits
from tintype.domain.access_rules import AccessRule
from tintype.domain.callers import Caller
from tintype.domain.proxies import ProxyRules
from tintype.domain.quotas import Quota
from tintype.domain.turns import address_group
from tintype.errors import Unauthenticated, Unavailable
from tintype.observability.failures import FailureLog
from tintype.policy.engine import Policy

_REFUSED_SECONDS: Final = 10.0
"""How long an invalid token is refused without asking again."""
_OUTAGE_SECONDS: Final = 600.0
"""How long a confirmed token is trusted while Keystone does not answer."""
_GRACE_SECONDS: Final = 5.0
"""After the cache time, how long a confirmed token does not wait for slow answers: as long as an outage may
go unnoticed. A revoked token stays valid longer by no more than one answer of Keystone."""
_PATIENCE_SECONDS: Final = 0.03
"""How long it does wait for the answer."""
_LONGEST_TOKEN: Final = 8192
_OWN: Final = "own"
"""The queue group of the service's own requests."""
_ACCESS_RULES: Final = {"OpenStack-Identity-Access-Rules": "1.0"}
"""Declares that access rules are enforced here; without it Keystone rejects tokens that have some."""


class Verdict(msgspec.Struct, frozen=True):
    """Keystone's answer for a token, and when it was requested; `caller` is None for an invalid token."""

    caller: Caller | None
    expires_at: float
    asked_at: float


class _User(msgspec.Struct):
    id: str
    name: str = ""


class _Named(msgspec.Struct):
    id: str = ""
    name: str = ""


class _ApplicationCredential(msgspec.Struct):
    access_rules: tuple[AccessRule, ...] | None = None


class _Token(msgspec.Struct):
    """The fields of Keystone's answer that are used (Identity API v3, `GET /auth/tokens`)."""

    expires_at: str
    user: _User
    project: _Named | None = None
    roles: list[_Named] = []
    application_credential: _ApplicationCredential | None = None


class _Answer(msgspec.Struct):
    token: _Token


class KeystoneAuthenticator:
    """Authenticates tokens, with calls as the service's user, whose role may validate tokens."""

    def __init__(
        self,
        calls: KeystoneCalls,
        policy: Policy,
        log: structlog.typing.FilteringBoundLogger,
        *,
        cache_seconds: int,
        cached_tokens: int,
        service_roles: tuple[str, ...],
        quota: Quota,
        limits: UnifiedLimits | None,
    ) -> None:
        """`quota` applies to every project, unless `limits` come from Keystone.

        At most `cached_tokens` valid tokens are cached, and separately a tenth as many invalid ones, so that
        forged tokens cannot evict valid ones.
        """
        self.calls = calls
        self._session = calls.session
        self._url = f"{calls.url}/auth/tokens?nocatalog"
        self._quota = quota
        self._limits = limits
        self._policy = policy
        self._failures = FailureLog(log)
        self._cache_seconds = cache_seconds
        self._cached_tokens = cached_tokens
        self._service_roles = frozenset(role.lower() for role in service_roles)
        self._confirmed: OrderedDict[bytes, Verdict] = OrderedDict()
        self._refused: OrderedDict[bytes, Verdict] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Verdict]] = {}

    async def authenticate(self, token: str, service_token: str | None = None, *, address: str) -> Caller:
        """Return the caller; a service that acts for it may present a token that has expired.

        Such a request is one step of a larger one, which the first service has checked against the
        token's access rules; they do not apply again.

        Raises Unauthenticated for an invalid token, Unavailable if Keystone does not answer, and
        TooManyAttempts if too many tokens wait to be validated, in all or from this address.
        """
        if service_token is None:
            return await self._caller(token, address, allow_expired=False)
        service = await self._caller(service_token, address, allow_expired=False)
        trusted = bool(service.roles & self._service_roles)
        caller = await self._caller(token, address, allow_expired=trusted)
        if not trusted:
            return caller
        return msgspec.structs.replace(caller, service_roles=service.roles, access_rules=None)

    def invalidate(self, token: str) -> None:
        """Remove a token from the cache."""
        for allow_expired in (False, True):
            self._drop(_key(token, allow_expired=allow_expired))

    async def check(self) -> None:
        """Raise Unavailable if Keystone does not answer or the service's own user cannot log in."""
        await self.calls.run("tokens", _OWN, self._ask_version)

    async def close(self) -> None:
        """Stop probing Keystone."""
        await self.calls.close()

    def _ask_version(self) -> None:
        self._session.get_token()  # sends a request only if the last token expires soon
        self._session.get(self.calls.url, authenticated=False, log=False)

    async def own_roles(self) -> frozenset[str]:
        """Log in as the service's own user, validate that token as any other, and return its roles."""
        status, content = await self.calls.run(
            "tokens", _OWN, lambda: self._request(self._session.get_token() or "", False)
        )
        if status != 200:
            raise self._not_validated(status)
        answer = msgspec.json.decode(content, type=_Answer)
        return frozenset(role.name.lower() for role in answer.token.roles)

    async def _caller(self, token: str, address: str, *, allow_expired: bool) -> Caller:
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            raise _refused()
        key = _key(token, allow_expired=allow_expired)
        verdict = self._remembered(key)
        moment = time.time()
        trusted = _REFUSED_SECONDS if verdict and verdict.caller is None else self._cache_seconds
        if verdict is None or moment > verdict.asked_at + trusted:
            verdict = await self._ask_once(key, token, verdict, address, allow_expired=allow_expired)
        if verdict.caller is None or (not allow_expired and moment >= verdict.expires_at):
            raise _refused()
        return verdict.caller

    async def _ask_once(
        self, key: bytes, token: str, before: Verdict | None, address: str, *, allow_expired: bool
    ) -> Verdict:
        """Validate a token once for all concurrent requests; fall back to a trusted verdict in an outage.

        A trusted token waits in its user's group, not behind unknown tokens from the same address.
        """
        trusted = before if before is not None and _is_trusted_in_outage(before) else None
        if trusted is not None and self.calls.failing:
            return trusted
        asking = self._asking.get(key)
        if asking is None:
            caller = trusted.caller if trusted is not None else None
            group = address_group(address) if caller is None else f"user {caller.user_id}"
            asking = asyncio.create_task(self._ask(token, group, allow_expired=allow_expired))
            self._asking[key] = asking
            asking.add_done_callback(partial(self._remember, key))
        try:
            if trusted is not None and not await self.calls.wait_ended(asking, self._patience(trusted)):
                return trusted
            return await asyncio.shield(asking)
        except Unavailable as error:
            if trusted is None:
                raise
            self._failures.record("token accepted without validation", error)
            return trusted

    def _patience(self, trusted: Verdict) -> float | None:
        """Return how many seconds a confirmed token waits for an answer; None for no limit."""
        recent = time.time() <= trusted.asked_at + self._cache_seconds + _GRACE_SECONDS
        return _PATIENCE_SECONDS if self._cache_seconds and recent else None

    def _remember(self, key: bytes, asked: "asyncio.Task[Verdict]") -> None:
        """Cache an answer, even if nobody waits for it any more."""
        self._asking.pop(key, None)
        if asked.cancelled() or asked.exception() is not None:
            return
        self._drop(key)
        verdict = asked.result()
        valid = verdict.caller is not None
        verdicts = self._confirmed if valid else self._refused
        verdicts[key] = verdict
        if len(verdicts) > (self._cached_tokens if valid else math.ceil(self._cached_tokens / 10)):
            verdicts.popitem(last=False)

    def _remembered(self, key: bytes) -> Verdict | None:
        """Return the cached verdict and mark it as recently used; None if there is none."""
        for verdicts in (self._confirmed, self._refused):
            if key in verdicts:
                verdicts.move_to_end(key)
                return verdicts[key]
        return None

    def _drop(self, key: bytes) -> None:
        self._confirmed.pop(key, None)
        self._refused.pop(key, None)

    async def _ask(self, token: str, group: str, *, allow_expired: bool) -> Verdict:
        asked_at = time.time()
        status, content = await self.calls.run(
            "tokens", group, with_retry, self._request, token, allow_expired
        )
        if status == 200:
            answer = msgspec.json.decode(content, type=_Answer).token
            expires_at = datetime.fromisoformat(answer.expires_at).timestamp()
            quota = self._quota
            if self._limits is not None and answer.project is not None:
                project = answer.project.id
                quota = await self.calls.run("tokens", group, with_retry, self._limits.get, project)
            return Verdict(self._to_caller(answer, quota), expires_at, asked_at)
        if status in {400, 404}:
            return Verdict(None, 0.0, asked_at)
        raise self._not_validated(status)

    def _request(self, token: str, allow_expired: bool) -> tuple[int, bytes]:
        url = f"{self._url}&allow_expired=1" if allow_expired else self._url
        answer: Any = self._session.get(
            url, headers={"X-Subject-Token": token, **_ACCESS_RULES}, raise_exc=False, log=False
        )
        return answer.status_code, answer.content

    def _not_validated(self, status: int) -> Unavailable:
        failure = unexpected_status(status)
        failure.add_note(f"{self.calls.url}/auth/tokens was asked to validate a token")
        if status == 403:
            failure.add_note("the user of keystone.username needs a role that may do so: admin or service")
        return failure

    def _to_caller(self, token: _Token, quota: Quota) -> Caller:
        credential = token.application_credential
        rules = credential.access_rules if credential is not None else None
        if token.project is None:  # domain and system roles do not apply to images
            return Caller(token.user.id, token.user.name, None, access_rules=rules)
        roles = frozenset(role.name.lower() for role in token.roles)
        project = token.project.id
        user = token.user
        caller = Caller(user.id, user.name, project, roles, quota=quota, access_rules=rules)
        return self._policy.resolve_admin(caller)


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
    """Return a session of the service's own user, which logs in when first used and again when needed."""
    auth = Password(
        auth_url=v3_url(auth_url),
        username=username,
        password=password,
        project_name=project_name,
        user_domain_name=user_domain_name,
        project_domain_name=project_domain_name,
    )
    return keystone.Session(auth=auth, verify=cafile or True, timeout=timeout)


def keep_connections(session: keystone.Session, count: int) -> None:
    """Make a session keep up to `count` connections open; others are closed after a request."""
    for scheme in ("https://", "http://"):
        session.session.mount(scheme, keystone.TCPKeepAliveAdapter(pool_maxsize=count))


def set_proxies(session: keystone.Session, proxies: ProxyRules) -> None:
    """Make a session use these proxies and ignore proxies, passwords and certificates of the environment."""
    session.session.trust_env = False
    session.session.proxies = {scheme: proxy.whole_url for scheme, proxy in proxies.proxies.items()}


def _is_trusted_in_outage(verdict: Verdict) -> bool:
    """Return whether a verdict is trusted while Keystone does not answer."""
    return verdict.caller is not None and time.time() <= verdict.asked_at + _OUTAGE_SECONDS


def _key(token: str, *, allow_expired: bool) -> bytes:
    return hashlib.sha256(token.encode()).digest() + bytes([allow_expired])  # keep no tokens in memory


def _refused() -> Unauthenticated:
    return Unauthenticated("The request you have made requires authentication.")
