"""kubeadm configurations: what is taken over, what is refused, what is said."""

from __future__ import annotations

import pytest

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

BAD_CONFIGURATIONS = [
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
        "validity-negative",
        cluster("certificateValidityPeriod: -1h\ncaCertificateValidityPeriod: 9999999999999h\n"),
        "9:28: ClusterConfiguration.certificateValidityPeriod: must be a duration in h, m and s such",
        "10:30: ClusterConfiguration.caCertificateValidityPeriod: must be a duration in h, m and s",
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
        "cluster-only",
        ("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.2\n"),
        "1:1: InitConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "1:1: InitConfiguration.localAPIEndpoint.advertiseAddress: is missing, and kubeadm would ask",
    ),
    case(
        "init-only",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
            "nodeRegistration: {name: cp1}\nlocalAPIEndpoint: {advertiseAddress: 192.0.2.1}\n"
            "---\n"
        ),
        "1:1: ClusterConfiguration.kubernetesVersion: is missing, and kubeadm would look it up on",
    ),
    case(
        "init-empty",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n",
        "1:1: ClusterConfiguration.kubernetesVersion: is missing, and kubeadm would look it up on",
        "1:1: InitConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "1:1: InitConfiguration.localAPIEndpoint.advertiseAddress: is missing, and kubeadm would ask",
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
        "10:13: apiVersion: a pkigen spec cannot stand beside a kubeadm configuration: keep one",
    ),
    case(
        "stable",
        swapped_kubeadm("v1.36.2", "stable-1.36"),
        "8:20: ClusterConfiguration.kubernetesVersion: 'stable-1.36' is a label, and kubeadm would",
    ),
    case(
        "no-version",
        swapped_kubeadm("kubernetesVersion: v1.36.2\n", ""),
        "6:1: ClusterConfiguration.kubernetesVersion: is missing, and kubeadm would look it up on",
    ),
    case(
        "subnets",
        cluster('networking: {serviceSubnet: "10.96.0.0/12, fd00::/100", podSubnet: 10.244.0.1/16}\n'),
        "9:44: ClusterConfiguration.networking.serviceSubnet: is too large for the API server: use",
        "9:68: ClusterConfiguration.networking.podSubnet: has host bits set: write 10.244.0.0/16",
    ),
    case(
        "overlap",
        cluster("networking: {podSubnet: 10.96.0.0/16}\n"),
        "9:25: ClusterConfiguration.networking.podSubnet: overlaps the service subnet 10.96.0.0/12:",
    ),
    case(
        "networking-list",
        cluster("networking: []\n"),
        "9:13: ClusterConfiguration.networking: must be a mapping of keys to values, not a list",
    ),
    case(
        "algorithm",
        cluster("encryptionAlgorithm: DSA\n"),
        "9:22: ClusterConfiguration.encryptionAlgorithm: must be RSA-2048, RSA-3072, RSA-4096,",
    ),
    case(
        "gate-text",
        cluster('featureGates: {PublicKeysECDSA: "yes"}\n'),
        "9:33: ClusterConfiguration.featureGates.PublicKeysECDSA: must be true or false, not 'yes'",
    ),
    case(
        "gates-list",
        cluster("featureGates: [a]\n"),
        "9:15: ClusterConfiguration.featureGates: must be a mapping of keys to values, not a list",
    ),
    case(
        "validity-bad",
        cluster("certificateValidityPeriod: 1.5ms\n"),
        "9:28: ClusterConfiguration.certificateValidityPeriod: must be a duration in h, m and s such",
    ),
    case(
        "etcd-both",
        cluster('etcd: {local: {dataDir: /x}, external: {endpoints: ["https://e:2379"]}}\n'),
        "9:40: ClusterConfiguration.etcd.external: cannot stand beside etcd.local: keep one of them",
    ),
    case(
        "etcd-ext",
        cluster(
            'etcd: {local: null, external: {endpoints: ["https://e:2379"], '
            'httpEndpoints: ["http://e:1"], caFile: /a, certFile: /b, keyFile: c}}\n'
        ),
        "9:129: ClusterConfiguration.etcd.external.keyFile: must be an absolute path of letters,",
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
            'apiServer: {extraArgs: {b: "2", a: "1", c: 3}, timeoutForControlPlane: 4m}\n'
            "scheduler: {extraArgs: [x]}\n"
        ),
        '9:44: ClusterConfiguration.apiServer.extraArgs.c: must be text: put it in quotes, "3"',
        "10:24: ClusterConfiguration.scheduler.extraArgs: must be a mapping of flags to values (the",
    ),
    case(
        "sans",
        cluster('apiServer: {certSANs: [API.Example.com, "bad name"]}\n'),
        "9:41: ClusterConfiguration.apiServer.certSANs[1]: must be an IP address, a DNS name or *.",
    ),
    case(
        "name-number",
        swapped_kubeadm("cp1", "5"),
        '3:26: InitConfiguration.nodeRegistration.name: must be text: put it in quotes, "5"',
    ),
    case(
        "name-list",
        swapped_kubeadm("cp1", "[a]"),
        "3:26: InitConfiguration.nodeRegistration.name: must be text, not a list",
    ),
    case(
        "any-address",
        swapped_kubeadm("192.0.2.1", "0.0.0.0"),  # noqa: S104 -- a value to refuse
        "1:1: InitConfiguration.localAPIEndpoint.advertiseAddress: 0.0.0.0 is no host's, and kubeadm",
    ),
    case(
        "bad-address",
        swapped_kubeadm("192.0.2.1", "host"),
        "4:38: InitConfiguration.localAPIEndpoint.advertiseAddress: must be an IP address, not 'host'",
    ),
    case(
        "port-text",
        swapped_kubeadm("192.0.2.1", '192.0.2.1, bindPort: "1"'),
        "4:59: InitConfiguration.localAPIEndpoint.bindPort: must be a number: remove the quotes",
    ),
    case(
        "join-worker-empty",
        join(""),
        "10:1: JoinConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "10:1: JoinConfiguration.nodeRegistration.kubeletExtraArgs: has no node-ip: add it with the",
    ),
    case(
        "join-worker-bad-ip",
        join('nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: "192.0.2.7,eth0"}]}\n'),
        "12:72: JoinConfiguration.nodeRegistration.kubeletExtraArgs[0].value: must be an IP address,",
        "12:83: JoinConfiguration.nodeRegistration.kubeletExtraArgs[0].value: must be an IP address,",
    ),
    case(
        "join-cp-empty",
        join("controlPlane: {}\n"),
        "10:1: JoinConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "10:1: JoinConfiguration.controlPlane.localAPIEndpoint.advertiseAddress: is missing, and",
    ),
    case(
        "join-cp-same",
        join(
            "nodeRegistration: {name: cp1}\ncontrolPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.1}}\n"
        ),
        "12:26: JoinConfiguration.nodeRegistration.name: 'cp1' is the name of an earlier",
        "13:53: JoinConfiguration.controlPlane.localAPIEndpoint.advertiseAddress: 192.0.2.1 is an",
    ),
    case(
        "join-no-init",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n---\napiVersion: kubeadm.k8s.io/v1beta4\n"
            "kind: JoinConfiguration\nnodeRegistration: {name: cp2}\n"
            "controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.2}}\n"
        ),
        "1:1: InitConfiguration: is missing: it names the first control-plane node, for which",
    ),
]

WARNED = [
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
        "label", cluster("x: 1\n"), "9:1: ClusterConfiguration.x: is unknown to kubeadm and ignored, as there"
    ),
    case(
        "gate",
        cluster(
            "encryptionAlgorithm: RSA-4096\n"
            "featureGates: {PublicKeysECDSA: true, RootlessControlPlane: true, Foo: false}\n"
        ),
        "10:16: ClusterConfiguration.featureGates.PublicKeysECDSA: counts more than",
        "10:39: ClusterConfiguration.featureGates.RootlessControlPlane: is not used: it is about a",
        "10:67: ClusterConfiguration.featureGates.Foo: is not used: it is about a run of kubeadm",
    ),
    case(
        "validity",
        cluster("certificateValidityPeriod: 100000h\n"),
        "9:28: ClusterConfiguration.certificateValidityPeriod: is longer than the CA's: no",
    ),
    case(
        "validity2",
        cluster("certificateValidityPeriod: 2h\ncaCertificateValidityPeriod: 1h\n"),
        "9:28: ClusterConfiguration.certificateValidityPeriod: is longer than the CA's: no",
    ),
    case(
        "etcd-local",
        cluster(
            "etcd: {local: {dataDir: /x, imageRepository: y, imageTag: z, extraArgs: "
            "[{name: a, value: b}], extraEnvs: [{name: x}, {name: y, valueFrom: {fieldRef: {fieldPath: "
            "status.podIP}}}, {name: x}], serverCertSANs: [A.b], peerCertSANs: [1.2.3.4]}}\n"
        ),
        "9:129: ClusterConfiguration.etcd.local.extraEnvs[1].valueFrom: is not used: pkigen sets plain",
        "9:187: ClusterConfiguration.etcd.local.extraEnvs[2].name: 'x' is given before already: this one",
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
    case(
        "loop",
        swapped_kubeadm("192.0.2.1", "127.0.0.1"),
        "4:38: InitConfiguration.localAPIEndpoint.advertiseAddress: is a loopback address: kubeadm",
        "4:38: InitConfiguration.localAPIEndpoint.advertiseAddress: is loopback: the API server cannot",
    ),
    case(
        "join-worker",
        join(
            "nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: "
            '"192.0.2.7,fd00::7"}]}\ndiscovery: {bootstrapToken: {token: x}}\n'
        ),
        "13:1: JoinConfiguration.discovery: is not used: the node gets its kubeconfigs from pkigen",
    ),
    case(
        "join-cp",
        join(
            "nodeRegistration: {name: cp2}\n"
            "controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.2, bindPort: "
            "7443}, certificateKey: abc}\n"
        ),
        "6:1: ClusterConfiguration.controlPlaneEndpoint: is missing with 2 control-plane nodes:",
        "10:1: JoinConfiguration: give 2 etcd members, an even number: they survive no more failures",
        "13:81: JoinConfiguration.controlPlane.certificateKey: is not used: pkigen gives every node",
    ),
]


@pytest.mark.parametrize(("source", "expected"), BAD_CONFIGURATIONS)
def test_configuration_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_configuration_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


def test_a_flag_may_be_set_to_nothing() -> None:
    source = cluster('apiServer: {extraArgs: [{name: runtime-config, value: ""}]}\n')
    (argument,) = load_text(source.encode(), file="k.yaml").spec.spec.api_server.extra_args
    assert (argument.name, argument.value) == ("runtime-config", "")
