"""What a NodeRegistration asks of its kubelet, as the kubelet's flags."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, join, loaded, problems


def _registered(fields: str, *, role: str = "") -> list[str]:
    """The flags of a joining kubelet whose NodeRegistration has these fields beside name and node-ip."""
    text = join(f"nodeRegistration:\n  name: w\n{fields}{role}")
    return [f"{arg.name}={arg.value}" for arg in loaded(text).spec.spec.nodes[1].kubelet_extra_args]


ADDRESS = "  kubeletExtraArgs: [{name: node-ip, value: 192.0.2.9}]\n"


@pytest.mark.parametrize(
    ("socket", "flags"),
    [
        ("unix:///run/containerd/containerd.sock", []),
        ("/run/containerd/containerd.sock", []),
        ("unix:///var/run/crio/crio.sock", ["container-runtime-endpoint=unix:///var/run/crio/crio.sock"]),
        ("/var/run/crio/crio.sock", ["container-runtime-endpoint=unix:///var/run/crio/crio.sock"]),
    ],
)
def test_the_kubelet_gets_its_socket(socket: str, flags: list[str]) -> None:
    assert _registered(f"  criSocket: {socket}\n{ADDRESS}") == ["node-ip=192.0.2.9", *flags]


def test_the_kubelet_gets_its_taints() -> None:
    taints = (
        "  taints:\n"
        "    - {key: node-role.kubernetes.io/control-plane, effect: NoSchedule}\n"
        '    - {key: dedicated, value: gpu, effect: NoExecute, timeAdded: "2026-01-01T00:00:00Z"}\n'
    )
    flag = "register-with-taints=node-role.kubernetes.io/control-plane:NoSchedule,dedicated=gpu:NoExecute"
    assert _registered(taints + ADDRESS) == ["node-ip=192.0.2.9", flag]
    control_plane = "controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.9}}\n"
    assert _registered(taints, role=control_plane) == [flag]
    assert _registered(f"  taints: []\n{ADDRESS}") == ["node-ip=192.0.2.9"]


def test_a_node_of_the_control_plane_has_the_usual_taint_unless_the_list_is_empty() -> None:
    control_plane = "controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.9}}\n"
    usual = "register-with-taints=node-role.kubernetes.io/control-plane:NoSchedule"
    assert _registered("", role=control_plane) == [usual]
    assert _registered("  taints: null\n", role=control_plane) == [usual]
    assert _registered("  taints: []\n", role=control_plane) == []
    own = '{name: register-with-taints, value: "b:NoSchedule"}'
    assert _registered(f"  kubeletExtraArgs: [{own}]\n", role=control_plane) == [
        "register-with-taints=b:NoSchedule"
    ]
    [first, _] = loaded(join(f"nodeRegistration:\n  name: w\n{ADDRESS}")).spec.spec.nodes
    assert [f"{arg.name}={arg.value}" for arg in first.kubelet_extra_args] == [usual]


def test_no_node_registers_with_one_taint_twice() -> None:
    taints = "  taints: [{key: a, value: b, effect: NoSchedule}, {key: a, effect: NoSchedule}]\n"
    [told] = problems(join(f"nodeRegistration:\n  name: w\n{taints}{ADDRESS}"))
    assert told.startswith(
        "14:11: JoinConfiguration.nodeRegistration.taints: has a twice with the effect NoSchedule: no node"
    )


@pytest.mark.parametrize(
    "socket", ["tcp://192.0.2.9:80", "run/crio.sock", "unix://run/crio.sock", "npipe:////x"]
)
def test_what_no_kubelet_dials_is_said(socket: str) -> None:
    [told] = problems(join(f"nodeRegistration:\n  name: w\n  criSocket: {socket}\n{ADDRESS}"))
    assert told.startswith(
        "14:14: JoinConfiguration.nodeRegistration.criSocket: must be the absolute path of a"
    )


def test_a_flag_counts_more_than_the_field_of_its_meaning() -> None:
    given = (
        "  criSocket: /run/crio.sock\n  taints: [{key: a, effect: NoSchedule}]\n"
        "  kubeletExtraArgs:\n"
        "    - {name: node-ip, value: 192.0.2.9}\n"
        "    - {name: container-runtime-endpoint, value: unix:///x}\n"
        '    - {name: register-with-taints, value: "b:NoSchedule"}\n'
    )
    wanted = [
        "node-ip=192.0.2.9",
        "container-runtime-endpoint=unix:///x",
        "register-with-taints=b:NoSchedule",
    ]
    assert _registered(given) == wanted


def test_what_is_no_taint_is_said() -> None:
    body = (
        "nodeRegistration:\n  name: w\n"
        "  criSocket: [x]\n"
        "  taints: [{key: a b, effect: Never}, {value: x}, {key: c, value: 7, effect: NoSchedule}, x]\n"
    ) + ADDRESS
    place = "JoinConfiguration.nodeRegistration"
    assert_starts(
        problems(join(body)),
        (
            f"14:14: {place}.criSocket: must be text, not a list",
            f"15:18: {place}.taints[0].key: 'a b' is not a valid taint key",
            f"15:31: {place}.taints[0].effect: 'Never' is not a valid taint effect",
            f"15:39: {place}.taints[1].key: is missing",
            f"15:39: {place}.taints[1].effect: is missing",
            f'15:67: {place}.taints[2].value: must be text: put it in quotes, "7"',
            f"15:91: {place}.taints[3].key: is missing",
            f"15:91: {place}.taints[3].effect: is missing",
        ),
    )


def test_flags_that_are_no_list_are_the_models_to_refuse() -> None:
    body = "nodeRegistration: {name: w, criSocket: /x, kubeletExtraArgs: {v: '2'}}\n"
    assert any("kubeletExtraArgs: must be a list" in problem for problem in problems(join(body)))
