"""Where a cluster is: one rule finds its directory, for every command that works on one."""

from __future__ import annotations

import os
from pathlib import Path

from pkigen import layout
from pkigen.cli.addressed import found_at
from pkigen.errors import UsageError
from pkigen.notation import command_line, dir_option
from pkigen.records import dataclass

VARIABLE = "PKIGEN_DIR"


class NoClusterError(UsageError):
    """No directory of a cluster is named, and none is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDirectory:
    """A cluster's directory; `is_named` says that the command line names it with -C."""

    root: Path
    is_named: bool = False


def named_directory(option: Path | None) -> ClusterDirectory | None:
    """The directory that -C names, or else PKIGEN_DIR; an empty variable counts as none."""
    if option is not None:
        return ClusterDirectory(root=option, is_named=True)
    variable = os.environ.get(VARIABLE)
    # A variable may be left over from another task, so it does not count as named: `open_cluster` then still
    # compares the spec's cluster with the directory's.
    return ClusterDirectory(root=Path(variable)) if variable else None


def surrounding() -> Path | None:
    """The current directory, or the nearest one above it, that is a cluster's."""
    here = Path.cwd()
    return next((each for each in (here, *here.parents) if is_cluster(each)), None)


def find_directory(option: Path | None, spec: Path | None) -> ClusterDirectory:
    """The directory of the cluster that a command works on.

    That is what -C names, else PKIGEN_DIR, else the current directory or the nearest one above it that holds
    pki.lock, else the directory of the spec that was named, if it holds pki.lock.

    Args:
        option: What follows -C.
        spec: The spec that the command line names.

    Raises:
        NoClusterError: None of them is.
        UsageError: The last two are, and are not the same.
    """
    named = named_directory(option)
    if named is not None:
        return named
    around, beside = surrounding(), _beside(spec)
    # Refused, not ranked: with the wrong guess one cluster's spec would be planned into another's directory.
    if around is not None and beside is not None and not around.samefile(beside):
        raise UsageError(
            f"two clusters are meant: this directory is in {around}, and {spec} is the spec of {beside}",
            hint=f"say which: `{dir_option(around)}` or `{dir_option(beside)}`",
        )
    found = around or beside
    if found is None:
        folder = _folder(spec)
        nor = f", nor does {folder}, where the spec is" if folder is not None else ""
        raise NoClusterError(
            f"no cluster is here: neither {Path.cwd()} nor a directory above it has a "
            f"{layout.LOCK_FILE}{nor}",
            hint=_offer()
            or f"name the cluster's directory with -C DIR or in {VARIABLE}, or make a cluster with "
            "`pkigen init SPEC`",
        )
    return ClusterDirectory(root=found if found is around else found_at(found))


def first_directory(option: Path | None, spec: Path | None, name: str) -> Path:
    """Where a new cluster is made: what -C or PKIGEN_DIR names, else `./NAME`; never inside of another.

    Args:
        option: What follows -C.
        spec: The spec that it is made from; None where it is made from what runs.
        name: What the cluster's directory is called by default.

    Raises:
        UsageError: The current directory is a cluster's.
    """
    named = named_directory(option)
    if named is not None:
        return named.root
    around = surrounding()
    if around is None:
        return found_at(Path(name))
    beside = _beside(spec)
    # `pkigen init cluster.yaml` once more within the cluster: a second run, which changes nothing.
    if beside is not None and around.samefile(beside):
        return around
    changes = (
        f"`{command_line('pkigen', 'plan', spec)}` shows what the spec would change there; "
        if spec is not None
        else ""
    )
    raise UsageError(
        f"this directory is in a cluster's directory, {around}: {name} would be made inside of it",
        hint=f"{changes}for another cluster, name its directory with -C",
    )


def is_cluster(directory: Path) -> bool:
    """Whether a directory holds a lock file."""
    # Also where it is a link that leads nowhere: damaged, it is a cluster's still.
    return os.path.lexists(directory / layout.LOCK_FILE)


def _offer() -> str:
    """The one cluster that is right below the current directory, for who has just made it."""
    below = [each.name for each in Path.cwd().iterdir() if is_cluster(each)]
    return f"add {dir_option(below[0])}" if len(below) == 1 else ""


def nearest(directory: Path) -> str:
    """The cluster that was meant, in parentheses: above a directory that is none, or alone in it."""
    above = [each for each in directory.absolute().parents if is_cluster(each)]
    meant = above[:1] or [each for each in directory.iterdir() if is_cluster(each)]
    return f" ({meant[0]})" if len(meant) == 1 else ""


def _folder(spec: Path | None) -> Path | None:
    return None if spec is None or str(spec) == "-" else spec.parent


def _beside(spec: Path | None) -> Path | None:
    folder = _folder(spec)
    return folder if folder is not None and is_cluster(folder) else None
