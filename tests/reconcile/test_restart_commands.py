"""The commands that carry out a step on a node, word for word: an operator runs them as they are."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from pkigen.desired.readers import ComponentName
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.restart_commands import health_check, health_url, quoted, restart_commands
from pkigen.reconcile.restart_map import Restart
from tests.samples import CP1, CP2, W1, node, spec

PODS, UNITS = spec(CP1, CP2, W1), spec(CP1, CP2, W1, runtime="systemd")
ETCD, API_SERVER = ComponentName.ETCD, ComponentName.API_SERVER
SCHEDULER, MANAGER = ComponentName.SCHEDULER, ComponentName.CONTROLLER_MANAGER
KUBELET, KUBE_PROXY = ComponentName.KUBELET, ComponentName.KUBE_PROXY
RELOAD = "systemctl daemon-reload"
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"


def gone(name: str) -> str:
    return f"while crictl ps --quiet --name '^{name}$' | grep -q .; do sleep 1; done"


def recreated(name: str) -> tuple[str, ...]:
    return (
        f"mv /etc/kubernetes/manifests/{name}.yaml /etc/kubernetes/{name}.yaml.away",
        gone(name),
        f"mv /etc/kubernetes/{name}.yaml.away /etc/kubernetes/manifests/{name}.yaml",
    )


def step(component: ComponentName = ETCD, effect: Effect = Effect.RESTART, **more: Any) -> Restart:
    return Restart(**{"node": "cp-1", "component": component, "effect": effect, "files": (), **more})


# -- starting and stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "pods", "units"),
    [
        (ETCD, recreated("etcd"), (RELOAD, "systemctl restart etcd")),
        (API_SERVER, recreated("kube-apiserver"), (RELOAD, "systemctl restart kube-apiserver")),
        (KUBELET, (RELOAD, "systemctl restart kubelet"), (RELOAD, "systemctl restart kubelet")),
        (KUBE_PROXY, (RELOAD, "systemctl restart kube-proxy"), (RELOAD, "systemctl restart kube-proxy")),
    ],
)
def test_what_does_not_take_its_files_up_is_restarted(
    component: ComponentName, pods: tuple[str, ...], units: tuple[str, ...]
) -> None:
    assert restart_commands(step(component), PODS) == pods
    assert restart_commands(step(component), UNITS) == units


@pytest.mark.parametrize(
    ("component", "pods", "units"),
    [
        (ETCD, ("systemctl enable --now kubelet",), (RELOAD, "systemctl enable --now etcd")),
        (KUBELET, ("systemctl enable --now kubelet",), (RELOAD, "systemctl enable --now kubelet")),
        (KUBE_PROXY, *[(RELOAD, "systemctl enable --now kube-proxy")] * 2),
    ],
)
def test_what_has_not_run_yet_is_started(
    component: ComponentName, pods: tuple[str, ...], units: tuple[str, ...]
) -> None:
    assert restart_commands(step(component, Effect.STARTS), PODS) == pods
    assert restart_commands(step(component, Effect.STARTS), UNITS) == units


@pytest.mark.parametrize("effect", [each for each in Effect if each not in {Effect.STARTS, Effect.RESTART}])
def test_nothing_has_to_be_done_for_what_takes_its_files_up_by_itself(effect: Effect) -> None:
    assert restart_commands(step(SCHEDULER, effect), PODS) == ()


def test_what_ran_a_component_until_now_goes_first() -> None:
    units = step(removes=("/etc/systemd/system/etcd.service", "/a b.service"))
    assert restart_commands(units, PODS)[:4] == (
        *("systemctl disable --now etcd", "rm -f /etc/systemd/system/etcd.service"),
        *("systemctl disable --now etcd", "rm -f '/a b.service'"),
    )
    # Its unit is new then, and nothing starts it at the next boot yet.
    assert restart_commands(step(removes=(MANIFEST,)), UNITS) == (
        *(f"rm -f {MANIFEST}", gone("etcd"), RELOAD, "systemctl enable etcd", "systemctl restart etcd"),
    )
    assert restart_commands(step(removes=("/a b.yaml",)), PODS)[:2] == ("rm -f '/a b.yaml'", gone("etcd"))


def test_what_it_would_prefer_to_what_is_new_goes_before_it_starts() -> None:
    forgetting = step(KUBELET, forgets=("/var/lib/kubelet/pki/a b.pem",))
    assert restart_commands(forgetting, PODS) == (
        *("rm -f '/var/lib/kubelet/pki/a b.pem'", RELOAD, "systemctl restart kubelet"),
    )


# -- members of etcd that move --------------------------------------------------------------------------


def test_a_member_that_moves_starts_with_its_new_files_or_not_at_all() -> None:
    moving = step(effect=Effect.RECREATED, copies=True, moves=True)
    check = "grep -q -F -e https://10.0.0.11:2380 {}  # the files must be there by now"
    assert restart_commands(moving, PODS) == (check.format(MANIFEST), *recreated("etcd"))
    assert restart_commands(moving, UNITS) == (
        *(check.format("/etc/kubernetes/flags/etcd.env"), RELOAD, "systemctl restart etcd"),
    )


def test_one_whose_files_are_copied_before_it_is_restarted_and_not_moved() -> None:
    copied = step(effect=Effect.STARTS, copies=True, removes=(MANIFEST,))
    assert restart_commands(copied, UNITS) == (
        *(f"rm -f {MANIFEST}", gone("etcd"), RELOAD, "systemctl enable etcd", "systemctl restart etcd"),
    )


# -- etcd's members -------------------------------------------------------------------------------------

FILES = "/etc/kubernetes/pki/etcd"
TLS = f"--cacert={FILES}/ca.crt --cert={FILES}/healthcheck-client.crt --key={FILES}/healthcheck-client.key"


def etcdctl(endpoint: str) -> str:
    return f"etcdctl --endpoints={endpoint} {TLS}"


def member(effect: Effect, name: str = "cp-2") -> Restart:
    return step(effect=effect, member=name)


def listed(program: str, name: str) -> str:
    return f"\"$({program} member list | awk -F', ' -v name={name} '$3 == name {{print $1}}')\""


def test_a_member_is_added_removed_and_told_of_its_address() -> None:
    asked, own = etcdctl("https://10.0.0.11:2379"), etcdctl("https://127.0.0.1:2379")
    assert restart_commands(member(Effect.ADMITS), UNITS) == (
        f"{asked} member add cp-2 --peer-urls=https://10.0.0.12:2380",
    )
    assert restart_commands(member(Effect.EXPELS, "cp-9"), UNITS) == (
        f"{asked} member remove {listed(asked, 'cp-9')}",
    )
    # Asked on its own node, by an address that stays.
    assert restart_commands(member(Effect.MOVES, "cp-1"), UNITS) == (
        f"{own} member update {listed(own, 'cp-1')} --peer-urls=https://10.0.0.11:2380",
    )


def test_where_etcd_is_a_pod_its_own_program_is_run() -> None:
    program = f"crictl exec \"$(crictl ps --quiet --name '^etcd$')\" {etcdctl('https://10.0.0.11:2379')}"
    assert restart_commands(member(Effect.ADMITS), PODS) == (
        f"{program} member add cp-2 --peer-urls=https://10.0.0.12:2380",
    )


@pytest.mark.parametrize(
    ("value", "port"),
    [
        ("https://0.0.0.0:12379", 12379),
        ("http://127.0.0.1:2000,https://0.0.0.0:3000,https://0.0.0.0:4000", 3000),
        ("http://0.0.0.0:3000,https://0.0.0.0:4000", 4000),
        ("http://0.0.0.0:12379", 2379),
    ],
)
def test_it_is_asked_where_it_listens_with_tls(value: str, port: int) -> None:
    arguments = [{"name": "listen-client-urls", "value": value}]
    cluster = spec(CP1, CP2, runtime="systemd", etcd={"extraArgs": arguments})
    (command,) = restart_commands(member(Effect.ADMITS), cluster)
    assert f"--endpoints=https://10.0.0.11:{port} " in command


def test_members_are_known_by_urls_of_ones_own() -> None:
    arguments = [{"name": "initial-advertise-peer-urls", "value": "https://a.example.com:2380"}]
    cluster = spec(CP1, CP2, runtime="systemd", etcd={"extraArgs": arguments})
    (command,) = restart_commands(member(Effect.ADMITS), cluster)
    assert command.endswith(" --peer-urls=https://a.example.com:2380")


def test_addresses_of_ipv6_stand_in_brackets_and_in_quotes() -> None:
    cluster = spec(
        node("cp-1", "fd00::11", "control-plane"),
        node("cp-2", "fd00::12", "control-plane"),
        runtime="systemd",
        networking={"serviceSubnets": ["fd00:1::/112"]},
    )
    (command,) = restart_commands(member(Effect.ADMITS), cluster)
    assert "--endpoints='https://[fd00::11]:2379' " in command
    assert command.endswith(" --peer-urls='https://[fd00::12]:2380'")
    assert health_check(step(), cluster) == (
        "until curl --fail --silent --insecure 'http://[::1]:2381/health' >/dev/null; do sleep 1; done"
    )


# -- whether it is back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "url"),
    [
        (API_SERVER, "https://10.0.0.11:6443/readyz"),
        (ETCD, "http://127.0.0.1:2381/health"),
        (MANAGER, "https://127.0.0.1:10257/healthz"),
        (SCHEDULER, "https://127.0.0.1:10259/healthz"),
        (KUBE_PROXY, "http://127.0.0.1:10256/healthz"),
        (KUBELET, "http://127.0.0.1:10248/healthz"),
    ],
)
def test_where_a_component_answers_on_its_own_node(component: ComponentName, url: str) -> None:
    assert health_url(step(component), PODS) == url
    probe = f"curl --fail --silent --insecure '{url}'"
    if component is API_SERVER:
        probe = "kubectl --kubeconfig /etc/kubernetes/controller-manager.conf get --raw /readyz"
    assert health_check(step(component), PODS) == f"until {probe} >/dev/null; do sleep 1; done"


def test_each_node_is_asked_by_itself() -> None:
    assert health_url(step(API_SERVER, node="cp-2"), PODS) == "https://10.0.0.12:6443/readyz"


@pytest.mark.parametrize("text", ["a", "", "it's", "'", "a b", "$(a)"])
def test_a_word_in_quotes_is_one_word(text: str) -> None:
    assert quoted(text).startswith("'")
    assert shlex.split(quoted(text)) == [text]
