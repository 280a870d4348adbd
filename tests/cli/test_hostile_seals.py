"""Wherever a file sealed with a passphrase is opened, it does not decide how much memory that takes."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint
from pkigen.airgap.carrier.format import BundleKind, Label
from pkigen.cli import app
from pkigen.crypto import age_scrypt
from pkigen.state.seals import IDENTITY_PATH
from tests.cli.program import NOW, InProcess
from tests.state.encrypted_cluster import EncryptedCluster

if TYPE_CHECKING:
    from pathlib import Path

HEAD = f"age-encryption.org/v1\n-> scrypt {'A' * 22} 23\n{b64encode(bytes(32)).decode().rstrip('=')}\n"
EIGHT_GIB = f"{HEAD}--- {'A' * 43}\n".encode() + bytes(64)
REFUSED = "it asks for 2^23 of scrypt's work, and no more than 2^18 is done"
KEY = BundleKey(seed=bytes(range(32)))


class EightGib:
    """Seals as somebody does who wants the reader's machine to end."""

    reader = "passphrase"

    def close(self, data: bytes) -> bytes:  # noqa: ARG002 -- what is in it does not matter
        return EIGHT_GIB


@pytest.fixture(autouse=True)
def no_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def stretched(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(age_scrypt, "_stretched", stretched)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.touch(mode=0o600)
    path.write_text("correct horse battery staple\n")
    return path


def carried(place: Path, kind: BundleKind) -> Path:
    label = Label(
        kind=kind,
        cluster="home",
        node="authority" if kind is BundleKind.RESCUE else "cp-1",
        serial=1,
        created=NOW,
        expires=NOW + timedelta(days=300),
        reader="passphrase",
    )
    path = place / "carried"
    path.write_bytes(write_bundle(label, b"", seal=EightGib(), key=KEY))
    return path


@pytest.mark.parametrize("command", ["verify", "diff", "install", "inspect"])
def test_a_bundle(pkigen: InProcess, tmp_path: Path, words: Path, command: str) -> None:
    file = carried(tmp_path, BundleKind.NODE)
    (tmp_path / "node").mkdir()
    at = ("--root", tmp_path / "node", "--pin", fingerprint(KEY.public), "--passphrase-file", words)
    named = () if command == "inspect" else ("--node", "cp-1")
    done = pkigen("airgap", "bundle", command, file, *at, *named)
    assert (done.code, done.error) == (1, REFUSED)
    assert list((tmp_path / "node").rglob("*")) == []


def test_a_rescue_kit(pkigen: InProcess, tmp_path: Path, words: Path) -> None:
    """Here nothing is pinned: whoever hands over the file has signed it."""
    file = carried(tmp_path, BundleKind.RESCUE)
    done = pkigen("rescue", file, "-C", tmp_path / "home", "--passphrase-file", words, "--yes")
    assert (done.code, done.error) == (1, REFUSED)
    assert not (tmp_path / "home").exists()


def test_an_encrypted_authority(pkigen: InProcess, tmp_path: Path, words: Path) -> None:
    place = EncryptedCluster.made(tmp_path)
    (place.root / IDENTITY_PATH).write_bytes(EIGHT_GIB)
    done = pkigen("renew", place.spec, "apiserver", "-C", place.root, "--passphrase-file", words, "--yes")
    assert (done.code, done.error) == (1, f"{IDENTITY_PATH} cannot be opened: {REFUSED}")


class PanicError(BaseException):
    """As a library in Rust raises it: no Exception, and of a module that nobody can import."""

    __module__ = "pyo3_runtime"


def test_a_panic_of_a_library_is_words_too(pkigen: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> int:
        raise PanicError("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr(app, "_invoke", panic)
    code = app.run(["status"])
    captured = pkigen.capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert captured.err.startswith("error: internal error: PanicError\nhint: this is a bug")
    assert "unwrap" not in captured.err
