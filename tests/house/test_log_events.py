"""Every log event of the service is in docs/reference/log-events.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tintype"
PAGE = (ROOT / "docs/reference/log-events.md").read_text()
LOGGERS = {"log", "_log", "logger", "report"}


def events(path: Path) -> set[str]:
    """Return the texts that a module logs; in the place of values stands nothing."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func
        if isinstance(called, ast.Attribute):
            owner = called.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            text = node.args[1:] if called.attr == "_log_failure" else node.args
            logs = called.attr in {"_log_failure", "note"} or (
                name in LOGGERS and called.attr in {"debug", "info", "warning", "error", "exception"}
            )
        else:
            text, logs = node.args, getattr(called, "id", "") in LOGGERS
        if logs and text and isinstance(text[0], ast.Constant) and isinstance(text[0].value, str):
            found.add(text[0].value)
    return found


def modules() -> list[Path]:
    aside = {SOURCE / "client", SOURCE / "cli"}
    return [path for path in sorted(SOURCE.rglob("*.py")) if not aside & set(path.parents) and events(path)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_events_are_documented(path: Path) -> None:
    """An operator who reads a line finds out what it means and what to do."""
    for event in events(path):
        assert f"`{event.partition(': %')[0].partition('; ')[0]}" in PAGE
