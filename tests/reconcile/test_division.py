"""A survey that several processes share: who streams from it gets the same, whatever happens to them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.crew import DeadWorkerError, Hands
from pkigen.desired.generations import BUNDLE_KEY_PATH, Slot, encryption_key_path
from pkigen.desired.trust_graph import Health
from pkigen.reconcile.apply import StagedTreeError, apply_plan
from pkigen.reconcile.division import divided, summaries
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.verify import verify
from pkigen.state.authority import look_at_all
from pkigen.state.lockfile import read_lock
from pkigen.state.views import HashedView
from pkigen.store import OsFileSystem, RefusedError, Store, UnreadableError
from pkigen.worker import Worker
from tests.samples import CP1, NOW, World, node, snapshot, spec
from tests.test_crew import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.reconcile.observations import Verified
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.progress import Progress
    from pkigen.state.observed import Reader
    from pkigen.store import FileContent
    from pkigen.store.filesystem import FileSystem

ALONE = Hands(most=1)
SHARED = Hands(most=3, least_objects=1, chunk=5)
"""Many parts, so that each process has some of the authority's readers, too."""


DISTURBED = "nodes/worker-3/var/lib/kubelet/config.yaml"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> World:
    """In the place of the room's own: `world` is a copy of it."""
    workers = (node(f"worker-{number}", f"10.0.1.{number}") for number in range(6))
    cluster = spec(CP1, *workers, encryption={}, users=[{"name": f"user-{number}"} for number in range(4)])
    world = World(root=tmp_path_factory.mktemp("divided") / "prod", cluster=cluster)
    world.apply()
    return world


def untouched(_: Path) -> None:
    """As it was made."""


def edited(root: Path) -> None:
    """What is put right without a new key."""
    path = root / DISTURBED
    path.write_text(path.read_text() + "# edited\n")
    (root / "nodes/worker-4/etc/kubernetes/kubelet.conf").chmod(0o644)
    (root / "pki/sa.pub").unlink()


def damaged(root: Path) -> None:
    edited(root)
    (root / "nodes/worker-1/etc/kubernetes/kubelet.conf").unlink()


def distrusting(root: Path) -> None:
    """A node that trusts somebody else: connections break."""
    ours = root / "nodes/worker-2/etc/kubernetes/pki/ca.crt"
    ours.write_bytes((root / "pki/etcd/ca.crt").read_bytes())


def planned(world: World, hands: Hands, *, days: int = 0, filesystem: FileSystem | None = None) -> Plan:
    with Store.open_reading(world.root, filesystem=filesystem) as store:
        lock = read_lock(store)
        assert lock is not None
        now = NOW + timedelta(days=days)
        return make_plan(world.inventory, store, world.renderer, now=now, owned=lock.paths, hands=hands)


def verified(world: World, hands: Hands, *, days: int = 0, filesystem: FileSystem | None = None) -> Verified:
    with Store.open_reading(world.root, filesystem=filesystem) as store:
        return verify(world.inventory, store, world.renderer, now=NOW + timedelta(days=days), hands=hands)


# -- the same -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [untouched, damaged, distrusting])
@pytest.mark.parametrize("days", [1, 350, 4000])
def test_one_process_and_several_find_the_same(
    world: World, change: Callable[[Path], None], days: int
) -> None:
    """With the digests of all that was read: a plan that is saved by one is carried out by the other."""
    change(world.root)
    assert planned(world, SHARED, days=days % 4000) == planned(world, ALONE, days=days % 4000)
    found = verified(world, SHARED, days=days)
    assert found == verified(world, ALONE, days=days)
    assert bool(found.findings) == (change is not untouched or days > 1)
    broken = [each for each in found.graph.connections if each.health is Health.BROKEN]
    assert bool(broken) == (change is not untouched or days > 1)


def test_the_tree_is_the_same_to_the_byte(world: World) -> None:
    """With its lock file and its ledger, of a change that makes no key and no number."""
    other = World(root=world.root.with_name("other"), cluster=world.cluster)
    shutil.copytree(world.root, other.root)
    before = snapshot(world.root)
    for each, hands in ((world, SHARED), (other, ALONE)):
        edited(each.root)
        carried_out(each, hands)
        assert not planned(each, hands).changes
    assert snapshot(world.root) == snapshot(other.root) != before


def carried_out(world: World, hands: Hands) -> None:
    with world.writing() as store:
        lock = read_lock(store)
        assert lock is not None
        plan = make_plan(world.inventory, store, world.renderer, now=NOW, owned=lock.paths, hands=hands)
        apply_plan(plan, world.inventory, store, replace(world.tools(), hands=hands))


def test_the_staged_tree_is_refused_by_several_processes_too(world: World) -> None:
    """And none of them is left behind."""
    before = children()
    kubelet = world.path(DISTURBED)
    kubelet.write_text("something else\n")
    tree = snapshot(world.root)
    with world.writing() as store:
        plan = make_plan(world.inventory, store, world.renderer, now=NOW, owned=frozenset())
        left = replace(
            plan, actions=tuple(each for each in plan.actions if not each.id.endswith("config.yaml"))
        )
        with pytest.raises(StagedTreeError, match=r"worker-3/var/lib/kubelet/config\.yaml"):
            apply_plan(left, world.inventory, store, replace(world.tools(), hands=SHARED))
    assert snapshot(world.root) == tree
    assert children() == before


# -- how it is divided --------------------------------------------------------------------------------


def test_a_node_is_never_in_two_parts(world: World) -> None:
    with Store.open_reading(world.root) as store:
        items = survey_of(world, store).items
    for size in (1, 5, 50, len(items), 10_000):
        parts = divided(items, size)
        assert [item for part in parts for item in part] == items
        assert all(len(part) >= size for part in parts[:-1])
        ends = pairwise(parts)
        assert all(node_of(one[-1]) is None or node_of(one[-1]) != node_of(two[0]) for one, two in ends)
    assert len(divided(items, 10_000)) == 1
    assert len(divided(items, 1)) > len(world.cluster.spec.nodes)


def node_of(item: object) -> str | None:
    return getattr(item, "node", None)


def test_few_objects_are_looked_at_in_this_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forks"))
    few = replace(SHARED, least_objects=10_000)
    assert not planned(world, few).changes
    assert not verified(world, few).findings
    assert not planned(world, Hands()).changes


def test_many_are_looked_at_in_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with as many objects, several processes are made."""
    made: list[int] = []
    fork = os.fork

    def counted() -> int:
        made.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", counted)
    planned(world, SHARED)
    assert len(made) == SHARED.most


# -- what fails ---------------------------------------------------------------------------------------


class Disturbed:
    """Reads a directory, and does something when one path is read."""

    def __init__(self, beneath: Store, path: str, act: Callable[[], object]) -> None:
        self._beneath = beneath
        self._path = path
        self._act = act

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        if path == self._path:
            self._act()
        return self._beneath.read(path, limit=limit)


@dataclass
class Counting:
    """Counts steps, and the processes that there were when the first could have been shown."""

    steps: int = 0
    processes: int | None = None

    @contextmanager
    def over(self, _what: str, _total: int) -> Iterator[Callable[[], None]]:
        self.processes = len(children())
        yield self._step

    def _step(self) -> None:
        self.steps += 1


def survey_of(world: World, reader: Reader, progress: Progress = SILENCE) -> Survey:
    authorities, _ = look_at_all(reader, world.inventory, now=NOW)
    return Survey(
        inventory=world.inventory,
        reader=HashedView(reader),
        renderer=world.renderer,
        authorities=authorities,
        now=NOW,
        progress=progress,
    )


def refuse() -> None:
    raise RefusedError(f"cannot read {DISTURBED}: input/output error", hint="check the disk")


def obstruct() -> None:
    raise UnreadableError("it is a directory", reason="is a directory", hint="move it away")


def ended(world: World, act: Callable[[], object], hands: Hands) -> tuple[list[str], Exception | None, int]:
    """The objects until something is raised, what that is, and how many steps were shown."""
    found: list[str] = []
    before, counting = children(), Counting()
    error: Exception | None = None
    with Store.open_reading(world.root) as store:
        survey = survey_of(world, Disturbed(store, DISTURBED, act), counting)
        try:
            found.extend(each.item.id for each in summaries(survey, hands=hands))
        except Exception as problem:  # noqa: BLE001 -- it is compared
            error = problem
        left = children()
    assert left == before
    assert counting.processes == len(before) + (hands.most or 0 if hands is SHARED else 0)
    return found, error, counting.steps


def test_an_error_comes_where_one_process_meets_it(world: World) -> None:
    alone, shared = (ended(world, refuse, hands) for hands in (ALONE, SHARED))
    assert shared[0] == alone[0]
    assert 0 < len(alone[0]) < len(world.inventory.items) / 2 + 20
    assert shared[2] == alone[2] == len(alone[0])
    for _, error, _ in (alone, shared):
        assert type(error) is RefusedError
        assert error.message == f"cannot read {DISTURBED}: input/output error"
        assert error.hint == "check the disk"


def test_what_is_found_about_one_file_is_no_error(world: World) -> None:
    """The control: an obstacle is a finding, and the survey goes on."""
    found, error, steps = ended(world, obstruct, SHARED)
    assert error is None
    assert steps == len(found) > 60


def test_a_fault_of_the_program_says_where_it_was(world: World) -> None:
    _, error, _ = ended(world, [].pop, SHARED)
    assert type(error) is IndexError
    assert "test_division.py" in "".join(error.__notes__)


def test_an_error_that_does_not_travel_is_told_of(world: World) -> None:
    class Local(Exception):  # noqa: N818 -- no other process knows it by its name
        pass

    def fail() -> None:
        raise Local("of this function alone")

    _, error, _ = ended(world, fail, SHARED)
    assert type(error) is RuntimeError
    assert "of this function alone" in str(error)


def test_a_process_that_dies_is_an_error(world: World) -> None:
    _, error, _ = ended(world, lambda: os.kill(os.getpid(), signal.SIGKILL), SHARED)
    assert isinstance(error, DeadWorkerError)


class Unreadable(OsFileSystem):
    """Does not let one node's configuration be read."""

    def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
        fd = super().open(name, flags, mode, dir_fd)
        if name == "config.yaml" and "worker-3" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            super().close(fd)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return fd


@pytest.mark.parametrize("hands", [ALONE, SHARED])
@pytest.mark.parametrize("ask", [planned, verified])
def test_what_cannot_be_read_is_refused(world: World, ask: Callable[..., object], hands: Hands) -> None:
    ask(world, hands)
    with pytest.raises(RefusedError, match=r"worker-3/var/lib/kubelet/config\.yaml: permission denied"):
        ask(world, hands, filesystem=Unreadable())


# -- what crosses the pipe ----------------------------------------------------------------------------


def test_no_private_byte_crosses_the_pipe(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of what is right, and not of what is not."""
    damaged(world.root)
    crossed: list[bytes] = []
    answer = Worker.answer

    def heard(worker: Worker) -> bytes:
        crossed.append(answer(worker))
        return crossed[-1]

    monkeypatch.setattr(Worker, "answer", heard)
    planned(world, SHARED)
    verified(world, SHARED)
    everything = b"".join(crossed)
    files = {path: path.read_bytes() for path in world.root.rglob("*") if path.is_file()}
    private = [data for data in files.values() if b"PRIVATE KEY" in data]
    kubeconfigs = [data for data in files.values() if b"client-key-data" in data]
    assert len(private) > 5
    assert len(kubeconfigs) > 5
    public = public_text(world.root)
    secrets = {
        line
        for data in (*private, *kubeconfigs)
        for line in re.findall(rb"[A-Za-z0-9+/=]{40,}", data)
        if line not in public
    }
    secrets.update(world.read(path).strip() for path in (encryption_key_path(Slot.CURRENT), BUNDLE_KEY_PATH))
    assert len(secrets) > 30
    assert not [each for each in secrets if each in everything]
    # The control: what is public does cross it.
    assert str(DISTURBED).encode() in everything
    assert b"sha256:" in everything


def public_text(root: Path) -> bytes:
    """What stands in public files, and so may stand in private ones, too."""
    found = [path.read_bytes() for path in sorted(root.rglob("*")) if path.suffix in {".crt", ".pub"}]
    embedded = re.compile(rb"(?:certificate-authority|client-certificate)-data: (\S+)")
    kubeconfigs = (path.read_bytes() for path in sorted(root.rglob("*.conf")))
    return b"\n".join((*found, *(data for each in kubeconfigs for data in embedded.findall(each))))
