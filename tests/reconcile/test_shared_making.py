"""Objects that several processes make: one change as before, and none where anything fails in one of them."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from pkigen import layout
from pkigen.crew import DeadWorkerError, Hands
from pkigen.desired.generations import BUNDLE_KEY_PATH, Slot, encryption_key_path
from pkigen.errors import StoreError
from pkigen.reconcile.apply import apply_plan
from pkigen.store import Store
from pkigen.worker import Worker
from tests.samples import CP1, CP2, ENDPOINT, NOW, Unsynced, World, node, snapshot, spec
from tests.test_crew import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pkigen.reconcile.apply import Applied
    from pkigen.store import OsFileSystem

ALONE = Hands(most=1)
SHARED = Hands(most=3, least_objects=1, chunk=5)


def world_at(root: Path, **certificates: Any) -> World:
    """Nothing yet: two control-plane nodes, workers, and users after them."""
    workers = (node(f"worker-{number}", f"10.0.1.{number}") for number in range(6))
    users = [{"name": f"user-{number}"} for number in range(4)]
    settings = {"encryption": {}, "users": users, **ENDPOINT, "certificates": certificates}
    return World(root=root, cluster=spec(CP1, CP2, *workers, **settings))


def made(world: World, hands: Hands, filesystem: OsFileSystem | None = None) -> Applied:
    """Plan and carry out."""
    with Store.open(world.root, command="init", now=NOW, filesystem=filesystem or Unsynced()) as store:
        plan = world.plan_of(store)
        return apply_plan(plan, world.inventory, store, replace(world.tools(), hands=hands))


# -- the same -----------------------------------------------------------------------------------------


def test_it_is_what_one_process_makes(tmp_path: Path) -> None:
    """But for keys and numbers, which are other ones each time."""
    worlds = {hands: world_at(tmp_path / str(hands.most)) for hands in (SHARED, ALONE)}
    applied = {hands: made(world, hands) for hands, world in worlds.items()}
    assert applied[SHARED] == applied[ALONE]
    assert len(applied[SHARED].issued) > 30
    shared, alone = worlds[SHARED], worlds[ALONE]
    assert {path: mode for path, (mode, _) in snapshot(shared.root).items()} == {
        path: mode for path, (mode, _) in snapshot(alone.root).items()
    }
    for file in (layout.LOCK_FILE, layout.LEDGER_FILE):
        assert without_chance(shared.read(file)) == without_chance(alone.read(file))
    for world in worlds.values():
        assert not world.plan().changes
        assert not world.verify().findings
    # Each key is one of its own.
    lock = json.loads(shared.read("pki.lock"))
    assert len({each["spki"] for each in lock["certificates"].values()}) == len(lock["certificates"])
    assert len({each["serial"] for each in lock["certificates"].values()}) == len(lock["certificates"])


def without_chance(text: bytes) -> bytes:
    """A record without what follows from keys and numbers."""
    digests = re.sub(rb"[0-9a-f]{64}", b"-", text)
    return re.sub(rb'("serial": ?)"[0-9a-f]+"', rb'\1"-"', digests)


def test_the_control_sees_another_order(tmp_path: Path) -> None:
    world = world_at(tmp_path / "x")
    made(world, SHARED)
    lines = without_chance(world.read(layout.LEDGER_FILE)).splitlines()
    assert lines != [*lines[:40], *reversed(lines[40:])]


@dataclass
class Watching:
    """Notes each piece of making, and the processes that there are when it may be shown."""

    pieces: list[tuple[int, int]] = field(default_factory=list)

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        if what == "issuing and rendering":
            self.pieces.append((total, len(children())))
        yield lambda: None


@pytest.mark.parametrize(("algorithm", "processes"), [("ECDSA-P256", 3), ("RSA-2048", 0)])
def test_slow_keys_are_left_to_their_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, processes: int
) -> None:
    """Here there are none, for want of cores; the authority is made in this process anyway."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    world = World(root=tmp_path / "x", cluster=spec(CP1, certificates={"keyAlgorithm": algorithm}))
    watching, before = Watching(), len(children())
    with world.writing() as store:
        tools = replace(world.tools(), hands=SHARED, progress=watching)
        apply_plan(world.plan_of(store), world.inventory, store, tools)
    assert [count - before for _, count in watching.pieces] == ([0, processes] if processes else [0])
    assert sum(total for total, _ in watching.pieces) > 30


# -- what fails ---------------------------------------------------------------------------------------


class Failing(Unsynced):
    """Does something when the so-many-th file is staged in a process that is not this one."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._parent = os.getpid()
        self._written = 0

    def write(self, fd: int, data: memoryview) -> int:
        if os.getpid() != self._parent:
            self._written += 1
            if self._written > 20:
                self._act()
        return super().write(fd, data)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def dead() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupting() -> None:
    while True:
        os.kill(os.getppid(), signal.SIGINT)
        signal.sigtimedwait((), 5)


FAULTS: dict[str, tuple[Callable[[], object], type[BaseException], str | None]] = {
    "full": (full, StoreError, "no space left on device"),
    "broken": (broken, StoreError, "input/output error"),
    "dead": (dead, DeadWorkerError, "has died"),
    "interrupted": (interrupting, KeyboardInterrupt, None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_process_leaves_the_tree_as_it_was(tmp_path: Path, fault: str) -> None:
    act, error, message = FAULTS[fault]
    world, before = grown(tmp_path), children()
    tree = snapshot(world.root)
    with pytest.raises(error, match=message):
        made(world, SHARED, Failing(act))
    assert snapshot(world.root) == tree
    assert children() == before
    # And the next run does it.
    made(world, SHARED)
    assert not world.plan().changes
    assert not world.verify().findings


def test_a_fault_after_which_all_goes_on_is_no_fault(tmp_path: Path) -> None:
    """The control: the same processes write the same files, and the tree is another one."""
    world = grown(tmp_path)
    tree, failing = snapshot(world.root), Failing(lambda: None)
    made(world, SHARED, failing)
    assert snapshot(world.root) != tree


def test_without_the_undoing_the_fault_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken control: what a process has staged before another one failed stays where it is."""
    world = grown(tmp_path)
    tree = snapshot(world.root)
    monkeypatch.setattr("pkigen.store.journal.discard", lambda _anchor: None)
    with pytest.raises(StoreError):
        made(world, SHARED, Failing(full))
    left = snapshot(world.root).keys() - tree.keys()
    assert len(left) > 20
    assert all(path.startswith(".pkigen/staging/") for path in left)


def grown(tmp_path: Path) -> World:
    """A finished tree of one node, and a spec that wants more."""
    root = tmp_path / "prod"
    World(root=root, cluster=spec(CP1, encryption={}, **ENDPOINT)).apply()
    return world_at(root)


# -- what crosses the pipe ----------------------------------------------------------------------------


def test_no_key_crosses_the_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crossed: list[bytes] = []
    answer = Worker.answer

    def heard(worker: Worker) -> bytes:
        crossed.append(answer(worker))
        return crossed[-1]

    monkeypatch.setattr(Worker, "answer", heard)
    world = world_at(tmp_path / "prod")
    made(world, SHARED)
    everything = b"".join(crossed)
    found = [data for _, data in snapshot(world.root).values() if b"PRIVATE KEY" in data]
    embedded = re.compile(rb"client-key-data: (\S+)")
    keys = {line for data in found for line in data.split(b"-----")[2].split()}
    keys |= {match[1] for _, data in snapshot(world.root).values() for match in embedded.finditer(data)}
    keys |= {world.read(path).strip() for path in (encryption_key_path(Slot.CURRENT), BUNDLE_KEY_PATH)}
    assert len(keys) > 60
    assert not [each for each in keys if each in everything]
    # The control: that files were staged does.
    assert b"nodes/worker-3/var/lib/kubelet/config.yaml" in everything
