"""Whoever prints a result prints it as JSON too: documented fields, and nothing else on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scripts.described_commands import leaves
from tests.cli.program import HOME, InProcess
from tests.cli.test_output_document import documented, fields

if TYPE_CHECKING:
    from pathlib import Path

OWN_DOCUMENTS = {
    *("access sign", "access csr new", "access csr manifest", "access user kubeconfig"),
    *("access kubeconfig merge", "access token", "access bootstrap-token", "access iam"),
    *(
        "access oidc configuration",
        "access oidc jwks",
        "access oidc write",
        "export",
        "report",
        "fleet report",
    ),
}
"""Their result is a certificate, a request, a token, a kubeconfig, a manifest or another document itself."""
NODE_KEYS = HOME.replace("  users:", "  certificates: {nodeKeys: node}\n  users:")
OFFLINE = HOME.replace("  users:", "  certificates: {authority: offline, caKeys: site}\n  users:")
QUIET_KEYS = HOME.replace("  users:", "  certificates: {distributeCAKeys: false}\n  users:")


def test_every_command_that_prints_results_has_output() -> None:
    without = {
        words
        for _, words, command in leaves()
        if not any("--output" in parameter.opts for parameter in command.params)
    }
    assert without == OWN_DOCUMENTS


class Asking:
    """Runs commands with -o json, and looks at what they print."""

    def __init__(self, pkigen: InProcess) -> None:
        self.pkigen = pkigen

    def __call__(self, *arguments: object, kind: str, code: int = 0) -> Any:
        result = self.pkigen(*arguments, "-o", "json")
        assert result.code == code, result.err
        content = result.json
        assert (content["apiVersion"], content["kind"]) == ("pkigen/v1", kind)
        assert set(fields(content)) <= documented(kind), set(fields(content)) - documented(kind)
        return content


@pytest.fixture
def ask(pkigen: InProcess) -> Asking:
    return Asking(pkigen)


def test_of_a_spec(ask: Asking, spec: Path) -> None:
    found = ask("validate", spec, kind="Validation")
    assert (found["valid"], found["cluster"], found["nodes"], found["problems"]) == (True, "home", 1, [])
    spec.write_text(HOME.replace("10.0.0.11", "10.0.0.999"))
    found = ask("validate", spec, kind="Validation", code=2)
    assert (found["valid"], [each["line"] for each in found["problems"]]) == (False, [10])
    assert found["problems"][0]["file"] == str(spec)


def test_of_explanations(ask: Asking, tree: Path) -> None:
    found = ask("explain", "apiserver", "-C", tree, kind="Explanation")
    assert found["what"] == "apiserver"
    assert "\n".join(found["lines"]) + "\n" == ask.pkigen("explain", "apiserver", "-C", tree).out
    found = ask("access", "kubeconfig", "show", tree / "users/dev1.conf", kind="Explanation")
    assert found["lines"][0].startswith("context ")


def test_of_bundles(ask: Asking, tmp_path: Path) -> None:
    (node := tmp_path / "node").mkdir()
    identity = ask("airgap", "node", "identity", "--root", node, kind="NodeIdentity")
    assert ask("airgap", "node", "identity", "--root", node, "--show", kind="NodeIdentity") == identity
    spec = tmp_path / "home.yaml"
    recipient = identity["recipient"]
    spec.write_text(HOME.replace("[10.0.0.11]\n", f"[10.0.0.11]\n      ageRecipient: {recipient}\n"))
    made = ask("init", spec, "-C", tmp_path / "home", kind="Applied")
    (tmp_path / "media").mkdir()
    place = ("-C", tmp_path / "home", "--out", tmp_path / "media")
    packed = ask("airgap", "bundle", "create", *place, kind="Bundles")
    assert packed["signer"] == made["bundleKey"]
    (bundle,) = packed["bundles"]
    assert (bundle["node"], bundle["reader"]) == ("cp-1", recipient)
    there = (bundle["file"], "--root", node, "--node", "cp-1", "--pin", packed["signer"])
    verified = ask("airgap", "bundle", "verify", *there, kind="Bundle")
    assert len(verified["files"]) == bundle["files"]
    installed = ask("airgap", "bundle", "install", *there, "--yes", kind="Installed")
    assert {each["change"] for each in installed["changes"]} == {"create"}
    assert installed["backup"] is None
    (node / "etc/kubernetes/kubelet.conf").write_text("another")
    installed = ask("airgap", "bundle", "install", *there, "--yes", kind="Installed")
    listed = ask("airgap", "bundle", "rollback", "--root", node, "--list", kind="Backups")
    assert [each["id"] for each in listed["backups"]] == [installed["backup"]]
    back = ask("airgap", "bundle", "rollback", "--root", node, "--yes", "--force", kind="WentBack")
    assert back["before"] == installed["backup"]
    assert "/etc/kubernetes/kubelet.conf" in back["restored"]
    kit = ask("airgap", "bundle", "create", "--rescue", "--recipient", recipient, *place, kind="Bundles")
    assert kit["bundles"][0]["bundleKind"] == "rescue"
    assert kit["runbook"]


def test_of_keys_on_nodes(ask: Asking, tmp_path: Path) -> None:
    for name in ("node", "media"):
        (tmp_path / name).mkdir()
    spec, media = tmp_path / "home.yaml", tmp_path / "media"
    spec.write_text(NODE_KEYS)
    ask("init", spec, "-C", tmp_path / "home", kind="Applied")
    there = ("--root", tmp_path / "node", "--node", "cp-1")
    asked = ask("airgap", "node", "request", spec, *there, "--out", media, kind="NodeRequest")
    assert asked["isNew"] is True
    assert "cp-1/apiserver" in asked["certificates"]
    here = (asked["file"], "-C", tmp_path / "home", "--out", media, "--pin", asked["signer"])
    approved = ask("airgap", "node", "approve", *here, "--yes", kind="Approved")
    assert sorted(approved["issued"]) == sorted(asked["certificates"])
    assert [each["node"] for each in approved["bundles"]] == ["cp-1"]
    again = ask("airgap", "node", "approve", *here, "--yes", kind="Approved")
    assert again["issued"] == []


def test_of_an_encrypted_authority(ask: Asking, tmp_path: Path) -> None:
    spec, tree, words = tmp_path / "home.yaml", tmp_path / "home", tmp_path / "words"
    spec.write_text(QUIET_KEYS)
    words.write_text("correct horse battery staple\n")
    words.chmod(0o600)
    ask("init", spec, "-C", tree, kind="Applied")
    opening = ("-C", tree, "--yes", "--passphrase-file", words)
    sealed = ask("airgap", "authority", "encrypt", *opening, kind="Resealed")
    assert (sealed["action"], sealed["backupsRemoved"]) == ("encrypt", False)
    assert "pki/ca.key" in sealed["files"]
    assert ask("airgap", "authority", "encrypt", *opening, kind="Resealed")["files"] == []
    assert ask("airgap", "authority", "decrypt", *opening, kind="Resealed")["files"] == sealed["files"]


def test_of_an_offline_authority(ask: Asking, tmp_path: Path) -> None:
    spec, apart = tmp_path / "home.yaml", ("--authority", tmp_path / "apart")
    spec.write_text(OFFLINE)
    made = ask("airgap", "authority", "init", spec, *apart, kind="OfflineAuthority")
    assert [each["id"] for each in made["authorities"]] == ["root"]
    requested = ask("init", spec, "-C", tmp_path / "home", kind="Requested")
    signed = ask(
        *("airgap", "authority", "sign", requested["request"], "--spec", spec, *apart, "--yes"),
        *("--pin", requested["siteKey"]),
        kind="Answered",
    )
    assert (signed["isNew"], signed["signer"]) == (True, made["authorityKey"])
    assert sorted(signed["certificates"]) == sorted(requested["certificates"])
    renewed = ask("airgap", "authority", "renew", spec, "root", *apart, "--yes", kind="OfflineAuthority")
    assert renewed["authorityKey"] == made["authorityKey"]


def test_what_fails_prints_no_document(pkigen: InProcess, tmp_path: Path) -> None:
    result = pkigen("airgap", "bundle", "verify", tmp_path / "none", "-o", "json", "--root", tmp_path)
    assert (result.code, result.out) == (1, "") or (result.code, result.out) == (2, "")
