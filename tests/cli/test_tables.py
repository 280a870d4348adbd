"""Tables in terminals of any width."""

from __future__ import annotations

import pytest

from pkigen.cli.reports.tables import blocks, table

HEADER = ("NODE", "CERTIFICATE", "CA", "STATE")
LONG = "cp-1.europe-west.clusters.example.com"
ROWS = (
    (
        LONG,
        "apiserver-kubelet-client",
        "ca",
        "missing-san, expires-soon, other-key-algorithm, unfit-authority",
    ),
    ("w", "kubelet", "-", "ok"),
)


def test_nothing_is_moved_where_nothing_limits_a_line() -> None:
    assert (
        table(HEADER, ROWS)
        == table(HEADER, ROWS, width=136)
        == (
            f"NODE{' ' * 33}  CERTIFICATE               CA  STATE\n"
            f"{LONG}  apiserver-kubelet-client  ca  {ROWS[0][3]}\n"
            f"w{' ' * 36}  kubelet                   -   ok"
        )
    )


def test_columns_move_below_in_their_order_and_break_at_spaces_only() -> None:
    found = blocks(HEADER, ROWS, width=80, narrow=("CA", "STATE", "CERTIFICATE"))
    assert found == [
        [f"NODE{' ' * 33}  CERTIFICATE"],
        [
            f"{LONG}  apiserver-kubelet-client",
            "    ca: ca",
            "    state: missing-san, expires-soon, other-key-algorithm, unfit-authority",
        ],
        [f"w{' ' * 36}  kubelet"],
    ]
    narrow = blocks(HEADER, ROWS, width=40, narrow=("CA", "STATE", "CERTIFICATE"))
    assert narrow[1][0] == LONG
    assert narrow[1][-3:] == [
        "    state: missing-san, expires-soon,",
        "        other-key-algorithm,",
        "        unfit-authority",
    ]
    assert narrow[2] == ["w", "    certificate: kubelet"]


@pytest.mark.parametrize("width", [1, 5, 20, 36, 37, 60, 79, 80, 140])
def test_every_word_stays_whole(width: int) -> None:
    words = table(HEADER, ROWS, width=width).split()
    assert set(" ".join(cell for row in ROWS for cell in row).split()) - {"-", "ok"} <= set(words)


@pytest.mark.parametrize("width", [37, 60, 79, 80, 140])
def test_every_line_fits(width: int) -> None:
    assert max(map(len, table(HEADER, ROWS, width=width).split("\n"))) <= width


def test_the_last_columns_move_first_where_no_order_is_given() -> None:
    assert blocks(("A", "B", "C"), [("a" * 5, "b" * 5, "c" * 5)], width=12)[1] == [
        "aaaaa  bbbbb",
        "    c: ccccc",
    ]


def test_what_is_below_stays_on_its_line_whatever_it_holds() -> None:
    assert blocks(("A", "B"), [("a", "x\x1b[2J\ny" + "z" * 9)], width=8)[1] == [
        "a",
        r"    b:",
        r"        x\x1b[2J\nyzzzzzzzzz",
    ]
