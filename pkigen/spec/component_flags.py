"""Which flags the components know, by the version of Kubernetes: what `component_flags.json` says of them.

`scripts/component_flags.py` writes that file and names its sources.
"""

from __future__ import annotations

import enum
import json
from functools import cache
from importlib import resources
from typing import Any, Final

from pkigen.records import dataclass

_DATA: Final = "component_flags.json"


class KnownProgram(enum.StrEnum):
    """A component that takes `extraArgs`, by its program's name."""

    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    ETCD = "etcd"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFlags:
    """The flags of one program.

    `removed` has, for each flag that is gone, the first minor version of Kubernetes 1 without it; `None`
    where all that is known is that no supported version has it. `added` has the first version with it, for
    each that some supported version before does not have.
    """

    current: frozenset[str]
    removed: dict[str, int | None]
    added: dict[str, int]

    def at(self, minor: int) -> frozenset[str]:
        """What the program takes in a minor version of Kubernetes 1, as far as is known."""
        kept = {flag for flag, since in self.removed.items() if since is not None and minor < since}
        coming = {flag for flag, since in self.added.items() if minor < since}
        return (self.current | kept | self.added.keys()) - coming


@cache
def known_flags(program: KnownProgram) -> KnownFlags:
    """What is known of a program's flags."""
    entry = _components()[program]
    removed = {
        flag: int(group["version"].removeprefix("1.")) if group["version"] else None
        for group in entry["removed"]
        for flag in group["flags"]
    }
    added = {
        flag: int(group["version"].removeprefix("1.")) for group in entry["added"] for flag in group["flags"]
    }
    return KnownFlags(current=frozenset(entry["flags"]), removed=removed, added=added)


@cache
def flag_types(program: KnownProgram) -> dict[str, str]:
    """The type of a flag's value as pflag calls it, of those whose values `flag_values` reads."""
    types: dict[str, list[str]] = _components()[program]["types"]
    return {flag: kind for kind, flags in types.items() for flag in flags}


@cache
def known_names(kind: str) -> frozenset[str]:
    """Names that flags take: `cipherSuites` of Go, `admissionPlugins` of the API server."""
    return frozenset(_data()["names"][kind])


def flag_changes() -> list[tuple[KnownProgram, int, list[str], str]]:
    """What is removed since when and why, for the reference: program, minor version, flags, source."""
    return [
        (program, int(group["version"].removeprefix("1.")), group["flags"], group["source"])
        for program in KnownProgram
        for group in _components()[program]["removed"]
        if group["version"]
    ]


def _components() -> dict[str, Any]:
    found: dict[str, Any] = _data()["components"]
    return found


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files("pkigen.spec").joinpath(_DATA).read_text("utf-8"))
    return found
