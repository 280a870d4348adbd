"""Which of the cluster's certificates a message is about: by where it is served, then by the names in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access.failure_kinds import Listener, NameKind
from pkigen.desired.endpoints import endpoints
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.access.failure_kinds import WrongName
    from pkigen.access.handshakes import Known
    from pkigen.desired.endpoints import Endpoint
    from pkigen.desired.items import DesiredCertificate

_COMPONENTS = {
    Listener.API_SERVER: "kube-apiserver",
    Listener.ETCD: "etcd",
    Listener.ETCD_PEER: "etcd peer",
    Listener.KUBELET: "kubelet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The certificates that can have been presented: one where the names tell, none where it is nobody's.

    `expected` is the one that belongs where another node's was presented.
    """

    items: tuple[DesiredCertificate, ...]
    expected: DesiredCertificate | None = None


def candidates(known: Known, failure: WrongName) -> Candidates:
    """Find what a server presented.

    Args:
        known: The cluster.
        failure: What a message says of the server and its certificate.
    """
    serving = list(endpoints(known.inventory, known.read))
    exact = _at(known, serving, failure.server or "")
    found = _certificates(known, exact or _at_port(known, serving, failure))
    if failure.lacks is not None:
        lacking = tuple(item for item in found if _lacks(item, failure.lacks))
        # A server at its own address has an older certificate then, such as a kubelet's own.
        return Candidates(items=lacking or (found if exact else ()))
    if not failure.names:
        return Candidates(items=found)
    other = _another(known, serving, exact, failure.names)
    if other is not None:
        # Another node's certificate at a known address: files were copied to the wrong node, or the address
        # has moved.
        return Candidates(items=(other,), expected=found[0])
    return Candidates(items=tuple(filter(None, [_best(found, failure.names)])))


def _another(
    known: Known, serving: Iterable[Endpoint], exact: list[Endpoint], names: frozenset[str]
) -> DesiredCertificate | None:
    """The certificate of another node that was presented at a known place, if one was."""
    if not exact:
        return None
    alike = (each for each in serving if each.component == exact[0].component)
    other, (own, *_) = _best(_certificates(known, alike), names), _certificates(known, exact)
    return other if other is not None and _is_another(other, own, names) else None


def _at(known: Known, serving: Iterable[Endpoint], server: str) -> list[Endpoint]:
    """What is served at an address or name of a node; a node may have several."""
    host, _, port = server.rpartition(":")
    # By names and addresses of the node, since a message may have either, and a listener has one address
    # here.
    hosts = {
        node.name: {node.name, *map(str, node.kubelet_addresses)}
        for node in known.inventory.cluster.spec.nodes
    }
    return [
        each
        for each in serving
        if each.address == server or (str(each.port) == port and host.strip("[]") in hosts[each.node])
    ]


def _certificates(known: Known, serving: Iterable[Endpoint]) -> tuple[DesiredCertificate, ...]:
    identifiers = dict.fromkeys(each.certificate for each in serving)
    return tuple(known.inventory.certificates[identifier] for identifier in identifiers)


def _lacks(item: DesiredCertificate, kind: NameKind) -> bool:
    return not (item.sans.addresses if kind is NameKind.ADDRESSES else item.sans.dns_names)


def _best(items: Iterable[DesiredCertificate], names: frozenset[str]) -> DesiredCertificate | None:
    """The one that has most of the names; None where none has any."""
    alike = [(_likeness(item, names), item) for item in items]
    best = max((pair for pair in alike if pair[0][0]), key=lambda pair: pair[0], default=None)
    return best[1] if best is not None else None


def _likeness(item: DesiredCertificate, names: frozenset[str]) -> tuple[int, float]:
    """How many names both have, then which share of all: localhost or a node's name alone is no match."""
    own = set(item.sans.texts())
    return len(own & names), len(own & names) / len(own | names)


def _is_another(other: DesiredCertificate, own: DesiredCertificate, names: frozenset[str]) -> bool:
    """Whether the names are another node's: some are its certificate's alone, and none is this one's."""
    theirs, ours = set(other.sans.texts()), set(own.sans.texts())
    return bool(names & (theirs - ours)) and not names & (ours - theirs)


def _at_port(known: Known, serving: list[Endpoint], failure: WrongName) -> list[Endpoint]:
    """Without a port and without names it is an API server's, which people meet first."""
    api_servers = _of_component(serving, Listener.API_SERVER)
    if failure.listener is not None:
        return _of_component(serving, failure.listener)
    if failure.server is None:
        return serving if failure.names else api_servers
    balanced = known.inventory.cluster.cluster_server.removeprefix("https://")
    port = failure.server.rpartition(":")[2]
    at_port = [each for each in serving if str(each.port) == port]
    # What is in front of them presents nothing of its own.
    return at_port or (api_servers if port == balanced.rpartition(":")[2] else serving)


def _of_component(serving: list[Endpoint], listener: Listener) -> list[Endpoint]:
    return [each for each in serving if each.component == _COMPONENTS.get(listener)]
