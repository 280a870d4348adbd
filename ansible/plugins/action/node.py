# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The half of pkigen.pki.node that runs on the control machine: it reads the tree, and sends what differs."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

_INCOMING = "/var/lib/pkigen/incoming"
_HERE = ("localhost", "127.0.0.1", "::1")
_MODULE = "pkigen.pki.node"


class ActionModule(ActionBase):
    """Compares, sends, installs; or packs and fetches."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = dict(self._task.args)
        self._require_node(given)
        step = given.get("step") or {"kind": "copy"}
        if given.get("fetch"):
            result.update(self._fetch(given, task_vars))
            return result
        if step["kind"] == "member":
            raise AnsibleActionFail(
                f"{step['sentence']}: that is done by hand, with the runbook (`pkigen show --runbook DIR`)"
            )
        if (step.get("copies") or {}).get("sealed"):
            raise AnsibleActionFail(
                f"the keys of {step['node']} are there alone: pkigen.pki.enrol brings it its bundle"
            )
        if given.get("tree"):
            given["files"] = _files(given["tree"], step)
        found = self._execute_module(module_name=_MODULE, module_args=given, task_vars=task_vars)
        is_to_send = step["kind"] == "copy" and found.get("files") and not self._task.check_mode
        if is_to_send and not found.get("failed"):
            self._send(given["tree"], found["files"])
            given["archive"] = _INCOMING
            found = self._execute_module(module_name=_MODULE, module_args=given, task_vars=task_vars)
        found.pop("invocation", None)  # digests of every file
        result.update(found)
        if self._task.diff and found.get("changed"):
            result["diff"] = {"prepared": _told(found, step)}
        return result

    def _require_node(self, given):
        """See that the connection does not lead to this very machine.

        Raises:
            AnsibleActionFail: It does, and nobody has allowed it.
        """
        connection = self._connection
        address = "" if connection.transport == "local" else connection.get_option("host")
        is_here = connection.transport == "local" or address in _HERE
        if is_here and not boolean(given.get("allow_local", False)):
            node = self._task.delegate_to or self._play_context.remote_addr
            raise AnsibleActionFail(
                f"the connection to {node} leads to the control machine, which would be changed in its "
                "place: nothing was done. Leave `connection: local` out, give the node its address, or set "
                "pkigen_allow_local if this machine is the node"
            )

    def _send(self, tree, paths):
        """Stream an archive of these files to the node; it is nowhere else."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for path in paths:
                archive.add(os.path.join(tree, path.lstrip("/")), arcname=path.lstrip("/"))
        done = self._low_level_execute_command(
            f"umask 077 && cat >{_INCOMING}", sudoable=True, in_data=content.getvalue()
        )
        if done["rc"] != 0:
            raise AnsibleActionFail(
                f"the files were not sent, and nothing was put in place: {done['stderr']}"
            )

    def _fetch(self, given, task_vars):
        dest = given["fetch"]
        if self._task.check_mode:
            return {"changed": True}
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        folder = self._connection._shell.tmpdir
        remote = self._connection._shell.join_path(folder, "node.tar")
        try:
            packed = self._execute_module(
                module_name=_MODULE, module_args=dict(given, archive=remote), task_vars=task_vars
            )
            if packed.get("failed"):
                return packed
            # For its owner alone from the first byte; pkigen reads it as it is, and unpacks nothing.
            os.makedirs(os.path.dirname(dest), 0o700, exist_ok=True)
            os.close(os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            self._connection.fetch_file(remote, dest)
        finally:
            self._remove_tmp_path(folder)
        return {"changed": True}


def _files(tree, step):
    """What is to be there, by path, with digest and mode: all of the tree, or what the step is about."""
    if not os.path.isdir(tree):
        raise AnsibleActionFail(f"{tree} is no directory of this machine")
    found = {}
    for folder, _folders, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, tree)
            if os.path.islink(path) or not _is_of(step, "/" + inside):
                continue
            with open(path, "rb") as stream:
                digest = hashlib.sha256(stream.read()).hexdigest()
            found[inside] = {"sha256": digest, "mode": f"{os.stat(path).st_mode & 0o777:04o}"}
    return found


def _is_of(step, path):
    if step["kind"] != "copy":
        return path in step["files"]
    copies = step.get("copies") or {"only": [], "but": []}
    if any(path.startswith(each + "/") for each in copies["but"]):
        return False
    return not copies["only"] or any(path.startswith(each + "/") for each in copies["only"])


def _told(found, step):
    if found.get("files"):
        return "".join(f"~ {path}\n" for path in found["files"])
    return f"{step['component']} on {step['node']}: {step['effect']}\n"
