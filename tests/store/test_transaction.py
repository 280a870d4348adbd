from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import BackupAction, MissingError, Outcome, Store
from tests.store.faults import (
    NEVER,
    CountingFileSystem,
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    StutteringFileSystem,
)
from tests.store.sample_tree import (
    CA_KEY,
    CP1_KEY,
    CP1_MANIFEST,
    CP2_KEY,
    CP3_KEY,
    LATER,
    LEDGER,
    LOCK,
    NOW,
    USER,
    make_first,
    make_second,
    photograph,
)

if TYPE_CHECKING:
    from tests.store.faults import CountingFileSystem as Recording


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def commit_one(root: Path, path: str, content: bytes, *, keep: int | None = None) -> str | None:
    with Store.open(root, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage(path, mode=0o600, content=content)
        return change.commit(keep_backups=keep)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o177])
def test_modes_do_not_depend_on_the_umask(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Store.open(root, command="init", now=NOW) as store, store.transaction() as change:
            change.stage(CA_KEY, mode=0o600, content=b"key")
            change.stage("pki/ca.crt", mode=0o644, content=b"crt")
            change.stage("pki/etcd/ca.crt", mode=0o644, content=b"crt")
            change.stage(CP1_MANIFEST, mode=0o600, content=b"manifest")
            change.stage(CP1_KEY, mode=0o400, content=b"key")
            change.stage(USER, mode=0o600, content=b"user")
            change.stage(LEDGER, mode=0o600, content=b"1", backup=False)
            change.commit()
    finally:
        os.umask(before)
    found = {path: entry[0] for path, entry in photograph(root, private=True).items()}
    assert mode(root) == 0o755
    assert found == {
        ".pkigen": 0o700,
        ".pkigen/lock": 0o600,
        LEDGER: 0o600,
        "pki": 0o700,
        CA_KEY: 0o600,
        "pki/ca.crt": 0o644,
        "pki/etcd": 0o755,
        "pki/etcd/ca.crt": 0o644,
        "nodes": 0o755,
        "nodes/cp-1": 0o755,
        "nodes/cp-1/etc": 0o755,
        "nodes/cp-1/etc/kubernetes": 0o755,
        "nodes/cp-1/etc/kubernetes/manifests": 0o700,
        CP1_MANIFEST: 0o600,
        "nodes/cp-1/etc/kubernetes/pki": 0o755,
        CP1_KEY: 0o400,
        "users": 0o700,
        USER: 0o600,
    }


def test_leaving_without_commit_changes_nothing(tree: Path) -> None:
    before = photograph(tree, private=True)
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage(CP2_KEY, mode=0o600, content=b"new")
        change.stage(CA_KEY, mode=0o600, content=b"new")
        change.remove(CP3_KEY)
        assert change.staged_paths == (CP2_KEY, CA_KEY)
    assert photograph(tree, private=True) == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interruption_undoes_the_change(root: Path, interruption: type[BaseException]) -> None:
    with (  # noqa: PT012 - the change must be left by the error
        pytest.raises(interruption),
        Store.open(root, command="init", now=NOW) as store,
        store.transaction() as change,
    ):
        change.stage(CA_KEY, mode=0o600, content=b"new")
        raise interruption
    assert not root.exists()


def test_an_empty_root_that_was_there_stays(root: Path) -> None:
    root.mkdir(mode=0o750)
    with Store.open(root, command="init", now=NOW) as store, store.transaction() as change:
        change.stage(CA_KEY, mode=0o600, content=b"new")
    assert list(root.iterdir()) == []
    assert mode(root) == 0o750


def test_the_root_of_an_interrupted_first_run_goes_when_the_second_is_given_up(root: Path) -> None:
    counting = CountingFileSystem()
    make_first(root, counting)
    shutil.rmtree(root)
    with pytest.raises(SimulatedCrashError):
        make_first(root, CrashingFileSystem(counting.operations.index("write") + 20))
    with Store.open(root, command="init", now=NOW) as store:
        assert store.recovered is not None
        assert store.recovered.outcome is Outcome.DISCARDED
    assert not root.exists()


def test_nothing_to_commit(tree: Path) -> None:
    before = photograph(tree, private=True)
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        assert change.commit() is None
        with pytest.raises(StoreError, match="is over"):
            change.commit()
        with pytest.raises(StoreError, match="is over"):
            change.stage(CA_KEY, mode=0o600, content=b"x")
    assert photograph(tree, private=True) == before


def test_staged_files_can_be_read_back(tree: Path) -> None:
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage(CA_KEY, mode=0o600, content=b"secret")
        staged = change.staged(CA_KEY)
        assert (staged.data, staged.mode, staged.size) == (b"secret", 0o600, 6)
        assert "secret" not in repr(staged)
        assert store.read(CA_KEY).data == b"old ca key"
        with pytest.raises(MissingError, match="is not staged"):
            change.staged(LOCK)
        with pytest.raises(UnsafePathError, match="larger than 3 bytes"):
            change.staged(CA_KEY, limit=3)


def test_two_changes_in_one_run(tree: Path) -> None:
    with Store.open(tree, command="apply", now=LATER) as store:
        with store.transaction() as change:
            change.stage(CA_KEY, mode=0o600, content=b"2")
            assert change.commit() == "20261123T014000Z"
        assert store.read(CA_KEY).data == b"2"
        abandoned = store.transaction()
        abandoned.stage(CA_KEY, mode=0o600, content=b"lost")
        with store.transaction() as change:
            change.stage(CA_KEY, mode=0o600, content=b"3")
            assert change.commit() == "20261123T014000Z-2"
        assert store.read(CA_KEY).data == b"3"
        assert [info.id for info in store.backups()] == ["20261123T014000Z", "20261123T014000Z-2"]
        assert store.read_backup("20261123T014000Z-2", CA_KEY).data == b"2"
        left_open = store.transaction()
        left_open.stage(CA_KEY, mode=0o600, content=b"lost")
    assert sorted(path.name for path in (tree / ".pkigen").iterdir()) == ["backups", "ledger.jsonl", "lock"]
    assert (tree / CA_KEY).read_bytes() == b"3"


def test_a_removed_node_leaves_no_empty_directories(tree: Path) -> None:
    (tree / "nodes/cp-1/mine").mkdir()
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        for path in (CP1_KEY, CP1_MANIFEST, CP3_KEY):
            change.remove(path)
        change.commit()
    left = sorted(str(path.relative_to(tree)) for path in (tree / "nodes").rglob("*"))
    assert left == ["nodes/cp-1", "nodes/cp-1/mine"]


def test_what_does_not_exist_cannot_be_removed_or_changed(tree: Path) -> None:
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        for path in ("pki/none", "none/none"):
            with pytest.raises(MissingError, match="none does not exist"):
                change.remove(path)
            with pytest.raises(MissingError, match="none does not exist"):
                change.stage_mode(path, mode=0o600)


def test_a_path_changes_only_once(tree: Path) -> None:
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage(CA_KEY, mode=0o600, content=b"1")
        with pytest.raises(UnsafePathError, match="twice"):
            change.remove(CA_KEY)
        with pytest.raises(UnsafePathError, match="mode 4755"):
            change.stage(LOCK, mode=0o4755, content=b"")


def test_a_file_is_no_directory(tree: Path) -> None:
    before = photograph(tree)
    with Store.open(tree, command="apply", now=LATER) as store:
        with store.transaction() as change:
            change.stage("addons/a", mode=0o644, content=b"")
            change.stage("addons/a-b", mode=0o644, content=b"")
            change.stage("addons/a/b", mode=0o644, content=b"")
            with pytest.raises(
                UnsafePathError, match="addons/a cannot be a file and the directory of addons/a/b"
            ):
                change.commit()
        with (
            store.transaction() as change,
            pytest.raises(UnsafePathError, match=r"ca\.key is not a directory"),
        ):
            change.stage(f"{CA_KEY}/below", mode=0o600, content=b"")
        with store.transaction() as change, pytest.raises(UnsafePathError, match="pki is a directory"):
            change.stage("pki", mode=0o600, content=b"")
    assert photograph(tree) == before


def test_something_that_appears_before_the_commit_is_refused(tree: Path) -> None:
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage(CP2_KEY, mode=0o600, content=b"")
        change.stage(LOCK, mode=0o600, content=b"")
        (tree / LOCK).unlink()
        (tree / LOCK).mkdir()
        with pytest.raises(UnsafePathError, match=r"pki\.lock is a directory"):
            change.commit()
    assert not (tree / "nodes/cp-2").exists()


def test_short_writes_and_reads_lose_nothing(root: Path) -> None:
    content = bytes(range(256)) * 3
    with Store.open(root, command="init", now=NOW, filesystem=StutteringFileSystem()) as store:
        with store.transaction() as change:
            change.stage(CA_KEY, mode=0o600, content=content)
            change.commit()
        with store.transaction() as change:
            change.stage_mode(CA_KEY, mode=0o400)
            change.commit()
        assert store.read(CA_KEY).data == content
    assert mode(root / CA_KEY) == 0o400


def test_a_system_that_writes_nothing_is_an_error(tree: Path) -> None:
    class Refusing(CountingFileSystem):
        refuses = False

        def write(self, fd: int, data: memoryview) -> int:
            return 0 if self.refuses else super().write(fd, data)

    refusing = Refusing()
    with (
        Store.open(tree, command="apply", now=LATER, filesystem=refusing) as store,
        store.transaction() as change,
    ):
        refusing.refuses = True
        with pytest.raises(StoreError, match=r"cannot write .*ca\.key: input/output error"):
            change.stage(CA_KEY, mode=0o600, content=b"x")


def test_the_old_inode_is_left_in_the_backup_alone(tree: Path) -> None:
    inode = (tree / CA_KEY).stat().st_ino
    backup = commit_one(tree, CA_KEY, b"new")
    kept = tree / ".pkigen/backups" / str(backup) / "files" / CA_KEY
    assert kept.stat().st_ino == inode
    assert kept.stat().st_nlink == 1
    assert (tree / CA_KEY).stat().st_ino != inode


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV])
def test_backup_is_a_copy_where_links_are_not_possible(tree: Path, error: int) -> None:
    unlinking = FailingFileSystem(1, error, lasting=True, only=frozenset({"link"}))
    make_second(tree, unlinking)
    assert unlinking.fired > 2
    with Store.open_reading(tree) as store:
        assert store.read_backup("20261123T014000Z", CA_KEY).data == b"old ca key"
        assert store.read_backup("20261123T014000Z", CA_KEY).mode == 0o600
    assert all(path.stat().st_nlink == 1 for path in tree.rglob("*") if path.is_file())


def test_backup_tells_what_happened_to_each_path(tree: Path) -> None:
    make_second(tree)
    with Store.open_reading(tree) as store:
        (info,) = store.backups()
    assert (info.id, info.time, info.command) == ("20261123T014000Z", LATER, "apply")
    told = {entry.path: (entry.action, entry.mode) for entry in info.entries}
    assert told == {
        CA_KEY: (BackupAction.REPLACED, 0o600),
        "pki/etcd/ca.key": (BackupAction.CREATED, 0o600),
        LOCK: (BackupAction.REPLACED, 0o644),
        CP1_MANIFEST: (BackupAction.REPLACED, 0o600),
        CP2_KEY: (BackupAction.CREATED, 0o600),
        CP3_KEY: (BackupAction.REMOVED, 0o600),
    }
    assert info.paths == tuple(told)
    assert mode(tree / ".pkigen/backups") == mode(tree / ".pkigen/backups/20261123T014000Z") == 0o700


def test_retention_keeps_the_newest_and_always_the_one_just_made(tree: Path) -> None:
    def ids() -> list[str]:
        with Store.open_reading(tree) as store:
            return [info.id for info in store.backups()]

    for number in range(12):
        commit_one(tree, CA_KEY, str(number).encode())
    assert ids()[0] == "20261123T014000Z"
    assert ids()[-1] == "20261123T014000Z-12"
    assert commit_one(tree, CA_KEY, b"a", keep=3) == "20261123T014000Z-13"
    assert ids() == [f"20261123T014000Z-{number}" for number in (11, 12, 13)]
    with (
        Store.open(tree, command="apply", now=NOW) as store,
        store.transaction() as change,
    ):  # the clock went back
        change.stage(CA_KEY, mode=0o600, content=b"b")
        assert change.commit(keep_backups=0) == "20261122T014000Z"
    assert ids() == ["20261122T014000Z"]
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage("new", mode=0o600, content=b"b")
        assert change.commit(keep_backups=0) is None
    assert ids() == []


def test_a_failure_to_remove_old_backups_is_told_and_mended(tree: Path) -> None:
    commit_one(tree, CA_KEY, b"1")
    commit_one(tree, CA_KEY, b"2")
    failing = FailingFileSystem(NEVER, errno.EIO)
    with (
        Store.open(tree, command="apply", now=LATER, filesystem=failing) as store,
        store.transaction() as change,
    ):
        change.stage(CA_KEY, mode=0o600, content=b"3")
        failing.arm(5, only=frozenset({"unlink"}))
        with pytest.raises(StoreError, match="change is made, but cannot remove old backups"):
            change.commit(keep_backups=1)
    assert (tree / CA_KEY).read_bytes() == b"3"
    assert (tree / ".pkigen/trash").exists()
    with Store.open(tree, command="apply", now=LATER) as store:
        assert store.recovered is None
        assert len(store.backups()) == 1
    assert not (tree / ".pkigen/trash").exists()


def test_damaged_and_unknown_backups(tree: Path) -> None:
    make_second(tree)
    (tree / ".pkigen/backups/note.txt").write_text("mine")
    (tree / ".pkigen/backups/other").mkdir()
    with Store.open_reading(tree) as store:
        assert len(store.backups()) == 1
        for backup_id in ("20261123T014000Z-7", "../../pki", ""):
            with pytest.raises(MissingError):
                store.read_backup(backup_id, CA_KEY)
        with pytest.raises(MissingError, match="holds no users/none"):
            store.read_backup("20261123T014000Z", "users/none")
    manifest = tree / ".pkigen/backups/20261123T014000Z/manifest.json"
    for damage in ("", "[]", '{"paths": [1]}'):
        manifest.write_text(damage)
        assert damaged(tree) == f"{manifest} is damaged"
    manifest.unlink()
    assert damaged(tree) == f"{manifest} is missing"


def damaged(root: Path) -> str:
    """Why the one backup of a directory is of no use."""
    with Store.open_reading(root) as store:
        (backup,) = store.backups()
    assert (backup.time, backup.command, backup.entries) == (None, "", ())
    return backup.damage


def test_a_root_of_only_backups_stays(root: Path) -> None:
    (root / ".pkigen/backups/20261123T014000Z").mkdir(parents=True)
    with Store.open(root, command="apply", now=LATER):
        pass
    assert (root / ".pkigen/backups/20261123T014000Z").exists()


def test_a_copied_tree_works(tree: Path, tmp_path: Path) -> None:
    make_second(tree)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    assert commit_one(copy, CA_KEY, b"in the copy")
    with Store.open_reading(copy) as store:
        assert store.recovered is None
        assert len(store.backups()) == 2
    with Store.open_reading(tree) as store:
        assert store.read(CA_KEY).data == b"new ca key"


class DurabilityFileSystem(CountingFileSystem):
    """Knows of each moment what a power failure could take: bytes of files, and names in directories."""

    def __init__(self) -> None:
        super().__init__()
        self.unsynced: set[str] = set()
        self.moments: list[tuple[str, str, frozenset[str]]] = []
        """Each rename and removal of a file, with what was not durable before it."""

    def _do(self, operation: str, *arguments: Any) -> Any:
        if operation in {"rename", "unlink"}:
            name = arguments[2] if operation == "rename" else arguments[0]
            self.moments.append((operation, name, frozenset(self.unsynced)))
        # What fails has changed nothing.
        answer = super()._do(operation, *arguments)
        match operation:
            case "fsync":
                self.unsynced.discard(place(arguments[0]))
            case "syncfs":
                self.unsynced.clear()
            case "write":
                self.unsynced.add(place(arguments[0]))
            case "open" if arguments[1] & os.O_CREAT:
                self.unsynced.add(place(arguments[3]))
            case "mkdir":
                self.unsynced.add(place(arguments[2]))
            case "rename" | "link":
                self.unsynced.add(place(arguments[3]))
            # What waits in the staging directory is of no use once nothing refers to it.
            case "unlink" if "/.pkigen" not in place(arguments[1]):
                self.unsynced.add(place(arguments[1]))
        # Who holds the lock is known while the process lives, and to nobody after it.
        self.unsynced = {each for each in self.unsynced if not each.endswith("/lock")}
        return answer


def place(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


@pytest.mark.parametrize("at_once", [512, 0])
def test_everything_is_durable_before_the_decision_and_before_the_end(
    tree: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Order of the calls: what a name will point at is on the disk before the name is."""
    monkeypatch.setattr("pkigen.store.files.SYNCED_AT_ONCE", at_once)
    watching = DurabilityFileSystem()
    make_second(tree, watching)
    moments = watching.moments
    decision = next(at for at, (_, name, _) in enumerate(moments) if name == "journal")
    assert moments[decision] == ("rename", "journal", frozenset())
    # Nothing of the tree is touched before it is decided, and the decision is durable before the first is.
    assert [each for each in moments[:decision] if each[0] == "rename"] == []
    assert moments[decision + 1][2] == frozenset()
    assert sum(each[0] == "rename" for each in moments[decision + 1 :]) > 2
    assert moments[-1] == ("unlink", "journal", frozenset())
    assert watching.operations[-1 - watching.operations[::-1].index("unlink") + 1] == "fsync"


@pytest.mark.parametrize("forgotten", ["fsync", "syncfs"])
def test_what_is_not_durable_is_seen(tree: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    """The control of the test before: a disk that is never waited for."""
    monkeypatch.setattr("pkigen.store.files.SYNCED_AT_ONCE", 512 if forgotten == "fsync" else 0)
    watching = DurabilityFileSystem()
    monkeypatch.setattr(watching, forgotten, lambda _fd: None)
    make_second(tree, watching)
    assert all(unsynced for _, name, unsynced in watching.moments if name == "journal")


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_an_interruption_after_the_decision_finishes_the_change(
    tree: Path, signal: type[BaseException]
) -> None:
    class Interrupting(CountingFileSystem):
        done = False

        def rename(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
            super().rename(name, dir_fd, new_name, new_dir_fd)
            if new_name == "ca.key" and not self.done:
                self.done = True
                raise signal

    with pytest.raises(signal):
        make_second(tree, Interrupting())
    with Store.open_reading(tree) as store:
        assert store.recovered is None
        assert store.read(LOCK).data == b"new lock"


def test_a_run_whose_change_stuck_makes_no_other(tree: Path) -> None:
    failing = FailingFileSystem(NEVER, errno.EIO)
    with Store.open(tree, command="apply", now=LATER, filesystem=failing) as store:
        with store.transaction() as change:
            change.stage(CA_KEY, mode=0o600, content=b"new")
            failing.arm(2, only=frozenset({"rename"}))
            with pytest.raises(StoreError, match="the next run will"):
                change.commit()
        with store.transaction() as change, pytest.raises(StoreError, match="is not finished"):
            change.stage(LOCK, mode=0o600, content=b"new")
    with Store.open(tree, command="apply", now=LATER) as store:
        assert store.recovered is not None
        assert store.recovered.outcome is Outcome.FINISHED


def test_a_run_whose_undoing_stuck_makes_no_other_change(tree: Path) -> None:
    failing = FailingFileSystem(NEVER, errno.EIO)
    with Store.open(tree, command="apply", now=LATER, filesystem=failing) as store:
        with (  # noqa: PT012 - leaving the change is what fails
            pytest.raises(StoreError, match="cannot undo"),
            store.transaction() as change,
        ):
            change.stage(CA_KEY, mode=0o600, content=b"new")
            failing.arm(1, only=frozenset({"unlink"}))
        with store.transaction() as change, pytest.raises(StoreError, match="is not undone"):
            change.stage(LOCK, mode=0o600, content=b"new")
    assert (tree / CA_KEY).read_bytes() == b"old ca key"


def test_many_files_cost_a_constant_number_of_operations_each(memory: Path) -> None:
    def operations(count: int) -> int:
        recording: Recording = CountingFileSystem()
        root = memory / f"many-{count}"
        with (
            Store.open(root, command="init", now=NOW, filesystem=recording) as store,
            store.transaction() as change,
        ):
            for node in range(count):
                for name in ("a.key", "b.key", "c.key"):
                    change.stage(f"nodes/w-{node}/etc/pki/{name}", mode=0o600, content=b"x")
            change.commit()
        shutil.rmtree(root)
        return recording.count

    small, large = operations(10), operations(100)
    assert large < small * 11
