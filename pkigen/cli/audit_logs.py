"""The audit logs of API servers that a command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.errors import UsageError
from pkigen.rotation.audit_log import LONGEST_EVENT, AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO


def read_audit_logs(paths: Iterable[Path]) -> AuditLog:
    """Read logs, line by line: they may be larger than memory.

    Raises:
        UsageError: One cannot be read, or is no audit log.
    """
    log = AuditLog()
    for path in paths:
        try:
            with path.open("rb") as file:
                log.read(_lines(file, path), str(path))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return log


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    # Bounded: what is no log may have no line end at all, and `readline` would then read all of it.
    while line := file.readline(LONGEST_EVENT):
        if len(line) == LONGEST_EVENT:
            raise UsageError(
                f"{path} has a line of more than {LONGEST_EVENT >> 20} MiB",
                hint="give the audit log of an API server (--audit-log-path), one event on each line",
            )
        yield line
