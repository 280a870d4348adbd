"""No private key is in the repository: tests that need one make it, and the sample output withholds them."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent.parent

_PEM_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}")
_ENCODED = re.compile(rb"[A-Za-z0-9+/]{200,}={0,2}")


def private_keys(content: bytes) -> list[bytes]:
    """PEM private keys with a body, as they are or in base64, as kubeconfigs hold them."""
    found: list[bytes] = _PEM_KEY.findall(content)
    for encoded in _ENCODED.findall(content):
        whole = encoded.rstrip(b"=")
        found += _PEM_KEY.findall(base64.b64decode(whole[: len(whole) // 4 * 4]))
    return found


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (TOP / ".git").exists():
        pytest.skip("this is no Git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True).stdout
    return [TOP / name for name in listing.decode().split("\0") if name]


def test_no_tracked_file_holds_a_private_key() -> None:
    holders = [path for path in tracked() if path.is_file() and private_keys(path.read_bytes())]
    assert holders == []


@pytest.mark.parametrize("wrap", [bytes, base64.b64encode])
def test_a_planted_key_is_found(wrap: type[bytes]) -> None:
    body = base64.b64encode(bytes(range(200)))
    planted = b"-----BEGIN EC PRIVATE " + b"KEY-----\n" + body + b"\n"
    assert private_keys(b"client-key-data: " + wrap(planted) + b"\n")


def test_a_placeholder_is_no_key() -> None:
    assert not private_keys(b"-----BEGIN RSA PRIVATE " + b"KEY-----\n(withheld)\n")
