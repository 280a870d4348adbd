"""Files on a carried medium: whole or not at all, and open to their writer alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.carrier.media import read_file, write_file
from pkigen.errors import PkigenError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_made_on_the_way_belongs_to_the_writer_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_file(tmp_path / "var/lib/pkigen/identity.age", b"secret")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o755}
    assert (tmp_path / "var/lib/pkigen/identity.age").stat().st_mode & 0o777 == 0o600


def test_media(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/file"
    write_file(path, b"one")
    write_file(path, b"two", mode=0o644)
    assert read_file(path, limit=3) == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    with pytest.raises(UsageError, match="larger than 2"):
        read_file(path, limit=2)
    with pytest.raises(UsageError, match="not a regular file"):
        read_file(tmp_path, limit=2)
    with pytest.raises(UsageError, match="no such file"):
        read_file(tmp_path / "none", limit=2)
    with pytest.raises(PkigenError, match="cannot be written"):
        write_file(path / "below", b"")
    (tmp_path / "taken").mkdir()
    with pytest.raises(PkigenError, match="cannot be written"):
        write_file(tmp_path / "taken", b"")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["deep", "taken"]
