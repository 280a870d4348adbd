#!/usr/bin/env python3
"""Write `pkigen/spec/feature_gates.json`: the feature gates of Kubernetes, and what each version takes.

    python scripts/feature_gates.py KUBERNETES

KUBERNETES is the source of `_NEWEST`; its own list (`_LIST`, which `hack/update-featuregates.sh` makes) says
of each gate since when there is one, and since when it is locked. What no list says stands here, with the
change that made it so.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    _Group = tuple[int, str, list[str]]

_DATA: Final = Path(__file__).parents[1] / "pkigen" / "spec" / "feature_gates.json"
_LIST: Final = "test/compatibility_lifecycle/reference/versioned_feature_list.yaml"
_NEWEST: Final = 36

# staging/src/k8s.io/client-go/features/known_features.go, which the list leaves out; featuregate itself has
# the two for all gates of a stage.
_UNLISTED: Final[dict[str, dict[str, Any]]] = {
    "AllAlpha": {"since": 0},
    "AllBeta": {"since": 0},
    "AtomicFIFO": {"since": 36},
    "ClientsAllowCARotation": {"since": 36},
    "ClientsAllowCBOR": {"since": 32},
    "ClientsAllowTLSCacheGC": {"since": 36},
    "ClientsPreferCBOR": {"since": 32},
    "InOrderInformers": {"since": 33, "locked": 36, "value": True},
    "InOrderInformersBatchProcess": {"since": 35},
    "InformerResourceVersion": {"since": 30},
    "UnlockWhileProcessingFIFO": {"since": 36},
    "WatchListClient": {"since": 30},
}
# Gone before `_NEWEST`: what v1.34's list has, and its own has not. Where no change is named, the version
# without it may be an earlier one.
_GONE: Final = (
    (
        36,
        "CHANGELOG-1.36 (kubernetes#135322, #135335, #136066)",
        [
            "CSIMigrationPortworx",
            "HonorPVReclaimPolicy",
            "InTreePluginPortworxUnregister",
            "WatchFromStorageWithoutResourceVersion",
        ],
    ),
    (
        36,
        "not in v1.36.2's list",
        [
            "APISelfSubjectReview",
            "AllowServiceLBStatusOnNonLB",
            "ComponentSLIs",
            "CronJobsScheduledAnnotation",
            "DevicePluginCDIDevices",
            "ElasticIndexedJob",
            "KMSv2",
            "KMSv2KDF",
            "LegacyServiceAccountTokenCleanUp",
            "LegacyServiceAccountTokenTracking",
            "LegacySidecarContainers",
            "LoadBalancerIPMode",
            "MemoryManager",
            "PersistentVolumeLastPhaseTransitionTime",
            "PodDisruptionConditions",
            "PodIndexLabel",
            "StructuredAuthorizationConfiguration",
            "ValidatingAdmissionPolicy",
        ],
    ),
)
_DRAFT: Final = "sig-release release-1.37/release-notes-draft.md"
# What v1.37 took away and locked, and what is known of v1.38, by its CHANGELOG up to v1.38.0-alpha.2.
_REMOVED: Final = (
    (
        37,
        "kubernetes#135336, #137755, #138907, #139217, #139520, #140226",
        [
            "APIServerTracing",
            "AnyVolumeDataSource",
            "BtreeWatchCache",
            "ConsistentListFromCache",
            "GangScheduling",
            "OrderedNamespaceDeletion",
            "PreventStaticPodAPIReferences",
            "RelaxedDNSSearchValidation",
            "ResilientWatchCacheInitialization",
            "RetryGenerateName",
            "SidecarContainers",
            "StreamingCollectionEncodingToJSON",
            "StreamingCollectionEncodingToProtobuf",
            "WorkloadAwarePreemption",
        ],
    ),
    (
        38,
        "kubernetes#141207, #141208, #141741, #141744, #141789, #141946",
        [
            "AggregatedDiscoveryRemoveBetaType",
            "CRDValidationRatcheting",
            "CustomResourceFieldSelectors",
            "DynamicResourceAllocation",
            "MatchLabelKeysInPodAffinity",
            "PodSchedulingReadiness",
            "SeparateTaintEvictionController",
        ],
    ),
)
# KEP-3257 and KEP-4317 say that theirs are locked, the release notes say it of the others; all to true but
# those of `_LOCKED_OFF`.
_LOCKED_OFF: Final = frozenset({"DeclarativeValidationTakeover"})
_LOCKED: Final = (
    (
        37,
        "kubernetes#139437 (KEP-3257), #139579 (KEP-4317), #139110, #139116, #139212",
        [
            "ClusterTrustBundle",
            "ClusterTrustBundleProjection",
            "DRAPrioritizedList",
            "DeclarativeValidationTakeover",
            "HostnameOverride",
            "PodCertificateRequest",
        ],
    ),
    (
        38,
        "kubernetes#139115, #140256, #142386",
        ["DRADeviceTaintRules", "DRADeviceTaints", "EnvFiles", "HPAGeneration"],
    ),
)
_ADDED: Final = (
    (
        37,
        _DRAFT,
        [
            "APIServerWebhookAuthenticationToken",
            "AtomicWriteVolumeUserFields",
            "CompositePodGroup",
            "ConsistentListFromCacheSkipTimeoutFallback",
            "DRADeviceCompatibilityGroups",
            "DefaultPodSysctls",
            "EtcdRangeStream",
            "ExcludeAdmissionWebhookVirtualResources",
            "HPAGeneration",
            "HugepageAwareEviction",
            "InPlacePodVerticalScalingMemoryBackedVolumes",
            "InPlacePodVerticalScalingSchedulerPreemption",
            "InterPodAffinityHostnameFastPath",
            "KubeProxyIPVS",
            "KubeletAllocatedPodsEndpoint",
            "NFTablesNetlink",
            "SchedulerPreQueueingHints",
        ],
    ),
    (
        38,
        "kubernetes#139561, #141616, #142196",
        ["CertificateSigningRequestMLDSA", "CloudNodeAdditionalLabelsReconciliation", "ManagedFieldsOptOut"],
    ),
)


def main() -> None:
    """Read the list and write the file."""
    gates = _gates(yaml.safe_load((Path(sys.argv[1]) / _LIST).read_text("utf-8")))
    changes = [*_changes("removed", (*_GONE, *_REMOVED)), *_changes("locked", _LOCKED)]
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(gates.items()))
    groups = ",\n".join(f"  {json.dumps(each)}" for each in changes)
    _DATA.write_text(f'{{\n "gates": {{\n{rows}\n }},\n "changes": [\n{groups}\n ]\n}}\n')


def _gates(listed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    gates = _UNLISTED | {each["name"]: _row(each["versionedSpecs"]) for each in listed}
    gone = dict(_by_gate(_GONE))
    _check(list(gone), absent_from=gates)
    gates |= {name: {"since": 0} for name in gone}
    gates |= {name: {"since": minor} for name, minor in _by_gate(_ADDED) if name not in gates}
    for name, minor in _by_gate((*_GONE, *_REMOVED)):
        gates[name]["removed"] = minor
    for name, minor in _by_gate(_LOCKED):
        gates[name] |= {"locked": minor, "value": name not in _LOCKED_OFF}
    return gates


def _by_gate(groups: Iterable[_Group]) -> Iterator[tuple[str, int]]:
    return ((name, minor) for minor, _, names in groups for name in names)


def _changes(what: str, groups: Iterable[_Group]) -> list[dict[str, Any]]:
    return [
        {"version": minor, "what": what, "gates": sorted(names), "source": source}
        for minor, source, names in groups
    ]


def _row(specs: list[dict[str, Any]]) -> dict[str, Any]:
    """Since when there is a gate, and since when it has one value alone."""
    # v1.0 stands for what was so before there was a gate.
    versions = [each for each in specs if each["version"] != "1.0"] or specs
    row: dict[str, Any] = {"since": _minor(versions[0]["version"])}
    for each in specs:
        if each["lockToDefault"]:
            row |= {"locked": _minor(each["version"]), "value": each["default"]}
    return row


def _minor(version: str) -> int:
    return int(version.removeprefix("1."))


def _check(names: list[str], *, absent_from: dict[str, Any]) -> None:
    """Stop if a gate is there that is said to be gone."""
    back = sorted(set(names) & absent_from.keys())
    if back:
        sys.exit(f"error: v1.{_NEWEST} still has {', '.join(back)}")


if __name__ == "__main__":
    main()
