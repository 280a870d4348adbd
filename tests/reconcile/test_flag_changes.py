"""Which changes of a component's flags ask for more than a restart."""

from __future__ import annotations

import pytest

from pkigen.reconcile.flag_changes import FlagChange, defines_component, flag_change
from pkigen.state.reasons import Reason

NODE = "nodes/cp-1/etc/kubernetes"
PLACES = {
    "etcd": (f"{NODE}/manifests/etcd.yaml", f"{NODE}/flags/etcd.env"),
    "kube-apiserver": (f"{NODE}/manifests/kube-apiserver.yaml", f"{NODE}/flags/kube-apiserver.env"),
}
PEER = "initial-advertise-peer-urls"
KUBELETS = "kubelet-certificate-authority"
POD = """
kind: Pod
metadata: {name: COMPONENT, namespace: kube-system}
spec:
  containers:
  - name: COMPONENT
    command: [COMPONENT, FLAGS]
"""


def started(path: str, *flags: str) -> bytes:
    """A file at a path that starts its component with flags."""
    if path.endswith(".env"):
        return f'ARGUMENTS="{" ".join(flags)}"\n'.encode()
    component = path.rpartition("/")[2].removesuffix(".yaml")
    return POD.replace("COMPONENT", component).replace("FLAGS", ", ".join(flags)).encode()


def change(path: str, old: tuple[str, ...], new: tuple[str, ...]) -> FlagChange | None:
    other = "--v=2"
    return flag_change(path, started(path, other, *old), started(path, *new, other))


@pytest.mark.parametrize("path", PLACES["etcd"])
def test_a_member_that_moves_has_to_be_told_to_its_peers(path: str) -> None:
    here, there = f"--{PEER}=https://10.0.0.11:2380", f"--{PEER}=https://10.0.0.12:2380"
    found = change(path, (here,), (there,))
    detail = (
        f"{path}: the peer URLs of the etcd member change "
        "from https://10.0.0.11:2380 to https://10.0.0.12:2380"
    )
    assert found == FlagChange(reason=Reason.MEMBER_MOVES, detail=detail)
    assert change(path, (there, here), (here, there)) == found, "the last one counts"
    assert change(path, (here,), (here,)) is None
    assert change(path, (), (there,)) is None, "a new member has no address that its peers know"
    assert change(path, (here,), ()) is None, "etcd keeps the address that the members know"


@pytest.mark.parametrize("path", PLACES["kube-apiserver"])
def test_an_api_server_that_begins_to_verify_kubelets_needs_their_certificates_first(path: str) -> None:
    one, other = f"--{KUBELETS}=/etc/kubernetes/pki/ca.crt", f"--{KUBELETS}=/etc/ca.crt"
    detail = f"{path}: the API server begins to verify kubelets (--{KUBELETS})"
    assert change(path, (), (one,)) == FlagChange(reason=Reason.VERIFIES_KUBELETS, detail=detail)
    assert change(path, (one,), (other,)) is None, "it verified them before"
    assert change(path, (one,), ()) is None
    assert change(path, (), ()) is None


@pytest.mark.parametrize("component", PLACES)
def test_only_the_component_of_a_flag_is_asked(component: str) -> None:
    (other,) = PLACES.keys() - {component}
    flag = PEER if other == "etcd" else KUBELETS
    for path in PLACES[component]:
        assert change(path, (f"--{flag}=a",), (f"--{flag}=b",)) is None
        assert change(path, (), (f"--{flag}=b",)) is None


@pytest.mark.parametrize("path", [path for paths in PLACES.values() for path in paths])
def test_what_starts_a_component_stands_on_a_node(path: str) -> None:
    assert defines_component(path)
    assert not defines_component(path.removeprefix("nodes/"))
    assert not defines_component(path.replace("kubernetes", "elsewhere"))


def test_other_files_and_what_cannot_be_read_ask_for_nothing() -> None:
    moved = f"--{PEER}=a", f"--{PEER}=b"
    elsewhere = f"{NODE}/manifests/kube-scheduler.yaml"
    assert flag_change(elsewhere, *(started(PLACES["etcd"][0], flag) for flag in moved)) is None
    for path in PLACES["etcd"]:
        assert flag_change(path, b"\xff: [", started(path, moved[1])) is None
