"""`pkigen adopt`: take over a cluster that pkigen did not make."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.adoption.archive_tree import LARGEST_ARCHIVE
from pkigen.adoption.bare_pki import bare_pkis
from pkigen.adoption.description import described
from pkigen.adoption.gathered import archived_trees, gather_line, node_trees, read_whole
from pkigen.adoption.imports import imports, left_out
from pkigen.adoption.inspection import inspect
from pkigen.adoption.kubeadm_record import KubeadmRecord, read_record
from pkigen.adoption.recorded import record_beside
from pkigen.adoption.topology import idle_components, known_nodes, kubelet_name
from pkigen.cli.adopted_authority import AuthorityOrder, adopt_authority
from pkigen.cli.console import note, say, say_line
from pkigen.cli.directory import first_directory
from pkigen.cli.document import document
from pkigen.cli.options import FirstDirectoryOption, Format, FormatOption
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.plan_lines import advice_line
from pkigen.cli.session import session_of
from pkigen.cli.system import directory_of, system_of
from pkigen.desired.inventory import derive
from pkigen.distributions.names import Distribution
from pkigen.errors import AdoptionError, UsageError
from pkigen.layout import PUBLIC_MODE, SPEC_FILE
from pkigen.reconcile.adopt import Import, TakenOver, take_over
from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pkigen.adoption.found import ForeignCluster, ForeignNode, Spot
    from pkigen.adoption.node_tree import NodeTree

app = typer.Typer(add_completion=False)

_MOST_NAMED = 8


@app.command()
def adopt(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NODE=]DIR…",
            help="Copies of /etc/kubernetes and /var/lib/kubelet of every node: directories or tars, each of "
            "one node or with one directory for each; - reads a tar from standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    directory: FirstDirectoryOption = None,
    from_tar: Annotated[
        list[str] | None,
        typer.Option("--from-tar", metavar="[NODE=]FILE", help="A tar of nodes' files; may be repeated."),
    ] = None,
    gather: Annotated[
        list[str] | None,
        typer.Option(
            "--gather",
            metavar="NODE",
            help="Only print the line for a shell that brings this node's files here by ssh, as NODE.tar.gz; "
            "may be repeated.",
        ),
    ] = None,
    kubeadm_config: Annotated[
        Path | None,
        typer.Option(
            "--kubeadm-config",
            metavar="FILE",
            help="The cluster's ClusterConfiguration, or the ConfigMap kubeadm-config that holds it.",
        ),
    ] = None,
    distribution: Annotated[
        Distribution | None,
        typer.Option(
            "--from",
            help="Take over only the authority, from the files of another distribution of Kubernetes.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="With --from: what the cluster is called."),
    ] = None,
    kubernetes_version: Annotated[
        str | None,
        typer.Option(
            "--kubernetes-version",
            metavar="VERSION",
            help="The release that runs, such as v1.36.2, where no image of the API server names it.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the spec that describes the cluster; write nothing.")
    ] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Take over a cluster that pkigen did not make, as it is.

    Certificates, keys and kubeconfigs are taken over byte by byte, and nothing is issued or changed: what is
    due is renewed by the next `pkigen apply`. Manifests and the kubelets' settings stay somebody else's until
    `manage` in the spec names them. With --from, the sources are the files in which another distribution
    has its CAs, and its nodes stay its own.
    """
    for node in gather or ():
        say_line(gather_line(node))
    if gather:
        return
    system = system_of(context)
    given = [*(sources or ()), *(from_tar or ())]
    _require_fitting(distribution, name, kubeadm_config)
    if distribution is not None:
        order = AuthorityOrder(
            distribution=distribution, sources=given, name=name, version=kubernetes_version, dry_run=dry_run
        )
        adopt_authority(context, order, directory, output)
        return
    cluster = _inspected(given, now=system.clock())
    description = described(cluster, _record(kubeadm_config, kubernetes_version, given))
    for each in description.notes:
        note(f"note: {each}")
    if dry_run:
        say(description.text)
        return
    inventory, nodes = derive(description.loaded.spec), known_nodes(cluster)
    root = first_directory(directory_of(context, directory), None, description.loaded.spec.file_name)
    session = session_of(system, inventory, root=root, templates=None)
    apart = bare_pkis(cluster)
    found = [
        *imports(inventory, nodes, apart, entropy=system.entropy),
        Import(path=SPEC_FILE, mode=PUBLIC_MODE, content=description.text.encode()),
    ]
    for each in (*_of_apart(apart), *_of_left_out(left_out(cluster, found))):
        note(f"note: {each}")
    with session.writing("adopt") as store:
        taken = take_over(
            session.planner, found, store, session.tools(PlainVault()), idle=idle_components(nodes)
        )
    with document(output) as content:
        _say_taken(taken, len(nodes), root)
        content.update(outcomes.adopted(taken, inventory.cluster.name, len(nodes), str(root)))


def _of_apart(apart: Iterable[ForeignNode]) -> Iterator[str]:
    for node in apart:
        yield f"{node.name} is taken for a PKI, not for a node: nothing in it says what runs there"


def _of_left_out(left: Iterable[Spot]) -> Iterator[str]:
    """What stays where it is: nobody renews it here, nor rotates what it trusts."""
    spots = [str(each) for each in left]
    named, rest = spots[:_MOST_NAMED], len(spots) - _MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    if spots:
        yield f"not taken over, and not renewed here: {', '.join(named)}{more}"


def _require_fitting(distribution: Distribution | None, name: str | None, config: Path | None) -> None:
    """Refuse options that say nothing together."""
    if distribution is not None and config is not None:
        raise UsageError("--kubeadm-config means nothing with --from: say --kubernetes-version")
    if distribution is None and name is not None:
        raise UsageError("--name can only be used with --from")


def _record(kubeadm_config: Path | None, version: str | None, sources: Iterable[str]) -> KubeadmRecord:
    """What is said of the cluster beside its files: as is told, else what lies beside one of the nodes."""
    if kubeadm_config is not None:
        given = read_record(read_whole(kubeadm_config), file=str(kubeadm_config))
    else:
        paths = [Path(each.rpartition("=")[2]) for each in sources if each != "-"]
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


def _inspected(sources: Sequence[str], *, now: datetime) -> ForeignCluster:
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


def _say_taken(taken: TakenOver, nodes: int, root: Path) -> None:
    spec = root / SPEC_FILE
    say_line(
        f"adopted {taken.objects} objects of {nodes} node{'' if nodes == 1 else 's'} into {root}; "
        "nothing was issued"
    )
    for reason, count in taken.advice.items():
        say_line(advice_line(count, reason))
    for identifier in taken.due:
        say_line(f"due: {identifier}")
    say_line(f"next: read {spec}, then `{shlex.join(['pkigen', 'plan', '-C', str(root)])}`")
