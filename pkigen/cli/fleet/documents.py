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

    file: Annotated[str, Field(description="The file's name.")]
    line: Annotated[int, Field(description="From 1; 0 where the whole file is meant.")]
    column: Annotated[int, Field(description="From 1; 0 where the whole line is meant.")]
    field: Annotated[str, Field(description="The path of the field; empty where it is none.")]
    message: Annotated[str, Field(description="What is wrong, in words.")]


class FailedCluster(Piece):
    """A cluster at which something failed; it stops no other."""

    cluster: Annotated[str, Field(description="Its name in the fleet.")]
    directory: Annotated[str | None, Field(description="Null where it is not known.")]
    message: Annotated[str, Field(description="What failed, in words.")]
    hint: Annotated[str | None, Field(description="What to do about it; null where nothing is known.")]
    problems: Annotated[
        list[FileProblem],
        Field(description="Where it failed, by file and line; empty where no file is to blame."),
    ]


class PlannedCluster(Piece):
    """What is to be done at one cluster."""

    cluster: Annotated[str, Field(description="Its name in the fleet.")]
    directory: Annotated[str, Field(description="Its PKI directory.")]
    state: Annotated[ClusterState, Field(description="`absent`: to be renewed, and not made yet.")]
    summary: Annotated[dict[str, int], Field(description="Numbers of objects, by what is to be done.")]
    risks: Annotated[list[str], Field(description="Why --force is needed.")]
    spec_changes: Annotated[bool, Field(description="Whether the directory gets another cluster.yaml.")]
    awaited: Annotated[int, Field(description="How many certificates are due at the offline authority.")]
    expiry_spread: Annotated[int, Field(description="In percent; 0 where expiries are not spread.")]
    notes: Annotated[list[str], Field(description="What the plan says beside what it does.")]
    plan: Annotated[PlanDocument | None, Field(description="Null where nothing is to be done.")]


class FleetExpiries(Piece):
    """When the leaf certificates end that would be issued."""

    first: Annotated[date, Field(description="The first day on which one ends, UTC.")]
    last: Annotated[date, Field(description="The last day, UTC.")]
    days: Annotated[int, Field(description="On how many days some of them end.")]
    most: Annotated[int, Field(description="How many of them end on one day.")]
    certificates: Annotated[int, Field(description="How many they are.")]


class FleetRenewal(Piece):
    """What `fleet renew` was asked for."""

    all: Annotated[bool, Field(description="Whether every leaf certificate is renewed.")]
    within: Annotated[float | None, Field(description="In seconds; null for each one's own renewBefore.")]
    reuse_keys: Annotated[bool, Field(description="Whether certificates keep their keys.")]


class FleetPlanDocument(Piece):
    """`fleet plan`, and what `--save` writes: there each cluster is on a line of its own."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["FleetPlan"], Field(description="What this document is.")]
    fleet: Annotated[str, Field(description="The fleet's name.")]
    file: Annotated[str, Field(description="The fleet, as it was named.")]
    time: Annotated[datetime, Field(description="When the plan was made.")]
    renewal: Annotated[FleetRenewal | None, Field(description="Null for `fleet plan`.")]
    clusters: Annotated[
        list[PlannedCluster], Field(description="Those that could be planned, in the fleet's order.")
    ]
    summary: Annotated[dict[str, int], Field(description="Numbers of clusters by state, and `failed`.")]
    expiries: Annotated[FleetExpiries | None, Field(description="Null where none would be issued.")]
    failures: Annotated[list[FailedCluster], Field(description="Those that could not.")]
    digest: Annotated[Digest, Field(description="SHA-256 of all that stands before it in the file.")]


class AppliedCluster(Piece):
    """What was done at one cluster."""

    cluster: Annotated[str, Field(description="Its name in the fleet.")]
    directory: Annotated[str, Field(description="Its PKI directory.")]
    state: Annotated[ClusterState, Field(description="`new`: made; `absent`: left out.")]
    issued: Annotated[int, Field(description="How many certificates were issued.")]
    capped: Annotated[int, Field(description="How many certificates end earlier, because their CA does.")]
    changes: Annotated[int, Field(description="How many objects changed.")]
    backup: Annotated[str | None, Field(description="Null where nothing was replaced.")]


class FleetAppliedDocument(Piece):
    """`fleet apply`, `fleet renew` and `fleet accept`."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["FleetApplied"], Field(description="What this document is.")]
    fleet: Annotated[str, Field(description="The fleet's name.")]
    clusters: Annotated[list[AppliedCluster], Field(description="Those at which it was done.")]
    failures: Annotated[list[FailedCluster], Field(description="Those at which it failed.")]


class CertificateStatus(Piece):
    """A certificate or token, and how it is."""

    id: Annotated[str, Field(description="Its id.")]
    node: Annotated[str | None, Field(description="Null where it is on no node.")]
    name: Annotated[str, Field(description="What the same object is called on every node.")]
    path: Annotated[str, Field(description="Its file, relative to the PKI directory.")]
    issuer: Annotated[str | None, Field(description="The CA; null for one that signs itself.")]
    expires: Annotated[
        datetime | None,
        Field(description="When it ends; null where there is none, or what is there cannot be read."),
    ]
    effective_expiry: Annotated[datetime | None, Field(description="When it or a CA above it ends.")]
    residual_seconds: Annotated[
        int | None, Field(description="Until it ends; below 0 once it has; null where that is not known.")
    ]
    reasons: Annotated[list[str], Field(description="Why it does not work, or differs; empty if neither.")]
    details: Annotated[list[str], Field(description="What exactly differs, in words.")]


class SignedStatus(Piece):
    """A certificate for a key that its owner keeps."""

    user: Annotated[str, Field(description="The common name.")]
    groups: Annotated[list[str], Field(description="The organizations.")]
    expires: Annotated[datetime, Field(description="When it ends.")]
    signed_by: Annotated[str, Field(description="`pkigen`, or the signer of the cluster itself.")]
    serial: Annotated[str, Field(description="The serial number, in hexadecimal.")]
    fingerprint: Annotated[str, Field(description="Its SHA-256.")]


class ClusterStatus(Piece):
    """The status of one cluster."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["Status"], Field(description="What this document is.")]
    cluster: Annotated[str, Field(description="The cluster's name.")]
    directory: Annotated[str, Field(description="Its PKI directory.")]
    time: Annotated[datetime, Field(description="What residual times are counted from.")]
    certificates: Annotated[
        list[CertificateStatus], Field(description="All that are in the directory, and are to be.")
    ]
    rotations: Annotated[dict[str, str], Field(description="The phases of rotations in progress.")]
    signed: Annotated[list[SignedStatus], Field(description="Certificates for keys that their owners keep.")]


class FleetStatusDocument(Piece):
    """`fleet status`."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["FleetStatus"], Field(description="What this document is.")]
    fleet: Annotated[str, Field(description="The fleet's name.")]
    time: Annotated[datetime, Field(description="What residual times are counted from.")]
    clusters: Annotated[list[ClusterStatus], Field(description="Those that could be read.")]
    absent: Annotated[list[str], Field(description="Clusters that are not made yet.")]
    failures: Annotated[list[FailedCluster], Field(description="Those that could not.")]


class RequestingCluster(Piece):
    """What one cluster asks of the offline authority."""

    cluster: Annotated[str, Field(description="Its name in the fleet.")]
    directory: Annotated[str, Field(description="Its PKI directory.")]
    certificates: Annotated[int, Field(description="How many it asks for.")]
    is_new: Annotated[bool, Field(description="False for a request that is pending already.")]


class FleetRequestedDocument(Piece):
    """`fleet request`."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["FleetRequested"], Field(description="What this document is.")]
    fleet: Annotated[str, Field(description="The fleet's name.")]
    file: Annotated[str | None, Field(description="Null where nothing is requested.")]
    fingerprint: Annotated[str | None, Field(description="Of the file.")]
    clusters: Annotated[list[RequestingCluster], Field(description="Those that ask for something.")]
    failures: Annotated[list[FailedCluster], Field(description="Those at which it failed.")]


class FleetAnsweredDocument(Piece):
    """`airgap authority sign` of a fleet's requests."""

    api_version: Annotated[Literal["pkigen/v1"], Field(description="The version of this format.")]
    kind: Annotated[Literal["FleetAnswered"], Field(description="What this document is.")]
    file: Annotated[str, Field(description="The answers, in one file.")]
    clusters: Annotated[list[str], Field(description="Those that are answered.")]
    signer: Annotated[str, Field(description="The fingerprint of the key that signed the file.")]
    failures: Annotated[list[FailedCluster], Field(description="Those that are refused.")]


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
