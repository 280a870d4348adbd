#!/usr/bin/env python3
"""Makes tests/cli/screens: what people see, in a real terminal (tmux) of 80 and of 140 columns and in a pipe.

python scripts/screens.py

The clock stands still, and no scene shows a path, a key or a fingerprint: the same sources make the same
screens anywhere. tests/cli/test_screens.py makes them again and compares.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = TOP / "tests" / "cli" / "screens"
SPEC: Final = """\
apiVersion: pkigen/v1
kind: Cluster
metadata:
  name: prod
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.example.com:6443
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}
    - {name: cp-3, roles: [control-plane], addresses: [10.0.0.13]}
    - {name: worker-1.europe-west-4.example.com, roles: [worker], addresses: [10.0.1.1]}
  users:
    - {name: dev1, groups: [dev]}
"""
WIDER: Final = SPEC.replace(
    "  users:", "  apiServer: {certSANs: [api2.example.com], bindPort: 7443}\n  users:"
)
_BEGIN, _LATER, _TOO_LATE = "2026-11-22T03:00", "2027-08-20T03:00", "2028-01-01T03:00"
PROGRAM: Final = (
    "import sys; from datetime import datetime, UTC; from pkigen.cli.app import run; "
    "from pkigen.cli.system import System; "
    "moment = datetime.fromisoformat(sys.argv[1]).replace(tzinfo=UTC); "
    "sys.exit(run(sys.argv[2:], system=System(clock=lambda: moment)))"
)
_ROWS: Final = 400
_LOOKS: Final = 3000
"""How often the screen is looked at, ten times a second, before the terminal is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A command in the cluster's directory, at a moment."""

    words: str
    moment: str = _BEGIN

    @property
    def command(self) -> list[str]:
        """As a program of its own."""
        return [sys.executable, "-c", PROGRAM, self.moment, *shlex.split(self.words)]


SCENES: Final = {
    "help": Scene(words="--help"),
    "first-plan": Scene(words="init ../first.yaml -C ../first --dry-run"),
    "status": Scene(words="status"),
    "status-when-due": Scene(words="status --sort expiry --node cp-1", moment=_LATER),
    "status-too-late": Scene(words="status --node cp-2 --sort name", moment=_TOO_LATE),
    "plan": Scene(words="plan ../wider.yaml -C ."),
    "plan-in-full": Scene(words="plan ../wider.yaml -C . --full"),
    "verify": Scene(words="verify"),
    "verify-what-is-broken": Scene(words="verify -C ../broken"),
    "next-too-late": Scene(words="next -C .", moment=_TOO_LATE),
    "proof": Scene(words="rotate ca etcd --prove"),
    "mistake": Scene(words="status --nod cp-1"),
}
COLOURFUL: Final = ("status-when-due", "plan", "verify-what-is-broken", "mistake")


def stage(place: Path) -> Path:
    """Make the cluster that the scenes show; its directory is the result."""
    for name, text in (("prod", SPEC), ("wider", WIDER), ("first", SPEC.replace("prod", "first"))):
        (place / f"{name}.yaml").write_text(text, encoding="utf-8")
    made = Scene(words=f"init {place / 'prod.yaml'} -C {place / 'prod'}")
    subprocess.run(made.command, check=True, capture_output=True, env=_environment("C.UTF-8"))
    broken = place / "broken"
    shutil.copytree(place / "prod", broken)
    kubernetes = broken / "nodes/cp-1/etc/kubernetes"
    (kubernetes / "pki/apiserver-kubelet-client.crt").unlink()
    (kubernetes / "admin.conf").chmod(0o644)
    return place / "prod"


def piped(scene: Scene, directory: Path, *, colour: str = "auto") -> str:
    """What a pipe gets, with the exit code; the escape character is shown as a backslash and an e."""
    words = [*scene.command[:4], "--color", colour, *scene.command[4:]]
    done = subprocess.run(
        words, cwd=directory, env=_environment("C"), capture_output=True, text=True, check=False
    )
    return steady(f"{done.stdout}{done.stderr}exit={done.returncode}\n".replace("\x1b", "\\e"))


def steady(text: str) -> str:
    """The same without the digest that stands for a CA's certificate in a diff."""
    return re.sub(r"(certificate-authority-data: )[0-9a-f]{16}", r"\1fedcba9876543210", text)


class Screen:
    """A terminal of some width, on light or on dark ground."""

    def __init__(self, folder: Path, columns: int, *, ground: str, locale: str) -> None:
        self._tmux = ("tmux", "-u", "-S", str(folder / f"tmux-{columns}"), "-f", os.devnull)
        self._locale = locale
        self._said("new-session", "-d", "-x", str(columns), "-y", str(_ROWS), "exec sleep 3600")
        self._said("set-option", "-w", "remain-on-exit", "on")
        style = "fg=black,bg=white" if ground == "light" else "fg=white,bg=black"
        self._said("set-option", "-w", "window-style", style)

    def _said(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, env=_environment("C.UTF-8")
        )
        return done.stdout

    def show(self, scene: Scene, directory: Path) -> str:
        """What stands on the screen once the scene is over.

        Raises:
            TimeoutError: It does not end.
        """
        variables = [f"{name}={value}" for name, value in _environment(self._locale).items()]
        program = shlex.join(["env", "-i", *variables, "TERM=screen-256color", *scene.command])
        self._said("respawn-pane", "-k", "-c", str(directory), f"{program}; echo exit=$?; exec sleep 3600")
        for _ in range(_LOOKS):
            shown = [line.rstrip() for line in self._said("capture-pane", "-p").splitlines()]
            last = next((number for number, line in enumerate(shown) if line.startswith("exit=")), None)
            if last is not None:
                return steady("\n".join(shown[: last + 1]) + "\n")
            time.sleep(0.1)
        raise TimeoutError(scene.words)

    def close(self) -> None:
        """End the terminal."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


def _environment(locale: str) -> dict[str, str]:
    """What the programs know of the machine: nothing of the person who runs this."""
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": locale,
        "HOME": os.devnull,
        "PYTHONPATH": str(TOP),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def in_terminal(
    place: Path, directory: Path, columns: int, *, ground: str, locale: str = "C.UTF-8"
) -> dict[str, str]:
    """Every scene in one terminal."""
    screen = Screen(place, columns, ground=ground, locale=locale)
    try:
        return {name: screen.show(scene, directory) for name, scene in SCENES.items()}
    finally:
        screen.close()


def in_pipe(directory: Path) -> dict[str, str]:
    """Every scene in a pipe, and those in colour."""
    plain = {f"{name}.piped": piped(scene, directory) for name, scene in SCENES.items()}
    return plain | {f"{name}.coloured": piped(SCENES[name], directory, colour="always") for name in COLOURFUL}


def main() -> int:
    """Write all of them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        directory = stage(place)
        screens = in_pipe(directory)
        for columns in (80, 140):
            found = in_terminal(place, directory, columns, ground="dark")
            screens |= {f"{name}.{columns}": text for name, text in found.items()}
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for name, text in screens.items():
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
