"""The spec's hosts, addresses, networks and endpoints: text in, checked values out.

As in `spec/values`, a value that a reader refuses raises ValueError with a sentence that has the
value's place as its subject.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pkigen.spec.values import parse_dns_name, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.notation import IPAddress

IPNetwork = IPv4Network | IPv6Network

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""What people call the host that a program runs on."""
_LAST_PORT: Final = 65535
_BROADCAST: Final = IPv4Address("255.255.255.255")
_PORT: Final = r"(?::([0-9]{1,5}))?"
_BRACKETED_HOST_PORT: Final = rf"\[([^\[\]\s]+)\]{_PORT}"
_HOST_PORT: Final = rf"([A-Za-z0-9.-]+){_PORT}"
_DOTTED_NUMBERS: Final = r"[0-9.]+"
# Two colons at least, unlike host:port; with dots, since an IPv6 address may end as an IPv4 one does.
_ADDRESS_LIKE: Final = r"[0-9.]+|[0-9a-f.]*:[0-9a-f:.]*:[0-9a-f:.]*(?:%.*)?"
_AROUND_HOSTS: Final = frozenset("[]:/@")
_SCHEME: Final = r"^[a-z][a-z0-9+.-]*://"
_ENDPOINT_URL: Final = r"https?://([^/?#@\s]+)/?"


def parse_address(value: object) -> IPAddress:
    """An IP address as text; mapped and scoped ones are refused.

    Go refuses to parse certificates with an IPv4-mapped address (crypto/x509 parseSANExtension).
    """
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    text = text_of(value, "an IP address")
    try:
        address: IPAddress = IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        plain = re.sub(r"(^|\.)0+(?=[0-9])", r"\1", text) if re.fullmatch(_DOTTED_NUMBERS, text) else text
        if plain != text and _is_address(plain):
            # Kubernetes' ParseIPSloppy reads decimals, inet_aton of C octals.
            msg = f"must not have leading zeros, which others read as octal: write {plain}"
            raise ValueError(msg) from None
        msg = f"must be an IP address, not {text[:60]!r}"
        raise ValueError(msg) from None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            msg = f"is an IPv4-mapped IPv6 address, which the API server refuses: write {address.ipv4_mapped}"
            raise ValueError(msg)
        if address.scope_id is not None:
            raise ValueError("must not have a zone ('%'): certificates cannot name one")
    return address


def _is_address(text: str) -> bool:
    """Whether this is an IPv4 address in its usual form."""
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def parse_host_address(value: object) -> IPAddress:
    """An IP address that one host can have."""
    address = parse_address(value)
    if address.is_unspecified or address.is_multicast or address == _BROADCAST:
        raise ValueError("must be the address of one host")
    return address


def parse_node_ip(value: str) -> tuple[IPAddress, ...]:
    """The addresses in the kubelet's flag `node-ip`; unspecified ones mean "find out" and are left out."""
    addresses = (parse_address(part.strip()) for part in value.split(",") if part.strip())
    return tuple(address for address in addresses if not address.is_unspecified)


def parse_network(value: object) -> IPNetwork:
    """A subnet in CIDR notation, without host bits."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = text_of(value, "a subnet such as 10.96.0.0/12")
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        msg = f"must be a subnet such as 10.96.0.0/12, not {text[:60]!r}"
        raise ValueError(msg) from None
    if isinstance(meant, IPv6Network):
        parse_address(str(meant.network_address))  # neither mapped nor with a zone
    prefix = text.partition("/")[2]
    # Half is but an example of a length: /16, or /64 of IPv6.
    if not prefix:
        msg = f"needs a prefix length, such as {text}/{meant.max_prefixlen // 2}"
        raise ValueError(msg)
    # `ip_network` takes netmasks as well, which Go's `net.ParseCIDR` refuses.
    if prefix != str(meant.prefixlen):
        msg = f"must have a prefix length after the '/': write {meant}"
        raise ValueError(msg)
    if ip_address(text.partition("/")[0]) != meant.network_address:
        msg = f"has host bits set: write {meant}"
        raise ValueError(msg)
    return meant


def parse_san(value: object) -> str:
    """A subject alternative name: an IP address, a lower-case DNS name or `*.` and a DNS name."""
    # RFC 5280 7.2 compares names without regard to case; written in lower case they also compare as text.
    text = text_of(value, "a DNS name or an IP address").lower()
    more = _host_within(text)
    if more is not None:
        msg = f"must be a name or an address alone, without scheme, port and path: write {more}"
        raise ValueError(msg)
    if re.fullmatch(_ADDRESS_LIKE, text):
        return str(parse_address(text))
    try:
        parse_dns_name(text.removeprefix("*."))
    except ValueError:
        alone = " without scheme, port, brackets and path," if set(text) & _AROUND_HOSTS else ""
        msg = f"must be an IP address, a DNS name or *. and a DNS name,{alone} not {text[:60]!r}"
        raise ValueError(msg) from None
    return text


def _host_within(text: str) -> str | None:
    """The host of text that has a scheme, a port, brackets or a path as well; None where it has none."""
    authority = re.sub(_SCHEME, "", text).split("/")[0]
    try:
        host, port = split_host_port(authority.removeprefix("*."))
        name = parse_dns_name(host) if isinstance(host, str) else str(host)
    except ValueError:
        return None
    if authority == text and port is None and not authority.startswith("["):
        return None
    return f"*.{name}" if authority.startswith("*.") else name


def split_host_port(value: str) -> tuple[IPAddress | str, int | None]:
    """Split `host`, `host:port` or `[address]:port`; the host comes back as an address where it is one.

    Raises:
        ValueError: It is none of these.
    """
    scheme = re.match(_SCHEME, value.lower())
    if scheme:
        msg = f"must be a host or host:port alone, without {scheme[0]} in front"
        raise ValueError(msg)
    bracketed = re.fullmatch(_BRACKETED_HOST_PORT, value)
    if bracketed:
        return parse_address(bracketed[1]), int(bracketed[2]) if bracketed[2] else None
    # More than one colon is IPv6 without brackets, in which a port could not be told from the last group.
    if value.count(":") > 1:
        try:
            return parse_address(value), None
        except ValueError:
            raise ValueError("must be a host or host:port; write IPv6 as [address]:port") from None
    plain = re.fullmatch(_HOST_PORT, value)
    if not plain:
        raise ValueError("must be a host or host:port, such as api.example.com:6443")
    port = int(plain[2]) if plain[2] else None
    host = plain[1].lower()
    # What looks like an IPv4 address is one or nothing: 10.0.0.300 is no name.
    return (parse_address(host) if re.fullmatch(_DOTTED_NUMBERS, host) else host), port


def parse_host_port(value: str) -> str:
    """A host that clients can reach, as a DNS name or an address, with or without a port."""
    host, port = split_host_port(value)
    if port is not None and not 1 <= port <= _LAST_PORT:
        raise ValueError("must have a port between 1 and 65535")
    if isinstance(host, str):
        parse_dns_name(host)
    elif host.is_unspecified or host.is_multicast:
        raise ValueError("must be an address that clients can reach")
    return value


def parse_endpoint_url(value: str) -> str:
    """The URL of one etcd member: a scheme, a host and a port, no path."""
    match = re.fullmatch(_ENDPOINT_URL, value)
    if not match:
        raise ValueError("must be a URL such as https://10.0.0.31:2379")
    parse_host_port(match[1])
    return value


def urls_without_tls(text: str) -> Iterator[str]:
    """The URLs of a flag of etcd, or about it, that have no TLS and lead beyond the node."""
    for url in filter(None, text.split(",")):
        try:
            host = urlsplit(url).hostname
        except ValueError:
            continue
        # What stays on the node crosses no network: etcd's metrics, as kubeadm sets them, are at
        # http://127.0.0.1:2381.
        if url.startswith("http://") and host not in LOOPBACK:
            yield url
