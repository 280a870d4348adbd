"""Clusters as other makers lay them out, with certificates by openssl or cfssl."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from pkigen.crypto.keys import private_pem
from tests.adoption.altered_nodes import CLIENT, PKI, SERVER, AlteredNode, name_of, new_ca

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

VERSION = "v1.36.2"
_PROFILE = ["signing", "key encipherment", "server auth", "client auth"]
_OPENSSL = """\
[req]
distinguished_name = dn
[dn]
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
[names]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = ${ENV::NAMES}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSSL:
    """A CA made with the openssl command, which is all that some have."""

    place: Path

    def ca(self, name: str = "ca") -> Pair:
        subject = ("-subj", f"/CN=kubernetes-{name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", *subject)
        return self._pair(name)

    def leaf(self, name: str, *groups: str, names: tuple[str, ...] = (), ca: str = "ca") -> Pair:
        self.place.joinpath("leaf.cnf").write_text(_OPENSSL)
        stem = name.replace(":", "-").replace("/", "-")
        whole = "".join(f"/O={group}" for group in groups) + f"/CN={name}"
        request = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{stem}.key", "-out", f"{stem}.csr")
        self._run("req", "-new", "-config", "leaf.cnf", "-subj", whole, *request, names=names)
        signing = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "365")
        section = ("-extfile", "leaf.cnf", "-extensions", "names" if names else "leaf")
        self._run(
            "x509", "-req", "-in", f"{stem}.csr", *signing, *section, "-out", f"{stem}.crt", names=names
        )
        return self._pair(stem)

    def _pair(self, stem: str) -> Pair:
        certificate, key = (self.place / f"{stem}.{end}" for end in ("crt", "key"))
        return Pair(certificate=certificate.read_bytes(), key=key.read_bytes())

    def _run(self, *arguments: str, names: tuple[str, ...] = ()) -> None:
        listed = ",".join(f"{'IP' if each[0].isdigit() else 'DNS'}:{each}" for each in names)
        environment = {"PATH": "/usr/bin:/bin", "NAMES": listed or "DNS:none"}
        subprocess.run(
            ["openssl", *arguments],
            cwd=self.place,
            env=environment,
            check=True,
            capture_output=True,
            timeout=300,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CFSSL:
    """The same with cfssl, as kubernetes-the-hard-way does it."""

    place: Path

    def ca(self, name: str = "ca") -> Pair:
        request = {"CN": f"kubernetes-{name}", "key": {"algo": "rsa", "size": 2048}}
        return self._made(name, request, "gencert", "-initca", "-")

    def leaf(self, name: str, *groups: str, names: tuple[str, ...] = (), ca: str = "ca") -> Pair:
        profiles = {"kubernetes": {"usages": _PROFILE, "expiry": "8760h"}}
        config = self.place / "config.json"
        config.write_text(json.dumps({"signing": {"default": {"expiry": "8760h"}, "profiles": profiles}}))
        request = {
            "CN": name,
            "key": {"algo": "rsa", "size": 2048},
            "names": [{"O": group} for group in groups],
            "hosts": list(names),
        }
        signing = [f"-ca={ca}.pem", f"-ca-key={ca}-key.pem", "-config=config.json", "-profile=kubernetes"]
        return self._made(name.replace(":", "-").replace("/", "-"), request, "gencert", *signing, "-")

    def _made(self, stem: str, request: Mapping[str, object], *arguments: str) -> Pair:
        said = subprocess.run(
            ["cfssl", *arguments],
            cwd=self.place,
            input=json.dumps(request),
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        found = json.loads(said.stdout)
        (self.place / f"{stem}.pem").write_text(found["cert"])
        (self.place / f"{stem}-key.pem").write_text(found["key"])
        return Pair(certificate=found["cert"].encode(), key=found["key"].encode())


Maker = OpenSSL | CFSSL


@dataclass(slots=True, kw_only=True)
class Node:
    """What one node has, by its own paths."""

    files: dict[str, bytes] = field(default_factory=dict)

    def put(self, pair: Pair, certificate: str, key: str) -> None:
        self.files |= {certificate: pair.certificate, key: pair.key}

    def write(self, root: Path) -> None:
        for path, data in self.files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            target.chmod(0o644 if path.endswith((".service", ".yaml")) else 0o600)


def token_key(place: Path) -> Pair:
    key = place / "sa"
    subprocess.run(
        ["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True, timeout=300
    )
    public = subprocess.run(
        ["openssl", "rsa", "-in", str(key), "-pubout"], check=True, capture_output=True, timeout=300
    ).stdout
    return Pair(certificate=public, key=key.read_bytes())


def kubeconfig(ca: Pair, pair: Pair, server: str) -> bytes:
    user = {"client-certificate-data": pair.certificate, "client-key-data": pair.key}
    encoded = {name: base64.b64encode(data).decode() for name, data in user.items()}
    data = base64.b64encode(ca.certificate).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "hard", "cluster": {"certificate-authority-data": data, "server": server}}],
        "contexts": [{"name": "default", "context": {"cluster": "hard", "user": "own"}}],
        "users": [{"name": "own", "user": encoded}],
        "current-context": "default",
    }
    return yaml.safe_dump(content).encode()


def unit(program: str, *flags: str) -> bytes:
    """A unit with its flags over several lines."""
    lines = " \\\n  ".join((f"/usr/local/bin/{program}", *flags))
    return f"[Unit]\nDescription={program}\n[Service]\nExecStart={lines}\nRestart=always\n".encode()


ADDRESS = "10.240.0.10"
WORKER = "10.240.0.20"
_API_NAMES = ("10.32.0.1", ADDRESS, "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_API_NAMES += ("kubernetes.default.svc.cluster.local",)


def by_hand(place: Path, maker: Maker, *, home: str, ends: tuple[str, str], beside: bool = True) -> None:
    """kubernetes-the-hard-way: one CA, one pair for API server and etcd, units, and a worker.

    Args:
        place: Where the nodes' directories go.
        maker: Who makes the certificates.
        home: The control plane's directory of certificates.
        ends: How the names of certificates and of keys end.
        beside: Whether the CA's key lies beside its certificate, or in a directory of its own.
    """
    crt, key = ends
    ca = maker.ca()
    served = maker.leaf("kubernetes", "Kubernetes", names=_API_NAMES)
    token = token_key(maker.place)
    first = Node()
    for directory in (home, "/etc/etcd"):
        first.files[f"{directory}/ca{crt}"] = ca.certificate
        first.put(served, f"{directory}/kubernetes{crt}", f"{directory}/kubernetes{key}")
    ca_key = f"{home}/ca{key}" if beside else f"{home}/private/ca.key"
    first.files[ca_key] = ca.key
    first.put(token, f"{home}/service-account{crt}", f"{home}/service-account{key}")
    for component in ("kube-controller-manager", "kube-scheduler"):
        pair = maker.leaf(f"system:{component}", f"system:{component}")
        first.files[f"{home}/{component}.kubeconfig"] = kubeconfig(ca, pair, "https://127.0.0.1:6443")
    admin = maker.leaf("admin", "system:masters")
    first.files["/root/admin.kubeconfig"] = kubeconfig(ca, admin, f"https://{ADDRESS}:6443")
    scheduler = {"kind": "KubeSchedulerConfiguration", "apiVersion": "kubescheduler.config.k8s.io/v1"}
    named = {"clientConnection": {"kubeconfig": f"{home}/kube-scheduler.kubeconfig"}}
    units = "/etc/systemd/system"
    first.files |= {
        "/etc/kubernetes/config/kube-scheduler.yaml": yaml.safe_dump({**scheduler, **named}).encode(),
        f"{units}/kube-scheduler.service": unit(
            "kube-scheduler", "--config=/etc/kubernetes/config/kube-scheduler.yaml", "--v=2"
        ),
        f"{units}/kube-controller-manager.service": unit(
            "kube-controller-manager",
            "--cluster-cidr=10.200.0.0/16",
            "--allocate-node-cidrs=true",
            f"--cluster-signing-cert-file={home}/ca{crt}",
            f"--cluster-signing-key-file={ca_key}",
            f"--kubeconfig={home}/kube-controller-manager.kubeconfig",
            f"--root-ca-file={home}/ca{crt}",
            f"--service-account-private-key-file={home}/service-account{key}",
            "--service-cluster-ip-range=10.32.0.0/24",
            "--use-service-account-credentials=true",
        ),
        f"{units}/kube-apiserver.service": unit(
            "kube-apiserver",
            f"--advertise-address={ADDRESS}",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={home}/ca{crt}",
            f"--etcd-cafile={home}/ca{crt}",
            f"--etcd-certfile={home}/kubernetes{crt}",
            f"--etcd-keyfile={home}/kubernetes{key}",
            f"--etcd-servers=https://{ADDRESS}:2379",
            f"--kubelet-certificate-authority={home}/ca{crt}",
            f"--kubelet-client-certificate={home}/kubernetes{crt}",
            f"--kubelet-client-key={home}/kubernetes{key}",
            f"--service-account-key-file={home}/service-account{crt}",
            f"--service-account-signing-key-file={home}/service-account{key}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-cluster-ip-range=10.32.0.0/24",
            f"--tls-cert-file={home}/kubernetes{crt}",
            f"--tls-private-key-file={home}/kubernetes{key}",
        ),
        "/etc/default/etcd": f"ETCD_NAME=controller-0\nETCD_DATA_DIR=/var/lib/etcd\n"
        f"OPTIONS='--cert-file=/etc/etcd/kubernetes{crt} --key-file=/etc/etcd/kubernetes{key}'\n".encode(),
        f"{units}/etcd.service": unit(
            "etcd",
            "$OPTIONS",
            f"--peer-cert-file=/etc/etcd/kubernetes{crt} --peer-key-file=/etc/etcd/kubernetes{key}",
            f"--trusted-ca-file=/etc/etcd/ca{crt} --peer-trusted-ca-file=/etc/etcd/ca{crt}",
            "--peer-client-cert-auth --client-cert-auth",
            f"--initial-advertise-peer-urls https://{ADDRESS}:2380 --listen-peer-urls https://{ADDRESS}:2380",
            f"--listen-client-urls https://{ADDRESS}:2379,https://127.0.0.1:2379",
            f"--advertise-client-urls https://{ADDRESS}:2379",
            f"--initial-cluster controller-0=https://{ADDRESS}:2380 --initial-cluster-state new",
        ).replace(b"[Service]\n", b"[Service]\nEnvironmentFile=-/etc/default/etcd\n"),
    }
    first.write(place / "controller-0")
    _worker(maker, ca, ends).write(place / "worker-0")


def _worker(maker: Maker, ca: Pair, ends: tuple[str, str]) -> Node:
    """A kubelet and a kube-proxy, each with files in its own directory, and nothing in /etc/kubernetes."""
    crt, key = ends
    node, home = Node(), "/var/lib/kubelet"
    pair = maker.leaf("system:node:worker-0", "system:nodes", names=("worker-0", WORKER))
    node.put(pair, f"{home}/worker-0{crt}", f"{home}/worker-0{key}")
    node.files[f"{home}/ca{crt}"] = ca.certificate
    node.files[f"{home}/kubeconfig"] = kubeconfig(ca, pair, f"https://{ADDRESS}:6443")
    proxy = maker.leaf("system:kube-proxy", "system:node-proxier")
    node.files["/var/lib/kube-proxy/kubeconfig"] = kubeconfig(ca, proxy, f"https://{ADDRESS}:6443")
    configuration = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "authentication": {"x509": {"clientCAFile": f"{home}/ca{crt}"}, "anonymous": {"enabled": False}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{home}/worker-0{crt}",
        "tlsPrivateKeyFile": f"{home}/worker-0{key}",
    }
    of_proxy = {
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig"},
    }
    node.files |= {
        f"{home}/kubelet-config.yaml": yaml.safe_dump(configuration).encode(),
        "/var/lib/kube-proxy/kube-proxy-config.yaml": yaml.safe_dump(of_proxy).encode(),
        "/etc/systemd/system/kubelet.service": unit(
            "kubelet", f"--config={home}/kubelet-config.yaml", f"--kubeconfig={home}/kubeconfig"
        ),
        "/etc/systemd/system/kube-proxy.service": unit(
            "kube-proxy", "--config=/var/lib/kube-proxy/kube-proxy-config.yaml"
        ),
    }
    return node


_KUBESPRAY_KUBELET = (
    "$KUBE_LOGTOSTDERR $KUBE_LOG_LEVEL $KUBELET_API_SERVER $KUBELET_ADDRESS $KUBELET_PORT",
    "$KUBELET_HOSTNAME $KUBELET_ARGS",
)
_KUBESPRAY_ENVIRONMENT = """\
KUBE_LOG_LEVEL="--v=2"
KUBELET_ADDRESS="--node-ip={address}"
KUBELET_HOSTNAME="--hostname-override={name}"
KUBELET_ARGS="--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \\
--config=/etc/kubernetes/kubelet-config.yaml \\
--kubeconfig=/etc/kubernetes/kubelet.conf \\
--runtime-cgroups=/system.slice/containerd.service "
"""


def like_kubespray(nodes: Path, maker: OpenSSL) -> None:
    """Move kubeadm's files where kubespray has them, with an etcd that its own units run.

    The names are those of its roles (kubernetes/node, kubernetes/control-plane, etcd).
    """
    maker.ca()
    for root in sorted(nodes.iterdir()):
        kubernetes = root / "etc/kubernetes"
        shutil.move(kubernetes / "pki", kubernetes / "ssl")
        (kubernetes / "pki").symlink_to("/etc/kubernetes/ssl")
        shutil.rmtree(kubernetes / "ssl/etcd", ignore_errors=True)
        for path in [*kubernetes.rglob("*.yaml"), root / "var/lib/kubelet/config.yaml"]:
            if path.exists():
                path.write_text(path.read_text().replace("/etc/kubernetes/pki", "/etc/kubernetes/ssl"))
        _with_kubespray_kubelet(root)
        if root.name.startswith("cp-"):
            _with_kubespray_etcd(root, maker)


def _with_kubespray_kubelet(root: Path) -> None:
    """Its unit takes all flags from kubelet.env; what kubeadm was given lies beside the kubeconfigs."""
    kubernetes = root / "etc/kubernetes"
    shutil.move(root / "var/lib/kubelet/config.yaml", kubernetes / "kubelet-config.yaml")
    address = f"10.0.0.{'1' if root.name.startswith('cp-') else '2'}{root.name[-1]}"
    (kubernetes / "kubelet.env").write_text(_KUBESPRAY_ENVIRONMENT.format(name=root.name, address=address))
    started = unit("kubelet", *_KUBESPRAY_KUBELET)
    environment = b"[Service]\nEnvironmentFile=-/etc/kubernetes/kubelet.env\n"
    target = root / "etc/systemd/system/kubelet.service"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(started.replace(b"[Service]\n", environment))
    given = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n"
    (kubernetes / "kubeadm-client.conf").write_text(given)


def _with_kubespray_etcd(root: Path, maker: OpenSSL) -> None:
    name, address = root.name, f"10.0.0.1{root.name[-1]}"
    node, home = Node(), "/etc/ssl/etcd/ssl"
    names = (name, "localhost", address, "127.0.0.1")
    for kind in ("member", "admin", "node"):
        pair = maker.leaf(f"etcd-{kind}-{name}", names=names)
        node.put(pair, f"{home}/{kind}-{name}.pem", f"{home}/{kind}-{name}-key.pem")
    ca = maker._pair("ca")  # noqa: SLF001 -- this module's own
    node.put(ca, f"{home}/ca.pem", f"{home}/ca-key.pem")
    variables = {
        "ETCD_NAME": name,
        "ETCD_CERT_FILE": f"{home}/member-{name}.pem",
        "ETCD_KEY_FILE": f"{home}/member-{name}-key.pem",
        "ETCD_PEER_CERT_FILE": f"{home}/member-{name}.pem",
        "ETCD_PEER_KEY_FILE": f"{home}/member-{name}-key.pem",
        "ETCD_TRUSTED_CA_FILE": f"{home}/ca.pem",
        "ETCD_PEER_TRUSTED_CA_FILE": f"{home}/ca.pem",
        "ETCD_CLIENT_CERT_AUTH": "true",
        "ETCD_PEER_CLIENT_CERT_AUTH": "True",
        "ETCD_ADVERTISE_CLIENT_URLS": f"https://{address}:2379",
        "ETCD_LISTEN_CLIENT_URLS": f"https://{address}:2379,https://127.0.0.1:2379",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"https://{address}:2380",
    }
    node.files["/etc/etcd.env"] = "".join(f"{key}={value}\n" for key, value in variables.items()).encode()
    started = unit("etcd").replace(b"[Service]\n", b"[Service]\nEnvironmentFile=/etc/etcd.env\n")
    node.files["/etc/systemd/system/etcd.service"] = started
    node.write(root)
    manifests = root / "etc/kubernetes/manifests"
    (manifests / "etcd.yaml").unlink()
    content = yaml.safe_load((manifests / "kube-apiserver.yaml").read_text())
    members = ",".join(f"https://10.0.0.1{number}:2379" for number in (1, 2, 3))
    given = {"etcd-servers": members, "etcd-cafile": f"{home}/ca.pem"}
    given |= {"etcd-certfile": f"{home}/node-{name}.pem", "etcd-keyfile": f"{home}/node-{name}-key.pem"}
    (container,) = content["spec"]["containers"]
    kept = [word for word in container["command"] if not word.startswith("--etcd-")]
    container["command"] = [*kept, *(f"--{flag}={value}" for flag, value in given.items())]
    container["volumeMounts"].append({"name": "etcd-certs-0", "mountPath": home, "readOnly": True})
    mounted = {"path": home, "type": "DirectoryOrCreate"}
    content["spec"]["volumes"].append({"name": "etcd-certs-0", "hostPath": mounted})
    (manifests / "kube-apiserver.yaml").write_text(yaml.safe_dump(content))
    (root / PKI / "apiserver-etcd-client.crt").unlink(missing_ok=True)


def like_minikube(nodes: Path, now: datetime) -> None:
    """kubeadm's files in /var/lib/minikube/certs, with what minikube makes itself beside them.

    It gives kubeadm the API server's certificate, and leaves one of an aggregator there that nothing uses
    (pkg/minikube/bootstrapper/certs.go); its kubelet's flags stand in a drop-in (bsutil/ktmpl/kubelet.go).
    """
    for root in sorted(nodes.iterdir()):
        kubernetes = root / "etc/kubernetes"
        node = AlteredNode(root=root, now=now)
        if node.path("pki/ca.key").exists():
            subject = name_of("minikube", "system:masters")
            node.reissue("apiserver", node.issuer(), subject=subject, usages=[CLIENT, SERVER])
            own = new_ca("proxyClientCA", now)
            node.write("pki/proxy-client-ca.crt", own.pem)
            node.write("pki/proxy-client-ca.key", private_pem(own.key))
            for end in ("crt", "key"):
                node.copy_from_own(f"pki/front-proxy-client.{end}", f"pki/proxy-client.{end}")
            node.reissue("proxy-client", own, subject=name_of("aggregator", "system:masters"))
        flags = f"--config=/var/lib/kubelet/config.yaml --hostname-override={root.name}"
        line = (
            f"/var/lib/minikube/binaries/{VERSION}/kubelet {flags} --kubeconfig=/etc/kubernetes/kubelet.conf"
        )
        units = root / "etc/systemd/system/kubelet.service.d"
        units.mkdir(parents=True)
        (units / "10-kubeadm.conf").write_text(f"[Service]\nExecStart=\nExecStart={line}\n")
        service = root / "lib/systemd/system/kubelet.service"
        service.parent.mkdir(parents=True)
        service.write_bytes(unit("kubelet"))
        (root / "var/lib/minikube").mkdir(parents=True)
        shutil.move(kubernetes / "pki", root / "var/lib/minikube/certs")
        for path in [*kubernetes.rglob("*.yaml"), root / "var/lib/kubelet/config.yaml"]:
            if path.exists():
                path.write_text(path.read_text().replace("/etc/kubernetes/pki", "/var/lib/minikube/certs"))


def with_unit_of_kind(root: Path) -> None:
    """The kubelet's unit with its drop-ins, as kind's image has them (images/base/files/etc)."""
    drop_in = """\
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS \
$KUBELET_EXTRA_ARGS
"""
    node = Node()
    node.files |= {
        "/etc/systemd/system/kubelet.service": unit("kubelet"),
        "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf": drop_in.encode(),
        "/etc/default/kubelet": b"KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service\n",
    }
    node.write(root)
