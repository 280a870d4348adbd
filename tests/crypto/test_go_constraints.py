"""Which names a CA's constraints permit, one kind and one rule at a time (Go's constraints.go)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.go_constraints import not_permitted

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
DNS, MAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier


def certificate(*extensions: x509.ExtensionType) -> x509.Certificate:
    end = NOW + timedelta(days=1)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), KEY.public_key(), 1, NOW, end)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(KEY, hashes.SHA256())


def told(
    permitted: Sequence[x509.GeneralName], excluded: Sequence[x509.GeneralName], *names: x509.GeneralName
) -> str | None:
    ca = certificate(x509.NameConstraints(permitted or None, excluded or None))
    return not_permitted(ca, [certificate(*([x509.SubjectAlternativeName(names)] if names else []))])


@pytest.mark.parametrize(
    ("permitted", "excluded", "name", "accepted"),
    [
        ([URI("example.com")], [], URI("https://example.com:8443/x"), True),
        ([URI("example.com")], [], URI("https://a.example.com/x"), True),
        ([URI("example.com")], [], URI("https://example.org/"), False),
        ([], [URI("example.com")], URI("https://a.example.com/"), False),
        ([], [URI("example.com")], URI("https://example.org/"), True),
        # Of these there is nothing to compare: refused, whatever is constrained.
        ([], [URI("example.com")], URI("https://10.0.0.1/"), False),
        ([], [URI("example.com")], URI("urn:uuid:1"), False),
        ([], [DNS("example.com")], DNS("a..example.org"), False),
        # A kind is judged by constraints of its own kind.
        ([DNS("example.com")], [], URI("https://example.org/"), True),
        ([], [DNS("example.org")], MAIL("a@example.org"), True),
        ([MAIL("example.org")], [DNS("example.org")], MAIL("a@example.org"), True),
        ([DNS("example.com")], [], x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), True),
        # A wildcard could become what is excluded, but is not what is permitted.
        ([DNS("b.example.org")], [], DNS("*.example.org"), False),
        ([], [DNS("b.example.org")], DNS("*.example.org"), False),
        # Labels of one letter, and a constraint that holds everything.
        ([DNS("example.org")], [], DNS("a.y.example.org"), True),
        ([DNS("y.example.org")], [], DNS("a.b.y.example.org"), True),
        ([DNS("")], [], DNS("example.org"), True),
        ([], [DNS("")], DNS("example.org"), False),
        (
            [x509.IPAddress(ip_network("10.0.0.0/8")), x509.IPAddress(ip_network("fd00::/64"))],
            [],
            x509.IPAddress(ip_address("10.0.0.1")),
            True,
        ),
        (
            [x509.IPAddress(ip_network("fd00::/64"))],
            [],
            x509.IPAddress(ip_address("10.0.0.1")),
            False,
        ),
    ],
)
def test_each_kind_of_name(
    permitted: Sequence[x509.GeneralName],
    excluded: Sequence[x509.GeneralName],
    name: x509.GeneralName,
    *,
    accepted: bool,
) -> None:
    assert (told(permitted, excluded, name) is None) is accepted


def test_who_has_no_names_is_in_nobodys_way() -> None:
    assert told([DNS("example.com")], []) is None
    assert not_permitted(certificate(), [certificate(x509.SubjectAlternativeName([DNS("a")]))]) is None


def test_why_a_name_is_not_the_cas_to_certify() -> None:
    assert told([], [MAIL("a@example.org")], MAIL("a@EXAMPLE.org")) == (
        "a@EXAMPLE.org is within the excluded subtree a@example.org of its CA"
    )
    assert told([DNS("example.com")], [], DNS("a.org")) == "a.org is in no permitted subtree of its CA"
    assert told([DNS("example.com")], [], DNS("a..org")) == (
        "a..org cannot be compared with the name constraints of its CA"
    )
