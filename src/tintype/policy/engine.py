"""Compile the rule language of oslo.policy to functions.

A rule is an expression over the caller and the target: `role:member and project_id:%(project_id)s`,
`rule:context_is_admin or @`, `not 'public':%(visibility)s`. `and` binds tighter than `or`; the
empty rule and `@` allow, `!` denies. The old form, a list of lists of checks, means `or` of `and`.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import msgspec
import yaml

from tintype.domain.callers import Caller
from tintype.errors import Forbidden, StartError

Check = Callable[[Caller, Mapping[str, Any]], bool]

_TOKEN: Final = re.compile(r"""\(|\)|(?:'[^']*'|"[^"]*"|%\([^)]*\)s|[^\s()])+""")
_REFERENCE: Final = re.compile(r"%\(([^)]+)\)s")
_REMOTE: Final = frozenset({"http", "https"})
_CREDENTIALS: Final[Mapping[str, Callable[[Caller], Any]]] = {
    "user_id": lambda caller: caller.user_id,
    "user": lambda caller: caller.user_id,
    "project_id": lambda caller: caller.project_id,
    "tenant": lambda caller: caller.project_id,
    "roles": lambda caller: caller.roles,
    "service_roles": lambda caller: caller.service_roles,
    "is_admin": lambda caller: caller.is_admin,
    "is_admin_project": lambda _caller: True,
    "system_scope": lambda _caller: None,
    "domain_id": lambda _caller: None,
}
"""The caller's attributes that rules can refer to, by oslo.context's names."""


def read_rules(text: str, origin: str) -> dict[str, Any]:
    """Parse a policy file, YAML or JSON, and return its rules by name. Raises StartError."""
    try:
        found = yaml.load(text, _UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise StartError(
            f"The policy file {origin} cannot be read: {' '.join(str(error).split())}."
        ) from None
    rules = {} if found is None else found
    if not isinstance(rules, dict) or not all(isinstance(name, str) for name in rules):
        raise StartError(f"The policy file {origin} must map rule names to rules.")
    return rules


class _UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Rejects duplicate names, since it is unclear which rule is meant."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' occurs twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def unused(rules: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """Return names that are neither rules of the service nor used by other rules, perhaps misspelt."""
    everything = " ".join(str(rule) for rule in rules.values())
    return [name for name in rules if name not in known and f"rule:{name}" not in everything]


class Policy:
    """All rules, compiled. `rules` maps rule names to expressions."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self._checks: dict[str, Check] = {}
        self._rules = rules
        for name in rules:
            self._resolve(name, ())

    def has_rule(self, rule: str) -> bool:
        """Return whether a rule of this name exists."""
        return rule in self._checks

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> bool:
        """Return whether the rule allows the caller to act on the target.

        Without a project nothing is allowed, whatever the rule says: in Glance all rules have project scope.
        """
        return caller.project_id is not None and self._checks[rule](caller, target)

    def resolve_admin(self, caller: Caller) -> Caller:
        """Return the caller with `is_admin` set according to the rule `context_is_admin`."""
        return msgspec.structs.replace(caller, is_admin=self.allows("context_is_admin", caller, {}))

    def require(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> None:
        """Raise Forbidden unless the rule allows it."""
        if not self.allows(rule, caller, target):
            raise Forbidden(f"You are not authorized to complete {rule} action.")

    def _resolve(self, name: str, asking: tuple[str, ...]) -> Check:
        if name in asking:
            raise StartError(f"Policy rule '{name}' refers to itself: {' -> '.join((*asking, name))}.")
        if name not in self._rules:
            raise StartError(f"Policy rule '{asking[-1]}' refers to '{name}', which does not exist.")
        if name not in self._checks:
            self._checks[name] = _Parser(
                name, _as_text(name, self._rules[name]), lambda other: self._resolve(other, (*asking, name))
            ).parse()
        return self._checks[name]


class _Parser:
    """A recursive descent parser: or, and, not, then a check or an expression in brackets."""

    def __init__(self, name: str, text: str, resolve: Callable[[str], Check]) -> None:
        self._name, self._text, self._resolve = name, text, resolve
        self._tokens: Iterator[str] = iter(_TOKEN.findall(text))
        self._token: str | None = next(self._tokens, None)

    def parse(self) -> Check:
        if self._token is None:
            return _allow
        check = self._or_expression()
        if self._token is not None:
            raise self._error(f"did not expect '{self._token}'")
        return check

    def _next(self) -> None:
        self._token = next(self._tokens, None)

    def _error(self, what: str) -> StartError:
        return StartError(f"Policy rule '{self._name}' cannot be read: {what} in \"{self._text}\".")

    def _or_expression(self) -> Check:
        check = self._and_expression()
        while self._token is not None and self._token.lower() == "or":
            self._next()
            check = _or(check, self._and_expression())
        return check

    def _and_expression(self) -> Check:
        check = self._not_expression()
        while self._token is not None and self._token.lower() == "and":
            self._next()
            check = _and(check, self._not_expression())
        return check

    def _not_expression(self) -> Check:
        if self._token is not None and self._token.lower() == "not":
            self._next()
            return _not(self._not_expression())
        return self._primary()

    def _primary(self) -> Check:
        token = self._token
        if token is None or token == ")":
            raise self._error("a check is missing")
        self._next()
        if token == "(":
            check = self._or_expression()
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
            raise self._error(f"'{token}' is not a check")
        if kind == "rule":
            return self._resolve(match)
        if kind in _REMOTE:
            raise self._error("checks by a remote server are not supported")
        try:
            expected = _expected(match)
        except (ValueError, TypeError):
            raise self._error(f"'{token}' is not a check") from None
        return _role(expected) if kind == "role" else _compare(kind, expected)


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


def _role(expected: "Expected") -> Check:
    if isinstance(expected, str):
        role = expected.lower()
        return lambda caller, _target: role in caller.roles

    def check(caller: Caller, target: Mapping[str, Any]) -> bool:
        value = expected(target)
        return value is not None and value.lower() in caller.roles

    return check


def _compare(kind: str, expected: "Expected") -> Check:
    """Compare a literal ('public', True) or an attribute of the caller (project_id) with a value.

    A target that lacks the value never matches.
    """
    of_caller = _CREDENTIALS.get(kind)
    literal: str | None = None
    try:
        literal = str(ast.literal_eval(kind))
    except (ValueError, SyntaxError):
        if of_caller is None:
            return _refuse

    def check(caller: Caller, target: Mapping[str, Any]) -> bool:
        value = expected if isinstance(expected, str) else expected(target)
        if literal is not None or of_caller is None:
            return literal == value
        known = of_caller(caller)
        return value in known if isinstance(known, frozenset) else value == str(known)

    return check


Expected = str | Callable[[Mapping[str, Any]], str | None]
"""The right side of a check: text, or a function of the target that returns None if a value is missing."""


def _expected(match: str) -> Expected:
    if "%" not in match:
        return match
    match % _Anything()  # raises now for a malformed reference
    reference = _REFERENCE.fullmatch(match)
    name = reference[1] if reference else ""

    def of(target: Mapping[str, Any]) -> str | None:
        try:
            return str(target[name]) if reference else match % target
        except KeyError:
            return None

    return of


class _Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key


def _as_text(name: str, rule: Any) -> str:
    """Return a rule as one expression, also for the old form, a list of lists."""
    if isinstance(rule, str):
        return rule
    if isinstance(rule, list):
        both = [[part] if isinstance(part, str) else part for part in rule if part]
        if all(isinstance(part, list) and all(isinstance(one, str) for one in part) for part in both):
            return " or ".join(f"({' and '.join(part)})" for part in both)
    raise StartError(f"Policy rule '{name}' is neither text nor a list of lists of checks.")
