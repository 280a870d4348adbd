"""Name constraints as Go's `crypto/x509` applies them (constraints.go; RFC 5280 4.2.1.10)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509

from pkigen.crypto.go_certificates import host_of, is_domain
from pkigen.crypto.names import extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Address = IPv4Address | IPv6Address
_KINDS: Final = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier, x509.RFC822Name)


def not_permitted(ca: x509.Certificate, below: Sequence[x509.Certificate]) -> str | None:
    """Why a CA's constraints forbid a name below it; None where none is forbidden."""
    constraints = extension_of(ca, x509.NameConstraints)
    if constraints is None:
        return None
    permitted, excluded = constraints.value.permitted_subtrees, constraints.value.excluded_subtrees
    names = (name for each in below for name in _names(each))
    faults = (_fault(name, permitted or (), excluded or ()) for name in names)
    return next((fault for fault in faults if fault is not None), None)


def _names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    names = extension_of(certificate, x509.SubjectAlternativeName)
    return (name for name in (() if names is None else names.value) if isinstance(name, _KINDS))


def _fault(
    name: x509.GeneralName, permitted: Sequence[x509.GeneralName], excluded: Sequence[x509.GeneralName]
) -> str | None:
    """Why a name is not the CA's to certify: excluded, or in none of the subtrees of its own kind."""
    compared = _compared(name)
    if compared is None:
        return f"{name.value} cannot be compared with the name constraints of its CA"
    # Constraints on names of another kind say nothing about this one.
    excluding, permitting = _of_kind(name, excluded), _of_kind(name, permitted)
    found = next((each for each in excluding if _covers(each, compared, excluding=True)), None)
    if found is not None:
        return f"{name.value} is within the excluded subtree {found.value} of its CA"
    if permitting and not any(_covers(each, compared, excluding=False) for each in permitting):
        return f"{name.value} is in no permitted subtree of its CA"
    return None


def _of_kind(name: x509.GeneralName, subtrees: Sequence[x509.GeneralName]) -> list[x509.GeneralName]:
    return [each for each in subtrees if isinstance(each, type(name))]


def _compared(name: x509.GeneralName) -> str | _Address | None:
    """What of a name constraints are about: a domain, a mailbox or an address; None where there is none."""
    match name:
        case x509.IPAddress(value=address):
            return address if isinstance(address, _Address) else None
        case x509.UniformResourceIdentifier(value=uri):
            host = host_of(uri)
            return None if not host or _is_address(host) else _domain(host)
        case x509.RFC822Name(value=mailbox):
            local, at, domain = mailbox.rpartition("@")
            return f"{local}@{domain.lower()}" if at and is_domain(domain) else None
        case _:
            return _domain(str(name.value))


def _domain(text: str) -> str | None:
    return text if is_domain(text) else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _covers(subtree: x509.GeneralName, compared: str | _Address, *, excluding: bool) -> bool:
    """Whether a subtree holds a name; one that is excluded holds a wildcard that could become one in it."""
    limit = subtree.value
    if not isinstance(compared, str):
        return isinstance(limit, IPv4Network | IPv6Network) and compared in limit
    if "@" in str(limit):
        local, _, domain = str(limit).rpartition("@")
        return compared == f"{local}@{domain.lower()}"
    return _holds(str(limit), compared.rpartition("@")[2], excluding=excluding)


def _holds(subtree: str, name: str, *, excluding: bool) -> bool:
    """Whether a domain is in a subtree, by labels from the right; a leading dot wants one label more."""
    # An empty subtree holds every name.
    if not subtree:
        return True
    wanted = subtree.removeprefix(".").lower().split(".")[::-1]
    labels = name.lower().split(".")[::-1]
    needed = len(wanted) + subtree.startswith(".")
    if excluding and labels[-1] == "*" and len(labels) == len(wanted) == needed:
        return labels[:-1] == wanted[:-1]
    return len(labels) >= needed and labels[: len(wanted)] == wanted
