"""Key algorithms as a table, and how private keys are made and written.

A new algorithm is a row of `ALGORITHMS`. kubeadm's names and file formats are used throughout
(`cmd/kubeadm/app/util/pkiutil/pki_helpers.go`, `client-go/util/keyutil/key.go`): RSA keys are PKCS #1,
EC keys are SEC 1, and public keys are SubjectPublicKeyInfo.
"""

from __future__ import annotations

import enum
import hashlib
import os
import select
import signal
from collections import Counter, defaultdict, deque
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
SignatureHash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512


class KeyAlgorithm(enum.StrEnum):
    """kubeadm's names (`v1beta4.EncryptionAlgorithmType`)."""

    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"
    ECDSA_P256 = "ECDSA-P256"
    ECDSA_P384 = "ECDSA-P384"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmRow:
    """How one algorithm makes a key, and whether that takes long enough to be shared out."""

    generate: Callable[[], PrivateKey]
    slow_to_generate: bool


def _rsa(bits: int) -> AlgorithmRow:
    return AlgorithmRow(
        generate=lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits),
        slow_to_generate=True,
    )


def _ecdsa(curve: ec.EllipticCurve) -> AlgorithmRow:
    return AlgorithmRow(
        generate=lambda: ec.generate_private_key(curve),
        slow_to_generate=False,
    )


ALGORITHMS: dict[KeyAlgorithm, AlgorithmRow] = {
    KeyAlgorithm.RSA_2048: _rsa(2048),
    KeyAlgorithm.RSA_3072: _rsa(3072),
    KeyAlgorithm.RSA_4096: _rsa(4096),
    KeyAlgorithm.ECDSA_P256: _ecdsa(ec.SECP256R1()),
    KeyAlgorithm.ECDSA_P384: _ecdsa(ec.SECP384R1()),
}

_BY_NAME = {algorithm.value: algorithm for algorithm in KeyAlgorithm}

MINIMUM_RSA_BITS = 2048

_MARKS_OF_ONE_KEY = 2  # BEGIN and END


class UnsupportedKeyError(ValueError):
    """The bytes hold no key that Kubernetes components can use."""


def algorithm_of(key: PrivateKey | PublicKey) -> KeyAlgorithm | None:
    """The table's name for a key, or None where it is of a kind or size that the table does not have."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        name = f"RSA-{key.key_size}"
    else:
        curve = {"secp256r1": "P256", "secp384r1": "P384"}.get(key.curve.name, key.curve.name)
        name = f"ECDSA-{curve}"
    return _BY_NAME.get(name)


def describe(key: object) -> str:
    """A key's kind and size for people, also for keys that pkigen refuses."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return algorithm_of(key) or f"ECDSA on {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey").lstrip("_")


def curve_name(key: PrivateKey | PublicKey) -> str | None:
    """The curve of an EC key, by OpenSSL's name; None for an RSA key."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return key.curve.name
    return None


def raw_ecdsa_signature(key: PrivateKey, data: bytes) -> bytes:
    """An ECDSA signature as JOSE wants it: both numbers at the curve's length (RFC 7518 3.4).

    The same key and data give the same bytes (RFC 6979) where OpenSSL can (from 3.2).

    Raises:
        UnsupportedKeyError: The key is no EC key.
    """
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnsupportedKeyError("is no EC key")
    digest = signature_hash(key)
    try:
        signature = key.sign(data, ec.ECDSA(digest, deterministic_signing=True))
    except UnsupportedAlgorithm:
        signature = key.sign(data, ec.ECDSA(digest))
    size = (key.curve.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))


def signature_hash(key: PrivateKey) -> SignatureHash:
    """The hash a CA key signs with: it follows the key, as in Go's `x509.CreateCertificate`."""
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

    Raises:
        UnsupportedKeyError: It is no PEM key, is encrypted, or is of a kind Kubernetes cannot use. The
            message never holds any of the bytes.
    """
    return _load_private(pem, trust_primes=False)


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
    key = _read_private(pem, trust_primes=trust_primes)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        msg = f"is a key of kind {describe(key)}, which Kubernetes components cannot use here"
        raise UnsupportedKeyError(msg)
    return key


def _read_private(pem: bytes, *, trust_primes: bool) -> PrivateKeyTypes:
    if pem.count(b"PRIVATE KEY-----") > _MARKS_OF_ONE_KEY:
        raise UnsupportedKeyError("holds more than one private key")
    reason = "is not a PEM private key"
    try:
        key = serialization.load_pem_private_key(
            pem, password=None, unsafe_skip_rsa_key_validation=trust_primes
        )
    except TypeError:
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


@contextmanager
def generated(
    algorithms: Iterable[KeyAlgorithm], ahead: KeyMakers | None = None
) -> Iterator[Iterator[PrivateKey]]:
    """Make one fresh private key for each algorithm, in order, on all cores where that pays.

    Args:
        algorithms: Which keys are wanted.
        ahead: Processes that were given work before it was known exactly.
    """
    wanted = list(algorithms)
    with nullcontext(ahead) if ahead is not None else making(wanted) as makers:
        yield makers.keys(wanted)


@contextmanager
def making(expected: Sequence[KeyAlgorithm]) -> Iterator[KeyMakers]:
    """Start to make keys that will probably be asked for.

    Generating an RSA key holds the interpreter lock for tens of milliseconds, so slow algorithms are shared
    out to child processes; EC keys take microseconds and are made when they are asked for.
    """
    slow = [name for name in expected if ALGORITHMS[name].slow_to_generate]
    workers = min(len(slow), os.cpu_count() or 1)
    # One key or one core gains nothing from a child process.
    makers = KeyMakers(workers if workers > 1 else 0)
    try:
        makers.start()
        makers.expect(slow)
        yield makers
    finally:
        makers.end()


class KeyMakers:
    """Child processes that make keys; each takes the next order when it is free: keys take unequal times."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._children: list[_Child] = []
        self._orders = -1
        self._unsent: deque[KeyAlgorithm] = deque()
        self._expected: Counter[KeyAlgorithm] = Counter()
        self._made: defaultdict[KeyAlgorithm, deque[PrivateKey]] = defaultdict(deque)

    def start(self) -> None:
        """Make the processes."""
        if not self._workers:
            return
        taking, self._orders = os.pipe()
        try:
            # One by one: where a process cannot be made, those before it are known, and end, too.
            for _ in range(self._workers):
                self._children.append(_Child(taking))
        finally:
            os.close(taking)
        os.set_blocking(self._orders, False)

    def expect(self, algorithms: Iterable[KeyAlgorithm]) -> None:
        """Give the processes work; without processes, keys are made when they are asked for."""
        if self._children:
            for name in algorithms:
                self._unsent.append(name)
                self._expected[name] += 1
            self._send()

    def keys(self, algorithms: Iterable[KeyAlgorithm]) -> Iterator[PrivateKey]:
        """The keys, each when it is asked for."""
        wanted = list(algorithms)
        slow = Counter(name for name in wanted if ALGORITHMS[name].slow_to_generate)
        self.expect((slow - self._expected).elements())
        return (self._next(name) for name in wanted)

    def end(self) -> None:
        """Stop the processes, whether or not they are done."""
        for child in self._children:
            child.end()
        if self._orders != -1:
            os.close(self._orders)

    def _next(self, name: KeyAlgorithm) -> PrivateKey:
        if not self._children or not ALGORITHMS[name].slow_to_generate:
            return ALGORITHMS[name].generate()
        while not self._made[name]:
            ready, _, _ = select.select(self._children, [], [])
            for child in ready:
                key = child.key()
                made = algorithm_of(key)
                if made is not None:
                    self._made[made].append(key)
            self._send()
        self._expected[name] -= 1
        return self._made[name].popleft()

    def _send(self) -> None:
        """Write down as many orders as the pipe takes, an octet each."""
        with suppress(BlockingIOError):
            while self._unsent:
                os.write(self._orders, bytes([_ROWS.index(self._unsent[0])]))
                self._unsent.popleft()


class _Child:
    """A forked process that reads orders, and writes keys, DER after a length, into a pipe of its own.

    It keeps no other file open, so it can hold no lock. When this process dies, it finds no more orders or
    nobody who reads, and ends. A child that is ahead waits in its pipe.
    """

    def __init__(self, orders: int) -> None:
        reading, writing = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if self._pid == 0:  # pragma: no cover -- the child is measured by what it delivers
            _make_keys(orders, writing)
        os.close(writing)
        # Unbuffered, so that what `select` says about the pipe is true of what can be read.
        self._pipe = os.fdopen(reading, "rb", buffering=0)

    def fileno(self) -> int:
        """For `select`."""
        return self._pipe.fileno()

    def key(self) -> PrivateKey:
        """The next key."""
        size = int.from_bytes(self._read(_LENGTH_OCTETS), "big")
        der = self._read(size)
        # The bytes come from our own child: checking the primes again would cost as much as making them.
        key = serialization.load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):  # pragma: no cover
            raise UnsupportedKeyError(describe(key))
        return key

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._pipe.read(size - len(data))
            if not more:
                raise PkigenError("a process that generates keys has died", hint="run the command again")
            data += more
        return data

    def end(self) -> None:
        """Stop the process, whether or not it is done."""
        self._pipe.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _make_keys(orders: int, pipe: int) -> NoReturn:  # pragma: no cover -- runs in the child
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
        os.dup2(orders, _INPUT)
        if pipe != _OUTPUT:
            os.dup2(pipe, _OUTPUT)
        os.closerange(_OUTPUT + 1, os.sysconf("SC_OPEN_MAX"))
        while order := os.read(_INPUT, 1):
            key = ALGORITHMS[_ROWS[order[0]]].generate()
            der = key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            data = len(der).to_bytes(_LENGTH_OCTETS, "big") + der
            while data:
                data = data[os.write(_OUTPUT, data) :]
    finally:
        os._exit(0)


_ROWS = tuple(ALGORITHMS)
_LENGTH_OCTETS = 4
_INPUT, _OUTPUT = 0, 3
