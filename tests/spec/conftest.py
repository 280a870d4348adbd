"""The reader of YAML, with each of its parsers."""

from __future__ import annotations

import pytest
import yaml

from pkigen.spec import yaml_source


@pytest.fixture(params=["libyaml", "pure Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure Python":
        monkeypatch.setattr(yaml_source, "Parser", yaml.SafeLoader)
    return str(request.param)
