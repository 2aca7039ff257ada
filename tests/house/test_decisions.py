"""Decisions have one form, so that a reader finds at once what holds and what follows from it."""

import re
from pathlib import Path

import pytest

DECISIONS = sorted((Path(__file__).parents[2] / "docs/explanation/decisions").glob("*.md"))
HEAD = re.compile(
    r"# (\d+)\. .+\n\n\*\*Status:\*\* (accepted|superseded by \d+) · \*\*Date:\*\* \d{4}-\d\d-\d\d\n\n"
)


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name[:4])
def test_a_decision_has_its_parts(page: Path) -> None:
    """Status, date, context, decision, consequences."""
    text = page.read_text()
    head = HEAD.match(text)
    assert head is not None
    assert int(head[1]) == int(page.name[:4])
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]
