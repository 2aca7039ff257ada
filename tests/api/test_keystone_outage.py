"""A Keystone that freezes, refuses connections, or comes back: who waits, and how often it is asked."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import httpx2
import pytest
import structlog
from msgspec.structs import replace

from frozen import FrozenServer
from tintype.auth.keystone import KeystoneAuthenticator, open_session
from tintype.auth.keystone_logins import KeystoneLogins
from tintype.domain.quotas import Quota
from tintype.errors import TintypeError, Unauthenticated, Unavailable
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS
from tintype.settings import KeystoneSettings
from tintype.wiring.identity import keystone_calls

CLIENTS = 12
HERE = "192.0.2.1"
TIMEOUT = 12
"""Seconds of the session: only calls that are under way when an outage begins may take so long."""
Log = structlog.testing.CapturingLogger


@pytest.fixture
def keystone() -> Iterator[FrozenServer]:
    with FrozenServer() as server:
        server.answering.set()
        yield server


@contextlib.asynccontextmanager
async def trusting(
    keystone: FrozenServer, *, cache_seconds: int = 0, cached_tokens: int = 1000, **bounds: int
) -> AsyncIterator[tuple[KeystoneAuthenticator, Log]]:
    """Give who asks that Keystone, by default for every request: what it said of a token is stale at once."""
    log = Log()
    names = {"project_name": "service", "user_domain_name": "Default", "project_domain_name": "Default"}
    about: dict[str, Any] = {
        "username": "glance",
        "password": "secret",
        "cafile": None,
        "timeout": TIMEOUT,
        **names,
    }
    session = open_session(auth_url=keystone.url, **about)
    options: dict[str, Any] = {
        "cache_seconds": cache_seconds,
        "cached_tokens": cached_tokens,
        "service_roles": (),
        "quota": Quota(),
        "limits": None,
    }
    chosen = replace(KeystoneSettings(auth_url=keystone.url), **bounds)
    calls = keystone_calls(chosen, session, log)
    yield KeystoneAuthenticator(calls, Policy(DEFAULTS), log, **options), log


async def timed(call: Callable[[], Awaitable[Any]]) -> tuple[float, str]:
    """Return how long a call took, and how it ended."""
    started = time.monotonic()
    try:
        await call()
    except Unavailable as error:
        return time.monotonic() - started, error.message
    return time.monotonic() - started, "ok"


async def ended(call: Awaitable[Any]) -> str:
    """Return how a call has ended."""
    try:
        await call
    except TintypeError as error:
        return type(error).__name__
    return "ok"


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 (what it waits for is in a log)
            await asyncio.sleep(0.02)


def answered_at_once(call: Coroutine[Any, Any, Any]) -> None:
    """Check that a call ends without waiting for anything, the event loop included."""
    with pytest.raises(StopIteration):
        call.send(None)
    call.close()


async def slowness(keystone: FrozenServer) -> float:
    """Return how many times as long as on an idle machine a second of pauses and small requests takes."""
    with httpx2.Client(trust_env=False, verify=False) as client:
        started = time.monotonic()
        for _ in range(10):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(client.get, keystone.url)
        return max(1.0, time.monotonic() - started)


def said(log: Log) -> list[str]:
    """Return what the log says of the outage."""
    events = [call.args[0] for call in log.calls if call.args]
    return [event for event in events if str(event).startswith("Keystone")]


async def test_known_tokens_do_not_wait_for_a_frozen_keystone(keystone: FrozenServer) -> None:
    """They are trusted at once; Keystone is asked by probes alone. Each used to wait 20.5 seconds."""
    async with trusting(keystone) as (authenticator, log):
        tokens = [f"token {number}" for number in range(CLIENTS)]
        for token in tokens:
            await authenticator.authenticate(token, address=HERE)
        keystone.freeze()
        first = await asyncio.gather(
            *(timed(functools.partial(authenticator.authenticate, t, address=HERE)) for t in tokens)
        )
        assert {ended for _, ended in first} == {"ok"}
        assert max(seconds for seconds, _ in first) < TIMEOUT / 2  # found out by a probe
        asked, started = keystone.requests, time.monotonic()
        for _ in range(50):
            for token in tokens:
                answered_at_once(authenticator.authenticate(token, address=HERE))
        assert keystone.requests - asked <= time.monotonic() - started + 2
        assert said(log) == ["Keystone does not answer"]


async def test_a_token_in_use_never_waits_for_an_outage_to_be_noticed(keystone: FrozenServer) -> None:
    """One that was confirmed a moment ago is trusted while the answer is outstanding; it used to wait 3 s."""
    async with trusting(keystone, cache_seconds=1) as (authenticator, log):
        await authenticator.authenticate("token", address=HERE)
        keystone.freeze()
        await asyncio.sleep(1.1)
        waits = []
        while said(log) == []:
            waits.append(await timed(lambda: authenticator.authenticate("token", address=HERE)))
        assert {ended for _, ended in waits} == {"ok"}
        assert len(waits) > 10  # in the three seconds until the outage is noticed
        print(f"{len(waits)} requests, at most {max(seconds for seconds, _ in waits) * 1000:.0f} ms each")


async def test_a_revoked_token_is_refused_once_a_slow_keystone_has_said_so(keystone: FrozenServer) -> None:
    """The answer counts although nobody has waited for it; without a cache everybody waits."""
    async with trusting(keystone, cache_seconds=1) as (authenticator, _):
        await authenticator.authenticate("token", address=HERE)
        await asyncio.sleep(1.1)
        keystone.unknown = "token"
        keystone.freeze()
        assert (await authenticator.authenticate("token", address=HERE)).project_id == "p1"
        keystone.answering.set()
        async with asyncio.timeout(20):
            while (await ended(authenticator.authenticate("token", address=HERE))) == "ok":  # noqa: ASYNC110 (Keystone is slow)
                await asyncio.sleep(0.02)
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate("token", address=HERE)
        assert keystone.requests < 10


@pytest.mark.needs("time")
async def test_unknown_tokens_are_refused_at_once(keystone: FrozenServer) -> None:
    """With 503 and when to come back; log-ins, too; none of them reaches Keystone, nor waits for a thread."""
    async with trusting(keystone) as (authenticator, log):
        logins = KeystoneLogins(authenticator._session, keystone.url, authenticator)
        keystone.freeze()
        first = asyncio.create_task(timed(lambda: authenticator.authenticate("the first", address=HERE)))
        await until(lambda: said(log) == ["Keystone does not answer"])
        asked, started = keystone.requests, time.monotonic()
        for number in range(100):
            with pytest.raises(Unavailable) as refused:
                await authenticator.authenticate(f"unknown {number}", address=HERE)
            assert refused.value.retry_after == 5
            with pytest.raises(Unavailable):
                await logins.log_in(name="alice", password="x", domain="Default", address=HERE)
        assert time.monotonic() - started < 10
        assert keystone.requests - asked <= time.monotonic() - started + 2
        assert (await first)[1] == "The identity service cannot be used: no answer in time."


async def test_it_is_noticed_without_traffic_that_keystone_is_back(keystone: FrozenServer) -> None:
    """A probe finds out by itself; the log has one line for the beginning and one for the end."""
    async with trusting(keystone) as (authenticator, log):
        keystone.freeze()
        late = asyncio.create_task(timed(lambda: authenticator.authenticate("token", address=HERE)))
        await until(lambda: said(log) == ["Keystone does not answer"])
        keystone.answering.set()
        started, slow = time.monotonic(), asyncio.create_task(slowness(keystone))
        await until(lambda: len(said(log)) == 2)
        noticed = time.monotonic() - started
        print(f"noticed {noticed:.2f} s after Keystone was back, on a machine {await slow:.1f} times as slow")
        assert noticed < 2 * await slow
        assert said(log) == ["Keystone does not answer", "Keystone answers again"]
        assert (await late)[1] == "ok"  # who had asked is answered late
        assert (await authenticator.authenticate("another", address=HERE)).project_id == "p1"
        connections = keystone.connections
        await asyncio.sleep(1.5)
        assert keystone.connections == connections  # nobody probes what answers


async def test_threads_stuck_in_lost_connections_hold_nobody_up(keystone: FrozenServer) -> None:
    """As many calls as there are threads never end; once Keystone answers others, everybody is served."""
    async with trusting(keystone) as (authenticator, log):
        await authenticator.authenticate("token", address=HERE)
        keystone.freeze()
        for number in range(CLIENTS):
            stuck = functools.partial(authenticator.authenticate, f"stuck {number}", address=HERE)
            asyncio.create_task(timed(stuck))  # noqa: RUF006
        await until(lambda: said(log) == ["Keystone does not answer"])
        keystone.lose_connections()
        keystone.answering.set()
        await until(lambda: said(log)[-1:] == ["Keystone answers again"])
        seconds, ended = await timed(lambda: authenticator.authenticate("another", address=HERE))
        assert ended == "ok"
        print(f"served in {seconds:.2f} s while all threads of before are stuck")
        assert seconds < TIMEOUT / 2


async def test_refused_connections_cost_nothing(keystone: FrozenServer) -> None:
    """There is no pause before a refusal is told: each request used to take half a second."""
    async with trusting(keystone) as (authenticator, log):
        await authenticator.authenticate("known", address=HERE)
        keystone.freeze()
        keystone.refuse()
        started = time.monotonic()
        for number in range(40):
            unknown = functools.partial(authenticator.authenticate, f"unknown {number}", address=HERE)
            assert (await timed(unknown))[1] != "ok"
            await authenticator.authenticate("known", address=HERE)
        assert time.monotonic() - started < 10
        assert said(log) == ["Keystone does not answer"]


async def test_a_slow_keystone_is_waited_for(keystone: FrozenServer) -> None:
    """One that answers others is no outage, however long one call takes."""
    async with trusting(keystone) as (authenticator, log):
        await authenticator.authenticate("token", address=HERE)
        keystone.slow = 2.5
        assert (await timed(lambda: authenticator.authenticate("another", address=HERE)))[1] == "ok"
        assert said(log) == []
