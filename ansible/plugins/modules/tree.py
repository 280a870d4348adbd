#!/usr/bin/python
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Put a node's files in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tree
short_description: Put a node's files in place
description:
  - Copies what lies below a directory of the control machine over a host's root directory, with the modes
    that it has there, and root as its owner.
  - Only what differs is sent, as one archive, over the connection alone. No content is in an argument, a
    result or a log.
  - Every file is written beside its target and flushed before the first one is renamed into place; manifests,
    units and flags are renamed last. Nothing is removed.
version_added: 0.1.0
author: The pkigen authors (@pkigen)
options:
  source:
    description: The directory on the control machine.
    type: path
    required: true
  only:
    description: Directories of the host; if there are any, nothing else is copied.
    type: list
    elements: path
    default: []
  but:
    description: Directories of the host that are left out.
    type: list
    elements: path
    default: []
  root:
    description: What is taken for the host's root directory.
    type: path
    default: /
  files:
    description: Set by the action plugin; the path, digest and mode of each file.
    type: list
    elements: dict
    default: []
  archive:
    description: Set by the action plugin; what differs, on the host.
    type: path
attributes:
  check_mode:
    description: Compares only.
    support: full
  diff_mode:
    description: Names the files, and never shows what is in them.
    support: full
"""

EXAMPLES = r"""
- name: Give the node its own files
  pkigen.pki.tree:
    source: "/srv/pki/prod/nodes/{{ inventory_hostname }}"
"""

RETURN = r"""
files:
  description: What was written, or differs in check mode.
  returned: success
  type: list
  elements: str
"""

import hashlib
import os
import stat
import tarfile

from ansible.module_utils.basic import AnsibleModule

STARTING = ("etc/kubernetes/manifests/", "etc/kubernetes/flags/", "etc/systemd/system/")


def main():
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "only": {"type": "list", "elements": "path", "default": []},
            "but": {"type": "list", "elements": "path", "default": []},
            "root": {"type": "path", "default": "/"},
            "files": {"type": "list", "elements": "dict", "default": []},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    root = module.params["root"]
    wanted = {each["path"]: each for each in module.params["files"]}
    for path in wanted:
        if os.path.isabs(path) or os.path.normpath(path) != path or path.startswith(".."):
            module.fail_json(msg="%s is no path of a node's tree" % path)
    differing = [path for path in sorted(wanted) if _differs(os.path.join(root, path), wanted[path])]
    if module.params["archive"] and not module.check_mode:
        try:
            _install(root, module.params["archive"], wanted, differing)
        except (OSError, ValueError) as error:
            module.fail_json(msg="nothing was put in place: %s" % error)
    module.exit_json(changed=bool(differing), files=["/" + path for path in differing], paths=differing)


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


def _install(root, archive, wanted, differing):
    """Everything is beside its target before the first file is renamed: who is interrupted has old files."""
    order = sorted(differing, key=lambda path: (path.startswith(STARTING), path))
    staged = []
    try:
        with tarfile.open(archive) as content:
            for path in order:
                member = content.extractfile(path)
                data = member.read() if member else b""
                if hashlib.sha256(data).hexdigest() != wanted[path]["sha256"]:
                    raise ValueError("%s was not sent as it is" % path)
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
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        os.makedirs(folder, 0o755)
    # A name that no kubelet takes for a manifest: it passes over what begins with a dot.
    name = os.path.join(folder, ".%s.pkigen" % os.path.basename(target))
    if os.path.lexists(name):
        os.unlink(name)  # of a run that was ended
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        if os.geteuid() == 0:
            os.fchown(stream.fileno(), 0, 0)
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return name


def _flush(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
