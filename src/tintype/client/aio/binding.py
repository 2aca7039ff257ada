"""Operations as methods: what `operations` describes is sent, with its signature and its words."""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from tintype.client.aio.io import Awaited
from tintype.client.requests import Listing, Request

P = ParamSpec("P")
T = TypeVar("T")


class Sender(Protocol):
    """What sends requests."""

    async def send(self, request: Request[T]) -> T:
        """Send one and give what it reads of the answer."""
        ...

    def each(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Go through all pages of a list."""
        ...


class Group:
    """Operations on one noun, with who sends them."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender


class operation(Generic[P, T]):  # noqa: N801  stands where a function would
    """An operation as a method: it is sent, and gives what it reads of the answer."""

    def __init__(self, describe: Callable[P, Request[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def __get__(self, group: Group, _owner: Any) -> Callable[P, Awaited[T]]:
        describe = self._describe

        @functools.wraps(describe)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await group._sender.send(describe(*args, **kwargs))  # noqa: SLF001

        return call


class listing(Generic[P, T]):  # noqa: N801  stands where a function would
    """A list as a method: it gives what is on all of its pages, asking for each when it comes to it."""

    def __init__(self, describe: Callable[P, Listing[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def __get__(self, group: Group, _owner: Any) -> Callable[P, AsyncIterator[T]]:
        describe = self._describe

        @functools.wraps(describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            return group._sender.each(describe(*args, **kwargs))  # noqa: SLF001

        return call
