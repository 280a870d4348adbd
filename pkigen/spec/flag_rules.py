"""Rules about the names of flags in `extraArgs`: a program that gets one it does not know stops at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.spec.component_flags import KnownProgram, known_flags
from pkigen.spec.findings import NODES, Location, SpecFinding
from pkigen.spec.translation import quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec

_VERSION: Final[Location] = ("spec", "kubernetesVersion")
# component-base's verflag and cobra; a value of false would do nothing.
_ENDING: Final = frozenset({"help", "version"})
_PERMISSION: Final[Location] = ("spec", "allowUnknownFlags")


def _flags(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A component gets flags that it knows: not removed ones, and unknown ones only where that is allowed."""
    for program, at, arguments in _given(spec):
        for place, argument in enumerate(arguments):
            message = flag_fault(spec, program, argument.name)
            if message is not None:
                yield SpecFinding(at=(*at, place, "name"), message=message, given=(_VERSION, _PERMISSION))


def _given(spec: ClusterSpec) -> Iterator[tuple[KnownProgram, Location, tuple[ExtraArg, ...]]]:
    """Every list of flags, with its program and its place."""
    what = spec.spec
    yield KnownProgram.API_SERVER, ("spec", "apiServer", "extraArgs"), what.api_server.extra_args
    yield (
        KnownProgram.CONTROLLER_MANAGER,
        ("spec", "controllerManager", "extraArgs"),
        what.controller_manager.extra_args,
    )
    yield KnownProgram.SCHEDULER, ("spec", "scheduler", "extraArgs"), what.scheduler.extra_args
    if what.etcd.external is None:
        yield KnownProgram.ETCD, ("spec", "etcd", "extraArgs"), what.etcd.extra_args
    yield KnownProgram.KUBELET, ("spec", "kubelet", "extraArgs"), what.kubelet.extra_args
    for index, node in enumerate(what.nodes):
        yield KnownProgram.KUBELET, (*NODES, index, "kubeletExtraArgs"), node.kubelet_extra_args


def flag_fault(spec: ClusterSpec, program: KnownProgram, name: str) -> str | None:
    """What is wrong with the name of a flag, if anything."""
    if name in _ENDING:
        return f"{quote(name)} makes {program} print something and end: remove it"
    known, minor = known_flags(program), spec.spec.kubernetes_version.minor
    # An image of one's own may hold any version of etcd.
    own_etcd = program is KnownProgram.ETCD and spec.spec.etcd.image_tag is not None
    if name in known.at(minor) or (own_etcd and name in known.removed):
        return None
    if name in known.removed:
        since = known.removed[name]
        when = f"since v1.{since}" if since is not None else "any more"
        return f"{quote(name)} is not a flag of {program} {when}, which stops when it is given: remove it"
    if spec.spec.allow_unknown_flags:
        return None
    near = suggestion(name, known.at(minor))
    otherwise = "; if it has it all the same, set spec.allowUnknownFlags: true"
    return f"{quote(name)} is not a known flag of {program} in Kubernetes v1.{minor}{near or otherwise}"


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (_flags,)
