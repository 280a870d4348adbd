"""How a request to the offline authority is made, from `init` as from `authority request`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.bundle_key import parse_pin
from pkigen.airgap.carrier.cluster_key import bundle_fingerprint
from pkigen.airgap.carrier.media import write_file
from pkigen.airgap.offline.generations import next_id, successors
from pkigen.airgap.offline.pending import PendingAnswer, read_pending
from pkigen.airgap.offline.request import ask, make_own_keys, outdated, outstanding
from pkigen.cli.console import note, say
from pkigen.cli.options import Format
from pkigen.cli.reports import structured
from pkigen.cli.session import Session
from pkigen.desired.generations import CA, ca_id
from pkigen.errors import BundleError, UsageError
from pkigen.reconcile.renewal import ids_of
from pkigen.reconcile.surveyed import Selection
from pkigen.rotation.phases import RotationStep, after
from pkigen.spec.model import Authority, CAKeys
from pkigen.state.lockfile import read_lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.reconcile.plan import Plan
    from pkigen.store import Store


FAULTS_SHOWN = 50
"""How many faults of a file are said one by one."""


def require_offline(session: Session) -> None:
    """Refuse a cluster whose CAs are made and used where it is.

    Raises:
        UsageError: It is one.
    """
    if session.inventory.cluster.spec.certificates.authority is Authority.LOCAL:
        raise UsageError(
            "this cluster's authority is local: the CAs are made and used at the site itself",
            hint="for an offline one, set spec.certificates.authority: offline before `pkigen init`",
        )


def trusted(pin: str | None, known: str | None, who: str, where: str) -> str:
    """The one key that a file must be signed by: the one that a person has compared."""
    given = parse_pin(pin) if pin is not None else None
    if given is None and known is None:
        raise BundleError(
            f"nobody has said which key of the {who} is to be trusted here",
            hint=f"give its fingerprint with --pin, {where}; compare it by another way than the medium",
        )
    if given is not None and known is not None and given != known:
        raise BundleError(
            f"the key that is trusted here is {known}, not {given}",
            hint=f"if the {who} has a new key, remove pki/{who}.pin first, and find out why",
        )
    return given or known or ""


def select(session: Session, names: tuple[str, ...], within: timedelta | None) -> Selection:
    """What is asked for although it need not be.

    Raises:
        UsageError: A name means nothing that the offline authority issues.
    """
    inventory = session.inventory
    found = tuple(identifier for name in names for identifier in ids_of(inventory, name))
    for identifier in found:
        item = inventory.certificates.get(identifier)
        if item is None or not inventory.is_signed_offline(item):
            raise UsageError(
                f"{identifier} needs no offline authority", hint=f"`pkigen renew SPEC {identifier}` renews it"
            )
    return selection_of(found, within)


def selection_of(identifiers: Iterable[str], within: timedelta | None) -> Selection:
    """What is renewed whatever its age; that a CA among it has ended is no obstacle."""
    ids = frozenset(identifiers)
    return Selection(within=within, ids=ids, revived=frozenset(ca for ca in CA if ca_id(ca) in ids))


def select_successors(session: Session, names: tuple[str, ...]) -> frozenset[str]:
    """The next generations of CAs that are to be asked for.

    Raises:
        UsageError: There is no such CA here, or its keys are with the offline authority.
        RotationError: It is being rotated.
    """
    known = {ca_id(ca) for ca in session.inventory.authorities}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no CA {name!r} here", hint=f"choose from {', '.join(sorted(known))}")
    if names and session.inventory.ca_keys is CAKeys.OFFLINE:
        raise UsageError("--next goes with caKeys: site", hint="CAs whose keys are offline do not rotate")
    return frozenset(next_id(name) for name in names)


def for_successors(session: Session, identifiers: Iterable[str]) -> Session:
    """The session in which the next generations among these exist."""
    cas = successors(identifiers)
    planner = session.planner
    prepared = after(planner.inventory.rotations, cas, RotationStep.PREPARE)
    return session.over(planner.under(prepared)) if cas else session


def request_out(
    session: Session,
    command: str,
    *,
    file: Path | None,
    selection: Selection,
    again: bool,
    output: Format,
    following: frozenset[str] = frozenset(),
) -> None:
    """Make a request, or write the one that is out once more; then say what to do with it.

    Raises:
        BundleError: The request that is out no longer asks for what the spec does.
    """
    target = file or _beside(session.root)
    with session.writing(command) as store:
        session = session.at(store)
        pending = None if again else read_pending(store)
        is_new = pending is None
        if pending is None:
            pending = _asked(session, store, selection, following)
        else:
            _require_current(session, store, pending, selection, following)
        pin = bundle_fingerprint(store)
    if pending is None:
        _say_nothing(session, output)
        return
    write_file(target, pending.file, mode=0o644)
    if output is Format.TEXT:
        _say(session, pending, target, pin, is_new=is_new)
    else:
        said = structured.requested(pending.requests, str(session.root), str(target), pin)
        say(structured.dump(said, output))


def _beside(root: Path) -> Path:
    """Where a directory's request goes if nobody says otherwise: `prod.request` beside `prod`."""
    named = root if root.name not in {"", ".."} else root.resolve()
    return named.with_name(f"{named.name}.request")


def _asked(
    session: Session, store: Store, selection: Selection, following: frozenset[str]
) -> PendingAnswer | None:
    tools = session.tools(session.unlocking.vault(store))
    if following:
        inventory = for_successors(session, following).inventory
        return ask(inventory, store, following, tools)
    plan = _plan(session, store, selection)
    if read_lock(store) is None:
        make_own_keys(plan, session.inventory, store, tools)
        plan = _plan(session, store, selection)
    wanted = tuple(outstanding(plan))
    return ask(session.inventory, store, wanted, tools) if wanted else None


def _plan(session: Session, store: Store, selection: Selection) -> Plan:
    return session.plan(store, selection)


def _require_current(
    session: Session, store: Store, pending: PendingAnswer, selection: Selection, following: frozenset[str]
) -> None:
    asked = frozenset(identifier for identifier, _ in pending.requests.requests)
    more = sorted(following - asked)
    if more:
        reason: str | None = f"{more[0]}: it is not asked for"
    elif successors(asked):
        reason = None
    else:
        # What has become due since the request was made can wait for the next one.
        unasked = selection_of(selection.ids | (asked & {ca_id(ca) for ca in CA}), timedelta())
        reason = outdated(pending, _plan(session, store, unasked), session.inventory)
    if reason is not None:
        raise BundleError(
            f"request {pending.requests.nonce[:8]} is out, and is not what the spec needs now: {reason}",
            hint="--again makes a new request; an answer to the old one is refused then",
        )


def _say(session: Session, pending: PendingAnswer, target: Path, pin: str, *, is_new: bool) -> None:
    requests = pending.requests
    count = len(requests.requests)
    what = "request" if is_new else "request (the one that is out)"
    say(
        f"{what}: {target}, {requests.nonce[:8]}, asks the offline authority of {requests.cluster} for "
        f"{count} certificate{'' if count == 1 else 's'}"
    )
    say(f"site key: {pin} (the authority pins it: `pkigen authority sign --pin`)")
    note(
        f"next: carry {target} and the spec to the authority; there `pkigen authority sign {target.name} "
        f"--spec SPEC`; bring the answer back: `pkigen authority accept ANSWER SPEC --out {session.root}`"
    )


def _say_nothing(session: Session, output: Format) -> None:
    if output is Format.TEXT:
        say("nothing to ask for: all that the offline authority issues is there, right and not due")
    else:
        say(structured.dump(structured.requested(None, str(session.root), None, None), output))
