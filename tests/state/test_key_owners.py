"""Whose a public key is: by the ledger, the lock file, and what lies in the directory."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import private_pem, public_der, public_pem, spki_fingerprint
from pkigen.desired.generations import CA, Phase, Rotations, ca_id
from pkigen.desired.inventory import derive
from pkigen.state.key_owners import key_owners
from pkigen.state.ledger import Event, LedgerEntry, appended
from tests.rotation.phases import Photograph
from tests.samples import NOW, spec
from tests.state.test_generations import files, root
from tests.state.test_lockfile import lock_with

CLUSTER = spec()
INVENTORY = derive(CLUSTER)
ABOVE, BELOW, NEXT = root("between"), root("etcd-ca"), root("etcd-ca-g2")
PAIR = ec.generate_private_key(ec.SECP256R1())


def spki(key: object) -> str:
    return spki_fingerprint(public_der(key.public_key()))  # type: ignore[attr-defined]


def ledger(*lines: tuple[Event, str, str]) -> dict[str, bytes]:
    entries = [
        LedgerEntry(event=event, id=identifier, reason=None, facts={"spki": key})
        for event, identifier, key in lines
    ]
    return {".pkigen/ledger.jsonl": appended(b"", entries, now=NOW)[0]}


def test_nobody_owns_anything_where_there_is_nothing() -> None:
    assert key_owners(INVENTORY, Photograph({}), None, now=NOW) == {}


@pytest.mark.parametrize("event", [Event.ISSUED, Event.ADOPTED, Event.SIGNED, Event.DELIVERED])
def test_a_key_that_was_ever_certified_has_its_owner(event: Event) -> None:
    tree = Photograph(ledger((event, "cp-1/kubelet", "sha256:1"), (Event.KEY_MADE, "sa", "sha256:2")))
    assert key_owners(INVENTORY, tree, None, now=NOW) == {"sha256:1": "cp-1/kubelet"}


def test_a_line_without_a_key_is_nobodys() -> None:
    entry = LedgerEntry(event=Event.ISSUED, id="ca", reason=None, facts={})
    tree = Photograph({".pkigen/ledger.jsonl": appended(b"", [entry], now=NOW)[0]})
    assert key_owners(INVENTORY, tree, None, now=NOW) == {}


def test_of_several_owners_the_cluster_comes_before_people() -> None:
    tree = Photograph(ledger((Event.ISSUED, "admin", "sha256:1"), (Event.SIGNED, "request:ann", "sha256:1")))
    assert key_owners(INVENTORY, tree, None, now=NOW) == {"sha256:1": "admin"}
    tree = Photograph(ledger((Event.SIGNED, "request:ann", "sha256:1")))
    lock = lock_with(certificates={"admin": {"fingerprint": "sha256:2", "spki": "sha256:1"}})
    assert key_owners(INVENTORY, tree, lock, now=NOW) == {"sha256:1": "admin"}


def test_what_the_lock_file_knows_counts_without_a_ledger() -> None:
    lock = lock_with(certificates={"admin": {"fingerprint": "sha256:2", "spki": "sha256:1"}})
    assert key_owners(INVENTORY, Photograph({}), lock, now=NOW) == {"sha256:1": "admin"}


def test_the_key_pair_and_the_cas_that_lie_there_are_looked_at() -> None:
    tree = Photograph(
        {
            "pki/sa.key": private_pem(PAIR),
            "pki/sa.pub": public_pem(PAIR.public_key()),
            **files({"pki/ca": root("kubernetes", PAIR)}),
            **files({"pki/etcd/ca": BELOW}),
            **ledger((Event.SIGNED, "request:ann", spki(BELOW.key))),
        }
    )
    assert key_owners(INVENTORY, tree, None, now=NOW) == {spki(PAIR): "ca", spki(BELOW.key): "etcd-ca"}


def test_a_key_pair_alone_is_its_own() -> None:
    tree = Photograph({"pki/sa.key": private_pem(PAIR)})
    assert key_owners(INVENTORY, tree, None, now=NOW) == {spki(PAIR): "sa"}


def test_what_stands_above_a_ca_and_its_other_generation_are_no_persons() -> None:
    above = root("between", ABOVE.key, above=root("above"))
    below = root("etcd-ca", BELOW.key, above=above)
    chained = certificate_pem(below.certificate, above.certificate)
    tree = Photograph({"pki/etcd/ca.crt": chained, "pki/etcd/ca.key": private_pem(BELOW.key)})
    expected = {spki(BELOW.key): "etcd-ca", spki(ABOVE.key): "etcd-ca"}
    assert key_owners(INVENTORY, tree, None, now=NOW) == expected
    rotating = derive(CLUSTER, Rotations(phases={ca_id(CA.ETCD): Phase.PREPARED}))
    tree = Photograph({**tree.files, **files({"pki/etcd/ca-next": NEXT})})
    assert key_owners(rotating, tree, None, now=NOW) == {**expected, spki(NEXT.key): "etcd-ca"}
