"""A tree that came from elsewhere with an unfinished change: nobody does what its journal says unasked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.system import System
from tests.cli.program import HOME, InProcess, photograph
from tests.store.faults import CrashingFileSystem, SimulatedCrashError

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = 4711
COMMANDS = (("plan",), ("status",), ("verify",), ("apply", "--yes"), ("renew", "--all", "--yes"), ("next",))


class _Dying(CrashingFileSystem):
    """Dies once the record of the commit is written: from there on a change is finished, not undone."""

    def _do(self, done: str, *arguments: object) -> object:
        if done == "rename" and "backup" in arguments:
            self.at = self.count
        return super()._do(done, *arguments)


@pytest.fixture
def unfinished(pkigen: InProcess, tree: Path, spec: Path) -> Path:
    """A tree in which an apply died when it was decided."""
    spec.write_text(HOME.replace("  nodes:", "  apiServer: {certSANs: [api.example.com]}\n  nodes:"))
    system = System(clock=lambda: pkigen.now, filesystem=_Dying(10**9))
    with pytest.raises(SimulatedCrashError):
        pkigen("apply", spec, "-C", tree, "--yes", system=system)
    assert (tree / ".pkigen/journal").exists()
    return tree


def test_whose_own_it_is_finishes_it(pkigen: InProcess, unfinished: Path) -> None:
    result = pkigen("status", "-C", unfinished)
    assert result.code == 0
    assert "an interrupted `pkigen apply`" in result.err
    assert not (unfinished / ".pkigen/journal").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_another_users_is_left_alone(pkigen: InProcess, unfinished: Path, command: tuple[str, ...]) -> None:
    os.chown(unfinished / ".pkigen/journal", STRANGER, STRANGER)
    before = photograph(unfinished)
    result = pkigen(*command, "-C", unfinished)
    assert result.code != 0
    assert "belongs to another user (uid 4711)" in result.error
    assert "remove `journal` and `staging` from .pkigen" in result.hint
    after = photograph(unfinished)
    assert {**after, ".pkigen/lock": None} == {**before, ".pkigen/lock": None}
