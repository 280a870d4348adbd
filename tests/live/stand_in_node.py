"""What a host has beside the programs of Kubernetes, in place of systemd and of a kubelet with its runtime.

`stand_in_node.py pods LOG` keeps the static Pods of /etc/kubernetes/manifests running as plain processes.
`stand_in_node.py systemctl …` knows what is asked of units here: those that have a file run its command.
`stand_in_node.py unit NAME` is a unit of the kubelet, of kube-proxy or of k3s: it serves a health check.
`stand_in_node.py crictl …` lists the processes of a container.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml

_MANIFESTS = Path("/etc/kubernetes/manifests")
_UNITS = Path("/run/units")
_HEALTH, _PROXY_HEALTH = 10248, 10256
_SERVING = Path("/var/lib/kubelet/pki/kubelet")
_SECONDS = 60
_GRACE = 30


def pods(log: Path) -> None:
    running: dict[str, tuple[subprocess.Popen[bytes], bytes]] = {}
    while True:
        # As the kubelet does, which passes over names that begin with a dot (pkg/kubelet/config/file.go).
        found = {file.stem: file.read_bytes() for file in _MANIFESTS.glob("[!.]*.yaml")}
        for name, (process, content) in list(running.items()):
            if found.get(name) != content and process.poll() is None:
                _stop(process)
            if process.poll() is not None:
                del running[name]
        for name, content in found.items():
            if name not in running:
                time.sleep(0.3)
                running[name] = (_start(content, log.with_name(f"{log.name}-{name}.log")), content)
        time.sleep(0.3)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As a kubelet does, which waits for the Pod's grace period before it kills."""
    process.terminate()
    try:
        process.wait(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=_SECONDS)


def _start(manifest: bytes, log: Path) -> subprocess.Popen[bytes]:
    (container,) = yaml.safe_load(manifest)["spec"]["containers"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*container["command"], *container.get("args", ())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def systemctl(arguments: list[str]) -> None:
    verb, name = arguments[0], arguments[-1]
    file = _UNITS / name
    process = int(file.read_text()) if file.exists() else 0
    if verb == "show":
        print(process)  # noqa: T201 -- that is what is asked for
    elif verb == "restart":
        if process:
            _end(process)
        _UNITS.mkdir(exist_ok=True)
        with Path(f"/var/log/{name}.log").open("ab") as output:
            started = subprocess.Popen(
                _command(name),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        file.write_text(str(started.pid))
    elif verb not in {"daemon-reload", "enable"}:
        sys.exit(f"systemctl {' '.join(arguments)} is not known here")


def _command(name: str) -> tuple[str, ...]:
    if name in {"kubelet", "kube-proxy", "k3s"}:
        return (sys.executable, __file__, "unit", name)
    sys.path.insert(0, str(Path(__file__).parents[2]))
    unit = importlib.import_module("tests.live.control_plane").Unit.read(Path("/"), name)
    command: tuple[str, ...] = unit.command
    return command


def _end(process: int) -> None:
    """As systemd does: what has a socket is away before its successor comes."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + _SECONDS
        while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
            if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
                return
            time.sleep(0.1)
        os.kill(process, signal.SIGKILL)


def crictl(arguments: list[str]) -> None:
    """As `crictl ps --quiet --name PATTERN` lists containers."""
    if arguments[:3] != ["ps", "--quiet", "--name"]:
        sys.exit(f"crictl {' '.join(arguments)} is not known here")
    pattern = re.compile(arguments[3])
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (process / "cmdline").read_bytes().split(b"\0")[0].decode()
            if pattern.search(Path(program).name):
                print(process.name)  # noqa: T201 -- that is what is asked for


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _serving() -> HTTPServer:
    """What a kubelet serves to API servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_SERVING.with_suffix(".crt"), _SERVING.with_suffix(".key"))
    server = HTTPServer(("", 10250), _Healthy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "pods":
        pods(Path(arguments[0]))
    elif what == "systemctl":
        systemctl(arguments)
    elif what == "crictl":
        crictl(arguments)
    else:
        HTTPServer.allow_reuse_address = True
        if arguments == ["kube-proxy"]:
            HTTPServer(("127.0.0.1", _PROXY_HEALTH), _Healthy).serve_forever()
        if _SERVING.with_suffix(".crt").exists():
            threading.Thread(target=_serving().serve_forever, daemon=True).start()
        HTTPServer(("127.0.0.1", _HEALTH), _Healthy).serve_forever()


if __name__ == "__main__":
    main()
