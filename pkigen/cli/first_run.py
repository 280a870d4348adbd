"""What `pkigen init` does once the spec is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.carrier.cluster_key import bundle_fingerprint
from pkigen.cli.addressed import addressed_here
from pkigen.cli.console import note, say, say_line, width
from pkigen.cli.options import Format
from pkigen.cli.reports.summary import cluster_summary
from pkigen.cli.session import Session
from pkigen.errors import PkigenError
from pkigen.notation import dir_option
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.first_run import is_new, require_own, require_unchanged, unread
from pkigen.reconcile.plan import Plan
from pkigen.reconcile.planner import require_no_ca_keys_on_nodes
from pkigen.reconcile.surveyed import Selection
from pkigen.spec.certificates import Authority
from pkigen.state.authority_record import require_recorded
from pkigen.state.lockfile import read_lock
from pkigen.state.vault import SealedVault, sealed_identity

if TYPE_CHECKING:
    from pkigen.cli.unlock import Locking
    from pkigen.state.vault import Vault
    from pkigen.store import Store


def make(session: Session, output: Format, locking: Locking | None) -> None:
    """Make the whole tree, or say that it is there.

    Args:
        session: This run.
        output: How the result is written.
        locking: Whom the authority is encrypted for; None leaves it open.

    Raises:
        PkigenError: There is something else.
    """
    if locking is not None:
        require_no_ca_keys_on_nodes(session.inventory)
    # Looked at without the lock and without writing: a second `init` is safe on a read-only checkout.
    if _is_complete(session):
        _require_kept(session, locking)
        _say_complete(session, output)
        return
    if _must_ask(session):
        if locking is not None:
            raise PkigenError(
                "the CA keys are unencrypted until the offline authority's answer is accepted",
                hint="encrypt the authority then: `pkigen airgap authority encrypt`",
            )
        from pkigen.cli.offline import request_out  # noqa: PLC0415 -- few have an offline authority

        request_out(session, "init", file=None, selection=Selection(), again=False, output=output)
        return
    with session.writing("init") as store:
        session = session.at(store)
        plan = session.plan(store)
        require_recorded(store)
        # `init` has no --force and asks nothing: what is there by another spec is for `plan` to show.
        require_unchanged(plan, read_lock(store), root=session.root, words=session.words)
        require_own(plan, root=session.root)
        for path in unread(store, session.inventory):
            note(f"note: {path} is not read")
        tools = session.tools(_vault(session, store, locking))
        applied = apply_plan(plan, session.inventory, store, tools)
        say_made(session, store, plan, applied, output)
    if locking is not None:
        note(
            "note: the authority is encrypted: without its passphrase or identity nothing can be signed any "
            "more; keep that, and a rescue kit (`pkigen airgap bundle create --rescue`), in another place"
        )


def say_made(session: Session, store: Store, plan: Plan, applied: Applied, output: Format) -> None:
    """Say what a cluster's first certificates are."""
    pin = bundle_fingerprint(store)
    if output is Format.TEXT:
        made = cluster_summary(
            session.inventory, store, root=session.root, applied=applied, now=session.now, width=width()
        )
        say(addressed_here(made))
        say(_pinned(pin))
    else:
        _say_structured(session, plan, applied, pin, output)


def _must_ask(session: Session) -> bool:
    """Whether the first certificates are still to come from an offline authority; nothing is written yet.

    Raises:
        PkigenError: There is something else.
    """
    if session.inventory.cluster.spec.certificates.authority is Authority.LOCAL:
        return False
    with session.looking() as store:
        session = session.at(store)
        lock = read_lock(store)
        plan = session.plan(store)
        if lock is None:
            require_own(plan, root=session.root)
    return is_new(lock, session.inventory) and bool(plan.offline)


def _vault(session: Session, store: Store, locking: Locking | None) -> Vault:
    """How a first run keeps private files: in a new vault where that is asked for, else as they are kept."""
    # Where private files are sealed already their vault stays: a second one could not open them.
    if locking is None or sealed_identity(store) is not None:
        return session.unlocking.vault(store)
    return SealedVault.new(locking.seal())


def _require_kept(session: Session, locking: Locking | None) -> None:
    """Refuse to take an open authority for the encrypted one that was asked for."""
    if locking is None:
        return
    with session.reading() as store:
        if sealed_identity(store) is None:
            raise PkigenError(
                f"{session.root} exists, and its authority is not encrypted",
                hint=f"`pkigen airgap authority encrypt {dir_option(session.root)}` does it",
            )


def _is_complete(session: Session) -> bool:
    """Whether an earlier run has made all of it; looked at without writing anything."""
    if not session.root.exists():
        return False
    with session.reading() as store:
        return read_lock(store) is not None and not session.at(store).plan(store).changes


def _say_complete(session: Session, output: Format) -> None:
    with session.reading() as store:
        pin = bundle_fingerprint(store)
    if output is Format.TEXT:
        say_line(f"{session.root} matches the spec: nothing to do")
        say(_pinned(pin))
        return
    nothing = Applied(issued=(), capped=(), backup=None)
    _say_structured(session, Plan(actions=()), nothing, pin, output)


def _say_structured(session: Session, plan: Plan, applied: Applied, pin: str, output: Format) -> None:
    from pkigen.cli.reports import structured  # noqa: PLC0415 -- only these forms pay for it

    content = structured.plan(plan, session.inventory, ())
    done = structured.applied(applied, content, str(session.root))
    say(structured.dump({**done, "bundleKey": pin}, output))


def _pinned(pin: str) -> str:
    return f"bundle key: {pin} (nodes pin it: `pkigen airgap bundle install --pin`)"
