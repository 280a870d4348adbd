"""The work of `pkigen fleet status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.cli.console import say, say_lines, width
from pkigen.cli.fleet.options import FleetForm
from pkigen.cli.outputs import write_parts, write_text
from pkigen.cli.reports import fleet_status
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.tables import page

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.cli.fleet.statuses import Statuses


def status_text(found: Statuses, form: FleetForm, name: str, *, now: datetime) -> list[Line] | str | None:
    """The short forms; None where the document is written already."""
    match form:
        case FleetForm.TEXT:
            return list(fleet_status.lines(found.found, width=width()))
        case FleetForm.MARKDOWN:
            return fleet_status.markdown(found.found, fleet=name, now=now) + "\n"
        case _:
            return None


def deliver_status(found: Statuses, text: list[Line] | str | None, textfile: Path | None) -> None:
    """Say it, or write it to a file."""
    if text is None:
        if textfile is not None:
            write_parts(textfile, found.parts())
            return
        # A part at a time, as it lies in the file: all of them may not fit into memory.
        for part in found.parts():
            say(part.decode())
    elif textfile is not None:
        write_text(textfile, text if isinstance(text, str) else page(line.text for line in text) + "\n")
    elif isinstance(text, str):
        say(text)
    else:
        say_lines(text)
