"""Lines of a result, each with what its colour is to mean."""

from __future__ import annotations

import enum

from pkigen.records import dataclass


class Tone(enum.StrEnum):
    """What a line is about; a terminal shows it as a colour."""

    PLAIN = "plain"
    TITLE = "title"
    RISK = "risk"
    CREATES = "creates"
    CHANGES = "changes"
    REPLACES = "replaces"
    REMOVES = "removes"
    WELL = "well"
    HINT = "hint"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Line:
    """One line; whatever it holds stays within it.

    One that is too long for a terminal is folded at its spaces, unless it is whole: to be copied or compared,
    as a command or a line of a file.
    """

    text: str
    tone: Tone = Tone.PLAIN
    is_whole: bool = False
