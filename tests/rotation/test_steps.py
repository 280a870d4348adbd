"""Steps are proposed and carried out without a command line: what is said of them, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import ENCRYPTION_KEY, SA, Phase
from pkigen.desired.inventory import derive
from pkigen.errors import RotationError, UsageError
from pkigen.reconcile.apply import apply_plan
from pkigen.reconcile.planner import Planner
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.workbench import Tools
from pkigen.rotation import steps
from pkigen.rotation.audit_log import AuditLog
from pkigen.rotation.phases import WantedStep
from pkigen.rotation.step_names import RotationStep
from pkigen.rotation.steps import CompletedStep, ProposedStep, TakenStep, carry_out, propose, rehearse
from pkigen.spec.model import ClusterSpec
from pkigen.state.rotation_phases import observe_rotations
from pkigen.store import Outcome, Recovery, Store
from tests.rotation.phases import NOW, PKI, SMALL, Workshop
from tests.rotation.test_evidence import event
from tests.rotation.test_issuers import RISK, UNSEEN, issuer
from tests.samples import Unsynced, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.desired.endpoints import Endpoint
    from pkigen.desired.inventory import Inventory
    from pkigen.rotation.live import ServedIdentity
    from pkigen.state.views import StagedView

CLUSTER = ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": SMALL})
PLANNER = Planner.of(derive(CLUSTER), now=NOW)


def inventory(**settings: object) -> Inventory:
    return derive(ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": {**SMALL, **settings}}))


@pytest.fixture
def tree(workshop: Workshop) -> Path:
    """A tree of the small spec."""
    return workshop.tree


def held(tree: Path, command: str = "test") -> Store:
    return Store.open(tree, command=command, now=NOW, filesystem=Unsynced())


def tools(planner: Planner = PLANNER) -> Tools:
    return Tools(now=planner.now, entropy=os.urandom, renderer=planner.renderer, progress=SILENCE)


def wanted(*identifiers: str, step: RotationStep | None = None, **vouched: bool) -> WantedStep:
    return WantedStep(identifiers=identifiers, step=step, **vouched)


def proposed_in(store: Store, wish: WantedStep, planner: Planner = PLANNER) -> ProposedStep:
    found = propose(planner, store, wish)
    assert isinstance(found, ProposedStep)
    return found


def take(tree: Path, wish: WantedStep, planner: Planner = PLANNER) -> CompletedStep:
    with held(tree, wish.words) as store:
        return carry_out(proposed_in(store, wish, planner), store, tools(planner))


def phase(tree: Path, identifier: str) -> Phase:
    with Store.open_reading(tree) as store:
        return observe_rotations(store).phase(identifier)


def promoted(tree: Path, identifier: str, planner: Planner = PLANNER) -> None:
    take(tree, wanted(identifier, step=RotationStep.PREPARE), planner)
    take(tree, wanted(identifier, step=RotationStep.PROMOTE, distributed=True), planner)


def test_to_propose_writes_nothing(tree: Path) -> None:
    before = snapshot(tree)
    with held(tree) as store:
        found = proposed_in(store, wanted("etcd-ca"))
    assert snapshot(tree) == before
    assert (found.step, found.risks, found.obstacle, found.seen) == (RotationStep.PREPARE, (), None, None)
    assert found.before.inventory.rotations.phase("etcd-ca") is Phase.STABLE
    assert found.after.inventory.rotations.phase("etcd-ca") is Phase.PREPARED
    assert "etcd-ca-next" in {action.id for action in found.plan.changes}
    assert found.plan.rotated == {"etcd-ca": "prepare"}
    assert len(found.premises) == 1


def test_to_rehearse_proves_and_writes_nothing(tree: Path) -> None:
    before = snapshot(tree)
    with held(tree) as store:
        proof = rehearse(proposed_in(store, wanted("etcd-ca")), store, tools())
    assert snapshot(tree) == before
    assert (proof.broken, proof.verdicts) == ((), 4 * proof.edges)


@pytest.mark.parametrize("identifier", ["ca", SA, ENCRYPTION_KEY])
def test_a_rehearsal_renders_what_the_step_does(tree: Path, identifier: str) -> None:
    """With the tools of the command, which know the state before it."""
    take(tree, wanted(identifier))
    with held(tree) as store:
        assert rehearse(proposed_in(store, wanted(identifier)), store, tools()).broken == ()


def test_a_step_is_carried_out_and_proven(tree: Path) -> None:
    done = take(tree, wanted("ca"))
    assert phase(tree, "ca") is Phase.PREPARED
    assert done.proof.broken == ()
    assert done.applied.issued == ("ca-next", "ca-cross")
    assert len(done.discovery_hashes) == 2, "joining nodes pin both"
    take(tree, wanted("ca", distributed=True))
    assert phase(tree, "ca") is Phase.PROMOTED


def test_the_discovery_hash_is_told_only_where_it_changes(tree: Path) -> None:
    assert take(tree, wanted("front-proxy-ca")).discovery_hashes == ()


def test_the_staged_tree_is_shown_before_the_commit(tree: Path) -> None:
    seen: list[bytes] = []

    def inspect(view: StagedView) -> None:
        seen.append(view.read("pki/etcd/ca-next.crt").data)
        raise RotationError("no")

    before = snapshot(tree)
    with held(tree) as store, pytest.raises(RotationError, match="no"):
        carry_out(proposed_in(store, wanted("etcd-ca")), store, tools(), inspect=inspect)
    assert seen[0].startswith(b"-----BEGIN CERTIFICATE-----")
    assert snapshot(tree) == before


def test_a_step_that_was_taken_is_not_taken_again(tree: Path) -> None:
    wish = wanted("etcd-ca", step=RotationStep.PREPARE)
    take(tree, wish)
    with held(tree) as store:
        found = propose(PLANNER, store, wish)
        assert isinstance(found, TakenStep)
        assert found.plan.changes == ()
        assert found.planner.inventory.rotations.phase("etcd-ca") is Phase.PREPARED


def test_a_step_out_of_turn_is_refused(tree: Path) -> None:
    with held(tree) as store, pytest.raises(RotationError, match="it cannot promote now"):
        propose(PLANNER, store, wanted("etcd-ca", step=RotationStep.PROMOTE))


def test_what_is_in_different_phases_has_no_next_step(tree: Path) -> None:
    take(tree, wanted("etcd-ca"))
    with held(tree) as store, pytest.raises(UsageError, match="different phases"):
        propose(PLANNER, store, wanted("ca", "etcd-ca"))


def test_pending_changes_come_first(tree: Path) -> None:
    (tree / "nodes/worker-1/etc/kubernetes/kubelet.conf").unlink()
    with held(tree) as store, pytest.raises(RotationError, match=r"other changes are pending, the first"):
        propose(PLANNER, store, wanted("etcd-ca"))


def test_a_step_that_would_break_an_edge_changes_nothing(tree: Path) -> None:
    """Behind pkigen's back, after the proposal, a node loses the trust that `prepare` gave it."""
    take(tree, wanted("etcd-ca"))
    bundle = tree / f"nodes/cp-1/{PKI}/etcd/ca.crt"
    with held(tree) as store:
        found = proposed_in(store, wanted("etcd-ca", distributed=True))
        bundle.write_bytes((tree / "pki/etcd/ca.crt").read_bytes())
        before = snapshot(tree)
        with pytest.raises(RotationError, match="this step would break a connection: ") as refused:
            carry_out(found, store, tools())
    assert snapshot(tree) == before
    assert "kube-apiserver on cp-1 (new certificate) → etcd on cp-1 (old bundle)" in refused.value.message


def test_leaves_may_keep_their_keys(tree: Path) -> None:
    take(tree, wanted("etcd-ca"))
    files = [tree / f"nodes/cp-1/{PKI}/etcd/server.{each}" for each in ("crt", "key")]
    certificate, key = (file.read_bytes() for file in files)
    with held(tree) as store:
        carry_out(proposed_in(store, wanted("etcd-ca", distributed=True)), store, tools(), reuse_keys=True)
    assert files[0].read_bytes() != certificate
    assert files[1].read_bytes() == key


def test_force_overlooks_the_lock_file_and_nothing_else(tree: Path) -> None:
    (tree / "pki.lock").write_text("damaged")
    with held(tree) as store:
        with pytest.raises(RotationError, match=r"1 other changes are pending, .* pki\.lock"):
            propose(PLANNER, store, wanted("etcd-ca"))
        assert proposed_in(store, wanted("etcd-ca", force=True)).step is RotationStep.PREPARE
    (tree / "nodes/worker-1/etc/kubernetes/kubelet.conf").unlink()
    with (
        held(tree) as store,
        pytest.raises(RotationError, match=r"1 other changes .* worker-1/kubelet\.conf"),
    ):
        propose(PLANNER, store, wanted("etcd-ca", force=True))


def made_ca(name: str, issuer: Issuer | None = None, *, profile: Profile | None = None) -> Issuer:
    """A CA that is not pkigen's: a root, or an intermediate."""
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name=name),
        sans=SANs(),
        profile=profile or (Profile.CA if issuer is None else Profile.INTERMEDIATE),
        validity=timedelta(days=3650),
    )
    made = issue(content, key=key, issuer=issuer, now=NOW, entropy=os.urandom)
    return Issuer(certificate=made.certificate, key=key)


def brought(tree: Path, ca: Issuer, stem: str = "ca-next") -> None:
    """An operator puts an etcd CA of his own into the authority, the next one by default."""
    (tree / f"pki/etcd/{stem}.crt").write_bytes(certificate_pem(ca.certificate))
    (tree / f"pki/etcd/{stem}.key").write_bytes(private_pem(ca.key))
    (tree / f"pki/etcd/{stem}.key").chmod(0o600)


UNRECORDED = r"not the one that is recorded: pki/etcd/ca-next\.crt"


@pytest.mark.parametrize("step", [None, RotationStep.PREPARE])
def test_a_successor_that_is_brought_is_taken_up_where_it_is_prepared(
    tree: Path, step: RotationStep | None
) -> None:
    brought(tree, made_ca("brought"))
    with held(tree) as store:
        found = proposed_in(store, wanted("etcd-ca", step=step))
        assert (found.step, found.risks) == (RotationStep.PREPARE, ())
        for wish in (wanted("front-proxy-ca"), wanted("etcd-ca", step=RotationStep.PROMOTE)):
            with pytest.raises(RotationError, match=UNRECORDED):
                propose(PLANNER, store, wish)


def test_a_successor_that_was_exchanged_is_not_taken_up_again(tree: Path) -> None:
    take(tree, wanted("etcd-ca"))
    brought(tree, made_ca("another"))
    with held(tree) as store, pytest.raises(RotationError, match=f"{UNRECORDED} was replaced"):
        propose(PLANNER, store, wanted("etcd-ca", step=RotationStep.PREPARE))
    with held(tree) as store, pytest.raises(RotationError, match="other changes are pending"):
        propose(PLANNER, store, wanted("etcd-ca", step=RotationStep.PREPARE, force=True))


def test_an_intermediate_waits_for_its_successor_and_hinders_no_other_ca(tree: Path) -> None:
    company = made_ca("company")
    brought(tree, made_ca("first", company), "ca")
    with held(tree) as store:
        planner = PLANNER.at(store)
        apply_plan(planner.plan(store), planner.inventory, store, tools(planner))
    with held(tree) as store:
        assert proposed_in(store, wanted("ca", "front-proxy-ca")).step is RotationStep.PREPARE
        for identifiers in (("etcd-ca",), ("ca", "etcd-ca"), ("etcd-ca", "front-proxy-ca")):
            with pytest.raises(RotationError, match="the etcd-ca CA is an intermediate: pkigen cannot sign"):
                propose(PLANNER, store, wanted(*identifiers))
    brought(tree, made_ca("second", company))
    with held(tree) as store:
        assert proposed_in(store, wanted("etcd-ca")).step is RotationStep.PREPARE


def test_the_successor_of_the_offline_authority_s_ca_is_requested_there(tree: Path) -> None:
    brought(tree, made_ca("first", made_ca("offline")), "ca")
    planner = Planner.of(inventory(certificates={"authority": "offline"}), now=NOW)
    with held(tree) as store:
        settled = planner.at(store)
        apply_plan(settled.plan(store), settled.inventory, store, tools(settled))
    said = "^the successor of the etcd-ca CA comes from the offline authority$"
    with held(tree) as store, pytest.raises(RotationError, match=said) as caught:
        propose(planner, store, wanted("etcd-ca"))
    assert "`pkigen airgap authority request --next etcd-ca " in caught.value.hint


def test_only_what_was_rotated_has_been_finished(tree: Path) -> None:
    promoted(tree, "etcd-ca")
    finish = wanted("etcd-ca", step=RotationStep.FINISH, distributed=True)
    take(tree, finish)
    both = replace(finish, identifiers=("etcd-ca", "front-proxy-ca"))
    with held(tree) as store:
        assert isinstance(propose(PLANNER, store, finish), TakenStep)
        with pytest.raises(RotationError, match="it cannot finish now"):
            propose(PLANNER, store, both)


# -- what stands against a step, and what it risks --------------------------------------------------


def obstacle(found: ProposedStep) -> str:
    """What stands against a step, which then can neither be required nor carried out."""
    assert found.obstacle is not None
    with pytest.raises(RotationError):
        found.require()
    return found.obstacle.message


def test_an_obstacle_is_no_obstacle_to_the_proof(tree: Path) -> None:
    promoted(tree, "etcd-ca")
    with held(tree) as store:
        found = proposed_in(store, wanted("etcd-ca"))
        assert obstacle(found).startswith("it is not confirmed that every node has the promoted files")
        assert rehearse(found, store, tools()).broken == ()
        before = snapshot(tree)
        with pytest.raises(RotationError, match="it is not confirmed"):
            carry_out(found, store, tools())
        assert snapshot(tree) == before


def test_who_vouches_for_the_nodes_may_finish(tree: Path) -> None:
    promoted(tree, "etcd-ca")
    take(tree, wanted("etcd-ca", distributed=True))
    assert phase(tree, "etcd-ca") is Phase.STABLE


@pytest.mark.parametrize("identifier", ["ca", "etcd-ca", "front-proxy-ca", SA, ENCRYPTION_KEY])
def test_promote_asks_whether_every_node_is_prepared(tree: Path, identifier: str) -> None:
    """Who is not would refuse what the next generation signs."""
    take(tree, wanted(identifier, step=RotationStep.PREPARE))
    before = snapshot(tree)
    with held(tree) as store:
        found = proposed_in(store, wanted(identifier, step=RotationStep.PROMOTE))
    assert obstacle(found) == (
        "it is not confirmed that every node has the prepared files and has restarted what must restart"
    )
    with pytest.raises(RotationError, match="the prepared files"):
        take(tree, wanted(identifier, step=RotationStep.PROMOTE))
    assert snapshot(tree) == before
    take(tree, wanted(identifier, step=RotationStep.PROMOTE, distributed=True))
    assert phase(tree, identifier) is Phase.PROMOTED


def test_endpoints_that_do_not_answer_stand_against_finishing(tree: Path) -> None:
    promoted(tree, "etcd-ca")

    def nobody(_endpoint: Endpoint, _identity: ServedIdentity | None) -> tuple[bytes, ...]:
        raise ConnectionRefusedError

    with held(tree) as store:
        found = propose(PLANNER, store, wanted("etcd-ca", live=True, distributed=True), dial=nobody)
    assert isinstance(found, ProposedStep)
    assert found.seen is not None
    assert {each.endpoint.component for each in found.seen.seen} == {"etcd", "etcd peer"}
    assert obstacle(found).startswith("not every endpoint serves its promoted certificate: etcd")


def test_nobody_is_dialled_before_the_last_step(tree: Path) -> None:
    def unwanted(_endpoint: Endpoint, _identity: ServedIdentity | None) -> tuple[bytes, ...]:
        raise AssertionError

    with held(tree) as store:
        found = propose(PLANNER, store, wanted("etcd-ca", live=True), dial=unwanted)
    assert isinstance(found, ProposedStep)
    assert (found.seen, found.obstacle) == (None, None)


def test_no_endpoint_shows_what_the_front_proxy_trusts(tree: Path) -> None:
    promoted(tree, "front-proxy-ca")
    with held(tree) as store:
        found = proposed_in(store, wanted("front-proxy-ca", live=True))
    assert obstacle(found) == "no endpoint shows whether front-proxy-ca has reached every node"


@pytest.mark.parametrize(
    ("vouched", "later", "said", "risks"),
    [
        (
            {"distributed": True},
            timedelta(),
            "tokens of the previous key may be valid until 2026-11-24 03:00 UTC",
            0,
        ),
        ({"distributed": True}, timedelta(days=3), None, 0),
        ({}, timedelta(days=3), "it is not confirmed that every node has the promoted files", 0),
        ({"force": True, "distributed": True}, timedelta(), None, 1),
        ({"force": True}, timedelta(), None, 2),
        ({"force": True}, timedelta(days=3), None, 1),
    ],
)
def test_the_last_step_waits_for_tokens(
    tree: Path, vouched: dict[str, bool], later: timedelta, said: str | None, risks: int
) -> None:
    planner = Planner.of(inventory(serviceAccounts={"maxTokenLifetime": "48h"}), now=NOW)
    with held(tree) as store:
        apply_plan(planner.plan(store), planner.inventory, store, tools(planner))
    promoted(tree, SA, planner)
    with held(tree) as store:
        last = wanted(SA, step=RotationStep.FINISH, **vouched)
        found = proposed_in(store, last, replace(planner, now=NOW + later))
    assert len(found.risks) == risks
    if said is None:
        found.require()
    else:
        assert obstacle(found).startswith(said)


def test_an_encryption_key_that_wrote_is_not_dropped_lightly(tree: Path) -> None:
    promoted(tree, ENCRYPTION_KEY)
    back = wanted(ENCRYPTION_KEY, step=RotationStep.ROLLBACK)
    take(tree, back)
    with held(tree) as store:
        found = proposed_in(store, back)
        assert obstacle(found).startswith("the next encryption key was promoted earlier")
        vouched = proposed_in(store, replace(back, distributed=True))
    vouched.require()
    (risk,) = vouched.risks
    assert risk.startswith("the next encryption-key was promoted earlier")


def test_what_was_never_promoted_is_dropped_without_a_word(tree: Path) -> None:
    take(tree, wanted(ENCRYPTION_KEY))
    with held(tree) as store:
        found = proposed_in(store, wanted(ENCRYPTION_KEY, step=RotationStep.ROLLBACK))
    assert (found.risks, found.obstacle) == ((), None)


# -- what the two states, the logs and the endpoints add to a proposal ---------------------------------


def refitted(tree: Path, **settings: object) -> Planner:
    """The tree as another spec wants it."""
    planner = Planner.of(inventory(**settings), now=NOW)
    with held(tree) as store:
        apply_plan(planner.plan(store), planner.inventory, store, tools(planner))
    return planner


@pytest.mark.parametrize("step", [RotationStep.PREPARE, RotationStep.PROMOTE, RotationStep.ROLLBACK])
def test_audit_logs_say_nothing_of_other_steps(tree: Path, step: RotationStep) -> None:
    if step is not RotationStep.PREPARE:
        take(tree, wanted("ca"))
    wish = replace(wanted("ca", step=step), evidence=AuditLog())
    with held(tree) as store, pytest.raises(UsageError, match=f"about finish, and the next step is {step}"):
        propose(PLANNER, store, wish)


def test_audit_logs_are_shown_where_they_count(tree: Path) -> None:
    promoted(tree, "ca")
    log = AuditLog()
    wish = replace(wanted("ca"), evidence=log)
    with held(tree) as store:
        found = proposed_in(store, wish)
        assert (found.evidence, obstacle(found)) == (None, "the audit log names no client certificate")
        log.read([json.dumps(event("dev1", f"X509SHA256={'ab' * 32}", NOW)).encode()], "log")
        found = proposed_in(store, wish)
    assert found.evidence is not None
    assert found.evidence.certificates == 1


@pytest.mark.parametrize("step", [RotationStep.PROMOTE, RotationStep.FINISH])
def test_endpoints_are_asked_where_a_step_relies_on_them(tree: Path, step: RotationStep) -> None:
    take(tree, wanted("etcd-ca"))
    if step is RotationStep.FINISH:
        take(tree, wanted("etcd-ca", distributed=True))
    asked: list[str] = []

    def nobody(endpoint: Endpoint, _identity: ServedIdentity | None) -> tuple[bytes, ...]:
        asked.append(endpoint.component)
        raise ConnectionRefusedError

    with held(tree) as store:
        found = propose(PLANNER, store, wanted("etcd-ca", step=step, live=True), dial=nobody)
        assert isinstance(found, ProposedStep)
        assert found.seen is not None
        assert set(asked) == {"etcd", "etcd peer"}
        unasked = propose(PLANNER, store, wanted("etcd-ca", step=step), dial=nobody)
    assert isinstance(unasked, ProposedStep)
    assert unasked.seen is None


def test_issuers_of_tokens_are_assumed_to_go_along(tree: Path) -> None:
    planner = refitted(tree, authentication=issuer("cluster"))
    with held(tree) as store:
        found = proposed_in(store, wanted("ca"), planner)
    assert any(each.startswith(UNSEEN) for each in found.premises)
    assert found.risks == ()


def test_issuers_whose_ca_is_written_down_are_a_risk(tree: Path) -> None:
    planner = refitted(tree, authentication=issuer((tree / "pki/ca.crt").read_text()))
    with held(tree) as store:
        (risk,) = proposed_in(store, wanted("ca"), planner).risks
    assert risk.startswith(RISK + "ca in certificateAuthority")


def test_a_ca_that_cannot_certify_its_successor_is_a_risk_of_preparing(tree: Path) -> None:
    brought(tree, made_ca("short", profile=Profile.INTERMEDIATE), "ca")
    planner = refitted(tree)
    with held(tree) as store:
        found = proposed_in(store, wanted("etcd-ca"), planner)
        (risk,) = found.risks
        assert risk.startswith("etcd-ca cannot certify its successor (")
        assert "etcd-ca-cross" not in {action.id for action in found.plan.changes}
        assert proposed_in(store, wanted("etcd-ca", cross_sign=False), planner).risks == ()
    take(tree, wanted("etcd-ca"), planner)
    with held(tree) as store:
        assert proposed_in(store, wanted("etcd-ca", distributed=True), planner).risks == ()


def test_another_authority_that_is_accepted_by_force_is_a_risk(tree: Path) -> None:
    (tree / "pki/bundle.key").write_bytes(base64.b64encode(bytes(range(32))))
    with held(tree) as store:
        with pytest.raises(RotationError, match=r"not the one that is recorded: pki/bundle\.key"):
            propose(PLANNER, store, wanted("etcd-ca"))
        (risk,) = proposed_in(store, wanted("etcd-ca", force=True)).risks
    assert risk.startswith("pki/bundle.key was replaced")


def test_a_flag_that_leads_elsewhere_stands_against_it(tree: Path) -> None:
    argument = {"name": "kubeconfig", "value": "/etc/kubernetes/own.conf"}
    planner = refitted(tree, scheduler={"extraArgs": [argument]})
    with held(tree) as store:
        assert "which pkigen does not manage" in obstacle(proposed_in(store, wanted("ca"), planner))
        proposed_in(store, wanted("front-proxy-ca"), planner).require()


def test_the_first_of_several_hindrances_is_named(tree: Path) -> None:
    for name in ("kubelet.conf", "pki/ca.crt"):
        (tree / "nodes/worker-1/etc/kubernetes" / name).unlink()
    with held(tree) as store:
        pending = [each.id for each in PLANNER.at(store).plan(store).changes]
        assert len(pending) > 1
        with pytest.raises(RotationError, match=f"^{len(pending)} other changes .*{re.escape(pending[0])}$"):
            propose(PLANNER, store, wanted("etcd-ca"))


def test_the_first_of_several_unrecorded_keys_is_named(tree: Path) -> None:
    brought(tree, made_ca("brought"))
    for file in ("crt", "key"):
        (tree / f"pki/front-proxy-ca-next.{file}").write_bytes(
            (tree / f"pki/etcd/ca-next.{file}").read_bytes()
        )
    with held(tree) as store, pytest.raises(RotationError, match=UNRECORDED):
        propose(PLANNER, store, wanted("ca"))


def test_leaves_get_new_keys_unless_they_are_to_keep_them(tree: Path) -> None:
    take(tree, wanted("etcd-ca"))
    file = tree / f"nodes/cp-1/{PKI}/etcd/server.key"
    key = file.read_bytes()
    take(tree, wanted("etcd-ca", distributed=True))
    assert file.read_bytes() != key


@pytest.mark.parametrize(
    ("outcome", "words", "is_taken"),
    [
        (Outcome.FINISHED, "rotate etcd-ca next", True),
        (Outcome.FINISHED, "rotate etcd-ca prepare", False),
        (Outcome.FINISHED, "apply", False),
        (Outcome.DISCARDED, "rotate etcd-ca next", False),
    ],
)
def test_what_an_interrupted_run_has_left_counts_as_the_step(
    tree: Path, outcome: Outcome, words: str, *, is_taken: bool
) -> None:
    """The next step after it would be another one than was asked for."""
    left = Recovery(outcome=outcome, command=words, started=NOW, paths=3)
    with held(tree) as store:
        store.recovered = left
        found = propose(PLANNER, store, wanted("etcd-ca"))
    assert isinstance(found, TakenStep) is is_taken


# -- what cannot rotate -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "identifier", "sentence"),
    [
        ({"encryption": None}, ENCRYPTION_KEY, "this cluster does not encrypt Secrets"),
        (
            {"etcd": {"external": {"endpoints": ["http://10.0.1.1:2379"]}}},
            "etcd-ca",
            "this cluster has no etcd-ca CA",
        ),
        (
            {"certificates": {"authority": "offline", "caKeys": "offline"}},
            "ca",
            r"the CA keys are at the offline authority \(caKeys: offline\)",
        ),
    ],
)
def test_what_the_cluster_has_not_cannot_rotate(
    settings: dict[str, object], identifier: str, sentence: str
) -> None:
    steps.require_rotatable(inventory(), (identifier,))
    with pytest.raises((UsageError, RotationError), match=sentence):
        steps.require_rotatable(inventory(**settings), (SA, identifier))


def test_what_the_cluster_has_rotates() -> None:
    steps.require_rotatable(inventory(encryption=None), ("ca", SA))
    offline = inventory(certificates={"authority": "offline", "caKeys": "offline"})
    steps.require_rotatable(offline, (SA, ENCRYPTION_KEY))
