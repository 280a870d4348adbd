"""A site's pending request: kept in the PKI directory, with the keys that were made for it.

While it is there, the tree is unchanged; everything new is in this one file. It is removed when the answer is
accepted, in the same transaction.
"""

from __future__ import annotations

import base64
from dataclasses import field
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, unwrap
from pkigen.airgap.carrier.format import plain_text, read_own_file
from pkigen.airgap.carrier.requests import RequestSet, read_requests
from pkigen.errors import BundleError
from pkigen.notation import json_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkigen.state.observed import Reader

# In bytes; the request, in base64, and a key for each of its certificates.
_LARGEST = 4 * LARGEST_BUNDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAnswer:
    """A request that is out.

    `file` is the request as it is carried. `keys` are the private keys that were made for it, PEM by id; a CA
    that is renewed keeps the key that it has.
    """

    file: bytes
    keys: Mapping[str, bytes] = field(repr=False)

    @property
    def requests(self) -> RequestSet:
        """What is asked for."""
        return read_requests(unwrap(self.file, pin=None))

    @property
    def asked(self) -> tuple[str, ...]:
        """The ids of what is asked for."""
        return tuple(identifier for identifier, _ in self.requests.requests)


def encode_pending(pending: PendingAnswer) -> bytes:
    """The file's bytes; they are secret."""
    return json_text(
        {
            "request": base64.b64encode(pending.file).decode("ascii"),
            "keys": {identifier: pem.decode("ascii") for identifier, pem in sorted(pending.keys.items())},
        }
    )


def read_pending(reader: Reader) -> PendingAnswer | None:
    """The request that a PKI directory has out; None where there is none.

    Raises:
        BundleError: The file is damaged.
        StoreError: It cannot be read.
    """
    damaged = BundleError(
        f"{layout.PENDING_REQUEST} is damaged",
        hint="`pkigen airgap authority request --again` makes a new request in its place",
    )
    return read_own_file(
        reader, layout.PENDING_REQUEST, _pending, encode_pending, damaged=damaged, limit=_LARGEST
    )


def _pending(content: dict[str, Any]) -> PendingAnswer:
    """Read the file's fields; raises what `read_own_file` takes for damage."""
    keys = {plain_text(each): str(pem).encode("ascii") for each, pem in content["keys"].items()}
    return PendingAnswer(file=base64.b64decode(content["request"], validate=True), keys=keys)
