"""Processes that make keys in advance, so that all cores work while the rest of the run goes on."""

from __future__ import annotations

import os
import select
from collections import Counter, defaultdict, deque
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkigen.crypto.keys import ALGORITHMS, PrivateKey, UnsupportedKeyError, algorithm_of, describe
from pkigen.errors import PkigenError
from pkigen.worker import Worker, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.crypto.algorithms import KeyAlgorithm


@contextmanager
def generated(
    algorithms: Iterable[KeyAlgorithm], ahead: KeyMakers | None = None
) -> Iterator[Iterator[PrivateKey]]:
    """Make one fresh private key for each algorithm, in order, on all cores where that pays.

    Args:
        algorithms: Which keys are wanted.
        ahead: Processes that were given work before it was known exactly.
    """
    wanted = list(algorithms)
    with nullcontext(ahead) if ahead is not None else making(wanted) as makers:
        yield makers.keys(wanted)


@contextmanager
def making(expected: Sequence[KeyAlgorithm], ahead: KeyMakers | None = None) -> Iterator[KeyMakers]:
    """Start to make keys that will probably be asked for.

    Args:
        expected: Which keys that will be.
        ahead: Processes that were started on a guess; where there are any, they make the rest.

    Generating an RSA key holds the interpreter lock for tens of milliseconds, so slow algorithms are shared
    out to child processes; EC keys take microseconds and are made when they are asked for.
    """
    slow = [name for name in expected if ALGORITHMS[name].slow_to_generate]
    if ahead is not None and ahead.are_at_work:
        ahead.expect_in_all(slow)
        yield ahead
        return
    workers = min(len(slow), os.cpu_count() or 1)
    # One key or one core gains nothing from a child process.
    makers = KeyMakers(workers if workers > 1 else 0)
    try:
        makers.start()
        makers.expect(slow)
        yield makers
    finally:
        makers.end()


class KeyMakers:
    """Child processes that make keys; each takes the next order when it is free: keys take unequal times."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._children: list[_Child] = []
        self._orders = -1
        self._unsent: deque[KeyAlgorithm] = deque()
        self._expected: Counter[KeyAlgorithm] = Counter()
        self._made: defaultdict[KeyAlgorithm, deque[PrivateKey]] = defaultdict(deque)

    @property
    def are_at_work(self) -> bool:
        """Whether there are processes."""
        return bool(self._children)

    def start(self) -> None:
        """Make the processes."""
        if not self._workers:
            return
        taking, self._orders = os.pipe()
        try:
            # One by one: where a process cannot be made, those before it are known, and end, too.
            for _ in range(self._workers):
                self._children.append(_Child(taking))
        finally:
            os.close(taking)
        # An order that the pipe does not take waits in `_unsent`: writing must never wait for a child that
        # itself waits for us to read its keys.
        os.set_blocking(self._orders, False)

    def expect(self, algorithms: Iterable[KeyAlgorithm]) -> None:
        """Give the processes work; without processes, keys are made when they are asked for."""
        if self._children:
            for name in algorithms:
                self._unsent.append(name)
                self._expected[name] += 1
            self._send()

    def expect_in_all(self, algorithms: Iterable[KeyAlgorithm]) -> None:
        """Give them as much work as is missing to these: keys made ahead are used up first."""
        self.expect((Counter(algorithms) - self._expected).elements())

    def keys(self, algorithms: Iterable[KeyAlgorithm]) -> Iterator[PrivateKey]:
        """The keys, each when it is asked for."""
        wanted = list(algorithms)
        self.expect_in_all(name for name in wanted if ALGORITHMS[name].slow_to_generate)
        return (self._next(name) for name in wanted)

    def end(self) -> None:
        """Stop the processes, whether or not they are done."""
        for child in self._children:
            child.end()
        if self._orders != -1:
            os.close(self._orders)

    def _next(self, name: KeyAlgorithm) -> PrivateKey:
        """One key of a kind is as good as another: whichever child is done first delivers it."""
        if not self._children or not ALGORITHMS[name].slow_to_generate:
            return ALGORITHMS[name].generate()
        # A child may deliver a key of another kind first: it waits for whoever asks for that.
        while not self._made[name]:
            ready, _, _ = select.select(self._children, [], [])
            for child in ready:
                key = child.key()
                made = algorithm_of(key)
                if made is not None:
                    self._made[made].append(key)
            self._send()
        self._expected[name] -= 1
        return self._made[name].popleft()

    def _send(self) -> None:
        """Write down as many orders as the pipe takes, an octet each."""
        # The pipe is full: the rest goes once children have taken some of it (`_next`).
        with suppress(BlockingIOError):
            while self._unsent:
                os.write(self._orders, bytes([_ROWS.index(self._unsent[0])]))
                self._unsent.popleft()


class _Child:
    """A process that reads orders, and writes keys as DER.

    It keeps no other file open, so it can hold no lock. When this process dies, it finds no more orders or
    nobody who reads, and ends. A child that is ahead waits in its pipe.
    """

    def __init__(self, orders: int) -> None:
        self._worker = Worker(partial(_make_keys, orders), keeps=(orders,))

    def fileno(self) -> int:
        """For `select`."""
        return self._worker.fileno()

    def key(self) -> PrivateKey:
        """The next key.

        Raises:
            PkigenError: The process has died.
        """
        try:
            der = self._worker.answer()
        except EOFError:
            raise PkigenError(
                "a process that generates keys has died", hint="run the command again"
            ) from None
        # The bytes come from our own child: checking the primes again would cost as much as making them.
        key = serialization.load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):  # pragma: no cover
            raise UnsupportedKeyError(describe(key))
        return key

    def end(self) -> None:
        """Stop the process, whether or not it is done: it has nothing to put in order."""
        self._worker.end()


def _make_keys(orders: int, pipe: int) -> None:  # pragma: no cover -- runs in the child
    """The child's whole life: an order in, a key out, until the orders end."""
    while order := os.read(orders, 1):
        key = ALGORITHMS[_ROWS[order[0]]].generate()
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        send(pipe, der)


# An order is one octet: the place of its algorithm here, which parent and child have alike.
_ROWS = tuple(ALGORITHMS)
