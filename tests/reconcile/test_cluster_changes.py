"""What the running cluster is asked for: what goes, what comes, in which order, and by whose rights."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pkigen import layout
from pkigen.desired.certificates import CLUSTER_ADMINS
from pkigen.desired.generations import CA
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.items import DesiredFile
from pkigen.desired.rendering import Renderer
from pkigen.reconcile.cluster_changes import (
    MAPPING,
    MAPPINGS,
    ClusterStep,
    ClusterVerb,
    cluster_steps,
    given_until_now,
    manifests,
    mappings,
    planned_objects,
    remembered,
    unmapped,
)
from pkigen.reconcile.encrypted_data import ENCRYPTED_RESOURCE
from pkigen.reconcile.plan import Keep, Remove, Rewrite
from pkigen.spec.model import ClusterSpec
from pkigen.state.cluster_objects import ClusterObject, ObjectForm, objects
from pkigen.state.reasons import Reason
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, ENDPOINT, World, spec

if TYPE_CHECKING:
    from pkigen.reconcile.plan import Action
    from pkigen.state.cluster_objects import Held

ANN, ZED = ({"name": name, "clusterRoles": ["view"]} for name in ("ann", "zed"))
ARN = "arn:aws:iam::111122223333:role/Ops"
IAM = [{"arn": ARN, "username": "ops", "groups": ["b", "a", "b"]}]
CLUSTER = spec(CP1, CP2, users=[ANN, ZED], **ENDPOINT)
INVENTORY = derive(CLUSTER)
EMPTY = Photograph({})
FILES = {f"addons/user-{name}.yaml": name for name in ("ann", "zed")}
FORM = ObjectForm(sha256="00")


def binding(name: str) -> ClusterObject:
    return ClusterObject(kind="ClusterRoleBinding", name=f"pkigen:{name},clusterrole:view")


def steps(held: Held, inventory: Inventory = INVENTORY, tree: Photograph = EMPTY) -> list[str]:
    """The commands, without what all of them begin with."""
    found = cluster_steps(held, inventory, tree, Renderer(inventory))
    return [each.command().partition("admin.conf ")[2] for each in found]


# -- which, and in which order ------------------------------------------------------------------------------


def test_a_binding_goes_before_what_it_binds() -> None:
    kinds = ("Secret", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    held: Held = {ClusterObject(kind=kind, name="x"): frozenset({FORM}) for kind in kinds}
    held |= {
        ClusterObject(kind="Role", name="x", namespace=each): frozenset({FORM}) for each in ("web", "ci")
    }
    held |= {ClusterObject(kind="Role", name="a", namespace="web"): frozenset({FORM, None})}
    assert steps(held) == [
        f"delete {what} --ignore-not-found"
        for what in (
            "clusterrolebinding x",
            "rolebinding x",
            "clusterrole x",
            "role x",
            "role x --namespace ci",
            "role a --namespace web",
            "role x --namespace web",
            "serviceaccount x",
            "secret x",
        )
    ]


def test_what_the_cluster_can_only_lack_is_not_deleted() -> None:
    assert steps({}) == []
    assert steps({ClusterObject(kind="Role", name="x"): frozenset({None})}) == []


def test_a_binding_of_another_role_is_made_anew_and_every_other_change_is_applied() -> None:
    apply, delete = (
        "apply -f addons/user-ann.yaml",
        "delete clusterrolebinding pkigen:ann,clusterrole:view --ignore-not-found",
    )
    same = ObjectForm(sha256="00", role="ClusterRole view")
    other = ObjectForm(sha256="00", role="ClusterRole edit")
    assert steps({binding("ann"): frozenset({None})}) == [apply]
    assert steps({binding("ann"): frozenset({same})}) == [apply]
    assert steps({binding("ann"): frozenset({None, same, other})}) == [delete, apply]


def test_what_needs_no_deletion_comes_first_and_what_goes_comes_last() -> None:
    other = ObjectForm(sha256="00", role="ClusterRole edit")
    held: Held = {
        ClusterObject(kind="ClusterRole", name="old"): frozenset({FORM}),
        ClusterObject(kind=MAPPING, name=ARN.lower()): frozenset({FORM}),
        binding("ann"): frozenset({other}),
        binding("zed"): frozenset({None}),
    }
    assert [each.verb for each in cluster_steps(held, INVENTORY, EMPTY, Renderer(INVENTORY))] == [
        ClusterVerb.APPLY,
        ClusterVerb.DELETE,
        ClusterVerb.APPLY,
        ClusterVerb.MAP,
        ClusterVerb.DELETE,
    ]
    commands = steps(held)
    assert commands[0].endswith("user-zed.yaml")
    assert commands[2].endswith("user-ann.yaml")
    assert commands[4] == "delete clusterrole old --ignore-not-found"


def test_what_etcd_holds_is_written_again_last_as_far_as_it_can_be_read() -> None:
    inventory = derive(spec(CP1, encryption={"resources": ["secrets", "*.apps"]}, **ENDPOINT))
    held: Held = {
        ClusterObject(kind=ENCRYPTED_RESOURCE, name=name): frozenset({None})
        for name in ("secrets", "pods", "deployments.apps")
    }
    gone: Held = {ClusterObject(kind="Role", name="x"): frozenset({FORM})}
    found = cluster_steps(held | gone, inventory, EMPTY, Renderer(inventory))
    assert [(each.verb, each.object and each.object.name) for each in found] == [
        (ClusterVerb.DELETE, "x"),
        (ClusterVerb.WRITE, "deployments.apps"),
        (ClusterVerb.WRITE, "secrets"),
    ]
    kubectl = "kubectl --kubeconfig there/nodes/cp-1/etc/kubernetes/admin.conf"
    assert found[2].command("there") == (
        f"{kubectl} get secrets --all-namespaces -o json | {kubectl} replace -f -"
    )
    assert steps(held) == []  # nothing is encrypted there


# -- by whose rights ----------------------------------------------------------------------------------------


def used(held: Held, cluster: ClusterSpec) -> tuple[str, str | None]:
    inventory = derive(cluster)
    steps = cluster_steps(held, inventory, EMPTY, Renderer(inventory))
    ((kubeconfig, node),) = {(each.kubeconfig, each.node) for each in steps}
    return kubeconfig, node


def test_whose_binding_goes_does_not_take_it_away() -> None:
    gone: Held = {ClusterObject(kind="Role", name="x"): frozenset({FORM})}
    own: Held = {ClusterObject(kind="ClusterRoleBinding", name=CLUSTER_ADMINS): frozenset({None})}
    directory = "nodes/cp-1/etc/kubernetes"
    assert used(gone, CLUSTER) == (f"{directory}/admin.conf", None)
    assert used(gone | own, CLUSTER)[0] == f"{directory}/super-admin.conf"
    assert used(own, CLUSTER) == (f"{directory}/super-admin.conf", None)
    elsewhere = spec(CP1, CP2, users=[ANN], certificates={"nodeKeys": "node"}, **ENDPOINT)
    whole: Held = {
        binding("ann"): frozenset({None}),
        ClusterObject(kind=MAPPING, name="x"): frozenset({FORM}),
    }
    assert used(gone | whole, elsewhere) == ("/etc/kubernetes/admin.conf", "cp-1")
    foreign = {"kubernetesVersion": "v1.36.2", "controlPlaneEndpoint": "api.example:6443", "nodes": []}
    assert used(gone, ClusterSpec.model_validate({"metadata": {"name": "x"}, "spec": foreign})) == ("", None)


def test_a_command_stands_for_itself() -> None:
    step = ClusterStep(verb=ClusterVerb.APPLY, kubeconfig="admin.conf", file="addons/x.yaml")
    assert step.command() == "kubectl --kubeconfig admin.conf apply -f addons/x.yaml"
    assert step.command("/a b") == "kubectl --kubeconfig '/a b/admin.conf' apply -f '/a b/addons/x.yaml'"
    away = ClusterStep(verb=ClusterVerb.APPLY, kubeconfig="/etc/admin.conf", file="x.yaml", node="cp-1")
    assert away.command("/srv") == "kubectl --kubeconfig /etc/admin.conf apply -f /srv/x.yaml"
    merge = ClusterStep(verb=ClusterVerb.MAP, kubeconfig="")
    for root, place in (("", "."), ("/srv", "/srv")):
        assert merge.command(root) == (
            "kubectl get configmap aws-auth --namespace kube-system -o yaml | "
            f"pkigen access iam --current - --config-map -C {place} | kubectl apply -f -"
        )


# -- mappings of AWS IAM ------------------------------------------------------------------------------------


def test_a_mapping_is_one_object_by_its_arn() -> None:
    text = mappings(spec(CP1, iam=IAM))
    assert list(objects(text)) == [ClusterObject(kind=MAPPING, name=ARN.lower())]
    (document,) = (json.loads(each) for each in text.decode().split("---\n") if each)
    assert (document["username"], document["groups"]) == ("ops", ["a", "b"])
    assert mappings(CLUSTER) == b""
    tree = Photograph({"addons/x.yaml": b"x"})
    paths = (MAPPINGS, "addons/x.yaml", "addons/y.yaml")
    assert manifests(paths, tree, derive(spec(CP1, iam=IAM))) == {
        MAPPINGS: text,
        "addons/x.yaml": b"x",
        "addons/y.yaml": None,
    }


def test_what_the_config_map_may_still_map() -> None:
    lines = [
        {"event": "superseded", "kind": kind, "name": name, "held": ["absent"]}
        for kind, name in ((MAPPING, ARN.lower()), (MAPPING, "arn:gone"), ("Role", "arn:role"))
    ]
    ledger = "".join(f"{json.dumps(each)}\n" for each in lines).encode()
    tree = Photograph({layout.LEDGER_FILE: ledger})
    assert [each.name for each in remembered(tree)] == [ARN.lower(), "arn:gone", "arn:role"]
    assert unmapped(tree, spec(CP1, iam=IAM)) == {"arn:gone"}
    assert unmapped(tree, CLUSTER) == {"arn:gone", ARN.lower()}


# -- what a plan changes ------------------------------------------------------------------------------------


def rewrite(*paths: str) -> Action:
    return Rewrite(id=paths[0], paths=paths, node=None, reason=Reason.CONTENT_CHANGED)


def test_what_a_plan_leaves_the_cluster_with() -> None:
    renderer = Renderer(INVENTORY)
    path = "addons/user-ann.yaml"
    before = Renderer(derive(spec(CP1, users=[{"name": "ann", "clusterRoles": ["edit"]}])))
    (old,) = (data for each, data in before.addons(before._cluster) if each == path)  # noqa: SLF001

    def held(given: dict[str, tuple[bytes, ...]]) -> list[str]:
        found = planned_objects(given, (rewrite(path),), INVENTORY, EMPTY, renderer)
        return [each.name.rpartition(":")[2] for each in found]

    assert held({}) == []
    assert held({path: (old,)}) == ["edit", "view"]
    assert held({"addons/user-gone.yaml": (old,)}) == ["edit"]
    assert held({MAPPINGS: (mappings(spec(CP1, iam=IAM)),)}) == ["role/ops"]


def test_mappings_that_stay_are_no_change() -> None:
    inventory = derive(spec(CP1, iam=IAM))
    given = {MAPPINGS: (mappings(inventory.cluster),)}
    assert planned_objects(given, (), inventory, EMPTY, Renderer(inventory)) == {}


def test_what_is_not_pkigens_to_write_is_what_lies_there() -> None:
    inventory = derive(spec(CP1, users=[ANN], manage=["manifests", "kubelet"]))
    path = "addons/cluster-admins.yaml"
    theirs = Photograph({path: manifest("zed")})
    own = ClusterObject(kind="ClusterRoleBinding", name=CLUSTER_ADMINS)
    held: Held = {own: frozenset({FORM}), binding("zed"): frozenset({FORM})}
    found = cluster_steps(held, inventory, theirs, Renderer(inventory))
    assert [each.file for each in found] == [path, None]
    assert [each.object for each in found] == [None, own]


def test_a_trust_bundle_that_stays_is_what_lies_there() -> None:
    items = tuple(
        replace(item, trust=CA.KUBERNETES) if isinstance(item, DesiredFile) and item.path in FILES else item
        for item in INVENTORY.items
    )
    inventory = replace(INVENTORY, items=items)
    ann, zed = FILES
    tree = Photograph({ann: manifest("there"), zed: manifest("there")})

    def held(path: str, name: str) -> set[ClusterObject]:
        given = {path: (manifest(name),)}
        return set(planned_objects(given, (rewrite(ann),), inventory, tree, Renderer(inventory)))

    assert held(ann, "ann") == {binding("ann")}
    assert held(zed, "zed") == {binding("zed"), binding("there")}


def manifest(name: str) -> bytes:
    return f"kind: ClusterRoleBinding\nmetadata: {{name: '{binding(name).name}'}}\n".encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Photograph:
    world = World(
        root=tmp_path_factory.mktemp("cluster") / "prod", cluster=spec(CP1, users=[ANN, ZED], iam=IAM)
    )
    world.apply()
    return Photograph.of(world.root)


def test_what_the_cluster_may_have_been_given(made: Photograph) -> None:
    """What lies there, and what the last spec asked for, of the addons that change alone."""
    ann, zed = FILES

    def given(tree: Photograph, *actions: Action, **settings: Any) -> dict[str, tuple[bytes, ...]]:
        inventory = derive(spec(CP1, **{"users": [ANN, ZED], "iam": IAM, **settings}))
        return given_until_now(actions, tree, Renderer(inventory), inventory)

    edited = made.but(**{ann: b"edited"})
    assert given(made) == {}
    assert given(made, Keep(id=ann, paths=(ann,), node=None, reason=None)) == {}
    assert given(made, rewrite("nodes/cp-1/x")) == {}
    assert given(made, rewrite(ann, "pki/ca.crt")) == {ann: (made.files[ann],)}
    assert given(edited, rewrite(ann)) == {ann: (b"edited",)}
    # Another spec: what it asked for before counts beside what lies there.
    found = given(edited, Remove(id=ann, paths=(ann,), node=None, reason=Reason.CONTENT_CHANGED), users=[ZED])
    assert found[ann] == (b"edited", made.files[ann])
    assert found[zed] == (made.files[zed],)
    assert MAPPINGS not in found
    lost = Photograph({path: data for path, data in made.files.items() if path != ann})
    assert given(lost, rewrite(ann))[ann] == (made.files[ann],)
    assert given(made, iam=[])[MAPPINGS] == (mappings(spec(CP1, iam=IAM)),)


def test_what_an_older_pkigen_asked_for_or_never_wrote_is_not_made_up(made: Photograph) -> None:
    ann, zed = FILES
    inventory = derive(spec(CP1, users=[ANN]))

    def given(lock: dict[str, Any]) -> dict[str, tuple[bytes, ...]]:
        tree = made.but(**{layout.LOCK_FILE: json.dumps(lock).encode()})
        return given_until_now((rewrite(ann),), tree, Renderer(inventory), inventory)

    lock = json.loads(made.files[layout.LOCK_FILE])
    assert given(lock).keys() >= {ann, zed, MAPPINGS}
    del lock["files"][zed]
    assert zed not in given(lock)
    lock["spec"]["spec"]["unheardOf"] = True
    assert given(lock) == {ann: (made.files[ann],)}


def test_where_a_cluster_is_only_being_made_nothing_was_given(made: Photograph) -> None:
    ann, zed = FILES
    inventory = derive(spec(CP1, users=[ANN, ZED]))
    actions = (rewrite(ann), rewrite(zed))
    assert given_until_now(actions, EMPTY, Renderer(inventory), inventory) == {}
    one = Photograph({ann: made.files[ann]})
    found = given_until_now(actions, one, Renderer(inventory), inventory)
    assert found == {ann: (made.files[ann],), zed: ()}
