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


class Listener(enum.Enum):
    """Which server a message is about, by the port that it names or by the words around it."""

    API_SERVER = enum.auto()
    ETCD = enum.auto()
    ETCD_PEER = enum.auto()
    KUBELET = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAuthority:
    """The client does not trust the CA of the server's certificate.

    `server` is the server it connected to, where the message says it. `namesake` is the name of a CA that it
    does know, and that has another key than the CA of that name that signed.
    """

    listener: Listener | None
    server: str | None
    namesake: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedClient:
    """The server does not trust the CA of the client's certificate, as its log or the client says."""

    listener: Listener | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedServer:
    """A server's log: the client aborted, because it refuses the server's certificate."""

    listener: Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongUsage:
    """A certificate is not for the side that presents it: its extended key usage lacks that side's.

    `is_client` says that the client presents it; `listener` is the server, whichever side presents it.
    """

    listener: Listener | None
    is_client: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotServing:
    """The server has no certificate yet (RFC 8446 6.2, internal_error): a kubelet whose request waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongName:
    """The server's certificate does not have the name that the client uses; a message may lack either.

    `server` is what it connected to, where the message says it.
    """

    listener: Listener | None
    server: str | None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NoKubeconfig:
    """kubectl has no kubeconfig, and dials its default: localhost:8080 (clientcmd)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCredential:
    """The kubeconfig's user has no credential: kubectl asks for a password, which no API server takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMappings:
    """The ConfigMap that maps AWS IAM to users is not in the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """The credential is on the list that API servers refuse: pkigen's webhook, which leads nowhere."""


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


HandshakeFailure = (
    UnknownAuthority | RefusedClient | RefusedServer | WrongUsage | NotServing | WrongName | Expired
)
Failure = (
    HandshakeFailure | NoKubeconfig | NoCredential | NoMappings | Revoked | Anonymous | Cannot | Unauthorized
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
    rf"(?:rejected connection|tls handshake error from).{{0,500}}?{_UNKNOWN}",  # etcd, net/http
    rf"failed to verify (?:the )?client(?:'s)? certificate.{{0,500}}?{_UNKNOWN}",  # crypto/tls
    r"remote error: tls: (?:bad certificate|unknown certificate|certificate required)",
    r"alert (?:bad certificate|unknown ca)\b",  # OpenSSL
)
# The alert that a server's log quotes was sent by its client (RFC 8446 6.2): "remote error".
_REVOKED = _pattern(r"127\.0\.0\.1:0/this-credential-is-revoked")  # desired/rendering/authorization
_REFUSED_SERVER = _pattern(
    r"(?:tls handshake error from|rejected connection|failed to serve tls).{0,500}?"
    r"remote error: tls: (?:bad|unknown|revoked) certificate"
)
_WRONG_USAGE = _pattern(
    r"certificate specifies an incompatible key usage",
    r"(?:unsupported|unsuitable) certificate purpose",  # OpenSSL
    r"extended key usage does not permit use for tls (?:client|server) authentication",  # Java
    r"invalid peer certificate: (?:InvalidPurpose|certificate does not allow extended key usage)",  # Rust
    r"remote error: tls: unsupported certificate",
)
_CLIENT_CERTIFICATE = _pattern(
    r"failed to verify (?:the )?client(?:'s)? certificate", r"for tls client authentication"
)
_SERVER_LOG = _pattern(
    r"unable to authenticate the request",
    r"verifying certificate sn=",
    r"tls handshake error from",
    r"rejected connection",
)
_REMOTE = _pattern(r"remote error")
_NOT_SERVING = _pattern(r"remote error: tls: internal error", r"alert internal error\b")
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
_HOST = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})"
_DIALLED = re.compile(
    rf"\b(?:https|wss)://(?P<url>{_HOST})(?P<port>:\d{{1,5}})?"
    # The words of Go's dialler and of gRPC have no scheme; of "read tcp A->B" the server is B.
    rf"|\b(?:dial|read|write) tcp (?:{_HOST}:\d{{1,5}}->)?(?P<tcp>{_HOST}:\d{{1,5}})"
    rf'|(?:\bAddr: ?|"(?:endpoint|address)": ?)"(?P<grpc>{_HOST}:\d{{1,5}})'
)
# Where a program sends people for help (curl, npm, pip) is not what it connected to.
_HELP = re.compile(
    r"(?:\bsee|\bvisit|\bdetails? here|\bmore information[^:\n]{0,40}):?\s{1,4}https://\S{1,500}",
    re.IGNORECASE,
)
_KUBELET = _pattern(r"error dialing backend", r":10250\b")
_SAN_CHECK = r"does not match any of DNSNames"  # etcd's, of the members that connect to one
_ETCD = _pattern(r"rejected connection", r"\betcdserver", r"\brafthttp\b", _SAN_CHECK)
_PEER = _pattern(r"on peer endpoint", r"\brafthttp\b", _SAN_CHECK)
_LISTENERS = {
    "2379": Listener.ETCD,
    "2380": Listener.ETCD_PEER,
    "6443": Listener.API_SERVER,
}

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
_NO_KUBECONFIG = _pattern(
    r"\b(?:localhost|127\.0\.0\.1|\[::1\]):8080\b.{0,80}\brefused",
    r"no configuration has been provided",
    r"invalid configuration: no server found",
)
_NO_CREDENTIAL = _pattern(r"please enter (?:username|password)", r"enter username:")
_NO_MAPPINGS = _pattern(r'configmaps? "aws-auth" not found')
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
    """What the client connected to: help links, such as curl's, stand after the words of an error."""
    match = _DIALLED.search(_HELP.sub("", text))
    if match is None:
        return None
    return match["url"] + (match["port"] or ":443") if match["url"] else match["tcp"] or match["grpc"]


def _listener(text: str) -> Listener | None:
    """Who the server is, where a port or the words of its clients say it."""
    if _KUBELET.search(text):
        return Listener.KUBELET
    dialled = _dialled(text)
    found = _LISTENERS.get((dialled or "").rpartition(":")[2])
    if found is not None:
        return found
    if dialled is not None or not _ETCD.search(text):
        return None
    return Listener.ETCD_PEER if _PEER.search(text) else Listener.ETCD


def _unknown_authority(match: re.Match[str]) -> Failure:
    namesake = _NAMESAKE.search(match.string)
    return UnknownAuthority(
        listener=_listener(match.string),
        server=_dialled(match.string),
        namesake=namesake[1] if namesake is not None else None,
    )


def _refused_client(match: re.Match[str]) -> Failure:
    return RefusedClient(listener=_listener(match.string))


def _refused_server(match: re.Match[str]) -> Failure:
    """net/http's words are those of the API server and the kubelet, which cannot be told apart."""
    return RefusedServer(listener=_listener(match.string) or Listener.API_SERVER)


def _wrong_usage(match: re.Match[str]) -> Failure:
    """A server judges clients, and a client servers; what is "remote" was judged by the other end."""
    text = match.string
    is_judged_here = _SERVER_LOG.search(text) is not None
    is_client = is_judged_here != (_REMOTE.search(text) is not None)
    return WrongUsage(
        listener=_listener(text), is_client=is_client or _CLIENT_CERTIFICATE.search(text) is not None
    )


def _wrong_name(match: re.Match[str]) -> Failure:
    """The name that was asked for, and those that the certificate has, as far as the message tells."""
    named = {key: value for key, value in match.groupdict().items() if value is not None}
    names = frozenset(filter(None, (each.strip() for each in named.pop("names", "").split(","))))
    said = None if "unsaid" in named else next(iter(named.values())).strip(".[]")
    server = _dialled(match.string)
    return WrongName(listener=_listener(match.string), server=server, name=said or None, names=names)


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
    """Which of the API server's reasons stands around the message; `kubectl` shows none of them."""
    found = (why for why, pattern in _REFUSALS.items() if pattern.search(match.string))
    return Unauthorized(why=next(found, Refusal.UNKNOWN))


# The order decides where a message fits several: what says more comes first.
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Failure]], ...] = (
    (_REFUSED_SERVER, _refused_server),
    (_WRONG_USAGE, _wrong_usage),
    (_REFUSED_CLIENT, _refused_client),
    (_NOT_SERVING, lambda _: NotServing()),
    (_WRONG_NAME, _wrong_name),
    (_EXPIRED, lambda _: Expired()),
    (_UNKNOWN_AUTHORITY, _unknown_authority),
    (_NO_KUBECONFIG, lambda _: NoKubeconfig()),
    (_NO_CREDENTIAL, lambda _: NoCredential()),
    (_NO_MAPPINGS, lambda _: NoMappings()),
    (_REVOKED, lambda _: Revoked()),
    (_ANONYMOUS, lambda _: Anonymous()),
    (_CANNOT, _cannot),
    (_KUBELET_CANNOT, _kubelet_cannot),
    (_UNAUTHORIZED, _unauthorized),
)
