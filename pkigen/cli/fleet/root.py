"""The root above all clusters of a fleet, on the machine that is never connected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.bundle_key import parse_pin
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.requests import open_envelope, read_requests
from pkigen.airgap.offline.answers import (
    RefusedRequestError,
    answer,
    earlier_answer,
    known_site,
    proposals,
    require_current,
)
from pkigen.airgap.offline.collection import Collection, Kind
from pkigen.airgap.offline.directory import open_authority
from pkigen.airgap.offline.scope import require_offline
from pkigen.cli.console import note, say
from pkigen.cli.fleet.visits import Failure, SiteVisit, failure_of
from pkigen.cli.offline import note_refused
from pkigen.cli.reports.proposals_text import proposals_text
from pkigen.errors import BundleError, PkigenError, UsageError
from pkigen.fleet.description import Fleet
from pkigen.fleet.sites import OwnSource, RowSource, Site
from pkigen.records import dataclass
from pkigen.rotation.successors import with_successors
from pkigen.spec.certificates import CAKeys
from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.airgap.offline.answers import Proposal
    from pkigen.airgap.offline.directory import OfflineAuthority
    from pkigen.cli.fleet.members import Circumstances
    from pkigen.cli.session import Session
    from pkigen.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedRequest:
    """One site's request, and what it would get; `earlier` is the answer that it got before."""

    session: Session
    authority: OfflineAuthority
    requests: RequestSet
    carried: bytes
    pin: str
    proposals: tuple[Proposal, ...]
    earlier: bytes | None


def authority_place(fleet: Fleet, given: Path | None) -> Path:
    """Where the root is kept."""
    return given if given is not None else Path(f"{fleet.name}-authority")


def opened(around: Circumstances, site: Site) -> Session:
    """A site's spec, which must put its CAs below the root.

    Raises:
        UsageError: It does not.
    """
    session = around.opened(site)
    require_offline(session.inventory)
    if session.inventory.ca_keys is not CAKeys.SITE:
        raise UsageError(
            f"{site.label} has caKeys: offline, and a fleet's root signs CAs whose keys are at their sites",
            hint="use caKeys: site in the fleet, or an authority of its own for this cluster",
        )
    return session


def first_of(around: Circumstances, fleet: Fleet) -> Session:
    """The first site whose spec is valid: its settings are those of the root.

    Raises:
        PkigenError: There is none, or it has no offline authority.
    """
    # One invalid row must not keep the root from working for the others; if all are invalid, the last one's
    # reason is told.
    problem: PkigenError = UsageError(f"{fleet.place} has no site")
    for site in fleet.sites:
        try:
            return opened(around, site)
        except PkigenError as error:
            problem = error
    raise problem


def reviews(
    around: Circumstances, fleet: Fleet, requests: Collection, store: Store, pin: str | None
) -> Iterator[SiteVisit[ReviewedRequest]]:
    """Review every request of a file, and show what each would get.

    Args:
        around: What all sites have in common.
        fleet: The fleet, by the specs of this side.
        requests: What the sites ask for.
        store: The authority's directory, held alone.
        pin: The fingerprint of the file, where a person has compared it.

    Raises:
        BundleError: The file is another one than was compared, or another fleet's.
    """
    is_compared = _require_compared(fleet, requests, pin)
    known = {name: site for site in fleet.sites if (name := _name(around, site)) is not None}
    for cluster, carried in requests.parts:
        site = known.get(cluster)
        if site is None:
            yield _unknown(fleet, cluster)
        else:
            # One after another, in this process: what each would get is shown to a person who reads along.
            yield _visit(around, fleet, site, carried, store, is_compared=is_compared)


def _require_compared(fleet: Fleet, requests: Collection, pin: str | None) -> bool:
    """Whether a person has compared the file; raises `BundleError` where it is not the one."""
    if requests.fleet != fleet.name:
        raise BundleError(f"it is from the fleet {requests.fleet}, and the specs are of {fleet.name}")
    if pin is None:
        return False
    if parse_pin(pin) != requests.fingerprint:
        raise BundleError(
            f"the file's fingerprint is {requests.fingerprint}, not {parse_pin(pin)}",
            hint="nothing was signed; compare it with what `fleet request` printed, by another channel",
        )
    return True


def _visit(
    around: Circumstances, fleet: Fleet, site: Site, carried: bytes, store: Store, *, is_compared: bool
) -> SiteVisit[ReviewedRequest]:
    try:
        found = _review(around, fleet, site, carried, store, is_compared=is_compared)
    except RefusedRequestError as refusal:
        note_refused(f"{site.label}: {fault}" for fault in refusal.faults)
        return SiteVisit(site=site, failure=failure_of(refusal))
    except PkigenError as problem:
        return SiteVisit(site=site, failure=failure_of(problem))
    say(proposals_text(found.requests, found.proposals))
    return SiteVisit(site=site, found=found)


def _name(around: Circumstances, site: Site) -> str | None:
    """What a site's cluster is called: its row says so, or else its spec does."""
    if isinstance(site.source, RowSource):
        return site.source.name
    try:
        return around.opened(site).inventory.cluster.name
    except PkigenError:
        return None


def _unknown(fleet: Fleet, cluster: str) -> SiteVisit[ReviewedRequest]:
    site = Site(label=cluster, root=None, source=OwnSource(root=fleet.place))
    return SiteVisit(site=site, failure=Failure(message=f"{fleet.place} has no such cluster"))


def _review(
    around: Circumstances, fleet: Fleet, site: Site, carried: bytes, store: Store, *, is_compared: bool
) -> ReviewedRequest:
    session = opened(around, site)
    cluster = session.inventory.cluster.name
    authority = open_authority(session.inventory, store, now=session.now, fleet=fleet.name)
    known = known_site(store, cluster)
    if known is None and not is_compared:
        raise BundleError(
            f"the key of {cluster} is not known here",
            hint="give the fingerprint of the whole file with --pin, as `fleet request` printed it; compare "
            "it by another channel than the medium",
        )
    envelope = open_envelope(carried, kind=BundleKind.REQUEST, pin=known)
    requests = read_requests(envelope)
    asked = (identifier for identifier, _ in requests.requests)
    session = session.over(with_successors(session.planner, asked))
    earlier = earlier_answer(store, requests, carried)
    # One that was answered gets the same answer again, whatever its age.
    if earlier is None:
        require_current(requests, store, now=session.now, cluster=cluster)
    found = proposals(requests, session.inventory, authority, store, now=session.now)
    return ReviewedRequest(
        session=session,
        authority=authority,
        requests=requests,
        carried=carried,
        pin=envelope.fingerprint,
        proposals=found,
        earlier=earlier,
    )


def signed(fleet: Fleet, found: list[ReviewedRequest], store: Store) -> Collection:
    """Sign what was agreed to, and put each site's on record before the next."""
    parts = []
    for each in found:
        file = each.earlier
        if file is None:
            file = answer(
                each.proposals,
                each.requests,
                each.carried,
                inventory=each.session.inventory,
                authority=each.authority,
                store=store,
                pin=each.pin,
                tools=each.session.tools(PlainVault()),
            )
        else:
            note(f"note: the request of {each.requests.cluster} was answered before: the same answer again")
        parts.append((each.requests.cluster, file))
    return Collection(kind=Kind.ANSWERS, fleet=fleet.name, parts=tuple(parts))
