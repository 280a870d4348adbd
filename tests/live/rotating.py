"""Carries the steps of a rotation out on machines of `hosts.py`, as the runbook says, under load."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.live.control_plane import StaticPod

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.live.control_plane import Cluster
    from tests.live.hosts import Machine, Process

_SECONDS = 300
_CLIENT = Path(__file__).with_name("steady_client.py")
_DELIVER = """
import os, shutil, sys
from pathlib import Path
source, root = Path(sys.argv[1]), Path("/")
files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
files.sort(key=lambda path: "manifests" in path.parts)
new = []
for file in files:
    target = root / file
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != (source / file).read_bytes():
        shutil.copy2(source / file, f"{target}.new")
        new.append(target)
for target in new:
    os.rename(f"{target}.new", target)
"""
"""As `rsync --delay-updates`: everything is there before one process puts it in place, manifests last."""


@dataclass(slots=True)
class Figures:
    """What the clients have seen."""

    series: dict[str, dict[str, Any]] = field(default_factory=dict)

    def total(self, what: str) -> int:
        """A sum over all clients."""
        return sum(
            each[what] if isinstance(each[what], int) else len(each[what]) for each in self.series.values()
        )

    def __str__(self) -> str:
        parts = ", ".join(f"{self.total(what)} {what}" for what in ("asked", "retried", "refused", "failed"))
        return f"{len(self.series)} clients: {parts}"


class Clients:
    """Clients that ask without pause from a machine's network."""

    def __init__(self, machine: Machine, series: Sequence[dict[str, Any]]) -> None:
        self._process = subprocess.Popen(
            [
                *("nsenter", "--target", str(machine.pid), "--net", "--"),
                *(sys.executable, "-I", str(_CLIENT), json.dumps(list(series))),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "asking\n"

    def restart(self) -> None:
        """Have them hold the CAs that are on disk now."""
        self._process.send_signal(1)

    def stop(self) -> Figures:
        """Let every client come to its end; what they saw."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=_SECONDS)
        return Figures(series=json.loads(said))


@contextlib.contextmanager
def asking(machine: Machine, series: Sequence[dict[str, Any]]) -> Iterator[Clients]:
    """Clients that end with the block, whatever happens."""
    clients = Clients(machine, series)
    try:
        yield clients
    finally:
        clients._process.kill()  # noqa: SLF001 -- it is this module's own
        clients._process.wait()  # noqa: SLF001 -- likewise


def pkigen_in(machine: Machine, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run pkigen in a machine's network, from which it can dial the others."""
    return subprocess.run(
        [
            *("nsenter", "--target", str(machine.pid), "--net", "--"),
            *(sys.executable, "-m", "pkigen", *map(str, arguments)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )


def rotate(cluster: Cluster, *arguments: str, machine: Machine | None = None) -> list[dict[str, Any]]:
    """Take one step; the restart map is what comes back."""
    where = machine or next(iter(cluster.machines.values()))
    step = arguments[-1].split()
    vouched = ("--assume-distributed",) if step[0] == "promote" else ()
    command = ("rotate", *arguments[:-1], cluster.scratch / "cluster.yaml", "--phase", *step, *vouched)
    done = pkigen_in(where, *command, "-C", cluster.out, "--yes", "-o", "json")
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    restarts: list[dict[str, Any]] = json.loads(done.stdout)["restarts"]
    return restarts


def deliver(cluster: Cluster, node: str) -> None:
    """Copy a node's tree over the root of its machine, each file in one go, manifests last."""
    cluster.machines[node].run(sys.executable, "-Ic", _DELIVER, cluster.node(node))


def restarts_of(restarts: Sequence[dict[str, Any]], node: str) -> set[str]:
    """The components that the restart map wants restarted on a node."""
    return {
        step["component"]
        for step in restarts
        if step["node"] == node and step["effect"] != "reloads by itself"
    }


def restart(cluster: Cluster, node: str, component: str, url: str) -> None:
    """End a component's process, start it with its present manifest's command, and wait until it answers."""
    machine = cluster.machines[node]
    end(machine, component)
    pod = StaticPod.read(cluster.kubeconfig(node, "manifests") / f"{component}.yaml")
    process = machine.start(component, pod.command)
    deadline = time.monotonic() + _SECONDS
    while machine.request(url, until=2).status != 200:
        assert process.alive(), process.tail()
        assert time.monotonic() < deadline, process.tail()


def end(machine: Machine, component: str) -> None:
    """End a component's process, and wait until it is gone."""
    running = current(machine, component)
    # The process is a child of nsenter in a process namespace of its own: it is ended there, by its id.
    ended = machine.attempt("sh", "-c", _END, "end", component)
    assert ended.returncode == 0, ended
    running.popen.wait(timeout=_SECONDS)


_END = """
for process in /proc/[0-9]*; do
    if [ "$(cat "$process/comm" 2>/dev/null)" = "$(printf %.15s "$1")" ]; then
        kill "${process#/proc/}"
        found=1
    fi
done
[ -n "$found" ]
"""


def current(machine: Machine, component: str) -> Process:
    """The process that runs a component now."""
    return [process for process in machine.processes if process.name == component and process.alive()][-1]
