"""Encrypting an authority, decrypting it, another key: all of it or nothing, and no trace of before."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.cli.system import System
from pkigen.crypto.age import Identity, Passphrase
from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.keys import private_pem
from pkigen.desired.inventory import derive, private_paths
from pkigen.errors import AuthorityError, PkigenError
from pkigen.state.encryption import Resealing, open_in_backups, reseal
from pkigen.state.issuance_record import unconfirmed
from pkigen.state.ledger import appended
from pkigen.state.lockfile import head
from pkigen.state.observed import sealed_key
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.state.vault import PlainVault, SealedVault
from pkigen.store import Store
from tests.cli.program import NOW, InProcess, changed, contents
from tests.faults.scenes import chosen, wanted
from tests.samples import Unsynced, snapshot, spec
from tests.state.encrypted_cluster import (
    NEVER_ON_NODES,
    PRIVATE,
    WORDS,
    EncryptedCluster,
    files_with,
    passphrase_file,
    telling,
)
from tests.state.test_lockfile import LEAST, as_file
from tests.store.faults import CountingFileSystem, CrashingFileSystem, SimulatedCrashError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.state.vault import Vault


# -- the transaction by itself --------------------------------------------------------------------------

LOCK, LEDGER, WAITING = "pki.lock", ".pkigen/ledger.jsonl", "pki/pending.json"
LOCAL = derive(spec())
OFFLINE = derive(spec(certificates={"authority": "offline", "caKeys": "offline"}))
OPEN = {path: f"the content of {path}".encode() for path in private_paths(LOCAL)}
UNLOCKS = Identity.generate()


class Forgetful(PlainVault):
    """A vault that does not give back what it was given."""

    def close(self, path: str, content: bytes) -> bytes:
        return content if path != "pki/sa.key" else content[1:]


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Store]:
    """An authority in the open, with the files that say so, and nothing else."""
    ledger, end = appended(b"", [], now=NOW)
    files = {**OPEN, LEDGER: ledger, LOCK: as_file({**LEAST, "ledger": head(end)})}
    with Store.open(tmp_path / "tree", command="test", now=NOW, filesystem=Unsynced()) as store:
        yield _with(store, files)


def _with(store: Store, files: dict[str, bytes | None]) -> Store:
    with store.transaction() as transaction:
        for path, data in files.items():
            if data is None:
                transaction.remove(path)
            else:
                transaction.stage(path, mode=0o640, content=data)
        transaction.commit()
    store.forget_backups()
    return store


def _reseal(
    store: Store,
    what: Resealing,
    old: Vault | None = None,
    new: Vault | None = None,
    inventory: Inventory = LOCAL,
) -> tuple[str, ...]:
    return reseal(what, inventory, store, old=old or PlainVault(), new=new or PlainVault(), now=NOW)


def _lines(store: Store) -> list[dict[str, object]]:
    return [json.loads(line) for line in store.read(LEDGER).data.splitlines()]


def test_every_private_file_is_closed_in_one_change_that_is_recorded(authority: Store) -> None:
    vault = SealedVault.new(UNLOCKS.recipient)
    real = {path: private_pem(ec.generate_private_key(ec.SECP256R1())) for path in OPEN}
    _with(authority, {**real})
    assert _reseal(authority, Resealing.ENCRYPT, new=vault) == tuple(OPEN)
    identity = UNLOCKS.open(authority.read(IDENTITY_PATH).data).decode().strip()
    tree = snapshot(authority.root)
    for path in OPEN:
        assert tree[path][0] == 0o600
        assert Identity(identity).open(tree[path][1]) == real[path]
    assert (tree[IDENTITY_PATH][0], tree[RECORD_PATH][0]) == (0o600, 0o600)
    assert {sealed_key(authority, tree[path][1]) is not None for path in OPEN} == {True}
    (line,) = _lines(authority)
    assert (line["event"], line["id"], line["step"]) == ("sealed", "pki", "encrypt")
    assert "reason" not in line
    # Nothing of before is kept, the lock file included.
    assert authority.backups() == ()
    assert unconfirmed(authority) is None


def test_another_key_leaves_no_copy_of_the_one_before(authority: Store) -> None:
    first, second = (SealedVault.new(UNLOCKS.recipient) for _ in range(2))
    _with(authority, {path: private_pem(ec.generate_private_key(ec.SECP256R1())) for path in OPEN})
    _reseal(authority, Resealing.ENCRYPT, new=first)
    before = authority.read(IDENTITY_PATH).data
    _reseal(authority, Resealing.REKEY, old=first, new=second)
    assert authority.read(IDENTITY_PATH).data != before
    assert authority.backups() == ()
    assert [each["step"] for each in _lines(authority)] == ["encrypt", "rekey"]


def test_what_is_left_of_the_old_vault_goes(authority: Store) -> None:
    # Of use or not: what stays would be taken for a damaged vault.
    _with(authority, {IDENTITY_PATH: b"1", RECORD_PATH: bytes((1 << 20) + 1)})
    _reseal(authority, Resealing.DECRYPT)
    tree = snapshot(authority.root)
    assert not {IDENTITY_PATH, RECORD_PATH} & tree.keys()
    assert {path: tree[path] for path in OPEN} == {path: (0o600, data) for path, data in OPEN.items()}
    assert [each["step"] for each in _lines(authority)] == ["decrypt"]


@pytest.mark.parametrize(
    ("files", "new", "said"),
    [
        ({"pki/sa.key": None}, PlainVault(), "pki/sa.key is missing"),
        ({LOCK: None}, PlainVault(), "there is no readable pki.lock"),
        ({LOCK: b"nothing"}, PlainVault(), "there is no readable pki.lock"),
        ({}, Forgetful(), "pki/sa.key could not be opened again: nothing was changed"),
    ],
)
def test_all_or_nothing(files: dict[str, bytes | None], new: Vault, said: str, authority: Store) -> None:
    before = snapshot(_with(authority, files).root)
    with pytest.raises(AuthorityError) as refused:
        _reseal(authority, Resealing.REKEY, new=new)
    assert refused.value.message == said
    assert refused.value.hint or "opened again" in said
    assert snapshot(authority.root) == before


@pytest.mark.parametrize("what", Resealing)
def test_a_key_that_waits_for_its_answer_is_in_the_open_until_then(what: Resealing, authority: Store) -> None:
    _with(authority, {WAITING: b"{}"})
    # Where the offline authority has the CAs' keys, none is asked for.
    _reseal(authority, what, inventory=OFFLINE)
    if what is Resealing.DECRYPT:
        _reseal(authority, what)
        return
    with pytest.raises(AuthorityError, match="may contain an unencrypted CA key") as refused:
        _reseal(authority, what)
    assert "airgap authority accept" in refused.value.hint


def test_so_may_be_what_cannot_be_read_in_its_place(authority: Store) -> None:
    _reseal(authority, Resealing.ENCRYPT)
    (authority.root / WAITING).symlink_to("elsewhere")
    with pytest.raises(AuthorityError, match="may contain an unencrypted CA key"):
        _reseal(authority, Resealing.ENCRYPT)


# -- what backups show ----------------------------------------------------------------------------------


def test_private_files_of_the_authority_that_lie_open_in_backups(authority: Store) -> None:
    sealed = UNLOCKS.recipient.close(b"1")
    kept = {
        "pki/sa.key": b"1",
        "pki/ca.key": sealed,
        "pki/ca.crt": b"1",
        "nodes/cp-1/etc/kubernetes/pki/ca.key": b"1",
        "nodes/cp-1/etc/kubernetes/pki/front-proxy-ca.key": b"1",
        "nodes/cp-1/etc/kubernetes/pki/apiserver.key": b"1",
        "users/dev1.conf": b"1",
    }
    _with(authority, {**kept})
    assert open_in_backups(authority) == ()
    with authority.transaction() as transaction:
        for path in kept:
            transaction.stage(path, mode=0o600, content=b"2")
        transaction.stage("pki/etcd/server.key", mode=0o600, content=b"created: it has replaced nothing")
        transaction.remove("pki/etcd/ca.key")
        transaction.commit()
    (backup,) = authority.backups()
    assert set(open_in_backups(authority)) == {
        f"{backup.id}: {path}"
        for path in (
            "pki/sa.key",
            "pki/etcd/ca.key",
            "nodes/cp-1/etc/kubernetes/pki/ca.key",
            "nodes/cp-1/etc/kubernetes/pki/front-proxy-ca.key",
        )
    }


@pytest.mark.parametrize(
    ("waiting", "shows"),
    [
        (b'{"request": "", "keys": {"ca": ""}}', True),
        (b'{"request": "", "keys": {"cp-1/apiserver": "", "etcd-ca-next": ""}}', True),
        (b'{"request": "", "keys": {"cp-1/apiserver": ""}}', False),
        # A CA that is renewed keeps its key.
        (b'{"request": "", "keys": {}}', False),
        (b"{}", True),
        (b"[]", True),
        (b"{", True),
        (b'{"keys": 5}', True),
        (b"[" * 100_000, True),
        (b'{"keys": {"cp-1/apiserver": "' + b"A" * (1 << 20) + b'"}}', False),
    ],
)
def test_a_request_that_was_answered_may_show_the_key_of_a_ca(
    waiting: bytes, authority: Store, *, shows: bool
) -> None:
    _with(authority, {WAITING: waiting})
    with authority.transaction() as transaction:
        transaction.remove(WAITING)
        transaction.commit()
    (backup,) = authority.backups()
    assert open_in_backups(authority) == ((f"{backup.id}: {WAITING}",) if shows else ())


def test_of_a_damaged_backup_nobody_knows(authority: Store) -> None:
    with authority.transaction() as transaction:
        transaction.stage("pki/sa.key", mode=0o600, content=b"2")
        transaction.commit()
    (backup,) = authority.backups()
    (authority.root / f".pkigen/backups/{backup.id}/manifest.json").write_text("{")
    assert open_in_backups(authority) == (f"{backup.id}: whatever its damaged manifest named",)


# -- encrypting, decrypting, another key ----------------------------------------------------------------


def test_there_and_back_and_nothing_in_the_backups(
    plain: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    place = plain.copied(tmp_path / "place")
    private = place.sealed()
    assert pkigen("renew", place.spec, "ca", "-C", place.root, "--yes").code == 0
    secrets = {each for path in NEVER_ON_NODES for each in telling(private[path])}
    # Renewing the CA has left its key, in the open, in a backup.
    assert any(path.startswith(".pkigen/backups") for path in files_with(place.root, secrets))
    before = contents(place.root)
    lone = pkigen("airgap", "authority", "encrypt", "-C", place.root, *place.opening)
    assert (lone.code, lone.error) == (1, "no answer: nothing was changed")
    assert contents(place.root) == before
    done = pkigen("airgap", "authority", "encrypt", "-C", place.root, "--yes", *place.opening)
    assert done.code == 0, done
    assert "all backups removed" in done.out
    assert "not wiped" in done.err
    assert files_with(place.root, secrets) == set()
    assert {path: place.opened(path) for path in PRIVATE} == private
    assert changed(before, contents(place.root)) == {*PRIVATE, IDENTITY_PATH, RECORD_PATH, "pki.lock"}
    assert pkigen("verify", "-C", place.root).code == 0
    again = pkigen("airgap", "authority", "encrypt", "-C", place.root, "--yes", *place.opening)
    assert "nothing to do" in again.out
    assert pkigen("airgap", "authority", "decrypt", "-C", place.root, "--yes", *place.opening).code == 0
    assert {path: (place.root / path).read_bytes() for path in PRIVATE} == private
    assert changed(before, contents(place.root)) == {"pki.lock"}
    assert pkigen("verify", "-C", place.root).code == 0
    steps = [
        json.loads(each)["step"]
        for each in (place.root / ".pkigen/ledger.jsonl").read_text().splitlines()
        if json.loads(each)["event"] == "sealed"
    ]
    assert steps == ["encrypt", "decrypt"]


def test_after_rekeying_the_old_key_opens_nothing(place: EncryptedCluster, pkigen: InProcess) -> None:
    private = {path: place.opened(path) for path in PRIVATE}
    old = place.sealed()
    assert pkigen("renew", place.spec, "ca", "-C", place.root, "--yes", *place.opening).code == 0
    words = passphrase_file(place.root.parent)
    done = pkigen(
        "airgap",
        "authority",
        "rekey",
        "-C",
        place.root,
        "--yes",
        *place.opening,
        "--new-passphrase-file",
        words,
    )
    assert done.code == 0, done
    assert not any((place.root / ".pkigen/backups").glob("*/files/pki/*"))
    refused = pkigen("renew", place.spec, "--all", "-C", place.root, "--yes", *place.opening)
    assert "encrypted with a passphrase" in refused.error
    identity = Passphrase(WORDS).open((place.root / IDENTITY_PATH).read_bytes()).decode().strip()
    for path in PRIVATE:
        assert Identity(identity).open((place.root / path).read_bytes()) == private[path]
        with pytest.raises(PkigenError):
            Identity(identity).open(old[path])


def test_a_backup_from_before_is_a_finding(
    plain: EncryptedCluster, place: EncryptedCluster, pkigen: InProcess, tmp_path: Path
) -> None:
    """An encryption that dies between its commit and its end leaves the backups; the next run takes them."""
    other = plain.copied(tmp_path / "other")
    assert pkigen("renew", other.spec, "ca", "-C", other.root, "--yes").code == 0
    shutil.copytree(other.root / ".pkigen/backups", place.root / ".pkigen/backups")
    found = pkigen("verify", "-C", place.root, "-o", "json")
    assert found.code == 4
    assert [each["reason"] for each in found.json["findings"]] == ["not-sealed"]
    done = pkigen("airgap", "authority", "encrypt", "-C", place.root, "--yes", *place.opening)
    assert "all backups removed" in done.out
    assert pkigen("verify", "-C", place.root).code == 0


# -- interrupted ----------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("what", ["encrypt", "decrypt", "rekey"])
def test_killed_anywhere_it_is_the_old_authority_or_the_new_one(
    what: str, place: EncryptedCluster, plain: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    source = plain if what == "encrypt" else place
    private = {path: (plain if what == "encrypt" else place).opened_or_open(path) for path in PRIVATE}
    secrets = {each for path in NEVER_ON_NODES for each in telling(private[path])}
    more = ("--recipient", Identity(place.key.read_text().strip()).recipient.text) if what == "rekey" else ()

    def words(tree: EncryptedCluster) -> tuple[object, ...]:
        return ("airgap", "authority", what, "-C", tree.root, "--yes", *tree.opening, *more)

    counting = CountingFileSystem()
    assert pkigen(*words(source.copied(tmp_path / "counted")), system=_system(counting)).code == 0
    outcomes = Counter[str]()
    decided = max(at for at, each in enumerate(counting.operations, 1) if each == "rename")
    for at in sorted({*chosen(range(1, counting.count + 1), wanted(4)), decided + 1}):
        tree = source.copied(tmp_path / f"{at}")
        with pytest.raises(SimulatedCrashError):
            pkigen(*words(tree), system=_system(CrashingFileSystem(at)))
        assert pkigen("status", "-C", tree.root).code == 0  # whoever comes next finishes or undoes it
        sealed = {path for path in PRIVATE if is_sealed((tree.root / path).read_bytes())}
        assert sealed in (set(), set(PRIVATE)), at
        if sealed and what != "decrypt":  # what that has staged waits for the next writer, as any change
            assert files_with(tree.root, secrets) == set(), at
        assert {path: tree.opened_or_open(path) for path in PRIVATE} == private
        outcomes["sealed" if sealed else "open"] += 1
        assert pkigen(*words(tree)).code == 0
        assert pkigen("verify", "-C", tree.root).code == 0
        shutil.rmtree(tree.root.parent)
    print(f"{what}: {outcomes}")  # noqa: T201
    assert what == "rekey" or len(outcomes) == 2


def _system(filesystem: CountingFileSystem) -> System:
    return System(clock=lambda: NOW, filesystem=filesystem)
