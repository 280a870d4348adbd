"""Common failures and the next step to fix each, for a known or an unknown cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkigen.access import messages
from pkigen.access.denials import lacking
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import API_SERVER
from pkigen.desired.connections import KUBELET_PORT
from pkigen.desired.generations import CA, Phase, ca_id
from pkigen.desired.rendering.flags import ETCD_CLIENT_PORT, ETCD_PEER_PORT
from pkigen.notation import residual
from pkigen.state.materials import discovery_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from pkigen.access.messages import UnknownAuthority, WrongName
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.state.authority import CACertificates


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known about the cluster that the message came from."""

    inventory: Inventory
    authorities: Mapping[CA, CACertificates]
    now: datetime


def explain(text: str, known: Known | None) -> tuple[str, ...] | None:
    """What a message means and what to do next; None where it is not one of the known ones.

    Args:
        text: The message, with whatever stands around it.
        known: The cluster, where one is known.
    """
    failure = messages.recognise(text)
    return None if failure is None else tuple(_explained(failure, known))


def _explained(failure: messages.Failure, known: Known | None) -> Iterator[str]:
    match failure:
        case messages.UnknownAuthority():
            yield from _unknown_authority(failure, known)
        case messages.RefusedClient():
            yield from _refused_client(known)
        case messages.RefusedServer():
            yield from _refused_server(known)
        case messages.WrongName():
            yield from _wrong_name(failure, known)
        case messages.Anonymous():
            yield from _anonymous(known)
        case messages.Cannot():
            yield from lacking(failure, known.inventory if known is not None else None)
        case messages.Expired():
            yield from _expired(known)
        case messages.Unauthorized():
            yield from _unauthorized(failure.why, known)


# -- certificates -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """Who is reached at a port: whose certificates it has, and by which setting its clients verify it."""

    ca: CA
    trust: str


_ETCD = _Served(
    ca=CA.ETCD, trust="kube-apiserver trusts --etcd-cafile, etcd's members trust --peer-trusted-ca-file"
)
_SERVED = {
    f":{ETCD_CLIENT_PORT}": _ETCD,
    f":{ETCD_PEER_PORT}": _ETCD,
    f":{KUBELET_PORT}": _Served(
        ca=CA.KUBERNETES,
        trust="kube-apiserver trusts --kubelet-certificate-authority when it connects to kubelets",
    ),
}
_API_SERVER = _Served(
    ca=CA.KUBERNETES,
    trust="kubectl trusts certificate-authority-data of its kubeconfig, Pods trust their kube-root-ca.crt",
)


def _unknown_authority(failure: UnknownAuthority, known: Known | None) -> Iterator[str]:
    """The port says which server it is, and so which CA should have signed and which setting trusts it."""
    server = failure.server or ""
    served = _SERVED.get(f":{server.rpartition(':')[2]}", _API_SERVER)
    yield "the client got a certificate from a CA that is not in its trust bundle"
    if failure.server is not None:
        yield f"it connected to {server}"
    yield served.trust
    if failure.namesake is not None:
        yield (
            f"it trusts a CA of the same name, {failure.namesake}, with another key: that is an earlier "
            "CA, or another cluster's"
        )
    if known is None:
        yield (
            "next: check which CA the client trusts, `pkigen kubeconfig show FILE`; then give DIR to this "
            "command"
        )
        return
    yield from _authority(known, served.ca)
    place = server or known.inventory.cluster.cluster_server.removeprefix("https://")
    yield (
        f"next: check which CA the server presents with `openssl s_client -showcerts -connect {place}`; if "
        "it is this one, give the client a new kubeconfig (`pkigen apply`), else copy the node's files again "
        "and restart the server"
    )


def _authority(known: Known, ca: CA) -> Iterator[str]:
    """Which CA it should be, and whether it is being replaced."""
    for each in known.authorities:
        phase = known.inventory.rotations.phase(ca_id(each))
        if phase is not Phase.STABLE:
            yield f"a rotation of {ca_id(each)} is {phase}: both generations must be in every trust bundle"
    found = known.authorities.get(ca)
    if found is not None:
        own = "the cluster's CA" if ca is CA.KUBERNETES else f"{ca_id(ca)} of this cluster"
        yield f"{own} is {discovery_hash(found.certificate)}"


def _refused_client(known: Known | None) -> Iterator[str]:
    yield "a server refuses the client's certificate: its CA is not in the server's trust bundle"
    yield (
        "that is --client-ca-file of kube-apiserver, clientCAFile of the kubelet, --trusted-ca-file of etcd, "
        "--requestheader-client-ca-file for aggregated APIs"
    )
    if known is not None:
        yield from _authority(known, CA.KUBERNETES)
    yield (
        "next: `pkigen explain FILE DIR` says whether this cluster's CA signed its certificate; if it "
        "did, copy the node's files again (the server has an old bundle), else `pkigen apply` makes a new one"
    )


def _refused_server(known: Known | None) -> Iterator[str]:
    yield "a client aborted: it does not trust the CA of this server's certificate"
    if known is not None:
        yield from _authority(known, CA.KUBERNETES)
    yield (
        "next: on the client, `pkigen kubeconfig show FILE` says which CA it trusts; give it a new "
        "kubeconfig (`pkigen apply`), or the node's files again"
    )


def _wrong_name(failure: WrongName, known: Known | None) -> Iterator[str]:
    name, names = failure.name, failure.names
    if name is None:
        yield "the client connects to a name that the server's certificate does not contain"
        yield (
            "next: `pkigen explain apiserver DIR` lists its names; add the one that the client uses to "
            "spec.apiServer.certSANs, run `pkigen apply`, and copy the node's files"
        )
        return
    yield f"the client connects to {name}, which is not among the names of the server's certificate"
    if known is None:
        dial = f"connect to {', '.join(sorted(names)[:5])}, or " if names else ""
        yield (
            f"next: {dial}set tls-server-name in the kubeconfig to a name that it has, or add {name} to "
            "spec.apiServer.certSANs and run `pkigen apply`"
        )
        return
    yield from _wrong_name_of(known.inventory, name, names)


def _wrong_name_of(inventory: Inventory, name: str, names: frozenset[str]) -> Iterator[str]:
    """Which of the cluster's certificates was presented, and where the name goes that it lacks."""
    servers = _servers(inventory, names)
    having = [each for each in servers if name in each.sans.texts()]
    if having:
        yield (
            f"the spec gives {having[0].id} this name already: the running server has an older certificate; "
            "next: `pkigen apply`, copy the node's files, and see what restarts in its list"
        )
        return
    item = servers[0] if servers else None
    kind = item.kind if item is not None else API_SERVER
    if item is not None:
        yield f"it is the certificate of {item.id}"
    elif names:
        yield "it is the certificate of a server that is not in this spec"
    yield f"next: add {name} to {kind.san_field}, run `pkigen apply`, and copy the node's files"


def _servers(inventory: Inventory, names: frozenset[str]) -> list[DesiredCertificate]:
    """The serving certificates, the one with most of the names first; the API servers' where none is said."""
    serving = [
        item for item in inventory.certificates.values() if item.profile in {Profile.SERVER, Profile.PEER}
    ]
    if not names:
        return [item for item in serving if item.kind is API_SERVER]
    scored = [(len(names & set(item.sans.texts())), item) for item in serving]
    best = sorted((pair for pair in scored if pair[0]), key=lambda pair: (-pair[0], pair[1].id))
    return [item for _, item in best]


def _expired(known: Known | None) -> Iterator[str]:
    yield "a certificate in the chain has expired, or one side's clock is wrong"
    if known is not None:
        for ca, found in known.authorities.items():
            left = found.certificate.not_valid_after_utc - known.now
            yield f"the {ca.certificate_name} CA expires in {residual(left)}"
    yield "next: `date` on both sides, then `pkigen status` and `pkigen renew`"


# -- credentials ------------------------------------------------------------------------------------------


def _anonymous(known: Known | None) -> Iterator[str]:
    """What RBAC denies to `system:anonymous` was never authenticated; a bad certificate is a 401 instead."""
    yield "no credential reached the API server: the request came without client certificate and token"
    yield "a certificate that it cannot verify gives 401 Unauthorized instead, so none was sent"
    yield (
        "next: `pkigen kubeconfig show FILE` says what the kubeconfig presents; with curl, give --cert and "
        "--key; behind a proxy or load balancer that terminates TLS the certificate never arrives: pass TCP "
        "through"
    )
    if known is not None and known.inventory.cluster.spec.users:
        names = ", ".join(sorted(user.stem for user in known.inventory.cluster.spec.users)[:5])
        yield f"this cluster's kubeconfigs are users/<name>.conf, for {names}"


_REFUSALS = {
    messages.Refusal.UNKNOWN: (
        "the API server refuses the credential: expired, of another CA or key, or for another audience",
        "`pkigen kubeconfig show FILE` shows until when it is valid; `pkigen apply` makes a new one",
    ),
    messages.Refusal.EXPIRED: (
        "the API server refuses the token: it has expired, or one side's clock is wrong",
        "`pkigen apply` renews those of the spec; `kubectl create token` or `pkigen token` makes another",
    ),
    messages.Refusal.GONE: (
        "the API server refuses the token: its object was deleted, and a new one has another UID",
        "put the UID (`kubectl -n NAMESPACE get serviceaccount NAME -o yaml`) into the spec, `pkigen apply`",
    ),
    messages.Refusal.AUDIENCE: (
        "the API server refuses the token: it is for other audiences",
        "make one without --audience, or with one of --api-audiences",
    ),
    messages.Refusal.KEY: (
        "the API server refuses the token: it does not have the key that signed it, or has another issuer",
        "where `pkigen oidc jwks DIR` and `kubectl get --raw /openid/v1/jwks` differ, copy the files again",
    ),
}


def _unauthorized(why: messages.Refusal, known: Known | None) -> Iterator[str]:
    what, step = _REFUSALS[why]
    yield what
    if why is messages.Refusal.AUDIENCE and known is not None:
        yield f"this cluster's API servers are {', '.join(known.inventory.cluster.api_audiences)}"
    yield f"next: {step}"
