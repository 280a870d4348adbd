"""What minor versions of Kubernetes change where pkigen writes something else for it, or says so.

`CHANGES` is the one table of it: a row for each change, with its source. Code asks a row whether it `holds`
in a version, and `scripts/reference.py` makes a page of all of them. Flags that come and go are in
`component_flags`, feature gates in `feature_gates`. What has no row is the same from v1.29 to v1.37.

v1.37 was looked at in its release notes (sig-release, 13 August 2026), the pull requests that they name, and
the output of its kubeadm; v1.38 in its CHANGELOG up to v1.38.0-alpha.2. Neither's source was at hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pkigen.records import dataclass
from pkigen.spec.feature_gates import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.spec.values import KubernetesVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """What changes from one minor version of Kubernetes 1 on, and what follows from it here."""

    since: int
    what: str
    """What is different in Kubernetes."""
    follows: str
    """What pkigen does about it."""
    touches: str
    """The outputs that it changes: files, flags, commands."""
    source: str

    def holds(self, version: KubernetesVersion) -> bool:
        """Whether that is so in a version."""
        return version.minor >= self.since


AUTHENTICATION_FILE: Final = VersionChange(
    since=30,
    what="API servers read AuthenticationConfiguration (v1beta1), and read a changed one again",
    follows="`spec.authentication` is refused before",
    touches="`authentication-config.yaml`, `--authentication-config`",
    source="kubernetes#123525 (KEP-3331)",
)
AUTHORIZATION_FILE_REPLACES_MODE: Final = VersionChange(
    since=30,
    what="`--authorization-mode` excludes `--authorization-config`",
    follows="the mode is left out where `extraArgs` name that file",
    touches="`--authorization-mode`",
    source="kubernetes#123654",
)
ETCD_READYZ: Final = VersionChange(
    since=31,
    what="etcd is probed at /livez and /readyz, and has a readiness probe",
    follows="likewise, from etcd 3.5.11 on, which serves them first",
    touches="`manifests/etcd.yaml`",
    source="kubernetes#124465, kubeadm#3039; etcd CHANGELOG-3.5",
)
ANONYMOUS_ENDPOINTS: Final = VersionChange(
    since=32,
    what="AuthenticationConfiguration may let in requests without a credential at named paths alone",
    follows="`spec.authentication.anonymous` is refused before",
    touches="`authentication-config.yaml`",
    source="KEP-4633, apiserver pkg/features (AnonymousAuthConfigurableEndpoints)",
)
SCHEDULER_LIVEZ: Final = VersionChange(
    since=32,
    what="the scheduler is probed at /livez and /readyz, and has a readiness probe",
    follows="likewise",
    touches="`manifests/kube-scheduler.yaml`",
    source="kubernetes#126945; manifests of v1.31.0 and v1.31.4 still have /healthz",
)
STRUCTURED_AUTHORIZATION: Final = VersionChange(
    since=32,
    what="AuthorizationConfiguration is stable (v1), and a client certificate has a credential id",
    follows="API servers authorize by a file, in which `revoke` names credentials; before, it is refused",
    touches="`authorization-config.yaml`, `--authorization-config`",
    source="KEP-3221, kubernetes#125634",
)
AUTHENTICATION_V1: Final = VersionChange(
    since=34,
    what="AuthenticationConfiguration is stable",
    follows="the file is `apiserver.config.k8s.io/v1`, before it v1beta1",
    touches="`authentication-config.yaml`",
    source="kubernetes#131752",
)
EGRESS_SELECTOR: Final = VersionChange(
    since=34,
    what="an issuer of tokens can be reached through an egress selector",
    follows="`issuer.egressSelectorType` is refused before",
    touches="`authentication-config.yaml`",
    source="apiserver pkg/features (StructuredAuthenticationConfigurationEgressSelector)",
)
PROBE_PORT: Final = VersionChange(
    since=34,
    what="probes name a container port, `probe-port`",
    follows="likewise",
    touches="`manifests/*.yaml`",
    source="kubernetes#132776",
)
REQUEST_HEADER_OVERLAP: Final = VersionChange(
    since=35,
    what="an API server whose `--client-ca-file` and `--requestheader-client-ca-file` share a certificate "
    "does not start without `--requestheader-allowed-names`",
    follows="names are always set; flags of one's own that ask for that are refused, before with a warning",
    touches="`--requestheader-allowed-names`; `validate`",
    source="kubernetes#131411",
)
IPVS_DEPRECATED: Final = VersionChange(
    since=35,
    what="kube-proxy's mode ipvs is deprecated; kubeadm of v1.37 warns of it",
    follows="a KubeProxyConfiguration with it beside a kubeadm configuration gets a warning",
    touches="`validate` and `init` of a kubeadm configuration",
    source="kubernetes#139067 (KEP-5495)",
)
CA_FILES_READ_AGAIN: Final = VersionChange(
    since=36,
    what="client-go reads the CA files by which it judges servers again every five minutes",
    follows="no restart is asked for where a kubeconfig or a flag names the CA by path, and the gate "
    "ClientsAllowCARotation is not off",
    touches="`plan` and `rotate` (restarts)",
    source="kubernetes#132922",
)
KUBEADM_V1BETA3_GONE: Final = VersionChange(
    since=37,
    what="kubeadm reads v1beta3 no more, and does not know the gates PublicKeysECDSA and NodeLocalCRISocket",
    follows="all are refused in a kubeadm configuration of that version, with the way out",
    touches="`init`, `apply` and `validate` of a kubeadm configuration; `adopt --kubeadm-config`",
    source="kubernetes#136016, #138645",
)
CLUSTER_TRUST_BUNDLE: Final = VersionChange(
    since=37,
    what="ClusterTrustBundle is stable (`certificates.k8s.io/v1`), and Pods can project it",
    follows="the CA of the API server is published as one",
    touches="`addons/cluster-trust-bundle.yaml`",
    source="kubernetes#139437 (KEP-3257)",
)
PROXY_MODE: Final = VersionChange(
    since=37,
    what="kube-proxy warns where no mode is set, and kubeadm sets iptables: the default is to be nftables "
    "(in v1.40, by KEP-5343)",
    follows="`mode: iptables` is written, which it is before without being said",
    touches="`kube-proxy/config.yaml` (`runtime: systemd`)",
    source="kubernetes#139957, #139777 (KEP-5343)",
)
POD_CERTIFICATES: Final = VersionChange(
    since=37,
    what="PodCertificateRequest is stable (`certificates.k8s.io/v1`), without `pkixPublicKey` and "
    "`proofOfPossession`",
    follows="nothing is written for it; its gate set to false is refused",
    touches="`validate` (`--feature-gates`)",
    source="kubernetes#139579 (KEP-4317)",
)
NOT_RELEASED: Final = VersionChange(
    since=38,
    what="not released when this pkigen was made: known up to v1.38.0-alpha.2 of its CHANGELOG",
    follows="a warning says so; what has no row is written as for v1.37",
    touches="`validate`",
    source="kubernetes CHANGELOG/CHANGELOG-1.38.md",
)
ML_DSA: Final = VersionChange(
    since=38,
    what="kubeadm, client-go and certificate requests take ML-DSA keys (Go 1.27), and the kubelet can ask for"
    " them; support in the API server and etcd may come later",
    follows="nothing yet: `keyAlgorithm: ML-DSA-…` stays refused, as etcd could not read it",
    touches="`certificates.keyAlgorithm`",
    source="kubernetes#142037, #142038, #142046, #142196",
)
KUBELET_NAMES: Final = VersionChange(
    since=38,
    what="planned, and in no CHANGELOG so far: with `--enable-kubelet-cert-cn-validation` API servers take a "
    "kubelet's serving certificate for `system:node:NAME` alone (alpha v1.37, beta v1.38 by the KEP)",
    follows="nothing is needed: kubelets' certificates have that name; the flag is refused as one that no "
    "release knows",
    touches="the kubelet's serving certificate",
    source="KEP-4872",
)

CHANGES: Final = (
    AUTHENTICATION_FILE,
    AUTHORIZATION_FILE_REPLACES_MODE,
    ETCD_READYZ,
    ANONYMOUS_ENDPOINTS,
    SCHEDULER_LIVEZ,
    STRUCTURED_AUTHORIZATION,
    AUTHENTICATION_V1,
    EGRESS_SELECTOR,
    PROBE_PORT,
    REQUEST_HEADER_OVERLAP,
    IPVS_DEPRECATED,
    CA_FILES_READ_AGAIN,
    KUBEADM_V1BETA3_GONE,
    CLUSTER_TRUST_BUNDLE,
    PROXY_MODE,
    POD_CERTIFICATES,
    NOT_RELEASED,
    ML_DSA,
    KUBELET_NAMES,
)

# The default tag of the etcd image (`DefaultEtcdVersion` in cmd/kubeadm/app/constants/constants.go), by the
# first minor and patch version that has it, ascending: release branches changed it in patch releases.
ETCD_TAGS: Final = (
    # v1.29.0 to v1.32.0: minikube's generated pkg/minikube/constants/constants_kubeadm_images.go.
    ((29, 0), "3.5.10-0"),
    ((29, 3), "3.5.12-0"),
    ((29, 9), "3.5.15-0"),
    ((30, 0), "3.5.12-0"),
    ((30, 5), "3.5.15-0"),
    ((31, 0), "3.5.15-0"),
    # kubernetes#135020, #135019 and #135018 (November 2025), in the next patch release of each branch;
    # published image lists show 3.5.24-0 for v1.31.14, v1.32.13 and v1.33.7, and 3.5.21-0 for v1.33.5.
    ((31, 14), "3.5.24-0"),
    ((32, 0), "3.5.16-0"),
    ((32, 10), "3.5.24-0"),
    ((33, 0), "3.5.21-0"),
    ((33, 6), "3.5.24-0"),
    # Published image lists: 3.6.4-0 for v1.34.1, 3.6.5-0 for v1.34.3, v1.34.9 and v1.34.10.
    ((34, 0), "3.6.4-0"),
    ((34, 2), "3.6.5-0"),
    # Published image lists for v1.35.0, v1.35.2 and v1.35.8.
    ((35, 0), "3.6.6-0"),
    # The source of v1.36.2; published image lists for v1.36.1 and v1.36.5.
    ((36, 0), "3.6.8-0"),
    # kubernetes#140333; `kubeadm config images list` of v1.37.0 and v1.37.1.
    ((37, 0), "3.7.0-0"),
    # kubernetes#141032, merged for v1.38.
    ((38, 0), "3.7.1-0"),
)
# etcd's CHANGELOG-3.5. kubeadm does not look: an older etcd would be restarted for ever, for want of /livez.
_READYZ_IN_ETCD_SINCE: Final = (3, 5, 11)
# kubernetes#132838: etcd 3.6 deprecated the experimental flags, 3.7 refuses them. kubeadm v1.34 and v1.35 ask
# the etcd version, as here; before, kubeadm always wrote the old ones, since v1.36 the new ones (#135701).
ETCD_FEATURE_GATES_SINCE: Final = (3, 6, 0)

_TAG: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\D.*)?")
_SOME_LATE_PATCH: Final = "99"


class ProbePaths(NamedTuple):
    """The paths that the kubelet probes."""

    liveness: str
    readiness: str | None
    startup: str


def etcd_tag(version: KubernetesVersion) -> str:
    """The tag of the etcd image that belongs to a version of Kubernetes."""
    # Tuples compare minor first: a patch release of an older branch takes that branch's own last row.
    known = [tag for since, tag in ETCD_TAGS if since <= (version.minor, version.patch)]
    return known[-1]


def etcd_has_feature_gates(version: KubernetesVersion, tag: str | None) -> bool:
    """Whether etcd takes `--feature-gates` instead of `--experimental-…` flags.

    Args:
        version: Of Kubernetes.
        tag: The spec's own tag of the etcd image; one that is no version says nothing.
    """
    return _etcd_version(version, tag) >= ETCD_FEATURE_GATES_SINCE


def _etcd_version(version: KubernetesVersion, tag: str | None) -> tuple[int, ...]:
    return tag_version(tag) or tag_version(etcd_tag(version))


def tag_version(tag: str | None) -> tuple[int, ...]:
    """The version that an image's tag names; a late patch where it names none, empty where it is none."""
    match = _TAG.fullmatch(tag or "")
    return tuple(map(int, match.groups(_SOME_LATE_PATCH))) if match else ()


def etcd_probes(version: KubernetesVersion, tag: str | None) -> ProbePaths:
    """The probes of etcd.

    Args:
        version: Of Kubernetes.
        tag: The spec's own tag of the etcd image; one that is no version says nothing.
    """
    if ETCD_READYZ.holds(version) and _etcd_version(version, tag) >= _READYZ_IN_ETCD_SINCE:
        return ProbePaths("/livez", "/readyz", "/readyz")
    return ProbePaths("/health?exclude=NOSPACE&serializable=true", None, "/health?serializable=false")


def scheduler_probes(version: KubernetesVersion) -> ProbePaths:
    """The probes of the scheduler."""
    if SCHEDULER_LIVEZ.holds(version):
        return ProbePaths("/livez", "/readyz", "/livez")
    return ProbePaths("/healthz", None, "/healthz")


def client_go_reads_ca_files_again(version: KubernetesVersion, gates: Iterable[str]) -> bool:
    """Whether a component takes up another CA that it verifies servers with while it runs.

    Args:
        version: Of Kubernetes.
        gates: The values of its `--feature-gates`, in order.
    """
    given = chosen(gates)
    # A gate that is named counts more than all of its stage (component-base `featuregate`).
    named = given.get("ClientsAllowCARotation", given.get("AllBeta", True))
    return CA_FILES_READ_AGAIN.holds(version) and named
