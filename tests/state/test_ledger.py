"""The ledger: lines that follow from one another, what later runs read from them, and how a change shows."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from pkigen import __version__
from pkigen.state.ledger import (
    CERTIFYING,
    EMPTY,
    LARGEST_LEDGER,
    Approval,
    Event,
    Head,
    LedgerEntry,
    agreed_at,
    agreed_entry,
    appended,
    approvals,
    head_at,
    head_of,
    last_step,
    lines_of,
    mismatch,
    mismatches,
    newest_lines,
    problems,
    promoted_and_back,
    promoted_at,
    read_ledger,
    recorded_authorities,
    recorded_entry,
    recorded_lock,
)
from pkigen.state.reasons import Reason
from pkigen.store import FileContent, UnreadableError
from tests.rotation.phases import Photograph

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


# -- the form of the lines, which others read, and which chains of years are held against --------------


def test_the_form_of_a_line() -> None:
    """A ledger of an earlier pkigen is read by this one: what is said under which name must not change."""
    entry = LedgerEntry(event=Event.ISSUED, id="größe", reason=Reason.EXPIRED, facts={"serial": "1f"})
    whole, head = appended(b"", [entry, rotated("prepare")], now=NOW)
    first, second = whole.splitlines()
    assert first == (
        b'{"sequence": 1, "previous": "'
        + b"0" * 64
        + b'", "time": "2026-11-22T03:00:00Z", "event": "issued",'
        b' "id": "gr\\u00f6\\u00dfe", "reason": "expired", "serial": "1f", "pkigen": "%s"}'
        % __version__.encode()
    )
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()
    assert "reason" not in json.loads(second)
    assert head == Head(entries=2, hash=hashlib.sha256(second).hexdigest())
    assert Head(entries=0, hash="0" * 64) == EMPTY


def test_the_names_of_events() -> None:
    names = (
        "issued adopted key-made signed sealed delivered asked answered removed superseded applied restored "
        "rotated approved mismatch revoked unrevoked agreed recorded"
    )
    assert " ".join(Event) == names
    assert {Event.SIGNED, Event.DELIVERED, Event.ADOPTED, Event.ISSUED} == set(CERTIFYING)


@pytest.mark.parametrize("missing", ["sequence", "previous", "time", "event", "id"])
def test_a_line_without_what_every_line_has_is_none(missing: str) -> None:
    entry = json.loads(ledger_of("prepare"))
    del entry[missing]
    assert list(problems(json.dumps(entry).encode() + b"\n")) == ["line 1: is not a ledger entry"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[" * 100_000, "is not JSON"),
        (b"", "is not JSON"),
        (b'["sequence", "previous", "time", "event", "id"]', "is not a ledger entry"),
        (b"1", "is not a ledger entry"),
    ],
)
def test_lines_that_are_no_entries(line: bytes, said: str) -> None:
    assert list(problems(line + b"\n")) == [f"line 1: {said}"]


def test_a_line_that_was_cut_off_swallows_no_other() -> None:
    found = ledger_of("prepare", "promote")[:-9]
    whole, head = appended(found, [rotated("finish")], now=LATER)
    assert whole.startswith(found + b"\n{")
    assert head.entries == 3
    assert last_step(whole, "ca") == "finish"
    assert list(problems(whole, head=head)) == ["line 2: is not JSON"]


def test_an_empty_ledger_has_no_problem_of_its_own() -> None:
    assert list(problems(b"")) == []
    assert list(problems(b"", head=EMPTY)) == []
    assert list(problems(ledger_of("prepare"))) == [], "without a lock file nobody knows where it ends"


def test_where_it_ends_is_told_beside_where_it_should() -> None:
    whole = ledger_of("prepare", "promote")
    (said,) = problems(ledger_of("prepare"), head=head_of(whole))
    assert said == (
        f"ends after 1 lines with {head_of(ledger_of('prepare')).hash[:16]}, but pki.lock says 2 lines and "
        f"{head_of(whole).hash[:16]}: lines were added or removed"
    )


def test_the_line_that_records_a_gap() -> None:
    known = head_of(ledger_of("prepare", "promote"))
    gap = mismatch(ledger_of("prepare"), known)
    assert gap == LedgerEntry(
        event=Event.MISMATCH,
        id="ledger",
        reason=None,
        facts={"expectedEntries": 2, "expectedHead": known.hash},
    )
    whole, _ = appended(ledger_of("prepare"), [gap, rotated("promote")], now=LATER)
    (said,) = mismatches(whole)
    assert said.startswith("line 2 records that the lines before it were not those that pki.lock knew")


def test_where_it_ended_earlier() -> None:
    whole = ledger_of("prepare", "promote", "finish")
    lines = whole.splitlines(keepends=True)
    assert [head_at(whole, number) for number in (-1, 0)] == [EMPTY, EMPTY]
    for number in (1, 2, 3):
        assert head_at(whole, number) == head_of(b"".join(lines[:number]))
    assert head_at(whole, 4) == head_of(whole), "it has become shorter: its present end"
    assert head_at(b"", 1) == EMPTY
    assert head_at(b"\n" + whole, 1) == head_of(b"\n")


# -- what later runs read from it -----------------------------------------------------------------------


def test_it_is_read_whole_and_is_empty_where_there_is_none() -> None:
    class Large(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
            assert limit == LARGEST_LEDGER == 1 << 30
            return super().read(path)

    assert read_ledger(Large({".pkigen/ledger.jsonl": b"{}\n"})) == b"{}\n"
    assert read_ledger(Photograph({})) == b""

    class Directory(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:  # noqa: ARG002 -- a reader's
            raise UnreadableError(path, reason="is a directory")

    with pytest.raises(UnreadableError):
        read_ledger(Directory({}))


def test_all_lines_the_last_one_first() -> None:
    ledger = ledger_of("prepare", "promote") + b"\n".join((*DAMAGED, b""))
    assert [entry.get("step") for entry in newest_lines(ledger)] == ["prepare", None, "promote", "prepare"]


def test_a_line_is_of_the_kind_that_it_names_itself() -> None:
    """The mark in its text alone decides nothing."""
    ledger, _ = appended(b"", [rotated("signed"), rotated("prepare")], now=NOW)
    assert list(lines_of(ledger, Event.SIGNED)) == []


def test_a_saved_plan_is_found_by_its_digest() -> None:
    ledger, _ = appended(b"", [agreed_entry("a"), agreed_entry("b"), rotated("prepare")], now=NOW)
    ledger, _ = appended(ledger, [agreed_entry("a")], now=LATER)
    assert (agreed_at(ledger, "a"), agreed_at(ledger, "b"), agreed_at(ledger, "c")) == (LATER, NOW, None)
    assert agreed_entry("a") == LedgerEntry(event=Event.AGREED, id="plan", reason=None, facts={"digest": "a"})


def test_the_records_of_the_authority_and_of_the_lock_file() -> None:
    first, second = {"pki/ca.crt": "sha256:a=="}, {"pki/ca.crt": "sha256:b", "pki/sa.key": "sha256:c"}
    assert (recorded_authorities(b""), recorded_lock(b"")) == ((), None)
    ledger, _ = appended(b"", [recorded_entry("one", first)], now=NOW)
    ledger, _ = appended(ledger, [recorded_entry("two", second), rotated("prepare")], now=LATER)
    assert recorded_authorities(ledger) == (first, second)
    assert recorded_lock(ledger) == "two"
    line = next(lines_of(ledger, Event.RECORDED))
    assert (line["id"], line["lock"], line["authority"]) == ("pki.lock", "one", ["pki/ca.crt=sha256:a=="])
    assert "reason" not in line
    assert recorded_authorities(b'{"event": "recorded", "authority": "pki/ca.crt=x"}\n') == ({},)
    assert recorded_authorities(b'{"event": "recorded"}\n') == ({},)


def test_a_moment_that_cannot_be_read_is_passed_over() -> None:
    ledger = ledger_of("promote") + b"".join(
        json.dumps({"event": "rotated", "id": "ca", "step": "promote", **time}).encode() + b"\n"
        for time in ({"time": "yesterday"}, {"time": 7}, {})
    )
    assert promoted_at(ledger, "ca") == NOW
