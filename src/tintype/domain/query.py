"""List requests: filters, order and page, parsed from the query string."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tintype.domain import images
from tintype.errors import Invalid

SORT_KEYS: Final = (
    *("name", "status", "container_format", "disk_format"),
    *("size", "id", "created_at", "updated_at"),
)
MEMBER_STATUSES: Final = ("pending", "accepted", "rejected", "all")
VISIBILITY_CHOICES: Final = (*images.VISIBILITIES, "all")

_IN_FILTERS: Final = frozenset({"id", "name", "status", "container_format", "disk_format"})
_TIME_FILTERS: Final = frozenset({"created_at", "updated_at"})
_TEXT_FILTERS: Final = frozenset({"owner", "checksum", "os_hash_algo", "os_hash_value"})
_NUMBERS: Final = frozenset({"size", "virtual_size", "min_disk", "min_ram"})
_COMPARISONS: Final = ("eq", "neq", "gt", "gte", "lt", "lte")
_TIMESTAMP: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_WHOLE: Final = re.compile(r"(?<=\d)\.0+(?=\s*$)")
"""The zero fraction of an integer: 5.0 equals 5."""
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"(,|$)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_SECOND: Final = 1_000_000
_MOST_FILTERS: Final = 32
_MOST_SORT_KEYS: Final = 16
_MOST_VALUES: Final = 1000
_BIGGEST: Final = 2**63 - 1


class Condition(msgspec.Struct, frozen=True):
    """A condition on one attribute: eq, gte, lt, lte, in, outside, or has for a part."""

    attribute: str
    op: str
    value: Any


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A validated list request. Times are microseconds since the epoch."""

    limit: int
    marker: str | None = None
    order: tuple[tuple[str, str], ...] = (("created_at", "desc"), ("id", "desc"))
    """(sort key, asc or desc), most significant first; ends with created_at and id, so it is total."""
    visibility: str | None = None
    member_status: str = "accepted"
    conditions: tuple[Condition, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()


def parse(params: Iterable[tuple[str, str]], *, default_limit: int, max_limit: int) -> Query:
    """Parse a query string's pairs.

    A key that is not a base attribute filters by the custom property of that name. `tag` can be repeated; of
    any other repeated key the last value applies. Raises Invalid.
    """
    pairs = list(params)
    filtering = sum(key == "tag" or key not in _CONTROLS for key, _ in pairs)
    if filtering > _MOST_FILTERS:
        raise Invalid(f"A list may have at most {_MOST_FILTERS} filters; {filtering} were given.")
    for key, value in pairs:
        if "\0" in key or "\0" in value:
            raise Invalid("The query string must not contain a NUL character.")
    single = dict(pairs)
    filters = {key: value for key, value in single.items() if key not in _CONTROLS}
    if single.get("changes-since"):
        raise Invalid('The "changes-since" filter is no longer available on v2.')
    member_status = _choice("member status", single.get("member_status", "accepted"), MEMBER_STATUSES)
    visibility = single.get("visibility")
    conditions, properties = _conditions(filters)
    return Query(
        limit=page_limit(single.get("limit"), default_limit, max_limit),
        marker=single.get("marker"),
        order=_order(pairs),
        visibility=_choice("visibility value", visibility, VISIBILITY_CHOICES) if visibility else None,
        member_status=member_status,
        conditions=conditions,
        properties=properties,
        tags=tuple(sorted({value.strip() for key, value in pairs if key == "tag"})),
    )


_CONTROLS: Final = frozenset(
    {"limit", "marker", "member_status", "visibility", "tag", "sort", "sort_key", "sort_dir", "changes-since"}
)


def _choice(noun: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise Invalid(f"Invalid {noun}: {value}. It must be one of: {', '.join(allowed)}.")
    return value


def page_limit(value: str | None, default: int, maximum: int) -> int:
    """Parse the page size, capped at `maximum`. Raises Invalid."""
    if value is None:
        return min(default, maximum)
    number = _integer("limit", value)
    if number < 0:
        raise Invalid("limit param must be positive")
    return min(number, maximum)


def _integer(name: str, value: str) -> int:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,19}\s*", value) or abs(number := int(value)) > _BIGGEST:
        raise Invalid(f"{name} param must be an integer")
    return number


def _order(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    keys = [value.strip() for key, value in pairs if key == "sort_key"]
    dirs = [value.strip() for key, value in pairs if key == "sort_dir"]
    combined = [value for key, value in pairs if key == "sort"]
    if max(len(keys), len(dirs), *(value.count(",") + 1 for value in combined[-1:]), 0) > _MOST_SORT_KEYS:
        raise Invalid(f"A list may have at most {_MOST_SORT_KEYS} sort keys.")
    if combined:
        if keys or dirs:
            raise Invalid("Old and new sorting syntax cannot be combined")
        parts = [part.partition(":") for part in combined[-1].strip().split(",")]
        keys = [key.strip() for key, _, _ in parts]
        dirs = [(direction or "desc").strip() for _, _, direction in parts]
    if len(dirs) > 1 and len(dirs) != len(keys):
        raise Invalid("Number of sort dirs does not match the number of sort keys")
    for key in keys:
        _choice("sort key", key, SORT_KEYS)
    for direction in dirs:
        _choice("sort direction", direction, ("asc", "desc"))
    keys = keys or ["created_at"]
    if len(dirs) <= 1:  # one direction applies to every key, tie-breakers included
        default = dirs[0] if dirs else "desc"
        dirs = [default] * len(keys)
    else:
        default = "desc"
    order = dict(reversed(list(zip(keys, dirs, strict=True))))  # the first of a repeated key counts
    order = {key: order[key] for key in dict.fromkeys(keys)}
    for tie_breaker in ("created_at", "id"):
        order.setdefault(tie_breaker, default)
    return tuple(order.items())


def _conditions(filters: Mapping[str, str]) -> tuple[tuple[Condition, ...], tuple[tuple[str, str], ...]]:
    conditions = [Condition("os_hidden", "eq", _flag("os_hidden", filters.get("os_hidden", "false").lower()))]
    properties = []
    for key, value in filters.items():
        if key == "os_hidden":
            continue
        if key == "protected":
            conditions.append(Condition(key, "eq", _flag(key, value)))
        elif key in _IN_FILTERS:
            conditions.append(_text_condition(key, value.lower() if key == "id" else value))
        elif key in _TIME_FILTERS:
            conditions.extend(_time_conditions(key, value))
        elif key in _TEXT_FILTERS:
            conditions.append(Condition(key, "eq", value))
        elif key in _NUMBERS:
            conditions.append(Condition(key, "eq", _integer(key, _WHOLE.sub("", value))))
        elif key.endswith(("_min", "_max")):
            conditions.append(_bound(key, value))
        else:
            properties.append((key, value))
    return tuple(conditions), tuple(properties)


def _flag(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise Invalid(f"Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return value == "true"


def _bound(key: str, value: str) -> Condition:
    attribute = key[:-4]
    if attribute not in _NUMBERS:
        raise Invalid(f"Unable to filter on a range of '{attribute}': it is no number attribute.")
    return Condition(attribute, "gte" if key.endswith("_min") else "lte", _integer(key, value))


def _text_condition(key: str, value: str) -> Condition:
    op, colon, operand = value.partition(":")
    if not colon or op == "eq":
        return Condition(key, "eq", operand if colon else value)
    if op == "in":
        values = tuple(itertools.islice(split_quoted(operand), _MOST_VALUES + 1))
        if len(values) > _MOST_VALUES:
            raise Invalid(f"At most {_MOST_VALUES} values may follow '{key}=in:'.")
        return Condition(key, "in", values)
    raise Invalid(f"Unable to filter by unknown operator '{op}'.")


def split_quoted(value: str) -> Iterator[str]:
    r"""Split `a,"b,c",d` at the commas outside quotes; `\"` is a quote inside quotes."""
    at = 0
    while True:
        if value.startswith('"', at):
            match = _QUOTED.match(value, at)
            if match is None:
                raise Invalid(
                    f"Invalid filter value {value}. The quote is not closed, or a comma is missing."
                )
            yield _ESCAPED.sub(r"\1", match[1])
            at, comma = match.end(), match[2]
        else:
            stop = value.find(",", at)
            part, comma = (value[at:], "") if stop < 0 else (value[at:stop], ",")
            if '"' in part.replace('\\"', ""):
                raise Invalid(
                    f"Invalid filter value {value}. There is no comma before opening quotation mark."
                )
            yield part
            at = stop + 1
        if not comma:
            return


def _time_conditions(key: str, value: str) -> list[Condition]:
    """Compare whole seconds, the precision of the API's times, so that `eq:` matches what it shows."""
    op, operand = "eq", value
    if not _TIMESTAMP.fullmatch(value):
        head, colon, tail = value.partition(":")
        if colon:
            op, operand = head, tail
    if op not in _COMPARISONS:
        raise Invalid(f"Unable to filter by unknown operator '{op}'.")
    start = _microseconds(key, operand)
    end = start + _SECOND
    return {
        "eq": [Condition(key, "gte", start), Condition(key, "lt", end)],
        "neq": [Condition(key, "outside", (start, end))],
        "gt": [Condition(key, "gte", end)],
        "gte": [Condition(key, "gte", start)],
        "lt": [Condition(key, "lt", start)],
        "lte": [Condition(key, "lt", end)],
    }[op]


def _microseconds(key: str, value: str) -> int:
    text = value.strip().replace(" ", "+") if "T" in value else value  # a + that was decoded as a space
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * _SECOND
    except (ValueError, OverflowError):
        raise Invalid(f'Bad "{key}" query filter format. Use ISO 8601 DateTime notation.') from None
