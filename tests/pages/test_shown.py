"""Everything that the documentation shows as run is run, and says what is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import REPOSITORY as TOP
from tests.pages.blocks import Command, RunElsewhere, compare, steps
from tests.pages.shell import PageShell
from tests.pages.warm_program import WarmProgram

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [TOP / "README.md", TOP / "docs/README.md", *sorted((TOP / "docs").glob("*/*.md"))]
ELSEWHERE = {TOP / "docs/how-to/adopt.md": "tests/adoption/test_adopt_page.py"}
"""Pages that begin with what another program has made, and the tests that begin there."""
BEFORE = {TOP / "docs/tutorial/rotated-ca.md": TOP / "docs/tutorial/first-cluster.md"}
"""Pages that begin with what another page has made: they are run one after the other."""
_INDENTED = re.compile(r"(?:\A|\n)(?:#+ [^\n]*)?\n {4}\S")
"""A block without a fence: after an empty line, or after a heading."""
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def is_run_here(page: Path) -> bool:
    try:
        every = steps(page)
    except ValueError:
        return True  # the page's own test fails, and not all of them
    commands = [step for step in every if isinstance(step, Command) and not step.in_cluster]
    return bool(commands) and page not in {*ELSEWHERE, *BEFORE.values()}


RUN_HERE = [page for page in PAGES if is_run_here(page)]


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmProgram]:
    with WarmProgram() as program:
        yield program


@pytest.mark.parametrize("page", RUN_HERE, ids=lambda path: str(path.relative_to(TOP)))
def test_commands_say_what_is_shown(page: Path, tmp_path: Path, warm: WarmProgram) -> None:
    shell = PageShell(place=tmp_path, programs=warm.programs)
    if page in BEFORE:
        shell.follow(steps(BEFORE[page]))
    shell.follow(steps(page))
    assert shell.commands


def test_every_block_with_commands_is_run() -> None:
    """Here, or by a test that is named; there is no third way."""
    for page in PAGES:
        assert not _INDENTED.search(_FENCE.sub("", page.read_text())), f"{page}: an indented block"
        for step in steps(page):
            if isinstance(step, RunElsewhere):
                assert not not_run_by(step, (TOP / step.test).read_text(), page), step


_WORD = re.compile(r"--[a-z][a-z-]+|[a-z]{2,}(?:-[a-z]+)*:?")
_OF_THE_SHELL = re.compile(r" -C \w+|\| grep|'|  #.*")
_IMPORTED = re.compile(r"^from tests\.live(?:\.(\w+))? import (.*)$", re.MULTILINE)


def not_run_by(step: RunElsewhere, source: str, page: Path) -> set[str]:
    """Words of a block that the test which is said to run it does not have.

    None, if it takes the block from the page. What a test prints of itself is its own words, too.
    """
    if f"{page.parent.name}/{page.name}" in source:
        return set()
    for module, names in _IMPORTED.findall(source):
        for name in [module] if module else names.split(", "):
            source += (TOP / f"tests/live/{name}.py").read_text()
    words: set[str] = set()
    for command in step.commands:
        is_the_test = step.test in command.words
        lines = (command.shown or ()) if is_the_test else [_OF_THE_SHELL.sub(" ", command.words)]
        words |= {word for line in lines for word in line.split() if _WORD.fullmatch(word)}
    return {word for word in words if word.removesuffix(":") not in source}


def test_a_block_that_its_test_does_not_run_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- run by: TEST -->\n```console\n$ pkigen verify --live -C prod | grep lists:\n```\n")
    (step,) = steps(page)
    assert isinstance(step, RunElsewhere)
    assert not_run_by(step, 'run("pkigen", "verify", "--live")', page) == {"lists:"}
    assert not_run_by(step, 'run("pkigen", "verify"), "lists"', page) == {"--live"}
    assert not_run_by(step, f'commands_for(TEST, "{tmp_path.name}/page.md")', page) == set()


def test_what_needs_a_cluster_is_run_before_one() -> None:
    """`tests/live/test_pages_live.py` names every page that has such blocks."""
    live = (TOP / "tests/live/test_pages_live.py").read_text()
    for page in PAGES:
        needs = any(isinstance(step, Command) and step.in_cluster for step in steps(page))
        assert needs == (f'"{page.parent.name}/{page.name}"' in live), page


@pytest.mark.parametrize(
    ("shown", "is_right"),
    [
        (("one 2026-05-05", "two", "three"), True),
        (("…", "three"), True),
        (("one …", "…"), True),
        (("one 2026-05-05", "tw…", "three"), True),
        (("one", "two", "three"), False),
        (("one 2026-05-05", "two"), False),
        (("one 2026-05-05", "three"), False),
        (("…", "four"), False),
        ((), False),
    ],
)
def test_what_is_out_of_date_is_noticed(shown: tuple[str, ...], is_right: bool) -> None:  # noqa: FBT001
    assert (compare(shown, ["one 2027-01-01", "two", "three"]).fault is None) == is_right


_WRONG = {
    "another output": "```console\n$ echo one\ntwo\n```\n",
    "a failed setup": "<!-- setup: false -->\n",
    "one key that is two": (
        "```console\n$ echo aaaaa-aaaaa-aaaaa-aaaaa-aaaaa; echo bbbbb-bbbbb-bbbbb-bbbbb-bbbbb\n"
        "ccccc-ccccc-ccccc-ccccc-ccccc\nccccc-ccccc-ccccc-ccccc-ccccc\n```\n"
    ),
    "a command of no program": "```console\n$ pkigen stauts\n```\n",
}


@pytest.mark.parametrize("text", _WRONG.values(), ids=_WRONG)
def test_a_wrong_page_fails(text: str, tmp_path: Path, warm: WarmProgram) -> None:
    """The control."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError):
        PageShell(place=tmp_path, programs=warm.programs).follow(steps(page))


@pytest.mark.parametrize(
    "text",
    [
        "```sh\npkigen status\n```\n",
        "```\n$ pkigen status\n```\n",
        "```console\npkigen status\n```\n",
        "<!-- not run: because of that -->\n```console\n$ pkigen status\n```\n",
    ],
)
def test_a_block_that_nobody_would_run_is_refused(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md"):
        steps(page)
