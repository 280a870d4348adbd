"""What changes of people's rights is told as commands for the cluster, and remembered until it was done."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from pkigen.desired.inventory import derive
from pkigen.reconcile.planner import Planner
from pkigen.store import Store
from tests.cli.program import DAY, HOME, InProcess, MadeTrees, Result
from tests.spec.sources import loaded

if TYPE_CHECKING:
    from pathlib import Path

NODES = HOME.partition("  users:\n")[0]
VIEW = "  users: [{name: ann, clusterRoles: [view]}]\n"
EDIT = VIEW.replace("view", "edit")
OLD, NEW = (
    f"delete clusterrolebinding pkigen:ann,clusterrole:{role} --ignore-not-found" for role in ("view", "edit")
)


class Place:
    """A cluster whose spec changes again and again."""

    def __init__(self, pkigen: InProcess, folder: Path) -> None:
        self.pkigen, self.folder, self.tree = pkigen, folder, folder / "tree"

    def init(self, users: str) -> None:
        self.write(users)
        assert self.pkigen("init", self.folder / "spec.yaml", "-C", self.tree).code == 0

    def run(self, *arguments: object) -> Result:
        return self.pkigen(*arguments, "-C", self.tree)

    def apply(self, users: str, *arguments: object) -> Result:
        self.write(users)
        self.pkigen.now += DAY / 24
        result = self.run("apply", self.folder / "spec.yaml", "--yes", *arguments)
        assert result.code == 0, result.err
        return result

    def told(self) -> None:
        assert self.run("access", "applied", "--yes").code == 0

    def write(self, users: str) -> str:
        text = NODES + users
        (self.folder / "spec.yaml").write_text(text)
        return text

    def commands(self, text: str, conf: str = "admin.conf") -> list[str]:
        """The kubectl lines of a text, without their beginning; all of them have the same."""
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith("kubectl ")]
        start = f"kubectl --kubeconfig {self.tree}/nodes/cp-1/etc/kubernetes/{conf} "
        assert all(line.startswith(start) for line in lines), lines
        return [line.removeprefix(start) for line in lines]

    def apply_line(self, name: str = "user-ann") -> str:
        return f"apply -f {self.tree}/addons/{name}.yaml"


@pytest.fixture
def place(made_trees: MadeTrees, pkigen: InProcess, tmp_path: Path) -> Place:
    found = Place(pkigen, tmp_path)
    text = found.write(VIEW)
    made_trees.copy(text, found.tree)
    return found


def test_a_changed_right_is_told_everywhere_until_it_was_done(place: Place, tmp_path: Path) -> None:
    wanted = [place.apply_line(), OLD]
    assert place.commands(place.run("plan", "-C", place.tree).out) == []
    done = place.apply(EDIT, "--runbook", tmp_path / "book")
    assert place.commands(done.out) == wanted
    place.pkigen.now += 40 * DAY
    assert place.run("apply", "--yes").code == 0  # certificates that are due: the reminder stays
    change = min(place.tree.glob(".pkigen/backups/*")).name
    for command in (("plan",), ("apply", "--yes"), ("show", change), ("status",)):
        assert place.commands(place.run(*command).out) == wanted, command
    for name in ("restart.txt", "cluster.sh"):
        assert place.commands((tmp_path / "book" / name).read_text()) == wanted
    rescue = place.run("rescue", "--yes").out
    assert all(command in rescue for command in wanted)
    rotated = place.run("rotate", "ca", "kubernetes", "--yes", "--runbook", tmp_path / "turn")
    assert place.commands(rotated.out) == wanted
    assert place.run("rotate", "ca", "kubernetes", "--phase", "rollback", "--yes").code == 0
    assert all(command in (tmp_path / "turn/rotation.txt").read_text() for command in wanted)
    task = place.run("next", "-o", "json")
    assert (task.code, task.json["task"]["kind"]) == (3, "addons")
    assert task.json["task"]["command"] == f"pkigen access applied -C {place.tree}"

    place.told()
    assert place.run("next", "-o", "json").json["task"]["kind"] == "distribute"
    for command in (("plan",), ("apply", "--yes"), ("status",)):
        assert place.commands(place.run(*command).out) == [], command
    assert "nothing to do\n" in place.run("apply", "--yes").out
    assert place.run("verify").code == 0


def test_what_a_change_asked_for_can_be_read_again_when_it_was_done(place: Place) -> None:
    place.apply(EDIT)
    assert "it was told" not in place.run("show").out
    place.told()
    shown = place.run("show").out
    assert place.commands(shown) == [place.apply_line(), OLD]
    assert "it was told that this is done" in shown
    assert [each["action"] for each in place.run("show", "-o", "json").json["inCluster"]] == [
        "apply",
        "delete",
    ]


def test_what_was_never_said_to_be_applied_may_be_there(place: Place) -> None:
    place.apply(EDIT)
    # Nobody knows whether the commands were run: both bindings may be there.
    assert place.commands(place.apply("").out) == [NEW, OLD]
    place.told()
    place.apply(VIEW)
    assert place.commands(place.apply("").out) == [OLD]


def test_back_and_forth_is_no_reason_to_forget(place: Place) -> None:
    place.apply(EDIT)
    back = place.apply(VIEW)
    assert place.commands(back.out) == [place.apply_line(), NEW]
    place.told()
    assert place.run("next", "-o", "json").json["task"]["kind"] == "distribute"


def test_a_rollback_is_the_reverse(place: Place, tmp_path: Path) -> None:
    place.apply(EDIT)
    place.told()
    place.pkigen.now += DAY
    assert place.run("rollback", "--yes", "--runbook", tmp_path / "book").code == 0
    wanted = [place.apply_line(), NEW]
    assert place.commands(place.run("status").out) == wanted
    assert place.commands((tmp_path / "book/cluster.sh").read_text()) == wanted
    place.pkigen.now += DAY
    assert place.commands(place.run("rollback", "--yes").out) == [place.apply_line(), OLD]


def test_everybody_who_goes(place: Place) -> None:
    rights = """\
  users:
    - name: dev 1
      roles:
        - {namespace: web, role: deployer}
        - {namespace: web, rules: [{apiGroups: [""], verbs: [get], resources: [pods]}]}
    - {name: bot, kind: ServiceAccount, namespace: ci, clusterRoles: [view]}
  groups:
    - {name: team, rules: [{apiGroups: [""], verbs: [get], resources: [nodes]}]}
  iam:
    - {arn: "arn:aws:iam::111122223333:role/Ops", username: ops, clusterRoles: [edit]}
"""
    place.apply(rights)
    place.told()
    # Bindings before roles, and both before the account: the first command takes the right.
    mapped, *deletions = place.commands(place.apply("").out)
    kubectl = f"kubectl --kubeconfig {place.tree}/nodes/cp-1/etc/kubernetes/admin.conf"
    assert mapped == (
        "get configmap aws-auth --namespace kube-system -o yaml | "
        f"pkigen access iam --current - --config-map -C {place.tree} | {kubectl} apply -f -"
    )
    assert deletions == [
        f"delete {each} --ignore-not-found"
        for each in (
            "clusterrolebinding pkigen:group:team",
            "clusterrolebinding pkigen:iam:111122223333:role:Ops,clusterrole:edit",
            "clusterrolebinding pkigen:serviceaccount:ci:bot,clusterrole:view",
            "rolebinding pkigen:dev=201 --namespace web",
            "rolebinding pkigen:dev=201,role:deployer --namespace web",
            "clusterrole pkigen:group:team",
            "role pkigen:dev=201 --namespace web",
            "serviceaccount bot --namespace ci",
        )
    ]


def test_somebody_who_is_renamed_has_the_new_right_first(place: Place) -> None:
    assert place.commands(place.apply(VIEW.replace("ann", "anna")).out) == [
        place.apply_line("user-anna"),
        OLD,
    ]


def test_fewer_rules_need_no_deletion(place: Place) -> None:
    rules = "  users: [{name: ann, rules: [{apiGroups: [''], verbs: [get, list], resources: [nodes]}]}]\n"
    place.apply(rules)
    place.told()
    assert place.commands(place.apply(rules.replace(", list", "")).out) == [place.apply_line()]


def test_a_file_that_was_deleted_by_hand_hides_nothing(place: Place) -> None:
    (place.tree / "addons/user-ann.yaml").unlink()
    assert place.commands(place.apply("").out) == [OLD]


def test_a_file_that_was_edited_by_hand_hides_nothing(place: Place) -> None:
    file = place.tree / "addons/user-ann.yaml"
    file.write_text(file.read_text().replace("clusterrole:view", "clusterrole:mine"))
    assert place.commands(place.apply("").out) == [OLD.replace("clusterrole:view", f"clusterrole:{each}")
                                                   for each in ("mine", "view")]  # fmt: skip


def test_a_file_that_is_restored_asks_for_nothing(place: Place) -> None:
    (place.tree / "addons/user-ann.yaml").unlink()
    assert place.commands(place.apply(VIEW).out) == []
    (place.tree / "addons/user-ann.yaml").chmod(0o600)
    assert place.commands(place.apply(VIEW).out) == []


def test_a_first_run_has_nothing_to_remember(pkigen: InProcess, tmp_path: Path) -> None:
    fresh = Place(pkigen, tmp_path)
    fresh.init(VIEW)
    assert fresh.run("next", "-o", "json").json["task"]["kind"] == "distribute"
    assert "superseded" not in (fresh.tree / ".pkigen/ledger.jsonl").read_text()


def test_a_binding_to_another_role_is_made_anew(place: Place, tmp_path: Path) -> None:
    """A roleRef cannot be changed (`ValidateRoleBindingUpdate`), and admin.conf must not cut itself off."""
    folder = tmp_path / "templates/addons"
    folder.mkdir(parents=True)
    (folder / "cluster-admins.yaml.j2").write_text(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n"
        "metadata: {name: '{{ group }}'}\n"
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admins}\n"
        "subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: '{{ group }}'}]\n"
    )
    done = place.apply(EDIT, "--templates", tmp_path / "templates")
    assert place.commands(done.out, "super-admin.conf") == [
        place.apply_line(),
        "delete clusterrolebinding kubeadm:cluster-admins --ignore-not-found",
        place.apply_line("cluster-admins"),
        OLD,
    ]


def test_where_the_key_is_on_the_node_alone(pkigen: InProcess, tmp_path: Path) -> None:
    made = Place(pkigen, tmp_path)
    own = "  certificates: {nodeKeys: node}\n"
    made.init(own + VIEW)
    result = made.apply(own + "  users: []\n")
    assert f"  kubectl --kubeconfig /etc/kubernetes/admin.conf {OLD}\n" in result.out
    assert "on cp-1, which alone has the key" in result.out


def test_an_addon_that_goes(pkigen: InProcess, tmp_path: Path) -> None:
    made = Place(pkigen, tmp_path)
    made.init("")
    result = made.apply("  kubelet: {rotateCertificates: false}\n")
    assert made.commands(result.out) == [
        "delete clusterrolebinding kubeadm:node-autoapprove-certificate-rotation --ignore-not-found"
    ]


def test_addons_that_become_somebody_elses_stay(place: Place) -> None:
    assert place.commands(place.apply("  manage: [manifests, kubelet]\n" + VIEW).out) == []


def test_a_saved_plan_is_not_outdated_by_what_was_told(place: Place, tmp_path: Path) -> None:
    place.apply(EDIT)
    (tmp_path / "spec.yaml").write_text(NODES + VIEW)
    saved = tmp_path / "saved.json"
    assert place.run("plan", tmp_path / "spec.yaml", "--save", saved).code == 0
    assert len(json.loads(saved.read_text())["inCluster"]) == 2
    shown = place.run("show", saved).out
    assert "in the cluster, in this order, from the PKI directory:" in shown
    assert "  kubectl --kubeconfig nodes/cp-1/etc/kubernetes/admin.conf apply -f addons/" in shown
    place.told()
    assert place.run("apply", tmp_path / "spec.yaml", saved, "--yes").code == 0


def test_only_who_agrees_is_believed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.apply(EDIT)
    ledger = place.tree / ".pkigen/ledger.jsonl"
    before = ledger.read_bytes()
    for answer, said in (("n\n", "not recorded"), ("", "no answer")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        result = place.run("access", "applied")
        assert (result.code, place.commands(result.out)) == (1, [place.apply_line(), OLD])
        assert said in result.error
    assert ledger.read_bytes() == before
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    result = place.run("access", "applied")
    assert (result.code, "recorded: " in result.out) == (0, True)
    last = json.loads(ledger.read_text().splitlines()[-1])
    assert last["event"] == "applied"
    assert last["objects"] == [
        "ClusterRoleBinding pkigen:ann,clusterrole:view",
        "ClusterRoleBinding pkigen:ann,clusterrole:edit",
    ]
    again = place.run("access", "applied", "-o", "json")
    assert (again.code, again.json["objects"], again.json["inCluster"]) == (0, [], [])
    assert place.run("verify").code == 0


def test_the_commands_as_documents(place: Place) -> None:
    done = place.apply(EDIT, "-o", "json").json
    (given, taken) = done["inCluster"]
    assert given["command"] == (
        "kubectl --kubeconfig nodes/cp-1/etc/kubernetes/admin.conf apply -f addons/user-ann.yaml"
    )
    assert (taken["kind"], taken["name"], taken["namespace"]) == (
        "ClusterRoleBinding",
        "pkigen:ann,clusterrole:view",
        None,
    )
    for command in (("plan",), ("status",)):
        assert place.run(*command, "-o", "json").json["inCluster"] == done["inCluster"]
    assert given["command"] in place.run("plan", "-o", "markdown").out


def test_the_spec_that_is_edited_already_does_not_count_yet(place: Place) -> None:
    place.apply(EDIT)
    cluster = place.tree / "cluster.yaml"
    cluster.write_text(NODES)
    # Only what `apply` has done is a matter of the cluster.
    assert place.commands(place.run("status").out) == [place.apply_line(), OLD]
    assert place.commands(place.run("access", "applied", "--yes").out) == [place.apply_line(), OLD]


def test_what_is_left_to_do_is_that_of_the_spec_which_was_carried_out(place: Place) -> None:
    """Whichever spec somebody has by now: those for the administrator's key and the manifests are others'."""
    place.apply(EDIT)
    with Store.open_reading(place.tree) as store:
        asked, other = (
            Planner.of(derive(loaded(NODES + more).spec), now=place.pkigen.now)
            for more in (EDIT, "  manage: []\n")
        )
        assert other.in_cluster(store) == asked.in_cluster(store) != ()
        # Without a lock file nobody knows that spec, and what is asked for now has to do.
        (place.tree / "pki.lock").unlink()
        assert asked.in_cluster(store) != ()


def test_a_mapping_that_is_given_up_is_not_taken_for_somebody_elses(place: Place) -> None:
    role = "arn:aws:iam::111122223333:role/"
    place.apply(f"  iam: [{{arn: '{role}Ops', username: ops, groups: [ops]}}]\n")
    place.told()
    assert place.run("access", "iam", "--config-map").out.count("Ops") == 1
    current = place.folder / "current.yaml"
    listed = "".join(
        f"    - {{rolearn: '{role}{name}', username: {name}, groups: [ops]}}\n" for name in ("Ops", "Other")
    )
    current.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\n"
        f"data:\n  mapRoles: |\n{listed}"
    )
    done = place.apply("")
    assert len(place.commands(done.out)) == 1
    made = place.run("access", "iam", "--current", current, "--config-map")
    assert f"{role}Ops was taken out of the spec and is removed" in made.err
    assert (f"{role}Ops" in made.out, f"{role}Other" in made.out) == (False, True)
    place.told()
    # From then on it is somebody else's, if it comes again.
    place.apply(f"  iam: [{{arn: '{role}Third', username: third}}]\n")
    assert f"{role}Ops" in place.run("access", "iam", "--current", current, "--config-map").out
    empty = place.folder / "empty.yaml"
    empty.write_text("")
    assert "is empty: kubectl has failed" in place.run("access", "iam", "--current", empty).error


def test_a_mapping_that_changes(place: Place) -> None:
    mapping = "  iam: [{{arn: 'arn:aws:iam::111122223333:role/Ops', username: ops, groups: [{}]}}]\n"
    place.apply(mapping.format("a, b"))
    place.told()
    assert place.commands(place.apply(mapping.format("b, a")).out) == []
    assert len(place.commands(place.apply(mapping.format("b")).out)) == 1
    place.pkigen.now += DAY
    assert len(place.commands(place.run("show").out)) == 1
    place.told()
    assert len(place.commands(place.run("rollback", "--yes").out)) == 1


# -- what etcd holds ----------------------------------------------------------------------------------------


def test_what_another_key_or_cipher_encrypts_is_written_again_and_only_after_the_restarts(
    place: Place, tmp_path: Path
) -> None:
    """What was not written again is in clear text, or lost with the key that `finish` removes."""
    conf = f"kubectl --kubeconfig {place.tree}/nodes/cp-1/etc/kubernetes/admin.conf"
    command = f"get secrets --all-namespaces -o json | {conf} replace -f -"
    waits = "# only once every API server has restarted with the new encryption configuration:"
    encrypted = f"{VIEW}  encryption: {{}}\n"
    place.write(encrypted)
    shown = place.run("plan", place.folder / "spec.yaml")
    assert place.commands(shown.out) == [command]
    assert waits in place.run("plan", place.folder / "spec.yaml", "-o", "markdown").out
    done = place.apply(encrypted, "--runbook", tmp_path / "book")
    assert place.commands(done.out) == [command]
    lines = done.out.splitlines()
    assert lines[lines.index(f"  {waits}") + 1].endswith("replace -f -")
    script = (tmp_path / "book/cluster.sh").read_text()
    assert f"{waits}\n{conf} {command}\n" in script
    assert place.commands(place.run("show").out) == [command]
    assert "etcd may still hold secrets" in place.run("next").out
    place.told()
    assert place.commands(place.run("status").out) == []
    expected = {"prepare": [], "promote": [command], "rollback": [command], "finish": []}
    for phase in ("prepare", "promote", "rollback", "promote", "finish"):
        place.pkigen.now += DAY / 24
        vouched = () if phase in {"prepare", "rollback"} else ("--assume-distributed",)
        taken = place.run("rotate", "encryption-key", "--phase", phase, "--yes", *vouched)
        assert taken.code == 0, taken.err
        assert (phase, place.commands(taken.out)) == (phase, expected[phase])
        assert ("1 resource to write again in etcd" in taken.out) is bool(expected[phase])
        place.told()
