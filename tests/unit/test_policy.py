"""The rule language."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_policy.policy import Rules

from tintype.domain.callers import Caller
from tintype.errors import Forbidden, StartError
from tintype.policy.engine import Policy, read_rules, unused
from tintype.policy.rules import DEFAULTS, SERVED

CALLER = Caller("u", "alice", "p", frozenset({"member", "reader"}))
TARGET = {"project_id": "p", "visibility": "public", "none": None}


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ("", True),
        ("@", True),
        ("!", False),
        ("role:member", True),
        ("role:MEMBER", True),
        ("role:admin", False),
        ("not role:admin", True),
        ("not not role:admin", False),
        ("role:admin or role:member", True),
        ("role:admin and role:member or @", True),
        ("@ or role:admin and role:admin", True),
        ("(@ or role:admin) and role:admin", False),
        ("((role:member))", True),
        ("project_id:%(project_id)s", True),
        ("user_id:%(project_id)s", False),
        ("project_id:%(absent)s", False),
        ("project_id:%(none)s", False),
        ("project_id:p", True),
        ("'public':%(visibility)s", True),
        ('"private":%(visibility)s', False),
        ("rule:other", True),
        ("not rule:other", False),
    ],
)
def test_expressions(rule: str, allowed: bool) -> None:
    """Each form of a rule, and how they bind."""
    assert Policy({"rule": rule, "other": "role:reader"}).allows("rule", CALLER, TARGET) is allowed


@pytest.mark.parametrize(
    "rule", ["(", "role:a or", "role:a role:b", "and", "nonsense", "(role:a", "rule:rule", "rule:x"]
)
def test_a_rule_that_cannot_be_read_stops_the_start(rule: str) -> None:
    """Better no service than one that guards with a broken rule."""
    with pytest.raises(StartError):
        Policy({"rule": rule})


NAMES = ("project_id", "visibility", "member_id", "owner", "absent", "status")
_values = st.sampled_from(
    ["p", "q", "public", "None", "True", "member", "u", "%(visibility)s", "%(status)s-x"]
)
_checks = st.one_of(
    st.sampled_from(["@", "!", "rule:other", "rule:third", "is_admin:True", "is_admin:False"]),
    st.builds("role:{}".format, st.sampled_from(["member", "READER", "admin", "%(visibility)s"])),
    st.builds(
        "{}:{}".format,
        st.sampled_from(
            ["project_id", "user_id", "'public'", "None", "True", "roles", "service_roles", "nobody"]
        ),
        st.one_of(_values, st.sampled_from(NAMES).map("%({})s".format)),
    ),
)
_rules = st.recursive(
    _checks,
    lambda inner: st.one_of(
        inner.map("not {}".format),
        inner.map("({})".format),
        st.builds("{} and {}".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
    ),
    max_leaves=8,
)
_targets = st.dictionaries(
    st.sampled_from(NAMES[:-1]), st.sampled_from(["p", "q", "public", "member", None, True]), max_size=4
)
_callers = st.builds(
    Caller,
    st.sampled_from(["u", "v"]),
    st.just("name"),
    st.sampled_from(["p", "q"]),
    st.frozensets(st.sampled_from(["member", "reader", "admin", "public"])),
    st.booleans(),
    st.frozensets(st.sampled_from(["service", "public"])),
)


@pytest.mark.needs("time")
@settings(max_examples=1500, deadline=None)
@given(_rules, _rules, _rules, _callers, _targets)
def test_oslo_policy_says_the_same(
    rule: str, other: str, third: str, caller: Caller, target: dict[str, Any]
) -> None:
    """On generated rules, callers and targets, against the library whose language it is."""
    rules = {"rule": rule, "other": other.replace("rule:", "role:"), "third": third.replace("rule:", "role:")}
    credentials = {
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "roles": list(caller.roles),
        "service_roles": list(caller.service_roles),
        "is_admin": caller.is_admin,
    }
    enforcer = SimpleNamespace(rules=Rules.from_dict(rules))
    theirs = enforcer.rules["rule"](target, credentials, enforcer)
    assert Policy(rules).allows("rule", caller, target) is bool(theirs)


def test_the_old_form_of_a_rule() -> None:
    """A list of lists: or of and."""
    policy = Policy(
        read_rules('{"rule": [["role:admin"], ["role:member", "project_id:%(project_id)s"]]}', "x")
    )
    assert policy.allows("rule", CALLER, TARGET)
    assert not policy.allows("rule", CALLER, {"project_id": "q"})


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- a",
        "1: x",
        "a: role:x\na: role:y",
        "rule: 5",
        "rule: [[1]]",
        "rule: http://x",
        "rule: role:%(x",
    ],
)
def test_a_policy_file_that_cannot_be_read(text: str) -> None:
    """It stops the start with one line."""
    with pytest.raises(StartError) as failure:
        Policy(read_rules(text, "policy.yaml"))
    assert "\n" not in failure.value.message


def test_a_misspelt_rule_is_named() -> None:
    """A name that is neither a rule nor used by one is said; a helper is not."""
    rules = {"get_imagez": "role:x", "friends": "role:y", "get_image": "rule:friends"}
    assert unused(rules, SERVED) == ["get_imagez"]


def test_a_refusal_names_the_rule() -> None:
    """An operator must be able to find what refused."""
    with pytest.raises(Forbidden, match="publicize_image"):
        Policy(DEFAULTS).require("publicize_image", CALLER, TARGET)


def test_an_operator_says_who_is_an_admin() -> None:
    """The rule `context_is_admin` decides, whatever the caller was taken for before."""
    policy = Policy({"context_is_admin": "role:member", "other": "@"})
    assert policy.resolve_admin(CALLER).is_admin
    assert (
        not Policy({"context_is_admin": "role:operator"}).resolve_admin(policy.resolve_admin(CALLER)).is_admin
    )
    assert policy.resolve_admin(CALLER).roles == CALLER.roles
