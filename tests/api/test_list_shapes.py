"""Lists of ever new shapes: few statements are made of them, and none on the event loop."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy.sql.compiler import SQLCompiler

from inprocess import Service
from tintype.db.statements import WAITING, Statements
from tintype.errors import TooManyAttempts


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the threads in which statements were compiled, one for each."""
    threads: list[int] = []
    real = SQLCompiler.__init__

    def noted(self: Any, *arguments: Any, **options: Any) -> None:
        threads.append(threading.get_ident())
        real(self, *arguments, **options)

    monkeypatch.setattr(SQLCompiler, "__init__", noted)
    return threads


def filters(properties: int, tags: int) -> str:
    pairs = [(f"p{number}", "x") for number in range(properties)]
    return urlencode([*pairs, *(("tag", f"t{number}") for number in range(tags))])


async def test_many_shapes_are_few_statements(service: Service, compiled: list[int]) -> None:
    """Of 96 numbers of filters 21 statements are made, each beside the event loop."""
    assert (await service.call("alice", "GET", "/v2/images")).status_code == 200
    compiled.clear()
    for number in range(1, 33):
        for query in (filters(number, 0), filters(0, number), filters(number // 2, number - number // 2)):
            answer = await service.call("alice", "GET", f"/v2/images?{query}")
            assert answer.status_code == 200, answer.text
    here = threading.get_ident()
    print(f"compiled: {len(compiled)}, on the event loop: {compiled.count(here)}")
    assert compiled.count(here) == 0
    assert len(compiled) <= 21


async def test_the_order_of_filters_makes_no_shape(service: Service, compiled: list[int]) -> None:
    """Of attributes, properties, and properties with long values among them."""
    pairs = [("name", "a"), ("status", "active"), ("p", "x"), ("q", "y" * 300), ("r", "z"), ("size_min", "1")]
    found = set()
    for turn in range(len(pairs)):
        query = urlencode([*pairs[turn:], *pairs[:turn]])
        answer = await service.call("alice", "GET", f"/v2/images?{query}")
        found.add(answer.status_code)
        if turn == 0:
            compiled.clear()
    assert (found, compiled) == ({200}, [])


async def test_repeated_filters_find_the_same(service: Service) -> None:
    """Three properties and three tags, one of them missing on some images, one with a long value."""
    long = "v" * 300
    for number in range(4):
        body = {"a": "1", "b": "2", "c": long, "tags": ["x", "y", "z"][: number + 1], "name": f"i{number}"}
        assert (await service.call("alice", "POST", "/v2/images", json=body)).status_code == 201
    query = urlencode([("a", "1"), ("b", "2"), ("c", long), ("tag", "x"), ("tag", "y"), ("tag", "z")])
    for who in ("alice", "admin"):
        found = (await service.call(who, "GET", f"/v2/images?{query}&visibility=all")).json()["images"]
        assert sorted(image["name"] for image in found) == ["i2", "i3"]
        query = query.replace("c=v", "c=w")
        assert (await service.call(who, "GET", f"/v2/images?{query}")).json()["images"] == []
        query = query.replace("c=w", "c=v")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (filters(33, 0), "at most 32 filters; 33 were given"),
        (filters(16, 17), "at most 32 filters; 33 were given"),
        ("&".join(["sort_key=name"] * 17), "at most 16 sort keys"),
        ("sort=" + ",".join(["name"] * 17), "at most 16 sort keys"),
        ("name=in:" + "a," * 1000, "At most 1000 values may follow 'name=in:'"),
        ("&".join(["limit=1"] * 151), "at most 150 parameters"),
    ],
    ids=["properties", "properties and tags", "sort_key", "sort", "values", "parameters"],
)
async def test_more_than_a_list_may_have(service: Service, query: str, said: str) -> None:
    """400, with the number."""
    answer = await service.call("alice", "GET", f"/v2/images?{query}")
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (400, True), answer.text


class Slow:
    """Compiles nothing until it may, and notes the order."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.made: list[object] = []

    def __call__(self, statement: Any, _names: object) -> None:
        self.made.append(statement)
        if statement != "known":
            self.go_on.wait(10)


def given(statement: Any) -> Callable[[], Any]:
    """Return what makes a statement: text and numbers stand for statements here."""
    return lambda: statement


async def get(statements: Statements, shape: Hashable, make: Callable[[], Any], *, group: str) -> Any:
    """Ask for a statement that has no parameters."""
    return await statements.get(shape, make, (), group=group)


@contextlib.contextmanager
def slow_statements() -> Iterator[tuple[Slow, Statements]]:
    slow = Slow()
    statements = Statements(slow, WAITING)
    try:
        yield slow, statements
    finally:
        slow.go_on.set()
        statements.close()


async def test_known_statements_do_not_wait_for_new_ones() -> None:
    """New ones wait for each other, each is made once, and only so many of a project may wait."""
    with slow_statements() as (slow, statements):
        assert await get(statements, "known", lambda: "known", group="a") == "known"
        count = WAITING.per_group
        new = [
            asyncio.ensure_future(get(statements, n // 2, given(n // 2), group="a")) for n in range(2 * count)
        ]
        await asyncio.sleep(0)
        assert await get(statements, "known", lambda: "again", group="a") == "known"
        with pytest.raises(TooManyAttempts, match="list_queue_per_project"):
            await get(statements, "more", lambda: "more", group="a")
        slow.go_on.set()
        assert await asyncio.gather(*new) == [n // 2 for n in range(2 * count)]
        assert slow.made == ["known", *range(count)]


async def test_projects_take_turns_with_new_statements() -> None:
    """Who asks for many new shapes keeps nobody else from one: it is made next, and not refused."""
    with slow_statements() as (slow, statements):
        flood = [asyncio.ensure_future(get(statements, n, given(n), group="flooder")) for n in range(300)]
        await asyncio.sleep(0)
        others = [
            asyncio.ensure_future(get(statements, name, given(name), group=name)) for name in ("x", "y")
        ]
        await asyncio.sleep(0)
        slow.go_on.set()
        assert await asyncio.gather(*others) == ["x", "y"]
        refused = await asyncio.gather(*flood, return_exceptions=True)
        assert sum(isinstance(each, TooManyAttempts) for each in refused) == 300 - WAITING.per_group
        assert {"x", "y"} <= set(slow.made[:4])


async def test_a_flood_of_new_shapes_leaves_those_that_are_used() -> None:
    """What was asked for twice is not made again for what was asked for once, and never on the loop."""
    made: list[object] = []

    def known() -> Any:
        made.append("known")
        return "known"

    def other(number: int) -> Any:
        made.append(number)
        return number

    with slow_statements() as (slow, statements):
        slow.go_on.set()
        for _ in range(2):
            await get(statements, "known", known, group="a")
        for number in range(2000):
            await get(statements, number, functools.partial(other, number), group="flooder")
        for _ in range(2):
            assert await get(statements, "known", known, group="a") == "known"
        await get(statements, 0, functools.partial(other, 0), group="flooder")
        assert (made.count("known"), made.count(0)) == (1, 2)
        assert slow.made.count("known") == 2, "the database may have dropped what it was compiled to"


async def test_a_shape_that_cannot_be_made_stops_no_others() -> None:
    """Who asks for it gets the error; the next one is made."""

    def fail() -> Any:
        raise ValueError("no such column")

    with slow_statements() as (slow, statements):
        slow.go_on.set()
        asked = get(statements, "wrong", fail, group="a"), get(statements, "right", given("right"), group="a")
        failed, made = list[Any](await asyncio.gather(*asked, return_exceptions=True))
        assert (isinstance(failed, ValueError), made) == (True, "right")
