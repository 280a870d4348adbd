"""Certification path verification at one time, by the rules that Kubernetes' components have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from pkigen.crypto.go_paths import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509


class PathVerifier:
    """Verifies certificates against trust bundles at one time, and caches the results.

    Thousands of edges share few certificates and bundles.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._verdicts: dict[tuple[bytes, ...], str | None] = {}

    def server(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str
    ) -> str | None:
        """Why a client with these anchors refuses this server; None where it accepts it."""
        return self._remembered(chain, anchors, name)

    def client(self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> str | None:
        """Why a server with these anchors refuses this client; None where it accepts it.

        Kubernetes reads a client's CN and O, and checks no name (`x509` authenticator).
        """
        return self._remembered(chain, anchors, "")

    def _remembered(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str
    ) -> str | None:
        """The verdict of before, or a new one; it is known by all certificates and the name.

        The bar keeps chain and anchors apart.
        """
        key = (name.encode(), *(_digest(each) for each in chain), b"|", *(_digest(each) for each in anchors))
        if key not in self._verdicts:
            self._verdicts[key] = self._verify(chain, anchors, name)
        return self._verdicts[key]

    def _verify(
        self, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str
    ) -> str | None:
        """Why the path does not hold; None where it does."""
        if not anchors:
            return "the trust bundle is empty"
        return refusal(chain, anchors, name, self._now)


def _digest(certificate: x509.Certificate) -> bytes:
    """Thousands of nodes have files of the same certificate, each parsed into an object of its own."""
    return certificate.fingerprint(hashes.SHA256())
