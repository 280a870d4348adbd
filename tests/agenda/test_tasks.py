"""Each rule finds its task and nothing else; the most urgent one is the answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from pkigen.agenda import tasks
from pkigen.agenda.situation import LastChange, Lifetime, PendingRequest, Rotating, Situation, last_change
from pkigen.agenda.tasks import TaskKind, next_task, outlook
from pkigen.desired.endpoints import Endpoint
from pkigen.desired.generations import Phase
from pkigen.reconcile.cluster_changes import ClusterStep, ClusterVerb
from pkigen.reconcile.plan import Action, Ask, Await, Keep, Plan, Reissuance, Renew, Rewrite
from pkigen.rotation.live import Flaw, Live, LiveFinding, Seen, Sight
from pkigen.state.authority_record import AuthorityChange, AuthorityComparison, AuthorityDifference
from pkigen.state.cluster_objects import ClusterObject
from pkigen.state.reasons import Reason
from pkigen.store.backups import BackupAction, BackupEntry, BackupInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.agenda.tasks import Task

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
QUIET = Situation(now=NOW, spec="-C prod", directory="-C prod", plan=Plan(actions=()))


def ending(identifier: str, *, ends: int, due: int, name: str = "") -> Lifetime:
    node, _, short = identifier.rpartition("/")
    return Lifetime(
        id=identifier, name=name or short, node=node or None, ends=NOW + ends * DAY, due=NOW + due * DAY
    )


def action(kind: type[Action], reason: Reason, identifier: str = "cp-1/apiserver", **more: object) -> Action:
    node = identifier.partition("/")[0] if "/" in identifier else None
    return kind(id=identifier, paths=(), node=node, reason=reason, **more)  # type: ignore[arg-type]


def reissuance(*, offline: bool = False) -> Reissuance:
    return Reissuance(
        issuer="ca",
        key_algorithm="ECDSA-P256",
        expires=NOW + 3 * DAY,
        will_expire=NOW + 365 * DAY,
        offline=offline,
    )


def seen(node: str, sight: Sight) -> Seen:
    endpoint = Endpoint(
        component="kube-apiserver",
        node=node,
        host=IPv4Address("10.0.0.1"),
        port=6443,
        certificate=f"{node}/apiserver",
    )
    flaw = {Sight.OLD: Flaw.OLD_CERTIFICATE, Sight.NOTHING: Flaw.UNREACHABLE}.get(sight)
    found = () if flaw is None else (LiveFinding(endpoint=endpoint, flaw=flaw, detail="so it is"),)
    return Seen(endpoint=endpoint, sight=sight, fingerprint=None, expires=None, findings=found)


def planned(*actions: Action) -> Situation:
    return replace(QUIET, plan=Plan(actions=actions))


ALARM = AuthorityChange(
    path="pki/ca.key", difference=AuthorityDifference.REPLACED, recorded="a", found="b", witness="pki.lock"
)
EXCHANGED = replace(
    QUIET,
    plan=Plan(actions=(), authority=AuthorityComparison(changes=(ALARM,), is_empty=False, is_blank=False)),
)
EXPIRED = replace(QUIET, plan=None, endings=(ending("ca", ends=0, due=-30),))
NO_SERVER = replace(
    QUIET, endings=(ending("a/apiserver", ends=-1, due=-30), ending("b/apiserver", ends=0, due=-30))
)
ASKED = replace(QUIET, request=PendingRequest(number="n1", created=NOW - 2 * DAY, ids=("ca", "etcd-ca")))
OFFLINE = planned(action(Await, Reason.EXPIRES_SOON))
NEEDED = planned(action(Renew, Reason.MISSING, reissuance=reissuance(offline=True)))
DUE = planned(
    action(Renew, Reason.EXPIRES_SOON, reissuance=reissuance()), action(Keep, Reason.EXPIRED, "x/y")
)
CHANGED = planned(action(Renew, Reason.EXPIRED, reissuance=reissuance()), action(Rewrite, Reason.MODE, "a/b"))
LAGGING = replace(QUIET, live=Live(seen=(seen("cp-1", Sight.CURRENT), seen("cp-2", Sight.OLD))))
GIVEN = ClusterStep(verb=ClusterVerb.APPLY, kubeconfig="admin.conf", file="addons/user-dev1.yaml")
TAKEN = ClusterStep(
    verb=ClusterVerb.DELETE,
    kubeconfig="admin.conf",
    object=ClusterObject(kind="RoleBinding", name="pkigen:dev1", namespace="web"),
)
STILL_HELD = replace(QUIET, in_cluster=(GIVEN, TAKEN))
NOT_GIVEN = replace(QUIET, in_cluster=(GIVEN,))
UNWRITTEN = ClusterStep(
    verb=ClusterVerb.WRITE,
    kubeconfig="admin.conf",
    object=ClusterObject(kind="EncryptedResource", name="secrets"),
)
NOT_ENCRYPTED = replace(QUIET, in_cluster=(UNWRITTEN,))
UNMAPPED = replace(QUIET, in_cluster=(ClusterStep(verb=ClusterVerb.MAP, kubeconfig="admin.conf"), UNWRITTEN))
NOT_MAPPED = replace(UNMAPPED, in_cluster=UNMAPPED.in_cluster[:1])
PREPARED = replace(QUIET, rotating=(Rotating(id="ca", phase=Phase.PREPARED),))
WAITING = planned(action(Ask, Reason.AWAITS_REQUEST, "worker-1/kubelet"))
RECENT = replace(QUIET, change=LastChange(time=NOW - 7 * DAY, command="apply", nodes=("cp-1",)))
OLD_CA = replace(QUIET, endings=(ending("etcd-ca", ends=200, due=0), ending("ca", ends=100, due=1)))

CASES: dict[str, tuple[Callable[[Situation], Task | None], Situation, TaskKind, str, str]] = {
    "another authority": (
        tasks.changed_authority,
        EXCHANGED,
        TaskKind.AUTHORITY,
        "pki/ca.key",
        "verify -C prod",
    ),
    "expired CA": (
        tasks.expired_cluster,
        EXPIRED,
        TaskKind.RESCUE,
        "ca has expired",
        "rescue -C prod",
    ),
    "expired servers": (
        tasks.expired_cluster,
        NO_SERVER,
        TaskKind.RESCUE,
        "a/apiserver, b/apiserver have expired",
        "rescue -C prod",
    ),
    "pending request": (
        tasks.unanswered_request,
        ASKED,
        TaskKind.ACCEPT,
        "request n1 of 2026-11-20",
        "airgap authority accept ANSWER -C prod",
    ),
    "due offline": (
        tasks.offline_request,
        OFFLINE,
        TaskKind.REQUEST,
        "cp-1/apiserver",
        "airgap authority request -C prod",
    ),
    "needed offline": (
        tasks.offline_request,
        NEEDED,
        TaskKind.REQUEST,
        "cp-1/apiserver",
        "airgap authority request -C prod",
    ),
    "due": (tasks.due_certificates, DUE, TaskKind.RENEW, "the first on 2026-11-25", "renew -C prod"),
    "changed": (
        tasks.pending_changes,
        CHANGED,
        TaskKind.APPLY,
        "renew cp-1/apiserver",
        "apply -C prod",
    ),
    "a right in the cluster": (
        tasks.unapplied_addons,
        STILL_HELD,
        TaskKind.ADDONS,
        "may still hold RoleBinding pkigen:dev1 in namespace web",
        "access applied -C prod",
    ),
    "a right not in the cluster": (
        tasks.unapplied_addons,
        NOT_GIVEN,
        TaskKind.ADDONS,
        "may not have got addons/user-dev1.yaml yet",
        "access applied -C prod",
    ),
    "in clear text": (
        tasks.unapplied_addons,
        NOT_ENCRYPTED,
        TaskKind.ADDONS,
        "etcd may still hold secrets as they were encrypted before",
        "access applied -C prod",
    ),
    "in clear text, and not mapped": (
        tasks.unapplied_addons,
        UNMAPPED,
        TaskKind.ADDONS,
        "etcd may still hold secrets",
        "access applied -C prod",
    ),
    "not mapped": (
        tasks.unapplied_addons,
        NOT_MAPPED,
        TaskKind.ADDONS,
        "may not map the ARNs of spec.iam yet",
        "access applied -C prod",
    ),
    "lagging": (
        tasks.lagging_nodes,
        LAGGING,
        TaskKind.DISTRIBUTE,
        "cp-2 has not got",
        "verify -C prod --live",
    ),
    "half way": (
        tasks.unfinished_rotation,
        PREPARED,
        TaskKind.ROTATE,
        "then promote",
        "rotate ca kubernetes -C prod --live",
    ),
    "a node must ask": (
        tasks.asking_nodes,
        WAITING,
        TaskKind.ASK,
        "worker-1 must request",
        "node request SPEC",
    ),
    "perhaps not copied": (
        tasks.unconfirmed_change,
        RECENT,
        TaskKind.DISTRIBUTE,
        "may not be on cp-1 yet",
        "next -C prod --live",
    ),
    "old CA": (
        tasks.ending_authority,
        OLD_CA,
        TaskKind.ROTATE,
        "CA etcd-ca expires on 2027-06-10",
        "rotate ca etcd -C prod",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_rule_finds_its_task(name: str) -> None:
    rule, situation, kind, words, command = CASES[name]
    task = rule(situation)
    assert task is not None
    assert task.kind is kind
    assert words in task.sentence
    assert command in task.command
    # The rule alone decides: nothing more urgent speaks, and a quiet cluster is left alone.
    assert next_task(situation) == task
    assert rule(QUIET) is None


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, *_ in CASES.values()} == set(tasks.RULES)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("another authority", "expired servers"),
        ("expired servers", "pending request"),
        ("pending request", "lagging"),
        ("lagging", "half way"),
        ("half way", "perhaps not copied"),
        ("perhaps not copied", "old CA"),
    ],
)
def test_the_more_urgent_comes_first(more: str, less: str) -> None:
    first, second = CASES[more][1], CASES[less][1]
    fields = ("plan", "endings", "rotating", "request", "change", "live")
    both = {
        name: getattr(first, name) if getattr(first, name) != getattr(QUIET, name) else getattr(second, name)
        for name in fields
    }
    task = next_task(replace(QUIET, **both))
    assert task is not None
    assert task.kind is CASES[more][2]


def test_some_expired_servers_are_renewed_and_not_rescued() -> None:
    endings = (ending("a/apiserver", ends=-1, due=-30), ending("b/apiserver", ends=1, due=-30))
    assert tasks.expired_cluster(replace(QUIET, endings=endings)) is None


def test_a_node_that_lacks_a_step_is_named_with_the_step() -> None:
    situation = replace(LAGGING, rotating=PREPARED.rotating, change=RECENT.change)
    task = next_task(situation)
    assert task is not None
    assert task.sentence.startswith("cp-2 has not got prepare of ca yet: ")
    assert (task.command, task.nodes) == ("pkigen show -C prod", ("cp-2",))


def test_a_node_that_does_not_answer_is_not_said_to_lack_anything() -> None:
    task = next_task(replace(QUIET, live=Live(seen=(seen("cp-3", Sight.NOTHING),))))
    assert task is not None
    assert task.sentence.startswith("cp-3 cannot be shown to have the last change: ")


def test_what_no_endpoint_shows_has_to_be_vouched_for() -> None:
    keys = replace(QUIET, rotating=(Rotating(id="sa", phase=Phase.PREPARED),), live=Live(seen=()))
    task = next_task(keys)
    assert task is not None
    assert "see that every node has the files of prepare" in task.sentence
    assert task.command == "pkigen rotate sa -C prod --assume-distributed"
    confirmed = next_task(replace(PREPARED, distributed=True))
    assert confirmed is not None
    assert confirmed.sentence == "the rotation of ca is prepared: promote"


def test_tokens_of_the_previous_key_are_waited_for() -> None:
    promoted = Rotating(id="sa", phase=Phase.PROMOTED, earliest=NOW + DAY)
    situation = replace(QUIET, rotating=(promoted,))
    assert next_task(situation) is None
    later = outlook(situation)
    assert later is not None
    assert (later.time, later.sentence) == (NOW + DAY, "the rotation of sa can finish")
    task = next_task(replace(situation, now=NOW + DAY))
    assert task is not None
    assert "finish" in task.sentence


@pytest.mark.parametrize(
    "settled",
    [
        replace(RECENT, now=NOW + timedelta(seconds=1)),
        replace(RECENT, distributed=True),
        replace(RECENT, live=Live(seen=(seen("cp-1", Sight.CURRENT),))),
    ],
    ids=["old", "vouched for", "seen"],
)
def test_a_change_is_not_asked_about_for_ever(settled: Situation) -> None:
    assert next_task(RECENT) is not None
    assert next_task(settled) is None


def left(name: str, day: int, *nodes: str) -> BackupInfo:
    paths = [f"nodes/{node}/etc/kubernetes/kubelet.conf" for node in nodes]
    entries = tuple(
        BackupEntry(path=path, action=BackupAction.CREATED, mode=0o600, sha256="") for path in paths
    )
    return BackupInfo(id=name, time=NOW + day * DAY, command=name, entries=entries)


def test_nothing_is_copied_to_a_node_that_has_left_the_cluster() -> None:
    backups = (left("renew", 1, "cp-1", "worker-1"), left("apply", 2, "worker-2"))
    change = last_change(backups, b"", nodes={"cp-1", "worker-1"})
    assert change == LastChange(time=NOW + DAY, command="renew", nodes=("cp-1", "worker-1"))
    some = last_change(backups, b"", nodes={"cp-1", "worker-2"})
    assert some == LastChange(time=NOW + 2 * DAY, command="apply", nodes=("worker-2",))
    assert last_change(backups[1:], b"", nodes={"cp-1"}) is None


def test_a_ca_that_rotates_already_is_not_rotated_again() -> None:
    rotating = (Rotating(id="etcd-ca", phase=Phase.PREPARED),)
    assert tasks.ending_authority(replace(OLD_CA, rotating=rotating)) is None


def test_the_next_event_is_the_first_and_is_told_together() -> None:
    names = ("a/x", "b/x", "c/x", "d/x")
    endings = (*(ending(name, ends=60, due=30) for name in names), ending("ca", ends=9, due=31))
    later = outlook(replace(QUIET, endings=(*endings, ending("past", ends=5, due=0))))
    assert later is not None
    assert (later.time, later.sentence) == (NOW + 30 * DAY, "a/x, b/x, c/x and 1 more are due for renewal")
    assert outlook(QUIET) is None
