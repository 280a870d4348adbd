"""`pkigen user`: kubeconfigs for people whose credential is there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pkigen import layout
from pkigen.access.credentials import Credential, key_fault, of_certificate, of_token
from pkigen.access.identities import declared
from pkigen.access.kubeconfig_summary import credential_lines
from pkigen.access.kubeconfigs import assemble
from pkigen.cli.access_input import (
    ClusterArgument,
    PkiOption,
    Reaching,
    open_cluster,
    reaching,
    read_bounded,
    require_pki,
    trust_bundle,
)
from pkigen.cli.console import note, say
from pkigen.cli.outputs import write_secret
from pkigen.cli.session import Session
from pkigen.cli.system import system_of
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.service_account_tokens import (
    LONGEST_TOKEN,
    SERVICE_ACCOUNT_PREFIX,
    Token,
    is_signed_by,
    read,
)
from pkigen.desired.generations import SA, sa_path
from pkigen.desired.inventory import Inventory
from pkigen.errors import AccessError, UsageError
from pkigen.notation import base64_text
from pkigen.state.observed import Fault, Reader, parse_certificates, read_file

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make kubeconfigs for people whose certificate or token is there.",
)
_LARGEST_CERTIFICATE = 256 << 10
_LARGEST_KEY = 64 << 10


@app.callback()
def group() -> None:
    """Make kubeconfigs for people whose certificate or token is there."""


@app.command()
@reaching
def kubeconfig(
    context: typer.Context,
    spec: ClusterArgument,
    *,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="FILE", help="The client certificate that came back.", allow_dash=True
        ),
    ] = None,
    key_path: Annotated[
        str | None, typer.Option("--key-path", metavar="PATH", help="Where the owner keeps its key.")
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
            "--out", metavar="FILE", help="Where the kubeconfig goes, 0600.  [default: standard output]"
        ),
    ] = None,
    way: Reaching,
    pki: PkiOption = None,
) -> None:
    """Put a certificate or a token into a kubeconfig for this cluster.

    What its API servers would refuse is refused here. A key that is at its path already must be the
    certificate's.
    """
    if (certificate is None) == (token_file is None):
        raise UsageError("one of --certificate and --token-file is needed")
    session = open_cluster(system_of(context), spec, pki=pki)
    require_pki(session)
    with session.reading() as store:
        session = session.at(store)
        bundle = trust_bundle(session, store)
        keys = tuple(_public_keys(session, store))
    if certificate is not None:
        folder = out.parent if out is not None else Path()
        key = Path(key_path) if key_path is not None else _key_beside(certificate, folder)
        found, credential = _of_certificate(certificate, session, bundle, key=key, folder=folder)
    else:
        found, credential = _of_token(token_file or Path(), session, keys)
    for line in credential_lines(found, now=session.now):
        note(line)
    user = found.user.removeprefix(SERVICE_ACCOUNT_PREFIX) or "token"
    home = _namespace(session.inventory, found)
    access = way.access(session.inventory.cluster, trust_bundle=bundle, user=user, home=home)
    content = assemble(access, credential)
    if out is not None:
        write_secret(out, content)
        note(f"kubeconfig: {out}")
    else:
        say(content)


def _namespace(inventory: Inventory, found: Credential) -> str | None:
    """Where somebody works by default: the spec says so of people, a service account lives in one."""
    person = declared(inventory, found.user)
    account = found.user.removeprefix(SERVICE_ACCOUNT_PREFIX)
    if person is not None:
        return person.namespace
    return account.partition(":")[0] if account != found.user else None


def _of_certificate(
    file: Path, session: Session, bundle: bytes, *, key: Path, folder: Path
) -> tuple[Credential, dict[str, str]]:
    """The credential of a certificate; its key's path is meant from the kubeconfig's folder."""
    data = read_bounded(file, limit=_LARGEST_CERTIFICATE)
    chain = parse_certificates(data) if len(data) <= _LARGEST_CERTIFICATE else "is larger than 256 KiB"
    if isinstance(chain, str):
        raise AccessError(f"{file} {chain}")
    anchors = parse_certificates(bundle)
    refusal = "" if isinstance(anchors, str) else PathVerifier(session.now).client(chain, anchors)
    if refusal:
        raise AccessError(
            f"this cluster's API servers refuse the certificate in {file}: {refusal}",
            hint="it must be signed by the CA of this cluster, for clients, and not be over",
        )
    found = of_certificate(chain[0], now=session.now)
    if not found.user:
        raise AccessError(f"the certificate in {file} names no user (CN)")
    if (folder / key).is_file():
        fault = key_fault(read_bounded(folder / key, limit=_LARGEST_KEY), chain[0])
        if fault is not None:
            raise AccessError(
                f"the private key {folder / key} {fault}", hint="say with --key-path where its key is"
            )
    else:
        note(f"note: its private key must come to {folder / key}")
    # Without what may stand around the certificates: `openssl x509 -text` writes more than kubectl needs.
    return found, {"client-certificate-data": base64_text(certificate_pem(*chain)), "client-key": str(key)}


def _key_beside(certificate: Path, folder: Path) -> Path:
    """Where `csr new` and most others put it: beside the certificate, and called as that is."""
    if str(certificate) == "-":
        return Path("client.key")
    key = certificate.with_suffix(".key")
    elsewhere = key.is_file() and key.parent.absolute() != folder.absolute()
    return key.absolute() if elsewhere else Path(key.name)


def _of_token(file: Path, session: Session, keys: tuple[bytes, ...]) -> tuple[Credential, dict[str, str]]:
    text = read_bounded(file, limit=LONGEST_TOKEN).decode("ascii", "replace").strip()
    if not text or len(text) > LONGEST_TOKEN or not (text.isascii() and text.isprintable()) or " " in text:
        raise AccessError(f"{file} holds no token")
    found = of_token(text, now=session.now)
    if found.faults:
        raise AccessError(
            f"this cluster's API servers refuse it: {found.faults[0]}",
            hint="make a new one with `kubectl create token` or `pkigen token`",
        )
    token = read(text)
    if isinstance(token, Token) and not any(is_signed_by(token, key) for key in keys):
        note("warning: none of this cluster's service account keys has signed the token")
    return found, {"token": text}


def _public_keys(session: Session, reader: Reader) -> Iterator[bytes]:
    for slot in session.inventory.rotations.slots(SA):
        content = read_file(reader, sa_path(slot, layout.SA_PUBLIC_KEY))
        if not isinstance(content, Fault):
            yield content.data
