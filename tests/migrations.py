"""The migrations and an additional one, as the next version might have."""

from pathlib import Path

import pytest

from tintype.db import schema

NEXT = "0014"


def copied(tmp_path: Path) -> Path:
    """Return a copy of the migrations."""
    scripts = tmp_path / "migrations"
    for path in schema.SCRIPTS.rglob("*.py"):
        target = scripts / path.relative_to(schema.SCRIPTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return scripts


def add(scripts: Path, revision: str, after: str, *statements: str, phase: str = "expand") -> None:
    """Add a migration that executes some statements."""
    lines = "".join(f"    op.execute({statement!r})\n" for statement in statements)
    (scripts / "versions" / f"{revision}_more.py").write_text(
        f'revision = "{revision}"\ndown_revision = "{after}"\nbranch_labels = None\ndepends_on = None\n'
        f'phase = "{phase}"\n\nfrom alembic import op\n\ndef upgrade():\n{lines}'
    )


def use(scripts: Path, patched: pytest.MonkeyPatch, head: str = NEXT) -> None:
    """Make the code use these migrations."""
    patched.setattr(schema, "SCRIPTS", scripts)
    patched.setattr(schema, "HEAD", head)
