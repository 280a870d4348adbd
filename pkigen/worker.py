"""One process that is forked to work for this one, and the pipe through which it answers.

It starts as a copy of this process: what it needs was read before, and crosses no pipe. Nothing of this
process is finished in it: no buffer is flushed twice, no `finally` of the parent runs, no lock is let go.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_LENGTH_OCTETS = 8
_LAST_STANDARD_STREAM = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_PATIENCE = 60
"""Seconds that a process gets to put its work in order, once it was told to end."""
_ORIGINAL = [True]
"""Empty in a process that was forked here."""


def may_fork() -> bool:
    """Whether a process may be forked for work that all cores share.

    Not from one that has threads: the copy of a lock that another thread held would never be let go. Not from
    one that shares all cores with others already.
    """
    return bool(_ORIGINAL) and threading.active_count() == 1


class Worker:
    """A forked process.

    Args:
        life: All that it does; it answers with `send` on the descriptor that it is given, and ends when this
            returns.
        keeps: What it keeps open beside the standard streams and its pipe; None for everything.
        closes: What it closes of what it would keep: the ends of pipes by which others notice that this
            process is gone.
        tidies: Whether it has something to put in order when it is told to end. Otherwise it may be killed
            at any moment, and leaves it to this process what an interrupt means.
    """

    def __init__(
        self,
        life: Callable[[int], object],
        *,
        keeps: Collection[int] | None = None,
        closes: Collection[int] = (),
        tidies: bool = False,
    ) -> None:
        self._tidies = tidies
        self._pid: int | None = None
        self._pipe, writing = os.pipe()
        try:
            with _signals_waiting() as before:
                self._pid = os.fork()
                if self._pid == 0:  # pragma: no cover -- the child is measured by what it answers
                    _live(life, writing, keeps, (*closes, self._pipe), tidies=tidies, before=before)
        except BaseException:  # there is none, or a signal has come: it has not begun with anything
            self._kill()
            raise
        finally:
            os.close(writing)

    def fileno(self) -> int:
        """For `select`."""
        return self._pipe

    def answer(self) -> bytes:
        """Wait for what it sends next.

        Raises:
            EOFError: It has ended.
        """
        return self._read(int.from_bytes(self._read(_LENGTH_OCTETS), "big"))

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = os.read(self._pipe, size - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def warn(self) -> None:
        """Tell one that tidies to end."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGTERM)

    def end(self) -> None:
        """End it, whether or not it is done; one that tidies gets some time to end by itself."""
        while self._tidies and select.select([self._pipe], [], [], _PATIENCE)[0]:
            # What it still says is of no use; that it says nothing more, ever, is.
            if not os.read(self._pipe, 1 << 16):
                break
        self._kill()

    def _kill(self) -> None:
        os.close(self._pipe)
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None


@contextmanager
def _signals_waiting() -> Iterator[Collection[int]]:
    """Have a signal wait that comes between the fork and the child's own handlers; give what waited before.

    In the child it would run this process' handlers, and what these unwind.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(pipe: int, message: bytes) -> None:
    """Answer, in the process that was forked."""
    data = memoryview(len(message).to_bytes(_LENGTH_OCTETS, "big") + message)
    while data:
        data = data[os.write(pipe, data) :]


def _live(
    life: Callable[[int], object],
    pipe: int,
    keeps: Collection[int] | None,
    closes: Collection[int],
    *,
    tidies: bool,
    before: Collection[int],
) -> NoReturn:  # pragma: no cover -- runs in the child
    """The child from its first moment to its last."""
    code = 1
    try:
        _ORIGINAL.clear()
        # What is there already stays shared with the parent as long as no collection writes to it.
        gc.freeze()
        if not tidies:
            # As in a fresh process: a signal, or writing to nobody, ends it. What an interrupt means, the
            # parent decides.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for each in closes:
            os.close(each)
        if keeps is not None:
            _close_all_but({*keeps, pipe})
        elif sys.stdin is not None:
            # Several cannot share what somebody types.
            sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 -- for its whole life
        life(pipe)
        code = 0
    finally:
        os._exit(code)


def _close_all_but(kept: Collection[int]) -> None:  # pragma: no cover -- runs in the child
    """Close what would be held open, and locked, by a process that outlives its parent."""
    first = _LAST_STANDARD_STREAM + 1
    for fd in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        os.closerange(first, fd)
        first = max(first, fd + 1)
