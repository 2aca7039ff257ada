"""Standard error has one JSON object per line from any source, or lines that are safe on a terminal."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from frozen import FrozenServer
from processes import started

SCRIPT = """
import logging, sys, threading, warnings
from tintype.observability.logs import make_logger, route_libraries, set_level
set_level("info")
log = make_logger(sys.argv[1])
route_libraries(log)
"""


def write(style: str, *statements: str) -> str:
    """Run statements in a process that logs; return its standard error."""
    code = SCRIPT + "\n".join(statements)
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, style], capture_output=True, text=True, check=True
    )
    return done.stderr


@pytest.mark.needs("time")
@pytest.mark.parametrize(("outage", "workers"), [("refuses", "1"), ("freezes", "2")])
def test_every_line_is_json_while_keystone_is_away(tmp_path: Path, outage: str, workers: str) -> None:
    """Each attempt that failed used to leave a bare line of keystoneauth."""
    with FrozenServer() as keystone:
        keystone.answering.set()
        settings: dict[str, Any] = {
            "TINTYPE_KEYSTONE_AUTH_URL": keystone.url,
            "TINTYPE_KEYSTONE_PASSWORD": "keystone-secret",
            "TINTYPE_KEYSTONE_TIMEOUT": "1",
            "TINTYPE_SERVER_WORKERS": workers,
        }
        with started(tmp_path / "data", **settings) as server:

            def ask(token: str) -> int:
                headers = {"X-Auth-Token": token}
                return httpx2.get(f"{server.url}/v2/images", headers=headers, timeout=30).status_code

            assert {ask(f"known {number}") for number in range(8)} == {200}
            keystone.freeze()
            if outage == "refuses":
                keystone.refuse()
            assert {ask(f"unknown {number}") for number in range(8)} == {503}
    lines = (tmp_path / "data.log").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert any(line["event"] == "request failed" for line in events)
    assert all({"event", "level", "timestamp"} <= line.keys() for line in events)
    assert "keystone-secret" not in "\n".join(lines)


BARE = (
    "logging.getLogger('any.library').warning('%s has failed', 'it')",
    "logging.getLogger('any.library').warning('%d is no number: %s', 'x')",
    "logging.getLogger('a').error('two\\nlines')",
    "logging.getLogger('asyncio').error('never retrieved', exc_info=ValueError('why'))",
    "warnings.warn('an old name', DeprecationWarning)",
    "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "class D:\n    def __del__(self): 1 / 0\nD()",
    "log.warning('ours')",
    "logging.getLogger('x').warning('See %s', 'https://u:hidden@host/path?X-Amz-Signature=hidden')",
    "warnings.warn('https://u:hidden@host/')",
)
"""The ways to standard error that libraries and the interpreter take."""
UNHEARD = (
    "logging.getLogger('x').info('low')",
    "set_level('error')",
    "logging.getLogger('x').warning('high')",
)


def test_every_line_of_a_library_is_json() -> None:
    """Whatever way is taken, it is one event without credentials; libraries say warnings and above."""
    lines = write("json", *BARE, *UNHEARD).splitlines()
    assert len(lines) == len(BARE)
    events = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in events)
    assert "See https://…@host/path?…" in [line["event"] for line in events]
    assert "hidden" not in str(events)


RAISED = (
    "def fail(): raise ValueError('no https://u:hidden@host/x?X-Amz-Signature=hidden')",
    "log.error('ours', exc_info=ValueError('see http://u:hidden@host/'))",
    "try:\n    fail()\nexcept ValueError: log.exception('ours')",
    "try:\n    fail()\nexcept ValueError: logging.getLogger('x').exception('theirs')",
    "t = threading.Thread(target=fail); t.start(); t.join()",
    "class D:\n    def __del__(self): fail()\nD()",
)


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_traceback_has_credentials(style: str) -> None:
    """Neither a library's, nor ours, nor the interpreter's."""
    said = write(style, *RAISED)
    shown = (
        said if style == "console" else "".join(json.loads(line)["exception"] for line in said.splitlines())
    )
    assert shown.count("ValueError: ") == len(RAISED) - 1
    assert shown.count("https://…@host/x?…") == len(RAISED) - 2
    assert "hidden" not in said


CONTROLS = [chr(code) for code in (*range(32), *range(0x7F, 0xA0))] + [
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
]


FIELDS = (
    "log.info(TEXT)",
    "log.info('x', path=TEXT)",
    "log.info('x', paths=[TEXT], more={TEXT: TEXT})",
    "logging.getLogger('x').warning(TEXT)",
)
TRACEBACKS = (
    "log.info('x', exc_info=ValueError(TEXT))",
    "logging.getLogger('x').error('y', exc_info=ValueError(TEXT))",
)


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_control_character_reaches_the_terminal(style: str) -> None:
    """A client's text cannot command the terminal of who reads the log, nor forge a line of it."""
    text = f"TEXT = 'a' + {''.join(CONTROLS)!r} + 'b'"
    fields, tracebacks = write(style, text, *FIELDS), write(style, text, *TRACEBACKS)
    assert len(fields.splitlines()) == len(FIELDS)
    for said in (fields, tracebacks):
        shown = said.replace("\x1b[", "") if style == "console" else said  # without the colours
        assert not (set(CONTROLS) - {"\n"}) & set(shown)
        assert ("\\x9b" if style == "console" else "\\u009b") in shown
