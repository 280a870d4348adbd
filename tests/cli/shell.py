"""Judges shell scripts that pkigen writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def assert_sound(script: Path) -> None:
    """The shell can read it, and shellcheck has nothing to say."""
    subprocess.run(["sh", "-n", script], check=True)
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if checker is None:
        pytest.skip("shellcheck is not there: the script was only read by sh")
    done = subprocess.run([checker, script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
