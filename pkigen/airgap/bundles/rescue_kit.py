"""The rescue kit: what recovers a cluster after every certificate has expired, in one sealed file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.airgap.bundles.contents import Packed
from pkigen.airgap.bundles.opened import archive_of, entries_of
from pkigen.airgap.carrier.archive import Member
from pkigen.airgap.carrier.format import BundleKind, Manifest
from pkigen.airgap.carrier.paths import KIT_RUNBOOK, KIT_SPEC, KIT_TEMPLATES, require_rescue
from pkigen.desired.generations import ca_location
from pkigen.errors import BundleError
from pkigen.state.ledger import LARGEST_LEDGER, head_of, read_ledger
from pkigen.state.lockfile import LARGEST_LOCK
from pkigen.state.observed import Fault, observe_certificate, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.airgap.bundles.opened import Bundle
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Tree
    from pkigen.store import Store

AUTHORITY = "authority"
"""The node that a kit is for: none of the cluster's."""


def pack_kit(
    inventory: Inventory, tree: Tree, *, spec: bytes | None, templates: Mapping[str, bytes], runbook: str
) -> Packed:
    """The kit of a PKI directory before it is sealed.

    Args:
        inventory: What there is.
        tree: The directory; an encrypted authority goes into the kit as it is.
        spec: The spec's own text; None where only the lock file knows it.
        templates: Overrides, by their path below their directory.
        runbook: What is to be done, in order.

    Raises:
        BundleError: Something is too large or oddly named.
    """
    members = [
        *([Member(path=KIT_SPEC, mode=layout.PUBLIC_MODE, data=spec)] if spec is not None else []),
        Member(path=KIT_RUNBOOK, mode=layout.PUBLIC_MODE, data=runbook.encode()),
        _member(tree, layout.LOCK_FILE, LARGEST_LOCK),
        _member(tree, layout.LEDGER_FILE, LARGEST_LEDGER),
        # All of it, whatever it is called: a generation that is left out is one that nobody can bring back.
        *(_member(tree, path, LARGEST_LOCK) for path in tree.walk(layout.AUTHORITY)),
        *(
            Member(path=f"{KIT_TEMPLATES}/{path}", mode=layout.PUBLIC_MODE, data=data)
            for path, data in templates.items()
        ),
    ]
    members.sort(key=lambda member: member.path)
    require_rescue(member.path for member in members)
    ends = [
        observed.certificate.not_valid_after_utc
        for ca in inventory.authorities
        if (observed := observe_certificate(tree, ca_location(ca))).certificate is not None
    ]
    manifest = Manifest(
        kind=BundleKind.RESCUE,
        cluster=inventory.cluster.name,
        node=AUTHORITY,
        serial=head_of(read_ledger(tree)).entries,
        expires=min(ends),
        files=entries_of(members),
        steps=(),
    )
    return Packed(
        manifest=manifest, archive=archive_of(manifest, {member.path: member.data for member in members})
    )


def unpack_kit(kit: Bundle, store: Store) -> bool:
    """Put a kit's files into an empty PKI directory; False where that was done before.

    Raises:
        BundleError: Something else is there.
    """
    # Only an empty directory is filled: a kit is older than whatever has been signed since.
    if not next(iter(store.walk()), None):
        with store.transaction() as transaction:
            for entry in kit.manifest.files:
                # An empty directory has nothing that a backup could keep.
                transaction.stage(entry.path, mode=entry.mode, content=kit.files[entry.path], backup=False)
            transaction.commit()
        return True
    present = read_file(store, layout.LEDGER_FILE, limit=LARGEST_LEDGER)
    # A ledger is only appended to, so one that begins with the kit's came from it and went on.
    if isinstance(present, Fault) or not present.data.startswith(kit.files[layout.LEDGER_FILE]):
        raise BundleError(
            f"{store.root} exists, and was not restored from this kit",
            hint="choose another directory with -C; to continue in this one, leave the kit out",
        )
    return False


def _member(tree: Tree, path: str, limit: int) -> Member:
    """A kit knows two modes: what everybody may read, and the rest."""
    content = tree.read(path, limit=limit)
    mode = layout.PUBLIC_MODE if content.mode == layout.PUBLIC_MODE else layout.SECRET_MODE
    return Member(path=path, mode=mode, data=content.data)
