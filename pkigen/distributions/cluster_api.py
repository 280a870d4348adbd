"""Cluster API, and k0smotron, which has the same convention: the Secrets that a management cluster takes up.

Source: kubernetes-sigs/cluster-api `util/secret/consts.go` and `certificates.go`; the book, "Using Custom
Certificates" and "External etcd". A Secret that is there before the Cluster object is never generated.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from pkigen.access import kubeconfigs
from pkigen.access.yaml_text import dump
from pkigen.desired.generations import CA
from pkigen.distributions.documents import documents
from pkigen.distributions.exported import ExportedFile
from pkigen.distributions.found import CAPair, FoundAuthority
from pkigen.errors import AccessError, AdoptionError
from pkigen.notation import base64_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pkigen.distributions.authority_files import AuthorityFiles
    from pkigen.distributions.documents import Document
    from pkigen.distributions.found import Source

_SUFFIXES: Final = {CA.KUBERNETES: "ca", CA.ETCD: "etcd", CA.FRONT_PROXY: "proxy"}
_ETCD_CLIENT: Final = "apiserver-etcd-client"
_TOKENS: Final = "sa"
_KUBECONFIG: Final = "kubeconfig"
_PURPOSES: Final = (_ETCD_CLIENT, *_SUFFIXES.values(), _TOKENS, _KUBECONFIG)
_LABEL: Final = "cluster.x-k8s.io/cluster-name"
# Not kubernetes.io/tls: of the service account's Secret `tls.crt` is a public key, which that type forbids.
_TYPE: Final = "cluster.x-k8s.io/secret"
_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"


def secrets(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """One file with a Secret for each CA, and one for the service account key."""
    pairs = {_SUFFIXES[ca]: (files.certificate, files.key) for ca, files in authority.cas.items()}
    # The one that signs; the public halves of both judge tokens.
    pairs[_TOKENS] = (b"".join(authority.sa_public), authority.sa_keys[0])
    if authority.external_etcd is not None:
        # Takes the place of the cluster's own etcd CA: a control plane provider reads one Secret of this
        # name.
        pairs[_SUFFIXES[CA.ETCD]] = (authority.external_etcd.ca, b"")
        pairs[_ETCD_CLIENT] = (authority.external_etcd.certificate, authority.external_etcd.key)
    texts = (_secret(authority, suffix, *each) for suffix, each in pairs.items())
    # One file with several documents, which one `kubectl apply` takes.
    content = "---\n".join(texts).encode()
    return (ExportedFile(path=f"{authority.name}-secrets.yaml", content=content, is_secret=True),)


def _secret(authority: AuthorityFiles, suffix: str, certificate: bytes, key: bytes) -> str:
    name = authority.name
    # No `tls.key` rather than an empty one: that of an external etcd's CA is not needed, and an empty one
    # would be read as a damaged key.
    data = {_CERTIFICATE: base64_text(certificate), **({_KEY: base64_text(key)} if key else {})}
    return dump(
        {
            "apiVersion": "v1",
            "data": data,
            "kind": "Secret",
            "metadata": {
                "labels": {_LABEL: name},
                "name": f"{name}-{suffix}",
                "namespace": authority.namespace,
            },
            "type": _TYPE,
        }
    )


def read_secrets(source: Source) -> FoundAuthority:
    """The Secrets of one cluster, and what its Cluster object says where it is among them.

    Raises:
        AdoptionError: There are none, or of several clusters.
    """
    found = list(documents(source))
    clusters: dict[str, dict[str, Document]] = {}
    for document in found:
        for cluster, purpose in _purpose(document):
            clusters.setdefault(cluster, {})[purpose] = document
    name = _chosen(clusters, source.name)
    own = clusters[name]
    return FoundAuthority(
        cas={ca: _pair(own, suffix) for ca, suffix in _SUFFIXES.items()},
        sa_keys=_data(own, _TOKENS, _KEY),
        sa_public=_data(own, _TOKENS, _CERTIFICATE),
        name=name,
        version=next(filter(None, (_version(each, name) for each in found)), ""),
        endpoint=next(filter(None, (_endpoint(each, name) for each in found)), "") or _server(own),
        notes=tuple(_notes(own)),
    )


def _purpose(document: Document) -> Iterator[tuple[str, str]]:
    """Which cluster a Secret is of, and what for; nothing for other objects."""
    name = document.text("metadata", "name")
    for purpose in _PURPOSES:
        cluster = name.removesuffix(f"-{purpose}")
        label = document.text("metadata", "labels", _LABEL)
        # A Secret may end so by chance, as one called `prod-db-ca` of the cluster prod does: its label tells.
        if document.text("kind") == "Secret" and cluster != name and label in {"", cluster}:
            yield cluster, purpose
            return


def _chosen(clusters: Mapping[str, Mapping[str, Document]], wanted: str) -> str:
    """Which cluster is meant: the one that is named, or the only one with a CA; never one by chance."""
    named = sorted(name for name, own in clusters.items() if _SUFFIXES[CA.KUBERNETES] in own)
    if wanted in named:
        return wanted
    if not named or wanted:
        missing = wanted or "NAME"
        raise AdoptionError(
            f"there is no Secret {missing}-ca among these documents",
            hint=f"`kubectl get secrets -n NAMESPACE -l {_LABEL}={missing} -o yaml` prints a cluster's",
        )
    if len(named) > 1:
        raise AdoptionError(
            f"there are Secrets of {len(named)} clusters: {', '.join(named)}",
            hint="say which with --name",
        )
    return named[0]


def _data(own: Mapping[str, Document], purpose: str, key: str) -> bytes:
    document = own.get(purpose)
    if document is None:
        return b""
    # The API server merges `stringData` into `data` and never gives it back; files that were written by hand
    # have it.
    return document.decoded("data", key) or document.text("stringData", key).encode()


def _pair(own: Mapping[str, Document], purpose: str) -> tuple[CAPair, ...]:
    """A CA that is the cluster's own; that of an external etcd is there without its key."""
    certificate, key = _data(own, purpose, _CERTIFICATE), _data(own, purpose, _KEY)
    # A Kubernetes or front proxy CA without its key stays: `imported` says that its key is missing.
    if not certificate or (purpose == _SUFFIXES[CA.ETCD] and not key):
        return ()
    document = own[purpose]
    return (
        CAPair(
            place=f"{document.place}: {document.text('metadata', 'name')}", certificate=certificate, key=key
        ),
    )


def _version(document: Document, name: str) -> str:
    """What a control plane of this cluster runs, such as v1.36.2 of v1.36.2+k0s.0."""
    label = document.text("metadata", "labels", _LABEL)
    # KubeadmControlPlane, K0sControlPlane, and other providers' kinds of the same ending.
    is_its = document.text("kind").endswith("ControlPlane") and label in {"", name}
    return document.text("spec", "version").partition("+")[0] if is_its else ""


def _endpoint(document: Document, name: str) -> str:
    if document.text("kind") != "Cluster" or document.text("metadata", "name") != name:
        return ""
    host = document.text("spec", "controlPlaneEndpoint", "host")
    port = document.number("spec", "controlPlaneEndpoint", "port")
    # Without both the endpoint has not been set yet, by a person or by the infrastructure provider.
    return f"{f'[{host}]' if ':' in host else host}:{port}" if host and port else ""


def _server(own: Mapping[str, Document]) -> str:
    """Where the kubeconfig leads that its controllers have made for the cluster."""
    data = _data(own, _KUBECONFIG, "value")
    if not data:
        return ""
    try:
        config = kubeconfigs.load(data, PurePath(_KUBECONFIG))
    # The endpoint is a convenience: a kubeconfig that cannot be read must not keep the CAs from being taken
    # over.
    except AccessError:
        return ""
    servers = (each.text("server") for each in config.entries[kubeconfigs.Section.CLUSTER].values())
    return next((each.removeprefix("https://") for each in servers if each.startswith("https://")), "")


def _notes(own: Mapping[str, Document]) -> Iterator[str]:
    namespace = own[_SUFFIXES[CA.KUBERNETES]].text("metadata", "namespace")
    if namespace not in {"", "default"}:
        yield f"the Secrets are in the namespace {namespace}: export them with --namespace {namespace}"
    if _ETCD_CLIENT in own:
        yield (
            "etcd is external: its CA has no key here, and it and the client certificate of the API server "
            "stay as they are (export takes them with --etcd-ca, --etcd-cert and --etcd-key)"
        )
