"""Cluster API, and k0smotron, which has the same convention: the Secrets that a management cluster takes up.

Source: kubernetes-sigs/cluster-api `util/secret/consts.go` and `certificates.go`; the book, "Using Custom
Certificates". A Secret that is there before the Cluster object is never generated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.access.yaml_text import dump
from pkigen.desired.generations import CA
from pkigen.distributions.exported import ExportedFile
from pkigen.notation import base64_text

if TYPE_CHECKING:
    from pkigen.distributions.authority_files import AuthorityFiles

_SUFFIXES: Final = {CA.KUBERNETES: "ca", CA.ETCD: "etcd", CA.FRONT_PROXY: "proxy"}
_LABEL: Final = "cluster.x-k8s.io/cluster-name"
# Not kubernetes.io/tls: of the service account's Secret `tls.crt` is a public key, which that type forbids.
_TYPE: Final = "cluster.x-k8s.io/secret"


def secrets(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """One file with a Secret for each CA, and one for the service account key."""
    pairs = {_SUFFIXES[ca]: (files.certificate, files.key) for ca, files in authority.cas.items()}
    pairs["sa"] = (authority.sa_public, authority.sa_keys[0])
    documents = (_secret(authority, suffix, *each) for suffix, each in pairs.items())
    content = "---\n".join(documents).encode()
    return (ExportedFile(path=f"{authority.name}-secrets.yaml", content=content, is_secret=True),)


def _secret(authority: AuthorityFiles, suffix: str, certificate: bytes, key: bytes) -> str:
    name = authority.name
    return dump(
        {
            "apiVersion": "v1",
            "data": {"tls.crt": base64_text(certificate), "tls.key": base64_text(key)},
            "kind": "Secret",
            "metadata": {
                "labels": {_LABEL: name},
                "name": f"{name}-{suffix}",
                "namespace": authority.namespace,
            },
            "type": _TYPE,
        }
    )
