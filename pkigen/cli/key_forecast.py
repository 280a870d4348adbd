"""Which keys a first run will have to make: guessed from its command line, and known from its inventory."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.crypto.algorithms import KeyAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.desired.inventory import Inventory

_LARGEST_GUESSED = 1 << 20  # bytes
_ENDINGS = (".yaml", ".yml", ".json")
_OF_EVERY_PKI = 4
"""Keys: three CAs' and the service accounts'."""
_OF_A_NODE = 8
"""Those of the first control-plane node; where it runs etcd, it has more."""
# Also `--examples`, which begins like `--example`.
_WITHOUT_KEYS = ("-h", "--help", "--dry-run", "--example")


@contextmanager
def keys_ahead(arguments: Sequence[str]) -> Iterator[KeyMakers | None]:
    """Have other processes begin with the keys of `init`, before this one imports what reads its options."""
    guessed = keys_guessed(arguments[1:]) if arguments[:1] == ["init"] else ()
    if not guessed:
        yield None
        return
    from pkigen.crypto.key_makers import making

    # Reading options, spec and templates takes as long as some of the keys: both at once is what is won.
    with making(guessed) as makers:
        yield makers


def keys_guessed(arguments: Sequence[str]) -> tuple[KeyAlgorithm, ...]:
    """The keys that are needed at least, where a spec is named whose text names an algorithm that takes long.

    A wrong guess costs some work of another process; what is made depends on the spec as it is read.
    """
    # By their beginnings: an option may have its value behind `=`.
    text = b"" if any(each.startswith(_WITHOUT_KEYS) for each in arguments) else _spec_among(arguments)
    if not any(name.encode() in text for name in KeyAlgorithm):
        return ()
    from pkigen.crypto.keys import ALGORITHMS

    count = _OF_EVERY_PKI + (_OF_A_NODE if b"nodes:" in text else 0)
    slow = (name for name, row in ALGORITHMS.items() if row.slow_to_generate and name.encode() in text)
    return next(((name,) * count for name in slow), ())


def _spec_among(arguments: Sequence[str]) -> bytes:
    """The text of a spec; what can be read once only, such as a pipe, is left to whoever reads it."""
    # By its ending, for the parser has not been imported yet.
    spec = next((Path(each) for each in arguments if each.endswith(_ENDINGS)), Path())
    with suppress(OSError):
        if spec.is_file() and spec.stat().st_size <= _LARGEST_GUESSED:
            return spec.read_bytes()
    return b""


def keys_of(inventory: Inventory) -> tuple[KeyAlgorithm, ...]:
    """What a run that finds nothing has to make."""
    from pkigen.desired.items import DesiredCertificate, DesiredKeyPair

    return tuple(
        item.key_algorithm
        for item in inventory.items
        if isinstance(item, DesiredCertificate | DesiredKeyPair)
        and not (isinstance(item, DesiredCertificate) and item.key_is_elsewhere)
    )
