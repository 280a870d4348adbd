"""Names in certificates: what is read of them, and how it is shown."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from pkigen.crypto import names
from pkigen.crypto.names import SANs, Subject
from tests.samples import NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    *extensions: x509.ExtensionType,
    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
    issuer: str = "ca",
) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(kind, value) for kind, value in subject]),
        KEY.public_key(),
        1,
        NOW,
        NOW + timedelta(1),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def test_all_names_are_shown_those_of_a_spec_first_and_sorted() -> None:
    given = [
        x509.RFC822Name("a@example.com"),
        x509.IPAddress(ip_address("10.0.0.2")),
        x509.DNSName("b.example.com"),
        x509.IPAddress(ip_address("10.0.0.1")),
        x509.DNSName("a.example.com"),
    ]
    assert names.sans_of(certificate(x509.SubjectAlternativeName(given))) == (
        *("a.example.com", "b.example.com", "10.0.0.2", "10.0.0.1"),
        "<RFC822Name(value='a@example.com')>",
    )
    assert names.sans_of(certificate()) == ()


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ((), Subject(common_name="")),
        (((NameOID.COMMON_NAME, "first"), (NameOID.COMMON_NAME, "second")), Subject(common_name="second")),
        (
            (
                *((NameOID.ORGANIZATION_NAME, "b"), (NameOID.ORGANIZATION_NAME, "a")),
                *((NameOID.COUNTRY_NAME, "CH"), (NameOID.COMMON_NAME, "cn")),
            ),
            Subject(common_name="cn", organizations=("b", "a")),
        ),
    ],
)
def test_a_subject_as_kubernetes_reads_it(
    subject: tuple[tuple[x509.ObjectIdentifier, str], ...], expected: Subject
) -> None:
    assert names.subject_of(certificate(subject=subject)) == expected


def test_a_subject_in_text() -> None:
    assert str(Subject(common_name="cn", organizations=("b", "a"))) == "CN=cn,O=b,O=a"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (x509.DNSName("a.example.com"), "a.example.com"),
        (x509.DNSName("10.0.0.1"), "DNS:10.0.0.1"),
        (x509.IPAddress(ip_address("fd00::1")), "fd00::1"),
        (x509.RFC822Name("a@example.com"), "<RFC822Name(value='a@example.com')>"),
    ],
)
def test_a_name_in_text(name: x509.GeneralName, text: str) -> None:
    """An address that stands among the DNS names is not taken for an address."""
    assert names.name_text(name) == text


def test_names_sorted_out() -> None:
    sans = SANs.of("B.example.com", "10.0.0.2", ip_address("10.0.0.1"), "a.example.com", "10.0.0.2")
    assert sans.dns_names == ("a.example.com", "b.example.com")
    assert sans.addresses == (ip_address("10.0.0.2"), ip_address("10.0.0.1"))
    assert sans.texts() == ("a.example.com", "b.example.com", "10.0.0.2", "10.0.0.1")


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ((), False),
        ((x509.BasicConstraints(ca=False, path_length=None),), False),
        ((x509.BasicConstraints(ca=True, path_length=None),), True),
    ],
)
def test_who_may_sign(extensions: tuple[x509.ExtensionType, ...], *, expected: bool) -> None:
    assert names.is_ca(certificate(*extensions)) == expected


def test_who_stands_at_the_top() -> None:
    assert names.is_self_issued(certificate(subject=((NameOID.COMMON_NAME, "ca"),)))
    assert not names.is_self_issued(certificate(subject=((NameOID.COMMON_NAME, "leaf"),)))


def test_extensions_are_named_where_they_have_a_name() -> None:
    assert names.extension_name(ExtensionOID.KEY_USAGE) == "keyUsage"
    assert names.extension_name(x509.ObjectIdentifier("1.2.3.4")) == "1.2.3.4"


SUBJECTS = {
    "CN=dev1": Subject(common_name="dev1"),
    "CN=dev1,O=ops,O=qa": Subject(common_name="dev1", organizations=("ops", "qa")),
    r"CN=a\,O=x,O=b\\c": Subject(common_name="a,O=x", organizations=(r"b\c",)),
    "CN=two\nlines": Subject(common_name="two\nlines"),
}


@pytest.mark.parametrize("text", SUBJECTS)
def test_a_subject_is_read_as_it_was_written(text: str) -> None:
    assert names.parse_subject(text) == SUBJECTS[text]
    assert str(SUBJECTS[text]) == text


@pytest.mark.parametrize("text", ["", "dev1", "O=ops,CN=dev1", "CN=a,CN=b", "CN=a,OU=b", "CN=a,", r"CN=\a"])
def test_no_other_text_is_a_subject(text: str) -> None:
    with pytest.raises(ValueError, match=" is no subject of CN and O"):
        names.parse_subject(text)


def test_addresses_are_taken_as_they_are() -> None:
    addresses = (IPv4Address("10.0.0.1"), IPv6Address("fd00::1"))
    assert SANs.of(*addresses, "10.0.0.1", "A.example.com") == SANs(
        dns_names=("a.example.com",), addresses=addresses
    )
