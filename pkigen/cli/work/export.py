"""The work of `pkigen export`: all of its files are written, or none."""

from __future__ import annotations

from pathlib import Path

from pkigen.cli.console import say_line
from pkigen.cli.outputs import make_directory, write_all_new
from pkigen.distributions.exported import ExportedFile


def write_exported(files: tuple[ExportedFile, ...], target: Path) -> None:
    """Write all of them or none, and say which are secret."""
    make_directory(target, mode=0o700)
    for each in files:
        # As they are at their destination: who copies them with their modes locks nobody out.
        make_directory((target / each.path).parent)
    write_all_new(
        *(
            # PEM, base64 and YAML of these alone: anything else would be a mistake that should show.
            (target / each.path, each.content.decode("ascii"), 0o600 if each.is_secret else 0o644)
            for each in files
        )
    )
    for each in files:
        say_line(f"{target / each.path}{' (secret)' if each.is_secret else ''}")
