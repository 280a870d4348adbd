"""Distributions that take CAs as files under names of their own, before their first start.

Sources: k0s `cmd/controller/certificates.go` and `pkg/component/controller/etcd.go`; Kubespray
`roles/etcd/tasks/gen_certs_script.yml` (an existing `ca-key.pem` is used again) and `kube_cert_dir`; Talos
`pkg/machinery/config/generate/secrets/bundle.go`, `NewBundleFromKubernetesPKI`; k3s
`pkg/daemons/control/deps/deps.go` and `pkg/server/handlers/cert.go`, which RKE2 shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.desired.generations import CA
from pkigen.distributions.exported import ExportedFile, pair
from pkigen.distributions.found import FoundAuthority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.distributions.authority_files import AuthorityFiles, CAFiles
    from pkigen.distributions.found import CAPair, Directory, Source

_NAMES: Final = {CA.KUBERNETES: "ca", CA.ETCD: "etcd/ca", CA.FRONT_PROXY: "front-proxy-ca"}
# Not `ca.crt`, which lies in many directories of a node: the one with the other CAs is meant.
_MARKS: Final = ("front-proxy-ca.crt", layout.SA_PRIVATE_KEY)
_ETCD: Final = ("ca.pem", "ca-key.pem")
_SERVICE_KEY: Final = "service.key"
# What signs for people comes first.
_K3S_NAMES: Final = {
    CA.KUBERNETES: ("client-ca", "server-ca"),
    CA.FRONT_PROXY: ("request-header-ca",),
    CA.ETCD: ("etcd/server-ca", "etcd/peer-ca"),
}


def kubeadm_names(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """The names that kubeadm has in /etc/kubernetes/pki, k0s in /var/lib/k0s/pki and talosctl reads."""
    found = [
        each
        for ca, files in authority.cas.items()
        for each in pair(f"{_NAMES[ca]}.crt", files.certificate, f"{_NAMES[ca]}.key", files.key)
    ]
    return (
        *found,
        *pair(
            layout.SA_PUBLIC_KEY, b"".join(authority.sa_public), layout.SA_PRIVATE_KEY, authority.sa_keys[0]
        ),
    )


def read_kubeadm_names(source: Source) -> FoundAuthority:
    """The same names, read."""
    place = source.directory(*_MARKS)
    return _of_kubeadm(place, {ca: place.pair(f"{name}.crt", f"{name}.key") for ca, name in _NAMES.items()})


def _of_kubeadm(place: Directory, cas: Mapping[CA, tuple[CAPair, ...]]) -> FoundAuthority:
    return FoundAuthority(
        cas=cas, sa_keys=place.file(layout.SA_PRIVATE_KEY), sa_public=place.file(layout.SA_PUBLIC_KEY)
    )


def kubespray(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """Kubeadm's names in /etc/kubernetes/ssl, and etcd's CA in /etc/ssl/etcd/ssl."""
    above = "etc/kubernetes/ssl"
    etcd = authority.cas.get(CA.ETCD)
    return (
        *(
            ExportedFile(path=f"{above}/{each.path}", content=each.content, is_secret=each.is_secret)
            for each in kubeadm_names(authority)
            # etcd's CA goes by Kubespray's own names and below another root; kubeadm's name for it would be a
            # stray key.
            if not each.path.startswith("etcd/")
        ),
        *_kubespray_etcd(etcd),
    )


def _kubespray_etcd(etcd: CAFiles | None) -> tuple[ExportedFile, ...]:
    if etcd is None:
        return ()
    certificate, key = (f"etc/ssl/etcd/ssl/{name}" for name in _ETCD)
    return pair(certificate, etcd.certificate, key, etcd.key)


def read_kubespray(source: Source) -> FoundAuthority:
    """Both directories, read; a cluster whose etcd kubeadm runs has that CA under kubeadm's name."""
    place = source.directory(*_MARKS)
    cas = {ca: place.pair(f"{name}.crt", f"{name}.key") for ca, name in _NAMES.items()}
    # Asked first, because `Source.directory` refuses where a mark is not there.
    if any(path.endswith(f"/{_ETCD[0]}") or path == _ETCD[0] for path in source.files):
        cas[CA.ETCD] = source.directory(_ETCD[0]).pair(*_ETCD)
    return _of_kubeadm(place, cas)


def k3s(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """The five CAs and service.key, as they lie in `server/tls`, and as `certificate rotate-ca` reads them.

    k3s has a CA for servers and one for clients where Kubernetes has one: both are the cluster's. The same
    holds for etcd's servers and peers. What stands behind the first certificate is sent to peers with every
    leaf, so during a rotation those who know only the CA before this one go on.
    """
    found = [
        each
        for ca, files in authority.cas.items()
        # Of the front proxy there is one CA, which takes the first pair.
        for name, (chain, key) in zip(_K3S_NAMES[ca], _k3s_pairs(files), strict=False)
        for each in pair(f"tls/{name}.crt", chain, f"tls/{name}.key", key)
    ]
    # The first signs, the others verify; rotate-ca wants the one that signed before to be among them.
    keys = ExportedFile(path=f"tls/{_SERVICE_KEY}", content=b"".join(authority.sa_keys), is_secret=True)
    return (*found, keys)


def _k3s_pairs(files: CAFiles) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """What signs for clients and what signs for servers, each followed by what is trusted beside it.

    The first certificate of each must verify against what was trusted before (`validateCA`): the cross
    certificate does. Without one, servers keep the CA that they have, until the rotation is finished.
    """
    chain = files.cross + files.certificate + files.above + files.other
    if files.other_key and not files.cross:
        return (chain, files.key), (files.other + files.certificate + files.above, files.other_key)
    return (chain, files.key), (chain, files.key)


def read_k3s(source: Source) -> FoundAuthority:
    """The five CAs and `service.key`, read: of `server/tls`, or of what `certificate rotate-ca` is given."""
    place = source.directory("client-ca.crt")
    cas = {
        ca: tuple(found for name in names for found in place.pair(f"{name}.crt", f"{name}.key"))
        for ca, names in _K3S_NAMES.items()
    }
    return FoundAuthority(cas=cas, sa_keys=place.file(_SERVICE_KEY))
