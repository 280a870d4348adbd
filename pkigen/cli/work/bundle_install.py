"""The work of `pkigen airgap bundle install` and `rollback`, and what their like say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pkigen.airgap.bundles.install import affected, plan_bundle_rollback, require_ours, roll_back, strangers
from pkigen.airgap.bundles.install import install as put
from pkigen.airgap.bundles.record import read_installed
from pkigen.airgap.bundles.rollback_risks import risks_of
from pkigen.airgap.carrier.envelope import Envelope, require_key
from pkigen.cli.bundle_visit import Visit
from pkigen.cli.console import agreed, note, say, say_line
from pkigen.cli.host import changing, looking
from pkigen.cli.reports import outcomes, structured_bundle
from pkigen.cli.reports.backups_text import replaced_text
from pkigen.cli.reports.bundle_text import changes_text, facts, steps_text
from pkigen.cli.system import System
from pkigen.errors import PkigenError
from pkigen.reconcile.restore import Rollback
from pkigen.records import dataclass
from pkigen.store import Store


def install_bundle(visit: Visit, *, yes: bool) -> dict[str, Any]:
    """Check a bundle, show what it changes, ask, and install it.

    Raises:
        PkigenError: It is not agreed to.
    """
    # Not held while a person reads: what follows is looked at again below.
    with visit.reading() as store:
        _say_recovery(store)
        carried, installed = visit.admitted(store)
        bundle, changes = visit.changes(carried, store, installed)
        left = strangers(bundle.manifest, store, installed)
    say_all(changes_text(changes, left))
    # Said, not refused: trees are installed as somebody else on images and in tests.
    if os.geteuid() != 0:
        note("note: not run as root: you will own the files; on a running node root must own them")
    if not yes and not agreed("install this?"):
        raise PkigenError("not installed", hint="nothing was changed")
    with visit.writing("airgap bundle install") as store:
        _say_recovery(store)
        installed = read_installed(store)
        # Again: somebody may have been faster, with another bundle or another key.
        require_key(carried.public, visit.trusted(installed))
        visit.require_admissible(carried.label, installed)
        bundle, changes = visit.changes(carried, store, installed)
        backup = put(bundle, store, changes)
    say_all(steps_text(affected(bundle.manifest.steps, changes)))
    say_line(f"installed: {facts(bundle)}{replaced_text(backup)}")
    steps = affected(bundle.manifest.steps, changes)
    return outcomes.installed(structured_bundle.bundle_diff(bundle.label, changes, left, steps), backup)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleHost:
    """Where something is undone."""

    system: System
    root: Path
    certificates: str | None


def go_back(place: BundleHost, backup: str | None, *, yes: bool, force: bool) -> dict[str, Any]:
    """Undo installs, once that is agreed to.

    Raises:
        PkigenError: It is dangerous, or not agreed to.
    """
    system, root = place.system, place.root
    with looking(system, root) as store:
        _say_recovery(store)
        planned = plan_bundle_rollback(store, backup)
        require_ours(planned, directory=place.certificates)
        risks = risks_of(planned, store, now=system.clock())
    for line in _rollback_text(planned, risks):
        say_line(line)
    if risks and not force:
        raise PkigenError(f"the rollback is dangerous: {risks[0]}", hint="if this is intended, add --force")
    if not yes and not agreed("go back?"):
        raise PkigenError("not rolled back", hint="nothing was changed")
    with changing(system, root, "airgap bundle rollback") as store:
        _say_recovery(store)
        # What was agreed to was planned without the lock: with another plan the agreement is void.
        if plan_bundle_rollback(store, backup) != planned:
            raise PkigenError("not rolled back: the node was changed meanwhile", hint="run the command again")
        left = roll_back(planned, store)
    say_line(f"rolled back to before {planned.backup}{replaced_text(left)}")
    note("note: restart the components that read these files, as after an install")
    return outcomes.went_back(planned, left)


def _rollback_text(planned: Rollback, risks: Iterable[str]) -> Iterator[str]:
    yield from (f"restore /{restore.path} from {restore.backup}" for restore in planned.restores)
    yield from (f"remove /{path}" for path in planned.removes)
    yield from (f"risk: {risk}" for risk in risks)


def _say_recovery(store: Store) -> None:
    if store.recovered is not None:
        note(f"note: {store.recovered}")


def say_whose(visit: Visit, envelope: Envelope) -> None:
    """Without a pin, the key of the last install is the only one to compare with."""
    with visit.reading() as store:
        installed = read_installed(store)
    if installed is None:
        note("note: without --pin the signer is only claimed, not verified")
    elif installed.fingerprint != envelope.fingerprint:
        note(f"note: it is signed by another key than {installed.fingerprint}, which this host trusts")


def say_all(lines: Iterable[str]) -> None:
    """Say lines one by one."""
    for line in lines:
        say(line)
