# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Send a node's files: the module compares, what differs goes over the connection, the module installs."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile

from ansible.errors import AnsibleActionFail
from ansible_collections.pkigen.pki.plugins.plugin_utils.hosts import require_its_host

from ansible import constants as C
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The half of M(pkigen.pki.tree) that runs on the control machine."""

    TRANSFERS_FILES = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        require_its_host(self._task, self._connection, task_vars)
        given = dict(self._task.args)
        source = os.path.expanduser(given.get("source") or "")
        if not os.path.isdir(source):
            raise AnsibleActionFail("%s is no directory of this machine" % source)
        given["files"] = _files(source, given.get("only") or [], given.get("but") or [])
        compared = self._module(given, task_vars)
        if compared.get("failed") or not compared.get("changed") or self._task.check_mode:
            return self._told(result, compared)
        archive = _archive(source, compared["paths"])
        try:
            target = self._connection._shell.join_path(self._remote_tmp(), "tree.tar")
            self._transfer_file(archive, target)
            self._fixup_perms2((self._remote_tmp(), target))
        finally:
            os.unlink(archive)
        try:
            installed = self._module(dict(given, archive=target), task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return self._told(result, installed)

    def _remote_tmp(self):
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        return self._connection._shell.tmpdir

    def _module(self, arguments, task_vars):
        return self._execute_module(module_name="pkigen.pki.tree", module_args=arguments, task_vars=task_vars)

    def _told(self, result, found):
        found.pop("invocation", None)  # a digest of every file in each result would say nothing
        paths = found.pop("paths", [])
        result.update(found)
        if self._task.diff and paths:
            result["diff"] = {"prepared": "".join("~ /%s\n" % path for path in paths)}
        return result


def _files(source, only, but):
    """What is to be there, with its digest and its mode."""
    found = []
    for folder, _folders, names in os.walk(source):
        for name in sorted(names):
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, source)
            if os.path.islink(path) or not _is_chosen("/" + inside, only, but):
                continue
            with open(path, "rb") as stream:
                digest = hashlib.sha256(stream.read()).hexdigest()
            mode = "%04o" % (os.stat(path).st_mode & 0o777)
            found.append({"path": inside, "sha256": digest, "mode": mode})
    return found


def _is_chosen(path, only, but):
    if any(path.startswith(each.rstrip("/") + "/") for each in but):
        return False
    return not only or any(path.startswith(each.rstrip("/") + "/") for each in only)


def _archive(source, paths):
    """A file that only its owner may read, with these files."""
    descriptor, name = tempfile.mkstemp(dir=C.DEFAULT_LOCAL_TMP)
    with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path in paths:
            archive.add(os.path.join(source, path), arcname=path)
    return name
