#!/usr/bin/python
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Carry out one of pkigen's steps on its node; the action plugin of this name does it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: step
short_description: Carry out one of pkigen's steps on its node
description:
  - A step of C(pkigen show -o json), or of any other document that carries C(steps).
  - A copy is made by M(pkigen.pki.tree), a component is taken care of by M(pkigen.pki.component), and what
    nothing reads any more is removed. Steps that change the membership of etcd are refused, with what is to
    be done.
version_added: 0.1.0
author: The pkigen authors (@pkigen)
options:
  step:
    description: The step.
    type: dict
    required: true
  directory:
    description: The cluster's directory on the control machine.
    type: path
    required: true
  units:
    description: By component, the unit that runs it where it is another one than the step says.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for each of what has to be waited for.
    type: int
    default: 300
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: Names files and components.
    support: full
"""

EXAMPLES = r"""
- name: Carry it out on its node
  pkigen.pki.step:
    step: "{{ step }}"
    directory: /srv/pki/prod
  delegate_to: "{{ step.node }}"
"""

RETURN = r"""
files:
  description: What a copy has written.
  returned: for copies
  type: list
  elements: str
restarted:
  description: Whether a component was restarted.
  returned: for components
  type: bool
"""
