"""kubeadm's types as tables: for each field, whether pkigen takes it over, or why not.

From `cmd/kubeadm/app/apis/kubeadm/v1beta3/types.go` and `v1beta4/types.go` of Kubernetes 1.36.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass
from pkigen.spec.dialects import KUBEADM_NEWEST, KUBEADM_V1BETA3
from pkigen.spec.versions import KUBEADM_V1BETA3_GONE

if TYPE_CHECKING:
    from collections.abc import Mapping

INIT: Final = "InitConfiguration"
CLUSTER: Final = "ClusterConfiguration"
JOIN: Final = "JoinConfiguration"


@dataclass(frozen=True, slots=True)
class Taken:
    """A value that the model has a place for; the model decides about it."""


@dataclass(frozen=True, slots=True)
class TakenEvenEmpty(Taken):
    """A value whose empty text says something: a flag may be set to nothing."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A field that kubeadm knows and pkigen does not follow."""

    why: str


@dataclass(frozen=True, slots=True)
class Each:
    """A list of mappings."""

    fields: Fields
    wanted: str = "a list"


@dataclass(frozen=True, slots=True)
class Flags:
    """v1beta3's mapping of flags to values."""

    wanted: str = "a mapping of flags to values (the list is v1beta4's)"


@dataclass(frozen=True, slots=True)
class Gates:
    """A mapping of feature gates to whether they are on."""


Treatment = Taken | Ignored | Each | Flags | Gates | dict[str, "Treatment"]
Fields = dict[str, Treatment]

_TAKEN = Taken()
_FLAGS = Flags()
_RUN = Ignored("it is about a run of kubeadm")
_ONE_TIMEOUT = Ignored("the InitConfiguration's is used for every node")
_PATCHES = Ignored("pkigen applies no patches: override its templates with --templates")
_UPLOAD = Ignored("pkigen gives every node its certificates and uploads none")

TYPE_META: Final[Fields] = {"apiVersion": _TAKEN, "kind": _TAKEN}

_ARGUMENTS = Each(
    {"name": _TAKEN, "value": TakenEvenEmpty()}, "a list of name and value (the mapping was v1beta3's)"
)
_ENVIRONMENT = Each(
    {
        "name": _TAKEN,
        "value": TakenEvenEmpty(),
        "valueFrom": Ignored("pkigen sets plain values only, and this variable to nothing"),
    }
)
_VOLUME: Fields = dict.fromkeys(("name", "hostPath", "mountPath", "readOnly", "pathType"), _TAKEN)
_ENDPOINT: Fields = {"advertiseAddress": _TAKEN, "bindPort": _TAKEN}
_OLD_COMPONENT: Fields = {"extraArgs": _FLAGS, "extraVolumes": Each(_VOLUME)}
_COMPONENT: Fields = {**_OLD_COMPONENT, "extraArgs": _ARGUMENTS, "extraEnvs": _ENVIRONMENT}
_OLD_LOCAL_ETCD: Fields = {
    "imageRepository": _TAKEN,
    "imageTag": _TAKEN,
    "dataDir": _TAKEN,
    "extraArgs": _FLAGS,
    "serverCertSANs": _TAKEN,
    "peerCertSANs": _TAKEN,
}
_OLD_EXTERNAL_ETCD: Fields = dict.fromkeys(("endpoints", "caFile", "certFile", "keyFile"), _TAKEN)
_OLD_REGISTRATION: Fields = {
    "name": _TAKEN,
    "criSocket": _TAKEN,
    "taints": Each({**dict.fromkeys(("key", "value", "effect"), _TAKEN), "timeAdded": _RUN}),
    "kubeletExtraArgs": _FLAGS,
    "ignorePreflightErrors": _RUN,
    "imagePullPolicy": _RUN,
}
_REGISTRATION: Fields = {
    **_OLD_REGISTRATION,
    "kubeletExtraArgs": _ARGUMENTS,
    "imagePullSerial": _RUN,
}
_OLD_CLUSTER: Fields = {
    "etcd": {"local": _OLD_LOCAL_ETCD, "external": _OLD_EXTERNAL_ETCD},
    "networking": dict.fromkeys(("serviceSubnet", "podSubnet", "dnsDomain"), _TAKEN),
    "kubernetesVersion": _TAKEN,
    "controlPlaneEndpoint": _TAKEN,
    "apiServer": {**_OLD_COMPONENT, "certSANs": _TAKEN, "timeoutForControlPlane": _TAKEN},
    "controllerManager": _OLD_COMPONENT,
    "scheduler": _OLD_COMPONENT,
    "dns": Ignored("pkigen installs no DNS add-on"),
    "certificatesDir": _TAKEN,
    "imageRepository": _TAKEN,
    "featureGates": Gates(),
    "clusterName": _TAKEN,
}
_OLD_INIT: Fields = {
    "bootstrapTokens": Ignored("nodes get their certificates from pkigen and need no token"),
    "nodeRegistration": _OLD_REGISTRATION,
    "localAPIEndpoint": _ENDPOINT,
    "certificateKey": _UPLOAD,
    "skipPhases": _RUN,
    "patches": _PATCHES,
}
_OLD_JOIN: Fields = {
    "nodeRegistration": _OLD_REGISTRATION,
    "caCertPath": Ignored("the CA certificate is in certificatesDir"),
    "discovery": Ignored("the node gets its kubeconfigs from pkigen and has nothing to discover"),
    "controlPlane": {"localAPIEndpoint": _ENDPOINT, "certificateKey": _UPLOAD},
    "skipPhases": _RUN,
    "patches": _PATCHES,
}
_TIMEOUTS: Fields = dict.fromkeys(
    (
        "kubeletHealthCheck",
        "kubernetesAPICall",
        "etcdAPICall",
        "tlsBootstrap",
        "discovery",
        "upgradeManifests",
    ),
    _RUN,
)
_HEALTH_CHECK = "controlPlaneComponentHealthCheck"

TYPES: Final[Mapping[str, Mapping[str, Fields]]] = {
    KUBEADM_V1BETA3: {INIT: _OLD_INIT, CLUSTER: _OLD_CLUSTER, JOIN: _OLD_JOIN},
    KUBEADM_NEWEST: {
        INIT: {
            **_OLD_INIT,
            "dryRun": _RUN,
            "timeouts": {**_TIMEOUTS, _HEALTH_CHECK: _TAKEN},
            "nodeRegistration": _REGISTRATION,
        },
        CLUSTER: {
            **_OLD_CLUSTER,
            "etcd": {
                "local": {**_OLD_LOCAL_ETCD, "extraArgs": _ARGUMENTS, "extraEnvs": _ENVIRONMENT},
                "external": {
                    **_OLD_EXTERNAL_ETCD,
                    "httpEndpoints": Ignored("only kubeadm itself asks etcd for its health there"),
                },
            },
            "apiServer": {**_COMPONENT, "certSANs": _TAKEN},
            "controllerManager": _COMPONENT,
            "scheduler": _COMPONENT,
            "proxy": Ignored("pkigen installs no kube-proxy add-on"),
            "encryptionAlgorithm": _TAKEN,
            "certificateValidityPeriod": _TAKEN,
            "caCertificateValidityPeriod": _TAKEN,
        },
        JOIN: {
            **_OLD_JOIN,
            "dryRun": _RUN,
            "timeouts": {**_TIMEOUTS, _HEALTH_CHECK: _ONE_TIMEOUT},
            "nodeRegistration": _REGISTRATION,
        },
    },
}
OTHER_KINDS: Final = ("ResetConfiguration", "UpgradeConfiguration")
KNOWN_GATES: Final = ("PublicKeysECDSA", "RootlessControlPlane", "NodeLocalCRISocket")
# The first minor version whose kubeadm stops at a gate of its own: kubernetes#135773, #138645, #136016.
GATES_GONE: Final[Mapping[str, int]] = {
    "ControlPlaneKubeletLocalMode": 36,
    "NodeLocalCRISocket": KUBEADM_V1BETA3_GONE.since,
    "PublicKeysECDSA": KUBEADM_V1BETA3_GONE.since,
}
