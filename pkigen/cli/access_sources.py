"""What the commands for people and workloads read: small files, and what a cluster is trusted by."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from pkigen.cli.session import Session
from pkigen.desired.generations import CA
from pkigen.errors import AccessError
from pkigen.state.authority import certificates_of
from pkigen.state.authority_record import require_recorded
from pkigen.state.observed import Reader

# Whatever is larger is no certificate, key or token, and was named by mistake.
LARGEST_REFERENCE = 1 << 20


def trust_bundle(session: Session, reader: Reader) -> bytes:
    """What clients verify the API server's certificate with.

    Raises:
        AccessError: There is no CA, or a rotation is only half prepared.
        AuthorityError: The authority is another one than is recorded.
    """
    # Before the CA is read: one that somebody has put in its place would make the new kubeconfig's owner
    # trust that somebody's server.
    require_recorded(reader)
    found = certificates_of(reader, session.inventory, CA.KUBERNETES, now=session.now)
    bundle = found.trust_bundle if found is not None else None
    if bundle is None:
        raise AccessError("the PKI directory has no complete CA", hint="`pkigen plan` says what is missing")
    return bundle


def leads_to(text: str, kind: Callable[[Path], bool]) -> bool:
    """Whether a text is the path of a thing of this kind, such as `Path.is_file`.

    An error message or a token is no path; one that is longer than any path may be makes `stat` fail with
    ENAMETOOLONG, where `Path.is_file` would raise.
    """
    try:
        return kind(Path(text))
    except OSError:
        return False


def read_bounded(path: Path, *, limit: int) -> bytes:
    """The bytes of a file, or of standard input for `-`, and one more than `limit` at most.

    Raises:
        AccessError: It cannot be read.
    """
    return sys.stdin.buffer.read(limit + 1) if str(path) == "-" else _read_file(path, limit)


def _read_file(path: Path, limit: int) -> bytes:
    """The same of a file alone; raises `AccessError` where it cannot be read."""
    try:
        with path.open("rb") as stream:
            # By the one byte more the caller tells a file that is too large from one that fits exactly.
            return stream.read(limit + 1)
    # ValueError: the name holds a NUL, which `open` refuses before it asks the system.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise AccessError(
            f"{path} cannot be read: {reason.lower() if reason else 'this is not a file name'}"
        ) from None


def reference_reader(kubeconfig: Path) -> Callable[[Path], bytes | str]:
    """What reads the files that a kubeconfig names, or says why there are none."""
    return lambda path: read_reference(_at_node(kubeconfig, path))


def _at_node(kubeconfig: Path, path: Path) -> Path:
    """Where a file stands that a kubeconfig names: in a node's tree, or a copy of it, below its root."""
    # What copies a node, by tar or rsync, keeps etc/kubernetes below the copy's root; the kubeconfig in it
    # goes on naming /etc and /var/lib, which on this machine are somebody else's.
    root = next((each for each in kubeconfig.absolute().parents if each.name == "etc"), None)
    if root is None or not path.is_absolute():
        return path
    inside = root.parent / path.relative_to("/")
    # A kubeconfig of this host lies below an etc, too, as does a copy that lacks what it names.
    return inside if inside.is_file() else path


def referenced(path: Path) -> bytes:
    """The bytes of a file that a kubeconfig names by its path here.

    Its author is seldom who runs the command: what would wait for somebody, such as a terminal, a pipe or
    standard input, is not read.

    Raises:
        AccessError: It cannot be read, or is too large to be a certificate, a key or a token.
    """
    if leads_to(str(path), Path.exists) and not path.is_file():
        raise AccessError(f"{path} is not a regular file")
    data = _read_file(path, LARGEST_REFERENCE)
    if len(data) > LARGEST_REFERENCE:
        raise AccessError(f"{path} is larger than {LARGEST_REFERENCE >> 20} MiB, the limit for a certificate")
    return data


def read_reference(path: Path) -> bytes | str:
    """The same, or why there are none."""
    try:
        return referenced(path)
    except AccessError as error:
        return error.message
