"""A bundle, and what installing it would change, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.airgap.carrier.format import OWNER
from pkigen.cli.reports.version import API_VERSION
from pkigen.notation import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.airgap.bundles.install import Change
    from pkigen.airgap.bundles.opened import Bundle
    from pkigen.airgap.carrier.format import Label, RestartStep


def bundle(label: Label, signer: str, inside: Bundle | None) -> dict[str, Any]:
    """A bundle: its outside, and its manifest where it was opened."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Bundle",
        "bundleKind": label.kind,
        "cluster": label.cluster,
        "node": label.node,
        "serial": label.serial,
        "created": timestamp(label.created),
        "expires": timestamp(label.expires),
        "reader": label.reader,
        "signer": signer,
        "content": inside.content if inside is not None else None,
        "files": [
            {
                "path": f"/{entry.path}",
                "mode": f"{entry.mode:04o}",
                "owner": OWNER,
                "size": entry.size,
                "sha256": entry.sha256,
            }
            for entry in (inside.manifest.files if inside is not None else ())
        ],
        "restarts": _carried_steps(inside.manifest.steps if inside is not None else ()),
    }


def bundle_diff(
    label: Label, changes: Iterable[Change], left: Iterable[str], steps: Iterable[RestartStep]
) -> dict[str, Any]:
    """What installing a bundle would change on a host, and what would have to be done then."""
    return {
        "apiVersion": API_VERSION,
        "kind": "BundleDiff",
        "cluster": label.cluster,
        "node": label.node,
        "serial": label.serial,
        "changes": [{"path": f"/{each.path}", "change": each.difference} for each in changes],
        "left": [f"/{path}" for path in left],
        "restarts": _carried_steps(steps),
    }


def _carried_steps(steps: Iterable[RestartStep]) -> list[dict[str, Any]]:
    return [
        {
            "component": step.component,
            "effect": step.effect,
            "files": [f"/{path}" for path in step.files],
            "commands": list(step.commands),
        }
        for step in steps
    ]
