"""An encrypted authority: where it is, how it is opened, and every private line that must not be seen."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyrage

from pkigen.cli.app import run
from pkigen.cli.system import System
from pkigen.crypto.age import Identity
from pkigen.crypto.age_header import is_sealed
from tests.cli.program import HOME, NOW
from tests.samples import Unsynced

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = "  certificates: {distributeCAKeys: false}\n  encryption: {}\n  users:\n"
SPEC = HOME.replace("  users:\n", SETTINGS)
PRIVATE = (
    "pki/ca.key",
    "pki/etcd/ca.key",
    "pki/front-proxy-ca.key",
    "pki/sa.key",
    "pki/encryption.key",
    "pki/bundle.key",
)
NEVER_ON_NODES = (*PRIVATE[:3], "pki/bundle.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedCluster:
    """A directory with a spec, a tree, and the key that opens it."""

    root: Path
    spec: Path
    key: Path

    @classmethod
    def made(cls, place: Path, *, encrypted: bool = True) -> EncryptedCluster:
        """A small cluster that was made just now."""
        spec, root, key = place / "home.yaml", place / "home", place / "operator.age"
        spec.write_text(SPEC)
        key.touch(mode=0o600)
        key.write_text(Identity.generate().text + "\n")
        more = ("--encrypt-authority", "--identity", str(key)) if encrypted else ()
        system = System(clock=lambda: NOW, filesystem=Unsynced())
        assert run(["init", str(spec), "-C", str(root), *more], system=system) == 0
        return cls(root=root, spec=spec, key=key)

    def copied(self, to: Path) -> EncryptedCluster:
        """One's own."""
        shutil.copytree(self.root.parent, to, symlinks=True)
        return EncryptedCluster(root=to / "home", spec=to / "home.yaml", key=to / "operator.age")

    @property
    def opening(self) -> tuple[object, ...]:
        """What opens it, on the command line."""
        return ("--identity", self.key)

    def opened(self, path: str) -> bytes:
        """A private file as `age` would open it: nothing of pkigen's takes part."""
        return opened(self.root, path, self.key)

    def opened_or_open(self, path: str) -> bytes:
        """A private file's content, however it is kept."""
        data = (self.root / path).read_bytes()
        return self.opened(path) if is_sealed(data) else data

    def secrets(self, paths: tuple[str, ...] = PRIVATE) -> set[bytes]:
        """What gives each of the private files away."""
        return {line for path in paths for line in telling(self.opened(path))}

    def sealed(self) -> dict[str, bytes]:
        """The private files as they lie on the disk."""
        return {path: (self.root / path).read_bytes() for path in PRIVATE}


def opened(root: Path, path: str, key: Path) -> bytes:
    """Open the identity with the operator's key, and a private file with the identity."""
    operator = pyrage.x25519.Identity.from_str(key.read_text().strip())
    inner = pyrage.decrypt((root / "pki/identity.age").read_bytes(), [operator]).decode().strip()
    return pyrage.decrypt((root / path).read_bytes(), [pyrage.x25519.Identity.from_str(inner)])


def telling(content: bytes) -> set[bytes]:
    """The line of a private file that gives it away: the scalar is in the first 48 bytes of an EC key."""
    return {content.removeprefix(b"-----BEGIN EC PRIVATE KEY-----\n").split(b"\n")[0]}


def files_with(root: Path, secrets: set[bytes]) -> set[str]:
    """Every file below a directory, pkigen's own and backups included, that holds one of these lines."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    }


WORDS = "correct horse battery staple"


def passphrase_file(place: Path, words: str = WORDS) -> Path:
    path = place / "words"
    path.touch(mode=0o600)
    path.write_text(words + "\n")
    return path
