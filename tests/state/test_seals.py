"""The record of the sealed keys: one form, one MAC, and which key is like or the same as which."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from pkigen.crypto.age import Identity
from pkigen.errors import AuthorityError
from pkigen.state.seals import (
    IDENTITY_PATH,
    LARGEST_RECORD,
    RECORD_PATH,
    SealedKey,
    SealRecord,
    decode_record,
    digest,
)

IDENTITY = Identity.generate()
RECIPIENT = IDENTITY.recipient.text
PAIR = SealedKey(sha256=bytes(32), public=b"public half")
SECRET = SealedKey(sha256=bytes(range(32)), size=32)
BUNDLE = SealedKey(sha256=b"\x01" * 32, public=b"ed25519", size=32)
RECORD = SealRecord(recipient=RECIPIENT, keys={}).with_key(b"a", PAIR).with_key(b"b", SECRET)
SIGNED = RECORD.with_key(b"c", BUNDLE).signed(IDENTITY)


def test_a_record_has_one_form_and_is_read_as_it_was_written() -> None:
    text = SIGNED.encode()
    assert decode_record(text) == SIGNED
    content = json.loads(text)
    assert list(content) == ["apiVersion", "kind", "recipient", "keys", "mac"]
    assert (content["apiVersion"], content["kind"]) == ("pkigen/v1", "SealedKeys")
    assert list(content["keys"]) == sorted(digest(each) for each in (b"a", b"b", b"c"))
    assert content["keys"][digest(b"a")] == {
        "sha256": "00" * 32,
        "public": base64.b64encode(b"public half").decode(),
    }
    assert content["keys"][digest(b"b")] == {"sha256": bytes(range(32)).hex(), "size": 32}
    assert set(content["keys"][digest(b"c")]) == {"sha256", "public", "size"}
    assert digest(b"a") == hashlib.sha256(b"a").hexdigest()


def test_where_an_earlier_pkigen_has_put_it() -> None:
    assert (IDENTITY_PATH, RECORD_PATH) == ("pki/identity.age", "pki/sealed.json")
    assert LARGEST_RECORD == 1 << 20


def test_the_order_in_which_keys_were_closed_does_not_count() -> None:
    other = SealRecord(recipient=RECIPIENT, keys={}).with_key(b"c", BUNDLE).with_key(b"b", SECRET)
    assert other.with_key(b"a", PAIR).signed(IDENTITY).encode() == SIGNED.encode()


def test_the_mac_is_over_the_canonical_content() -> None:
    """So that an earlier pkigen's record stays true: the formula must not change."""
    content = {key: value for key, value in json.loads(SIGNED.encode()).items() if key != "mac"}
    message = b"pkigen sealed keys 1\0" + json.dumps(content).encode()
    assert SIGNED.mac == hmac.digest(IDENTITY.text.encode(), message, hashlib.sha256)


def test_only_who_can_open_the_authority_can_change_the_record() -> None:
    SIGNED.require_genuine(IDENTITY)
    for forged in (
        RECORD,
        SIGNED.with_key(b"d", PAIR),
        SIGNED.only({digest(b"a")}),
        SIGNED.signed(Identity.generate()),
    ):
        with pytest.raises(AuthorityError, match="was changed by something that cannot open the authority"):
            forged.require_genuine(IDENTITY)
    with pytest.raises(AuthorityError):
        SIGNED.require_genuine(Identity.generate())


def test_a_sealed_file_is_known_by_its_bytes() -> None:
    assert (RECORD.of(b"a"), RECORD.of(b"b"), RECORD.of(b"c")) == (PAIR, SECRET, None)
    left = SIGNED.only({digest(b"b"), "another"})
    assert (left.of(b"a"), left.of(b"b"), left.recipient) == (None, SECRET, RECIPIENT)
    assert RECORD.with_key(b"a", SECRET).of(b"a") == SECRET


def changed(**parts: object) -> bytes:
    return json.dumps({**json.loads(SIGNED.encode()), **parts}, indent=1).encode() + b"\n"


def one_key(**facts: object) -> bytes:
    return changed(keys={digest(b"a"): {"sha256": "00" * 32, **facts}})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]\n",
        b"[" * 100_000,
        SIGNED.encode() + b"\n",
        SIGNED.encode().replace(b"  ", b" "),
        changed(more=1),
        changed(apiVersion="pkigen/v2"),
        changed(kind="Sealed"),
        changed(recipient="age1nobody"),
        changed(recipient=1),
        changed(mac=SIGNED.mac.hex().upper()),
        changed(mac="00"),
        changed(mac=None),
        changed(keys=[]),
        changed(keys={"00": {"sha256": "00" * 32}}),
        changed(keys={digest(b"a"): {}}),
        changed(keys={digest(b"a"): None}),
        one_key(sha256="00" * 31),
        one_key(size="32"),
        one_key(size=[]),
        one_key(public="not base64"),
        one_key(public=1),
        one_key(public="YQ==", size=True),
    ],
)
def test_any_other_form_is_no_record(text: bytes) -> None:
    assert decode_record(text) is None


def test_forms_of_one_key_that_are_read() -> None:
    """What the cases above differ from."""
    facts: dict[str, Any]
    for facts in ({}, {"size": 32}, {"public": "YQ=="}, {"public": "YQ==", "size": 32}):
        found = decode_record(one_key(**facts))
        assert found is not None
        key = found.of(b"a")
        assert key is not None
        assert (key.public, key.size) == (b"a" if "public" in facts else None, facts.get("size"))


@pytest.mark.parametrize(
    ("one", "other", "like", "same"),
    [
        (PAIR, SealedKey(sha256=b"x", public=b"other"), True, False),
        (PAIR, SealedKey(sha256=b"x", public=b"public half"), True, True),
        (PAIR, BUNDLE, False, False),
        (SECRET, SealedKey(sha256=b"x", size=32), True, False),
        (SECRET, SealedKey(sha256=b"x", size=24), False, False),
        (SECRET, BUNDLE, False, False),
    ],
)
def test_kinds_of_keys(one: SealedKey, other: SealedKey, *, like: bool, same: bool) -> None:
    assert (one.is_like(other), other.is_like(one)) == (like, like)
    assert (one.is_same(other), other.is_same(one)) == (same, same)


def test_the_mac_is_not_shown() -> None:
    assert "mac" not in repr(SIGNED)
