"""Rights that are given and taken back, before a real API server: what is printed is run to the letter."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.live import programs
from tests.live.control_plane import (
    CREATE,
    Cluster,
    apply_addons,
    boot_static_pods,
    make,
    pkigen,
    plug_in,
    spec_text,
)
from tests.live.hosts import Network

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.31"
_SECONDS = 180
_NODES = [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}]
_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
_USERS: list[dict[str, Any]] = [
    {"name": "root2", "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]},
    {"name": "robot", "kind": "ServiceAccount", "namespace": "ci", "clusterRoles": ["cluster-admin"]},
    {"name": "dev 1", "groups": ["team"], "roles": [{"namespace": "ci", "rules": [_SECRETS]}]},
    {"name": "eve", "credential": "external", "groups": ["guests"], "validity": "2h", "rules": [_SECRETS]},
]
_GROUPS: list[dict[str, Any]] = [
    {"name": "team", "rules": [{**_SECRETS, "resources": ["nodes"]}]},
    {"name": "guests", "roles": [{"namespace": "ci", "rules": [{**_SECRETS, "resources": ["pods"]}]}]},
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require("etcd", "kube-apiserver", "kubectl")
    text = spec_text("rights", {"nodes": _NODES, "users": _USERS, "groups": _GROUPS})
    made = make(tmp_path_factory.mktemp("rights"), text)
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        super_admin = made.kubeconfig("cp-1", "super-admin.conf")
        namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: ci}}"
        made.kubectl("cp-1", super_admin, *CREATE, stdin=namespace)
        apply_addons(made, "cp-1", super_admin)
        _until(made, "*", "*", "--as=root2", says="yes")
        yield made


def _can(cluster: Cluster, *question: str) -> str:
    admin = cluster.kubeconfig("cp-1", "super-admin.conf")
    return cluster.try_kubectl("cp-1", admin, "auth", "can-i", *question).stdout.strip()


def _until(cluster: Cluster, *question: str, says: str) -> None:
    """Until the authorizer's informers have heard of a change."""
    deadline = time.monotonic() + _SECONDS
    while (answer := _can(cluster, *question)) != says:
        assert time.monotonic() < deadline, f"{question}: {answer}"
        time.sleep(0.2)


def _change(cluster: Cluster, *arguments: str, **fields: list[dict[str, Any]]) -> str:
    """Apply another spec; the result is what pkigen says."""
    spec = cluster.scratch / "cluster.yaml"
    document = yaml.safe_load(spec.read_text())
    document["spec"].update(fields)
    spec.write_text(yaml.safe_dump(document))
    return pkigen("apply", spec, "-C", cluster.out, "--yes", *arguments).stdout


def _run(cluster: Cluster, text: str) -> list[str]:
    """Run every kubectl line of a text as it stands there."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("kubectl ")]
    for line in lines:
        done = _shell(cluster, line)
        if "failed to download openapi" in done.stderr:
            # As in `apply_addons`: some builds of the API server cannot serve their own OpenAPI document.
            done = _shell(cluster, f"{line} --validate=false")
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return lines


def _shell(cluster: Cluster, line: str) -> subprocess.CompletedProcess[str]:
    here = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    return cluster.machines["cp-1"].attempt("sh", "-c", f"{here}; {line}")


def _without(*names: str) -> list[dict[str, Any]]:
    return [user for user in _USERS if user["name"] not in names]


_ACCOUNT = "--as=system:serviceaccount:ci:robot"


def test_what_the_spec_takes_back_is_gone_once_the_printed_commands_have_run(cluster: Cluster) -> None:
    questions = [
        ("*", "*", "--as=root2"),
        ("*", "*", _ACCOUNT),
        ("get", "secrets", "-n", "ci", "--as=dev 1"),
        ("get", "nodes", "--as=anybody", "--as-group=team"),
    ]
    said = _change(cluster, users=_without("root2", "robot", "dev 1"), groups=_GROUPS[1:])
    for question in questions:
        # The control: files are gone, and the cluster knows nothing of it.
        assert _can(cluster, *question) == "yes", question
    lines = _run(cluster, said)
    assert len(lines) == 8
    for question in questions:
        _until(cluster, *question, says="no")
    gone = cluster.try_kubectl(
        "cp-1", cluster.kubeconfig("cp-1", "admin.conf"), "get", "serviceaccount", "robot", "-n", "ci"
    )
    assert "NotFound" in gone.stderr
    # They stay what is to be done until somebody says that it is, and may run again.
    assert _run(cluster, pkigen("status", "-C", cluster.out).stdout) == lines
    assert "addons" in pkigen_next(cluster)
    pkigen("access", "applied", "-C", cluster.out, "--yes")
    assert "addons" not in pkigen_next(cluster)


def pkigen_next(cluster: Cluster) -> str:
    """What `next` says is to be done; its exit code tells that there is something."""
    from tests.cli.program import program  # noqa: PLC0415 -- it needs no cluster

    return program("next", "-C", cluster.out, "-o", "json").out.partition('"sentence"')[0]


def test_a_rollback_gives_the_right_again_once_its_commands_have_run(cluster: Cluster) -> None:
    assert _can(cluster, "*", "*", "--as=root2") == "no"
    said = pkigen("rollback", "-C", cluster.out, "--yes").stdout
    assert _can(cluster, "*", "*", "--as=root2") == "no"
    _run(cluster, said)
    _until(cluster, "*", "*", "--as=root2", says="yes")
    _until(cluster, "get", "nodes", "--as=anybody", "--as-group=team", says="yes")
    pkigen("access", "applied", "-C", cluster.out, "--yes")


def test_a_right_that_is_renamed_is_never_missing(cluster: Cluster) -> None:
    """After each of the commands one of both names can do it."""
    renamed = [{**user, "name": user["name"].replace("root2", "root3")} for user in _USERS]
    said = _change(cluster, users=renamed, groups=_GROUPS)
    lines = [line for line in said.splitlines() if line.startswith("  kubectl")]
    assert len(lines) == 3
    for line in lines:
        _run(cluster, line)
        answers = {_can(cluster, "*", "*", f"--as={name}") for name in ("root2", "root3")}
        assert "yes" in answers, line
    _until(cluster, "*", "*", "--as=root2", says="no")
    pkigen("access", "applied", "-C", cluster.out, "--yes")


def test_who_keeps_a_key_of_their_own_has_the_rights_of_the_spec(cluster: Cluster) -> None:
    folder = cluster.scratch / "eve"
    assert not (cluster.out / "users/eve.conf").exists()
    pkigen("access", "csr", "new", "--user", "eve", "--out", folder)
    kubeconfig = folder / "eve.conf"
    pkigen(
        "access", "sign", "--csr", folder / "eve.csr", "--user", "eve", "-C", cluster.out,
        "--kubeconfig", kubeconfig, "--key-path", folder / "eve.key",
    )  # fmt: skip
    assert cluster.whoami("cp-1", kubeconfig) == ("eve", {"guests"})

    def can(*question: str) -> str:
        return cluster.try_kubectl("cp-1", kubeconfig, "auth", "can-i", *question).stdout.strip()

    assert can("get", "secrets", "-n", "ci") == "yes"  # a rule of her own
    assert can("get", "pods", "-n", "ci") == "yes"  # her group's
    assert can("get", "pods", "-n", "default") == "no"
    said = _change(cluster, users=_without("eve"), groups=_GROUPS[:1])
    assert can("get", "secrets", "-n", "ci") == "yes"
    _run(cluster, said)
    deadline = time.monotonic() + _SECONDS
    while can("get", "secrets", "-n", "ci") == "yes" or can("get", "pods", "-n", "ci") == "yes":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    # The certificate itself goes on working: it only opens nothing any more.
    assert cluster.whoami("cp-1", kubeconfig) == ("eve", {"guests"})
    pkigen("access", "applied", "-C", cluster.out, "--yes")


_ROLE = "arn:aws:iam::111122223333:role/"
_MAPPED = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: aws-auth, namespace: kube-system}
data:
  mapRoles: |
    - {rolearn: "ROLENodes", username: "system:node:{{EC2PrivateDNSName}}",
       groups: ["system:bootstrappers", "system:nodes"]}
    - {rolearn: "ROLEOps", username: ops, groups: [ops]}
    - {rolearn: "ROLEOthers", username: other, groups: [ops]}
"""


def test_a_mapping_of_aws_iam_goes_and_those_of_others_stay(cluster: Cluster) -> None:
    admin = cluster.kubeconfig("cp-1", "admin.conf")
    mapping = {"arn": f"{_ROLE}Ops", "username": "ops", "groups": ["ops"], "clusterRoles": ["cluster-admin"]}
    cluster.kubectl("cp-1", admin, *CREATE, stdin=_MAPPED.replace("ROLE", _ROLE))
    _run(cluster, _change(cluster, iam=[mapping]))
    pkigen("access", "applied", "-C", cluster.out, "--yes")
    _until(cluster, "*", "*", "--as=ops", says="yes")
    said = _change(cluster, iam=[])
    found = ("get", "configmap", "aws-auth", "-n", "kube-system", "-o", "jsonpath={.data.mapRoles}")
    assert "role/Ops" in cluster.kubectl("cp-1", admin, *found)
    _run(cluster, said)
    left = cluster.kubectl("cp-1", admin, *found)
    assert [name in left for name in ("role/Ops", "role/Others", "role/Nodes")] == [False, True, True]
    _until(cluster, "*", "*", "--as=ops", says="no")
    pkigen("access", "applied", "-C", cluster.out, "--yes")


def test_a_binding_gets_another_role_by_the_runbook(cluster: Cluster, tmp_path: Path) -> None:
    """The administrators' own, after which admin.conf may only read; so it comes last."""
    templates = cluster.scratch / "templates"
    folder = templates / "addons"
    folder.mkdir(parents=True)
    (folder / "cluster-admins.yaml.j2").write_text(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n"
        "metadata: {name: '{{ group }}'}\n"
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n"
        "subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: '{{ group }}'}]\n"
    )
    admins = ("delete", "nodes", "--as=any", "--as-group=kubeadm:cluster-admins")
    assert _can(cluster, *admins) == "yes"
    _change(cluster, "--templates", str(templates), "--runbook", str(tmp_path / "book"))
    admin = cluster.kubeconfig("cp-1", "super-admin.conf")
    # The control: without the deletion the API server refuses the manifest.
    refused = cluster.try_kubectl(
        "cp-1", admin, "apply", "--validate=false", "-f", cluster.out / "addons/cluster-admins.yaml"
    )
    assert "cannot change roleRef" in refused.stderr
    script = cluster.machines["cp-1"].attempt("sh", tmp_path / "book/cluster.sh")
    assert script.returncode == 0, script.stderr
    _until(cluster, *admins, says="no")
    pkigen("access", "applied", "-C", cluster.out, "--yes")
