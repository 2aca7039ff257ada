"""Property protections: which roles may create, read, update and delete which custom properties.

The file has Glance's format. Each section is a regular expression, and the first section that matches a
property's name applies. A property that no section matches is inaccessible:

    [^vendor_]
    create = admin,vendor
    read = @
    update = admin,vendor
    delete = !

Values are roles, or the name of one policy rule; `@` means everybody and `!` nobody.
"""

import configparser
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tintype.domain import patch
from tintype.domain.callers import Caller
from tintype.domain.images import BASE_ATTRIBUTES, Image, Limits, check_properties
from tintype.domain.patch import Change
from tintype.errors import Forbidden, StartError
from tintype.policy.engine import Policy

CREATE, READ, UPDATE, DELETE = _OPERATIONS = ("create", "read", "update", "delete")
_NAME: Final = re.compile(r"[^\s;#]+")
_NAMES: Final = 4096
"""Number of property names whose rules are cached."""

Allowed = Callable[[Caller], bool]
Rules = Mapping[str, Allowed]


class Protections:
    """The rules, in order of precedence."""

    def __init__(self, rules: Mapping[str, Rules]) -> None:
        self._rules = {re.compile(pattern): allowed for pattern, allowed in rules.items()}
        self._of = functools.lru_cache(_NAMES)(self._find)

    def allows(self, operation: str, name: str, caller: Caller) -> bool:
        """Return whether the caller may perform an operation on a property."""
        rules = self._of(name)
        return rules is not None and rules[operation](caller)

    def readable(self, pairs: Iterable[tuple[str, str]], caller: Caller) -> bool:
        """Return whether the caller may read all of the properties."""
        return all(self.allows(READ, name, caller) for name, _ in pairs)

    def visible(self, image: Image, caller: Caller) -> Image:
        """Return the image with only the properties that the caller may read."""
        kept = {name: value for name, value in image.properties.items() if self.allows(READ, name, caller)}
        return msgspec.structs.replace(image, properties=kept)

    def check_new(self, image: Image, caller: Caller) -> None:
        """Raise Forbidden if the caller may not create one of a new image's properties."""
        for name in image.properties:
            self._require(CREATE, name, caller)

    def settable(self, image: Image, properties: Mapping[str, str], caller: Caller) -> dict[str, str]:
        """Return those of the properties that the caller may set on the image."""
        return {
            name: value
            for name, value in properties.items()
            if self.allows(UPDATE if name in image.properties else CREATE, name, caller)
        }

    def apply(self, image: Image, changes: Sequence[Change], limits: Limits, caller: Caller) -> Image:
        """Apply a patch to the properties that the caller may read; hidden ones stay as they are.

        Raises Forbidden for a change that the rules do not allow, and whatever `patch.apply` raises.
        """
        shown = self.visible(image, caller)
        hidden = {name: value for name, value in image.properties.items() if name not in shown.properties}
        there = set(shown.properties)
        for change in changes:
            name = change.name
            if name in BASE_ATTRIBUTES or (name not in there and change.op != "add"):
                continue  # the patch raises a conflict for the second
            if name in hidden:
                raise _protected(name)
            operation = DELETE if change.op == "remove" else UPDATE if name in there else CREATE
            self._require(operation, name, caller)
            (there.discard if operation == DELETE else there.add)(name)
        after = patch.apply(shown, changes, limits)
        properties = hidden | after.properties
        check_properties(properties, limits)
        return msgspec.structs.replace(after, properties=properties)

    def _require(self, operation: str, name: str, caller: Caller) -> None:
        if not self.allows(operation, name, caller):
            raise _protected(name)

    def _find(self, name: str) -> Rules | None:
        return next((rules for pattern, rules in self._rules.items() if pattern.search(name)), None)


def _protected(name: str) -> Forbidden:
    return Forbidden(f"Property '{name}' is protected.")


def read_protections(text: str, origin: str, policy: Policy | None) -> Protections:
    """Parse a property protection file. Its values are roles, or with a policy the names of its rules.

    Raises StartError if the file is invalid.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, origin)
        _check_shape(parser)
        return Protections(
            {
                section: {
                    operation: _allowed(parser.get(section, operation), policy) for operation in _OPERATIONS
                }
                for section in parser.sections()
                if not section.startswith("os_glance")  # reserved for the service
            }
        )
    except (configparser.Error, re.error, ValueError) as error:
        reason = " ".join(str(error).split())
        raise StartError(f"The property protections {origin} cannot be read: {reason}.") from None


def _check_shape(parser: configparser.ConfigParser) -> None:
    if not parser.sections():
        raise ValueError("it has no sections, so every property would be inaccessible")
    for section in parser.sections():
        if unknown := set(parser.options(section)) - set(_OPERATIONS):
            raise ValueError(f"[{section}] has '{unknown.pop()}', which is not an operation")


def _allowed(value: str, policy: Policy | None) -> Allowed:
    names = {name.strip().lower() if policy is None else name.strip() for name in value.split(",")} - {""}
    if odd := [name for name in names if not _NAME.fullmatch(name)]:
        raise ValueError(f"'{odd[0]}' is not a name; comments need a line of their own")
    if {"@", "!"} <= names:
        raise ValueError("'@' and '!' exclude each other")
    if "@" in names or "!" in names:
        everybody = "@" in names
        return lambda _caller: everybody
    if policy is None:
        return lambda caller: not names.isdisjoint(caller.roles | caller.service_roles)
    if len(names) > 1:
        raise ValueError(f"'{value}' names more than one policy rule; combine them in the policy file")
    return _by_rule(policy, names.pop()) if names else lambda _caller: False


def _by_rule(policy: Policy, rule: str) -> Allowed:
    if not policy.has_rule(rule):
        raise ValueError(f"there is no policy rule '{rule}'")
    nothing: Mapping[str, Any] = {}
    return lambda caller: policy.allows(rule, caller, nothing)
