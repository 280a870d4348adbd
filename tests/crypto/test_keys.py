"""Private keys: which are accepted, how they are written, and that no `repr` shows one."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import pkigen
from pkigen.crypto import keys
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.issuance import Issuer
from pkigen.crypto.keys import (
    UnsupportedKeyError,
    algorithm_of,
    describe,
    load_own_private,
    load_private,
    note_sound,
    private_pem,
    public_der,
    public_pem,
)
from pkigen.store import FileContent
from tests.samples import World, spec
from tests.state.test_authority import with_explicit_curve


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pkcs8(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined, no-any-return]


# -- loading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_keys_are_written_as_kubeadm_writes_them_and_read_back(algorithm: KeyAlgorithm) -> None:
    key = keys.ALGORITHMS[algorithm].generate()
    assert algorithm_of(key) is algorithm, "of the size or on the curve that it is called by"
    pem = private_pem(key)
    # kubeadm's forms (client-go `keyutil/key.go`): PKCS #1 and SEC 1
    label = b"RSA PRIVATE KEY" if algorithm.startswith("RSA") else b"EC PRIVATE KEY"
    assert pem.startswith(b"-----BEGIN " + label)
    assert public_pem(key).startswith(b"-----BEGIN PUBLIC KEY-----")
    for load in (load_private, load_own_private):
        for text in (pem, pkcs8(key)):
            again = load(text)
            assert algorithm_of(again) is algorithm
            assert public_der(again) == public_der(key)
            assert private_pem(again) == pem
    assert public_pem(key.public_key()) == public_pem(key)
    assert describe(key) == describe(key.public_key()) == algorithm


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_only_rsa_keys_are_worth_sharing_out(algorithm: KeyAlgorithm) -> None:
    row = keys.ALGORITHMS[algorithm]
    assert row.slow_to_generate == algorithm.startswith("RSA")
    if algorithm is KeyAlgorithm.RSA_2048:
        key = row.generate()
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.public_key().public_numbers().e == 65537


def test_unusual_keys_have_names() -> None:
    assert describe(ec.generate_private_key(ec.SECP521R1())) == "ECDSA on secp521r1"
    assert describe(rsa_key().public_key()) == "RSA-2048"
    other = ed25519.Ed25519PrivateKey.generate()
    assert describe(other) == describe(other.public_key()) == "Ed25519"
    assert algorithm_of(ec.generate_private_key(ec.SECP521R1())) is None


def small_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 -- it is refused


def as_rsassa_pss(key: rsa.RSAPrivateKey) -> bytes:
    """A key that is for RSASSA-PSS only (RFC 4055 1.2)."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    usual = bytes.fromhex("300d06092a864886f70d0101010500")
    assert der[:2] == b"\x30\x82"
    assert usual in der
    odd = der[4:].replace(usual, bytes.fromhex("300b06092a864886f70d01010a"), 1)
    body = base64.encodebytes(b"\x30\x82" + len(odd).to_bytes(2, "big") + odd)
    return b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n"


BEGUN = b"-----BEGIN PRIVATE KEY-----\nMIGH"
"""What is left of a second key where a file was cut off."""


def with_passphrase(key: rsa.RSAPrivateKey) -> bytes:
    encryption = BestAvailableEncryption(b"secret")
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption)


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "is not a PEM private key"),
        (b"\xff\xfe", "holds UTF-16 text"),
        (b"\xff\x00", "is not a PEM private key"),
        (pkcs8(small_rsa_key()), "is RSA with 1024 bits; 2048 to 8192 are accepted"),
        (pkcs8(ec.generate_private_key(ec.SECP224R1())), "is ECDSA on secp224r1; P-256, P-384 and P-521 are"),
        (pkcs8(ec.generate_private_key(ec.SECP256K1())), "is ECDSA on secp256k1; P-256, P-384 and P-521 are"),
        (pkcs8(ed448.Ed448PrivateKey.generate()), "is a key of kind Ed448"),
        (as_rsassa_pss(rsa_key()), "has RSASSA-PSS parameters, which Kubernetes cannot read"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not a PEM private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAAA\n-----END PRIVATE KEY-----\n", "is not a PEM private key"),
        (
            with_explicit_curve(ec.generate_private_key(ec.SECP256R1())),
            "has explicit curve parameters, which",
        ),
        (with_passphrase(rsa_key()), "is encrypted with a passphrase"),
        (pkcs8(ed25519.Ed25519PrivateKey.generate()), "is a key of kind Ed25519"),
        (pkcs8(x25519.X25519PrivateKey.generate()), "is a key of kind X25519"),
        (pkcs8(dsa.generate_private_key(2048)), "is a key of kind DSA"),
        (2 * pkcs8(ec.generate_private_key(ec.SECP256R1())), "holds more than one private key"),
        (pkcs8(ec.generate_private_key(ec.SECP256R1())) + BEGUN, "holds more than one private key"),
    ],
)
def test_what_is_refused(pem: bytes, reason: str) -> None:
    for load in (load_private, load_own_private):
        with pytest.raises(UnsupportedKeyError, match=reason) as caught:
            load(pem)
        assert caught.value.__cause__ is None  # the parser's own text may quote the input
        assert b"PRIVATE KEY" not in str(caught.value).encode()


def subject_public_key_info(key: object) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]


def of_no_known_kind() -> bytes:
    """The SPKI of a key whose kind has a number that nobody gave out."""
    usual, unknown = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f")
    return public_der(ec.generate_private_key(ec.SECP256R1())).replace(usual, unknown)


def public_text(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n" % base64.encodebytes(der)


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "^is not a PEM public key$"),
        (public_text(of_no_known_kind()), "^is not a PEM public key$"),
        (pkcs8(ec.generate_private_key(ec.SECP256R1())), "^is not a PEM public key$"),
        (subject_public_key_info(ed25519.Ed25519PrivateKey.generate()), "^is a key of kind Ed25519, which"),
    ],
)
def test_public_keys_that_are_refused(pem: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedKeyError, match=reason):
        keys.load_public(pem)


def test_public_keys_that_are_read() -> None:
    for key in (rsa_key(), ec.generate_private_key(ec.SECP521R1())):
        assert public_pem(keys.load_public(public_pem(key))) == public_pem(key)


def test_primes_are_tested_once_for_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted: list[bool] = []
    load = keys.serialization.load_pem_private_key

    def loading(*arguments: Any, unsafe_skip_rsa_key_validation: bool, **more: Any) -> Any:
        trusted.append(unsafe_skip_rsa_key_validation)
        return load(*arguments, unsafe_skip_rsa_key_validation=unsafe_skip_rsa_key_validation, **more)

    monkeypatch.setattr(keys.serialization, "load_pem_private_key", loading)
    pem = private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    first, second = load_private(pem), load_private(pem)
    assert public_der(first) == public_der(second)
    assert trusted == [False, True]
    # One octet more is another file.
    load_private(pem + b"\n")
    assert trusted == [False, True, False]
    made = private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    note_sound(made)
    load_private(made)
    assert trusted == [False, True, False, True]


def test_what_was_refused_is_refused_again() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    damaged = private_pem(key).replace(b"A", b"B", 40)
    for _ in range(2):
        with pytest.raises(UnsupportedKeyError):
            load_private(damaged)


def test_a_damaged_rsa_key_is_found_without_testing_its_primes() -> None:
    good, other = rsa_key().private_numbers(), rsa.generate_private_key(65537, 2048).private_numbers()
    names = ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    assert load_own_private(pkcs1(good.public_numbers, {name: getattr(good, name) for name in names}))
    for part in names:
        pem = pkcs1(
            good.public_numbers, {name: getattr(other if name == part else good, name) for name in names}
        )
        for load in (load_own_private, load_private):
            with pytest.raises(UnsupportedKeyError, match=r"is a damaged RSA key|is not a PEM private key"):
                load(pem)


def test_each_part_of_an_rsa_key_that_fits_all_others_but_one_is_found() -> None:
    good, other = rsa_key().private_numbers(), rsa.generate_private_key(65537, 2048).private_numbers()
    p, q, names = good.p, good.q, ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    parts = {name: getattr(good, name) for name in names}
    wrong = (
        pkcs1(other.public_numbers, parts),
        *(
            # Exponents that belong together, and are the inverse for one of the primes alone.
            pkcs1(good.public_numbers, parts | {"d": d, "dmp1": d % (p - 1), "dmq1": d % (q - 1)})
            for d in (good.d + p - 1, good.d + q - 1)
        ),
    )
    for pem in wrong:
        with pytest.raises(UnsupportedKeyError, match="is a damaged RSA key"):
            load_own_private(pem)


def pkcs1(public: rsa.RSAPublicNumbers, parts: dict[str, int]) -> bytes:
    """An RSA key of any numbers, whether or not they belong together (RFC 8017 A.1.2)."""

    def tagged(tag: int, body: bytes) -> bytes:
        size = len(body)
        length = (
            bytes([size])
            if size < 0x80
            else bytes([0x81, size])
            if size < 0x100
            else b"\x82" + size.to_bytes(2, "big")
        )
        return bytes([tag]) + length + body

    private = (parts[name] for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp"))
    integers = (
        tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
        for number in (0, public.n, public.e, *private)
    )
    text = base64.encodebytes(tagged(0x30, b"".join(integers)))
    return b"-----BEGIN RSA PRIVATE KEY-----\n%s-----END RSA PRIVATE KEY-----\n" % text


# -- secrecy ------------------------------------------------------------------------------------------


CORE = tuple(
    module.name
    for room in ("crypto", "desired", "reconcile", "state", "store")
    for module in pkgutil.walk_packages([str(Path(pkigen.__file__).parent / room)], f"pkigen.{room}.")
)
"""Every module whose types may have private keys in their hands."""


def test_no_repr_shows_a_field_that_may_hold_a_key() -> None:
    """Fields of type bytes or key in dataclasses of the core: hidden, or known to be public."""
    public = {
        ("AlgorithmRow", "generate"),  # a function
        ("Delivered", "certificate"),
        ("ObservedFile", "sha256"),
        ("ObservedCertificate", "public_key"),
        ("ObservedCertificate", "skeleton"),  # a digest, with the key left out
        ("ObservedToken", "skeleton"),
        ("ObservedKeyPair", "private"),  # the SPKI of the private half: what is public in it
        ("ObservedKeyPair", "public"),
        ("PEMContent", "private"),  # the public halves of private keys
        ("PEMContent", "public"),
        ("SealedKey", "public"),
        ("SealedKey", "sha256"),  # a digest of 256 random bits or more
        ("Summary", "sha256"),
        ("Surveyed", "sha256"),
    }
    shown = {
        (kind.__name__, each.name)
        for module in map(importlib.import_module, CORE)
        for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
        if isinstance(kind, type)
        for each in dataclasses.fields(kind)
        if each.repr and any(word in str(each.type) for word in ("bytes", "PrivateKey"))
    }
    names = {name for name, _ in shown}
    assert "Issuer" not in names
    assert "FileContent" not in names
    assert shown <= public


def test_key_material_in_the_hands_of_dataclasses(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(encryption={}))
    world.apply()
    key = load_private(world.read("pki/ca.key"))
    issuer = Issuer(certificate=world.certificate("ca"), key=key)
    body = private_pem(key).decode().splitlines()[1]
    with world.writing() as store:
        content = store.read("pki/ca.key")
    secret = world.read("pki/encryption.key").decode()
    told = "".join(map(repr, (issuer, content, world.plan(), world.inventory, world.verify(), world.tools())))
    assert isinstance(content, FileContent)
    assert body not in told
    assert secret not in told
    assert "PRIVATE KEY-----" not in told


@pytest.mark.parametrize(
    ("bits", "exponent", "fault"),
    [
        (2048, 3, None),
        (8192, 65537, None),
        (2048, 2**31 - 1, None),
        (2047, 65537, "is RSA with 2047 bits; 2048 to 8192 are accepted"),
        (8193, 65537, "is RSA with 8193 bits; 2048 to 8192 are accepted"),
        (2048, 2**31 + 1, "is RSA with an exponent of more than 31 bits, which Go refuses"),
    ],
)
def test_which_rsa_keys_go_can_use(bits: int, exponent: int, fault: str | None) -> None:
    # The modulus is an odd number of that many bits: nobody signs with it.
    key = rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()
    assert keys.key_fault(key) == fault


def test_which_curves_go_can_use() -> None:
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        assert keys.key_fault(ec.generate_private_key(curve).public_key()) is None
    assert "P-256, P-384 and P-521 are accepted" in (
        keys.key_fault(ec.generate_private_key(ec.SECP224R1()).public_key()) or ""
    )


# -- signing and comparing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "digest", "size"),
    [
        (ec.SECP256R1(), hashes.SHA256, 32),
        (ec.SECP384R1(), hashes.SHA384, 48),
        (ec.SECP521R1(), hashes.SHA512, 66),
    ],
)
def test_signatures_as_jose_wants_them(
    curve: ec.EllipticCurve, digest: type[hashes.HashAlgorithm], size: int
) -> None:
    key = ec.generate_private_key(curve)
    assert isinstance(keys.signature_hash(key), digest)
    assert keys.curve_name(key) == keys.curve_name(key.public_key()) == curve.name
    for text in (b"one", b"two"):
        raw = keys.raw_ecdsa_signature(key, text)
        assert len(raw) == 2 * size
        numbers = (int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))
        key.public_key().verify(encode_dss_signature(*numbers), text, ec.ECDSA(digest()))
    # Where OpenSSL can, the same key and text give the same bytes.
    if backend.ecdsa_deterministic_supported():
        assert keys.raw_ecdsa_signature(key, b"one") == keys.raw_ecdsa_signature(key, b"one")


def test_an_old_openssl_signs_with_another_number_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def ecdsa(digest: hashes.SHA256, *, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise UnsupportedAlgorithm("before OpenSSL 3.2")
        return made(digest)

    made, key = ec.ECDSA, ec.generate_private_key(ec.SECP256R1())
    monkeypatch.setattr(keys.ec, "ECDSA", ecdsa)
    raw = keys.raw_ecdsa_signature(key, b"one")
    numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.public_key().verify(encode_dss_signature(*numbers), b"one", made(hashes.SHA256()))


def test_what_is_odd_about_a_key_that_go_does_not_read_has_a_name() -> None:
    for der, told in (
        (bytes.fromhex("06072a8648ce3d0101"), "explicit curve parameters"),
        (bytes.fromhex("06092a864886f70d01010a"), "RSASSA-PSS parameters"),
        (b"", "an unusual encoding, such as a compressed point"),
    ):
        assert keys.odd_encoding(b"before" + der + b"after") == told


def test_an_rsa_key_signs_by_sha_256_and_not_for_jose() -> None:
    assert isinstance(keys.signature_hash(rsa_key()), hashes.SHA256)
    assert keys.curve_name(rsa_key()) is None
    with pytest.raises(UnsupportedKeyError, match="is not an EC key"):
        keys.raw_ecdsa_signature(rsa_key(), b"one")  # type: ignore[arg-type]


def test_public_halves() -> None:
    for key in (rsa_key(), ec.generate_private_key(ec.SECP256R1())):
        der = public_der(key)
        assert der == public_der(key.public_key()) == keys.public_half(private_pem(key))
        assert keys.public_pem_of(der) == public_pem(key) == public_pem(key.public_key())
        assert keys.spki_fingerprint(der) == f"sha256:{hashlib.sha256(der).hexdigest()}"
    other = ed25519.Ed25519PrivateKey.generate()
    spki = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert keys.public_half(pkcs8(other)) == spki
    with pytest.raises(UnsupportedKeyError, match="is a key of kind Ed25519"):
        keys.public_pem_of(spki)
    for der in (b"rubbish", of_no_known_kind()):
        with pytest.raises(UnsupportedKeyError, match="is not a public key"):
            keys.public_pem_of(der)


def test_the_primes_of_somebody_else_s_rsa_key_are_tested() -> None:
    """A factor that is none, although all the numbers belong together: one of pkigen's own is not asked."""
    q, p = rsa_key().private_numbers().p, 0
    # The product of two numbers of 1024 bits may have 2047.
    while (p * q).bit_length() < 2048:
        small = rsa.generate_private_key(65537, 1024).private_numbers()  # noqa: S505 -- its factors are used
        p = small.p * small.q
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    made = private_pem(numbers.private_key(unsafe_skip_rsa_key_validation=True))
    assert load_own_private(made) is not None
    assert keys.public_half(made) == public_der(load_own_private(made)), "which is all that is asked of it"
    with pytest.raises(UnsupportedKeyError):
        load_private(made)


def test_ed25519_as_rfc_8032_has_it() -> None:
    """7.1, TEST 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert keys.ed25519_public(seed).hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
