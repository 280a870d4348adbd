"""The work of `pkigen adopt`: the nodes' files, and what is said of what was taken over."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.adoption.archive_tree import LARGEST_ARCHIVE
from pkigen.adoption.gathered import archived_trees, node_trees, read_whole
from pkigen.adoption.inspection import inspect
from pkigen.adoption.kubeadm_record import KubeadmRecord, read_record
from pkigen.adoption.recorded import record_beside
from pkigen.adoption.topology import kubelet_name
from pkigen.cli.console import say_line
from pkigen.cli.options import Format
from pkigen.cli.reports.plan_lines import advice_line
from pkigen.distributions.names import Distribution
from pkigen.errors import AdoptionError, UsageError
from pkigen.layout import SPEC_FILE
from pkigen.notation import command_line
from pkigen.reconcile.adopt import TakenOver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pkigen.adoption.found import ForeignCluster, ForeignNode, Spot
    from pkigen.adoption.node_tree import NodeTree

_MOST_NAMED = 8


def apart_notes(apart: Iterable[ForeignNode]) -> Iterator[str]:
    """What counts as a PKI without a node."""
    for node in apart:
        yield f"{node.name} is taken for a PKI, not for a node: nothing in it says what runs there"


def left_out_notes(left: Iterable[Spot]) -> Iterator[str]:
    """What stays where it is: nobody renews it here, nor rotates what it trusts."""
    spots = [str(each) for each in left]
    named, rest = spots[:_MOST_NAMED], len(spots) - _MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    if spots:
        yield f"not taken over, and not renewed here: {', '.join(named)}{more}"


def require_form(output: Format, *, dry_run: bool) -> None:
    """See that a dry run is not asked for in a form that the spec does not have.

    Raises:
        UsageError: It is.
    """
    if dry_run and output is Format.JSON:
        raise UsageError("--dry-run prints the spec, which is YAML", hint="leave -o out")


def require_fitting(distribution: Distribution | None, name: str | None, config: Path | None) -> None:
    """Refuse options that say nothing together."""
    if distribution is not None and config is not None:
        raise UsageError("--kubeadm-config means nothing with --from: say --kubernetes-version")
    if distribution is None and name is not None:
        raise UsageError("--name can only be used with --from")


def record(kubeadm_config: Path | None, version: str | None, sources: Iterable[str]) -> KubeadmRecord:
    """What is said of the cluster beside its files: as is told, else what lies beside one of the nodes."""
    if kubeadm_config is not None:
        given = read_record(read_whole(kubeadm_config), file=str(kubeadm_config))
    else:
        # As `_trees` takes them apart: the path may hold the sign, too.
        named = (each.partition("=") for each in sources if each != "-")
        paths = [Path(path if separator else name) for name, separator, path in named]
        given = next(filter(None, map(record_beside, paths)), KubeadmRecord())
    return replace(given, version=version) if version is not None else given


def _trees(sources: Iterable[str]) -> Iterator[NodeTree]:
    """The nodes of every source; one that is named has the files of that node alone."""
    names: set[str] = set()
    for source in sources:
        name, separator, path = source.partition("=")
        trees = _read(path if separator else source)
        if separator and len(trees) != 1:
            raise UsageError(
                f"{path} has the files of {len(trees)} nodes, not of {name} alone",
                hint="leave the name out: directories are taken for the names of nodes",
            )
        for tree in trees:
            tree.name = name if separator else tree.name
            if tree.name in names:
                raise UsageError(f"the node {tree.name} is given twice", hint="name each: NODE=DIR")
            names.add(tree.name)
            yield tree


def _read(path: str) -> tuple[NodeTree, ...]:
    """The nodes of one source.

    Raises:
        StoreError: It cannot be read.
        UsageError: It is not there.
    """
    if path == "-":
        return archived_trees(sys.stdin.buffer.read(LARGEST_ARCHIVE + 1), name="standard input")
    found = Path(path)
    if not found.exists():
        raise UsageError(f"{path} does not exist", hint="give a directory or a tar, or NODE=DIR")
    return node_trees(found)


def inspected(sources: Sequence[str], *, now: datetime) -> ForeignCluster:
    """What is in the nodes' files, each under a name that is one."""
    if not sources:
        raise UsageError(
            "no node's files are named", hint="`pkigen adopt --gather NODE` prints how to bring them here"
        )
    cluster = inspect(_trees(sources), now=now)
    _require_named(cluster, sources)
    return cluster


def _require_named(cluster: ForeignCluster, sources: Iterable[str]) -> None:
    """A name that was given is the one by which the node's kubelet comes in."""
    given = {source.partition("=")[0] for source in sources if "=" in source}
    for node in cluster.nodes:
        known = kubelet_name(node)
        if node.name in given and known is not None and known != node.name:
            raise AdoptionError(
                f"the files of {node.name} are those of {known}, by its kubelet.conf",
                hint=f"write {known}=DIR, or find the files of {node.name}",
            )


def say_taken(taken: TakenOver, nodes: int, root: Path) -> None:
    """Say what was taken over, what is advised, and what comes next."""
    spec = root / SPEC_FILE
    say_line(
        f"adopted {taken.objects} objects of {nodes} node{'' if nodes == 1 else 's'} into {root}; "
        "nothing was issued"
    )
    for reason, count in taken.advice.items():
        say_line(advice_line(count, reason))
    for identifier in taken.due:
        say_line(f"due: {identifier}")
    say_line(f"next: read {spec}, then `{command_line('pkigen', 'plan', '-C', root)}`")
