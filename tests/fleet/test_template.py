"""What a row puts into a template is one value; and the file that is made of both says the same."""

from __future__ import annotations

import io
from csv import writer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pkigen.errors import SpecError
from pkigen.fleet.rows import Row, csv_rows, yaml_rows
from pkigen.fleet.template import Template, missing_columns, text_of, with_spread
from pkigen.spec.yaml_nodes import YAMLNode
from pkigen.spec.yaml_source import read_documents

TEMPLATE = """\
whole: $(a)
quoted: "$(a)"
within: x-$(a)-$(b)
list: [$(a), {deep: $(b)}]
block: |
  keep $(b)
kept: $$(a)
plain: 1
"""


def template(text: str = TEMPLATE) -> Template:
    return Template(root=read_documents(text.encode(), file="t.yaml")[0][0], file="t.yaml")


def row_of(**values: str) -> Row:
    out = io.StringIO()
    writer(out).writerows([values.keys(), values.values()])
    (row,) = csv_rows(out.getvalue().encode(), file="r.csv")
    return row


def test_a_gap_takes_a_value_and_its_type() -> None:
    filled = template().filled(row_of(a="6443", b="no"))
    assert filled.problems == ()
    assert filled.root.value == {
        "whole": 6443,
        "quoted": "6443",
        "within": "x-6443-no",
        "list": [6443, {"deep": "no"}],
        "block": "keep no\n",
        "kept": "$(a)",
        "plain": 1,
    }


def test_a_value_of_yaml_keeps_the_type_that_it_has_there() -> None:
    document = read_documents(b'- {a: "6443", b: true}', file="r.yaml")[0][0]
    (row,) = yaml_rows(document, file="r.yaml", path="")
    root = template("{a: $(a), b: $(b), c: $(b)-x}").filled(row).root
    assert root.value == {"a": "6443", "b": True, "c": "true-x"}


HOSTILE = (
    "x\n  evil: true",
    "a: b",
    "*x",
    "&x y",
    "!!python/object:os",
    "{a: 1}",
    "[1]",
    "# no",
    "- x",
    "$(b)",
    "|",
)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_changes_what_there_is(value: str) -> None:
    plain = template().filled(row_of(a="x", b="y")).root
    hostile = template().filled(row_of(a=value, b="y")).root
    assert _shape(hostile.value) == _shape(plain.value)
    assert hostile.value["whole"] == value  # type: ignore[index]
    assert _read(text_of(hostile, comment="made")) == hostile.value


@settings(max_examples=60)
@given(
    some.recursive(
        some.none()
        | some.booleans()
        | some.integers(-99, 99_999)
        | some.text(
            some.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"], include_characters="\n"),
            max_size=12,
        )
        | some.sampled_from(
            ["1e3", "0o17", "0x1F", "012", "no", "~", "10:20", "<<", "=", ".inf", "2026-01-01", "-"]
        ),
        lambda below: (
            some.lists(below, max_size=3)
            | some.dictionaries(some.text("abc<~=1-", min_size=1, max_size=3), below, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_a_written_spec_says_the_same_when_it_is_read(value: object) -> None:
    assert _read(text_of(YAMLNode(1, 1, {"x": value}), comment="made")) == {"x": value}


def _read(text: bytes) -> object:
    documents, problems = read_documents(text, file="again.yaml")
    assert problems == []
    (document,) = documents
    return document.value


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(below) for key, below in value.items()}
    return [_shape(below) for below in value] if isinstance(value, list) else None


def test_what_a_row_lacks_is_told_at_the_row() -> None:
    filled = template().filled(row_of(a="", c="x"))
    assert [str(each) for each in filled.problems] == [
        "r.csv:2:1: a: is empty, and the template asks for it",
        "r.csv:2:1: b: is missing, and the template asks for it",
    ]


def test_a_gap_that_no_row_fills_is_told_at_the_template() -> None:
    problems = [str(each) for each in missing_columns(template("x: $(adress)"), ["address", "name"])]
    assert problems == ["t.yaml:1:4: no row has a column 'adress'; did you mean address?"]
    problems = [str(each) for each in missing_columns(template("x: $(hostname)y"), ["a"])]
    assert problems == ["t.yaml:1:4: no row has a column 'hostname'; there are a, and $$( stands for a $("]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "r.csv:1:1: is empty: its first line names the columns, such as name,address"),
        (b"a;b\n1;2\n", "r.csv:1:1: has semicolons between its columns: separate them by commas"),
        (b"a,a\n1,2\n", "r.csv:1:1: names the column 'a' twice: keep one"),
        (b"a,b c\n1,2\n", "r.csv:1:1: names a column 'b c': a name is made of letters, digits, _ and -"),
        (b'a\n"x\n', "r.csv:2:1: is not CSV: unexpected end of data"),
        (b"a\nx\n\xff\n", "r.csv:3:1: is not UTF-8: byte 0xff; save the file as UTF-8"),
        (b"a\nx\x00\n", "r.csv:2:1: has the unprintable character U+0000: remove it"),
    ],
)
def test_a_file_that_has_no_rows(data: bytes, problem: str) -> None:
    with pytest.raises(SpecError) as refusal:
        csv_rows(data, file="r.csv")
    assert [str(each) for each in refusal.value.problems] == [problem]


def test_rows_as_spreadsheets_write_them() -> None:
    rows = csv_rows('\ufeffname, note\r\nberlin,"a ""b""\r\nc"\r\n\r\nhamburg,x,y\r\n'.encode(), file="r.csv")
    assert [(row.number, row.line, row.cells["note"].text) for row in rows] == [
        (1, 2, 'a "b"\r\nc'),
        (2, 5, "x"),
    ]
    assert [str(each) for row in rows for each in row.problems] == [
        "r.csv:5:1: has 3 cells where the first line names 2 columns"
    ]


def test_a_row_of_yaml_holds_values_only() -> None:
    document = read_documents(b"- {a: [1, 2], b: {c: 1}, 'd e': 1}\n- 7\n", file="r.yaml")[0][0]
    rows = yaml_rows(document, file="r.yaml", path="spec.rows")
    assert [str(each) for row in rows for each in row.problems] == [
        "r.yaml:1:7: spec.rows[0].a: must be one value: text, a number, true or false",
        "r.yaml:1:18: spec.rows[0].b: must be one value: text, a number, true or false",
        "r.yaml:1:26: spec.rows[0].d e: is no name of a column: it is made of letters, digits, _ and -",
        "r.yaml:2:3: spec.rows[1]: must be a mapping of columns to values",
    ]
    with pytest.raises(SpecError, match="1 problem"):
        yaml_rows(document.items[0], file="r.yaml", path="spec.rows")  # type: ignore[attr-defined]


def test_a_spread_is_added_where_the_spec_says_nothing_of_it() -> None:
    for text, share in (
        ("spec: {nodes: []}", "10%"),
        ("spec: {certificates: {validity: 24h}}", "10%"),
        ("spec: {certificates: {expirySpread: 5%}}", "5%"),
    ):
        root = with_spread(template(text).root, "10%")
        assert root.value["spec"]["certificates"]["expirySpread"] == share  # type: ignore[index]
    for text in ("spec: 7", "[1]", "spec: {certificates: 7}"):
        assert with_spread(template(text).root, "10%") is template(text).root or text
