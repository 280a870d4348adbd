"""Feed the loader with damaged specs and kubeadm configurations: a spec, or problems with their places.

    python -m tests.spec.fuzz_loader [--inputs 100000] [--seed 1] [--save DIRECTORY]

Inputs are the examples, kubeadm configurations and the corpus in `tests/spec/corpus/`, damaged as text or as
values, and what is accepted must have an inventory. An input that raises is written into the directory given
with `--save`, to be kept in the corpus.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from copy import deepcopy
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.inventory import derive
from pkigen.errors import SpecError
from pkigen.spec.dialects import HostFacts
from pkigen.spec.loader import load_text
from tests.fuzzing import campaign, damaged
from tests.spec.kubeadm.configurations import EVERYTHING_ELSE, NEW, SAME
from tests.spec.sources import INIT, cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parent / "corpus"
HOST = HostFacts(hostname="host", default_address=ip_address("192.0.2.99"))
EXAMPLES = [path.read_text() for path in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))]
TEXTS = [*EXAMPLES, SAME, NEW, EVERYTHING_ELSE, cluster("networking: {podSubnet: 10.244.0.0/16}\n")]
JOINED = INIT + "---\n" + cluster("").split("---\n")[1]
ODD = [
    None, True, False, 0, -1, 1.5, 10**30, "", "no", "012", "10:20", "x\ny", "\u202e", "::1", "*", "a" * 300,
    [], {}, [None], [[]], {"": None}, {"name": None}, [{}], float("inf"), "v1.36.2", "192.0.2.1", "8760h",
    "10.96.0.0/12", "system:masters",
]  # fmt: skip
_WORDS = tuple(
    word.encode("utf-8", "surrogatepass")
    for word in (
        *(
            "\t",
            "\n",
            ": ",
            "- ",
            "*a",
            "&a ",
            "<<: ",
            "{",
            "]",
            "---\n",
            "? ",
            "!!python/object:x ",
            "%YAML 9.9\n",
        ),
        *("\u2028", "\x85", "\ufeff", "\ud800", "\0", "1e999", "0x", ".nan", "9" * 5000, "[" * 500),
    )
)
_OFTEN = 0.5


def load(data: bytes) -> bool:
    """Load; whether it is a spec. What is refused must say so properly."""
    try:
        loaded = load_text(data, file="f", kinds=CERTIFICATES, host=HOST)
    except SpecError as error:
        assert error.problems  # noqa: PT017 -- either outcome is right
        return False
    assert derive(loaded.spec).items
    return True


def inputs(seed: int) -> Iterator[bytes]:
    """Endlessly many, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 -- inputs that can be had again
    good = [
        *(text.encode() for text in (*TEXTS, JOINED)),
        *(path.read_bytes() for path in sorted(CORPUS.iterdir())),
    ]
    yield from good
    while True:
        if chance.random() < _OFTEN:
            yield damaged(chance.choice(good), chance, _WORDS)
        else:
            yield _with_other_values(chance)


@cache
def _documents() -> tuple[str, ...]:
    """The good texts as JSON, which is YAML and quick to read."""
    return tuple(json.dumps(list(yaml.safe_load_all(text)), default=str) for text in (*TEXTS, JOINED))


def _with_other_values(chance: random.Random) -> bytes:
    documents: Any = json.loads(chance.choice(_documents()))
    for _ in range(chance.randint(1, 3)):
        _change(documents, chance)
    return "\n---\n".join(json.dumps(document) for document in documents).encode()


def _change(at: Any, chance: random.Random) -> None:
    """Walk to some place and put, remove or repeat something there."""
    while inner := [
        value for value in (at.values() if isinstance(at, dict) else at) if isinstance(value, dict | list)
    ]:
        if chance.random() < 1 / 4:
            break
        at = chance.choice(inner)
    places = list(at) if isinstance(at, dict) else list(range(len(at)))
    match chance.randrange(3):
        case 0 if places:
            at[chance.choice(places)] = deepcopy(chance.choice(ODD))
        case 1 if places:
            del at[chance.choice(places)]
        case _ if isinstance(at, dict):
            at[chance.choice([*places, "x", "name", ""])] = deepcopy(chance.choice(ODD))
        case _:
            at.append(deepcopy(at[0] if at else chance.choice(ODD)))


def main() -> int:
    """Run; the exit code says whether something raised."""
    outcomes: Counter[bool] = Counter()

    def look(data: bytes) -> None:
        outcomes[load(data)] += 1

    return campaign("what reads specs", inputs, look, lambda: f"{outcomes[True]} of them accepted")


if __name__ == "__main__":
    sys.exit(main())
