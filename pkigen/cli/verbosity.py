"""`--verbose`: what was read, decided and written, logged to standard error.

The modules log at INFO and DEBUG only. Without a handler Python shows warnings and above, so nobody who has
not asked, on the command line or by configuring `logging`, sees any of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pkigen.cli.console import note
from pkigen.notation import printable


class _StandardError(logging.Handler):
    """Writes each record as one line, in the form of `error: ` and `hint: `.

    A command reads some files several times; the same line at INFO is written once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._written: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, control characters escaped; a closed standard error stops no work."""
        line = f"{record.levelname.lower()}: {printable(record.getMessage())}"
        # At DEBUG repetition is part of what is asked for: which object was looked at twice.
        if record.levelno == logging.INFO:
            if line in self._written:
                return
            self._written.add(line)
        with suppress(OSError):
            note(line)


@contextmanager
def logging_to_stderr(verbosity: int) -> Iterator[None]:
    """Log to standard error while the block runs.

    Args:
        verbosity: 1 for what was read, decided and written in counts; 2 or more for one line per object.
    """
    logger, handler = logging.getLogger("pkigen"), _StandardError()
    before = logger.level
    logger.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
