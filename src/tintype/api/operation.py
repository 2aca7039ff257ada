"""The description of an operation, declared beside its handler; `openapi.py` makes the document from it."""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

import msgspec

from tintype.api.json_schema import Schema
from tintype.api.route import Endpoint

JSON: Final = "application/json"
TEXT: Final = "text/plain"
F = TypeVar("F", bound=Callable[..., Any])


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a query string, or a header of a request."""

    name: str
    where: Literal["query", "header"]
    description: str
    schema: Schema
    required: bool = False


class Body(msgspec.Struct, frozen=True):
    """The body of a request: the schema, or the name of a shared one, for each media type."""

    content: dict[str, str | Schema]
    required: bool = True


class Answer(msgspec.Struct, frozen=True):
    """A response that is no error: its schema, or the name of a shared one, and the names of its headers."""

    status: int
    schema: str | Schema | None = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON


class Operation(msgspec.Struct, frozen=True):
    """What a handler takes and returns."""

    answers: tuple[Answer, ...]
    body: Body | None = None
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    """Statuses of errors, beyond those that every operation of its kind has."""
    needs: Literal["route", "token", "bearer"] = "route"
    """The credentials: as the route says; a token, or also a bearer token, that the handler itself checks."""


def describe(
    *answers: Answer,
    body: Body | str | None = None,
    takes: tuple[Parameter, ...] = (),
    errors: tuple[int, ...] = (),
    needs: Literal["route", "token", "bearer"] = "route",
) -> Callable[[F], F]:
    """Attach the description of its operation to a handler; a `body` that is a name is JSON."""
    content = Body({JSON: body}) if isinstance(body, str) else body

    def attach(handler: F) -> F:
        handler.__dict__["operation"] = Operation(answers, content, takes, errors, needs)
        return handler

    return attach


def operation_of(endpoint: Endpoint) -> Operation:
    """Return the description of an endpoint's operation; raises AttributeError if there is none."""
    operation: Operation = endpoint.operation  # type: ignore[attr-defined]
    return operation
