"""Flags that name a component: feature gates, and the version as which a program behaves.

The API server, the controller manager and the scheduler have one registry of components behind them
(component-base `compatibility/registry.go`), in which "kube" stands for Kubernetes. The kubelet and etcd have
none: to them, what stands before a colon is part of a gate's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.feature_gates import FLAG, settings
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.spec.values import KubernetesVersion

EMULATED: Final = "emulated-version"
COMPATIBLE: Final = "min-compatibility-version"
_KUBE: Final = "kube"
_WITH_REGISTRY: Final = frozenset(
    {KnownProgram.API_SERVER, KnownProgram.CONTROLLER_MANAGER, KnownProgram.SCHEDULER}
)
# apimachinery's `version.Parse` takes more; a patch version other than 0 is refused by the registry.
_VERSION: Final = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:\.0(?:[-+].*)?)?")
# apiserver `util/compatibility/version.go`: three versions back; before v1.33 there were other limits.
_LIMITS_SINCE: Final = 33
_BACK: Final = 3
_OLDEST: Final = 31


def registry_faults(
    program: KnownProgram, version: KubernetesVersion, given: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """What is wrong with components, and with versions that are emulated: which flag, and why it stops.

    Args:
        program: The program.
        version: Its version.
        given: Its flags, each as often as it is given.
    """
    values: dict[str, list[str]] = {FLAG: [], EMULATED: [], COMPATIBLE: []}
    for name, value in given:
        values.get(name, []).append(value)
    yield from ((FLAG, fault) for fault in _of_gates(program, values[FLAG]))
    if program in _WITH_REGISTRY:
        most = version.minor
        yield from ((EMULATED, fault) for fault in _of_versions(program, version, values[EMULATED], most))
        # A program cannot promise compatibility with versions later than the one that it behaves as.
        most = min(most, emulated_minor(values[EMULATED]) or most)
        yield from ((COMPATIBLE, fault) for fault in _of_versions(program, version, values[COMPATIBLE], most))


def _of_gates(program: KnownProgram, values: Iterable[str]) -> Iterator[str]:
    """What is wrong with the components that stand before feature gates."""
    seen: set[str] = set()
    for component, name, _ in (each for value in values for each in settings(value)):
        fault = _component_fault(program, component, name)
        if fault is not None:
            yield fault
        # component-base compatibility/registry.go: "do not mix use" of gates with and without the prefix.
        elif seen and component not in seen:
            yield _mixed(program, name)
        seen.add(component)


def _component_fault(program: KnownProgram, component: str, name: str) -> str | None:
    if not component or (component == _KUBE and program in _WITH_REGISTRY):
        return None
    if program in _WITH_REGISTRY:
        return f"{quote(component)} is no component of {program}, which stops: leave it out before {name}"
    return f"{program} knows no components, and stops: leave {quote(component)} out before {name}"


def _mixed(program: KnownProgram, name: str) -> str:
    return (
        f"{quote(name)} is set with {_KUBE}: before it and others are without, or the other way round, and "
        f"{program} stops: write all of them alike"
    )


def emulated_minor(values: Iterable[str]) -> int | None:
    """The minor version of Kubernetes 1 as which a program behaves; None where it is its own."""
    for component, version in _versions(values):
        match = _VERSION.fullmatch(version)
        if component == _KUBE and match is not None:
            return int(match[2])
    return None


def _of_versions(
    program: KnownProgram, version: KubernetesVersion, values: Iterable[str], most: int
) -> Iterator[str]:
    """Why a program stops at versions of which the highest that it takes is known."""
    least = max(version.minor - _BACK, _OLDEST) if version.minor >= _LIMITS_SINCE else 0
    seen: set[str] = set()
    for component, text in _versions(values):
        match = _VERSION.fullmatch(text)
        if component != _KUBE:
            yield f"{quote(component)} is no component of {program}, which stops: leave it out"
        elif match is None:
            yield f"{quote(text)} must be a version without a patch version, such as 1.{most}"
        elif component in seen:
            yield f"{component} has two versions, and {program} stops: leave one out"
        elif int(match[1]) != 1 or not least <= int(match[2]) <= most:
            yield f"{quote(text)} is not between 1.{least} and 1.{most}, and {program} stops"
        seen.add(component)


def _versions(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each component and its version; what no component stands before is Kubernetes' own."""
    for value in values:
        for each in value.split(","):
            component, equals, version = each.partition("=")
            if each.strip():
                yield (component.strip(), version.strip()) if equals else (_KUBE, each.strip())
