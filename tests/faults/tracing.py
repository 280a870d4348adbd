"""Disturbs a real process with strace: the kernel kills it, or refuses, at a system call of its choice.

Only calls of pkigen's own are disturbed: everything is imported before strace looks, the process ends with
its command, before anything that is registered for the exit runs, and nothing measures it. So a call's number
means the same call in every run, and whatever a fault leads to is pkigen's doing.

Never with --seccomp-bpf, which silently turns the injection off.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tests import unmeasured
from tests.faults.scenes import chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

STRACE = shutil.which("strace")
# Everything that the program asks of the file system while it works on the tree.
CALLS = (
    *("openat", "read", "write", "close", "fsync", "fchmod", "ftruncate", "flock"),
    *("newfstatat", "getdents64", "mkdirat", "renameat", "linkat", "unlinkat"),
)
# Those that change something on the disk: where a kill matters most.
WRITING = frozenset({"write", "fsync", "fchmod", "ftruncate", "mkdirat", "renameat", "linkat", "unlinkat"})
_WORKERS = 3
_BATCH = 30
_CALL = re.compile(r"(?:\d+ +)?(\w+)\(")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Point:
    """A system call, and its number among its like in one process."""

    call: str
    number: int

    def killed(self) -> str:
        """What strace is to do: kill the process there."""
        return f"inject={self.call}:signal=KILL:when={self.number}"

    def refused(self, error: str) -> str:
        """What strace is to do: let the call fail."""
        return f"inject={self.call}:error={error}:when={self.number}"


@dataclass(frozen=True, slots=True)
class Traced:
    """How a traced program ended."""

    status: int
    out: str
    err: str
    trace: str


# Imports are the same for every run and touch no tree: they are done once, and each run is a fork of that.
_ZYGOTE = """
import json, os, pkgutil, signal, sys, traceback
from importlib import import_module
import pkigen
from pkigen.cli.app import run
for module in pkgutil.walk_packages(pkigen.__path__, "pkigen."):
    if module.name != "pkigen.__main__":
        import_module(module.name)
# What a library imports later is looked for where nothing is written meanwhile: Python lists a directory
# again that has changed, and the checkout does.
sys.path = [place for place in sys.path if place.startswith((sys.prefix, sys.base_prefix))]
for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(task["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.dup2(os.open(task["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        script = compile(task.get("script", ""), "script", "exec")
        os.kill(os.getpid(), signal.SIGSTOP)
        code = 1
        try:
            if "script" in task:
                sys.argv = ["script", *task["arguments"]]
                exec(script, {})
                code = 0
            else:
                code = run(task["arguments"])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.waitpid(pid, os.WUNTRACED)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Programs:
    """Real pkigen processes, each stopped at its beginning until strace watches it."""

    def __init__(self, place: Path, number: int) -> None:
        self._place = place
        self._name = f"zygote-{number}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=unmeasured.environment(),
        )

    def close(self) -> None:
        self._process.communicate()

    def run(self, arguments: Sequence[str], *options: str, script: str | None = None) -> Traced:
        """Run a command line, or a script, under strace."""
        out, err, trace = (self._place / f"{self._name}.{suffix}" for suffix in ("out", "err", "trace"))
        task = {"arguments": list(arguments), "out": str(out), "err": str(err)}
        pid = int(self._ask(json.dumps(task if script is None else {**task, "script": script})))
        with subprocess.Popen(
            [
                *(STRACE or "strace", "-p", str(pid), "-o", str(trace), "-e", f"trace={','.join(CALLS)}"),
                *(each for option in options for each in ("-e", option)),
            ],
            stderr=subprocess.PIPE,
            text=True,
        ) as strace:
            assert strace.stderr is not None
            attached = strace.stderr.readline()
            os.kill(pid, signal.SIGCONT)
            status = int(self._answer())
        assert "attached" in attached, attached
        return Traced(status, out.read_text(), err.read_text(), trace.read_text(errors="replace"))

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Laboratory:
    """As many zygotes as keep the processors busy; strace waits a lot."""

    def __init__(self, place: Path) -> None:
        self._free: queue.SimpleQueue[Programs] = queue.SimpleQueue()
        for number in range(_WORKERS):
            self._free.put(Programs(place, number))

    def close(self) -> None:
        for _ in range(_WORKERS):
            self._free.get().close()

    def run(self, arguments: Sequence[str], *options: str, script: str | None = None) -> Traced:
        """Run a command line, or a script, under strace."""
        programs = self._free.get()
        try:
            return programs.run(arguments, *options, script=script)
        finally:
            self._free.put(programs)

    def all(self, work: Callable[[int], Answer], count: int) -> Iterator[Answer]:
        """Do numbered pieces of work, in order, several at a time.

        Nothing runs while a result is looked at: a lock that is held here would go over into a process that
        is started at the same moment, until that becomes strace.
        """
        with ThreadPoolExecutor(_WORKERS) as pool:
            for first in range(0, count, _BATCH):
                yield from list(pool.map(work, range(first, min(first + _BATCH, count))))


def points(trace: str, landmark: str) -> list[Point]:
    """Every call from the one on that first names `landmark`, numbered as strace counts them."""
    seen = dict.fromkeys(CALLS, 0)
    found: list[Point] = []
    begun = False
    for line in trace.splitlines():
        call = _CALL.match(line)
        if not call or call[1] not in seen:
            continue
        seen[call[1]] += 1
        begun = begun or landmark in line
        if begun:
            found.append(Point(call[1], seen[call[1]]))
    return found


def sample(everything: Sequence[Point], wanted: int) -> list[Point]:
    """Some points, two thirds of them where something is written; or every one."""
    writing = [point for point in everything if point.call in WRITING]
    others = [point for point in everything if point.call not in WRITING]
    if wanted >= len(everything):
        return list(everything)
    most = chosen(writing, wanted * 2 // 3)
    return [*most, *chosen(others, wanted - len(most))]
