"""The configuration that API servers authorize by, judged by the rules of those that would refuse it."""

from __future__ import annotations

import copy
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.inventory import derive
from pkigen.desired.rendering import authorization
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList, marker
from pkigen.errors import TemplateError
from tests.desired.rendering.clusters import cluster, one, render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
FILE = "authorization-config.yaml"


def revoked(*credentials: str) -> tuple[Revocation, ...]:
    return tuple(
        Revocation(
            credential=CredentialId.parse(each), of="user:dev1", reason="stolen", revoked=NOW, expires=None
        )
        for each in credentials
    )


def certificates(count: int) -> list[str]:
    return [f"X509SHA256={hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(count)]


def configuration(*credentials: str) -> Any:
    return yaml.safe_load(
        one(render(derive(cluster(), revocations=RevocationList(active=revoked(*credentials)))), FILE)
    )


def test_an_empty_list_is_node_and_rbac() -> None:
    assert configuration()["authorizers"] == [
        {"type": "Node", "name": "node"},
        {"type": "RBAC", "name": "rbac"},
    ]


def test_who_is_revoked_is_refused_first() -> None:
    ids = [*certificates(2), "JTI=abc"]
    first, *others = configuration(*ids, "USER=system:node:worker-1")["authorizers"]
    assert [each["name"] for each in others] == ["revoked-2", "node", "rbac"]
    assert first["type"] == "Webhook"
    assert first["webhook"]["failurePolicy"] == "Deny"
    assert first["webhook"]["connectionInfo"] == {
        "type": "KubeConfigFile",
        "kubeConfigFile": "/etc/kubernetes/pki/authorization-webhook.yaml",
    }
    has, listed = (each["expression"] for each in first["webhook"]["matchConditions"])
    assert has == "'authentication.kubernetes.io/credential-id' in request.extra"
    mark = str(marker(revoked(*ids, "USER=system:node:worker-1")))
    assert re.findall(r"'([A-Z0-9]+=[^']+)'", listed) == sorted([*ids, mark])
    (users,) = (each["expression"] for each in others[0]["webhook"]["matchConditions"])
    assert users == "request.user in ['system:node:worker-1']"


def test_the_order_means_nothing() -> None:
    ids = certificates(5)
    assert configuration(*ids) == configuration(*ids[::-1])


@pytest.mark.parametrize(("count", "authorizers"), [(1, 1), (1099, 1), (1199, 2), (10_000, 9)])
def test_no_expression_is_longer_than_cel_takes(count: int, authorizers: int) -> None:
    ids = certificates(count)
    found = [each for each in configuration(*ids)["authorizers"] if each["type"] == "Webhook"]
    assert len(found) == authorizers
    texts = [each["webhook"]["matchConditions"][1]["expression"] for each in found]
    assert max(map(len, texts)) <= 100_000
    listed = [each for text in texts for each in re.findall(r"X509SHA256=[0-9a-f]{64}", text)]
    assert sorted(listed) == sorted([*ids, str(marker(revoked(*ids)))])


# -- the API server's rules --------------------------------------------------------------------------------

FULL = configuration(*certificates(2), "USER=system:node:worker-1")


def _at(content: Any, *path: str | int) -> Any:
    for step in path:
        content = content[step]
    return content


def change(*path: str | int, value: Any) -> Callable[[Any], None]:
    def edit(content: Any) -> None:
        _at(content, *path[:-1])[path[-1]] = value

    return edit


def drop(*path: str | int) -> Callable[[Any], None]:
    def edit(content: Any) -> None:
        del _at(content, *path[:-1])[path[-1]]

    return edit


WEBHOOK = ("authorizers", 0, "webhook")
CONDITION = (*WEBHOOK, "matchConditions")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (change("apiVersion", value="apiserver.config.k8s.io/v1beta1"), "no AuthorizationConfiguration"),
        (change("kind", value="AuthenticationConfiguration"), "no AuthorizationConfiguration"),
        (change("more", value=1), "a field that the API server does not know"),
        (change("authorizers", value=[]), "has no authorizers"),
        (change("authorizers", value={}), "has no authorizers"),
        (drop("authorizers"), "has no authorizers"),
        (change("authorizers", 2, value="node"), "authorizers[2] is no mapping"),
        (change("authorizers", 2, "more", value=1), "authorizers[2] has a field"),
        (change("authorizers", 2, "type", value="Scope"), "has no type that the API server knows"),
        (drop("authorizers", 2, "type"), "has no type"),
        (change("authorizers", 2, "name", value="nodes"), "is not called node"),
        (change("authorizers", 0, "name", value="Revoked"), "DNS subdomain"),
        (change("authorizers", 0, "name", value="a" * 254), "DNS subdomain"),
        (change("authorizers", 0, "name", value=1), "DNS subdomain"),
        (change("authorizers", 0, "name", value="node"), "two authorizers have the name node"),
        (change("authorizers", 2, value={"type": "RBAC", "name": "rbac"}), "the type RBAC"),
        (change("authorizers", 2, "webhook", value={}), "has a webhook, and is none"),
        (drop(*WEBHOOK), "webhook is no mapping"),
        (change(*WEBHOOK, "more", value=1), "has a field"),
        *((drop(*WEBHOOK, name), f"webhook.{name}") for name in authorization.WEBHOOK_FIELDS),
        (change(*WEBHOOK, "timeout", value="31s"), "timeout"),
        (change(*WEBHOOK, "timeout", value="0s"), "timeout"),
        (change(*WEBHOOK, "timeout", value=1), "timeout"),
        (change(*WEBHOOK, "authorizedTTL", value="-1s"), "authorizedTTL"),
        (change(*WEBHOOK, "failurePolicy", value="Ignore"), "failurePolicy"),
        (change(*WEBHOOK, "failurePolicy", value=["Deny"]), "failurePolicy"),
        (change(*WEBHOOK, "subjectAccessReviewVersion", value="v2"), "subjectAccessReviewVersion"),
        (drop(*WEBHOOK, "connectionInfo"), "connectionInfo is no mapping"),
        (change(*WEBHOOK, "connectionInfo", "type", value="InClusterConfig"), "absolute path"),
        (change(*WEBHOOK, "connectionInfo", "kubeConfigFile", value="webhook.yaml"), "absolute path"),
        (change(*WEBHOOK, "connectionInfo", "kubeConfigFile", value=None), "absolute path"),
        (change(*WEBHOOK, "connectionInfo", "more", value=1), "has a field"),
        (drop(*CONDITION), "are not 1 to 64"),
        (change(*CONDITION, value=[]), "are not 1 to 64"),
        (change(*CONDITION, value=[{"expression": str(n)} for n in range(65)]), "are not 1 to 64"),
        (change(*CONDITION, 0, value="true"), "is no mapping"),
        (change(*CONDITION, 0, "more", value=1), "has a field"),
        (change(*CONDITION, 0, "expression", value=""), "can judge"),
        (change(*CONDITION, 0, "expression", value=True), "can judge"),
        (change(*CONDITION, 0, "expression", value="'it's' == 'x'"), "can judge"),
        (change(*CONDITION, 1, "expression", value="request.user in []"), "can judge"),
        (change(*CONDITION, 1, "expression", value=f"request.user in ['{'a' * 100_000}']"), "can judge"),
        (change(*CONDITION, 1, "expression", value=_at(FULL, *CONDITION, 0, "expression")), "twice"),
    ],
)  # fmt: skip
def test_what_an_api_server_refuses_is_found(edit: Callable[[Any], None], complaint: str) -> None:
    content = copy.deepcopy(FULL)
    assert list(authorization.faults(content)) == []
    edit(content)
    assert any(complaint in fault for fault in authorization.faults(content))


@pytest.mark.parametrize("content", [None, [], "text", 5, {}])
def test_what_is_no_mapping_at_all_is_found(content: Any) -> None:
    assert list(authorization.faults(content))


# -- templates of somebody's own ---------------------------------------------------------------------------


def _overridden(tmp_path: Path, text: str, name: str = FILE) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / f"{name}.j2").write_text(text)
    render(derive(cluster(), revocations=RevocationList(active=revoked(*certificates(1)))), overrides=folder)


EMPTY = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers: [{type: Node, name: node}, {type: RBAC, name: rbac}]
"""
ORIGINAL = '{% include "pkigen/authorization-config.yaml.j2" %}'


def test_a_template_may_add_an_authorizer_after_those_that_refuse(tmp_path: Path) -> None:
    _overridden(tmp_path, f"{ORIGINAL}\n- {{type: ABAC, name: abac}}\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{ORIGINAL}\n- {{type: ABAC, name: policies}}\n", "is not called abac"),
        (f"{ORIGINAL}\n---\n{{}}\n", "not one document"),
        (
            EMPTY,
            "not those that refuse what is revoked",
        ),
        ("authorizers: [}\n", "does not render YAML"),
        ("", "not one document"),
    ],
)
def test_a_template_that_would_let_somebody_in_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=re.escape(complaint)):
        _overridden(tmp_path, text)


def test_a_webhook_that_leads_somewhere_is_refused(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n"
        "clusters: [{name: nowhere, cluster: {server: 'https://10.0.0.1/'}}]\n"
        "contexts: [{name: nowhere, context: {cluster: nowhere, user: ''}}]\n"
    )
    with pytest.raises(TemplateError, match="does not lead nowhere"):
        _overridden(tmp_path, text, "authorization-webhook.yaml")


def test_without_node_or_rbac_a_running_api_server_would_not_take_it() -> None:
    content = copy.deepcopy(FULL)
    del content["authorizers"][-1]
    context = authorization.context_of(cluster(), revoked(*certificates(2), "USER=system:node:worker-1"))
    assert authorization.missing(FULL, context) is None
    assert "lacks Node or RBAC" in (authorization.missing(content, context) or "")
