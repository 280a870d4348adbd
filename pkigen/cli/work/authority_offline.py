"""The work of `pkigen airgap authority init`, `renew` and `sign`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.media import read_file, write_file
from pkigen.airgap.carrier.requests import open_envelope, read_requests
from pkigen.airgap.offline.answers import (
    RefusedRequestError,
    answer,
    earlier_answer,
    proposals,
    require_current,
    trusted_site,
)
from pkigen.airgap.offline.directory import open_authority, require_own, root_validity_of
from pkigen.airgap.offline.scope import require_offline
from pkigen.cli.console import agreed, note, say, say_line, width
from pkigen.cli.offline import note_refused
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.proposals_text import proposals_text
from pkigen.cli.reports.tables import table
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.crypto.issuance import fingerprint as certificate_fingerprint
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import quoted
from pkigen.rotation.successors import with_successors
from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from pkigen.airgap.offline.directory import OfflineAuthority


def at_authority(context: typer.Context, spec: Path, directory: Path | None) -> Session:
    """The directory of the offline authority, with the spec of its side."""
    session = open_spec(system_of(context), spec, root=directory or Path())
    require_offline(session.inventory)
    if directory is not None:
        return session
    return replace(session, root=Path(f"{session.inventory.cluster.file_name}-authority"))


def root_lifetime(session: Session, given: str | None) -> timedelta:
    """How long a root is to live, by the option or by what the spec gives its CAs."""
    lifetime = duration(given, "--root-validity") if given is not None else None
    return root_validity_of(session.inventory, lifetime)


def say_authority(session: Session, opened: OfflineAuthority) -> None:
    """Say what the offline authority consists of, and its key."""
    rows = [
        (
            identifier,
            opened.issuers[identifier].certificate.subject.rfc4514_string(),
            f"{chain[0].not_valid_after_utc:%Y-%m-%d}",
            certificate_fingerprint(chain[0]),
        )
        for identifier, chain in opened.files.items()
    ]
    described = opened.described
    say_line(f"offline authority of {described.cluster} in {session.root}, caKeys: {described.ca_keys}")
    say_line("")
    say(table(("CA", "SUBJECT", "EXPIRES", "SHA-256 FINGERPRINT"), rows, width=width()))
    say_line("")
    pin = fingerprint(opened.key.public)
    say_line(f"authority key: {pin} (the site pins it: `pkigen airgap authority accept --pin`)")


def sign_request(
    session: Session, request: Path, *, out: Path | None, pin: str | None, yes: bool
) -> dict[str, Any]:
    """Show what one site's request would get, ask, sign, and give the answer as a structure.

    Raises:
        RefusedRequestError: The spec does not allow it.
        PkigenError: It is not agreed to.
    """
    target = out or request.with_suffix(".answer")
    carried = read_file(request, limit=LARGEST_BUNDLE)
    if not session.root.exists():
        raise UsageError(
            f"{session.root} does not exist",
            hint="make the authority with `pkigen airgap authority init SPEC`, or give it with --authority",
        )
    with session.writing("airgap authority sign") as store:
        require_own(store)
        opened = open_authority(session.inventory, store, now=session.now)
        pinned = trusted_site(pin, store)
        requests = read_requests(open_envelope(carried, kind=BundleKind.REQUEST, pin=pinned))
        asked = (identifier for identifier, _ in requests.requests)
        session = session.over(with_successors(session.planner, asked))
        file = earlier_answer(store, requests, carried)
        if file is None:
            require_current(requests, store, now=session.now)
        try:
            found = proposals(requests, session.inventory, opened, store, now=session.now)
        except RefusedRequestError as refusal:
            note_refused(refusal.faults)
            raise
        say(proposals_text(requests, found))
        is_new = file is None
        if file is not None:
            note(
                "note: this request was answered before: the same answer is written again, nothing is signed"
            )
        else:
            if not yes and not agreed("sign these?"):
                raise PkigenError("not signed", hint="nothing was signed")
            file = answer(
                found,
                requests,
                carried,
                inventory=session.inventory,
                authority=opened,
                store=store,
                pin=pinned,
                # An offline authority's directory is not sealed: what keeps it safe is that its machine is
                # never connected.
                tools=session.tools(PlainVault()),
            )
    write_file(target, file, mode=0o644)
    say_line(f"answer: {target}, {len(found)} certificates, signed by {fingerprint(opened.key.public)}")
    note(f"next: carry {target} to the site; there: `pkigen airgap authority accept {quoted(target.name)}`")
    certificates = (identifier for identifier, _ in requests.requests)
    return outcomes.answered(target, certificates, fingerprint(opened.key.public), is_new=is_new)
