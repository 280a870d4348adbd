"""The survey of everything that is no certificate."""

from __future__ import annotations

from pkigen.desired.items import DesiredCopy, DesiredFile, MaterialKind


def is_secret(item: DesiredCopy | DesiredFile) -> bool:
    """Whether the bytes of a file must not be shown or hashed."""
    if isinstance(item, DesiredFile):
        return item.secret
    return item.material in {MaterialKind.CA_KEY, MaterialKind.SA_PRIVATE_KEY}
