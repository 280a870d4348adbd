"""`pkigen access user`: kubeconfigs for people whose credential exists already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.access.client_certificate import take_note
from pkigen.access.credentials import Credential
from pkigen.access.kubeconfig_summary import credential_lines
from pkigen.access.kubeconfigs import assemble
from pkigen.access.own_credential import (
    LARGEST_CERTIFICATE,
    certificate_credential,
    home_of,
    is_foreign,
    require_key_of,
    service_account_keys,
    token_credential,
)
from pkigen.cli.access_input import Reaching, reaching
from pkigen.cli.access_sources import read_bounded, trust_bundle
from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.outputs import write_secret
from pkigen.cli.session import Session, open_cluster
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.service_account_tokens import LONGEST_TOKEN, SERVICE_ACCOUNT_PREFIX
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import base64_text

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make kubeconfigs from an existing certificate or token.",
)
_LARGEST_KEY = 64 << 10


@app.callback()
def group() -> None:
    """Make kubeconfigs from an existing certificate or token."""


@app.command()
@reaching
def kubeconfig(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="The issued client certificate.", allow_dash=True),
    ] = None,
    key_path: Annotated[
        str | None,
        typer.Option("--key-path", metavar="PATH", help="The path of its key on the owner's machine."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A token instead, as `kubectl create token` prints it.",
            allow_dash=True,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The output file (mode 0600).  [default: standard output]"
        ),
    ] = None,
    way: Reaching,
) -> None:
    """Put a certificate or a token into a kubeconfig for this cluster.

    What its API servers would refuse is refused here. A key that is at its path already must be the
    certificate's.
    """
    if (certificate is None) == (token_file is None):
        raise UsageError("one of --certificate and --token-file is needed")
    session = open_cluster(context, spec, directory)
    with session.reading() as store:
        session = session.at(store)
        bundle = trust_bundle(session, store)
        keys = tuple(service_account_keys(session.inventory, store))
    if certificate is not None:
        folder = out.parent if out is not None else Path()
        key = Path(key_path) if key_path is not None else _key_beside(certificate, folder)
        found, credential = _of_certificate(certificate, session, bundle, key=key, folder=folder)
    else:
        found, credential = _of_token(token_file or Path(), session, keys)
    for line in credential_lines(found, now=session.now):
        note(line)
    user = found.user.removeprefix(SERVICE_ACCOUNT_PREFIX) or "token"
    home = home_of(session.inventory, found)
    access = way.access(session.inventory.cluster, trust_bundle=bundle, user=user, home=home)
    content = assemble(access, credential)
    if found.certificate is not None:
        _take_note(session, found.certificate)
    if out is not None:
        write_secret(out, content)
        note(f"kubeconfig: {out}")
    else:
        say(content)


def _of_certificate(
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


def _take_note(session: Session, certificate: Certificate) -> None:
    """Have the certificate on record, where that can be, so that `status` and `explain` know of it."""
    try:
        with session.writing("access user kubeconfig") as store:
            keep = session.inventory.cluster.spec.backups.keep
            if take_note(certificate, store=store, now=session.now, keep_backups=keep):
                note("on record: `pkigen status` shows until when it is valid")
    except PkigenError as error:
        note(f"note: {error.message}: `pkigen status` will not show this certificate")


def _key_beside(certificate: Path, folder: Path) -> Path:
    """Where `csr new` and most others put it: beside the certificate, and called as that is."""
    if str(certificate) == "-":
        return Path("client.key")
    key = certificate.with_suffix(".key")
    elsewhere = key.is_file() and key.parent.absolute() != folder.absolute()
    return key.absolute() if elsewhere else Path(key.name)


def _of_token(file: Path, session: Session, keys: tuple[bytes, ...]) -> tuple[Credential, dict[str, str]]:
    data = read_bounded(file, limit=LONGEST_TOKEN)
    found, text = token_credential(data, file, now=session.now)
    if is_foreign(text, keys):
        note("warning: none of this cluster's service account keys has signed the token")
    return found, {"token": text}
