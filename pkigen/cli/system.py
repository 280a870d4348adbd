"""What a command takes from outside, in one value: a test gives it another clock or a failing file system."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.rotation.live import Dial
    from pkigen.rotation.live_revocations import Ask
    from pkigen.store import FileSystem


def present() -> datetime:
    """The present, in UTC.

    `SOURCE_DATE_EPOCH` is not honoured on purpose: a certificate's time must be the real one.
    """
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The clock, waiting, the random source, the PKI directory's system calls, the network.

    The last three are the real ones when None.
    """

    clock: Callable[[], datetime] = present
    entropy: Callable[[int], bytes] = os.urandom
    sleep: Callable[[float], None] = time.sleep
    filesystem: FileSystem | None = None
    dial: Dial | None = None
    ask: Ask | None = None


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One run of the program, as every command finds it in its context."""

    system: System
    debug: bool = False
    directory: Path | None = None
    """The cluster's directory, where it is named before the command."""
    makers: KeyMakers | None = None
    """Processes that make keys already."""


def system_of(context: typer.Context) -> System:
    """The system that this run was given."""
    invocation: Invocation = context.obj
    return invocation.system


def directory_of(context: typer.Context, named: Path | None) -> Path | None:
    """The directory that -C names, after the command or before it."""
    invocation: Invocation = context.obj
    return named if named is not None else invocation.directory


def makers_of(context: typer.Context) -> KeyMakers | None:
    """The processes that have begun to make keys, where it was clear that some will be needed."""
    invocation: Invocation = context.obj
    return invocation.makers
