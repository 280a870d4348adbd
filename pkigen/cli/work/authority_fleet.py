"""`airgap authority init`, `renew` and `sign` where one root is above all clusters of a fleet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkigen.airgap.carrier.cluster_key import bundle_fingerprint
from pkigen.airgap.carrier.media import read_file, write_file
from pkigen.airgap.offline.collection import LARGEST_COLLECTION, Kind, read_collection
from pkigen.airgap.offline.directory import require_own
from pkigen.cli.console import agreed, note, say_line
from pkigen.cli.fleet.endings import failures, require_all
from pkigen.cli.fleet.members import Circumstances
from pkigen.cli.fleet.root import authority_place, first_of, reviews, signed
from pkigen.cli.reports.fleet_text import counted
from pkigen.cli.reports.version import API_VERSION
from pkigen.cli.spec_input import host_facts
from pkigen.cli.system import system_of
from pkigen.cli.validation import is_of_fleet
from pkigen.errors import PkigenError, UsageError
from pkigen.fleet.description import read_fleet
from pkigen.notation import quoted

if TYPE_CHECKING:
    import typer

    from pkigen.cli.fleet.root import ReviewedRequest
    from pkigen.cli.session import Session
    from pkigen.fleet.description import Fleet


def fleet_of(spec: Path) -> Fleet | None:
    """The fleet that is given in a spec's place; None for a spec."""
    return read_fleet(spec) if is_of_fleet(spec) else None


def _around(context: typer.Context) -> Circumstances:
    return Circumstances(system=system_of(context), host=host_facts())


def root_session(context: typer.Context, fleet: Fleet, directory: Path | None) -> Session:
    """The directory of a fleet's root, with the spec of a site: they share what concerns the root."""
    # The root's directory is no cluster's: no spec becomes its own.
    return replace(first_of(_around(context), fleet), root=authority_place(fleet, directory), adopted=None)


def sign_all(
    context: typer.Context,
    session: Session,
    fleet: Fleet,
    request: Path,
    *,
    out: Path | None,
    pin: str | None,
    yes: bool,
) -> dict[str, Any]:
    """Show what every site's request would get, ask once, and sign; each site's is refused by itself.

    Raises:
        PkigenError: Some were refused; the others' answers are written.
    """
    target = out or request.with_suffix(".answers")
    requests = read_collection(read_file(request, limit=LARGEST_COLLECTION), Kind.REQUESTS)
    if not session.root.exists():
        raise UsageError(
            f"{session.root} does not exist",
            hint="make the authority with `pkigen airgap authority init FLEET`, or give it with --authority",
        )
    with session.writing("airgap authority sign") as store:
        require_own(store)
        found = list(reviews(_around(context), fleet, requests, store, pin))
        # Reviews and signatures are one after the other: nothing is signed before every request was shown.
        good = [each.found for each in found if each.found is not None]
        if not yes:
            _ask(good)
        answers = signed(fleet, good, store)
        key = bundle_fingerprint(store)
    if good:
        write_file(target, answers.file, mode=0o644)
        say_line(f"answer: {target}, for {counted(len(good), 'site')}, signed by {key}")
        note(f"next: carry {target} to the sites; there: `pkigen fleet accept FLEET {quoted(target.name)}`")
    # After the answers are written: a site that was refused keeps no other from its certificates.
    require_all(found, again=f"pkigen airgap authority sign {request} --spec {fleet.place}")
    return {
        "apiVersion": API_VERSION,
        "kind": "FleetAnswered",
        "file": str(target),
        "clusters": [each.requests.cluster for each in good],
        "signer": key,
        "failures": failures(found),
    }


def _ask(found: list[ReviewedRequest]) -> None:
    """Have what is new agreed to; raises `PkigenError` where it is not."""
    new = [each for each in found if each.earlier is None]
    if new and not agreed(f"sign for {counted(len(new), 'site')}?"):
        raise PkigenError("not signed", hint="nothing was signed")
