"""What each end of a TLS edge presents to the other, and whether it is accepted."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from pkigen.crew import ALL_HANDS, Hands, shared
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.desired.trust_graph import Connection, Health, Presentation, Shower
from pkigen.reconcile.progress import SILENCE
from pkigen.records import dataclass
from pkigen.state.observed import (
    Fault,
    is_withheld,
    observe_bundle,
    observe_certificate,
    observe_presented,
)
from pkigen.state.views import SteadyView

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from pkigen.desired.connections import Edge
    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.progress import Progress
    from pkigen.state.observed import Reader

# With a bound, as in `rotation.held_files`: thousands of nodes' chains would stay in memory.
_REMEMBERED = 4096
_NOTICE = timedelta(days=30)
"""How long before its end a certificate is to be renewed that is none of the inventory's."""


def chain_of(inventory: Inventory, tree: Reader, identifier: str) -> Sequence[x509.Certificate] | str:
    """A certificate and what is sent with it, or why there is none.

    Args:
        inventory: The cluster.
        tree: Its files.
        identifier: An id of the inventory, or the path of a file that a flag names.
    """
    item = inventory.certificates.get(identifier)
    observed = (
        observe_presented(tree, identifier)  # what a flag names may be any file
        if item is None
        else observe_certificate(tree, item.location)
    )
    if observed.certificate is None:
        fault = observed.certificate_fault
        return f"{fault.path} {fault.message}" if fault else f"{identifier} cannot be read"
    return (observed.certificate, *observed.chain)


def anchors_in(tree: Reader, path: str) -> Sequence[x509.Certificate] | str:
    """The trust anchors of a bundle, or why there are none."""
    found = observe_bundle(tree, path)
    return f"{found.path} {found.message}" if isinstance(found, Fault) else found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What one end of an edge presents, and what the other judges it by."""

    by: Shower
    certificate: str
    bundle: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeVerdict:
    """What is found of one presentation (`trust_graph.Presentation`); what is presented, the edge says."""

    anchors: tuple[str, ...] = ()
    ends: datetime | None = None
    health: Health
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChainVerdict:
    """The verdict on a chain against some anchors; its faults do not name the peer that finds them yet."""

    ends: datetime
    health: Health
    faults: tuple[str, ...]


def judged(
    verdicts: EdgeVerdicts,
    edges: Sequence[Edge],
    *,
    progress: Progress = SILENCE,
    hands: Hands = ALL_HANDS,
) -> Iterator[Connection]:
    """Judge every edge, in order, on all cores where there are many.

    Args:
        verdicts: Judges one.
        edges: All of them.
        progress: Is told of each.
        hands: How many processes share them.
    """
    parts = [edges[at : at + hands.chunk] for at in range(0, len(edges), hands.chunk)]
    # In this order: showing progress may start a thread, and a process with threads should not fork.
    with (
        shared(verdicts.of, parts, hands.for_objects(len(edges))) as found,
        progress.over("verifying TLS edges", len(edges)) as step,
    ):
        # Where no processes share them, they are judged here.
        for edge, verdict in zip(edges, found or map(verdicts.of, edges), strict=True):
            yield _connection(edge, verdict)
            step()


class EdgeVerdicts:
    """Judges edges by Go's rules, against the files that each end has."""

    def __init__(
        self, inventory: Inventory, tree: Reader, *, now: datetime, unknown: Collection[str] = ()
    ) -> None:
        """Take what edges are judged by.

        Args:
            inventory: The cluster.
            tree: Its files.
            now: The moment that counts.
            unknown: Files that nobody can judge by, because they are not in this directory.
        """
        self._inventory = inventory
        # Whether a file is hidden and what it holds are two questions about one content.
        self._tree = tree = SteadyView(tree)
        self._now = now
        self._unknown = frozenset(unknown)
        self._verifier = PathVerifier(now)
        # Edges share certificates and bundles, and follow one another by node.
        self._chain = lru_cache(_REMEMBERED)(partial(chain_of, inventory, tree))
        self._anchors = lru_cache(_REMEMBERED)(partial(anchors_in, tree))
        self._names = lru_cache(_REMEMBERED)(self._names_of)
        self._judgement = lru_cache(_REMEMBERED)(self._judge)
        self._is_withheld = lru_cache(_REMEMBERED)(partial(is_withheld, tree))
        self._generations = self._known_generations()

    def connection(self, edge: Edge) -> Connection:
        """Both ends of an edge, as far as they present something and are judged by something."""
        return _connection(edge, self.of(edge))

    def of(self, edge: Edge) -> tuple[EdgeVerdict, ...]:
        """The verdict on each presentation of an edge."""
        return tuple(self._verdict(edge, shown) for shown in _shown(edge))

    def _verdict(self, edge: Edge, shown: _Shown) -> EdgeVerdict:
        # An edge at a time: remembered for longer, the files of all nodes would stay in memory.
        self._tree.forget()
        identifier, trust = shown.certificate, shown.bundle
        if self._unknown.intersection((identifier, trust)) or self._is_hidden(identifier, trust):
            return EdgeVerdict(health=Health.UNKNOWN)
        chain, anchors = self._chain(identifier), self._anchors(trust)
        unread = chain if isinstance(chain, str) else anchors
        if isinstance(chain, str) or isinstance(anchors, str):
            return EdgeVerdict(anchors=self._names(trust), health=Health.BROKEN, refusals=(str(unread),))
        found = self._judgement(shown.by, identifier, tuple(chain), tuple(anchors), shown.names)
        judge = edge.client if shown.by is Shower.SERVER else edge.server
        return EdgeVerdict(
            anchors=self._names(trust),
            ends=found.ends,
            health=found.health,
            refusals=tuple(
                f"{judge} ({trust}) refuses the certificate {identifier}{fault}" for fault in found.faults
            ),
        )

    def _judge(
        self,
        by: Shower,
        identifier: str,
        chain: Sequence[x509.Certificate],
        anchors: Sequence[x509.Certificate],
        names: tuple[str, ...],
    ) -> _ChainVerdict:
        """Whoever asks: a node shows all API servers one certificate, and each has a copy of one bundle."""
        faults = tuple(self._faults(by, chain, anchors, names))
        ends = _end(chain, anchors)
        health = Health.BROKEN if faults else self._health(identifier, chain, ends)
        return _ChainVerdict(ends=ends, health=health, faults=faults)

    def _faults(
        self,
        by: Shower,
        chain: Sequence[x509.Certificate],
        anchors: Sequence[x509.Certificate],
        names: tuple[str, ...],
    ) -> Iterator[str]:
        """Why it is refused: a client once, a server by every name that it is dialled by."""
        if by is Shower.CLIENT:
            refusal = self._verifier.client(chain, anchors)
            if refusal is not None:
                yield f": {refusal}"
            return
        for name in names:
            refusal = self._verifier.server(chain, anchors, name)
            if refusal is not None:
                yield f" for {name}: {refusal}"

    def _health(self, identifier: str, chain: Sequence[x509.Certificate], ends: datetime) -> Health:
        """Whether what is accepted is to be renewed: by `renewBefore`, at most a third of a life."""
        item = self._inventory.certificates.get(identifier)
        notice = item.renew_before if item is not None else _NOTICE
        # A certificate that lives shorter than its notice would be due on its first day.
        due = ends - min(notice, (ends - chain[0].not_valid_before_utc) / 3)
        return Health.SOON if due <= self._now else Health.HOLDS

    def _is_hidden(self, identifier: str, trust: str) -> bool:
        """Whether a certificate or what judges it stands in a private file that is not looked at."""
        item = self._inventory.certificates.get(identifier)
        return self._is_withheld(trust) or self._is_withheld(item.file if item is not None else identifier)

    def _known_generations(self) -> dict[x509.Certificate, str]:
        """The CAs of the inventory, by their certificates: generations may share a name."""
        found: dict[x509.Certificate, str] = {}
        for identifier, item in self._inventory.certificates.items():
            if item.kind.issuer is None:
                certificate = observe_certificate(self._tree, item.location).certificate
                if certificate is not None:
                    found[certificate] = identifier
        return found

    def _names_of(self, path: str) -> tuple[str, ...]:
        """What the CAs of a bundle are called: their ids, or else their subjects."""
        found = self._anchors(path)
        if isinstance(found, str):
            return ()
        return tuple(self._generations.get(each, each.subject.rfc4514_string()) for each in found)


def _shown(edge: Edge) -> Iterator[_Shown]:
    """What each end of an edge presents, as far as it presents something and is judged by something."""
    if edge.server_certificate is not None and edge.client_trust is not None:
        yield _Shown(
            by=Shower.SERVER,
            certificate=edge.server_certificate,
            bundle=edge.client_trust,
            names=edge.names,
        )
    if edge.client_certificate is not None and edge.server_trust is not None:
        yield _Shown(by=Shower.CLIENT, certificate=edge.client_certificate, bundle=edge.server_trust)


def _connection(edge: Edge, verdicts: Sequence[EdgeVerdict]) -> Connection:
    """An edge and what was found of it."""
    presentations = tuple(
        Presentation(
            shown_by=shown.by,
            certificate=shown.certificate,
            bundle=shown.bundle,
            names=shown.names,
            anchors=verdict.anchors,
            ends=verdict.ends,
            health=verdict.health,
            refusals=verdict.refusals,
        )
        for shown, verdict in zip(_shown(edge), verdicts, strict=True)
    )
    return Connection(client=edge.client, server=edge.server, presentations=presentations)


def _end(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> datetime:
    """The earliest end along the chain, that of the CA in the bundle included."""
    # Of several anchors with that name the last to end: through which one a path goes is not known here.
    above = [each.not_valid_after_utc for each in anchors if each.subject == chain[-1].issuer]
    return min((*(each.not_valid_after_utc for each in chain), *sorted(above)[-1:]))
