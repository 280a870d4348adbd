"""`pkigen fleet request` and `accept`: the sites of a fleet towards one authority that is never connected."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import agreed, say_lines
from pkigen.cli.document import document
from pkigen.cli.fleet.options import FleetArgument, JobsOption
from pkigen.cli.options import ForceOption, Format, FormatOption, TemplatesOption, YesOption
from pkigen.cli.unlock import AuthorityFileOption, AuthorityIdentityOption, Unlocking
from pkigen.cli.values import duration
from pkigen.errors import PkigenError
from pkigen.notation import quoted


def request(
    context: typer.Context,
    place: FleetArgument,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--request", metavar="FILE", help="The request file.  [default: ./<fleet name>.requests]"
        ),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="DURATION", help="Also request what expires within this time."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Make new requests; answers to the pending ones are then refused."),
    ] = False,
    templates: TemplatesOption = None,
    passphrase_file: AuthorityFileOption = None,
    identity: AuthorityIdentityOption = None,
    jobs: JobsOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Request from the offline authority, in one file, everything that no site can sign itself.

    The keys are made at the sites and stay there. While a site's request is pending, the same one is written
    again.
    """
    from pkigen.airgap.carrier.media import write_file
    from pkigen.airgap.offline.collection import Collection, Kind
    from pkigen.cli.fleet import changes
    from pkigen.cli.fleet.endings import require_all, tell_notes
    from pkigen.cli.fleet.plans import Wish
    from pkigen.cli.fleet.requests import asked
    from pkigen.cli.fleet.visits import visits
    from pkigen.cli.work.fleet_changes import run_of
    from pkigen.cli.work.fleet_offline import requested_content, say_requested

    unlocking = Unlocking(file=passphrase_file, identity=identity)
    run = run_of(context, place, Wish(), templates=templates, jobs=jobs, unlocking=unlocking)
    window = duration(within, "--within") if within is not None else None
    target = file if file is not None else Path(f"{run.fleet.name}.requests")
    changes.make_room(run.fleet.sites)
    work = partial(asked, run.around, within=window, again=again)
    with document(output) as content:
        found = list(visits(run.fleet.sites, work, jobs=run.jobs, what="asking for certificates"))
        # A site that needs nothing now has no part in the file: an empty request would still want an answer.
        requests = [each.found for each in found if each.found is not None and each.found.certificates]
        collection = Collection(
            kind=Kind.REQUESTS,
            fleet=run.fleet.name,
            parts=tuple((each.cluster, each.file) for each in requests),
        )
        if requests:
            write_file(target, collection.file, mode=0o644)
        say_requested(run, target, collection, requests)
        content.update(requested_content(run, target, collection, found))
    tell_notes(found)
    # After the file is written: what the other sites request is on record there, and is carried all the same.
    require_all(found, again=run.again("request"))


def accept(
    context: typer.Context,
    place: FleetArgument,
    answered: Annotated[Path, typer.Argument(metavar="ANSWER", help="The answer file.")],
    *,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="FINGERPRINT",
            help="The authority's key, as `authority init` printed it.  [default: that of each site's last "
            "answer]",
        ),
    ] = None,
    yes: YesOption = False,
    force: ForceOption = False,
    templates: TemplatesOption = None,
    passphrase_file: AuthorityFileOption = None,
    identity: AuthorityIdentityOption = None,
    jobs: JobsOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Accept what the offline authority has signed for each site, and make the changes that follow.

    Each site accepts its own answer by itself, completely or not at all.
    """
    from pkigen.airgap.carrier.media import read_file
    from pkigen.airgap.offline.collection import LARGEST_COLLECTION, Kind, read_collection
    from pkigen.cli.fleet import changes
    from pkigen.cli.fleet.endings import require_all, tell_notes
    from pkigen.cli.fleet.plans import Wish
    from pkigen.cli.fleet.requests import accepted
    from pkigen.cli.fleet.visits import visits
    from pkigen.cli.reports.fleet_text import counted
    from pkigen.cli.work.fleet_changes import run_of

    unlocking = Unlocking(file=passphrase_file, identity=identity)
    run = run_of(context, place, Wish(force=force), templates=templates, jobs=jobs, unlocking=unlocking)
    answers = read_collection(read_file(answered, limit=LARGEST_COLLECTION), Kind.ANSWERS)
    count = counted(len(answers.parts), "site")
    if not yes and not agreed(f"accept the answers for {count}?"):
        raise PkigenError("not accepted", hint="nothing was changed")
    work = partial(accepted, run.around, answers, pin=pin, force=force)
    done = list(visits(run.fleet.sites, work, jobs=run.jobs, what="accepting answers"))
    with document(output) as content:
        say_lines(changes.done_lines(done, absent="no answer in this file"))
        content.update(changes.structure(run.fleet, done))
    tell_notes(done)
    require_all(done, again=f"{run.again('accept')} {quoted(answered)}")
