"""Whole configurations: what they mean, and what is said of what is not followed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.spec.certificates import KubeadmCA
from pkigen.spec.dialects import Dialect
from tests.spec.kubeadm.configurations import EVERYTHING_ELSE, NEW, SAME

if TYPE_CHECKING:
    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec
from tests.spec.sources import assert_starts, cluster, loaded, old_cluster, warnings


def _content(spec: ClusterSpec) -> dict[str, object]:
    return spec.model_dump(by_alias=True)


def _pairs(arguments: tuple[ExtraArg, ...]) -> list[tuple[str, str]]:
    return [(argument.name, argument.value) for argument in arguments]


def test_a_whole_configuration_means_the_same() -> None:
    found = loaded(NEW)
    assert found.warnings == ()
    assert found.dialect is Dialect.KUBEADM
    assert _content(found.spec) == _content(loaded(SAME).spec)


def test_v1beta3_differs_in_its_flags() -> None:
    spec = loaded(
        old_cluster(
            'apiServer: {extraArgs: {v: "2", audit-log-path: /a}, timeoutForControlPlane: 5m0s}\n'
            'etcd: {local: {extraArgs: {wal-dir: ""}}}\n'
        ).replace("{name: cp1}", '{name: cp1, kubeletExtraArgs: {node-ip: "::", v: "4"}}')
    ).spec
    assert [(a.name, a.value) for a in spec.spec.api_server.extra_args] == [
        ("audit-log-path", "/a"),
        ("v", "2"),
    ]
    assert [(a.name, a.value) for a in spec.spec.etcd.extra_args] == [("wal-dir", "")]
    node = spec.spec.nodes[0]
    assert [(a.name, a.value) for a in node.kubelet_extra_args][:2] == [("node-ip", "::"), ("v", "4")]
    assert node.kubelet_addresses == node.addresses
    assert spec.spec.startup_timeout == timedelta(minutes=5)


def test_defaults_are_those_of_kubeadm() -> None:
    spec = loaded(cluster("")).spec
    assert spec.name == "kubernetes"
    assert spec.spec.certificates.key_algorithm is KeyAlgorithm.RSA_2048
    assert spec.spec.certificates.distribute_ca_keys == tuple(KubeadmCA)  # `kubeadm join` signs with them
    assert spec.spec.certificates.validity == timedelta(hours=8760)
    assert spec.spec.certificates.ca_validity == timedelta(hours=87600)
    assert str(spec.spec.networking.service_subnets[0]) == "10.96.0.0/12"
    assert spec.spec.networking.pod_subnets == ()
    assert spec.spec.api_server.bind_port == 6443
    assert spec.spec.users == ()


def test_nothing_means_left_out_as_in_go() -> None:
    text = (
        'clusterName: ""\ncontrolPlaneEndpoint: null\napiServer:\n'
        'networking: {serviceSubnet: "", podSubnet: ~}\netcd: {local: null, external: null}\n'
        "featureGates: {}\ncertificateValidityPeriod:\ndns: {}\nproxy: null\n"
    )
    found = loaded(cluster(text))
    assert found.warnings == ()
    assert _content(found.spec) == _content(loaded(cluster("")).spec)


def test_what_is_not_followed_is_said() -> None:
    assert_starts(
        warnings(EVERYTHING_ELSE),
        (
            "3:1: InitConfiguration.bootstrapTokens: is not used: nodes get their certificates from pkigen",
            "4:1: InitConfiguration.certificateKey: is not used: pkigen gives every node its certificates",
            "5:1: InitConfiguration.dryRun: is not used: it is about a run of kubeadm",
            "11:3: InitConfiguration.nodeRegistration.ignorePreflightErrors: is not used",
            "12:3: InitConfiguration.nodeRegistration.imagePullPolicy: is not used",
            "13:3: InitConfiguration.nodeRegistration.imagePullSerial: is not used",
            "15:1: InitConfiguration.patches: is not used: pkigen applies no patches: override its templates",
            "16:1: InitConfiguration.skipPhases: is not used: it is about a run of kubeadm",
            "17:12: InitConfiguration.timeouts.discovery: is not used: it is about a run of kubeadm",
            "19:1: KubeletConfiguration: is not used (cgroupDriver, a, b, c, d, e, f, g, h, i, …): pkigen",
            "37:7: kind: ResetConfiguration is not used: it describes no cluster",
            "40:1: JoinConfiguration: give 2 etcd members, an even number",
            "42:1: JoinConfiguration.caCertPath: is not used: the CA certificate is in certificatesDir",
            "43:1: JoinConfiguration.discovery: is not used: the node gets its kubeconfigs from pkigen",
            "46:16: JoinConfiguration.controlPlane.certificateKey: is not used: pkigen gives every node",
        ),
    )


def test_secrets_of_a_configuration_are_not_repeated() -> None:
    assert not any("abcdef" in warning or "e6a2eb" in warning for warning in warnings(EVERYTHING_ELSE))
