# noqa: INP001 -- a script imports it
"""Every command as the program itself declares it, for the pages of the reference and of `man`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer

from pkigen.cli.app import FAMILIES, PANELS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedParameter:
    """An argument or an option: how it is written, and what it does."""

    written: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedCommand:
    """A command that can be run."""

    panel: str
    words: str
    usage: str
    summary: str
    paragraphs: tuple[str, ...]
    """What `--help` says below the summary."""
    arguments: tuple[DescribedParameter, ...]
    options: tuple[DescribedParameter, ...]


def leaves() -> Iterator[tuple[str, str, Any]]:
    """The panel, the words and the click command of everything that can be run."""
    for panel, names in PANELS.items():
        for name in names:
            if name not in FAMILIES:
                yield from ((panel, words, leaf) for words, leaf in _within(name, name))
                continue
            for member in FAMILIES[name]:
                yield from ((panel, words, leaf) for words, leaf in _within(member, f"{name} {member}"))


def _within(name: str, words: str) -> Iterator[tuple[str, Any]]:
    """A command, or those below it."""
    module = import_module(f"pkigen.cli.commands.{name.replace('-', '_')}")
    command = typer.main.get_command(module.app)
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
    else:
        yield from ((f"{words} {each}", leaf) for each, leaf in below.items())


def described() -> list[DescribedCommand]:
    """Every command, in the order of `pkigen --help`."""
    return [_described(panel, words, command) for panel, words, command in leaves()]


def _described(panel: str, words: str, command: Any) -> DescribedCommand:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
    summary, *paragraphs = (" ".join(each.split()) for each in command.help.split("\n\n"))
    return DescribedCommand(
        panel=panel,
        words=words,
        usage=" ".join(["pkigen", words, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)]),
        summary=summary,
        paragraphs=tuple(paragraphs),
        arguments=tuple(
            DescribedParameter(written=_argument(each), text=_sentence(each)) for each in arguments
        ),
        options=tuple(DescribedParameter(written=_option(each), text=_sentence(each)) for each in options),
    )


def _argument(argument: Any) -> str:
    shown = str(argument.metavar)
    if argument.nargs == -1 and not shown.endswith("..."):
        shown += "..."
    return shown if argument.required else f"[{shown}]"


def _option(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return names
    choices = _choices(option)
    return f"{names} {'|'.join(choices) if choices else option.metavar or 'VALUE'}"


def _choices(parameter: Any) -> list[str]:
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [str(each.value) for each in annotation]
    return []


def _sentence(parameter: Any) -> str:
    text = " ".join(str(parameter.help or "").split())
    default = getattr(parameter, "default", None)
    if isinstance(default, enum.Enum):
        default = default.value
    if default in {None, False, ""} or isinstance(default, list | tuple) or "[default:" in text:
        return text
    return f"{text}  [default: {default}]"
