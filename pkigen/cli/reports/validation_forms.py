"""The structures behind `validate -o json`, and a problem of a file as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.version import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.desired.inventory import Inventory
    from pkigen.errors import Problem


def validated(file: str, inventory: Inventory, warnings: Iterable[Problem]) -> dict[str, Any]:
    """A spec that is valid."""
    cluster = inventory.cluster
    return {
        **_validation(file, warnings),
        "valid": True,
        "cluster": cluster.name,
        "kubernetesVersion": str(cluster.spec.kubernetes_version),
        "nodes": len(cluster.spec.nodes),
        "certificates": len(inventory.certificates),
        "problems": [],
    }


def invalid(file: str, problems: Iterable[Problem]) -> dict[str, Any]:
    """A spec that is not."""
    return {**_validation(file, ()), "valid": False, "problems": list(map(problem_fields, problems))}


def _validation(file: str, warnings: Iterable[Problem]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Validation",
        "file": file,
        "warnings": list(map(problem_fields, warnings)),
    }


def problem_fields(problem: Problem) -> dict[str, Any]:
    """One problem of a file."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.path,
        "message": problem.message,
    }
