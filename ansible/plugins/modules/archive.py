#!/usr/bin/python
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Bring a node's files to the control machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive
short_description: Bring a node's files to the control machine
description:
  - Makes the tree of a node that C(pkigen adopt) and C(pkigen verify) read.
  - The files are fetched as one archive over the connection. No content is in an argument, a result or a log.
version_added: 0.1.0
author: The pkigen authors (@pkigen)
options:
  dest:
    description: The directory on the control machine; it gets mode 0700.
    type: path
    required: true
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
  target:
    description: Set by the action plugin.
    type: path
attributes:
  check_mode:
    description: Fetches nothing.
    support: full
  diff_mode:
    description: Nothing is shown.
    support: none
"""

EXAMPLES = r"""
- name: Fetch what the node has
  pkigen.pki.archive:
    dest: "/srv/found/{{ inventory_hostname }}"
"""

RETURN = r"""
dest:
  description: Where it is.
  returned: success
  type: str
"""

import os
import tarfile

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
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
            "target": {"type": "path"},
        },
        supports_check_mode=True,
    )
    target = module.params["target"]
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for path in module.params["paths"]:
                if os.path.lexists(path):
                    archive.add(path, arcname=path.lstrip("/"))
        if os.geteuid() == 0:
            # Who logs in fetches it; what it lies in is his.
            os.fchown(stream.fileno(), os.stat(os.path.dirname(target)).st_uid, -1)
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
