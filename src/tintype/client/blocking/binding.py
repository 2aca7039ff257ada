# Made by `make docs` of ../aio; do not edit.
"""Turns the functions of `operations` into methods, with their signatures and docstrings."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from tintype.client.blocking.io import Awaited
from tintype.client.requests import Listing, Request

P = ParamSpec("P")
T = TypeVar("T")


class Sender(Protocol):
    """Sends requests."""

    def send(self, request: Request[T]) -> T:
        """Send a request and return the result that it reads from the response."""
        ...

    def each(self, listing: Listing[T]) -> Iterator[T]:
        """Iterate over all pages of a list."""
        ...


class Group:
    """The operations on one noun, with their sender."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender


class operation(Generic[P, T]):  # noqa: N801  stands where a function would
    """An operation as a method that sends it and returns its result."""

    def __init__(self, describe: Callable[P, Request[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def __get__(self, group: Group, _owner: Any) -> Callable[P, Awaited[T]]:
        describe = self._describe

        @functools.wraps(describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return group._sender.send(describe(*args, **kwargs))  # noqa: SLF001

        return call


class listing(Generic[P, T]):  # noqa: N801  stands where a function would
    """A list as a method that iterates over all pages, and requests each page when it is needed."""

    def __init__(self, describe: Callable[P, Listing[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def __get__(self, group: Group, _owner: Any) -> Callable[P, Iterator[T]]:
        describe = self._describe

        @functools.wraps(describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return group._sender.each(describe(*args, **kwargs))  # noqa: SLF001

        return call
