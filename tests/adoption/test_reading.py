from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from pkigen.adoption.audit import audit
from pkigen.adoption.findings import AuditRule
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.programs import read_programs
from pkigen.adoption.put_away import is_put_away
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.keys import private_pem, public_der, public_pem
from pkigen.crypto.pem_blocks import read_pem
from pkigen.desired.readers import ComponentName
from tests.adoption.altered_nodes import new_ca, new_key, pem_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pkigen.adoption.found import ForeignCluster, Program
    from tests.adoption.altered_nodes import AlteredNode


def test_blocks_are_read_one_after_the_other_whatever_is_between(now: datetime) -> None:
    key, ca = new_key(), new_ca("ca", now)
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    content = read_pem(
        b"Bag Attributes\n" + parameters + private_pem(key) + b"subject=\n" + ca.pem + public_pem(key)
    )
    assert content.certificates == (ca.certificate,)
    assert content.private == content.public == (public_der(key),)
    assert (content.faults, content.holds_private) == ((), True)
    assert set(content.token_keys) == {public_der(key), public_der(ca.key)}


def test_no_private_byte_is_kept() -> None:
    key = new_key()
    content = read_pem(private_pem(key))
    number = format(key.private_numbers().private_value, "x")  # type: ignore[union-attr]
    assert number not in repr(content)
    assert all(number not in each.hex() for each in content.private)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "a damaged PEM block"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "a certificate that cannot be read",
        ),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a public key that cannot be read"),
        (b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "is not a PEM private key"),
        (b"-----BEGIN CERTIFICATE-----\n" * 30_000, "a damaged PEM block"),
        (b"-----BEGIN X-----\nAA==\n-----END X-----\n" * 300, "more than 256 PEM blocks"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, fault: str) -> None:
    assert any(fault in each for each in read_pem(data).faults)


def test_a_key_with_a_passphrase_is_said_to_have_one() -> None:
    key = new_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"secret"),
    )
    assert b"Proc-Type" in key
    assert read_pem(key).faults == ("is encrypted with a passphrase",)


def cluster_of(place: Path, now: datetime) -> ForeignCluster:
    return inspect(node_trees(place), now=now)


def program(cluster: ForeignCluster, component: ComponentName) -> Program:
    ((_, found),) = cluster.running(component)
    return found


def test_flags_are_read_as_pflag_reads_them(node: AlteredNode) -> None:
    manifest = yaml.safe_load(node.path("manifests/kube-apiserver.yaml").read_text())
    container = manifest["spec"]["containers"][0]
    container["args"] = ["--tls_cert_file", "/x.crt", "--profiling", "--v=2", "--v=4"]
    container["command"][0] = "/usr/local/bin/kube-apiserver"
    node.write("manifests/kube-apiserver.yaml", yaml.safe_dump(manifest).encode())
    flags = program(cluster_of(node.root, node.now), ComponentName.API_SERVER).flags
    assert (flags.value("tls-cert-file"), flags.value("profiling")) == ("/x.crt", "true")
    assert (flags.value("v"), flags.values("v")) == ("4", ("2", "4"))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("$(PKI)/ca.crt", "/srv/pki/ca.crt"),
        ("$(TOP)$(PKI)/$(PKI)", "/srv/srv/pki//srv/pki"),
        ("$(LATER)", "$(PKI2)"),
        ("$(NONE)/ca.crt", "$(NONE)/ca.crt"),
        ("$(NODE_IP)", "$(NODE_IP)"),
        ("$(REPLACED)", "$(REPLACED)"),
        ("$$(PKI)", "$(PKI)"),
        ("$$$(PKI)", "$/srv/pki"),
        ("$PKI ${PKI} $ $(PKI", "$PKI ${PKI} $ $(PKI"),
        ("$(EMPTY)x$()", "x$()"),
    ],
)
def test_variables_are_put_in_as_the_kubelet_does_it(node: AlteredNode, given: str, read: str) -> None:
    manifest = yaml.safe_load(node.path("manifests/kube-apiserver.yaml").read_text())
    container = manifest["spec"]["containers"][0]
    elsewhere = {"fieldRef": {"fieldPath": "status.hostIP"}}
    container["env"] = [
        {"name": "TOP", "value": "/srv"},
        {"name": "PKI", "value": "$(TOP)/pki"},
        {"name": "LATER", "value": "$(PKI2)"},
        {"name": "PKI2", "value": "/x"},
        {"name": "NODE_IP", "valueFrom": elsewhere},
        {"name": "REPLACED", "value": "1"},
        {"name": "REPLACED", "valueFrom": elsewhere},
        {"name": "EMPTY"},
    ]
    container["command"].append(f"--client-ca-file={given}")
    node.write("manifests/kube-apiserver.yaml", yaml.safe_dump(manifest).encode())
    flags = program(cluster_of(node.root, node.now), ComponentName.API_SERVER).flags
    assert flags.value("client-ca-file") == read


def test_a_members_settings_may_stand_in_its_environment(tmp_path: Path) -> None:
    """As kubespray has it."""
    (tmp_path / "etc/kubernetes").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/etcd.env").write_text(
        '# etcd\nETCD_CERT_FILE=/etc/ssl/etcd/m.pem\nETCD_CLIENT_CERT_AUTH="true"\n'
    )
    unit = "[Service]\nEnvironmentFile=-/etc/etcd.env\nExecStart=/bin/etcd \\\n  $X --cert-file=/other.pem\n"
    (tmp_path / "etc/systemd/system/etcd.service").write_text(unit)
    (tree,) = node_trees(tmp_path)
    ((found,), unread) = read_programs(tree)
    assert unread == ()
    assert found.component is ComponentName.ETCD
    assert found.flags.value("client-cert-auth") == "true"
    assert found.flags.value("cert-file") == "/other.pem", "a flag counts more"


@pytest.mark.parametrize(
    "line",
    [
        "KUBELET_EXTRA_ARGS=--v=2 --node-ip=10.0.0.21 --hostname-override=a.example",
        'KUBELET_EXTRA_ARGS="--v=2 --node-ip=10.0.0.21 --hostname-override=a.example"',
        "KUBELET_EXTRA_ARGS = '--v=2 --node-ip=10.0.0.21 --hostname-override=a.example'",
        'KUBELET_EXTRA_ARGS="--v=2 \\\n--node-ip=10.0.0.21\n--hostname-override=a.example"',
        "; it's\nA=it's\nKUBELET_EXTRA_ARGS=--v=2 --node-ip=10.0.0.21 --hostname-override=a.example \n",
        'KUBELET_EXTRA_ARGS=--node-labels=\\"a\\" --node-ip=10.0.0.21 --hostname-override=a.example',
    ],
    ids=["plain", "quoted", "single quotes", "several lines", "an apostrophe elsewhere", "escapes"],
)
def test_an_environment_file_is_read_as_systemd_reads_it(tmp_path: Path, line: str) -> None:
    for path, text in {
        "var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\n",
        "etc/default/kubelet": f"# from the package\n{line}\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    (tree,) = node_trees(tmp_path)
    ((found,), unread) = read_programs(tree)
    assert unread == ()
    assert found.flags.value("node-ip") == "10.0.0.21"
    assert found.flags.value("hostname-override") == "a.example"


def test_a_file_is_found_where_the_pod_mounts_it(node: AlteredNode) -> None:
    manifest = yaml.safe_load(node.path("manifests/kube-apiserver.yaml").read_text())
    for volume in manifest["spec"]["volumes"]:
        if volume["hostPath"]["path"] == "/etc/kubernetes/pki":
            volume["hostPath"]["path"] = "/srv/pki"
    node.write("manifests/kube-apiserver.yaml", yaml.safe_dump(manifest).encode())
    (node.root / "srv").mkdir()
    shutil.copytree(node.path("pki"), node.root / "srv/pki")
    (node.root / "srv/pki/apiserver.key").write_bytes(private_pem(new_key()))
    found = [
        each.spot.path
        for each in audit(cluster_of(node.root, node.now))
        if each.rule is AuditRule.KEY_MISMATCH
    ]
    assert found == ["/srv/pki/apiserver.crt"]


def test_a_directory_that_was_not_copied_is_information(node: AlteredNode) -> None:
    node.set_flag("kube-apiserver", "client-ca-file", "/etc/kubernetes/elsewhere/ca.crt")
    found = [each for each in audit(cluster_of(node.root, node.now)) if each.rule is AuditRule.NOT_COPIED]
    assert [(each.spot.path, each.severity) for each in found] == [
        ("/etc/kubernetes/elsewhere/ca.crt", AuditSeverity.INFORMATION)
    ]


def test_what_was_put_away_is_information(node: AlteredNode) -> None:
    for name in ("tmp/kubeadm-backup-certs", "pki.old", "pki-backup-2024"):
        shutil.copytree(node.path("pki/etcd"), node.path(name))
        (node.path(name) / "server.crt").write_bytes(b"damaged")
    found = [
        each
        for each in audit(cluster_of(node.root, node.now))
        if each.severity is not AuditSeverity.INFORMATION
    ]
    assert found == []
    assert not is_put_away("/etc/kubernetes/pki/ca.crt")


def test_a_name_that_stands_for_itself_has_its_own_certificate(node: AlteredNode) -> None:
    """`--tls-sni-cert-key`: who asks for the endpoint's name sees another certificate."""
    ca = new_ca("public", node.now)
    node.write("pki/public.crt", pem_of(node.certificate("pki/apiserver.crt")))
    node.write("pki/public.key", node.path("pki/apiserver.key").read_bytes())
    node.reissue("public", ca)
    pki = "/etc/kubernetes/pki"
    node.set_flag(
        "kube-apiserver", "tls-sni-cert-key", f"{pki}/public.crt,{pki}/public.key:api.prod.example.com"
    )
    found = audit(cluster_of(node.root, node.now))
    (refused,) = (each for each in found if each.rule is AuditRule.REFUSED_CONNECTION)
    assert refused.spot.path == f"{pki}/public.crt"
    assert refused.detail.startswith("who uses /etc/kubernetes/admin.conf on cp-1 refuses")
    # Nobody trusts its CA: what is wrong is the certificate, not one kubeconfig.
    assert [each for each in found if each.rule is AuditRule.STALE_CA] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("current-context:", "x: !!python/object:os.system y\ncurrent-context:", "tag"),
        ("apiVersion: v1", "apiVersion: v2", "is not a kubeconfig"),
        ("users:", "users:\n- name: a\n  user: &a {}\n- name: a\n  user: *a\nothers:", "twice"),
    ],
)
def test_a_kubeconfig_that_kubectl_does_not_read_is_said(
    node: AlteredNode, old: str, new: str, said: str
) -> None:
    text = node.path("admin.conf").read_text()
    assert old in text
    node.write("admin.conf", text.replace(old, new, 1).encode())
    found = [
        each
        for each in audit(cluster_of(node.root, node.now))
        if each.rule is AuditRule.DAMAGED_FILE and each.spot.path.endswith("admin.conf")
    ]
    assert [each.severity for each in found] == [AuditSeverity.ERROR]
    assert said in found[0].detail


@pytest.mark.parametrize("indent", [None, 2])
def test_a_kubeconfig_may_be_json(node: AlteredNode, indent: int | None) -> None:
    content = yaml.safe_load(node.path("admin.conf").read_text())
    node.write("team.json", json.dumps(content, indent=indent).encode())
    found = cluster_of(node.root, node.now).nodes[0].kubeconfig("/etc/kubernetes/team.json")
    assert found is not None
    assert found.current is not None


def test_a_certificate_of_ed25519_is_judged(node: AlteredNode) -> None:
    """Go signs and verifies with it; only its own hash is within it."""
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 -- for this test alone

    key = ed25519.Ed25519PrivateKey.generate()
    old = node.certificate("pki/front-proxy-client.crt")
    issuer = node.issuer("front-proxy-ca")
    from tests.adoption.altered_nodes import alike  # noqa: PLC0415 -- as above

    node.write("pki/front-proxy-client.crt", pem_of(alike(old, issuer, key)))  # type: ignore[arg-type]
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    node.write("pki/front-proxy-client.key", pem)
    found = [
        each
        for each in audit(cluster_of(node.root, node.now))
        if each.severity is not AuditSeverity.INFORMATION
    ]
    assert found == []


def test_a_kubelet_whose_configuration_was_not_copied_is_taken_for_kubeadms(node: AlteredNode) -> None:
    shutil.rmtree(node.root / "var")
    node.reissue("apiserver-kubelet-client", new_ca("other", node.now))
    found = [
        each for each in audit(cluster_of(node.root, node.now)) if each.rule is AuditRule.REFUSED_CONNECTION
    ]
    assert [each.spot.path for each in found] == ["/etc/kubernetes/pki/apiserver-kubelet-client.crt"]
