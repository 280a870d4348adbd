"""What a failed TLS handshake means, and the next step: by who serves, and who refused whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access import failure_kinds
from pkigen.access.candidates import candidates
from pkigen.access.failure_kinds import Listener
from pkigen.desired.certificates import API_SERVER, CERTIFICATES
from pkigen.desired.generations import CA, Phase, ca_id
from pkigen.notation import residual
from pkigen.records import dataclass
from pkigen.state.materials import discovery_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pkigen.access.failure_kinds import HandshakeFailure, UnknownAuthority, WrongName, WrongUsage
    from pkigen.desired.command_lines import ReadText
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.state.authority import CACertificates
    from pkigen.state.signed_certificates import SignedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known about the cluster that the message came from."""

    inventory: Inventory
    authorities: Mapping[CA, CACertificates]
    now: datetime
    read: ReadText
    """Reads the tree, for where its components serve."""
    signed: tuple[SignedCertificate, ...] = ()
    """What was signed for keys that people keep."""


def explained(failure: HandshakeFailure, known: Known | None) -> Iterator[str]:
    """What a failed handshake means, in lines, of which one says what is next.

    Args:
        failure: What a message says.
        known: The cluster, where one is known.
    """
    match failure:
        # Before the others: no CA has signed what these two serve, whatever the message complains of.
        case failure_kinds.UnknownAuthority() | failure_kinds.WrongName() if (
            failure.listener in _SIGNED_BY_THEMSELVES
        ):
            yield from _signed_by_itself(failure.listener)
        case failure_kinds.NoCertificate():
            yield from _no_certificate(failure.listener)
        case failure_kinds.UnknownAuthority():
            yield from _unknown_authority(failure, known)
        case failure_kinds.RefusedClient():
            yield from _refused_client(failure.listener, known)
        case failure_kinds.RefusedServer():
            yield from _refused_server(failure.listener, known)
        case failure_kinds.WrongUsage():
            yield from _wrong_usage(failure)
        case failure_kinds.NotServing():
            yield from _NOT_SERVING
        case failure_kinds.WrongName():
            yield from _wrong_name(failure, known)
        case failure_kinds.Expired():
            yield from _expired(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """Who is reached: whose certificates it has, and by which settings each side verifies the other.

    `name` is the certificate's in the inventory.
    """

    name: str
    ca: CA
    trust: str
    client_trust: str


_SERVED = {
    Listener.API_SERVER: _Served(
        name="apiserver",
        ca=CA.KUBERNETES,
        trust="kubectl trusts certificate-authority-data of its kubeconfig, Pods trust their "
        "kube-root-ca.crt",
        client_trust="--client-ca-file of kube-apiserver",
    ),
    Listener.ETCD: _Served(
        name="etcd-server",
        ca=CA.ETCD,
        trust="kube-apiserver trusts --etcd-cafile, etcd's members trust --peer-trusted-ca-file",
        client_trust="--trusted-ca-file of etcd",
    ),
    Listener.ETCD_PEER: _Served(
        name="etcd-peer",
        ca=CA.ETCD,
        trust="etcd's members trust --peer-trusted-ca-file, kube-apiserver trusts --etcd-cafile",
        client_trust="--peer-trusted-ca-file of etcd",
    ),
    Listener.KUBELET: _Served(
        name="kubelet-serving",
        ca=CA.KUBERNETES,
        trust="kube-apiserver trusts --kubelet-certificate-authority when it connects to kubelets",
        client_trust="authentication.x509.clientCAFile of the kubelet",
    ),
}
_API_SERVER = _SERVED[Listener.API_SERVER]
_KINDS = {kind.name: kind for kind in CERTIFICATES}


def _served(listener: Listener | None) -> _Served:
    return _API_SERVER if listener is None else _SERVED.get(listener, _API_SERVER)


def _unknown_authority(failure: UnknownAuthority, known: Known | None) -> Iterator[str]:
    """The port says which server it is, and so which CA should have signed and which setting trusts it."""
    server = failure.server or ""
    served = _served(failure.listener)
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
            "next: check which CA the client trusts, `pkigen access kubeconfig show FILE`; then give -C DIR "
            "to this "
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
    # All of them, not only the one that is meant: a wrong guess at the listener must not hide a rotation.
    for each in known.authorities:
        phase = known.inventory.rotations.phase(ca_id(each))
        if phase is not Phase.STABLE:
            yield f"a rotation of {ca_id(each)} is {phase}: both generations must be in every trust bundle"
    found = known.authorities.get(ca)
    if found is not None:
        own = "the cluster's CA" if ca is CA.KUBERNETES else f"{ca_id(ca)} of this cluster"
        yield f"{own} is {discovery_hash(found.certificate)}"


def _refused_client(listener: Listener | None, known: Known | None) -> Iterator[str]:
    yield "a server refuses the client's certificate: its CA is not in the server's trust bundle"
    yield (
        f"that is {_served(listener).client_trust}"
        if listener is not None
        else (
            "that is --client-ca-file of kube-apiserver, clientCAFile of the kubelet, --trusted-ca-file of "
            "etcd, --requestheader-client-ca-file for aggregated APIs"
        )
    )
    if known is not None:
        yield from _authority(known, _served(listener).ca)
    yield (
        "next: `pkigen explain FILE -C DIR` says whether this cluster's CA signed its certificate; if it "
        "did, copy the node's files again (the server has an old bundle), else `pkigen apply` makes a new one"
    )


def _no_certificate(listener: Listener | None) -> Iterator[str]:
    yield "a server asks for a client certificate, and the client presented none"
    if listener in {Listener.ETCD, Listener.ETCD_PEER}:
        yield "etcd lets nobody in without one (--client-cert-auth, --peer-client-cert-auth)"
    yield (
        "next: give one: `etcdctl --cert FILE --key FILE` (etcd/healthcheck-client.crt on a member), `curl "
        "--cert FILE "
        "--key FILE`, --etcd-certfile and --etcd-keyfile of kube-apiserver"
    )


def _refused_server(listener: Listener, known: Known | None) -> Iterator[str]:
    served = _served(listener)
    yield (
        "a client aborted: it does not trust the CA of this server's certificate, or the name that it "
        "connects to is not in it; the client's own log says which"
    )
    if listener is not Listener.API_SERVER:
        yield served.trust
    if known is not None:
        yield from _authority(known, served.ca)
    if listener is Listener.API_SERVER:
        yield (
            "next: on the client, `pkigen access kubeconfig show FILE` says which CA it trusts; give it "
            "a new "
            "kubeconfig (`pkigen apply`), or the node's files again"
        )
        return
    yield (
        "next: compare the CA that the client trusts with the one that signed this server's certificate "
        "(`openssl x509 -noout -issuer -ext subjectAltName,authorityKeyIdentifier -in FILE`), and copy both "
        "nodes' files again"
    )


def _wrong_usage(failure: WrongUsage) -> Iterator[str]:
    """Go verifies a server's certificate for serverAuth, and a client's for clientAuth."""
    served = _served(failure.listener)
    side, usage = ("client", "clientAuth") if failure.is_client else ("server", "serverAuth")
    yield f"the certificate that the {side} presents is not for {side}s: its extendedKeyUsage lacks {usage}"
    if failure.listener in {Listener.ETCD, Listener.ETCD_PEER}:
        yield (
            "etcd needs both usages in server.crt and peer.crt: its members, and its own gRPC gateway, also "
            "connect with them"
        )
    files = "the client's certificate" if failure.is_client else served.name
    yield (
        f"next: `openssl x509 -noout -subject -ext extendedKeyUsage -in FILE` for {files}; where another "
        "tool made it, `pkigen apply` and copy the node's files again"
    )


_NOT_SERVING = (
    (
        "the server has no certificate to present: a kubelet whose request for a serving certificate "
        "(serverTLSBootstrap) was not approved, or whose file cannot be read"
    ),
    (
        "next: `kubectl get csr` and `kubectl certificate approve NAME`, or copy the node's files again, "
        "with kubelet.crt and kubelet.key, and restart it"
    ),
)


def _wrong_name(failure: WrongName, known: Known | None) -> Iterator[str]:
    name, listener = failure.name, failure.listener
    if name is None:
        yield "the client connects to a name that the server's certificate does not contain"
        served = _served(listener)
        yield (
            f"next: `pkigen explain {served.name} -C DIR` lists its names; add the one that the client uses "
            f"to "
            f"{_KINDS[served.name].san_field}, run `pkigen apply`, and copy the node's files"
        )
        return
    yield f"the client connects to {name}, which is not among the names of the server's certificate"
    if failure.lacks is not None:
        yield f"that certificate has no {failure.lacks.value} at all"
    if known is None:
        yield from _wrong_name_of_unknown(name, failure)
    else:
        yield from _wrong_name_of(known, name, failure)


def _wrong_name_of_unknown(name: str, failure: WrongName) -> Iterator[str]:
    served = _served(failure.listener)
    dial = f"connect to {', '.join(sorted(failure.names)[:5])}, or " if failure.names else ""
    if served is _API_SERVER:
        dial += (
            "set tls-server-name in the kubeconfig to a name that it has (`kubectl --tls-server-name`), or "
        )
    else:
        yield f"it is the certificate of {_SERVER_NAMES[served.name]}"
    yield f"next: {dial}add {name} to {_KINDS[served.name].san_field} and run `pkigen apply`"


_SERVER_NAMES = {
    "etcd-server": "etcd, for its clients",
    "etcd-peer": "etcd, for its other members",
    "kubelet-serving": "a kubelet",
}


def _wrong_name_of(known: Known, name: str, failure: WrongName) -> Iterator[str]:
    """Which of the cluster's certificates was presented, and where the name goes that it lacks."""
    found = candidates(known, failure)
    if not found.items:
        yield "it is the certificate of a server that is not in this spec"
        place = failure.server or "HOST:PORT"
        yield (
            f"next: see who answers with `openssl s_client -showcerts -connect {place}`: another "
            "cluster, a proxy, or a webhook or aggregated API server, whose certificates pkigen does not make"
        )
    elif found.expected is not None:
        (item,), expected = found.items, found.expected
        yield f"it is the certificate of {item.id}, and {failure.server} is where {expected.id} belongs"
        yield (
            f"next: copy the files of {expected.node} to that node again, and restart what serves there; the "
            f"address may lead to {item.node}, too"
        )
    else:
        yield _which(found.items, failure)
        yield _where_it_goes(found.items, name, failure)


def _which(items: Sequence[DesiredCertificate], failure: WrongName) -> str:
    some = ", ".join(item.id for item in items[:_MOST_CANDIDATES])
    if failure.server is None and failure.listener is None and not failure.names:
        return f"the message does not say who answered; if an API server did, it is the certificate of {some}"
    return f"it is the certificate of {some if len(items) == 1 else f'one of {some}'}"


def _where_it_goes(items: Sequence[DesiredCertificate], name: str, failure: WrongName) -> str:
    first, *others = items
    # Of several, one that has it is not the one that answered.
    if all(name in item.sans.texts() for item in items):
        whose = "them" if others else first.id
        return (
            f"the spec gives {whose} this name already: the running server has an older certificate; next: "
            "`pkigen apply`, copy the node's files, and see what restarts in its list"
        )
    return (
        f"next: add {name} to {first.kind.san_field}, run `pkigen apply`, and copy the node's files"
        f"{_other_way(items, failure.names)}"
    )


def _other_way(items: Sequence[DesiredCertificate], names: frozenset[str]) -> str:
    """A name to verify instead, for who cannot wait: one that the certificate is known to have."""
    first, *others = items
    if first.kind is not API_SERVER:
        return ""
    own = [name for name in first.sans.texts() if all(name in item.sans.texts() for item in others)]
    name = next((each for each in own if each in names), next(iter(own), None))
    return f", or connect with `kubectl --tls-server-name {name}`" if name is not None else ""


_MOST_CANDIDATES = 3
_SIGNED_BY_THEMSELVES = {
    Listener.CONTROLLER_MANAGER: ("kube-controller-manager", 10257, "controllerManager"),
    Listener.SCHEDULER: ("kube-scheduler", 10259, "scheduler"),
}


def _signed_by_itself(listener: Listener) -> Iterator[str]:
    """Both make one in memory where they are given none (`MaybeDefaultWithSelfSignedCerts`)."""
    component, port, section = _SIGNED_BY_THEMSELVES[listener]
    yield (
        f"{component} makes its serving certificate itself, anew at each start, for localhost and "
        f"127.0.0.1: no "
        "CA that anybody trusts has signed it, and pkigen makes none for it"
    )
    yield (
        f"next: on its node, `curl -k https://127.0.0.1:{port}/healthz`; or have a certificate of your own "
        f"served, by "
        f"tls-cert-file and tls-private-key-file in {section}.extraArgs"
    )


def _expired(known: Known | None) -> Iterator[str]:
    yield "a certificate in the chain has expired, or one side's clock is wrong"
    if known is not None:
        for ca, found in known.authorities.items():
            left = found.certificate.not_valid_after_utc - known.now
            yield f"the {ca.certificate_name} CA expires in {residual(left)}"
    yield "next: `date` on both sides, then `pkigen status` and `pkigen renew`"
