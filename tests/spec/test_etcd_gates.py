"""Feature gates of etcd in `extraArgs`, by the version of etcd."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, loaded, problems, spec, warnings


def etcd(version: str, *arguments: tuple[str, str], more: str = "") -> str:
    given = ", ".join(f"{{name: {name}, value: '{value}'}}" for name, value in arguments)
    return spec(f"  etcd: {{extraArgs: [{given}]{more}}}\n").replace("v1.36.2", version)


def gates(version: str, value: str, more: str = "") -> str:
    return etcd(version, ("feature-gates", value), more=more)


AT = "spec.etcd.extraArgs[0].value: "
OLD, NEW = "v1.36.2", "v1.37.0"
PERSIST = "LeaseCheckpointPersist=true"
CORRUPT = ("experimental-initial-corrupt-check", "true")
REFUSED = [
    case(
        "not-there-yet",
        gates(OLD, "PriorityRequest=true"),
        f"7:51: {AT}'PriorityRequest' is a feature gate of etcd from 3.7 on, and etcd stops when it is given "
        "before: remove it",
    ),
    case(
        "not-in-an-etcd-of-ones-own",
        gates(NEW, "FastLeaseKeepAlive=true", ", imageTag: 3.6.8-0"),
        f"7:51: {AT}'FastLeaseKeepAlive' is a feature gate of etcd from 3.7 on",
    ),
    case(
        "neither", gates(OLD, "CompactHashCheck=on"), f"7:51: {AT}'CompactHashCheck' must be set to true or"
    ),
    case("no-value", gates(OLD, "CompactHashCheck"), f"7:51: {AT}'CompactHashCheck' must be set to true or"),
    case(
        "without-what-it-needs",
        gates(OLD, PERSIST),
        f"7:51: {AT}LeaseCheckpointPersist needs the feature gate LeaseCheckpoint beside it, else etcd stops",
    ),
    case(
        "without-what-it-needs-although-all-are-on",
        gates(OLD, f"{PERSIST},AllAlpha=true,LeaseCheckpoint=false"),
        f"7:51: {AT}LeaseCheckpointPersist needs the feature gate LeaseCheckpoint beside it",
    ),
    case(
        "without-what-it-needs-by-the-other-flag",
        etcd(OLD, ("experimental-enable-lease-checkpoint-persist", "true")),
        f"7:82: {AT}LeaseCheckpointPersist needs the feature gate LeaseCheckpoint beside it",
    ),
    case(
        "twice-the-same",
        etcd(
            OLD, ("feature-gates", "CompactHashCheck=true"), ("experimental-compact-hash-check-enabled", "1")
        ),
        "7:84: spec.etcd.extraArgs[1].name: --experimental-compact-hash-check-enabled excludes the feature "
        "gate CompactHashCheck, and etcd stops: set the gate alone",
    ),
    case(
        "twice-with-pkigens-own",
        etcd(OLD, CORRUPT),
        "7:29: spec.etcd.extraArgs[0].name: --experimental-initial-corrupt-check excludes the feature gate "
        "InitialCorruptCheck, which pkigen sets, and etcd stops",
    ),
]
TAKEN = [
    case("known", gates(OLD, "CompactHashCheck=true, SetMemberLocalAddr=F")),
    case("known-later", gates(NEW, "PriorityRequest=true")),
    case("all", gates(OLD, "AllAlpha=true,AllBeta=false")),
    case("with-what-it-needs", gates(OLD, f"{PERSIST},LeaseCheckpoint=true")),
    case("with-all-of-its-stage", gates(OLD, f"{PERSIST},AllAlpha=true")),
    case(
        "with-what-it-needs-by-flags",
        etcd(
            OLD,
            ("experimental-enable-lease-checkpoint", "true"),
            ("experimental-enable-lease-checkpoint-persist", "true"),
        ),
    ),
    case("off", gates(OLD, "LeaseCheckpointPersist=false")),
    case("any-version", gates(OLD, "PriorityRequest=true", ", imageTag: ours")),
    case("allowed", gates(OLD, "PriorityRequest=true") + "  allowUnknownFlags: true\n"),
    case("another-flag", etcd(OLD, ("experimental-compact-hash-check-enabled", "true"))),
    case("before-there-were-gates", etcd("v1.33.7", CORRUPT)),
    case("a-record", etcd(OLD, CORRUPT) + "  manage: []\n"),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_refused(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "_expected"), TAKEN)
def test_taken(source: str, _expected: tuple[str, ...]) -> None:
    assert not loaded(source).warnings


def test_what_is_not_known_is_warned_of() -> None:
    found = warnings(gates(OLD, "CompactHashChek=true,Novelty=true"))
    wanted = (
        f"7:51: {AT}'CompactHashChek' is no feature gate of etcd that pkigen knows; did you mean Compact",
        f"7:51: {AT}'Novelty' is no feature gate of etcd that pkigen knows; etcd stops if it does not",
    )
    assert_starts(found, wanted)
