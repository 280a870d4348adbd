"""`-v` and `-vv`: what was read, decided and written, on standard error, and never a secret."""

from __future__ import annotations

import logging
import re
import subprocess
from typing import TYPE_CHECKING

from pkigen.cli.verbosity import logging_to_stderr
from tests.cli.program import HOME, PROGRAM, InProcess
from tests.faults.test_secrets import canaries

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PASSPHRASE = "a passphrase that nobody logs"  # noqa: S105 -- no password of anything


def logged(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("info: ", "debug: "))]


def test_it_says_what_was_read_decided_and_written(pkigen: InProcess, spec: Path, tree: Path) -> None:
    quiet = pkigen("plan", spec, "-C", tree)
    assert logged(quiet.err) == []
    result = pkigen("-v", "renew", spec, "apiserver", "-C", tree, "--yes")
    assert result.code == 0
    lines = logged(result.err)
    assert f"info: read {spec}: cluster home, Kubernetes v1.36.2, 1 nodes, 1 users (pkigen)" in lines
    assert any(re.fullmatch(r"info: read pki\.lock: \d+ files, \d+ ledger entries", line) for line in lines)
    assert any(re.fullmatch(r"info: read pki/ca\.crt: valid until \d{4}-.+Z", line) for line in lines)
    assert any(re.fullmatch(r"info: planned: \d+ to keep, 1 to renew", line) for line in lines)
    (changed,) = [line for line in lines if line.startswith("info: changed ")]
    backup = next((tree / ".pkigen/backups").iterdir()).name
    assert changed == f"info: changed {tree}: 4 files written, 0 removed; backup: {backup}"
    assert len(lines) == len(set(lines)), "nothing is said twice"
    assert "debug: " not in result.err


def test_twice_names_every_object_and_file(pkigen: InProcess, spec: Path, tree: Path) -> None:
    result = pkigen("-vv", "renew", spec, "apiserver", "-C", tree, "--yes")
    assert "debug: planned: renew cp-1/apiserver (requested)" in result.err
    place = "nodes/cp-1/etc/kubernetes/pki/apiserver"
    assert re.search(rf"^debug: staged {place}\.key: mode 0600, \d+ bytes$", result.err, re.MULTILINE)
    assert re.search(rf"^debug: staged {place}\.crt: mode 0644, \d+ bytes$", result.err, re.MULTILINE)
    assert f"debug: committed {tree}: the journal names 4 files" in result.err
    assert pkigen("--verbose", "--verbose", "status", "-C", tree).err.startswith("info: read pki.lock: ")


def test_a_proof_and_the_files_beside_the_tree_are_told_of(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path
) -> None:
    result = pkigen("-v", "rotate", "sa", spec, "-C", tree, "--yes", "--runbook", tmp_path / "book")
    assert re.search(r"^info: proved: \d+ cases of \d+ edges, 0 broken$", result.err, re.MULTILINE)
    assert f"info: wrote {tmp_path}/book/restart.sh: mode 0755" in result.err
    made = pkigen("-v", "access", "csr", "new", "--user", "dev2", "--out", tmp_path)
    assert f"info: wrote {tmp_path}/dev2.key: mode 0600" in made.err


def test_the_result_is_the_same(pkigen: InProcess, spec: Path, tree: Path) -> None:
    for arguments in (
        ("plan", spec, "-C", tree),
        ("status", "-C", tree, "-o", "json"),
        ("verify", "-C", tree),
    ):
        assert pkigen("-vv", *arguments).out == pkigen(*arguments).out


def test_templates_and_removals_are_named(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    overrides = tmp_path / "mine"
    (overrides / "addons").mkdir(parents=True)
    content = pkigen("-v", "plan", spec, "-C", tree, "--templates", tmp_path / "mine").err
    assert "overrides" not in content
    (overrides / "kubeconfig.yaml.j2").write_text('{% extends "pkigen/kubeconfig.yaml.j2" %}')
    content = pkigen("-v", "plan", spec, "-C", tree, "--templates", overrides).err
    assert f"info: read {overrides}/kubeconfig.yaml.j2: overrides a built-in template" in content
    spec.write_text(HOME.partition("  users:")[0])
    content = pkigen("-vv", "apply", spec, "-C", tree, "--yes", "--force").err
    assert "debug: users/dev1.conf is to be removed" in content


def test_bundles_are_told_of(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    secret = passphrase_file(tmp_path)
    media, node = tmp_path / "media", tmp_path / "node"
    node.mkdir()
    packed = pkigen(
        *("-v", "airgap", "bundle", "create", spec, "-C", tree, "--out", media, "--passphrase-file", secret)
    )
    assert re.search(r"^info: packed cp-1: \d+ files, serial \d+$", packed.err, re.MULTILINE)
    assert f"info: wrote {media}/home.cp-1.bundle: mode 0600" in packed.err
    pin = re.search(r"signed by bundle key (\S+)", packed.out + packed.err)
    assert pin
    installed = pkigen(
        *("-vv", "airgap", "bundle", "install", media / "home.cp-1.bundle", "--root", node, "--node", "cp-1"),
        *("--pin", pin[1], "--passphrase-file", secret, "--yes"),
    )
    assert re.search(
        r"^info: installing the bundle of cp-1: \d+ files, serial \d+$", installed.err, re.MULTILINE
    )
    assert "debug: create etc/kubernetes/pki/apiserver.key" in installed.err
    for result in (packed, installed):
        assert_free_of_secrets(result.err, tree, node)


def test_no_secret_is_logged(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    """Keys, sealed or not, and passphrases; `-vv` is the most that is ever said."""
    secret = passphrase_file(tmp_path)
    tree, sealed, other = tmp_path / "tree", tmp_path / "sealed", tmp_path / "other.yaml"
    other.write_text(HOME.replace("  users:", "  certificates: {distributeCAKeys: false}\n  users:"))
    runs = [
        ("init", spec, "-C", tree),
        ("rotate", "sa", spec, "-C", tree, "--yes"),
        ("rotate", "ca", "kubernetes", spec, "-C", tree, "--yes"),
        ("apply", spec, "-C", tree, "--yes"),
        ("verify", "-C", tree),
        ("rollback", "-C", tree, "--yes"),
        ("init", other, "-C", sealed, "--encrypt-authority", "--passphrase-file", secret),
        ("renew", other, "--all", "-C", sealed, "--yes", "--passphrase-file", secret),
        ("airgap", "authority", "decrypt", "-C", sealed, "--yes", "--passphrase-file", secret),
    ]
    text = ""
    for arguments in runs:
        result = pkigen("-vv", *arguments)
        assert result.code == 0, result
        text += result.err
    assert len(logged(text)) > 300
    assert_free_of_secrets(text, tree, sealed)


def test_control_characters_are_escaped_and_the_handler_goes(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("pkigen.anything")
    with logging_to_stderr(1):
        logger.info("read %s", "a\x1b[31m\nerror: b")
        logger.debug("not asked for")
    logger.info("after")
    assert capsys.readouterr().err == "info: read a\\x1b[31m\\nerror: b\n"
    assert logging.getLogger("pkigen").handlers == []


def test_a_closed_standard_error_stops_no_work(spec: Path, tmp_path: Path) -> None:
    command = 'exec 2>/dev/full; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *PROGRAM, "-vv", "init", spec, "-C", tmp_path / "full"],
        capture_output=True,
        check=False,
    )
    assert (tmp_path / "full/pki.lock").exists(), done


def passphrase_file(place: Path) -> Path:
    path = place / "passphrase"
    path.write_text(PASSPHRASE)
    path.chmod(0o600)
    return path


def assert_free_of_secrets(text: str, *trees: Path) -> None:
    secrets = {secret for tree in trees for secret in canaries(tree)}
    assert len(secrets) > 30
    assert not any(secret in text for secret in secrets)
    assert "PRIVATE KEY" not in text
    assert PASSPHRASE not in text
