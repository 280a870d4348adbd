# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The files of a node: which differ from those that it must have, and how they are put in place."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile

STARTING = ("etc/kubernetes/manifests/", "etc/kubernetes/flags/", "etc/systemd/system/")


def differing(root, wanted):
    """The paths that are not there as they must be, with mode and owner.

    Raises:
        ValueError: A path leads out of the root directory.
    """
    for path in wanted:
        if os.path.isabs(path) or os.path.normpath(path) != path or path.startswith(".."):
            raise ValueError(f"{path} is no path of a node's tree")
    return [path for path in sorted(wanted) if _differs(os.path.join(root, path), wanted[path])]


def _differs(target, wanted):
    try:
        found = os.lstat(target)
    except OSError:
        return True
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != int(wanted["mode"], 8):
        return True
    if os.geteuid() == 0 and (found.st_uid, found.st_gid) != (0, 0):
        return True
    with open(target, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest() != wanted["sha256"]


def install(root, archive, wanted, paths):
    """Put files in place; everything is beside its target before the first is renamed, manifests come last.

    Raises:
        OSError: Nothing, or not everything, was put in place.
        ValueError: The archive does not hold what is wanted; nothing was put in place.
        tarfile.TarError: Likewise.
    """
    order = sorted(paths, key=lambda path: (path.startswith(STARTING), path))
    staged = []
    try:
        with tarfile.open(archive) as content:
            for path in order:
                try:
                    member = content.extractfile(path)
                except KeyError:
                    member = None
                data = member.read() if member else b""
                if hashlib.sha256(data).hexdigest() != wanted[path]["sha256"]:
                    raise ValueError(f"{path} was not sent as it is")
                staged.append((_staged(os.path.join(root, path), data, int(wanted[path]["mode"], 8)), path))
        while staged:
            name, path = staged[0]
            os.rename(name, os.path.join(root, path))
            staged.pop(0)
    finally:
        for name, _path in staged:
            os.unlink(name)
    for folder in {os.path.dirname(os.path.join(root, path)) for path in order}:
        _flush(folder)


def _staged(target, data, mode):
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    name = _beside(target)
    if os.path.lexists(name):
        os.unlink(name)  # of a run that was ended
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        if os.geteuid() == 0:
            os.fchown(stream.fileno(), 0, 0)
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return name


def _beside(target):
    # The kubelet passes over names that begin with a dot (pkg/kubelet/config/file.go).
    return os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.pkigen")


def sweep(root, wanted):
    """Remove what a run that was ended has left beside its targets."""
    for path in wanted:
        name = _beside(os.path.join(root, path))
        if os.path.lexists(name):
            os.unlink(name)


def _flush(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
