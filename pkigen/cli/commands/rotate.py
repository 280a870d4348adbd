"""`pkigen rotate`: replace CAs, the service account key or the encryption key without downtime, in phases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.options import AuthorityForceOption, OwnSpecArgument
from pkigen.cli.rotation_input import RotationOptions, rotating
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.errors import UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Replace CAs and signing keys without downtime, in phases.",
)


@app.command("ca")
@rotating
@unlocked
def rotate_ca(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[SPEC] CA",
            help="ca, etcd-ca, front-proxy-ca, or kubernetes, etcd, front-proxy as they are called.",
        ),
    ],
    options: RotationOptions,
    *,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Before promote or finish, check that every endpoint serves its current certificate.",
        ),
    ] = False,
    reuse_keys: Annotated[
        bool,
        typer.Option(
            "--reuse-keys",
            help="Keep the leaves' private keys, so that no node ever has a new certificate with an old key.",
        ),
    ] = False,
    evidence: Annotated[
        list[Path] | None,
        typer.Option(
            "--evidence",
            metavar="AUDIT-LOG",
            help="Finish if these audit logs of API servers show that nobody uses the CA that is dropped; it "
            "says who does. May be given several times.",
        ),
    ] = None,
    no_cross_sign: Annotated[
        bool,
        typer.Option(
            "--no-cross-sign",
            help="At prepare, do not have the CA certify the next one: from promote on, whoever trusts the "
            "old CA alone is refused.",
        ),
    ] = False,
    force: AuthorityForceOption = False,
    unlocking: Unlocking,
) -> None:
    """Replace CAs: prepare → promote → finish, or rollback.

    Between two steps the files must reach every node; the runbook says how. A step that would break a TLS
    connection in any partly distributed cluster is refused. Whoever trusts the old CA alone goes on until
    finish: servers send a certificate of the new CA by the old one. A CA of your own is taken up by prepare
    from pki/ca-next.crt and .key (pki/etcd/ca-next.*, pki/front-proxy-ca-next.*).
    """
    from pkigen.cli.audit_logs import read_audit_logs
    from pkigen.cli.spec_input import named_spec
    from pkigen.cli.work.rotate import take_step
    from pkigen.desired.generations import CA_NAMES, ca_id, require_ca

    spec, names = named_spec(arguments)
    if not names:
        raise UsageError("no CA is named", hint=f"choose from {', '.join(CA_NAMES)}")
    identifiers = tuple(dict.fromkeys(ca_id(require_ca(name)) for name in names))
    wanted = replace(
        options.wanted,
        identifiers=identifiers,
        live=live,
        force=force,
        cross_sign=not no_cross_sign,
        evidence=read_audit_logs(evidence) if evidence else None,
    )
    if evidence and options.terms.save is not None:
        raise UsageError(
            "--save and --evidence cannot be combined",
            hint="look at the logs first, then save the step with --assume-distributed",
        )
    take_step(options, spec, wanted, unlocking, reuse_keys=reuse_keys)


@app.command("sa")
@rotating
@unlocked
def rotate_sa(
    spec: OwnSpecArgument = None,
    *,
    options: RotationOptions,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Finish although tokens of the old key may still be in use, or go on although the authority "
            "is not the one that is recorded; the plan says which.",
        ),
    ] = False,
    unlocking: Unlocking,
) -> None:
    """Replace the key that signs service account tokens: prepare → promote → finish, or rollback.

    Finish is refused until the tokens of the old key have expired (serviceAccounts.maxTokenLifetime).
    """
    from pkigen.cli.work.rotate import take_step
    from pkigen.desired.generations import SA

    take_step(options, spec, replace(options.wanted, identifiers=(SA,), force=force), unlocking)


@app.command("encryption-key")
@rotating
@unlocked
def rotate_encryption_key(
    spec: OwnSpecArgument = None,
    *,
    options: RotationOptions,
    force: AuthorityForceOption = False,
    unlocking: Unlocking,
) -> None:
    """Replace the key that encrypts Secrets in etcd: prepare → promote → finish, or rollback.

    Between promote and finish every Secret is written again; promote's runbook has the command.
    """
    from pkigen.cli.work.rotate import take_step
    from pkigen.desired.generations import ENCRYPTION_KEY

    take_step(options, spec, replace(options.wanted, identifiers=(ENCRYPTION_KEY,), force=force), unlocking)
