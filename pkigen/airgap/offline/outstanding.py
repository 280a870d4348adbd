"""Whether a directory waits for the offline authority: few do, and only those import what reads a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.state.observed import exists

if TYPE_CHECKING:
    from pkigen.airgap.offline.pending import PendingAnswer
    from pkigen.state.observed import Reader


def outstanding(reader: Reader) -> PendingAnswer | None:
    """The request that a PKI directory has out; None where there is none.

    Raises:
        BundleError: The file is damaged.
        StoreError: It cannot be read.
    """
    if not exists(reader, layout.PENDING_REQUEST):
        return None
    from pkigen.airgap.offline.pending import read_pending  # noqa: PLC0415 -- see above

    return read_pending(reader)
