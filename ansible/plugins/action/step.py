# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Carry out one of pkigen's steps on its node, by the module that knows its kind."""

from __future__ import annotations

import os

from ansible.errors import AnsibleActionFail
from ansible_collections.pkigen.pki.plugins.plugin_utils.hosts import require_its_host

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Copies go to M(pkigen.pki.tree), components to M(pkigen.pki.component)."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        require_its_host(self._task, self._connection, task_vars)
        step, directory = self._task.args.get("step"), self._task.args.get("directory")
        if not isinstance(step, dict) or "kind" not in step or not directory:
            raise AnsibleActionFail("step and directory are needed")
        if step["kind"] == "copy":
            copies = step["copies"]
            if copies["sealed"]:
                raise AnsibleActionFail(
                    "the keys of %s are there alone: playbook enrol brings it its bundle" % step["node"]
                )
            arguments = {
                "source": os.path.join(directory, copies["source"]),
                "only": copies["only"],
                "but": copies["but"],
            }
            result.update(self._other("tree", arguments, task_vars))
        elif step["kind"] == "component":
            arguments = {
                "step": step,
                "unit": (self._task.args.get("units") or {}).get(step["component"]),
                "timeout": int(self._task.args.get("timeout") or 300),
            }
            result.update(
                self._execute_module(
                    module_name="pkigen.pki.component", module_args=arguments, task_vars=task_vars
                )
            )
            result.pop("invocation", None)
        elif step["kind"] == "remove":
            result.update(self._remove(step, task_vars))
        else:
            raise AnsibleActionFail(
                "etcd's members change, which is done by hand: %s (`pkigen show --runbook DIR` writes how)"
                % step["sentence"]
            )
        return result

    def _other(self, name, arguments, task_vars):
        """Another action of this collection, for the same host."""
        task = self._task.copy()
        task.args = arguments
        action = self._shared_loader_obj.action_loader.get(
            "pkigen.pki.%s" % name,
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return action.run(task_vars=task_vars)

    def _remove(self, step, task_vars):
        changed = False
        for path in step["removes"]:
            done = self._execute_module(
                module_name="ansible.builtin.file",
                module_args={"path": path, "state": "absent"},
                task_vars=task_vars,
            )
            if done.get("failed"):
                return done
            changed = changed or done.get("changed", False)
        return {"changed": changed}
