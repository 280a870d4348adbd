"""Configurations for pkigen and a real kubeadm: both read one, both refuse it, or it is said why."""

from __future__ import annotations

import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from pkigen.desired.certificates import CERTIFICATES
from pkigen.errors import SpecError
from pkigen.spec.dialects import HostFacts
from pkigen.spec.loader import load_text
from tests.desired.rendering.reference_programs import find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = HostFacts(hostname="cp1", default_address=ip_address("192.0.2.7"))
DIGEST = "0" * 64
INIT = "localAPIEndpoint: {advertiseAddress: 10.20.0.11}\n"
NODE = "nodeRegistration: {name: cp1}\n"
FLAGS = (
    'apiServer: {extraArgs: &a {profiling: "1", v: "1"}}\nscheduler: {extraArgs: &b {v: "2", vmodule: "2"}}\n'
)


def configuration(
    cluster: str = "", *, init: str = INIT + NODE, version: str = "v1.36.2", api: str = "v1beta4"
) -> str:
    head = f"apiVersion: kubeadm.k8s.io/{api}\nkind: "
    given = f'kubernetesVersion: "{version}"\n'
    return f"{head}InitConfiguration\n{init}---\n{head}ClusterConfiguration\n{given}{cluster}"


def _names() -> Iterator[str]:
    for name in (
        "K8s-Prod", "my_cluster", "a b", "../../etc", "käse", "a/b", "-rf", "prod.example", "x" * 200,
        "a:b@c", "$(reboot)", "a'b", "1234x", "",
    ):  # fmt: skip
        yield configuration(f'clusterName: "{name}"\n')


def _versions() -> Iterator[str]:
    for version in (
        "1.36.2", "v1.36.2+vmware.1", "v1.36.0-rc.1", "v1.36.0-alpha.0.206+abc", "v1.36.2-eks-1-29-5",
        "1.36.2+rke2r1", "v1.36.2-gke.100", "release/v1.36.2", "ci/v1.36.0-alpha.0.206+abc", "v1.36.2-",
        "v1.36.2+", "v1.36.2_x", "v1.36.2-rc.01", "v1.36.2+a+b", "v1.36", "V1.36.2", "v1.37.1-beta.0",
        "v1.36.2.1", " v1.36.2",
    ):  # fmt: skip
        yield configuration(version=version)


def _paths() -> Iterator[str]:
    for path in (
        "/etc/kubernetes/pki/",
        "//etc//kubernetes/pki",
        "/etc/./kubernetes/pki",
        "etc/pki",
        "/srv/pki",
    ):
        yield configuration(f'certificatesDir: "{path}"\n')
    for path in ("/var/lib/etcd/", "/data//etcd", "data"):
        yield configuration(f'etcd: {{local: {{dataDir: "{path}"}}}}\n')
    for host, mount in (
        ("/data/audit logs", "/var/log/audit logs"), ("/", "/host"), ("/a/", "/b//c/"), ("/ü", "/ü"),
    ):  # fmt: skip
        volume = f'{{name: x, hostPath: "{host}", mountPath: "{mount}"}}'
        yield configuration(f"apiServer: {{extraVolumes: [{volume}]}}\n")


def _images() -> Iterator[str]:
    for tag in (f"v3.5.21@sha256:{DIGEST}", "3.6.8-0", "v3.6.8_vendor.1"):
        yield configuration(f'etcd: {{local: {{imageTag: "{tag}"}}}}\n')
    yield configuration(f'dns: {{imageTag: "v1.12.0@sha256:{DIGEST}"}}\n')
    for repository in (
        "registry.example.com:5000/k8s",
        "[fd00::1]:5000/k8s",
        "localhost/x",
        "r.example/k8s/",
        "registry...io",
        "10.0.-0.1:5000",
        "r-.example/k8s",
    ):
        yield configuration(f'imageRepository: "{repository}"\n')


def _flags() -> Iterator[str]:
    for component in ("apiServer", "controllerManager", "scheduler"):
        for name, value in (("feature_gates", "AllBeta=true"), ("v", "2"), ("", "2")):
            yield configuration(f'{component}: {{extraArgs: [{{name: "{name}", value: "{value}"}}]}}\n')
    yield configuration("etcd: {local: {extraArgs: [{name: quota_backend_bytes, value: '8589934592'}]}}\n")
    argument = "{name: node_ip, value: 10.20.0.11}"
    yield configuration(init=f"{INIT}nodeRegistration: {{name: cp1, kubeletExtraArgs: [{argument}]}}\n")


def _older() -> Iterator[str]:
    """What is of kubeadm's own versions: v1.36 is the last that reads v1beta3, and its gates."""
    for api in ("v1beta2", "v1beta3", "v1beta4", "v1beta5"):
        yield configuration(api=api)
    for gate in ("PublicKeysECDSA", "NodeLocalCRISocket", "ControlPlaneKubeletLocalMode"):
        yield configuration(f"featureGates: {{{gate}: true}}\n")


def _merges() -> Iterator[str]:
    for merged in (
        "{<<: *a, kubeconfig: own}", "{kubeconfig: own, <<: *a}",
        "{<<: [*a, {vmodule: '3'}]}", "*a", "{<<: {<<: *a}, kubeconfig: j}",
        "{<<: null}", "{<<: foo}", "{v: a, v: b}", "{<<: [*a, foo]}", "{<<: *a, <<: *b}",
    ):  # fmt: skip
        yield configuration(f"{FLAGS}controllerManager: {{extraArgs: {merged}}}\n", api="v1beta3")


def _networks() -> Iterator[str]:
    for san in ("*.example.com", "10.0.0.5", "API.example.com", "api..x", "https://api.example.com",
                "fd00::5", "api.example.com:6443", "foo_bar.x", "münchen.x"):  # fmt: skip
        yield configuration(f'apiServer: {{certSANs: ["{san}"]}}\n')
    for endpoint in ("api.example.com:6443", "api.example.com", "10.0.0.9:6443", "[fd00::9]:6443",
                     "2001:db8::6443", "https://api:6443", "api:99999", "api_x:6443"):  # fmt: skip
        yield configuration(f'controlPlaneEndpoint: "{endpoint}"\n')
    for services, pods in (
        ("10.96.0.0/12", "10.244.0.0/16"), ("10.96.0.0/16,fd00:96::/112", "10.244.0.0/16,fd00:244::/56"),
        ("10.96.0.0/30", ""), ("10.96.0.0/8", ""), ("fd00::/64", ""),
    ):  # fmt: skip
        yield configuration(f'networking: {{serviceSubnet: "{services}", podSubnet: "{pods}"}}\n')
    for domain in ("cluster.local", "Cluster.Local", "cluster_local", "cluster.local."):
        yield configuration(f'networking: {{dnsDomain: "{domain}"}}\n')


def _others() -> Iterator[str]:
    for name in ("CP1", " cp1 ", "node.example.com", "n" * 52, "cp_1"):
        yield configuration(init=f'{INIT}nodeRegistration: {{name: "{name}"}}\n')
    for address in ("fd00::11", "host"):
        yield configuration(init=f'localAPIEndpoint: {{advertiseAddress: "{address}"}}\n{NODE}')
    for algorithm in ("RSA-2048", "ECDSA-P384", "RSA-1024"):
        yield configuration(f"encryptionAlgorithm: {algorithm}\n")
    yield configuration("apiServer: 3\n")
    yield configuration("---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: Foo\n")


KINDS = (_names, _versions, _paths, _images, _flags, _older, _merges, _networks, _others)
STRICTER = {
    # docs/reference/kubeadm.md, "What pkigen refuses although kubeadm reads it"
    configuration(version="v1.39.0"): "is not supported: this pkigen knows the flags of v1.29 to v1.38",
    configuration('clusterName: "a\\nb"\n'): "must be one line of printable text, without U+000A",
    configuration("certificatesDir: /opt/my pki\n"): "must be an absolute path of letters, digits",
    configuration("certificatesDir: /etc/kubernetes/../pki\n"): "must be an absolute path of letters, digits",
    configuration("etcd: {local: {dataDir: /my data}}\n"): "must be an absolute path of letters, digits",
    configuration("etcd: {local: {imageTag: 3.6.8@sha256:00}}\n"): "must be an image's tag",
    configuration("apiServer: {extraVolumes: [{name: x, hostPath: a, mountPath: /b}]}\n"): "an absolute path",
    configuration("apiServer: {extraVolumes: [{name: a_b, hostPath: /a, mountPath: /b}]}\n"): "a DNS label",
    configuration('apiServer: {certSANs: ["::ffff:10.0.0.1"]}\n'): "is an IPv4-mapped IPv6 address",
    configuration("apiServer: {certSANs: [10.0.0.01]}\n"): "others read as octal: write 10.0.0.1",
    configuration(init=f"localAPIEndpoint: {{advertiseAddress: 10.20.0.011}}\n{NODE}"): "write 10.20.0.11",
    configuration(init=f"localAPIEndpoint: {{advertiseAddress: 224.0.0.1}}\n{NODE}"): "address of one host",
    configuration(init=f"{INIT}nodeRegistration: {{name: {'n' * 61}}}\n"): "which leaves 52",
    configuration("networking: {serviceSubnet: 10.96.0.1/12}\n"): "has host bits set: write 10.96.0.0/12",
    configuration("networking: {podSubnet: 10.100.0.0/16}\n"): "overlaps the service subnet",
    configuration("certificateValidityPeriod: 0h\n"): "must be longer than zero",
    configuration("apiServer: {extraEnvs: [{name: 1A, value: x}]}\n"): "must be a variable's name",
    configuration("apiServer: {extraVolumes: [{name: x, hostPath: /a, mountPath: '/b:c'}]}\n"): "without ':'",
}


def _refusal(text: str) -> str | None:
    try:
        load_text(text.encode(), file="f", kinds=CERTIFICATES, host=HOST)
    except SpecError as error:
        return "; ".join(map(str, error.problems))
    return None


def _kubeadm_reads(text: str, folder: Path) -> bool:
    file = folder / "kubeadm.yaml"
    file.write_text(text)
    command = [find("kubeadm"), "config", "validate", "--config", str(file)]
    return subprocess.run(command, capture_output=True, check=False, timeout=300).returncode == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_what_one_reads_the_other_reads(kind: object, tmp_path: Path) -> None:
    assert callable(kind)
    find("kubeadm")
    for text in kind():
        assert (_refusal(text) is None) == _kubeadm_reads(text, tmp_path), (text, _refusal(text))


@pytest.mark.parametrize("text", STRICTER, ids=list(STRICTER.values()))
def test_what_only_kubeadm_reads_is_refused_with_the_reason(text: str, tmp_path: Path) -> None:
    assert STRICTER[text] in (_refusal(text) or "")
    assert _kubeadm_reads(text, tmp_path)
