"""Bootstrap tokens, and all that a node joins with."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.access import bootstrap
from pkigen.errors import AccessError
from pkigen.state.materials import discovery_hash

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster


def documents(text: str) -> list[Any]:
    return [document for document in yaml.safe_load_all(text) if document]


# -- bootstrap tokens --------------------------------------------------------------------------------------


def test_everything_that_a_node_joins_with(place: TeamCluster) -> None:
    out = place.folder / "join"
    result = place.run(
        "access", "bootstrap-token", "-C", place.tree, "--out", out, "--validity", "2h",
        "--description", "rack 2",
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


def test_the_bindings_of_several_groups(place: TeamCluster) -> None:
    group = "system:bootstrappers:kubeadm:default-node-token"
    out = place.folder / "join"
    options = ("--group", group, "--group", "system:bootstrappers:a", "--group", group)
    assert place.run("access", "bootstrap-token", "-C", place.tree, "--out", out, *options).code == 0
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


def test_a_token_that_cannot_be_written_is_not_made(place: TeamCluster) -> None:
    before = (place.tree / ".pkigen/ledger.jsonl").read_bytes()
    (place.folder / "join/bootstrap-kubelet.conf").mkdir(parents=True)
    result = place.run("access", "bootstrap-token", "-C", place.tree, "--out", place.folder / "join")
    assert (result.code, result.out) == (1, "")
    assert "cannot be written: is a directory" in result.error
    assert (place.tree / ".pkigen/ledger.jsonl").read_bytes() == before


def test_groups_that_no_bootstrap_token_may_have(place: TeamCluster) -> None:
    for group in ("system:masters", "system:bootstrappers", "system:bootstrappers:A"):
        result = place.run(
            "access", "bootstrap-token", "-C", place.tree, "--out", place.folder / "join", "--group", group
        )
        assert (result.code, result.out) == (1, "")
        assert "is not a group for bootstrap tokens" in result.error
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


@pytest.mark.parametrize(("validity", "said"), [("720h", False), ("721h", True), ("17520h", True)])
def test_a_token_that_lives_for_long_is_warned_of(place: TeamCluster, validity: str, *, said: bool) -> None:
    made = place.run(
        "access", "bootstrap-token", "-C", place.tree, "--out", place.folder / "join", "--validity", validity
    )
    assert made.code == 0
    warning = f"warning: whoever reads this token within {validity} can join a node"
    assert (warning in made.err) == said
