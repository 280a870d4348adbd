"""What a NodeRegistration asks of its kubelet, as the kubelet's flags.

kubeadm writes the same flags (`cmd/kubeadm/app/phases/kubelet/flags.go`), but for the taints of control-plane
nodes: those, or the usual one, it sets through the API server later on (`phases/markcontrolplane`). The flag
asks for them when the node registers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.spec.kubelet_rules import TAINT
from pkigen.spec.translation import quote, text_wanted, value_kind
from pkigen.spec.values import flag_name
from pkigen.spec.yaml_nodes import SequenceNode, YAMLNode, child, mapping, scalar, sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[YAMLNode, str, str], None]

_KUBELETS_SOCKET: Final = "unix:///run/containerd/containerd.sock"  # as templates/kubelet/config.yaml.j2
_ENDPOINT_FLAG: Final = "container-runtime-endpoint"
_TAINTS_FLAG: Final = "register-with-taints"

_CONTROL_PLANE_TAINT: Final = (
    "node-role.kubernetes.io/control-plane:NoSchedule"  # constants.ControlPlaneTaint
)
_SCHEME: Final = "unix"


def kubelet_arguments(
    registration: YAMLNode | None, path: str, *, control_plane: YAMLNode | None, report: Report
) -> YAMLNode | None:
    """The kubelet's extra flags: those that are written down, then those of `criSocket` and `taints`.

    As with kubeadm, a flag that is written down counts more than the field of the same meaning.

    Args:
        registration: The NodeRegistration; what it holds keeps its place.
        path: What it is called.
        control_plane: Of a node of the control plane its document, in which the usual taint need not stand.
        report: Called with the place, the path and the sentence of each problem.

    Returns:
        The flags in the model's shape; None if there are none.
    """
    given = child(registration, "kubeletExtraArgs")
    if not isinstance(given, SequenceNode | None):
        return given  # the model says what is wrong
    written = given.items if given is not None else []
    names = set(_names(written))
    # Both fields are read, for their problems, also where a flag of the same meaning is written down.
    made = [*_flags_of_fields(registration, path, report), *_usual_taint(registration, path, control_plane)]
    items = [*written, *(flag for name, flag in made if name not in names)]
    place = given or registration or control_plane
    return sequence(items, at=place) if items and place is not None else None


def _names(arguments: list[YAMLNode]) -> Iterator[str]:
    """The names of flags that are written down, those that have one."""
    for item in arguments:
        name = child(item, "name")
        if name is not None:
            yield flag_name(str(name.value))


def _usual_taint(
    registration: YAMLNode | None, path: str, control_plane: YAMLNode | None
) -> Iterator[tuple[str, YAMLNode]]:
    """What kubeadm keeps Pods from its control plane by; only an empty list of taints means none."""
    # K/util/config/initconfiguration.go, SetNodeRegistrationDynamicDefaults
    if control_plane is not None and child(registration, "taints") is None:
        yield (
            _TAINTS_FLAG,
            _flag(_TAINTS_FLAG, _CONTROL_PLANE_TAINT, at=control_plane, shown=f"{path}.taints"),
        )


def _flags_of_fields(
    registration: YAMLNode | None, path: str, report: Report
) -> Iterator[tuple[str, YAMLNode]]:
    """Fields of `nodeRegistration` that kubeadm turns into flags of the kubelet."""
    for name, key, read in (
        (_ENDPOINT_FLAG, "criSocket", _socket_endpoint),
        (_TAINTS_FLAG, "taints", _taints),
    ):
        at = child(registration, key)
        if at is None:
            continue
        shown = f"{path}.{key}"
        value = read(at, shown, report)
        if value is not None:
            yield name, _flag(name, value, at=at, shown=shown)


def _flag(name: str, value: str, *, at: YAMLNode, shown: str) -> YAMLNode:
    """A flag in the model's shape."""
    entries: dict[str, YAMLNode] = {
        "name": scalar(name, at=at, shown=shown),
        "value": scalar(value, at=at, shown=shown),
    }
    return mapping(entries, at=at, shown=shown)


def _socket_endpoint(socket: YAMLNode, path: str, report: Report) -> str | None:
    """The container runtime's endpoint, unless it is the kubelet's own default."""
    text = socket.value
    if not isinstance(text, str):
        report(socket, path, f"must be text, not {value_kind(socket)}")
        return None
    # K/util/config/initconfiguration.go puts the scheme in front of what does not begin so. The kubelet
    # dials the path of it alone, and no other scheme (cri-client pkg/util/util_unix.go).
    if not text.startswith(_SCHEME):
        text = f"{_SCHEME}://{text}"
    if not text.startswith(f"{_SCHEME}:///"):
        report(socket, path, f"must be the absolute path of a socket, with or without {_SCHEME}:// in front")
        return None
    return None if text == _KUBELETS_SOCKET else text


def _taints(taints: YAMLNode, path: str, report: Report) -> str | None:
    """The taints of a node as `register-with-taints` takes them; None where one is none."""
    items = taints.items if isinstance(taints, SequenceNode) else []
    faults: list[YAMLNode] = []

    def noted(node: YAMLNode, at: str, message: str) -> None:
        faults.append(node)
        report(node, at, message)

    texts = [_taint(item, f"{path}[{index}]", noted) for index, item in enumerate(items)]
    return ",".join(texts) if texts and not faults else None


def _taint(taint: YAMLNode, path: str, report: Report) -> str:
    """One taint of the flag's value as `Taint.ToString` of k8s.io/api/core/v1 forms it."""
    texts: list[str] = []
    for name, pattern in TAINT.items():
        part = child(taint, name)
        if part is None:
            texts.append("")
            if name != "value":
                report(taint, f"{path}.{name}", "is missing")
            continue
        texts.append(str(part.value))
        if not isinstance(part.value, str):
            report(part, f"{path}.{name}", text_wanted(part))
        elif not pattern.fullmatch(part.value):
            report(part, f"{path}.{name}", f"{quote(part.value)} is not a valid taint {name}")
    key, value, effect = texts
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"
