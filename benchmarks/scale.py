"""How long, and in how much memory, `init` makes a cluster of thousands of nodes.

Builds the spec in memory, runs the whole `init` through the API in a temporary directory (all in this one
process), and prints seconds and the peak of resident memory. Goal: 15,000 P-256 leaves in 60 s and 500 MB.

    python benchmarks/scale.py [--nodes 5000] [--in DIRECTORY] [--profile FILE] [--verify]
"""

# ruff: noqa: INP001 -- a script, no package

from __future__ import annotations

import argparse
import cProfile
import os
import resource
import tempfile
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.rendering import Renderer
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.make import Tools
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.verify import verify
from pkigen.spec.model import ClusterSpec
from pkigen.store import Store

CONTROL_PLANE_NODES = 3
FIRST_ADDRESS = IPv4Address("10.0.0.1")


class Clock:
    """Seconds of the clock, and seconds of all cores, which say more where the machine has other work."""

    def __enter__(self) -> Self:
        self._begun, self._used = time.perf_counter(), _seconds_of_cores()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.of_cores = _seconds_of_cores() - self._used

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.of_cores:.1f} s of cores"


def _seconds_of_cores() -> float:
    """What this process and its children have used so far."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def spec_of(nodes: int, *, algorithm: str, runtime: str) -> ClusterSpec:
    """A cluster with stacked etcd on three nodes; the rest are workers."""
    return ClusterSpec.model_validate(
        {
            "metadata": {"name": "scale"},
            "spec": {
                "kubernetesVersion": "v1.36.2",
                "runtime": runtime,
                "controlPlaneEndpoint": "api.scale.example.com:6443",
                "certificates": {"keyAlgorithm": algorithm},
                "nodes": [
                    {
                        "name": f"node-{number:05d}",
                        "roles": ["control-plane" if number < CONTROL_PLANE_NODES else "worker"],
                        "addresses": [str(FIRST_ADDRESS + number)],
                    }
                    for number in range(nodes)
                ],
            },
        }
    )


def init(inventory: Inventory, root: Path, now: datetime) -> Applied:
    """The first run, as the command does it."""
    renderer = Renderer(inventory)
    with Store.open(root, command="init", now=now) as store:
        plan = make_plan(inventory, store, renderer, now=now, owned=frozenset())
        tools = Tools(now=now, entropy=os.urandom, renderer=renderer, progress=SILENCE)
        return apply_plan(plan, inventory, store, tools)


def peak_megabytes() -> int:
    """The largest resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure_init(inventory: Inventory, root: Path, now: datetime, profile: str | None) -> None:
    """Time the first run."""
    profiler = cProfile.Profile() if profile else None
    with profiler or nullcontext(), Clock() as clock:
        applied = init(inventory, root, now)
    leaves = sum(item.issuer is not None for item in inventory.certificates.values())
    print(
        f"init: {len(inventory.cluster.spec.nodes)} nodes, {leaves} leaves, {len(inventory.paths)} files, "
        f"{len(applied.issued)} issued: {clock}, {peak_megabytes()} MB"
    )
    if profiler is not None and profile is not None:
        profiler.dump_stats(profile)


def measure_reading(inventory: Inventory, root: Path, now: datetime) -> None:
    """Time a plan without changes, and a verification."""
    renderer = Renderer(inventory)
    with Store.open_reading(root) as store:
        with Clock() as clock:
            plan = make_plan(inventory, store, renderer, now=now, owned=frozenset())
        print(f"plan: {len(plan.changes)} changes: {clock}, {peak_megabytes()} MB")
        with Clock() as clock:
            verified = verify(inventory, store, renderer, now=now)
    print(
        f"verify: {verified.objects} objects, {verified.edges} edges, {len(verified.findings)} findings: "
        f"{clock}, {peak_megabytes()} MB"
    )


def main() -> None:
    """Run, measure, print."""
    parser = argparse.ArgumentParser(description="measure init of a large cluster")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--algorithm", default="ECDSA-P256")
    # systemd: three leaves on every worker (kubelet client, kubelet serving, kube-proxy).
    parser.add_argument("--runtime", default="systemd", choices=("systemd", "static-pods"))
    parser.add_argument("--in", dest="where", default=None, help="where the temporary directory is made")
    parser.add_argument("--profile", default=None, help="write cProfile's figures of init to this file")
    parser.add_argument("--verify", action="store_true", help="also time plan and verify of the result")
    arguments = parser.parse_args()
    now = datetime.now(UTC)
    with Clock() as clock:
        inventory = derive(spec_of(arguments.nodes, algorithm=arguments.algorithm, runtime=arguments.runtime))
    print(f"spec and inventory: {clock}, {peak_megabytes()} MB")
    with tempfile.TemporaryDirectory(dir=arguments.where) as directory:
        root = Path(directory) / "scale"
        measure_init(inventory, root, now, arguments.profile)
        if arguments.verify:
            measure_reading(inventory, root, now)


if __name__ == "__main__":
    main()
