"""`pkigen airgap authority init`, `renew` and `sign`: on the machine that is never connected."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from pkigen.airgap.offline.description import read_description
from pkigen.airgap.offline.directory import (
    make,
    open_authority,
    renew_all,
    require_known,
    require_own,
    root_validity_of,
)
from pkigen.airgap.offline.scope import require_offline
from pkigen.cli.commands.authority_fleet import fleet_of, root_session, sign_all
from pkigen.cli.console import agreed, note, say, say_line, width
from pkigen.cli.document import document
from pkigen.cli.offline import note_refused
from pkigen.cli.options import Format, FormatOption, SpecArgument, YesOption
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.proposals_text import proposals_text
from pkigen.cli.reports.tables import table
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.crypto.issuance import fingerprint as certificate_fingerprint
from pkigen.desired.generations import certificate_named
from pkigen.errors import PkigenError, UsageError
from pkigen.rotation.successors import with_successors
from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from pkigen.airgap.offline.directory import OfflineAuthority

AuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--authority",
        metavar="DIR",
        help="The offline authority's directory.  [default: ./<cluster name>-authority]",
    ),
]


RootValidityOption = Annotated[
    str | None,
    typer.Option(
        "--root-validity",
        metavar="DURATION",
        help="The validity of the root.  [default: twice the spec's caValidity]",
    ),
]


def _at_authority(context: typer.Context, spec: Path, directory: Path | None) -> Session:
    session = open_spec(system_of(context), spec, root=directory or Path())
    require_offline(session.inventory)
    if directory is not None:
        return session
    return replace(session, root=Path(f"{session.inventory.cluster.file_name}-authority"))


def init(
    context: typer.Context,
    spec: SpecArgument,
    *,
    directory: AuthorityOption = None,
    root_validity: RootValidityOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Make the offline authority of a cluster, or a fleet's root, on the machine that is never connected.

    With caKeys: site that is a root; with caKeys: offline it is the cluster's CAs themselves. CAs of your own
    are used when they are in DIR/pki already (root.crt and root.key, or ca.crt and ca.key, …).
    """
    shared = fleet_of(spec)
    if shared is None:
        session, name = _at_authority(context, spec, directory), None
    else:
        session, name = root_session(context, shared, directory), shared.name
    lifetime = _root_lifetime(session, root_validity)
    with document(output) as content, session.writing("authority init") as store:
        existed = read_description(store) is not None
        require_own(store)
        if not existed:
            tools = session.tools(PlainVault())
            make(session.inventory, store, tools, root_validity=lifetime, fleet=name)
        opened = open_authority(session.inventory, store, now=session.now, fleet=name)
        _say_authority(session, opened)
        content.update(outcomes.offline_authority(opened, str(session.root)))
    if existed:
        note("note: it exists already and is unchanged")


def _root_lifetime(session: Session, given: str | None) -> timedelta:
    """How long a root is to live, by the option or by what the spec gives its CAs."""
    lifetime = duration(given, "--root-validity") if given is not None else None
    return root_validity_of(session.inventory, lifetime)


def _say_authority(session: Session, opened: OfflineAuthority) -> None:
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


def renew(
    context: typer.Context,
    spec: SpecArgument,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="root, or ca, etcd-ca, front-proxy-ca.")
    ],
    *,
    directory: AuthorityOption = None,
    root_validity: RootValidityOption = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Give the root or a CA a new validity: the same key and name, so everything it signed stays valid.

    The next answer contains it. A CA that another CA has signed is renewed by its issuer.
    """
    shared = fleet_of(spec)
    if shared is None:
        session, name = _at_authority(context, spec, directory), None
    else:
        session, name = root_session(context, shared, directory), shared.name
    names = [certificate_named(each) for each in names]
    lifetime = _root_lifetime(session, root_validity)
    with document(output) as content, session.writing("authority renew") as store:
        require_own(store)
        opened = open_authority(session.inventory, store, now=session.now, revived=names, fleet=name)
        require_known(names, opened)
        if not yes and not agreed(f"renew {', '.join(names)}?"):
            raise PkigenError("not renewed", hint="nothing was changed")
        renew_all(
            names, opened, session.inventory, store, session.tools(PlainVault()), root_validity=lifetime
        )
        opened = open_authority(session.inventory, store, now=session.now, fleet=name)
        _say_authority(session, opened)
        content.update(outcomes.offline_authority(opened, str(session.root)))
    note("next: at the site, `pkigen airgap authority request NAME` requests the certificates to renew")


def sign(
    context: typer.Context,
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The site's request file.")],
    spec: Annotated[Path, typer.Option("--spec", metavar="SPEC", help="The spec of this side.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The answer file.  [default: REQUEST with the suffix .answer]"
        ),
    ] = None,
    *,
    directory: AuthorityOption = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="FINGERPRINT",
            help="The site's bundle key, as its `init` printed it.  [default: the one of the last request]",
        ),
    ] = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show every certificate that a request would get, ask, and sign.

    What the spec does not allow is refused, and then nothing is signed. A request that was answered before
    gets the same answer again. With a fleet as SPEC, REQUEST has the requests of its sites; each is refused
    or signed by itself.
    """
    shared = fleet_of(spec)
    with document(output) as content:
        if shared is not None:
            session = root_session(context, shared, directory)
            content.update(sign_all(context, session, shared, request, out=out, pin=pin, yes=yes))
            return
        session = _at_authority(context, spec, directory)
        content.update(_sign(session, request, out=out, pin=pin, yes=yes))


def _sign(session: Session, request: Path, *, out: Path | None, pin: str | None, yes: bool) -> dict[str, Any]:
    target = out or request.with_suffix(".answer")
    carried = read_file(request, limit=LARGEST_BUNDLE)
    if not session.root.exists():
        raise UsageError(
            f"{session.root} does not exist",
            hint="make the authority with `pkigen airgap authority init SPEC`, or give it with --authority",
        )
    with session.writing("authority sign") as store:
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
                tools=session.tools(PlainVault()),
            )
    write_file(target, file, mode=0o644)
    say_line(f"answer: {target}, {len(found)} certificates, signed by {fingerprint(opened.key.public)}")
    note(f"next: carry {target} to the site; there: `pkigen airgap authority accept {target.name}`")
    certificates = (identifier for identifier, _ in requests.requests)
    return outcomes.answered(target, certificates, fingerprint(opened.key.public), is_new=is_new)
