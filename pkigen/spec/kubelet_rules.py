"""Rules about kubelets' flags: what a kubelet refuses, and what does not fit its certificate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen.spec.addresses import parse_node_ip
from pkigen.spec.findings import NODES, Location, SpecFinding, warning
from pkigen.spec.model import ManagedFiles
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec, Node

_MANAGE: Final[Location] = ("spec", "manage")
# pkg/apis/core/validation/validation.go, validateNodeTaints; apimachinery IsQualifiedName, IsValidLabelValue
_WORD: Final = "[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY: Final = rf"(?:[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_WORD}"
TAINT: Final = {
    "key": re.compile(_KEY),
    "value": re.compile(rf"(?:{_WORD})?"),
    "effect": re.compile("NoSchedule|PreferNoSchedule|NoExecute"),
}
_TAINT: Final = re.compile(rf"({_KEY})(?:=(?:{_WORD})?)?:({TAINT['effect'].pattern})")
_LABEL: Final = re.compile(rf"\s*({_KEY})\s*(?:=\s*(?:{_WORD})?\s*)?")
# cmd/kubelet/app/options/options.go, ValidateKubeletFlags; k8s.io/kubelet pkg/apis/well_known_labels.go
_OF_KUBERNETES: Final = re.compile(r"(?:.+\.)?(?:kubernetes|k8s)\.io/.*")
_LABELS_OF_KUBELETS: Final = re.compile(
    r"(?:.+\.)?(?:kubelet|node)\.kubernetes\.io/.*"
    r"|kubernetes\.io/(?:hostname|os|arch)|beta\.kubernetes\.io/(?:os|arch|instance-type)"
    r"|(?:topology|failure-domain\.beta)\.kubernetes\.io/(?:zone|region)"
)


def flags_of_kubelets(spec: ClusterSpec) -> Iterator[tuple[Location, tuple[ExtraArg, ...], Sequence[Node]]]:
    """Every list of flags, its place, and the nodes whose kubelets get it."""
    nodes = spec.spec.nodes
    yield ("spec", "kubelet", "extraArgs"), spec.spec.kubelet.extra_args, nodes
    for index, node in enumerate(nodes):
        yield (*NODES, index, "kubeletExtraArgs"), node.kubelet_extra_args, nodes[index : index + 1]


def _written(spec: ClusterSpec) -> Iterator[tuple[Location, tuple[ExtraArg, ...], Sequence[Node]]]:
    """The same, where pkigen writes the flags; elsewhere they are a record, perhaps of a vendor's kubelet."""
    return flags_of_kubelets(spec) if spec.manages(ManagedFiles.KUBELET) else iter(())


def _names(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A kubelet registers as its certificate says."""
    for at, arguments, nodes in flags_of_kubelets(spec):
        for place, argument in enumerate(arguments):
            # The Node authorizer lets system:node:NAME write the Node object of that name alone
            # (plugin/pkg/auth/authorizer/node).
            others = [node.name for node in nodes if node.name != argument.value]
            if argument.name == "hostname-override" and others:
                yield warning(
                    (*at, place, "value"),
                    f"the kubelet would register as {quote(argument.value)}, but its certificate is made for "
                    f"{quote(others[0])}: give the node that name",
                    NODES,
                )


def _addresses(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """`node-ip` is an address, and that of one host."""
    for at, arguments, nodes in flags_of_kubelets(spec):
        for place, argument in enumerate(arguments):
            if argument.name != "node-ip":
                continue
            here: Location = (*at, place, "value")
            try:
                addresses = parse_node_ip(argument.value)
            except ValueError as error:
                yield SpecFinding(at=here, message=str(error))
                continue
            if addresses and len(nodes) > 1:
                yield warning(
                    here, f"is one host's address, and every kubelet gets it: {len(nodes)} nodes", NODES
                )


def _labels(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Labels that a kubelet may give its node: it stops at others."""
    for at, arguments, _ in _written(spec):
        for place, argument in enumerate(arguments):
            if argument.name != "node-labels":
                continue
            for text in filter(None, argument.value.split(",")):
                fault = _label_fault(text)
                if fault is not None:
                    yield SpecFinding(
                        at=(*at, place, "value"), message=f"{quote(text)} {fault}", given=(_MANAGE,)
                    )


def _label_fault(text: str) -> str | None:
    """Why a kubelet stops at a label, if it does."""
    match = _LABEL.fullmatch(text)
    if match is None:
        return "is not a label KEY or KEY=VALUE, and the kubelet stops"
    if _OF_KUBERNETES.fullmatch(match[1]) and not _LABELS_OF_KUBELETS.fullmatch(match[1]):
        return (
            "is one of Kubernetes' own, which no kubelet may give its node, and so it stops: remove it, and "
            "use `kubectl label node`"
        )
    return None


def _taints(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Taints that a node can register with."""
    for at, arguments, _ in _written(spec):
        for place, argument in enumerate(arguments):
            if argument.name != "register-with-taints" or not argument.value:
                continue
            here: Location = (*at, place, "value")
            seen: set[tuple[str, str]] = set()
            for text in argument.value.split(","):
                match = _TAINT.fullmatch(text)
                if match is None:
                    message = f"{quote(text)} is not a taint KEY=VALUE:EFFECT, and the kubelet stops"
                    yield SpecFinding(at=here, message=message, given=(_MANAGE,))
                elif (match[1], match[2]) in seen:
                    message = f"has {match[1]} twice with the effect {match[2]}: no node can register so"
                    yield SpecFinding(at=here, message=message, given=(_MANAGE,))
                else:
                    seen.add((match[1], match[2]))


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _names,
    _addresses,
    _labels,
    _taints,
)
