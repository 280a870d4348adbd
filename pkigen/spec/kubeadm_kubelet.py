"""What a NodeRegistration asks of its kubelet, as the kubelet's flags.

kubeadm writes the same flags (`cmd/kubeadm/app/phases/kubelet/flags.go`), but for the taints of control-plane
nodes: those it sets through the API server later on. The flag asks for them when the node registers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen.spec.translation import kind_of, quote
from pkigen.spec.yaml_nodes import MappingNode, SequenceNode, YAMLNode, mapping, scalar, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

_KUBELETS_SOCKET: Final = "unix:///run/containerd/containerd.sock"  # as templates/kubelet/config.yaml.j2
_ENDPOINT_FLAG: Final = "container-runtime-endpoint"
_TAINTS_FLAG: Final = "register-with-taints"

# pkg/apis/core/validation/validation.go, validateNodeTaints
_WORD: Final = "[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_TAINT: Final = {
    "key": re.compile(rf"(?:[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_WORD}"),
    "value": re.compile(rf"(?:{_WORD})?"),
    "effect": re.compile("NoSchedule|PreferNoSchedule|NoExecute"),
}


def kubelet_arguments(
    registration: YAMLNode | None, path: str, *, report: Callable[[YAMLNode, str, str], None]
) -> YAMLNode | None:
    """The kubelet's extra flags: those that are written down, then those of `criSocket` and `taints`.

    As with kubeadm, a flag that is written down counts more than the field of the same meaning.

    Args:
        registration: The NodeRegistration; what it holds keeps its place.
        path: What it is called.
        report: Called with the place, the path and the sentence of each problem.

    Returns:
        The flags in the model's shape; None if there are none.
    """
    fields = {key: value for key, (_, value) in _entries(registration).items()}
    given = fields.get("kubeletExtraArgs")
    if given is not None and not isinstance(given, SequenceNode):
        return given  # the model says what is wrong
    items = list(given.items) if given is not None else []
    names = {str(entry[1].value) for item in items if (entry := _entries(item).get("name"))}
    for name, key, read in ((_ENDPOINT_FLAG, "criSocket", _endpoint), (_TAINTS_FLAG, "taints", _taints)):
        if key not in fields:
            continue
        at, shown = fields[key], f"{path}.{key}"
        value = read(at, shown, report)
        if value is not None and name not in names:
            flag: dict[str, YAMLNode] = {
                "name": scalar(name, at=at, shown=shown),
                "value": scalar(value, at=at, shown=shown),
            }
            items.append(mapping(flag, at=at, shown=shown))
    place = given or registration
    return sequence(items, at=place) if items and place is not None else None


def _endpoint(socket: YAMLNode, path: str, report: Callable[[YAMLNode, str, str], None]) -> str | None:
    text = socket.value
    if not isinstance(text, str):
        report(socket, path, f"must be text, not {kind_of(socket)}")
        return None
    if text.startswith("/"):  # K/util/config/initconfiguration.go puts the scheme in front of paths
        text = f"unix://{text}"
    return None if text == _KUBELETS_SOCKET else text


def _taints(taints: YAMLNode, path: str, report: Callable[[YAMLNode, str, str], None]) -> str | None:
    """The flag's value as `Taint.ToString` of k8s.io/api/core/v1 forms it."""
    texts: list[str] = []
    for index, taint in enumerate(taints.items if isinstance(taints, SequenceNode) else ()):
        here = f"{path}[{index}]"
        parts = {name: entry[1] for name, entry in _entries(taint).items()}
        for name, pattern in _TAINT.items():
            part = parts.get(name)
            if part is None and name != "value":
                report(taint, f"{here}.{name}", "is missing")
            elif part is not None and not (isinstance(part.value, str) and pattern.fullmatch(part.value)):
                report(part, f"{here}.{name}", f"{quote(part.value)} is no taint's {name}")
        key, value, effect = (str(parts[name].value) if name in parts else "" for name in _TAINT)
        texts.append(f"{key}={value}:{effect}" if value else f"{key}:{effect}")
    return ",".join(texts) or None


def _entries(node: YAMLNode | None) -> dict[str, tuple[YAMLNode, YAMLNode]]:
    return node.entries if isinstance(node, MappingNode) else {}
