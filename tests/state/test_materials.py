"""What of the authority goes to nodes, open or sealed: trees in memory."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.age import Identity
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import private_pem, public_pem
from pkigen.desired.generations import CA, ENCRYPTION_KEY, Phase, Rotations, Slot
from pkigen.desired.items import DesiredCopy, MaterialKind
from pkigen.state.authority import CACertificates
from pkigen.state.materials import Materials, discovery_hash
from pkigen.state.observed import WithheldContent
from pkigen.state.seals import RECORD_PATH, SealedKey, SealRecord, digest
from pkigen.state.vault import SealedVault
from pkigen.store import FileContent, MissingError, UnreadableError
from tests.state.fuzz_observed import ISSUER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
FIRST, NEXT, PREVIOUS = KEYS
SECRET, OTHER = (base64.b64encode(bytes([each]) * 32) for each in (1, 250))
TREE = {
    "pki/ca.key": b"the key of ca",
    "pki/etcd/ca.key": b"the key of etcd/ca",
    "pki/sa.key": private_pem(FIRST),
    "pki/sa-next.key": private_pem(NEXT),
    "pki/sa-previous.key": private_pem(PREVIOUS),
    "pki/encryption.key": SECRET,
    "pki/encryption-next.key": OTHER,
}
CERTIFICATES = CACertificates(certificate=ISSUER.certificate, chain=(), other=ISSUER.certificate)
STABLE, ROTATING = Rotations(), Rotations(phases={ENCRYPTION_KEY: Phase.PREPARED})
PEM = certificate_pem(ISSUER.certificate)


@dataclass(kw_only=True)
class Tree:
    """Files in memory; it counts how often each is read."""

    files: Mapping[str, bytes]
    withheld: Collection[str] = ()
    links: Collection[str] = ()
    reads: list[str] = field(default_factory=list)

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        self.reads.append(path)
        if path in self.links:
            raise UnreadableError(f"{path}: {limit}", reason="is a link")
        if path not in self.files and path not in self.withheld:
            raise MissingError(path)
        kind = WithheldContent if path in self.withheld else FileContent
        data = self.files.get(path, b"")
        return kind(data=data, mode=0o600, size=len(data), uid=0, gid=0, links=1)


def materials(files: Mapping[str, bytes] = TREE, **more: Collection[str]) -> Materials:
    """Of an authority that has the Kubernetes CA and etcd's."""
    known = {CA.KUBERNETES: CERTIFICATES, CA.ETCD: CERTIFICATES}
    return Materials(Tree(files=files, **more), known.get)  # type: ignore[arg-type]


def closed(files: Mapping[str, bytes] = TREE) -> dict[str, bytes]:
    """The same in an encrypted authority."""
    vault = SealedVault.new(Identity.generate().recipient)
    # What is no key is copied as it is: the vault takes none.
    sealed = {path: vault.close(path, data) for path, data in files.items() if not path.endswith("ca.key")}
    return {**files, **sealed, **vault.files([digest(data) for data in sealed.values()])}


def copy(material: MaterialKind, ca: CA | None = None, slot: Slot = Slot.CURRENT) -> DesiredCopy:
    return DesiredCopy(path="nodes/x", node="x", mode=0o600, material=material, ca=ca, slot=slot)


def unknown(path: str) -> dict[str, bytes]:
    """An encrypted authority whose record does not know one file."""
    files = closed()
    return {**files, path: files[path] + b"changed"}


def test_a_joining_node_pins_the_ca_by_its_public_key() -> None:
    spki = ISSUER.certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert discovery_hash(ISSUER.certificate) == f"sha256:{hashlib.sha256(spki).hexdigest()}"


# -- what is copied -----------------------------------------------------------------------------------------


def test_what_is_copied_of_a_ca() -> None:
    found = materials()
    for ca, key in ((CA.KUBERNETES, b"the key of ca"), (CA.ETCD, b"the key of etcd/ca")):
        for kind, data in (
            (MaterialKind.TRUST_BUNDLE, PEM + PEM),
            (MaterialKind.SIGNING_CERTIFICATE, PEM),
            (MaterialKind.CA_KEY, key),
        ):
            assert found.of(kind, ca) == found.for_copy(copy(kind, ca)) == data
            assert found.digest_for_copy(copy(kind, ca)) == hashlib.sha256(data).digest()
            # That CA is still to be made.
            assert found.of(kind, CA.FRONT_PROXY) is None
            assert found.digest_for_copy(copy(kind, CA.FRONT_PROXY)) is None
    assert materials({}).of(MaterialKind.CA_KEY, CA.KUBERNETES) is None


@pytest.mark.parametrize(("slot", "key"), list(zip(Slot, KEYS, strict=True)))
def test_what_is_copied_of_the_service_account_key(slot: Slot, key: ec.EllipticCurvePrivateKey) -> None:
    private, public = MaterialKind.SA_PRIVATE_KEY, MaterialKind.SA_PUBLIC_KEY
    open_, sealed, none = materials(), materials(closed()), materials({})
    assert open_.for_copy(copy(private, slot=slot)) == open_.of(private, slot=slot) == private_pem(key)
    for found in (open_, sealed):
        assert found.for_copy(copy(public, slot=slot)) == public_pem(key)
        # Of a sealed key, too, it is that of what the node gets.
        known = found.digest_for_copy(copy(private, slot=slot))
        assert known == hashlib.sha256(private_pem(key)).digest()
        known = found.digest_for_copy(copy(public, slot=slot))
        assert known == hashlib.sha256(public_pem(key)).digest()
    for kind in (private, public):
        assert none.of(kind, slot=slot) is none.digest_for_copy(copy(kind, slot=slot)) is None


def test_each_material_is_read_once() -> None:
    """And each is told from the others."""
    tree = Tree(files={"pki/ca.key": b"key", "pki/sa.key": private_pem(FIRST)})
    asked: list[CA] = []

    def authority(ca: CA) -> CACertificates | None:
        asked.append(ca)
        return CERTIFICATES if ca is CA.KUBERNETES else None

    found = Materials(tree, authority)
    for _ in range(2):
        assert found.of(MaterialKind.CA_KEY, CA.KUBERNETES) == b"key"
        assert found.of(MaterialKind.CA_KEY, CA.ETCD) is None
        assert found.of(MaterialKind.SA_PRIVATE_KEY) == private_pem(FIRST)
        assert found.of(MaterialKind.SA_PRIVATE_KEY, slot=Slot.NEXT) is None
    assert (asked, tree.reads) == ([CA.KUBERNETES, CA.ETCD], ["pki/ca.key", "pki/sa.key", "pki/sa-next.key"])


def test_nodes_get_the_public_key_of_the_private_one() -> None:
    public = MaterialKind.SA_PUBLIC_KEY
    files = {"pki/sa.key": private_pem(FIRST), "pki/sa.pub": public_pem(NEXT)}
    assert materials(files).of(public) == public_pem(FIRST)
    # Only where the private one is not looked at does the public one count.
    assert materials(files, withheld=["pki/sa.key"]).of(public) == public_pem(NEXT)
    assert materials({}, withheld=["pki/sa.key"]).of(public) is None
    for useless in (
        materials({"pki/sa.pub": public_pem(NEXT)}),
        materials(files, links=["pki/sa.key"]),
        materials({**files, "pki/sa.key": b"none"}),
        materials({**files, **unknown("pki/sa.key")}),
    ):
        assert useless.of(public) is None
    # The record says that what stands in its place is no key pair.
    closed_key = closed()["pki/sa.key"]
    identity = Identity.generate()
    record = SealRecord(recipient=identity.recipient.text, keys={}).with_key(
        closed_key, SealedKey(sha256=bytes(32), size=32)
    )
    recorded = {"pki/sa.key": closed_key, RECORD_PATH: record.signed(identity).encode()}
    assert materials(recorded).of(public) is None


def test_a_sealed_key_that_the_record_does_not_know_is_what_it_is() -> None:
    files = unknown("pki/sa.key")
    known = materials(files).digest_for_copy(copy(MaterialKind.SA_PRIVATE_KEY))
    assert known == hashlib.sha256(files["pki/sa.key"]).digest()


# -- secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [SECRET[:-4], SECRET + b"\n", b"*" + SECRET, SECRET[:-1], b"", base64.b64encode(bytes(33))]
)
def test_what_is_no_secret_of_that_size_is_none(text: bytes) -> None:
    """A blank in it would stand in the nodes' files, too."""
    found = materials({"x": text})
    assert found.secret("x", 32) is None
    assert not found.has_secret("x", 32)


def test_a_secret_is_known_by_its_size() -> None:
    found = materials({"x": SECRET})
    assert (found.secret("x", 32), found.secret("x", 16), found.secret("y", 32)) == (SECRET, None, None)
    path = "pki/encryption.key"
    for each in (materials(), materials(closed())):
        assert each.has_secret(path, 32)
        assert not each.has_secret(path, 16)
        assert not each.has_secret("pki/encryption-previous.key", 32)
        # Key pairs have none.
        assert not each.has_secret("pki/sa.key", 32)
    assert not materials(unknown(path)).has_secret(path, 32)
    assert not materials(links=[path]).has_secret(path, 32)


def test_the_keys_of_secrets_are_there_or_not() -> None:
    """With one fewer, what others wrote could not be read."""
    path = "pki/encryption-next.key"
    assert materials().encryption_keys(STABLE) == (SECRET,)
    assert materials().encryption_keys(ROTATING) == (SECRET, OTHER)
    promoted = Rotations(phases={ENCRYPTION_KEY: Phase.PROMOTED})
    for files, rotations in (
        ({}, STABLE),
        (TREE, promoted),
        ({path: OTHER}, ROTATING),
        ({**TREE, path: SECRET[:-4]}, ROTATING),
        ({**TREE, path: base64.b64encode(bytes(16))}, ROTATING),
        (closed(), STABLE),
    ):
        assert materials(files).encryption_keys(rotations) is None


def test_the_keys_of_secrets_are_found_in_a_nodes_file() -> None:
    files = closed()
    text = b"keys:\n- secret: " + OTHER + b"\n- secret: '" + SECRET + b"' # " + b"A" * 44 + b"\n"
    assert materials(files).encryption_keys_in(STABLE, text) == (SECRET,)
    # The one that writes first, wherever it stands in the file.
    assert materials(files).encryption_keys_in(ROTATING, text) == (SECRET, OTHER)
    assert materials(files).encryption_keys_in(STABLE, SECRET) == (SECRET,)
    lost = text.replace(OTHER, b"")
    assert materials(files).encryption_keys_in(ROTATING, lost) is None
    assert materials(files).encryption_keys_in(STABLE, lost) == (SECRET,)
    # One that lies open is known without the file. What is missing or damaged is not to be had from it.
    half = {**files, "pki/encryption.key": SECRET}
    assert materials(half).encryption_keys_in(ROTATING, OTHER) == (SECRET, OTHER)
    for useless in ({}, unknown("pki/encryption.key"), {**files, "pki/encryption.key": SECRET[:-4]}):
        assert materials(useless).encryption_keys_in(STABLE, text) is None
    promoted = Rotations(phases={ENCRYPTION_KEY: Phase.PROMOTED})
    assert materials(files).encryption_keys_in(promoted, text) is None
