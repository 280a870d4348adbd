"""All certificates of a PEM file are read, or none, with a sentence that says why."""

from __future__ import annotations

import base64
import warnings

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.crypto.pem_certificates import parse_certificates
from tests.state.fuzz_observed import CERTIFICATE, CORPUS, ISSUER, KEY
from tests.state.test_generations import root

PEM = ISSUER.certificate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"\xff\xfe", "holds UTF-16 text: save it as ASCII or UTF-8"),
        (b"\xff\x00", "holds no PEM certificates; 1 to 16 are read"),
        (PEM * 17, "holds 17 PEM certificates; 1 to 16 are read"),
        (PEM[:-30], "holds a damaged PEM certificate"),
        (PEM + PEM[:60], "holds a damaged PEM certificate"),
        (KEY, "holds a private key, which does not belong in a file of certificates"),
        (CERTIFICATE + KEY, "holds a private key, which does not belong in a file of certificates"),
    ],
)
def test_what_is_said_of_a_bad_file(data: bytes, said: str) -> None:
    assert parse_certificates(data) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("negative-serial.crt", "holds a certificate whose serial number is not positive (RFC 5280 4.1.2.2)"),
        ("unknown-curve.crt", "holds a certificate that cannot be read"),
        ("san-garbage.crt", "holds a certificate that cannot be read"),
    ],
)
def test_what_is_said_of_the_corpus(name: str, said: str) -> None:
    assert parse_certificates((CORPUS / name).read_bytes()) == said


def test_a_name_that_pyca_warns_of_is_read_without_a_word() -> None:
    """A country of seven letters is wrong (RFC 5280 A.1), but company CAs have it, and Go accepts it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = parse_certificates((CORPUS / "country-of-seven-letters.crt").read_bytes())
    assert not isinstance(found, str)


def test_sixteen_certificates_are_read() -> None:
    assert len(parse_certificates(PEM * 16)) == 16


def test_text_around_certificates_is_skipped() -> None:
    assert parse_certificates(b"Certificate:\n    Data:\n" + PEM + b"# end\n") == (ISSUER.certificate,)


# -- letters that pyca does not read ------------------------------------------------------------------------

LETTERS = "holds a certificate with a T61String that has letters outside of ASCII"
NAME = b"\x0c\x0akubernetes"


def with_name(name: bytes) -> bytes:
    """A certificate whose common name has other octets, in PEM; nobody has signed that."""
    der = ISSUER.certificate.public_bytes(Encoding.DER)
    assert NAME in der
    return pem(der.replace(NAME, name))


def changed(good: bytes, bad: bytes, which: int) -> bytes:
    """A certificate with other octets at the first or the second of two places, in PEM."""
    first, second, third = ISSUER.certificate.public_bytes(Encoding.DER).split(good)
    return pem(second.join((first + bad, good + third) if which == 0 else (first + good, bad + third)))


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % base64.encodebytes(der)


def said(data: bytes) -> str:
    found = parse_certificates(data)
    return found if isinstance(found, str) else "read"


def test_letters_outside_of_ascii_in_a_t61_string_are_named() -> None:
    assert said(with_name(b"\x14\x0akubern\xe9tes")).startswith(LETTERS)
    assert "reissue it with UTF8String" in said(with_name(b"\x14\x0a\xe9ubernetes"))
    # A line break within the base64 is no letter.
    assert said(with_name(b"\x14\x0akubern\xe9tes").replace(b"\n", b"\r\n")).startswith(LETTERS)


def test_one_of_ascii_is_read() -> None:
    assert said(with_name(b"\x14\x0akubernetes")) == "read"


@pytest.mark.parametrize(
    "name",
    [
        # No T61String, and none that could be a text: what is wrong is something else.
        b"\x0c\x0akubern\xe9tes",
        b"\x14\x0akuber\x1f\xe9tes",
    ],
)
def test_nothing_else_is_taken_for_such_letters(name: bytes) -> None:
    assert said(with_name(name)) == "holds a certificate that cannot be read"


def test_what_is_no_base64_holds_no_letters() -> None:
    assert said(b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n") == (
        "holds a certificate that cannot be read"
    )


# The type of an attribute, such a tag, the length of a text, and the text; the rest is nothing that a parser
# takes.
TYPE = b"\x06\x03\x55\x04\x0a"


@pytest.mark.parametrize(
    ("der", "are_letters"),
    [
        (TYPE + b"\x14\x01\xe9", True),
        (b"\x00" + TYPE + b"\x14\x02 \xe9", True),
        (TYPE + b"\x14\x02\x1f\xe9", False),
        (TYPE + b"\x14\x00\xe9", False),
        (TYPE + b"\x14\x01a\xe9", False),
        (TYPE + b"\x14\xe9", False),
        (TYPE + b"\x14", False),
        (TYPE + b"\x13\x01\xe9", False),
        (TYPE + b"\x15\x01\xe9", False),
        (TYPE + b"\x14\x01\x00" + TYPE + b"\x14\x02\xc3\xa9", True),
        (b"\x00" + TYPE + b"\x14\x03a\xe9\x20", True),
        (b"\xe9" + TYPE + b"\x14\x02ab", False),
        (TYPE + b"\x14\x02ab\xe9\x1f", False),
        # What keys and signatures hold by chance.
        (b"\x14\x01\xe9", False),
        (b"\x06\x03\x55\x05\x0a\x14\x01\xe9", False),
        # Any attribute, a line break among their numbers.
        (b"\x06\x03\x55\x04\x0b\x14\x01\xe9", True),
    ],
)
def test_what_looks_like_such_a_text(der: bytes, *, are_letters: bool) -> None:
    assert said(pem(der)).startswith(LETTERS) is are_letters


def numbered(number: int) -> bytes:
    """A certificate with another serial number of one octet, in PEM."""
    der = ISSUER.certificate.public_bytes(Encoding.DER)
    serial = ISSUER.certificate.serial_number
    octets = serial.bit_length() // 8 + 1
    long = bytes([2, octets]) + serial.to_bytes(octets)
    assert long in der
    # Both sequences around it are as much shorter then.
    outer, inner = (int.from_bytes(der[at : at + 2]) - (octets - 1) for at in (2, 6))
    lengths = der[:2] + outer.to_bytes(2) + der[4:6] + inner.to_bytes(2)
    return pem(lengths + der[8:].replace(long, b"\x02\x01" + bytes([number])))


@pytest.mark.parametrize(("number", "is_positive"), [(0, False), (1, True), (0x80, False)])
def test_serial_numbers_are_positive(number: int, *, is_positive: bool) -> None:
    fault = "holds a certificate whose serial number is not positive (RFC 5280 4.1.2.2)"
    assert said(numbered(number)) == ("read" if is_positive else fault)


@pytest.mark.parametrize("which", [0, 1], ids=["issuer", "subject"])
@pytest.mark.parametrize(
    ("good", "bad"),
    [(NAME, b"\x0c\x0akubern\xe9tes"), (b"\x17\x0d2", b"\x17\x0dX")],
    ids=["name", "moment"],
)
def test_what_is_asked_later_can_be_read_or_nothing_is(good: bytes, bad: bytes, which: int) -> None:
    assert said(changed(good, bad, which)) == "holds a certificate that cannot be read"


def test_the_certificates_come_in_the_order_of_the_file() -> None:
    other = root("other").certificate
    other_pem = other.public_bytes(Encoding.PEM)
    assert parse_certificates(PEM + other_pem) == (ISSUER.certificate, other)
    assert parse_certificates(other_pem + PEM) == (other, ISSUER.certificate)
    # One that cannot be read takes all others with it.
    assert parse_certificates(PEM + (CORPUS / "san-garbage.crt").read_bytes()) == (
        "holds a certificate that cannot be read"
    )
