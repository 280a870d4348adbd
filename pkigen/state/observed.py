"""Bytes on disk become observed state: certificates, key identities, faults; never private bytes.

Anything at a path that is not what it should be (a truncated file, a directory, a link, 100 MB of data) is
returned as a fault with a message, not raised. Only a file that the system does not let be read raises
`store.RefusedError`: its content is unknown, and nothing may be concluded from it.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.keys import UnsupportedKeyError, load_own_private, public_der
from pkigen.crypto.names import is_ca
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.generations import CertificateFile, InKubeconfig
from pkigen.errors import UnsafePathError
from pkigen.records import dataclass
from pkigen.state.seals import LARGEST_RECORD, RECORD_PATH, SealedKey, decode_record
from pkigen.store import FileContent, MissingError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

    from pkigen.desired.generations import Location

NO_EMBEDDED_CERTIFICATE = "is not a kubeconfig with an embedded client certificate"
"""What is said of one whose user logs in otherwise, or by files."""
# In bytes; far more than any certificate, key or manifest has.
_LARGEST_FILE = 1 << 20
# As the template writes them; a kubeconfig of any other form is not one of pkigen's.
_CLIENT_CERTIFICATE = re.compile(rb"(?m)^    client-certificate-data: ([A-Za-z0-9+/=]+)$")
_CA_DATA = re.compile(rb"(?m)^    certificate-authority-data: ([A-Za-z0-9+/=]+)$")
_CLIENT_KEY = re.compile(rb"(?m)^    client-key-data: ([A-Za-z0-9+/=]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldContent(FileContent):
    """What stands for a private file where only the public ones are looked at."""


KEY_PLACEHOLDER = b"-----PRIVATE KEY WITHHELD-----\n"
"""Stands for the private key where a kubeconfig's bytes are compared."""


class Reader(Protocol):
    """Where bytes come from: the store, or the store with staged changes laid over it."""

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read a whole file of at most `limit` bytes."""
        ...


class Tree(Protocol):
    """A PKI directory that can be read and listed: the store, or nothing at all yet."""

    def read(self, path: str, *, limit: int = ...) -> FileContent:
        """Read a whole file of at most `limit` bytes."""
        ...

    def walk(self, path: str = "") -> Iterator[str]:
        """Every path that is there."""
        ...


class FaultKind(enum.StrEnum):
    """Why a part of an object cannot be used."""

    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One file that is not what it should be."""

    path: str
    kind: FaultKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFile:
    """Any file, by mode and digest."""

    path: str
    mode: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCertificate:
    """A certificate and what is known of the private key beside it.

    `certificate` or `public_key` is None where `certificate_fault` or `key_fault` says why, or where the key
    is elsewhere. `public_key` is the SPKI DER of the private key. `skeleton` is the kubeconfig's digest with
    the key left out.
    """

    certificate: x509.Certificate | None
    chain: tuple[x509.Certificate, ...]
    public_key: bytes | None
    certificate_fault: Fault | None
    key_fault: Fault | None
    modes: tuple[tuple[str, int], ...]
    skeleton: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedKeyPair:
    """The service account signing key: the SPKI DER of both halves, as far as they can be read."""

    private: bytes | None
    public: bytes | None
    private_fault: Fault | None
    modes: tuple[tuple[str, int], ...]


def observe_file(reader: Reader, path: str, *, limit: int = _LARGEST_FILE) -> ObservedFile | Fault:
    """Look at any file."""
    content = read_file(reader, path, limit=limit)
    if isinstance(content, Fault):
        return content
    return ObservedFile(path=path, mode=content.mode, sha256=hashlib.sha256(content.data).digest())


def observe_certificate(reader: Reader, location: Location) -> ObservedCertificate:
    """Look at a certificate and its key: two files, a certificate alone, or both in a kubeconfig."""
    if isinstance(location, InKubeconfig):
        return _in_kubeconfig(reader, location.kubeconfig)
    modes: list[tuple[str, int]] = []
    certificates: tuple[x509.Certificate, ...] = ()
    public_key: bytes | None = None
    certificate_fault: Fault | None = None
    key_fault: Fault | None = None
    content = read_file(reader, location.certificate)
    if isinstance(content, Fault):
        certificate_fault = content
    else:
        modes.append((location.certificate, content.mode))
        parsed = parse_certificates(content.data)
        if isinstance(parsed, str):
            certificate_fault = _unreadable(location.certificate, parsed)
        else:
            certificates = parsed
    # Otherwise its key is elsewhere for good, and none is looked for.
    if not isinstance(location, CertificateFile):
        content = read_file(reader, location.key)
        if isinstance(content, Fault):
            key_fault = content
        else:
            modes.append((location.key, content.mode))
            identity = (
                # A key that is withheld counts as the right one (`PublicView`).
                public_der(certificates[0].public_key())
                if isinstance(content, WithheldContent) and certificates
                else key_identity(reader, content.data)
            )
            if isinstance(identity, str):
                key_fault = _unreadable(location.key, identity)
            else:
                public_key = identity
    return ObservedCertificate(
        certificate=certificates[0] if certificates else None,
        chain=certificates[1:],
        public_key=public_key,
        certificate_fault=certificate_fault,
        key_fault=key_fault,
        modes=tuple(modes),
    )


def observe_certificate_alone(reader: Reader, location: Location) -> ObservedCertificate:
    """Look at a certificate that is known to be there, and not at its key."""
    if not isinstance(location, InKubeconfig):
        return observe_certificate(reader, CertificateFile(certificate=location.certificate))
    content = read_file(reader, location.kubeconfig)
    if isinstance(content, Fault):
        return _without_certificate(content, modes=())
    modes = ((location.kubeconfig, content.mode),)
    certificates = _embedded(content.data, location.kubeconfig)
    if isinstance(certificates, Fault):
        return _without_certificate(certificates, modes=modes)
    return ObservedCertificate(
        certificate=certificates[0],
        chain=certificates[1:],
        public_key=None,
        certificate_fault=None,
        key_fault=None,
        modes=modes,
    )


def observe_presented(reader: Reader, file: str) -> ObservedCertificate:
    """A certificate that is none of the inventory's, by its file: a PEM file or a kubeconfig.

    A CA's certificate is a fault: Go would accept it as a leaf, but no component should hold a CA's key.
    """
    content = read_file(reader, file)
    # By its content: an operator may call the file of a flag what he likes.
    is_kubeconfig = not isinstance(content, Fault) and b"client-certificate-data" in content.data
    observed = observe_certificate(
        reader, InKubeconfig(kubeconfig=file) if is_kubeconfig else CertificateFile(certificate=file)
    )
    if observed.certificate is None or not is_ca(observed.certificate):
        return observed
    fault = _unreadable(file, "is the certificate of a CA, which is nothing to present")
    return replace(observed, certificate=None, certificate_fault=fault)


def observe_bundle(reader: Reader, path: str) -> tuple[x509.Certificate, ...] | Fault:
    """The trust anchors of a PEM file or of a kubeconfig's CA data."""
    content = read_file(reader, path)
    if isinstance(content, Fault):
        return content
    data = content.data
    embedded = _CA_DATA.search(data)
    if embedded is not None:
        data = _decoded(embedded[1])
    # No private key that somebody keeps beside its certificate stays in memory for longer than it is read.
    certificates = parse_certificates(data) if b"PRIVATE KEY" in data else _parsed_bundle(data)
    return _unreadable(path, certificates) if isinstance(certificates, str) else certificates


# Few bundles are in use at once: a CA's, in one generation or two.
@lru_cache(maxsize=16)
def _parsed_bundle(data: bytes) -> tuple[x509.Certificate, ...] | str:
    """A thousand nodes have the same bundle."""
    return parse_certificates(data)


def observe_key_pair(reader: Reader, private_path: str, public_path: str) -> ObservedKeyPair:
    """Look at the service account signing key."""
    modes: list[tuple[str, int]] = []
    private: bytes | None = None
    public: bytes | None = None
    private_fault: Fault | None = None
    content = read_file(reader, private_path)
    if isinstance(content, Fault):
        private_fault = content
    else:
        modes.append((private_path, content.mode))
        identity = b"" if isinstance(content, WithheldContent) else key_identity(reader, content.data)
        if isinstance(identity, str):
            private_fault = _unreadable(private_path, identity)
        else:
            private = identity
    content = read_file(reader, public_path)
    if not isinstance(content, Fault):
        modes.append((public_path, content.mode))
        # As it is: that it is the right half is seen by comparing it with what the private one gives.
        public = content.data
    return ObservedKeyPair(private=private, public=public, private_fault=private_fault, modes=tuple(modes))


def client_key_pem(kubeconfig: bytes) -> bytes | None:
    """The embedded private key of a kubeconfig, for those who write it again with other surroundings."""
    match = _CLIENT_KEY.search(kubeconfig)
    return base64.b64decode(match[1]) if match else None


def with_client_key(kubeconfig: bytes, key: bytes) -> bytes | None:
    """A kubeconfig whose private key was withheld, with that key; None where it withholds none."""
    match = _CLIENT_KEY.search(kubeconfig)
    if match is None or match[1] != base64.b64encode(KEY_PLACEHOLDER):
        return None
    return kubeconfig[: match.start(1)] + base64.b64encode(key) + kubeconfig[match.end(1) :]


def client_certificate_pem(kubeconfig: bytes) -> bytes:
    """The embedded client certificate of a kubeconfig that was found readable."""
    match = _CLIENT_CERTIFICATE.search(kubeconfig)
    return base64.b64decode(match[1]) if match else b""


def _in_kubeconfig(reader: Reader, path: str) -> ObservedCertificate:
    """The form that pkigen writes: each value on a line of its own, four blanks in."""
    content = read_file(reader, path)
    if isinstance(content, Fault):
        return _without_certificate(content, modes=())
    modes = ((path, content.mode),)
    certificates, key = _embedded(content.data, path), _CLIENT_KEY.search(content.data)
    if isinstance(certificates, Fault):
        return _without_certificate(certificates, modes=modes)
    key_fault: Fault | None = None
    public_key: bytes | None = None
    skeleton: bytes | None = None
    if key is None:
        key_fault = Fault(path=path, kind=FaultKind.MISSING, message="has no embedded client key")
    else:
        identity = _public_half(_decoded(key[1]))
        if isinstance(identity, str):
            key_fault = _unreadable(path, f"its client key {identity}")
        else:
            public_key = identity
        start, end = key.span(1)
        # The digest leaves the key out, so that it can be in plans and records that others read.
        masked = content.data[:start] + base64.b64encode(KEY_PLACEHOLDER) + content.data[end:]
        skeleton = hashlib.sha256(masked).digest()
    return ObservedCertificate(
        certificate=certificates[0],
        chain=certificates[1:],
        public_key=public_key,
        certificate_fault=None,
        key_fault=key_fault,
        modes=modes,
        skeleton=skeleton,
    )


def _embedded(kubeconfig: bytes, path: str) -> tuple[x509.Certificate, ...] | Fault:
    """The client certificate in a kubeconfig and what is sent with it, or why there is none."""
    found = _CLIENT_CERTIFICATE.search(kubeconfig)
    if found is None:
        return _unreadable(path, NO_EMBEDDED_CERTIFICATE)
    certificates = parse_certificates(_decoded(found[1]))
    if isinstance(certificates, str):
        return _unreadable(path, f"its client certificate {certificates}")
    return certificates


def _without_certificate(fault: Fault, *, modes: tuple[tuple[str, int], ...]) -> ObservedCertificate:
    """A kubeconfig from which neither certificate nor key can be had, for the same reason."""
    return ObservedCertificate(
        certificate=None, chain=(), public_key=None, certificate_fault=fault, key_fault=fault, modes=modes
    )


def read_file(reader: Reader, path: str, *, limit: int = _LARGEST_FILE) -> FileContent | Fault:
    """The bytes of a file, or why there are none."""
    try:
        return reader.read(path, limit=limit)
    except MissingError:
        return Fault(path=path, kind=FaultKind.MISSING, message="is missing")
    except UnreadableError as error:
        return _unreadable(path, error.reason)


def is_withheld(reader: Reader, path: str) -> bool:
    """Whether a private file is not looked at."""
    return isinstance(read_file(reader, path), WithheldContent)


def content_at(reader: Reader, path: str) -> bytes | None:
    """What a file holds; None where it cannot be read, or where that is no path: a flag's value may be."""
    try:
        content = read_file(reader, path)
    except UnsafePathError:
        return None
    return None if isinstance(content, Fault) else content.data


def exists(reader: Reader, path: str, *, limit: int = _LARGEST_FILE) -> bool:
    """Whether anything stands at a path, of use or not: only what is missing may be made."""
    found = read_file(reader, path, limit=limit)
    return not isinstance(found, Fault) or found.kind is not FaultKind.MISSING


def sealed_key(reader: Reader, data: bytes) -> SealedKey | None:
    """What the authority's record says of a sealed file; None where it does not know it."""
    content = read_file(reader, RECORD_PATH, limit=LARGEST_RECORD)
    record = None if isinstance(content, Fault) else decode_record(content.data)
    return record.of(data) if record is not None else None


def key_identity(reader: Reader, data: bytes) -> bytes | str:
    """The SPKI DER of a private key, also of one that is sealed; or why there is none."""
    if not is_sealed(data):
        return _public_half(data)
    known = sealed_key(reader, data)
    if known is None or known.public is None:
        return f"is sealed, and {RECORD_PATH} does not know it"
    return known.public


def _unreadable(path: str, message: str) -> Fault:
    """Something is there, and it is of no use."""
    return Fault(path=path, kind=FaultKind.UNREADABLE, message=message)


def _public_half(pem: bytes) -> bytes | str:
    """The SPKI DER of a private key, or why there is none; the reason never quotes it."""
    if not pem.strip():
        return "is empty"
    try:
        return public_der(load_own_private(pem))
    except UnsupportedKeyError as error:
        return str(error)


def _decoded(text: bytes) -> bytes:
    """Decode base64; empty where it is invalid, which the parser of the result then reports."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
