"""`pkigen inventory`: the nodes with their addresses and roles, for scripts and as Ansible's inventory."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from pkigen.cli.console import say, width
from pkigen.cli.options import DirectoryOption, OwnSpecArgument

app = typer.Typer(add_completion=False)


class InventoryFormat(enum.StrEnum):
    """How the nodes are written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    ANSIBLE = "ansible"


@app.command()
def inventory(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    output: Annotated[
        InventoryFormat, typer.Option("--output", "-o", help="The output format.")
    ] = InventoryFormat.TEXT,
) -> None:
    """Name the nodes with their addresses and roles, for scripts and as Ansible's inventory.

    -o ansible is what a dynamic inventory answers to --list: groups by role, and every node's address. It
    holds no secret.
    """
    from pkigen.cli.reports import structured
    from pkigen.cli.reports.node_forms import ansible_inventory, nodes_content, nodes_text
    from pkigen.cli.session import open_cluster

    session = open_cluster(context, spec, directory, reports_only=True)
    cluster, root = session.inventory.cluster, str(session.root.absolute())
    match output:
        case InventoryFormat.TEXT:
            say(nodes_text(cluster, width=width()))
        case InventoryFormat.ANSIBLE:
            say(structured.dump(ansible_inventory(cluster, root), "json"))
        case _:
            say(structured.dump(nodes_content(cluster, root), output))
