"""Recognizes error messages of kubectl, Go, curl, Python, Java and the components' logs.

Only the kind of the failure and the names in it are used. The text of a message is not trusted: anybody who
can make a component log a line decides what it says.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAuthority:
    """The client does not trust the CA of the server's certificate.

    `server` is the server it connected to, where the message says it. `namesake` is the name of a CA that it
    does know, and that has another key than the CA of that name that signed.
    """

    server: str | None
    namesake: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedClient:
    """The server does not trust the CA of the client's certificate, as its log or the client says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedServer:
    """A server's log: the client aborted, because it does not trust the CA of the server's certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongName:
    """The server's certificate does not have the name that the client uses; a message may lack either."""

    name: str | None
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anonymous:
    """No credential arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cannot:
    """A known user lacks a right; `resource` and `path` are what it is about, and one of them is None."""

    user: str
    verb: str
    resource: str | None
    group: str
    namespace: str | None
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A certificate has expired or is not yet valid, or a clock is wrong."""


class Refusal(enum.Enum):
    """Why an API server refuses a credential, by its log (`pkg/serviceaccount/claims.go`, `jwt.go`)."""

    UNKNOWN = enum.auto()
    EXPIRED = enum.auto()
    GONE = enum.auto()
    AUDIENCE = enum.auto()
    KEY = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unauthorized:
    """A credential arrived and was refused."""

    why: Refusal


Failure = (
    UnknownAuthority | RefusedClient | RefusedServer | WrongName | Anonymous | Cannot | Expired | Unauthorized
)


def recognise(text: str) -> Failure | None:
    """The failure that a message describes; None if it is not a known one.

    Args:
        text: The message, with whatever stands around it; also as the JSON of a Status, or a line of a log.
    """
    lines = text.replace("\r\n", "\n")
    shown = "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in lines
    )
    plain = shown.replace('\\"', '"').translate(_QUOTES)
    for pattern, failure in _PATTERNS:
        match = pattern.search(plain)
        if match is not None:
            return failure(match)
    return None


_QUOTES = {ord(curly): "'" for curly in "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"}


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_UNKNOWN = r"certificate signed by unknown authority"
_REFUSED_CLIENT = _pattern(
    rf"unable to authenticate the request.{{0,4000}}?{_UNKNOWN}",
    rf"verifying certificate sn=.{{0,500}}?{_UNKNOWN}",  # apiserver request/x509
    rf"rejected connection.{{0,500}}?{_UNKNOWN}",  # etcd
    r"remote error: tls: (?:bad certificate|unknown certificate authority|certificate required)",
    r"alert (?:bad certificate|unknown ca)\b",  # OpenSSL
)
_REFUSED_SERVER = _pattern(
    r"tls handshake error from .{0,200}?remote error: tls: (?:bad|unknown) certificate"
)
_UNKNOWN_AUTHORITY = _pattern(
    _UNKNOWN,
    r"unable to get (?:local )?issuer certificate",  # OpenSSL: curl, Python, Ruby
    r"unable to verify the first certificate",  # Node
    r"self[- ]signed certificate",
    r"(?:SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)",
    r"unable to locally verify the issuer's authority",  # wget
    r"certificate issuer is unknown|issuer certificate is unknown|issuer is not recognized",  # GnuTLS, NSS
    r"server certificate verification failed",
    r"PKIX path building failed|unable to find valid certification path",  # Java
    r"SEC_E_UNTRUSTED_ROOT|certificate is not trusted",  # Windows, macOS
    r"invalid peer certificate: UnknownIssuer",  # Rust
)
_NAMESAKE = re.compile(r'candidate authority certificate "([^"\n]{1,253})"')
_DIALLED = re.compile(r"\bhttps://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(:\d{1,5})?")

_NAME = r"[^\s\"',;]{1,253}"
_WRONG_NAME = _pattern(
    rf"certificate is valid for (?P<names>.{{1,4000}}), not (?P<go>{_NAME})",
    rf"cannot validate certificate for (?P<go_ip>{_NAME}) because it doesn't contain any IP SANs",
    rf"certificate is not valid for any names, but wanted to match (?P<go_none>{_NAME})",
    # curl, whose target is a host name, hostname, ipv4 address or ipv6 address
    rf"no alternative certificate subject name matches target [a-z0-9 ]{{4,15}} '(?P<curl>{_NAME})'",
    rf"subject name '[^'\n]{{0,253}}' does not match target host ?name '(?P<curl_cn>{_NAME})'",
    rf"(?:hostname|ip address) mismatch, certificate is not valid for '(?P<python>{_NAME})'",
    rf"no certificate subject alternative name matches\s+requested host name '(?P<wget>{_NAME})'",
    rf"no (?:subject alternative (?:dns )?names?|name) matching (?:ip address )?(?P<java>{_NAME}) found",
    rf"altnames: (?:host|ip): (?P<node>{_NAME}) is not ",
    rf'tls: "(?P<etcd>{_NAME})" does not match any of DNSNames',
    r"(?P<unsaid>hostname mismatch|ip address mismatch|certificate relies on legacy common name field)",
)
_ANONYMOUS = _pattern(
    r"forbidden.{0,200}system:anonymous",
    r'"system:anonymous" cannot\b',
    r"user=system:anonymous\b",
)
_CANNOT = re.compile(
    r"User \"(?P<user>[^\"\n]{1,253})\" cannot (?P<verb>[^\s\"]{1,60})"
    r"(?: resource \"(?P<resource>[^\"\n]{1,253})\" in API group \"(?P<group>[^\"\n]{0,253})\""
    r"(?: in the namespace \"(?P<namespace>[^\"\n]{1,63})\")?| path \"(?P<path>[^\"\n]{1,500})\")?"
)
_KUBELET_CANNOT = re.compile(
    r"Forbidden \(user=(?P<user>[^\s,]{1,253}), verb=(?P<verb>\w{1,60}), resource=(?P<resource>\w{1,60}), "
    r"subresource(?:\(s\))?=\[?(?P<subresource>\w{1,60})"
)
_EXPIRED = _pattern(
    r"certificate has expired(?: or is not yet valid)?",
    r"certificate is not yet valid",
    r"certificate (?:is|was) expired|CERT_HAS_EXPIRED|CertificateExpiredException|tls: expired certificate",
)
_UNAUTHORIZED = _pattern(
    r"must be logged in to the server",
    r"asked for the client to provide credentials",
    r"unable to authenticate the request",
    r"invalid bearer token",
    r"service account token has (?:expired|been invalidated)",
    r"\bunauthorized\b",
    r"\bHTTP/\S{1,5} 401\b|\b(?:status|code)\b\W{0,5}(?:code\W{0,3})?401\b",
)
_REFUSALS = {
    Refusal.EXPIRED: _pattern(
        r"token has expired|token is expired|validation failed, token is expired|\(exp\)"
    ),
    Refusal.GONE: _pattern(
        r"does not match claim", r"has been (?:deleted|invalidated)", r"serviceaccounts? .{0,300}not found"
    ),
    Refusal.AUDIENCE: _pattern(r"is invalid for the target audiences", r"\(aud\)"),
    Refusal.KEY: _pattern(
        r"no keys found",
        r"error in cryptographic primitive",
        r"invalid signature",
        r"token issuer .{0,300}invalid",
    ),
}


def _dialled(text: str) -> str | None:
    match = _DIALLED.search(text)
    return match[1] + (match[2] or ":443") if match is not None else None


def _unknown_authority(match: re.Match[str]) -> Failure:
    namesake = _NAMESAKE.search(match.string)
    return UnknownAuthority(
        server=_dialled(match.string), namesake=namesake[1] if namesake is not None else None
    )


def _wrong_name(match: re.Match[str]) -> Failure:
    named = {key: value for key, value in match.groupdict().items() if value is not None}
    names = frozenset(filter(None, (each.strip() for each in named.pop("names", "").split(","))))
    said = None if "unsaid" in named else next(iter(named.values())).strip(".[]")
    return WrongName(name=said or None, names=names)


def _cannot(match: re.Match[str]) -> Failure:
    return Cannot(
        user=match["user"],
        verb=match["verb"],
        resource=match["resource"],
        group=match["group"] or "",
        namespace=match["namespace"],
        path=match["path"],
    )


def _kubelet_cannot(match: re.Match[str]) -> Failure:
    resource = f"{match['resource']}/{match['subresource']}"
    return Cannot(
        user=match["user"], verb=match["verb"], resource=resource, group="", namespace=None, path=None
    )


def _unauthorized(match: re.Match[str]) -> Failure:
    found = (why for why, pattern in _REFUSALS.items() if pattern.search(match.string))
    return Unauthorized(why=next(found, Refusal.UNKNOWN))


# The order decides where a message fits several: what says more comes first.
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Failure]], ...] = (
    (_REFUSED_SERVER, lambda _: RefusedServer()),
    (_REFUSED_CLIENT, lambda _: RefusedClient()),
    (_WRONG_NAME, _wrong_name),
    (_EXPIRED, lambda _: Expired()),
    (_UNKNOWN_AUTHORITY, _unknown_authority),
    (_ANONYMOUS, lambda _: Anonymous()),
    (_CANNOT, _cannot),
    (_KUBELET_CANNOT, _kubelet_cannot),
    (_UNAUTHORIZED, _unauthorized),
)
