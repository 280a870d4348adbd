"""Passphrases and identities: from a prompt, a file or a descriptor; never from arguments or variables."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from pkigen.airgap.carrier.media import read_file
from pkigen.cli.console import note
from pkigen.crypto.age import SHORTEST_PASSPHRASE, Identity, Passphrase
from pkigen.errors import PkigenError, UsageError
from pkigen.records import dataclass

# In bytes; a passphrase file that is larger is another file.
_LARGEST = 1 << 12
TERMINAL = "/dev/tty"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassphraseSource:
    """Where a passphrase comes from: a file, a descriptor, or else a person at a terminal."""

    file: Path | None
    descriptor: int | None

    @property
    def is_given(self) -> bool:
        """Whether nobody has to be asked."""
        return self.file is not None or self.descriptor is not None

    def read(self, what: str, *, new: bool = False) -> Passphrase:
        """The passphrase.

        Args:
            what: What it is for, as the prompt says it.
            new: Whether something is closed with it: then it must be long enough, and is asked for twice.

        Raises:
            UsageError: Both sources are named, or one cannot be read.
            PkigenError: It is empty or too short, or nobody answers.
        """
        if self.file is not None and self.descriptor is not None:
            raise UsageError("--passphrase-file and --passphrase-fd cannot be combined")
        if self.file is not None:
            data = read_file(self.file, limit=_LARGEST, private=True)
            return _checked(_first_line(data), new=new)
        if self.descriptor is not None:
            return _checked(_first_line(_from_descriptor(self.descriptor)), new=new)
        # Never echoed, and never as an argument: those are in the process list and in the shell's history.
        first = _asked(f"passphrase for {what}: ", what)
        passphrase = _checked(first, new=new)
        if new and _asked("repeat it: ", what) != first:
            raise PkigenError("the two passphrases differ", hint="nothing was changed")
        return passphrase


def read_identity(path: Path) -> Identity:
    """An age identity from a file."""
    return Identity.of_file(read_file(path, limit=_LARGEST, private=True), str(path))


def _from_descriptor(descriptor: int) -> bytes:
    """All that an open descriptor gives, up to the limit; it is closed, for no child to inherit.

    Raises:
        UsageError: It cannot be read, or gives more.
    """
    data = b""
    try:
        # A pipe gives what is in it, which may be less than what is still to come.
        while len(data) <= _LARGEST and (chunk := os.read(descriptor, _LARGEST)):
            data += chunk
        os.close(descriptor)
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise UsageError(
            f"--passphrase-fd {descriptor} cannot be read: {reason}", hint="open it first: `… 3<FILE`"
        ) from None
    # Cut off it would be another passphrase, and not the same one for every way in which a pipe is filled.
    if len(data) > _LARGEST:
        raise UsageError(f"--passphrase-fd {descriptor} gives more than {_LARGEST} bytes")
    return data


def _first_line(data: bytes) -> str:
    """The first line of a file: editors end it with a line feed, which is no part of the passphrase.

    Raises:
        UsageError: It is not UTF-8.
    """
    try:
        return data.decode().partition("\n")[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not UTF-8 text") from None


def _asked(question: str, what: str) -> str:
    """Ask at the terminal itself; what is typed is not shown.

    Raises:
        PkigenError: There is no terminal, or nobody answers.
    """
    try:
        # Without a terminal `getpass` would read standard input, where what is typed may show.
        with Path(TERMINAL).open():
            pass
        return getpass.getpass(question)
    except KeyboardInterrupt:
        note("")  # what is said about it has a line of its own
        raise
    except (OSError, EOFError):
        raise PkigenError(
            f"a passphrase for {what} is needed, and there is no terminal to ask at",
            hint="give it from a file or a descriptor: --help names the options",
        ) from None


def _checked(text: str, *, new: bool) -> Passphrase:
    """Refuse an empty passphrase, and a short one where something is closed with it."""
    # Also for what is opened: an empty one is a variable that is not set, and scrypt would take its time to
    # say so.
    if not text:
        raise PkigenError("the passphrase is empty")
    if new and len(text) < SHORTEST_PASSPHRASE:
        raise PkigenError(
            f"the passphrase has fewer than {SHORTEST_PASSPHRASE} characters",
            hint="use five or six random words: whoever finds the medium can guess without limit",
        )
    return Passphrase(text)
