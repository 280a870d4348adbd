"""Real programs that the tests compare with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEMD = Path("/lib/systemd/systemd")


def find(name: str) -> str:
    """A program from `KUBEBUILDER_ASSETS`, beside this Python or on PATH; the test is skipped without it."""
    places = [os.environ.get("KUBEBUILDER_ASSETS", ""), str(Path(sys.executable).parent), os.environ["PATH"]]
    program = shutil.which(name, path=os.pathsep.join(place for place in places if place))
    if program is None:
        pytest.skip(f"no {name} in KUBEBUILDER_ASSETS or on PATH")
    return program


def find_etcd_3_6() -> str:
    """An etcd of v3.6 or later, whose flags are other ones than those of v3.5; skipped without it."""
    program = find("etcd")
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=600)
    version = done.stdout.splitlines()[0].removeprefix("etcd Version: ")
    if tuple(map(int, version.split(".")[:2])) < (3, 6):
        pytest.skip(f"{program} is etcd {version}, and the test is about flags of v3.6")
    return program


def need_root() -> None:
    """Skip unless the test may change roots and make namespaces."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it changes the root folder or makes namespaces")


@contextlib.contextmanager
def _control_group() -> Iterator[Path]:
    """A control group of its own."""
    for parent in (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup")):
        group = parent / f"pkigen-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            yield group
        finally:
            _remove(group)
        return
    pytest.skip("no control group can be made here")


def _remove(group: Path) -> None:
    """Remove a control group whose last processes may still be dying."""
    for _ in range(100):
        try:
            for below in sorted(group.rglob("*"), reverse=True):
                if below.is_dir():
                    below.rmdir()
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{group} is still in use")


def boot_systemd(scratch: Path, prepared: str, *, unit: str, seconds: int) -> str:
    """Run a real systemd as process 1 of its own namespaces until the unit ends it; nothing outlives it.

    Args:
        scratch: A folder for a script.
        prepared: Shell commands before systemd starts; they put units into /run/units.
        unit: What to start; its SuccessAction must be exit-force.
        seconds: After which everything in the namespaces is killed.

    Returns:
        What systemd said.
    """
    need_root()
    if not _SYSTEMD.exists():
        pytest.skip(f"no {_SYSTEMD}")
    find("unshare")
    (scratch / "prepare.sh").write_text(
        "set -e\nmount --make-rprivate /\nmount -t tmpfs tmpfs /run\n"
        "mkdir -p /run/systemd/system /run/systemd/system.conf.d\n"
        "printf '[Manager]\\nDefaultTimeoutStopSec=1s\\n' > /run/systemd/system.conf.d/stop.conf\n"
        f"{prepared}\n"
        "exec env -i container=probe PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/units"
        f" {_SYSTEMD} --system --unit={unit} --log-target=console --show-status=no --crash-reboot=no\n"
    )
    with _control_group() as group:
        (scratch / "boot.sh").write_text(
            f"set -e\necho 0 > {group}/cgroup.procs\n"
            "exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup --mount-proc"
            f" sh {scratch}/prepare.sh\n"
        )
        with subprocess.Popen(
            ["sh", str(scratch / "boot.sh")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                said = process.communicate(timeout=seconds)[0].decode(errors="replace")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    if "Operation not permitted" in said:
        pytest.skip(f"systemd cannot be process 1 of its own namespaces here: {said[-300:]}")
    return said
