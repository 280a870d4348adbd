"""Every field of the model: a value that it takes, and one that it refuses at its own place."""

from __future__ import annotations

import copy
import itertools
import json
import re
import typing
from typing import Any

import pytest
from pydantic import BaseModel

from pkigen.spec.model import ClusterSpec
from tests.spec.sources import loaded, problems

BASE: dict[str, Any] = {
    "apiVersion": "pkigen/v1",
    "kind": "Cluster",
    "metadata": {"name": "t"},
    "spec": {
        "kubernetesVersion": "v1.36.2",
        "nodes": [{"name": "a", "roles": ["control-plane"], "addresses": ["192.0.2.1"]}],
        "users": [{"name": "ann"}],
    },
}
ARGUMENT = {"name": "v", "value": "2"}
VOLUME = {"name": "logs", "hostPath": "/var/log", "mountPath": "/log"}
VARIABLE = {"name": "NO_PROXY", "value": "10.0.0.0/8"}
UID = "3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b"
ACCOUNT = {"kind": "ServiceAccount", "namespace": "web"}
ARN = "arn:aws:iam::111122223333:role/Admin"
MAPPING = {"arn": ARN, "username": "ann"}
GROUP = {"name": "dev"}
CLAIM = {"claim": "sub", "prefix": "oidc:"}
ISSUER: dict[str, Any] = {
    "name": "people",
    "issuer": {"url": "https://login.example.org", "audiences": ["kubernetes"]},
    "claimMappings": {"username": CLAIM, "groups": dict(CLAIM)},
}
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
ENDPOINT = {"endpoints": ["https://192.0.2.9:2379"]}

# path: a value it takes, a value it refuses, and what must stand beside it
FIELDS: dict[str, tuple[Any, Any] | tuple[Any, Any, dict[str, Any]]] = {
    "apiVersion": ("pkigen/v1", "pkigen/v0"),
    "kind": ("Cluster", "Klaster"),
    "metadata": ({"name": "prod"}, "prod"),
    "metadata.name": ("K8s Prod_1/ü", "a\u202eb"),
    "spec": (BASE["spec"], []),
    "spec.kubernetesVersion": ("v1.29.0", "v1.36"),
    "spec.runtime": ("systemd", "docker"),
    "spec.controlPlaneEndpoint": ("[2001:db8::1]:6443", "https://api:6443"),
    "spec.imageRepository": ("registry.example.com:5000/k8s/mirror", "registry example"),
    "spec.startupTimeout": ("10m", "10"),
    "spec.allowUnknownFlags": (True, "true"),
    "spec.networking": ({"dnsDomain": "k8s.example"}, "flannel"),
    "spec.networking.serviceSubnets": (["10.32.0.0/16", "fd00::/112"], []),
    "spec.networking.podSubnets": (["10.244.0.0/16"], ["10.244.0.1/16"]),
    "spec.networking.dnsDomain": ("cluster.example", "cluster.local."),
    "spec.apiServer": ({"bindPort": 7443}, None),
    "spec.apiServer.certSANs": (["*.example.com", "192.0.2.8"], ["exa_mple"]),
    "spec.apiServer.bindPort": (443, 0),
    "spec.apiServer.structuredAuthorization": (False, "no"),
    "spec.apiServer.extraArgs": ([ARGUMENT, ARGUMENT], {"v": "2"}),
    "spec.apiServer.extraArgs[0].name": ("audit-log-path", "--audit-log-path", {"value": ""}),
    "spec.apiServer.extraArgs[0].value": ("4", 2, {"name": "v"}),
    "spec.apiServer.extraVolumes": ([VOLUME], [VOLUME["name"]]),
    "spec.apiServer.extraVolumes[0].name": ("logs", "Logs", VOLUME),
    "spec.apiServer.extraVolumes[0].hostPath": ("/srv/x", "srv/x", VOLUME),
    "spec.apiServer.extraVolumes[0].mountPath": ("/srv/x", "/srv/../x", VOLUME),
    "spec.apiServer.extraVolumes[0].readOnly": (True, "true", VOLUME),
    "spec.apiServer.extraVolumes[0].pathType": ("DirectoryOrCreate", "Folder", VOLUME),
    "spec.apiServer.extraEnvs": ([VARIABLE], {"NO_PROXY": "a"}),
    "spec.apiServer.extraEnvs[0].name": ("https_proxy", "A=B", VARIABLE),
    "spec.apiServer.extraEnvs[0].value": ("", "a\nb", VARIABLE),
    "spec.controllerManager": ({}, []),
    "spec.controllerManager.extraArgs": ([ARGUMENT], "v"),
    "spec.controllerManager.extraVolumes": ([], "v"),
    "spec.controllerManager.extraEnvs": ([VARIABLE], "v"),
    "spec.scheduler": ({}, []),
    "spec.scheduler.extraArgs": ([ARGUMENT], "v"),
    "spec.scheduler.extraVolumes": ([], "v"),
    "spec.scheduler.extraEnvs": ([VARIABLE], "v"),
    "spec.etcd": ({}, "stacked"),
    "spec.etcd.dataDir": ("/srv/etcd", "/srv/../etcd"),
    "spec.etcd.imageRepository": ("registry.example.com/etcd-io", "registry example"),
    "spec.etcd.imageTag": ("3.6.8-0", "3.6.8 0"),
    "spec.etcd.serverCertSANs": (["etcd.example"], [7]),
    "spec.etcd.peerCertSANs": (["192.0.2.7"], ["::ffff:192.0.2.7"]),
    "spec.etcd.extraArgs": ([{"name": "wal-dir", "value": "/w"}], [{"name": "v"}]),
    "spec.etcd.extraEnvs": ([VARIABLE], [{"value": "2"}]),
    "spec.etcd.external": (ENDPOINT, {}),
    "spec.etcd.external.endpoints": (["http://etcd.example:2379/"], []),
    "spec.etcd.external.caFile": ("/etc/etcd/ca.crt", "ca.crt", ENDPOINT),
    "spec.etcd.external.certFile": (
        "/c/{node}.crt",
        "/{node}/c.crt",
        {**ENDPOINT, "caFile": "/a", "keyFile": "/k"},
    ),
    "spec.etcd.external.keyFile": ("/k.key", "k.key", {**ENDPOINT, "caFile": "/a", "certFile": "/c"}),
    "spec.kubelet": ({}, []),
    "spec.kubelet.rotateCertificates": (False, "no"),
    "spec.kubelet.extraArgs": ([ARGUMENT], [{"value": "2"}]),
    "spec.certificates": ({}, []),
    "spec.certificates.keyAlgorithm": ("RSA-4096", "Ed25519"),
    "spec.certificates.caValidity": ("100000h", "11y"),
    "spec.certificates.validity": ("1h30m", "0s"),
    "spec.certificates.renewBefore": ("24h", "-24h"),
    "spec.certificates.expirySpread": ("10%", "26%"),
    "spec.certificates.distributeCAKeys": (["ca", "etcd-ca"], "no"),
    "spec.certificates.authority": ("offline", "remote"),
    "spec.certificates.caKeys": ("offline", "here", {"authority": "offline"}),
    "spec.certificates.nodeKeys": ("node", "tpm"),
    "spec.certificates.kubeconfigs": ("files", "paths"),
    "spec.certificates.directory": ("/srv/pki", "pki"),
    "spec.certificates.overrides": ({"ca": {"keyAlgorithm": "RSA-3072"}}, []),
    "spec.certificates.overrides.apiserver": ({}, "90d"),
    "spec.certificates.overrides.apiserver.validity": ("2160h", "2160"),
    "spec.certificates.overrides.apiserver.renewBefore": ("24h", "soon"),
    "spec.certificates.overrides.ca.commonName": ("acme", "kubernetes-g2"),
    "spec.certificates.overrides.front-proxy-client.user": ("aggregator", ""),
    "spec.certificates.overrides.front-proxy-client.groups": (["proxies"], "proxies"),
    "spec.certificates.overrides.apiserver.keyAlgorithm": ("ECDSA-P384", "P384"),
    "spec.encryption": ({}, "yes"),
    "spec.encryption.provider": ("aescbc", "identity"),
    "spec.encryption.resources": (["secrets", "*.apps"], []),
    "spec.serviceAccounts": ({}, []),
    "spec.serviceAccounts.maxTokenLifetime": ("24h", "1d"),
    "spec.backups": ({}, 3),
    "spec.backups.keep": (1000, 1001),
    "spec.nodes": (BASE["spec"]["nodes"], {}),
    "spec.nodes[0].name": ("cp-1.example", "cp_1"),
    "spec.nodes[0].roles": (["control-plane", "worker", "etcd"], ["master"]),
    "spec.nodes[0].addresses": (["192.0.2.1", "2001:db8::1"], ["192.0.2.256"]),
    "spec.nodes[0].certSANs": (["rack.example"], "rack.example"),
    "spec.nodes[0].bindPort": (7443, "7443"),
    "spec.nodes[0].ageRecipient": (
        "age1w2jtwspymk0563tygsedy08zjyjyr93esvdn3kckgwwnj6s9avyq00cy0u",
        "age1tooshort",
    ),
    "spec.nodes[0].keys": ("node", True),
    "spec.nodes[0].kubeletExtraArgs": ([ARGUMENT], [{"name": "V", "value": ""}]),
    "spec.manage": (["manifests", "kubelet"], ["certificates"]),
    "spec.users": ([], {}),
    "spec.users[0].name": ("CORP\\dev 1", "dev\t1"),
    "spec.users[0].groups": (["Domain Users", "/devs"], ["a\u200bb"]),
    "spec.users[0].validity": ("24h", "1d"),
    "spec.users[0].namespace": ("web", "web.example"),
    "spec.users[0].clusterRoles": (["view", "system:node-reader"], [".."]),
    "spec.users[0].roles": ([{"namespace": "web", "clusterRole": "edit"}], [{"clusterRole": "edit"}]),
    "spec.users[0].roles[0].namespace": ("web", "Web", {"role": "x"}),
    "spec.users[0].roles[0].clusterRole": ("edit", "", {"namespace": "web"}),
    "spec.users[0].roles[0].role": ("deployer", "a/b", {"namespace": "web"}),
    "spec.users[0].roles[0].rules": ([RULE], [{}], {"namespace": "web"}),
    "spec.users[0].rules": ([RULE], [[]]),
    "spec.users[0].rules[0].apiGroups": (["", "apps"], [7], RULE),
    "spec.users[0].rules[0].resources": (["pods/log"], [""], RULE),
    "spec.users[0].rules[0].verbs": (["*"], [], RULE),
    "spec.users[0].rules[0].resourceNames": (["x"], "x", RULE),
    "spec.users[0].rules[0].nonResourceURLs": (["/metrics"], ["/m\n"], {"verbs": ["get"]}),
    "spec.users[0].kind": ("ServiceAccount", "Group", {"namespace": "web"}),
    "spec.users[0].credential": ("external", "kept"),
    "spec.authentication": ({}, []),
    "spec.authentication.anonymous": ({"enabled": True}, "yes"),
    "spec.authentication.anonymous.enabled": (True, "true"),
    "spec.authentication.anonymous.conditions": (
        [{"path": "/livez"}, {"path": "/readyz"}],
        {"path": "/livez"},
        {"enabled": True},
    ),
    "spec.authentication.anonymous.conditions[0].path": ("/livez", "livez"),
    "spec.authentication.proxies": ([{"name": "gate"}], {}),
    "spec.authentication.proxies[0].name": ("gate", "front-proxy-client"),
    "spec.authentication.proxies[0].validity": ("24h", "1d", {"name": "gate"}),
    "spec.authentication.jwt": ([ISSUER], {}),
    "spec.authentication.jwt[0].name": ("people", "People"),
    "spec.authentication.jwt[0].issuer": (ISSUER["issuer"], "https://login.example.org"),
    "spec.authentication.jwt[0].issuer.url": ("https://[2001:db8::1]:8443/a", "http://login.example.org"),
    "spec.authentication.jwt[0].issuer.discoveryURL": ("https://in.example/c", "https://in.example?a=b"),
    "spec.authentication.jwt[0].issuer.certificateAuthority": ("cluster", "/etc/ca.crt"),
    "spec.authentication.jwt[0].issuer.audiences": (["a"], []),
    "spec.authentication.jwt[0].issuer.audienceMatchPolicy": ("MatchAny", "MatchAll"),
    "spec.authentication.jwt[0].issuer.egressSelectorType": ("cluster", "etcd"),
    "spec.authentication.jwt[0].claimMappings": ({"username": CLAIM}, "sub"),
    "spec.authentication.jwt[0].claimMappings.username": ({"expression": "claims.sub"}, "sub"),
    "spec.authentication.jwt[0].claimMappings.username.claim": ("email", "", {"prefix": "oidc:"}),
    "spec.authentication.jwt[0].claimMappings.username.prefix": ("", "a\nb"),
    "spec.authentication.jwt[0].claimMappings.username.expression": ("claims.sub", "claims.f("),
    "spec.authentication.jwt[0].claimMappings.groups": (CLAIM, [CLAIM]),
    "spec.authentication.jwt[0].claimMappings.uid": ({"claim": "sub"}, "sub"),
    "spec.authentication.jwt[0].claimMappings.uid.claim": ("sub", ""),
    "spec.authentication.jwt[0].claimMappings.uid.expression": ("claims.sub", "claims.f("),
    "spec.authentication.jwt[0].claimMappings.extra": ([], {}),
    "spec.authentication.jwt[0].claimMappings.extra[0].key": (
        "example.org/team",
        "example.org/Team",
        {"valueExpression": "claims.team"},
    ),
    "spec.authentication.jwt[0].claimMappings.extra[0].valueExpression": (
        "claims.team",
        "claims['team",
        {"key": "example.org/team"},
    ),
    "spec.authentication.jwt[0].claimValidationRules": ([{"claim": "hd"}], {}),
    "spec.authentication.jwt[0].claimValidationRules[0].claim": ("hd", ""),
    "spec.authentication.jwt[0].claimValidationRules[0].requiredValue": ("a", 7, {"claim": "hd"}),
    "spec.authentication.jwt[0].claimValidationRules[0].expression": ("claims.a == 'b'", "claims.a)"),
    "spec.authentication.jwt[0].claimValidationRules[0].message": ("no", "a\nb", {"expression": "true"}),
    "spec.authentication.jwt[0].userValidationRules": ([{"expression": "true"}], {}),
    "spec.authentication.jwt[0].userValidationRules[0].expression": ("user.uid != ''", "user.uid != '"),
    "spec.authentication.jwt[0].userValidationRules[0].message": ("no", 7, {"expression": "true"}),
    "spec.authentication.jwt[0].groups": ([{**GROUP, "clusterRoles": ["view"]}], {}),
    "spec.authentication.jwt[0].groups[0].name": ("Domain Users", "a\tb", {"clusterRoles": ["view"]}),
    "spec.authentication.jwt[0].kubeconfig": ({}, True),
    "spec.authentication.jwt[0].kubeconfig.clientID": ("k8s", ""),
    "spec.authentication.jwt[0].kubeconfig.extraScopes": (["email"], "email"),
    "spec.authentication.jwt[0].kubeconfig.namespace": ("web", "Web"),
    "spec.authentication.jwt[0].allowSystemIdentity": ("a reason", ""),
    "spec.groups": ([], {}),
    "spec.groups[0].name": ("Domain Users", "system:masters", {"clusterRoles": ["view"]}),
    "spec.groups[0].clusterRoles": (["view"], [".."], GROUP),
    "spec.groups[0].roles": ([{"namespace": "web", "clusterRole": "edit"}], [{"clusterRole": "edit"}], GROUP),
    "spec.groups[0].rules": ([RULE], [[]], GROUP),
    "spec.groups[0].allowSystemIdentity": (
        "whoever logs in may see what there is",
        "",
        {"name": "system:authenticated", "clusterRoles": ["view"]},
    ),
    "spec.users[0].uid": (UID, "7", ACCOUNT),
    "spec.users[0].audiences": (["https://vault.example"], [""], ACCOUNT),
    "spec.iam": ([], {}),
    "spec.iam[0].arn": (ARN, "arn:aws:sts::111122223333:assumed-role/Admin/ann", {"username": "ann"}),
    "spec.iam[0].username": ("ann:{{SessionName}}", "", {"arn": ARN}),
    "spec.iam[0].groups": (["CORP\\admins"], ["team "], MAPPING),
    "spec.iam[0].clusterRoles": (["view"], [".."], MAPPING),
    "spec.iam[0].roles": ([{"namespace": "web", "clusterRole": "edit"}], [{"clusterRole": "edit"}], MAPPING),
    "spec.iam[0].rules": ([RULE], [[]], MAPPING),
    "spec.iam[0].allowSystemIdentity": ("as EKS does", "", {**MAPPING, "groups": ["system:masters"]}),
    "spec.users[0].allowSystemIdentity": ("see runbook 7", "", {"name": "system:x"}),
}


SELECTORS = {"name": "egress-selector-config-file", "value": "/etc/kubernetes/egress.yaml"}


def _steps(path: str) -> list[str | int]:
    return [
        int(step) if step.isdecimal() else step for step in path.replace("[", ".").replace("]", "").split(".")
    ]


def _with(path: str, value: Any) -> str:
    document = copy.deepcopy(BASE)
    if path.startswith("spec.authentication.anonymous.conditions[0]"):
        open_paths = [{"path": "/readyz"}, {"path": "/readyz"}, {"path": "/livez"}]
        document["spec"]["authentication"] = {"anonymous": {"enabled": True, "conditions": open_paths}}
    if path.startswith("spec.authentication.jwt[0]."):
        document["spec"]["authentication"] = {"jwt": [copy.deepcopy(ISSUER)]}
        # It is looked up in a file that a flag names.
        if path.endswith("egressSelectorType"):
            document["spec"]["apiServer"] = {"extraArgs": [SELECTORS]}
        # A claim and an expression exclude one another.
        if "Mappings.username." in path and not path.endswith("prefix"):
            document["spec"]["authentication"]["jwt"][0]["claimMappings"]["username"] = {}
    steps = _steps(path)
    at: Any = document
    for step, following in itertools.pairwise(steps):
        if isinstance(at, list) and len(at) == step:
            at.append({})
        elif isinstance(at, dict) and step not in at:
            at[step] = [] if following == 0 else {}
        at = at[step]
    beside = FIELDS[path][2:]
    if beside:
        at.update(beside[0])
    at[steps[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize("path", FIELDS)
def test_takes(path: str) -> None:
    value: Any = loaded(_with(path, FIELDS[path][0])).spec.model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )
    for step in _steps(path):
        value = value[step]
    assert value == FIELDS[path][0]


@pytest.mark.parametrize("path", FIELDS)
def test_refuses(path: str) -> None:
    found = problems(_with(path, FIELDS[path][1]))
    assert len(found) == 1, found
    line, _, rest = found[0].partition(":")
    column, _, rest = rest.partition(": ")
    assert line == "1"
    assert int(column) > 1 or path in {"apiVersion", "kind"}
    assert rest.startswith(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ca", "must be true, false or a list: write [ca]"),
        ("all", "must be true, false or a list of ca, etcd-ca, front-proxy-ca"),
        (["kubernetes"], "must be ca, etcd-ca or front-proxy-ca, not 'kubernetes'"),
    ],
)
def test_ca_keys_that_nobody_can_mean(given: object, message: str) -> None:
    assert problems(_with("spec.certificates.distributeCAKeys", given))[0].endswith(message)


def test_every_field_is_here() -> None:
    # A CA has a name of somebody's own, and three leaves have a subject.
    own = re.compile(r"overrides\.(?:ca|front-proxy-client)\.")
    listed = {own.sub("overrides.apiserver.", path) for path in FIELDS}
    assert set(_fields(ClusterSpec, "")) - listed == set()


_AS_ELSEWHERE = ("spec.authentication.jwt[0].groups[0].", "spec.authentication.jwt[0].claimMappings.groups.")
"""Types that `spec.groups` and `username` have, too."""


def _fields(model: type[BaseModel], above: str) -> list[str]:
    """Every path below a model; types that stand in several places are followed once."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        repeated = path.startswith(
            (
                "spec.controllerManager",
                "spec.scheduler",
                "spec.users[0].roles[0].rules",
                "spec.groups[0].roles",
                "spec.groups[0].rules",
                # As `spec.groups`.
                "spec.authentication.jwt[0].groups[0].",
                # As `username`.
                "spec.authentication.jwt[0].claimMappings.groups.",
                "spec.iam[0].roles",
                "spec.iam[0].rules",
            )
        )
        listed = path.endswith(("xtraArgs", "xtraVolumes", "xtraEnvs")) and not path.startswith(
            "spec.apiServer"
        )
        if not path.startswith(_AS_ELSEWHERE):
            found.append(path)
        if repeated or listed:
            continue
        for inner in _models(field.annotation):
            below = {"overrides": ".apiserver"}.get(name, "[0]" if "tuple" in str(field.annotation) else "")
            found.extend(_fields(inner, f"{path}{below}."))
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [] if annotation.__name__ == "KubernetesVersion" else [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]
