"""Clusters to render, and the short way from one to its files."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.items import DesiredFile, DesiredKubeconfig, DesiredToken, FileKind
from pkigen.desired.rendering import Renderer
from pkigen.desired.rendering.templates import Templates
from pkigen.desired.token_trust import rendered_with
from pkigen.spec.model import ClusterSpec

TRUST_BUNDLE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
ENCRYPTION_KEY = base64.b64encode(bytes(range(32)))
MINORS = range(29, 39)
RUNTIMES = ("static-pods", "systemd")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

_USERS: list[dict[str, Any]] = [
    {
        "name": "dev1",
        "groups": ["platform-team"],
        "namespace": "web",
        "clusterRoles": ["view", "view"],
        "roles": [
            {"namespace": "web", "clusterRole": "edit"},
            {"namespace": "web", "role": "deployer"},
            {"namespace": "web", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
            {"namespace": "web", "rules": [{"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}]},
        ],
        "rules": [
            {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": ["a"],
                "verbs": ["get", "list"],
            },
        ],
    },
    {"name": "plain"},
    {
        "name": "deployer",
        "kind": "ServiceAccount",
        "namespace": "web",
        "uid": "3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b",
        "clusterRoles": ["view"],
    },
    {"name": "waiting", "kind": "ServiceAccount", "namespace": "web"},
]
_GROUPS: list[dict[str, Any]] = [
    {
        "name": "Domain Users",
        "clusterRoles": ["view"],
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
    }
]
_IAM: list[dict[str, Any]] = [
    {
        "arn": "arn:aws:iam::111122223333:role/Admin",
        "username": "admin:{{SessionName}}",
        "groups": ["admins"],
        "clusterRoles": ["view"],
    },
    {
        "arn": "arn:aws:iam::111122223333:user/div/Bob",
        "username": "bob",
        "roles": [
            {"namespace": "web", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
        ],
    },
]


def _control_plane(*addresses: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"name": f"cp-{number}", "roles": ["control-plane"], "addresses": [address, *more.get("also", ())]}
        for number, address in enumerate(addresses, start=1)
    ]


TOPOLOGIES: dict[str, dict[str, Any]] = {
    "single": {"nodes": _control_plane("10.0.0.11"), "users": _USERS, "groups": _GROUPS, "iam": _IAM},
    "ha": {
        "nodes": [
            *_control_plane("10.0.0.13", "10.0.0.11", "10.0.0.12"),
            {"name": "worker-1", "roles": ["worker"], "addresses": ["10.0.0.21"]},
        ],
        "controlPlaneEndpoint": "api.example.com:8443",
        "networking": {"podSubnets": ["10.244.0.0/16"], "dnsDomain": "k8s.prod"},
        "encryption": {"provider": "aescbc", "resources": ["secrets", "configmaps."]},
        "apiServer": {"extraArgs": [{"name": "audit-log-path", "value": "/var/log/audit.log"}]},
        "users": _USERS,
    },
    "dedicated": {
        "nodes": [
            *_control_plane("10.0.0.11", also=["fd00:10::11"]),
            *(
                {"name": f"etcd-{n}", "roles": ["etcd"], "addresses": [f"10.0.0.3{n}", f"fd00:10::3{n}"]}
                for n in (1, 2, 3)
            ),
        ],
        "controlPlaneEndpoint": "[fd00:10::10]:6443",
        "networking": {
            "serviceSubnets": ["10.96.0.0/16", "fd00:10:96::/112"],
            "podSubnets": ["10.244.0.0/16", "fd00:10:244::/56"],
        },
        "encryption": {},
    },
    "external": {
        "nodes": _control_plane("10.0.0.11"),
        "etcd": {
            "external": {
                "endpoints": ["https://10.0.0.31:2379", "https://10.0.0.32:2379"],
                "caFile": "/etc/etcd/tls/ca.crt",
                "certFile": "/etc/etcd/tls/client/c.crt",
                "keyFile": "/etc/etcd/tls/client/c.key",
            }
        },
        "authentication": {
            "jwt": [
                {
                    "name": "people",
                    "issuer": {"url": "https://login.example.org", "audiences": ["kubernetes"]},
                    "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}},
                    "kubeconfig": {},
                }
            ]
        },
    },
    "by-path": {
        "nodes": [
            *_control_plane("10.0.0.11"),
            {"name": "worker-1", "roles": ["worker"], "addresses": ["10.0.0.21"]},
        ],
        "certificates": {"kubeconfigs": "files", "directory": "/etc/kubernetes/own"},
    },
    "ipv6": {
        "nodes": [
            {
                "name": "cp-1",
                "roles": ["control-plane"],
                "addresses": ["fd00:10::11"],
                "bindPort": 7443,
                "kubeletExtraArgs": [{"name": "v", "value": "4"}],
            }
        ],
        "networking": {"serviceSubnets": ["fd00:10:96::/112"], "podSubnets": ["fd00:10:244::/56"]},
        "kubelet": {
            "rotateCertificates": False,
            "extraArgs": [{"name": "v", "value": "2"}, {"name": "max-pods", "value": "99"}],
        },
    },
}


def cluster(*, name: str = "prod", version: str = "v1.36.2", **spec: Any) -> ClusterSpec:
    """A valid cluster; `spec` defaults to one control-plane node."""
    spec.setdefault("nodes", TOPOLOGIES["single"]["nodes"])
    document = {
        "apiVersion": "pkigen/v1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"kubernetesVersion": version, **spec},
    }
    return ClusterSpec.model_validate(document)


def render(inventory: Inventory | ClusterSpec, *, overrides: Path | None = None) -> dict[str, bytes]:
    """Every file and kubeconfig, by path."""
    if isinstance(inventory, ClusterSpec):
        inventory = derive(inventory)
    if overrides is not None:
        inventory = rendered_with(inventory, Templates(overrides))
    renderer = Renderer(inventory)
    result = {}
    for item in inventory.items:
        if isinstance(item, DesiredFile):
            secrets = (ENCRYPTION_KEY,) if item.kind is FileKind.ENCRYPTION_CONFIGURATION else ()
            trust = TRUST_BUNDLE if item.trust is not None else b""
            result[item.path] = renderer.file(item, secrets=secrets, trust_bundle=trust)
        elif isinstance(item, DesiredKubeconfig):
            result[item.path] = renderer.kubeconfig(
                item, trust_bundle=b"CA PEM", certificate=b"CERTIFICATE PEM", key=b"KEY PEM"
            )
        elif isinstance(item, DesiredToken):
            token = "a.b.c"  # noqa: S105 -- no token
            result[item.path] = renderer.token_kubeconfig(item, trust_bundle=b"CA PEM", token=token)
    return result


def one(files: dict[str, bytes], ending: str) -> str:
    """The text of the first file, by path, that ends so."""
    return next(files[path] for path in sorted(files) if path.endswith(ending)).decode()


def manifest(spec: ClusterSpec, component: str) -> dict[str, Any]:
    """A static Pod of the first node that has it."""
    pod: dict[str, Any] = yaml.safe_load(one(render(spec), f"/manifests/{component}.yaml"))
    return pod


def arguments(spec: ClusterSpec, component: str) -> list[str]:
    """The flags in a manifest."""
    command: list[str] = manifest(spec, component)["spec"]["containers"][0]["command"]
    assert command[0] == component
    return command[1:]


def values(flags: list[str]) -> dict[str, str]:
    """Flags by name; a repeated one is an error."""
    pairs = [flag.removeprefix("--").split("=", 1) for flag in flags]
    result = {name: value for name, value in pairs}  # noqa: C416 -- mypy wants the pair spelled out
    assert len(result) == len(pairs)
    return result
