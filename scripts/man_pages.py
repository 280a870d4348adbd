# noqa: INP001 -- a script imports it
"""The pages of `man`, one for each command, from what the program declares: docs/man/*.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.app import PANELS
from scripts.reference_pages import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.described_commands import DescribedCommand, DescribedParameter

_BEFORE = (
    ("-C, --dir DIR", "The cluster's directory: the spec, the authority, and a tree for each node."),
    ("-v, --verbose", "Log to standard error what is read, decided and written; twice names every object."),
    ("--color auto|always|never", "Whether to colour what is shown.  [default: auto]"),
    ("--debug", "Show a traceback with an error."),
    ("--version", "Print the version."),
    ("-h, --help", "Show the options of a command."),
)
_VARIABLES = (
    ("PKIGEN_DIR", "The cluster's directory, where no option names one."),
    ("NO_COLOR", "Colours nothing when it is set."),
)
_FILES = (
    ("cluster.yaml", "The spec of the cluster, to be edited here."),
    ("pki/", "The authority: CAs and the service account key."),
    ("nodes/NAME/", "What belongs over the root directory of a node."),
    ("pki.lock", "What was issued, without secrets."),
    (".pkigen/", "The lock, the journal, backups and the ledger."),
)


def man_pages(commands: Sequence[DescribedCommand]) -> dict[str, str]:
    """Every page by its file's name."""
    pages = {f"{_name(each.words)}.1": "\n".join(_page(each)) + "\n" for each in commands}
    return {"pkigen.1": "\n".join(_overview(commands)) + "\n", **pages}


def _name(words: str) -> str:
    return "-".join(["pkigen", *words.split()])


def _page(command: DescribedCommand) -> Iterator[str]:
    name = _name(command.words)
    yield from _head(name, command.summary)
    yield ".SH SYNOPSIS"
    yield f".B {_text('pkigen ' + command.words)}"
    yield _text(command.usage.removeprefix(f"pkigen {command.words}").strip())
    yield ".SH DESCRIPTION"
    yield _text(command.summary)
    for paragraph in command.paragraphs:
        yield ".PP"
        yield _text(paragraph)
    yield from _list("ARGUMENTS", _pairs(command.arguments))
    yield from _list("OPTIONS", _pairs(command.options))
    yield ".SH EXIT STATUS"
    yield "The codes are those of"
    yield ".BR pkigen (1)."
    yield ".SH SEE ALSO"
    yield ".BR pkigen (1)"


def _overview(commands: Sequence[DescribedCommand]) -> Iterator[str]:
    yield from _head("pkigen", "Kubernetes cluster PKI from one declarative spec.")
    yield ".SH SYNOPSIS"
    yield ".B pkigen"
    yield _text("[OPTIONS] COMMAND [ARGUMENTS]")
    yield ".SH DESCRIPTION"
    yield _text(
        "pkigen turns one spec file into the whole PKI of a Kubernetes cluster: the CAs, every certificate, "
        "the service account key pair, kubeconfigs, manifests and flags, laid out as the root directory of "
        "each node. After that it keeps the files true to the spec: it plans, renews, and rotates CAs "
        "without downtime."
    )
    for panel in PANELS:
        within = [each for each in commands if each.panel == panel]
        yield f".SS {panel.capitalize()}"
        for each in within:
            yield ".TP"
            yield f".BR {_text(_name(each.words))} (1)"
            yield _text(each.summary)
    yield from _list("OPTIONS", _BEFORE)
    yield from _list("EXIT STATUS", EXIT_CODES)
    yield from _list("ENVIRONMENT", _VARIABLES)
    yield from _list("FILES", _FILES)


def _head(name: str, summary: str) -> Iterator[str]:
    # Without a date and a version: a page changes when what it says does.
    yield f'.TH {_text(name.upper())} 1 "" pkigen "Kubernetes cluster PKI"'
    yield ".SH NAME"
    yield rf"{_text(name)} \- {_text(summary[0].lower() + summary[1:].rstrip('.'))}"


def _pairs(parameters: Sequence[DescribedParameter]) -> list[tuple[str, str]]:
    return [(each.written, each.text) for each in parameters]


def _list(title: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    if pairs:
        yield f".SH {title}"
    for term, text in pairs:
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(text)


def _text(words: str) -> str:
    r"""Words as roff takes them: a hyphen that is typed stays one, and no line is a request by accident."""
    escaped = words.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("'", r"\(aq")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped
