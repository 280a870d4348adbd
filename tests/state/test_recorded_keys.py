"""The keys of an authority beside what is recorded of them: by trees in memory, one rule at a time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.age import Identity
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import ed25519_public, private_pem, public_der, spki_fingerprint
from pkigen.desired.generations import CA, ENCRYPTION_KEY, PRIVATE_PATHS, SA, Slot, ca_id
from pkigen.errors import AuthorityError
from pkigen.state.authority_record import (
    AuthorityComparison,
    AuthorityDifference,
    compare_authority,
    generation_path,
    observe_authority,
    recorded_cas,
    require_recorded,
)
from pkigen.state.ledger import EMPTY, Event, Head, LedgerEntry, appended
from pkigen.state.seals import RECORD_PATH, SealedKey, SealRecord
from pkigen.store import FileContent, UnreadableError
from tests.rotation.phases import Photograph
from tests.samples import NOW
from tests.state.test_generations import files, root

if TYPE_CHECKING:
    from pkigen.state.authority_record import Identities

MISSING, REPLACED, OLDER, NEW = AuthorityDifference
LEDGER, LOCK = ".pkigen/ledger.jsonl", "pki.lock"
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = spki_fingerprint(public_der(KEY.public_key()))
SEED = base64.b64encode(bytes(range(32)))
SECRET = b"QUJD\n"
CA_PATHS = [f"pki/{ca}{slot}.crt" for ca in CA for slot in Slot]
SA_PATHS = [f"pki/sa{slot}.key" for slot in Slot]
SECRET_PATHS = [f"pki/encryption{slot}.key" for slot in Slot]
BUNDLE = "pki/bundle.key"


@dataclass(frozen=True)
class Damaged(Photograph):
    """With something at a path that is no file."""

    unreadable: str

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        if path == self.unreadable:
            raise UnreadableError(f"{path} is a directory", reason="is a directory")
        return super().read(path, limit=limit)


def secret_identity(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return f"hmac-sha256:{hmac.digest(b'pkigen authority record 1' + bytes(1), digest, hashlib.sha256).hex()}"


# -- what identifies each key ------------------------------------------------------------------------


def test_every_key_of_every_generation_is_known_by_its_public_half() -> None:
    found = files({path.removesuffix(".crt"): root("ca", KEY) for path in [*CA_PATHS, "pki/root.crt"]})
    found |= dict.fromkeys(SA_PATHS, private_pem(KEY)) | dict.fromkeys(SECRET_PATHS, SECRET) | {BUNDLE: SEED}
    expected = dict.fromkeys([*CA_PATHS, "pki/root.crt", *SA_PATHS], SPKI)
    expected |= dict.fromkeys(SECRET_PATHS, secret_identity(SECRET))
    expected[BUNDLE] = spki_fingerprint(ed25519_public(bytes(range(32))))
    seen = observe_authority(Photograph(found))
    assert seen == expected
    assert list(seen) == sorted(expected)
    assert observe_authority(Photograph({})) == {}
    # Where the private keys are elsewhere, certificates speak for their CAs.
    public = Photograph({path: data for path, data in found.items() if path not in PRIVATE_PATHS})
    assert set(observe_authority(public)) == {*CA_PATHS, "pki/root.crt"}


@pytest.mark.parametrize("path", [CA_PATHS[0], "pki/root.crt", SA_PATHS[1], BUNDLE])
def test_what_is_there_and_no_key_is_unreadable_and_not_missing(path: str) -> None:
    assert observe_authority(Photograph({path: b"nothing"})) == {path: "unreadable"}


@pytest.mark.parametrize("path", [SA_PATHS[0], SECRET_PATHS[0], BUNDLE, CA_PATHS[0]])
def test_so_is_what_cannot_be_read(path: str) -> None:
    assert observe_authority(Damaged({path: b""}, path)) == {path: "unreadable"}


def test_what_stands_above_a_ca_is_recorded_apart() -> None:
    above = root("above")
    chained = certificate_pem(root("ca", KEY, above=above).certificate, above.certificate)
    assert observe_authority(Photograph({"pki/ca.crt": chained})) == {
        "pki/ca.crt": SPKI,
        "pki/ca.crt (chain)": spki_fingerprint(public_der(above.certificate.public_key())),
    }


@pytest.mark.parametrize(
    "data",
    [
        base64.b64encode(bytes(31)),
        base64.b64encode(bytes(33)),
        b"?" + SEED,
        SEED[:-1],
        b"\xff" * 44,
    ],
)
def test_a_bundle_key_is_a_seed_of_its_size_in_base64(data: bytes) -> None:
    assert observe_authority(Photograph({BUNDLE: data})) == {BUNDLE: "unreadable"}


def test_encrypting_the_authority_changes_nobodys_identity() -> None:
    identity = Identity.generate()
    plain = {SA_PATHS[0]: private_pem(KEY), SECRET_PATHS[0]: SECRET, BUNDLE: SEED}
    sealed = {path: identity.recipient.close(data) for path, data in plain.items()}
    assert observe_authority(Photograph(sealed)) == dict.fromkeys(plain, "unreadable"), "nothing knows them"
    record = SealRecord(recipient=identity.recipient.text, keys={})
    for path, public in (
        (SA_PATHS[0], public_der(KEY.public_key())),
        (SECRET_PATHS[0], None),
        (BUNDLE, ed25519_public(bytes(range(32)))),
    ):
        key = SealedKey(sha256=hashlib.sha256(plain[path]).digest(), public=public)
        record = record.with_key(sealed[path], key)
    known = Photograph({**sealed, RECORD_PATH: record.signed(identity).encode()})
    assert observe_authority(known) == observe_authority(Photograph(plain))
    # A secret in the place of a key has no public half.
    displaced = Photograph({**known.files, BUNDLE: sealed[SECRET_PATHS[0]]})
    assert observe_authority(displaced)[BUNDLE] == "unreadable"


@pytest.mark.parametrize(
    ("identifier", "stem"),
    [
        *((ca_id(ca), f"pki/{ca}{{}}.crt") for ca in CA),
        (SA, "pki/sa{}.key"),
        (ENCRYPTION_KEY, "pki/encryption{}.key"),
    ],
)
def test_by_which_file_a_generation_is_recorded(identifier: str, stem: str) -> None:
    assert [generation_path(identifier, slot) for slot in Slot] == [stem.format(slot) for slot in Slot]


# -- the comparison ----------------------------------------------------------------------------------

ONE, TWO, THREE = ({SECRET_PATHS[0]: secret_identity(each)} for each in (b"1", b"2", b"3"))


def ledger_of(*states: Identities) -> tuple[bytes, Head]:
    entries = (
        LedgerEntry(
            event=Event.RECORDED,
            id=LOCK,
            reason=None,
            facts={"authority": [f"{path}={identity}" for path, identity in state.items()]},
        )
        for state in states
    )
    return appended(b"", entries, now=NOW)


def lock_of(head: Head = EMPTY, authority: Identities | None = None, **more: Any) -> bytes:
    content = {"files": {}, "spec": {}, "ledger": {"entries": head.entries, "head": head.hash}, **more}
    return json.dumps(content if authority is None else {**content, "authority": authority}).encode()


def compared(
    found: dict[str, bytes], *, ledger: bytes | None = None, lock: bytes | None = None
) -> AuthorityComparison:
    records = {LEDGER: ledger, LOCK: lock}
    return compare_authority(
        Photograph({**found, **{path: data for path, data in records.items() if data is not None}})
    )


def told(found: AuthorityComparison) -> list[tuple[str, AuthorityDifference, str]]:
    return [(change.path, change.difference, change.witness) for change in found.changes]


def secret(content: bytes) -> dict[str, bytes]:
    return {SECRET_PATHS[0]: content}


def test_what_is_recorded_and_there_is_no_change() -> None:
    ledger, head = ledger_of(ONE)
    found = compared(secret(b"1"), ledger=ledger, lock=lock_of(head, ONE))
    assert (told(found), found.is_empty, found.is_blank, found.is_lost) == ([], False, False, False)


def test_an_empty_directory_is_blank_and_one_that_lost_its_keys_is_not() -> None:
    ledger, head = ledger_of(ONE)
    nothing = compared({})
    assert (nothing.is_empty, nothing.is_blank, nothing.is_lost) == (True, True, False)
    for records in ({"ledger": ledger}, {"lock": lock_of(EMPTY, ONE)}, {"lock": lock_of(head, ONE)}):
        lost = compared({}, **records)
        assert (lost.is_empty, lost.is_blank, lost.is_lost) == (True, False, True)
        assert (SECRET_PATHS[0], MISSING) in {each[:2] for each in told(lost)}
    unrecorded = compared(secret(b"1"))
    assert (unrecorded.is_empty, unrecorded.is_blank, unrecorded.is_lost) == (False, False, False)
    # What is gone is the ledger: it is no key.
    cut = compared({}, lock=lock_of(head))
    assert (told(cut), cut.is_lost) == ([(LEDGER, MISSING, LOCK)], False)


def test_the_ledger_speaks_first_and_tells_a_restored_key_from_another_one() -> None:
    ledger, head = ledger_of(ONE, TWO, THREE)
    lock = lock_of(head, THREE)
    for content, difference in ((b"1", OLDER), (b"2", OLDER), (b"4", REPLACED)):
        found = compared(secret(content), ledger=ledger, lock=lock)
        assert told(found) == [(SECRET_PATHS[0], difference, "the ledger")]
        assert (found.alarms, found.is_lost) == (found.changes, False)
    found = compared({}, ledger=ledger, lock=lock)
    assert told(found) == [(SECRET_PATHS[0], MISSING, "the ledger")]


def test_a_lock_file_that_is_merely_older_is_no_witness() -> None:
    """Restored alone, or checked out from Git."""
    ledger, _ = ledger_of(ONE, TWO)
    _, before = ledger_of(ONE)
    assert told(compared(secret(b"2"), ledger=ledger, lock=lock_of(before, ONE))) == []
    # One that knows another ledger is, and so is one of now that says otherwise.
    _, strange = ledger_of(THREE)
    found = compared(secret(b"2"), ledger=ledger, lock=lock_of(strange, ONE))
    assert told(found) == [(SECRET_PATHS[0], OLDER, LOCK), (LEDGER, REPLACED, LOCK)]
    now = ledger_of(ONE, TWO)[1]
    found = compared(secret(b"2"), ledger=ledger, lock=lock_of(now, THREE))
    assert told(found) == [(SECRET_PATHS[0], OLDER, LOCK)]
    # It is one, however old, where the ledger has no record: that of an older pkigen.
    other = LedgerEntry(event=Event.ROTATED, id="ca", reason=None, facts={})
    silent, _ = appended(b"", [other, other], now=NOW)
    first = appended(b"", [other], now=NOW)[1]
    found = compared(secret(b"2"), ledger=silent, lock=lock_of(first, ONE))
    assert told(found) == [(SECRET_PATHS[0], REPLACED, LOCK)]


def test_how_the_ledger_differs_from_the_one_that_the_lock_file_knows() -> None:
    ledger, head = ledger_of(ONE, TWO, TWO)
    shorter, _ = ledger_of(ONE, TWO)
    other, _ = ledger_of(ONE, TWO, ONE, TWO)
    longer, _ = ledger_of(ONE, TWO, TWO, TWO)
    alike, there = ledger_of(ONE, ONE, TWO)
    lock = lock_of(head, TWO)
    for data, difference in ((shorter, OLDER), (other, REPLACED), (alike, REPLACED), (None, MISSING)):
        assert told(compared(secret(b"2"), ledger=data, lock=lock)) == [(LEDGER, difference, LOCK)]
    for data in (ledger, longer):
        assert told(compared(secret(b"2"), ledger=data, lock=lock)) == []
    (change,) = compared(secret(b"2"), ledger=alike, lock=lock).changes
    assert (change.recorded, change.found) == (f"3 lines, {head.hash[:8]}", f"3 lines, {there.hash[:8]}")
    (gone,) = compared(secret(b"2"), lock=lock).changes
    assert gone.found is None
    assert str(gone) == f"{LEDGER} is missing, and {LOCK} records it (3 lines, {head.hash[:8]})"


def test_a_ledger_that_cannot_be_read_counts_as_none() -> None:
    found = compare_authority(Damaged({**secret(b"1"), LOCK: lock_of(ledger_of(ONE)[1], ONE)}, LEDGER))
    assert told(found) == [(LEDGER, MISSING, LOCK)]


@pytest.mark.parametrize("identifier", [*map(ca_id, CA), SA, ENCRYPTION_KEY])
def test_what_nobody_has_to_be_told(identifier: str) -> None:
    """A key beside the current one is trusted at once; a next one that goes was only trusted."""
    current, following, previous = (generation_path(identifier, slot) for slot in Slot)
    everything = files({path.removesuffix(".crt"): root("ca", KEY) for path in CA_PATHS})
    everything |= dict.fromkeys(SA_PATHS, private_pem(KEY)) | dict.fromkeys(SECRET_PATHS, b"1")
    seen = observe_authority(Photograph(everything))
    for path, new, gone in ((current, False, True), (following, True, False), (previous, True, True)):
        known = {each: identity for each, identity in seen.items() if each != path}
        found = compared(everything, ledger=ledger_of(known)[0])
        assert told(found) == [(path, NEW, "the ledger")]
        assert bool(found.alarms) is new
        rest = {each: data for each, data in everything.items() if each != path}
        found = compared(rest, ledger=ledger_of(seen)[0])
        assert told(found) == [(path, MISSING, "the ledger")]
        assert bool(found.alarms) is gone


def test_a_chain_that_nothing_records_takes_no_others_place() -> None:
    above = root("above")
    pem = certificate_pem(root("ca", KEY, above=above).certificate, above.certificate)
    found = {"pki/ca.crt": pem}
    seen = observe_authority(Photograph(found))
    alone = {"pki/ca.crt": SPKI}
    assert told(compared(found, ledger=ledger_of(alone)[0])) == []
    other = {**alone, "pki/ca.crt (chain)": "sha256:other"}
    assert told(compared(found, ledger=ledger_of(other)[0])) == [
        ("pki/ca.crt (chain)", REPLACED, "the ledger")
    ]
    cut = {"pki/ca.crt": certificate_pem(root("ca", KEY).certificate)}
    assert told(compared(cut, ledger=ledger_of(seen)[0])) == [("pki/ca.crt (chain)", MISSING, "the ledger")]


def test_an_older_lock_file_knows_the_cas_alone() -> None:
    facts = {"ca": {"spki": SPKI, "fingerprint": ""}, "cp-1/apiserver": {"spki": "x", "fingerprint": ""}}
    lock = lock_of(certificates=facts)
    own = files({"pki/ca": root("ca", KEY), "pki/etcd/ca": root("etcd-ca")}) | secret(b"1")
    assert told(compared(own, lock=lock)) == []
    stranger = own | files({"pki/ca": root("ca")})
    assert told(compared(stranger, lock=lock)) == [("pki/ca.crt", REPLACED, LOCK)]
    # Where the ledger says more, such a lock file says nothing.
    recorded = ledger_of(observe_authority(Photograph(stranger)))[0]
    assert told(compared(stranger, ledger=recorded, lock=lock)) == []


def test_whose_key_was_recorded() -> None:
    seen = {"pki/etcd/ca-next.crt": SPKI, "pki/ca.crt": "sha256:other", SA_PATHS[0]: SPKI}
    ledger, head = ledger_of(seen)
    tree = Photograph({LEDGER: ledger})
    assert recorded_cas(tree, SPKI) == {CA.ETCD}
    assert recorded_cas(tree, "sha256:other") == {CA.KUBERNETES}
    assert recorded_cas(tree, "sha256:nobody") == frozenset()
    lock = lock_of(head, {"pki/front-proxy-ca-previous.crt": SPKI})
    assert recorded_cas(Photograph({LEDGER: ledger, LOCK: lock}), SPKI) == {CA.ETCD, CA.FRONT_PROXY}


# -- what is made of it ------------------------------------------------------------------------------


def test_what_is_said_of_each() -> None:
    ledger, _ = ledger_of(ONE, TWO)
    shown = [next(iter(each.values())).removeprefix("hmac-")[:23] for each in (ONE, TWO, THREE)]
    assert all(each.startswith("sha256:") for each in shown)
    path = SECRET_PATHS[0]
    for content, said in (
        (b"1", f"{path} is older than what the ledger records: it is {shown[0]}, which {shown[1]} has "),
        (b"3", f"{path} was replaced: it is {shown[2]}, and the ledger records {shown[1]}"),
        (None, f"{path} is missing, and the ledger records it ({shown[1]})"),
    ):
        (change,) = compared({} if content is None else secret(content), ledger=ledger).changes
        assert str(change).startswith(said)
    (new,) = compared(secret(b"2") | {SECRET_PATHS[1]: b"3"}, ledger=ledger).changes
    assert str(new).startswith(f"{SECRET_PATHS[1]} is new ({shown[2]}): nothing records it")


def test_only_the_recorded_authority_signs() -> None:
    ledger, _ = ledger_of(ONE)
    require_recorded(Photograph({**secret(b"1"), LEDGER: ledger}))
    with pytest.raises(AuthorityError, match=r"is not the one that is recorded: .* records sha256:\w{16}$"):
        require_recorded(Photograph({**secret(b"2"), LEDGER: ledger}))
    more = {**secret(b"2"), SECRET_PATHS[1]: b"3", LEDGER: ledger}
    with pytest.raises(
        AuthorityError, match=r": pki/encryption-next.key is new .* \(and 1 more\)$"
    ) as refused:
        require_recorded(Photograph(more), way="or else")
    assert refused.value.hint.endswith("from the newest backup of this directory; or else")
