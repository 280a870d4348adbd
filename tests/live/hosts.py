"""Machines made of namespaces: each has its own network, mounts, processes and name.

Nothing outlives the test run: the first process of a machine ends when its standard input closes, also when
the test run is killed; the kernel then ends every other process in it and drops its mounts and interfaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

_CLIENT = Path(__file__).with_name("tls_client.py")
_COMMAND_SECONDS = 180

# Prints its process id as the outside sees it; the machine lives as long as `cat` has somebody to read from.
_BRIDGE = """
set -e
read -r pid _ </proc/self/stat
ip link add bridge type bridge
ip link set bridge up
echo "$pid"
exec cat >/dev/null
"""
# The machine's own /etc, /run, /srv, /var/lib and /var/log lie in memory; /etc starts as a copy, without what
# makes the real host a node of some cluster.
_MACHINE = """
set -e
read -r pid _ </proc/self/stat
name=$1 tree=$2 programs=$3
hostname "$name"
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/tree /run/etc
cp -a "$tree/." /run/tree/
cp -a /etc/. /run/etc/
for directory in /etc /srv /var/lib /var/log; do mount -t tmpfs -o mode=0755 tmpfs "$directory"; done
cp -a /run/etc/. /etc/
rm -rf /etc/kubernetes /etc/etcd /etc/cni /etc/default/kubelet /etc/default/etcd /etc/sysconfig/kubelet
rm -rf /etc/systemd/system/kube* /etc/systemd/system/etcd*
for directory in etc run srv var/lib var/log; do
    if [ -d "/run/tree/$directory" ]; then cp -a "/run/tree/$directory/." "/$directory/"; fi
done
rm -r /run/tree /run/etc
mount --bind "$programs" /usr/local/bin
mount -t proc proc /proc
echo "$pid"
exec cat >/dev/null
"""
_IN_MEMORY = ("etc", "run", "srv", "var/lib", "var/log")


@dataclass(frozen=True, slots=True)
class Answer:
    """What `tls_client.py` got: a status and a body, or the error that kept it from one."""

    status: int | None
    body: str
    error: str | None

    @property
    def refused(self) -> bool:
        """Whether the server ended the connection; its alert may or may not arrive before the end."""
        kind = (self.error or "").partition(":")[0]
        ends = ("SSL", "ConnectionReset", "ConnectionAborted", "BrokenPipe", "RemoteDisconnected")
        return kind.startswith(ends) and kind != "SSLCertVerificationError"  # that is the client's own

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """PEM files of a client."""

    certificate: Path
    key: Path


class _Namespaces:
    """A set of namespaces that a first process keeps alive."""

    def __init__(self, *argv: str) -> None:
        self._first = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self._first.stdout is not None
        assert self._first.stderr is not None
        said = self._first.stdout.readline().strip()
        if not said:
            raise RuntimeError(f"no machine: {self._first.stderr.read()}")
        self.pid = int(said)

    def close(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._first.communicate(timeout=_COMMAND_SECONDS)
        self._first.kill()
        self._first.wait()


class Network:
    """A bridge, and the machines that are plugged into it."""

    def __init__(self) -> None:
        self._bridge = _Namespaces(_BRIDGE, "bridge")
        self._machines: list[Machine] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self._machines:
            machine.close()
        self._bridge.close()

    def machine(
        self, name: str, tree: Path, *, addresses: Sequence[str], programs: Path, scratch: Path
    ) -> Machine:
        """Start a machine whose root directory got a node's tree copied over it."""
        machine = Machine(name, tree, programs, scratch)
        self._machines.append(machine)
        port = f"port{len(self._machines)}"
        pid = str(machine.pid)
        self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", pid)
        self._ip("link", "set", port, "master", "bridge", "up")
        for address in addresses:
            more = ("nodad",) if ":" in address else ()
            length = "64" if ":" in address else "24"
            machine.run("ip", "address", "add", f"{address}/{length}", "dev", "eth0", *more)
        machine.run("ip", "link", "set", "eth0", "up")
        return machine

    def _ip(self, *arguments: str) -> None:
        entered = ["nsenter", "--target", str(self._bridge.pid), "--net", "--"]
        subprocess.run([*entered, "ip", *arguments], check=True, timeout=_COMMAND_SECONDS)


@dataclass(slots=True)
class Process:
    """A program that runs in a machine."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def alive(self) -> bool:
        return self.popen.poll() is None

    def tail(self) -> str:
        """The end of what it wrote, for messages."""
        return f"--- {self.name} ({self.log})\n{self.log.read_text(errors='replace')[-3000:]}"


@dataclass(slots=True)
class Machine:
    """A host with a node's tree on it."""

    name: str
    tree: Path
    programs: Path
    scratch: Path
    processes: list[Process] = field(default_factory=list)
    _namespaces: _Namespaces = field(init=False)

    def __post_init__(self) -> None:
        for path in self.tree.rglob("*"):
            inside = path.relative_to(self.tree).as_posix()
            assert path.is_dir() or inside.startswith(_IN_MEMORY), f"nobody expects {inside} in a node's tree"
        self._namespaces = _Namespaces(_MACHINE, "machine", self.name, str(self.tree), str(self.programs))

    @property
    def pid(self) -> int:
        return self._namespaces.pid

    def close(self) -> None:
        self._namespaces.close()
        for process in self.processes:
            process.popen.kill()
            process.popen.wait()

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """Start a program in the machine; it ends with the machine."""
        log = self.scratch / f"{self.name}-{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*self._enter(), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**self._environment(), **(environment or {})},
            )
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    def attempt(self, *argv: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, whatever comes of it."""
        return subprocess.run(
            [*self._enter(), *map(str, argv)],
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            env=self._environment(),
        )

    def run(self, *argv: str | Path, stdin: str = "") -> str:
        """Run a command in the machine, which must succeed."""
        done = self.attempt(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def request(
        self,
        url: str,
        *,
        connect: tuple[str, int] | None = None,
        ca: Path | None = None,
        identity: Identity | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        until: float = 0,
    ) -> Answer:
        """Ask a server from this machine; `until` seconds are waited for a status of 200.

        Args:
            url: Whose host the server's certificate must name.
            connect: Where to connect, if not to the host of the URL.
            ca: The trust anchors; without it, nothing is verified, as the kubelet's probes do.
            identity: The client certificate.
            headers: Of the request.
            body: Sent with POST, as JSON.
            until: Seconds.
        """
        asked = {
            "url": url,
            "connect": connect,
            "ca": ca and str(ca),
            "identity": identity and [str(identity.certificate), str(identity.key)],
            "headers": dict(headers or {}),
            "body": body,
            "until": until,
        }
        done = subprocess.run(
            # Only into the network: this Python and these files are the outside's.
            ["nsenter", "--target", str(self.pid), "--net", "--", sys.executable, "-I", _CLIENT],
            check=True,
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            text=True,
            timeout=_COMMAND_SECONDS + until,
        )
        return Answer(**json.loads(done.stdout))

    @contextlib.contextmanager
    def listening(self, script: Path, *arguments: str | Path) -> Iterator[None]:
        """A Python script that serves in this machine's network."""
        server = subprocess.Popen(
            [
                *("nsenter", "--target", str(self.pid), "--net", "--"),
                *(sys.executable, "-I", str(script), *map(str, arguments)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"listening\n"
            try:
                yield
            finally:
                server.kill()

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--uts", "--"]

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(self.programs), os.environ.get("PATH", os.defpath)))
        return {"PATH": path, "HOME": str(self.scratch)}
