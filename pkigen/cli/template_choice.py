"""Which templates a command renders with: those that it is given, else those that the lock file records."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.console import note
from pkigen.errors import AuthorityError, StoreError, TemplateError
from pkigen.records import dataclass
from pkigen.state.issuance_record import unconfirmed
from pkigen.state.ledger import read_ledger
from pkigen.state.lockfile import read_lock

if TYPE_CHECKING:
    from pkigen.desired.overrides import OverrideRecord
    from pkigen.store import Store

_OTHERS = "name them with --templates; an empty directory stands for pkigen's own"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChoice:
    """The folder that replaces pkigen's own templates, and how the lock file names it.

    `recorded` is what the lock file says of it, where the folder comes from there.
    """

    folder: Path | None
    name: str | None = None
    recorded: OverrideRecord | None = None

    def tell_changes(self, now: OverrideRecord | None) -> None:
        """Say where the templates come from that nobody has named, and whether they are still the same."""
        if self.folder is None or self.recorded is None:
            return
        changed = "" if now == self.recorded else ", and have changed since they were last applied"
        note(f"note: the templates are those of {self.folder}, as {layout.LOCK_FILE} records{changed}")


def choose(given: Path | None, store: Store | None, *, root: Path, reports_only: bool) -> TemplateChoice:
    """Choose the templates of a command.

    Args:
        given: What the command line names.
        store: The PKI directory; None where there is none yet.
        root: Its path.
        reports_only: Whether nothing is made with them.

    Raises:
        TemplateError: The folder that the lock file records is missing.
        AuthorityError: The lock file is not as pkigen wrote it: it does not decide what runs on nodes.
    """
    if given is not None:
        return TemplateChoice(folder=given, name=_name(given, root))
    record = None if store is None else _recorded(store)
    if store is None or record is None:
        return TemplateChoice(folder=None)
    # `root / …` gives an absolute name back as it is; a relative one is relative to the directory.
    folder = Path(os.path.normpath(root / record.directory))
    if not folder.is_dir():
        message = f"{folder} is missing: {layout.LOCK_FILE} records it as the templates of this directory"
        if not reports_only:
            raise TemplateError(message, hint=f"put it back, or {_OTHERS}")
        note(f"warning: {message}; files are compared with pkigen's own")
        return TemplateChoice(folder=None)
    # A checkout without secrets has no ledger to ask, and no authority to make anything with either.
    fault = None if reports_only or not read_ledger(store) else unconfirmed(store)
    if fault is not None:
        raise AuthorityError(
            f"the ledger does not confirm {root / layout.LOCK_FILE}, which names templates: {fault}",
            hint=_OTHERS,
        )
    return TemplateChoice(folder=folder, name=record.directory, recorded=record)


def _recorded(store: Store) -> OverrideRecord | None:
    with suppress(StoreError):  # whoever needs the lock file says why it cannot be read
        lock = read_lock(store)
        return lock.templates if lock is not None else None
    return None


def _name(folder: Path, root: Path) -> str:
    """Relative to the PKI directory where both lie side by side, as in a checkout of somebody else's."""
    place, tree = (Path(os.path.normpath(Path.cwd() / each)) for each in (folder, root))
    return os.path.relpath(place, tree) if place.is_relative_to(tree.parent) else str(place)
