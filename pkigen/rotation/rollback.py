"""What is dangerous about a rollback of the PKI directory: the same that is asked of any change.

A rollback that crosses a change of the authority is a rotation the other way round, without its phases. What
it brings back may have been distrusted for a reason, and what it takes away may be in use.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import BUNDLE_KEY_PATH, CA, ENCRYPTION_KEY, SA, Slot, ca_id
from pkigen.errors import PkigenError
from pkigen.reconcile.cluster_changes import cluster_steps, given_until_now, manifests, remembered
from pkigen.reconcile.encrypted_data import CipherChange, ciphers, unread
from pkigen.reconcile.restore import RestoredView
from pkigen.reconcile.revocation_list import let_in
from pkigen.reconcile.version_steps import Versions, version_steps
from pkigen.records import dataclass
from pkigen.rotation.proof import State
from pkigen.rotation.prover import prove
from pkigen.state.authority_identities import generation_path, observe_authority
from pkigen.state.authority_record import compare_authority
from pkigen.state.cluster_objects import merged, superseded
from pkigen.state.ledger import promoted_and_back, read_ledger
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import content_at, observe_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.planner import Planner
    from pkigen.reconcile.restore import Rollback
    from pkigen.state.authority_identities import Identities
    from pkigen.state.cluster_objects import Held
    from pkigen.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedRollback:
    """What a rollback would do: `after` is the desired state of the directory then.

    `superseded` is what the cluster will hold that is not so; `in_cluster` is how that is put right.
    """

    rollback: Rollback
    after: Planner
    risks: tuple[str, ...]
    superseded: Held
    in_cluster: tuple[ClusterStep, ...]


def propose_rollback(planner: Planner, store: Store, rollback: Rollback) -> ProposedRollback:
    """Find out what is dangerous about a rollback; nothing is written.

    Args:
        planner: What the directory asks for now.
        store: The PKI directory, held alone.
        rollback: What is to be undone.

    Raises:
        StoreError: A backup does not hold what was put there.
    """
    view = RestoredView(store, rollback)
    case = _RollbackCase(
        before=planner.at(store), after=_after(planner, view), store=store, view=view, rollback=rollback
    )
    risks = tuple(sentence for risk in _RISKS for sentence in risk(case))
    held, after = _superseded(case), case.after
    return ProposedRollback(
        rollback=rollback,
        after=after,
        risks=risks,
        superseded=held,
        in_cluster=cluster_steps(merged(remembered(store), held), after.inventory, view, after.renderer),
    )


def _superseded(case: _RollbackCase) -> Held:
    """The addon objects that the cluster may hold in another form than after the rollback."""
    given = given_until_now(case.rollback.changes, case.store, case.after.renderer, case.after.inventory)
    return superseded(given, manifests(given, case.view, case.after.inventory))


def _after(planner: Planner, view: RestoredView) -> Planner:
    """What the directory will ask for: maybe other nodes than now."""
    lock = read_lock(view)
    try:
        # The lock file goes back as well, so the spec that counts is the one that it holds.
        return planner.of_spec(lock.cluster()).at(view) if lock is not None else planner.at(view)
    except PkigenError:  # an older pkigen's spec; the files go back all the same
        return planner.at(view)


@dataclass(frozen=True, kw_only=True)
# Without slots: `cached_property` keeps its values in the instance's dictionary.
class _RollbackCase:
    before: Planner
    after: Planner
    store: Store
    view: RestoredView
    rollback: Rollback

    @cached_property
    def present(self) -> Identities:
        return observe_authority(self.store)

    @cached_property
    def restored(self) -> Identities:
        return observe_authority(self.view)

    @cached_property
    def dropped(self) -> dict[str, str]:
        """The keys that are in no place any more."""
        kept = set(self.restored.values())
        return {path: identity for path, identity in self.present.items() if identity not in kept}

    @cached_property
    def returning(self) -> dict[str, str]:
        """The keys that are in no place now."""
        there = set(self.present.values())
        return {path: identity for path, identity in self.restored.items() if identity not in there}


_ROTATING = (*map(ca_id, CA), SA, ENCRYPTION_KEY)
_CONSEQUENCES = {
    **dict.fromkeys(map(ca_id, CA), "every certificate that it has signed is refused"),
    SA: "every token that it has signed is refused",
    ENCRYPTION_KEY: "Secrets that are encrypted with it cannot be read any more",
}
_PLACES = {generation_path(identifier, slot): (identifier, slot) for identifier in _ROTATING for slot in Slot}


def _unrecorded(case: _RollbackCase) -> Iterator[str]:
    """The authority is not the recorded one, and the rollback would record it without putting it right."""
    for change in compare_authority(case.store).alarms:
        if case.present.get(change.path) == case.restored.get(change.path):
            yield f"it would record an authority that is not the recorded one: {change}"


def _dropped_keys(case: _RollbackCase) -> Iterator[str]:
    """A key goes that is or was in use; a successor that was never promoted is not."""
    ledger = read_ledger(case.store)
    for path, identity in case.dropped.items():
        # It does not rotate: nodes pin it, so it has no place of its own among the generations.
        if path == BUNDLE_KEY_PATH:
            yield f"it takes away {path}: nodes that trust it refuse bundles of another key"
        # The chain above a CA, or a file that does not rotate.
        if path not in _PLACES:
            continue
        identifier, slot = _PLACES[path]
        # Nothing was ever signed by it, and nothing was written with it.
        if slot is Slot.NEXT and not promoted_and_back(ledger, identifier):
            continue
        yield f"it takes away {path} ({_shown(identity)}): {_CONSEQUENCES[identifier]}"


def _returning_keys(case: _RollbackCase) -> Iterator[str]:
    """A key comes back that nothing here trusts any more."""
    for path, identity in case.returning.items():
        if path in _PLACES:
            yield (
                f"it brings back {path} ({_shown(identity)}), which was replaced or dropped: whoever has "
                "that key is trusted again"
            )


def _broken_connections(case: _RollbackCase) -> Iterator[str]:
    """While some nodes have the files of before, and some those of after, connections break."""
    # With the same keys no mixture of generations can arise.
    if case.present == case.restored:
        return
    old = State(inventory=case.before.inventory, reader=case.store)
    new = State(inventory=case.after.inventory, reader=case.view)
    broken = prove(old, new, now=case.before.now, progress=case.before.progress).broken
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        yield f"while its files reach the nodes, it breaks a connection: {broken[0]}{more}"


def _expired(case: _RollbackCase) -> Iterator[str]:
    """What comes back to nodes is out of date; people's certificates are short-lived, and expire anyway."""
    paths = {restore.path for restore in case.rollback.restores}
    found = [
        item.id
        for item in case.after.inventory.certificates.values()
        # Certificates of nodes, and CAs, which have no issuer in the inventory.
        if (item.node is not None or item.issuer is None)
        # Only what this rollback brings back: whatever else has expired did so without it.
        and paths & set(item.read_paths)
        and (present := observe_certificate(case.view, item.location)).certificate is not None
        and present.certificate.not_valid_after_utc <= case.before.now
    ]
    if found:
        what = "certificate that has" if len(found) == 1 else "certificates that have"
        yield f"it restores {len(found)} {what} expired, such as {found[0]}"


def _revoked(case: _RollbackCase) -> Iterator[str]:
    """Somebody passes again whom API servers refuse now; the next plan would put that right."""
    for path, present, then in _of_api_servers(case, layout.AUTHORIZATION_CONFIGURATION):
        found = let_in(path, present or b"", then or b"")
        if found is not None:
            yield f"{found}, until `pkigen apply`: `pkigen access unrevoke` is the way"


def _unread_ciphers(case: _RollbackCase) -> Iterator[str]:
    """What was encrypted since then is no longer read."""
    found: dict[str, None] = {}
    for _, *contents in _of_api_servers(case, layout.ENCRYPTION_CONFIGURATION):
        present, then = map(ciphers, contents)
        # Where the file itself goes, so does the key, which is said already.
        found |= dict.fromkeys(unread(CipherChange(before=present, after=then))) if then else {}
    yield from found


def _of_api_servers(case: _RollbackCase, name: str) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """A file that goes back, by node that has an API server then: its path, as it is, and as it will be.

    It may go back to another place, or nothing may take its place.
    """
    changed = (*(restore.path for restore in case.rollback.restores), *case.rollback.removes)
    for node in case.after.inventory.cluster.control_plane:
        own = layout.node_path(node.name, "")
        paths = [path for path in changed if layout.is_below(path, own) and path.endswith(f"/{name}")]
        if paths:
            present, then = (
                next(filter(None, (content_at(reader, path) for path in paths)), None)
                for reader in (case.store, case.view)
            )
            yield paths[0], present, then


def _versions_at_once(case: _RollbackCase) -> Iterator[str]:
    """Programs that do not start with what newer ones have written."""
    before, after = (Versions.wanted(each.inventory.cluster) for each in (case.before, case.after))
    yield from version_steps(before, after, [restore.path for restore in case.rollback.restores])


def _shown(identity: str) -> str:
    # As much of a digest as other messages show, to compare by eye.
    return identity.removeprefix("hmac-")[:23]


_RISKS: tuple[Callable[[_RollbackCase], Iterator[str]], ...] = (
    _unrecorded,
    _dropped_keys,
    _returning_keys,
    _broken_connections,
    _expired,
    _revoked,
    _unread_ciphers,
    _versions_at_once,
)
