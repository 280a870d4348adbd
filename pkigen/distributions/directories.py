"""Distributions that take CAs as files under names of their own, before their first start.

Sources: k0s `cmd/controller/certificates.go` and `pkg/component/controller/etcd.go`; Kubespray
`roles/etcd/tasks/gen_certs_script.yml` (an existing `ca-key.pem` is used again) and `kube_cert_dir`; Talos
`pkg/machinery/config/generate/secrets/bundle.go`, `NewBundleFromKubernetesPKI`; k3s
`pkg/daemons/control/deps/deps.go` and `pkg/server/handlers/cert.go`, which RKE2 shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import CA
from pkigen.distributions.exported import ExportedFile, pair

if TYPE_CHECKING:
    from pkigen.distributions.authority_files import AuthorityFiles, CAFiles

_NAMES = {CA.KUBERNETES: "ca", CA.ETCD: "etcd/ca", CA.FRONT_PROXY: "front-proxy-ca"}


def kubeadm_names(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """The names that kubeadm has in /etc/kubernetes/pki, k0s in /var/lib/k0s/pki and talosctl reads."""
    found = [
        each
        for ca, files in authority.cas.items()
        for each in pair(f"{_NAMES[ca]}.crt", files.certificate, f"{_NAMES[ca]}.key", files.key)
    ]
    return (
        *found,
        *pair(layout.SA_PUBLIC_KEY, authority.sa_public, layout.SA_PRIVATE_KEY, authority.sa_keys[0]),
    )


def kubespray(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """Kubeadm's names in /etc/kubernetes/ssl, and etcd's CA in /etc/ssl/etcd/ssl."""
    above = "etc/kubernetes/ssl"
    etcd = authority.cas.get(CA.ETCD)
    return (
        *(
            ExportedFile(path=f"{above}/{each.path}", content=each.content, is_secret=each.is_secret)
            for each in kubeadm_names(authority)
            if not each.path.startswith("etcd/")
        ),
        *_kubespray_etcd(etcd),
    )


def _kubespray_etcd(etcd: CAFiles | None) -> tuple[ExportedFile, ...]:
    if etcd is None:
        return ()
    return pair("etc/ssl/etcd/ssl/ca.pem", etcd.certificate, "etc/ssl/etcd/ssl/ca-key.pem", etcd.key)


def k3s(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """The five CAs and service.key, as they lie in `server/tls`, and as `certificate rotate-ca` reads them.

    k3s has a CA for servers and one for clients where Kubernetes has one: both are the cluster's. The same
    holds for etcd's servers and peers. What stands behind the first certificate is sent to peers with every
    leaf, so during a rotation those who know only the CA before this one go on.
    """
    names = {
        CA.KUBERNETES: ("client-ca", "server-ca"),
        CA.FRONT_PROXY: ("request-header-ca",),
        CA.ETCD: ("etcd/server-ca", "etcd/peer-ca"),
    }
    found = [
        each
        for ca, files in authority.cas.items()
        for name in names[ca]
        for each in pair(f"tls/{name}.crt", _k3s_chain(files), f"tls/{name}.key", files.key)
    ]
    # The first signs, the others verify; rotate-ca wants the one that signed before to be among them.
    keys = ExportedFile(path="tls/service.key", content=b"".join(authority.sa_keys), is_secret=True)
    return (*found, keys)


def _k3s_chain(files: CAFiles) -> bytes:
    """The first must verify against what was trusted before (`validateCA`): the cross certificate does."""
    return files.cross + files.certificate + files.above + files.before
