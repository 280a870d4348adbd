"""What a node keeps until its request is answered: the new keys, and the request itself.

It is one file, so that the keys and the request for them always come from the same run.
"""

from __future__ import annotations

import base64
from dataclasses import field
from typing import TYPE_CHECKING, Any

from pkigen.airgap.carrier.format import plain_text, read_own_file
from pkigen.airgap.carrier.paths import PENDING
from pkigen.errors import BundleError
from pkigen.notation import json_text
from pkigen.records import dataclass
from pkigen.store import UnreadableError

if TYPE_CHECKING:
    from pkigen.state.observed import Reader

_LARGEST = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEnrolment:
    """The private keys by the inventory's id, as PEM, and the file that was carried to the authority."""

    keys: tuple[tuple[str, bytes], ...] = field(repr=False)
    request: bytes = field(repr=False)


def encode_pending(pending: PendingEnrolment) -> bytes:
    """The file's bytes."""
    return json_text(
        {
            "request": _text(pending.request),
            "keys": [{"id": identifier, "key": _text(pem)} for identifier, pem in pending.keys],
        }
    )


def read_pending(reader: Reader) -> PendingEnrolment | None:
    """What waits for an answer on a node; None where nothing does.

    Raises:
        BundleError: The file is damaged.
    """
    damaged = BundleError(
        f"/{PENDING} is damaged: the keys of the pending request cannot be read",
        hint="`pkigen airgap node request --anew` makes new keys and another request",
    )
    try:
        return read_own_file(reader, PENDING, _pending, encode_pending, damaged=damaged, limit=_LARGEST)
    except UnreadableError as error:
        raise BundleError(error.message, hint=error.hint) from None


def _pending(content: dict[str, Any]) -> PendingEnrolment:
    """Read the file's fields; raises what `read_own_file` takes for damage."""
    return PendingEnrolment(
        keys=tuple((plain_text(each["id"]), _bytes(each["key"])) for each in content["keys"]),
        request=_bytes(content["request"]),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)  # its error is a ValueError
