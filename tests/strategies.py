"""Hypothesis strategies for valid cluster specs of every shape."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.desired.certificates import CERTIFICATES
from pkigen.spec.model import ClusterSpec
from pkigen.spec.validation import Severity, findings

_LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
# Names that are also words of the inventory: nothing may take a node for a certificate.
_NODE_NAMES = st.one_of(_LABEL, st.sampled_from(["ca", "sa", "etcd-ca", "apiserver", "a.b.c", "x" * 52]))
_SANS = st.lists(
    st.sampled_from(
        [
            "api.example.com",
            "*.apps.example.com",
            "alt",
            "10.9.9.9",
            "10.9.9.10",
            "fd00:9::9",
            "a-b.c-d.example",
        ]
    ),
    max_size=4,
)
_CURVES = (KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384)
_OVERRIDDEN = (
    "apiserver",
    "apiserver-kubelet-client",
    "front-proxy-client",
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "kubelet.conf",
    "kubelet-serving",
)
_WORKER_ROLES = (("worker",), ("worker",), ("control-plane",), ("control-plane", "worker"))
_ROLES = (*_WORKER_ROLES, ("etcd",), ("control-plane", "etcd"))
_FAMILIES = ("v4", "v6", "v4v6", "v6v4")
_SERVICES = {"v4": "10.96.0.0/12", "v6": "fd00:10:96::/112"}
_PODS = {"v4": "10.244.0.0/16", "v6": "fd00:10:244::/56"}
_USERS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-z][a-z0-9._@-]{0,10}", fullmatch=True),
            "groups": st.lists(st.sampled_from(["dev", "ops", "qa"]), max_size=3, unique=True),
            "validity": st.sampled_from(["24h", "720h"]),
            "clusterRoles": st.lists(st.sampled_from(["view", "edit"]), max_size=1),
        }
    ),
    max_size=2,
    unique_by=lambda user: user["name"],
)


def _split(family: str) -> tuple[str, ...]:
    return ("v4",) if family == "v4" else ("v6",) if family == "v6" else (family[:2], family[2:])


@st.composite
def _nodes(
    draw: st.DrawFn, families: tuple[str, ...], roles: tuple[tuple[str, ...], ...]
) -> list[dict[str, Any]]:
    names = draw(st.lists(_NODE_NAMES, min_size=1, max_size=6, unique=True))
    result = []
    for number, name in enumerate(names, start=11):
        addresses = {"v4": f"10.0.0.{number}", "v6": f"fd00::{number:x}"}
        result.append(
            {
                "name": name,
                "roles": list(("control-plane",) if number == 11 else draw(st.sampled_from(roles))),
                "addresses": [addresses[family] for family in families],
                "certSANs": draw(_SANS) if draw(st.booleans()) else [],
            }
        )
    return result


@st.composite
def _certificates(draw: st.DrawFn, algorithms: tuple[KeyAlgorithm, ...]) -> dict[str, Any]:
    algorithm = st.sampled_from(algorithms)
    override = st.fixed_dictionaries(
        {}, optional={"validity": st.sampled_from(["48h", "2160h"]), "keyAlgorithm": algorithm}
    )
    return {
        "keyAlgorithm": draw(algorithm),
        "caValidity": draw(st.sampled_from(["87600h", "8760h"])),
        "validity": draw(st.sampled_from(["8760h", "720h", "24h"])),
        "directory": draw(st.sampled_from(["/etc/kubernetes/pki", "/etc/kubernetes/ssl"])),
        "overrides": draw(st.dictionaries(st.sampled_from(_OVERRIDDEN), override, max_size=3)),
    }


@st.composite
def contents(
    draw: st.DrawFn, *, algorithms: tuple[KeyAlgorithm, ...] = _CURVES, max_users: int = 2
) -> dict[str, Any]:
    """What a valid spec file holds."""
    families = _split(draw(st.sampled_from(_FAMILIES)))
    external = draw(st.integers(0, 4)) == 0
    result: dict[str, Any] = {
        "kubernetesVersion": draw(st.sampled_from(["v1.29.0", "v1.33.4", "v1.36.2"])),
        "runtime": draw(st.sampled_from(["static-pods", "systemd"])),
        "networking": {
            "serviceSubnets": [_SERVICES[family] for family in families],
            "podSubnets": [_PODS[family] for family in families] if draw(st.booleans()) else [],
            "dnsDomain": draw(st.sampled_from(["cluster.local", "k8s.example.org"])),
        },
        "apiServer": {"certSANs": draw(_SANS)},
        "certificates": draw(_certificates(algorithms)),
        "nodes": draw(_nodes(families, _WORKER_ROLES if external else _ROLES)),
        "users": draw(_USERS)[:max_users],
    }
    endpoint = draw(
        st.sampled_from(
            [None, "api.example.com", "api.example.com:8443", "10.0.9.9:6443", "[fd00:9::1]:6443"]
        )
    )
    if endpoint is not None:
        result["controlPlaneEndpoint"] = endpoint
    if external:
        result["etcd"] = {"external": {"endpoints": ["http://10.0.1.1:2379"]}}
    else:
        result["etcd"] = {"serverCertSANs": draw(_SANS), "peerCertSANs": draw(_SANS)}
    if draw(st.booleans()):
        result["encryption"] = {}
    return {"metadata": {"name": "prod"}, "spec": result}


def cluster_of(content: dict[str, Any]) -> ClusterSpec:
    """A spec from its content, as valid as the loader would have it."""
    cluster = ClusterSpec.model_validate(content)
    errors = [finding for finding in findings(cluster, CERTIFICATES) if finding.severity is Severity.ERROR]
    assert not errors, errors
    return cluster


def clusters(*, algorithms: tuple[KeyAlgorithm, ...] = _CURVES) -> st.SearchStrategy[ClusterSpec]:
    """Valid specs."""
    return contents(algorithms=algorithms).map(cluster_of)
