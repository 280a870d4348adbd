"""The file that says whom API servers let in, and the kubeconfig of an issuer's people, as they are read."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.connections import edges
from pkigen.desired.generations import CA
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.desired.rendering import authentication
from pkigen.errors import TemplateError
from pkigen.spec.authentication import Authentication
from tests.desired.rendering.clusters import TRUST_BUNDLE, arguments, cluster, one, render
from tests.desired.rendering.hostile_strings import every

if TYPE_CHECKING:
    from pathlib import Path

FILE = "/etc/kubernetes/pki/authentication-config.yaml"
LOGIN = "users/oidc-people.conf"
PLAIN: dict[str, Any] = {
    "name": "people",
    "issuer": {"url": "https://login.example.org", "audiences": ["kubernetes"]},
    "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
}
FULL: dict[str, Any] = {
    "name": "people",
    "issuer": {
        "url": "https://login.example.org",
        "discoveryURL": "https://elsewhere.example.org/document",
        "certificateAuthority": "cluster",
        "audiences": ["a", "b"],
        "audienceMatchPolicy": "MatchAny",
        "egressSelectorType": "cluster",
    },
    "claimMappings": {
        "username": {"expression": "'x:' + claims.sub"},
        "groups": {"claim": "groups", "prefix": "oidc:"},
        "uid": {"claim": "sub"},
        "extra": [{"key": "example.org/team", "valueExpression": "claims.team"}],
    },
    "claimValidationRules": [
        {"claim": "hd", "requiredValue": ""},
        {"expression": "claims.a == 'b'", "message": "it must be b"},
    ],
    "userValidationRules": [{"expression": "user.username != 'x:root'", "message": "not root"}],
    "kubeconfig": {"clientID": "kubectl", "extraScopes": ["email", "groups"], "namespace": "web"},
}


def configuration(*jwt: dict[str, Any], version: str = "v1.36.2", **more: Any) -> Any:
    selectors = {"name": "egress-selector-config-file", "value": "/etc/kubernetes/egress.yaml"}
    spec = cluster(
        version=version,
        authentication={"jwt": list(jwt), **more},
        apiServer={"extraArgs": [selectors]},
    )
    return yaml.safe_load(one(render(spec), FILE))


def test_all_fields_are_where_an_api_server_reads_them() -> None:
    anonymous = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/livez"}]}
    found = configuration(FULL, anonymous=anonymous)
    (entry,) = found["jwt"]
    own = {key: FULL[key] for key in ("issuer", "claimMappings", "claimValidationRules")}
    own["issuer"] = {**own["issuer"], "certificateAuthority": TRUST_BUNDLE.decode()}
    rules = entry.pop("userValidationRules")
    assert entry == own
    assert rules[0] == FULL["userValidationRules"][0]
    assert [rule["message"] for rule in rules[1:]] == [
        "the user name is reserved for Kubernetes",
        "a group is reserved for Kubernetes",
    ]
    assert found["anonymous"] == {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1.30.0", "v1beta1"), ("v1.33.9", "v1beta1"), ("v1.34.0", "v1"), ("v1.37.0", "v1")],
)
def test_the_version_is_the_one_that_is_read(version: str, expected: str) -> None:
    assert configuration(PLAIN, version=version)["apiVersion"] == f"apiserver.config.k8s.io/{expected}"


def test_nothing_is_an_empty_list() -> None:
    assert configuration() == {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [],
    }


def test_reserved_names_are_refused_but_for_a_reason_and_never_twice() -> None:
    guarded = configuration(PLAIN)["jwt"][0]["userValidationRules"]
    (first, second) = (rule["expression"] for rule in guarded)
    assert "startsWith('system:')" in first
    assert "'kubernetes-admin'" in first
    assert "group.startsWith('system:')" in second
    assert "'kubeadm:cluster-admins'" in second
    trusted = {**PLAIN, "allowSystemIdentity": "its people are ours"}
    assert "userValidationRules" not in configuration(trusted)["jwt"][0]
    written = {**PLAIN, "userValidationRules": [{"expression": first}]}
    assert [rule["expression"] for rule in configuration(written)["jwt"][0]["userValidationRules"]] == [
        first,
        second,
    ]


def test_only_root_reads_the_file_and_the_flag_names_it() -> None:
    spec = cluster(authentication={})
    (item,) = (
        item
        for item in derive(spec).items
        if isinstance(item, DesiredFile) and item.kind is FileKind.AUTHENTICATION_CONFIGURATION
    )
    assert (item.path, item.mode, item.trust) == (f"nodes/cp-1{FILE}", 0o600, None)
    assert f"--authentication-config={FILE}" in arguments(spec, "kube-apiserver")
    without = cluster()
    assert not [each for each in arguments(without, "kube-apiserver") if "authentication-config" in each]
    assert not [path for path in render(without) if path.endswith(FILE)]


def test_people_log_in_with_the_plugin() -> None:
    kubeconfig = yaml.safe_load(one(render(cluster(authentication={"jwt": [FULL]})), LOGIN))
    (user,) = kubeconfig["users"]
    bundle = base64.b64encode(TRUST_BUNDLE).decode()
    assert user["name"] == "oidc-people"
    assert user["user"]["exec"]["command"] == "kubectl"
    assert user["user"]["exec"]["apiVersion"] == "client.authentication.k8s.io/v1"
    assert user["user"]["exec"]["args"] == [
        "oidc-login",
        "get-token",
        "--oidc-issuer-url=https://login.example.org",
        "--oidc-client-id=kubectl",
        "--oidc-extra-scope=email",
        "--oidc-extra-scope=groups",
        f"--certificate-authority-data={bundle}",
    ]
    assert kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] == bundle
    assert kubeconfig["contexts"][0]["context"] == {
        "cluster": "prod",
        "namespace": "web",
        "user": "oidc-people",
    }


def test_the_audience_is_the_client_and_the_system_knows_the_issuer() -> None:
    kubeconfig = yaml.safe_load(
        one(render(cluster(authentication={"jwt": [{**PLAIN, "kubeconfig": {}}]})), LOGIN)
    )
    assert kubeconfig["users"][0]["user"]["exec"]["args"][2:] == [
        "--oidc-issuer-url=https://login.example.org",
        "--oidc-client-id=kubernetes",
    ]
    assert not [path for path in render(cluster(authentication={"jwt": [PLAIN]})) if path.endswith(LOGIN)]


def test_groups_are_bound_with_their_prefix() -> None:
    entry = {**FULL, "groups": [{"name": "developers", "clusterRoles": ["view"]}]}
    (binding,) = yaml.safe_load_all(
        one(render(cluster(authentication={"jwt": [entry]})), "addons/group-oidc=3Adevelopers.yaml")
    )
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "oidc:developers"}
    ]


def test_proxies_have_a_certificate_and_their_names_are_allowed() -> None:
    spec = cluster(authentication={"proxies": [{"name": "gate"}, {"name": "door"}]})
    inventory = derive(spec)
    item = inventory.certificates["proxy:gate"]
    assert (item.issuer, item.subject.common_name, item.subject.organizations, item.file) == (
        CA.FRONT_PROXY,
        "gate",
        (),
        "users/proxy-gate.conf",
    )
    flags = arguments(spec, "kube-apiserver")
    assert "--requestheader-allowed-names=front-proxy-client,door,gate" in flags
    # They alone need no file.
    assert not [each for each in flags if "authentication-config" in each]
    (edge,) = (edge for edge in edges(inventory) if edge.client.component == "proxy gate")
    assert edge.client_certificate == "proxy:gate"
    assert edge.server_trust == "nodes/cp-1/etc/kubernetes/pki/front-proxy-ca.crt"
    assert edge.client_trust == "users/proxy-gate.conf"


def test_no_value_becomes_more_than_one() -> None:
    """Rendering compares what it has written with what it must be read as, and refuses it else."""
    spec = cluster(authentication={"jwt": [FULL]})
    given = Authentication.model_validate({"jwt": [FULL]}).jwt[0]
    for value in (each for each in every(0) if each and each.isprintable()):
        rule = given.user_validation_rules[0].model_copy(update={"expression": value, "message": value})
        mapping = given.claim_mappings.username.model_copy(
            update={"claim": value, "prefix": value, "expression": None}
        )
        issuer = given.issuer.model_copy(update={"audiences": (value,), "url": f"https://{value}"})
        changed = given.model_copy(
            update={
                "user_validation_rules": (rule,),
                "claim_mappings": given.claim_mappings.model_copy(update={"username": mapping}),
                "issuer": issuer,
            }
        )
        whole = Authentication.model_construct(jwt=(changed,), anonymous=None)
        hostile = spec.model_copy(update={"spec": spec.spec.model_copy(update={"authentication": whole})})
        found = yaml.safe_load(one(render(hostile), FILE))
        assert found == authentication.document(authentication.context_of(hostile, TRUST_BUNDLE))
        assert found["jwt"][0]["claimMappings"]["username"] == {"claim": value, "prefix": value}


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (
            "authentication-config.yaml",
            '{% include "pkigen/authentication-config.yaml.j2" %}\nextra: true\n',
            "not exactly what the spec says",
        ),
        ("authentication-config.yaml", "jwt: [}\n", "does not render YAML"),
        (
            "login-kubeconfig.yaml",
            '{% include "pkigen/login-kubeconfig.yaml.j2" %}\n      env: [{name: A, value: b}]\n',
            "not exactly its cluster, context and user",
        ),
    ],
)
def test_a_template_adds_nobody(name: str, text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.j2").write_text(text)
    with pytest.raises(TemplateError, match=complaint):
        render(cluster(authentication={"jwt": [FULL]}), overrides=tmp_path)


def test_what_is_read_at_start_alone() -> None:
    assert authentication.anonymous_in(b"anonymous: {enabled: true}\n") == {"enabled": True}
    for text in (b"", b"jwt: []\n", b"- a\n", b"a: [}\n", b"\xff"):
        assert authentication.anonymous_in(text) is None
