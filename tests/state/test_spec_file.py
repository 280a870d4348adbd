"""The spec in the cluster's own directory: what it says, and what in its place is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.errors import StoreError
from pkigen.state.spec_file import holds_spec, is_begun, spec_text
from tests.rotation.phases import Photograph
from tests.state.test_recorded_keys import Damaged

if TYPE_CHECKING:
    from pkigen.store import FileContent

TEXT = b"kind: Cluster\n"


def test_it_is_the_text_as_it_was_given() -> None:
    tree = Photograph({"cluster.yaml": TEXT})
    assert spec_text(tree) == TEXT
    assert holds_spec(tree, TEXT)
    assert not holds_spec(tree, TEXT + b"\n")


def test_without_one_there_is_none() -> None:
    assert spec_text(Photograph({})) is None
    assert not holds_spec(Photograph({}), TEXT)


def test_what_cannot_be_read_is_not_taken_for_none() -> None:
    with pytest.raises(StoreError, match=r"the directory's cluster\.yaml is a directory") as refused:
        spec_text(Damaged({}, "cluster.yaml"))
    assert "put the spec's text there" in refused.value.hint


def test_it_may_be_as_large_as_any_spec() -> None:
    class Limited(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
            assert limit == 1 << 24
            return super().read(path, limit=limit)

    assert spec_text(Limited({"cluster.yaml": TEXT})) == TEXT


def test_a_ledger_or_a_request_that_is_out_says_that_something_was_begun() -> None:
    assert not is_begun(Photograph({"cluster.yaml": TEXT, "pki.lock": b"{}"}))
    assert is_begun(Photograph({".pkigen/ledger.jsonl": b""}))
    assert is_begun(Photograph({"pki/pending.json": b""}))
    assert is_begun(Damaged({}, ".pkigen/ledger.jsonl"))
