"""A real etcd cluster that grows and shrinks, by nothing but what `apply` wrote and its restart map says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.live import programs
from tests.live.hosts import Network
from tests.live.rotating import end
from tests.live.test_etcd import Client, rendered_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.hosts import Machine, Process

_SECONDS = 180


class Site:
    """An authority and the machines that run what it wrote."""

    def __init__(self, place: Path, network: Network) -> None:
        self.place, self.network = place, network
        self.machines: dict[str, Machine] = {}
        (place / "programs").mkdir()
        programs.gather(place / "programs")
        for name in ("etcd", "etcdctl"):
            program = programs.find(name)
            assert program is not None
            if not (place / "programs" / name).exists():
                (place / "programs" / name).symlink_to(program)

    def tree(self, node: str) -> Path:
        return self.place / "out/nodes" / node

    def apply(self, command: str, *members: int, moved: int = 0) -> Any:
        """Make the tree for these members, and a machine for each new one; gives the restart map.

        `moved` is added to the members' addresses; their machines keep theirs for the time being.
        """
        spec = self.place / "cluster.yaml"
        content = {
            "kubernetesVersion": "v1.33.7" if programs.version("etcd") < (3, 6) else "v1.36.2",
            "runtime": "systemd",
            "nodes": [
                {"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.77.1.1"]},
                *(
                    {"name": f"etcd-{n}", "roles": ["etcd"], "addresses": [f"10.77.1.{10 + n + moved}"]}
                    for n in members
                ),
            ],
        }
        document = {"apiVersion": "pkigen/v1", "kind": "Cluster", "metadata": {"name": "c"}, "spec": content}
        spec.write_text(yaml.safe_dump(document))
        argv = [
            sys.executable,
            "-m",
            "pkigen",
            command,
            str(spec),
            "-C",
            str(self.place / "out"),
            "-o",
            "json",
        ]
        if command == "apply":
            argv += ["--yes", "--force"]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300)
        for node in content["nodes"]:
            name, (address,) = node["name"], node["addresses"]  # type: ignore[index]
            if name not in self.machines:
                self.machines[name] = self.network.machine(
                    name,
                    self.tree(name),
                    addresses=[address],
                    programs=self.place / "programs",
                    scratch=self.place,
                )
        return json.loads(done.stdout)["restarts"]

    def start(self, member: str) -> Process:
        return self.machines[member].start("etcd", rendered_command(self.tree(member), "etcd"))

    def carry_out(self, step: Any) -> None:
        """A step of the restart map that asks a member for something."""
        for command in step["commands"]:
            deadline = time.monotonic() + _SECONDS
            while (done := self.machines[step["node"]].attempt("sh", "-c", command)).returncode != 0:
                # etcd wants its members to have been connected for five seconds (`HealthInterval`).
                assert "unhealthy cluster" in done.stderr, done.stderr
                assert time.monotonic() < deadline, done.stderr
                time.sleep(1)

    def client(self, *members: int) -> Client:
        endpoints = ",".join(f"https://10.77.1.1{n}:2379" for n in members)
        return Client(self.machines["cp-1"], self.tree("cp-1"), endpoints)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    programs.require("etcd", "etcdctl")
    with Network() as network:
        yield Site(tmp_path, network)


def wait_healthy(client: Client, *processes: Process) -> None:
    deadline = time.monotonic() + _SECONDS
    while client.etcdctl("endpoint", "health").returncode != 0:
        logs = "\n".join(process.tail() for process in processes)
        assert time.monotonic() < deadline, logs
        assert all(process.alive() for process in processes), logs


@pytest.mark.live
def test_members_come_and_go(site: Site) -> None:
    site.apply("init", 1)
    first = site.start("etcd-1")
    wait_healthy(site.client(1), first)
    assert site.client(1).etcdctl("put", "/kept", "from the beginning").returncode == 0

    steps = site.apply("apply", 1, 2)
    admits, starts = (step for step in steps if step["component"] == "etcd")
    assert (admits["effect"], admits["member"], starts["node"]) == ("adds a member", "etcd-2", "etcd-2")
    # The control: who starts before it is admitted is no member, and says so.
    early = site.start("etcd-2")
    assert early.popen.wait(_SECONDS) != 0
    assert "member" in early.tail()
    site.carry_out(admits)
    # Two members of whom one runs: no step may wait for its health before the other has started.
    assert site.client(1).etcdctl("endpoint", "health").returncode != 0
    second = site.start("etcd-2")
    wait_healthy(site.client(1, 2), first, second)
    for endpoint in (1, 2):
        got = site.client(endpoint).etcdctl("get", "/kept", "--print-value-only")
        assert got.stdout.strip() == "from the beginning", got.stderr

    expels = site.apply("apply", 2)[0]
    assert (expels["node"], expels["effect"], expels["member"]) == ("etcd-2", "removes a member", "etcd-1")
    site.carry_out(expels)
    assert first.popen.wait(_SECONDS) == 0
    wait_healthy(site.client(2), second)
    listed = json.loads(site.client(2).etcdctl("member", "list", "-w", "json").stdout)["members"]
    assert [member["name"] for member in listed] == ["etcd-2"]
    assert site.client(2).etcdctl("put", "/kept", "to the end").returncode == 0


def deliver(site: Site, member: str) -> None:
    """Copy a member's tree over its machine's root, as the restart map says: in its step, and not before."""
    site.machines[member].run("cp", "--recursive", f"{site.tree(member)}/.", "/")


def move(site: Site, member: str) -> None:
    """Give a machine its new address."""
    for verb, host in (("del", 10), ("add", 30)):
        address = f"10.77.1.{host + int(member[-1])}/24"
        site.machines[member].run("ip", "address", verb, address, "dev", "eth0")


def ask(site: Site, member: str, *asked: str) -> str:
    """What a member answers by the files that its own machine has."""
    pki = "/etc/kubernetes/pki/etcd"
    done = site.machines[member].attempt(
        "etcdctl",
        *("--command-timeout=5s", "--endpoints=https://127.0.0.1:2379", f"--cacert={pki}/ca.crt"),
        *(f"--cert={pki}/healthcheck-client.crt", f"--key={pki}/healthcheck-client.key", *asked),
    )
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr}"


def wait_until(site: Site, member: str, answer: str, *asked: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while (got := ask(site, member, *asked)) != answer:
        assert time.monotonic() < deadline, got
        time.sleep(0.5)


_READ = ("get", "/kept", "--print-value-only")


def three(site: Site) -> dict[str, Process]:
    site.apply("init", 1, 2, 3)
    running = {f"etcd-{n}": site.start(f"etcd-{n}") for n in (1, 2, 3)}
    wait_until(site, "etcd-1", "OK", "put", "/kept", "whole")
    return running


@pytest.mark.live
def test_three_members_move_one_after_the_other(site: Site) -> None:
    running = three(site)
    steps = [step for step in site.apply("apply", 1, 2, 3, moved=20) if step["component"] == "etcd"]
    assert [(step["node"], step["effect"]) for step in steps] == [
        (f"etcd-{n}", effect) for n in (1, 2, 3) for effect in ("updates a member", "restart")
    ]
    for update, restart in zip(steps[::2], steps[1::2], strict=True):
        member = restart["node"]
        site.carry_out(update)
        guard = restart["commands"][0]
        assert site.machines[member].attempt("sh", "-c", guard).returncode != 0, "its files are not there yet"
        deliver(site, member)
        assert site.machines[member].attempt("sh", "-c", guard).returncode == 0
        end(site.machines[member], "etcd")
        move(site, member)
        running[member] = site.start(member)
        for each in running:
            wait_until(site, each, "whole", *_READ)
    listed = ask(site, "etcd-1", "member", "list")
    for n in (1, 2, 3):
        assert f"https://10.77.1.{30 + n}:2380" in listed
        assert f"https://10.77.1.{10 + n}:2380" not in listed
    assert ask(site, "etcd-3", "put", "/kept", "still") == "OK"


@pytest.mark.live
def test_three_members_that_move_unannounced_lose_their_quorum(site: Site) -> None:
    """The control: the same without the steps that update members, as the restart map was before."""
    running = three(site)
    site.apply("apply", 1, 2, 3, moved=20)
    for member in list(running):
        deliver(site, member)
        end(site.machines[member], "etcd")
        move(site, member)
        running[member] = site.start(member)
    time.sleep(15)
    for member in running:
        assert ask(site, member, "put", "/kept", "more").startswith("failed: ")
