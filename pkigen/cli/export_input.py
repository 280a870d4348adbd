"""What `export` is given beside the cluster: other files, and for whom the result is sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.grouped import grouped
from pkigen.errors import UsageError
from pkigen.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What a command line says beside the cluster; no file of it is read before it is needed."""

    base: Path | None
    etcd: tuple[Path, ...]
    recipients: tuple[str, ...]


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
    return ExportOptions(base=base, etcd=given, recipients=tuple(dict.fromkeys(recipient or ())))


exporting = grouped(_exporting)
"""A command that is given its `ExportOptions`, and the options that they are made of."""
