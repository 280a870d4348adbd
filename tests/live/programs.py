"""The real programs that the live tests run, and why a test cannot run without them.

They are looked for in the folder that KUBEBUILDER_ASSETS names (envtest's convention), beside this Python
and on PATH. PKIGEN_TEST_ETCD may name another etcd.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from pkigen.spec.values import NEWEST_MINOR, OLDEST_MINOR

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""In the order in which they can start."""
LEAST = ("etcd", "kube-apiserver", "kubectl")
"""What envtest's folders hold."""
_OLDEST_ETCD = (3, 5)
_COVERED = Path("/usr/local/bin")  # machines have the gathered programs there
_SYSTEM_TOOLS = ("unshare", "nsenter", "ip", "mount")
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def find(name: str) -> Path | None:
    """Where a program is; None where it is nowhere."""
    chosen = os.environ.get("PKIGEN_TEST_ETCD") if name == "etcd" else None
    if chosen:
        return Path(chosen)
    folders = (os.environ.get("KUBEBUILDER_ASSETS", ""), str(Path(sys.executable).parent))
    places = os.pathsep.join((*(folder for folder in folders if folder), os.environ.get("PATH", os.defpath)))
    found = shutil.which(name, path=places)
    return Path(found).absolute() if found else None


def gather(folder: Path) -> None:
    """Make a folder in which every program at hand has its own name."""
    for name in (*COMPONENTS, "kubectl", "kubelet"):
        program = find(name)
        if program is None:
            continue
        if program.is_relative_to(_COVERED):
            shutil.copy(program, folder / name)
        else:
            (folder / name).symlink_to(program)


@cache
def version(name: str) -> tuple[int, int, int]:
    """The version that a program says it is."""
    program = find(name)
    assert program is not None
    said = subprocess.run(
        [program, "--version"], check=True, capture_output=True, text=True, timeout=300
    ).stdout
    match = _VERSION.search(said)
    assert match is not None, said
    return int(match[1]), int(match[2]), int(match[3])


def kubernetes_version() -> str:
    """The version of Kubernetes for the specs: the API server's own, or a recent one where there is none."""
    if find("kube-apiserver") is None:
        return "v1.36.2"  # etcd alone does not care
    return "v{}.{}.{}".format(*version("kube-apiserver"))


def etcd_image_tag() -> str | None:
    """The tag for the specs' etcd image where the etcd at hand is older than the one of that Kubernetes.

    Flags follow the etcd that a spec names: etcd 3.5 refuses the `--feature-gates` that 3.6 is given, and the
    API server works with both. So a spec of the tests names the etcd that really runs, instead of having its
    rendered flags changed afterwards.
    """
    major, minor, patch = version("etcd")
    return f"{major}.{minor}.{patch}-0" if (major, minor) < (3, 6) else None


def require(*names: str) -> None:
    """Skip the test with every reason why the programs cannot run here."""
    reasons = list(_machine())
    missing = [name for name in names if find(name) is None]
    if missing:
        reasons.append(f"no {', '.join(missing)} in KUBEBUILDER_ASSETS or on PATH")
    if not missing and "etcd" in names and version("etcd") < _OLDEST_ETCD:
        reasons.append(f"etcd {version('etcd')} is older than {_OLDEST_ETCD}")
    if "kube-apiserver" in names and "kube-apiserver" not in missing:
        _, minor, _ = version("kube-apiserver")
        if not OLDEST_MINOR <= minor <= NEWEST_MINOR:
            reasons.append(f"Kubernetes {kubernetes_version()} is not one that pkigen knows")
    if reasons:
        pytest.skip("; ".join(reasons))


@cache
def _machine() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ("needs root for network and mount namespaces",)
    missing = [name for name in _SYSTEM_TOOLS if shutil.which(name) is None]
    if missing:
        return (f"no {', '.join(missing)} on PATH",)
    probe = (
        "mount -t tmpfs tmpfs /mnt && ip link add br0 type bridge && ip link add v0 type veth peer name v1"
    )
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "sh", "-c", probe],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return () if tried.returncode == 0 else (f"namespaces do not work here: {tried.stderr.strip()}",)
