"""Canonical Kubernetes (k8s-snap): the CAs inside of the file for `k8s bootstrap --file`.

Source: canonical/k8s-snap `docs/canonicalk8s/_parts/bootstrap_config.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.access.yaml_text import dump
from pkigen.desired.generations import CA, ca_id
from pkigen.distributions.documents import documents
from pkigen.distributions.exported import ExportedFile
from pkigen.distributions.found import CAPair, FoundAuthority
from pkigen.errors import AdoptionError, AuthorityError

if TYPE_CHECKING:
    from pkigen.distributions.authority_files import AuthorityFiles, CAFiles
    from pkigen.distributions.documents import Document
    from pkigen.distributions.found import Source

# It has a CA for clients of its own: both are the cluster's. What signs for people comes first.
_NAMES: Final = {
    CA.KUBERNETES: ("client-ca", "ca"),
    CA.FRONT_PROXY: ("front-proxy-ca",),
    CA.ETCD: ("etcd-ca",),
}
_TOKENS: Final = "service-account-key"


def bootstrap_file(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """The part of the bootstrap configuration that names CAs and the service account key.

    Raises:
        AuthorityError: A CA is being rotated: no key of the file has a place for both generations.
    """
    found = {_TOKENS: authority.sa_keys[0].decode("ascii")}
    for ca, files in authority.cas.items():
        # Of the other CAs there is one each, which takes the first pair.
        for name, (certificate, key) in zip(_NAMES[ca], _signing(ca, files), strict=False):
            found[f"{name}-crt"] = certificate.decode("ascii")
            found[f"{name}-key"] = key.decode("ascii")
    content = dump(dict(sorted(found.items()))).encode()
    return (ExportedFile(path="bootstrap.yaml", content=content, is_secret=True),)


def _signing(ca: CA, files: CAFiles) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """What signs for clients and what signs for servers: two CAs only where they were adopted as two."""
    own = (files.certificate, files.key)
    if not files.other:
        return own, own
    # Two CAs with both keys and no cross certificate are those of servers and clients, adopted side by side;
    # the rest is a rotation.
    if files.cross or not files.other_key:
        raise AuthorityError(
            f"{ca_id(ca)} is being rotated, and this form has no place for both generations",
            hint="export again when the rotation is finished: `pkigen next` says how to go on",
        )
    return own, (files.other, files.other_key)


def read_bootstrap_file(source: Source) -> FoundAuthority:
    """The CAs and the key of a bootstrap configuration.

    Raises:
        AdoptionError: No document names them.
    """
    for document in documents(source):
        cas = {ca: _pairs(document, names) for ca, names in _NAMES.items()}
        # The file may have other documents beside the bootstrap configuration.
        if cas[CA.KUBERNETES]:
            return FoundAuthority(
                cas=cas,
                sa_keys=document.text(_TOKENS).encode(),
                notes=("settings of the bootstrap file other than CAs and keys stay in it",),
            )
    raise AdoptionError(
        "no document among these files has ca-crt or client-ca-crt",
        hint="give the file that `k8s bootstrap --file` was given",
    )


def _pairs(document: Document, names: tuple[str, ...]) -> tuple[CAPair, ...]:
    return tuple(
        CAPair(
            place=f"{document.place}: {name}-crt",
            certificate=document.text(f"{name}-crt").encode(),
            key=document.text(f"{name}-key").encode(),
        )
        for name in names
        if document.text(f"{name}-crt")
    )
