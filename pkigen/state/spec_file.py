"""`cluster.yaml`: the spec in the cluster's own directory, byte for byte as it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import StoreError
from pkigen.state.observed import Fault, FaultKind, exists, read_file

if TYPE_CHECKING:
    from pkigen.state.observed import Reader

_LARGEST_SPEC = 1 << 24


def spec_text(reader: Reader) -> bytes | None:
    """What a directory's own spec says; None where it has none.

    Raises:
        StoreError: Something that cannot be read stands in its place.
    """
    present = read_file(reader, layout.SPEC_FILE, limit=_LARGEST_SPEC)
    if not isinstance(present, Fault):
        return present.data
    if present.kind is FaultKind.MISSING:
        return None
    raise StoreError(
        f"the directory's {layout.SPEC_FILE} {present.message}",
        hint=f"put the spec's text there; nothing else is read as {layout.SPEC_FILE}",
    )


def holds_spec(reader: Reader, text: bytes) -> bool:
    """Whether a directory's own spec is this already."""
    return spec_text(reader) == text


def is_begun(reader: Reader) -> bool:
    """Whether pkigen has made something here, be the lock file lost or still to come."""
    return exists(reader, layout.LEDGER_FILE) or exists(reader, layout.PENDING_REQUEST)
