from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkigen.store.anonymous import anonymous_file


def test_what_is_in_memory_reads_back_and_is_gone_afterwards() -> None:
    data = bytes(range(256)) * 4096
    with anonymous_file(data) as path:
        assert Path(path).read_bytes() == Path(path).read_bytes() == data
        assert os.readlink(path).startswith("/memfd:")  # noqa: PTH115 -- the kernel's own word
    with pytest.raises(OSError, match="No such file"):
        Path(path).read_bytes()
