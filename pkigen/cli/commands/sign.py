"""`pkigen access sign`: a client certificate for somebody else's key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pkigen.access.client_certificate import Signed
from pkigen.access.client_certificate import sign as sign_request
from pkigen.access.csr_objects import object_name
from pkigen.access.identities import ApprovedIdentity, approved_person
from pkigen.access.kubeconfigs import assemble
from pkigen.access.request_forms import request_pem
from pkigen.access.requests import Request, read_request
from pkigen.cli.access_input import Reaching, reaching
from pkigen.cli.access_sources import read_bounded
from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.outputs import require_writable, write_secret, write_text
from pkigen.cli.session import Session, open_cluster
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.crypto.csr import LARGEST_REQUEST
from pkigen.crypto.names import Subject
from pkigen.errors import UsageError
from pkigen.notation import base64_text, format_duration
from pkigen.spec.users import User

app = typer.Typer(add_completion=False)

DEFAULT_VALIDITY = timedelta(hours=720)


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
    _require_places(out, kubeconfig, key_path)
    session = open_cluster(context, spec, directory).with_keys(unlocking)
    reason = allow_system_identity
    identity = approved_person(
        user, group, inventory=session.inventory, reason=reason, spec_vouches=not session.is_of_lock
    )
    request = read_request(request_pem(read_bounded(csr, limit=LARGEST_REQUEST)), allowed=identity.allowed)
    lifetime = _lifetime(validity, identity.person)
    _say_request(request, identity)
    note(f"issuing: {identity.subject} for {format_duration(lifetime)}, key {request.key_description}")
    with session.writing("sign") as store:
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
    _say_issued(signed, identity.subject, lifetime, is_default=validity is None)
    if kubeconfig is not None:
        key = key_path or f"{object_name(user) if str(csr) == '-' else csr.stem}.key"
        write_secret(kubeconfig, _kubeconfig(session, signed, identity, way, key))
        note(f"kubeconfig: {kubeconfig}, with the key at {key}")
    if out is not None:
        write_text(out, signed.pem.decode())
        note(f"certificate: {out}")
    elif kubeconfig is None:
        say(signed.pem.decode())


def _require_places(out: Path | None, kubeconfig: Path | None, key_path: str | None) -> None:
    """See that what is signed can be written, before it is signed."""
    if key_path is not None and kubeconfig is None:
        raise UsageError(
            "--key-path can only be used with --kubeconfig", hint="the kubeconfig names the owner's key file"
        )
    if out is not None and out == kubeconfig:
        raise UsageError("--out and --kubeconfig are the same file")
    require_writable(*(path for path in (out, kubeconfig) if path is not None))


def _kubeconfig(session: Session, signed: Signed, identity: ApprovedIdentity, way: Reaching, key: str) -> str:
    person = identity.person
    access = way.access(
        session.inventory.cluster,
        trust_bundle=signed.trust_bundle,
        user=identity.subject.common_name,
        home=person.namespace if person is not None else None,
    )
    return assemble(access, {"client-certificate-data": base64_text(signed.pem), "client-key": key})


def _lifetime(validity: str | None, person: User | None) -> timedelta:
    """How long a certificate lives: as the option says, else the spec, else the default."""
    if validity is not None:
        return duration(validity, "--validity")
    return person.validity if person is not None else DEFAULT_VALIDITY


def _say_request(request: Request, identity: ApprovedIdentity) -> None:
    subject, person = identity.subject, identity.person
    note(f"requested: {request.subject}; key {request.key_description} {request.key_fingerprint}")
    for extension in request.extensions:
        note(f"requested: {extension} (not issued)")
    if request.asked != subject and (request.asked.common_name or request.asked.organizations):
        note(f"note: the request has another identity; only the approved one is issued: {subject}")
    if person is not None and set(person.groups) != set(subject.organizations):
        note(f"note: the spec gives {person.name} other groups: {', '.join(person.groups) or 'none'}")


def _say_issued(signed: Signed, subject: Subject, lifetime: timedelta, *, is_default: bool) -> None:
    end = signed.certificate.not_valid_after_utc
    default = " by default" if is_default else ""
    note(f"issued: {subject} until {end:%Y-%m-%d %H:%M} UTC ({format_duration(lifetime)}{default})")
    note(
        "note: it works until it expires, unless `pkigen access revoke` ends it; "
        "rights go with their bindings"
    )
    for name in signed.others:
        note(f"note: the same key was certified before for {name}: its holder can be both")
    if signed.capped:
        note("note: shortened to its CA's validity: no certificate outlives its CA")
