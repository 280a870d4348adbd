"""The commands as people run them: at the authority, on the medium, on the node."""

from __future__ import annotations

import hashlib
import os
import pty
import socket
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint
from pkigen.airgap.carrier.format import BundleKind, Label
from pkigen.cli.passphrases import PassphraseSource
from pkigen.crypto.age import Identity
from pkigen.errors import PkigenError, UsageError
from tests.cli.program import HOME, NOW, PROGRAM, InProcess, Result, contents, photograph

if TYPE_CHECKING:
    from pathlib import Path


WORDS = "correct horse battery staple"


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


class Journey:
    """The places of one test."""

    def __init__(self, pkigen: InProcess, place: Path) -> None:
        self.pkigen = pkigen
        self.place = place
        self.node = place / "node"
        self.node.mkdir()
        made = pkigen("airgap", "node", "identity", "--root", self.node)
        assert made.code == 0
        self.recipient = made.out.strip()
        spec = HOME.replace("[10.0.0.11]\n", f"[10.0.0.11]\n      ageRecipient: {self.recipient}\n")
        self.spec = place / "home.yaml"
        self.spec.write_text(spec)
        result = pkigen("init", self.spec, "-C", place / "home")
        assert result.code == 0, result
        self.pin = next(line for line in result.out.splitlines() if line.startswith("bundle key: ")).split()[
            2
        ]
        self.file = place / "media/home.cp-1.bundle"

    def create(self, *more: object) -> str:
        result = self.pkigen(
            "airgap",
            "bundle",
            "create",
            self.spec,
            "-C",
            self.place / "home",
            "--out",
            self.place / "media",
            *more,
        )
        assert result.code == 0, result
        return result.out

    def on_node(self, verb: str, *more: object, pin: bool = True, node: str = "cp-1") -> Result:
        pinned = ("--pin", self.pin) if pin else ()
        named = ("--node", node) if node else ()
        options = ("--root", self.node, *named, *pinned)
        return self.pkigen("airgap", "bundle", verb, self.file, *options, *more)


@pytest.fixture
def journey(pkigen: InProcess, tmp_path: Path) -> Journey:
    return Journey(pkigen, tmp_path)


def test_from_the_authority_to_the_node_and_back(journey: Journey, pkigen: InProcess) -> None:
    out = journey.create()
    assert journey.pin in out
    assert journey.file.stat().st_mode & 0o777 == 0o600
    verified = journey.on_node("verify")
    assert verified.code == 0, verified
    assert "is valid for cp-1 of home" in verified.out
    diff = journey.on_node("diff")
    assert "create /etc/kubernetes/pki/apiserver.key" in diff.out
    before = photograph(journey.node)
    refused = journey.on_node("install")  # nobody answers
    assert refused.code == 1
    assert photograph(journey.node) == before
    installed = journey.on_node("install", "--yes")
    assert installed.code == 0, installed
    assert "then kube-apiserver:" in installed.out
    tree = contents(journey.place / "home")
    there = contents(journey.node)
    for name, data in tree.items():
        if name.startswith("nodes/cp-1/"):
            assert there[name.removeprefix("nodes/cp-1/")] == data
    again = journey.on_node("install", "--yes", pin=False)
    assert "0 files to change" in again.out
    assert pkigen("renew", journey.spec, "apiserver", "-C", journey.place / "home", "--yes").code == 0
    pkigen.now += timedelta(hours=1)
    old = journey.file.read_bytes()
    journey.create("--node", "cp-1")
    second = journey.on_node("install", "--yes", pin=False)
    assert "what was replaced is in backup" in second.out
    new, journey.file = journey.file, journey.place / "old.bundle"
    journey.file.write_bytes(old)
    older = journey.on_node("install", "--yes", pin=False)
    assert "older than what is installed" in older.error
    assert journey.on_node("install", "--yes", "--allow-older", pin=False).code == 0
    journey.file = new
    listed = pkigen("airgap", "bundle", "rollback", "--root", journey.node, "--list")
    assert listed.out.count("bundle install") == 2
    back = pkigen("airgap", "bundle", "rollback", "--root", journey.node, "--yes")
    assert back.code == 0, back
    assert "restore /etc/kubernetes/pki/apiserver.key" in back.out
    assert "remove" not in back.out.splitlines()[-1]
    refused_again = pkigen("airgap", "bundle", "rollback", "--root", journey.node)
    assert "no answer: nothing was changed" in refused_again.error


def test_inspect_shows_no_secrets(journey: Journey, pkigen: InProcess) -> None:
    journey.create()
    label = pkigen("airgap", "bundle", "inspect", journey.file, "--label")
    assert label.code == 0
    assert "the signer is only claimed, not verified" in label.err
    assert journey.recipient in label.out
    whole = pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node, "--pin", journey.pin)
    assert "/etc/kubernetes/pki/apiserver.key" in whole.out
    assert "0600" in whole.out
    assert "BEGIN" not in whole.out
    runbook = pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node, "--runbook")
    assert runbook.out.startswith("node cp-1 (")


def test_inspect_and_diff_for_programs(journey: Journey, pkigen: InProcess) -> None:
    journey.create()
    host = ("--root", journey.node, "--pin", journey.pin)
    shown = pkigen("airgap", "bundle", "inspect", journey.file, *host, "-o", "json").json
    assert (shown["kind"], shown["bundleKind"], shown["signer"]) == ("Bundle", "node", journey.pin)
    tree = contents(journey.place / "home/nodes/cp-1")
    listed = {each["path"].lstrip("/"): each for each in shown["files"]}
    assert tree.keys() == listed.keys() - {"var/lib/pkigen/runbook.txt"}
    for path, data in tree.items():
        assert isinstance(data, bytes)
        assert listed[path]["sha256"] == hashlib.sha256(data).hexdigest()
        assert (
            listed[path]["mode"] == f"{(journey.place / 'home/nodes/cp-1' / path).stat().st_mode & 0o777:04o}"
        )
        assert (listed[path]["owner"], listed[path]["size"]) == ("root:root", len(data))
    outside = pkigen("airgap", "bundle", "inspect", journey.file, "--label", "-o", "yaml").out
    assert yaml.safe_load(outside) == {**shown, "content": None, "files": [], "restarts": []}
    assert pkigen("airgap", "bundle", "inspect", journey.file, *host, "--runbook", "-o", "json").code == 2
    before = journey.on_node("diff", "-o", "json").json
    assert before["kind"] == "BundleDiff"
    assert {each["change"] for each in before["changes"]} == {"create"}
    assert {each["component"] for each in before["restarts"]} >= {"etcd", "kube-apiserver", "kubelet"}
    assert journey.on_node("install", "--yes").code == 0
    stranger = journey.node / "etc/kubernetes/manifests/other.yaml"
    stranger.write_text("")
    after = journey.on_node("diff", "-o", "json").json
    assert {each["change"] for each in after["changes"]} == {"keep"}
    assert (after["left"], after["restarts"]) == (["/etc/kubernetes/manifests/other.yaml"], [])


def test_a_node_is_called_as_its_host_is(journey: Journey) -> None:
    journey.create()
    host = socket.gethostname().lower()
    for verb in ("verify", "diff", "install"):
        result = journey.on_node(verb, node="")
        assert f"it is for another node: cp-1, and this host is {host}" in result.error, result


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (("--pin", "aaaaa-aaaaa-aaaaa-aaaaa-aaaaa"), "is pinned"),
        (("--pin", "nonsense"), "is not a fingerprint"),
        (("--node", "cp-2"), "it is for another node: cp-1, and this host is cp-2"),
        (("--identity", "absent/identity"), "absent/identity cannot be read"),
        (("--max-age", "soon"), "--max-age"),
    ],
)
def test_refusals_on_the_node(journey: Journey, more: tuple[str, ...], error: str) -> None:
    journey.create()
    before = photograph(journey.node)
    for verb in ("verify", "diff", "install"):
        result = journey.on_node(verb, *more)
        assert error in result.error, result
        assert result.code in {1, 2}
    assert photograph(journey.node) == before


def test_what_no_bundle_has_put_there_stays_and_is_said(journey: Journey) -> None:
    journey.create()
    old = journey.node / "etc/kubernetes/manifests/old.yaml"
    old.parent.mkdir(parents=True)
    old.write_text("kind: Pod")
    for verb in ("diff", "install"):
        result = journey.on_node(verb, *(("--yes",) if verb == "install" else ()))
        assert "keep /etc/kubernetes/manifests/old.yaml, which came with no bundle" in result.out, result
    assert old.read_text() == "kind: Pod"
    assert "leave" not in journey.on_node("diff").out.replace(f"keep /{old.relative_to(journey.node)}", "")


def test_a_planted_record_removes_nothing_else(journey: Journey) -> None:
    journey.create()
    assert journey.on_node("install", "--yes").code == 0
    shadow = journey.node / "etc/shadow"
    shadow.write_text("root")
    record = journey.node / "var/lib/pkigen/installed.json"
    record.write_text(record.read_text().replace('"paths": [', '"paths": [\n  "etc/shadow",'))
    before = photograph(journey.node)
    for verb in ("diff", "install"):
        result = journey.on_node(verb, *(("--yes",) if verb == "install" else ()))
        assert (
            "installed.json names 'etc/shadow', which is not a known file of a Kubernetes node"
            in result.error
        )
    assert photograph(journey.node) == before


def test_a_root_that_is_not_there_is_not_made(journey: Journey, pkigen: InProcess) -> None:
    journey.create()
    typo = journey.place / "typo"
    own_keys = journey.place / "own.yaml"
    own_keys.write_text(
        journey.spec.read_text().replace("spec:\n", "spec:\n  certificates: {nodeKeys: node}\n", 1)
    )
    for arguments in (
        ("airgap", "bundle", "install", journey.file, "--pin", journey.pin, "--node", "cp-1", "--yes"),
        ("airgap", "bundle", "verify", journey.file, "--pin", journey.pin, "--node", "cp-1"),
        ("airgap", "bundle", "rollback", "--yes"),
        ("airgap", "bundle", "rollback", "--list"),
        ("airgap", "node", "identity"),
        ("airgap", "node", "identity", "--show"),
        ("airgap", "node", "request", own_keys, "--node", "cp-1", "--out", journey.place),
    ):
        result = pkigen(*arguments, "--root", typo)
        assert (result.code, result.error) == (2, f"{typo} is not a directory"), result
    assert not typo.exists()


def test_going_back_and_forth(journey: Journey, pkigen: InProcess) -> None:
    journey.create()
    assert journey.on_node("install", "--yes").code == 0
    rollback = ("airgap", "bundle", "rollback", "--root", journey.node, "--yes")
    kept = pkigen(*rollback).out.split()[-1]
    again = pkigen(*rollback).out.splitlines()[-1]
    assert again == f"rolled back to before {kept}", "where nothing was replaced, no backup is named"


def test_nothing_to_go_back_to_leaves_no_trace(journey: Journey, pkigen: InProcess) -> None:
    before = photograph(journey.node)
    result = pkigen("airgap", "bundle", "rollback", "--root", journey.node, "--yes")
    assert "has no backup" in result.error
    assert photograph(journey.node) == before


def test_who_is_not_root_is_told(journey: Journey, monkeypatch: pytest.MonkeyPatch) -> None:
    journey.create()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "not run as root: you will own the files" in journey.on_node("install").err


def test_equal_content_has_equal_digests(journey: Journey, pkigen: InProcess) -> None:
    digests = []
    for _ in range(2):
        pkigen.now += timedelta(hours=1)
        journey.create()
        shown = pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node)
        digests.append(next(line for line in shown.out.splitlines() if line.startswith("content SHA-256 ")))
    assert digests[0] == digests[1]
    assert pkigen("renew", journey.spec, "apiserver", "-C", journey.place / "home", "--yes").code == 0
    journey.create()
    assert digests[0] not in pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node).out


def test_inspect_knows_whom_the_host_trusts(journey: Journey, pkigen: InProcess, tmp_path: Path) -> None:
    journey.create()
    assert journey.on_node("install", "--yes").code == 0
    known = pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node, "--label")
    assert known.err == ""
    assert pkigen("init", journey.spec, "-C", tmp_path / "second").code == 0
    made = pkigen(
        "airgap", "bundle", "create", journey.spec, "-C", tmp_path / "second", "--out", tmp_path / "media"
    )
    assert made.code == 0
    other = pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node, "--label")
    assert f"signed by another key than {journey.pin}, which this host trusts" in other.err


def test_a_strangers_runbook_cannot_write_to_the_terminal(
    journey: Journey, pkigen: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pkigen.airgap.bundles.contents.runbook", lambda *_: "first\n\x1b]0;owned\x07\x9bsecond"
    )
    journey.create()
    shown = pkigen("airgap", "bundle", "inspect", journey.file, "--root", journey.node, "--runbook")
    assert "first\n" in shown.out
    assert "\x1b" not in shown.out
    assert "\x9b" not in shown.out


def test_who_is_trusted(journey: Journey, pkigen: InProcess) -> None:
    journey.create()
    result = journey.on_node("install", "--yes", pin=False)
    assert "no bundle key is pinned on this host" in result.error
    assert journey.on_node("install", "--yes").code == 0
    result = pkigen(
        "airgap",
        "bundle",
        "verify",
        journey.file,
        "--root",
        journey.node,
        "--pin",
        "aaaaa-aaaaa-aaaaa-aaaaa-aaaaa",
    )
    assert "this host trusts" in result.error
    assert result.hint.endswith(f" remove {journey.node}/var/lib/pkigen/installed.json first")


def test_a_host_without_an_identity(journey: Journey) -> None:
    journey.create()
    (journey.node / "var/lib/pkigen/identity.age").unlink()
    result = journey.on_node("verify")
    assert "this host has no identity" in result.error


def test_the_authority_must_be_settled(journey: Journey, pkigen: InProcess) -> None:
    journey.spec.write_text(journey.spec.read_text().replace("10.0.0.11", "10.0.0.12"))
    result = pkigen(
        "airgap",
        "bundle",
        "create",
        journey.spec,
        "-C",
        journey.place / "home",
        "--out",
        journey.place / "media",
    )
    assert "does not match the spec: " in result.error
    assert not (journey.place / "media").exists()
    home = journey.place / "home"
    result = pkigen("airgap", "bundle", "create", "-C", home, "--out", journey.place, "--node", "cp-9")
    assert (result.code, result.error) == (2, "there is no node 'cp-9' in this cluster")


def test_a_passphrase_by_file_and_by_descriptor(pkigen: InProcess, tmp_path: Path) -> None:
    spec = tmp_path / "home.yaml"
    spec.write_text(HOME)
    root, node = tmp_path / "home", tmp_path / "node"
    node.mkdir()
    assert pkigen("init", spec, "-C", root).code == 0
    words = tmp_path / "words"
    words.write_text(f"{WORDS}\n")
    command = ("airgap", "bundle", "create", spec, "-C", root, "--out", tmp_path, "--passphrase-file", words)
    assert "can be read by others" in pkigen(*command).error
    words.chmod(0o600)
    made = pkigen(*command)
    assert "everybody who knows the passphrase" in made.out
    pin = made.out.split()[-1]
    file = tmp_path / "home.cp-1.bundle"
    reading, writing = os.pipe()
    os.write(writing, f"{WORDS}\n".encode())
    os.close(writing)
    options = ("--root", node, "--node", "cp-1", "--pin", pin)
    assert pkigen("airgap", "bundle", "verify", file, *options, "--passphrase-fd", reading).code == 0
    words.write_text("another one entirely\n")
    wrong = pkigen("airgap", "bundle", "verify", file, *options, "--passphrase-file", words)
    assert "passphrase is wrong" in wrong.error
    asked = pkigen("airgap", "bundle", "verify", file, *options, "--passphrase-fd", 99)
    assert "--passphrase-fd 99 cannot be read" in asked.error


def test_passphrases_that_will_not_do(tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.touch(0o600)
    source = PassphraseSource(file=file, descriptor=None)
    for content, new, error in (
        (b"", False, "is empty"),
        (b"short", True, "fewer than 12"),
        (b"\xff\xfe", False, "not UTF-8"),
        (b"x" * 5000, False, "larger than"),
    ):
        file.write_bytes(content)
        with pytest.raises(PkigenError, match=error):
            source.read("it", new=new)
    file.write_bytes(f"{WORDS}\r\nsecond line".encode())
    assert source.read("it").text == WORDS
    assert source.is_given
    with pytest.raises(UsageError, match="cannot be combined"):
        PassphraseSource(file=file, descriptor=3).read("it")


def test_a_descriptor_that_gives_too_much_is_refused_however_it_is_read() -> None:
    """Cut off, it would be another passphrase: which one depends on how a pipe is filled."""
    reading, writing = os.pipe()
    os.write(writing, b"x" * 5000)
    os.close(writing)
    with pytest.raises(UsageError, match="more than 4096 bytes"):
        PassphraseSource(file=None, descriptor=reading).read("it", new=True)


def test_a_passphrase_from_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [WORDS, WORDS, WORDS, "something else", "short"]
    monkeypatch.setattr("pkigen.cli.passphrases.getpass.getpass", lambda _question: answers.pop(0))
    monkeypatch.setattr("pkigen.cli.passphrases.TERMINAL", os.devnull)
    source = PassphraseSource(file=None, descriptor=None)
    assert not source.is_given
    assert source.read("it", new=True).text == WORDS
    with pytest.raises(PkigenError, match="the two passphrases differ"):
        source.read("it", new=True)
    with pytest.raises(PkigenError, match="fewer than"):
        source.read("it", new=True)  # found before it is asked for again
    monkeypatch.setattr("pkigen.cli.passphrases.TERMINAL", os.devnull + "/tty")
    with pytest.raises(PkigenError, match="no terminal to ask at"):
        source.read("it")


def test_a_prompt_at_a_real_terminal_shows_nothing() -> None:
    script = (
        "from pkigen.cli.passphrases import PassphraseSource as S\n"
        "print(len(S(file=None, descriptor=None).read('it').text))"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", script])  # noqa: S606
    shown = b""
    while b": " not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, f"{WORDS}\n".encode())
    try:
        while piece := os.read(terminal, 1000):
            shown += piece
    except OSError:
        pass
    os.waitpid(pid, 0)
    assert shown.decode().split() == ["passphrase", "for", "it:", str(len(WORDS))]


def test_the_identity_of_a_node(pkigen: InProcess, tmp_path: Path) -> None:
    made = pkigen("airgap", "node", "identity", "--root", tmp_path)
    assert made.out.startswith("age1")
    assert "AGE-SECRET-KEY" not in made.out + made.err
    assert (tmp_path / "var/lib/pkigen/identity.age").stat().st_mode & 0o777 == 0o600
    assert pkigen("airgap", "node", "identity", "--root", tmp_path, "--show").out == made.out
    assert "exists" in pkigen("airgap", "node", "identity", "--root", tmp_path).error


@pytest.mark.parametrize("linked", ["var", "var/lib", "var/lib/pkigen", "var/lib/pkigen/identity.age"])
@pytest.mark.parametrize("kind", ["elsewhere", "nowhere"])
@pytest.mark.parametrize("command", ["make", "show", "install"])
def test_no_path_leaves_the_root_of_an_image(
    pkigen: InProcess, tmp_path: Path, linked: str, kind: str, command: str
) -> None:
    """The image came from somebody else: what is linked in it leads into the system that it is mounted in."""
    image, outside = tmp_path / "image", tmp_path / "outside"
    image.mkdir()
    assert pkigen("airgap", "node", "identity", "--root", outside_with(outside)).code == 0
    (image / linked).parent.mkdir(parents=True, exist_ok=True)
    (image / linked).symlink_to(outside / (linked if kind == "elsewhere" else "none"))
    before = photograph(outside)
    at = ("--root", image)
    line = {
        "make": ("airgap", "node", "identity", *at),
        "show": ("airgap", "node", "identity", "--show", *at),
        "install": (
            "airgap",
            "bundle",
            "verify",
            sealed_bundle(tmp_path),
            "--node",
            "cp-1",
            "--pin",
            A_PIN,
            *at,
        ),
    }[command]
    failed = pkigen(*line)
    assert failed.code in {1, 2}
    assert failed.out == ""
    assert photograph(outside) == before
    assert (image / linked).is_symlink()
    if command != "install":
        assert failed.error == f"{image / linked} is a symbolic link"


def outside_with(outside: Path) -> Path:
    outside.mkdir()
    return outside


A_KEY = BundleKey(seed=bytes(range(32)))
A_PIN = fingerprint(A_KEY.public)


def sealed_bundle(place: Path) -> Path:
    """A bundle for which the node's identity is asked before anything else of it matters."""
    label = Label(
        kind=BundleKind.NODE,
        cluster="home",
        node="cp-1",
        serial=1,
        created=NOW,
        expires=NOW + timedelta(days=300),
        reader="nobody",
    )
    path = place / "bundle"
    path.write_bytes(write_bundle(label, b"", seal=Identity.generate().recipient, key=A_KEY))
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_identity_that_somebody_else_has_is_none(pkigen: InProcess, tmp_path: Path) -> None:
    pkigen("airgap", "node", "identity", "--root", tmp_path)
    path = tmp_path / "var/lib/pkigen/identity.age"
    os.chown(path, 4711, 4711)
    failed = pkigen("airgap", "node", "identity", "--root", tmp_path, "--show")
    assert failed.error == f"{path} belongs to another user (uid 4711)"
    os.chown(path, 0, 0)
    path.chmod(0o640)
    failed = pkigen("airgap", "node", "identity", "--root", tmp_path, "--show")
    assert failed.error == f"{path} can be read by others (mode 0640)"
    path.chmod(0o600)
    assert pkigen("airgap", "node", "identity", "--root", tmp_path, "--show").code == 0


def test_an_identity_that_was_never_made(pkigen: InProcess, tmp_path: Path) -> None:
    failed = pkigen("airgap", "node", "identity", "--root", tmp_path, "--show")
    assert (failed.code, failed.error) == (2, f"{tmp_path}/var/lib/pkigen/identity.age does not exist")
    assert list(tmp_path.iterdir()) == [], "who only looks leaves nothing"


def test_the_passphrase_is_in_no_argument_and_no_environment(tmp_path: Path) -> None:
    """What `ps e` would show of a run that has read it."""
    script = (
        "import os, sys\n"
        "from pkigen.cli.passphrases import PassphraseSource\n"
        "PassphraseSource(file=None, descriptor=0).read('it')\n"
        "print(open('/proc/self/cmdline').read(), open('/proc/self/environ').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=WORDS, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert WORDS not in done.stdout
    assert PROGRAM[0] in done.stdout


def test_going_back_on_a_node_does_not_trust_again_in_silence(journey: Journey, pkigen: InProcess) -> None:
    journey.create()
    assert journey.on_node("install", "--yes").code == 0
    words = (
        "ca",
        "kubernetes",
        journey.spec,
        "-C",
        journey.place / "home",
        "--yes",
        "--assume-distributed",
    )
    for step in ("prepare", "promote", "finish"):
        assert pkigen("rotate", *words, "--phase", step).code == 0
        journey.create()
        assert journey.on_node("install", "--yes").code == 0
    before = contents(journey.node)
    going_back = ("airgap", "bundle", "rollback", "--root", journey.node, "--yes")
    refused = pkigen(*going_back)
    assert refused.code == 1
    assert refused.error.startswith("the rollback is dangerous: it brings back CA CN=kubernetes (sha256:")
    assert "which /etc/kubernetes/pki/ca.crt no longer trusts" in refused.error
    assert contents(journey.node) == before
    assert pkigen(*going_back, "--force").code == 0


def test_going_back_on_a_node_names_the_key_that_secrets_need(journey: Journey, pkigen: InProcess) -> None:
    text = journey.spec.read_text()
    journey.spec.write_text(text.replace("  users:", "  encryption: {}\n  users:"))
    assert pkigen("apply", journey.spec, "-C", journey.place / "home", "--yes").code == 0
    journey.create()
    assert journey.on_node("install", "--yes").code == 0
    words = ("encryption-key", journey.spec, "-C", journey.place / "home", "--yes", "--assume-distributed")
    for step in ("prepare", "promote", "finish"):
        assert pkigen("rotate", *words, "--phase", step).code == 0
    journey.create()
    assert journey.on_node("install", "--yes").code == 0
    refused = pkigen("airgap", "bundle", "rollback", "--root", journey.node, "--yes")
    assert "it takes a key out of /etc/kubernetes/pki/encryption-config.yaml" in refused.error


def test_going_back_on_a_node_names_the_cipher_that_secrets_need(journey: Journey, pkigen: InProcess) -> None:
    text = journey.spec.read_text()
    for encryption in ("{}", "{resources: ['*.*']}"):
        journey.spec.write_text(text.replace("  users:", f"  encryption: {encryption}\n  users:"))
        assert pkigen("apply", journey.spec, "-C", journey.place / "home", "--yes").code == 0
        journey.create()
        assert journey.on_node("install", "--yes").code == 0
    refused = pkigen("airgap", "bundle", "rollback", "--root", journey.node, "--yes")
    assert "it has API servers no longer read what secretbox has encrypted (*.*)" in refused.error
