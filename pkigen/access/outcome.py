"""What would happen if a kubeconfig or a token were used against a cluster, without contacting it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pkigen.access import ways_in
from pkigen.access.credentials import CredentialKind, content, token_faults, uid_of
from pkigen.access.credentials import of_token as of_text
from pkigen.access.own_credential import is_foreign, service_account_keys
from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.certificates import API_SERVER
from pkigen.desired.revocations import CredentialIdKind
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography import x509

    from pkigen.access.explanation import Cluster
    from pkigen.access.kubeconfigs import NamedEntry


def of_server(entry: NamedEntry, read: Callable[[Path], bytes | str], cluster: Cluster) -> Iterator[str]:
    """Whether kubectl accepts this cluster's API servers by a kubeconfig's cluster entry.

    Args:
        entry: The cluster entry.
        read: Gives the bytes of a file that it names, or a sentence saying why it cannot.
        cluster: The cluster.
    """
    url = urlsplit(entry.text("server"))
    name = entry.text("tls-server-name") or _host(url.netloc)
    if url.scheme != "https":
        yield "this cluster: its API servers serve HTTPS alone, and the server's address is not https://"
        return
    # Then kubectl verifies nothing, which the summary of the file has said.
    if entry.flag("insecure-skip-tls-verify"):
        return
    anchors = _anchors(entry, read)
    if isinstance(anchors, str):
        yield f"this cluster: kubectl refuses its API servers: {anchors}"
        return
    chains = _api_servers(cluster) if name else ()
    verifier = PathVerifier(cluster.now)
    refusals = [verifier.server(chain, anchors, name) for chain in chains]
    # One that is accepted is enough: behind one name each of them may answer, and certificates differ by node
    # only.
    if None in refusals:
        yield f"this cluster: kubectl accepts its API servers as {name}"
    else:
        for refusal in filter(None, refusals[:1]):
            yield f"this cluster: kubectl refuses its API servers: {_reason(refusal, name)}"


def _host(netloc: str) -> str:
    """The host of an address, without its port: an IPv6 address stands in brackets."""
    host = netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _reason(refusal: str, name: str) -> str:
    if not refusal.startswith("it does not name"):
        return refusal
    field = API_SERVER.san_field
    kind = "address" if _is_address(name) else "name"
    return f"no certificate has the {kind} {name}; add it to {field}, or set tls-server-name: kubernetes"


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _anchors(entry: NamedEntry, read: Callable[[Path], bytes | str]) -> tuple[x509.Certificate, ...] | str:
    data = content(entry, "certificate-authority", read)
    if data is None:
        return "the kubeconfig has no CA, and this machine's system does not trust the cluster's"
    if isinstance(data, str):
        return f"its CA {data}"
    parsed = parse_certificates(data)
    return f"its CA {parsed}" if isinstance(parsed, str) else tuple(parsed)


def _api_servers(cluster: Cluster) -> Iterator[tuple[x509.Certificate, ...]]:
    """What each API server presents, as far as it can be read."""
    for item in cluster.inventory.certificates.values():
        observed = observe_certificate(cluster.reader, item.location)
        if item.kind is API_SERVER and observed.certificate is not None:
            yield observed.certificate, *observed.chain


def of_token(text: str, cluster: Cluster) -> Iterator[str]:
    """Whether this cluster's API servers accept a token: signature, issuer, audience, time and account."""
    found = of_text(text, now=cluster.now)
    if found.kind is CredentialKind.OPAQUE_TOKEN and text.strip():
        read = tokens.read(text)
        known = () if isinstance(read, str) else ways_in.of_token(read, cluster.inventory, cluster.now)
        if known:
            yield from known
            return
        yield (
            "this cluster: no key of pkigen's has signed it: only an authenticator that you have added can "
            "know it (OIDC, a webhook, --token-auth-file)"
        )
        return
    token = tokens.read(text.strip())
    if isinstance(token, str):
        return
    # Apart from the refusals below: it is the authorizer that refuses a revoked credential, after it was
    # authenticated.
    yield from _revoked(token, cluster)
    keys = tuple(service_account_keys(cluster.inventory, cluster.reader))
    refusal = _refusal(text.strip(), token, keys, cluster)
    if refusal is not None:
        yield f"this cluster: refuses it: {refusal}"
    elif keys:
        yield "this cluster: one of its service account keys has signed it"


def _revoked(token: tokens.Token, cluster: Cluster) -> Iterator[str]:
    identifier = f"{CredentialIdKind.TOKEN}={token.claims.get('jti')}"
    for each in cluster.inventory.revocations.active:
        if str(each.credential) == identifier:
            yield f"revoked: {each.revoked:%Y-%m-%d %H:%M} UTC: {each.reason}; API servers refuse it"


def _refusal(text: str, token: tokens.Token, keys: tuple[bytes, ...], cluster: Cluster) -> str | None:
    """The first reason in the order in which the API server looks (`pkg/serviceaccount/jwt.go`)."""
    trust = cluster.inventory.token_trust
    if keys and is_foreign(text, keys):
        return "none of its service account keys has signed it"
    if token.claims.get("iss") not in {trust.issuer, _LEGACY_ISSUER}:
        return f"its issuer is {trust.issuer}"
    # A Secret's token names no audience: the API server takes it for itself (`serviceaccount/jwt.go`).
    if token.audiences and not set(token.audiences) & set(trust.audiences):
        return f"its API servers are {', '.join(trust.audiences)}"
    return next(iter(token_faults(token, cluster.now)), None) or _other_account(token, cluster)


def _other_account(token: tokens.Token, cluster: Cluster) -> str | None:
    """Why its UID is not the account's, by the spec; of others only the cluster knows it."""
    for user in cluster.inventory.cluster.spec.users:
        if user.username == token.claims.get("sub") and user.uid not in {None, uid_of(token.claims)}:
            return f"the account's UID is {user.uid} by the spec: this is one of before it was made again"
    return None


# Of Secrets' tokens (pkg/serviceaccount/legacy.go), which the same keys sign.
_LEGACY_ISSUER = "kubernetes/serviceaccount"
