"""The names and defaults of the rules are Glance's, so that an operator's file means the same here."""

import json
import subprocess

import pytest

import glance
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS, SERVED

THEIRS = """
import json
from glance import policies
print(json.dumps({rule.name: rule.check_str for rule in policies.list_rules()}))
"""


@pytest.mark.needs("glance")
def test_rules_are_those_of_glance() -> None:
    """Every name, with an expression that differs in brackets and spaces at most; ours come on top."""
    done = subprocess.run([glance.PYTHON, "-c", THEIRS], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    assert {name: plain(rule) for name, rule in theirs.items()} == {
        name: plain(rule) for name, rule in DEFAULTS.items() if name not in {"get_health", "get_metrics"}
    }


def plain(rule: str) -> str:
    return rule.replace("(", "").replace(")", "").replace(" ", "")


def test_a_file_may_build_on_every_rule() -> None:
    """Also on rules of what is not served here."""
    policy = Policy(DEFAULTS | {f"mine_{name}": f"rule:{name}" for name in DEFAULTS})
    assert all(policy.has_rule(f"mine_{name}") for name in SERVED)
