"""All certificates of a PEM file are read, or none, with a sentence that says why."""

from __future__ import annotations

import warnings

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.crypto.pem_certificates import parse_certificates
from tests.state.fuzz_observed import CERTIFICATE, CORPUS, ISSUER, KEY

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
