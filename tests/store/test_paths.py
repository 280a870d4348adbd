from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkigen.errors import UnsafePathError
from pkigen.notation import printable
from pkigen.store import Store
from pkigen.store.paths import directory_mode, readable_parts, writable_parts
from tests.store.sample_tree import LATER, photograph

if TYPE_CHECKING:
    from pathlib import Path

ESCAPING = (
    "",
    "/",
    "/etc/passwd",
    "..",
    "../outside",
    "pki/../../outside",
    "pki/..",
    ".",
    "./pki",
    "pki/./ca.key",
    "pki//ca.key",
    "pki/",
    "pki/ca\0.key",
    ".pkigen",
    ".pkigen/lock",
    ".pkigen/journal",
    ".pkigen/staging/00000001",
    ".pkigen/ledger.jsonl/below",
)
MISLEADING = (
    "pki\\ca.key",
    "pki/ca.key\n",
    "pki/\x1b[2J",
    "pki/\u202eyek.ac",
    "pki/a\u2028b",
    "pki/\udc80",
    "a" * 256,
    "/".join(["abcdefgh"] * 500),
)


@pytest.mark.parametrize("path", ESCAPING + MISLEADING)
def test_a_path_that_escapes_or_misleads_is_refused_everywhere(tree: Path, path: str) -> None:
    before = photograph(tree.parent, private=True)
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        with pytest.raises(UnsafePathError):
            change.stage(path, mode=0o600, content=b"")
        with pytest.raises(UnsafePathError):
            change.stage_mode(path, mode=0o600)
        with pytest.raises(UnsafePathError):
            change.remove(path)
        if path in ESCAPING:
            with pytest.raises(UnsafePathError):
                store.read(path)
            if path:
                with pytest.raises(UnsafePathError):
                    list(store.walk(path))
    assert photograph(tree.parent, private=True) == before


def test_odd_names_can_be_read_to_report_them() -> None:
    assert readable_parts("pki/a\nb\\c") == ("pki", "a\nb\\c")


def test_messages_show_no_control_characters() -> None:
    assert printable("é\x1b[2J\udcff\ud800\u202eb") == "é\\x1b[2J\\udcff\\ud800\\u202eb"


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("pki", 0o700),
        ("users", 0o700),
        (".pkigen", 0o700),
        (".pkigen/backups/x/files/nodes", 0o700),
        ("pki/etcd", 0o755),
        ("nodes", 0o755),
        ("nodes/cp-1/etc/kubernetes/pki", 0o755),
        ("nodes/cp-1/etc/kubernetes/manifests", 0o700),
        ("nodes/users", 0o755),
    ],
)
def test_modes_of_directories(path: str, mode: int) -> None:
    assert directory_mode(tuple(path.split("/"))) == mode


@given(st.text(alphabet=st.sampled_from("ab./\\\n\0-é"), max_size=12) | st.text(max_size=20))
def test_what_is_accepted_stays_inside(path: str) -> None:
    try:
        parts = writable_parts(path)
    except UnsafePathError as error:
        assert error.message.isprintable()  # noqa: PT017 - what is refused is for hypothesis to find
        return
    assert "/".join(parts) == path
    assert not {"", ".", ".."} & set(parts)
    assert path.isprintable()
    assert parts[0] != ".pkigen" or path == ".pkigen/ledger.jsonl"
