"""Validation of a setting's value, with a description of what is allowed, from the setting's type."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from tintype.settings import Setting

_LONGEST: Final = 10 * 365 * 24 * 3600
"""Longest duration in seconds: added to a time, it must still give a valid time."""
_LARGEST: Final = 1 << 53
_DURATION: Final = re.compile("(.*_)?(seconds|lifetime|timeout)")
_SHOWN: Final = 100
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]*@")


class Fault(msgspec.Struct, frozen=True):
    """The wrong value, or the wrong part of it, and what is allowed instead."""

    shown: str
    allowed: str


def fault(setting: Setting, value: Any) -> Fault | None:
    """Return what is wrong with a value; None if the setting may have it."""
    kind, bounds = _unwrapped(setting.annotation)
    many = get_origin(kind) is tuple
    allowed = _allowed(setting, kind, bounds)
    if many:
        if not isinstance(value, list | tuple):
            return Fault(_show(setting, value), f"a list, each of it {allowed}")
        wrong = [each for each in value if not _is_allowed(setting, kind, each, _element(setting.annotation))]
        return Fault(_show(setting, wrong[0]), allowed) if wrong else None
    if _is_allowed(setting, kind, value, setting.annotation):
        return None
    return Fault(_show(setting, value), allowed)


def _is_allowed(setting: Setting, kind: Any, value: Any, annotation: Any) -> bool:
    try:
        found = msgspec.convert(value, annotation, strict=False, dec_hook=lambda to, given: to(given))
    except (msgspec.ValidationError, TypeError):
        return False
    if isinstance(found, float) and not math.isfinite(found):
        return False
    if isinstance(found, int | float) and not isinstance(found, bool):
        return abs(found) <= _most(setting)
    if isinstance(found, str) and get_origin(kind) is not dict:
        return _is_allowed_text(setting, found)
    return True


def _is_allowed_text(setting: Setting, text: str) -> bool:
    if any(ord(each) < 32 for each in text):
        return False
    if setting.form is not None:
        try:
            return bool(setting.form.holds(text))
        except ValueError:
            return False
    return bool(text) or setting.default == ""


def _allowed(setting: Setting, kind: Any, bounds: dict[str, Any]) -> str:
    """Describe the allowed values."""
    if get_origin(kind) is tuple:
        kind, bounds = _unwrapped(_element(setting.annotation))
    if get_origin(kind) is Literal:
        return f"one of: {', '.join(get_args(kind))}"
    if get_origin(kind) is dict:
        return 'a table of text by names; in the environment, JSON such as {"name": "text"}'
    if kind in {int, float}:
        least, most = bounds.get("ge", -_LARGEST), bounds.get("le", _most(setting))
        return f"a {'whole ' if kind is int else ''}number from {least} to {most}"
    if setting.form is not None:
        return setting.form.words
    text = "text in one line" if setting.default == "" else "text in one line, not empty"
    return "true or false" if kind is bool else text


def _most(setting: Setting) -> int:
    return _LONGEST if _DURATION.fullmatch(setting.name) else _LARGEST


def _unwrapped(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """Return the type without annotations and None, and its bounds."""
    bounds: dict[str, Any] = {}
    for each in _unwrap_steps(annotation):
        if get_origin(each) is Annotated:
            for meta in each.__metadata__:
                bounds |= {
                    name: getattr(meta, name) for name in ("ge", "le") if getattr(meta, name) is not None
                }
        annotation = each
    return annotation, bounds


def _unwrap_steps(annotation: Any) -> Iterator[Any]:
    while True:
        yield annotation
        if get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif type(None) in get_args(annotation):
            annotation = next(each for each in get_args(annotation) if each is not type(None))
        else:
            return


def _element(annotation: Any) -> Any:
    return get_args(_unwrapped(annotation)[0])[0]


def _show(setting: Setting, value: Any) -> str:
    if setting.secret:
        return "a value that is not shown"
    text = _CREDENTIALS.sub("…@", value if isinstance(value, str) else repr(value))
    return repr(text[:_SHOWN]) if isinstance(value, str) else text[:_SHOWN]
