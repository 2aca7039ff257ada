"""Checking image properties against their definitions in the catalogue. Undefined ones are not checked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import re2

from tintype.domain.images import Image
from tintype.domain.metadefs import PUBLIC, Definition, Namespace

IMAGE_TYPE: Final = "OS::Glance::Image"
_BOOLEANS: Final = frozenset({*("true", "t", "yes", "y", "on", "1"), *("false", "f", "no", "n", "off", "0")})
"""Texts that OpenStack's services read as true or false, in lower case."""
_PATTERN: Final = 1000
"""The longest pattern that is evaluated, in characters."""
_OPTIONS: Final = re2.Options()
_OPTIONS.max_mem = 1 << 20  # bytes
_OPTIONS.log_errors = False
_SHOWN: Final = 20


def definitions(namespaces: Iterable[Namespace]) -> dict[str, list[Definition]]:
    """Return the definitions of image properties by their names on images.

    Several namespaces may define the same name, each for another hypervisor.
    """
    found: dict[str, list[Definition]] = {}
    for namespace in namespaces:
        association = namespace.associations.get(IMAGE_TYPE)
        if association is None or namespace.visibility != PUBLIC:
            continue
        groups = [namespace.properties, *(each.properties for each in namespace.objects.values())]
        for name, definition in (pair for group in groups for pair in group.items()):
            found.setdefault(f"{association.prefix or ''}{name}", []).append(definition)
    return found


def violations(attributes: Mapping[str, Any], known: Mapping[str, Sequence[Definition]]) -> list[str]:
    """Return, for each property that no definition accepts, a text that says what it must be."""
    said = []
    for name, value in attributes.items():
        if name in Image.__struct_fields__ or not isinstance(value, str):
            continue
        wanted = [wish for definition in known.get(name, ()) if (wish := unmet(value, definition))]
        if wanted and len(wanted) == len(known[name]):
            said.append(f"{name} must be {' or '.join(dict.fromkeys(wanted))}")
    return said


def unmet(value: str, definition: Definition) -> str | None:
    """Return what a definition requires and the value violates; None if the value is valid."""
    check = _CHECKS.get(str(definition.get("type")))
    return None if check is None else check(value, definition)


def _text(value: str, definition: Definition) -> str | None:
    if (wish := _chosen(value, definition.get("enum"))) is not None:
        return wish
    shortest, longest = definition.get("minLength", 0), definition.get("maxLength")
    if len(value) < shortest:
        return f"of at least {shortest} characters"
    if longest is not None and len(value) > longest:
        return f"of at most {longest} characters"
    pattern = definition.get("pattern")
    return f"like {pattern}" if pattern and not _matches(pattern, value) else None


def _number(kind: type[int] | type[float], word: str) -> Callable[[str, Definition], str | None]:
    def check(value: str, definition: Definition) -> str | None:
        try:
            number = kind(value)
        except ValueError:
            return word
        if "_" in value or not value.isascii():  # Python accepts more digits than others do
            return word
        lowest, highest = definition.get("minimum"), definition.get("maximum")
        if lowest is not None and not number >= lowest:  # also true for NaN
            return f"{word} of at least {lowest}"
        if highest is not None and not number <= highest:
            return f"{word} of at most {highest}"
        return _chosen(value, definition.get("enum"))

    return check


def _several(value: str, definition: Definition) -> str | None:
    """Check each item of a list, which Nova separates by commas, against the allowed ones."""
    words = [word.strip() for word in value.split(",")]
    choice = definition.get("items", {}).get("enum")
    return next((wish for word in words if (wish := _chosen(word, choice)) is not None), None)


def _chosen(value: str, choice: Sequence[Any] | None) -> str | None:
    if not choice or value in map(str, choice):
        return None
    shown = ", ".join(map(str, choice[:_SHOWN]))
    return f"one of {shown}" + (" …" if len(choice) > _SHOWN else "")


def _matches(pattern: str, value: str) -> bool:
    """Return whether a pattern matches a value; invalid and oversized patterns match everything."""
    if len(pattern) > _PATTERN:
        return True
    try:
        return re2.compile(pattern, _OPTIONS).search(value) is not None
    except re2.error:
        return True


_CHECKS: Final[Mapping[str, Callable[[str, Definition], str | None]]] = {
    "string": _text,
    "integer": _number(int, "a whole number"),
    "number": _number(float, "a number"),
    "boolean": lambda value, _definition: None if value.lower() in _BOOLEANS else "true or false",
    "array": _several,
}
