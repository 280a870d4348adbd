"""A saved plan is bound to every field that was reviewed, whichever of them it is that differs."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.saved_plan import SavedPlan, plan_content
from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import Inventory, derive
from pkigen.errors import PkigenError, UsageError
from pkigen.reconcile.plan import Action, Ask, Await, Create, Keep, Plan, Reissuance, Reissue, Renew
from pkigen.state.authority_record import AuthorityChange, AuthorityComparison, AuthorityDifference
from pkigen.state.reasons import Reason
from pkigen.state.views import EmptyView
from tests.samples import CP1, NOW, W1, spec

if TYPE_CHECKING:
    from pathlib import Path

CA_KEY = "pki/ca.key"
REISSUANCE = Reissuance(
    issuer="ca", key_algorithm="ECDSA-P256", expires=NOW, will_expire=NOW + timedelta(days=365)
)
ACTION = Reissue(
    id="cp-1/apiserver",
    paths=("nodes/cp-1/etc/kubernetes/pki/apiserver.crt",),
    node="cp-1",
    reason=Reason.SANS_CHANGED,
    details=("10.0.0.11 becomes 10.0.0.12",),
    reissuance=REISSUANCE,
)
CHANGE = AuthorityChange(
    path=CA_KEY,
    difference=AuthorityDifference.REPLACED,
    recorded="sha256:01",
    found="sha256:02",
    witness="pki.lock",
)
COMPARISON = AuthorityComparison(changes=(CHANGE,), is_empty=False, is_blank=False)
PLAN = Plan(actions=(ACTION,), observed={"the spec": "01", CA_KEY: "02"}, authority=COMPARISON)

# Each field with another value, and what is said to be different.
ACTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "id": ({"id": "cp-1/kubelet-serving"}, "cp-1/apiserver: reissue (sans-changed) → nothing"),
    "paths": ({"paths": ()}, "paths"),
    "node": ({"node": None}, "node cp-1 → nothing"),
    "reason": ({"reason": Reason.EXPIRED}, "reissue (sans-changed) → reissue (expired)"),
    "details": ({"details": ("10.0.0.11 becomes 10.0.0.13",)}, "details"),
    "reissuance": ({"reissuance": None}, "certificate"),
    "diff": ({"diff": ("@@ -1 +1 @@", "-a", "+b")}, "diff"),
}
REISSUANCES: dict[str, dict[str, Any]] = {
    "issuer": {"issuer": "etcd-ca"},
    "key_algorithm": {"key_algorithm": "RSA-2048"},
    "expires": {"expires": NOW + timedelta(seconds=1)},
    "offline": {"offline": True},
}


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return derive(spec(CP1, W1))


def of_actions(*actions: Action) -> Plan:
    return replace(PLAN, actions=actions)


def with_alarm(**changes: Any) -> Plan:
    return replace(PLAN, authority=replace(COMPARISON, changes=(replace(CHANGE, **changes),)))


# The plan of now beside the one that was reviewed, and what is said to be different first.
PLANS: dict[str, tuple[Plan, str]] = {
    **{
        f"action-{name}": (of_actions(replace(ACTION, **change)), said)
        for name, (change, said) in ACTIONS.items()
    },
    **{
        f"certificate-{name}": (
            of_actions(replace(ACTION, reissuance=replace(REISSUANCE, **change))),
            "certificate",
        )
        for name, change in REISSUANCES.items()
    },
    "verb": (
        of_actions(Renew(**{each.name: getattr(ACTION, each.name) for each in fields(ACTION)})),
        "reissue (sans-changed) → renew (sans-changed)",
    ),
    "an-action-more": (
        of_actions(
            ACTION, Create(id="pki.lock", paths=("pki.lock",), node=None, reason=Reason.MISSING, details=())
        ),
        "pki.lock: nothing → create (missing)",
    ),
    "an-action-less": (of_actions(), "cp-1/apiserver: reissue (sans-changed) → nothing"),
    "another-kept": (
        of_actions(ACTION, Keep(id="ca", paths=("pki/ca.crt",), node=None, reason=None)),
        "summary",
    ),
    "another-awaited": (
        of_actions(ACTION, Await(id="ca", paths=("pki/ca.crt",), node=None, reason=Reason.EXPIRES_SOON)),
        "ca: nothing → await (expires-soon)",
    ),
    "another-waiting": (
        of_actions(ACTION, Ask(id="worker-1/kubelet", paths=("a",), node="worker-1", reason=Reason.EXPIRED)),
        "worker-1/kubelet: nothing → ask (expired)",
    ),
    "observed": (replace(PLAN, observed={"the spec": "01", CA_KEY: "03"}), "pki/ca.key: 02 → 03"),
    "observed-less": (replace(PLAN, observed={"the spec": "01"}), "pki/ca.key: 02 → nothing"),
    "alarm-path": (with_alarm(path="pki/etcd/ca.key"), "authority"),
    "alarm-difference": (with_alarm(difference=AuthorityDifference.OLDER), "authority"),
    "alarm-recorded": (with_alarm(recorded="sha256:03"), "authority"),
    "alarm-found": (with_alarm(found="sha256:03"), "authority"),
    "no-alarm": (replace(PLAN, authority=replace(COMPARISON, changes=())), "authority"),
}


def saved(plan: Plan, inventory: Inventory, path: Path) -> SavedPlan:
    path.write_text(json.dumps(plan_content(plan, inventory, EmptyView())))
    return SavedPlan.read(path)


@pytest.mark.parametrize("case", PLANS)
def test_another_plan_is_refused(case: str, inventory: Inventory, tmp_path: Path) -> None:
    plan, said = PLANS[case]
    reviewed = saved(PLAN, inventory, tmp_path / "plan.json")
    now = plan_content(plan, inventory, EmptyView())
    assert now["digest"] != reviewed.content["digest"]
    with pytest.raises(PkigenError, match="the saved plan is stale") as refused:
        reviewed.require_current(now)
    assert said in str(refused.value)
    # And the other way round: what was reviewed and is no more.
    with pytest.raises(PkigenError, match="the saved plan is stale"):
        saved(plan, inventory, tmp_path / "plan.json").require_current(
            plan_content(PLAN, inventory, EmptyView())
        )


def test_every_field_of_an_action_has_a_case() -> None:
    assert {each.name for each in fields(Action)} == ACTIONS.keys()
    # The new end moves with the clock.
    assert {each.name for each in fields(Reissuance)} - {"will_expire"} == REISSUANCES.keys()


@pytest.mark.parametrize("same", [0, 30, 70, 79, 80, 81, 300])
def test_of_long_values_the_part_that_differs_is_said(
    same: int, inventory: Inventory, tmp_path: Path
) -> None:
    def plan_for(end: str) -> Plan:
        return of_actions(replace(ACTION, details=("x" * same + end + "y" * 200,)))

    reviewed = saved(plan_for("10.0.0.12"), inventory, tmp_path / "plan.json")
    with pytest.raises(PkigenError, match="the saved plan is stale") as refused:
        reviewed.require_current(plan_content(plan_for("10.0.0.13"), inventory, EmptyView()))
    before, now = str(refused.value).split(" → ")
    assert before != now
    assert "10.0.0.12" in before
    assert "10.0.0.13" in now
    assert len(now) < 120


def test_of_a_long_value_that_grows_the_new_end_is_said(inventory: Inventory, tmp_path: Path) -> None:
    names = tuple(f"name-{number}.example.com becomes a SAN" for number in range(20))
    reviewed = saved(of_actions(replace(ACTION, details=names)), inventory, tmp_path / "plan.json")
    with pytest.raises(PkigenError, match="the saved plan is stale") as refused:
        reviewed.require_current(
            plan_content(of_actions(replace(ACTION, details=(*names, "and late"))), inventory, EmptyView())
        )
    assert "and late" in str(refused.value).split(" → ")[1]


def test_the_same_plan_a_moment_later(inventory: Inventory, tmp_path: Path) -> None:
    later = replace(REISSUANCE, will_expire=REISSUANCE.will_expire + timedelta(seconds=9))
    now = plan_content(of_actions(replace(ACTION, reissuance=later)), inventory, EmptyView())
    saved(PLAN, inventory, tmp_path / "plan.json").require_current(now)


def test_another_phase_of_a_rotation_is_refused(inventory: Inventory, tmp_path: Path) -> None:
    rotating = derive(inventory.cluster, Rotations(phases={"sa": Phase.PREPARED}))
    now = plan_content(PLAN, rotating, EmptyView())
    with pytest.raises(PkigenError, match=r'rotations \{\} → \{"sa": "prepared"\}'):
        saved(PLAN, inventory, tmp_path / "plan.json").require_current(now)


def edited(content: dict[str, Any], place: tuple[str | int, ...]) -> None:
    """Change a value somewhere in the plan, and leave its digest as it is."""
    *way, last = place
    inner: Any = content
    for key in way:
        inner = inner[key]
    inner[last] = "edited"


@pytest.mark.parametrize(
    "place",
    [
        *(("actions", 0, name) for name in ("action", "id", "node", "reason", "details", "paths")),
        *(
            ("actions", 0, "certificate", name)
            for name in ("issuer", "keyAlgorithm", "willExpire", "offline")
        ),
        *(
            (name,)
            for name in ("cluster", "rotations", "summary", "restarts", "leftovers", "risks", "request")
        ),
        ("observed", 0, "digest"),
        ("authority", "changes", 0, "found"),
    ],
)
def test_an_edited_plan_is_refused(
    place: tuple[str | int, ...], inventory: Inventory, tmp_path: Path
) -> None:
    content = plan_content(PLAN, inventory, EmptyView())
    edited(content, place)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(PkigenError, match="was changed after it was saved"):
        SavedPlan.read(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": 1}', "[" * 100_000])
def test_something_else_is_no_saved_plan(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not a saved plan"):
        SavedPlan.read(path)
