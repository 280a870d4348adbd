#!/usr/bin/env python3
"""Write `completions`: what shells read to complete pkigen's command lines; the wheel installs them.

The program says itself what each shell needs. zsh loads it when it is first asked for, instead of evaluating
it at its start, and that takes a few more words.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "completions"
FILES = {"bash": "pkigen", "zsh": "_pkigen", "fish": "pkigen.fish"}
_FIRST = "compdef _pkigen_completion pkigen"
# zsh runs the file as the function that completes, the first time; later it is the function (zshcompsys(1)).
_AUTOLOADED = f"""\
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _pkigen_completion "$@"
else
  {_FIRST}
fi"""


def completion(shell: str) -> str:
    """What a shell loads when `pkigen` is to be completed."""
    said = subprocess.run(
        [sys.executable, "-m", "pkigen"],
        env={**os.environ, "_PKIGEN_COMPLETE": f"source_{shell}"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return said.strip().replace(_FIRST, _AUTOLOADED) + "\n"


def main() -> int:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for shell, name in FILES.items():
        (FOLDER / name).write_text(completion(shell), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
