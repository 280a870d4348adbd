"""Lines of a result, each with what its colour is to mean."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
    """One line; whatever it holds stays within it."""

    text: str
    tone: Tone = Tone.PLAIN
