"""The trust graph of a cluster that pkigen did not make, by Go's rules, as its components judge."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pkigen.adoption.checks.validity import notice_of
from pkigen.adoption.judgements import USER_OF, judgements
from pkigen.crypto.go_paths import refusal
from pkigen.desired.connections import Peer
from pkigen.desired.trust_graph import Connection, Health, Presentation, Shower, TrustGraph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pkigen.adoption.found import ForeignCluster, ForeignNode
    from pkigen.adoption.judgements import Judgement

_Ends = tuple[Peer, Peer]
_Shown = tuple[Shower, str, str]


def trust_graph(cluster: ForeignCluster) -> TrustGraph:
    """Every connection for which both files are here, and what each end says to the other's."""
    users = {
        Peer(component=f"{USER_OF}{path}", node=node.name): Peer(component=name, node=node.name)
        for node in cluster.nodes
        for path, name in _users(node).items()
    }
    found: dict[_Ends, dict[_Shown, list[Judgement]]] = {}
    for each in judgements(cluster):
        judge, judged = users.get(each.judge, each.judge), users.get(each.judged, each.judged)
        # Who dials knows by which name; a server asks for none.
        ends, by = ((judge, judged), Shower.SERVER) if each.name else ((judged, judge), Shower.CLIENT)
        shown = (by, str(each.shown.spot), str(each.trust.spot))
        found.setdefault(ends, {}).setdefault(shown, []).append(each)
    return TrustGraph(
        connections=tuple(
            Connection(
                client=client,
                server=server,
                presentations=tuple(
                    _presentation(by, alike, now=cluster.now) for (by, _, _), alike in shown.items()
                ),
            )
            for (client, server), shown in found.items()
        )
    )


def _users(node: ForeignNode) -> dict[str, str]:
    """Who uses each kubeconfig of a node: the component whose flag names it, else it goes by its own name."""
    found = {each.spot.path: posixpath.basename(each.spot.path) for each in node.kubeconfigs}
    for program in node.programs:
        value = program.flags.value("kubeconfig")
        file = node.tree.file(program.flags.host_path(value)) if value else None
        if file is not None and file.path in found:
            found[file.path] = str(program.component)
    return found


def _presentation(by: Shower, alike: Sequence[Judgement], *, now: datetime) -> Presentation:
    """What is judged by one bundle under several names is presented once."""
    first = alike[0]
    refusals = tuple(dict.fromkeys(text for each in alike if (text := _refusal(each, now))))
    ends = _end(first)
    is_due = ends <= now + notice_of(first.shown.certificates[0])
    return Presentation(
        shown_by=by,
        certificate=str(first.shown.spot),
        bundle=str(first.trust.spot),
        names=tuple(dict.fromkeys(each.name for each in alike if each.name)),
        anchors=tuple(dict.fromkeys(each.subject.rfc4514_string() for each in first.trust.certificates)),
        ends=ends,
        health=Health.BROKEN if refusals else Health.SOON if is_due else Health.HOLDS,
        refusals=refusals,
    )


def _end(judged: Judgement) -> datetime:
    """The earliest end along the chain, that of the CA in the bundle included."""
    chain, anchors = judged.shown.certificates, judged.trust.certificates
    # Of several CAs with that name it is the last to end: until then one of them judges.
    above = [each.not_valid_after_utc for each in anchors if each.subject == chain[-1].issuer]
    return min((*(each.not_valid_after_utc for each in chain), *sorted(above)[-1:]))


def _refusal(judged: Judgement, now: datetime) -> str:
    """Why who judges refuses it; empty where he does not."""
    reason = refusal(judged.shown.certificates, judged.trust.certificates, judged.name, now)
    if reason is None:
        return ""
    wanted = f" for {judged.name}" if judged.name else ""
    return f"{judged.judge} refuses {judged.shown.spot}{wanted}: {reason} (judged by {judged.trust.spot})"
