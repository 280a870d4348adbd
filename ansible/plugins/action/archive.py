# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Fetch a node's files: the module packs them, the connection brings them, this unpacks them."""

from __future__ import annotations

import os
import tarfile
import tempfile

from ansible.errors import AnsibleActionFail

from ansible import constants as C
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The half of M(pkigen.pki.archive) that runs on the control machine."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        dest = os.path.expanduser(self._task.args.get("dest") or "")
        if not dest:
            raise AnsibleActionFail("dest is needed")
        result.update(dest=dest, changed=True)
        if self._task.check_mode:
            return result
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        folder = self._connection._shell.tmpdir
        target = self._connection._shell.join_path(folder, "node.tar")
        descriptor, name = tempfile.mkstemp(dir=C.DEFAULT_LOCAL_TMP)
        os.close(descriptor)
        try:
            packed = self._execute_module(
                module_name="pkigen.pki.archive",
                module_args=dict(self._task.args, target=target),
                task_vars=task_vars,
            )
            if packed.get("failed"):
                return packed
            self._connection.fetch_file(target, name)
            os.makedirs(dest, 0o700, exist_ok=True)
            os.chmod(dest, 0o700)
            with tarfile.open(name) as archive:
                archive.extractall(dest, members=_members(archive), filter="tar")
        finally:
            os.unlink(name)
            self._remove_tmp_path(folder)
        return result


def _members(archive):
    """Files, directories and links between them; devices and sockets are nothing that is adopted."""
    return [each for each in archive if each.isreg() or each.isdir() or each.issym()]
