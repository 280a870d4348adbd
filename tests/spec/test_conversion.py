"""What a kubeadm configuration becomes: the same cluster, in pkigen's words."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest

from pkigen.crypto.keys import KeyAlgorithm
from pkigen.spec.dialects import Dialect, HostFacts
from pkigen.spec.loader import load_text
from pkigen.spec.model import ClusterSpec, ExtraArg, Role
from tests.spec.sources import (
    CLUSTER,
    INIT,
    assert_starts,
    cluster,
    join,
    loaded,
    old_cluster,
    problems,
    warnings,
)

HOST = HostFacts(hostname=" CP-7.Example ", default_address=ip_address("192.0.2.7"))

SAME = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.example.com:6443
  imageRepository: registry.example.com/k8s
  startupTimeout: 6m
  networking:
    serviceSubnets: [10.96.0.0/16, "fd00:96::/112"]
    podSubnets: [10.244.0.0/16, "fd00:244::/56"]
    dnsDomain: k8s.example
  apiServer:
    bindPort: 7443
    certSANs: [api.internal, 192.0.2.10]
    extraArgs: [{name: audit-log-path, value: /var/log/audit.log}, {name: v, value: "2"}]
    extraVolumes: [{name: logs, hostPath: /var/log, mountPath: /var/log, readOnly: true, pathType: Directory}]
  controllerManager:
    extraArgs: [{name: node-cidr-mask-size-ipv4, value: "25"}]
  scheduler:
    extraVolumes: [{name: x, hostPath: /x, mountPath: /x}]
    extraEnvs: [{name: HTTPS_PROXY, value: "http://proxy.example:3128"}, {name: EMPTY}]
  etcd:
    dataDir: /srv/etcd
    imageRepository: registry.example.com/etcd-io
    imageTag: 3.6.8-0
    extraEnvs: [{name: GOGC, value: "50"}]
    serverCertSANs: [etcd.example]
    peerCertSANs: [192.0.2.11]
    extraArgs: [{name: quota-backend-bytes, value: "8589934592"}]
  certificates:
    keyAlgorithm: ECDSA-P384
    validity: 4380h
    caValidity: 43800h
    directory: /srv/pki
  nodes:
    - name: cp1
      roles: [control-plane]
      addresses: [192.0.2.11]
      kubeletExtraArgs: [{name: node-ip, value: "192.0.2.11,2001:db8::11"}]
    - {name: cp2, roles: [control-plane], addresses: [192.0.2.12], bindPort: 6443}
    - {name: cp3, roles: [control-plane], addresses: [192.0.2.13], bindPort: 8443}
    - name: w1
      roles: [worker]
      addresses: [192.0.2.21, "2001:db8::21"]
      kubeletExtraArgs: [{name: node-ip, value: "192.0.2.21, 2001:db8::21"}]
"""
NEW = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: prod
kubernetesVersion: 1.36.2
controlPlaneEndpoint: api.example.com:6443
imageRepository: registry.example.com/k8s
networking:
  serviceSubnet: 10.96.0.0/16,fd00:96::/112
  podSubnet: "10.244.0.0/16, fd00:244::/56"
  dnsDomain: k8s.example
apiServer:
  certSANs: [API.Internal, 192.0.2.10]
  extraArgs: [{name: audit-log-path, value: /var/log/audit.log}, {name: v, value: "2"}]
  extraVolumes: [{name: logs, hostPath: /var/log, mountPath: /var/log, readOnly: true, pathType: Directory}]
controllerManager:
  extraArgs: [{name: node-cidr-mask-size-ipv4, value: "25"}]
scheduler:
  extraVolumes: [{name: x, hostPath: /x, mountPath: /x, pathType: ""}]
  extraEnvs: [{name: HTTPS_PROXY, value: "http://proxy.example:3128"}, {name: EMPTY}]
etcd:
  local:
    dataDir: /srv/etcd
    imageRepository: registry.example.com/etcd-io
    imageTag: 3.6.8-0
    extraEnvs: [{name: GOGC, value: "50"}]
    serverCertSANs: [etcd.example]
    peerCertSANs: [192.0.2.11]
    extraArgs: [{name: quota-backend-bytes, value: "8589934592"}]
encryptionAlgorithm: ECDSA-P384
certificateValidityPeriod: 4380h0m0s
caCertificateValidityPeriod: 43800h0m0s
certificatesDir: /srv/pki
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  name: CP1
  kubeletExtraArgs: [{name: node-ip, value: "192.0.2.11,2001:db8::11"}]
localAPIEndpoint: {advertiseAddress: 192.0.2.11, bindPort: 7443}
timeouts: {controlPlaneComponentHealthCheck: 0.1h}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration: {name: cp2}
controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.12}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration: {name: cp3}
controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.13, bindPort: 8443}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration:
  name: w1
  kubeletExtraArgs: [{name: node-ip, value: "192.0.2.21, 2001:db8::21"}]
"""


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
            'etcd: {local: {extraArgs: {x: ""}}}\n'
        ).replace("{name: cp1}", '{name: cp1, kubeletExtraArgs: {node-ip: "::", v: "4"}}')
    ).spec
    assert [(a.name, a.value) for a in spec.spec.api_server.extra_args] == [
        ("audit-log-path", "/a"),
        ("v", "2"),
    ]
    assert [(a.name, a.value) for a in spec.spec.etcd.extra_args] == [("x", "")]
    node = spec.spec.nodes[0]
    assert [(a.name, a.value) for a in node.kubelet_extra_args] == [("node-ip", "::"), ("v", "4")]
    assert node.kubelet_addresses == node.addresses
    assert spec.spec.startup_timeout == timedelta(minutes=5)


def test_defaults_are_those_of_kubeadm() -> None:
    spec = loaded(cluster("")).spec
    assert spec.name == "kubernetes"
    assert spec.spec.certificates.key_algorithm is KeyAlgorithm.RSA_2048
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


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        ("featureGates: {PublicKeysECDSA: true}\n", KeyAlgorithm.ECDSA_P256),
        ("featureGates: {PublicKeysECDSA: false}\n", KeyAlgorithm.RSA_2048),
        ("featureGates: {PublicKeysECDSA: false}\nencryptionAlgorithm: RSA-2048\n", KeyAlgorithm.RSA_2048),
        ("encryptionAlgorithm: RSA-3072\n", KeyAlgorithm.RSA_3072),
        ("encryptionAlgorithm: ECDSA-P256\n", KeyAlgorithm.ECDSA_P256),
    ],
)
def test_key_algorithms(text: str, algorithm: KeyAlgorithm) -> None:
    found = loaded(cluster(text))
    assert found.spec.spec.certificates.key_algorithm is algorithm
    assert found.warnings == ()


def test_the_gate_counts_more_than_the_field() -> None:
    found = loaded(cluster("encryptionAlgorithm: ECDSA-P384\nfeatureGates: {PublicKeysECDSA: false}\n"))
    assert found.spec.spec.certificates.key_algorithm is KeyAlgorithm.RSA_2048
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        ("1.5h", 5_400),
        ("3600000ms", 3_600),
        (".5h30m", 3_600),
        ("1h0m0.000s", 3_600),
        ("60000000us", 60),
        ("24h", 86_400),
    ],
)
def test_periods_are_those_of_go(period: str, seconds: int) -> None:
    found = loaded(cluster(f"certificateValidityPeriod: {period}\n"))
    assert found.spec.spec.certificates.validity == timedelta(seconds=seconds)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("certificateValidityPeriod: 90000h\n", 87600),
        ("certificateValidityPeriod: 90000h\ncaCertificateValidityPeriod: 100h\n", 100),
        ("certificateValidityPeriod: 100h\ncaCertificateValidityPeriod: 100h\n", 100),
    ],
)
def test_leaves_end_with_their_ca(text: str, hours: int) -> None:
    assert loaded(cluster(text)).spec.spec.certificates.validity == timedelta(hours=hours)


def test_external_etcd() -> None:
    text = (
        'etcd: {external: {endpoints: ["https://192.0.2.31:2379"], caFile: /a, certFile: /b, keyFile: /c,'
        ' httpEndpoints: ["http://192.0.2.31:2381"]}}\n'
    )
    found = loaded(cluster(text))
    external = found.spec.spec.etcd.external
    assert external is not None
    assert (external.endpoints, external.ca_file, external.cert_file, external.key_file) == (
        ("https://192.0.2.31:2379",),
        "/a",
        "/b",
        "/c",
    )
    assert found.spec.etcd_members == ()
    assert_starts(
        [str(warning)[2:] for warning in found.warnings],
        ("9:98: ClusterConfiguration.etcd.external.httpEndpoints: is not used: only kubeadm itself",),
    )


def test_the_host_fills_in_what_is_left_out() -> None:
    found = load_text(CLUSTER.encode(), file="f", host=HOST)
    node = found.spec.spec.nodes[0]
    assert (node.name, node.addresses, node.roles) == (
        "cp-7.example",
        (ip_address("192.0.2.7"),),
        (Role.CONTROL_PLANE,),
    )
    name, address = (str(warning) for warning in found.warnings)
    init = "f:1:1: InitConfiguration"
    taken = "is missing: taken from this host"
    assert name == f"{init}.nodeRegistration.name: {taken}, 'cp-7.example', as kubeadm does"
    assert address == f"{init}.localAPIEndpoint.advertiseAddress: {taken}, '192.0.2.7', as kubeadm does"


def test_the_host_is_not_asked_for_what_is_given() -> None:
    found = load_text((INIT + CLUSTER).encode(), file="f", host=HOST)
    assert found.spec.spec.nodes[0].name == "cp1"
    assert found.warnings == ()


def test_an_unspecified_address_is_asked_for_like_a_missing_one() -> None:
    text = (INIT + CLUSTER).replace("192.0.2.1", '"::"').replace("cp1", '""')
    node = load_text(text.encode(), file="f", host=HOST).spec.spec.nodes[0]
    assert (node.name, str(node.advertise_address)) == ("cp-7.example", "192.0.2.7")


def test_control_plane_nodes_join() -> None:
    spec = loaded(
        join(
            "nodeRegistration: {name: cp2}\ncontrolPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.2}}\n"
        )
    ).spec
    assert [(node.name, node.roles) for node in spec.spec.nodes] == [
        ("cp1", (Role.CONTROL_PLANE,)),
        ("cp2", (Role.CONTROL_PLANE,)),
    ]
    assert spec.spec.nodes[1].bind_port is None


def test_a_workers_last_node_ip_counts() -> None:
    spec = loaded(
        join(
            "nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: 192.0.2.8}, "
            '{name: node-ip, value: "192.0.2.9,0.0.0.0"}]}\n'
        )
    ).spec
    assert spec.spec.nodes[1].addresses == (ip_address("192.0.2.9"),)
    assert spec.spec.nodes[1].kubelet_addresses == (ip_address("192.0.2.9"),)


def test_the_kubelet_is_found_at_both_its_addresses() -> None:
    first = loaded(NEW).spec.spec.nodes[0]
    assert [str(address) for address in first.addresses] == ["192.0.2.11"]
    assert [str(address) for address in first.kubelet_addresses] == ["192.0.2.11", "2001:db8::11"]


EVERYTHING_ELSE = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: "abcdef.0123456789abcdef"}]
certificateKey: e6a2eb8581237ab72a4f494f30285ec12a9694d750b9785706a83bfcbbbd2204
dryRun: true
localAPIEndpoint: {advertiseAddress: 192.0.2.1, bindPort: 0}
nodeRegistration:
  name: cp1
  criSocket: unix:///run/containerd/containerd.sock
  taints: [{key: node-role, effect: NoSchedule}]
  ignorePreflightErrors: [all]
  imagePullPolicy: Always
  imagePullSerial: true
  kubeletExtraArgs: [{name: v, value: "4"}]
patches: {directory: /p}
skipPhases: [addon]
timeouts: {discovery: 5m}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
a: 1
b: 1
c: 1
d: 1
e: 1
f: 1
g: 1
h: 1
i: 1
j: 1
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ResetConfiguration
force: true
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
caCertPath: /x
discovery: {bootstrapToken: {token: abcdef.0123456789abcdef}}
dryRun: false
nodeRegistration: {name: cp2}
controlPlane: {certificateKey: abc, localAPIEndpoint: {advertiseAddress: 192.0.2.2}}
skipPhases: []
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
controlPlaneEndpoint: api.example
"""


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
            "42:1: JoinConfiguration.caCertPath: is not used: the CA certificate stands in certificatesDir",
            "43:1: JoinConfiguration.discovery: is not used: the node gets its kubeconfigs from pkigen",
            "46:16: JoinConfiguration.controlPlane.certificateKey: is not used: pkigen gives every node",
        ),
    )


def test_secrets_of_a_configuration_are_not_repeated() -> None:
    assert not any("abcdef" in warning or "e6a2eb" in warning for warning in warnings(EVERYTHING_ELSE))


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
            f"15:18: {place}.taints[0].key: 'a b' is no taint's key",
            f"15:31: {place}.taints[0].effect: 'Never' is no taint's effect",
            f"15:39: {place}.taints[1].key: is missing",
            f"15:39: {place}.taints[1].effect: is missing",
            f"15:67: {place}.taints[2].value: '7' is no taint's value",
            f"15:91: {place}.taints[3].key: is missing",
            f"15:91: {place}.taints[3].effect: is missing",
        ),
    )


def test_flags_that_are_no_list_are_the_models_to_refuse() -> None:
    body = "nodeRegistration: {name: w, criSocket: /x, kubeletExtraArgs: {v: '2'}}\n"
    assert any("kubeletExtraArgs: must be a list" in problem for problem in problems(join(body)))
