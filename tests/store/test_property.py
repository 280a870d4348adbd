"""Any sequence of changes leaves exactly what a dictionary of files would hold."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pkigen.store import Store
from tests.store.faults import CrashingFileSystem, SimulatedCrashError
from tests.store.sample_tree import LATER

if TYPE_CHECKING:
    from pathlib import Path

Files = dict[str, tuple[int, bytes]]

PATHS = [
    f"{folder}/{name}"
    for folder in ("pki", "nodes/a/etc", "nodes/a/etc/manifests", "nodes/b")
    for name in ("x", "y")
]
CHANGES = st.lists(
    st.dictionaries(
        st.sampled_from(PATHS),
        st.none() | st.tuples(st.sampled_from([0o600, 0o644, 0o400]), st.binary(max_size=20)),
        max_size=6,
    ),
    min_size=1,
    max_size=5,
)


def apply(root: Path, files: Files, wanted: dict[str, tuple[int, bytes] | None], dies_at: int) -> Files:
    """Make one change in the store and in the model; return what the model holds then."""
    after = dict(files)
    with (
        Store.open(root, command="apply", now=LATER, filesystem=CrashingFileSystem(dies_at)) as store,
        store.transaction() as change,
    ):
        for path, file in wanted.items():
            if file is None:
                if path in after:
                    change.remove(path)
                    del after[path]
            elif path in after and after[path][1] == file[1]:
                change.stage_mode(path, mode=file[0])
                after[path] = file
            else:
                change.stage(path, mode=file[0], content=file[1])
                after[path] = file
        change.commit(keep_backups=2)
    return after


def found(root: Path) -> Files:
    with Store.open_reading(root) as store:
        return {path: ((file := store.read(path)).mode, file.data) for path in store.walk()}


@pytest.mark.sweep
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=CHANGES, dies_at=st.integers(1, 400))
def test_the_store_agrees_with_a_dictionary(
    memory: Path, changes: list[dict[str, tuple[int, bytes] | None]], dies_at: int
) -> None:
    root = memory / "property"
    root.mkdir()
    (root / "kept").touch(0o600)
    files: Files = {"kept": (0o600, b"")}
    for wanted in changes:
        files = apply(root, files, wanted, 10**9)
        assert found(root) == files
    last = dict.fromkeys(PATHS[:5], (0o600, b"last"))
    new = {**files, **last}
    try:
        apply(root, files, dict(last), dies_at)
    except SimulatedCrashError:
        with Store.open(root, command="status", now=LATER) as store:
            finished = store.recovered
        assert found(root) in (files, new)
        assert finished is None or str(finished)
    else:
        assert found(root) == new
    shutil.rmtree(root)
