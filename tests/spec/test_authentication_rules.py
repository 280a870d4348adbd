"""Rules about the ways in: what an API server would not read, and what pkigen does not let pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.spec.sources import loaded, problems, spec, warnings

PEM = (Path(__file__).parents[1] / "crypto/certificates/critical-policies.crt").read_text()
OWN = "/etc/kubernetes/pki/authentication-config.yaml"
MAPPINGS = {
    "username": {"claim": "email", "prefix": "oidc:"},
    "groups": {"claim": "groups", "prefix": "oidc:"},
}


def issuer(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "name": "people",
        "issuer": {"url": "https://login.example.org", "audiences": ["kubernetes"]},
        "claimMappings": dict(MAPPINGS),
    }
    for key, value in changes.items():
        if isinstance(value, dict) and key in {"issuer", "claimMappings"}:
            whole[key] = {**whole[key], **value}
        else:
            whole[key] = value
    return whole


def source(*issuers: dict[str, Any], anonymous: Any = None, **spec: Any) -> str:
    authentication: dict[str, Any] = {"jwt": list(issuers)}
    if anonymous is not None:
        authentication["anonymous"] = anonymous
    whole = {
        "kubernetesVersion": "v1.36.2",
        "nodes": [{"name": "a", "roles": ["control-plane"], "addresses": ["192.0.2.1"]}],
        "authentication": authentication,
        **spec,
    }
    return json.dumps(
        {"apiVersion": "pkigen/v1", "kind": "Cluster", "metadata": {"name": "t"}, "spec": whole}
    )


def flags(*arguments: tuple[str, str]) -> dict[str, Any]:
    return {"apiServer": {"extraArgs": [{"name": name, "value": value} for name, value in arguments]}}


def path(*paths: str) -> list[dict[str, str]]:
    return [{"path": each} for each in paths]


JWT = "spec.authentication.jwt[0]."
MAPS = f"{JWT}claimMappings."
USER = f"{MAPS}username"
RIGHTS = {"clusterRoles": ["view"]}

REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "old Kubernetes": (
        source(kubernetesVersion="v1.29.4"),
        ("spec.authentication: needs Kubernetes v1.30 or later",),
    ),
    "switched off": (
        source(
            kubernetesVersion="v1.33.1",
            **flags(("feature-gates", "A=true, StructuredAuthenticationConfiguration=False")),
        ),
        ("spec.authentication: needs Kubernetes v1.30 or later",),
    ),
    "anonymous in an old one": (
        source(kubernetesVersion="v1.31.0", anonymous={"enabled": True}),
        ("spec.authentication.anonymous: needs Kubernetes v1.32 or later",),
    ),
    "egress in an old one": (
        source(issuer(issuer={"egressSelectorType": "cluster"}), kubernetesVersion="v1.33.0"),
        (f"{JWT}issuer.egressSelectorType: needs Kubernetes v1.34",),
    ),
    "egress without selectors": (
        source(issuer(issuer={"egressSelectorType": "cluster"})),
        (f"{JWT}issuer.egressSelectorType: needs egress-selector-config-file in spec.apiServer.extraArgs: ",),
    ),
    "65 issuers": (
        source(*(issuer(name=f"i{n}", issuer={"url": f"https://i{n}.example"}) for n in range(65))),
        ("spec.authentication.jwt: may have at most 64 items",),
    ),
    "the same name": (
        source(issuer(), issuer(issuer={"url": "https://b.example"})),
        ("spec.authentication.jwt[1].name: 'people' is that of an earlier issuer",),
    ),
    "the same issuer": (
        source(issuer(), issuer(name="b")),
        ("spec.authentication.jwt[1].issuer.url: 'https://login.example.org' is that of an earlier",),
    ),
    "the same document": (
        source(
            issuer(issuer={"discoveryURL": "https://d.example"}),
            issuer(name="b", issuer={"url": "https://b.example", "discoveryURL": "https://d.example"}),
        ),
        ("spec.authentication.jwt[1].issuer.discoveryURL: 'https://d.example' is that of an earlier",),
    ),
    "the cluster's own": (
        source(issuer(issuer={"url": "https://kubernetes.default.svc.cluster.local"})),
        (f"{JWT}issuer.url: is the issuer of this cluster's service accounts",),
    ),
    "the cluster's own second one": (
        source(
            issuer(),
            **flags(
                ("service-account-issuer", "https://a.example"),
                ("service-account-issuer", "https://login.example.org"),
            ),
        ),
        (f"{JWT}issuer.url: is the issuer of this cluster's service accounts",),
    ),
    "the same URL for the document": (
        source(issuer(issuer={"discoveryURL": "https://login.example.org/"})),
        (f"{JWT}issuer.discoveryURL: must be another URL than the issuer's",),
    ),
    "an audience twice": (
        source(issuer(issuer={"audiences": ["a", "a"], "audienceMatchPolicy": "MatchAny"})),
        (f"{JWT}issuer.audiences[1]: 'a' stands there already",),
    ),
    "several audiences": (
        source(issuer(issuer={"audiences": ["a", "b"]})),
        (f"{JWT}issuer.audiences: has several: write audienceMatchPolicy: MatchAny",),
    ),
    "a user name and a password": (
        source(issuer(issuer={"url": "https://ann:pw@login.example.org"})),
        (f"{JWT}issuer.url: must not contain a user name",),
    ),
    "a fragment": (
        source(issuer(issuer={"url": "https://login.example.org#a"})),
        (f"{JWT}issuer.url: must not contain a fragment",),
    ),
    "a broken escape": (
        source(issuer(issuer={"url": "https://login.example.org/%zz"})),
        (f"{JWT}issuer.url: has a % that two hexadecimal digits do not follow",),
    ),
    "no host": (source(issuer(issuer={"url": "https://"})), (f"{JWT}issuer.url: must be a URL such as",)),
    "no port": (
        source(issuer(issuer={"url": "https://a:99999"})),
        (f"{JWT}issuer.url: must be a URL such as",),
    ),
    "a key for a CA": (
        source(issuer(issuer={"certificateAuthority": "-----BEGIN PRIVATE KEY-----\nx\n"})),
        (f"{JWT}issuer.certificateAuthority: holds a private key",),
    ),
    "a damaged CA": (
        source(
            issuer(
                issuer={
                    "certificateAuthority": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
                }
            )
        ),
        (f"{JWT}issuer.certificateAuthority: holds a certificate that cannot be read, the 1. of 1",),
    ),
    "no prefix": (
        source(issuer(claimMappings={"username": {"claim": "email"}})),
        (f"{USER}: lacks prefix",),
    ),
    "nothing mapped": (source(issuer(claimMappings={"username": {}})), (f"{USER}: names no claim",)),
    "an empty mapping of groups": (
        source(issuer(claimMappings={"groups": {}})),
        (f"{MAPS}groups: names no claim",),
    ),
    "both": (
        source(issuer(claimMappings={"username": {"claim": "a", "prefix": "x", "expression": "claims.a"}})),
        (
            f"{USER}: has both claim and expression",
            f"{USER}.prefix: does not go together with expression",
        ),
    ),
    "both for the UID": (
        source(issuer(claimMappings={"uid": {"claim": "a", "expression": "claims.a"}})),
        (f"{MAPS}uid: has both claim and expression",),
    ),
    "an address that may not be verified": (
        source(issuer(claimMappings={"username": {"expression": "'x:' + claims.email"}})),
        (f"{USER}.expression: uses claims.email, and nothing asks for claims.email_verified",),
    ),
    "verified in a string alone": (
        source(
            issuer(
                claimMappings={"username": {"expression": "claims.?email.orValue('claims.email_verified')"}}
            )
        ),
        (f"{USER}.expression: uses claims.email",),
    ),
    "Kubernetes' prefix": (
        source(issuer(claimMappings={"username": {"claim": "sub", "prefix": "system:oidc:"}})),
        (f"{USER}.prefix: 'system:oidc:' is reserved for Kubernetes",),
    ),
    "what looks like Kubernetes' prefix": (
        source(issuer(claimMappings={"groups": {"claim": "groups", "prefix": "SYSTEM:"}})),
        (f"{MAPS}groups.prefix: 'SYSTEM:' is reserved for Kubernetes",),
    ),
    "keys of attributes": (
        source(
            issuer(
                claimMappings={
                    "extra": [
                        {"key": key, "valueExpression": "claims.a"}
                        for key in (
                            "team",
                            "a.k8s.io/b",
                            "kubernetes.io/b",
                            "A.example/b",
                            "b.example/",
                            "/b",
                        )
                    ]
                }
            )
        ),
        (
            f"{MAPS}extra[0].key: must be a name below a domain of yours",
            f"{MAPS}extra[1].key: is reserved",
            f"{MAPS}extra[2].key: is reserved",
            f"{MAPS}extra[3].key: must be a name below",
            f"{MAPS}extra[4].key: must be a name below",
            f"{MAPS}extra[5].key: must be a name below",
        ),
    ),
    "a key twice": (
        source(
            issuer(claimMappings={"extra": [{"key": "a.example/b", "valueExpression": "claims.a"}] * 2}),
        ),
        (f"{MAPS}extra[1].key: stands there already",),
    ),
    "rules of claims": (
        source(
            issuer(
                claimValidationRules=[
                    {"claim": "a", "expression": "claims.a"},
                    {},
                    {"claim": "b", "message": "c"},
                    {"expression": "claims.a", "requiredValue": "c"},
                    {"claim": "b"},
                ]
            )
        ),
        (
            f"{JWT}claimValidationRules[0]: must have claim or expression, and not both",
            f"{JWT}claimValidationRules[1]: must have claim or expression",
            f"{JWT}claimValidationRules[2].message: goes together with expression alone",
            f"{JWT}claimValidationRules[3].expression: stands there already",
            f"{JWT}claimValidationRules[3].requiredValue: goes together with claim alone",
            f"{JWT}claimValidationRules[4].claim: stands there already",
        ),
    ),
    "a rule of users twice": (
        source(issuer(userValidationRules=[{"expression": "true"}, {"expression": "true"}])),
        (f"{JWT}userValidationRules[1].expression: stands there already",),
    ),
    "expressions": (
        source(
            issuer(userValidationRules=[{"expression": each} for each in ("a(", "b]", "'c", " ", "f([)]")])
        ),
        (
            f"{JWT}userValidationRules[0].expression: lacks a )",
            f"{JWT}userValidationRules[1].expression: has a ] that nothing opens",
            f"{JWT}userValidationRules[2].expression: has a quote that is not closed",
            f"{JWT}userValidationRules[3].expression: is empty",
            f"{JWT}userValidationRules[4].expression: has a ) that nothing opens",
        ),
    ),
    "groups that nobody is in": (
        source(
            {**issuer(groups=[{"name": "a", **RIGHTS}]), "claimMappings": {"username": MAPPINGS["username"]}}
        ),
        (f"{JWT}groups: nobody is in them",),
    ),
    "groups of the spec": (
        source(issuer(groups=[{"name": "a", **RIGHTS}]), groups=[{"name": "oidc:a", **RIGHTS}]),
        (f"{JWT}groups[0].name: 'oidc:a' has an entry already",),
    ),
    "groups without rights": (
        source(issuer(groups=[{"name": "a"}])),
        (f"{JWT}groups[0]: is given nothing",),
    ),
    "groups of Kubernetes": (
        source(
            issuer(
                claimMappings={"groups": {"claim": "g", "prefix": ""}},
                groups=[{"name": "kubeadm:cluster-admins", **RIGHTS}],
            )
        ),
        (f"{JWT}groups[0].name: 'kubeadm:cluster-admins' is reserved for Kubernetes",),
    ),
    "a long group": (
        source(issuer(groups=[{"name": "a" * 60, **RIGHTS}])),
        (f"{JWT}groups[0].name: with its prefix is 65 characters long",),
    ),
    "a user's kubeconfig": (
        source(issuer(kubeconfig={}), users=[{"name": "oidc-people"}]),
        (f"{JWT}name: its kubeconfig would be that of the user oidc-people",),
    ),
    "conditions of nothing": (
        source(anonymous={"enabled": False, "conditions": path("/livez", "/readyz")}, runtime="systemd"),
        ("spec.authentication.anonymous.conditions: go together with enabled: true alone",),
    ),
    "no probes": (
        source(anonymous={"enabled": False}),
        ("spec.authentication.anonymous.enabled: must be true: the kubelet's probes",),
    ),
    "half of the probes": (
        source(anonymous={"enabled": True, "conditions": path("/livez")}),
        ("spec.authentication.anonymous.conditions: lack /readyz: the kubelet's probes",),
    ),
    "a pattern": (
        source(anonymous={"enabled": True, "conditions": path("/livez/*")}),
        ("spec.authentication.anonymous.conditions[0].path: is compared with the whole path",),
    ),
    "another file": (
        source(**flags(("authentication-config", "/etc/own.yaml"))),
        ("spec.apiServer.extraArgs[0]: replaces the file that spec.authentication makes",),
    ),
    "flags of an issuer": (
        source(**flags(("oidc-issuer-url", "https://a.example"), ("oidc-client-id", "a"))),
        (
            "spec.apiServer.extraArgs[0].name: 'oidc-issuer-url' excludes authentication-config",
            "spec.apiServer.extraArgs[1].name: 'oidc-client-id' excludes authentication-config",
        ),
    ),
    "a flag for anonymous access": (
        source(anonymous={"enabled": True}, **flags(("anonymous-auth", "true"))),
        ("spec.apiServer.extraArgs[0].name: 'anonymous-auth' excludes spec.authentication.anonymous",),
    ),
    "static tokens": (
        source(**flags(("token-auth-file", "/etc/tokens.csv"))),
        ("spec.apiServer.extraArgs[0].name: 'token-auth-file' lets in whoever has a token of that file",),
    ),
    "passwords": (
        source(**flags(("basic-auth-file", "/etc/passwords.csv"))),
        ("spec.apiServer.extraArgs[0].name: 'basic-auth-file' is not a",),
    ),
}

REFUSED |= {
    "a proxy twice": (
        source(authentication={"proxies": [{"name": "gate"}, {"name": "gate"}]}),
        ("spec.authentication.proxies[1].name: 'gate' is the name of an earlier proxy already",),
    ),
    "the API servers' own name": (
        source(authentication={"proxies": [{"name": "front-proxy-client"}]}),
        ("spec.authentication.proxies[0].name: 'front-proxy-client' is the API servers' own name",),
    ),
    "a proxy in the place of a user": (
        source(authentication={"proxies": [{"name": "gate"}]}, users=[{"name": "proxy-gate"}]),
        ("spec.authentication.proxies[0].name: its kubeconfig would be that of the user proxy-gate",),
    ),
    "a list of names without the proxy": (
        source(
            authentication={"proxies": [{"name": "gate"}, {"name": "door"}]},
            **flags(("requestheader-allowed-names", "front-proxy-client,gate")),
        ),
        ("spec.apiServer.extraArgs[0]: lacks door of spec.authentication.proxies",),
    ),
}

WARNED: dict[str, tuple[str, tuple[str, ...]]] = {
    "names of others": (
        source(issuer(claimMappings={"username": {"claim": "sub", "prefix": ""}}), users=[{"name": "ann"}]),
        (f"{USER}.prefix: is empty: who gets a token in the name of one of spec.users",),
    ),
    "a path twice": (
        source(anonymous={"enabled": True, "conditions": path("/livez", "/readyz", "/livez")}),
        ("spec.authentication.anonymous.conditions[2].path: '/livez' stands there already",),
    ),
    "manifests of somebody else's": (
        source(issuer(), manage=["addons"]),
        (
            (
                "spec.authentication: is read once --authentication-config=/etc/kubernetes/pki/"
                "authentication-config.yaml is in the manifests"
            ),
        ),
    ),
    "proxies whose names others write": (
        source(authentication={"proxies": [{"name": "gate"}]}, manage=["addons"]),
        (
            (
                "spec.authentication.proxies: are believed once "
                "--requestheader-allowed-names=front-proxy-client,gate is in the manifests"
            ),
        ),
    ),
    "probes that are refused": (
        source(**flags(("anonymous-auth", "false"))),
        ("spec.apiServer.extraArgs[0]: the kubelet's probes show no credential",),
    ),
    "static tokens of an adopted cluster": (
        source(manage=[], **flags(("token-auth-file", "/t"), ("authentication-config", OWN))),
        ("spec.apiServer.extraArgs[0].name: 'token-auth-file' lets in whoever",),
    ),
}

HARMLESS = {
    "a list of names with the proxy": source(
        authentication={"proxies": [{"name": "gate"}]},
        **flags(("requestheader-allowed-names", "gate,front-proxy-client")),
    ),
    "v1.30": source(issuer(), kubernetesVersion="v1.30.0"),
    "the gate of v1.31": source(
        anonymous={"enabled": True},
        kubernetesVersion="v1.31.0",
        **flags(("feature-gates", "AnonymousAuthConfigurableEndpoints=true")),
    ),
    "units have no probes": source(anonymous={"enabled": False}, runtime="systemd"),
    "verified": source(
        issuer(
            claimMappings={"username": {"expression": "claims.email"}},
            claimValidationRules=[{"expression": "claims.?email_verified.orValue(true) == true"}],
        )
    ),
    "an address in a string": source(issuer(claimMappings={"username": {"expression": "'claims.email'"}})),
    "Kubernetes' prefix for a reason": source(
        issuer(
            claimMappings={"username": {"claim": "sub", "prefix": "system:node:"}},
            allowSystemIdentity="nodes of another network",
        )
    ),
    "pkigen's own file": source(**flags(("authentication-config", OWN))),
    "a CA with comments": source(issuer(issuer={"certificateAuthority": f"# ours\n{PEM}# and no more\n"})),
    "quotes and brackets in strings": source(
        issuer(
            userValidationRules=[
                {"expression": each}
                for each in (
                    "user.username != ')'",
                    'user.username.matches(r"[a-z\\]+")',
                    "user.username != 'it\\'s (' // ] a comment's",
                    'user.username != """"a" ("""',
                )
            ]
        )
    ),
}


def without_place(found: list[str]) -> list[str]:
    return [text.partition(": ")[2] for text in found]


def check(found: list[str], expected: tuple[str, ...]) -> None:
    said = without_place(found)
    assert [text[: len(start)] for text, start in zip(said, expected, strict=False)] == list(expected), said
    assert len(said) == len(expected), said


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_problems(text: str, expected: tuple[str, ...]) -> None:
    check(problems(text), expected)


@pytest.mark.parametrize(("text", "expected"), WARNED.values(), ids=WARNED)
def test_warnings(text: str, expected: tuple[str, ...]) -> None:
    check(warnings(text), expected)


def test_a_list_of_names_without_the_api_servers_own_is_a_warning() -> None:
    flag = "{name: requestheader-allowed-names, value: %s}"
    given = "  apiServer: {extraArgs: [" + flag + "]}\n"
    assert warnings(spec(given % "front-proxy-client")) == []
    [told] = warnings(spec(given % "aggregator"))
    assert "extraArgs[0]: lacks front-proxy-client, as whom API servers forward requests" in told
    own = "  certificates: {overrides: {front-proxy-client: {user: aggregator}}}\n"
    assert warnings(spec(given % "aggregator" + own)) == []
    [told] = warnings(spec(given % "front-proxy-client" + own))
    assert "extraArgs[0]: lacks aggregator" in told
    assert warnings(spec(given % '""')) == []


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_said_about(text: str) -> None:
    assert warnings(text) == []


def test_only_the_certificates_are_kept_of_a_text() -> None:
    authentication = loaded(
        source(issuer(issuer={"certificateAuthority": f"# ours\n{PEM}"}))
    ).spec.spec.authentication
    assert authentication is not None
    assert authentication.jwt[0].issuer.certificate_authority == PEM
