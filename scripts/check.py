#!/usr/bin/env python3
"""The test command: sets up what the checks need in `.venv`, then runs all of them.

    python3 scripts/check.py             every check, for a quarter of an hour at most on two processors
    python3 scripts/check.py --coverage  every check, and branch coverage of at least 95 %: longer by a third
    python3 scripts/check.py --quick     the habit while you work: a minute or so; it says what it leaves out
    python3 scripts/check.py ARGUMENT…   pytest alone, with these arguments
    python3 scripts/check.py --help      this text

Needs nothing but Python 3.11 or newer with its `venv` module. The exit code is 0 only if every check passed;
all of them run, whichever fails first. The static checks run beside the tests; what they find is shown last.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parent.parent
ENVIRONMENT = TOP / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
OLDEST = (3, 11)


@dataclass(frozen=True)
class Check:
    """One program to run; its output is shown when it fails."""

    name: str
    command: tuple[str, ...]


STATIC = (
    Check("ruff check", ("ruff", "check")),
    Check("ruff format", ("ruff", "format", "--check")),
    Check("mypy", ("mypy", "pkigen", "scripts", "benchmarks/run.py")),
)
# The tests hold the import rules, look for dead code and build the wheel.
PYTEST = ("pytest", "--dist", "worksteal")
MEASURED = ("--cov", "--cov-report=term-missing:skip-covered")
SLOW_MARKERS = {
    "live": "real etcd and Kubernetes programs",
    "faults": "faults and kills at many points of every command",
    "sweep": "very many cases of one kind, fuzzing, whole programs that judge certificates",
}
SLOW_PLACES = {
    "tests/project/test_wheel.py": "the wheel, built and installed",
    "tests/project/test_check.py": "this command, in a small project",
    "tests/project/test_offline.py": "the offline kit",
    "tests/project/test_debian.py": "the Debian package",
    "tests/project/test_dockerfile.py": "what the image installs and removes",
    "tests/project/test_pages.py::test_the_site_is_built_and_loads_nothing_from_elsewhere": "the site",
    "tests/pages/test_shown.py::test_commands_say_what_is_shown": "what the documentation shows, run",
    "tests/project/test_mutants.py::test_survivors_are_told_from_what_is_noticed": "a run of the mutants",
    "tests/parity": "kubeadm's own output for the same clusters",
    "tests/rotation/test_phases.py": "whole rotations, phase by phase",
    "tests/rotation/test_runbook.py": "their runbooks",
    "tests/rotation/test_crossing.py": "cross certificates in every phase, on whole trees",
    "tests/rotation/test_saved_steps.py": "steps that are saved and carried out in another copy",
    "tests/rotation/test_rollback.py": "the ways back, at every step",
    "tests/rotation/test_proving.py": "the proof that no connection breaks, in every phase",
    "tests/rotation/test_live.py": "what endpoints serve before a step",
    "tests/rotation/test_live_revocations.py": "whom API servers refuse, asked over a network",
    "tests/pages/test_at_a_terminal.py": "what pages show of a terminal",
    "tests/rotation/test_cluster_trust_bundle.py": "the trust bundle that is published in the cluster",
    "tests/rotation/test_effective_flags.py": "rotations of components whose flags lead elsewhere",
    "tests/rotation/test_steps.py": "every step of a rotation, on whole trees",
    "tests/reconcile/test_verify.py": "a hundred and more damaged trees before `verify`",
    "tests/reconcile/test_revival.py": "rescue kits",
    "tests/reconcile/test_division.py": "surveys and verdicts that processes share",
    "tests/reconcile/test_survey.py::test_each_reason_where_every_mode_is_wrong_too": "every reason, twice",
    "tests/reconcile/test_apply.py::test_from_any_spec_to_any_other": "changes between specs of every kind",
    "tests/reconcile/test_apply.py::test_life_after_years": "years of renewals",
    "tests/state/test_authority_record.py": "authorities that were replaced in every way",
    "tests/state/test_vault.py": "the encrypted authority: passphrases are slow on purpose",
    "tests/state/test_encryption.py": "encrypting it, and giving it other keys",
    "tests/airgap/enrolment": "keys that are made on the nodes, and their requests",
    "tests/airgap/offline": "offline authorities, both sides of them",
    "tests/rotation/test_evidence.py": "who still uses a CA, by audit logs",
    "tests/access/test_tokens.py": "tokens of service accounts, on whole trees",
    "tests/adoption/test_adopt.py": "clusters that are taken over",
    "tests/airgap/bundles/test_commands.py": "bundles, made and installed by commands",
    "tests/airgap/bundles/test_install.py": "bundles installed while everything fails",
    "tests/adoption/test_defects.py": "defects in the trees of two makers",
    "tests/adoption/test_taken_from_makers.py": "clusters of other makers, by openssl, cfssl and easy-rsa",
    "tests/adoption/test_one_ca.py": "rotations that lead from one CA to three",
    "tests/cli/test_monitoring.py": "alerts, fired by promtool",
    "tests/adoption/test_afterwards.py": "what is done with clusters that were taken over",
    "tests/cli/test_screens.py": "every kept screen, on terminals and piped",
    "tests/airgap/bundles/test_contents.py": "what bundles of all sample clusters hold",
    "tests/cli/test_etcd_members.py": "members of etcd that come, go and move",
    "tests/cli/test_flags_of_templates.py": "templates of one's own that lead elsewhere",
    "tests/cli/test_fleet.py": "fleets",
    "tests/cli/test_fleet_root.py": "one offline root above a fleet",
    "tests/cli/test_kubeconfig_files.py": "kubeconfigs that name files",
    "tests/cli/test_revoke.py": "credentials that are revoked",
    "tests/cli/test_rights_in_the_cluster.py": "rights that change in the cluster",
    "tests/cli/test_raw_exceptions.py": "damaged files before many commands",
    "tests/cli/test_pull_requests.py": "two clones of one Git repository",
    "tests/cli/test_terminal.py": "terminals, signals, pipes",
    "tests/cli/test_watch.py": "`status --watch`",
    "tests/cli/test_streams.py": "standard streams that are closed or full",
    "tests/cli/test_verify_and_rollback.py": "`verify` and `rollback` as commands",
    "tests/cli/test_recorded_templates.py": "templates that are remembered",
    "tests/cli/test_restart_script.py": "scripts that restart components, run",
    "tests/spec/test_loader.py::test_a_pipe_is_read_to_its_end": "specs that come slowly",
    "tests/spec/test_loader.py::test_a_pipe_without_a_writer_is_not_waited_for": "specs that never come",
    "tests/store/test_lock.py::test_a_reader_gives_up_after_two_seconds": "readers that wait",
}
"""What a quick check leaves out beside the markers: folders, files, and single tests (with `::`)."""
ROOMY = 2 << 30
"""Bytes of memory that the trees of all tests may take; each goes with its test."""


def main(arguments: list[str]) -> int:
    """Set up, check, summarise; the exit code."""
    if arguments in (["--help"], ["-h"]):
        print(__doc__.rstrip())
        return 0
    if sys.version_info < OLDEST:
        sys.exit(f"error: this is Python {sys.version.split()[0]}, the tests need 3.11 or newer")
    set_up()
    quick, measured = arguments == ["--quick"], arguments == ["--coverage"]
    if arguments and not quick and not measured:
        return run(("pytest", *arguments)).returncode
    return check(quick=quick, measured=measured)


def check(*, quick: bool, measured: bool) -> int:
    """Run the tests, and the static checks beside them; the exit code is 0 if all of them passed."""
    chosen = without_slow() if quick else MEASURED if measured else ()
    with ThreadPoolExecutor() as beside:
        outcomes = [beside.submit(outcome, each) for each in STATIC]
        with in_memory() as place:
            tests = run((*PYTEST, *workers(quick=quick), *place, *chosen)).returncode
    if quick:
        print_left_out()
    # Pytest's own summary stays the last thing on standard output.
    sys.stdout.flush()
    failed = [each.result() for each in outcomes if each.result()]
    print(f"static checks: {len(STATIC) - len(failed)} of {len(STATIC)} passed", file=sys.stderr)
    for said in failed:
        print(said, file=sys.stderr)
    return tests or int(bool(failed))


def workers(*, quick: bool) -> tuple[str, ...]:
    """How many processes run the tests; with `worksteal`, who is done early takes over from the others.

    One more than processors where tests with real programs wait more than they work. Without these, another
    one would only import and collect everything, and make the shared trees, once more.
    """
    return ("-n", str((os.cpu_count() or 1) + (0 if quick else 1)))


@contextmanager
def in_memory() -> Iterator[tuple[str, ...]]:
    """The argument that has pytest make its trees in memory, if there is enough: they are many and small."""
    memory = Path("/dev/shm")  # noqa: S108 -- a private directory is made in it
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < ROOMY:
        yield ()
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="pkigen-tests-") as place:
        yield (f"--basetemp={place}/trees",)


def without_slow() -> tuple[str, ...]:
    """The arguments of pytest that leave out what takes long."""
    markers = " or ".join(SLOW_MARKERS)
    places = (f"--{'deselect' if '::' in place else 'ignore'}={place}" for place in SLOW_PLACES)
    return ("-m", f"not ({markers})", *places, "--hypothesis-profile=quick", "--quiet", "-r", "fE")


def print_left_out() -> None:
    """Say what a quick check has not looked at."""
    print("left out, run `python3 scripts/check.py` before you propose a change:")
    for name, what in {**SLOW_MARKERS, **SLOW_PLACES}.items():
        print(f"  {name}: {what}")


def set_up() -> None:
    """Make the environment, or bring it up to date with pyproject.toml."""
    project = (TOP / "pyproject.toml").read_bytes()
    stamp = ENVIRONMENT / "installed-from"
    state = hashlib.sha256(project + sys.version.encode()).hexdigest()
    if PYTHON.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == state:
        return
    print(f"setting up {ENVIRONMENT}", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=False)
    if made.returncode:
        sys.exit("error: no virtual environment could be made\nhint: on Debian, apt-get install python3-venv")
    # The group is read here because the pip of Debian 12 does not know dependency groups yet.
    group = tomllib.loads(project.decode())["dependency-groups"]["test"]
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, "--editable", str(TOP), *group], check=False)
    if done.returncode:
        sys.exit("error: the packages could not be installed\nhint: the tests need a package index")
    stamp.write_text(state, encoding="ascii")


def outcome(check: Check) -> str:
    """Run one check: nothing if it passes, else what it said."""
    done = run(check.command, quiet=True)
    return "" if done.returncode == 0 else f"{done.stdout}\nerror: {check.name} failed, see above"


def run(command: tuple[str, ...], *, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment at the top of the checkout."""
    places = f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": places, "VIRTUAL_ENV": str(ENVIRONMENT)}
    # Else each of some hundred processes would compile pkigen, and each worker of pytest all of the tests.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(
        [str(PYTHON), "-m", *command],
        cwd=TOP,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
