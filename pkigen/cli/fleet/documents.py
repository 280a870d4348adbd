"""What the commands for fleets print with `-o json`, by `kind`.

The models are the published JSON Schema (`pkigen validate --schema fleet`, docs/fleet.schema.json).
Fields are only ever added to a version; who reads a document passes over those that it does not know.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from pkigen.cli.fleet.plans import ClusterState
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.rollout_document import Digest, Piece


class FileProblem(Piece):
    """What is wrong at a place of a file."""

    file: str
    line: Annotated[int, Field(description="From 1; 0 where the whole file is meant.")]
    column: int
    field: Annotated[str, Field(description="The path of the field; empty where it is none.")]
    message: str


class FailedCluster(Piece):
    """A cluster at which something failed; it stops no other."""

    cluster: str
    directory: Annotated[str | None, Field(description="Null where it is not known.")]
    message: str
    hint: str | None
    problems: list[FileProblem]


class PlannedCluster(Piece):
    """What is to be done at one cluster."""

    cluster: str
    directory: str
    state: Annotated[ClusterState, Field(description="`absent`: to be renewed, and not made yet.")]
    summary: Annotated[dict[str, int], Field(description="Numbers of objects, by what is to be done.")]
    risks: Annotated[list[str], Field(description="Why --force is needed.")]
    spec_changes: Annotated[bool, Field(description="Whether the directory gets another cluster.yaml.")]
    awaited: Annotated[int, Field(description="How many certificates are due at the offline authority.")]
    expiry_spread: Annotated[int, Field(description="In percent; 0 where expiries are not spread.")]
    notes: list[str]
    plan: Annotated[PlanDocument | None, Field(description="Null where nothing is to be done.")]


class FleetExpiries(Piece):
    """When the leaf certificates end that would be issued."""

    first: date
    last: date
    days: Annotated[int, Field(description="On how many days some of them end.")]
    most: Annotated[int, Field(description="How many of them end on one day.")]
    certificates: int


class FleetRenewal(Piece):
    """What `fleet renew` was asked for."""

    all: bool
    within: Annotated[float | None, Field(description="In seconds; null for each one's own renewBefore.")]
    reuse_keys: bool


class FleetPlanDocument(Piece):
    """`fleet plan`, and what `--save` writes: there each cluster is on a line of its own."""

    api_version: Literal["pkigen/v1"]
    kind: Literal["FleetPlan"]
    fleet: str
    file: Annotated[str, Field(description="The fleet, as it was named.")]
    time: datetime
    renewal: Annotated[FleetRenewal | None, Field(description="Null for `fleet plan`.")]
    clusters: list[PlannedCluster]
    summary: Annotated[dict[str, int], Field(description="Numbers of clusters by state, and `failed`.")]
    expiries: Annotated[FleetExpiries | None, Field(description="Null where none would be issued.")]
    failures: list[FailedCluster]
    digest: Annotated[Digest, Field(description="SHA-256 of all that stands before it in the file.")]


class AppliedCluster(Piece):
    """What was done at one cluster."""

    cluster: str
    directory: str
    state: Annotated[ClusterState, Field(description="`new`: made; `absent`: left out.")]
    issued: int
    capped: Annotated[int, Field(description="How many certificates end earlier, because their CA does.")]
    changes: int
    backup: Annotated[str | None, Field(description="Null where nothing was replaced.")]


class FleetAppliedDocument(Piece):
    """`fleet apply`, `fleet renew` and `fleet accept`."""

    api_version: Literal["pkigen/v1"]
    kind: Literal["FleetApplied"]
    fleet: str
    clusters: list[AppliedCluster]
    failures: list[FailedCluster]


class CertificateStatus(Piece):
    """A certificate or token, and how it is."""

    id: str
    node: Annotated[str | None, Field(description="Null where it is on no node.")]
    name: str
    path: str
    issuer: Annotated[str | None, Field(description="The CA; null for one that signs itself.")]
    expires: datetime | None
    effective_expiry: Annotated[datetime | None, Field(description="When it or a CA above it ends.")]
    residual_seconds: int | None
    reasons: Annotated[list[str], Field(description="Why it does not work, or differs; empty if neither.")]
    details: list[str]


class SignedStatus(Piece):
    """A certificate for a key that its owner keeps."""

    user: str
    groups: list[str]
    expires: datetime
    signed_by: str
    serial: str
    fingerprint: str


class ClusterStatus(Piece):
    """The status of one cluster."""

    api_version: Literal["pkigen/v1"]
    kind: Literal["Status"]
    cluster: str
    directory: str
    time: datetime
    certificates: list[CertificateStatus]
    rotations: Annotated[dict[str, str], Field(description="The phases of rotations in progress.")]
    signed: list[SignedStatus]


class FleetStatusDocument(Piece):
    """`fleet status`."""

    api_version: Literal["pkigen/v1"]
    kind: Literal["FleetStatus"]
    fleet: str
    time: datetime
    clusters: list[ClusterStatus]
    absent: Annotated[list[str], Field(description="Clusters that are not made yet.")]
    failures: list[FailedCluster]


class RequestingCluster(Piece):
    """What one cluster asks of the offline authority."""

    cluster: str
    directory: str
    certificates: int
    is_new: Annotated[bool, Field(description="False for a request that is pending already.")]


class FleetRequestedDocument(Piece):
    """`fleet request`."""

    api_version: Literal["pkigen/v1"]
    kind: Literal["FleetRequested"]
    fleet: str
    file: Annotated[str | None, Field(description="Null where nothing is requested.")]
    fingerprint: Annotated[str | None, Field(description="Of the file.")]
    clusters: list[RequestingCluster]
    failures: list[FailedCluster]


class FleetAnsweredDocument(Piece):
    """`airgap authority sign` of a fleet's requests."""

    api_version: Literal["pkigen/v1"]
    kind: Literal["FleetAnswered"]
    file: str
    clusters: list[str]
    signer: str
    failures: list[FailedCluster]


class FleetDocument(
    RootModel[
        Annotated[
            FleetPlanDocument
            | FleetAppliedDocument
            | FleetStatusDocument
            | FleetRequestedDocument
            | FleetAnsweredDocument,
            Field(discriminator="kind"),
        ]
    ]
):
    """Any of them."""


def fleet_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what the commands for fleets print."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FleetDocument.model_json_schema(by_alias=True),
        "title": "pkigen fleet, pkigen/v1",
    }
