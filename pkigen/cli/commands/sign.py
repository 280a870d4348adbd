"""`pkigen access sign`: a client certificate for somebody else's key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.access_input import Reaching, reaching
from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.notation import format_duration

app = typer.Typer(add_completion=False)


@app.command()
@reaching
@unlocked
def sign(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    csr: Annotated[
        Path,
        typer.Option("--csr", metavar="FILE", help="The request; - reads standard input.", allow_dash=True),
    ],
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="The approved user name.")],
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", metavar="NAME", help="An approved group; may be repeated.  [default: the spec's]"
        ),
    ] = None,
    validity: Annotated[
        str | None,
        typer.Option(
            "--validity", metavar="DURATION", help="The validity.  [default: the spec's, else 720h]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The output file.  [default: standard output]"),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option("--kubeconfig", metavar="FILE", help="Also write a kubeconfig with CA and certificate."),
    ] = None,
    key_path: Annotated[
        str | None,
        typer.Option(
            "--key-path",
            metavar="PATH",
            help="The path of the key on the owner's machine.  [default: the request's name with .key]",
        ),
    ] = None,
    allow_system_identity: Annotated[
        str | None,
        typer.Option(
            "--allow-system-identity", metavar="REASON", help="Why a name reserved for Kubernetes is allowed."
        ),
    ] = None,
    way: Reaching,
    unlocking: Unlocking,
) -> None:
    """Sign a client certificate for a key that never leaves its owner.

    Whatever the request asks for is shown; only the approved user and groups are issued.
    """
    from pkigen.access.client_certificate import sign as sign_request
    from pkigen.access.csr_objects import object_name
    from pkigen.access.identities import approved_person
    from pkigen.access.request_forms import request_pem
    from pkigen.access.requests import read_request
    from pkigen.cli.access_sources import read_bounded
    from pkigen.cli.outputs import write_secret, write_text
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.sign import kubeconfig_of, lifetime_of, require_places, say_issued, say_request
    from pkigen.crypto.csr import LARGEST_REQUEST

    # Before the certificate is signed: one that could not be written would be on record and lost.
    require_places(out, kubeconfig, key_path)
    session = open_cluster(context, spec, directory).with_keys(unlocking)
    reason = allow_system_identity
    identity = approved_person(
        user, group, inventory=session.inventory, reason=reason, spec_vouches=not session.is_of_lock
    )
    request = read_request(request_pem(read_bounded(csr, limit=LARGEST_REQUEST)), allowed=identity.allowed)
    lifetime = lifetime_of(validity, identity.person)
    say_request(request, identity)
    note(f"issuing: {identity.subject} for {format_duration(lifetime)}, key {request.key_description}")
    with session.writing("access sign") as store:
        session = session.at(store)
        signed = sign_request(
            request,
            identity.subject,
            lifetime,
            inventory=session.inventory,
            store=store,
            keys=session.opened(store),
            now=session.now,
            entropy=session.system.entropy,
            because=reason,
        )
    say_issued(signed, identity.subject, lifetime, is_default=validity is None)
    if kubeconfig is not None:
        key = key_path or f"{object_name(user) if str(csr) == '-' else csr.stem}.key"
        write_secret(kubeconfig, kubeconfig_of(session, signed, identity, way, key))
        note(f"kubeconfig: {kubeconfig}, with the key at {key}")
    if out is not None:
        write_text(out, signed.pem.decode())
        note(f"certificate: {out}")
    elif kubeconfig is None:
        say(signed.pem.decode())
