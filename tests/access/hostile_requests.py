"""Requests that no library makes: built from DER, each correctly signed unless its name says otherwise."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.access.made_requests import pem

if TYPE_CHECKING:
    from collections.abc import Callable

_UTF8, _PRINTABLE, _T61, _IA5, _UNIVERSAL, _BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
_BIT_STRING, _OCTET_STRING = 0x03, 0x04
_CN, _O = "2.5.4.3", "2.5.4.10"
_SAN, _BASIC = "2.5.29.17", "2.5.29.19"
_PKCS9, _MICROSOFT = "1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"
_IS_CA = b"\x30\x03\x01\x01\xff"


def _tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, *parts)


def _set(*parts: bytes) -> bytes:
    return _tlv(0x31, *parts)


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    body = bytes([first * 40 + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, 0x80 | number & 0x7F)
        body += bytes(digits)
    return _tlv(6, body)


def _integer(value: int) -> bytes:
    return _tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _name(*attributes: tuple[str, bytes, int]) -> bytes:
    return _sequence(*(_set(_sequence(_oid(oid), _tlv(tag, value))) for oid, value, tag in attributes))


def _wanted(*extensions: tuple[str, bytes], attribute: str = _PKCS9) -> bytes:
    """The attribute that asks for extensions."""
    listed = (_sequence(_oid(oid), _tlv(_OCTET_STRING, value)) for oid, value in extensions)
    return _sequence(_oid(attribute), _set(_sequence(*listed)))


_ANN = _name((_CN, b"ann", _UTF8))
_ECDSA = _sequence(_oid("1.2.840.10045.4.3.2"))
_RSA = _sequence(_oid("1.2.840.113549.1.1.11"), b"\x05\x00")


def _request(
    subject: bytes = _ANN,
    *attributes: bytes,
    spki: Callable[[ec.EllipticCurvePrivateKey], bytes] | None = None,
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    info = _sequence(_integer(0), subject, spki(key) if spki else public, _tlv(0xA0, *attributes))
    return _sequence(info, _ECDSA, _tlv(3, b"\0", key.sign(info, ec.ECDSA(hashes.SHA256()))))


def _with_exponent(exponent: int) -> bytes:
    """RSA-2048 with an exponent that libraries do not offer."""
    while True:
        key = rsa.generate_private_key(65537, 2048).private_numbers()
        try:
            private = pow(exponent, -1, (key.p - 1) * (key.q - 1))
            break
        except ValueError:
            continue  # not every modulus goes with every exponent
    modulus = key.public_numbers.n
    numbers = _sequence(_integer(modulus), _integer(exponent))
    spki = _sequence(_sequence(_oid("1.2.840.113549.1.1.1"), b"\x05\x00"), _tlv(3, b"\0", numbers))
    info = _sequence(_integer(0), _ANN, spki, _tlv(0xA0))
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(info).digest()
    padded = b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded, "big"), private, modulus).to_bytes(256, "big")
    return _sequence(info, _RSA, _tlv(3, b"\0", signature))


def _point(key: ec.EllipticCurvePrivateKey, form: serialization.PublicFormat) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.X962, form)


def _explicit(key: ec.EllipticCurvePrivateKey) -> bytes:
    """P-256 by its parameters (SEC 2 2.4.2) instead of by its name."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    generator = (
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    parameters = _sequence(
        _integer(1),
        _sequence(_oid("1.2.840.10045.1.1"), _integer(prime)),
        _sequence(_tlv(4, (prime - 3).to_bytes(32, "big")), _tlv(4, b.to_bytes(32, "big"))),
        _tlv(4, bytes.fromhex(generator)),
        _integer(order),
        _integer(1),
    )
    return _public(parameters, _point(key, serialization.PublicFormat.UncompressedPoint))


def _public(parameters: bytes, point: bytes) -> bytes:
    return _sequence(_sequence(_oid("1.2.840.10045.2.1"), parameters), _tlv(3, b"\0", point))


def _compressed(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _public(_oid("1.2.840.10045.3.1.7"), _point(key, serialization.PublicFormat.CompressedPoint))


def _off_curve(key: ec.EllipticCurvePrivateKey) -> bytes:
    point = bytearray(_point(key, serialization.PublicFormat.UncompressedPoint))
    point[-1] ^= 1
    return _public(_oid("1.2.840.10045.3.1.7"), bytes(point))


def _subject(value: bytes, kind: int, oid: str = _CN) -> bytes:
    return pem(_request(_name((oid, value, kind))))


def _asking(*attributes: bytes) -> bytes:
    return pem(_request(_ANN, *attributes))


ASN1: dict[str, tuple[Callable[[], bytes], str]] = {
    "a BMPString of system:masters": (
        lambda: _subject("system:masters".encode("utf-16-be"), _BMP, _O),
        "O=system:masters",
    ),
    "a T61String of system:masters": (lambda: _subject(b"system:masters", _T61, _O), "O=system:masters"),
    "an OCTET STRING of system:masters": (lambda: _subject(b"system:masters", _OCTET_STRING), "CN=system:m"),
    "system:masters in capitals": (
        lambda: _subject(b"SYSTEM:Masters", _UTF8, _O),
        "which is reserved for Kubernetes",
    ),
    "system:masters after a space": (
        lambda: _subject(b" system:masters", _UTF8, _O),
        "which is reserved for Kubernetes",
    ),
    "system:masters in wide letters": (
        lambda: _subject("system\uff1amasters".encode(), _UTF8, _O),
        "which is reserved for Kubernetes",
    ),
    "an invisible character": (lambda: _subject("system\u200b:masters".encode(), _UTF8, _O), "unprintable"),
    "text that runs backwards": (lambda: _subject("\u202eann".encode(), _UTF8), "unprintable"),
    "a NUL": (lambda: _subject(b"ann\0.example", _UTF8), "unprintable"),
    "no UTF-8": (lambda: _subject(b"ann\xff", _UTF8), "damaged"),
    "half a BMPString": (lambda: _subject(b"abc", _BMP), "damaged"),
    "half a character": (lambda: _subject(b"\xd8\0\0a", _BMP), "damaged"),
    "no PrintableString": (lambda: _subject(b"ann*\0", _PRINTABLE), "damaged"),
    "a BIT STRING": (lambda: _subject(b"\0ann", _BIT_STRING), "damaged"),
    "an empty set in the subject": (lambda: pem(_request(_sequence(_set()))), "damaged"),
    "a CA, as Microsoft asks": (lambda: _asking(_wanted((_BASIC, _IS_CA), attribute=_MICROSOFT)), "a CA"),
    "a CA in a second list": (
        lambda: _asking(_wanted((_BASIC, b"\x30\0")), _wanted((_BASIC, _IS_CA))),
        "2 lists of extensions",
    ),
    "an X.400 address": (lambda: _asking(_wanted((_SAN, _sequence(_tlv(0xA3, b"x"))))), "cannot be read"),
    "an X.400 address of a CA": (
        lambda: _asking(_wanted((_SAN, _sequence(_tlv(0xA3, b"x"))), (_BASIC, _IS_CA))),
        "cannot be read",
    ),
    "an address of three bytes": (
        lambda: _asking(_wanted((_SAN, _sequence(_tlv(0x87, b"abc"))))),
        "cannot be",
    ),
    "an extension twice": (
        lambda: _asking(_wanted((_BASIC, b"\x30\0"), (_BASIC, _IS_CA))),
        "cannot be read",
    ),
    "an attribute with two values": (
        lambda: _asking(_sequence(_oid("1.2.3.4"), _set(b"\x02\x01\x01", b"\x05\0"))),
        "cannot be read",
    ),
    "explicit curve parameters": (lambda: pem(_request(spki=_explicit)), "that Kubernetes cannot read"),
    "a compressed point": (lambda: pem(_request(spki=_compressed)), "that Kubernetes cannot read"),
    "a point beside the curve": (lambda: pem(_request(spki=_off_curve)), "that cannot be read"),
    "an exponent of 32 bits": (lambda: pem(_with_exponent(2**31 + 11)), "an exponent of 32 bits"),
    "an exponent of 65 bits": (lambda: pem(_with_exponent(2**64 + 13)), "an exponent of 65 bits"),
    "bytes after the request": (lambda: pem(_request() + b"\0\0"), "damaged"),
    "PKCS #7": (
        lambda: pem(_request()).replace(b"CERTIFICATE REQUEST", b"PKCS7"),
        "no PEM CERTIFICATE REQUEST",
    ),
    "PKCS #7 that says it is a request": (
        lambda: pem(_sequence(_oid("1.2.840.113549.1.7.2"), _tlv(0xA0, _sequence()))),
        "damaged",
    ),
    "garbage behind the last mark": (lambda: pem(_request()).rstrip() + b"garbage\n", "no PEM CERTIFICATE"),
    "bytes around it that are no text": (lambda: pem(_request()) + b"\xff\xfe\n", "no PEM CERTIFICATE"),
    "a NUL behind it": (lambda: pem(_request()) + b"\0\n", "no PEM CERTIFICATE"),
    "a second one that never ends": (
        lambda: pem(_request()) + b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n",
        "holds 2 PEM blocks",
    ),
}
"""What is wrong with each, and what must be said of it."""

HARMLESS: dict[str, Callable[[], bytes]] = {
    "a BMPString": lambda: _subject("ann".encode("utf-16-be"), _BMP),
    "a UniversalString": lambda: _subject("ann".encode("utf-32-be"), _UNIVERSAL),
    "an IA5String": lambda: _subject(b"ann", _IA5),
    "a name that is longer than certificates have": lambda: _subject(b"a" * 300, _UTF8),
    "a country of three letters": lambda: pem(
        _request(_name(("2.5.4.6", b"DEU", _PRINTABLE), (_CN, b"ann", _UTF8)))
    ),
    "a thousand groups": lambda: pem(
        _request(_name(*((_O, f"g{n}".encode(), _UTF8) for n in range(1000)), (_CN, b"ann", _UTF8)))
    ),
    "a password of another protocol": lambda: _asking(
        _sequence(_oid("1.2.840.113549.1.9.7"), _set(_tlv(_UTF8, b"hunter2")))
    ),
    "an attribute of nobody": lambda: _asking(_sequence(_oid("1.2.3.4"), _set(b"\x05\0"))),
    "lines that end as on Windows": lambda: pem(_request()).replace(b"\n", b"\r\n"),
    "no line end": lambda: pem(_request()).rstrip(),
}
"""What is strange, and says nothing of the key or of who asks."""


def assert_sound() -> None:
    """The builder makes what cryptography reads as a valid request."""
    request = x509.load_der_x509_csr(_request())
    assert request.is_signature_valid
    assert x509.load_der_x509_csr(_with_exponent(65537)).is_signature_valid
