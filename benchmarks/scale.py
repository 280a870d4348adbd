"""How long, and in how much memory, clusters of thousands of nodes are made, planned, verified and changed.

Builds the spec in memory, and works through the API in a temporary directory: each piece of work in a process
of its own, as commands have one, which has the spec and the inventory already. Beside each figure stands what
a program takes that does only what cannot be left out: the same leaves by a program in Go, a loop that reads
and parses the same certificates, or checks a signature of each as well, and `tar` and `age` for each node.
Seconds are those of the clock and of all cores; on a busy machine only the latter mean something.

    python benchmarks/scale.py [--nodes 500 5000] [--in DIRECTORY] [--profile FILE] [--go PROGRAM]
"""

# ruff: noqa: INP001 -- a script, no package, which prints and runs a program

from __future__ import annotations

import argparse
import base64
import cProfile
import gc
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pkigen.airgap.bundles.contents import pack, require_settled
from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.media import write_file
from pkigen.crypto.age import Identity
from pkigen.desired.generations import ca_id
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.items import DesiredFile, DesiredKubeconfig
from pkigen.desired.rendering import Renderer
from pkigen.layout import AUTHORITY, NODES
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.planner import Planner, make_plan
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.verify import verify
from pkigen.reconcile.workbench import Tools
from pkigen.spec.model import ClusterSpec
from pkigen.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.desired.generations import CA

CONTROL_PLANE_NODES = 3
FIRST_ADDRESS = IPv4Address("10.0.0.1")
OLD = timedelta(seconds=3)
"""How old files are at least that the index is kept of."""
LEAVES = Path(__file__).with_name("leaves.go")
_EMBEDDED = re.compile(rb"client-certificate-data: (\S+)")
_EMBEDDED_KEY = re.compile(rb"client-key-data: (\S+)")


class Clock:
    """Seconds of the clock, and seconds of all cores."""

    def __enter__(self) -> Self:
        self._begun, self._used = time.perf_counter(), _seconds_of_cores()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.of_cores = _seconds_of_cores() - self._used

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.of_cores:.1f} s of cores"

    def beside(self, other: Clock) -> str:
        """How many times as long as another."""
        return f"{self.seconds / other.seconds:.1f} times, {self.of_cores / other.of_cores:.1f} of cores"


def _seconds_of_cores() -> float:
    """What this process and its children have used so far."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


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


def change(inventory: Inventory, root: Path, now: datetime, command: str) -> Applied:
    """Plan and apply, as the commands do it."""
    renderer = Renderer(inventory)
    with Store.open(root, command=command, now=now) as store:
        plan = make_plan(inventory, store, renderer, now=now, owned=frozenset())
        tools = Tools(now=now, entropy=os.urandom, renderer=renderer, progress=SILENCE)
        return apply_plan(plan, inventory, store, tools)


def peak_memory() -> str:
    """The largest resident memory that this process has had, and that one of its children has had.

    Most of a child's is its parent's, too: what it has not written to since the fork.
    """
    own, child = (
        resource.getrusage(whose).ru_maxrss // 1024
        for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return f"{own} MB, a child {child} MB"


def alone(work: Callable[..., None], *arguments: object) -> None:
    """Work in a process of its own; what it has used and the most memory it has had are its own, too."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            work(*arguments)
            code = 0
        except BaseException:  # noqa: BLE001 -- nothing of the parent's is to happen in the child
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        sys.exit("a part of the work has failed")


def leaves_of(inventory: Inventory) -> list[tuple[CA, Path]]:
    """Every leaf: who signs it, and the file that it stands in."""
    return [
        (item.issuer, Path(item.file)) for item in inventory.certificates.values() if item.issuer is not None
    ]


def bare_loop(inventory: Inventory, root: Path, *, checks: bool) -> None:
    """Read and parse every leaf, and check its signature where that is asked for; nothing else."""
    issuers = {
        ca: x509.load_pem_x509_certificate((root / inventory.certificates[ca_id(ca)].file).read_bytes())
        for ca, _ in leaves_of(inventory)
    }
    for ca, path in leaves_of(inventory):
        data = (root / path).read_bytes()
        embedded = _EMBEDDED.search(data)
        certificate = x509.load_pem_x509_certificate(base64.b64decode(embedded[1]) if embedded else data)
        if checks:
            certificate.verify_directly_issued_by(issuers[ca])


def least_of_plan(inventory: Inventory, root: Path) -> None:
    """Do what no plan without an index can leave out, and compare nothing.

    Every file is read, every certificate is parsed and its signature checked, every leaf's key is loaded, and
    every text that nodes read is rendered.
    """
    bare_loop(inventory, root, checks=True)
    for path in inventory.paths:
        for key in _keys_in(path, (root / path).read_bytes() if (root / path).exists() else b""):
            load_pem_private_key(key, None).public_key()
    renderer = Renderer(inventory)
    for item in inventory.items:
        if isinstance(item, DesiredKubeconfig):
            renderer.kubeconfig(item, trust_bundle=b"x", certificate=b"x", key=b"x")
        elif isinstance(item, DesiredFile) and not item.secret and item.trust is None:
            renderer.file(item, secrets=(), trust_bundle=b"")


def _keys_in(path: str, content: bytes) -> list[bytes]:
    """The private keys of nodes that stand in a file."""
    embedded = [base64.b64decode(each) for each in _EMBEDDED_KEY.findall(content)]
    return [*embedded, content] if path.endswith(".key") and not path.startswith(AUTHORITY) else embedded


def measure_init(inventory: Inventory, root: Path, now: datetime, options: argparse.Namespace) -> None:
    """Time the first run, beside the program in Go."""
    profiler = cProfile.Profile() if options.profile else None
    with profiler or nullcontext(), Clock() as clock:
        applied = change(inventory, root, now, "init")
    leaves = len(leaves_of(inventory))
    print(
        f"init: {len(inventory.cluster.spec.nodes)} nodes, {leaves} leaves, {len(inventory.paths)} files, "
        f"{len(applied.issued)} issued: {clock}, {peak_memory()}"
    )
    if profiler is not None:
        profiler.dump_stats(options.profile)
    if shutil.which(options.go) is None:
        print(f"{options.go} is not installed: its program is left out")
        return
    with tempfile.TemporaryDirectory(dir=options.where) as directory:
        program = Path(directory) / "leaves"
        subprocess.run([options.go, "build", "-o", program, LEAVES], check=True)
        made = Path(directory) / "made"
        made.mkdir()
        with Clock() as bare:
            subprocess.run([program, str(leaves), made], check=True)
    print(f"  the same leaves in Go: {bare}; init takes {clock.beside(bare)}")


def measure_reading(inventory: Inventory, root: Path, now: datetime) -> None:
    """Time a plan without changes, and a verification, beside bare loops."""
    with Store.open_reading(root) as store:
        planner = Planner.of(inventory, now=now)
        with Clock() as planning:
            plan = planner.plan(store)
        # Files that have just been written are looked at again: a plan of old ones leaves the index.
        time.sleep(max(0.0, (now - datetime.now(UTC)).total_seconds()))
        planner.plan(store)
        if planner.plan(store) != plan:
            sys.exit("the plan with the index is another one")
        with Clock() as verifying:
            verified = verify(inventory, store, Renderer(inventory), now=now)
    with Clock() as parsing:
        bare_loop(inventory, root, checks=False)
    with Clock() as checking:
        bare_loop(inventory, root, checks=True)
    with Clock() as least:
        least_of_plan(inventory, root)
    cores = len(os.sched_getaffinity(0))
    shared = least.seconds / cores / parsing.seconds
    print(f"plan: {len(plan.changes)} changes: {planning}, {peak_memory()}")
    print(
        f"  what it cannot leave out, in bare loops: {least}; shared by {cores} cores without a loss that is "
        f"{shared:.1f} times what reading and parsing takes"
    )
    print(f"  read and parsed: {parsing}; plan takes {planning.beside(parsing)}")
    print(
        f"verify: {verified.objects} objects, {verified.edges} edges, {len(verified.findings)} findings: "
        f"{verifying}, {peak_memory()}"
    )
    print(f"  read, parsed and a signature checked: {checking}; verify takes {verifying.beside(checking)}")


def measure_known(inventory: Inventory, root: Path, now: datetime) -> None:
    """Time a plan with the index that another one has left."""
    with Store.open_reading(root) as store:
        planner = Planner.of(inventory, now=now)
        with Clock() as knowing:
            plan = planner.plan(store)
    with Clock() as parsing:
        bare_loop(inventory, root, checks=False)
    print(f"plan with the index: {len(plan.changes)} changes: {knowing}, {peak_memory()}")
    print(f"  read and parsed: {parsing}; it takes {knowing.beside(parsing)}")


def measure_one_more(inventory: Inventory, root: Path, now: datetime) -> None:
    """Time one node more."""
    with Clock() as clock:
        applied = change(inventory, root, now, "apply")
    print(f"one node more: {len(applied.issued)} issued: {clock}, {peak_memory()}")


def measure_bundles(inventory: Inventory, root: Path, now: datetime) -> None:
    """Time bundles for all nodes, sealed for one recipient each, beside `tar` and `age` of the same files."""
    identity = Identity.generate()
    nodes = inventory.cluster.spec.nodes
    with tempfile.TemporaryDirectory(dir=root.parent) as directory:
        made = Path(directory)
        with Clock() as clock, Store.open_reading(root) as store:
            plan = make_plan(inventory, store, Renderer(inventory), now=now, owned=frozenset())
            require_settled(plan, root=root, words="")
            key = bundle_key(store)
            for packed in pack(inventory, store, nodes):
                label = packed.label(created=now, reader=identity.recipient.reader)
                sealed = write_bundle(label, packed.archive, seal=identity.recipient, key=key)
                write_file(made / f"{label.node}.bundle", sealed)
        octets = sum(file.stat().st_size for file in made.iterdir())
        print(f"bundle create: {len(nodes)} bundles, {octets >> 20} MiB: {clock}, {peak_memory()}")
        if not (shutil.which("age") and shutil.which("tar")):
            print("age or tar is not installed: they are left out")
            return
        sealed_by_age = f'age -r {identity.recipient.reader} -o "{made}/$node.age"'
        script = f'for node in *; do tar -cf - -C "$node" . | {sealed_by_age}; done'
        with Clock() as bare:
            subprocess.run(["sh", "-ec", script], check=True, cwd=root / NODES)
        print(f"  tar and age: {bare}; bundle create takes {clock.beside(bare)}")


def main() -> None:
    """Run, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[500, 5000], help="one size after the other")
    parser.add_argument("--algorithm", default="ECDSA-P256")
    # systemd: three leaves on every worker (kubelet client, kubelet serving, kube-proxy).
    parser.add_argument("--runtime", default="systemd", choices=("systemd", "static-pods"))
    parser.add_argument("--in", dest="where", default=None, help="where the temporary directory is made")
    parser.add_argument("--profile", default=None, help="write cProfile's figures of init to this file")
    parser.add_argument("--go", default="go", help="the Go compiler")
    options = parser.parse_args()
    gc.set_threshold(100_000)  # as the program does
    now = datetime.now(UTC)
    for nodes in options.nodes:
        with Clock() as clock:
            inventory = derive(spec_of(nodes, algorithm=options.algorithm, runtime=options.runtime))
        print(f"spec and inventory: {clock}, {peak_memory()}")
        with tempfile.TemporaryDirectory(dir=options.where) as directory:
            root = Path(directory) / "scale"
            alone(measure_init, inventory, root, now, options)
            later = datetime.now(UTC) + OLD
            alone(measure_reading, inventory, root, later)
            alone(measure_known, inventory, root, later)
            alone(measure_bundles, inventory, root, now)
            more = derive(spec_of(nodes + 1, algorithm=options.algorithm, runtime=options.runtime))
            alone(measure_one_more, more, root, now)


if __name__ == "__main__":
    main()
