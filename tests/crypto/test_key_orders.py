"""Which keys are ordered of whom, and how many: stand-ins take the orders here, so that nobody waits."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from pkigen.crypto import key_makers
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.key_makers import KeyMakers, generated, making
from pkigen.crypto.keys import ALGORITHMS, UnsupportedKeyError, algorithm_of, public_der
from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.crypto.keys import PrivateKey

SLOW, SLOWER, FAST = KeyAlgorithm.RSA_2048, KeyAlgorithm.RSA_3072, KeyAlgorithm.ECDSA_P256
ROWS = list(ALGORITHMS)
KEYS: dict[KeyAlgorithm, PrivateKey] = {}
SIZE = 4096
"""How many orders the pipe takes, an octet each: the least that Linux has."""


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


class Helper:
    """A child that has made every key already, and answers whenever there is an order."""

    def __init__(self, orders: int) -> None:
        self._orders = os.dup(orders)
        os.set_blocking(self._orders, False)
        self.made: list[KeyAlgorithm] = []
        self.ended = 0

    def fileno(self) -> int:
        return self._orders

    def key(self) -> PrivateKey:
        name = ROWS[os.read(self._orders, 1)[0]]
        self.made.append(name)
        if name not in KEYS:
            KEYS[name] = ALGORITHMS[name].generate()
        return KEYS[name]

    def waiting(self) -> int:
        """How many orders there are for it."""
        return int.from_bytes(fcntl.ioctl(self._orders, termios.FIONREAD, bytes(4)), sys.byteorder)

    def end(self) -> None:
        self.ended += 1
        os.close(self._orders)


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Helper]]:
    """The children that are made; whoever would wait for ever fails instead."""
    found: list[Helper] = []

    def helper(orders: int) -> Helper:
        found.append(Helper(orders))
        return found[-1]

    def asked(*waiting: Any) -> Any:
        ready = select.select(*waiting, 0)
        assert any(ready), "nobody would ever answer"
        return ready

    def written(fd: int, data: bytes) -> int:
        assert not os.get_blocking(fd), "it may wait for a child that waits for it"
        return os.write(fd, data)

    def pipe() -> tuple[int, int]:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SIZE)
        return reading, writing

    calls = {name: getattr(os, name) for name in ("close", "set_blocking", "read")}
    system = SimpleNamespace(**calls, write=written, pipe=pipe, cpu_count=lambda: 2)
    monkeypatch.setattr(key_makers, "os", system)
    monkeypatch.setattr(key_makers, "select", SimpleNamespace(select=asked))
    monkeypatch.setattr(key_makers, "_Child", helper)
    before = descriptors()
    yield found
    assert descriptors() == before
    assert {each.ended for each in found} <= {1}


@pytest.fixture
def one(helpers: list[Helper]) -> Iterator[tuple[KeyMakers, Helper]]:
    """Makers with one child."""
    makers = KeyMakers(1)
    makers.start()
    yield makers, helpers[0]
    makers.end()


def asked_for(makers: KeyMakers, *wanted: KeyAlgorithm) -> None:
    assert [algorithm_of(key) for key in makers.keys(wanted)] == list(wanted)


def test_slow_keys_are_ordered_and_quick_ones_made_here(one: tuple[KeyMakers, Helper]) -> None:
    makers, child = one
    assert makers.are_at_work
    asked_for(makers, FAST, SLOW, FAST, SLOWER, SLOW)
    assert Counter(child.made) == {SLOW: 2, SLOWER: 1}
    first, second = makers.keys([FAST, FAST])
    assert public_der(first) != public_der(second)


def test_what_was_expected_is_used_up_before_more_is_ordered(one: tuple[KeyMakers, Helper]) -> None:
    makers, child = one
    makers.expect([SLOW, SLOW])
    asked_for(makers, SLOW, SLOW, SLOW)
    assert child.made == [SLOW] * 3
    # All of it is used up: what is wanted now is ordered anew.
    asked_for(makers, SLOW)
    asked_for(makers, SLOW, SLOW)
    assert child.made == [SLOW] * 6
    makers.expect_in_all([SLOW])
    makers.expect_in_all([SLOW, SLOWER])
    asked_for(makers, SLOW, SLOWER)
    assert Counter(child.made) == {SLOW: 7, SLOWER: 1}
    # Nothing was ordered that nobody has asked for.
    assert child.waiting() == 0


def test_a_key_that_comes_first_waits_for_whoever_asks_for_it(one: tuple[KeyMakers, Helper]) -> None:
    makers, child = one
    makers.expect([SLOWER, SLOW])
    asked_for(makers, SLOW, SLOWER)
    assert child.made == [SLOWER, SLOW]


def test_orders_that_the_pipe_does_not_take_wait(one: tuple[KeyMakers, Helper]) -> None:
    makers, child = one
    many = SIZE + 100
    makers.expect([SLOW] * many)
    asked_for(makers, *[SLOW] * (many + 1))
    assert child.made == [SLOW] * (many + 1)


def test_without_processes_all_keys_are_made_here(helpers: list[Helper]) -> None:
    before = descriptors()
    makers = KeyMakers(0)
    makers.start()
    makers.expect([SLOW])
    assert not makers.are_at_work
    assert descriptors() == before
    asked_for(makers, SLOW, FAST)
    makers.end()
    assert helpers == []


@pytest.mark.parametrize(
    ("cores", "expected", "made"),
    [
        (3, [SLOW, SLOW, FAST], 2),
        (2, [SLOW] * 5, 2),
        (3, [SLOW, FAST], 0),
        (1, [SLOW] * 5, 0),
        (None, [SLOW] * 5, 0),
        (4, [FAST] * 5, 0),
        (4, [], 0),
    ],
)
def test_as_many_processes_as_there_are_cores_or_slow_keys(
    cores: int | None,
    expected: list[KeyAlgorithm],
    made: int,
    helpers: list[Helper],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_makers.os, "cpu_count", lambda: cores)
    before = descriptors()
    with making(expected) as makers:
        assert (len(helpers), makers.are_at_work) == (made, made > 0)
        # What is expected is at work before anybody asks; and where there is no process, there is no pipe.
        if made:
            assert helpers[0].waiting() == expected.count(SLOW)
        else:
            assert descriptors() == before
    assert [each.ended for each in helpers] == [1] * made


def test_processes_that_were_started_on_a_guess_make_the_rest(
    helpers: list[Helper], one: tuple[KeyMakers, Helper]
) -> None:
    guessed, child = one
    guessed.expect([SLOW, SLOW])
    with making([SLOW, SLOW, SLOW, FAST], guessed) as makers:
        assert makers is guessed
        assert child.waiting() == 3
        with generated([SLOW, SLOW, SLOW, FAST], makers) as keys:
            assert [algorithm_of(key) for key in keys] == [SLOW, SLOW, SLOW, FAST]
    assert (child.made, child.ended, helpers) == ([SLOW] * 3, 0, [child])


def test_without_a_guess_processes_are_made_for_what_is_wanted(helpers: list[Helper]) -> None:
    with generated([SLOW, FAST, SLOW]) as keys:
        assert [algorithm_of(key) for key in keys] == [SLOW, FAST, SLOW]
    assert [each.ended for each in helpers] == [1, 1]


def test_a_guess_without_processes_is_none(helpers: list[Helper]) -> None:
    idle = KeyMakers(0)
    with making([SLOW, SLOW], idle) as makers:
        assert makers is not idle
        assert len(helpers) == 2


# -- what runs in another process ---------------------------------------------------------------------------


def test_what_a_process_does_with_its_orders() -> None:
    """An octet is an order; each key comes with its length before it, until there are no more orders."""
    taking, orders = os.pipe()
    reading, answers = os.pipe()
    os.write(orders, bytes([ROWS.index(FAST), ROWS.index(KeyAlgorithm.ECDSA_P384)]))
    os.close(orders)
    key_makers._make_keys(taking, answers)  # noqa: SLF001 -- it runs in another process otherwise
    os.close(answers)
    with os.fdopen(reading, "rb") as stream:
        made = []
        while size := stream.read(8):
            der = stream.read(int.from_bytes(size, "big"))
            made.append(algorithm_of(serialization.load_der_private_key(der, None)))  # type: ignore[arg-type]
    os.close(taking)
    assert made == [FAST, KeyAlgorithm.ECDSA_P384]


class Answering:
    """A worker that has an answer, or none."""

    def __init__(self, life: Any, *, keeps: tuple[int, ...]) -> None:
        self.life, self.keeps = life, keeps
        self.ends = 0

    def fileno(self) -> int:
        return 77

    def answer(self) -> bytes:
        if ANSWERS:
            return ANSWERS.pop()
        raise EOFError

    def end(self) -> None:
        self.ends += 1


ANSWERS: list[bytes] = []
DER = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def test_what_comes_from_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_makers, "Worker", Answering)
    child: Any = key_makers._Child(5)  # noqa: SLF001 -- what stands behind every key
    worker = child._worker  # noqa: SLF001
    assert (worker.life.func, worker.life.args, worker.keeps) == (key_makers._make_keys, (5,), (5,))  # noqa: SLF001
    assert child.fileno() == 77
    for name in (FAST, SLOW):
        key = ALGORITHMS[name].generate()
        ANSWERS.append(key.private_bytes(*DER))
        assert public_der(child.key()) == public_der(key)
    with pytest.raises(PkigenError, match="a process that generates keys has died") as died:
        child.key()
    assert died.value.hint == "run the command again"
    ANSWERS.append(ed25519.Ed25519PrivateKey.generate().private_bytes(*DER))
    with pytest.raises(UnsupportedKeyError):
        child.key()
    child.end()
    assert worker.ends == 1
