"""Which documents and fields are taken over, and what is said of the others."""

from __future__ import annotations

import pytest

from pkigen.desired.certificates import CERTIFICATES
from pkigen.spec.loader import load_text
from tests.spec.sources import (
    assert_starts,
    case,
    cluster,
    join,
    old_cluster,
    problems,
    swapped_kubeadm,
    warnings,
)

REFUSED = [
    case(
        "no-kind",
        "apiVersion: kubeadm.k8s.io/v1beta4\n",
        "1:1: every document of a kubeadm configuration needs apiVersion and kind",
    ),
    case(
        "no-text-as-version",
        cluster("").replace("kubeadm.k8s.io/v1beta4", "[kubeadm.k8s.io/v1beta4]", 1),
        "1:13: apiVersion: must be text such as kubeadm.k8s.io/v1beta4, not a list",
        "6:1: InitConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host",
        "6:1: InitConfiguration.localAPIEndpoint.advertiseAddress: is missing, and kubeadm would ask",
    ),
    case(
        "no-text-as-kind",
        swapped_kubeadm("kind: InitConfiguration", "kind: [InitConfiguration]"),
        "2:7: kind: must be text such as ClusterConfiguration, not a list",
        "6:1: InitConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host",
        "6:1: InitConfiguration.localAPIEndpoint.advertiseAddress: is missing, and kubeadm would ask",
    ),
    case(
        "old-version",
        (
            "apiVersion: kubeadm.k8s.io/v1beta2\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n"
        ),
        "1:13: apiVersion: must be kubeadm.k8s.io/v1beta4 or v1beta3, not 'kubeadm.k8s.io/v1beta2';",
        "6:13: apiVersion: must be kubeadm.k8s.io/v1beta4 or v1beta3, not 'kubeadm.k8s.io/v1beta2';",
    ),
    case(
        "unknown-kind",
        swapped_kubeadm("InitConfiguration", "InntConfiguration"),
        "2:7: kind: 'InntConfiguration' is unknown to kubeadm; did you mean InitConfiguration?",
    ),
    case(
        "foreign-kind",
        join("").replace("JoinConfiguration", "Pod"),
        "11:7: kind: 'Pod' is unknown to kubeadm",
    ),
    case(
        "join-only",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n",
        "1:1: kubeadm needs an InitConfiguration or a ClusterConfiguration in the file, and so does",
    ),
    case(
        "reset-only",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\n",
        "1:1: kubeadm needs an InitConfiguration or a ClusterConfiguration in the file, and so does",
    ),
    case(
        "twice",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n"
        ),
        "7:7: kind: InitConfiguration is given twice, first at line 1: keep one",
    ),
    case(
        "pkigen-beside",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n---\napiVersion: pkigen/v1\nkind: Cluster\n"
            "metadata: {name: t}\nspec:\n  kubernetesVersion: v1.36.2\n"
            "  nodes: [{name: a, roles: [control-plane], addresses: [192.0.2.1]}]\n"
        ),
        "10:13: apiVersion: a pkigen spec cannot be combined with a kubeadm configuration: keep one",
    ),
    case(
        "networking-list",
        cluster("networking: []\n"),
        "9:13: ClusterConfiguration.networking: must be a mapping of keys to values, not a list",
    ),
    case(
        "gates-list",
        cluster("featureGates: [a]\n"),
        "9:15: ClusterConfiguration.featureGates: must be a mapping of keys to values, not a list",
    ),
    case(
        "args",
        cluster(
            "apiServer: {extraArgs: {a: b}}\n"
            "scheduler: {extraArgs: [{name: a, value: 5, vlaue: c}, x]}\n"
            "controllerManager: []\n"
        ),
        "9:24: ClusterConfiguration.apiServer.extraArgs: must be a list of name and value (the",
        "10:42: ClusterConfiguration.scheduler.extraArgs[0].value: must be text: put it in quotes,",
        "10:56: ClusterConfiguration.scheduler.extraArgs[1]: must be a mapping of keys to values,",
        "11:20: ClusterConfiguration.controllerManager: must be a mapping of keys to values, not a",
    ),
    case(
        "args-old",
        old_cluster(
            'apiServer: {extraArgs: {v: "2", profiling: "1", event-ttl: 3}, timeoutForControlPlane: 4m}\n'
            "scheduler: {extraArgs: [x]}\n"
        ),
        '9:60: ClusterConfiguration.apiServer.extraArgs.event-ttl: must be text: put it in quotes, "3"',
        "10:24: ClusterConfiguration.scheduler.extraArgs: must be a mapping of flags to values (the",
    ),
]

WARNED = [
    case(
        "v1beta3-where-its-kubeadm-reads-it",
        old_cluster(""),
        "1:13: apiVersion: v1beta3 is deprecated: kubeadm config migrate converts it to v1beta4",
        "6:13: apiVersion: v1beta3 is deprecated: kubeadm config migrate converts it to v1beta4",
    ),
    case(
        "foreign-beside",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n---\napiVersion: v1\nkind: Secret\n"
        ),
        "10:1: apiVersion: 'v1' is not used, as with kubeadm",
    ),
    case(
        "kube-proxy",
        cluster(
            "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"
        ),
        "10:1: KubeProxyConfiguration: is not used (mode): pkigen installs no kube-proxy add-on",
        "12:7: KubeProxyConfiguration.mode: ipvs is deprecated since Kubernetes v1.35: choose nftables",
    ),
    case(
        "label", cluster("x: 1\n"), "9:1: ClusterConfiguration.x: is unknown to kubeadm and ignored, as there"
    ),
    case(
        "timeouts",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "timeouts: {controlPlaneComponentHealthCheck: 6m0s, discovery: 5m0s}\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n"
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n"
            "nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: 192.0.2.7}]}\n"
            "timeouts: {controlPlaneComponentHealthCheck: 8m0s}\n"
        ),
        "5:52: InitConfiguration.timeouts.discovery: is not used: it is about a run of kubeadm",
        "14:12: JoinConfiguration.timeouts.controlPlaneComponentHealthCheck: is not used: the Init",
    ),
    case(
        "ignored",
        cluster("dns: {disabled: true}\nproxy: {disabled: false}\nfoo: 1\nimageRepositry: x\n"),
        "9:1: ClusterConfiguration.dns: is not used: pkigen installs no DNS add-on",
        "10:1: ClusterConfiguration.proxy: is not used: pkigen installs no kube-proxy add-on",
        "11:1: ClusterConfiguration.foo: is unknown to kubeadm and ignored, as there",
        "12:1: ClusterConfiguration.imageRepositry: is unknown to kubeadm and ignored, as there; did",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


def of_release(version: str, source: str) -> str:
    assert "v1.36.2" in source
    return source.replace("v1.36.2", version)


# What the kubeadm of a release does not read, by release: each line says where, and what to do.
GONE = [
    case(
        "v1beta3",
        of_release("v1.37.0", old_cluster("")),
        "1:13: apiVersion: v1beta3 is not read by the kubeadm of v1.37: kubeadm config migrate of v1.31 to",
        "6:13: apiVersion: v1beta3 is not read by the kubeadm of v1.37: ",
    ),
    case(
        "v1beta3-later",
        of_release("v1.38.0", old_cluster("").replace("v1beta3", "v1beta4", 1)),
        "6:13: apiVersion: v1beta3 is not read by the kubeadm of v1.38: ",
    ),
    case(
        "gates",
        of_release(
            "v1.37.0",
            cluster("featureGates: {PublicKeysECDSA: true, NodeLocalCRISocket: true, Foo: false}\n"),
        ),
        "9:16: ClusterConfiguration.featureGates.PublicKeysECDSA: is unknown to the kubeadm of v1.37, which "
        "refuses it: remove it; encryptionAlgorithm is in its place",
        "9:39: ClusterConfiguration.featureGates.NodeLocalCRISocket: is unknown to the kubeadm of v1.37,",
    ),
    case(
        "gate-of-v1.35",
        cluster("featureGates: {ControlPlaneKubeletLocalMode: true}\n"),
        "9:16: ClusterConfiguration.featureGates.ControlPlaneKubeletLocalMode: is unknown to the kubeadm of "
        "v1.36, which refuses it: remove it",
    ),
]


@pytest.mark.parametrize(("source", "expected"), GONE)
def test_what_the_kubeadm_of_the_release_does_not_read(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


def test_without_a_version_nothing_is_said_of_what_it_reads() -> None:
    source = old_cluster("").replace("kubernetesVersion: v1.36.2\n", "")
    assert [each for each in problems(source) if "v1beta3" in each] == []


def test_a_flag_may_be_set_to_nothing() -> None:
    source = cluster('apiServer: {extraArgs: [{name: runtime-config, value: ""}]}\n')
    spec = load_text(source.encode(), file="k.yaml", kinds=CERTIFICATES).spec.spec
    (argument,) = spec.api_server.extra_args
    assert (argument.name, argument.value) == ("runtime-config", "")
