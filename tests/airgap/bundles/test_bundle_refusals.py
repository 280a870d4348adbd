"""What is refused, each with its own message, and nothing written."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.bundles.record import read_installed
from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint, is_signed, parse_pin
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, MAGIC, require_key, unwrap
from pkigen.airgap.carrier.format import BundleKind, decode_label, encode_label
from pkigen.crypto.age import Identity, Passphrase, Recipient
from pkigen.errors import BundleError, UsageError
from tests.airgap.bundles.bundle_site import BundleSite, looking, refuse_or_put
from tests.samples import CP1, NOW, snapshot

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> BundleSite:
    """Another cluster."""
    return BundleSite.made(tmp_path_factory.mktemp("stranger") / "other", CP1, name="other")


def refused(site: BundleSite, data: bytes, node: Path, name: str = "worker-1", **more: object) -> str:
    """The message; the node must be as it was."""
    before = snapshot(node)
    with pytest.raises(BundleError) as caught:
        refuse_or_put(site, data, node, name, **more)  # type: ignore[arg-type]
    assert snapshot(node) == before
    return caught.value.message


def test_each_refusal_has_its_own_message(site: BundleSite, stranger: BundleSite, node: Path) -> None:
    good = site.bundle("worker-1")
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    unsigned = good[: len(MAGIC) + 32] + bytes(64) + good[len(MAGIC) + 96 :]
    packed = site.packed("worker-1")
    label = packed.label(created=NOW, reader="nobody")
    messages = {
        "flipped bit": refused(site, bytes(flipped), node),
        "another node": refused(site, site.bundle("worker-2"), node),
        "another key": refused(site, stranger.bundle("cp-1"), node, "cp-1"),
        "expired": refused(site, good, node, now=NOW + 400 * DAY),
        "too old": refused(site, good, node, now=NOW + 31 * DAY),
        "the future": refused(site, good, node, now=NOW - DAY),
        "unsigned": refused(site, unsigned, node),
        "bare age": refused(site, b"age-encryption.org/v1\n", node),
        "something else": refused(site, b"\x7fELF" + bytes(200), node),
        "cut off": refused(site, good[:60], node),
        "another kind": refused(site, site.bundle("worker-1", kind=BundleKind.RESCUE), node),
        "too large": refused(site, MAGIC + bytes(LARGEST_BUNDLE), node),
        "another identity": refused(replace(site, identities={"worker-1": Identity.generate()}), good, node),
        "label and content": refused(
            site, site.closed(replace(label, serial=label.serial + 1), packed.archive), node
        ),
    }
    assert list(node.iterdir()) == []
    refuse_or_put(site, good, node, "worker-1")
    messages["older"] = refused(site, site.bundle("worker-1", created=NOW - DAY), node)
    messages["older serial"] = refused(
        site, site.bundle("worker-1", serial=1, created=NOW + DAY), node, now=NOW + DAY
    )
    messages["another cluster"] = refused(site, site.bundle("worker-1", cluster="staging"), node)
    assert messages.pop("older") != messages.pop("older serial")
    assert len(set(messages.values())) == len(messages), messages
    for said, words in {
        "flipped bit": "changed after it was signed",
        "another node": "for another node: worker-2",
        "another key": " is pinned",
        "expired": "expired",
        "too old": "31d ago; 720h are allowed",
        "the future": "in the future of this host's clock",
        "unsigned": "not signed",
        "another cluster": "another cluster: staging, where prod",
        "another identity": "not sealed to this host's identity",
    }.items():
        assert words in messages[said]


def test_a_key_that_came_to_be_trusted_meanwhile() -> None:
    """Between the question and the change somebody may have installed another cluster's bundle."""
    key, other = BundleKey(seed=bytes(32)), BundleKey(seed=bytes(range(32)))
    require_key(key.public, fingerprint(key.public))
    with pytest.raises(BundleError, match=r"it is signed by .*, but .* is pinned"):
        require_key(key.public, fingerprint(other.public))


def test_every_byte_is_under_the_signature(site: BundleSite) -> None:
    """A flipped bit anywhere: every byte of the head and label, and six hundred places of the rest."""
    good, pin = site.bundle("worker-1"), site.pin
    chance = random.Random(7)  # noqa: S311 -- repeatable, not secret
    places = [*range(600), *(chance.randrange(len(good)) for _ in range(600))]
    for place in places:
        changed = bytearray(good)
        changed[place] ^= 1 << chance.randrange(8)
        with pytest.raises(BundleError):
            unwrap(bytes(changed), pin=pin)
        with pytest.raises(BundleError):
            unwrap(bytes(changed), pin=None)
    assert unwrap(good, pin=None).label.node == "worker-1"
    with pytest.raises(BundleError):
        unwrap(good + b"\0", pin=pin)


def test_nothing_is_parsed_before_the_signature(site: BundleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    good = bytearray(site.bundle("worker-1"))
    good[-1] ^= 1

    def parsed(_data: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr("pkigen.airgap.carrier.envelope.decode_label", parsed)
    with pytest.raises(BundleError, match="changed after"):
        unwrap(bytes(good), pin=site.pin)


def test_a_signed_label_is_still_read_strictly(site: BundleSite) -> None:
    label = site.packed("worker-1").label(created=NOW, reader="passphrase")
    text = encode_label(label)
    assert decode_label(text) == label
    for changed in (
        text.replace(b'"node"', b'"node": "x", "node"'),
        text.replace(b"worker-1", b"../worker"),
        text.replace(b'"node": "worker-1"', b'"node": 7'),
        text.replace(b'"serial": ', b'"serial": -'),
        text.replace(b'"serial": ', b'"serial": 9999999999999999999'),
        text.replace(b"2026-03-01T", b"2026-02-30T"),
        text.replace(b"\n", b""),
        text + b" ",
        b"[" * 10000,
        b"7",
        b"",
    ):
        with pytest.raises(BundleError, match="label is not in pkigen's canonical form"):
            decode_label(changed)


def test_a_label_that_does_not_end(site: BundleSite) -> None:
    with looking(site.world.root) as store:
        key = BundleKey.of_file(store.read("pki/bundle.key").data)
    body = (2**31).to_bytes(4, "big") + b"{}"
    public = key.public
    signature = key.sign(b"pkigen bundle signature 1\0" + MAGIC + public + body)
    with pytest.raises(BundleError, match="label is cut off"):
        unwrap(MAGIC + public + signature + body, pin=fingerprint(public))


def test_pins_and_keys() -> None:
    key = BundleKey(seed=bytes(range(32)))
    pin = fingerprint(key.public)
    assert parse_pin(f" {pin.upper()} ") == pin
    assert len(pin) == 29
    assert "seed" not in repr(key)
    for wrong in ("", "abc", pin[:-1], pin.replace("-", "")):
        with pytest.raises(UsageError):
            parse_pin(wrong)
    for text in (b"", b"!", b"QUJD"):
        with pytest.raises(BundleError, match="is not a key that pkigen has made"):
            BundleKey.of_file(text)
    assert not is_signed(key.public, bytes(64), b"")
    assert not is_signed(b"short", bytes(64), b"")


def test_seals() -> None:
    identity, other = Identity.generate(), Identity.generate()
    sealed = identity.recipient.close(b"content")
    assert identity.open(sealed) == b"content"
    assert "AGE-SECRET-KEY" not in repr(identity)
    with pytest.raises(BundleError, match="not sealed to this host"):
        other.open(sealed)
    words = Passphrase("correct horse battery staple")
    assert "horse" not in repr(words)
    with pytest.raises(BundleError, match="sealed to an identity"):
        words.open(sealed)
    closed = words.close(b"content")
    assert words.open(closed) == b"content"
    with pytest.raises(BundleError, match="passphrase is wrong"):
        Passphrase("wrong").open(closed)
    with pytest.raises(BundleError, match="sealed with a passphrase"):
        identity.open(closed)
    for text in (b"", b"x", b"# only a comment\n", b"AGE-SECRET-KEY-1" + b"Q" * 58 + b"\n" + b"A"):
        with pytest.raises(UsageError, match="one age identity"):
            Identity.of_file(text, "file")
    with pytest.raises(UsageError, match="checksum"):
        _ = Identity.of_file(b"AGE-SECRET-KEY-1" + b"Q" * 58, "file").recipient
    with pytest.raises(UsageError, match="not an age recipient"):
        Recipient("age1" + "q" * 58).close(b"")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"label": {}, "key": "", "paths": []}', b"\xff"])
def test_a_damaged_record_is_no_licence(node: Path, content: bytes) -> None:
    record = node / "var/lib/pkigen/installed.json"
    record.parent.mkdir(parents=True)
    record.write_bytes(content)
    with looking(node) as store, pytest.raises(BundleError, match=r"installed\.json is damaged"):
        read_installed(store)
    record.unlink()
    record.mkdir()
    with looking(node) as store, pytest.raises(BundleError, match="is a directory"):
        read_installed(store)
