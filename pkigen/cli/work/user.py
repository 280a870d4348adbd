"""The work of `pkigen access user kubeconfig`: the credential that somebody has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.access.client_certificate import take_note
from pkigen.access.credentials import Credential
from pkigen.access.own_credential import (
    LARGEST_CERTIFICATE,
    certificate_credential,
    is_foreign,
    require_key_of,
    token_credential,
)
from pkigen.cli.access_sources import read_bounded
from pkigen.cli.console import note
from pkigen.cli.session import Session
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.service_account_tokens import LONGEST_TOKEN
from pkigen.errors import PkigenError
from pkigen.notation import base64_text

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_LARGEST_KEY = 64 << 10


def of_certificate(
    file: Path, session: Session, bundle: bytes, *, key: Path, folder: Path
) -> tuple[Credential, dict[str, str]]:
    """The credential of a certificate; its key's path is meant from the kubeconfig's folder."""
    data = read_bounded(file, limit=LARGEST_CERTIFICATE)
    found, chain = certificate_credential(data, file, trust_bundle=bundle, now=session.now)
    if (folder / key).is_file():
        require_key_of(chain[0], read_bounded(folder / key, limit=_LARGEST_KEY), folder / key)
    else:
        note(f"note: its private key must be at {folder / key}")
    # Without what may stand around the certificates: `openssl x509 -text` writes more than kubectl needs.
    return found, {"client-certificate-data": base64_text(certificate_pem(*chain)), "client-key": str(key)}


def note_certificate(session: Session, certificate: Certificate) -> None:
    """Have the certificate on record, where that can be, so that `status` and `explain` know of it."""
    try:
        with session.writing("access user kubeconfig") as store:
            keep = session.inventory.cluster.spec.backups.keep
            if take_note(certificate, store=store, now=session.now, keep_backups=keep):
                note("on record: `pkigen status` shows until when it is valid")
    except PkigenError as error:
        note(f"note: {error.message}: `pkigen status` will not show this certificate")


def key_beside(certificate: Path, folder: Path) -> Path:
    """Where `csr new` and most others put it: beside the certificate, and called as that is."""
    if str(certificate) == "-":
        return Path("client.key")
    key = certificate.with_suffix(".key")
    return _from(folder, key) if key.is_file() else Path(key.name)


def key_meant(path: Path, folder: Path) -> Path:
    """A key as a kubeconfig in this folder names it: from there, or from here where it lies here alone."""
    return _from(folder, path) if path.is_file() and not (folder / path).is_file() else path


def _from(folder: Path, key: Path) -> Path:
    """How a kubeconfig in a folder names a key that is seen from here."""
    return key.absolute() if key.parent.absolute() != folder.absolute() else Path(key.name)


def of_token(file: Path, session: Session, keys: tuple[bytes, ...]) -> tuple[Credential, dict[str, str]]:
    """The credential that a token is."""
    data = read_bounded(file, limit=LONGEST_TOKEN)
    found, text = token_credential(data, file, now=session.now)
    if is_foreign(text, keys):
        note("warning: none of this cluster's service account keys has signed the token")
    return found, {"token": text}
