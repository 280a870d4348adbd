"""The lock file describes the finished tree, and is written anew where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.desired.adopted import ABSENT, Adopted
from pkigen.desired.generations import CA, Phase, Rotations, Slot
from pkigen.desired.inventory import EtcdMembership, derive
from pkigen.desired.items import (
    DesiredCopy,
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKeyPair,
    DesiredSecret,
)
from pkigen.desired.overrides import OverrideRecord
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.errors import UnsafePathError
from pkigen.reconcile.division import Summary
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.surveyed import kept
from pkigen.state.ledger import EMPTY, Head
from pkigen.state.lockfile import lock_digest, spec_facts
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import TreeCase, assert_planned, assert_put_right, edit, follow
from tests.samples import CP1, NOW, W1, spec

if TYPE_CHECKING:
    from pkigen.desired.items import Desired
    from tests.samples import World

CASES: dict[str, TreeCase] = {
    "lock-missing": (
        lambda w: w.path("pki.lock").unlink(),
        "pki.lock",
        "create",
        Reason.MISSING,
        "pki.lock is missing",
    ),
    "lock-edited": (
        lambda w: edit(w, "pki.lock", b'"cluster": "prod"', b'"cluster": "test"'),
        "pki.lock",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki.lock does not describe this tree and this spec",
    ),
    "only-the-spec-changed": (
        lambda w: follow(w, backups={"keep": 3}),
        "pki.lock",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki.lock does not describe this tree and this spec",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    assert_planned(world, CASES[name])
    assert_put_right(world, CASES[name])


def test_a_directory_in_its_place(world: World) -> None:
    case: TreeCase = (
        lambda w: (w.path("pki.lock").unlink(), w.path("pki.lock").mkdir()),
        "pki.lock",
        "rewrite",
        Reason.UNREADABLE,
        "pki.lock is a directory",
    )
    assert_planned(world, case)
    with pytest.raises(UnsafePathError, match="is a directory"):
        world.apply()


# -- what it tells of each object ------------------------------------------------------------------------

INVENTORY = derive(spec(CP1, W1, encryption={}, users=[{"name": "dev1"}]))
FACTS: dict[str, Any] = {"fingerprint": "sha256:1", "spki": "sha256:2"}
FOUND = Adopted(found="f", wanted="w", modes="m")
DIGEST = bytes(range(32))
CA_ITEM, LEAF, IN_KUBECONFIG = (
    INVENTORY.certificates[each] for each in ("ca", "cp-1/apiserver", "user:dev1")
)
PAIR, SECRET, COPY, FILE = (
    next(item for item in INVENTORY.items if isinstance(item, kind))
    for kind in (DesiredKeyPair, DesiredSecret, DesiredCopy, DesiredFile)
)
REVOKED = Revocation(
    credential=CredentialId.parse("JTI=a"), of="dev1", reason="lost", revoked=NOW, expires=None
)


def told(*summaries: Summary) -> dict[str, Any]:
    """What a lock file says of objects."""
    builder = LockBuilder(inventory=INVENTORY, templates=None)
    for each in summaries:
        builder.add(each)
    content = json.loads(builder.encode(EMPTY, None))
    assert content["certificates"] == builder.certificates
    return {name: content.get(name, {}) for name in ("certificates", "files", "adopted")}


def seen(item: Desired, **facts: Any) -> Summary:
    return Summary(item=item, **{"action": kept(item), **facts})


def test_a_certificate_is_told_of_with_its_file_and_its_issuer() -> None:
    assert told(seen(CA_ITEM, facts=FACTS), seen(LEAF, facts=FACTS)) == {
        "certificates": {
            "ca": {"path": "pki/ca.crt", "issuer": None, **FACTS},
            "cp-1/apiserver": {"path": LEAF.paths[0], "issuer": "ca", **FACTS},
        },
        "files": {path: {} for path in ("pki/ca.crt", "pki/ca.key", *LEAF.paths)},
        "adopted": {},
    }


def test_one_in_a_kubeconfig_stands_in_that_file() -> None:
    found = told(seen(IN_KUBECONFIG, facts=FACTS))
    assert found["certificates"]["user:dev1"]["path"] == IN_KUBECONFIG.file
    assert found["files"] == {IN_KUBECONFIG.file: {}}


def test_of_one_that_cannot_be_read_only_the_files_are_known() -> None:
    assert told(seen(CA_ITEM)) == {
        "certificates": {},
        "files": {"pki/ca.crt": {}, "pki/ca.key": {}},
        "adopted": {},
    }


def test_digests_are_told_of_public_content_alone() -> None:
    """Of a key pair the last file is the public half; a secret has no digest that anybody may know."""
    known = {"sha256": DIGEST.hex()}
    cross = DesiredCrossCertificate(
        id="ca-cross", ca=CA.KUBERNETES, path="pki/ca-cross.crt", issuer=Slot.CURRENT, subject=Slot.NEXT
    )
    for item in (COPY, FILE, cross):
        assert told(seen(item, sha256=DIGEST))["files"] == {item.path: known}
        assert told(seen(item))["files"] == {item.path: {}}
    assert told(seen(PAIR, sha256=DIGEST))["files"] == {PAIR.private_path: {}, PAIR.public_path: known}
    assert told(seen(SECRET, sha256=DIGEST))["files"] == {SECRET.path: {}}


def test_what_waits_for_its_nodes_request_is_not_there_yet() -> None:
    waiting = replace(kept(LEAF), reason=Reason.AWAITS_REQUEST)
    assert told(seen(LEAF, action=waiting, facts=FACTS)) == {"certificates": {}, "files": {}, "adopted": {}}


def test_what_was_taken_over_is_told_of_with_its_record() -> None:
    found = told(seen(COPY, adopted=FOUND, sha256=DIGEST))
    assert found["adopted"] == {COPY.id: {"found": "f", "wanted": "w", "modes": "m"}}
    assert found["files"] == {COPY.path: {"sha256": DIGEST.hex()}}
    missing = replace(FOUND, found=ABSENT)
    found = told(seen(COPY, adopted=missing, sha256=DIGEST))
    assert (found["adopted"][COPY.id]["found"], found["files"]) == (ABSENT, {})


def test_what_was_looked_at_before_is_taken_over_as_it_was_told() -> None:
    earlier = LockBuilder(inventory=INVENTORY, templates=None)
    summaries = (
        seen(LEAF, facts=FACTS, adopted=FOUND),
        seen(IN_KUBECONFIG, facts=FACTS),
        seen(FILE, sha256=DIGEST),
    )
    for each in summaries:
        earlier.add(each)
    builder = LockBuilder(inventory=INVENTORY, templates=None)
    for each in (*summaries, seen(CA_ITEM)):
        builder.take_over(each.item, earlier)
    assert builder.encode(EMPTY, None) == earlier.encode(EMPTY, None)


def test_objects_stand_in_one_order() -> None:
    summaries = [seen(each, facts=FACTS, adopted=FOUND) for each in (LEAF, CA_ITEM)]
    assert list(told(*summaries)["files"]) == sorted({*LEAF.paths, *CA_ITEM.paths})
    for name in ("certificates", "adopted"):
        assert list(told(*summaries)[name]) == ["ca", "cp-1/apiserver"]


def test_what_it_says_of_the_whole_in_its_order() -> None:
    rotating = replace(
        INVENTORY,
        rotations=Rotations(phases={"sa": Phase.PREPARED, "ca": Phase.PROMOTED}),
        etcd=EtcdMembership(founders=("cp-1",), joined=("cp-2",)),
        revocations=RevocationList(active=(REVOKED,)),
    )
    lock = LockBuilder(inventory=rotating, templates=OverrideRecord(directory="../own", sha256="6"))
    lock.add(seen(COPY, adopted=FOUND))
    content = json.loads(lock.encode(Head(entries=7, hash="ab"), {"pki/ca.crt": "sha256:1"}))
    assert list(content) == [
        *("apiVersion", "kind", "cluster", "spec", "templates", "rotations", "etcd", "ledger"),
        *("authority", "revoked", "adopted", "certificates", "files"),
    ]
    assert (content["apiVersion"], content["kind"], content["cluster"]) == ("pkigen/v1", "Lock", "prod")
    assert content["spec"] == spec_facts(INVENTORY.cluster)
    assert content["templates"] == {"directory": "../own", "sha256": "6"}
    assert list(content["rotations"].items()) == [("ca", "promoted"), ("sa", "prepared")]
    assert content["etcd"] == {"founders": ["cp-1"], "joined": ["cp-2"]}
    assert content["ledger"] == {"entries": 7, "head": "ab"}
    assert content["authority"] == {"pki/ca.crt": "sha256:1"}
    assert content["revoked"] == {"JTI=a": REVOKED.facts}


def test_what_there_is_not_is_left_out() -> None:
    content = json.loads(
        LockBuilder(inventory=replace(INVENTORY, etcd=EtcdMembership()), templates=None).encode(EMPTY, None)
    )
    assert list(content) == ["apiVersion", "kind", "cluster", "spec", "ledger", "certificates", "files"]
    for membership in (EtcdMembership(founders=("a",)), EtcdMembership(joined=("a",))):
        lock = LockBuilder(inventory=replace(INVENTORY, etcd=membership), templates=None)
        assert "etcd" in json.loads(lock.encode(EMPTY, None))


@pytest.mark.parametrize("authority", [None, {}, {"pki/ca.key": "sha256:1"}])
@pytest.mark.parametrize("end", [EMPTY, Head(entries=7, hash="ab" * 32)])
def test_its_digest_is_that_of_its_bytes(end: Head, authority: dict[str, str] | None) -> None:
    lock = LockBuilder(inventory=derive(spec(CP1, W1)), templates=None)
    assert lock.digest(authority) == lock_digest(lock.encode(end, authority))
