# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Which machine a task is about to change."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail


def require_its_host(task, connection, task_vars):
    """See that a delegated task reaches its node: with `connection: local` in a play it would run here.

    Raises:
        AnsibleActionFail: The control machine would get the node's files.
    """
    node = task.delegate_to
    if not node or connection.transport != "local":
        return
    if (task_vars or {}).get("hostvars", {}).get(node, {}).get("ansible_connection") != "local":
        raise AnsibleActionFail(
            "%s would not be reached, and the control machine be changed in its place: leave `connection: "
            "local` out of the play" % node
        )
