"""The nodes of a cluster: as a table, as a structure, and as Ansible's inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.tables import table
from pkigen.cli.reports.version import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.model import ClusterSpec, Node


def nodes_text(cluster: ClusterSpec, *, width: int | None = None) -> str:
    """One line a node."""
    rows = [
        (node.name, node.host, " ".join(_roles(cluster, node)), str(cluster.key_home(node)))
        for node in cluster.spec.nodes
    ]
    return table(("NODE", "HOST", "ROLES", "KEYS"), rows, width=width)


def nodes_content(cluster: ClusterSpec, root: str) -> dict[str, Any]:
    """The same as a structure."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Nodes",
        "cluster": cluster.name,
        "directory": root,
        "nodes": [
            {
                "name": node.name,
                "host": node.host,
                "addresses": [str(each) for each in node.addresses],
                "roles": list(_roles(cluster, node)),
                "keys": str(cluster.key_home(node)),
            }
            for node in cluster.spec.nodes
        ],
    }


def ansible_inventory(cluster: ClusterSpec, root: str) -> dict[str, Any]:
    """What a dynamic inventory answers to `--list` (Ansible, "Developing dynamic inventory").

    With `_meta` it is not asked for each host again.
    """
    # Also where nobody has the role: playbooks name these groups.
    groups: dict[str, list[str]] = {"control_plane": [], "etcd": [], "worker": []}
    for node in cluster.spec.nodes:
        for role in _roles(cluster, node):
            # Ansible's names of groups have no hyphens.
            groups.setdefault(role.replace("-", "_"), []).append(node.name)
    content = nodes_content(cluster, root)["nodes"]
    return {
        "_meta": {
            "hostvars": {
                node["name"]: {
                    "ansible_host": node["host"],
                    "pkigen_node": node["name"],
                    "pkigen_roles": node["roles"],
                    "pkigen_keys": node["keys"],
                }
                for node in content
            }
        },
        # Below one group of its own, so that the inventory can be combined with others without mixing their
        # hosts.
        "all": {"children": ["pkigen"]},
        "pkigen": {
            "children": [f"pkigen_{name}" for name in groups],
            "vars": {"pkigen_cluster": cluster.name, "pkigen_directory": root},
        },
        **{f"pkigen_{name}": {"hosts": hosts} for name, hosts in groups.items()},
    }


def _roles(cluster: ClusterSpec, node: Node) -> Iterator[str]:
    """Its roles in the spec, and etcd where it runs a member without having that role."""
    yield from map(str, node.roles)
    if "etcd" not in map(str, node.roles) and node in cluster.etcd_members:
        yield "etcd"
