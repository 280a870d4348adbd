"""How a request to the offline authority is made, from `init` as from `authority request`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.cluster_key import bundle_fingerprint
from pkigen.airgap.carrier.media import write_file
from pkigen.airgap.offline.pending import PendingAnswer, read_pending
from pkigen.airgap.offline.request import ask, ask_outstanding, require_current
from pkigen.cli.console import note, say, say_line
from pkigen.cli.options import Format
from pkigen.cli.reports import structured
from pkigen.cli.session import Session
from pkigen.notation import dir_option, quoted
from pkigen.reconcile.surveyed import Selection
from pkigen.rotation.successors import with_successors
from pkigen.state.authority_record import require_recorded

if TYPE_CHECKING:
    from pkigen.store import Store

# The first ones of a wrong file show what it is; a hostile one may have as many as it has certificates.
_FAULTS_SHOWN = 50


def note_refused(faults: Iterable[str]) -> None:
    """Say the faults of a file one by one, as far as anybody reads them."""
    for fault in itertools.islice(faults, _FAULTS_SHOWN):
        note(f"refused: {fault}")


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
        require_recorded(store)  # what is made for the request is recorded with it
        session = session.at(store)
        pending = None if again else read_pending(store)
        is_new = pending is None
        if pending is None:
            pending = _asked(session, store, selection, following)
        else:
            # The spec may have changed since: the answer to what is out would then be refused after a whole
            # journey.
            require_current(pending, session.planner, store, selection=selection, following=following)
        pin = bundle_fingerprint(store)
    if pending is None:
        _say_nothing(session, output)
        return
    # Outside the lock, and after the request is recorded: the medium may be slow, and a second run writes it
    # again.
    write_file(target, pending.file, mode=0o644)
    if output is Format.TEXT:
        _say(session, pending, target, pin, is_new=is_new)
    else:
        said = structured.requested(pending.requests, str(session.root), str(target), pin)
        say(structured.dump(said, output))


def _beside(root: Path) -> Path:
    """Where a directory's request goes if nobody says otherwise: `prod.request` beside `prod`."""
    # `.` and `..` have no name of their own to put a suffix to.
    named = root if root.name not in {"", ".."} else root.resolve()
    return named.with_name(f"{named.name}.request")


def _asked(
    session: Session, store: Store, selection: Selection, following: frozenset[str]
) -> PendingAnswer | None:
    tools = session.tools(session.unlocking.vault(store))
    if following:
        return ask(with_successors(session.planner, following).inventory, store, following, tools)
    return ask_outstanding(session.planner, store, selection, tools)


def _say(session: Session, pending: PendingAnswer, target: Path, pin: str, *, is_new: bool) -> None:
    requests = pending.requests
    count = len(requests.requests)
    what = "request" if is_new else "request (the pending one)"
    say(
        f"{what}: {target}, {requests.nonce[:8]}, requests {count} "
        f"certificate{'' if count == 1 else 's'} from the offline authority of {requests.cluster}"
    )
    say_line(f"site key: {pin} (the authority pins it: `pkigen airgap authority sign --pin`)")
    note(
        f"next: carry {target} and the spec to the authority; there "
        f"`pkigen airgap authority sign {quoted(target.name)} "
        f"--spec SPEC`; bring the answer back: "
        f"`pkigen airgap authority accept ANSWER {dir_option(session.root)}`"
    )


def _say_nothing(session: Session, output: Format) -> None:
    if output is Format.TEXT:
        say(
            "nothing to request: every certificate of the offline authority exists, matches the spec and is "
            "not due"
        )
    else:
        say(structured.dump(structured.requested(None, str(session.root), None, None), output))
