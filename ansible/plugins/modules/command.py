#!/usr/bin/python
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Run a command of pkigen, and have its document."""

from __future__ import annotations

DOCUMENTATION = r"""
module: command
short_description: Run a command of pkigen, and have its document
description:
  - Runs pkigen where the cluster's directory is, with C(-o json), and returns the document.
  - pkigen's documents hold no private byte; nothing else of its output is returned.
  - In check mode O(preview) is run instead, which must change nothing; C(--diff) shows what it prints.
version_added: 0.1.0
author: The pkigen authors (@pkigen)
options:
  directory:
    description: The cluster's directory.
    type: path
    required: true
  arguments:
    description: The command and its options, without C(-C) and C(-o).
    type: list
    elements: str
    required: true
  preview:
    description: What is run in check mode, as text. Without it O(arguments) only reads, and is run there.
    type: list
    elements: str
  program:
    description: How pkigen is called.
    type: list
    elements: str
    default: [pkigen]
  accepted:
    description: Exit codes that are no failure.
    type: list
    elements: int
    default: [0]
attributes:
  check_mode:
    description: Runs O(preview) instead.
    support: full
  diff_mode:
    description: Shows pkigen's plan.
    support: full
"""

EXAMPLES = r"""
- name: Take the next step
  pkigen.pki.command:
    directory: /srv/pki/prod
    arguments: [rotate, sa, --phase, prepare, --yes]
    preview: [rotate, sa, --phase, prepare, --prove]
"""

RETURN = r"""
document:
  description: What pkigen printed; empty in check mode with a preview.
  returned: success
  type: dict
code:
  description: The exit code.
  returned: always
  type: int
said:
  description: The lines on standard error.
  returned: always
  type: list
  elements: str
"""

import json

from ansible.module_utils.basic import AnsibleModule

_PENDING = 3  # a plan says so of changes, which is no failure
_NOTHING = "nothing to do"  # a preview that would do nothing says so; anything else is a change
_CHANGES = ("Applied", "Rotated", "Adopted", "Approved")


def main():
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "arguments": {"type": "list", "elements": "str", "required": True},
            "preview": {"type": "list", "elements": "str"},
            "program": {"type": "list", "elements": "str", "default": ["pkigen"]},
            "accepted": {"type": "list", "elements": "int", "default": [0]},
        },
        supports_check_mode=True,
    )
    given = module.params
    previews = given["preview"] is not None and (module.check_mode or module._diff)
    prepared = ""
    if previews:
        code, prepared, said = _run(module, given["preview"], [])
        if code not in given["accepted"] and code != _PENDING:
            module.fail_json(msg=_reason(said, given["preview"]), code=code, said=said)
    if previews and module.check_mode:
        changed = bool(prepared.strip()) and _NOTHING not in prepared
        module.exit_json(changed=changed, document={}, code=0, said=said, diff={"prepared": prepared})
    code, out, said = _run(module, given["arguments"], ["-o", "json"])
    if code not in given["accepted"]:
        module.fail_json(msg=_reason(said, given["arguments"]), code=code, said=said)
    try:
        document = json.loads(out) if out.strip() else {}
    except ValueError:
        module.fail_json(msg="pkigen has printed no document", code=code, said=said)
    changed = document.get("kind") in _CHANGES and bool(
        document.get("actions", True) or document.get("backup")
    )
    result = {"changed": changed, "document": document, "code": code, "said": said}
    if prepared and changed:
        result["diff"] = {"prepared": prepared}
    module.exit_json(**result)


def _run(module, arguments, more):
    command = module.params["program"] + ["-C", module.params["directory"]] + arguments + more
    code, out, error = module.run_command(command)
    return code, out, error.splitlines()


def _reason(said, arguments):
    """Pkigen's own sentences."""
    told = [line for line in said if line.startswith(("error: ", "hint: "))]
    return f"pkigen {' '.join(arguments[:2])}: {'; '.join(told) or said[-5:]}"


if __name__ == "__main__":
    main()
