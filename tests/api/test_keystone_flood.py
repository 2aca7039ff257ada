"""Floods of tokens and logins with Keystone: queues, refusals and the cache of tokens."""

import asyncio
from collections.abc import Iterator

import pytest
from test_keystone_outage import HERE, trusting, until

from frozen import FrozenServer
from tintype.auth.keystone import KeystoneAuthenticator
from tintype.auth.keystone_logins import KeystoneLogins
from tintype.errors import TooManyAttempts, Unauthenticated

ELSEWHERE = "192.0.2.2"
FLOOD = 120


@pytest.fixture
def keystone() -> Iterator[FrozenServer]:
    with FrozenServer() as server:
        server.answering.set()
        yield server


def flood(authenticator: KeystoneAuthenticator, count: int) -> list[asyncio.Task[object]]:
    """Have made-up tokens validated, each of them a new one."""
    made_up = (authenticator.authenticate(f"made-up-{number}", address=HERE) for number in range(count))
    return [asyncio.create_task(each) for each in made_up]


async def test_made_up_tokens_hold_nobody_else_up(keystone: FrozenServer) -> None:
    """Addresses take turns; so does a token that is known, whose user is at the same address."""
    async with trusting(keystone) as (authenticator, _):
        await authenticator.authenticate("known", address=HERE)
        keystone.slow = 0.05
        waiting = flood(authenticator, FLOOD)
        await until(lambda: keystone.requests > 4)
        known = authenticator.authenticate("known", address=HERE)
        real = authenticator.authenticate("real", address=ELSEWHERE)
        await asyncio.gather(known, real)
        assert sum(task.done() for task in waiting) < FLOOD / 2
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(error) for error in ended} == {Unauthenticated}


@pytest.mark.parametrize(
    ("bounds", "heard"),
    [({}, 8 + 128), ({"concurrent_tokens": 2, "token_queue_per_address": 10}, 12), ({"token_queue": 5}, 13)],
)
async def test_one_address_has_a_part_of_the_queue(
    keystone: FrozenServer, bounds: dict[str, int], heard: int
) -> None:
    """One more token is refused at once, with a time to come back; others are heard."""
    async with trusting(keystone, **bounds) as (authenticator, _):
        await authenticator.authenticate("known", address=HERE)
        asked, keystone.slow = keystone.requests, 0.05
        ended = await asyncio.gather(*flood(authenticator, 200), return_exceptions=True)
        refused = [error for error in ended if isinstance(error, TooManyAttempts)]
        assert len(refused) == 200 - heard
        assert {(error.retry_after or 0) > 0 for error in refused} == {True}
        assert keystone.requests - asked == heard


async def test_logins_of_clients_that_left_are_not_asked_for(keystone: FrozenServer) -> None:
    """Only those that had a thread already; they keep it, so that no more wait behind them unseen."""
    async with trusting(keystone) as (authenticator, _):
        logins = KeystoneLogins(authenticator._session, keystone.url, authenticator)

        async def log_in(address: str) -> None:
            await logins.log_in(name="alice", password="x", domain="Default", address=address)

        keystone.slow = 1.0
        for _ in range(300):
            gone = asyncio.create_task(log_in(HERE))
            for _ in range(4):
                await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
        await log_in(ELSEWHERE)
        assert keystone.requests < 30


async def test_refusals_are_remembered_apart(keystone: FrozenServer) -> None:
    """Made-up tokens do not make a confirmed one forgotten, nor do others while it is used."""
    async with trusting(keystone, cache_seconds=60, cached_tokens=20) as (authenticator, _):

        async def asked_for(*values: str) -> int:
            before = keystone.requests
            for value in values:
                await asyncio.gather(authenticator.authenticate(value, address=HERE), return_exceptions=True)
            return keystone.requests - before

        assert await asked_for("used") == 2  # and its own token
        assert await asked_for(*(f"made-up-{number}" for number in range(6))) == 6
        assert await asked_for("used", "made-up-5", "made-up-4") == 0
        assert await asked_for("made-up-0") == 1
        for number in range(20):
            assert await asked_for(f"other-{number}", "used") == 1
        assert await asked_for("other-0") == 1


async def test_a_token_is_confirmed_or_refused_not_both(keystone: FrozenServer) -> None:
    """What Keystone said last counts."""
    async with trusting(keystone) as (authenticator, _):
        await authenticator.authenticate("token", address=HERE)
        keystone.unknown = "token"
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate("token", address=HERE)
