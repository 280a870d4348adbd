"""The steps that bring a change to its nodes as a document: what plans and changes carry with `-o json`.

The models are the published JSON Schema (`pkigen validate --schema rollout`, docs/rollout.schema.json).
Fields are only ever added to a version; who reads a document passes over those that it does not know.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pkigen.cli.reports.plan_text import rollout_text
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.rollout import RolloutStep, StepKind

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Piece(BaseModel):
    """A part of a document."""

    # Unknown fields are ignored, pydantic's default: a newer pkigen may have added some. Building the
    # validators takes longer than most commands do, and most need few of them (`defer_build`).
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)


class StepCopy(Piece):
    """The part of a node's tree that is copied to the node; nothing is removed there."""

    source: Annotated[str, Field(description="The node's tree, relative to the PKI directory.")]
    only: Annotated[list[str], Field(description="Directories of the node; empty for all of them.")]
    but: Annotated[list[str], Field(description="Directories of the node that are left out.")]
    files: Annotated[list[str], Field(description="What the change concerns, as the node knows it.")]
    sealed: Annotated[
        bool, Field(description="The node's keys are on the node alone: it is given a bundle instead.")
    ]


class StepProcess(Piece):
    """What runs the component: one of the two is null."""

    manifest: Annotated[str | None, Field(description="Of a static Pod.")]
    unit: Annotated[str | None, Field(description="Of systemd.")]


class StepHealth(Piece):
    """How one knows, on the node, that the component is up."""

    url: Annotated[str, Field(description="It answers 200 then; its certificate need not be verified.")]
    kubeconfig: Annotated[
        str | None, Field(description="Whose rights to ask with where nobody may ask without any.")
    ]
    command: Annotated[str, Field(description="Waits until it is up.")]


class StepEvidence(Piece):
    """The certificate that an endpoint must serve afterwards."""

    component: Annotated[str, Field(description="The server.")]
    address: Annotated[str, Field(description="Where it is reached, with the port.")]
    certificate: Annotated[str, Field(description="Its id.")]
    sha256: Annotated[Digest | None, Field(description="Null where it is not issued yet.")]


class PlannedRolloutStep(Piece):
    """One thing to do for one node. The steps are in a safe order; the next one waits for this one."""

    kind: Annotated[StepKind, Field(description="What is done.")]
    node: Annotated[str, Field(description="The node's name in the spec.")]
    host: Annotated[str, Field(description="What the node is reached at.")]
    number: Annotated[
        int | None, Field(description="Its place in `restarts`, from 1; null for copies and removals.")
    ]
    sentence: Annotated[str, Field(description="The step as the runbook says it.")]
    component: Annotated[
        str | None, Field(description="What restarts or reloads; null for copies and removals.")
    ]
    effect: Annotated[
        Effect | None,
        Field(description="How the component takes up its files; null for copies and removals."),
    ]
    member: Annotated[str | None, Field(description="The etcd member that is added, removed or moved.")]
    copies: Annotated[StepCopy | None, Field(description="Null where nothing is copied.")]
    process: Annotated[StepProcess | None, Field(description="Null for copies and removals.")]
    files: Annotated[list[str], Field(description="What the component reads of what changed.")]
    removes: Annotated[list[str], Field(description="Files of the node that go with this step.")]
    forgets: Annotated[
        list[str], Field(description="Files of the component's own that go, for it would prefer them.")
    ]
    commands: Annotated[
        list[str],
        Field(description="For a shell on the node; those of a copy, where the PKI directory is."),
    ]
    health: Annotated[StepHealth | None, Field(description="Null where nothing has to be waited for.")]
    evidence: Annotated[
        list[StepEvidence], Field(description="What shows from outside that the step was done.")
    ]


class RolloutDocument(Piece):
    """What brings a change to its nodes; part of a Plan, and of what changes report with `-o json`."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[
        Literal["Plan", "Applied", "Rotated", "Changes"], Field(description="What carries the steps.")
    ]
    cluster: Annotated[str, Field(description="The cluster's name.")]
    steps: Annotated[list[PlannedRolloutStep], Field(description="In the order in which they are done.")]


def rollout_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the steps in whatever carries them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RolloutDocument.model_json_schema(by_alias=True),
        "title": "pkigen rollout, pkigen/v1",
    }


def rollout_content(steps: Iterable[RolloutStep]) -> list[dict[str, Any]]:
    """The steps as `-o json` has them."""
    return [_content(each) for each in steps]


def _content(step: RolloutStep) -> dict[str, Any]:
    restart, copy, health, process = step.restart, step.copy, step.health, step.process
    return {
        "kind": str(step.kind),
        "node": step.node,
        "host": step.host,
        "number": step.number,
        "sentence": rollout_text(step),
        "component": str(restart.component) if restart else None,
        "effect": str(restart.effect) if restart else None,
        "member": restart.member if restart else None,
        "copies": {
            "source": copy.source,
            "only": list(copy.only),
            "but": list(copy.but),
            "files": list(copy.files),
            "sealed": copy.is_sealed,
        }
        if copy
        else None,
        "process": {"manifest": process.manifest, "unit": process.unit} if process else None,
        "files": list(restart.files) if restart else [],
        "removes": list(step.removes),
        "forgets": list(restart.forgets) if restart else [],
        "commands": list(step.commands),
        "health": {"url": health.url, "kubeconfig": health.kubeconfig, "command": health.command}
        if health
        else None,
        "evidence": [
            {
                "component": each.component,
                "address": each.address,
                "certificate": each.certificate,
                "sha256": each.sha256,
            }
            for each in step.evidence
        ],
    }
