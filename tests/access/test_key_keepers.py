"""People who keep their own key: rights without a second key, and what was signed is not forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.crypto.names import Subject, parse_subject
from tests.access.made_requests import request
from tests.cli.program import DAY, copy_of, unaddressed

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster
    from tests.cli.program import Result

SECRETS = (
    'Error from server (Forbidden): x is forbidden: User "{}" cannot {} resource "{}" in API group "" {}'
)


@pytest.fixture
def kept(place: TeamCluster) -> TeamCluster:
    place.replace(
        "    - {name: plain}\n",
        "    - {name: plain}\n"
        "    - {name: ann, credential: external, groups: [dev], namespace: web, validity: 48h,\n"
        "       clusterRoles: [edit]}\n",
    )
    place.replace(
        "  iam:\n",
        "  groups:\n"
        "    - {name: dev, clusterRoles: [view]}\n"
        "    - {name: platform-team, roles: [{namespace: web,\n"
        "       rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]}]}\n"
        "  iam:\n",
    )
    assert place.run("apply", place.spec, "-C", place.tree, "--yes").code == 0
    assert place.run("access", "applied", "-C", place.tree, "--yes").code == 0
    return place


def explained(place: TeamCluster, who: str) -> list[str]:
    result = place.run("explain", who, "-C", place.tree)
    assert result.code == 0, result.err
    return [" ".join(line.split()) for line in unaddressed(result.out).splitlines()]


def forbidden(
    place: TeamCluster, user: str, verb: str, resource: str, where: str = 'in the namespace "web"'
) -> str:
    message = SECRETS.format(user, verb, resource, where)
    result = place.run("explain", "--error", message, "-C", place.tree)
    assert result.code == 0, result.err
    return result.out


def test_rights_without_a_second_key(kept: TeamCluster) -> None:
    assert not (kept.tree / "users/ann.conf").exists()
    (binding,) = (
        each for each in yaml.safe_load_all((kept.tree / "addons/user-ann.yaml").read_text()) if each
    )
    assert binding["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]
    kept.assert_clean()
    summary = kept.run("init", kept.spec, "-C", kept.folder / "other").out
    assert " ".join(next(line for line in summary.splitlines() if line.startswith("ann ")).split()) == (
        "ann dev 48h (2 days) keeps their own key"
    )


def test_what_a_group_is_bound_to(kept: TeamCluster) -> None:
    documents = list(
        filter(None, yaml.safe_load_all((kept.tree / "addons/group-platform-team.yaml").read_text()))
    )
    assert [(each["kind"], each["metadata"]["name"]) for each in documents] == [
        ("Role", "pkigen:group:platform-team"),
        ("RoleBinding", "pkigen:group:platform-team"),
    ]
    assert documents[1]["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "platform-team"}
    ]
    assert {each["metadata"]["labels"]["app.kubernetes.io/managed-by"] for each in documents} == {"pkigen"}


def test_who_kept_a_kubeconfig_until_now_loses_it(kept: TeamCluster) -> None:
    kept.replace("{name: plain}", "{name: plain, credential: external}")
    planned = kept.run("plan", kept.spec, "-C", kept.tree, "--full").out
    assert "- remove users/plain.conf (not-wanted)" in planned
    assert "client certificates of plain work until" in planned
    assert "in the cluster" not in planned, "no right changes by that"


def test_signed_certificates_are_in_the_status(kept: TeamCluster) -> None:
    assert kept.run("status", "-C", kept.tree, "-o", "json").json["signed"] == []
    assert "keep" not in kept.run("status", "-C", kept.tree).out
    kept.sign(request())
    kept.sign(request(), "--group", "ops", "--validity", "24h", user="joe, the other")
    first, second = kept.run("status", "-C", kept.tree, "-o", "json").json["signed"]
    assert (first["user"], first["groups"], first["expires"]) == ("ann", ["dev"], "2026-11-24T03:00:00Z")
    assert (second["user"], second["groups"], second["signedBy"]) == ("joe, the other", ["ops"], "pkigen")
    text = kept.run("status", "-C", kept.tree).out
    assert "ann             dev     2026-11-24 03:00  2d" in text
    assert (
        'pkigen_signed_not_after{cluster="team"'
        in kept.run("status", "-C", kept.tree, "-o", "prometheus").out
    )
    kept.at(kept.pkigen.now + 3 * DAY)
    assert kept.run("status", "-C", kept.tree, "-o", "json").json["signed"] == []


def test_who_keeps_a_key_is_explained(kept: TeamCluster) -> None:
    before = explained(kept, "ann")
    assert before[0] == "ann: a person who keeps a key of their own (credential: external)"
    assert any(
        "certificate: none on record: `pkigen access sign --csr FILE --user ann`" in line for line in before
    )
    kept.sign(request(), "--group", "dev", "--group", "platform-team")
    lines = explained(kept, "user:ann")
    assert any(
        line.startswith("certificate: CN=ann,O=dev,O=platform-team, until 2026-11-24 03:00") for line in lines
    )
    name, addon = "pkigen:group:platform-team", "addons/group-platform-team.yaml"
    assert [line for line in lines if line.startswith("permissions:")] == [
        "permissions: ClusterRole edit in the whole cluster (addons/user-ann.yaml)",
        "permissions: ClusterRole view in the whole cluster (addons/group-dev.yaml), by the group dev",
        f"permissions: Role {name} in the namespace web ({addon}), by the group platform-team",
    ]
    assert lines[-1] == "note: the spec gives the groups dev: the next certificate has them"


def test_who_is_in_no_spec_is_explained_by_the_certificate(kept: TeamCluster) -> None:
    kept.sign(request(), "--group", "dev", user="joe")
    lines = explained(kept, "joe")
    assert lines[0] == "joe: somebody who keeps a key of their own, and is not in spec.users"
    assert (
        "permissions: ClusterRole view in the whole cluster (addons/group-dev.yaml), by the group dev"
        in lines
    )
    assert "signed for: joe" in explained(kept, "dev")
    assert "in this spec: ann" in explained(kept, "dev")
    kept.at(kept.pkigen.now + 40 * DAY)
    assert kept.run("explain", "joe", "-C", kept.tree).code == 2


def test_groups_of_issued_certificates_count_too(kept: TeamCluster) -> None:
    right = "permissions: Role pkigen:group:platform-team in the namespace web"
    assert any(line.startswith(right) for line in explained(kept, "dev1"))
    assert any(line.startswith(right) for line in explained(kept, str(kept.tree / "users/dev1.conf")))


def test_forbidden_to_somebody_who_keeps_a_key(kept: TeamCluster) -> None:
    assert "next: `kubectl apply -f addons/user-ann.yaml`" in forbidden(kept, "ann", "create", "pods")
    assert "`kubectl apply -f addons/group-dev.yaml`" not in forbidden(
        kept, "ann", "get", "nodes", "at the cluster scope"
    )
    said = forbidden(kept, "dev1", "get", "secrets")
    assert "the spec grants this permission to the group platform-team" in said
    assert "next: `kubectl apply -f addons/group-platform-team.yaml`" in said


def test_forbidden_to_somebody_whose_key_was_certified(kept: TeamCluster) -> None:
    assert "joe is not in spec.users" in forbidden(kept, "joe", "get", "secrets")
    assert "certificate" not in forbidden(kept, "joe", "get", "secrets")
    kept.sign(request(), "--group", "dev", user="joe")
    said = forbidden(kept, "joe", "get", "secrets")
    assert "a certificate for a key of their own was signed for joe, until 2026-12-22 03:00 UTC" in said
    line = next(line for line in said.splitlines() if line.startswith("  {"))
    # The line is one that the spec takes.
    kept.replace("    - {name: plain}\n", f"    - {{name: plain}}\n    - {line.strip()}\n")
    assert kept.run("apply", kept.spec, "-C", kept.tree, "--yes").code == 0
    assert not (kept.tree / "users/joe.conf").exists()
    assert "next: `kubectl apply -f addons/user-joe.yaml`" in forbidden(kept, "joe", "get", "secrets")
    assert "`kubectl apply -f addons/group-dev.yaml`" in forbidden(kept, "joe", "list", "pods")


def _through_the_cluster(kept: TeamCluster) -> Result:
    """A certificate as the cluster signs it: of the same CA, and pkigen does not know of it."""
    other = copy_of(kept.tree, kept.folder / "signer")
    signed = kept.run(
        "access", "sign", "--csr", kept.write("joe.csr", request()), "--user", "joe", "--group", "ops",
        "--out", kept.folder / "joe.crt", "-C", other,
    )  # fmt: skip
    assert signed.code == 0, signed.err
    return kept.run("access", "user", "kubeconfig", "--certificate", kept.folder / "joe.crt", "-C", kept.tree)


def test_what_the_cluster_has_signed_is_on_record_once_pkigen_sees_it(kept: TeamCluster) -> None:
    result = _through_the_cluster(kept)
    assert (result.code, "on record" in result.err) == (0, True)
    (found,) = kept.run("status", "-C", kept.tree, "-o", "json").json["signed"]
    assert (found["user"], found["groups"], found["signedBy"]) == ("joe", ["ops"], "cluster")
    assert any("signed by the cluster" in line for line in explained(kept, "joe"))
    count = len(kept.ledger())
    again = kept.run(
        "access", "user", "kubeconfig", "--certificate", kept.folder / "joe.crt", "-C", kept.tree
    )
    assert (again.code, "on record" in again.err, len(kept.ledger())) == (0, False, count)
    kept.assert_clean()


def test_without_a_record_the_kubeconfig_is_made_all_the_same(kept: TeamCluster) -> None:
    assert _through_the_cluster(kept).code == 0
    (kept.tree / "pki.lock").write_text("{}")
    place = ("--certificate", kept.folder / "joe.crt", kept.spec, "-C", kept.tree)
    (kept.tree / ".pkigen/ledger.jsonl").write_bytes(b"")
    result = kept.run("access", "user", "kubeconfig", *place)
    assert (result.code, "will not show this certificate" in result.err) == (0, True)


@pytest.mark.parametrize(
    "subject",
    [
        Subject(common_name="ann"),
        Subject(common_name="a,O=b\\", organizations=("x,y", "\\,", "")),
        Subject(common_name="", organizations=("a",)),
    ],
)
def test_a_recorded_subject_is_read_back(subject: Subject) -> None:
    assert parse_subject(str(subject)) == subject


@pytest.mark.parametrize("text", ["", "ann", "CN=a,OU=b", "CN=a,", "O=a,CN=b", "CN=a\\"])
def test_what_is_no_recorded_subject(text: str) -> None:
    with pytest.raises(ValueError, match="is no subject"):
        parse_subject(text)
