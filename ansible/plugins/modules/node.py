#!/usr/bin/python
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Bring a node what pkigen made for it, and have its components take it up."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Bring a node what pkigen made for it, and have its components take it up
description:
  - Without O(tree), O(well) or O(fetch) it reads up to which change the node has everything.
  - Files are compared by their digests. What differs goes to the node as one archive, over the connection
    alone; no content is in an argument, a result, a log, or a file of the control machine.
  - Every file is written beside its target and flushed before the first one is renamed into place; manifests,
    units and flags are renamed last. Owner is root, modes are those of the tree.
  - A component that was started after its files were put in place has read them, and is left alone. So a run
    that was ended goes on where it stopped. Afterwards it must be well, and serve what the step expects.
  - The control machine is no node. Where the connection leads to it, nothing is done, unless O(allow_local).
version_added: 0.1.0
author: The pkigen authors (@pkigen)
options:
  tree:
    description: The node's tree, a directory of the control machine.
    type: path
  step:
    description: >-
      The step of C(pkigen show -o json), or of any other document with C(steps), to be carried out. With
      O(tree) and without a step, the whole tree is brought.
    type: dict
  record:
    description: Record afterwards that the node has everything up to the change of this ID.
    type: str
  well:
    description: Steps whose components must be up now; nothing is restarted.
    type: list
    elements: dict
  fetch:
    description: A tar on the control machine, with mode 0600, that gets what the node has of a cluster.
    type: path
  paths:
    description: What is fetched, as far as it is there.
    type: list
    elements: path
    default:
      - /etc/kubernetes
      - /var/lib/kubelet/config.yaml
      - /var/lib/kubelet/kubeadm-flags.env
      - /var/lib/kubelet/pki
      - /etc/systemd/system/kubelet.service
      - /etc/systemd/system/kubelet.service.d
  units:
    description: By component, the unit that runs it where it is another one than the step says.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for each of what is waited for.
    type: int
    default: 300
  allow_local:
    description: Let the control machine be a node.
    type: bool
    default: false
  files:
    description: Set by the action plugin; by path, the digest and mode of each file.
    type: dict
    default: {}
  archive:
    description: Set by the action plugin; what differs, or where what is fetched goes, on the node.
    type: path
attributes:
  check_mode:
    description: Compares only.
    support: full
  diff_mode:
    description: Names files and components, and never shows what is in them.
    support: full
"""

EXAMPLES = r"""
- name: Carry out a step
  pkigen.pki.node:
    tree: "/srv/pki/prod/nodes/{{ step.node }}"
    step: "{{ step }}"
  delegate_to: "{{ step.node }}"
"""

RETURN = r"""
recorded:
  description: The change up to which the node has everything; empty where it does not know.
  returned: success
  type: str
files:
  description: What was put in place, or differs in check mode.
  returned: success
  type: list
  elements: str
acted:
  description: Whether a component had to act, or would have to.
  returned: success
  type: bool
"""

import fcntl
import os
import tarfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pkigen.pki.plugins.module_utils.component import Component, UnwellError
from ansible_collections.pkigen.pki.plugins.module_utils.files import differing, install, sweep

PLACE = "/var/lib/pkigen"
RECORD = PLACE + "/change"


def main():
    module = AnsibleModule(
        argument_spec={
            "tree": {"type": "path"},
            "step": {"type": "dict"},
            "record": {"type": "str"},
            "well": {"type": "list", "elements": "dict"},
            "fetch": {"type": "path"},
            "paths": {
                "type": "list",
                "elements": "path",
                "default": [
                    "/etc/kubernetes",
                    "/var/lib/kubelet/config.yaml",
                    "/var/lib/kubelet/kubeadm-flags.env",
                    "/var/lib/kubelet/pki",
                    "/etc/systemd/system/kubelet.service",
                    "/etc/systemd/system/kubelet.service.d",
                ],
            },
            "units": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 300},
            "allow_local": {"type": "bool", "default": False},
            "files": {"type": "dict", "default": {}},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        if module.params["fetch"]:
            _pack(module)
        elif module.check_mode:
            _work(module)
        else:
            with _alone(module.params["timeout"]):
                _work(module)
    except (UnwellError, OSError, ValueError, tarfile.TarError) as error:
        module.fail_json(msg=str(error))


def _alone(timeout):
    """A file that is held by one run at a time: what a run that was ended has begun comes to its end."""
    os.makedirs(PLACE, 0o700, exist_ok=True)
    held = open(PLACE + "/lock", "w")  # noqa: SIM115 -- whoever asked for it closes it
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > end:
                held.close()
                raise UnwellError("an earlier run is still at work here") from None
            time.sleep(0.3)
        else:
            return held


def _work(module):
    given = module.params
    for step in given["well"] or []:
        component = _component(module, step)
        if not module.check_mode:
            component.recover()
        component.require_up()
    step = given["step"] or {"kind": "copy"}
    found = {"files": [], "acted": False}
    if given["tree"]:
        found = {"copy": _copy, "component": _act, "remove": _remove}[step["kind"]](module)
    if given["record"] and given["record"] != _recorded() and not module.check_mode:
        with open(RECORD + ".new", "w") as stream:
            stream.write(given["record"] + "\n")
        os.rename(RECORD + ".new", RECORD)
    changed = bool(found["files"]) or found["acted"]
    module.exit_json(changed=changed, recorded=_recorded(), **found)


def _recorded():
    try:
        with open(RECORD) as stream:
            return stream.read().strip()
    except FileNotFoundError:
        return ""


def _component(module, step):
    unit = module.params["units"].get(step["component"])
    return Component(step, unit, module.run_command, module.params["timeout"])


def _copy(module):
    wanted, archive = module.params["files"], module.params["archive"]
    paths = differing("/", wanted)
    if archive:
        try:
            install("/", archive, wanted, paths)
        finally:
            os.unlink(archive)
    elif not module.check_mode:
        sweep("/", wanted)
    return {"files": ["/" + path for path in paths], "acted": False}


def _act(module):
    component = _component(module, module.params["step"])
    if module.check_mode:
        # What is not copied yet is not read yet.
        is_due = module.params["step"]["effect"] != "reloads by itself" and bool(
            differing("/", module.params["files"])
        )
        return {"files": [], "acted": is_due or component.must_act()}
    recovered = component.recover()
    is_due = component.must_act()
    if is_due:
        component.act()
    component.require_up()
    component.require_served()
    return {"files": [], "acted": is_due or recovered}


def _remove(module):
    paths = [path for path in module.params["step"]["removes"] if os.path.lexists(path)]
    for path in paths if not module.check_mode else []:
        os.unlink(path)
    return {"files": paths, "acted": False}


def _pack(module):
    archive = module.params["archive"]
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w") as content:
            for path in module.params["paths"]:
                if os.path.lexists(path):
                    content.add(path, arcname=path.lstrip("/"))
        if os.geteuid() == 0:
            # Who logs in fetches it; what it lies in is his.
            os.fchown(stream.fileno(), os.stat(os.path.dirname(archive)).st_uid, -1)
    module.exit_json(changed=True, recorded=_recorded(), files=[], acted=False)


if __name__ == "__main__":
    main()
