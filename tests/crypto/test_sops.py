"""Documents in the form of SOPS, opened by its rules and by nothing of pkigen's."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import pyrage
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pkigen.crypto.age import Identity
from pkigen.crypto.sops import sealed_documents

NOW = datetime(2026, 11, 22, 3, 4, 5, 678, tzinfo=UTC)
MOMENT = "2026-11-22T03:04:05Z"
OPENERS = [Identity.generate() for _ in range(2)]
VALUE = re.compile(r"ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:str\]")


class Entropy:
    """Random bytes that are told apart; it writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, size: int) -> bytes:
        self.asked.append(size)
        return bytes([len(self.asked)]) * size


def sealed(
    *documents: dict[str, Any], only: str = "", entropy: Entropy | None = None
) -> list[dict[str, Any]]:
    recipients = [each.recipient for each in OPENERS]
    made = sealed_documents(documents, recipients, only=only, now=NOW, entropy=entropy or Entropy())
    return [dict(each) for each in made]


def data_key(metadata: dict[str, Any], opener: Identity) -> bytes:
    """The key that each recipient can open, in age's armored form."""
    (found,) = (each["enc"] for each in metadata["age"] if each["recipient"] == opener.recipient.text)
    head, *lines, end = found.strip().split("\n")
    assert (head, end) == ("-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----")
    data = base64.b64decode("".join(lines))
    return pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(opener.text)])


def opened(value: str, key: bytes, additional: str) -> str:
    found = VALUE.fullmatch(value)
    assert found is not None, value
    data, nonce, tag = (base64.b64decode(each) for each in found.groups())
    assert (len(nonce), len(tag)) == (32, 16)
    return AESGCM(key).decrypt(nonce, data + tag, additional.encode()).decode()


def test_every_value_is_encrypted_and_belongs_to_its_place() -> None:
    (document,) = sealed({"b": {"c": "two", "a": ""}, "a": "one"})
    metadata = document.pop("sops")
    assert list(document) == ["a", "b"]
    assert list(document["b"]) == ["a", "c"]
    for opener in OPENERS:
        key = data_key(metadata, opener)
        assert len(key) == 32
        assert opened(document["a"], key, "a:") == "one"
        assert opened(document["b"]["c"], key, "b:c:") == "two"
        assert opened(document["b"]["a"], key, "b:a:") == ""
        with pytest.raises(InvalidTag):
            opened(document["a"], key, "b:")


def test_only_what_stands_below_a_name_is_encrypted_where_one_is_given() -> None:
    (document,) = sealed(
        {"kind": "Secret", "data": {"a": "one", "b": {"c": "two"}}, "x": {"stringData": "y"}},
        only="^(data|stringData)$",
    )
    metadata = document.pop("sops")
    key = data_key(metadata, OPENERS[0])
    assert document["kind"] == "Secret"
    assert opened(document["data"]["a"], key, "data:a:") == "one"
    assert opened(document["data"]["b"]["c"], key, "data:b:c:") == "two"
    assert opened(document["x"]["stringData"], key, "x:stringData:") == "y"
    assert metadata["encrypted_regex"] == "^(data|stringData)$"
    assert "unencrypted_suffix" not in metadata


def test_the_mac_is_over_all_values_in_their_order_readable_ones_too() -> None:
    documents = sealed({"b": "two", "a": {"data": "one"}}, {"c": "three"}, only="data")
    metadata = documents[0]["sops"]
    digest = hashlib.sha512(b"onetwothree").hexdigest().upper()
    assert opened(metadata["mac"], data_key(metadata, OPENERS[0]), MOMENT) == digest
    # All of them are one file, and each document has its metadata.
    assert documents[1]["sops"] == metadata
    assert documents[1]["c"] == "three"


def test_what_is_said_beside_them() -> None:
    (document,) = sealed({"a": "one"})
    metadata = document["sops"]
    assert list(metadata) == ["age", "lastmodified", "mac", "version", "unencrypted_suffix"]
    assert (metadata["lastmodified"], metadata["version"]) == (MOMENT, "3.9.0")
    assert metadata["unencrypted_suffix"] == "_unencrypted"
    assert [each["recipient"] for each in metadata["age"]] == [each.recipient.text for each in OPENERS]


def test_the_key_and_every_nonce_are_random() -> None:
    entropy = Entropy()
    (document,) = sealed({"a": "one", "b": "one"}, entropy=entropy)
    assert entropy.asked == [32, 32, 32, 32]
    assert document["a"] != document["b"]


def test_a_readable_value_keeps_its_kind() -> None:
    (document,) = sealed({"a": 7}, only="data")
    assert document["a"] == 7
