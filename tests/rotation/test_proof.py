"""How a proof says what it found: who stands first, which ends are named, and when the step is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkigen.desired.connections import Peer
from pkigen.errors import RotationError
from pkigen.rotation.proof import CASES, Age, Presented, Proof, ProofRow, Verdict, row_name

OLD, NEW = Age
SERVER, CLIENT = (
    Peer(component=component, node=node)
    for component, node in (("kube-apiserver", "cp-1"), ("kubelet", "worker-1"))
)
REFUSED = Verdict(
    presenter=CLIENT,
    judge=SERVER,
    credential=Presented.CLIENT,
    presented=OLD,
    trusted=NEW,
    refusal="it is unknown",
)


@pytest.mark.parametrize(
    ("credential", "text"),
    [
        (Presented.CLIENT, "kubelet on worker-1 (old certificate) → kube-apiserver on cp-1 (new bundle)"),
        # A server's certificate is judged by who dials it, and who dials stands first.
        (Presented.SERVING, "kube-apiserver on cp-1 (new bundle) → kubelet on worker-1 (old certificate)"),
        (
            Presented.SIGNED,
            "kubelet on worker-1 (old signing certificate) → kube-apiserver on cp-1 (new bundle)",
        ),
        (Presented.ACCOUNT, "kubelet on worker-1 (old signing key) → kube-apiserver on cp-1 (new keys)"),
        (Presented.STORED, "kubelet on worker-1 (old first key) → kube-apiserver on cp-1 (new keys)"),
    ],
)
def test_each_end_is_named_with_what_it_holds(credential: Presented, text: str) -> None:
    verdict = replace(REFUSED, credential=credential)
    assert str(verdict) == f"{text}: it is unknown"
    assert str(replace(verdict, refusal=None)) == text


def test_the_names_of_what_is_shown() -> None:
    assert [str(each) for each in Age] == ["old", "new"]
    assert [str(each) for each in Presented] == [
        "serving certificate",
        "client certificate",
        "certificate signed by the controller manager",
        "service account token",
        "encrypted Secret",
    ]


def test_the_columns_of_a_row() -> None:
    assert CASES == ((OLD, OLD), (OLD, NEW), (NEW, OLD), (NEW, NEW))
    assert ProofRow(edge="x", count=1, held=(1, 1, 1, 1)).binding


def proof(*broken: Verdict) -> Proof:
    return Proof(verdicts=4, edges=1, broken=broken, table=())


def test_a_step_that_breaks_nothing_is_taken() -> None:
    proof().require()
    assert proof().unjudged == ()


@pytest.mark.parametrize(("count", "more"), [(1, ""), (2, " (and 1 more)"), (3, " (and 2 more)")])
def test_the_first_that_would_break_is_named(count: int, more: str) -> None:
    broken = (REFUSED, *[replace(REFUSED, refusal="another")] * (count - 1))
    with pytest.raises(RotationError) as refused:
        proof(*broken).require()
    assert refused.value.message == f"this step would break a connection: {REFUSED}{more}"
    assert refused.value.hint.startswith("nothing was changed")


@pytest.mark.parametrize(
    ("component", "name"), [("user ann", "people"), ("kubelet", "kubelet"), ("superuser a", "superuser a")]
)
def test_people_are_one_row(component: str, name: str) -> None:
    assert row_name(Peer(component=component, node=None)) == name
