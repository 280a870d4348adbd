"""Records behave as the standard library's frozen dataclasses do, and are made late."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from dataclasses import FrozenInstanceError, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from pkigen.records import dataclass

PACKAGE = Path(__file__).parent.parent / "pkigen"


def described(decorator: Any) -> Any:
    """The same class, by one decorator or the other."""

    @decorator(frozen=True, slots=True, kw_only=True)
    class Described:
        name: str
        place: tuple[str, ...] = ()
        secret: bytes = field(default=b"", repr=False)
        seen: dict[str, int] = field(default_factory=dict, compare=False)

    return Described


OURS = described(dataclass)
THEIRS = described(dataclasses.dataclass)


@dataclass(frozen=True, slots=True)
class Point:
    """By place; other modules can find it, as pickling needs."""

    x: int
    y: int = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(self.x)


@dataclass(frozen=True, slots=True)
class PointInSpace(Point):
    """One that inherits its fields."""

    z: int = 0


@dataclass(frozen=True, slots=True)
class Nothing:
    """No field at all."""


class Named(Point):
    """A plain class below a record."""


def test_what_stands_in_it_is_shown_as_the_library_shows_it() -> None:
    values: dict[str, Any] = {"name": "a", "place": ("b",), "secret": b"hidden"}
    assert repr(OURS(**values)) == repr(THEIRS(**values))
    assert "hidden" not in repr(OURS(**values))
    assert repr(Nothing()) == "Nothing()"


def test_records_are_equal_by_what_is_compared() -> None:
    for made in (OURS, THEIRS):
        assert made(name="a", seen={"x": 1}) == made(name="a")
        assert hash(made(name="a", seen={"x": 1})) == hash(made(name="a"))
        assert made(name="a") != made(name="a", secret=b"x")
        # Each has a dict of its own.
        assert made(name="a").seen is not made(name="a").seen
    assert Point(1) != PointInSpace(1)
    assert Nothing() == Nothing()
    assert len({Nothing(), Nothing(), Point(1), Point(1), Point(2)}) == 3


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "other": 1}])
def test_wrong_arguments_are_refused_in_the_same_words(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as theirs:
        THEIRS(**arguments)
    # When the first is made, and when others have been.
    for made in (described(dataclass), OURS):
        with pytest.raises(TypeError, match=re.escape(str(theirs.value))):
            made(**arguments)
    with pytest.raises(TypeError, match="positional"):
        OURS("a")


@pytest.mark.parametrize("made", [OURS(name="a"), Named(1)])
def test_nothing_in_it_changes(made: Any) -> None:
    name = fields(made)[0].name
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(made, name, "b")
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(made, name)


def test_what_is_checked_after_it_is_made_is_checked_for_the_first_one_too() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked(Point):
        pass

    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            Checked(-1)


@pytest.mark.parametrize("made", [Point(1, 2), PointInSpace(1, 2, 3), Nothing()])
def test_copies_are_equal(made: Any) -> None:
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 -- what this test has pickled
    assert copy.deepcopy(made) == made
    assert replace(made) == made


def test_it_is_matched_by_place_and_changed_by_name() -> None:
    match PointInSpace(1, 2, 3):
        case PointInSpace(1, 2, z):
            assert z == 3
    assert replace(PointInSpace(1, 2, 3), y=5) == PointInSpace(1, 5, 3)


def test_a_method_of_its_own_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Silent:
        secret: str

        def __repr__(self) -> str:
            return "…"

    assert repr(Silent("x")) == "…"


def test_nothing_is_compiled_before_one_is_made() -> None:
    late = described(dataclass)
    assert "first" in late.__init__.__code__.co_name
    late(name="a")
    assert late.__init__.__code__.co_name == "__init__"


def test_other_dataclasses_are_the_librarys() -> None:
    @dataclass(kw_only=True)
    class Changing:
        count: int = 0

    changing = Changing()
    changing.count += 1
    assert changing == Changing(count=1)


def test_the_package_makes_its_dataclasses_here() -> None:
    eager = re.compile(r"^ *from dataclasses import .*\bdataclass\b", re.MULTILINE)
    modules = set(PACKAGE.rglob("*.py")) - {PACKAGE / "records.py"}
    found = [path.name for path in modules if eager.search(path.read_text(encoding="utf-8"))]
    assert not found, "they import it from pkigen.records: every class costs each command 0.3 ms otherwise"


def test_what_is_no_argument_is_set_all_the_same() -> None:
    def described_so(decorator: Any) -> Any:
        @decorator(frozen=True, slots=True, kw_only=True)
        class Sum:
            terms: tuple[int, ...]
            total: int = field(init=False, compare=False)
            unit: str = field(default="m", init=False)
            seen: list[int] = field(default_factory=list, init=False, repr=False)

            def __post_init__(self) -> None:
                object.__setattr__(self, "total", sum(self.terms))

        return Sum

    ours, theirs = described_so(dataclass), described_so(dataclasses.dataclass)
    made, other = ours(terms=(1, 2)), theirs(terms=(1, 2))
    assert (made.total, made.unit, made.seen) == (other.total, other.unit, other.seen) == (3, "m", [])
    assert repr(made) == repr(other)
    assert ours(terms=()).seen is not ours(terms=()).seen
    assert replace(made, terms=(5,)).total == replace(other, terms=(5,)).total == 5
    assert copy.copy(made).total == 3
    for each in (ours, theirs):
        with pytest.raises(TypeError, match="unexpected keyword argument 'total'"):
            each(terms=(), total=1)
