"""A node's record of the bundle that was installed last: `/var/lib/pkigen/installed.json`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.format import Label, decode_label, encode_label
from pkigen.airgap.carrier.paths import RECORD
from pkigen.errors import BundleError
from pkigen.notation import base64_text, json_text
from pkigen.records import dataclass
from pkigen.store import MissingError, UnreadableError

if TYPE_CHECKING:
    from pkigen.state.observed import Reader

# In bytes.
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The label, the signer's public key, and the paths that the bundle has put there."""

    label: Label
    public: bytes
    paths: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The key that this host trusts from now on."""
        return fingerprint(self.public)

    def encode(self) -> bytes:
        """The file's bytes."""
        return json_text(
            {
                "label": json.loads(encode_label(self.label)),
                # The key itself, not only its fingerprint: 125 bits are for people to compare.
                "key": base64_text(self.public),
                "paths": list(self.paths),
            }
        )


def read_installed(reader: Reader) -> Installed | None:
    """What is installed on a node; None on one that never had a bundle.

    Raises:
        BundleError: The record is damaged: what is trusted here is not known.
    """
    try:
        data = reader.read(RECORD, limit=_LARGEST).data
    except MissingError:
        return None
    except UnreadableError as error:
        raise BundleError(error.message, hint=error.hint) from None
    try:
        content = json.loads(data)
        return Installed(
            label=decode_label(json_text(content["label"])),
            public=base64.b64decode(content["key"], validate=True),
            paths=tuple(str(path) for path in content["paths"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, BundleError):
        raise BundleError(
            f"/{RECORD} is damaged: the pinned key and the last serial are unknown",
            hint="find out who changed it; `pkigen airgap bundle rollback` restores its last state",
        ) from None
