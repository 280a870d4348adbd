"""The stable, documented structures behind `-o json` and `-o yaml` (docs/reference/output.md)."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.cli.reports.plan_document import Part
from pkigen.cli.reports.plan_text import copying_text, step_text
from pkigen.cli.reports.rollout_document import rollout_content
from pkigen.cli.reports.version import API_VERSION
from pkigen.desired.file_references import foreign_files, not_judged
from pkigen.desired.generations import InKubeconfig
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKubeconfig,
    DesiredToken,
)
from pkigen.desired.revocations import UNCHANGED
from pkigen.notation import timestamp
from pkigen.reconcile.plan import Remove
from pkigen.reconcile.restart_commands import restart_commands
from pkigen.reconcile.restart_map import leftovers, restart_map
from pkigen.reconcile.rollout import rollout
from pkigen.rotation.proof import CASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.desired.generations import Rotations
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired
    from pkigen.desired.revocations import Revocation, RevocationChange
    from pkigen.reconcile.apply import Applied
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.observations import Verified
    from pkigen.reconcile.plan import Action, Plan
    from pkigen.reconcile.restart_map import Restart
    from pkigen.rotation.live import Live
    from pkigen.rotation.live_revocations import ServerList
    from pkigen.rotation.proof import Proof
    from pkigen.state.cluster_objects import ClusterObject
    from pkigen.state.observed import Reader
    from pkigen.store import BackupInfo


def dump(content: dict[str, Any], form: str) -> str:
    """Text of a structure, as `json` or `yaml`."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 -- only this form pays for it

        class Lines(yaml.SafeDumper):
            """Begins no line with what others wrote: a line feed is an escape, and nothing is folded."""

        def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
            style = '"' if "\n" in value else None
            return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

        Lines.add_representer(str, text)
        # Through JSON, which turns enums into plain strings.
        plain = json.loads(json.dumps(content))
        return yaml.dump(plain, Dumper=Lines, sort_keys=False, allow_unicode=False, width=sys.maxsize)
    return json.dumps(content, indent=2)


def plan(
    plan: Plan, inventory: Inventory, risks: Iterable[str], *, reader: Reader | None = None
) -> dict[str, Any]:
    """A plan: what changes, why, what then restarts, and what is dangerous about it.

    With the tree in which it is carried out, its steps say what endpoints must serve.
    """
    # A rollback names files; every other plan names objects.
    items = {name: item for item in inventory.items for name in (*item.paths, item.id)}

    def planned(each: Action) -> dict[str, Any]:
        return {**action(each), **_object(each, items.get(each.id))}

    content = {
        "apiVersion": API_VERSION,
        "kind": "Plan",
        "cluster": inventory.cluster.name,
        "digest": "",
        "rotations": rotations(inventory.rotations),
        "summary": {**counts(plan.actions)},
        "actions": [planned(each) for each in plan.changes],
        "awaited": [planned(each) for each in plan.awaited],
        "waiting": [planned(each) for each in plan.waiting],
        # Only with an adopted cluster: every other plan stays as it was.
        **({"advice": [_advice(each) for each in plan.advice]} if plan.advice else {}),
        "cautions": list(copying_text(restart_map(inventory, plan.changes))),
        **_consequences(plan.changes, inventory, reader),
        **({"inCluster": in_cluster(plan.in_cluster)} if plan.in_cluster else {}),
        **_spread(inventory),
        "risks": list(risks),
        "notJudged": list(not_judged(foreign_files(inventory))),
        "withheld": list(plan.withheld),
        "authority": authority(plan),
        "observed": [{"name": name, "digest": digest} for name, digest in plan.observed.items()],
        **_revocation(plan.revocation),
    }
    return bound(content)


def _spread(inventory: Inventory) -> dict[str, int]:
    """That expiries are spread; nothing where they are not, so that other plans stay as they were."""
    percent = inventory.cluster.spec.certificates.expiry_spread
    return {"expirySpread": int(percent)} if percent else {}


def _revocation(change: RevocationChange) -> dict[str, Any]:
    """What is revoked by a plan; nothing in every other one, which stays as it was."""
    if change == UNCHANGED:
        return {}
    return {
        "revocation": {
            "revoked": list(map(revocation, change.revoked)),
            "lifted": list(map(revocation, change.lifted)),
        }
    }


def revocation(each: Revocation) -> dict[str, str]:
    """One revoked credential."""
    return {"credential": str(each.credential), **each.facts}


def _advice(each: Action) -> dict[str, Any]:
    return {"id": each.id, "node": each.node, "reason": each.reason, "details": list(each.details)}


def bound(content: dict[str, Any]) -> dict[str, Any]:
    """A plan with the digest over everything else in it."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    # Sorted: a plan that is read from a file may have its fields in another order.
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    return {**content, "digest": digest}


def authority(plan: Plan) -> dict[str, Any]:
    """How the authority differs from what is recorded of it, and whether the plan makes the first one."""
    return {
        "isNew": plan.makes_authority,
        "changes": [
            {
                "path": change.path,
                "difference": str(change.difference),
                "recorded": change.recorded,
                "found": change.found,
            }
            for change in plan.alarms
        ],
    }


def in_cluster(steps: Iterable[ClusterStep]) -> list[dict[str, Any]]:
    """What is to be done in the running cluster, from the PKI directory."""
    return [
        {
            "action": each.verb,
            "file": each.file,
            "kind": each.object.kind if each.object else None,
            "name": each.object.name if each.object else None,
            "namespace": each.object.namespace if each.object else None,
            "kubeconfig": each.kubeconfig,
            "node": each.node,
            "command": each.command(),
        }
        for each in steps
    ]


def told_applied(held: Iterable[ClusterObject], steps: Iterable[ClusterStep], root: str) -> dict[str, Any]:
    """What somebody has said of the running cluster: it holds these objects as it should."""
    return {
        "apiVersion": API_VERSION,
        "kind": "AppliedInCluster",
        "directory": root,
        "objects": [str(each) for each in held],
        "inCluster": in_cluster(steps),
    }


def changes(
    undone: Iterable[BackupInfo],
    done: tuple[Action, ...],
    inventory: Inventory,
    steps: Iterable[ClusterStep],
    reader: Reader,
) -> dict[str, Any]:
    """What earlier changes did, newest first, and what they ask of the nodes and of the cluster together."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Changes",
        "cluster": inventory.cluster.name,
        "changes": [
            {"backup": each.id, "command": each.command, "time": timestamp(each.time) if each.time else None}
            for each in undone
        ],
        "files": [{"action": each.verb, "path": each.id} for each in done],
        **_consequences(done, inventory, reader),
        "inCluster": in_cluster(steps),
    }


def _consequences(changes: Iterable[Action], inventory: Inventory, reader: Reader | None) -> dict[str, Any]:
    changes = tuple(changes)
    return {
        "restarts": [step(each, inventory) for each in restart_map(inventory, changes)],
        "leftovers": [
            {"node": node, "files": list(files)} for node, files in leftovers(inventory, changes).items()
        ],
        "steps": rollout_content(rollout(inventory, changes, reader)),
    }


def rotations(rotations: Rotations) -> dict[str, str]:
    """The phases of the rotations in progress, by what rotates."""
    return {identifier: str(phase) for identifier, phase in sorted(rotations.phases.items())}


def counts(actions: Iterable[Action]) -> dict[str, int]:
    """How many actions of each kind there are."""
    result = dict.fromkeys(("create", "renew", "reissue", "rewrite", "remove", "keep", "ask"), 0)
    for each in actions:
        result[each.verb] = result.get(each.verb, 0) + 1  # `await` where an authority is offline
    return result


def action(action: Action) -> dict[str, Any]:
    """One action."""
    content: dict[str, Any] = {
        "action": action.verb,
        "id": action.id,
        "node": action.node,
        "reason": action.reason,
        "details": list(action.details),
        "paths": list(action.paths),
        "diff": list(action.diff),
    }
    if action.reissuance is not None:
        change = action.reissuance
        content["certificate"] = {
            "issuer": change.issuer,
            "keyAlgorithm": change.key_algorithm,
            "expires": timestamp(change.expires) if change.expires else None,
            "willExpire": timestamp(change.will_expire),
            "offline": change.offline,
        }
    return content


def _object(action: Action, item: Desired | None) -> dict[str, str]:
    """What kind of object an action is about, and what the same is called on every node."""
    if isinstance(action, Remove):
        part = Part.REMOVAL
    elif isinstance(item, DesiredCertificate) and item.issuer is not None:
        part = Part.KUBECONFIG if isinstance(item.location, InKubeconfig) else Part.CERTIFICATE
    elif isinstance(item, DesiredToken | DesiredKubeconfig):
        part = Part.KUBECONFIG
    elif isinstance(item, DesiredFile):
        part = Part.CONFIGURATION
    else:
        part = Part.COPY if isinstance(item, DesiredCopy) else Part.AUTHORITY
    name = action.id
    if action.node is not None:
        name = action.id.removeprefix(f"{action.node}/").removeprefix(f"{layout.NODES}/{action.node}")
    return {"part": part, "name": name or action.id}


def step(step: Restart, inventory: Inventory) -> dict[str, Any]:
    """One line of the restart map."""
    return {
        "node": step.node,
        "component": step.component,
        "effect": step.effect,
        "files": list(step.files),
        "member": step.member,
        "removes": list(step.removes),
        "copiesInTurn": step.copies,
        "sentence": step_text(step),
        "commands": list(restart_commands(step, inventory.cluster)),
    }


def applied(applied: Applied, plan_content: dict[str, Any], root: str) -> dict[str, Any]:
    """What `init`, `apply` and `renew` did."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Applied",
        "cluster": plan_content["cluster"],
        "directory": root,
        "issued": list(applied.issued),
        "capped": list(applied.capped),
        "backup": applied.backup,
        "actions": plan_content["actions"],
        "restarts": plan_content["restarts"],
        "leftovers": plan_content["leftovers"],
        "steps": plan_content["steps"],
        "inCluster": plan_content.get("inCluster", []),
        **({"revocation": plan_content["revocation"]} if "revocation" in plan_content else {}),
    }


def backups(backups: Iterable[BackupInfo]) -> dict[str, Any]:
    """What `rollback --list` lists, the oldest first."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Backups",
        "backups": [
            {
                "id": each.id,
                "command": each.command,
                "time": timestamp(each.time) if each.time else None,
                "files": list(each.paths),
                **({"damage": each.damage} if each.damage else {}),
            }
            for each in backups
        ],
    }


def request_out(requests: RequestSet | None) -> dict[str, Any] | None:
    """The request that waits for an offline authority's answer, if there is one."""
    if requests is None:
        return None
    return {
        "number": requests.nonce,
        "created": timestamp(requests.created),
        "certificates": [identifier for identifier, _ in requests.requests],
    }


def requested(
    requests: RequestSet | None, root: str, file: str | None, site_key: str | None
) -> dict[str, Any]:
    """A request to the offline authority; its fields are null where there is nothing to ask for."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Requested",
        "directory": root,
        "cluster": requests.cluster if requests else None,
        "request": file,
        "number": requests.nonce if requests else None,
        "siteKey": site_key,
        "certificates": [identifier for identifier, _ in requests.requests] if requests else [],
    }


def verified(verified: Verified) -> dict[str, Any]:
    """A verification."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Verification",
        "objects": verified.objects,
        "edges": verified.edges,
        "findings": [
            {"subject": each.subject, "reason": str(each.reason), "detail": each.detail}
            for each in verified.findings
        ],
        "remarks": [{"subject": each.subject, "detail": each.detail} for each in verified.remarks],
    }


def live(live: Live, held: Iterable[ServerList], *, cluster: str) -> dict[str, Any]:
    """What running endpoints serve, and which API servers refuse what is revoked."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LiveVerification",
        "cluster": cluster,
        "endpoints": [
            {
                "node": each.endpoint.node,
                "component": each.endpoint.component,
                "address": each.endpoint.address,
                "certificate": each.endpoint.certificate,
                "serves": str(each.sight),
                "fingerprint": each.fingerprint,
                "expires": timestamp(each.expires) if each.expires else None,
                "findings": [
                    {"reason": str(finding.flaw), "detail": finding.detail} for finding in each.findings
                ],
            }
            for each in live.seen
        ],
        "revocations": [
            {"node": each.node, "address": each.address, "list": str(each.hold), "detail": each.detail}
            for each in held
        ],
    }


def proof(proof: Proof) -> dict[str, Any]:
    """The proof of a rotation's step."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Proof",
        "edges": proof.edges,
        "cases": proof.verdicts,
        "broken": [
            {
                "presenter": str(each.presenter),
                "judge": str(each.judge),
                "credential": each.credential,
                "presented": each.presented,
                "trusted": each.trusted,
                "refusal": each.refusal,
            }
            for each in proof.broken
        ],
        "table": [
            {
                "edge": row.edge,
                "edges": row.count,
                "binding": row.binding,
                "held": {
                    f"{presented}-{trusted}": held
                    for (presented, trusted), held in zip(CASES, row.held, strict=True)
                },
            }
            for row in proof.table
        ],
        "notJudged": [text.removeprefix("not judged: ") for text in not_judged(proof.unjudged)],
    }
