"""The rule language."""

import pytest

from tintype.domain.callers import Caller
from tintype.errors import Forbidden, StartError
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS

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


def test_a_refusal_names_the_rule() -> None:
    """An operator must be able to find what refused."""
    with pytest.raises(Forbidden, match="publicize_image"):
        Policy(DEFAULTS).require("publicize_image", CALLER, TARGET)
