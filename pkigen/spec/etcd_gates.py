"""What an etcd makes of its feature gates: at one that it does not know, and at some together, it stops.

They are few, and so they stand here: server/features/etcd_features.go and server/embed/config.go of etcd
v3.6.0, v3.6.14, v3.7.0 and v3.7.1, in which none is locked. The package `embed` of a 3.6 gave these answers
when it was asked. Those of Kubernetes are in `feature_gates`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.spec.feature_gates import FLAG, as_boolean, pairs
from pkigen.spec.findings import Location, SpecFinding, warning
from pkigen.spec.model import ManagedFiles
from pkigen.spec.translation import quote, suggestion
from pkigen.spec.versions import ETCD_FEATURE_GATES_SINCE, etcd_tag, tag_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.model import ClusterSpec

_AT: Final[Location] = ("spec", "etcd", "extraArgs")
_GIVEN: Final[tuple[Location, ...]] = (
    ("spec", "kubernetesVersion"),
    ("spec", "etcd", "imageTag"),
    ("spec", "allowUnknownFlags"),
    ("spec", "manage"),
)
_SINCE: Final = {
    # pkg/featuregate has the two for all gates of a stage.
    **dict.fromkeys(("AllAlpha", "AllBeta", "CompactHashCheck", "InitialCorruptCheck"), (3, 6)),
    **dict.fromkeys(("LeaseCheckpoint", "LeaseCheckpointPersist", "SetMemberLocalAddr"), (3, 6)),
    **dict.fromkeys(("StopGRPCServiceOnDefrag", "TxnModeWriteWithSharedBuffer"), (3, 6)),
    **dict.fromkeys(("FastLeaseKeepAlive", "PriorityRequest"), (3, 7)),
}
_FLAGS: Final = {
    "experimental-compact-hash-check-enabled": "CompactHashCheck",
    "experimental-enable-lease-checkpoint": "LeaseCheckpoint",
    "experimental-enable-lease-checkpoint-persist": "LeaseCheckpointPersist",
    "experimental-initial-corrupt-check": "InitialCorruptCheck",
    "experimental-stop-grpc-service-on-defrag": "StopGRPCServiceOnDefrag",
    "experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}
"""Flags of etcd 3.5 and 3.6 that say what a gate says (`ExperimentalFlagToFeatureMap`)."""
_PERSIST: Final = "LeaseCheckpointPersist"
OWN_GATES: Final = "InitialCorruptCheck=true"
"""What pkigen gives an etcd that has feature gates, as kubeadm does."""


def etcd_gates(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Feature gates that the cluster's etcd knows, and lets one set so."""
    etcd = spec.spec.etcd
    version = tag_version(etcd.image_tag or etcd_tag(spec.spec.kubernetes_version))
    # An image whose tag is no version may be of any; an etcd without gates has no such flag.
    if etcd.external is not None or version < ETCD_FEATURE_GATES_SINCE:
        return
    for place, argument in enumerate(etcd.extra_args):
        if argument.name == FLAG:
            yield from _gates(spec, (*_AT, place, "value"), argument.value, version[:2])
    yield from _said_twice(spec)
    yield from _incomplete(spec)


def _gates(spec: ClusterSpec, here: Location, value: str, version: tuple[int, ...]) -> Iterator[SpecFinding]:
    for name, setting in pairs(value):
        since = _SINCE.get(name)
        if as_boolean(setting) is None:
            yield SpecFinding(at=here, message=f"{quote(name)} must be set to true or false", given=_GIVEN)
        elif since is None:
            near = suggestion(name, [each for each, first in _SINCE.items() if first <= version])
            otherwise = "; etcd stops if it does not know it either"
            message = f"{quote(name)} is no feature gate of etcd that pkigen knows{near or otherwise}"
            yield warning(here, message, *_GIVEN)
        elif version < since and not spec.spec.allow_unknown_flags:
            first = ".".join(map(str, since))
            message = (
                f"{quote(name)} is a feature gate of etcd from {first} on, and etcd stops when it is given "
                "before: remove it"
            )
            yield SpecFinding(at=here, message=message, given=_GIVEN)


def _said_twice(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Flags that say what a gate beside them says (`SetFeatureGatesFromExperimentalFlags`)."""
    given = spec.spec.etcd.extra_args
    own = _own_gates(spec)
    # What pkigen does not write may say otherwise, and so the flags here are a record of it at most.
    value = own or (OWN_GATES if spec.manages(ManagedFiles.MANIFESTS) else "")
    for place, argument in enumerate(given):
        gate = _FLAGS.get(argument.name)
        # etcd looks for the name in the text: that of LeaseCheckpoint is in another one, too.
        if gate is not None and gate in value:
            message = (
                f"--{argument.name} excludes the feature gate {gate}{'' if own else ', which pkigen sets'}, "
                "and etcd stops: set the gate alone"
            )
            yield SpecFinding(at=(*_AT, place, "name"), message=message, given=_GIVEN)


def _incomplete(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A gate without the one that it needs, by whichever flag (`Config.Validate`)."""
    given = spec.spec.etcd.extra_args
    flags = {_FLAGS[each.name]: as_boolean(each.value) for each in given if each.name in _FLAGS}
    gates = {name: as_boolean(setting) for name, setting in pairs(_own_gates(spec))}
    # What is named counts more than all gates of its stage.
    needed = {**flags, **gates}.get("LeaseCheckpoint", gates.get("AllAlpha"))
    for place, argument in enumerate(given):
        named = gates if argument.name == FLAG else flags if _FLAGS.get(argument.name) == _PERSIST else {}
        if named.get(_PERSIST) and not needed:
            message = f"{_PERSIST} needs the feature gate LeaseCheckpoint beside it, else etcd stops"
            yield SpecFinding(at=(*_AT, place, "value"), message=message, given=_GIVEN)


def _own_gates(spec: ClusterSpec) -> str:
    """What the spec sets gates to; empty where it sets none."""
    return ",".join(argument.value for argument in spec.spec.etcd.extra_args if argument.name == FLAG)
