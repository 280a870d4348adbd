"""An authority whose private files are encrypted: who has to open it, and what nobody ever sees."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pkigen.crypto.age import Identity, Passphrase
from pkigen.errors import PkigenError
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH, decode_record
from pkigen.state.vault import SealedVault, sealed_identity
from pkigen.store import Store
from tests import unmeasured
from tests.cli.program import PROGRAM, InProcess, changed, contents
from tests.cli.program import program as run_program
from tests.state.encrypted_cluster import (
    NEVER_ON_NODES,
    PRIVATE,
    SPEC,
    WORDS,
    EncryptedCluster,
    files_with,
    opened,
    passphrase_file,
    telling,
)

if TYPE_CHECKING:
    from pathlib import Path


# -- what lies on the disk ------------------------------------------------------------------------------


def test_every_private_file_of_the_authority_is_an_age_file(original: EncryptedCluster) -> None:
    found = {str(path.relative_to(original.root)) for path in original.root.glob("pki/**/*.key")}
    assert found == set(PRIVATE)
    for path, data in original.sealed().items():
        assert data.startswith(b"age-encryption.org/v1\n-> X25519 "), path
        assert stat.S_IMODE((original.root / path).stat().st_mode) == 0o600
    for path in PRIVATE[:4]:
        load_pem_private_key(original.opened(path), password=None)
    assert files_with(original.root, original.secrets(NEVER_ON_NODES)) == set()
    # What API servers must read is on the control plane's nodes, and nowhere else.
    places = files_with(original.root, original.secrets(("pki/sa.key", "pki/encryption.key")))
    assert {path.split("/")[0] for path in places} == {"nodes"}


def test_the_scan_finds_what_lies_open(plain: EncryptedCluster) -> None:
    secrets = {line for path in NEVER_ON_NODES for line in telling((plain.root / path).read_bytes())}
    assert files_with(plain.root, secrets) == set(NEVER_ON_NODES)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "control"])
def test_no_private_byte_leaves_the_process_not_for_an_instant(tmp_path: Path, *, encrypted: bool) -> None:
    """Every write of every process, staging and journal included, and every argument and environment."""
    spec, key, trace = tmp_path / "home.yaml", tmp_path / "operator.age", tmp_path / "trace"
    spec.write_text(SPEC)
    key.touch(mode=0o600)
    key.write_text(Identity.generate().text + "\n")
    calls = "trace=execve,write,writev,pwrite64,sendto,sendmsg,sendfile,copy_file_range"
    more = ("--encrypt-authority", "--identity", key) if encrypted else ()
    subprocess.run(
        [
            *("strace", "-f", "-qq", "-xx", "-v", "-s", "1000000", "-o", trace, "-e", calls),
            *map(str, (*PROGRAM, "init", spec, "-C", tmp_path / "home", *more)),
        ],
        check=True,
        capture_output=True,
        env=unmeasured.environment(),
    )
    text = trace.read_text(errors="replace")
    assert text.count("execve(") == 1
    said = b"".join(bytes.fromhex(each.replace("\\x", "")) for each in re.findall(r'"((?:\\x..)+)"', text))
    root = tmp_path / "home"
    private = {path: opened(root, path, key) if encrypted else (root / path).read_bytes() for path in PRIVATE}
    secrets = {line for path in NEVER_ON_NODES for line in telling(private[path])}
    operator = key.read_bytes().strip()
    assert len(secrets) == len(NEVER_ON_NODES)
    assert operator not in said
    hits = sum(secret in said for secret in secrets)
    assert hits == (0 if encrypted else len(secrets))


# -- who has to open it ---------------------------------------------------------------------------------

READING: dict[str, tuple[str, ...]] = {
    "plan": ("plan", "SPEC", "-C", "ROOT", "--exit-code"),
    "status": ("status", "-C", "ROOT"),
    "verify": ("verify", "-C", "ROOT"),
    "init again": ("init", "SPEC", "-C", "ROOT"),
    "apply without changes": ("apply", "SPEC", "-C", "ROOT", "--yes"),
    "rollback --list": ("rollback", "-C", "ROOT", "--list"),
    "oidc": ("access", "oidc", "jwks", "-C", "ROOT"),
    "explain": ("explain", "dev1", "-C", "ROOT"),
    "bootstrap-token": ("access", "bootstrap-token", "-C", "ROOT", "--out", "PLACE/join"),
    "kubeconfig": ("access", "kubeconfig", "show", "ROOT/users/dev1.conf"),
}


SIGNING: dict[str, tuple[str, ...]] = {
    "apply": ("apply", "CHANGED", "-C", "ROOT", "--yes"),
    "renew": ("renew", "SPEC", "--all", "-C", "ROOT", "--yes"),
    "renew ca": ("renew", "SPEC", "ca", "-C", "ROOT", "--yes"),
    "rotate ca": ("rotate", "ca", "etcd", "SPEC", "-C", "ROOT", "--yes"),
    "rotate ca --prove": ("rotate", "ca", "kubernetes", "SPEC", "-C", "ROOT", "--prove"),
    "rotate sa": ("rotate", "sa", "SPEC", "-C", "ROOT", "--yes"),
    "rotate encryption-key": ("rotate", "encryption-key", "SPEC", "-C", "ROOT", "--yes"),
    "sign": ("access", "sign", "-C", "ROOT", "--csr", "PLACE/dev2.csr", "--user", "dev2"),
    "token": ("access", "token", "-C", "ROOT", "--service-account", "web/bot"),
    "authority decrypt": ("airgap", "authority", "decrypt", "-C", "ROOT", "--yes"),
}


def line(words: tuple[str, ...], place: EncryptedCluster) -> list[str]:
    values = {
        "PLACE": str(place.root.parent),
        "ROOT": str(place.root),
        "SPEC": str(place.spec),
        "CHANGED": str(place.root.parent / "changed.yaml"),
    }
    return [re.sub("PLACE|ROOT|SPEC|CHANGED", lambda found: values[found[0]], word) for word in words]


@pytest.mark.parametrize("name", READING)
def test_who_only_reads_needs_no_key(name: str, place: EncryptedCluster, pkigen: InProcess) -> None:
    result = pkigen(*line(READING[name], place))
    assert result.code == 0, result


@pytest.mark.parametrize("name", SIGNING)
def test_who_signs_must_open_it(name: str, place: EncryptedCluster, pkigen: InProcess) -> None:
    changed_spec = SPEC.replace("[10.0.0.11]\n", "[10.0.0.11, 10.0.0.12]\n")
    (place.root.parent / "changed.yaml").write_text(changed_spec)
    assert pkigen("access", "csr", "new", "--user", "dev2", "--out", place.root.parent).code == 0
    words = line(SIGNING[name], place)
    before = contents(place.root)
    secrets = place.secrets()
    refused = pkigen(*words)
    assert (refused.code, refused.error) == (2, "the authority is encrypted for an age identity")
    stranger = place.root.parent / "stranger.age"
    stranger.touch(mode=0o600)
    stranger.write_text(Identity.generate().text + "\n")
    refused = pkigen(*words, "--identity", stranger)
    assert refused.code == 1
    assert "pki/identity.age cannot be opened" in refused.error
    assert contents(place.root) == before
    done = pkigen(*words, *place.opening)
    assert done.code == 0, done
    assert not any(secret.decode() in done.out + done.err for secret in secrets)
    verified = pkigen("verify", "-C", place.root)
    assert (verified.code, verified.err) == (0, ""), "all that belongs to an encrypted authority is known"
    if name != "authority decrypt":
        assert files_with(place.root, place.secrets(NEVER_ON_NODES)) == set()


def test_bundles_are_signed_with_the_opened_key(place: EncryptedCluster, pkigen: InProcess) -> None:
    node = place.root.parent / "node"
    node.mkdir()
    recipient = pkigen("airgap", "node", "identity", "--root", node).out.strip()
    place.spec.write_text(SPEC.replace("[10.0.0.11]\n", f"[10.0.0.11]\n      ageRecipient: {recipient}\n"))
    assert pkigen("apply", place.spec, "-C", place.root, "--yes", *place.opening).code == 0
    words = ("airgap", "bundle", "create", place.spec, "-C", place.root, "--out", node.parent / "media")
    assert "encrypted for an age identity" in pkigen(*words).error
    assert not (node.parent / "media").exists()
    assert pkigen(*words, "--authority-identity", place.key).code == 0
    pin = pkigen("init", place.spec, "-C", place.root, "-o", "json").json["bundleKey"]
    file = node.parent / "media/home.cp-1.bundle"
    assert (
        pkigen("airgap", "bundle", "verify", file, "--root", node, "--node", "cp-1", "--pin", pin).code == 0
    )


def test_a_whole_rotation_leaves_nothing_open(place: EncryptedCluster, pkigen: InProcess) -> None:
    seen = place.secrets(NEVER_ON_NODES)
    for _ in range(3):
        words = ("rotate", "ca", "kubernetes", "etcd", place.spec, "-C", place.root, "--yes")
        assert pkigen(*words, "--assume-distributed", *place.opening).code == 0
        paths = [str(path.relative_to(place.root)) for path in place.root.glob("pki/**/*ca*.key")]
        seen |= {each for path in paths for each in telling(place.opened(path))}
        assert pkigen("verify", "-C", place.root).code == 0
    assert files_with(place.root, seen) == set()
    record = decode_record((place.root / RECORD_PATH).read_bytes())
    assert record is not None
    assert len(record.keys) == len(PRIVATE), "the record forgets what is gone"
    # Going back needs no key: what is sealed is put back as it is.
    assert pkigen("rollback", "-C", place.root, "--yes", "--force").code == 0
    assert pkigen("verify", "-C", place.root).code == 0
    assert files_with(place.root, seen) == set()


def test_a_saved_plan_is_the_plan_that_is_applied(place: EncryptedCluster, pkigen: InProcess) -> None:
    place.spec.write_text(SPEC.replace("[10.0.0.11]\n", "[10.0.0.11, 10.0.0.12]\n"))
    saved = place.root.parent / "plan.json"
    assert pkigen("plan", place.spec, "-C", place.root, "--save", saved).code == 0
    words = ("apply", place.spec, "-C", place.root, saved, "--yes")
    assert pkigen(*words, *place.opening).code == 0


def test_a_ca_of_ones_own_is_sealed_when_it_is_taken_up(
    plain: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    place = plain.copied(tmp_path / "place")
    own = {path: (place.root / path).read_bytes() for path in ("pki/ca.key", "pki/ca.crt")}
    shutil.rmtree(place.root)
    (place.root / "pki").mkdir(parents=True)
    for path, data in own.items():
        (place.root / path).write_bytes(data)
    (place.root / "pki/ca.key").chmod(0o644)
    words = ("init", place.spec, "-C", place.root, "--encrypt-authority")
    assert pkigen(*words, *place.opening).code == 0
    assert place.opened("pki/ca.key") == own["pki/ca.key"]
    assert stat.S_IMODE((place.root / "pki/ca.key").stat().st_mode) == 0o600
    assert files_with(place.root, telling(own["pki/ca.key"])) == set()
    # Put there in the open, it is a finding, and the next change seals it.
    (place.root / "pki/ca.key").write_bytes(own["pki/ca.key"])
    found = pkigen("verify", "-C", place.root, "-o", "json")
    assert found.code == 4
    assert {each["reason"] for each in found.json["findings"]} == {"not-sealed"}
    assert pkigen("apply", place.spec, "-C", place.root, "--yes", *place.opening).code == 0
    assert files_with(place.root, telling(own["pki/ca.key"])) == set()
    assert pkigen("verify", "-C", place.root).code == 0


def test_ca_keys_on_nodes_do_not_go_with_it(
    place: EncryptedCluster, plain: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    spec = tmp_path / "distributed.yaml"
    spec.write_text(SPEC.replace("{distributeCAKeys: false}", "{}"))
    fresh = pkigen("init", spec, "-C", tmp_path / "new", "--encrypt-authority", *place.opening)
    assert fresh.code == 1
    assert "an unencrypted CA key" in fresh.error
    assert "distributeCAKeys" in fresh.hint
    assert not (tmp_path / "new").exists()
    before = contents(place.root)
    for words in (("plan", spec), ("apply", spec, "--yes", *place.opening)):
        assert "an unencrypted CA key" in pkigen(*words, "-C", place.root).error
    assert contents(place.root) == before
    other = plain.copied(tmp_path / "other")
    assert pkigen("apply", spec, "-C", other.root, "--yes").code == 0
    refused = pkigen("airgap", "authority", "encrypt", "-C", other.root, "--yes", *other.opening)
    assert "an unencrypted CA key" in refused.error


# -- what was changed -----------------------------------------------------------------------------------


def opens(place: EncryptedCluster, paths: tuple[str, ...] = PRIVATE) -> bool:
    """Whether the authority opens, and these private files of it."""
    with Store.open_reading(place.root) as store:
        try:
            sealed = sealed_identity(store)
            assert sealed is not None
            vault = SealedVault.unlock(store, sealed, Identity(place.key.read_text().strip()))
            for path in paths:
                assert vault.open(path, store.read(path).data)
        except PkigenError:
            return False
    return True


@pytest.mark.sweep
def test_any_flipped_bit_is_refused(place: EncryptedCluster, pkigen: InProcess) -> None:
    files = [*PRIVATE, IDENTITY_PATH, RECORD_PATH]
    whole = {path: (place.root / path).read_bytes() for path in files}
    bits = [(path, bit) for path, data in whole.items() for bit in range(len(data) * 8)]
    chance = random.Random(7)  # noqa: S311 -- which bits, not a secret
    tried = 0
    assert opens(place)
    for path, bit in chance.sample(bits, 1000):
        data = bytearray(whole[path])
        data[bit // 8] ^= 1 << bit % 8
        (place.root / path).write_bytes(data)
        if path in PRIVATE and not data.startswith(b"age-encryption.org/v1\n"):
            assert pkigen("plan", place.spec, "-C", place.root, "--exit-code").code != 0
        else:
            assert not opens(place, (path,) if path in PRIVATE else ()), (path, bit)
        (place.root / path).write_bytes(whole[path])
        tried += 1
    assert tried == 1000
    assert opens(place)


@pytest.mark.parametrize("path", [*PRIVATE[:2], "pki/sa.key", IDENTITY_PATH, RECORD_PATH])
def test_with_a_damaged_file_nothing_is_written(
    path: str, place: EncryptedCluster, pkigen: InProcess
) -> None:
    data = bytearray((place.root / path).read_bytes())
    data[-9] ^= 1
    (place.root / path).write_bytes(data)
    before = contents(place.root)
    for words in (
        ("renew", place.spec, "--all", "-C", place.root, "--yes", *place.opening),
        ("access", "token", "-C", place.root, "--service-account", "web/bot", *place.opening),
    ):
        if "token" in words and path in PRIVATE[:2]:
            continue
        assert pkigen(*words).code == 1
    assert changed(before, contents(place.root)) == set()


def test_an_exchanged_key_is_found_out(place: EncryptedCluster, pkigen: InProcess) -> None:
    """Who can write to the directory can seal a key of his own to the recipient, but not into the record."""
    record = json.loads((place.root / RECORD_PATH).read_bytes())
    with Store.open_reading(place.root) as store:
        sealed = sealed_identity(store)
        assert sealed is not None
        vault = SealedVault.unlock(store, sealed, Identity(place.key.read_text().strip()))
    forged = vault.close("pki/sa.key", place.opened("pki/ca.key"))
    (place.root / "pki/sa.key").write_bytes(forged)
    words = ("access", "token", "-C", place.root, "--service-account", "web/bot", *place.opening)
    assert "pki/sa.key was replaced: it is unreadable" in pkigen(*words).error
    renewing = ("renew", place.spec, "--all", "--force", "-C", place.root, "--yes", *place.opening)
    assert pkigen(*renewing).code == 1
    assert pkigen("verify", "-C", place.root).code == 4
    record["keys"] = dict(sorted({**record["keys"], **json.loads(vault.record)["keys"]}.items()))
    (place.root / RECORD_PATH).write_bytes(json.dumps(record, indent=1).encode() + b"\n")
    assert "was changed by something that cannot open the authority" in pkigen(*words).error


@pytest.mark.parametrize(
    "paths",
    [
        ("pki/ca.key", "pki/ca.crt"),
        ("pki/etcd/ca.key", "pki/etcd/ca.crt"),
        ("pki/sa.key", "pki/sa.pub"),
        ("pki/encryption.key",),
        ("pki/bundle.key",),
    ],
)
def test_an_open_key_that_is_laid_over_a_sealed_one_is_refused(
    paths: tuple[str, ...], place: EncryptedCluster, plain: EncryptedCluster, pkigen: InProcess
) -> None:
    for path in paths:
        (place.root / path).write_bytes((plain.root / path).read_bytes())
    before = contents(place.root)
    for words in (
        ("apply", place.spec, "--yes", "--force", "-C", place.root),
        ("renew", place.spec, "--all", "--yes", "--force", "-C", place.root),
        ("access", "token", "-C", place.root, "--service-account", "web/bot"),
    ):
        refused = pkigen(*words, *place.opening)
        assert refused.code == 1
        assert contents(place.root) == before
    refused = pkigen("apply", place.spec, "--yes", "--force", "-C", place.root, *place.opening)
    assert refused.error.startswith(f"{paths[0]} is not encrypted, and is another key than the sealed one")


def test_a_missing_identity_is_no_plain_authority(place: EncryptedCluster, pkigen: InProcess) -> None:
    (place.root / IDENTITY_PATH).unlink()
    assert pkigen("status", "-C", place.root).code == 0
    refused = pkigen("renew", place.spec, "--all", "-C", place.root, "--yes", *place.opening)
    assert "pki/identity.age is missing" in refused.error


# -- passphrases ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def worded(plain: EncryptedCluster, tmp_path_factory: pytest.TempPathFactory) -> EncryptedCluster:
    """An authority that a passphrase opens; never changed."""
    place = plain.copied(tmp_path_factory.mktemp("worded") / "place")
    words = passphrase_file(place.root.parent)
    done = run_program(
        "airgap", "authority", "encrypt", "-C", place.root, "--yes", "--passphrase-file", words
    )
    assert done.code == 0, done
    return place


def test_a_wrong_passphrase_is_refused(worded: EncryptedCluster, tmp_path: Path, pkigen: InProcess) -> None:
    before = contents(worded.root)
    wrong = passphrase_file(tmp_path, WORDS + "s")
    token = ("access", "token", "-C", worded.root, "--service-account", "web/bot", "--passphrase-file")
    refused = pkigen(*token, wrong)
    assert "the passphrase is wrong" in refused.error
    assert WORDS not in refused.err
    wrong.chmod(0o644)
    assert "can be read by others" in pkigen(*token, wrong).error
    assert contents(worded.root) == before


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_automation_hands_the_passphrase_over_by_a_descriptor(
    worded: EncryptedCluster, tmp_path: Path
) -> None:
    """No agent, no argument, no variable: an open descriptor."""
    place = worded.copied(tmp_path / "place")
    trace = tmp_path / "trace"
    reading, writing = os.pipe()
    os.write(writing, f"{WORDS}\n".encode())
    os.close(writing)
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-v", "-s", "99999", "-o", trace, "-e", "trace=execve", *PROGRAM),
            *(
                "access",
                "token",
                "-C",
                str(place.root),
                "--service-account",
                "web/bot",
                "--passphrase-fd",
                str(reading),
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
        pass_fds=(reading,),
        env=unmeasured.environment(),
    )
    os.close(reading)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ey")
    assert "correct" not in trace.read_text() + done.stderr


def on_a_terminal(words: list[str], *, asked: bytes, answer: str) -> tuple[int, bytes]:
    """Run a program that asks at its terminal; its exit code, and what it printed there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(words[0], words)  # noqa: S606 -- the very program
    said = b""
    while asked not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, f"{answer}\n".encode())
    try:
        while more := os.read(terminal, 4096):
            said += more
    except OSError:
        pass  # the other end is closed
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), said


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_the_age_program_opens_every_private_file(
    worded: EncryptedCluster, plain: EncryptedCluster, tmp_path: Path
) -> None:
    """With the passphrase and nothing of pkigen's: `age -d -i pki/identity.age pki/ca.key`."""
    out = tmp_path / "ca.key"
    words = ["age", "-d", "-i", str(worded.root / IDENTITY_PATH), "-o", str(out)]
    code, said = on_a_terminal([*words, str(worded.root / "pki/ca.key")], asked=b"passphrase", answer=WORDS)
    assert code == 0, said
    assert out.read_bytes() == (plain.root / "pki/ca.key").read_bytes()
    identity = tmp_path / "identity"
    identity.touch(mode=0o600)
    identity.write_bytes(Passphrase(WORDS).open((worded.root / IDENTITY_PATH).read_bytes()))
    for path in PRIVATE:
        opened = subprocess.run(
            ["age", "-d", "-i", identity, worded.root / path], capture_output=True, check=True
        ).stdout
        assert opened == (plain.root / path).read_bytes(), path
