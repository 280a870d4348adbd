"""Clusters with other names than kubeadm's: one CA for everything, and units in place of static Pods."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import yaml

from pkigen.adoption.audit import audit
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.judgements import judgements
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.keys import private_pem, public_pem
from tests.adoption.altered_nodes import CLIENT, DAY, SERVER, alike, name_of, new_ca, new_key, pem_of, sans

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.adoption.altered_nodes import Issuer

PLACE = "/var/lib/kubernetes"
API_SERVER = f"""\
[Unit]
Description=Kubernetes API Server
[Service]
ExecStart=/usr/local/bin/kube-apiserver \\
  --advertise-address=10.240.0.10 \\
  --client-ca-file={PLACE}/ca.pem \\
  --etcd-cafile={PLACE}/ca.pem \\
  --etcd-certfile={PLACE}/kubernetes.pem \\
  --etcd-keyfile={PLACE}/kubernetes-key.pem \\
  --etcd-servers=https://10.240.0.10:2379 \\
  --kubelet-certificate-authority={PLACE}/ca.pem \\
  --kubelet-client-certificate={PLACE}/kubernetes.pem \\
  --kubelet-client-key={PLACE}/kubernetes-key.pem \\
  --service-account-key-file={PLACE}/service-account.pem \\
  --service-account-signing-key-file={PLACE}/service-account-key.pem \\
  --service-cluster-ip-range=10.32.0.0/24 \\
  --tls-cert-file={PLACE}/kubernetes.pem \\
  --tls-private-key-file={PLACE}/kubernetes-key.pem
Restart=on-failure
"""
ETCD = """\
[Service]
ExecStart=/usr/local/bin/etcd \\
  --name controller-0 --cert-file=/etc/etcd/kubernetes.pem --key-file=/etc/etcd/kubernetes-key.pem \\
  --peer-cert-file=/etc/etcd/kubernetes.pem --peer-key-file=/etc/etcd/kubernetes-key.pem \\
  --trusted-ca-file=/etc/etcd/ca.pem --peer-trusted-ca-file=/etc/etcd/ca.pem \\
  --peer-client-cert-auth --client-cert-auth \\
  --initial-advertise-peer-urls https://10.240.0.10:2380 \\
  --listen-client-urls https://10.240.0.10:2379,https://127.0.0.1:2379 \\
  --advertise-client-urls https://10.240.0.10:2379 \\
  --initial-cluster controller-0=https://10.240.0.10:2380
"""
MANAGER = f"""\
[Service]
ExecStart=/usr/local/bin/kube-controller-manager \\
  --cluster-signing-cert-file={PLACE}/ca.pem --cluster-signing-key-file={PLACE}/ca-key.pem \\
  --kubeconfig={PLACE}/kube-controller-manager.kubeconfig --root-ca-file={PLACE}/ca.pem \\
  --service-account-private-key-file={PLACE}/service-account-key.pem
"""


def kubeconfig(ca: Issuer, certificate: bytes, key: bytes) -> str:
    user = {"client-certificate-data": certificate, "client-key-data": key}
    fields = {name: base64.b64encode(data).decode() for name, data in user.items()}
    data = base64.b64encode(ca.pem).decode()
    cluster = {"certificate-authority-data": data, "server": "https://127.0.0.1:6443"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "hard", "cluster": cluster}],
        "contexts": [{"name": "default", "context": {"cluster": "hard", "user": "manager"}}],
        "users": [{"name": "manager", "user": fields}],
        "current-context": "default",
    }
    return yaml.safe_dump(content)


def made_by_hand(root: Path, now: datetime) -> None:
    ca = new_ca("Kubernetes", now)
    validity = (now - DAY, now + 300 * DAY)
    key = new_key()
    names = sans("10.240.0.10", "127.0.0.1", "10.32.0.1", "kubernetes.default.svc")
    served = alike(
        ca.certificate,
        ca,
        key,
        subject=name_of("kubernetes", "Kubernetes"),
        names=names,
        usages=[SERVER, CLIENT],
        validity=validity,
    )
    files: dict[str, bytes | str] = {
        "etc/systemd/system/kube-apiserver.service": API_SERVER,
        "etc/systemd/system/etcd.service": ETCD,
        "etc/systemd/system/kube-controller-manager.service": MANAGER,
        "etc/kubernetes/config/kube-scheduler.yaml": "kind: KubeSchedulerConfiguration\n",
    }
    for place in ("etc/etcd", PLACE.lstrip("/")):
        files |= {
            f"{place}/ca.pem": ca.pem,
            f"{place}/kubernetes.pem": pem_of(served),
            f"{place}/kubernetes-key.pem": private_pem(key),
        }
    token, own = new_key(), new_key()
    subject = name_of("system:kube-controller-manager", "system:kube-controller-manager")
    login = alike(ca.certificate, ca, own, subject=subject, usages=[CLIENT], validity=validity)
    files |= {
        f"{PLACE.lstrip('/')}/ca-key.pem": private_pem(ca.key),
        f"{PLACE.lstrip('/')}/service-account.pem": public_pem(token),
        f"{PLACE.lstrip('/')}/service-account-key.pem": private_pem(token),
        f"{PLACE.lstrip('/')}/kube-controller-manager.kubeconfig": kubeconfig(
            ca, pem_of(login), private_pem(own)
        ),
    }
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data if isinstance(data, bytes) else data.encode())
        (root / path).chmod(0o600)


def test_a_cluster_made_by_hand_is_understood(tmp_path: Path, now: datetime) -> None:
    made_by_hand(tmp_path / "controller-0", now)
    cluster = inspect(node_trees(tmp_path), now=now)
    examined = {str(each.judged) for each in judgements(cluster)}
    assert {"etcd on controller-0", "kube-apiserver on controller-0"} <= examined
    found = [each for each in audit(cluster) if each.severity is not AuditSeverity.INFORMATION]
    assert [(each.rule.value, each.severity.value, each.spot.path) for each in found] == [
        ("shared-ca", "warning", "/etc/etcd/ca.pem")
    ]


def test_a_name_that_is_missing_is_found_there_too(tmp_path: Path, now: datetime) -> None:
    made_by_hand(tmp_path / "controller-0", now)
    unit = tmp_path / "controller-0/etc/systemd/system/etcd.service"
    unit.write_text(unit.read_text().replace("10.240.0.10", "10.240.0.99"))
    api_server = unit.with_name("kube-apiserver.service")
    api_server.write_text(
        api_server.read_text().replace("https://10.240.0.10:2379", "https://10.240.0.99:2379")
    )
    found = [each for each in audit(inspect(node_trees(tmp_path), now=now)) if "refused" in each.rule]
    assert {each.spot.path for each in found} == {"/etc/etcd/kubernetes.pem"}
    assert "it does not name 10.240.0.99" in found[0].detail
