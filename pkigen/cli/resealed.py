"""What `airgap authority encrypt`, `decrypt` and `rekey` share: show, ask, do, and remove the backups."""

from __future__ import annotations

from collections.abc import Callable

from pkigen.cli.console import agreed, note, say, say_line
from pkigen.cli.document import document
from pkigen.cli.options import Format
from pkigen.cli.reports import outcomes
from pkigen.cli.session import Session
from pkigen.desired.inventory import private_paths
from pkigen.errors import PkigenError
from pkigen.reconcile.planner import require_nothing_pending
from pkigen.state.encryption import Resealing, open_in_backups, reseal
from pkigen.state.vault import Vault, is_encrypted
from pkigen.store import Store


def carry_out(
    session: Session,
    what: Resealing,
    *,
    ready: Callable[[Session, Store], bool],
    vaults: Callable[[Session, Store], tuple[Vault, Vault]],
    yes: bool,
    output: Format,
) -> None:
    """Show what would be done, ask, and do it.

    Args:
        session: This run.
        what: Which of them.
        ready: Whether there is anything to do; raises where it must not be done.
        vaults: How the files are kept now, and how they are to be kept.
        yes: Whether nobody is asked.
        output: How the result is written.
    """
    with document(output) as content, session.writing(f"airgap authority {what}") as store:
        session = session.at(store)
        if not ready(session, store):
            sentence = f"nothing to do: {session.root} needs no `authority {what}`"
            forgot = False
            # An earlier run may have ended before it came to them.
            if is_encrypted(store) and open_in_backups(store):
                forgot = _forget(store, sentence)
            else:
                say(sentence)
            content.update(outcomes.resealed(what, str(session.root), (), forgot=forgot))
            return
        # The private files are listed by the inventory: with changes pending, some are not there yet, or are
        # there and not on the list.
        require_nothing_pending(session.plan(store))
        for path in private_paths(session.inventory):
            say_line(f"{what} {path}")
        kept = len(store.backups())
        if kept:
            which = "the backup: it contains" if kept == 1 else f"the {kept} backups: they contain"
            say_line(f"remove {which} private files in their present form")
        if not yes and not agreed(f"{what} these files?"):
            raise PkigenError(f"not {what}ed", hint="nothing was changed")
        # Not before: nobody types a passphrase for what is then refused.
        old, new = vaults(session, store)
        paths = reseal(what, session.inventory, store, old=old, new=new, now=session.now)
        forgot = _forget(store, f"{what}: done, {len(paths)} private files in {session.root}")
        content.update(outcomes.resealed(what, str(session.root), paths, forgot=forgot))


def _forget(store: Store, sentence: str) -> bool:
    """Remove the backups, also those that an interrupted run has left; whether there were any."""
    removed = store.forget_backups()
    say_line(f"{sentence}; all backups removed" if removed else sentence)
    if removed:
        note(
            "note: removed files are not wiped: the raw disk, snapshots and copies may still contain the old "
            "ones; if that matters, rotate the CAs and the other keys"
        )
    return bool(removed)
