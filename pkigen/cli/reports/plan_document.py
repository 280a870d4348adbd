"""A plan as a document: what `-o json` prints, what is saved, and what every view of a plan is made of.

The models are its published JSON Schema (`pkigen validate --schema plan`, docs/plan.schema.json). Fields are
only ever added to a version; who reads a document passes over those that it does not know.
"""

import enum
import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from pkigen.cli.reports.rollout_document import Digest, Piece, PlannedRolloutStep
from pkigen.reconcile.cluster_changes import ClusterStep, ClusterVerb
from pkigen.reconcile.file_readers import Effect
from pkigen.rotation.step_names import RotationStep
from pkigen.state.authority_record import AuthorityDifference
from pkigen.state.cluster_objects import ClusterObject
from pkigen.state.reasons import Reason


class Part(enum.StrEnum):
    """What an object is to those who read a plan."""

    AUTHORITY = "authority"
    CERTIFICATE = "certificate"
    KUBECONFIG = "kubeconfig"
    CONFIGURATION = "configuration"
    COPY = "copy"
    REMOVAL = "removal"


class Verb(enum.StrEnum):
    """What is to be done to an object, the gravest first."""

    REMOVE = "remove"
    REISSUE = "reissue"
    REWRITE = "rewrite"
    RENEW = "renew"
    CREATE = "create"
    AWAIT = "await"
    ASK = "ask"


class PlannedCertificate(Piece):
    """What changes from the present certificate to the next."""

    issuer: Annotated[str | None, Field(description="The CA; null for one that signs itself.")]
    key_algorithm: Annotated[str, Field(description="Of the next certificate's key.")]
    expires: Annotated[datetime | None, Field(description="When the present one expires.")]
    will_expire: Annotated[datetime, Field(description="When the next one will expire, if it is issued now.")]
    offline: Annotated[bool, Field(description="Whether only the offline authority can issue it.")]


class PlannedAction(Piece):
    """What is to be done to one object, and why."""

    action: Annotated[Verb, Field(description="What is to be done.")]
    id: Annotated[str, Field(description="The object's id, as `status` names it.")]
    node: Annotated[str | None, Field(description="The node that it is for.")]
    part: Annotated[Part, Field(description="What kind of object it is.")]
    name: Annotated[str, Field(description="What the same object is called on every node.")]
    reason: Annotated[
        Reason | None, Field(description="How it differs from what must be; null where it does not.")
    ]
    details: Annotated[list[str], Field(description="What exactly differs, in words.")]
    paths: Annotated[list[str], Field(description="Its files, relative to the PKI directory.")]
    certificate: Annotated[
        PlannedCertificate | None, Field(description="Null for what is no certificate.")
    ] = None
    diff: Annotated[
        list[str],
        Field(description="The hunks of a unified diff of its first file; no secret is in it."),
    ]


class Advice(Piece):
    """What pkigen would make otherwise of an object that was adopted, and does once it is due."""

    id: Annotated[str, Field(description="The object's id.")]
    node: Annotated[str | None, Field(description="The node that it is for.")]
    reason: Annotated[Reason, Field(description="What differs.")]
    details: Annotated[list[str], Field(description="What exactly differs, in words.")]


class PlannedRestart(Piece):
    """One step of the restart map; the steps are in a safe order."""

    node: Annotated[str, Field(description="The node's name in the spec.")]
    component: Annotated[str, Field(description="What takes up its files.")]
    effect: Annotated[Effect, Field(description="How it does so.")]
    files: Annotated[list[str], Field(description="What it reads of what changed.")]
    member: Annotated[str | None, Field(description="The etcd member that is added, removed or moved.")]
    removes: Annotated[list[str], Field(description="Files of the node that go with this step.")]
    copies_in_turn: Annotated[bool, Field(description="Whether the node gets its files only at this step.")]
    commands: Annotated[list[str], Field(description="For a shell on the node.")]
    sentence: Annotated[str, Field(description="The step in words.")]


class Leftovers(Piece):
    """Files on a node that nothing reads any more."""

    node: Annotated[str, Field(description="The node's name in the spec.")]
    files: Annotated[list[str], Field(description="As the node knows them.")]


class PlannedInCluster(Piece):
    """A command that changes the running cluster; its paths are relative to the PKI directory."""

    action: Annotated[ClusterVerb, Field(description="What is done to the object.")]
    file: Annotated[str | None, Field(description="The manifest that is applied.")]
    kind: Annotated[str | None, Field(description="What kind of object is deleted or written again.")]
    name: Annotated[str | None, Field(description="The name of that object.")]
    namespace: Annotated[str | None, Field(description="Its namespace; null where it is in none.")]
    kubeconfig: Annotated[str, Field(description="Whose rights it needs.")]
    node: Annotated[str | None, Field(description="Where it has to run; null for here.")]
    command: Annotated[str, Field(description="The whole command, for a shell.")]

    @property
    def step(self) -> ClusterStep:
        """The command as the plan has it."""
        gone = None
        if self.kind is not None and self.name is not None:
            gone = ClusterObject(kind=self.kind, name=self.name, namespace=self.namespace)
        return ClusterStep(
            verb=self.action, file=self.file, object=gone, kubeconfig=self.kubeconfig, node=self.node
        )


class ChangedKey(Piece):
    """A key of the authority that is not the recorded one."""

    path: Annotated[str, Field(description="Relative to the PKI directory.")]
    difference: Annotated[AuthorityDifference, Field(description="How it differs.")]
    recorded: Annotated[
        str | None, Field(description="What identifies the recorded one; null where none is recorded.")
    ]
    found: Annotated[
        str | None, Field(description="What identifies the one that is there; null where none is.")
    ]


class AuthorityState(Piece):
    """The authority beside what is recorded of it."""

    is_new: Annotated[bool, Field(description="There is no authority here, and none is recorded.")]
    changes: Annotated[
        list[ChangedKey], Field(description="Keys that are not the recorded ones; empty where all are.")
    ]


class OfflineRequest(Piece):
    """The request that waits for an offline authority's answer."""

    number: Annotated[str, Field(description="The request's number.")]
    created: Annotated[datetime, Field(description="When it was made.")]
    certificates: Annotated[list[str], Field(description="Ids of the certificates that it asks for.")]


class ObservedDigest(Piece):
    """The digest of something that the plan was made from."""

    name: Annotated[str, Field(description="A file, relative to the PKI directory, or what else was read.")]
    digest: Annotated[
        str,
        Field(pattern=r"^[0-9a-f]+$", description="Of its content: the plan is stale once it differs."),
    ]


class PlannedSelection(Piece):
    """What `renew` or `rescue` was asked for."""

    within: Annotated[float | None, Field(description="Seconds; null for each one's own renewBefore.")]
    ids: Annotated[list[str], Field(description="Renewed whatever their age.")]
    only: Annotated[bool, Field(description="Whether nothing else is renewed.")]
    reuse_keys: Annotated[bool, Field(description="Whether certificates keep their keys.")]
    revived: Annotated[list[str], Field(description="CAs among them that may have expired: only `rescue`.")]


class PlannedStep(Piece):
    """The step of a rotation that `rotate` was asked for, and what was vouched for."""

    identifiers: Annotated[list[str], Field(description="What rotates.")]
    step: Annotated[RotationStep, Field(description="The step.")]
    distributed: Annotated[bool, Field(description="Whether every node is assumed to have the step before.")]
    live: Annotated[bool, Field(description="Whether the endpoints are looked at before the step.")]
    force: Annotated[bool, Field(description="Whether its risks are accepted.")]
    cross_sign: Annotated[bool, Field(description="Whether a CA certifies its successor at *prepare*.")]
    reuse_keys: Annotated[bool, Field(description="Whether leaf certificates keep their keys.")]
    premises: Annotated[list[str], Field(description="What is assumed because no file shows it.")]


class PlannedRollback(Piece):
    """The state that `rollback` goes back to."""

    backup: Annotated[str, Field(description="The backup of the first change that is undone.")]
    undoes: Annotated[list[str], Field(description="The backups of all of them, the newest first.")]


class PlannedRevocation(Piece):
    """One credential that is revoked, or not any more."""

    credential: Annotated[str, Field(description="X509SHA256=…, JTI=… or USER=….")]
    of: Annotated[str, Field(description="Whose it is.")]
    reason: Annotated[str, Field(description="Why, as it was given.")]
    revoked: Annotated[datetime, Field(description="When it was revoked.")]
    not_after: Annotated[datetime | None, Field(description="When it would end by itself.")] = None


class RevocationRequest(Piece):
    """What `access revoke` or `access unrevoke` was asked for."""

    revoked: Annotated[list[PlannedRevocation], Field(description="What is refused from now on.")]
    lifted: Annotated[list[PlannedRevocation], Field(description="What is accepted again.")]


class PlanDocument(Piece):
    """A pkigen plan."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["Plan"], Field(description="What this document is.")]
    cluster: Annotated[str, Field(description="The cluster's name.")]
    digest: Annotated[Digest, Field(description="SHA-256 over every other field.")]
    rotations: Annotated[dict[str, str], Field(description="The phases of rotations in progress.")]
    summary: Annotated[dict[str, int], Field(description="Numbers of objects, by what is to be done.")]
    actions: Annotated[list[PlannedAction], Field(description="What is done when the plan is applied.")]
    awaited: Annotated[list[PlannedAction], Field(description="What is due at the offline authority.")]
    waiting: Annotated[list[PlannedAction], Field(description="What nodes have to request first.")]
    advice: Annotated[
        list[Advice],
        Field(description="What was adopted, differs from what pkigen makes, and is kept until it is due."),
    ] = Field(default_factory=list)
    cautions: Annotated[list[str], Field(description="What must not be copied before its step.")]
    restarts: Annotated[
        list[PlannedRestart], Field(description="What then restarts or reloads on the nodes.")
    ]
    leftovers: Annotated[list[Leftovers], Field(description="What may be removed from the nodes.")]
    steps: Annotated[
        list[PlannedRolloutStep],
        Field(description="What is to be done on the nodes, as the runbook says it."),
    ] = Field(default_factory=list)
    in_cluster: Annotated[
        list[PlannedInCluster],
        Field(description="What is to be done in the running cluster then, in an order that is safe."),
    ] = Field(default_factory=list)
    expiry_spread: Annotated[
        int,
        Field(
            description="Up to how many percent of its validity each certificate gives up, so that those of "
            "many clusters do not all end on one day."
        ),
    ] = 0
    risks: Annotated[list[str], Field(description="Why --force is needed.")]
    not_judged: Annotated[list[str], Field(description="What the plan cannot know.")]
    withheld: Annotated[
        list[str],
        Field(description="Ids of what could not be judged without its private files."),
    ]
    authority: Annotated[AuthorityState, Field(description="Whether the CAs and keys are the recorded ones.")]
    observed: Annotated[list[ObservedDigest], Field(description="What the plan was made from.")]
    spec: Annotated[
        Digest | None,
        Field(description="SHA-256 of the spec that becomes the directory's cluster.yaml; null for its own."),
    ] = None
    request: Annotated[
        OfflineRequest | None,
        Field(description="What waits for the offline authority; null where nothing does."),
    ] = None
    selection: Annotated[
        PlannedSelection | None,
        Field(description="What `renew` or `rescue` was asked for; null for others."),
    ] = None

    rollback: Annotated[PlannedRollback | None, Field(description="What `rollback` was asked for.")] = None
    rotation: Annotated[PlannedStep | None, Field(description="What `rotate` was asked for.")] = None
    revocation: Annotated[
        RevocationRequest | None, Field(description="What is revoked, or not any more; null for others.")
    ] = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> Self:
        """The document of a structure that `structured.plan` has made.

        Raises:
            ValueError: It is another structure.
        """
        # By JSON, in which enums and times are texts, as in a file that is read.
        return cls.model_validate_json(json.dumps(content))


def plan_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a plan."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PlanDocument.model_json_schema(by_alias=True),
        "title": "pkigen plan, pkigen/v1",
    }
