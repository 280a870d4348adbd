"""What a change leaves the cluster with, and how the ledger remembers it: rather too much than too little."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from pkigen.state.cluster_objects import (
    ClusterObject,
    ObjectForm,
    confirmation,
    entries,
    merged,
    objects,
    superseded,
    unconfirmed,
)
from pkigen.state.ledger import appended

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
BOUND = ClusterObject(kind="RoleBinding", name="a", namespace="web")


def binding(role: str = "view", subject: str = "ann") -> bytes:
    return (
        "kind: RoleBinding\nmetadata: {name: a, namespace: web}\n"
        f"roleRef: {{kind: ClusterRole, name: {role}}}\nsubjects: [{{kind: User, name: {subject}}}]\n"
    ).encode()


def form(manifest: bytes) -> ObjectForm:
    return objects(manifest)[BOUND]


def test_objects_are_known_by_what_they_say_and_not_by_how() -> None:
    assert form(binding()) == form(b"---\n# a comment\n" + binding().replace(b"\n", b"\n\n"))
    assert form(binding()).role == "ClusterRole view"
    assert form(binding(subject="bob")) != form(binding())
    # Another order of the fields is no other object.
    first, _, rest = binding().partition(b"\n")
    assert form(rest + first) == form(binding())
    # A value on which readers of YAML do not agree is told from every other one.
    assert form(binding() + b"at: 012\n") != form(binding() + b"at: 013\n")


def test_an_object_is_called_by_its_kind_its_name_and_where_it_is() -> None:
    role = ClusterObject(kind="ClusterRole", name="a")
    assert (str(BOUND), str(role)) == ("RoleBinding a in namespace web", "ClusterRole a")
    content = b"kind: ClusterRole\nmetadata: {name: a, namespace: 7}\nrules: []\n"
    ((each, made),) = objects(content).items()
    assert (each, made.role) == (role, None)


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        b"",
        b"\xff",
        b"a: [",
        b"[]",
        b"kind: Role",
        b"kind: 7\nmetadata: {name: a}",
        b"kind: Role\nmetadata: {name: 7}",
    ],
)
def test_what_is_no_object(manifest: bytes | None) -> None:
    assert objects(manifest) == {}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"x": [binding()]}, {"x": binding()}, {}),
        ({"x": [binding()]}, {"x": None}, {BOUND: {form(binding())}}),
        ({"x": []}, {"x": binding()}, {BOUND: {None}}),
        ({"x": [binding()]}, {"x": binding("edit")}, {BOUND: {form(binding())}}),
        # One of both is what it should be; the other may be there as well.
        ({"x": [binding(), binding("edit")]}, {"x": binding("edit")}, {BOUND: {form(binding())}}),
        # What moves to another file stays.
        ({"x": [binding()], "y": []}, {"x": None, "y": binding()}, {}),
    ],
)
def test_what_a_change_supersedes(
    before: dict[str, list[bytes]],
    after: dict[str, bytes | None],
    found: dict[ClusterObject, set[ObjectForm | None]],
) -> None:
    assert superseded(before, after) == found


def ledger(*changes: object) -> bytes:
    """A ledger with what was superseded, change by change; `None` is that somebody has confirmed."""
    content = b""
    for change in changes:
        lines = entries(change) if isinstance(change, dict) else [confirmation([BOUND])]
        content, _ = appended(content, lines, now=NOW)
    return content


def test_possibilities_gather_until_they_are_confirmed() -> None:
    first = superseded({"x": []}, {"x": binding()})
    second = superseded({"x": [binding()]}, {"x": None})
    assert unconfirmed(ledger(first, second)) == merged(first, second) == {BOUND: {None, form(binding())}}
    assert unconfirmed(ledger(first, None, second)) == second
    assert unconfirmed(ledger(first, second, None)) == {}
    assert unconfirmed(b"") == {}


def test_the_form_of_the_lines() -> None:
    role = ClusterObject(kind="ClusterRole", name="a")
    bound, plain = ObjectForm(sha256="2", role="ClusterRole view"), ObjectForm(sha256="1")
    first, second = entries({BOUND: frozenset({None, bound}), role: frozenset({plain})})
    assert first.facts == {
        "kind": "RoleBinding",
        "name": "a",
        "namespace": "web",
        "held": ["2 ClusterRole view", "absent"],
    }
    assert (second.id, second.facts) == (
        "ClusterRole a",
        {"kind": "ClusterRole", "name": "a", "held": ["1"]},
    )
    assert confirmation([BOUND, role]).facts == {"objects": [str(BOUND), str(role)]}


def test_what_is_remembered_is_what_was_superseded() -> None:
    held = {
        BOUND: frozenset({None, ObjectForm(sha256="2", role="ClusterRole view")}),
        ClusterObject(kind="ClusterRole", name="a"): frozenset({ObjectForm(sha256="1")}),
    }
    assert unconfirmed(ledger(held)) == held


def test_the_last_confirmation_counts() -> None:
    first, second = superseded({"x": []}, {"x": binding()}), superseded({"x": [binding()]}, {"x": None})
    assert unconfirmed(ledger(first, None, second, None)) == {}
    assert unconfirmed(ledger(first, None, second, None, first)) == first


def test_a_line_that_was_tampered_with_still_reminds() -> None:
    held = superseded({"x": [binding()]}, {"x": None})
    lines = [json.loads(line) for line in ledger(held, None).splitlines()]
    for sequence in (0, -1, "x", None):
        lines[0]["sequence"] = sequence
        text = "\n".join(map(json.dumps, lines)).encode()
        assert unconfirmed(text) == held, sequence
    lines[0]["held"] = "gone"
    assert unconfirmed("\n".join(map(json.dumps, lines)).encode()) == {BOUND: frozenset()}
