"""What a verification says: which of it makes the verification fail, and what Git adds to it."""

from __future__ import annotations

from pkigen.desired.connections import Peer
from pkigen.desired.trust_graph import Connection, TrustGraph
from pkigen.reconcile.observations import Observation, ObservationSeverity, Verified
from pkigen.state.reasons import Anomaly, Reason

FINDING = Observation(subject="ca", reason=Reason.EXPIRED, detail="1")
REMARK = Observation(subject="sa", reason=Anomaly.NOT_JUDGED, detail="2", severity=ObservationSeverity.REMARK)
SERVER, CLIENT = (Peer(component=each, node="cp-1") for each in ("kube-apiserver", "kubelet"))
GRAPH = TrustGraph(connections=(Connection(client=CLIENT, server=SERVER, presentations=()),) * 3)
VERIFIED = Verified(objects=2, observations=(REMARK, FINDING), graph=GRAPH)


def test_findings_make_it_fail_and_remarks_do_not() -> None:
    assert VERIFIED.findings == (FINDING,)
    assert VERIFIED.remarks == (REMARK,)
    assert VERIFIED.edges == 3


def test_a_private_file_that_git_tracks_is_a_finding() -> None:
    found = VERIFIED.with_tracked(["pki/ca.key", "pki/sa.key"])
    assert found.observations[:2] == VERIFIED.observations
    assert [(each.subject, each.reason) for each in found.findings[1:]] == [
        ("pki/ca.key", Anomaly.TRACKED),
        ("pki/sa.key", Anomaly.TRACKED),
    ]
    assert found.findings[1].detail.startswith("pki/ca.key is tracked by Git")
    assert VERIFIED.with_tracked([]) == VERIFIED
