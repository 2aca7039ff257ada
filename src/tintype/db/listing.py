"""Pages of images: a union of index scans (own, public, shared with me), paged by key, never by offset.

Each branch is sorted and limited by itself, so other projects' images are never read. The marker is an
image; the page starts after its values of the sort keys. A statement is built once for each shape of request
and cached; only its parameters change.
"""

import functools
import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from tintype.db import images as image_rows
from tintype.db.engine import Transaction
from tintype.db.tables import image_members, image_properties, image_tags, images
from tintype.domain.callers import Caller
from tintype.domain.images import VISIBILITIES, Image
from tintype.domain.query import Query

T = TypeVar("T")
_VISIBILITY: Final[Mapping[str, sa.ColumnElement[str]]] = {
    name: sa.literal_column(f"'{name}'") for name in VISIBILITIES
}
"""Literals in the statement: PostgreSQL has statistics for each value, and plans only once."""
_LIKELY: Final = 200
"""Maximum number of characters searched for in an image's own row before its index row is looked up."""
_KEY: Final = 255
"""Maximum number of characters of a property's value that is stored in the index as it is."""
_SHARED_WITH: Final = image_members.c.member_id == sa.bindparam("project_id")


class Shape(msgspec.Struct, frozen=True):
    """The parts of a request that decide its statement, without the values."""

    is_admin: bool
    visibility: str | None
    any_answer: bool
    order: tuple[tuple[str, str], ...]
    conditions: tuple[tuple[str, str], ...]
    properties: tuple[bool, ...]
    """For each property filter, whether its value is too long for the index to decide."""
    tags: int
    nulls: frozenset[str] | None
    """The sort keys for which the marker has no value; None without a marker."""


async def page(tx: Transaction, caller: Caller, query: Query, marker: Image | None) -> list[Image]:
    """Return the page's images in sort order."""
    query = _padded(query)
    keys = [key for key, _ in query.order]
    shape = Shape(
        is_admin=caller.is_admin,
        visibility=query.visibility,
        any_answer=query.member_status == "all",
        order=query.order,
        conditions=tuple((condition.attribute, condition.op) for condition in query.conditions),
        properties=tuple(len(value) > _KEY for _, value in query.properties),
        tags=len(query.tags),
        nulls=None if marker is None else frozenset(key for key in keys if getattr(marker, key) is None),
    )
    parameters = {"project_id": caller.project_id, "limit": query.limit, "answer": query.member_status}
    parameters |= dict(_values(query, marker))
    make = functools.partial(_statement, shape)
    statement = await tx.statement(shape, make, parameters, group=caller.project_id or "")
    rows = (await tx.execute(statement, parameters)).all()
    return [image_rows.from_row(row) for row in rows]


def _padded(query: Query) -> Query:
    """Return an equivalent request that has one of few shapes.

    Filters are sorted, and repeated until there are 1, 2, 4, … of each kind.
    """
    short = [pair for pair in query.properties if len(pair[1]) <= _KEY]
    long = [pair for pair in query.properties if len(pair[1]) > _KEY]
    return msgspec.structs.replace(
        query,
        conditions=tuple(sorted(query.conditions, key=lambda each: (each.attribute, each.op))),
        properties=(*_repeated(short), *_repeated(long)),
        tags=tuple(_repeated(query.tags)),
    )


def _repeated(items: Sequence[T]) -> Sequence[T]:
    """Repeat the last item until the number of items is a power of two."""
    if not items:
        return items
    return [*items, *[items[-1]] * ((1 << (len(items) - 1).bit_length()) - len(items))]


def _values(query: Query, marker: Image | None) -> Iterator[tuple[str, Any]]:
    """Return the parameters that the statement's shape names."""
    for number, condition in enumerate(query.conditions):
        if condition.op == "outside":
            yield from ((f"low{number}", condition.value[0]), (f"high{number}", condition.value[1]))
        else:
            yield f"value{number}", condition.value
    for number, (name, value) in enumerate(query.properties):
        yield from ((f"property{number}", name), (f"value_of_property{number}", value))
        yield from ((f"beginning{number}", value[: _KEY + 1]), (f"digest{number}", _digest_key(value)))
        yield f"likely_property{number}", f"{_json(name)}:{_json(value)}"[:_LIKELY]
    for number, tag in enumerate(query.tags):
        yield from ((f"tag{number}", tag), (f"likely_tag{number}", _json(tag)))
    if marker is not None:
        for key, _ in query.order:
            yield f"marker_{key}", getattr(marker, key)


def _statement(shape: Shape) -> Any:
    filters = list(_filters(shape))
    branches = [branch.where(*filters) for branch in _branches(shape)]
    limit: sa.ColumnElement[int] = sa.bindparam("limit")
    ordering = _ordering(shape.order, _sorted(shape))
    if len(branches) == 1:
        return branches[0].order_by(*ordering).limit(limit)
    cut = [branch.order_by(*ordering).limit(limit).subquery() for branch in branches]
    merged = sa.union_all(*(sa.select(part) for part in cut)).subquery()
    return sa.select(merged).order_by(*_ordering(shape.order, merged.c)).limit(limit)


def _branches(shape: Shape) -> list[sa.Select[Any]]:
    """Split what the caller may list into disjoint parts, each served by one index."""
    wanted = shape.visibility
    own = images.c.owner == sa.bindparam("project_id")
    if shape.is_admin:
        if wanted is None:
            return [_plain(sa.or_(own, images.c.visibility != _VISIBILITY["community"]))]
        return [_plain()] if wanted == "all" else [_plain(images.c.visibility == _VISIBILITY[wanted])]
    foreign = images.c.owner.is_distinct_from(sa.bindparam("project_id"))
    branches = [
        _plain(own) if wanted in {None, "all"} else _plain(own, images.c.visibility == _VISIBILITY[wanted])
    ]
    branches.extend(
        _plain(images.c.visibility == _VISIBILITY[open_visibility], foreign)
        for open_visibility in ("public", "community")
        if wanted in {open_visibility, "all"} or (wanted is None and open_visibility == "public")
    )
    if wanted in {None, "all", "shared"}:
        shared = (
            sa.select(*image_rows.COLUMNS, image_members.c.member_id)
            .join(image_members, image_members.c.image_id == images.c.id)
            .where(_SHARED_WITH, images.c.visibility == _VISIBILITY["shared"], foreign)
        )
        answered = image_members.c.status == sa.bindparam("answer")
        branches.append(shared if shape.any_answer else shared.where(answered))
    return branches


def _plain(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(*image_rows.COLUMNS, sa.null().label("member_id")).where(*conditions)


def _filters(shape: Shape) -> Iterator[sa.ColumnElement[bool]]:
    for number, (attribute, op) in enumerate(shape.conditions):
        column = images.c[attribute]
        if op == "outside":
            yield sa.or_(column < sa.bindparam(f"low{number}"), column >= sa.bindparam(f"high{number}"))
        elif op == "has":
            part = sa.bindparam(f"value{number}", type_=sa.Text())
            yield sa.or_(contains(column, part) > 0, contains(sa.func.lower(column), sa.func.lower(part)) > 0)
        elif op == "in":
            yield column.in_(sa.bindparam(f"value{number}", expanding=True))
        else:
            kind = (
                sa.BigInteger() if isinstance(column.type, sa.Integer) else None
            )  # a client may send any number
            yield _OPERATORS[op](column, sa.bindparam(f"value{number}", type_=kind))
    for number, is_long in enumerate(shape.properties):
        of, name = image_properties.c, sa.bindparam(f"property{number}", type_=sa.Text())
        key = index_key(sa.bindparam(f"beginning{number}"), sa.bindparam(f"digest{number}"))
        named = [of.name == name, of.value_key == key]
        if is_long:
            named.append(property_of(images.c.properties, name) == sa.bindparam(f"value_of_property{number}"))
        likely = contains(images.c.properties, sa.bindparam(f"likely_property{number}")) > 0
        yield _has(shape, likely, of.image_id == images.c.id, *named)
    for number in range(shape.tags):
        tagged = image_tags.c.tag == sa.bindparam(f"tag{number}")
        likely = contains(images.c.tags, sa.bindparam(f"likely_tag{number}")) > 0
        yield _has(shape, likely, image_tags.c.image_id == images.c.id, tagged)
    if shape.nulls is not None:
        yield _behind(shape)


def _has(
    shape: Shape, likely: sa.ColumnElement[bool], *conditions: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Match images that have such a row.

    An admin lists everybody's images, so the database may start from the rows. A member's images are few:
    each is checked by itself, so that other projects' rows cost nothing. The text in the image's own row is
    checked first, because a lookup in a large index is slow.
    """
    if shape.is_admin:
        return sa.exists().where(*conditions)
    return sa.and_(
        likely, sa.select(sa.literal(1)).where(*conditions).limit(1).scalar_subquery().is_not(None)
    )


def _json(text: str) -> str:
    """Encode a text as it appears in a row's JSON."""
    return msgspec.json.encode(text).decode()


def _digest_key(value: str) -> str:
    """Return a value's key in PostgreSQL's index: the value itself, or its digest if it is long."""
    return value if len(value) <= _KEY else "sha256:" + hashlib.sha256(value.encode()).hexdigest()


class index_key(GenericFunction[str]):  # noqa: N801 (SQL names its functions so)
    """A value's index key, made from its beginning and its digest as the triggers do."""

    inherit_cache = True


@compiles(index_key, "sqlite")
def _beginning(element: index_key, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses.clauses[0], **options))


@compiles(index_key)
def _digest(element: index_key, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses.clauses[1], **options))


class property_of(GenericFunction[str]):  # noqa: N801
    """The value of a property, from the JSON in the image's own row."""

    type = sa.Text()
    inherit_cache = True


@compiles(property_of, "sqlite")
def _from_each(element: property_of, compiler: Any, **options: Any) -> str:
    properties, name = (compiler.process(each, **options) for each in element.clauses)
    return f"(SELECT value FROM json_each({properties}) WHERE key = {name})"


@compiles(property_of)
def _by_arrow(element: property_of, compiler: Any, **options: Any) -> str:
    properties, name = (compiler.process(each, **options) for each in element.clauses)
    return f"(CAST({properties} AS json) ->> {name})"


class contains(GenericFunction[int]):  # noqa: N801 (SQL names its functions so)
    """The position of one text in another, from 1 on; 0 if it does not occur."""

    type = sa.Integer()
    inherit_cache = True


@compiles(contains, "sqlite")
def _instr(element: contains, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(contains)
def _strpos(element: contains, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], sa.ColumnElement[bool]]]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gte": operator.ge,
}


def _ordering(order: Sequence[tuple[str, str]], columns: Any) -> list[Any]:
    """Sort with null as the lowest value, on every database.

    Columns without nulls get no NULLS clause: PostgreSQL would not use an index for it.
    """
    return [_ordered(columns[key], direction, nullable=images.c[key].nullable) for key, direction in order]


def _sorted(shape: Shape) -> Mapping[str, Any]:
    """Return the columns to sort by.

    A member's images are few and are sorted. SQLite would otherwise scan everybody's images by an index on id
    or name to find them, so the first key is one that no index has.
    """
    columns: dict[str, Any] = dict(images.c)
    first = shape.order[0][0]
    if not shape.is_admin and first in {"id", "name"}:
        columns[first] = sa.func.coalesce(images.c[first], images.c[first])
    return columns


def _ordered(column: Any, direction: str, *, nullable: bool | None) -> Any:
    if direction == "asc":
        return column.asc().nulls_first() if nullable else column.asc()
    return column.desc().nulls_last() if nullable else column.desc()


def _behind(shape: Shape) -> sa.ColumnElement[bool]:
    """Match rows that sort after the marker: later in the first key that differs."""
    nulls, columns = shape.nulls or frozenset(), _sorted(shape)
    alternatives: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for key, direction in shape.order:
        column, nullable = columns[key], images.c[key].nullable
        value: Any = None if key in nulls else sa.bindparam(f"marker_{key}")
        if not alternatives:
            bound = _not_before(column, direction, value, nullable=nullable)
        alternatives.append(sa.and_(*equal, _after(column, direction, value, nullable=nullable)))
        equal.append(column.is_(None) if value is None else column == value)
    return sa.and_(bound, sa.or_(*alternatives))


def _not_before(column: Any, direction: str, value: Any, *, nullable: bool | None) -> sa.ColumnElement[bool]:
    """Match rows whose first key is at or after the marker's: a bound that an index can use."""
    if value is None:
        return column.is_(None) if direction == "desc" else sa.literal(True)
    if direction == "asc":
        return column >= value  # type: ignore[no-any-return]
    return sa.or_(column <= value, column.is_(None)) if nullable else column <= value


def _after(column: Any, direction: str, value: Any, *, nullable: bool | None) -> sa.ColumnElement[bool]:
    if direction == "asc":
        return column.is_not(None) if value is None else column > value  # type: ignore[no-any-return]
    if value is None:
        return sa.false()
    return sa.or_(column < value, column.is_(None)) if nullable else column < value
