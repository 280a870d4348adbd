"""The documentation: every link leads somewhere, every page is found, and the site can be built."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from scripts.site import CONFIGURATION, build, pages
from tests.cli.program import REPOSITORY as TOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = sorted(
    path
    for folder in (
        ".",
        "docs",
        "examples",
        "templates",
        "benchmarks",
        "sample-output",
        "ansible",
        "tests/parity",
    )
    for path in (TOP / folder).glob("**/*.md" if folder == "docs" else "*.md")
)
_FENCE = re.compile(r"^(`{3,}).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=\"([^\"]*)\"|<link\b[^>]*?\bhref=\"([^\"]*)\""
)


@cache
def anchors(page: Path) -> set[str]:
    """The names that the headings of a page get where Git repositories are shown."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {each.replace(" ", "-") for each in words}


def faults(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere: to no file, to a directory, or to no heading."""
    text = _CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.is_file():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(faults(page)) == []


@pytest.mark.parametrize(
    ("link", "is_right"),
    [
        ("there.md", True),
        ("there.md#two-words", True),
        ("#here", True),
        ("https://example.com/nothing", True),
        ("gone.md", False),
        ("there.md#two", False),
        ("#there", False),
        (".", False),
    ],
)
def test_a_wrong_link_is_found(tmp_path: Path, link: str, is_right: bool) -> None:  # noqa: FBT001
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n[link]({link}) `[code](gone.md)`\n```\n# no heading\n[code](gone.md)\n```\n")
    (tmp_path / "there.md").write_text("# Two *words*!\n")
    assert (not list(faults(page))) == is_right


def test_every_page_can_be_found() -> None:
    """In the site's navigation, and in the list of pages for those who read them where they are."""
    named = set(re.findall(r'"([^"]+\.md)"', CONFIGURATION.read_text(encoding="utf-8")))
    index = TOP / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text(encoding="utf-8"))}
    for page in (path for path in PAGES if path.parent.parent == TOP / "docs" and path.parent.name != "adr"):
        assert str(page.relative_to(TOP)) in named, page
        assert page in linked, page
    assert named <= {str(page) for page in pages()}


def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = build(site)
    assert done.returncode == 0, done.stdout
    built = list(site.rglob("*.html"))
    assert len(built) > len(PAGES) - 5
    for page in built:
        loaded = {first or second for first, second in _LOADED.findall(page.read_text(encoding="utf-8"))}
        assert {each for each in loaded if each.startswith(("http:", "https:", "//"))} == set(), page


def test_a_site_with_a_wrong_link_is_not_built(tmp_path: Path) -> None:
    """The control."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Page\n[link](gone.md)\n")
    (tmp_path / "docs/zensical.toml").write_text('[project]\nsite_name = "x"\ndocs_dir = "pages"\n')
    done = build(tmp_path / "site", top=tmp_path)
    assert done.returncode != 0
    assert "page does not exist" in done.stdout
    assert not (tmp_path / "site").exists()
