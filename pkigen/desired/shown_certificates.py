"""Which certificate an API server shows, by the name that a client asks for (SNI)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.desired.file_references import sni_pairs
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.desired.command_lines import CommandLines
    from pkigen.desired.inventory import Inventory
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
        """The certificates for certain names (apiserver `getNamedCertificateMap`)."""
        line = self._lines.of(ComponentName.API_SERVER, node)
        found: dict[str, str] = {}
        for pair in sni_pairs(line):
            certificate = self._id(line.place(pair.certificate))
            item = self._inventory.certificates.get(certificate)
            for name in pair.names or (item.sans.texts() if item is not None else ()):
                # Of two pairs for one name the earlier one counts.
                # The API server walks its pairs from the last to the first, and overwrites.
                found.setdefault(name.removeprefix("DNS:").removeprefix("IP:"), certificate)
        return found

    def _id(self, path: str) -> str:
        return self._inventory.certificates_by_file.get(path, path)
