"""Bootstrap tokens for joining nodes, aws-auth for users of IAM, and the published schemas."""

from __future__ import annotations

import base64
import re
import stat
from typing import Any

import pytest
import yaml

from pkigen.access import bootstrap, yaml_text
from pkigen.errors import AccessError
from pkigen.spec.values import NEWEST_MINOR, OLDEST_MINOR
from pkigen.state.materials import discovery_hash
from tests.access.places import Place, plain, request


def documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document]


# -- bootstrap tokens --------------------------------------------------------------------------------------


def test_everything_that_a_node_joins_with(place: Place) -> None:
    out = place.folder / "join"
    result = place.run(
        "bootstrap-token", place.tree, "--out", out, "--validity", "2h", "--description", "rack 2",
        "--group", "system:bootstrappers:rack2", "--server", "https://api:6443",
    )  # fmt: skip
    assert result.code == 0, result.err
    kubeconfig = yaml.safe_load((out / "bootstrap-kubelet.conf").read_text())
    (user,) = kubeconfig["users"]
    token = user["user"]["token"]
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token)
    assert (user["name"], kubeconfig["clusters"][0]["name"]) == ("tls-bootstrap-token-user", "kubernetes")
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://api:6443"
    identifier, _, secret = token.partition(".")
    manifest = out / f"bootstrap-token-{identifier}.yaml"
    first, *bindings, shared, role, reader = documents(manifest.read_text())
    assert first == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{identifier}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": identifier,
            "token-secret": secret,
            "expiration": "2026-11-22T05:00:00Z",
            "auth-extra-groups": "system:bootstrappers:rack2",
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "description": "rack 2",
        },
    }
    assert {each["roleRef"]["name"] for each in bindings} == {
        "system:node-bootstrapper",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    }
    assert all(each["subjects"][0]["name"] == "system:bootstrappers:rack2" for each in bindings)
    assert {each["metadata"]["name"] for each in bindings} == {
        "pkigen:kubelet-bootstrap:system:bootstrappers:rack2",
        "pkigen:node-autoapprove-bootstrap:system:bootstrappers:rack2",
    }, "kubeadm's own bindings are for kubeadm's own group"
    discovered = yaml.safe_load(shared["data"]["kubeconfig"])
    assert shared["metadata"] == {"name": "cluster-info", "namespace": "kube-public"}
    assert discovered["clusters"] == [{"name": "", "cluster": kubeconfig["clusters"][0]["cluster"]}]
    assert not discovered["users"]
    assert secret not in str(shared)
    assert role["rules"][0]["resourceNames"] == ["cluster-info"]
    assert reader["subjects"][0]["name"] == "system:anonymous"
    for path in (manifest, out / "bootstrap-kubelet.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in result.out + result.err
    from cryptography import x509  # noqa: PLC0415

    authority = x509.load_pem_x509_certificate((place.tree / "pki/ca.crt").read_bytes())
    assert f"discovery hash: {discovery_hash(authority)}" in result.out
    assert f"token id: {identifier}, until 2026-11-22 05:00 UTC, in system:bootstrappers:rack2" in result.out
    place.assert_clean()
    entry = place.ledger()[-1]
    assert (entry["id"], entry["notAfter"]) == (f"bootstrap-token:{identifier}", "2026-11-22T05:00:00Z")
    assert secret not in (place.tree / ".pkigen/ledger.jsonl").read_text()


def test_the_bindings_of_several_groups(place: Place) -> None:
    group = "system:bootstrappers:kubeadm:default-node-token"
    out = place.folder / "join"
    options = ("--group", group, "--group", "system:bootstrappers:a", "--group", group)
    assert place.run("bootstrap-token", place.tree, "--out", out, *options).code == 0
    (manifest,) = out.glob("*.yaml")
    bound = {
        each["metadata"]["name"]: [subject["name"] for subject in each["subjects"]]
        for each in documents(manifest.read_text())
        if each["kind"] == "ClusterRoleBinding"
    }
    assert bound == {
        "kubeadm:kubelet-bootstrap": [group],
        "kubeadm:node-autoapprove-bootstrap": [group],
        "pkigen:kubelet-bootstrap:system:bootstrappers:a": ["system:bootstrappers:a"],
        "pkigen:node-autoapprove-bootstrap:system:bootstrappers:a": ["system:bootstrappers:a"],
    }


def test_a_token_that_cannot_be_written_is_not_made(place: Place) -> None:
    before = (place.tree / ".pkigen/ledger.jsonl").read_bytes()
    (place.folder / "join/bootstrap-kubelet.conf").mkdir(parents=True)
    result = place.run("bootstrap-token", place.tree, "--out", place.folder / "join")
    assert (result.code, result.out) == (1, "")
    assert "cannot be written: is a directory" in result.error
    assert (place.tree / ".pkigen/ledger.jsonl").read_bytes() == before


def test_groups_that_no_bootstrap_token_may_have(place: Place) -> None:
    for group in ("system:masters", "system:bootstrappers", "system:bootstrappers:A"):
        result = place.run("bootstrap-token", place.tree, "--out", place.folder / "join", "--group", group)
        assert (result.code, result.out) == (1, "")
        assert "is no group of bootstrap tokens" in result.error
        assert not (place.folder / "join").exists()


def test_characters_are_drawn_evenly() -> None:
    drawn = iter([bytes([255, 252, 253, 0, 1, 35]), bytes([36, 251, 71, 10, 10, 10]), bytes(16)])
    found = bootstrap.generate(lambda _: next(drawn))
    # 252 to 255 are drawn again: the alphabet has 36 characters, and 7 times 36 are 252.
    assert found.id == "01z0zz"
    assert found.secret == "0" * 16


def test_a_token_that_somebody_brought() -> None:
    assert bootstrap.parse("abcdef.0123456789abcdef").text == "abcdef.0123456789abcdef"
    assert "0123456789abcdef" not in repr(bootstrap.parse("abcdef.0123456789abcdef"))
    with pytest.raises(AccessError, match="six, a dot and sixteen") as caught:
        bootstrap.parse("secret")
    assert "secret" not in str(caught.value)


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
    - rolearn: arn:aws:iam::111122223333:role/old
      username: old
    - {username: nobody}
    - rolearn: arn:aws:iam::111122223333:role/Admin
      username: somebody
  mapAccounts: |
    - "111122223333"
"""


def test_node_mappings_are_kept_and_people_are_the_specs(place: Place) -> None:
    path = place.write("current.yaml", CURRENT)
    result = place.run("iam", place.spec, "--current", path, "--config-map")
    assert result.code == 0, result.err
    (made,) = documents(result.out)
    assert made["metadata"] == {"name": "aws-auth", "namespace": "kube-system"}
    roles = yaml.safe_load(made["data"]["mapRoles"])
    assert roles == [
        *yaml.safe_load(yaml.safe_load(CURRENT)["data"]["mapRoles"])[:2],
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
    for said in ("role/old is not in the spec and goes", "an entry without ARN", "mapAccounts is kept"):
        assert said in result.err


def test_one_role_is_one_role_in_whatever_case(place: Place) -> None:
    # IAM's names differ in more than case, and aws-iam-authenticator compares them in lower case.
    current = CURRENT.replace("role/Admin", "role/ADMIN")
    result = place.run("iam", place.spec, "--current", place.write("c", current), "--config-map")
    (made,) = documents(result.out)
    arns = [entry["rolearn"] for entry in yaml.safe_load(made["data"]["mapRoles"])]
    assert arns == [f"arn:aws:iam::111122223333:role/{name}" for name in ("nodes", "fargate", "Admin")]
    assert "role/ADMIN is not in the spec" not in result.err


def test_the_result_as_input_changes_nothing(place: Place) -> None:
    first = place.run("iam", place.spec, "--current", place.write("c", CURRENT), "--config-map").out
    again = place.run("iam", place.tree, "--current", place.write("c", first), "--config-map")
    assert again.out == first


def test_without_the_present_one_the_danger_is_said(place: Place) -> None:
    result = place.run("iam", place.spec)
    kinds = [document["kind"] for document in documents(result.out)]
    assert kinds == ["ConfigMap", "ClusterRoleBinding", "ClusterRoleBinding"]
    assert "applying this locks them out" in result.err


def test_the_role_of_nodes_is_not_for_people(place: Place) -> None:
    current = place.write("c", CURRENT.replace("role/nodes", "role/Admin", 1))
    result = place.run("iam", place.spec, "--current", current)
    assert (result.code, result.out) == (1, "")
    assert "which is the role of nodes" in result.error
    place.replace("groups: [admins]", "groups: ['system:nodes'], allowSystemIdentity: theirs")
    assert place.run("iam", place.spec, "--current", current, "--config-map").code == 0


def test_users_alone(place: Place) -> None:
    text = place.spec.read_text()
    place.spec.write_text(
        text[: text.index("    - {arn")] + text[text.index('    - {arn: "arn:aws:iam::111122223333:user') :]
    )
    (made, _) = documents(place.run("iam", place.spec).out)
    assert list(made["data"]) == ["mapUsers"]


def test_mappings_without_rights_and_no_mappings(place: Place) -> None:
    text = place.spec.read_text()
    place.spec.write_text(
        text.replace(",\n       clusterRoles: [view]}", "}").replace(", clusterRoles: [edit]}", "}")
    )
    result = place.run("iam", place.spec)
    assert [document["kind"] for document in documents(result.out)] == ["ConfigMap"]
    place.spec.write_text(text.partition("  iam:")[0])
    assert place.run("iam", place.spec).error == "spec.iam maps nobody"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Secret", "is not the ConfigMap aws-auth"),
        ("kind: ConfigMap", "is not the ConfigMap aws-auth"),
        ("[]", "is not the ConfigMap aws-auth"),
        ("a: [", "is not YAML"),
        ("a: 1\na: 2", "is given twice"),
        ("kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: [a]", "its data is no mapping"),
        (
            "kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: 7}",
            "its data is no mapping of texts",
        ),
        (
            "kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: a}",
            "mapRoles is no list of mappings",
        ),
        ("kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: '['}", "is not YAML"),
        (
            "kind: ConfigMap\nmetadata: {name: aws-auth}\ndata: {mapRoles: 'a: 1\n\n    a: 2'}",
            "is given twice",
        ),
    ],
)
def test_what_is_no_current_config_map(place: Place, text: str, said: str) -> None:
    result = place.run("iam", place.spec, "--current", place.write("c", text))
    assert (result.code, result.out) == (1, "")
    assert said in result.error


def test_an_empty_config_map_and_a_big_one(place: Place) -> None:
    empty = place.write("c", "kind: ConfigMap\nmetadata: {name: aws-auth}\n")
    assert place.run("iam", place.spec, "--current", empty).code == 0
    big = place.write("c", b" " * ((2 << 20) + 1))
    assert "larger than any ConfigMap" in place.run("iam", place.spec, "--current", big).error


# -- every object ------------------------------------------------------------------------------------------


def objects(place: Place) -> list[Any]:
    """Every object that pkigen writes for people and workloads."""
    found = [
        document
        for path in (place.tree / "addons").glob("*.yaml")
        for document in documents(path.read_text())
    ]
    place.run("bootstrap-token", place.tree, "--out", place.folder / "join")
    (manifest,) = (place.folder / "join").glob("*.yaml")
    found += documents(manifest.read_text())
    found += documents(place.run("iam", place.spec).out)
    path = place.write("client.csr", request(plain("ann")))
    return found + documents(place.run("csr", "manifest", "--csr", path).out)


@pytest.mark.sweep
def test_the_published_schemas_accept_every_object(place: Place) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate in this Python")
    found = objects(place)
    wrong = {**found[0], "metadata": {"name": "a", "namespaces": "b"}}
    for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1):
        for document in found:
            validate.validate(document, f"1.{minor}", strict=True)
        with pytest.raises(validate.ValidationError):
            validate.validate(wrong, f"1.{minor}", strict=True)
    assert {document["kind"] for document in found} >= {
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
    }


# -- YAML --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {
            "a": "no",
            "b": "012",
            "c": "1e3",
            "d": "~",
            "e": "",
            "f": " x ",
            "g": "a: b",
            "h": "#",
            "i": "'",
            "j": '"',
        },
        {
            "a": [],
            "b": {},
            "c": [[], {}, [1, [2]], {"x": {"y": ["z"]}}],
            "d": None,
            "e": True,
            "f": 1.5,
            "g": -3,
        },
        {
            "text": "one\ntwo\n",
            "odd": "one\n two",
            "end": "one\n\n",
            "tab": "a\tb\n",
            "back": "x \ny\n",
            "n": "\n",
        },
        {"text": " one\ntwo\n", "list": ["one\ntwo\n"], "1": {"yes": "no"}},
        {},
    ],
)
def test_yaml_reads_back(value: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text.dump(value)) == value


def test_several_documents() -> None:
    assert list(yaml.safe_load_all(yaml_text.documents([{"a": 1}, {"b": 2}]))) == [{"a": 1}, {"b": 2}]


def test_base64_is_on_one_line(place: Place) -> None:
    path = place.write("client.csr", request())
    text = place.run("csr", "manifest", "--csr", path).out
    (line,) = [line for line in text.splitlines() if "  request: " in line]
    assert base64.b64decode(line.split()[1]) == path.read_bytes()
