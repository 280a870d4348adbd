"""The vault over trees in memory: what it opens, and every way in which somebody else's key is refused."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pkigen.crypto.age import Identity
from pkigen.crypto.keys import ed25519_public, private_pem, public_der
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
from pkigen.state.vault import (
    PlainVault,
    SealedVault,
    is_encrypted,
    sealed_identity,
    sealed_key_of,
)
from pkigen.store import FileContent, UnreadableError
from tests.rotation.phases import Photograph

OPENER = Identity.generate()
PAIRS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
FIRST, SECOND, THIRD = map(private_pem, PAIRS)
SECRET, OTHER = (base64.b64encode(bytes([number]) * 32) for number in (1, 2))
CA, SA, ENCRYPTION, BUNDLE = "pki/ca.key", "pki/sa.key", "pki/encryption.key", "pki/bundle.key"
FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
CONTENT = {CA: FIRST, SA: SECOND, ENCRYPTION: SECRET}


@pytest.fixture(scope="module")
def tree() -> Photograph:
    """An authority whose private files are sealed."""
    return sealed_tree(CONTENT)


def sealed_tree(content: dict[str, bytes]) -> Photograph:
    vault = SealedVault.new(OPENER.recipient)
    closed = {path: vault.close(path, data) for path, data in content.items()}
    return Photograph({**closed, **vault.files([digest(data) for data in closed.values()])})


def unlocked(tree: Photograph, key: Identity = OPENER) -> SealedVault:
    sealed = sealed_identity(tree)
    assert sealed is not None
    return SealedVault.unlock(tree, sealed, key)


def with_files(tree: Photograph, changes: dict[str, bytes]) -> Photograph:
    return Photograph({**tree.files, **changes})


def refusal(tree: Photograph, key: Identity = OPENER) -> str:
    with pytest.raises(AuthorityError) as found:
        unlocked(tree, key)
    assert found.value.hint or "another" in found.value.message
    return found.value.message


# -- what it opens --------------------------------------------------------------------------------------


def test_what_was_closed_is_opened(tree: Photograph) -> None:
    vault = unlocked(tree)
    assert vault.seals
    for path, content in CONTENT.items():
        assert tree.files[path].startswith(b"age-encryption.org/v1\n")
        assert vault.open(path, tree.files[path]) == content
    assert vault.record == tree.files[RECORD_PATH]


def test_the_identity_is_kept_as_it_is_and_the_record_says_what_there_is(tree: Photograph) -> None:
    vault = unlocked(tree)
    added = vault.close("pki/sa-next.key", THIRD)
    present = [digest(added), *(digest(tree.files[path]) for path in (CA, ENCRYPTION))]
    files = vault.files(present)
    assert set(files) == {IDENTITY_PATH, RECORD_PATH}
    assert files[IDENTITY_PATH] == tree.files[IDENTITY_PATH]
    record = decode_record(files[RECORD_PATH])
    assert record is not None
    assert set(record.keys) == set(present)
    later = with_files(tree, {**files, "pki/sa-next.key": added})
    assert unlocked(later).open("pki/sa-next.key", added) == THIRD
    # Its entry is gone: an old sealed file that somebody puts back does not open.
    with pytest.raises(AuthorityError, match=r"pki/sa\.key does not match pki/sealed\.json: it was replaced"):
        unlocked(later).open(SA, tree.files[SA])


def test_every_vault_has_an_identity_of_its_own() -> None:
    first, second = (SealedVault.new(OPENER.recipient).files([]) for _ in range(2))
    texts = [OPENER.open(each[IDENTITY_PATH]) for each in (first, second)]
    assert texts[0] != texts[1]
    for text, files in zip(texts, (first, second), strict=True):
        record = decode_record(files[RECORD_PATH])
        assert record is not None
        assert record.recipient == Identity.of_file(text, "x").recipient.text
        assert text.endswith(b"\n")


def test_a_key_that_was_never_sealed_here_is_taken_as_it_is(tree: Photograph) -> None:
    brought = with_files(tree, {"pki/etcd/ca.key": b"not sealed", "pki/front-proxy-ca.key": THIRD})
    smaller = sealed_tree({ENCRYPTION: SECRET})
    vault = unlocked(with_files(smaller, {CA: THIRD}))
    assert vault.open(CA, THIRD) == THIRD
    with pytest.raises(AuthorityError, match=r"pki/etcd/ca\.key is not a secret"):
        unlocked(brought)


def test_a_plain_vault_changes_nothing_and_opens_nothing() -> None:
    vault = PlainVault()
    assert (vault.seals, vault.record, vault.files(["00"])) == (False, None, {})
    assert (vault.close(CA, FIRST), vault.open(CA, FIRST)) == (FIRST, FIRST)
    with pytest.raises(AuthorityError, match=r"pki/ca\.key is sealed, and pki/identity\.age is missing"):
        vault.open(CA, OPENER.recipient.close(FIRST))


# -- what it refuses ------------------------------------------------------------------------------------


def test_who_cannot_open_the_identity_gets_no_vault(tree: Photograph) -> None:
    assert refusal(tree, Identity.generate()).startswith("pki/identity.age cannot be opened: ")
    foreign = with_files(tree, {IDENTITY_PATH: OPENER.recipient.close(Identity.generate().text.encode())})
    assert "was changed by something that cannot open the authority" in refusal(foreign)


def test_a_record_of_another_identity_is_refused(tree: Photograph) -> None:
    identity = Identity.of_file(OPENER.open(tree.files[IDENTITY_PATH]), "x")
    record = decode_record(tree.files[RECORD_PATH])
    assert record is not None
    other = SealRecord(recipient=Identity.generate().recipient.text, keys=record.keys).signed(identity)
    assert refusal(with_files(tree, {RECORD_PATH: other.encode()})) == (
        "pki/sealed.json belongs to another pki/identity.age"
    )


def test_without_a_record_in_its_one_form_nothing_is_opened(tree: Photograph) -> None:
    gone = Photograph({path: data for path, data in tree.files.items() if path != RECORD_PATH})
    assert refusal(gone) == "pki/sealed.json is missing"
    for text in (b"{}", tree.files[RECORD_PATH] + b"\n"):
        damaged = with_files(tree, {RECORD_PATH: text})
        assert refusal(damaged) == "pki/sealed.json is not in pkigen's canonical form"


def test_a_large_record_is_read() -> None:
    class Strict(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
            if path == RECORD_PATH:
                limits.append(limit)
            return super().read(path, limit=limit)

    limits: list[int] = []
    strict = Strict(sealed_tree(CONTENT).files)
    unlocked(strict)
    assert is_encrypted(strict)
    assert set(limits) == {LARGEST_RECORD}


def test_a_sealed_file_that_was_changed_does_not_open(tree: Photograph) -> None:
    vault = unlocked(tree)
    damaged = tree.files[CA][:-1] + bytes([tree.files[CA][-1] ^ 1])
    with pytest.raises(AuthorityError, match=r"pki/ca\.key cannot be opened: it was changed"):
        vault.open(CA, damaged)
    with pytest.raises(AuthorityError, match="or is sealed for something else"):
        vault.open(CA, Identity.generate().recipient.close(FIRST))


def test_what_somebody_else_has_sealed_to_the_recipient_is_refused(tree: Photograph) -> None:
    """Everybody can who knows the public half: only the record tells it apart."""
    record = decode_record(tree.files[RECORD_PATH])
    identity = Identity.of_file(OPENER.open(tree.files[IDENTITY_PATH]), "x")
    assert record is not None
    forged = identity.recipient.close(THIRD)
    with pytest.raises(AuthorityError, match="does not match"):
        unlocked(tree).open(CA, forged)
    # And the record says what is in it.
    wrong = record.with_key(forged, sealed_key_of(CA, FIRST)).signed(identity)
    with pytest.raises(AuthorityError, match="does not match"):
        unlocked(with_files(tree, {RECORD_PATH: wrong.encode(), CA: forged})).open(CA, forged)


@pytest.mark.parametrize(
    ("path", "content"),
    [(CA, THIRD), (SA, THIRD), (ENCRYPTION, OTHER), ("pki/encryption-next.key", OTHER)],
    ids=["ca", "sa", "encryption", "encryption-next"],
)
def test_an_open_key_in_the_place_of_a_sealed_one_is_refused(
    path: str, content: bytes, tree: Photograph
) -> None:
    files = {**tree.files, path: content}
    if path not in CONTENT:
        del files[ENCRYPTION]
    said = refusal(Photograph(files))
    assert said == f"{path} is not encrypted, and is another key than the sealed one that stood there"


def test_the_same_key_may_lie_open_and_is_sealed_again(tree: Photograph) -> None:
    for path, content in CONTENT.items():
        opened = with_files(tree, {path: content})
        assert unlocked(opened).open(path, content) == content
    assert unlocked(with_files(tree, CONTENT)).open(SA, SECOND) == SECOND, (
        "each is one of those that are gone"
    )
    # In another form: it is known by its public half.
    rewritten = PAIRS[0].private_bytes(*FORM, serialization.NoEncryption())
    assert rewritten != FIRST
    unlocked(with_files(tree, {CA: rewritten}))


def test_where_no_sealed_file_is_gone_nothing_was_replaced(tree: Photograph) -> None:
    unlocked(with_files(tree, {"pki/etcd/ca.key": THIRD, "pki/encryption-next.key": OTHER}))
    gone = {path: data for path, data in tree.files.items() if path != ENCRYPTION}
    unlocked(Photograph({**gone, "pki/etcd/ca.key": THIRD}))


# -- whether there is one -------------------------------------------------------------------------------


def test_whether_an_authority_is_encrypted(tree: Photograph) -> None:
    assert (is_encrypted(tree), sealed_identity(tree)) == (True, tree.files[IDENTITY_PATH])
    plain = Photograph(CONTENT)
    assert (is_encrypted(plain), sealed_identity(plain)) == (False, None)
    gone = Photograph({path: data for path, data in tree.files.items() if path != IDENTITY_PATH})
    for files, said in (
        (gone, r"pki/identity\.age is missing, and pki/sealed\.json is there"),
        (with_files(tree, {IDENTITY_PATH: OPENER.text.encode()}), r"pki/identity\.age is not an age file"),
    ):
        with pytest.raises(AuthorityError, match=said):
            sealed_identity(files)


def test_what_stands_in_the_identitys_place_is_told() -> None:
    class Directory(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:  # noqa: ARG002 -- a reader's
            raise UnreadableError(path, reason="is a directory")

    with pytest.raises(AuthorityError, match=r"^pki/identity\.age is a directory$"):
        sealed_identity(Directory({}))


# -- what the record says of a key ----------------------------------------------------------------------


def test_what_is_recorded_of_each_kind() -> None:
    def sha256(content: bytes) -> bytes:
        return hashlib.sha256(content).digest()

    public = public_der(PAIRS[0].public_key())
    assert sealed_key_of(CA, FIRST) == SealedKey(sha256=sha256(FIRST), public=public)
    assert sealed_key_of(ENCRYPTION, SECRET) == SealedKey(sha256=sha256(SECRET), size=32)
    seed = base64.b64encode(bytes(range(32)))
    expected = SealedKey(sha256=sha256(seed), public=ed25519_public(bytes(range(32))), size=32)
    assert sealed_key_of(BUNDLE, seed) == expected
    assert sealed_key_of(ENCRYPTION, seed).public is None
    short = base64.b64encode(bytes(16))
    assert sealed_key_of(BUNDLE, short) == SealedKey(sha256=sha256(short), size=16)
    short_secret = base64.b64encode(bytes(24))
    assert sealed_key_of(ENCRYPTION, short_secret).size == 24


def test_what_is_no_key_of_a_cluster_is_refused() -> None:
    unfit = ed25519.Ed25519PrivateKey.generate().private_bytes(*FORM, serialization.NoEncryption())
    for content, said in (
        (unfit, r"^pki/ca\.key is a key of kind Ed25519, "),
        (b"-----BEGIN PRIVATE KEY-----\n", r"^pki/ca\.key is not a PEM private key$"),
        (b"\xff no base64 \xff", r"^pki/ca\.key is not a secret that pkigen made$"),
        (b"QQ", r"^pki/ca\.key is not a secret that pkigen made$"),
    ):
        with pytest.raises(AuthorityError, match=said):
            sealed_key_of(CA, content)
