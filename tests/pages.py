"""Marked commands and outputs in the pages of docs: see tests/e2e/test_docs.py."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1] / "docs"
MARKED = re.compile(
    r"^ *<!-- (run|output)(?:: (\w+))? -->\n( *)```\w*\n(.*?)^\3```", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A block of a page: commands, or what they print."""

    kind: str
    way: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the marked blocks of a page, in order."""
    found = MARKED.findall(page.read_text())
    return [Block(kind, way, textwrap.dedent(text)) for kind, way, _, text in found]
