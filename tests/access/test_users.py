"""Declared users: what the spec takes and refuses, what is said of it, and which objects come of it."""

from __future__ import annotations

import pytest
import yaml

from pkigen.cli.app import run
from tests.access.team_cluster import UID, TeamCluster
from tests.spec.sources import loaded, problems

BASE = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {{name: t}}
spec:
  kubernetesVersion: v1.36.2
  nodes: [{{name: a, roles: [control-plane], addresses: [192.0.2.1]}}]
  {section}: [{item}]
"""
ACCOUNT = "name: bot, kind: ServiceAccount"
MAPPED = "arn: 'arn:aws:iam::111122223333:role/A', username: "


@pytest.mark.parametrize(
    ("section", "item", "said"),
    [
        ("users", "{name: a, uid: " + UID + "}", "is only for service accounts: write kind: ServiceAccount"),
        ("users", "{name: a, audiences: [x]}", "is only for service accounts"),
        ("users", "{" + ACCOUNT + "}", "namespace: is missing: a service account needs a namespace"),
        ("users", "{" + ACCOUNT + ", namespace: n, groups: [g]}", "gives service accounts their groups"),
        ("users", "{name: Bot, kind: ServiceAccount, namespace: n}", "lower-case letters"),
        (
            "users",
            "{" + ACCOUNT + ", namespace: n}, {" + ACCOUNT + ", namespace: n}",
            "is the name of an earlier",
        ),
        ("users", "{" + ACCOUNT + ", namespace: n}, {name: 'n.bot'}", "is the name of an earlier"),
        ("users", "{name: 'serviceaccount:n:bot'}", "must not begin with serviceaccount: or iam:"),
        ("users", "{name: 'iam:111122223333:role:A'}", "must not begin with serviceaccount: or iam:"),
        (
            "iam",
            "{" + MAPPED + "x}, {arn: 'arn:aws-cn:iam::111122223333:role/A', username: y}",
            "is of the partition aws-cn, unlike the first",
        ),
        (
            "users",
            "{" + ACCOUNT + ", namespace: n, credential: external}",
            "credential: is for people: a service account without a uid gets no token",
        ),
        ("groups", "{name: 'system:masters', clusterRoles: [view]}", "'system:masters' bypasses RBAC"),
        (
            "groups",
            "{name: 'system:masters', clusterRoles: [view], allowSystemIdentity: for once}",
            "'system:masters' bypasses RBAC",
        ),
        ("groups", "{name: 'system:authenticated', clusterRoles: [view]}", "which decides who is in it"),
        ("groups", "{name: 'system:unauthenticated', clusterRoles: [view]}", "which decides who is in it"),
        ("groups", "{name: 'SYSTEM:nodes', clusterRoles: [view]}", "is reserved for Kubernetes"),
        ("groups", "{name: 'kubeadm:cluster-admins', clusterRoles: [view]}", "is reserved for Kubernetes"),
        ("groups", "{name: dev}", "groups[0]: is given nothing: write clusterRoles, roles or rules"),
        (
            "groups",
            "{name: dev, clusterRoles: [view]}, {name: dev, clusterRoles: [edit]}",
            "'dev' has an entry already: write all its rights there",
        ),
        (
            "groups",
            "{name: dev, clusterRoles: [view]}, {name: Dev, clusterRoles: [edit]}",
            "'Dev' differs only in case from 'dev'",
        ),
        ("groups", "{name: dev, roles: [{namespace: n}]}", "grants nothing"),
        ("groups", "{name: dev, roles: [{namespace: n, rules: [{verbs: [get]}]}]}", "apiGroups: is missing"),
        ("users", "{name: 'system:x'}", "cannot be revoked by RBAC"),
        ("users", "{name: a, groups: ['system:masters']}", "cannot be revoked by RBAC"),
        ("iam", "{" + MAPPED + "'system:x'}", "such an identity cannot be revoked by RBAC"),
        (
            "iam",
            "{" + MAPPED + "x, groups: ['system:masters']}",
            "'system:masters' is reserved for Kubernetes",
        ),
        ("iam", "{" + MAPPED + "x}, {" + MAPPED + "y}", "is mapped already"),
        (
            "iam",
            "{" + MAPPED + "'x:{{Session}}'}",
            "'Session': AccessKeyID, AccountID, EC2PrivateDNSName, SessionName,",
        ),
        ("iam", "{" + MAPPED + "'x:{{SessionName}}', clusterRoles: [view]}", "groups: are missing"),
        ("iam", "{" + MAPPED + "x, roles: [{namespace: n}]}", "grants nothing"),
        ("iam", "{arn: 'x', username: x}", "must be the ARN of"),
        ("iam", "{arn: 'arn:amazon:iam::111122223333:role/A', username: x}", "must be the ARN"),
        (
            "iam",
            "{arn: 'arn:aws-moon:iam::111122223333:role/A', username: x}",
            "has the partition 'aws-moon'",
        ),
        ("iam", "{arn: 'arn:aws:iam::1111:role/A', username: x}", "account of twelve digits, not '1111'"),
        (
            "iam",
            "{arn: 'arn:aws:sts::111122223333:assumed-role/A/ann', username: x}",
            "write arn:aws:iam::111122223333:role/A",
        ),
        ("iam", "{arn: 'arn:aws:sts::111122223333:federated-user/A', username: x}", "must be an ARN of IAM"),
        ("iam", "{arn: 'arn:aws:iam:eu-1:111122223333:role/A', username: x}", "has no region"),
        ("iam", "{arn: 'arn:aws:iam::111122223333:group/A', username: x}", "must name a role or a user"),
        (
            "iam",
            "{arn: 'arn:aws:iam::111122223333:role/team/dev/A', username: x}",
            "has the path /team/dev/, which AWS leaves out",
        ),
    ],
)
def test_refused(section: str, item: str, said: str) -> None:
    found = problems(BASE.format(section=section, item=item))
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    "item",
    [
        "{arn: 'arn:aws-cn:iam::111122223333:role/A', username: x}",
        "{arn: 'arn:aws:iam::111122223333:user/team/A', username: x}",
        "{arn: 'arn:aws:iam::1"
        + "1" * 11
        + ":role/N', username: 'system:node:{{EC2PrivateDNSName}}', "
        + "groups: ['system:nodes'], allowSystemIdentity: the nodes of another group}",
    ],
)
def test_taken(item: str) -> None:
    assert loaded(BASE.format(section="iam", item=item)).spec.spec.iam


def test_the_summary_says_how_long_everybody_is_let_in(place: TeamCluster) -> None:
    result = place.run("init", place.spec, "-C", place.folder / "other")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in result.out.splitlines() if line}
    assert lines["dev1"] == "platform-team 168h (7 days) users/dev1.conf"
    assert lines["plain"] == "- 720h (30 days, default) users/plain.conf"
    assert lines["system:serviceaccount:web:deployer"] == "- 720h (30 days, default) users/web.deployer.conf"
    assert lines["system:serviceaccount:web:robot"] == "- 720h (30 days, default) needs its uid"


def test_a_second_run_changes_nothing(place: TeamCluster) -> None:
    assert "nothing to do" in place.run("init", place.spec, "-C", place.tree).out
    place.assert_clean()


def test_iam_users_have_bindings_by_name_or_by_group(place: TeamCluster) -> None:
    documents = [each for each in yaml.safe_load_all((place.tree / "addons/iam.yaml").read_text()) if each]
    subjects = {each["metadata"]["name"]: each["subjects"] for each in documents}
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "admins"}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}
    assert subjects == {
        "pkigen:iam:111122223333:role:Admin,clusterrole:view": [group],
        "pkigen:iam:111122223333:user:div:Bob,clusterrole:edit": [user],
    }


def test_the_program_runs(place: TeamCluster) -> None:
    assert run(["validate", str(place.spec)]) == 0
