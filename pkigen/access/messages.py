"""Recognizes error messages of kubectl, Go, curl, Python, Java and the components' logs.

Only the kind of the failure and the names in it are used. The text of a message is not trusted: anybody who
can make a component log a line decides what it says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen.access.failure_kinds import (
    Anonymous,
    Cannot,
    Circumstance,
    Expired,
    Failure,
    Listener,
    NameKind,
    NoCertificate,
    NoCredential,
    NoKubeconfig,
    NoMappings,
    NotServing,
    Refusal,
    RefusedClient,
    RefusedServer,
    Revoked,
    Unauthorized,
    UnknownAuthority,
    WrongName,
    WrongUsage,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def recognise(text: str) -> Failure | None:
    """The failure that a message describes; None if it is not a known one.

    Args:
        text: The message, with whatever stands around it; also as the JSON of a Status, or a line of a log.
    """
    lines = text.replace("\r\n", "\n")
    # Names out of the message are printed again: no control character may reach the terminal with them.
    shown = "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in lines
    )
    # In the JSON of a Status quotes are escaped, and some programs print curly ones.
    plain = shown.replace('\\"', '"').translate(_QUOTES)
    for pattern, failure in _PATTERNS:
        match = pattern.search(plain)
        if match is not None:
            return failure(match)
    return None


_QUOTES = {ord(curly): "'" for curly in "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"}


def _pattern(*alternatives: str) -> re.Pattern[str]:
    # Repetitions of any character are bounded: a log of megabytes must not take forever to search.
    return re.compile("|".join(alternatives), re.IGNORECASE)


_UNKNOWN = r"certificate signed by unknown authority"
_REFUSED_CLIENT = _pattern(
    rf"unable to authenticate the request.{{0,4000}}?{_UNKNOWN}",
    rf"verifying certificate sn=.{{0,500}}?{_UNKNOWN}",  # apiserver request/x509
    rf"(?:rejected connection|tls handshake error from).{{0,500}}?{_UNKNOWN}",  # etcd, net/http
    rf"failed to verify (?:the )?client(?:'s)? certificate.{{0,500}}?{_UNKNOWN}",  # crypto/tls
    r"\btls: (?:bad certificate|unknown certificate(?! in))",
    r"alert (?:bad certificate|certificate unknown|unknown ca)\b",  # OpenSSL
    r"received fatal alert: (?:bad_certificate|certificate_unknown|unknown_ca)",  # Java
    r"received alert \[(?:42|46|48)\]",  # GnuTLS
)
_NO_CERTIFICATE = _pattern(
    r"tls: certificate required",
    r"tls: client didn't provide a certificate",
    r"alert certificate required\b|peer did not return a certificate",  # OpenSSL
    r"received fatal alert: certificate_required",  # Java
    r"received alert \[116\]",  # GnuTLS
)
_REVOKED = _pattern(r"127\.0\.0\.1:0/this-credential-is-revoked")  # desired/rendering/authorization
# The alert that a server's log quotes was sent by its client (RFC 8446 6.2): "remote error".
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
_BARE = r"(?:[0-9A-Fa-f:.]{2,45}|[A-Za-z0-9.-]{1,253})"
_DIALLED = re.compile(
    rf"\b(?:https|wss)://(?P<url>{_HOST})(?P<port>:\d{{1,5}})?"
    # The words of Go's dialler and of gRPC have no scheme; of "read tcp A->B" the server is B.
    rf"|\b(?:dial|read|write) tcp (?:{_HOST}:\d{{1,5}}->)?(?P<tcp>{_HOST}:\d{{1,5}})"
    rf'|(?:\bAddr: ?|"(?:endpoint|address)": ?)"(?P<grpc>{_HOST}:\d{{1,5}})'
    rf"|\betcd-endpoints://[^\s\"/]{{1,40}}/(?P<etcd>{_HOST}:\d{{1,5}})"
    rf"|\bhost='(?P<python>{_BARE})', port=(?P<python_port>\d{{1,5}})"
    rf"|\bpeeraddr=(?P<ruby>{_HOST}:\d{{1,5}})"
    rf"|\bConnected to (?P<curl>{_BARE}) \([^)\n]{{1,60}}\) port (?P<curl_port>\d{{1,5}})"
    rf"|\bConnecting to '(?P<gnutls>{_BARE}):(?P<gnutls_port>\d{{1,5}})'"
    rf"|\bConnecting to {_HOST} \([^)\n]{{1,60}}\)\|(?P<wget>{_BARE})\|:(?P<wget_port>\d{{1,5}})"
    rf"|\bserver (?P<kubectl>{_HOST}:\d{{1,5}}) was refused"
)
_PORTS = ("port", "python_port", "curl_port", "gnutls_port", "wget_port")
# Where a program sends people for help (curl, npm, pip) is not what it connected to.
_HELP = re.compile(
    r"(?:\bsee|\bvisit|\bdetails? here|\bmore information[^:\n]{0,40}):?\s{1,4}https://\S{1,500}",
    re.IGNORECASE,
)
_KUBELET = _pattern(r"error dialing backend", r":10250\b")
_SAN_CHECK = r"does not match any of DNSNames"  # etcd's, of the members that connect to one
_RAFT = r"\brafthttp\b|ROUND_TRIPPER|remote-peer-id"
_ETCD = _pattern(r"rejected connection", r"\betcdserver", r"etcd-client", _RAFT, _SAN_CHECK)
_PEER = _pattern(r"on peer endpoint", _RAFT, _SAN_CHECK)
_LISTENERS = {
    "2379": Listener.ETCD,
    "2380": Listener.ETCD_PEER,
    "6443": Listener.API_SERVER,
    "10250": Listener.KUBELET,
    "10257": Listener.CONTROLLER_MANAGER,
    "10259": Listener.SCHEDULER,
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
    # Python before 3.7, urllib3
    rf"hostname '(?P<python_old>{_NAME})' doesn't match (?:either of )?(?P<python_names>'[^\n]{{1,4000}}')",
    rf"hostname (?P<okhttp>{_NAME}) not verified",  # Java: OkHttp, Apache's client
    r"certificate for <(?P<apache>[^>\n]{1,253})> doesn't match any of the subject alternative names: "
    r"\[(?P<apache_names>[^\]\n]{0,4000})\]",
    rf"certificate common name '[^'\n]{{0,253}}' doesn't match requested host name '(?P<wget_cn>{_NAME})'",
    rf"certificate's owner does not match host ?name '(?P<gnutls>{_NAME})'",
    rf'certificate not valid for name "(?P<rust>{_NAME})"',
    r"server ?name '?(?P<other>[^\s'\"]{1,253})'? does(?: not|n't) match",
    r"(?P<rust_unsaid>invalid peer certificate: NotValidForName)",
    r"(?P<gnutls_unsaid>name in the certificate does not match the expected)",
    r"(?P<windows_unsaid>SEC_E_WRONG_PRINCIPAL|principal name is incorrect|RemoteCertificateNameMismatch)",
    rf'tls: "(?P<etcd>{_NAME})" does not match any of DNSNames',
    r"(?P<unsaid>hostname mismatch|ip address mismatch|certificate relies on legacy common name field)",
)
_LACKS = {"go_ip": NameKind.ADDRESSES, "go_none": NameKind.DNS_NAMES}
_CIRCUMSTANCES = {
    Circumstance.EXEC_VERSION: _pattern(
        r"exec plugin: invalid apiVersion",
        r"exec plugin is configured to use API version",
        r'no kind "ExecCredential" is registered',
    ),
    Circumstance.EXEC_MISSING: _pattern(
        r"exec: executable \S{1,500} not found", r"client-go credential plugin that is"
    ),
    Circumstance.EXEC_FAILED: _pattern(r"exec: executable \S{1,500} failed with exit code"),
    Circumstance.NO_CONTEXT: _pattern(
        r"context was not found for specified context", r'context "[^"\n]{1,253}" does not exist'
    ),
    Circumstance.KEY_MISMATCH: _pattern(r"private key does not match public key", r"key values mismatch"),
    Circumstance.KUBELET_EXPIRED: _pattern(
        r"existing bootstrap client certificate in \S{1,500} is expired",
        r"unable to load bootstrap kubeconfig",
        r"bootstrap-kubelet\.conf: no such file",
    ),
    Circumstance.ROTATION_WAITS: _pattern(
        r"unable to rotate certs",
        r"certificate request was not signed|certificate signing request.{0,200}(?:not approved|was denied)",
        r"failed while requesting a signed certificate from the (?:control plane|master)",
    ),
    Circumstance.ROTATES: _pattern(
        r"certificate rotation (?:is enabled|detected)",
        r"rotating certificates",
        r"certificate expiration is .{0,80}rotation deadline",
    ),
    Circumstance.ESCALATION: _pattern(r"is attempting to grant RBAC permissions not currently held"),
    Circumstance.UNKNOWN_KIND: _pattern(
        r'no kind "[^"\n]{1,253}" is registered for', r'no matches for kind "[^"\n]{1,253}" in '
    ),
}
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
    given = {key: value for key, value in match.groupdict().items() if value is not None}
    port = next((given.pop(key).removeprefix(":") for key in _PORTS if key in given), None)
    # One alternative has matched: without the port, its place is all that is left.
    (place,) = given.values()
    if port is None:
        return f"{place}:443" if "url" in given else place
    host = place.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _line(match: re.Match[str]) -> str:
    """The line of the failure: what other lines of a log dial is something else."""
    text = match.string
    end = text.find("\n", match.end())
    return text[text.rfind("\n", 0, match.start()) + 1 : end if end >= 0 else len(text)]


def _server(match: re.Match[str]) -> str | None:
    """What the client connected to, by the line of the failure, else by those around it."""
    return _dialled(_line(match)) or _dialled(match.string)


def _listening(match: re.Match[str]) -> Listener | None:
    return _listener(_line(match)) or _listener(match.string)


def _listener(text: str) -> Listener | None:
    """Who the server is, where a port or the words of its clients say it."""
    if _KUBELET.search(text):
        return Listener.KUBELET
    dialled = _dialled(text)
    found = _LISTENERS.get((dialled or "").rpartition(":")[2])
    if found is not None:
        return found
    # Dialled at a port of no component: the words of others around it say nothing of this server.
    if dialled is not None or not _ETCD.search(text):
        return None
    return Listener.ETCD_PEER if _PEER.search(text) else Listener.ETCD


def _unknown_authority(match: re.Match[str]) -> Failure:
    namesake = _NAMESAKE.search(match.string)
    return UnknownAuthority(
        listener=_listening(match),
        server=_server(match),
        namesake=namesake[1] if namesake is not None else None,
    )


def _refused_client(match: re.Match[str]) -> Failure:
    return RefusedClient(listener=_listening(match))


def _refused_server(match: re.Match[str]) -> Failure:
    """net/http's words are those of the API server and the kubelet, which cannot be told apart."""
    return RefusedServer(listener=_listening(match) or Listener.API_SERVER)


def _wrong_usage(match: re.Match[str]) -> Failure:
    """A server judges clients, and a client servers; what is "remote" was judged by the other end."""
    text = match.string
    is_judged_here = _SERVER_LOG.search(text) is not None
    is_client = is_judged_here != (_REMOTE.search(text) is not None)
    return WrongUsage(
        listener=_listening(match), is_client=is_client or _CLIENT_CERTIFICATE.search(text) is not None
    )


def _wrong_name(match: re.Match[str]) -> Failure:
    """The name that was asked for, and those that the certificate has, as far as the message tells."""
    named = {key: value for key, value in match.groupdict().items() if value is not None}
    listed = "".join(named.pop(key, "") for key in ("names", "python_names", "apache_names"))
    names = frozenset(filter(None, (each.strip(" '") for each in listed.split(","))))
    ((kind, said),) = named.items()
    return WrongName(
        listener=_listening(match),
        server=_server(match),
        name=None if kind.endswith("unsaid") else said.strip(".[]") or None,
        names=names,
        lacks=_LACKS.get(kind),
    )


def _no_certificate(match: re.Match[str]) -> Failure:
    return NoCertificate(listener=_listening(match))


def _circumstance(circumstance: Circumstance) -> Callable[[re.Match[str]], Failure]:
    return lambda _: circumstance


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
    (_NO_CERTIFICATE, _no_certificate),
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
    *((pattern, _circumstance(each)) for each, pattern in _CIRCUMSTANCES.items()),
    (_KUBELET_CANNOT, _kubelet_cannot),
    (_UNAUTHORIZED, _unauthorized),
)
