"""What a plan that had nothing to do was made from, so that the next one need not look again.

A plan follows from the spec, the templates, the files of the directory and the time. The index
(`.pkigen/index`) names the first three as they were, and the moments between which time alone changes
nothing. Where all of that still holds, the plan is the same. It saves work and decides nothing: `verify`
never asks it, what is wrong with it is not told, and whatever `plan` says it says as well without it.

Files are compared as Git compares them (Documentation/technical/racy-git): by size, times, inode and mode.
One that has just been written could be written again within the same tick of the clock; while there is such a
file, no index is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pkigen import __version__, layout
from pkigen.desired.items import DesiredKubeconfig
from pkigen.reconcile.plan import Keep, Plan
from pkigen.reconcile.surveyed import kept
from pkigen.records import dataclass
from pkigen.state.authority_record import SETTLED
from pkigen.state.lockfile import spec_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.store import Snapshot, Store

logger = logging.getLogger(__name__)

# Nothing that depends on the clock is forgotten for longer than that, whatever else there is to it.
_LONGEST = timedelta(days=1)
# Some file systems tell time in steps of two seconds.
_TICK = timedelta(seconds=2)
# The places of these times in what `store.snapshot` says of a file.
_MTIME, _CTIME = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanIndex:
    """One plan that had nothing to do.

    Attributes:
        of: The digest of what it followed from beside the files and the time.
        since: When it was made, in UTC.
        until: The next moment at which time alone may change it.
        files: How files and directories stood before they were looked at.
        observed: The plan's own digests.
    """

    of: str
    since: datetime
    until: datetime
    files: Snapshot
    observed: Mapping[str, str]

    def encode(self) -> bytes:
        """Its bytes, the digest of all others first: a torn index is none."""
        content = json.dumps(
            {
                "of": self.of,
                "since": self.since.isoformat(),
                "until": self.until.isoformat(),
                "observed": self.observed,
                "files": self.files,
            },
            separators=(",", ":"),
        ).encode()
        return _sum(content) + content

    @classmethod
    def decode(cls, data: bytes | None) -> PlanIndex | None:
        """What `encode` has written; None for anything else."""
        if data is None or data[:_SUM] != _sum(data[_SUM:]):
            return None
        try:
            content: dict[str, Any] = json.loads(data[_SUM:])
            return cls(
                of=content["of"],
                since=datetime.fromisoformat(content["since"]).astimezone(UTC),
                until=datetime.fromisoformat(content["until"]).astimezone(UTC),
                files=content["files"],
                observed={str(name): str(digest) for name, digest in content["observed"].items()},
            )
        # Whole, and of a form that another pkigen knows.
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


_SUM = len(_sum(b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a directory's plan follows from beside its files, before a look at these: `of` is its digest."""

    store: Store
    inventory: Inventory
    now: datetime
    of: str

    @classmethod
    def at(cls, store: Store, inventory: Inventory, renderer: Renderer, *, now: datetime) -> Glance:
        """Glance at a directory, and read nothing in it.

        Raises:
            TemplateError: A template cannot be read.
        """
        return cls(store=store, inventory=inventory, now=now, of=_followed_from(inventory, renderer))

    def known_plan(self) -> Plan | None:
        """The plan, if it had nothing to do before, and nothing has changed since; None where not known."""
        index = self._standing()
        if index is None:
            return None
        items = (item for item in self.inventory.items if not isinstance(item, DesiredKubeconfig))
        return Plan(
            actions=tuple(kept(item) for item in items),
            observed=index.observed,
            authority=SETTLED,
            until=index.until,
        )

    def is_settled(self) -> bool:
        """Whether that is known of it: all is as it must be."""
        return self._standing() is not None

    def _standing(self) -> PlanIndex | None:
        """The index, while all that it names is as it was."""
        index = PlanIndex.decode(self.store.index())
        if index is None or index.of != self.of or not index.since <= self.now < index.until:
            return None
        if not self.store.stands_as(index.files):
            return None
        logger.info("nothing has changed since the plan of %s, which had nothing to do", index.since)
        return index

    def files(self) -> Snapshot | None:
        """How the files stand that a plan looks at; None where they cannot be listed."""
        return self.store.snapshot(_tops(self.inventory))

    def keep(self, plan: Plan, files: Snapshot | None) -> None:
        """Leave the index of a plan, if it is worth one.

        Args:
            plan: What was made of the files.
            files: How they stood before.
        """
        index = self._index_of(plan, files) if files is not None else None
        if index is not None:
            self.store.keep_index(index.encode())

    def _index_of(self, plan: Plan, files: Snapshot) -> PlanIndex | None:
        """What is kept of a plan; None where it, or what it follows from, may be another in a moment."""
        if plan.until is None or not _is_settled(plan, self.inventory):
            return None
        written = max((max(each[_MTIME], each[_CTIME]) for each in files.values() if each), default=0)
        until = min(plan.until, self.now + _LONGEST)
        if written >= (self.now - _TICK).timestamp() * 1e9:
            return None
        return PlanIndex(of=self.of, since=self.now, until=until, files=files, observed=plan.observed)


def _followed_from(inventory: Inventory, renderer: Renderer) -> str:
    """The digest of the spec, the templates, and what the directory's past adds to them."""
    parts = (
        __version__,
        json.dumps(spec_facts(inventory.cluster)),
        renderer.digest(),
        repr(renderer.overrides()),
        repr(sorted(inventory.rotations.phases.items())),
        repr(inventory.etcd),
        repr(sorted(inventory.adopted.items())),
        repr(inventory.revocations),
        repr(inventory.token_trust),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _tops(inventory: Inventory) -> frozenset[str]:
    """The names in the root below which a plan reads and looks for what must go."""
    return layout.OWN_TREES | {layout.LOCK_FILE} | {path.partition("/")[0] for path in inventory.paths}


def _is_settled(plan: Plan, inventory: Inventory) -> bool:
    """Whether a plan says no more than that all is kept, and no rotation waits."""
    return (
        plan.authority == SETTLED
        and not inventory.rotations.phases
        and all(type(action) is Keep and action.reason is None for action in plan.actions)
        and not (plan.moves or plan.rotated or plan.withheld or plan.given or plan.in_cluster)
    )
