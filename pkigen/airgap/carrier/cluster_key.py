"""The cluster's bundle key, read from the authority's directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint
from pkigen.desired.generations import BUNDLE_KEY_PATH
from pkigen.errors import BundleError
from pkigen.state.observed import sealed_key
from pkigen.store import MissingError

if TYPE_CHECKING:
    from pkigen.state.observed import Reader


def bundle_key(reader: Reader) -> BundleKey:
    """The cluster's bundle key.

    Raises:
        BundleError: The authority has none.
    """
    return BundleKey.of_file(_bundle_key_file(reader))


def _bundle_key_file(reader: Reader) -> bytes:
    """The file as it lies on the disk, sealed or not.

    Raises:
        BundleError: There is none.
    """
    try:
        return reader.read(BUNDLE_KEY_PATH).data
    except MissingError:
        raise BundleError(
            f"the authority has no {BUNDLE_KEY_PATH}",
            hint="`pkigen apply` makes it; older directories lack it",
        ) from None


def bundle_fingerprint(reader: Reader) -> str:
    """The fingerprint of the cluster's bundle key, for which a sealed one need not be opened.

    Raises:
        BundleError: The authority has none.
    """
    text = _bundle_key_file(reader)
    known = sealed_key(reader, text)
    if known is not None and known.public is not None:
        return fingerprint(known.public)
    return fingerprint(BundleKey.of_file(text).public)
