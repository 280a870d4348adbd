"""Subjects and subjectAltNames: as the inventory gives them, and as certificates hold them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.notation import IPAddress

_SEPARATOR = re.compile(r"[,\\]")
# What `Subject.__str__` writes, which is a part of RFC 4514: `parse_subject` refuses the rest.
_PART = re.compile(r"(CN|O)=((?:[^,\\]|\\.)*)(?:,|\Z)", re.DOTALL)
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def sans_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every subject alternative name as text, DNS names first, then addresses, then the rest."""
    extension = extension_of(certificate, x509.SubjectAlternativeName)
    if extension is None:
        return ()
    names = extension.value
    known = SANs(
        dns_names=tuple(sorted(names.get_values_for_type(x509.DNSName))),
        addresses=tuple(
            address
            for address in names.get_values_for_type(x509.IPAddress)
            if isinstance(address, IPv4Address | IPv6Address)  # networks stand in name constraints only
        ),
    )
    others = (str(name) for name in names if not isinstance(name, x509.DNSName | x509.IPAddress))
    return (*known.texts(), *others)


def subject_of(certificate: x509.Certificate) -> Subject:
    """A certificate's CN and O as Kubernetes reads them."""
    return common_names(certificate.subject)


def common_names(name: x509.Name) -> Subject:
    """CN and O of a distinguished name; an empty CN where there is none."""

    def values(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))

    return Subject(
        # Of several Go keeps the last (crypto/x509/pkix, FillFromRDNSequence): that is the user.
        common_name=(values(NameOID.COMMON_NAME) or ("",))[-1],
        organizations=values(NameOID.ORGANIZATION_NAME),
    )


def extension_of(certificate: x509.Certificate, kind: type[_Extension]) -> x509.Extension[_Extension] | None:
    """The extension of one type, or None where the certificate has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others (RFC 5280 4.2.1.9)."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Whether a CA stands at the top of its chain: issuer and subject are the same (RFC 5280 3.2)."""
    return certificate.subject == certificate.issuer


def name_text(name: x509.GeneralName) -> str:
    """A name as a spec has it; what no spec can have is shown with its kind."""
    match name:
        case x509.IPAddress():
            return str(name.value)
        # An address in a dNSName matches no address (RFC 9525 6.4): it must not look like one that does.
        case x509.DNSName():
            return f"DNS:{name.value}" if _looks_like_an_address(name.value) else name.value
        case _:
            return str(name)


def _looks_like_an_address(text: str) -> bool:
    """Whether a person would read this as an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def extension_name(oid: x509.ObjectIdentifier) -> str:
    """An extension's name as RFC 5280 has it, or its number where it is unknown."""
    return oid._name if oid._name != "Unknown OID" else oid.dotted_string  # noqa: SLF001 -- the only name table


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A distinguished name as Kubernetes reads it: CN is the user, O are the groups."""

    common_name: str
    organizations: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Within a name a backslash stands before `,` (RFC 4514 2.4): no name looks like two."""
        values = [("CN", self.common_name), *(("O", name) for name in self.organizations)]
        return ",".join(key + "=" + _SEPARATOR.sub(r"\\\g<0>", value) for key, value in values)


def parse_subject(text: str) -> Subject:
    """The subject that `str` has made a text of.

    Raises:
        ValueError: It has made none of that kind.
    """
    parts = [(found[1], re.sub(r"\\(.)", r"\1", found[2])) for found in _PART.finditer(text)]
    subject = Subject(
        common_name=next((value for key, value in parts if key == "CN"), ""),
        organizations=tuple(value for key, value in parts if key == "O"),
    )
    # What the pattern has passed over shows here.
    if str(subject) != text:
        msg = f"{text!r} is no subject of CN and O"
        raise ValueError(msg)
    return subject


@dataclass(frozen=True, slots=True, kw_only=True)
class SANs:
    """Subject alternative names: DNS names sorted, addresses in order of importance, both without repeats."""

    dns_names: tuple[str, ...] = ()
    addresses: tuple[IPAddress, ...] = ()

    @classmethod
    def of(cls, *names: str | IPAddress) -> SANs:
        """Sort out names and addresses given as text or as addresses."""
        dns_names: set[str] = set()
        addresses: dict[IPAddress, None] = {}
        for name in names:
            if isinstance(name, IPv4Address | IPv6Address):
                addresses[name] = None
                continue
            try:
                addresses[ip_address(name)] = None
            except ValueError:
                # DNS names are compared without case (RFC 4343); one spelling keeps a
                # change of case from reissuing.
                dns_names.add(name.lower())
        return cls(dns_names=tuple(sorted(dns_names)), addresses=tuple(addresses))

    def texts(self) -> tuple[str, ...]:
        """Every name as text, DNS names first."""
        return (*self.dns_names, *(str(address) for address in self.addresses))
