"""The names of a rotation's steps, without what they do."""

from __future__ import annotations

import enum


class RotationStep(enum.StrEnum):
    """One step of a rotation."""

    PREPARE = "prepare"
    PROMOTE = "promote"
    FINISH = "finish"
    ROLLBACK = "rollback"
