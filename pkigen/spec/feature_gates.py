"""Which feature gates Kubernetes' programs know, by the version: what `feature_gates.json` says of them.

`scripts/feature_gates.py` writes that file and names its sources.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FLAG: Final = "feature-gates"
_DATA: Final = "feature_gates.json"
# component-base compatibility/registry.go: what no component stands before is Kubernetes' own.
_KUBERNETES: Final = frozenset({"", "kube"})
# strconv.ParseBool
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "f", "F", "false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGate:
    """A feature gate: the minor versions of Kubernetes 1 that have it, and that let nobody set it."""

    since: int
    removed: int | None = None
    locked: int | None = None
    value: bool = True
    """What it is locked to."""


@cache
def known_gates() -> dict[str, KnownGate]:
    """Every gate that is known of any version, by its name."""
    return {name: KnownGate(**row) for name, row in _data()["gates"].items()}


def gate_changes() -> list[dict[str, Any]]:
    """What versions took away and locked, for the reference: `version`, `what`, `gates` and `source`."""
    found: list[dict[str, Any]] = _data()["changes"]
    return found


@cache
def _data() -> dict[str, Any]:
    text = resources.files("pkigen.spec").joinpath(_DATA).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def settings(value: str) -> Iterator[tuple[str, str, str]]:
    """Each gate of one `--feature-gates`: component, name and setting, empty texts where there are none."""
    for pair in value.split(","):
        component, colon, rest = pair.rpartition(":")
        name, _, setting = (rest if colon else pair).partition("=")
        if name.strip():
            yield component.strip(), name.strip(), setting.strip()


def pairs(value: str) -> Iterator[tuple[str, str]]:
    """The gates of one `--feature-gates` and what they are set to.

    Gates of other components than Kubernetes' own are left out (`compatibility_flags`).
    """
    return ((name, setting) for component, name, setting in settings(value) if component in _KUBERNETES)


def chosen(values: Iterable[str]) -> dict[str, bool]:
    """What gates are set to by every `--feature-gates` of a program, in order: the last one counts."""
    return {name: as_boolean(setting) is True for value in values for name, setting in pairs(value)}


def as_boolean(setting: str) -> bool | None:
    """What a text says to Go; None where it says neither."""
    return _BOOLEANS.get(setting)
