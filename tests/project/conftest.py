from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline kit for this Python and both machines; that takes a minute or two, so it is for CI and for
    those who ask for it.

    Made once, whichever of the test processes comes first.
    """
    if not os.environ.get("CI") and not os.environ.get("PKIGEN_OFFLINE"):
        pytest.skip("set PKIGEN_OFFLINE=1 to build and install the offline kit")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out = shared / "offline-kit"
    with (shared / "offline-kit.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "SHA256SUMS").exists():
            shutil.rmtree(out, ignore_errors=True)
            done = subprocess.run(
                [sys.executable, TOP / "scripts/offline.py", out, "--machine=x86_64", "--machine=aarch64"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            out.with_suffix(".said").write_text(done.stdout)
    return out
