"""A page of images: a union of index scans (own, open, shared with me), cut at a key, never an offset.

Each branch is sorted and cut by itself, so what other projects own is never read. The marker
is an image; the page starts behind its values of the sort keys.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, exists, false, literal, null, or_, select, union_all

from tintype.db import images as image_rows
from tintype.db.engine import Transaction
from tintype.db.tables import image_members, image_properties, image_tags, images
from tintype.domain.callers import Caller
from tintype.domain.images import Image
from tintype.domain.query import Query

_COLUMNS: Final = tuple(images.c)


async def page(tx: Transaction, caller: Caller, query: Query, marker: Image | None) -> list[Image]:
    """Give the images of one page, in order."""
    filters = _filters(query)
    if marker is not None:
        filters.append(_behind(query.order, marker))
    branches = [branch.where(*filters) for branch in _branches(caller, query)]
    statement: Any
    if len(branches) == 1:
        statement = branches[0].order_by(*_ordering(query.order, images.c)).limit(query.limit)
    else:
        ordering = _ordering(query.order, images.c)
        cut = [branch.order_by(*ordering).limit(query.limit).subquery() for branch in branches]
        merged = union_all(*(select(part) for part in cut)).subquery()
        statement = select(merged).order_by(*_ordering(query.order, merged.c)).limit(query.limit)
    return [image_rows.from_row(row) for row in await tx.execute(statement)]


def _branches(caller: Caller, query: Query) -> list[Select[Any]]:
    """Split what the caller may list into parts that do not overlap, each along one index."""
    wanted = query.visibility
    own = images.c.owner == caller.project_id
    if caller.is_admin:
        if wanted is None:
            return [_plain(or_(own, images.c.visibility != "community"))]
        return [_plain()] if wanted == "all" else [_plain(images.c.visibility == wanted)]
    foreign = images.c.owner.is_distinct_from(caller.project_id)
    branches = [_plain(own) if wanted in {None, "all"} else _plain(own, images.c.visibility == wanted)]
    branches.extend(
        _plain(images.c.visibility == open_visibility, foreign)
        for open_visibility in ("public", "community")
        if wanted in {open_visibility, "all"} or (wanted is None and open_visibility == "public")
    )
    if wanted in {None, "all", "shared"}:
        shared = (
            select(*_COLUMNS, image_members.c.member_id)
            .join(image_members, image_members.c.image_id == images.c.id)
            .where(image_members.c.member_id == caller.project_id, images.c.visibility == "shared", foreign)
        )
        if query.member_status != "all":
            shared = shared.where(image_members.c.status == query.member_status)
        branches.append(shared)
    return branches


def _plain(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*_COLUMNS, null().label("member_id")).where(*conditions)


def _filters(query: Query) -> list[ColumnElement[bool]]:
    filters = [
        _OPERATORS[condition.op](images.c[condition.attribute], condition.value)
        for condition in query.conditions
    ]
    filters.extend(
        exists().where(
            image_properties.c.image_id == images.c.id,
            image_properties.c.name == name,
            image_properties.c.value_key == image_rows.property_key(value),
        )
        for name, value in query.properties
    )
    filters.extend(
        exists().where(image_tags.c.image_id == images.c.id, image_tags.c.tag == tag) for tag in query.tags
    )
    return filters


def _outside(column: Any, bounds: tuple[int, int]) -> ColumnElement[bool]:
    start, stop = bounds
    return or_(column < start, column >= stop)


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "eq": operator.eq,
    "in": lambda column, values: column.in_(values),
    "lt": operator.lt,
    "lte": operator.le,
    "gte": operator.ge,
    "outside": _outside,
}


def _ordering(order: Sequence[tuple[str, str]], columns: Any) -> list[Any]:
    """Sort with null as the lowest value, on every database."""
    return [
        columns[key].asc().nulls_first() if direction == "asc" else columns[key].desc().nulls_last()
        for key, direction in order
    ]


def _behind(order: Sequence[tuple[str, str]], marker: Image) -> ColumnElement[bool]:
    """Hold for rows that sort behind the marker: later in the first key that differs."""
    alternatives: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for key, direction in order:
        column, value = images.c[key], getattr(marker, key)
        alternatives.append(and_(*equal, _after(column, direction, value)))
        equal.append(column.is_(None) if value is None else column == value)
    first_key, first_direction = order[0]
    return and_(
        _not_before(images.c[first_key], first_direction, getattr(marker, first_key)), or_(*alternatives)
    )


def _not_before(column: Any, direction: str, value: Any) -> ColumnElement[bool]:
    """Hold for rows whose first key is at or behind the marker's: a bound that an index can use."""
    if value is None:
        return column.is_(None) if direction == "desc" else literal(True)
    if direction == "asc":
        return column >= value  # type: ignore[no-any-return]
    return or_(column <= value, column.is_(None)) if column.nullable else column <= value


def _after(column: Any, direction: str, value: Any) -> ColumnElement[bool]:
    if direction == "asc":
        return column.is_not(None) if value is None else column > value  # type: ignore[no-any-return]
    if value is None:
        return false()
    return or_(column < value, column.is_(None)) if column.nullable else column < value
