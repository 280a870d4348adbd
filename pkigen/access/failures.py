"""The failures that people meet, known by their message, and the next step out of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkigen.access.identities import declared
from pkigen.checks import residual
from pkigen.inventory import CA, DesiredCertificate, Phase, ca_id
from pkigen.materials import discovery_hash
from pkigen.profiles import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from pkigen.authority import CACertificates
    from pkigen.inventory import Inventory
    from pkigen.spec.model import PolicyRule, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the cluster that the message came from."""

    inventory: Inventory
    authorities: Mapping[CA, CACertificates]
    now: datetime


_UNKNOWN_AUTHORITY = re.compile(r"x509: certificate signed by unknown authority")
_WRONG_NAME = re.compile(
    r"(?:x509: )?certificate is valid for (?P<names>.{1,4000}), not (?P<name>[^\s\"',;]{1,253})"
)
_ANONYMOUS = re.compile(r"forbidden.{0,200}system:anonymous", re.IGNORECASE | re.DOTALL)
_CANNOT = re.compile(
    r"User \"(?P<user>[^\"]{1,253})\" cannot (?P<verb>[^\s\"]{1,60})"
    r"(?: resource \"(?P<resource>[^\"]{1,253})\" in API group \"(?P<group>[^\"]{0,253})\""
    r"(?: in the namespace \"(?P<namespace>[^\"]{1,63})\")?| path \"(?P<path>[^\"]{1,500})\")?"
)
_EXPIRED = re.compile(r"x509: certificate has expired or is not yet valid")
_UNAUTHORIZED = re.compile(r"must be logged in to the server|\bUnauthorized\b|\b401\b")


def explain(text: str, known: Known | None) -> tuple[str, ...] | None:
    """What a message means and what to do next; None where it is not one of the known ones.

    Args:
        text: The message, with whatever stands around it.
        known: The cluster, where one is known.
    """
    for pattern, explanation in _FAILURES:
        match = pattern.search(text)
        if match is not None:
            return tuple(explanation(match, known))
    return None


def _unknown_authority(_: re.Match[str], known: Known | None) -> Iterator[str]:
    yield "whoever dialled got a certificate from a CA that is not in its trust bundle"
    yield "kubectl trusts certificate-authority-data of its kubeconfig, Pods trust their kube-root-ca.crt"
    if known is None:
        yield "next: see whose CA the client trusts, `pkigen kubeconfig show FILE`; then add DIR here"
        return
    for ca in known.authorities:
        phase = known.inventory.rotations.phase(ca_id(ca))
        if phase is not Phase.STABLE:
            yield f"a rotation of {ca_id(ca)} is {phase}: both generations must be in every trust bundle"
    found = known.authorities.get(CA.KUBERNETES)
    if found is not None:
        yield f"the cluster's CA is {discovery_hash(found.certificate)}"
    yield (
        "next: see which CA the server presents with `openssl s_client -showcerts -connect "
        f"{known.inventory.cluster.cluster_server.removeprefix('https://')}`; if it is this one, give the "
        "client a new kubeconfig (`pkigen apply`), else copy the node's files again and restart the server"
    )


def _wrong_name(match: re.Match[str], known: Known | None) -> Iterator[str]:
    name, names = match["name"].rstrip("."), {each.strip() for each in match["names"].split(",")}
    yield f"the client dials {name}, which is not among the names of the server's certificate"
    if known is None:
        yield (
            f"next: dial {', '.join(sorted(names)[:5])}, or set tls-server-name in the kubeconfig to it, "
            f"or add {name} to spec.apiServer.certSANs and run `pkigen apply`"
        )
        return
    servers = _servers(known.inventory, names)
    having = [each for each in servers if name in each.sans.texts()]
    if having:
        yield (
            f"the spec gives {having[0].id} this name already: the running server has an older certificate; "
            "next: `pkigen apply`, copy the node's files, and see what restarts in its list"
        )
        return
    item = servers[0] if servers else None
    kind = item.name if item is not None else "apiserver"
    yield f"it is the certificate of {item.id if item is not None else 'a server that is not in this spec'}"
    field = _SAN_FIELDS.get(kind, "certSANs of its node")
    yield f"next: add {name} to {field}, run `pkigen apply`, and copy the node's files"


_SAN_FIELDS = {
    "apiserver": "spec.apiServer.certSANs (or certSANs of the node)",
    "etcd-server": "spec.etcd.serverCertSANs",
    "etcd-peer": "spec.etcd.peerCertSANs",
}


def _servers(inventory: Inventory, names: set[str]) -> list[DesiredCertificate]:
    """The serving certificates, the one that has most of the names first."""
    serving = [
        item for item in inventory.certificates.values() if item.profile in {Profile.SERVER, Profile.PEER}
    ]
    scored = [(len(names & set(item.sans.texts())), item) for item in serving]
    best = sorted((pair for pair in scored if pair[0]), key=lambda pair: (-pair[0], pair[1].id))
    return [item for _, item in best]


def _anonymous(_: re.Match[str], known: Known | None) -> Iterator[str]:
    yield "the API server saw no credential at all: the request came without client certificate and token"
    yield "a certificate that it cannot verify gives 401 Unauthorized instead, so none was sent"
    yield (
        "next: `pkigen kubeconfig show FILE` says what the kubeconfig presents; with curl, give --cert and "
        "--key; behind a proxy or load balancer that ends TLS the certificate never arrives: pass TCP through"
    )
    if known is not None and known.inventory.cluster.spec.users:
        names = ", ".join(sorted(user.stem for user in known.inventory.cluster.spec.users)[:5])
        yield f"this cluster's kubeconfigs are users/<name>.conf, for {names}"


def _cannot(match: re.Match[str], known: Known | None) -> Iterator[str]:
    name = match["user"]
    yield f"the API server knows who it is, {name}, and no binding gives that user or its groups the right"
    user = _user(known.inventory, name) if known is not None else None
    if known is None:
        yield f"next: see what there is with `kubectl auth can-i --list --as {name}`, then bind a role"
        return
    if user is None:
        yield f"{name} is not in spec.users" + (
            ": it is an identity of Kubernetes itself" if name.startswith("system:") else ""
        )
        yield f"next: add it there with the rights meant, or bind it yourself: {_kubectl(match)}"
        return
    if _is_given(user, match):
        yield (
            f"the spec gives it this right; next: `kubectl apply -f addons/user-{user.stem}.yaml`, which was "
            "not applied or was changed since"
        )
        return
    yield f"next: add this to {user.stem} in spec.users, `pkigen apply`, apply addons/user-{user.stem}.yaml:"
    yield f"  {_spec_line(match)}"


def _user(inventory: Inventory, name: str) -> User | None:
    for user in inventory.cluster.spec.users:
        if user.username == name:
            return user
    return declared(inventory, name)


def _is_given(user: User, match: re.Match[str]) -> bool:
    rules = list(user.rules)
    for role in user.roles:
        if role.namespace == match["namespace"]:
            rules += role.rules
    return any(_covers(rule, match) for rule in rules)


def _covers(rule: PolicyRule, match: re.Match[str]) -> bool:
    if not {match["verb"], "*"} & set(rule.verbs):
        return False
    if match["path"] is not None:
        return any(
            match["path"] == url or (url.endswith("*") and match["path"].startswith(url[:-1]))
            for url in rule.non_resource_urls
        )
    return (
        match["resource"] is not None
        and not rule.resource_names
        and bool({match["group"], "*"} & set(rule.api_groups))
        and bool({match["resource"], "*"} & set(rule.resources))
    )


def _spec_line(match: re.Match[str]) -> str:
    if match["resource"] is None:
        rule = f"{{nonResourceURLs: [{match['path'] or '/…'}], verbs: [{match['verb']}]}}"
        return f"rules: [{rule}]"
    group = match["group"] or '""'
    rule = f"{{apiGroups: [{group}], resources: [{match['resource']}], verbs: [{match['verb']}]}}"
    if match["namespace"]:
        return f"roles: [{{namespace: {match['namespace']}, rules: [{rule}]}}]"
    return f"rules: [{rule}]"


def _kubectl(match: re.Match[str]) -> str:
    place = f"rolebinding NAME -n {match['namespace']}" if match["namespace"] else "clusterrolebinding NAME"
    return f"`kubectl create {place} --clusterrole ROLE --user '{match['user']}'`"


def _expired(_: re.Match[str], known: Known | None) -> Iterator[str]:
    yield "a certificate on the way is past its end, or the clock of one side is wrong"
    if known is not None:
        for ca, found in known.authorities.items():
            left = found.certificate.not_valid_after_utc - known.now
            yield f"the {ca.certificate_name} CA ends in {residual(left)}"
    yield "next: `date` on both sides, then `pkigen status DIR` and `pkigen renew SPEC`"


def _unauthorized(_: re.Match[str], __: Known | None) -> Iterator[str]:
    yield "the API server refuses the credential: expired, of another CA or key, or for another audience"
    yield "next: `pkigen kubeconfig show FILE` says until when it is good; `pkigen apply` makes a new one"


_FAILURES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Known | None], Iterator[str]]], ...] = (
    (_UNKNOWN_AUTHORITY, _unknown_authority),
    (_WRONG_NAME, _wrong_name),
    (_ANONYMOUS, _anonymous),
    (_CANNOT, _cannot),
    (_EXPIRED, _expired),
    (_UNAUTHORIZED, _unauthorized),
)
