"""A real etcd, from a tree whose certificates had all ended and that `pkigen rescue` made anew."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.live import programs
from tests.live.hosts import Network
from tests.live.test_etcd import Client, rendered_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.hosts import Process

_START_SECONDS = 180
YEARS_AGO = timedelta(days=366 * 11)


def long_ago() -> datetime:
    """A time at which what was made has ended by now, CAs and all."""
    return datetime.now(UTC) - YEARS_AGO


def _made_long_ago(place: Path) -> Path:
    """A cluster of one node, made eleven years ago: its CAs lasted ten, its leaves one."""
    old = programs.version("etcd") < (3, 6)
    spec = place / "old.yaml"
    spec.write_text(
        "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: old}\nspec:\n"
        f"  kubernetesVersion: {'v1.33.7' if old else 'v1.36.2'}\n"
        "  nodes: [{name: cp-1, roles: [control-plane], addresses: [10.77.0.1]}]\n"
    )
    assert run(["init", str(spec), "-C", str(place / "out")], system=System(clock=long_ago)) == 0
    return place / "out"


@contextmanager
def started(tree: Path, found: Path, scratch: Path) -> Iterator[tuple[Client, Process]]:
    """The node's etcd, run by the rendered command to the letter, and who asks it."""
    scratch.mkdir()
    with Network() as network:
        machine = network.machine("cp-1", tree, addresses=["10.77.0.1"], programs=found, scratch=scratch)
        client = Client(machine, tree, "https://10.77.0.1:2379")
        yield client, machine.start("etcd", rendered_command(tree, "etcd"))


@pytest.mark.live
def test_a_real_etcd_starts_again(tmp_path: Path) -> None:
    programs.require("etcd", "etcdctl")
    out, found = _made_long_ago(tmp_path), tmp_path / "programs"
    found.mkdir()
    for name in ("etcd", "etcdctl"):
        program = programs.find(name)
        assert program is not None
        (found / name).symlink_to(program)
    tree = out / "nodes/cp-1"
    assert run(["verify", "-C", str(out)]) == 4
    with started(tree, found, tmp_path / "before") as (client, member):
        # The control: with what has ended, nobody gets in.
        deadline = time.monotonic() + _START_SECONDS
        asked = ("--command-timeout=2s", "endpoint", "health")
        while "expired" not in (said := client.etcdctl(*asked)).stderr + member.tail():
            assert said.returncode != 0
            assert time.monotonic() < deadline, said.stderr + member.tail()
    key = (out / "pki/etcd/ca.key").read_bytes()
    assert run(["rescue", "-C", str(out), "--yes"]) == 0
    assert run(["verify", "-C", str(out)]) == 0
    assert (out / "pki/etcd/ca.key").read_bytes() == key
    with started(tree, found, tmp_path / "after") as (client, member):
        deadline = time.monotonic() + _START_SECONDS
        while client.etcdctl("endpoint", "health").returncode != 0:
            assert member.alive(), member.tail()
            assert time.monotonic() < deadline, member.tail()
        put = client.etcdctl("put", "/rescued", "yes")
        assert (put.returncode, put.stdout.strip()) == (0, "OK"), put.stderr
