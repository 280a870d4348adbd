"""A real API server and etcd, while somebody replaces keys of the authority, and rolls a rotation back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.live import programs
from tests.live.control_plane import Cluster, StaticPod, boot_static_pods, make, plug_in, spec_text
from tests.live.hosts import Network
from tests.live.rotating import deliver, end, pkigen_in, restart, restarts_of, rotate
from tests.samples import snapshot

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.11"
_LIVEZ = f"https://{_ADDRESS}:6443/livez"
_SECONDS = 300
_SPEC = {
    "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}],
    "encryption": {},
}
_WORD = "kept-in-etcd"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    made = make(tmp_path, spec_text("unchanged", _SPEC))
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        yield made


def _admin(cluster: Cluster, *arguments: str) -> str:
    return cluster.kubectl("cp-1", cluster.kubeconfig("cp-1", "super-admin.conf"), *arguments)


def _secret_made(cluster: Cluster, name: str) -> None:
    _admin(cluster, "create", "secret", "generic", name, f"--from-literal=word={_WORD}")


def _secret_read(cluster: Cluster, name: str) -> str:
    path = ("get", "secret", name, "-o", "go-template={{.data.word | base64decode}}")
    done = cluster.try_kubectl("cp-1", cluster.kubeconfig("cp-1", "super-admin.conf"), *path)
    return done.stdout if done.returncode == 0 else done.stderr


def _takes(cluster: Cluster, token: str) -> bool:
    """Whether the API server knows who has a token; `token` alone is the credential."""
    server = (
        "--server",
        f"https://{_ADDRESS}:6443",
        "--certificate-authority",
        cluster.pki("cp-1") / "ca.crt",
    )
    done = cluster.machines["cp-1"].attempt(
        "kubectl", "--kubeconfig", "/dev/null", *server, "--token", token, "auth", "whoami"
    )
    return done.returncode == 0


def _pkigen(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    spec = () if command == "rollback" else (cluster.scratch / "cluster.yaml",)
    return pkigen_in(cluster.machines["cp-1"], command, *spec, *rest, "-C", cluster.out, "--yes")


def _step(cluster: Cluster, phase: str) -> None:
    restarts = rotate(cluster, "encryption-key", phase)
    deliver(cluster, "cp-1")
    assert restarts_of(restarts, "cp-1") == {"kube-apiserver"}
    restart(cluster, "cp-1", "kube-apiserver", _LIVEZ)


def test_keys_replaced_in_place_reach_nobody(cluster: Cluster) -> None:
    """Neither Secrets nor tokens are lost; the control, the same by force, loses both."""
    _secret_made(cluster, "before")
    _admin(cluster, "create", "serviceaccount", "robot")
    token = _admin(cluster, "create", "token", "robot").strip()
    assert _takes(cluster, token)
    other = _other_authority(cluster)
    for name in ("encryption.key", "sa.key"):
        kept = (cluster.out / "pki" / name).read_bytes()
        (cluster.out / "pki" / name).write_bytes((other / "pki" / name).read_bytes())
        before = snapshot(cluster.out)
        done = _pkigen(cluster, "apply")
        assert done.returncode == 1, done.stdout
        assert f"pki/{name}" in done.stderr
        assert snapshot(cluster.out) == before
        (cluster.out / "pki" / name).write_bytes(kept)
    assert _pkigen(cluster, "apply").returncode == 0
    deliver(cluster, "cp-1")
    restart(cluster, "cp-1", "kube-apiserver", _LIVEZ)
    assert (_secret_read(cluster, "before"), _takes(cluster, token)) == (_WORD, True)
    _replaced_by_force(cluster, other, "sa.key", "sa.pub")
    restart(cluster, "cp-1", "kube-apiserver", _LIVEZ)
    assert (_secret_read(cluster, "before"), _takes(cluster, token)) == (_WORD, False)
    _replaced_by_force(cluster, other, "encryption.key")
    _starts_in_vain(cluster)


def _replaced_by_force(cluster: Cluster, other: Path, *names: str) -> None:
    for name in names:
        (cluster.out / "pki" / name).write_bytes((other / "pki" / name).read_bytes())
    done = _pkigen(cluster, "apply", "--force")
    assert done.returncode == 0, done.stderr
    deliver(cluster, "cp-1")


def _starts_in_vain(cluster: Cluster) -> None:
    """An API server that cannot read a Secret is never ready, and says why."""
    machine = cluster.machines["cp-1"]
    end(machine, "kube-apiserver")
    pod = StaticPod.read(cluster.kubeconfig("cp-1", "manifests") / "kube-apiserver.yaml")
    process = machine.start("kube-apiserver", pod.command)
    deadline = time.monotonic() + _SECONDS
    while "no matching key was found" not in (said := process.tail()):
        assert time.monotonic() < deadline, said
        time.sleep(1)
    assert machine.request(_LIVEZ, until=2).status != 200


def _other_authority(cluster: Cluster) -> Path:
    """Another authority of the same kind, whose keys are laid over this one's."""
    out = cluster.scratch / "other"
    done = pkigen_in(cluster.machines["cp-1"], "init", cluster.scratch / "cluster.yaml", "-C", out)
    assert done.returncode == 0, done.stderr
    return out


def test_a_rollback_leaves_the_key_that_secrets_are_written_with(cluster: Cluster) -> None:
    _secret_made(cluster, "old")
    _step(cluster, "prepare")
    _step(cluster, "promote")
    _secret_made(cluster, "new")  # with the promoted key
    tree = snapshot(cluster.out)
    first = min(path.name for path in (cluster.out / ".pkigen/backups").iterdir())
    done = _pkigen(cluster, "rollback", first)
    assert done.returncode == 1, done.stdout
    assert "it takes away pki/encryption.key" in done.stderr
    assert snapshot(cluster.out) == tree
    deliver(cluster, "cp-1")
    restart(cluster, "cp-1", "kube-apiserver", _LIVEZ)
    assert {_secret_read(cluster, name) for name in ("old", "new")} == {_WORD}
    # The control: by force, the key is gone that the second Secret was written with.
    assert _pkigen(cluster, "rollback", first, "--force").returncode == 0
    deliver(cluster, "cp-1")
    _starts_in_vain(cluster)
