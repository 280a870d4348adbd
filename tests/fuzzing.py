"""What fuzzing campaigns share: random damage to bytes, and the loop that counts what raises."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence


def damaged(data: bytes, chance: random.Random, words: Sequence[bytes]) -> bytes:
    """One to four random changes; `words` are what a reader of such bytes may stumble over."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
            case 1:
                data = data[:place] + data[place + chance.randint(1, 9) :]
            case 2:
                data = data[:place] + chance.randbytes(chance.randint(1, 5)) + data[place:]
            case 3:
                data = data[:place]
            case 4:
                end = place + chance.randint(1, 60)
                data = data[:place] + 2 * data[place:end] + data[end:]
            case _:
                data = data[:place] + chance.choice(words) + data[place:]
    return data


def campaign(
    what: str,
    inputs: Callable[[int], Iterator[bytes]],
    look: Callable[[bytes], None],
    counts: Callable[[], str],
) -> int:
    """Feed `look` with as many inputs as the command line says; the result is an exit code.

    Args:
        what: What is fuzzed, for the help.
        inputs: Endless inputs of a seed.
        look: What must not raise.
        counts: Says at the end what became of the inputs.
    """
    parser = argparse.ArgumentParser(description=f"fuzz {what}")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, default=None, help="where inputs that raise are written")
    arguments = parser.parse_args()
    raised: Counter[str] = Counter()
    done = 0
    begun = time.perf_counter()
    for data in islice(inputs(arguments.seed), arguments.inputs):
        done += 1
        try:
            look(data)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is what is looked for
            name = f"{type(error).__name__}: {error}"[:100]
            if name not in raised and arguments.save is not None:
                arguments.save.mkdir(exist_ok=True)
                (arguments.save / f"raised-{len(raised):03d}").write_bytes(data)
            raised[name] += 1
    seconds = time.perf_counter() - begun
    sys.stdout.write(
        f"{done} inputs in {seconds:.0f} s, {counts()}, {raised.total()} raised: {dict(raised)}\n"
    )
    return 1 if raised else 0
