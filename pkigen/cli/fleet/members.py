"""A cluster of a fleet as a session: by the spec that the fleet gives it, or by what was applied last."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.console import warn
from pkigen.cli.session import Session, open_directory, session_of
from pkigen.cli.unlock import Unlocking
from pkigen.crypto.key_makers import KeyMakers
from pkigen.desired import certificates
from pkigen.desired.inventory import derive
from pkigen.errors import PkigenError, UsageError
from pkigen.fleet.sites import OwnSource
from pkigen.notation import dir_option
from pkigen.records import dataclass
from pkigen.state.lockfile import read_lock
from pkigen.state.vault import sealed_identity

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.cli.system import System
    from pkigen.fleet.sites import Site
    from pkigen.spec.dialects import HostFacts
    from pkigen.state.observed import Reader
    from pkigen.state.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the work at every cluster has in common."""

    system: System
    host: HostFacts
    templates: Path | None = None
    unlocking: Unlocking = field(default_factory=Unlocking)

    def opened(self, site: Site) -> Session:
        """A cluster by the spec that the fleet gives it; its directory need not be there yet.

        Raises:
            SpecError: The spec is invalid.
            UsageError: The directory is another cluster's.
        """
        loaded = site.source.load(kinds=certificates.CERTIFICATES, host=self.host)
        warn(loaded.warnings)
        root = _root(site)
        session = session_of(
            self.system,
            derive(loaded.spec),
            root=root,
            templates=self.templates,
            # Its cores have work already: the other clusters.
            makers=KeyMakers(0),
        )
        is_own = isinstance(site.source, OwnSource)
        return replace(
            session,
            text=loaded.text,
            # Its spec is the directory's own already: there is nothing to take in.
            adopted=None if is_own else loaded.text,
            unlocking=self.unlocking,
        )

    def recorded(self, site: Site) -> Session | None:
        """A cluster as it was made last; None where it is not made yet.

        Raises:
            PkigenError: What is there cannot be read.
        """
        if site.root is None or not (site.root / layout.LOCK_FILE).exists():
            return None
        return open_directory(self.system, site.root, templates=self.templates, reports_only=True)

    def vault(self, session: Session, reader: Reader) -> Vault:
        """The authority's private files, opened; nobody is asked, for several clusters would ask at once.

        Raises:
            PkigenError: They are encrypted, and nothing opens them.
        """
        if sealed_identity(reader) is None:
            # One passphrase is given for all clusters: those that need none say nothing of it.
            return replace(session.unlocking, file=None, identity=None).vault(reader)
        if not session.unlocking.is_given:
            raise PkigenError(
                "its authority is encrypted",
                hint="give what opens it: --passphrase-file FILE or --identity FILE",
            )
        return session.unlocking.vault(reader)


def require_same_cluster(session: Session, reader: Reader) -> None:
    """A directory is found by a name: it must not become another cluster by that.

    Raises:
        UsageError: It is another cluster's.
    """
    lock = read_lock(reader)
    name = session.inventory.cluster.name
    if lock is not None and lock.cluster().name != name:
        raise UsageError(
            f"{session.root} is cluster {lock.cluster().name}, and the spec is for {name}",
            hint=f"if the cluster is to be renamed: `pkigen apply SPEC {dir_option(session.root)}`",
        )


def _root(site: Site) -> Path:
    if site.root is None:  # pragma: no cover -- without a name its spec does not load
        raise UsageError(f"{site.label} has no name")
    return site.root
