# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""A component of a node: whether it has read its files, how it takes them up, and whether it is well."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import time

RELOADS, RECREATED = "reloads by itself", "recreated by the kubelet"
_AWAY = "/etc/kubernetes/{}.yaml.away"


class UnwellError(Exception):
    """A component that is not as it should be; the message says which and how."""


class Component:
    """What a step of kind `component` is about.

    Args:
        step: As pkigen has it.
        unit: What runs it, where it is another one than the step says.
        run: AnsibleModule.run_command.
        timeout: Seconds to wait for each thing that is waited for.
    """

    def __init__(self, step, unit, run, timeout):
        process = step["process"] or {}
        self._run = run
        self._timeout = timeout
        self._step = step
        self._name = step["component"]
        self._manifest = None if unit else process.get("manifest")
        self._unit = unit or process.get("unit")
        self._commands = step["commands"]
        if unit and self._commands:
            self._commands = ["systemctl daemon-reload", f"systemctl restart {unit}"]

    def recover(self):
        """Put a manifest back that an earlier run has taken away; whether there was one."""
        away = _AWAY.format(self._name)
        if not self._manifest or not os.path.lexists(away):
            return False
        if os.path.lexists(self._manifest):
            os.unlink(away)
        else:
            os.rename(away, self._manifest)
        return True

    def must_act(self):
        """Whether it runs with older files than those that are there, or with one that has to go."""
        step = self._step
        if any(os.path.lexists(path) for path in step["removes"]):
            return True
        return step["effect"] != RELOADS and self._is_behind()

    def _is_behind(self):
        ages = [age for age in map(_age_of, self._processes()) if age is not None]
        if not ages:
            return True
        changed = [
            time.time() - os.lstat(path).st_ctime for path in self._step["files"] if os.path.lexists(path)
        ]
        # Within a tenth of a second nobody can tell.
        return bool(changed) and min(ages) >= min(changed) - 0.1

    def _processes(self):
        if self._unit:
            words = ["systemctl", "show", "--property=MainPID", "--value", self._unit]
            code, out, _error = self._run(words)
            return [out.strip()] if code == 0 and out.strip() not in ("", "0") else []
        return [each for each in os.listdir("/proc") if each.isdigit() and _program(each) == self._name]

    def act(self):
        """Carry the step's commands out.

        Raises:
            UnwellError: One of them failed or did not end in time.
        """
        self._must("\n".join(self._commands), "did not take its files up")
        if self._step["effect"] == RECREATED:
            self._until(lambda: not self._is_behind(), "was not recreated by the kubelet")

    def require_up(self):
        """Wait until it answers.

        Raises:
            UnwellError: It did not in time.
        """
        health = self._step["health"]
        if health:
            self._must(health["command"], f"is not up: {health['url']} does not answer")

    def require_served(self):
        """Wait until its endpoints serve what they must after the step.

        Raises:
            UnwellError: One did not in time.
        """
        for each in self._step["evidence"]:
            if each["sha256"]:
                self._until(
                    lambda served=each: _served(served["address"]) == served["sha256"],
                    f"does not serve {each['certificate']} ({each['sha256']}) at {each['address']}",
                )

    def _must(self, script, otherwise):
        if script:
            code, out, error = self._run(["timeout", str(self._timeout), "sh", "-ec", script])
            if code != 0:
                said = f"{out}{error}".strip().rpartition("\n")[2]  # the same is said again and again
                raise self._unwell(otherwise, said or f"waited {self._timeout} s")

    def _unwell(self, how, said):
        return UnwellError(f"{self._name} on {self._step['node']} {how}: {said}")

    def _until(self, condition, otherwise):
        end = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > end:
                raise self._unwell(otherwise, f"waited {self._timeout} s")
            time.sleep(0.3)


def _program(process):
    """The name of a process's program, also where a container runs it."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as stream:
            return os.path.basename(stream.read().split(b"\0")[0].decode("utf-8", "replace"))
    except OSError:
        return ""


def _age_of(process):
    """Seconds since it started (proc(5))."""
    try:
        with open(f"/proc/{process}/stat") as stream:
            # The program's name is in parentheses, and may hold anything.
            started = int(stream.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _served(address):
    """The SHA-256 of the certificate that an endpoint serves; who serves it is what is asked, not trusted."""
    host, _colon, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        plain = socket.create_connection((host.strip("[]"), int(port)), 5)
        with plain, context.wrap_socket(plain) as secure:
            return hashlib.sha256(secure.getpeercert(True) or b"").hexdigest()
    except (OSError, ValueError):
        return None
