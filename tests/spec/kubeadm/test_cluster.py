"""A ClusterConfiguration as the model's spec."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pkigen.crypto.algorithms import KeyAlgorithm
from tests.spec.sources import assert_starts, case, cluster, loaded, problems, swapped_kubeadm, warnings

REFUSED = [
    case(
        "validity-negative",
        cluster("certificateValidityPeriod: -1h\ncaCertificateValidityPeriod: 9999999999999h\n"),
        "9:28: ClusterConfiguration.certificateValidityPeriod: must be a duration in h, m and s such",
        "10:30: ClusterConfiguration.caCertificateValidityPeriod: must be a duration in h, m and s",
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
        "validity-bad",
        cluster("certificateValidityPeriod: 1.5ms\n"),
        "9:28: ClusterConfiguration.certificateValidityPeriod: must be a duration in h, m and s such",
    ),
    case(
        "etcd-both",
        cluster('etcd: {local: {dataDir: /x}, external: {endpoints: ["https://e:2379"]}}\n'),
        "9:40: ClusterConfiguration.etcd.external: cannot be combined with etcd.local: keep one of them",
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
        "sans",
        cluster('apiServer: {certSANs: [API.Example.com, "bad name"]}\n'),
        "9:41: ClusterConfiguration.apiServer.certSANs[1]: must be an IP address, a DNS name or *.",
    ),
]

WARNED = [
    case(
        "gate",
        cluster(
            "encryptionAlgorithm: RSA-4096\n"
            "featureGates: {PublicKeysECDSA: true, RootlessControlPlane: true, Foo: false}\n"
        ),
        "10:16: ClusterConfiguration.featureGates.PublicKeysECDSA: takes precedence over",
        "10:39: ClusterConfiguration.featureGates.RootlessControlPlane: is not used: it is about a",
        "10:67: ClusterConfiguration.featureGates.Foo: is not used: kubeadm of v1.36 stops at",
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
        "validity3",
        cluster("caCertificateValidityPeriod: 100h\n"),
        "9:30: ClusterConfiguration.caCertificateValidityPeriod: is shorter than what leaves have by default",
    ),
    case(
        "etcd-local",
        cluster(
            "etcd: {local: {dataDir: /x, imageRepository: y, imageTag: z, extraArgs: "
            "[{name: wal-dir, value: /x/w}], extraEnvs: [{name: x}, {name: y, valueFrom: {fieldRef: "
            "{fieldPath: status.podIP}}}, {name: x}], serverCertSANs: [A.b], peerCertSANs: [1.2.3.4]}}\n"
        ),
        "9:138: ClusterConfiguration.etcd.local.extraEnvs[1].valueFrom: is not used: pkigen sets plain",
        "9:196: ClusterConfiguration.etcd.local.extraEnvs[2].name: 'x' is given twice: this one",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


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
        ("caCertificateValidityPeriod: 100h\n", 100),
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
