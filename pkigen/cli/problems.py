"""How what went wrong is told: errors and hints on standard error, and the exit code of each."""

from __future__ import annotations

import enum
from typing import Any, cast

import typer

from pkigen.cli.console import error, note
from pkigen.errors import PkigenError, SpecError, UsageError


class ExitCode(enum.IntEnum):
    """What the program's exit code means; documented in the README."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHANGES_PENDING = 3
    FINDINGS = 4
    # 128 plus the signal's number, as shells report what a signal has ended: SIGINT is 2, SIGTERM 15.
    INTERRUPTED = 130
    TERMINATED = 143


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came: end as tidily as after Ctrl-C."""


_UsageProblem = cast(
    # click's UsageError, of which newer typers ship a copy of their own.
    "type[typer.BadParameter]",
    typer.BadParameter.__bases__[0],
)
_SUGGESTION = ". Did you mean "
_NO_ARGUMENTS = "NoArgsIsHelpError"  # of the same copy


def is_panic(problem: BaseException) -> bool:
    """Whether a library in Rust panicked: pyo3 raises no `Exception`, and its module is not importable."""
    return type(problem).__module__ == "pyo3_runtime"


def report(problem: BaseException) -> int:
    """Say what went wrong; the exit code is the result."""
    match problem:
        case _UsageProblem():
            return _report_usage(problem)
        case PkigenError():
            return _report_refusal(problem)
        # Before the general case, since it is no `Exception`; `TerminatedError` is one of these.
        case KeyboardInterrupt():
            error(
                "interrupted",
                hint="the PKI directory is unchanged, or the change is complete: `pkigen status` shows which",
            )
            return ExitCode.TERMINATED if isinstance(problem, TerminatedError) else ExitCode.INTERRUPTED
        # Named here, as modules are imported when they are needed: a damaged installation shows in mid-run.
        case ImportError():
            error(
                f"{problem.name or 'a module'} cannot be imported",
                hint="the installation is incomplete, or its files cannot be read",
            )
        case OSError():
            reason = (problem.strerror or "input/output error").lower()
            error(
                f"{problem.filename}: {reason}"
                if problem.filename
                else f"the operating system refuses: {reason}"
            )
        case _:
            error(
                f"internal error: {type(problem).__name__}",
                hint="this is a bug: run again as `pkigen --debug …` and report the traceback",
            )
    return ExitCode.FAILED


def _report_usage(problem: typer.BadParameter) -> int:
    """Say what is wrong with the command line, in one sentence, and what may have been meant."""
    context = getattr(problem, "ctx", None)
    command = context.command_path if context else "pkigen"
    help_ = f"see `{command} --help`"
    # Without what the parser suggests: that is a hint.
    sentence, _, suggested = _sentence(problem.message).partition(_SUGGESTION)
    if context is not None and _lacks_command(problem, context):
        known = ", ".join(context.command.list_commands(context))
        error(f"`{command}` needs one of its commands: {known}", hint=help_)
    elif suggested:
        error(sentence, hint=f"did you mean {suggested}")
    elif getattr(problem, "option_name", None) is not None:
        error(sentence, hint=_option_hint(problem, context) or help_)
    else:
        error(_sentence(problem.format_message()), hint=help_)
    return ExitCode.USAGE


def _lacks_command(problem: typer.BadParameter, context: Any) -> bool:
    """Whether a group was run without saying which of its commands."""
    if context.parent is None:
        return False
    is_missing = _sentence(problem.message) == "missing command"
    return type(problem).__name__ == _NO_ARGUMENTS or is_missing


def _option_hint(problem: Any, context: Any) -> str:
    """Which option may have been meant, or where one of the program's belongs."""
    name = problem.option_name
    if context is not None and context.parent is not None:
        own = {each for option in context.find_root().command.params for each in option.opts}
        if name in own:
            return f"{name} stands before the command: `pkigen {name} … {context.info_name}`"
    # An option that lacks its value has none.
    near = sorted(getattr(problem, "possibilities", None) or ())
    return f"did you mean {' or '.join(near)}?" if near else ""


def _report_refusal(problem: PkigenError) -> int:
    """Say why pkigen refuses, each problem of a spec on a line of its own."""
    for each in problem.problems if isinstance(problem, SpecError) else ():
        note(str(each))
    error(problem.message, hint=problem.hint)
    return ExitCode.USAGE if isinstance(problem, SpecError | UsageError) else ExitCode.FAILED


def _sentence(text: str) -> str:
    """A message of the parser's as one of ours: it breaks lines in lists of choices, and names exceptions."""
    line = " ".join(text.replace("Value error, ", "").split())
    return (line[:1].lower() + line[1:]).rstrip(".")
