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
    ("data_folder",),
    ("checks",),
    ("folders", "wiring"),
    ("api", "dashboard", "jobs"),
    ("auth",),
    ("services",),
    ("plugins",),
    ("policy", "db", "blobs", "formats", "glance"),
    ("domain",),
    (
        "errors",
        "observability",
        "listener",
        "reachable",
        "clouds_file",
        "extras",
        "certificates",
        "allocator",
    ),
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

CLI_USES = {
    *("cli", "client", "services", "settings", "configuration", "errors", "domain"),
    *("wiring", "data_folder", "process", "checks", "folders"),
    *("extras", "clouds_file", "listener", "reachable"),
}
"""What commands may use: the client, services, the wiring, the rules, and what a start needs beside them."""

CLI_BEYOND = {
    "admin.py": {"db"},
    "catalogue.py": {"api"},
    "claims.py": {"db"},
    "database.py": {"db"},
    "rehearsal.py": {"blobs", "db"},
    "takeover.py": {"blobs", "db", "glance", "policy"},
}
"""What commands use besides, until the wiring offers it: how JSON is read, the schema, a draft of the
database, another service's configuration. This table only shrinks."""

LONG_MODULES: dict[str, str] = {}
"""Modules of more than 400 lines, each with its reason."""

LONG_FUNCTIONS: dict[str, str] = {
    "api/routes.py:table": "the URL space is one table",
    "api/schemas.py:_image": "the image schema, one attribute a line",
}
"""Functions of more than 50 lines, each with its reason."""

STATEMENT_BUILDERS = {
    "db/images.py:_select_image": "both statements of a lookup come from it, once each",
    "db/listing.py:_statement": "lists have many shapes: Statements keeps one for each; and what it calls",
    "db/blobs.py:_move": "one statement for each edge of the table of states, when the module is imported",
    "db/listing.py:_branches": "of _statement",
    "db/listing.py:_plain": "of _statement",
    "db/listing.py:_filters": "of _statement",
    "db/listing.py:_has": "of _statement",
    "db/engine.py:batch": "once for each lookup",
    "db/schema.py:_record_oldest": "through SQLAlchemy's own engine, at a start",
    "db/schema.py:_oldest": "through SQLAlchemy's own engine, at a start",
}
"""Functions that build statements, beside cached ones, each with its reason."""


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
                if mine in {"process", "data_folder", "checks", "folders", "wiring"} and below < 0
                else below >= level[mine]
            ), f"{mine} imports {other}"


def module_graph() -> dict[str, set[str]]:
    """Return what each module imports of ours: also within functions, and for the type checker alone."""
    paths = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: imports are absolute"
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {member if member in paths else str(node.module) for member in members}
        graph[name] = (found & paths.keys()) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the sets of more than one node of which each is reached from each."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            for following in graph[left.pop()] - seen:
                seen.add(following)
                left.append(following)
        return seen

    reach = {node: reached(node) for node in graph}
    found = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph}
    return sorted(sorted(circle) for circle in found if len(circle) > 1)


def test_no_modules_import_each_other() -> None:
    """Each module can be read before those that import it: there is no circle, however it is closed."""
    assert circles(module_graph()) == []


def test_no_packages_of_a_layer_import_each_other() -> None:
    """Of two packages in one layer one may know the other; not both."""
    between: dict[str, set[str]] = {name: set() for layer in LAYERS for name in layer}
    for module, others in module_graph().items():
        for other in others:
            here, there = (each.split(".")[1] if "." in each else "" for each in (module, other))
            if here in between and there in between and here != there:
                between[here].add(there)
    assert circles(between) == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_command_line_uses_what_is_offered(path: Path) -> None:
    """A command uses the client, or the use cases as the composition root makes them."""
    if room(path) == "cli":
        beyond = imported_rooms(path) - CLI_USES
        assert beyond == CLI_BEYOND.get(path.name, set()), path.name


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


def test_statements_are_built_once() -> None:
    """A statement that is built for each call is compiled for each call: 0.5 to 1.7 ms of the event loop."""
    for path in sorted((SOURCE / "db").glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if any("cache" in ast.unparse(each) for each in function.decorator_list):
                continue
            built = {
                each.func.id
                for each in ast.walk(function)
                if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)
            } & {"select", "insert", "insert_once", "update", "delete", "exists", "union_all"}
            name = f"{path.relative_to(SOURCE)}:{function.name}"
            assert not built or STATEMENT_BUILDERS.get(name), f"{name} builds {sorted(built)}"


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
