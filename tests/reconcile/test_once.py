"""What is done once for each object is done once: operations are counted, never seconds."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.crypto import keys
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.rendering import Renderer
from pkigen.reconcile.apply import apply_plan
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.verify import verify
from pkigen.reconcile.workbench import Tools
from pkigen.spec.model import ClusterSpec
from pkigen.state.lockfile import read_lock
from pkigen.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 27, tzinfo=UTC)
FEW, MANY = 1, 4


def inventory_of(workers: int) -> Inventory:
    """One control-plane node and workers under systemd, with three leaves each."""
    names = ["cp", *(f"worker-{number}" for number in range(workers))]
    return derive(
        ClusterSpec.model_validate(
            {
                "metadata": {"name": "counted"},
                "spec": {
                    "kubernetesVersion": "v1.36.2",
                    "runtime": "systemd",
                    "nodes": [
                        {
                            "name": name,
                            "roles": ["worker" if number else "control-plane"],
                            "addresses": [f"10.0.0.{number + 1}"],
                        }
                        for number, name in enumerate(names)
                    ],
                },
            }
        )
    )


def counted(work: Callable[[], object]) -> Counter[str]:
    """How often each function that is not Python's own is called by some work."""
    found: Counter[str] = Counter()

    def note(_frame: object, event: str, function: Any) -> None:
        if event == "c_call":
            found[f"{function.__module__}.{function.__qualname__}"] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The calls of some work, and the leaves and files that it was about."""

    calls: Counter[str]
    leaves: int
    files: int

    def each(self, name: str, count: int) -> float:
        """How often a function was called for each of so many things."""
        return self.calls[name] / count


def init(inventory: Inventory, root: Path) -> None:
    renderer = Renderer(inventory)
    with Store.open(root, command="init", now=NOW) as store:
        plan = make_plan(inventory, store, renderer, now=NOW, owned=frozenset())
        apply_plan(
            plan,
            inventory,
            store,
            Tools(now=NOW, entropy=os.urandom, renderer=renderer, progress=SILENCE),
        )


def plan(inventory: Inventory, root: Path) -> None:
    with Store.open_reading(root) as store:
        made = make_plan(inventory, store, Renderer(inventory), now=NOW, owned=frozenset(inventory.paths))
        assert not made.changes


def look(inventory: Inventory, root: Path) -> None:
    with Store.open_reading(root) as store:
        assert not verify(inventory, store, Renderer(inventory), now=NOW).findings


def grow(inventory: Inventory, root: Path) -> None:
    """Make what another spec asks for in a directory that is there."""
    renderer = Renderer(inventory)
    with Store.open(root, command="apply", now=NOW) as store:
        lock = read_lock(store)
        assert lock is not None
        made = make_plan(inventory, store, renderer, now=NOW, owned=lock.paths)
        assert made.changes
        apply_plan(
            made, inventory, store, Tools(now=NOW, entropy=os.urandom, renderer=renderer, progress=SILENCE)
        )
        assert not make_plan(inventory, store, renderer, now=NOW, owned=lock.paths).changes


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cost]:
    """What three workers more cost each kind of work."""
    few, many = inventory_of(FEW), inventory_of(MANY)
    top = tmp_path_factory.mktemp("counted")
    leaves, files = len(many.certificates) - len(few.certificates), len(many.paths) - len(few.paths)
    found = {}
    # Once before it counts: templates are compiled, and what is asked of the system once was asked.
    init(few, top / "before")
    for name, work in {"init": init, "plan": plan, "verify": look}.items():
        calls = counted(partial(work, many, top / "many"))
        calls.subtract(counted(partial(work, few, top / "few")))
        found[name] = Cost(calls=calls, leaves=leaves, files=files)
    return found


def test_a_certificate_is_signed_parsed_and_verified_once(costs: dict[str, Cost]) -> None:
    made = costs["init"]
    assert made.leaves == 9
    assert made.each("_rust.x509.create_x509_certificate", made.leaves) == 1
    assert made.each("ec.generate_private_key", made.leaves) == 1
    # Once what was staged is looked at again.
    assert made.each("_rust.x509.load_pem_x509_certificate", made.leaves) == 1
    assert made.each("keys.load_pem_private_key", made.leaves) == 1
    assert made.each("None.Certificate.verify_directly_issued_by", made.leaves) == 1


def test_a_plan_parses_and_verifies_each_certificate_once(costs: dict[str, Cost]) -> None:
    looked = costs["plan"]
    assert looked.each("_rust.x509.create_x509_certificate", looked.leaves) == 0
    assert looked.each("_rust.x509.load_pem_x509_certificate", looked.leaves) == 1
    assert looked.each("keys.load_pem_private_key", looked.leaves) == 1
    assert looked.each("None.Certificate.verify_directly_issued_by", looked.leaves) == 1


def test_verify_looks_at_each_certificate_as_an_object_and_as_an_end(costs: dict[str, Cost]) -> None:
    looked = costs["verify"]
    assert looked.each("_rust.x509.load_pem_x509_certificate", looked.leaves) == 2
    assert looked.each("keys.load_pem_private_key", looked.leaves) == 2
    assert looked.each("None.Certificate.verify_directly_issued_by", looked.leaves) == 2


def test_what_a_change_leaves_alone_is_not_looked_at_again(tmp_path: Path) -> None:
    """A worker more: the leaves of the others are parsed for each plan, and not for the second look."""
    calls = {}
    for workers in (FEW, MANY):
        root = tmp_path / str(workers)
        init(inventory_of(workers), root)
        calls[workers] = counted(partial(grow, inventory_of(workers + 1), root))
    leaves = len(inventory_of(MANY).certificates) - len(inventory_of(FEW).certificates)
    calls[MANY].subtract(calls[FEW])
    # Twice: `grow` plans once more to see that all is there.
    assert calls[MANY]["_rust.x509.load_pem_x509_certificate"] == 2 * leaves
    assert calls[MANY]["None.Certificate.verify_directly_issued_by"] == 2 * leaves


def test_each_file_is_opened_once_for_an_object(costs: dict[str, Cost]) -> None:
    """A file is read once; the directories on the way are opened about twice as often."""
    plan_cost, verify_cost = costs["plan"], costs["verify"]
    # One read(2) more tells that the file has ended.
    assert plan_cost.each("posix.read", plan_cost.files) == 2
    assert plan_cost.each("posix.open", plan_cost.files) < 4
    assert verify_cost.each("posix.open", verify_cost.files) < 7


def test_init_opens_and_syncs_few_times_for_a_file(costs: dict[str, Cost]) -> None:
    made = costs["init"]
    assert made.each("posix.open", made.files) < 10
    # Small changes are made durable file by file: each file, and each directory that it came into.
    assert made.each("posix.fsync", made.files) < 3
    # Everything that is written is written at once, and read back once.
    assert made.each("posix.write", made.files) < 4


def test_the_primes_of_keys_that_are_made_here_are_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes as long as making them."""
    trusted = []
    load = keys.serialization.load_pem_private_key

    def loading(*arguments: Any, **options: Any) -> Any:
        trusted.append(options["unsafe_skip_rsa_key_validation"])
        return load(*arguments, **options)

    monkeypatch.setattr(keys.serialization, "load_pem_private_key", loading)
    settings = {"kubernetesVersion": "v1.36.2", "nodes": [], "controlPlaneEndpoint": "api.example.com"}
    cluster = {"metadata": {"name": "rsa"}, "spec": settings | {"certificates": {"keyAlgorithm": "RSA-2048"}}}
    init(derive(ClusterSpec.model_validate(cluster)), tmp_path / "rsa")
    assert len(trusted) > 4
    assert all(trusted)


def test_the_count_sees_what_is_done_twice(costs: dict[str, Cost], tmp_path: Path) -> None:
    """The control: a plan that is made twice has parsed everything twice."""
    inventory = inventory_of(FEW)
    init(inventory, tmp_path / "x")
    once = counted(lambda: plan(inventory, tmp_path / "x"))

    def twice() -> None:
        plan(inventory, tmp_path / "x")
        plan(inventory, tmp_path / "x")

    name = "_rust.x509.load_pem_x509_certificate"
    assert counted(twice)[name] == 2 * once[name] > 0
    assert costs["plan"].calls[name] > 0
