"""Warnings about files that a static Pod's container does not see."""

from __future__ import annotations

import re

import pytest

from pkigen.spec.component_flags import KnownProgram, known_flags
from pkigen.spec.mounted_files import NAMED_FILES
from pkigen.spec.values import NEWEST_RELEASED
from tests.spec.sources import assert_starts, old_cluster, spec, warnings

OLDEST = 29


def flag(component: str, name: str, value: str, more: str = "") -> str:
    return f"  {component}:\n    extraArgs: [{{name: {name}, value: '{value}'}}]\n{more}"


def volume(host: str, mount: str, more: str = "", name: str = "own") -> str:
    return f"    extraVolumes: [{{name: {name}, hostPath: {host}, mountPath: {mount}{more}}}]\n"


API_SERVER = (
    "in no volume of kube-apiserver's Pod, which sees it only if its image has it: add it, or its directory"
)
LOST = (
    "in no volume of kube-apiserver's Pod, and lost with the container: add its directory to "
    "apiServer.extraVolumes"
)
UNSEEN = {
    "policy": (
        flag("apiServer", "audit-policy-file", "/etc/audit/policy.yaml"),
        f"'/etc/audit/policy.yaml' is {API_SERVER}, to apiServer.extraVolumes (hostPath and mountPath)",
    ),
    "beside the certificates": (
        flag("apiServer", "tracing-config-file", "/etc/kubernetes/pki-own/tracing.yaml"),
        f"'/etc/kubernetes/pki-own/tracing.yaml' is {API_SERVER}",
    ),
    "out of the certificates": (
        flag("apiServer", "tracing-config-file", "/etc/kubernetes/pki/../tracing.yaml"),
        f"'/etc/kubernetes/pki/../tracing.yaml' is {API_SERVER}",
    ),
    "relative": (flag("apiServer", "peer-ca-file", "etc/t.csv"), f"'etc/t.csv' is {API_SERVER}"),
    "another volume": (
        flag(
            "apiServer",
            "egress-selector-config-file",
            "/etc/egress.yaml",
            volume("/etc/egress.yaml", "/egress.yaml"),
        ),
        f"'/etc/egress.yaml' is {API_SERVER}",
    ),
    "certificates replaced": (
        flag(
            "apiServer",
            "kubelet-certificate-authority",
            "/etc/ssl/certs/ca.pem",
            volume("/a", "/b", name="ca-certs"),
        ),
        f"'/etc/ssl/certs/ca.pem' is {API_SERVER}",
    ),
    "second of a pair": (
        flag("apiServer", "tls-sni-cert-key", "/etc/kubernetes/pki/sni.crt,/srv/sni.key:api.internal"),
        f"'/srv/sni.key' is {API_SERVER}",
    ),
    "audit log": (
        flag("apiServer", "audit-log-path", "/var/log/kubernetes/audit.log"),
        f"'/var/log/kubernetes/audit.log' is {LOST}",
    ),
    "audit log among certificates": (
        flag("apiServer", "audit-log-path", "/etc/kubernetes/pki/audit.log"),
        (
            "'/etc/kubernetes/pki/audit.log' is in /etc/kubernetes/pki, which kube-apiserver's Pod mounts "
            "read-only: choose another directory, and add its directory to apiServer.extraVolumes"
        ),
    ),
    "audit log where it is read-only": (
        flag(
            "apiServer",
            "audit-log-path",
            "/var/log/audit.log",
            volume("/var/log", "/var/log/", ", readOnly: true"),
        ),
        "'/var/log/audit.log' is in /var/log, which kube-apiserver's Pod mounts read-only: remove its",
    ),
    "controller manager": (
        flag("controllerManager", "root-ca-file", "/srv/ca.crt"),
        (
            "'/srv/ca.crt' is in no volume of kube-controller-manager's Pod, which sees it only if its "
            "image has it: add it, or its directory, to controllerManager.extraVolumes"
        ),
    ),
    "scheduler": (
        flag("scheduler", "config", "/etc/kubernetes/scheduler.yaml"),
        (
            "'/etc/kubernetes/scheduler.yaml' is in no volume of kube-scheduler's Pod, which sees it only if "
            "its image has it: add it, or its directory, to scheduler.extraVolumes"
        ),
    ),
    "scheduler, which has no certificates": (
        flag("scheduler", "client-ca-file", "/etc/kubernetes/pki/ca.crt"),
        "'/etc/kubernetes/pki/ca.crt' is in no volume of kube-scheduler's Pod",
    ),
    "etcd": (
        flag("etcd", "peer-crl-file", "/etc/kubernetes/pki/peer.crl"),
        (
            "'/etc/kubernetes/pki/peer.crl' is in no volume of etcd's Pod, which sees it only if its image "
            "has it: put it in /var/lib/etcd or /etc/kubernetes/pki/etcd"
        ),
    ),
    "etcd's keys of tokens": (
        flag(
            "etcd",
            "auth-token",
            "jwt,pub-key=/var/lib/etcd/t.pub,priv-key=/srv/t.key,sign-method=RS512",
        ),
        "'/srv/t.key' is in no volume of etcd's Pod",
    ),
    "etcd's log": (
        flag("etcd", "log-outputs", "stderr,/var/log/etcd.log"),
        "'/var/log/etcd.log' is in no volume of etcd's Pod, and lost with the container: put it in /var",
    ),
}
SEEN = {
    "below the certificates": flag("apiServer", "audit-policy-file", "/etc/kubernetes/pki/audit/policy.yaml"),
    "the host's CAs": flag("apiServer", "kubelet-certificate-authority", "/etc/ssl/certs/ca.pem"),
    "file": flag("apiServer", "audit-policy-file", "/a/p.yaml", volume("/srv/p.yaml", "/a/p.yaml")),
    "directory": flag(
        "apiServer", "audit-policy-file", "/a/b/p.yaml", volume("/srv", "/a/", ", readOnly: true")
    ),
    "root": flag("apiServer", "tracing-config-file", "//etc/kubernetes/pki//tracing.yaml"),
    "log": flag("apiServer", "audit-log-path", "/var/log/k/audit.log", volume("/var/log/k", "/var/log/k")),
    "log in the certificates' volume": flag(
        "apiServer",
        "audit-log-path",
        "/etc/kubernetes/pki/log/audit.log",
        volume("/var/log/k", "/etc/kubernetes/pki/log"),
    ),
    "standard output": flag("apiServer", "audit-log-path", "-"),
    "device": flag("apiServer", "audit-log-path", "/dev/stdout"),
    "no file": flag("apiServer", "audit-policy-file", ""),
    "variable": flag("apiServer", "audit-policy-file", "$(HERE)/policy.yaml"),
    "replaced by a later one": "  apiServer:\n    extraArgs: [{name: audit-policy-file, value: /a}, "
    "{name: audit-policy-file, value: /etc/kubernetes/pki/p}]\n",
    "no path": flag("apiServer", "runtime-config", "api/beta=true"),
    "controller manager's kubeconfig": flag(
        "controllerManager", "kubeconfig", "/etc/kubernetes/controller-manager.conf"
    ),
    "scheduler's kubeconfig": flag(
        "scheduler", "authentication-kubeconfig", "/etc/kubernetes/scheduler.conf"
    ),
    "etcd's certificates": flag("etcd", "client-crl-file", "/etc/kubernetes/pki/etcd/client.crl"),
    "etcd's data": flag("etcd", "log-outputs", "file:///var/lib/etcd/etcd.log"),
    "etcd's simple tokens": flag("etcd", "auth-token", "simple"),
    "kubelet, which is no Pod": flag("kubelet", "config-dir", "/etc/kubelet.d"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_file_that_no_volume_has_is_told_at_its_flag(name: str) -> None:
    body, expected = UNSEEN[name]
    [found] = [each for each in warnings(spec(body)) if "Pod" in each]
    component = body.split(":")[0].strip()
    column = body.splitlines()[1].index("value: ") + len("value: ") + 1
    assert found.startswith(f"8:{column}: spec.{component}.extraArgs[0].value: {expected}"), found


@pytest.mark.parametrize("name", SEEN)
def test_a_file_that_the_container_sees_is_not_told(name: str) -> None:
    assert not [each for each in warnings(spec(SEEN[name])) if "Pod" in each]


@pytest.mark.parametrize("name", UNSEEN)
def test_units_and_foreign_manifests_see_what_they_see(name: str) -> None:
    body = UNSEEN[name][0]
    for more in ("  runtime: systemd\n", "  manage: [kubelet]\n"):
        assert not [each for each in warnings(spec(body + more)) if "'s Pod" in each]


def test_each_of_several_files_of_a_growing_flag_is_told() -> None:
    body = (
        "  apiServer:\n    extraArgs:\n    - {name: service-account-key-file, value: /srv/a.pub}\n"
        "    - {name: service-account-key-file, value: /etc/kubernetes/pki/sa.pub}\n"
        "    - {name: service-account-key-file, value: /srv/b.pub}\n"
    )
    found = [each.split(" is ")[0] for each in warnings(spec(body)) if "Pod" in each]
    assert found == [
        "9:47: spec.apiServer.extraArgs[0].value: '/srv/a.pub'",
        "11:47: spec.apiServer.extraArgs[2].value: '/srv/b.pub'",
    ]


EXTERNAL = "  etcd: {{external: {{endpoints: ['https://192.0.2.9:2379'], caFile: {0}/ca.crt}}}}\n"


@pytest.mark.parametrize("directory", ["/etc/kubernetes/pki-etcd", "/etc/pki/tls/certs"])
def test_a_file_of_an_external_etcd_that_passes_for_mounted_is_told(directory: str) -> None:
    [found] = warnings(spec(EXTERNAL.format(directory)))
    assert f"spec.etcd.external.caFile: '{directory}/ca.crt' is {API_SERVER}" in found


@pytest.mark.parametrize("directory", ["/etc/etcd", "/etc/kubernetes/pki/etcd", "/etc/ssl/certs"])
def test_a_file_of_an_external_etcd_that_is_mounted_is_not_told(directory: str) -> None:
    assert not warnings(spec(EXTERNAL.format(directory)))


def test_a_flag_counts_more_than_the_file_of_an_external_etcd() -> None:
    body = EXTERNAL.format("/etc/pki/tls/certs") + flag(
        "apiServer", "etcd-cafile", "/etc/kubernetes/pki/e.crt"
    )
    assert not warnings(spec(body))


def test_kubeadm_configurations_are_told_likewise() -> None:
    source = old_cluster("apiServer:\n  extraArgs: {audit-policy-file: /etc/audit/policy.yaml}\n")
    assert_starts(
        [each for each in warnings(source) if "Pod" in each],
        (
            (
                "10:34: ClusterConfiguration.apiServer.extraArgs.audit-policy-file: "
                f"'/etc/audit/policy.yaml' is {API_SERVER}"
            ),
        ),
    )


# What the names of flags end in that name files, and some others.
_LIKE_FILES = re.compile(
    "(file|(?<!host)path|filepath-(hostpath|nfs)|-dir|-to|config|certificate|cert|key|manifest|socket|crl"
    "|outputs|ca|token|endpoint)$"
)
OTHERS = {
    "cert-dir",  # the API server does without it
    "data-dir",
    "discovery-token",
    "initial-cluster-token",
    "runtime-config",
    "service-account-signing-endpoint",  # refused
    "wal-dir",
    "write-config-to",
}


@pytest.mark.parametrize("program", NAMED_FILES)
def test_every_flag_that_names_a_file_is_known(program: KnownProgram) -> None:
    known = frozenset().union(
        *(known_flags(program).at(minor) for minor in range(OLDEST, NEWEST_RELEASED + 2))
    )
    assert NAMED_FILES[program].keys() <= known
    likely = {name for name in known if _LIKE_FILES.search(name)}
    assert likely - NAMED_FILES[program].keys() <= OTHERS
