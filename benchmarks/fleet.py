"""How long, and in how much memory, `pkigen fleet` works on hundreds or thousands of clusters of three nodes.

For each size a fleet is made in a temporary directory, by the installed program as a person runs it: `apply`
makes every cluster, `plan` finds nothing to do, `status -o prometheus` and `-o json` look at all. Memory is
that of all processes together (PSS, so that what they share counts once), sampled while they run. The seconds
of all cores are given too: they mean something on a busy machine as well.

    python benchmarks/fleet.py [--clusters 200 2000] [--in DIRECTORY]
"""

# ruff: noqa: INP001 -- a script, no package, which prints and runs pkigen

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from run import machine, pkigen

SITE = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: $(name)}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: $(api)
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [$(first)]}
    - {name: cp-2, roles: [control-plane], addresses: [$(second)]}
    - {name: cp-3, roles: [control-plane], addresses: [$(third)]}
"""
FLEET = """\
apiVersion: pkigen/v1
kind: Fleet
metadata: {name: edge}
spec: {template: site.yaml, rows: sites.csv}
"""
FIRST = IPv4Address("10.0.0.1")
COMMANDS = (
    ("apply", "--yes"),
    ("plan",),
    ("status", "-o", "prometheus"),
    ("status", "-o", "json"),
)
_PAUSE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one command took."""

    command: str
    clusters: int
    seconds: float
    core_seconds: float


def write_fleet(place: Path, clusters: int) -> Path:
    """A fleet of so many clusters."""
    (place / "site.yaml").write_text(SITE, encoding="utf-8")
    (place / "fleet.yaml").write_text(FLEET, encoding="utf-8")
    lines = ["name,api,first,second,third"]
    for number in range(clusters):
        nodes = ",".join(str(FIRST + 4 * number + each) for each in range(3))
        lines.append(f"site-{number:05d},{FIRST + 4 * number + 3}:6443,{nodes}")
    (place / "sites.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place / "fleet.yaml"


def measured(words: list[str]) -> tuple[float, float, float]:
    """The seconds that a program takes, those of all cores, and its processes' most memory together."""
    begun, used, most = time.perf_counter(), core_seconds(), 0.0
    with subprocess.Popen([*pkigen(), *words], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, proportional_memory(process.pid))
            time.sleep(_PAUSE)
    if process.returncode:
        sys.exit(f"pkigen {' '.join(words)} failed")
    return time.perf_counter() - begun, core_seconds() - used, most


def core_seconds() -> float:
    """What all programs that have ended until now have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def proportional_memory(pid: int) -> float:
    """MiB of a process and its children, with what they share counted once."""
    total = 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        below = [int(each) for each in children.read_text(encoding="ascii").split()]
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (OSError, ProcessLookupError):  # it has just ended
        return 0.0
    total = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total + sum(map(proportional_memory, below))


def figures(clusters: int, where: str | None) -> list[Figure]:
    """All commands on a fleet of one size."""
    found = []
    with tempfile.TemporaryDirectory(dir=where) as directory:
        fleet = write_fleet(Path(directory), clusters)
        for verb, *options in COMMANDS:
            seconds, used, memory = measured(["fleet", verb, str(fleet), *options])
            command = " ".join((verb, *options))
            found.append(Figure(command=command, clusters=clusters, seconds=seconds, core_seconds=used))
            print(
                f"{command:24} {clusters:6} clusters {seconds:8.1f} s "
                f"{used:8.1f} s of cores {used / clusters * 1e3:7.1f} ms each {memory:6.0f} MiB",
                flush=True,
            )
    return found


def main() -> None:
    """Measure, print, and compare the sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clusters", type=int, nargs="+", default=[200, 2000], help="the sizes of the fleets"
    )
    parser.add_argument("--in", dest="where", default=None, help="where the temporary directory is made")
    options = parser.parse_args()
    print(machine())
    found = [figures(clusters, options.where) for clusters in options.clusters]
    for small, large in zip(found[0], found[-1], strict=True):
        if small is not large:
            print(
                f"{small.command:24} growth {large.seconds / small.seconds:.1f} x, "
                f"of cores {large.core_seconds / small.core_seconds:.1f} x"
            )


if __name__ == "__main__":
    main()
