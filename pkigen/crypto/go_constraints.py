"""Name constraints as Go's `crypto/x509` applies them (constraints.go; RFC 5280 4.2.1.10).

Both sides may be thousands of names: what is compared with is looked up, not gone through.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from cryptography import x509

from pkigen.crypto.go_certificates import host_of, is_address, is_domain, mailbox_of
from pkigen.crypto.names import extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Address = IPv4Address | IPv6Address
_Mailbox = tuple[str, str]
_KINDS: Final = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier, x509.RFC822Name)


class _Subtrees:
    """The constraints of one kind of name that permit, or those that exclude."""

    def __init__(self, values: Sequence[object], *, excluding: bool) -> None:
        self._are_any = bool(values)
        self._networks = {each for each in values if isinstance(each, IPv4Network | IPv6Network)}
        self._lengths = sorted(set(map(_length, self._networks)))
        texts = [each for each in values if isinstance(each, str)]
        self._mailboxes = {mailbox_of(each) for each in texts if "@" in each}
        # With their leading dots, which want one label more.
        self._domains = {each.lower() for each in texts if "@" not in each}
        self._siblings = _siblings(self._domains if excluding else set())

    def __bool__(self) -> bool:
        return self._are_any

    def holder(self, compared: str | _Mailbox | _Address) -> str | None:
        """A subtree that holds a name, and is "" itself where it holds all; None where none does."""
        if isinstance(compared, _Address):
            networks = (_network(compared, length) for length in self._lengths)
            return next((str(each) for each in networks if each in self._networks), None)
        if isinstance(compared, tuple):
            return "@".join(compared) if compared in self._mailboxes else self._domain(compared[1])
        return self._domain(compared.lower())

    def _domain(self, name: str) -> str | None:
        """A domain that holds another one: a leading dot wants one label more."""
        if "" in self._domains:
            return ""
        if name in self._domains:
            return name
        if name.startswith("*") and _parent(name) in self._siblings:
            return self._siblings[_parent(name)]
        above = name
        while above := _parent(above):
            for each in (above, above[1:]):
                if each in self._domains:
                    return each
            above = above[1:]
        return None


def _siblings(domains: set[str]) -> dict[str, str]:
    """Excluded domains by their parents: a wildcard that could become one is excluded, too."""
    return {_parent(each): each for each in domains if _parent(each)}


def _parent(name: str) -> str:
    """A domain without its first label, from the dot on; empty where there is no dot."""
    _, dot, rest = name.partition(".")
    return dot + rest


def _length(network: IPv4Network | IPv6Network) -> tuple[int, int]:
    return network.version, network.prefixlen


def _network(address: _Address, length: tuple[int, int]) -> IPv4Network | IPv6Network | None:
    """The network of a length that an address is in; only its like holds ::ffff:10.0.0.1 (IPNet.Contains)."""
    version, bits = length
    if address.version != version:
        return None
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address), bits), strict=False)
    network = IPv6Network((int(address), bits), strict=False)
    is_mapped = address.ipv4_mapped is not None
    return network if is_mapped == (network.network_address.ipv4_mapped is not None) else None


@lru_cache(maxsize=64)
def _constraints(ca: x509.Certificate) -> dict[type[x509.GeneralName], tuple[_Subtrees, _Subtrees]] | None:
    """What a CA permits and excludes, by kind of name; None where it constrains none."""
    extension = extension_of(ca, x509.NameConstraints)
    if extension is None:
        return None
    permitted, excluded = extension.value.permitted_subtrees or (), extension.value.excluded_subtrees or ()
    return {
        kind: (
            _Subtrees([each.value for each in permitted if isinstance(each, kind)], excluding=False),
            _Subtrees([each.value for each in excluded if isinstance(each, kind)], excluding=True),
        )
        for kind in _KINDS
    }


def not_permitted(ca: x509.Certificate, below: Sequence[x509.Certificate]) -> str | None:
    """Why a CA's constraints forbid a name below it; None where none is forbidden."""
    constraints = _constraints(ca)
    if constraints is None:
        return None
    names = (name for each in below for name in _names(each))
    faults = (_fault(name, *constraints[type(name)]) for name in names)
    return next((fault for fault in faults if fault is not None), None)


def _names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    names = extension_of(certificate, x509.SubjectAlternativeName)
    return (name for name in (() if names is None else names.value) if isinstance(name, _KINDS))


def _fault(name: x509.GeneralName, permitted: _Subtrees, excluded: _Subtrees) -> str | None:
    """Why a name is not the CA's to certify: excluded, or in none of the subtrees of its own kind."""
    compared = _compared(name)
    if compared is None:
        return f"{name.value} cannot be compared with the name constraints of its CA"
    found = excluded.holder(compared)
    if found is not None:
        return f"{name.value} is within the excluded subtree {found} of its CA"
    if permitted and permitted.holder(compared) is None:
        return f"{name.value} is in no permitted subtree of its CA"
    return None


def _compared(name: x509.GeneralName) -> str | _Mailbox | _Address | None:
    """What of a name constraints are about: a domain, a mailbox or an address; None where there is none."""
    match name:
        case x509.IPAddress(value=address):
            return address if isinstance(address, _Address) else None
        case x509.UniformResourceIdentifier(value=uri):
            host = host_of(uri)
            return None if not host or is_address(host) else _domain(host)
        case x509.RFC822Name(value=mailbox):
            return mailbox_of(mailbox)
        case _:
            return _domain(str(name.value))


def _domain(text: str) -> str | None:
    return text if is_domain(text) else None
