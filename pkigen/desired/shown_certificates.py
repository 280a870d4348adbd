"""Which certificate an API server shows, by the name that a client asks for (SNI)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.names import SANs
from pkigen.desired.file_references import sni_pairs
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.desired.command_lines import CommandLines
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.spec.model import Node


class ShownCertificates:
    """The certificates of all API servers of a cluster, by their ids, or by file where they are none of ours.

    Args:
        inventory: The cluster.
        lines: What its components are started with.
    """

    def __init__(self, inventory: Inventory, lines: CommandLines) -> None:
        self._inventory = inventory
        self._lines = lines
        self._special = {node.name: self._named(node) for node in inventory.cluster.control_plane}

    def by(self, node: Node, names: tuple[str, ...]) -> Iterator[tuple[str | None, tuple[str, ...]]]:
        """Each certificate that the API server of a node shows to who asks for these names."""
        file = self._lines.of(ComponentName.API_SERVER, node).file("tls-cert-file")
        default = None if file is None else self._id(file)
        special = self._special[node.name]
        if not special:
            # All names at once: without other pairs they all get the same certificate.
            yield default, names
            return
        for name in names:
            # The name itself, then a wildcard for its first label, as `GetCertificate`
            # of Go's crypto/tls looks it up.
            first, _, parent = name.lower().partition(".")
            wild = f"*.{parent}" if first and parent else ""
            yield special.get(name.lower(), special.get(wild, default)), (name,)

    def _named(self, node: Node) -> dict[str, str]:
        """The certificates for certain names (apiserver, `BuildNamedCertificates`)."""
        line = self._lines.of(ComponentName.API_SERVER, node)
        of_flag: dict[str, str] = {}
        of_certificate: dict[str, str] = {}
        # Of two pairs for one name the earlier one counts: the API server walks them from the last to the
        # first, and overwrites.
        for pair in sni_pairs(line):
            certificate = self._id(line.place(pair.certificate))
            of_flag |= dict.fromkeys(pair.names, certificate) | of_flag
            item = self._inventory.certificates.get(certificate)
            if item is not None and not pair.names:
                of_certificate |= dict.fromkeys(_own_names(item), certificate) | of_certificate
        # Names that the flag gives come before those that stand in certificates, whichever pair is earlier.
        return of_certificate | of_flag

    def _id(self, path: str) -> str:
        return self._inventory.certificates_by_file.get(path, path)


def _own_names(item: DesiredCertificate) -> tuple[str, ...]:
    """The names that a certificate is shown for by itself (apiserver, `getCertificateNames`).

    Addresses are none of them: no client names one by SNI (RFC 6066, section 3). A common name that is no
    host's name counts for nobody who asks.
    """
    return SANs.of(item.subject.common_name, *item.sans.dns_names).dns_names
