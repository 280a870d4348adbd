"""How long commands take for one control-plane node, beside kubeadm, cfssl, openssl and what they stand on.

Every contender is a whole program run, as a person would run it, and all of them take turns, so that a busy
moment of the machine falls on each alike. Those that are not installed are left out, and a line says so.
Goals are judged by medians of the clock, which say something on an idle machine only; `--cores` judges them
by the least of what all cores have worked for a run, user and system.

    python benchmarks/run.py [--runs 15] [--cores] [--only WORD] [--json FILE]
"""

# ruff: noqa: INP001 -- a script, no package

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXAMPLE = Path(__file__).parent.parent / "examples" / "single.yaml"
ALGORITHMS = ("RSA-2048", "ECDSA-P256")
LIBRARIES = "import cryptography.x509, jinja2, pydantic, typer, yaml"
"""What no program that stands on them can be faster than."""
# Importing typer or pydantic alone leaves out what every option and every model needs of them.
USED = "import pydantic, typer._adapters, yaml; pydantic.BaseModel; pydantic.TypeAdapter"
ALL_USED = f"{USED}; import cryptography.x509, jinja2.sandbox"
"""The libraries that `validate`, and those that `status` and `plan` really need."""
KEYS = f"""{LIBRARIES}, os
from cryptography.hazmat.primitives.asymmetric import rsa
for worker in range(os.cpu_count()):
    if os.fork() == 0:
        for _ in range(worker, {{keys}}, os.cpu_count()):
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
        os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""
"""The same with RSA keys, made on all cores and thrown away."""
HELPED = (
    "validate",
    "init",
    "plan",
    "status",
    "rotate",
    "access sign",
    "fleet apply",
    "airgap bundle install",
)
"""Commands that are asked for their help, small and large ones, and some of groups."""
MANY_CORES = 4
_TICKS = 3
"""Seconds after which a file is no longer taken for one that may still be written."""
KUBEADM_PHASES = ("certs all", "kubeconfig all", "control-plane all", "etcd local")

# What one control-plane node needs: kubeadm's CAs, and its leaves with those of the kubeconfigs.
AUTHORITIES = {
    "ca": (
        "apiserver",
        "apiserver-kubelet-client",
        "admin",
        "super-admin",
        "kubelet",
        "manager",
        "scheduler",
    ),
    "etcd-ca": ("etcd-server", "etcd-peer", "etcd-healthcheck-client", "apiserver-etcd-client"),
    "front-proxy-ca": ("front-proxy-client",),
}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A program run that makes something in an empty directory."""

    name: str
    command: Callable[[Path], Sequence[str]]
    prepare: Callable[[Path], object] = lambda directory: directory
    seconds: list[float] = field(default_factory=list)
    of_cores: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of all runs, by the clock."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """The least that all cores have worked for one."""
        return min(self.of_cores)

    def forget(self) -> None:
        """Leave out what was measured so far."""
        self.seconds.clear()
        self.of_cores.clear()

    def run(self) -> None:
        """Run once in a new directory."""
        with tempfile.TemporaryDirectory(prefix="pkigen-benchmark-") as name:
            directory = Path(name)
            self.prepare(directory)
            command = self.command(directory)
            before, begin = _worked(), time.perf_counter()
            done = subprocess.run(
                command, cwd=directory, env=environment(), capture_output=True, text=True, check=False
            )
            elapsed, worked = time.perf_counter() - begin, _worked() - before
        if done.returncode:
            sys.exit(f"error: {self.name} failed:\n{done.stdout}{done.stderr}")
        self.seconds.append(elapsed)
        self.of_cores.append(worked)


def _worked() -> float:
    """What all children that have ended, and theirs, have taken of the cores so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One contender's median is to be at most another's, `times` so much and `plus` so many seconds."""

    what: str
    ours: str
    theirs: str
    times: float = 1.0
    plus: float = 0.0

    def met(self, ours: float, theirs: float) -> bool:
        """Whether two medians keep to it."""
        return ours <= theirs * self.times + self.plus


def environment() -> dict[str, str]:
    """The caller's environment, with byte code cached as in any installation."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def program(name: str) -> str | None:
    """Where a program is: among envtest's, or on PATH."""
    return shutil.which(name, path=os.environ.get("KUBEBUILDER_ASSETS")) or shutil.which(name)


def pkigen() -> list[str]:
    """The installed program, from the environment of this interpreter."""
    script = Path(sys.executable).parent / "pkigen"
    return [str(script)] if script.exists() else [sys.executable, "-m", "pkigen"]


def pkigen_init(algorithm: str) -> Contender:
    """`pkigen init` on the single-node example with one key algorithm."""

    def prepare(directory: Path) -> None:
        text = EXAMPLE.read_text(encoding="utf-8")
        (directory / "cluster.yaml").write_text(
            f"{text}\n  certificates: {{keyAlgorithm: {algorithm}}}\n", encoding="utf-8"
        )

    return Contender(
        name=f"pkigen init, {algorithm}",
        command=lambda _directory: [*pkigen(), "init", "cluster.yaml"],
        prepare=prepare,
    )


def pkigen_command(*words: str) -> Contender:
    """A command that looks at the single-node example, or at the directory that was made from it."""

    def prepare(directory: Path) -> None:
        shutil.copy(EXAMPLE, directory / "cluster.yaml")
        if words[0] in {"status", "plan"} and "--help" not in words:
            subprocess.run(
                [*pkigen(), "init", "cluster.yaml"], cwd=directory, capture_output=True, check=True
            )
            os.rename(directory / "home", directory / "made")  # noqa: PTH104

    return Contender(
        name=f"pkigen {shlex.join(words)}",
        command=lambda _directory: [*pkigen(), *words],
        prepare=prepare,
    )


@cache
def rested() -> tempfile.TemporaryDirectory[str]:
    """A directory that was made from the single-node example, and planned, and not touched since."""
    directory = tempfile.TemporaryDirectory(prefix="pkigen-benchmark-")
    shutil.copy(EXAMPLE, Path(directory.name) / "cluster.yaml")
    for words in (["init", "cluster.yaml", "-C", "made"], ["plan", "-C", "made"]):
        subprocess.run([*pkigen(), *words], cwd=directory.name, capture_output=True, check=True)
        time.sleep(_TICKS)
    return directory


def pkigen_at_rest(word: str) -> Contender:
    """A command that looks at a directory where an earlier plan has said how everything stands."""
    return Contender(
        name=f"pkigen {word}, at rest",
        command=lambda _directory: [*pkigen(), word, "-C", str(Path(rested().name) / "made")],
    )


def python(name: str, program: str) -> Contender:
    """An interpreter that does one thing."""
    return Contender(name=f"python, {name}", command=lambda _directory: [sys.executable, "-c", program])


def kubeadm_init(executable: str, algorithm: str) -> Contender:
    """The phases of `kubeadm init` that do the same job; a process each, as kubeadm is scripted."""

    def prepare(directory: Path) -> None:
        (directory / "kubeadm.yaml").write_text(KUBEADM_CONFIGURATION.format(algorithm=algorithm))
        (directory / "make").write_text(
            "".join(
                f"{shlex.quote(executable)} init phase {phase} --config /kubeadm.yaml --rootfs {directory}\n"
                for phase in KUBEADM_PHASES
            )
        )

    # --rootfs changes the root directory, which only root may do, or anyone in a user namespace of their own.
    alone = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    return Contender(
        name=f"kubeadm init phase …, {algorithm}",
        command=lambda _directory: [*alone, "sh", "-e", "make"],
        prepare=prepare,
    )


def openssl_certificates(executable: str, algorithm: str) -> Contender:
    """The certificates alone, by a script of openssl commands."""
    kind = {
        "RSA-2048": "-newkey rsa:2048",
        "ECDSA-P256": "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
    }[algorithm]
    request = f"{shlex.quote(executable)} req -x509 {kind} -nodes"
    lines = []
    for authority, leaves in AUTHORITIES.items():
        lines.append(f"{request} -subj /CN={authority} -keyout {authority}.key -out {authority}.crt")
        lines += [
            f"{request} -subj /O=system:masters/CN={leaf} -addext subjectAltName=DNS:{leaf} "
            f"-CA {authority}.crt -CAkey {authority}.key -keyout {leaf}.key -out {leaf}.crt"
            for leaf in leaves
        ]

    def prepare(directory: Path) -> None:
        (directory / "make").write_text("\n".join(lines))

    return Contender(
        name=f"openssl, certificates only, {algorithm}",
        command=lambda _directory: ["sh", "-e", "make"],
        prepare=prepare,
    )


def cfssl_certificates(executable: str, algorithm: str) -> Contender:
    """The certificates alone, by a script of cfssl commands; what it prints is left as JSON."""
    key = {"RSA-2048": {"algo": "rsa", "size": 2048}, "ECDSA-P256": {"algo": "ecdsa", "size": 256}}[algorithm]
    generate = f"{shlex.quote(executable)} gencert -loglevel 5"
    writer = program("cfssljson")
    keep = f"{shlex.quote(writer)} -bare" if writer else "cat >"
    lines = []
    for authority, leaves in AUTHORITIES.items():
        lines.append(f"{generate} -initca {authority}.json | {keep} {authority}")
        signer = f"-ca {authority}.pem -ca-key {authority}-key.pem"
        lines += [f"{generate} {signer} {leaf}.json | {keep} {leaf}" for leaf in leaves]

    def prepare(directory: Path) -> None:
        for authority, leaves in AUTHORITIES.items():
            for name in (authority, *leaves):
                request = {"CN": name, "hosts": [name], "key": key}
                (directory / f"{name}.json").write_text(json.dumps(request))
        (directory / "make").write_text("\n".join(lines))

    return Contender(
        name=f"cfssl, certificates only, {algorithm}",
        command=lambda _directory: ["sh", "-e", "make"],
        prepare=prepare,
    )


KUBEADM_CONFIGURATION = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: 10.0.0.11
nodeRegistration:
  name: cp1
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: home
kubernetesVersion: v1.36.2
encryptionAlgorithm: {algorithm}
"""

OTHERS = (
    ("kubeadm", kubeadm_init),
    ("openssl", openssl_certificates),
    ("cfssl", cfssl_certificates),
)


def contenders() -> list[Contender]:
    """All that this machine can run."""
    found = [
        python("bare", "pass"),
        python("importing the libraries", LIBRARIES),
        python("what validate needs of them", USED),
        python("what status and plan need of them", ALL_USED),
        python("libraries and 17 RSA-2048 keys", KEYS.format(keys=17)),
        pkigen_command("--version"),
        pkigen_command("--help"),
        *(pkigen_command(*name.split(), "--help") for name in HELPED),
        pkigen_command("validate", "cluster.yaml"),
        pkigen_command("status", "-C", "made"),
        pkigen_command("plan", "-C", "made"),
        pkigen_at_rest("plan"),
    ]
    for algorithm in ALGORITHMS:
        found.append(pkigen_init(algorithm))
        found += [make(path, algorithm) for name, make in OTHERS if (path := program(name))]
    for name, _make in OTHERS:
        if program(name) is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
    return found


def goals() -> list[Goal]:
    """What was promised: so many milliseconds more than what stands beneath, or so many times another."""
    bare, needed = "python, bare", "python, what status and plan need of them"
    more = [
        ("pkigen --version", bare, 0.025),
        ("pkigen --help", bare, 0.070),
        *((f"pkigen {name} --help", bare, 0.130) for name in HELPED),
        ("pkigen validate cluster.yaml", "python, what validate needs of them", 0.120),
        ("pkigen status -C made", needed, 0.120),
        ("pkigen plan -C made", needed, 0.120),
        ("pkigen plan, at rest", needed, 0.120),
    ]
    times = [("ECDSA-P256", 2.0), ("RSA-2048", 0.70 if (os.cpu_count() or 1) < MANY_CORES else 0.45)]
    return [
        *(
            Goal(what=f"{ours} within {plus * 1e3:.0f} ms of {theirs}", ours=ours, theirs=theirs, plus=plus)
            for ours, theirs, plus in more
        ),
        *(
            Goal(
                what=f"pkigen init takes {factor:.2f} of kubeadm's time with {algorithm}",
                ours=f"pkigen init, {algorithm}",
                theirs=f"kubeadm init phase …, {algorithm}",
                times=factor,
            )
            for algorithm, factor in times
        ),
    ]


def machine() -> str:
    """What the figures were taken on."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, pkigen {__version__}, load {load:.1f} at the start"
    )


def measure(found: Sequence[Contender], runs: int) -> None:
    """Let every contender run in turn, after one round that does not count."""
    for turn in range(runs + 1):
        for contender in found:
            contender.run()
            if turn == 0:
                contender.forget()


def table(found: Sequence[Contender]) -> str:
    """The figures, in milliseconds."""
    width = max(len(contender.name) for contender in found)
    lines = [f"{'':{width}}   median  fastest  slowest  least of cores   (ms)"]
    lines += [
        f"{contender.name:{width}}  {contender.median * 1e3:7.0f}  {min(contender.seconds) * 1e3:7.0f}"
        f"  {max(contender.seconds) * 1e3:7.0f}  {contender.least * 1e3:14.0f}"
        for contender in found
    ]
    return "\n".join(lines)


def verdicts(found: Sequence[Contender], *, by_cores: bool) -> list[str]:
    """Which goals are met."""
    measured = {contender.name: contender.least if by_cores else contender.median for contender in found}
    result = []
    for goal in goals():
        ours, theirs = measured.get(goal.ours), measured.get(goal.theirs)
        if ours is None or theirs is None:
            result.append(f"  not measured  {goal.what}")
            continue
        word = "met   " if goal.met(ours, theirs) else "MISSED"
        result.append(
            f"  {word}  {goal.what}: {ours * 1e3:.0f} ms and {theirs * 1e3:.0f} ms, "
            f"{(ours - theirs) * 1e3:.0f} ms more, ratio {ours / theirs:.2f}"
        )
    return result


def main() -> None:
    """Measure, print, and keep the single figures where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15, help="how often each contender runs (default: 15)")
    parser.add_argument("--cores", action="store_true", help="judge by what cores have worked, not the clock")
    parser.add_argument("--only", default="", help="leave out contenders without this word in their name")
    parser.add_argument("--json", type=Path, help="keep every single figure in this file")
    options = parser.parse_args()
    where = machine()
    found = [each for each in contenders() if options.only in each.name]
    measure(found, options.runs)
    print(where)
    print(f"{options.runs} runs each, in turn\n")
    print(table(found))
    print(f"\ngoals ({'the least of all cores' if options.cores else 'medians of the clock'} in this run)")
    print("\n".join(verdicts(found, by_cores=options.cores)))
    if options.json:
        figures = {each.name: {"seconds": each.seconds, "of cores": each.of_cores} for each in found}
        options.json.write_text(json.dumps({"machine": where, **figures}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
