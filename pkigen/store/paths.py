"""Which relative paths the store accepts, and the modes of the directories it makes for them."""

from __future__ import annotations

from pkigen.errors import UnsafePathError
from pkigen.notation import printable

PRIVATE = ".pkigen"
"""The directory of the store's own state."""

BESIDE = ".pkigen-staging"
"""Where a change stages files for a directory on another mount than its own staging; gone at the end."""

NODE_PRIVATE = ("var", "lib", "pkigen", "store")
"""Where that directory is on a node, whose root is no PKI directory."""

# They hold private keys, so the directory itself keeps others out, whatever happens to a file's mode.
PRIVATE_AT_ROOT = frozenset({PRIVATE, "pki", "users"})
_KUBELET = ("var", "lib", "kubelet")
# In bytes; Linux allows 255 in a name (NAME_MAX) and 4096 in a path (PATH_MAX), the root included.
_NAME_MAX = 255
_PATH_MAX = 4000

Parts = tuple[str, ...]

LEDGER_PARTS: Parts = (PRIVATE, "ledger.jsonl")
"""The one file of the store's own state that callers read and write, through the same transactions."""

STAGING_PARTS: Parts = (PRIVATE, "staging")
"""Where a change stages everything."""


def readable_parts(path: str) -> Parts:
    """Split a path that may be read: relative, inside the tree, and not the store's own state.

    Raises:
        UnsafePathError: It is absolute, leads upwards, or is the store's own.
    """
    parts = tuple(path.split("/"))
    if path.startswith("/"):
        raise _refused(path, "is absolute")
    if any(part in {"", ".", ".."} for part in parts):
        raise _refused(path, "has an empty, `.` or `..` component")
    if "\0" in path:
        raise _refused(path, "holds a NUL character")
    own = parts[: len(NODE_PRIVATE)] == NODE_PRIVATE or BESIDE in parts
    if own or (parts[0] == PRIVATE and parts != LEDGER_PARTS):
        raise _refused(path, "is the store's own")
    return parts


def writable_parts(path: str) -> Parts:
    """Split a path that may be written: readable, and free of characters that mislead a person or a shell.

    Raises:
        UnsafePathError: It is not.
    """
    parts = readable_parts(path)
    if "\\" in path or not path.isprintable():
        raise _refused(path, "holds a backslash or an unprintable character")
    if len(path.encode()) > _PATH_MAX or any(len(part.encode()) > _NAME_MAX for part in parts):
        raise _refused(path, "is too long")
    return parts


def directory_mode(parts: Parts) -> int:
    """Give the mode of a directory that the store creates; on a node they are kubeadm's."""
    private = parts[0] == PRIVATE or parts[: len(NODE_PRIVATE)] == NODE_PRIVATE or BESIDE in parts
    if private or (len(parts) == 1 and parts[0] in PRIVATE_AT_ROOT):
        return 0o700
    # kubeadm makes both with 0700 (`util/staticpod/utils.go`, `phases/kubelet/config.go`).
    return 0o700 if parts[-1] == "manifests" or parts[-3:] == _KUBELET else 0o755


def _refused(path: str, reason: str) -> UnsafePathError:
    """The refusal of a path, which is shown without the characters that could mislead."""
    return UnsafePathError(
        f"the path {printable(path) or '(empty)'} {reason}", hint="paths are relative to the PKI directory"
    )
