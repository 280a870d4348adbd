"""What `export` is given beside the cluster: other files, and for whom the result is sealed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.adoption.gathered import read_whole
from pkigen.cli.distribution_sources import read_source
from pkigen.cli.grouped import grouped
from pkigen.crypto.age import Recipient
from pkigen.crypto.keys import UnsupportedKeyError, public_der, public_half
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_blocks import read_pem
from pkigen.distributions.authority_files import EtcdAccess
from pkigen.errors import AccessError, UsageError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from pkigen.distributions.found import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What a command line says beside the cluster; no file of it is read before it is needed."""

    base: Path | None
    etcd: tuple[Path, ...]
    recipients: tuple[Recipient, ...]

    @property
    def kept(self) -> Source | None:
        """The file whose other contents are kept."""
        return None if self.base is None else read_source([str(self.base)])

    def external_etcd(self, *, now: datetime) -> EtcdAccess | None:
        """The CA of an etcd that somebody else runs, and a client that it lets in.

        Raises:
            AccessError: It would not.
        """
        if not self.etcd:
            return None
        ca, certificate, key = map(read_whole, self.etcd)
        anchors = _certificates(ca, self.etcd[0])
        chain = _certificates(certificate, self.etcd[1])
        try:
            public = public_half(key)
        except UnsupportedKeyError as error:
            raise AccessError(f"{self.etcd[2]} {error}") from None
        if public != public_der(chain[0].public_key()):
            raise AccessError(f"{self.etcd[2]} is not the private key of {self.etcd[1]}")
        refusal = PathVerifier(now).client(chain, anchors)
        if refusal is not None:
            raise AccessError(f"an etcd with {self.etcd[0]} would refuse {self.etcd[1]}: {refusal}")
        return EtcdAccess(ca=ca, certificate=certificate, key=key)


def _certificates(data: bytes, path: Path) -> tuple[x509.Certificate, ...]:
    content = read_pem(data)
    if content.faults or not content.certificates:
        raise AccessError(f"{path} {content.faults[0] if content.faults else 'holds no certificate'}")
    return content.certificates


def _exporting(
    *,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", metavar="FILE", help="For talos: the secrets.yaml whose other secrets are kept."
        ),
    ] = None,
    etcd_ca: Annotated[
        Path | None,
        typer.Option(
            "--etcd-ca", metavar="FILE", help="For cluster-api and k0smotron: the CA of an external etcd."
        ),
    ] = None,
    etcd_cert: Annotated[
        Path | None,
        typer.Option("--etcd-cert", metavar="FILE", help="The API server's client certificate for it."),
    ] = None,
    etcd_key: Annotated[
        Path | None, typer.Option("--etcd-key", metavar="FILE", help="That certificate's private key.")
    ] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            metavar="AGE1…",
            help="Seal what is secret for this age recipient: YAML as SOPS does, other files whole; may be "
            "repeated.",
        ),
    ] = None,
) -> ExportOptions:
    given = tuple(each for each in (etcd_ca, etcd_cert, etcd_key) if each is not None)
    if len(given) not in {0, 3}:
        raise UsageError("--etcd-ca, --etcd-cert and --etcd-key belong together")
    return ExportOptions(
        base=base, etcd=given, recipients=tuple(Recipient(each) for each in dict.fromkeys(recipient or ()))
    )


exporting = grouped(_exporting)
"""A command that is given its `ExportOptions`, and the options that they are made of."""
