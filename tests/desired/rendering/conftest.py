from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.desired.rendering import renderer
from pkigen.desired.rendering.templates import Templates

if TYPE_CHECKING:
    from pathlib import Path

_BUILT_IN = Templates(None)


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the built-in templates once: the tests make thousands of renderers, a program one."""

    def templates(overrides: Path | None) -> Templates:
        return _BUILT_IN if overrides is None else Templates(overrides)

    monkeypatch.setattr(renderer, "Templates", templates)
