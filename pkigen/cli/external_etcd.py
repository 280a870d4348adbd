"""What an exported authority says of an etcd that somebody else runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.adoption.gathered import read_whole
from pkigen.crypto.keys import UnsupportedKeyError, public_der, public_half
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_blocks import read_pem
from pkigen.distributions.authority_files import EtcdAccess
from pkigen.errors import AccessError

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509


def external_etcd(files: tuple[Path, ...], *, now: datetime) -> EtcdAccess | None:
    """The CA of an etcd that somebody else runs, and a client that it lets in.

    Raises:
        AccessError: It would not.
    """
    if not files:
        return None
    ca, certificate, key = map(read_whole, files)
    anchors = _certificates(ca, files[0])
    chain = _certificates(certificate, files[1])
    try:
        public = public_half(key)
    except UnsupportedKeyError as error:
        raise AccessError(f"{files[2]} {error}") from None
    if public != public_der(chain[0].public_key()):
        raise AccessError(f"{files[2]} is not the private key of {files[1]}")
    # etcd verifies clients with the CA of --trusted-ca-file and wants clientAuth; found out here, it costs no
    # control plane that never becomes ready.
    refusal = PathVerifier(now).client(chain, anchors)
    if refusal is not None:
        raise AccessError(f"an etcd with {files[0]} would refuse {files[1]}: {refusal}")
    return EtcdAccess(ca=ca, certificate=certificate, key=key)


def _certificates(data: bytes, path: Path) -> tuple[x509.Certificate, ...]:
    content = read_pem(data)
    if content.faults or not content.certificates:
        raise AccessError(f"{path} {content.faults[0] if content.faults else 'holds no certificate'}")
    return content.certificates
