"""The program's entry: signals, limits, and how errors reach a person."""

from __future__ import annotations

import gc
import io
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from pkigen import __version__

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line and exit with its code."""
    _open_closed_streams()
    if sys.argv[1:] == ["--version"] and _is_version_said():
        return
    # What is imported stays: to look for garbage in it again and again costs a tenth of a short run.
    gc.set_threshold(100_000)
    # No plugin that happens to be installed sees a spec; to look for them costs more than to check one.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A core file would hold private keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Whatever the locale is: terminals that show less get other signs (`cli/console`).
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # Until there is something to be undone, a signal simply ends the process, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # `--version` must not pay for these.
    from pkigen.cli.app import run  # noqa: PLC0415
    from pkigen.cli.problems import TerminatedError  # noqa: PLC0415

    def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise TerminatedError

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    code = run(sys.argv[1:])
    # An interpreter that ends looks for garbage once more: in all that is there, a tenth of a short run.
    gc.freeze()
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open what the caller has closed of the standard streams (`>&-`).

    Else the next file that is opened would become it, and Python has none at all. What was to be read or
    written there fails as it does for every program; what is said on standard error is lost.
    """
    for number, access in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, access)  # the lowest number that is free
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115


def _is_version_said() -> bool:
    """Print the version, if it can be: scripts ask this often, and to answer needs no other import."""
    try:
        io.FileIO(1, "w", closefd=False).write(f"pkigen {__version__}\n".encode())
    except OSError:
        return False  # the whole program has words for it
    return True


if __name__ == "__main__":
    main()
