"""Runs the steps of a page in a directory of its own, and compares what is said with what is shown."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tests.cli.program import REPOSITORY
from tests.pages.blocks import Boot, Command, Deliver, Later, RunElsewhere, WrittenFile, compare
from tests.pages.warm_program import AHEAD, HOST, MACHINES, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.pages.blocks import Step

_SECONDS = 300


class RunningCluster(Protocol):
    """A cluster that is started from a directory that the page has made."""

    def boot(self, directory: Path) -> tuple[str, ...]:
        """Start it; what is returned runs a command on one of its machines."""

    def deliver(self, directory: Path) -> None:
        """Copy the files, and restart what the last change requires."""


@dataclass(slots=True, kw_only=True)
class PageShell:
    """A shell in a page's directory; every machine that a prompt names has a root directory there."""

    place: Path
    programs: Path
    running: RunningCluster | None = None
    """Where commands that need a cluster are run; without one they are left out."""
    days: int = 0
    exported: dict[str, str] = field(default_factory=dict)
    machine: tuple[str, ...] = ()
    alike: dict[str, str] = field(default_factory=dict)
    """Keys and backups that the page names, and what they are this time."""
    commands: int = 0

    def follow(self, steps: Iterable[Step]) -> None:
        """Take every step; the first that goes otherwise than it is shown fails."""
        for step in steps:
            match step:
                case WrittenFile():
                    file = self.place / step.path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(step.text, encoding="utf-8")
                case Later():
                    self.days += step.days
                case Boot() if self.running is not None:
                    self.machine = self.running.boot(self.place / step.directory)
                case Deliver() if self.running is not None:
                    self.running.deliver(self.place / step.directory)
                case Command() if self.machine or not step.in_cluster:
                    self._run(step)
                case Boot() | Deliver() | Command() | RunElsewhere():
                    pass

    def _run(self, command: Command) -> None:
        if command.words.startswith("export "):
            name, _, value = command.words.removeprefix("export ").partition("=")
            self.exported[name] = value.replace("$PWD", str(self.place))
            return
        words = command.words
        for named, present in self.alike.items():
            words = words.replace(named, present)
        machines = self.place / "machines"
        root = machines / (command.host or "here")
        root.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*self.machine, "sh", "-c", f"exec 2>&1\n{words}"],
            cwd=self.place,
            env={
                **os.environ,
                "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.place),
                "TOP": str(REPOSITORY),
                AHEAD: str(self.days),
                HOST: command.host,
                ROOT: str(root),
                MACHINES: str(machines),
                **self.exported,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        self.commands += 1
        if command.shown is None:
            assert done.returncode == 0, f"{command.words}: {done.stdout}"
            return
        # On a machine of its own, and to the person whose page it is, paths are not below a test's directory.
        said = done.stdout.replace(str(root), "").replace(str(self.place), "~").splitlines()
        found = compare(command.shown, said)
        assert found.fault is None, f"{command.words}: {found.fault}\n" + "\n".join(said)
        for named, present in found.alike:
            other = self.alike.setdefault(named, present)
            assert other == present, f"{command.words}: {named} is {present} here, and was {other} before"
