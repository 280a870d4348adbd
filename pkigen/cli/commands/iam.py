"""`pkigen access iam`: users that AWS IAM vouches for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.access.iam import LARGEST_CONFIG_MAP, Current, config_map, read_current
from pkigen.cli.access_sources import read_bounded
from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.session import Session, open_record, open_spec
from pkigen.cli.system import system_of
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.errors import AccessError, UsageError
from pkigen.reconcile.cluster_changes import unmapped

app = typer.Typer(add_completion=False)


@app.command()
def iam(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    current: Annotated[
        Path | None,
        typer.Option(
            "--current",
            metavar="FILE",
            help="The current ConfigMap, whose other mappings are kept; - reads standard input.",
            allow_dash=True,
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove mappings that are not in the spec; those of nodes stay."),
    ] = False,
    only_config_map: Annotated[
        bool,
        typer.Option("--config-map", help="Leave the bindings out; `apply` writes them to addons/iam.yaml."),
    ] = False,
) -> None:
    """Render aws-auth and the bindings for users of AWS IAM."""
    session = _described(context, spec, directory)
    given_up = _given_up(session, spec)
    if prune and current is None:
        raise UsageError("--prune needs the current ConfigMap", hint="give it with --current")
    known = _known(current) if current is not None else None
    made = config_map(session.inventory.cluster, known, prunes=prune, given_up=given_up)
    for remark in made.remarks:
        note(f"note: {remark}")
    say(made.manifest)
    for item in () if only_config_map else session.inventory.items:
        if isinstance(item, DesiredFile) and item.kind is FileKind.ADDON_IAM:
            say(session.renderer.file(item).decode())


def _known(file: Path) -> Current:
    """The cluster's present ConfigMap."""
    data = read_bounded(file, limit=LARGEST_CONFIG_MAP)
    if len(data) > LARGEST_CONFIG_MAP:
        raise AccessError(f"{file} is larger than any ConfigMap")
    if not data:
        raise AccessError(
            f"{_named(file)} is empty: kubectl has failed, or the cluster has no ConfigMap aws-auth",
            hint="if the cluster has none, leave --current out",
        )
    return read_current(data, _named(file))


def _named(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _given_up(session: Session, spec: Path | None) -> frozenset[str]:
    """What an earlier spec had mapped, as long as nobody has said that the cluster was told.

    Raises:
        AccessError: There is nothing to map, and nothing to take out.
    """
    found: frozenset[str] = frozenset()
    if spec is None:
        with session.reading() as store:
            found = unmapped(store, session.inventory.cluster)
    if not session.inventory.cluster.spec.iam and not found:
        raise AccessError("spec.iam is empty", hint="each entry needs arn, username and groups")
    return found


def _described(context: typer.Context, spec: Path | None, directory: Path | None) -> Session:
    """A spec alone will do: no file of the cluster is needed."""
    if spec is None:
        return open_record(context, None, directory)
    return open_spec(system_of(context), spec, root=Path())
