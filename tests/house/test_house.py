"""The house rules of the code itself: imports go one way, modules stay small, everything is documented."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tintype import extras

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tintype"

LAYERS = (
    ("process",),
    ("server",),
    ("parts",),
    ("serving",),
    ("checks",),
    ("folders",),
    ("openers",),
    ("api", "dashboard", "jobs"),
    ("auth",),
    ("services",),
    ("plugins",),
    ("policy", "db", "blobs", "formats", "glance"),
    ("domain",),
    ("errors", "observability", "listener", "reachable", "clouds_file", "extras", "certificates"),
)
"""Rooms from top to bottom. A room imports from its own layer or from below, never upwards."""

BESIDE = {
    "settings": {"domain"},
    "configuration": {"settings", "errors"},
    "client": set(),
    "testing": {"blobs", "domain", "errors"},
    "cli": set(),
    "__main__": {"cli"},
    "__init__": set(),
}
"""Rooms beside the tower. `settings` knows the limits of the rules; the command line may use any room."""

LONG_MODULES: dict[str, str] = {}
"""Modules of more than 400 lines, each with its reason."""

LONG_FUNCTIONS: dict[str, str] = {
    "api/routes.py:table": "the URL space is one table",
    "api/schemas.py:_image": "the image schema, one attribute a line",
}
"""Functions of more than 50 lines, each with its reason."""


def modules() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if "versions" not in path.parts]


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tintype"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tintype.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    """A module imports its own layer or lower ones, so each can be read without those above."""
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    mine = room(path)
    for other in imported_rooms(path) - {mine}:
        if mine == "cli":
            continue
        if mine in BESIDE:
            assert other in BESIDE[mine], f"{mine} imports {other}"
        else:
            below = level.get(other, -1)
            assert (
                other == "settings"
                if mine in {"process", "server", "parts", "serving", "checks", "folders", "openers"}
                and below < 0
                else below >= level[mine]
            ), f"{mine} imports {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_and_functions_are_small(path: Path) -> None:
    """No module over 400 lines and no function over 50 without a written reason."""
    name = str(path.relative_to(SOURCE))
    text = path.read_text()
    assert len(text.splitlines()) <= 400 or LONG_MODULES.get(name), (
        f"{name} has {len(text.splitlines())} lines"
    )
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            key = f"{name}:{node.name}"
            assert lines <= 50 or LONG_FUNCTIONS.get(key), f"{key} has {lines} lines"


def test_every_module_with_code_says_what_it_is() -> None:
    """A module begins with a sentence about it."""
    silent = [
        path
        for path in modules()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    """No marker of unfinished work, no skipped or expected failure in the whole tree."""
    words = (
        "TO" + "DO",
        "FIX" + "ME",
        "XX" + "X:",
        "mark." + "skip",
        "mark." + "xfail",
        "NotImplemented" + "Error",
    )
    for folder in ("src", "tests", "tools", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            found = [word for word in words if word in path.read_text()]
            assert not found, f"{path}: {found}"


def test_the_reference_is_the_one_the_code_makes(tmp_path: Path) -> None:
    """docs/reference is generated: a route, setting, rule or command without its line there fails here."""
    subprocess.run([sys.executable, ROOT / "tools" / "reference.py", tmp_path], check=True, cwd=ROOT)
    for made in tmp_path.iterdir():
        kept = ROOT / "docs" / "reference" / made.name
        assert kept.read_text() == made.read_text(), f"run `make docs`: {made.name} is stale"


def test_the_blocking_client_is_the_one_the_asynchronous_makes(tmp_path: Path) -> None:
    """client/blocking is generated: a change of client/aio without it fails here."""
    subprocess.run([sys.executable, ROOT / "tools" / "blocking.py", tmp_path], check=True, cwd=ROOT)
    for made in tmp_path.iterdir():
        kept = SOURCE / "client" / "blocking" / made.name
        assert kept.read_text() == made.read_text(), f"run `make docs`: {made.name} is stale"


def test_every_ruff_exception_has_a_reason() -> None:
    """A rule that is switched off says why on its line."""
    section = (ROOT / "pyproject.toml").read_text().split("ignore = [", 1)[1].split("]", 1)[0]
    for line in filter(str.strip, section.splitlines()):
        assert "#" in line, line


def test_the_command_says_what_is_missing() -> None:
    """Without the server's parts `tintype` is one line that says what to install, no traceback."""
    code = (
        "import sys; sys.modules['starlette'] = None; sys.argv = ['tintype', 'serve', '--port', '1'];"
        "from tintype.cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, f"Run: {extras.command('server')}" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_client_side_starts_without_the_server(tmp_path: Path) -> None:
    """The client, its two older faces and its commands need no server part: they are installable alone."""
    code = (
        "import sys\n"
        "for part in ('starlette', 'sqlalchemy', 'uvicorn', 'uvloop', 'argon2', 'jwt', 'structlog', 're2'):\n"
        "    sys.modules[part] = None\n"
        "from tintype.client import AsyncClient, Client\n"
        "import tintype.client.glance, tintype.client.pyrax\n"
        "sys.argv = ['tintype', 'image', 'list', '--help']\n"
        "from tintype.cli.main import run; run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "List images" in done.stdout
