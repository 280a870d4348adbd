"""The lock file describes the finished tree, and is written anew where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.desired.inventory import derive
from pkigen.errors import UnsafePathError
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.state.ledger import EMPTY, Head
from pkigen.state.lockfile import lock_digest
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import TreeCase, assert_planned, assert_put_right, edit, follow
from tests.samples import CP1, W1, spec

if TYPE_CHECKING:
    from tests.samples import World

CASES: dict[str, TreeCase] = {
    "lock-missing": (
        lambda w: w.path("pki.lock").unlink(),
        "pki.lock",
        "create",
        Reason.MISSING,
        "pki.lock is missing",
    ),
    "lock-edited": (
        lambda w: edit(w, "pki.lock", b'"cluster": "prod"', b'"cluster": "test"'),
        "pki.lock",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki.lock does not describe this tree and this spec",
    ),
    "only-the-spec-changed": (
        lambda w: follow(w, backups={"keep": 3}),
        "pki.lock",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki.lock does not describe this tree and this spec",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    assert_planned(world, CASES[name])
    assert_put_right(world, CASES[name])


def test_a_directory_in_its_place(world: World) -> None:
    case: TreeCase = (
        lambda w: (w.path("pki.lock").unlink(), w.path("pki.lock").mkdir()),
        "pki.lock",
        "rewrite",
        Reason.UNREADABLE,
        "pki.lock is a directory",
    )
    assert_planned(world, case)
    with pytest.raises(UnsafePathError, match="is a directory"):
        world.apply()


@pytest.mark.parametrize("authority", [None, {}, {"pki/ca.key": "sha256:1"}])
@pytest.mark.parametrize("end", [EMPTY, Head(entries=7, hash="ab" * 32)])
def test_its_digest_is_that_of_its_bytes(end: Head, authority: dict[str, str] | None) -> None:
    lock = LockBuilder(inventory=derive(spec(CP1, W1)), templates=None)
    assert lock.digest(authority) == lock_digest(lock.encode(end, authority))
