"""One bundle at one host, as the commands look at it that are run there."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.airgap.bundles.admission import Host, require_admissible
from pkigen.airgap.bundles.install import Change, Difference, compare
from pkigen.airgap.bundles.opened import Bundle, open_bundle
from pkigen.airgap.bundles.record import Installed, read_installed
from pkigen.airgap.carrier.bundle_key import parse_pin
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, Envelope, unwrap
from pkigen.airgap.carrier.format import BundleKind, Label
from pkigen.airgap.carrier.media import read_file
from pkigen.airgap.carrier.paths import IDENTITY, PENDING, RECORD
from pkigen.airgap.enrolment.identity import identity_of
from pkigen.airgap.enrolment.join import join
from pkigen.cli.host import changing, looking
from pkigen.cli.passphrases import PassphraseSource, read_identity
from pkigen.cli.system import System, system_of
from pkigen.cli.values import duration
from pkigen.crypto.age import Unseal
from pkigen.crypto.age_header import is_passphrase_sealed
from pkigen.errors import BundleError
from pkigen.records import dataclass
from pkigen.store import Store

if TYPE_CHECKING:
    from pkigen.cli.bundle_input import VisitOptions

_INSTALLABLE = {BundleKind.NODE, BundleKind.CERTIFICATES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One bundle at one node: what both say, and how the bundle is opened."""

    system: System
    root: Path
    file: Path
    node: str
    pin: str | None
    identity: Path | None
    source: PassphraseSource
    max_age: timedelta
    allow_older: bool
    directory: str | None

    def reading(self) -> Store:
        """The node as it is."""
        return looking(self.system, self.root)

    def writing(self, command: str) -> Store:
        """The node, held alone."""
        return changing(self.system, self.root, command)

    def trusted(self, installed: Installed | None) -> str:
        """The fingerprint of the key that is trusted here.

        Raises:
            BundleError: Nobody has said which, or the host trusts another.
        """
        known = installed.fingerprint if installed is not None else None
        if self.pin is None and known is None:
            raise BundleError(
                "no bundle key is pinned on this host",
                hint="give the fingerprint that `pkigen init` printed, received by another channel than the "
                "medium: --pin …",
            )
        # Not merely replaced: whoever can type one option on the host would otherwise change whom it obeys.
        if self.pin is not None and known is not None and self.pin != known:
            raise BundleError(
                f"this host trusts {known}, not {self.pin}",
                hint="this host accepts bundles of one cluster; if the cluster has a new bundle "
                f"key, remove {self.root / RECORD} first",
            )
        return self.pin or known or ""

    def envelope(self, installed: Installed | None) -> Envelope:
        """The bundle, once its signature is found to be that of the key that is trusted here."""
        return unwrap(read_file(self.file, limit=LARGEST_BUNDLE), pin=self.trusted(installed))

    def require_admissible(self, label: Label, installed: Installed | None) -> None:
        """Refuse what is not for this host or not for now."""
        host = Host(node=self.node, now=self.system.clock(), installed=installed)
        # Any other kind is refused as what is no bundle of a node.
        kind = label.kind if label.kind in _INSTALLABLE else BundleKind.NODE
        require_admissible(label, host, kind=kind, max_age=self.max_age, allow_older=self.allow_older)

    def opened(self, envelope: Envelope) -> Bundle:
        """The bundle's content, checked."""
        return open_bundle(envelope, self.unseal(envelope), directory=self.directory)

    def admitted(self, store: Store) -> tuple[Bundle, Installed | None]:
        """Signature, then label, then content: nothing is opened for a bundle that is refused anyway."""
        installed = read_installed(store)
        envelope = self.envelope(installed)
        self.require_admissible(envelope.label, installed)
        return self.opened(envelope), installed

    def changes(
        self, carried: Bundle, store: Store, installed: Installed | None
    ) -> tuple[Bundle, tuple[Change, ...]]:
        """What installing would do, once the node's own keys have met their certificates."""
        joined = join(carried, store, directory=self.directory)
        changes = compare(joined.bundle.manifest, store, installed, directory=self.directory)
        # What waited in there is in its place after the install, and a second copy of a private key is one
        # too many.
        if joined.answers:
            changes = (*changes, Change(path=PENDING, difference=Difference.REMOVE))
        return joined.bundle, changes

    def unseal(self, envelope: Envelope) -> Unseal:
        """What opens the bundle: the passphrase, or this host's identity.

        Raises:
            BundleError: This host has no identity that could open it.
        """
        if is_passphrase_sealed(envelope.sealed):
            return self.source.read(str(self.file))
        if self.identity is not None:
            return read_identity(self.identity)
        with self.reading() as store:
            found = identity_of(store)
        if found is None:
            raise BundleError(
                f"it is sealed to {envelope.label.reader}, and this host has no identity",
                hint=f"give it with --identity; the default is {self.root / IDENTITY}",
            )
        return found


def visit_of(wish: VisitOptions) -> Visit:
    """The bundle and the host that the command line names."""
    return Visit(
        system=system_of(wish.context),
        root=wish.root,
        file=wish.file,
        # Names of nodes are in lower case (component-helpers node/util `GetHostname`).
        node=wish.node or socket.gethostname().lower(),
        pin=parse_pin(wish.pin) if wish.pin is not None else None,
        identity=wish.identity,
        source=PassphraseSource(file=wish.passphrase_file, descriptor=wish.passphrase_fd),
        max_age=duration(wish.max_age, "--max-age"),
        allow_older=wish.allow_older,
        directory=wish.certificates_dir,
    )
