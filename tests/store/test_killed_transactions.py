"""The kernel kills a real process at its n-th system call; the next run finds the old tree or the new one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.store import Outcome, Store
from tests.store.sample_tree import LATER, photograph

if TYPE_CHECKING:
    from tests.store.sample_tree import Trees

STRACE = shutil.which("strace")
# Without --seccomp-bpf, which silently turns the injection off.
CALLS = (
    "openat",
    "write",
    "fsync",
    "fchmod",
    "renameat",
    "linkat",
    "unlinkat",
    "mkdirat",
    "ftruncate",
    "flock",
)
WANTED = 32
REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.store import sample_tree
print("ready", flush=True)
sample_tree.make_second(Path(sys.argv[1]))
"""
CONTROL = """
import os, sys
print("ready", flush=True)
for path, content in (("pki/ca.key", b"new ca key"), ("pki.lock", b"new lock")):
    fd = os.open(os.path.join(sys.argv[1], path), os.O_WRONLY | os.O_TRUNC)
    os.write(fd, content)
    os.fsync(fd)
    os.close(fd)
"""

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(STRACE is None, reason="strace is not installed: no kills by the kernel"),
]


def traced(root: Path, script: str, *options: str) -> tuple[int, str]:
    """Run a script under strace and return its exit status and the trace."""
    trace = root.with_suffix(".trace")
    done = subprocess.run(
        [
            *(STRACE or "", "-f", "-qq", "-o", str(trace), "-e", f"trace={','.join(CALLS)}", *options),
            *(sys.executable, "-I", "-S", "-B", "-c", script, str(root), str(REPOSITORY)),
        ],
        capture_output=True,
        check=False,
        timeout=300,
    )
    return done.returncode, trace.read_text()


def points(trace: str) -> list[tuple[str, int]]:
    """Every call after the script said that it is ready, with its number among its like."""
    seen = dict.fromkeys(CALLS, 0)
    found = []
    ready = False
    for line in trace.splitlines():
        if not (call := re.match(r"\d+ +(\w+)\(", line)) or call[1] not in seen:
            continue
        seen[call[1]] += 1
        if ready:
            found.append((call[1], seen[call[1]]))
        ready = ready or '"ready\\n"' in line
    return found


def sweep(trees: Trees, script: str, wanted: int) -> tuple[int, list[str]]:
    """Kill at evenly chosen calls; return how many were killed and what was found after each."""
    counted = trees.copy("kill-counted")
    status, trace = traced(counted, script)
    assert status == 0, trace[-2000:]
    shutil.rmtree(counted)
    everything = points(trace)
    chosen = everything[:: max(1, len(everything) // wanted)]

    def kill(number: int) -> tuple[bool, str]:
        call, when = chosen[number]
        root = trees.copy(f"kill-{number}")
        status, _ = traced(root, script, "-e", f"inject={call}:signal=KILL:when={when}")
        with Store.open(root, command="status", now=LATER) as store:
            recovered = store.recovered
        found = photograph(root)
        shutil.rmtree(root)
        verdict = "old" if found == trees.old else "new" if found == trees.new else "broken"
        if recovered:
            assert verdict == ("new" if recovered.outcome is Outcome.FINISHED else "old")
        return status == -9, verdict

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(kill, range(len(chosen))))
    return sum(killed for killed, _ in results), [verdict for _, verdict in results]


def test_a_killed_process_leaves_the_old_tree_or_the_new_one(trees: Trees) -> None:
    killed, verdicts = sweep(trees, SCRIPT, WANTED)
    counts = {verdict: verdicts.count(verdict) for verdict in ("old", "new", "broken")}
    print(f"kills: {killed} of {len(verdicts)} points, {counts}")  # noqa: T201
    assert killed == len(verdicts) >= WANTED
    assert counts["broken"] == 0
    assert counts["old"] > 10
    assert counts["new"] > 5


def test_the_kills_break_a_naive_writer(trees: Trees) -> None:
    killed, verdicts = sweep(trees, CONTROL, 10)
    print(f"control kills: {killed} of {len(verdicts)} points, {verdicts.count('broken')} broken")  # noqa: T201
    assert killed == len(verdicts)
    assert verdicts.count("broken") >= 3
