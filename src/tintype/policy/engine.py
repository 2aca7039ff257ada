"""Compile the rule language of oslo.policy to functions.

A rule is an expression over the caller and the thing: `role:member and project_id:%(project_id)s`,
`rule:context_is_admin or @`, `not 'public':%(visibility)s`. `and` binds tighter than `or`; the
empty rule and `@` allow, `!` refuses.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tintype.domain.callers import Caller
from tintype.errors import Forbidden, StartError

Check = Callable[[Caller, Mapping[str, Any]], bool]

_TOKEN: Final = re.compile(r"""\(|\)|(?:'[^']*'|"[^"]*"|%\([^)]*\)s|[^\s()])+""")
_REFERENCE: Final = re.compile(r"%\(([^)]+)\)s")
_CALLER_FIELDS: Final = frozenset({"user_id", "project_id"})


class Policy:
    """Every rule, compiled once. `rules` maps rule names to expressions."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._checks: dict[str, Check] = {}
        self._rules = rules
        for name in rules:
            self._resolve(name, ())

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> bool:
        """Say whether the caller may do to the target what the rule is about."""
        return self._checks[rule](caller, target)

    def require(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> None:
        """Raise Forbidden unless the rule allows it."""
        if not self._checks[rule](caller, target):
            raise Forbidden(f"You are not authorized to complete {rule} action.")

    def _resolve(self, name: str, asking: tuple[str, ...]) -> Check:
        if name in asking:
            raise StartError(f"Policy rule '{name}' refers to itself: {' -> '.join((*asking, name))}.")
        if name not in self._rules:
            raise StartError(f"Policy rule '{asking[-1]}' refers to '{name}', which does not exist.")
        if name not in self._checks:
            self._checks[name] = _Parser(
                name, self._rules[name], lambda other: self._resolve(other, (*asking, name))
            ).parse()
        return self._checks[name]


class _Parser:
    """Recursive descent: or, and, not, a check in brackets or a single one."""

    def __init__(self, name: str, text: str, resolve: Callable[[str], Check]) -> None:
        self._name, self._text, self._resolve = name, text, resolve
        self._tokens: Iterator[str] = iter(_TOKEN.findall(text))
        self._token: str | None = next(self._tokens, None)

    def parse(self) -> Check:
        if self._token is None:
            return _allow
        check = self._either()
        if self._token is not None:
            raise self._error(f"did not expect '{self._token}'")
        return check

    def _next(self) -> None:
        self._token = next(self._tokens, None)

    def _error(self, what: str) -> StartError:
        return StartError(f"Policy rule '{self._name}' cannot be read: {what} in \"{self._text}\".")

    def _either(self) -> Check:
        check = self._both()
        while self._token is not None and self._token.lower() == "or":
            self._next()
            check = _or(check, self._both())
        return check

    def _both(self) -> Check:
        check = self._negated()
        while self._token is not None and self._token.lower() == "and":
            self._next()
            check = _and(check, self._negated())
        return check

    def _negated(self) -> Check:
        if self._token is not None and self._token.lower() == "not":
            self._next()
            return _not(self._negated())
        return self._single()

    def _single(self) -> Check:
        token = self._token
        if token is None or token == ")":
            raise self._error("a check is missing")
        self._next()
        if token == "(":
            check = self._either()
            if self._token != ")":
                raise self._error("a bracket is not closed")
            self._next()
            return check
        if token == "@":
            return _allow
        if token == "!":
            return _refuse
        kind, colon, match = token.partition(":")
        if not colon:
            raise self._error(f"'{token}' is no check")
        if kind == "rule":
            return self._resolve(match)
        if kind == "role":
            return _role(match.lower())
        return _compare(kind, match)


def _allow(_caller: Caller, _target: Mapping[str, Any]) -> bool:
    return True


def _refuse(_caller: Caller, _target: Mapping[str, Any]) -> bool:
    return False


def _or(left: Check, right: Check) -> Check:
    return lambda caller, target: left(caller, target) or right(caller, target)


def _and(left: Check, right: Check) -> Check:
    return lambda caller, target: left(caller, target) and right(caller, target)


def _not(check: Check) -> Check:
    return lambda caller, target: not check(caller, target)


def _role(role: str) -> Check:
    return lambda caller, _target: role in caller.roles


def _compare(kind: str, match: str) -> Check:
    """Compare a literal ('public') or a field of the caller (project_id) with the target's value.

    A target that lacks the value, or has none, never matches.
    """
    reference = _REFERENCE.fullmatch(match)
    literal = kind[1:-1] if kind[:1] in {"'", '"'} and kind[-1:] == kind[:1] else None

    def check(caller: Caller, target: Mapping[str, Any]) -> bool:
        wanted = target.get(reference[1]) if reference else match
        if wanted is None:
            return False
        if literal is not None:
            return literal == str(wanted)
        value = getattr(caller, kind) if kind in _CALLER_FIELDS else None
        return value is not None and str(value) == str(wanted)

    return check
