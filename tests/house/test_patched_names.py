"""What tests replace by its name is there: mypy does not read these names, and some tests seldom run."""

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def patched(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names of ours that a module has `setattr` replace."""
    ours = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tintype"
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="setattr"), args=[ast.Constant(value=str(name)), *_]):
                yield name
            case ast.Call(
                func=ast.Attribute(attr="setattr"),
                args=[ast.Name(id=what), ast.Constant(value=str(name)), *_],
            ) if what in ours:
                yield f"{ours[what]}.{name}"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_patched_names_exist(path: Path) -> None:
    """A name that moved is found here, not by the one run that asks for a Ceph."""
    for name in patched(ast.parse(path.read_text())):
        if name.startswith("tintype."):
            pkgutil.resolve_name(name)
