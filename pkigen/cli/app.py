"""The table of commands, and the one place that turns errors into words and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from copy import copy
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pkigen import __version__
from pkigen.cli.addressed import found_at, is_place
from pkigen.cli.console import Colour, choose_colour, flush, one_run, silence
from pkigen.cli.key_forecast import keys_ahead
from pkigen.cli.options import DirectoryOption
from pkigen.cli.problems import ExitCode, is_panic, report
from pkigen.cli.system import Invocation, System
from pkigen.errors import UsageError

PANELS = {
    "start": {
        "validate": "Check specs, and report all of their problems at once.",
        "init": "Make a cluster's whole PKI from its spec.",
        "adopt": "Take over a cluster that pkigen did not make, as it is.",
        "export": "Write the CAs as another distribution of Kubernetes takes them.",
    },
    "keep": {
        "plan": "Show what apply would do to the PKI directory, and why.",
        "apply": "Show the plan, ask, and apply it: completely or not at all.",
        "renew": "Renew certificates: the same content with a new validity.",
        "rollback": "Go back to the state before a change.",
        "rescue": "Recover a cluster whose certificates have all expired.",
    },
    "rotate": {
        "rotate": "Replace CAs and signing keys without downtime, in phases.",
    },
    "fleet": {
        "fleet": "Plan, change, renew and watch many clusters at once.",
    },
    "people": {
        "access": "Give people, nodes and workloads certificates, kubeconfigs and tokens.",
    },
    "air gap": {
        "airgap": "Supply sites without a network, and keep the authority encrypted or apart.",
    },
    "look": {
        "next": "Say the one thing to do now, with its command, or when something will be due.",
        "status": "Show every certificate of every node, and when it expires.",
        "verify": "Verify every file, every certificate and every TLS edge.",
        "report": "Write a page that shows a cluster: what ends when, who trusts whom, what is wrong.",
        "graph": "Draw who presents which certificate to whom, and which bundle judges it.",
        "explain": "Explain a user, a certificate, a kubeconfig, a component or an error.",
        "show": "Show again what a change did, or what a saved plan would do.",
        "inventory": "Name the nodes with their addresses and roles, for scripts and as Ansible's inventory.",
    },
}
"""As help groups them, in its order."""
FAMILIES = {
    "access": {
        "sign": "Sign a client certificate for a key that never leaves its owner.",
        "csr": "Make certificate signing requests, and have the cluster sign them.",
        "user": "Make kubeconfigs from an existing certificate or token.",
        "kubeconfig": "Merge kubeconfigs as kubectl does, or explain one.",
        "token": "Sign a service account's token offline, for bootstrap and break-glass.",
        "revoke": "Have API servers refuse a credential at once, without a restart.",
        "unrevoke": "Let a revoked credential pass again.",
        "bootstrap-token": "Make a bootstrap token, and everything that a node needs to join with it.",
        "oidc": "Render the OIDC discovery documents of the service account issuer.",
        "iam": "Render aws-auth and the bindings for users of AWS IAM.",
        "applied": "Say that what changed of people's rights was done in the cluster, too.",
    },
    "airgap": {
        "bundle": "Pack node bundles for sites without a network, and install them there.",
        "node": "Prepare a node: the key that its bundles are sealed to, and private keys that never "
        "leave it.",
        "authority": "Encrypt the authority's private files, or work with an authority that is never "
        "connected.",
    },
}
"""Commands that hold others."""
COMMANDS = {name: sentence for panel in PANELS.values() for name, sentence in panel.items()}
LEAVES: dict[tuple[str, ...], str] = {
    **{(name,): sentence for name, sentence in COMMANDS.items() if name not in FAMILIES},
    **{(family, name): text for family, names in FAMILIES.items() for name, text in names.items()},
}
"""Where each is that does something; each is a module of this package with an `app`."""
_PLACES: dict[str, str] = {
    **{words[-1]: " ".join(words) for words in LEAVES},
    "changes": "show",
    "schema": "validate --schema",
    "example": "init --example",
}
"""Where a word is that somebody may take for a command of another group."""

_COMPLETION = "_PKIGEN_COMPLETE"


# Help is plain text: Rich takes "[default: …]" for markup and drops it, and keeps the sources' line ends.
_MARKUP = None


class LazyCommand(TyperCommand):
    """Stands for a command in lists; its module is imported when it is run or asked for help."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Hand over to the command itself."""
        module = import_module(f"pkigen.cli.commands.{str(self.name).replace('-', '_')}")
        # Set from here, so that no command's module can forget it.
        module.app.rich_markup_mode = _MARKUP
        command = typer.main.get_command(module.app)
        below = getattr(command, "commands", {})
        for each in below.values():
            each.short_help = _sentence_of(each)
        if parent is not None:
            # A group works on nothing itself: each command below it is asked.
            for each in below.values() or (command,):
                _refuse_unused_directory(each, parent)
            if below:
                command.params = [*command.params, _directory_of_group(parent)]
        return command.make_context(info_name, args, parent=parent, **extra)


def _directory_of_group(parent: Any) -> Any:
    """The option -C of the program, for a group: the directory may be named wherever a command has begun."""
    return _dir_option(parent, _take_directory)


def _refuse_unused_directory(command: Any, parent: Any) -> None:
    """Let a command that works on no cluster say so where -C is given, before or behind its name."""
    if not any(map(is_place, command.params)):
        option = _dir_option(parent, _refuse_directory)
        option.hidden = True
        # Not `directory`: that is what `--authority` is called, and a parser goes by the name.
        option.name = "cluster"
        command.params = [*command.params, option]


def _dir_option(parent: Any, callback: Any) -> Any:
    # A copy: the program's own option keeps its callback.
    option = copy(next(each for each in parent.find_root().command.params if each.name == "directory"))
    # The command's function has no parameter for it: what the callback leaves in the context is read later.
    option.expose_value = False
    option.callback = callback
    return option


def _refuse_directory(context: Any, _option: Any, value: Any) -> None:
    """Refuse -C: what it names would not be looked at.

    Raises:
        UsageError: It is given.
    """
    if value is not None or context.obj.directory is not None:
        raise UsageError(
            f"`{context.command_path}` takes no cluster's directory",
            hint=f"leave -C out; `{context.command_path} --help` shows what it takes",
        )


def _take_directory(context: Any, _option: Any, value: Any) -> None:
    """Keep what -C says for the command that follows; what stands nearer to it goes before."""
    if value is not None:
        context.obj.directory = found_at(Path(value))


def _sentence_of(command: Any) -> str:
    """The whole of it, which lists would cut off at their right edge; they wrap what is given as short."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


class LazyGroup(TyperGroup):
    """Knows every command by its name and its sentence only."""

    def __init__(self, *, panels: Mapping[str, Mapping[str, str]] = PANELS, **attributes: Any) -> None:
        self._panels = panels
        attributes["commands"] = {
            name: _lazy(name, sentence) for panel in panels.values() for name, sentence in panel.items()
        }
        super().__init__(**attributes)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Take -C also between a group and its command."""
        # Only the program itself has no parent, and it declares -C among its own options.
        if parent is not None:
            self.params = [*self.params, _directory_of_group(parent)]
        return super().make_context(info_name, args, parent=parent, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find a command; where it is another group's, say where that is.

        Raises:
            UsageError: It is.
        """
        word = args[0]
        hint = _elsewhere(word, self.commands) if word not in self.commands else ""
        if hint:
            raise UsageError(f"`{ctx.command_path}` has no command {word!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands panel by panel."""
        del ctx
        # All panels have one width, where each would have one of its own.
        width = max(map(len, self.commands))
        for panel, commands in self._panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), sentence) for name, sentence in commands.items()])


def _lazy(name: str, sentence: str) -> LazyCommand | LazyGroup:
    if name not in FAMILIES:
        return LazyCommand(name=name, help=sentence, short_help=sentence)
    return LazyGroup(
        name=name,
        panels={"Commands": FAMILIES[name]},
        help=sentence,
        short_help=sentence,
        no_args_is_help=True,
        rich_markup_mode=_MARKUP,
    )


def _elsewhere(word: str, own: Iterable[str]) -> str:
    """Where a command is that a group lacks, as a hint; empty where it is near one of the group's own."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only who has mistyped something pays for it

    if word in _PLACES:
        return f"it is `pkigen {_PLACES[word]}`"
    near = [] if get_close_matches(word, list(own)) else get_close_matches(word, list(_PLACES), n=1)
    return f"did you mean `pkigen {_PLACES[near[0]]}`?" if near else ""


app = typer.Typer(
    cls=LazyGroup,
    # `_run` says what went wrong; Typer's hook would print a traceback of its own beside that.
    pretty_exceptions_enable=False,
    # Locals hold keys: some versions of Typer show them by default.
    pretty_exceptions_show_locals=False,
    rich_markup_mode=_MARKUP,
    # Click wraps at 80 columns unless it is told otherwise, and the sentences of PANELS do not fit there.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(*, value: bool) -> None:
    """Print the version and end, whatever else stands on the command line."""
    if value:
        typer.echo(f"pkigen {__version__}")
        raise typer.Exit


def _choose_colour(value: Colour) -> Colour:
    """Take the choice while the command line is read."""
    choose_colour(value)
    return value


@app.callback(
    epilog="exit codes: 0 done, 1 failed, 2 usage or invalid spec, 3 changes pending (plan --exit-code), "
    "or something to do (next), "
    "4 findings (verify, status --fail-within)"
)
def root(
    context: typer.Context,
    *,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Log what is read, decided and written to standard error; -vv names every object and file.",
        ),
    ] = 0,
    directory: DirectoryOption = None,
    color: Annotated[
        Colour,
        typer.Option(
            "--color",
            help="When to colour output; auto is on a terminal, unless NO_COLOR is set.",
            callback=_choose_colour,
            # Before a wrong command is complained of.
            is_eager=True,
        ),
    ] = Colour.AUTO,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[  # noqa: ARG001 -- handled by its callback
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Kubernetes cluster PKI from one spec: certificates, kubeconfigs and manifests for every node."""
    del color  # its callback has chosen
    context.obj.debug = debug
    context.obj.directory = directory
    if verbose:
        from pkigen.cli.verbosity import logging_to_stderr  # noqa: PLC0415 -- `logging` costs milliseconds

        # Bound to the context, since the logger outlives the run where several run in one process, as in
        # tests.
        context.with_resource(logging_to_stderr(verbose))


def run(arguments: Sequence[str], *, system: System | None = None) -> int:
    """Run one command line; the exit code is the result."""
    with one_run():
        return _run(arguments, Invocation(system=system or System()))


def _run(arguments: Sequence[str], invocation: Invocation) -> int:
    try:
        if not arguments and _COMPLETION not in os.environ:
            # Help that nobody has asked for is no result.
            with redirect_stdout(sys.stderr):
                _invoke(["--help"], invocation)
            return ExitCode.USAGE
        _require_words(arguments)
        code = _invoke(arguments, invocation)
        # Before success is reported: a full disk shows only when what is buffered goes out.
        flush()
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; there is nobody left to tell.
        silence()
        return ExitCode.FAILED
    except BaseException as problem:  # the last resort: words, never locals
        # SystemExit and the like are meant to end the program.
        if not (isinstance(problem, Exception | KeyboardInterrupt) or is_panic(problem)):
            raise
        if invocation.debug:
            traceback.print_exc()
        _give_up_results()
        return report(problem)
    return code


_FREE_TEXT = frozenset({"--audience", "--description", "--group", "--reason", "--user"})
"""Options whose own commands say what they may hold."""


def _require_words(arguments: Sequence[str]) -> None:
    """Refuse an empty word: it would be the current directory, where a path is meant, or everything.

    Raises:
        UsageError: There is one, as a variable of the shell leaves that is not set.
    """
    for before, word in pairwise(("pkigen", *arguments)):
        option, assigned, value = word.partition("=")
        is_empty = not word or (option.startswith("--") and assigned and not value)
        if is_empty and (option or before) not in _FREE_TEXT:
            raise UsageError(
                f"what follows `{word or before}` is empty", hint="is a variable of the shell not set?"
            )


def _give_up_results() -> None:
    """After a failure: what cannot be written of the result is not tried again at the interpreter's end."""
    try:
        sys.stdout.flush()
    except OSError:
        silence()


def _invoke(arguments: Sequence[str], invocation: Invocation) -> int:
    """Parse and run, without click's own way of ending a program."""
    group = typer.main.get_command(app)
    if _COMPLETION in os.environ:
        # Not through make_context: it is `main` that recognizes the variable and hands over to the
        # completion.
        group.main(prog_name="pkigen")  # answers the shell, and exits
    try:
        with (
            keys_ahead(arguments) as invocation.makers,
            group.make_context("pkigen", list(arguments), obj=invocation) as context,
        ):
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return ExitCode.DONE
