"""Key algorithms as a table, and how private keys are made and written.

A new algorithm is a row of `ALGORITHMS`. kubeadm's names and file formats are used throughout
(`cmd/kubeadm/app/util/pkiutil/pki_helpers.go`, `client-go/util/keyutil/key.go`): RSA keys are PKCS #1,
EC keys are SEC 1, and public keys are SubjectPublicKeyInfo.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.pem import other_form
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
SignatureHash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512


NOT_READ_YET = frozenset({"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"})
"""Go reads them from 1.27 on, and so no release of Kubernetes up to v1.37 (docs/adr/0025)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmRow:
    """How one algorithm makes a key, and whether that takes long enough to be shared out."""

    generate: Callable[[], PrivateKey]
    slow_to_generate: bool


def _rsa(bits: int) -> AlgorithmRow:
    """RSA with a modulus of so many bits; generating it takes tens to hundreds of milliseconds."""
    return AlgorithmRow(
        # The exponent is that of Go's rsa.GenerateKey.
        generate=lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits),
        slow_to_generate=True,
    )


def _ecdsa(curve: ec.EllipticCurve) -> AlgorithmRow:
    """ECDSA on a named curve; generating a key takes microseconds."""
    return AlgorithmRow(
        generate=lambda: ec.generate_private_key(curve),
        slow_to_generate=False,
    )


# kubeadm's EncryptionAlgorithmType (apis/kubeadm/v1beta4/types.go) has these and no others.
ALGORITHMS: dict[KeyAlgorithm, AlgorithmRow] = {
    KeyAlgorithm.RSA_2048: _rsa(2048),
    KeyAlgorithm.RSA_3072: _rsa(3072),
    KeyAlgorithm.RSA_4096: _rsa(4096),
    KeyAlgorithm.ECDSA_P256: _ecdsa(ec.SECP256R1()),
    KeyAlgorithm.ECDSA_P384: _ecdsa(ec.SECP384R1()),
}

_BY_NAME = {algorithm.value: algorithm for algorithm in KeyAlgorithm}
_ON_CURVE = {"secp256r1": KeyAlgorithm.ECDSA_P256, "secp384r1": KeyAlgorithm.ECDSA_P384}

MINIMUM_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192  # Go's TLS refuses larger keys (crypto/tls checkKeySize)
LARGEST_RSA_EXPONENT = 2**31 - 1  # Go's crypto/rsa checkPublicKeySize
_KEY_BODY = re.compile(rb"-----BEGIN (?:EC |RSA )?PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END")
ACCEPTED_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""Those that Go's crypto/x509 knows, but for P-224, which TLS 1.3 cannot sign with (RFC 8446 4.2.3)."""

_MARKS_OF_ONE_KEY = 2  # BEGIN and END


class UnsupportedKeyError(ValueError):
    """The bytes hold no key that Kubernetes components can use."""


def algorithm_of(key: PrivateKey | PublicKey) -> KeyAlgorithm | None:
    """The table's name for a key, or None where it is of a kind or size that the table does not have."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return _BY_NAME.get(f"RSA-{key.key_size}")
    return _ON_CURVE.get(key.curve.name)


def describe(key: object) -> str:
    """A key's kind and size for people, also for keys that pkigen refuses."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return algorithm_of(key) or f"ECDSA on {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")


def curve_name(key: PrivateKey | PublicKey) -> str | None:
    """The curve of an EC key, by OpenSSL's name; None for an RSA key."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return key.curve.name
    return None


def raw_ecdsa_signature(key: PrivateKey, data: bytes) -> bytes:
    """An ECDSA signature as JOSE wants it: both numbers at the curve's length (RFC 7518 3.4).

    The same key and data give the same bytes (RFC 6979) where OpenSSL can (from 3.2).

    Raises:
        UnsupportedKeyError: The key is not an EC key.
    """
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnsupportedKeyError("is not an EC key")
    digest = signature_hash(key)
    try:
        signature = key.sign(data, ec.ECDSA(digest, deterministic_signing=True))
    except UnsupportedAlgorithm:
        signature = key.sign(data, ec.ECDSA(digest))
    # OpenSSL gives DER, whose integers are as short as they can be.
    size = (key.curve.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))


def signature_hash(key: PrivateKey) -> SignatureHash:
    """The hash a CA key signs with: it follows the key, as in Go's `x509.CreateCertificate`."""
    # A hash weaker than the curve would decide the strength; a stronger one is cut to the curve's size.
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:  # noqa: PLR2004 -- P-384 and P-521
        return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()  # noqa: PLR2004
    return hashes.SHA256()


def private_pem(key: PrivateKey) -> bytes:
    """PKCS #1 or SEC 1 PEM, unencrypted, as kubeadm writes it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def public_pem(key: PrivateKey | PublicKey) -> bytes:
    """SubjectPublicKeyInfo PEM (`PUBLIC KEY`)."""
    public = key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_pem_of(spki: bytes) -> bytes:
    """The same of a key's SPKI DER.

    Raises:
        UnsupportedKeyError: It is none that Kubernetes can use.
    """
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise UnsupportedKeyError("is not a public key") from None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise UnsupportedKeyError(f"is a key of kind {describe(key)}")
    return public_pem(key)


def ed25519_public(seed: bytes) -> bytes:
    """The public half of an Ed25519 key (RFC 8032 5.1.5); any 32 bytes are one."""
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def public_der(key: PrivateKey | CertificatePublicKeyTypes) -> bytes:
    """SubjectPublicKeyInfo DER: what SPKI pins and key comparisons are taken over."""
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else key
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_fingerprint(spki: bytes) -> str:
    """What the lock file and the ledger know a public key by: SHA-256 over its SubjectPublicKeyInfo."""
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def load_private(pem: bytes) -> PrivateKey:
    """Read an unencrypted PEM private key (PKCS #1, SEC 1 or PKCS #8).

    Whether RSA primes are primes is tested once in a process.

    Raises:
        UnsupportedKeyError: It is no PEM key, is encrypted, or is of a kind Kubernetes cannot use. The
            message never holds any of the bytes.
    """
    if hashlib.sha256(pem).digest() in _sound:
        return load_own_private(pem)
    key = _load_private(pem, trust_primes=False)
    note_sound(pem)
    return key


def note_sound(pem: bytes) -> None:
    """Take a key for sound from now on in this process, which has made it, or has tested it."""
    _sound.add(hashlib.sha256(pem).digest())


def load_own_private(pem: bytes) -> PrivateKey:
    """Read a private key that pkigen once made: as `load_private`, but RSA primes are not tested again.

    That test takes as long as making the key does; that the numbers belong together is seen in microseconds.

    Raises:
        UnsupportedKeyError: As for `load_private`.
    """
    key = _load_private(pem, trust_primes=True)
    if isinstance(key, rsa.RSAPrivateKey) and not _is_consistent(key.private_numbers()):
        raise UnsupportedKeyError("is a damaged RSA key")
    return key


# The digests of files, so that one octet more or less is another key.
_sound: set[bytes] = set()


def _is_consistent(key: rsa.RSAPrivateNumbers) -> bool:
    """Whether the parts of an RSA key belong together (RFC 8017 3.2)."""
    p, q, e = key.p, key.q, key.public_numbers.e
    return (
        p * q == key.public_numbers.n
        and (e * key.d) % (p - 1) == 1
        and (e * key.d) % (q - 1) == 1
        and key.dmp1 == key.d % (p - 1)
        and key.dmq1 == key.d % (q - 1)
        and (key.iqmp * q) % p == 1
    )


def public_half(pem: bytes) -> bytes:
    """The public key's DER of anybody's private key, of whatever kind, to compare it with a certificate's.

    Raises:
        UnsupportedKeyError: As for `load_private`, but for the kind.
    """
    key = _read_private(pem, trust_primes=True)
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _load_private(pem: bytes, *, trust_primes: bool) -> PrivateKey:
    """Read an RSA or ECDSA key, which is all that kubeadm loads; raises `UnsupportedKeyError` for others.

    See `TryLoadKeyFromDisk` in pkiutil/pki_helpers.go.
    """
    _require_usual_encoding(pem)
    key = _read_private(pem, trust_primes=trust_primes)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        msg = f"is a key of kind {describe(key)}, which Kubernetes components cannot use here"
        raise UnsupportedKeyError(msg)
    fault = key_fault(key.public_key())
    if fault is not None:
        raise UnsupportedKeyError(fault)
    return key


# prime-field (ANSI X9.62) stands in curve parameters that are written out, id-RSASSA-PSS (RFC 4055 1.2) in
# place of rsaEncryption: Go's crypto/x509 reads neither in keys.
_PRIME_FIELD = bytes.fromhex("06072a8648ce3d0101")
_RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")


def odd_encoding(der: bytes) -> str:
    """How a public key is written that differs from its usual form."""
    if _PRIME_FIELD in der:
        return "explicit curve parameters"
    if _RSASSA_PSS in der:
        return "RSASSA-PSS parameters"
    return "an unusual encoding, such as a compressed point"


def _require_usual_encoding(pem: bytes) -> None:
    """Refuse a private key that OpenSSL reads and Go does not.

    Raises:
        UnsupportedKeyError: It has its curve's parameters, or those of RSASSA-PSS, within it.
    """
    body = _KEY_BODY.search(pem)
    der = _decoded(body[1]) if body is not None else b""
    if _PRIME_FIELD in der or _RSASSA_PSS in der:
        msg = f"has {odd_encoding(der)}, which Kubernetes cannot read"
        raise UnsupportedKeyError(msg)


def _decoded(body: bytes) -> bytes:
    """Decode base64; empty where it is invalid, which is then reported as no key at all."""
    try:
        return base64.b64decode(body)
    except ValueError:
        return b""


def key_fault(key: PublicKey) -> str | None:
    """Why Kubernetes cannot use a key of its size, exponent or curve; None where it can."""
    if isinstance(key, rsa.RSAPublicKey):
        if not MINIMUM_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS:
            accepted = f"{MINIMUM_RSA_BITS} to {LARGEST_RSA_BITS} are accepted"
            return f"is RSA with {key.key_size} bits; {accepted}"
        if key.public_numbers().e > LARGEST_RSA_EXPONENT:
            return "is RSA with an exponent of more than 31 bits, which Go refuses"
        return None
    if isinstance(key.curve, ACCEPTED_CURVES):
        return None
    return f"is {describe(key)}; P-256, P-384 and P-521 are accepted"


def _read_private(pem: bytes, *, trust_primes: bool) -> PrivateKeyTypes:
    """Read a file with exactly one private key; raises `UnsupportedKeyError`, which never quotes it.

    Of two keys in one file it would depend on the reader which counts.
    """
    if pem.count(b"PRIVATE KEY-----") > _MARKS_OF_ONE_KEY:
        raise UnsupportedKeyError("holds more than one private key")
    form = other_form(pem)
    reason = f"holds {form}" if form is not None else "is not a PEM private key"
    try:
        key = serialization.load_pem_private_key(
            pem, password=None, unsafe_skip_rsa_key_validation=trust_primes
        )
    except TypeError:  # pyca's way to say that a passphrase is needed
        reason = "is encrypted with a passphrase"
        key = None
    except Exception:  # noqa: BLE001 -- the parser's own text may quote the input, and this input is a key
        key = None
    if key is None:
        raise UnsupportedKeyError(reason)
    return key


def load_public(pem: bytes) -> PublicKey:
    """Read a PEM public key.

    Raises:
        UnsupportedKeyError: It is none, or of a kind Kubernetes cannot use.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UnsupportedKeyError("is not a PEM public key") from None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        msg = f"is a key of kind {describe(key)}, which Kubernetes components cannot use here"
        raise UnsupportedKeyError(msg)
    return key
