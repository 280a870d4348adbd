"""The work of `pkigen access sign`: where it goes, how long it lasts, and what is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pkigen.access.client_certificate import Signed
from pkigen.access.identities import ApprovedIdentity
from pkigen.access.kubeconfigs import assemble
from pkigen.access.requests import Request
from pkigen.cli.access_input import Reaching
from pkigen.cli.console import note
from pkigen.cli.outputs import require_writable
from pkigen.cli.session import Session
from pkigen.cli.values import duration
from pkigen.crypto.names import Subject
from pkigen.errors import UsageError
from pkigen.notation import base64_text, format_duration
from pkigen.spec.users import User

DEFAULT_VALIDITY = timedelta(hours=720)


def require_places(out: Path | None, kubeconfig: Path | None, key_path: str | None) -> None:
    """See that what is signed can be written, before it is signed."""
    if key_path is not None and kubeconfig is None:
        raise UsageError(
            "--key-path can only be used with --kubeconfig", hint="the kubeconfig names the owner's key file"
        )
    # The second would replace the first, and the certificate is in no other file.
    if out is not None and out == kubeconfig:
        raise UsageError("--out and --kubeconfig are the same file")
    require_writable(*(path for path in (out, kubeconfig) if path is not None))


def kubeconfig_of(
    session: Session, signed: Signed, identity: ApprovedIdentity, way: Reaching, key: str
) -> str:
    """A kubeconfig with what was signed."""
    person = identity.person
    access = way.access(
        session.inventory.cluster,
        trust_bundle=signed.trust_bundle,
        user=identity.subject.common_name,
        home=person.namespace if person is not None else None,
    )
    return assemble(access, {"client-certificate-data": base64_text(signed.pem), "client-key": key})


def lifetime_of(validity: str | None, person: User | None) -> timedelta:
    """How long a certificate lives: as the option says, else the spec, else the default."""
    if validity is not None:
        return duration(validity, "--validity")
    return person.validity if person is not None else DEFAULT_VALIDITY


def say_request(request: Request, identity: ApprovedIdentity) -> None:
    """Say what a request asks for beside what is approved."""
    subject, person = identity.subject, identity.person
    note(f"requested: {request.subject}; key {request.key_description} {request.key_fingerprint}")
    for extension in request.extensions:
        note(f"requested: {extension} (not issued)")
    if request.asked != subject and (request.asked.common_name or request.asked.organizations):
        note(f"note: the request has another identity; only the approved one is issued: {subject}")
    if person is not None and set(person.groups) != set(subject.organizations):
        note(f"note: the spec gives {person.name} other groups: {', '.join(person.groups) or 'none'}")


def say_issued(signed: Signed, subject: Subject, lifetime: timedelta, *, is_default: bool) -> None:
    """Say what was issued, and what its owner should know."""
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
