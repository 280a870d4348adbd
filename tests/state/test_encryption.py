"""Encrypting an authority, decrypting it, another key: all of it or nothing, and no trace of before."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.system import System
from pkigen.crypto.age import Identity, Passphrase
from pkigen.crypto.age_header import is_sealed
from pkigen.errors import PkigenError
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from tests.cli.program import NOW, InProcess, changed, contents
from tests.faults.scenes import chosen, wanted
from tests.state.encrypted_cluster import (
    NEVER_ON_NODES,
    PRIVATE,
    WORDS,
    EncryptedCluster,
    files_with,
    passphrase_file,
    telling,
)
from tests.store.faults import CountingFileSystem, CrashingFileSystem, SimulatedCrashError

if TYPE_CHECKING:
    from pathlib import Path


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
