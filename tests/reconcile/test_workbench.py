"""What things are made with, and how it is put on record that they were."""

from __future__ import annotations

from types import SimpleNamespace

from pkigen.crew import ALL_HANDS
from pkigen.reconcile.plan import Create
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.workbench import Made, Tools, Workbench
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.reasons import Reason
from pkigen.state.vault import PlainVault
from tests.samples import NOW

TOOLS = Tools(now=NOW, entropy=bytes, renderer=None, progress=SILENCE, spec=b"the spec")  # type: ignore[arg-type]


def test_what_is_made_is_on_record_with_the_reason_of_its_action() -> None:
    entries: list[LedgerEntry] = []
    bench = Workbench(
        inventory=None,  # type: ignore[arg-type]
        tools=TOOLS,
        source=None,  # type: ignore[arg-type]
        staging=SimpleNamespace(record=entries.append),  # type: ignore[arg-type]
        authorities=None,  # type: ignore[arg-type]
    )
    action = Create(id="x", paths=(), node=None, reason=Reason.MISSING)
    bench.record(Event.KEY_MADE, "sa", action, {"a": "b"})
    assert entries == [LedgerEntry(event=Event.KEY_MADE, id="sa", reason=Reason.MISSING, facts={"a": "b"})]
    assert bench.made == Made(issued=["sa"], capped=[])


def test_private_files_stand_open_unless_a_vault_is_given() -> None:
    assert isinstance(TOOLS.vault, PlainVault)
    assert (TOOLS.makers, TOOLS.hands) == (None, ALL_HANDS)
    assert "the spec" not in repr(TOOLS)
    assert Tools(now=NOW, entropy=bytes, renderer=TOOLS.renderer, progress=SILENCE).spec is None


def test_who_says_nothing_may_be_told_of_every_step() -> None:
    with SILENCE.over("keys", 2) as step:
        step()
        step()
