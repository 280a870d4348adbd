from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import Outcome, Recovery, Store
from tests.store.faults import CountingFileSystem, CrashingFileSystem, FailingFileSystem, SimulatedCrashError
from tests.store.sample_tree import CA_KEY, CP3_KEY, LATER, LOCK, NOW, make_second, photograph

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.sample_tree import Trees


def crash_before(root: Path, operation: str, name: str) -> None:
    """Die in the second change just before an operation on a name."""

    class Dying(CrashingFileSystem):
        def _do(self, done: str, *arguments: object) -> object:
            if done == operation and name in arguments:
                self.at = self.count
            return super()._do(done, *arguments)

    with pytest.raises(SimulatedCrashError):
        make_second(root, Dying(10**9))


@pytest.fixture
def decided(tree: Path) -> Path:
    """A tree with a commit record, before the first rename."""
    crash_before(tree, "rename", "backup")
    assert (tree / ".pkigen/journal").exists()
    return tree


@pytest.fixture
def undecided(tree: Path) -> Path:
    """A tree with everything staged, before the commit record."""
    crash_before(tree, "rename", "journal")
    assert not (tree / ".pkigen/journal").exists()
    return tree


def test_a_decided_change_is_finished(decided: Path, trees: Trees) -> None:
    with Store.open(decided, command="apply", now=LATER) as store:
        assert store.recovered == Recovery(outcome=Outcome.FINISHED, command="apply", started=LATER, paths=7)
        assert str(store.recovered) == (
            "an interrupted `pkigen apply` of 2026-11-23 01:40:00 UTC was finished: 7 files changed"
        )
    assert (decided / CA_KEY).read_bytes() == trees.new[CA_KEY][1]
    with Store.open(decided, command="apply", now=LATER) as store:
        assert store.recovered is None


def test_an_undecided_change_is_undone(undecided: Path) -> None:
    with Store.open(undecided, command="apply", now=LATER) as store:
        assert store.recovered is not None
        assert store.recovered.outcome is Outcome.DISCARDED
        assert str(store.recovered) == (
            "an interrupted `pkigen apply` of 2026-11-23 01:40:00 UTC was undone: "
            "6 files prepared, none changed"
        )
    assert not (undecided / "nodes/cp-2").exists()
    assert not (undecided / "pki/etcd").exists()
    assert (undecided / CP3_KEY).exists()


def test_a_reader_finishes_a_decided_change(decided: Path) -> None:
    with Store.open_reading(decided) as store:
        assert store.recovered is not None
        assert store.recovered.outcome is Outcome.FINISHED
        assert store.read(CA_KEY).data == b"new ca key"
        with Store.open_reading(decided) as another:  # the lock is shared again
            assert another.recovered is None


def test_a_reader_that_cannot_lock_says_why(decided: Path) -> None:
    failing = FailingFileSystem(2, errno.EIO, only=frozenset({"flock"}))
    with pytest.raises(StoreError, match=r"cannot open .*: input/output error"):
        Store.open_reading(decided, filesystem=failing)
    with Store.open_reading(decided) as store:
        assert store.recovered is not None


def test_a_reader_finishes_nothing_in_a_store_that_others_may_write(decided: Path) -> None:
    (decided / ".pkigen").chmod(0o770)
    with pytest.raises(UnsafePathError, match="writable by other users"):
        Store.open_reading(decided)


def test_a_reader_leaves_an_undecided_change_alone(undecided: Path) -> None:
    before = photograph(undecided, private=True)
    with Store.open_reading(undecided) as store:
        assert store.recovered is None
        assert store.read(CA_KEY).data == b"old ca key"
        assert CP3_KEY in store.walk()
    assert photograph(undecided, private=True) == before


def test_staging_of_an_unknown_run_is_undone(tree: Path) -> None:
    staging = tree / ".pkigen/staging"
    staging.mkdir(mode=0o700)
    (staging / "begun").write_text('{"command": 5}')
    (staging / "directories").write_text('"nodes/new')
    (staging / "00000001").write_bytes(b"secret")
    (staging / "deep/er").mkdir(parents=True)
    with Store.open(tree, command="apply", now=LATER) as store:
        assert str(store.recovered) == "an interrupted pkigen was undone: 1 file prepared, none changed"
    assert not staging.exists()


def test_a_list_of_directories_that_leaves_the_tree_removes_nothing(tree: Path) -> None:
    staging = tree / ".pkigen/staging"
    staging.mkdir(mode=0o700)
    (tree.parent / "empty").mkdir()
    (staging / "directories").write_text('"../empty"\n')
    with Store.open(tree, command="apply", now=LATER) as store:
        assert store.recovered is not None
    assert (tree.parent / "empty").exists()


def test_a_directory_in_use_since_then_stays(undecided: Path) -> None:
    (undecided / "nodes/cp-2/mine").write_text("mine")
    with Store.open(undecided, command="apply", now=LATER):
        pass
    assert [path.name for path in (undecided / "nodes/cp-2").iterdir()] == ["mine"]


def refused(root: Path, message: str) -> None:
    before = photograph(root, private=True)
    for _ in range(2):
        with pytest.raises(StoreError, match=message) as caught:
            Store.open(root, command="apply", now=LATER)
        assert caught.value.hint
    after = photograph(root, private=True)
    assert after.pop(".pkigen/lock")
    before.pop(".pkigen/lock")
    assert after == before


def staged_file(root: Path, content: bytes) -> Path:
    return next(
        path
        for path in (root / ".pkigen/staging").iterdir()
        if path.is_file() and path.read_bytes() == content
    )


def test_a_damaged_staged_file_is_not_put_in_place(decided: Path) -> None:
    staged_file(decided, b"new ca key").write_bytes(b"NEW ca key")
    refused(decided, "the staged pki/ca.key is damaged")


def test_a_staged_file_of_another_mode_is_not_put_in_place(decided: Path) -> None:
    staged_file(decided, b"new ca key").chmod(0o644)
    refused(decided, "the staged pki/ca.key is damaged")


def test_a_staged_link_is_not_put_in_place(decided: Path) -> None:
    staged = staged_file(decided, b"new ca key")
    (decided.parent / "elsewhere").write_bytes(b"new ca key")
    staged.unlink()
    staged.symlink_to(decided.parent / "elsewhere")
    refused(decided, "staging/.* is a symbolic link")


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def one_of(root: Path, which: str) -> Path:
    return {
        "the record": root / ".pkigen/journal",
        "what is staged": staged_file(root, b"new ca key") if which == "what is staged" else root,
        "the staging directory": root / ".pkigen/staging",
        "the store's own": root / ".pkigen",
        "the directory": root,
        "where a file goes": root / "nodes/cp-2/etc",
    }[which]


PARTS = (
    "the record",
    "what is staged",
    "the staging directory",
    "the store's own",
    "the directory",
    "where a file goes",
)


@AS_ROOT
@pytest.mark.parametrize("which", PARTS)
def test_a_change_that_another_user_prepared_is_not_finished(decided: Path, which: str) -> None:
    """As in a tree that came with `cp -a` or `tar`: its journal says what root would write."""
    os.chown(one_of(decided, which), 4711, 4711)
    refused(decided, r"belongs to another user \(uid 4711\)")
    before = photograph(decided, private=True)
    with pytest.raises(StoreError, match=r"belongs to another user \(uid 4711\)") as caught:
        Store.open_reading(decided)
    assert caught.value.hint
    before.pop(".pkigen/lock")
    after = photograph(decided, private=True)
    after.pop(".pkigen/lock")
    assert after == before


@AS_ROOT
@pytest.mark.parametrize("name", ["begun", "directories"])
def test_a_change_that_another_user_began_is_not_undone(undecided: Path, name: str) -> None:
    os.chown(undecided / ".pkigen/staging" / name, 4711, 4711)
    refused(undecided, r"belongs to another user \(uid 4711\), and is part of an unfinished change")


@pytest.mark.parametrize("which", PARTS)
def test_a_change_that_others_can_still_alter_is_not_finished(decided: Path, which: str) -> None:
    if which == "what is staged":  # its mode is the target's, and nobody else comes to it
        return
    path = one_of(decided, which)
    path.chmod(path.stat().st_mode | 0o022)
    refused(decided, "is writable by other users")


def test_a_staged_file_with_a_second_name_is_not_put_in_place(decided: Path) -> None:
    """Whoever has the other name would read the key, and write it."""
    (decided.parent / "kept").hardlink_to(staged_file(decided, b"new ca key"))
    refused(decided, r"has 2 names \(hard links\), and is part of an unfinished change")
    (decided.parent / "kept").unlink()
    with Store.open(decided, command="apply", now=LATER) as store:
        assert store.recovered is not None


@AS_ROOT
def test_the_way_out_of_a_change_that_is_not_ours(decided: Path) -> None:
    os.chown(decided / ".pkigen/journal", 4711, 4711)
    with pytest.raises(UnsafePathError) as caught:
        Store.open(decided, command="apply", now=LATER)
    assert "remove `journal` and `staging` from .pkigen" in caught.value.hint
    (decided / ".pkigen/journal").unlink()
    shutil.rmtree(decided / ".pkigen/staging")
    with Store.open(decided, command="apply", now=LATER) as store:
        assert (store.recovered, store.read(CA_KEY).data) == (None, b"old ca key")


def test_a_lost_staged_file_is_missed(decided: Path) -> None:
    staged_file(decided, b"new ca key").unlink()
    refused(decided, "the new pki/ca.key is neither staged nor in place")


def test_a_lost_staged_file_of_a_new_directory_is_missed(decided: Path) -> None:
    staged_file(decided, b"new cp-2 key").unlink()
    refused(decided, "the new nodes/cp-2/.* is neither staged nor in place")
    for folder in ("pki", "kubernetes", "etc"):
        next((decided / "nodes/cp-2").rglob(folder)).rmdir()
    refused(decided, "the new nodes/cp-2/.* is gone")


def test_a_lost_backup_is_missed(decided: Path) -> None:
    (decided / ".pkigen/staging/backup").rename(decided.parent / "stolen")
    refused(decided, "its backup 20261123T014000Z is gone")
    (decided / ".pkigen/backups").rmdir()
    refused(decided, "its backup 20261123T014000Z is gone")


def test_lost_directories_are_made_again(decided: Path) -> None:
    (decided / "pki/etcd").rmdir()
    with Store.open(decided, command="apply", now=LATER) as store:
        assert store.recovered is not None
    assert stat.S_IMODE((decided / "pki/etcd").stat().st_mode) == 0o755
    assert (decided / "pki/etcd/ca.key").read_bytes() == b"new etcd key"


def test_a_target_that_became_a_link_is_not_replaced(decided: Path) -> None:
    (decided / LOCK).unlink()
    (decided / LOCK).symlink_to("/etc/passwd")
    with pytest.raises(UnsafePathError, match=r"pki\.lock is a symbolic link"):
        Store.open(decided, command="apply", now=LATER)
    (decided / LOCK).unlink()
    with Store.open(decided, command="apply", now=LATER) as store:
        assert store.read(LOCK).data == b"new lock"


def journal_lines(root: Path) -> list[bytes]:
    return (root / ".pkigen/journal").read_bytes().splitlines(keepends=True)


def rewrite(root: Path, lines: list[bytes]) -> None:
    """Write a record whose digest is right, as one who forges it would."""
    body = b"".join(lines)
    end = json.dumps({"paths": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}).encode()
    (root / ".pkigen/journal").write_bytes(body + end + b"\n")


@pytest.mark.parametrize(
    "forged",
    [
        {"path": "../outside", "remove": True},
        {"path": "/etc/passwd", "remove": True},
        {"path": ".pkigen/lock", "remove": True},
        {"path": "pki/x", "mode": "0600", "sha256": "", "size": 0, "staged": "../../outside"},
        {"path": "pki/x", "mode": "0600", "sha256": "", "size": 0, "staged": 5},
        {"path": 7},
        {},
        [],
    ],
)
def test_a_forged_record_cannot_leave_the_tree(decided: Path, forged: object) -> None:
    lines = journal_lines(decided)
    rewrite(decided, [lines[0], json.dumps(forged).encode() + b"\n"])
    refused(decided, "journal is damaged")


@pytest.mark.parametrize("head", [{"backup": "../../pki"}, {"started": "never"}, {"started": 5}])
def test_a_forged_head_is_refused(decided: Path, head: dict[str, object]) -> None:
    lines = journal_lines(decided)
    rewrite(decided, [json.dumps({**json.loads(lines[0]), **head}).encode() + b"\n", *lines[1:-1]])
    refused(decided, "journal is damaged")


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}\n", b"[]\n[]\n", b"\xff\n\xfe\n"])
def test_a_damaged_record_is_refused(decided: Path, damage: bytes) -> None:
    (decided / ".pkigen/journal").write_bytes(damage)
    refused(decided, "journal is damaged")


def test_a_truncated_record_is_refused(decided: Path) -> None:
    lines = journal_lines(decided)
    (decided / ".pkigen/journal").write_bytes(b"".join(lines[:2] + lines[3:]))
    refused(decided, "journal is damaged")


def test_the_record_of_another_version_is_refused(decided: Path) -> None:
    lines = journal_lines(decided)
    rewrite(decided, [json.dumps({**json.loads(lines[0]), "pkigen": 2}).encode() + b"\n", *lines[1:-1]])
    refused(decided, "another version of pkigen")


def test_recovery_of_a_change_without_time() -> None:
    recovery = Recovery(outcome=Outcome.DISCARDED, command="", started=None, paths=2)
    assert str(recovery) == "an interrupted pkigen was undone: 2 files prepared, none changed"


def test_recovery_comes_before_anything_that_needs_space(undecided: Path) -> None:
    recording = CountingFileSystem()
    with Store.open(undecided, command="apply", now=NOW, filesystem=recording):
        pass
    assert recording.operations.index("write") > max(
        index for index, name in enumerate(recording.operations) if name == "unlink"
    )
