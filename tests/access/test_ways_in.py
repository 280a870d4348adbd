"""By which way somebody is let in, in words; tests/live/test_ways_in.py asks an API server."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pkigen.access import explanation, outcome, ways_in
from pkigen.access.credentials import of_entry
from pkigen.access.kubeconfigs import NamedEntry
from pkigen.desired.inventory import Inventory, derive
from pkigen.state.views import EmptyView
from tests.samples import CP1, spec

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
PEOPLE: dict[str, Any] = {
    "name": "people",
    "issuer": {"url": "https://login.example.org", "audiences": ["kubernetes"]},
    "claimMappings": {
        "username": {"claim": "email", "prefix": "oidc:"},
        "groups": {"claim": "groups", "prefix": "oidc:"},
    },
    "claimValidationRules": [{"claim": "hd", "requiredValue": "example.org"}],
    "groups": [{"name": "developers", "clusterRoles": ["view"]}],
    "kubeconfig": {},
}
MACHINES: dict[str, Any] = {
    "name": "machines",
    "issuer": {"url": "https://ci.example.org", "audiences": ["ci"]},
    "claimMappings": {"username": {"expression": "claims.sub"}},
}
OPEN = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}


def inventory(*jwt: dict[str, Any], **more: Any) -> Inventory:
    return derive(spec(CP1, authentication={"jwt": list(jwt), **more}, users=[{"name": "dev1"}]))


BOTH = inventory(PEOPLE, MACHINES, anonymous=OPEN, proxies=[{"name": "gate"}])


def said(who: str, cluster: Inventory = BOTH) -> str:
    found = explanation.explain(explanation.Cluster(inventory=cluster, reader=EmptyView(), now=NOW), who)
    return "\n".join(found or ())


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (
            "people",
            (
                "people: the people of the issuer https://login.example.org",
                "users/oidc-people.conf, the same for all, without a secret",
                "the bearer token that `kubectl oidc-login` gets",
                "(/etc/kubernetes/pki/authentication-config.yaml)",
                "by the keys of https://login.example.org, for kubernetes",
                "user oidc:<claim email>, groups oidc:<claim groups>",
                "ClusterRole view in the whole cluster (addons/group-oidc=3Adevelopers.yaml)",
                "on expiry:    the API server answers 401",
            ),
        ),
        ("https://ci.example.org", ("machines: the people of", "user <expression claims.sub>, no groups")),
        ("oidc:ann@example.org", ("oidc:ann@example.org: let in by the issuer people",)),
        ("oidc:developers", ("oidc:developers: a group", "whoever is in it by the issuer people")),
        (
            "dev1",
            (
                "user:dev1: a client certificate",
                "dev1: may also come in by a token of the issuer machines",
            ),
        ),
        (
            "gate",
            (
                "proxy:gate: a client certificate, CN=gate",
                "file:         users/proxy-gate.conf",
                "kube-apiserver --requestheader-client-ca-file and --requestheader-allowed-names",
                "permissions:  to be anybody, system:masters too",
                "signed by:    front-proxy-ca",
                "on expiry:    the API server answers 401 Unauthorized to everybody who comes through",
            ),
        ),
        ("system:anonymous", ("let in at:    /livez, /readyz alone (spec.authentication.anonymous)",)),
        ("system:bootstrap:abcdef", ("let in by a bootstrap token", "bootstrap-token-abcdef")),
        (
            "system:serviceaccount:web:robot",
            ("let in by a token of the service account web/robot", "--service-account-key-file"),
        ),
        (
            "authentication",
            (
                "X-Remote-User",
                "front-proxy-client, gate",
                "--client-ca-file",
                "of the issuer people, https://login.example.org (--authentication-config)",
                "of the issuer machines",
                "system:anonymous, at /livez, /readyz alone",
                "static tokens (--token-auth-file),",
            ),
        ),
    ],
)
def test_who(who: str, expected: tuple[str, ...]) -> None:
    text = said(who)
    assert [part for part in expected if part not in text] == [], text


@pytest.mark.parametrize("who", ["people", "oidc:ann@example.org", "machines", "gate"])
def test_each_thing_is_said_once(who: str) -> None:
    lines = [line for line in said(who).splitlines() if line.strip()]
    assert len(lines) == len(set(lines))


def test_names_are_known_for_suggestions() -> None:
    known = {"people", "https://ci.example.org", "system:anonymous", "authentication", "oidc:developers"}
    assert known <= set(explanation.names(BOTH))


def test_nobody_is_let_in_as_what_is_reserved() -> None:
    assert "machines" not in said("kubernetes-admin")
    admin = {"name": "kubernetes-admin", "allowSystemIdentity": "ours"}
    for reason, is_possible in (({}, False), ({"allowSystemIdentity": "ours"}, True)):
        given = {"jwt": [{**MACHINES, **reason}]}
        own = derive(spec(CP1, authentication=given, users=[admin]))
        assert bool(list(ways_in.others(own, "kubernetes-admin"))) is is_possible
    assert not list(ways_in.others(BOTH, "kubernetes-admin"))
    assert said("nobody") == said("oidc:") == ""


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, "every path; RBAC decides"),
        ({"apiServer": {"extraArgs": [{"name": "anonymous-auth", "value": "false"}]}}, "nowhere (--anony"),
        (
            {"runtime": "systemd", "authentication": {"anonymous": {"enabled": False}}},
            "nowhere (spec.authentication.anonymous)",
        ),
        ({"apiServer": {"extraArgs": [{"name": "anonymous-auth", "value": "0"}]}}, "nowhere (--anonymous-"),
        ({"authentication": {"anonymous": {"enabled": True}}}, "every path; RBAC decides"),
    ],
)
def test_where_nothing_is_enough(settings: dict[str, Any], where: str) -> None:
    assert where in said("system:anonymous", derive(spec(CP1, **settings)))


def test_flags_that_open_ways() -> None:
    arguments = {
        "oidc-issuer-url": "https://flag.example",
        "token-auth-file": "/t.csv",
        "authentication-token-webhook-config-file": "/w",
    }
    extra = [{"name": name, "value": value} for name, value in arguments.items()]
    text = said("authentication", derive(spec(CP1, manage=[], apiServer={"extraArgs": extra})))
    assert "of the issuer https://flag.example (--oidc-issuer-url)" in text
    assert "static ones in /t.csv (--token-auth-file): remove them" in text
    assert "whatever the webhook knows" in text
    # The order of pkg/kubeapiserver/authenticator/config.go.
    order = ["static ones", "of service accounts", "of the issuer", "the webhook knows"]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)
    assert "and static tokens" not in text


@pytest.mark.parametrize("value", ["false", "0", "F"])
def test_bootstrap_tokens_may_be_off(value: str) -> None:
    extra = [{"name": "enable-bootstrap-token-auth", "value": value}]
    cluster = derive(spec(CP1, apiServer={"extraArgs": extra}))
    assert "bootstrap" not in said("authentication", cluster)
    assert "let in by nothing" in said("system:bootstrap:abcdef", cluster)


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("requestheader-allowed-names", "front-proxy-client,old", "front-proxy-client, old"),
        ("requestheader-allowed-names", "", "any name, because the list is empty"),
        ("authentication-config", "/etc/own.yaml", "of the issuers that /etc/own.yaml names"),
    ],
)
def test_flags_of_ones_own_count(flag: str, value: str, expected: str) -> None:
    extra = [{"name": flag, "value": value}]
    assert expected in said("authentication", derive(spec(CP1, apiServer={"extraArgs": extra})))


def token(**claims: Any) -> str:
    whole = {
        "iss": "https://login.example.org",
        "aud": "kubernetes",
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
        "email": "ann@example.org",
        "hd": "example.org",
        "groups": ["developers"],
        **claims,
    }
    parts = ({"alg": "ES256"}, {name: value for name, value in whole.items() if value is not None})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join((*encoded, "c2ln"))


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, "the issuer people lets it in as oidc:ann@example.org, groups oidc:developers,"),
        ({"groups": "developers"}, "lets it in as oidc:ann@example.org, groups oidc:developers,"),
        ({"groups": 7}, "lets it in as oidc:ann@example.org,"),
        ({"aud": ["vault"]}, "does not let it in: it is for vault, and must be for kubernetes"),
        ({"aud": None}, "it is for nobody, and must be for kubernetes"),
        ({"exp": 7}, "does not let it in: the token expired 1970-01-01"),
        ({"hd": "other"}, "does not let it in: its claim hd is not example.org"),
        ({"email": None}, "does not let it in: it has no claim email"),
        ({"email_verified": False}, "does not let it in: its email is not verified"),
        ({"iss": "https://unknown.example"}, "no key of pkigen's has signed it"),
        ({"iss": "https://ci.example.org", "aud": "ci"}, "lets it in as what claims.sub gives,"),
    ],
)
def test_a_token(claims: dict[str, Any], expected: str) -> None:
    cluster = explanation.Cluster(inventory=BOTH, reader=EmptyView(), now=NOW)
    text = "\n".join(outcome.of_token(token(**claims), cluster))
    assert expected in text
    if not claims:
        assert "permissions:  ClusterRole view in the whole cluster" in text


def test_a_token_that_would_be_somebody_of_kubernetes() -> None:
    plain = {**PEOPLE, "claimMappings": {key: {"claim": key, "prefix": ""} for key in ("username", "groups")}}
    cluster = explanation.Cluster(inventory=inventory({**plain, "groups": []}), reader=EmptyView(), now=NOW)
    for claims, fault in (
        ({"username": "kubernetes-admin"}, "the user kubernetes-admin is reserved"),
        ({"username": "a", "groups": ["system:masters"]}, "the group system:masters is reserved"),
    ):
        assert fault in "\n".join(outcome.of_token(token(**claims), cluster))


@pytest.mark.parametrize(
    ("program", "logs_in"),
    [
        ({"args": ["oidc-login", "--oidc-issuer-url=https://a.example"]}, True),
        ({"args": [7]}, False),
        ({"args": "x"}, False),
        ("x", False),
    ],
)
def test_a_kubeconfig_that_logs_in(program: Any, logs_in: bool) -> None:  # noqa: FBT001 -- a table
    entry = NamedEntry(name="a", fields={"exec": program}, origin=Path("/x"))
    found = of_entry(entry, lambda _: "is not there", now=NOW)
    assert ("it logs in at https://a.example" in found.details) is logs_in
