"""Links in README, docs and other pages lead to existing files and headings."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REPOSITORY = re.compile(r"https://github\.com/tintype/tintype/(?:blob|tree|raw)/main/(.*)")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def without_code(text: str) -> str:
    text = re.sub(r"^( *)(`{3,}).*?^\1\2", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "`", text)


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^()\s]+)\)", without_code(page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site and the repository's page make them."""
    text = re.sub(r"^( *)(`{3,}).*?^\1\2", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", each)) for each in headings]
    return {re.sub(r"[-\s]+", "-", each.strip().lower()) for each in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A file that is there, and a heading in it; what the site does not have is linked by its address."""
    for link in links(page):
        if of_repository := REPOSITORY.fullmatch(link):
            path, _, anchor = of_repository[1].partition("#")
            target = ROOT / path
        elif re.match(r"[a-z]+:", link):
            continue
        else:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if DOCS in page.parents:
                assert target.is_relative_to(DOCS), (
                    f"{link} is not in the site: link the repository's address"
                )
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_is_read_elsewhere() -> None:
    """The package index shows it, without the files beside it: its links and pictures are addresses."""
    relative = [link for link in links(ROOT / "README.md") if not re.match(r"https://|#", link)]
    assert not relative


def test_every_page_is_in_the_navigation() -> None:
    """A page that the navigation does not have is found by nobody."""

    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        assert isinstance(inner, list | type({}.values()))
        return [path for each in inner for path in pages(each)]

    text = (ROOT / "mkdocs.yml").read_text().replace("!!python/name:", "")
    listed = pages(yaml.safe_load(text)["nav"])
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
