"""Members that come to a running etcd cluster, or leave it: their flags, and what etcd must be asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.inventory import EtcdMembership
from tests.cli.program import HOME, InProcess
from tests.cli.shell import assert_sound

if TYPE_CHECKING:
    from pathlib import Path

ONE = HOME.replace("  users:", "  controlPlaneEndpoint: api.example.com:6443\n  users:")


def spec_of(*numbers: int, runtime: str = "static-pods") -> str:
    content = yaml.safe_load(ONE)
    content["spec"]["runtime"] = runtime
    content["spec"]["nodes"] = [
        {"name": f"cp-{number}", "roles": ["control-plane"], "addresses": [f"10.0.0.{10 + number}"]}
        for number in numbers
    ]
    return yaml.safe_dump(content)


@pytest.fixture
def grow(pkigen: InProcess, tmp_path: Path) -> Any:
    """Apply a spec with these control-plane nodes; gives what `apply -o json` says."""

    def apply(*numbers: int, runtime: str = "static-pods") -> Any:
        spec, root = tmp_path / "home.yaml", tmp_path / "home"
        spec.write_text(spec_of(*numbers, runtime=runtime))
        first = not root.exists()
        command = ("init",) if first else ("apply", "--yes", "--force")
        result = pkigen(*command, spec, "-C", root, "-o", "json")
        assert result.code == 0, result.err
        assert pkigen("plan", spec, "-C", root, "--exit-code").code == 0
        assert pkigen("verify", "-C", root).code == 0
        return result.json

    return apply


def renumbered(*addresses: str, runtime: str = "static-pods") -> str:
    """kubernetes/kubernetes#88648: the control planes move to other addresses."""
    content = yaml.safe_load(ONE)
    content["spec"]["runtime"] = runtime
    content["spec"]["nodes"] = [
        {"name": f"cp{number}", "roles": ["control-plane"], "addresses": [address]}
        for number, address in enumerate(addresses, start=1)
    ]
    return yaml.safe_dump(content)


def steps_of_etcd(content: Any) -> list[Any]:
    return [step for step in content["restarts"] if step["component"] == "etcd"]


@pytest.mark.parametrize("runtime", ["static-pods", "systemd"])
def test_members_that_move_do_so_in_turn(pkigen: InProcess, tmp_path: Path, runtime: str) -> None:
    spec, root, book = tmp_path / "home.yaml", tmp_path / "home", tmp_path / "book"
    spec.write_text(renumbered("10.20.0.11", "10.20.0.12", "10.20.0.13", runtime=runtime))
    assert pkigen("init", spec, "-C", root).code == 0
    spec.write_text(renumbered("10.20.0.91", "10.20.0.12", "10.20.0.93", runtime=runtime))
    done = pkigen("apply", spec, "-C", root, "--yes", "--force", "--runbook", book, "-o", "json")
    assert done.code == 0, done
    own = "recreated by the kubelet" if runtime == "static-pods" else "restart"
    shown = [(step["node"], step["effect"], step["member"]) for step in steps_of_etcd(done.json)]
    assert shown == [
        ("cp1", "updates a member", "cp1"),
        ("cp1", own, None),
        ("cp2", own, None),
        ("cp3", "updates a member", "cp3"),
        ("cp3", own, None),
    ]
    update, restart = steps_of_etcd(done.json)[:2]
    (command,) = update["commands"]
    # Asked where it runs, before its files come: by an address that it keeps.
    assert "--endpoints=https://127.0.0.1:2379 " in command
    assert command.endswith(" --peer-urls=https://10.20.0.91:2380")
    assert restart["copiesInTurn"]
    assert restart["commands"][0].startswith("grep -q -F -e https://10.20.0.91:2380 /etc/kubernetes/")
    text = (book / "restart.txt").read_text()
    assert "copy no etcd member's files before the step that says so" in text
    assert "give cp1 its new address and copy its files there now, and no other member's before it" in text
    assert_sound(book / "restart.sh")
    again = pkigen("show", "-C", root, "-o", "json")
    assert [(step["node"], step["effect"], step["member"]) for step in steps_of_etcd(again.json)] == shown


def test_flags_of_members_change_in_turn(pkigen: InProcess, tmp_path: Path) -> None:
    """Nobody moves; yet three manifests that arrive at once leave no quorum."""
    spec, root = tmp_path / "home.yaml", tmp_path / "home"
    text = renumbered("10.20.0.11", "10.20.0.12", "10.20.0.13")
    spec.write_text(text)
    assert pkigen("init", spec, "-C", root).code == 0
    content = yaml.safe_load(text)
    content["spec"]["etcd"] = {"extraArgs": [{"name": "quota-backend-bytes", "value": "8589934592"}]}
    spec.write_text(yaml.safe_dump(content))
    steps = steps_of_etcd(pkigen("plan", spec, "-C", root, "-o", "json").json)
    assert [(step["node"], step["effect"], step["copiesInTurn"]) for step in steps] == [
        (node, "recreated by the kubelet", True) for node in ("cp1", "cp2", "cp3")
    ]
    # The old one is sure to be gone before it is asked whether the member is well.
    assert steps[0]["commands"] == [
        "mv /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/etcd.yaml.away",
        "while crictl ps --quiet --name '^etcd$' | grep -q .; do sleep 1; done",
        "mv /etc/kubernetes/etcd.yaml.away /etc/kubernetes/manifests/etcd.yaml",
    ]


def test_a_peer_url_of_the_operators_own(pkigen: InProcess, tmp_path: Path) -> None:
    """No address of a node changes, but the flag by which peers know the member does."""
    spec, root = tmp_path / "home.yaml", tmp_path / "home"
    content = yaml.safe_load(renumbered("10.20.0.11"))
    spec.write_text(yaml.safe_dump(content))
    assert pkigen("init", spec, "-C", root).code == 0
    url = "https://10.20.0.11:12380"
    names = ("initial-advertise-peer-urls", "listen-peer-urls")
    content["spec"]["etcd"] = {"extraArgs": [{"name": name, "value": url} for name in names]}
    spec.write_text(yaml.safe_dump(content))
    planned = pkigen("plan", spec, "-C", root, "-o", "json")
    update, _ = steps_of_etcd(planned.json)
    assert update["commands"][0].endswith(f" --peer-urls={url}")
    assert "member-moves" in {action["reason"] for action in planned.json["actions"]}


def flags(tmp_path: Path, node: str) -> dict[str, str]:
    manifest = tmp_path / f"home/nodes/{node}/etc/kubernetes/manifests/etcd.yaml"
    command = yaml.safe_load(manifest.read_text())["spec"]["containers"][0]["command"]
    return dict(flag.removeprefix("--").split("=", 1) for flag in command[1:])


def members(tmp_path: Path, node: str) -> list[str]:
    return [each.partition("=")[0] for each in flags(tmp_path, node)["initial-cluster"].split(",")]


def test_founders_start_together(grow: Any, tmp_path: Path) -> None:
    grow(1, 2, 3)
    for node in ("cp-1", "cp-2", "cp-3"):
        assert members(tmp_path, node) == ["cp-1", "cp-2", "cp-3"]
        assert "initial-cluster-state" not in flags(tmp_path, node)
    lock = json.loads((tmp_path / "home/pki.lock").read_text())
    assert lock["etcd"] == {"founders": ["cp-1", "cp-2", "cp-3"], "joined": []}


def test_who_comes_later_joins(grow: Any, tmp_path: Path) -> None:
    grow(2)
    before = (tmp_path / "home/nodes/cp-2/etc/kubernetes/manifests/etcd.yaml").read_bytes()
    done = grow(1, 2, 3)
    # The member that runs is left alone; each new one knows those who are there when its turn comes.
    assert (tmp_path / "home/nodes/cp-2/etc/kubernetes/manifests/etcd.yaml").read_bytes() == before
    assert members(tmp_path, "cp-1") == ["cp-1", "cp-2"]
    assert members(tmp_path, "cp-3") == ["cp-1", "cp-2", "cp-3"]
    for node in ("cp-1", "cp-3"):
        assert flags(tmp_path, node)["initial-cluster-state"] == "existing"
    lock = json.loads((tmp_path / "home/pki.lock").read_text())
    assert lock["etcd"] == {"founders": ["cp-2"], "joined": ["cp-1", "cp-3"]}
    etcd = [
        (step["node"], step["effect"], step["member"])
        for step in done["restarts"]
        if step["component"] == "etcd"
    ]
    assert etcd == [
        ("cp-2", "adds a member", "cp-1"),
        ("cp-1", "starts for the first time", None),
        ("cp-2", "adds a member", "cp-3"),
        ("cp-3", "starts for the first time", None),
    ]
    (command,) = done["restarts"][0]["commands"]
    assert command.endswith("member add cp-1 --peer-urls=https://10.0.0.11:2380")
    assert "--endpoints=https://10.0.0.12:2379 " in command


def test_nobody_waits_for_a_quorum_that_the_next_step_brings(grow: Any) -> None:
    """A single member that has added a second one is healthy once that has started, and not before."""
    grow(1)
    steps = [step for step in grow(1, 2)["steps"] if step["kind"] in {"member", "component"}]
    added, started, *_ = steps
    assert (added["kind"], added["node"], added["health"]) == ("member", "cp-1", None)
    assert (started["node"], started["component"]) == ("cp-2", "etcd")
    assert started["health"]["url"] == "http://127.0.0.1:2381/health"
    # One that goes leaves those behind who are enough by themselves.
    removed = next(step for step in grow(2)["steps"] if step["kind"] == "member")
    assert removed["health"] is not None


def test_who_leaves_is_removed_first(grow: Any, tmp_path: Path) -> None:
    grow(1, 2, 3, runtime="systemd")
    done = grow(2, 3, runtime="systemd")
    first = done["restarts"][0]
    assert (first["node"], first["effect"], first["member"]) == ("cp-2", "removes a member", "cp-1")
    (command,) = first["commands"]
    assert command.startswith("etcdctl --endpoints=https://10.0.0.12:2379 ")
    lock = json.loads((tmp_path / "home/pki.lock").read_text())
    assert lock["etcd"] == {"founders": ["cp-2", "cp-3"], "joined": []}
    # It comes back as somebody new.
    done = grow(1, 2, 3, runtime="systemd")
    lock = json.loads((tmp_path / "home/pki.lock").read_text())
    assert lock["etcd"] == {"founders": ["cp-2", "cp-3"], "joined": ["cp-1"]}
    assert done["restarts"][0]["effect"] == "adds a member"


def test_a_cluster_of_nobody_left_begins_anew(grow: Any, tmp_path: Path) -> None:
    grow(1)
    grow(2, 3)
    lock = json.loads((tmp_path / "home/pki.lock").read_text())
    assert lock["etcd"] == {"founders": ["cp-2", "cp-3"], "joined": []}


@pytest.mark.parametrize("runtime", ["static-pods", "systemd"])
def test_the_script_is_sound(grow: Any, pkigen: InProcess, tmp_path: Path, runtime: str) -> None:
    grow(1, 2, runtime=runtime)
    spec, root, book = tmp_path / "home.yaml", tmp_path / "home", tmp_path / "book"
    spec.write_text(spec_of(2, 3, runtime=runtime))
    assert pkigen("plan", spec, "-C", root, "--runbook", book).code == 0
    script = book / "restart.sh"
    assert_sound(script)
    text = (book / "restart.txt").read_text()
    assert "  1. cp-2: etcd must remove the member cp-1 before it is switched off\n" in text
    assert "cp-2: etcd must add the member cp-3 before it starts for the first time\n" in text
    assert ("crictl exec" in script.read_text()) is (runtime == "static-pods")


def test_a_membership_is_stable() -> None:
    grown = EtcdMembership().grown(["b", "a"]).grown(["a", "b", "d", "c"])
    assert grown == EtcdMembership(founders=("a", "b"), joined=("c", "d"))
    assert grown.grown(["d", "c", "b", "a"]) == grown
    assert grown.known_to("a") == ("a", "b")
    assert grown.known_to("c") == ("a", "b", "c")
    assert grown.grown(["c", "d"]) == EtcdMembership(joined=("c", "d"))
