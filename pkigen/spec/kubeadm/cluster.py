"""A ClusterConfiguration as the model's `spec`."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.notation import format_duration
from pkigen.spec.certificates import KubeadmCA
from pkigen.spec.kubeadm.nodes import nodes_of
from pkigen.spec.kubeadm.treatments import CLUSTER, GATES_GONE, KNOWN_GATES
from pkigen.spec.translation import quote, suggestion, value_kind
from pkigen.spec.values import parse_period, parse_version
from pkigen.spec.yaml_nodes import (
    MappingNode,
    YAMLNode,
    child,
    copy_entry,
    entries_below,
    mapping,
    scalar,
    sequence,
    split_text,
)

if TYPE_CHECKING:
    from pkigen.spec.dialects import HostFacts
    from pkigen.spec.kubeadm.documents import Documents
    from pkigen.spec.kubeadm.notes import Notes
    from pkigen.spec.values import KubernetesVersion

_DEFAULT_VALIDITY: Final = "8760h"
_DEFAULT_CA_VALIDITY: Final = "87600h"
_EXAMPLE_VERSION: Final = "v1.36.2"
_RELEASE = re.compile(r"v?[0-9].*")
_BUCKET = re.compile(r"(?:(release|ci)/)?(.*)", re.DOTALL)  # K/util/version.go, kubeBucketPrefixes
_DEFAULT_REPOSITORY: Final = "registry.k8s.io"
_CI_REPOSITORY: Final = "gcr.io/k8s-staging-ci-images"
_GO_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_GO_DURATION = re.compile(rf"(?:{_GO_DURATION_PART.pattern})+")  # time.ParseDuration
_SECONDS: Final = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_LONGEST_DURATION: Final = 60
_MOST_SECONDS: Final = 10**10
_ASKS_INTERNET = (
    f"kubeadm would look it up on the internet: write an exact version such as {_EXAMPLE_VERSION}"
)


def spec_of(cluster: MappingNode, found: Documents, host: HostFacts, notes: Notes) -> YAMLNode:
    """The model's `spec`: what the ClusterConfiguration says, and of the others' what concerns every node."""
    entries: dict[str, YAMLNode] = {}
    version = _version(cluster, notes)
    if version is not None:
        entries["kubernetesVersion"] = version
    for key in ("controlPlaneEndpoint", "imageRepository", "controllerManager", "scheduler"):
        copy_entry(cluster, key, entries, key)
    port = child(found.init, "localAPIEndpoint", "bindPort")
    server = {key: value for key, (_, value) in entries_below(child(cluster, "apiServer")).items()}
    # v1beta3 has it in the API server's section, v1beta4 beside other timeouts; it is every component's.
    timeout = server.pop("timeoutForControlPlane", None) or child(
        found.init, "timeouts", "controlPlaneComponentHealthCheck"
    )
    if timeout is not None:
        entries["startupTimeout"] = _in_whole_units(timeout)
    if port is not None:
        server["bindPort"] = port
    # As kubeadm has it; who wants the file names it in extraArgs.
    server["structuredAuthorization"] = scalar(value=False, at=cluster)
    entries["apiServer"] = mapping(
        server, at=child(cluster, "apiServer") or cluster, shown=f"{CLUSTER}.apiServer"
    )
    entries["networking"] = _networking(cluster)
    entries["etcd"] = _etcd(cluster, notes)
    _image_repositories(cluster, entries)
    entries["certificates"] = _certificates(cluster, notes)
    entries["nodes"] = nodes_of(cluster, found, host, notes)
    return mapping(entries, at=cluster, shown=CLUSTER)


def _version(cluster: MappingNode, notes: Notes) -> YAMLNode | None:
    """The version, where it is one: for a label kubeadm asks the internet."""
    version = child(cluster, "kubernetesVersion")
    path = f"{CLUSTER}.kubernetesVersion"
    if version is None:
        notes.absences["spec", "kubernetesVersion"] = (path, f"is missing, and {_ASKS_INTERNET}")
    if version is None or not isinstance(version.value, str):
        return version
    _, exact = _in_bucket(version.value)
    if not _RELEASE.fullmatch(exact):
        notes.add_problem(version, path, f"{quote(version.value)} is a label, and {_ASKS_INTERNET}")
        exact = _EXAMPLE_VERSION
    return replace(version, value=exact)


def release_of(cluster: MappingNode) -> KubernetesVersion | None:
    """The release that a ClusterConfiguration names; None where it names none that pkigen knows."""
    version = child(cluster, "kubernetesVersion")
    try:
        return parse_version(_in_bucket(str(version.value))[1]) if version is not None else None
    except ValueError:
        return None  # the model says what is wrong


def _in_bucket(version: str) -> tuple[str | None, str]:
    """Whether a version is one of `release/` or of `ci/`, and the version itself."""
    match = _BUCKET.fullmatch(version)
    return (match[1], match[2]) if match else (None, version)


def _image_repositories(cluster: MappingNode, entries: dict[str, YAMLNode]) -> None:
    """Builds of Kubernetes' CI have images of their own, but for etcd's (K/util/config/common.go)."""
    given, version = child(cluster, "imageRepository"), child(cluster, "kubernetesVersion")
    is_default = given is None or given.value == _DEFAULT_REPOSITORY
    if version is not None and is_default and _in_bucket(str(version.value))[0] == "ci":
        entries["imageRepository"] = scalar(_CI_REPOSITORY, at=version, shown=version.shown)
        etcd = entries_below(entries["etcd"])
        if not {"external", "imageRepository"} & etcd.keys():
            values = {key: value for key, (_, value) in etcd.items()}
            values["imageRepository"] = scalar(_DEFAULT_REPOSITORY, at=version, shown=version.shown)
            entries["etcd"] = mapping(values, at=entries["etcd"], shown=entries["etcd"].shown)


def _networking(cluster: MappingNode) -> YAMLNode:
    """Subnets, which kubeadm has as one text with commas, as lists."""
    given = child(cluster, "networking")
    entries: dict[str, YAMLNode] = {}
    copy_entry(given, "dnsDomain", entries, "dnsDomain")
    for old, new in (("serviceSubnet", "serviceSubnets"), ("podSubnet", "podSubnets")):
        subnets = child(given, old)
        if subnets is not None:
            entries[new] = sequence(split_text(subnets), at=subnets, shown=subnets.shown)
    return mapping(entries, at=given or cluster, shown=f"{CLUSTER}.networking")


def _etcd(cluster: MappingNode, notes: Notes) -> YAMLNode:
    """The settings of members, or an external etcd: kubeadm takes one of the two."""
    local, external = child(cluster, "etcd", "local"), child(cluster, "etcd", "external")
    if external is None:
        return local or mapping({}, at=cluster)
    if local is not None:
        notes.add_problem(
            external, f"{CLUSTER}.etcd.external", "cannot be combined with etcd.local: keep one of them"
        )
    return mapping({"external": external}, at=external)


def _certificates(cluster: MappingNode, notes: Notes) -> YAMLNode:
    """The settings of certificates, with kubeadm's defaults where pkigen's are others."""
    entries: dict[str, YAMLNode] = {
        # kubeadm's default (apis/kubeadm `EncryptionAlgorithmRSA2048`); pkigen's own is ECDSA.
        "keyAlgorithm": scalar(KeyAlgorithm.RSA_2048, at=cluster),
        "distributeCAKeys": _own_cas(cluster),
    }
    copy_entry(cluster, "certificatesDir", entries, "directory")
    copy_entry(cluster, "encryptionAlgorithm", entries, "keyAlgorithm")
    for old, new in (
        ("caCertificateValidityPeriod", "caValidity"),
        ("certificateValidityPeriod", "validity"),
    ):
        period = child(cluster, old)
        if period is not None:
            entries[new] = _in_whole_units(period)
    entries |= _gated(cluster, notes)
    # kubeadm lets it pass, and makes leaves that fail with their CA; the model refuses it.
    leaf, authority = entries.get("validity"), entries.get("caValidity")
    if _is_longer(leaf, authority):
        if leaf is not None:
            what = "is longer than the CA's: no certificate outlives its CA, so the CA's is used"
            notes.add_warning(leaf, f"{CLUSTER}.certificateValidityPeriod", what)
        elif authority is not None:
            what = (
                f"is shorter than what leaves have by default ({_DEFAULT_VALIDITY}): it is used for them, too"
            )
            notes.add_warning(authority, f"{CLUSTER}.caCertificateValidityPeriod", what)
        entries["validity"] = authority or scalar(_DEFAULT_CA_VALIDITY, at=leaf or cluster)
    return mapping(entries, at=cluster)


def _gated(cluster: MappingNode, notes: Notes) -> dict[str, YAMLNode]:
    """What kubeadm's feature gates say of keys; the others are about a run of kubeadm."""
    entries: dict[str, YAMLNode] = {}
    release = release_of(cluster)
    for name, (key, value) in entries_below(child(cluster, "featureGates")).items():
        here = f"{CLUSTER}.featureGates.{name[:60]}"
        if release is not None and release.minor >= GATES_GONE.get(name, release.minor + 1):
            instead = "; encryptionAlgorithm is in its place" if name == "PublicKeysECDSA" else ""
            what = f"is unknown to the kubeadm of v1.{release.minor}, which refuses it: remove it{instead}"
            notes.add_problem(key, here, what)
        elif not isinstance(value.value, bool):
            notes.add_problem(value, here, f"must be true or false, not {value_kind(value)}")
        elif name == "PublicKeysECDSA":
            entries["keyAlgorithm"] = _gated_algorithm(cluster, key, value, here, notes)
        elif name in KNOWN_GATES:
            notes.add_warning(key, here, "is not used: it is about a run of kubeadm")
        else:
            near = suggestion(name, KNOWN_GATES) or "; remove it"
            notes.add_warning(key, here, f"is not used: kubeadm of v1.36 stops at a gate of that name{near}")
    return entries


def _own_cas(cluster: MappingNode) -> YAMLNode:
    """All whose keys kubeadm has: its `join` of a control-plane node signs with them (phases/certs)."""
    external = child(cluster, "etcd", "external") is not None
    names = [name for name in KubeadmCA if not (external and name is KubeadmCA.ETCD)]
    return sequence([scalar(name, at=cluster) for name in names], at=cluster)


def _gated_algorithm(
    cluster: MappingNode, key: YAMLNode, gate: YAMLNode, path: str, notes: Notes
) -> YAMLNode:
    """The deprecated gate counts more than the field, set either way (types.go, EncryptionAlgorithmType)."""
    meant = KeyAlgorithm.ECDSA_P256 if gate.value else KeyAlgorithm.RSA_2048
    field_ = child(cluster, "encryptionAlgorithm")
    if field_ is not None and field_.value != meant:
        notes.add_warning(
            key, path, f"takes precedence over encryptionAlgorithm, as with kubeadm: keys are {meant}"
        )
    return scalar(meant, at=gate, shown=path)


def _in_whole_units(period: YAMLNode) -> YAMLNode:
    """A Go duration such as `1.5h` or `60000ms` as the model writes it; anything else as it is."""
    text = period.value if isinstance(period.value, str) and len(period.value) <= _LONGEST_DURATION else ""
    if not _GO_DURATION.fullmatch(text):
        return period
    # Decimals: in floats 1.1h are no whole seconds.
    seconds = sum(Decimal(number) * _SECONDS[unit] for number, unit in _GO_DURATION_PART.findall(text))
    if seconds != int(seconds) or not 0 < seconds < _MOST_SECONDS:
        return period
    return replace(period, value=format_duration(timedelta(seconds=int(seconds))))


def _is_longer(leaf: YAMLNode | None, authority: YAMLNode | None) -> bool:
    """Whether a leaf is to outlive its CA."""
    try:
        return parse_period(_DEFAULT_VALIDITY if leaf is None else leaf.value) > parse_period(
            _DEFAULT_CA_VALIDITY if authority is None else authority.value
        )
    except ValueError:
        return False  # the model says what is wrong
