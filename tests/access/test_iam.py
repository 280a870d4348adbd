"""The ConfigMap aws-auth: people as the spec has them, nodes as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster


def documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document]


# -- IAM ---------------------------------------------------------------------------------------------------

CURRENT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: aws-auth, namespace: kube-system, resourceVersion: "7"}
data:
  mapRoles: |
    - rolearn: arn:aws:iam::111122223333:role/nodes
      username: system:node:{{EC2PrivateDNSName}}
      groups: [system:bootstrappers, system:nodes]
    - rolearn: arn:aws:iam::111122223333:role/fargate
      username: system:node:{{SessionName}}
      groups: [system:bootstrappers, system:nodes, system:node-proxier]
    - rolearn: arn:aws:iam::111122223333:role/windows
      username: system:node:{{EC2PrivateDNSName}}
      groups: [eks:kube-proxy-windows, system:bootstrappers, system:nodes]
    - rolearn: arn:aws:iam::111122223333:role/old
      username: old
    - {username: nobody}
    - rolearn: arn:aws:iam::111122223333:role/Admin
      username: somebody
  mapAccounts: |
    - "111122223333"
"""


def test_node_mappings_are_kept_and_people_are_the_specs(place: TeamCluster) -> None:
    path = place.write("current.yaml", CURRENT)
    result = place.run("access", "iam", place.spec, "--current", path, "--config-map")
    assert result.code == 0, result.err
    (made,) = documents(result.out)
    assert made["metadata"] == {"name": "aws-auth", "namespace": "kube-system"}
    roles = yaml.safe_load(made["data"]["mapRoles"])
    present = yaml.safe_load(yaml.safe_load(CURRENT)["data"]["mapRoles"])
    assert roles == [
        *(entry for entry in present if entry.get("rolearn") and not entry["rolearn"].endswith("/Admin")),
        {
            "rolearn": "arn:aws:iam::111122223333:role/Admin",
            "username": "admin:{{SessionName}}",
            "groups": ["admins"],
        },
    ]
    assert yaml.safe_load(made["data"]["mapUsers"]) == [
        {"userarn": "arn:aws:iam::111122223333:user/div/Bob", "username": "bob"}
    ]
    assert yaml.safe_load(made["data"]["mapAccounts"]) == ["111122223333"]
    for said in (
        "role/old is not in the spec: it is kept; --prune removes it",
        "an entry without ARN is not in the spec and is removed",
        "mapAccounts is kept",
    ):
        assert said in result.err


def test_others_go_where_somebody_asks(place: TeamCluster) -> None:
    path = place.write("current.yaml", CURRENT)
    result = place.run("access", "iam", place.spec, "--current", path, "--config-map", "--prune")
    (made,) = documents(result.out)
    roles = [entry["rolearn"].rpartition("/")[2] for entry in yaml.safe_load(made["data"]["mapRoles"])]
    assert roles == ["nodes", "fargate", "windows", "Admin"]
    assert "role/old is not in the spec and is removed" in result.err
    alone = place.run("access", "iam", place.spec, "--prune")
    assert (alone.code, alone.error) == (2, "--prune needs the current ConfigMap")


def test_an_administrator_who_is_kept_is_named(place: TeamCluster) -> None:
    admin = {"rolearn": "arn:aws:iam::111122223333:role/ops", "username": "ops", "groups": ["system:masters"]}
    content = {
        "kind": "ConfigMap",
        "metadata": {"name": "aws-auth"},
        "data": {"mapRoles": json.dumps([admin])},
    }
    result = place.run("access", "iam", place.spec, "--current", place.write("c", json.dumps(content)))
    assert "role/ops is not in the spec, and grants every right (system:masters): it is kept" in result.err


NODE = {
    "rolearn": "arn:aws:iam::111122223333:role/nodes",
    "username": "system:node:{{EC2PrivateDNSName}}",
    "groups": ["system:bootstrappers", "system:nodes"],
}
IMPOSTORS: dict[str, dict[str, object]] = {
    "masters": NODE | {"groups": ["system:bootstrappers", "system:nodes", "system:masters"]},
    "masters alone": NODE | {"groups": ["system:masters"]},
    "another group": NODE | {"groups": ["system:bootstrappers", "system:nodes", "admins"]},
    "Windows' group and another": NODE
    | {"groups": ["system:bootstrappers", "system:nodes", "eks:kube-proxy-windows", "admins"]},
    "Fargate's groups for EC2's name": NODE
    | {"groups": ["system:bootstrappers", "system:nodes", "system:node-proxier"]},
    "one node by name": NODE | {"username": "system:node:cp-1"},
    "a name after it": NODE | {"username": "system:node:{{EC2PrivateDNSName}}x"},
    "a person in the nodes' group": NODE | {"username": "mallory"},
    "no groups": {key: value for key, value in NODE.items() if key != "groups"},
    "groups as text": NODE | {"groups": "system:nodes"},
    "groups of groups": NODE | {"groups": [["system:bootstrappers"], "system:nodes"]},
    "a key besides": NODE | {"userid": "x"},
    "a user's ARN": NODE | {"rolearn": "arn:aws:iam::111122223333:user/nodes"},
    "any role": NODE | {"rolearn": "*"},
    "a session": NODE | {"rolearn": "arn:aws:sts::111122223333:assumed-role/nodes/x"},
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_what_only_calls_itself_a_node_goes_and_is_named(place: TeamCluster, kind: str) -> None:
    """Whoever could write the ConfigMap once would stay in it for ever."""
    content = {
        "kind": "ConfigMap",
        "metadata": {"name": "aws-auth"},
        "data": {"mapRoles": json.dumps([NODE, IMPOSTORS[kind]])},
    }
    result = place.run(
        "access", "iam", place.spec, "--current", place.write("c", json.dumps(content)), "--config-map"
    )
    assert result.code == 0, result.err
    (made,) = documents(result.out)
    roles = yaml.safe_load(made["data"]["mapRoles"])
    assert roles[0] == NODE
    assert [entry["rolearn"].rpartition("/")[2] for entry in roles] == ["nodes", "Admin"]
    assert (
        f"note: {IMPOSTORS[kind]['rolearn']} calls itself a node and is not mapped as nodes are" in result.err
    )


def test_nodes_are_roles(place: TeamCluster) -> None:
    user = {"userarn": "arn:aws:iam::111122223333:user/x"} | {
        key: value for key, value in NODE.items() if key != "rolearn"
    }
    content = {
        "kind": "ConfigMap",
        "metadata": {"name": "aws-auth"},
        "data": {"mapUsers": json.dumps([user, user | {"rolearn": NODE["rolearn"]}, NODE])},
    }
    result = place.run(
        "access", "iam", place.spec, "--current", place.write("c", json.dumps(content)), "--config-map"
    )
    (made,) = documents(result.out)
    assert [entry["username"] for entry in yaml.safe_load(made["data"]["mapUsers"])] == ["bob"]


def test_one_role_is_one_role_in_whatever_case(place: TeamCluster) -> None:
    # IAM's names differ in more than case, and aws-iam-authenticator compares them in lower case.
    current = CURRENT.replace("role/Admin", "role/ADMIN")
    result = place.run("access", "iam", place.spec, "--current", place.write("c", current), "--config-map")
    (made,) = documents(result.out)
    arns = [entry["rolearn"] for entry in yaml.safe_load(made["data"]["mapRoles"])]
    names = ("nodes", "fargate", "windows", "old", "Admin")
    assert arns == [f"arn:aws:iam::111122223333:role/{name}" for name in names]
    assert "role/ADMIN is not in the spec" not in result.err


def test_the_result_as_input_changes_nothing(place: TeamCluster) -> None:
    first = place.run("access", "iam", place.spec, "--current", place.write("c", CURRENT), "--config-map").out
    again = place.run("access", "iam", "-C", place.tree, "--current", place.write("c", first), "--config-map")
    assert again.out == first


def test_without_the_present_one_the_danger_is_said(place: TeamCluster) -> None:
    result = place.run("access", "iam", place.spec)
    kinds = [document["kind"] for document in documents(result.out)]
    assert kinds == ["ConfigMap", "ClusterRoleBinding", "ClusterRoleBinding"]
    assert "applying this locks them out" in result.err


def test_the_role_of_nodes_is_not_for_people(place: TeamCluster) -> None:
    current = place.write("c", CURRENT.replace("role/nodes", "role/Admin", 1))
    result = place.run("access", "iam", place.spec, "--current", current)
    assert (result.code, result.out) == (1, "")
    assert "which is the role of nodes" in result.error
    place.replace("groups: [admins]", "groups: ['system:nodes'], allowSystemIdentity: theirs")
    assert place.run("access", "iam", place.spec, "--current", current, "--config-map").code == 0


def test_users_alone(place: TeamCluster) -> None:
    text = place.spec.read_text()
    place.spec.write_text(
        text[: text.index("    - {arn")] + text[text.index('    - {arn: "arn:aws:iam::111122223333:user') :]
    )
    (made, _) = documents(place.run("access", "iam", place.spec).out)
    assert list(made["data"]) == ["mapUsers"]


def test_mappings_without_rights_and_no_mappings(place: TeamCluster) -> None:
    text = place.spec.read_text()
    place.spec.write_text(
        text.replace(",\n       clusterRoles: [view]}", "}").replace(", clusterRoles: [edit]}", "}")
    )
    result = place.run("access", "iam", place.spec)
    assert [document["kind"] for document in documents(result.out)] == ["ConfigMap"]
    place.spec.write_text(text.partition("  iam:")[0])
    assert place.run("access", "iam", place.spec).error == "spec.iam is empty"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Secret", "is not the ConfigMap aws-auth"),
        ("kind: ConfigMap", "is not the ConfigMap aws-auth"),
        ("[]", "is not the ConfigMap aws-auth"),
        ("a: [", "is not YAML"),
        ("a: 1\na: 2", "is given twice"),
        ("kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: [a]", "its data is not a mapping"),
        (
            "kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: 7}",
            "its data is not a mapping of strings",
        ),
        (
            "kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: a}",
            "mapRoles is not a list of mappings",
        ),
        ("kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: '['}", "is not YAML"),
        (
            "kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: 'a: 1\n\n    a: 2'}",
            "is given twice",
        ),
    ],
)
def test_what_is_no_current_config_map(place: TeamCluster, text: str, said: str) -> None:
    result = place.run("access", "iam", place.spec, "--current", place.write("c", text))
    assert (result.code, result.out) == (1, "")
    assert said in result.error


def test_an_empty_config_map_and_a_big_one(place: TeamCluster) -> None:
    empty = place.write("c", "kind: ConfigMap\nmetadata: {name: aws-auth}\n")
    assert place.run("access", "iam", place.spec, "--current", empty).code == 0
    big = place.write("c", b" " * ((2 << 20) + 1))
    assert "larger than any ConfigMap" in place.run("access", "iam", place.spec, "--current", big).error
