"""`pkigen user`: kubeconfigs for people whose credential is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.access.credentials import of_certificate, of_token
from pkigen.access.kubeconfigs import Access, assemble, encoded
from pkigen.access.showing import credential_lines
from pkigen.cli.access_input import (
    ClusterArgument,
    NamespaceOption,
    PkiOption,
    ProxyOption,
    ServerNameOption,
    ServerOption,
    open_cluster,
    read_bounded,
    require_pki,
    trust_bundle,
)
from pkigen.cli.console import note, say
from pkigen.cli.outputs import write_secret
from pkigen.cli.system import system_of
from pkigen.errors import AccessError, UsageError
from pkigen.observing import parse_certificates
from pkigen.tokens import LONGEST_TOKEN
from pkigen.trust import Judge

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make kubeconfigs for people whose certificate or token is there.",
)
_LARGEST_CERTIFICATE = 256 << 10


@app.callback()
def group() -> None:
    """Make kubeconfigs for people whose certificate or token is there."""


@app.command()
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
    namespace: NamespaceOption = None,
    server: ServerOption = None,
    tls_server_name: ServerNameOption = None,
    proxy_url: ProxyOption = None,
    pki: PkiOption = None,
) -> None:
    """Put a certificate or a token into a kubeconfig for this cluster."""
    if (certificate is None) == (token_file is None):
        raise UsageError("one of --certificate and --token-file is needed")
    session = open_cluster(system_of(context), spec, pki=pki)
    require_pki(session)
    with session.reading() as store:
        session = session.at(store)
        bundle = trust_bundle(session, store)
    if certificate is not None:
        data = read_bounded(certificate, limit=_LARGEST_CERTIFICATE)
        chain = parse_certificates(data)
        if isinstance(chain, str):
            raise AccessError(f"{certificate} {chain}")
        anchors = parse_certificates(bundle)
        refusal = "" if isinstance(anchors, str) else Judge(session.now).client(chain, anchors)
        if refusal:
            raise AccessError(
                f"this cluster's API servers refuse the certificate in {certificate}: {refusal}",
                hint="it must be signed by the CA of this cluster, for clients, and not be over",
            )
        found = of_certificate(chain[0], now=session.now)
        if not found.user:
            raise AccessError(f"the certificate in {certificate} names no user (CN)")
        credential = {
            "client-certificate-data": encoded(data),
            "client-key": key_path or f"{certificate.stem if str(certificate) != '-' else found.user}.key",
        }
    else:
        text = read_bounded(token_file or Path(), limit=LONGEST_TOKEN).decode("ascii", "replace").strip()
        if not text or len(text) > LONGEST_TOKEN or not text.isprintable() or " " in text:
            raise AccessError(f"{token_file} holds no token")
        found = of_token(text, now=session.now)
        credential = {"token": text}
    for line in credential_lines(found, now=session.now):
        note(line)
    user = found.user.removeprefix("system:serviceaccount:") or "token"
    place = Access(
        cluster=session.inventory.cluster.name,
        server=server or session.inventory.cluster.cluster_server,
        trust_bundle=bundle,
        user=user,
        namespace=namespace,
        tls_server_name=tls_server_name,
        proxy_url=proxy_url,
    )
    content = assemble(place, credential)
    if out is not None:
        write_secret(out, content)
        note(f"kubeconfig: {out}")
    else:
        say(content)
