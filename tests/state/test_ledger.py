"""The ledger: lines that follow from one another, what later runs read from them, and how a change shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pkigen.state.ledger import (
    EMPTY,
    Approval,
    Event,
    LedgerEntry,
    appended,
    approvals,
    head_of,
    last_step,
    lines_of,
    mismatch,
    mismatches,
    problems,
    promoted_and_back,
    promoted_at,
)

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
DAMAGED = (
    b"",
    b'{"event": "rotated"',
    b'["event", {"event": "rotated"}]',
    b'{"event": "rotated", "id": "ca"}',
    b'{"id": "ca", "step": "prepare", "why": {"event": "rotated"}}',
    b"[" * 100_000 + b'"event": "rotated"',
)


def rotated(step: str, identifier: str = "ca") -> LedgerEntry:
    return LedgerEntry(event=Event.ROTATED, id=identifier, reason=None, facts={"step": step})


def ledger_of(*steps: str) -> bytes:
    ledger = b""
    for number, step in enumerate(steps):
        ledger, _ = appended(ledger, [rotated(step)], now=NOW + timedelta(days=number))
    return ledger


def test_each_line_follows_from_the_one_before() -> None:
    first, head = appended(b"", [rotated("prepare"), rotated("promote")], now=NOW)
    whole, end = appended(first, [rotated("finish")], now=LATER)
    assert whole.startswith(first)
    assert [json.loads(line)["sequence"] for line in whole.splitlines()] == [1, 2, 3]
    assert (head_of(first), head_of(whole), head_of(b"")) == (head, end, EMPTY)
    assert list(problems(whole, head=end)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1:], "lines were removed or moved"),
        (lambda lines: [lines[0], lines[2], lines[1]], "lines were removed or moved"),
        (
            lambda lines: [lines[0].replace(b"ca", b"ba"), *lines[1:]],
            "does not follow from the line before it",
        ),
        (lambda lines: [*lines[:2], b"{}\n"], "is not a ledger entry"),
        (lambda lines: [*lines[:2], b"{\n"], "is not JSON"),
        (lambda lines: [*lines[:2], lines[2][:-1]], "is cut off"),
        (lambda lines: lines[:2], "lines were added or removed"),
    ],
)
def test_every_change_shows(change: object, said: str) -> None:
    whole = ledger_of("prepare", "promote", "finish")
    changed = b"".join(change(whole.splitlines(keepends=True)))  # type: ignore[operator]
    assert said in " ".join(problems(changed, head=head_of(whole)))


def test_a_ledger_that_is_not_the_known_one_says_so_for_good() -> None:
    known = ledger_of("prepare", "promote")
    found = ledger_of("prepare")
    assert mismatch(known, head_of(known)) is None
    gap = mismatch(found, head_of(known))
    assert gap is not None
    whole, head = appended(found, [gap], now=LATER)
    assert list(problems(whole, head=head)) == []
    assert len(list(mismatches(whole))) == 1


@pytest.mark.parametrize(
    ("steps", "last", "promoted", "back"),
    [
        ((), None, None, False),
        (("prepare",), "prepare", None, False),
        (("prepare", "promote"), "promote", NOW + timedelta(days=1), True),
        (("prepare", "promote", "rollback"), "rollback", NOW + timedelta(days=1), True),
        (("prepare", "promote", "rollback", "rollback"), "rollback", NOW + timedelta(days=1), True),
        (("prepare", "promote", "finish", "prepare"), "prepare", NOW + timedelta(days=1), False),
    ],
)
def test_what_a_rotation_is_known_to_have_done(
    steps: tuple[str, ...], last: str | None, promoted: datetime | None, *, back: bool
) -> None:
    ledger, _ = appended(ledger_of(*steps), [rotated("promote", "etcd-ca")], now=LATER)
    ledger += b"\n".join((*DAMAGED, b""))
    assert (last_step(ledger, "ca"), promoted_at(ledger, "ca"), promoted_and_back(ledger, "ca")) == (
        last,
        promoted,
        back,
    )


def test_lines_of_one_kind_in_both_directions() -> None:
    ledger = ledger_of("prepare", "promote") + b"\n".join((*DAMAGED, b""))
    steps = [entry.get("step") for entry in lines_of(ledger, Event.ROTATED)]
    assert steps == ["prepare", "promote", None]
    newest_first = [entry.get("step") for entry in lines_of(ledger, Event.ROTATED, newest_first=True)]
    assert newest_first == steps[::-1]
    assert list(lines_of(ledger, Event.SIGNED)) == []


def test_the_last_approval_of_each_node() -> None:
    def approval(node: str, nonce: str) -> Approval:
        return Approval(node=node, nonce=nonce, created="2026-11-22T03:00:00Z", signer="s", recipient="age1")

    found = [approval("cp-1", "1"), approval("worker-1", "2"), approval("cp-1", "3")]
    ledger, _ = appended(b"", [each.entry() for each in found], now=NOW)
    ledger += b'{"event": "approved", "id": "cp-1"}\n'
    assert approvals(ledger).last == {"cp-1": found[2], "worker-1": found[1]}
