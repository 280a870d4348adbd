"""What was taken over as it was found, and for which wish: kept while neither has changed.

docs/adr/0019-adopted-objects.md says why.
"""

from __future__ import annotations

from typing import Final

from pkigen.records import dataclass

ABSENT: Final = "absent"
"""What was found where nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """One object of another maker's: digests of it, and of what the spec asked of it then.

    `modes` are those of its files; they are compared apart, since a clone of a Git repository has others.
    """

    found: str
    wanted: str
    modes: str

    def stands(self, now: Adopted) -> bool:
        """Whether the object, and what is asked of it, are what they were."""
        return (self.found, self.wanted) == (now.found, now.wanted)
