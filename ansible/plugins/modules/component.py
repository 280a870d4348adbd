#!/usr/bin/python
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Have a component of a node take up its new files, and see that it is well."""

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Have a component of a node take up its new files
description:
  - Carries out one step of kind C(component) of pkigen's C(steps) on its node.
  - A component that was started after its files were put in place has read them, and is left alone. So a
    run that was ended goes on where it stopped, without a record of its own.
  - Afterwards it waits until the component is up, and until its endpoints serve the certificates that the
    step expects.
version_added: 0.1.0
author: The pkigen authors (@pkigen)
options:
  step:
    description: The step, as C(pkigen show -o json) has it.
    type: dict
    required: true
  unit:
    description: The unit that runs the component, where it is another one than the step says, such as C(k3s).
    type: str
  timeout:
    description: Seconds to wait for each of what has to be waited for.
    type: int
    default: 300
attributes:
  check_mode:
    description: Says whether the component has to restart.
    support: full
  diff_mode:
    description: Says the same.
    support: full
"""

EXAMPLES = r"""
- name: Have it take up its files
  pkigen.pki.component:
    step: "{{ step }}"
"""

RETURN = r"""
restarted:
  description: Whether it was restarted, started or recreated.
  returned: success
  type: bool
"""

import hashlib
import os
import socket
import ssl
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

try:
    from urllib.error import HTTPError
except ImportError:  # pragma: no cover -- Python 2 is no target; sanity tests import it all the same
    HTTPError = OSError

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", 7)
RELOADS, RECREATED, STARTS = "reloads by itself", "recreated by the kubelet", "starts for the first time"
_OK = 200
AWAY = "/etc/kubernetes/%s.yaml.away"


class UnwellError(Exception):
    """A component that is not as it should be; the message says which and how."""


class Component:
    """What runs on this node."""

    def __init__(self, module):
        step = module.params["step"]
        process = step.get("process") or {}
        self.module = module
        self.name = step["component"]
        self.node = step["node"]
        self.effect = step["effect"]
        self.manifest = process.get("manifest")
        self.unit = module.params["unit"] or process.get("unit")
        if module.params["unit"]:
            self.manifest = None
        self.files = step.get("files") or []
        self.removes = [path for path in step.get("removes") or [] if os.path.lexists(path)]
        self.forgets = step.get("forgets") or []
        self.health = step.get("health")
        self.evidence = [each for each in step.get("evidence") or [] if each.get("sha256")]
        self.deadline = module.params["timeout"]

    # -- what is there -----------------------------------------------------------------------------------

    def age(self):
        """Seconds since it was started; None where it does not run."""
        ages = [age for age in map(_age_of, self._processes()) if age is not None]
        return min(ages) if ages else None

    def _processes(self):
        if self.unit:
            code, out, _error = self.module.run_command(
                ["systemctl", "show", "--property=MainPID", "--value", self.unit]
            )
            found = out.strip()
            return [found] if code == 0 and found not in ("", "0") else []
        return [each for each in os.listdir("/proc") if each.isdigit() and _program(each) == self.name]

    def is_behind(self):
        """Whether it runs with older files than those that are there; one that does not run is."""
        age = self.age()
        if age is None:
            return True
        changed = [time.time() - os.lstat(path).st_ctime for path in self.files if os.path.lexists(path)]
        # Within a tenth of a second nobody can tell.
        return bool(changed) and age >= min(changed) - 0.1

    def must_restart(self):
        return self.effect != RELOADS and self.is_behind()

    # -- what is done ------------------------------------------------------------------------------------

    def recover(self):
        """A manifest that an earlier run has taken away and not put back."""
        away = AWAY % self.name
        if self.manifest and os.path.lexists(away):
            if os.path.lexists(self.manifest):
                os.unlink(away)
            else:
                os.rename(away, self.manifest)
            return True
        return False

    def take_up(self):
        for path in self.removes:
            if path.endswith(".service"):
                self._systemctl("disable", "--now", self.name)
            os.unlink(path)
            if not path.endswith(".service"):
                self._until(lambda: not self._running_pods(), "is still there without its manifest")
        for path in self.forgets:
            if os.path.lexists(path):
                os.unlink(path)
        if self.unit:
            self._systemctl("daemon-reload")
            if self.effect == STARTS or self.removes:
                self._systemctl("enable", self.unit)
            self._systemctl("restart", self.unit)
        elif self.effect == STARTS:
            self._systemctl("enable", "--now", "kubelet")
        elif self.effect == RECREATED:
            self._until(lambda: not self.is_behind(), "was not recreated by the kubelet")
        else:
            self._recreate()

    def _recreate(self):
        """The kubelet stops a static Pod when its manifest goes, and starts a new one when it comes back."""
        away = AWAY % self.name
        os.rename(self.manifest, away)
        try:
            self._until(lambda: not self._running_pods(), "was not stopped by the kubelet")
        finally:
            os.rename(away, self.manifest)
        self._until(self._running_pods, "was not started by the kubelet")

    def _running_pods(self):
        return [each for each in os.listdir("/proc") if each.isdigit() and _program(each) == self.name]

    def _systemctl(self, *words):
        code, _out, error = self.module.run_command(["systemctl", *words])
        if code != 0:
            raise UnwellError("systemctl %s: %s" % (" ".join(words), error.strip()))

    # -- how one knows that it is well -------------------------------------------------------------------

    def require_well(self):
        if self.health:
            self._until(self._is_up, "is not up: %s does not answer 200" % self.health["url"])
        for each in self.evidence:
            self._until(
                lambda served=each: _served(served["address"]) == served["sha256"],
                "does not serve certificate %s (%s) at %s"
                % (each["certificate"], each["sha256"], each["address"]),
            )

    def _is_up(self):
        try:
            answer = open_url(self.health["url"], validate_certs=False, timeout=5, use_proxy=False)
        except HTTPError as error:
            return error.code in (401, 403) and self._is_up_to_itself()
        except Exception:
            return False
        return answer.getcode() == _OK

    def _is_up_to_itself(self):
        """By the command of the runbook, with the rights of the node's own kubeconfig."""
        probe = self.health["command"].partition("until ")[2].partition(";")[0]
        code, _out, _error = self.module.run_command(["sh", "-c", probe])
        return code == 0

    def _until(self, condition, otherwise):
        end = time.time() + self.deadline
        while not condition():
            if time.time() > end:
                raise UnwellError("%s on %s %s" % (self.name, self.node, otherwise))
            time.sleep(0.3)


def _program(process):
    """The name of a process's program, also where a container runs it."""
    try:
        with open("/proc/%s/cmdline" % process, "rb") as stream:
            return os.path.basename(stream.read().split(b"\0")[0].decode("utf-8", "replace"))
    except OSError:
        return ""


def _age_of(process):
    try:
        with open("/proc/%s/stat" % process) as stream:
            # The program's name is in parentheses, and may hold anything.
            started = int(stream.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(_SINCE_BOOT) - float(started) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _served(address):
    """The SHA-256 of the certificate that an endpoint serves; who serves it is what is asked, not trusted."""
    host, _colon, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        plain = socket.create_connection((host.strip("[]"), int(port)), 5)
        with plain, context.wrap_socket(plain, server_hostname=host.strip("[]")) as secure:
            return hashlib.sha256(secure.getpeercert(True) or b"").hexdigest()
    except (OSError, ValueError):
        return None


def main():
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "dict", "required": True},
            "unit": {"type": "str"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    component = Component(module)
    if module.check_mode:
        must = component.must_restart()
        module.exit_json(changed=must, restarted=False, diff={"prepared": _told(component) if must else ""})
    try:
        recovered = component.recover()
        must = component.must_restart()
        if must:
            component.take_up()
        component.require_well()
    except (UnwellError, OSError) as error:
        module.fail_json(msg=str(error))
    result = {"changed": must or recovered, "restarted": must}
    if module._diff and must:
        result["diff"] = {"prepared": _told(component)}
    module.exit_json(**result)


def _told(component):
    return "%s on %s: %s\n" % (component.name, component.node, component.effect)


if __name__ == "__main__":
    main()
