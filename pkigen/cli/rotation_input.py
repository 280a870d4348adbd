"""What the commands of a rotation begin with: options that they share, as one value."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.grouped import grouped
from pkigen.cli.options import (
    DirectoryOption,
    Format,
    FormatOption,
    SaveOption,
    TemplatesOption,
    YesOption,
)
from pkigen.errors import UsageError
from pkigen.records import dataclass
from pkigen.rotation.step_names import RotationStep

if TYPE_CHECKING:
    from pkigen.cli.session import Session
    from pkigen.rotation.phases import WantedStep

PhaseOption = Annotated[
    RotationStep | None,
    typer.Option("--phase", help="Which step to take.  [default: the next one]"),
]
ProveOption = Annotated[
    bool, typer.Option("--prove", help="Show the proof for the step, and change nothing.")
]
DistributedOption = Annotated[
    bool,
    typer.Option(
        "--assume-distributed",
        help="Assume that every node has the files of the previous step and has restarted what must restart.",
    ),
]
RunbookOption = Annotated[
    Path | None,
    typer.Option(
        "--runbook", metavar="DIR", help="Write to this directory what to do on which node, in order."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTerms:
    """What becomes of a step once it is planned."""

    yes: bool
    output: Format
    prove: bool = False
    runbook: Path | None = None
    save: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOptions:
    """What the command line says of a step, whatever rotates; `wanted` has no identifiers yet."""

    context: typer.Context = field(repr=False)
    directory: Path | None
    templates: Path | None
    wanted: WantedStep
    terms: StepTerms

    def open(self, spec: Path | None) -> Session:
        """The cluster that rotates."""
        from pkigen.cli.session import open_cluster

        return open_cluster(self.context, spec, self.directory, templates=self.templates)


def _rotating(
    context: typer.Context,
    *,
    phase: PhaseOption = None,
    directory: DirectoryOption = None,
    yes: YesOption = False,
    prove: ProveOption = False,
    assume_distributed: DistributedOption = False,
    runbook: RunbookOption = None,
    save: SaveOption = None,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> RotationOptions:
    from pkigen.rotation.phases import WantedStep

    if prove and runbook is not None:
        raise UsageError(
            "--prove and --runbook cannot be combined",
            hint="the runbook contains fingerprints that only a real step issues: use --runbook with the "
            "step",
        )
    if save is not None and (prove or runbook is not None):
        raise UsageError(
            f"--save and {'--prove' if prove else '--runbook'} cannot be combined",
            hint="a saved step is proven, and its runbook written, when it is applied: `pkigen apply FILE`",
        )
    return RotationOptions(
        context=context,
        directory=directory,
        templates=templates,
        wanted=WantedStep(identifiers=(), step=phase, distributed=assume_distributed),
        terms=StepTerms(yes=yes, output=output, prove=prove, runbook=runbook, save=save),
    )


rotating = grouped(_rotating)
"""A command that is given its `RotationOptions`, and the arguments and options that they are made of."""
