"""Arguments and options that several commands share, and the forms in which commands write their results."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.addressed import named_place
from pkigen.notation import format_duration
from pkigen.rotation.deadline import DEADLINE


class Format(enum.StrEnum):
    """How a result is written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


class PlanFormat(enum.StrEnum):
    """How a plan is written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


class VerifyForm(enum.StrEnum):
    """How the findings of `verify` are written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"
    JUNIT = "junit"
    MARKDOWN = "markdown"


class StatusForm(enum.StrEnum):
    """How the status is written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    PROMETHEUS = "prometheus"
    ICS = "ics"


class GraphForm(enum.StrEnum):
    """How the graph is written."""

    TEXT = "text"
    SVG = "svg"
    DOT = "dot"
    MERMAID = "mermaid"
    JSON = "json"
    YAML = "yaml"


SpecArgument = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC",
        help="A pkigen spec or a kubeadm configuration; - reads standard input.",
        allow_dash=True,
    ),
]
OwnSpecArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="SPEC",
        help="Another spec than the cluster's own; - reads standard input.  [default: DIR/cluster.yaml]",
        show_default=False,
        allow_dash=True,
    ),
]
ExaminedArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="SPEC|TREE",
        help="Compare with this spec (- reads standard input), or examine this directory or tar of nodes "
        "that pkigen did not make, such as /etc/kubernetes.  [default: what pki.lock records]",
        show_default=False,
        allow_dash=True,
    ),
]
DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        "-C",
        metavar="DIR",
        help="The cluster's directory.  [default: $PKIGEN_DIR, or the one around the current directory]",
        show_default=False,
        callback=named_place,
    ),
]
FirstDirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        "-C",
        metavar="DIR",
        help="The cluster's directory.  [default: $PKIGEN_DIR, or ./<cluster name>]",
        show_default=False,
        callback=named_place,
    ),
]
TemplatesOption = Annotated[
    Path | None,
    typer.Option(
        "--templates",
        metavar="DIR",
        help="Templates that replace pkigen's own, file by file.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--output", "-o", help="The output format.")]
PlanFormatOption = Annotated[PlanFormat, typer.Option("--output", "-o", help="The output format.")]
VerifyFormOption = Annotated[VerifyForm, typer.Option("--output", "-o", help="The output format.")]
FullOption = Annotated[bool, typer.Option("--full", help="Show every object, with its details and diffs.")]
SaveOption = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Save the plan for review and `apply FILE`; change nothing."),
]
TimeoutOption = Annotated[
    str,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="With --live: how long it may take; who has not answered by then counts as unreachable.",
    ),
]
TIMEOUT = format_duration(DEADLINE)
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Apply although the plan can make clients lose access; the plan says how."),
]
AuthorityForceOption = Annotated[
    bool,
    typer.Option("--force", help="Go on although the authority is not the one that pki.lock records."),
]
RunbookOption = Annotated[
    Path | None,
    typer.Option(
        "--runbook",
        metavar="DIR",
        help="Also write the restart steps to this directory, as text and as a shell script.",
    ),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Read the passphrase from a file that only its owner can read.",
    ),
]
PassphraseFdOption = Annotated[
    int | None,
    typer.Option(
        "--passphrase-fd", metavar="N", min=0, help="Read the passphrase from this open descriptor."
    ),
]
