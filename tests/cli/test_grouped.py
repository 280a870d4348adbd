from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pkigen.cli.grouped import grouped


@dataclass(frozen=True, kw_only=True)
class Place:
    host: str
    port: int


def place(host: Annotated[str, typer.Argument()], *, port: Annotated[int, typer.Option()] = 80) -> Place:
    if port == 0:
        raise ValueError("no port")
    return Place(host=host, port=port)


def test_a_command_gets_one_value_and_keeps_what_is_its_own() -> None:
    seen: list[object] = []
    app = typer.Typer()

    @app.command()
    @grouped(place)
    def go(first: str, *, quick: bool = False, to: Place) -> None:
        """Go there."""
        seen.extend((first, quick, to))

    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "Go there." in shown
    assert shown.index("--quick") < shown.index("--port")
    assert CliRunner().invoke(app, ["now", "here", "--quick", "--port", "81"]).exit_code == 0
    assert seen == ["now", True, Place(host="here", port=81)]
    assert isinstance(CliRunner().invoke(app, ["now", "here", "--port", "0"]).exception, ValueError)
    assert CliRunner().invoke(app, ["now", "here", "--port", "x"]).exit_code == 2


def test_a_command_without_a_place_for_it_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        grouped(place)(lambda: None)
