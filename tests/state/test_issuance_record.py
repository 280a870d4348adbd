"""What is signed outside of a plan is on record before it leaves: both files say so, and stay true."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.keys import private_pem
from pkigen.errors import AccessError, AuthorityError
from pkigen.state.authority_identities import observe_authority
from pkigen.state.issuance_record import ledger_update, record, require_written, unconfirmed
from pkigen.state.ledger import Event, Head, LedgerEntry, appended, head_of, problems, recorded_entry
from pkigen.state.lockfile import head, lock_digest
from pkigen.store import BackupAction, Store
from tests.rotation.phases import Photograph
from tests.samples import NOW, Unsynced, snapshot
from tests.state.test_lockfile import LEAST, as_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Opening = Callable[[dict[str, bytes]], Store]

LEDGER, LOCK = ".pkigen/ledger.jsonl", "pki.lock"
SIGNED = LedgerEntry(event=Event.SIGNED, id="request:ann", reason=None, facts={"serial": "7f"})
MADE = LedgerEntry(event=Event.KEY_MADE, id="sa", reason=None, facts={})
KEY = private_pem(ec.generate_private_key(ec.SECP256R1()))


def consistent(*entries: LedgerEntry, **lock: Any) -> dict[str, bytes]:
    """A ledger, and the lock file that knows where it ends."""
    ledger, end = appended(b"", entries, now=NOW)
    return {LEDGER: ledger, LOCK: as_file({"ledger": head(end), **LEAST, **lock})}


def recorded(*more: LedgerEntry) -> dict[str, bytes]:
    """The same, and the ledger knows the lock file."""
    digest = lock_digest(as_file(LEAST))
    return consistent(MADE, recorded_entry(digest, {}), *more)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opening]:
    """What opens a directory with some files in it, for as long as a test lasts."""
    with Store.open(tmp_path / "tree", command="test", now=NOW, filesystem=Unsynced()) as store:

        def made(files: dict[str, bytes]) -> Store:
            with store.transaction() as transaction:
                for path, data in files.items():
                    transaction.stage(path, mode=0o600, content=data)
                transaction.commit()
            return store

        yield made


@pytest.fixture
def store(opened: Opening) -> Store:
    """A directory with both files and nothing else."""
    return opened(consistent(MADE))


def events(ledger: bytes) -> list[str]:
    return [json.loads(line)["event"] for line in ledger.splitlines()]


# -- a line more ----------------------------------------------------------------------------------------


def test_both_files_go_on_together(store: Store) -> None:
    update = ledger_update(store, SIGNED, now=NOW)
    assert update is not None
    assert update.ledger == appended(store.read(LEDGER).data, [SIGNED], now=NOW)[0]
    known = json.loads(update.lock)
    assert known == {**json.loads(store.read(LOCK).data), "ledger": head(head_of(update.ledger))}
    # Neither is shown: a ledger says who has what.
    assert "ann" not in repr(update)
    assert repr(update) == "LedgerUpdate()"


def test_a_ledger_that_is_not_the_known_one_says_so_before_the_new_line(opened: Opening) -> None:
    files = consistent(MADE, MADE)
    store = opened({**files, LEDGER: consistent(MADE)[LEDGER]})
    update = ledger_update(store, SIGNED, now=NOW)
    assert update is not None
    assert events(update.ledger) == ["key-made", "mismatch", "signed"]
    assert list(problems(update.ledger, head=Head(**_end(update.lock)))) == []


def _end(lock: bytes) -> dict[str, Any]:
    known = json.loads(lock)["ledger"]
    return {"entries": known["entries"], "hash": known["head"]}


def test_keys_that_change_are_recorded_in_both(store: Store) -> None:
    keys = {"pki/sa.key": "sha256:1"}
    update = ledger_update(store, SIGNED, now=NOW, authority=keys)
    assert update is not None
    assert json.loads(update.lock)["authority"] == keys
    *_, last = map(json.loads, update.ledger.splitlines())
    assert events(update.ledger) == ["key-made", "signed", "recorded"]
    assert (last["lock"], last["authority"]) == (lock_digest(update.lock), ["pki/sa.key=sha256:1"])
    assert list(problems(update.ledger, head=Head(**_end(update.lock)))) == []


@pytest.mark.parametrize("lock", [{}, {LOCK: b"nothing"}])
def test_without_a_lock_file_nothing_is_kept_true(opened: Opening, lock: dict[str, bytes]) -> None:
    store = opened(lock)
    assert ledger_update(store, SIGNED, now=NOW) is None
    with pytest.raises(AccessError, match=r"no readable pki\.lock, so nothing can be recorded") as refused:
        record(store, SIGNED, now=NOW, keep_backups=3)
    assert "pkigen init" in refused.value.hint


def test_the_lock_file_of_thousands_of_nodes_is_one_too(opened: Opening) -> None:
    large = consistent(MADE, files={f"{number:0>100}": {} for number in range(12_000)})
    assert len(large[LOCK]) > 1 << 20
    assert ledger_update(opened(large), SIGNED, now=NOW) is not None
    known = recorded_entry(lock_digest(large[LOCK]), {})
    files = consistent(known, files=json.loads(large[LOCK])["files"])
    assert unconfirmed(Photograph(files)) is None


# -- before it leaves -----------------------------------------------------------------------------------


def test_a_record_alone_leaves_no_backup(store: Store) -> None:
    record(store, SIGNED, now=NOW, keep_backups=3)
    assert events(store.read(LEDGER).data) == ["key-made", "signed"]
    assert (store.read(LEDGER).mode, store.read(LOCK).mode) == (0o600, 0o644)
    assert store.backups() == ()


def test_what_belongs_to_it_changes_with_it_and_can_be_taken_back(opened: Opening) -> None:
    store = opened({**consistent(MADE), "pki/spent": b"1", "pki/kept": b"2"})
    record(
        store,
        SIGNED,
        now=NOW,
        keep_backups=3,
        files={"pki/kept": (0o640, b"3"), "pki/sa.key": (0o600, KEY)},
        removes=["pki/spent"],
    )
    tree = snapshot(store.root)
    assert (tree["pki/kept"], tree["pki/sa.key"]) == ((0o640, b"3"), (0o600, KEY))
    assert "pki/spent" not in tree
    (backup,) = store.backups()
    assert {each.path: each.action for each in backup.entries} == {
        "pki/kept": BackupAction.REPLACED,
        "pki/sa.key": BackupAction.CREATED,
        "pki/spent": BackupAction.REMOVED,
        LOCK: BackupAction.REPLACED,
    }
    # The keys are recorded as they are after it.
    known = json.loads(tree[LOCK][1])["authority"]
    assert known == observe_authority(store)
    assert list(known) == ["pki/sa.key"]
    assert events(tree[LEDGER][1])[-1] == "recorded"


def test_a_key_that_comes_alone_is_recorded(store: Store) -> None:
    record(store, SIGNED, now=NOW, keep_backups=3, files={"pki/sa.key": (0o600, KEY)})
    assert list(json.loads(store.read(LOCK).data)["authority"]) == ["pki/sa.key"]


def test_a_key_that_goes_is_recorded_no_more(opened: Opening) -> None:
    store = opened({**consistent(MADE), "pki/sa.key": KEY})
    record(store, SIGNED, now=NOW, keep_backups=3, removes=["pki/sa.key"])
    assert json.loads(store.read(LOCK).data)["authority"] == {}


def test_the_keys_are_looked_at_only_where_one_may_have_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("pkigen.state.issuance_record.observe_authority", refuse)
    record(store, SIGNED, now=NOW, keep_backups=3, files={"addons/a.yaml": (0o644, b"1")})
    assert "authority" not in json.loads(store.read(LOCK).data)


def test_as_many_backups_stay_as_are_asked_for(opened: Opening) -> None:
    store = opened({**consistent(MADE), "pki/kept": b"0"})
    for number in (b"1", b"2", b"3"):
        record(store, SIGNED, now=NOW, keep_backups=2, files={"pki/kept": (0o600, number)})
    assert len(store.backups()) == 2


# -- what the ledger confirms ---------------------------------------------------------------------------


def test_a_lock_file_that_is_as_it_was_written_is_believed(tmp_path: Path) -> None:
    for files in (recorded(), recorded(SIGNED), consistent(MADE)):
        assert unconfirmed(Photograph(files)) is None
        require_written(Photograph(files), root=tmp_path)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({**recorded(), LOCK: consistent(adopted={})[LOCK]}, "it is not what was written last"),
        ({LOCK: recorded()[LOCK]}, "there is no ledger"),
        ({LEDGER: b"", LOCK: as_file(LEAST)}, "there is no ledger"),
        ({**recorded(), LEDGER: recorded(SIGNED)[LEDGER]}, "the ledger itself was changed"),
        ({**consistent(MADE), LEDGER: b""}, "there is no ledger"),
        ({**recorded(), LOCK: b"nothing"}, "it cannot be read"),
        ({LEDGER: recorded()[LEDGER]}, "it cannot be read"),
    ],
)
def test_any_other_is_not(files: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    assert unconfirmed(Photograph(files)) == fault
    with pytest.raises(AuthorityError) as refused:
        require_written(Photograph(files), root=tmp_path)
    assert refused.value.message == f"the ledger does not confirm {tmp_path / LOCK}: {fault}"
    assert f"-C {tmp_path}" in refused.value.hint
