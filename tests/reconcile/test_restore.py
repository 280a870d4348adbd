"""What going back puts where, and what it asks of whom: a directory of small files, changed a few times."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen import layout
from pkigen.crypto.keys import private_pem
from pkigen.errors import StoreError, UsageError
from pkigen.reconcile.plan import Action, Create, Remove, Rewrite
from pkigen.reconcile.restore import (
    Demands,
    Restore,
    RestoredView,
    Rollback,
    kept_content,
    plan_rollback,
    roll_back,
)
from pkigen.state.authority_identities import observe_authority
from pkigen.state.cluster_objects import ClusterObject
from pkigen.state.ledger import head_of
from pkigen.state.lockfile import head, lock_digest
from pkigen.state.reasons import Reason
from pkigen.store import MissingError, Store
from tests.samples import NOW, Unsynced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KUBERNETES = "nodes/cp-1/etc/kubernetes"
API, ETCD = (f"{KUBERNETES}/manifests/{each}.yaml" for each in ("kube-apiserver", "etcd"))
CONF, SHOWN = f"{KUBERNETES}/kubelet.conf", f"{KUBERNETES}/pki/kubelet/client.crt"
BUNDLE = f"{KUBERNETES}/pki/ca.crt"
LOCK, LEDGER = layout.LOCK_FILE, layout.LEDGER_FILE


@dataclass(kw_only=True)
class Directory:
    """A PKI directory that is held for as long as the test takes, and the backups that its changes left."""

    store: Store
    made: list[str | None] = field(default_factory=list)

    def put(self, files: dict[str, bytes | None], *, mode: int = 0o600) -> None:
        """Write files in one change, and remove those that are None."""
        with self.store.transaction() as transaction:
            for path, data in files.items():
                if data is None:
                    transaction.remove(path)
                else:
                    transaction.stage(path, mode=mode, content=data, backup=path != LEDGER)
            self.made.append(transaction.commit())

    def read(self, path: str) -> bytes:
        return self.store.read(path).data


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Store.open(tmp_path / "prod", command="test", now=NOW, filesystem=Unsynced()) as store:
        yield Directory(store=store)


def planned(directory: Directory, backup: str | None = None) -> Rollback:
    return plan_rollback(directory.store, backup)


def actions(found: tuple[Action, ...]) -> list[tuple[type[Action], str, str | None, Reason | None]]:
    assert all(each.paths == (each.id,) for each in found)
    return [(type(each), each.id, each.node, each.reason) for each in found]


# -- what goes back -----------------------------------------------------------------------------------------


def test_nothing_was_replaced_yet(directory: Directory) -> None:
    with pytest.raises(UsageError, match="has no backup") as none:
        planned(directory)
    assert none.value.hint == "nothing has been replaced yet"
    directory.put({"pki/a": b"1"})
    directory.put({"pki/a": b"2"})
    directory.put({"pki/a": b"3"})
    with pytest.raises(UsageError, match="there is no backup 'x'") as other:
        planned(directory, "x")
    _, first, second = directory.made
    assert other.value.hint == f"choose one of {second}, {first}"


def test_the_last_change_or_all_since_one(directory: Directory) -> None:
    directory.put({"pki/a": b"1", "pki/b": b"1", "pki/gone": b"1"})
    directory.put({"pki/a": b"2", "pki/new": b"2", "nodes/cp-1/x": b"2"})
    directory.put({"pki/a": b"3", "pki/gone": None, "pki/new": b"3"})
    directory.put({"pki/b": b"4", "nodes/cp-1/x": None})
    _, first, second, third = directory.made
    digest = hashlib.sha256(b"1").hexdigest()
    last = planned(directory)
    assert last == planned(directory, third)
    assert (last.backup, [each.id for each in last.undone], last.removes) == (third, [third], ())
    assert last.restores == (
        Restore(
            path="nodes/cp-1/x",
            backup=cast("str", third),
            sha256=hashlib.sha256(b"2").hexdigest(),
            is_back=True,
        ),
        Restore(path="pki/b", backup=cast("str", third), sha256=digest, is_back=False),
    )
    # All later ones with it; each file as the oldest of them holds it. What came and went is nobody's affair.
    whole = planned(directory, first)
    assert [each.id for each in whole.undone] == [third, second, first]
    assert [(each.path, each.backup, each.sha256, each.is_back) for each in whole.restores] == [
        ("pki/a", first, digest, False),
        ("pki/b", third, digest, False),
        ("pki/gone", second, digest, True),
    ]
    assert whole.removes == ("pki/new",)
    assert actions(whole.changes) == [
        (Rewrite, "pki/a", None, None),
        (Rewrite, "pki/b", None, None),
        (Create, "pki/gone", None, None),
        (Remove, "pki/new", None, None),
    ]
    assert actions(whole.undoes) == [
        (Create, "pki/new", None, None),
        (Rewrite, "pki/a", None, None),
        (Rewrite, "pki/b", None, None),
        (Remove, "pki/gone", None, None),
    ]
    assert actions(last.changes)[0] == (Create, "nodes/cp-1/x", "cp-1", None)


def test_the_directory_as_it_would_be(directory: Directory) -> None:
    directory.put({"pki/a": b"1", "pki/gone": b"1", "users/u": b"1", LOCK: b"1"})
    directory.put({"pki/a": b"2", "pki/gone": None, "pki/new": b"2", LOCK: b"2"})
    view = RestoredView(directory.store, planned(directory))
    assert [view.read(each).data for each in ("pki/a", "pki/gone", "users/u")] == [b"1"] * 3
    with pytest.raises(MissingError, match="pki/new is missing"):
        view.read("pki/new")
    assert list(view.walk()) == ["pki.lock", "pki/a", "pki/gone", "users/u"]
    assert list(view.walk("pki")) == ["pki/a", "pki/gone"], "the lock file is not in it"
    assert list(view.walk("users")) == ["users/u"]


def test_large_files_go_back(directory: Directory) -> None:
    large = bytes((1 << 20) + 1)
    directory.put({"pki.lock": large, "pki/gone": large})
    directory.put({"pki.lock": large + b"2", "pki/gone": None})
    found = planned(directory)
    assert [each.is_back for each in found.restores] == [False, True]
    assert kept_content(directory.store, found.restores[0]).data == large
    directory.put({"users/u": large})
    view = RestoredView(directory.store, found)
    assert view.read("users/u", limit=len(large)).data == large


def test_a_backup_that_somebody_has_edited(directory: Directory) -> None:
    directory.put({"pki/a": b"1"})
    directory.put({"pki/a": b"2"})
    found = planned(directory)
    (restore,) = found.restores
    kept = directory.store.root / f".pkigen/backups/{restore.backup}/files/pki/a"
    kept.write_bytes(b"0")
    with pytest.raises(StoreError, match=f"pki/a in backup {restore.backup} is not the file") as edited:
        roll_back(directory.store, found, superseded={}, now=NOW, keep_backups=9)
    assert edited.value.hint == "somebody has edited it: restore another backup, or issue new files"
    assert directory.read("pki/a") == b"2"


# -- what it asks for ---------------------------------------------------------------------------------------


def manifest(name: str, *flags: str) -> bytes:
    lines = "".join(f"    - --{each}\n" for each in flags)
    return f"spec:\n  containers:\n  - name: {name}\n    command:\n    - {name}\n{lines}".encode()


def kubeconfig(certificate: str, *, server: str = "a") -> bytes:
    return (
        f"clusters:\n- cluster:\n    server: {server}\nusers:\n- user:\n"
        f"    client-certificate-data: {certificate}\n"
    ).encode()


MOVES, VERIFIES, OTHER = Reason.MEMBER_MOVES, Reason.VERIFIES_KUBELETS, Reason.CREDENTIAL_CHANGED
ONE, TWO = (f"{each}\n-----END CERTIFICATE-----\n".encode() for each in ("one", "two"))


@pytest.mark.parametrize(
    ("path", "before", "after", "back", "forth"),
    [
        (
            ETCD,
            manifest("etcd", "initial-advertise-peer-urls=https://a:2380"),
            manifest("etcd", "initial-advertise-peer-urls=https://b:2380"),
            MOVES,
            MOVES,
        ),
        (
            API,
            manifest("kube-apiserver"),
            manifest("kube-apiserver", "kubelet-certificate-authority=/ca"),
            None,
            VERIFIES,
        ),
        (
            API,
            manifest("kube-apiserver", "kubelet-certificate-authority=/ca"),
            manifest("kube-apiserver"),
            VERIFIES,
            None,
        ),
        (CONF, kubeconfig("QQ=="), kubeconfig("Qg=="), OTHER, OTHER),
        (CONF, kubeconfig("QQ=="), kubeconfig("QQ==", server="b"), None, None),
        (SHOWN, b"one", b"two", OTHER, OTHER),
        (SHOWN, b"one", b"one", None, None),
        # Their order alone is new: what a node has of it is as good.
        (BUNDLE, ONE + TWO, TWO + ONE, None, Reason.ORDER_CHANGED),
        (BUNDLE, ONE, TWO, None, None),
        (BUNDLE, ONE + TWO, ONE, None, None),
        ("nodes/cp-1/etc/kubernetes/pki/apiserver.crt", b"one", b"two", None, None),
    ],
)
def test_what_a_change_asks_for_in_both_directions(
    path: str, before: bytes, after: bytes, back: Reason | None, forth: Reason | None, directory: Directory
) -> None:
    directory.put({path: before})
    directory.put({path: after})
    found = planned(directory)
    assert [each.asks for each in found.restores] == [Demands(back=back, forth=forth)]
    assert actions(found.changes) == [(Rewrite, path, "cp-1", back)]
    assert actions(found.undoes) == [(Rewrite, path, "cp-1", forth)]


@pytest.mark.parametrize("path", [API, CONF, SHOWN, BUNDLE])
def test_what_is_not_there_now_asks_for_nothing(path: str, directory: Directory) -> None:
    directory.put({path: ONE})
    directory.put({path: None})
    assert [each.asks for each in planned(directory).restores] == [Demands()]


@pytest.mark.parametrize(
    ("states", "forth"),
    [
        ((ONE + TWO, TWO + ONE, ONE + TWO), None),
        ((ONE + TWO, ONE, TWO + ONE), None),
        ((ONE + TWO, ONE + TWO + ONE, TWO + ONE), None),
        ((TWO + ONE, ONE + TWO, ONE + TWO), Reason.ORDER_CHANGED),
        ((ONE + TWO, None, TWO + ONE), Reason.ORDER_CHANGED),
    ],
)
def test_a_bundle_that_was_only_put_into_another_order(
    states: tuple[bytes | None, ...], forth: Reason | None, directory: Directory
) -> None:
    for number, each in enumerate(states):
        directory.put({BUNDLE: each, "pki/a": b"%d" % number})
    (bundle, _) = planned(directory, directory.made[1]).restores
    assert (bundle.path, bundle.asks) == (BUNDLE, Demands(forth=forth))


# -- what is done -------------------------------------------------------------------------------------------


def locked(**more: object) -> bytes:
    """A lock file that says little."""
    little = {"cluster": "prod", "ledger": head(head_of(b"")), "files": {}, "spec": {}}
    return json.dumps({**little, **more}).encode()


def lines(directory: Directory) -> list[dict[str, object]]:
    return [json.loads(line) for line in directory.read(LEDGER).splitlines()]


def test_a_change_is_taken_back(directory: Directory) -> None:
    """The ledger goes on, the lock file knows its end, and both know the keys that are there then."""
    old, new = (private_pem(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    directory.put({LOCK: locked(told="old"), "pki/sa.key": old, "pki/gone": b"1"}, mode=0o644)
    directory.put({"pki/gone": None, "pki/new": b"2", "pki/sa.key": new})
    directory.put({LOCK: locked(told="new")})
    _, first, second = directory.made
    role = ClusterObject(kind="Role", name="r")
    made = roll_back(
        directory.store,
        planned(directory, first),
        superseded={role: frozenset({None})},
        now=NOW,
        keep_backups=1,
    )
    assert [each.id for each in directory.store.backups()] == [made]
    assert (directory.read("pki/sa.key"), directory.read("pki/gone")) == (old, b"1")
    assert directory.store.read("pki/gone").mode == 0o644
    with pytest.raises(MissingError):
        directory.read("pki/new")
    restored, superseded, recorded = lines(directory)
    paths = [LOCK, "pki/gone", "pki/sa.key"]
    assert (restored["event"], restored["id"], restored["time"]) == (
        "restored",
        first,
        "2026-03-01T12:00:00Z",
    )
    assert (restored["restored"], restored["removed"]) == (paths, ["pki/new"])
    assert (superseded["event"], superseded["id"]) == ("superseded", "Role r")
    identities = observe_authority(directory.store)
    assert [*identities] == ["pki/sa.key"]
    # Whoever reads the lock file finds that it is the one that the ledger's last line has recorded.
    lock = json.loads(directory.read(LOCK))
    assert (lock["told"], lock["authority"]) == ("old", identities)
    assert directory.store.read(LOCK).mode == 0o644
    assert lock["ledger"] == head(head_of(directory.read(LEDGER)))
    assert recorded["event"] == "recorded"
    assert recorded["lock"] == lock_digest(directory.read(LOCK))
    assert recorded["authority"] == [f"pki/sa.key={identities['pki/sa.key']}"]
    # The ledger never goes back, and what is secret in it stays so.
    assert directory.store.read(LEDGER).mode == 0o600
    again = planned(directory)
    assert LEDGER not in {each.path for each in again.restores} | set(again.removes)
    assert again.backup == made != second


def test_a_lock_file_that_stays_knows_the_keys_too(directory: Directory) -> None:
    directory.put({LOCK: locked(large="x" * (1 << 20)), "pki/a": b"1"})
    directory.put({"pki/a": b"2"})
    roll_back(directory.store, planned(directory), superseded={}, now=NOW, keep_backups=9)
    assert json.loads(directory.store.read(LOCK, limit=1 << 21).data)["ledger"]["entries"] == 2
    assert [each["event"] for each in lines(directory)] == ["restored", "recorded"]


@pytest.mark.parametrize("kept", [b"no lock file", None])
def test_where_no_lock_file_comes_of_it(kept: bytes | None, directory: Directory) -> None:
    directory.put({"pki/a": b"1", **({LOCK: kept} if kept else {})})
    directory.put({"pki/a": b"2", LOCK: locked()})
    roll_back(directory.store, planned(directory), superseded={}, now=NOW, keep_backups=9)
    assert directory.read("pki/a") == b"1"
    assert [each["event"] for each in lines(directory)] == ["restored"]
    if kept:
        assert directory.read(LOCK) == kept
    else:
        with pytest.raises(MissingError):
            directory.read(LOCK)


def test_a_directory_without_a_lock_file(directory: Directory) -> None:
    directory.put({"pki/a": b"1"})
    directory.put({"pki/a": b"2"})
    roll_back(directory.store, planned(directory), superseded={}, now=NOW, keep_backups=9)
    assert [each["event"] for each in lines(directory)] == ["restored"]


def test_a_ledger_that_was_changed_before_is_noted_first(directory: Directory) -> None:
    ledger = {"entries": 7, "head": "0" * 64}
    directory.put({LOCK: locked(ledger=ledger), "pki/a": b"1"})
    directory.put({"pki/a": b"2"})
    roll_back(directory.store, planned(directory), superseded={}, now=NOW + timedelta(days=1), keep_backups=9)
    found = lines(directory)
    assert [each["event"] for each in found] == ["mismatch", "restored", "recorded"]
    assert (found[0]["expectedEntries"], found[0]["expectedHead"]) == (7, "0" * 64)
