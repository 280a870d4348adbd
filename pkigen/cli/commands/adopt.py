"""`pkigen adopt`: take over a cluster that pkigen did not make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note, say, say_line
from pkigen.cli.directory import first_directory
from pkigen.cli.document import document
from pkigen.cli.options import FirstDirectoryOption, Format, FormatOption
from pkigen.cli.system import directory_of, system_of
from pkigen.distributions.names import Distribution
from pkigen.layout import PUBLIC_MODE, SPEC_FILE

app = typer.Typer(add_completion=False)


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
    from pkigen.adoption.bare_pki import bare_pkis
    from pkigen.adoption.description import described
    from pkigen.adoption.gathered import gather_line
    from pkigen.adoption.imports import imports, left_out
    from pkigen.adoption.topology import idle_components, known_nodes
    from pkigen.cli.adopted_authority import AuthorityOrder, adopt_authority
    from pkigen.cli.reports import outcomes
    from pkigen.cli.session import session_of
    from pkigen.cli.work.adopt import (
        apart_notes,
        inspected,
        left_out_notes,
        record,
        require_fitting,
        require_form,
        say_taken,
    )
    from pkigen.desired.inventory import derive
    from pkigen.reconcile.adopt import Import, take_over
    from pkigen.state.vault import PlainVault

    # Before anything is looked at: the line is needed when there are no files here yet.
    for node in gather or ():
        say_line(gather_line(node))
    if gather:
        return
    system = system_of(context)
    given = [*(sources or ()), *(from_tar or ())]
    require_fitting(distribution, name, kubeadm_config)
    require_form(output, dry_run=dry_run)
    if distribution is not None:
        order = AuthorityOrder(
            distribution=distribution, sources=given, name=name, version=kubernetes_version, dry_run=dry_run
        )
        adopt_authority(context, order, directory, output)
        return
    cluster = inspected(given, now=system.clock())
    description = described(cluster, record(kubeadm_config, kubernetes_version, given))
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
    for each in (*apart_notes(apart), *left_out_notes(left_out(cluster, found))):
        note(f"note: {each}")
    with session.writing("adopt") as store:
        # As they are on the nodes, unencrypted; `airgap authority encrypt` seals them afterwards.
        taken = take_over(
            session.planner, found, store, session.tools(PlainVault()), idle=idle_components(nodes)
        )
    with document(output) as content:
        say_taken(taken, len(nodes), root)
        content.update(outcomes.adopted(taken, inventory.cluster.name, len(nodes), str(root)))
