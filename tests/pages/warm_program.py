"""A `pkigen` for shells that need not import it: each run is a fork of one process that has.

A page is run as a person runs it, by a shell, with pipes and redirections. An interpreter that imports
everything for every command takes more time than all the commands.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from tests import compiled_templates, unmeasured

HOST, ROOT, AHEAD = "PAGE_HOST", "PAGE_ROOT", "PAGE_DAYS_AHEAD"
"""Variables of a command: its machine, that machine's root directory, how far its clock is ahead."""
MACHINES = "PAGE_MACHINES"
"""Where the root directories of all machines are."""

# An interpreter without site-packages starts within ten milliseconds.
_CLIENT = """\
#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
run = {{"arguments": sys.argv[1:], "place": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(server, [json.dumps(run).encode()], [0, 1, 2])
server.shutdown(socket.SHUT_WR)
code = server.recv(16)
sys.exit(int(code) if code else 1)
"""
# What a page does on a node by `ssh`, in the root directory of a machine of the test. A kubelet that is
# started needs what was copied.
_SSH = """\
#!/bin/sh -eu
root=$PAGE_MACHINES/${1#*@}
mkdir -p "$root"
shift
case "$*" in
"tar -C / "*) shift 3; exec tar -C "$root" "$@" ;;
"sudo tar -C / "*) shift 4; exec tar -C "$root" "$@" ;;
"cd / && sudo "*) cd "$root"; exec sh -ec "${*#cd / && }" ;;
"systemctl restart kubelet" | "systemctl enable --now kubelet")
  exec test -s "$root/etc/kubernetes/kubelet.conf" ;;
*) echo "ssh: nobody knows how to run this here: $*" >&2; exit 255 ;;
esac
"""
# Whom a person logs in as owns the machines of the test.
_SUDO = """\
#!/bin/sh
exec "$@"
"""
_MOST = 1 << 20
_ON_NODES = ("airgap node identity", "airgap node request", "airgap bundle ")
"""Commands that are run on a node, whose root directory is that of a machine of the test."""


class WarmProgram:
    """The server, and a directory for PATH with the `pkigen` that asks it."""

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="pkigen-warm-")
        folder = Path(self._place.name)
        address = folder / "socket"
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.pages.warm_program", str(address)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=unmeasured.environment(),
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n"
        self.programs = folder / "programs"
        self.programs.mkdir()
        texts = {
            "pkigen": _CLIENT.format(python=sys.executable, address=str(address)),
            "ssh": _SSH,
            "sudo": _SUDO,
        }
        for name, text in texts.items():
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()
        self._place.cleanup()


def _run(request: dict[str, Any], streams: list[int]) -> int:
    """One command line, in a process of its own."""
    from pkigen.cli.app import run  # noqa: PLC0415 -- the tests import this module too
    from pkigen.cli.system import System, present  # noqa: PLC0415

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)  # as on a terminal
    os.chdir(request["place"])
    environment = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    arguments = list(request["arguments"])
    ahead = timedelta(days=int(environment.get(AHEAD, "0")))
    if environment.get(HOST):
        socket.gethostname = lambda: environment[HOST]
        if " ".join(arguments).startswith(_ON_NODES) and "create" not in arguments:
            arguments += ["--root", environment[ROOT]]
    return run(arguments, system=System(clock=lambda: present() + ahead))


def serve(address: str) -> None:
    """Fork for every connection; ends with the process that started it."""
    import pkigen  # noqa: PLC0415 -- the same

    for module in pkgutil.walk_packages(pkigen.__path__, "pkigen."):
        if module.name != "pkigen.__main__":
            import_module(module.name)
    # As `pkigen.__main__`; what is imported stays shared with every fork.
    gc.set_threshold(100_000)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server, compiled_templates.kept():
        server.bind(address)
        server.listen()
        print("ready", flush=True)  # noqa: T201 -- the test waits for it
        while True:
            connection, _ = server.accept()
            _reap()
            if os.fork() == 0:
                server.close()
                _answer(connection)
            connection.close()


def _reap() -> None:
    """Take note of the commands that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> None:
    code = 1
    try:
        message, streams, _, _ = socket.recv_fds(connection, _MOST, 3)
        while more := connection.recv(_MOST):
            message += more
        code = int(_run(json.loads(message), streams))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        connection.send(str(code).encode())
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
