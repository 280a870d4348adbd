"""Flags of the API server that exclude or need one another."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.desired.rendering.reference_programs import find
from tests.spec.sources import assert_starts, case, loaded, problems, spec, warnings

if TYPE_CHECKING:
    from pathlib import Path

JWT = """\
  authentication:
    jwt:
      - name: sso
        issuer: {url: https://sso.example.com, audiences: [a]}
        claimMappings: {username: {claim: sub, prefix: "oidc:"}}
"""
ANONYMOUS = "  authentication: {anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}}\n"
PROXIES = "  authentication: {proxies: [{name: portal}]}\n"
ISSUER = "oidc-issuer-url=https://sso.example.com"
ONE_CA = "requestheader-client-ca-file=/etc/kubernetes/pki/ca.crt"


def flags(*given: str, body: str = "", version: str = "v1.36.2") -> str:
    """Each flag on a line of its own, from line 9 on."""
    pairs = (each.partition("=") for each in given)
    lines = "".join(f"      - {{name: {name}, value: '{value}'}}\n" for name, _, value in pairs)
    return spec(f"  apiServer:\n    extraArgs:\n{lines}{body}").replace("v1.36.2", version)


def at(line: int, index: int, message: str) -> str:
    return f"{line}:16: spec.apiServer.extraArgs[{index}].name: {message}"


REFUSED = [
    case(
        "issuer-by-flags-and-by-file",
        flags(ISSUER, "oidc-client-id=a", body=JWT),
        at(
            9,
            0,
            "'oidc-issuer-url' excludes authentication-config: write the issuer into spec.auth",
        ),
        at(10, 1, "'oidc-client-id' excludes authentication-config"),
    ),
    case(
        "with-a-file-of-ones-own",
        flags("authentication-config=/etc/kubernetes/own.yaml", "oidc-username-claim=sub"),
        at(10, 1, "'oidc-username-claim' excludes authentication-config"),
    ),
    case(
        "anonymous-twice",
        flags("anonymous-auth=true", body=ANONYMOUS),
        at(9, 0, "'anonymous-auth' excludes spec.authentication.anonymous: remove the flag"),
    ),
    case(
        "half-an-issuer",
        flags(ISSUER),
        at(9, 0, "'oidc-issuer-url' needs oidc-issuer-url and oidc-client-id, both of them"),
    ),
    case(
        "authorizers-by-file-and-by-flags",
        flags("authorization-config=/a.yaml", "authorization-mode=RBAC"),
        at(10, 1, "'authorization-mode' excludes authorization-config: remove one of them"),
    ),
    case(
        "authorizers-by-file-before-it-replaced-the-mode",
        flags("authorization-config=/a.yaml", version="v1.29.1"),
        at(9, 0, "'authorization-mode' excludes authorization-config"),
    ),
    case(
        "a-webhook-that-no-mode-asks",
        flags("authorization-webhook-config-file=/etc/kubernetes/pki/w.conf"),
        at(9, 0, "'authorization-webhook-config-file' needs the mode Webhook in authorization-mode"),
    ),
    case(
        "modes",
        flags("authorization-mode=Node,RBAC,ABAC,Node,Rbac"),
        at(9, 0, "the mode ABAC needs authorization-policy-file"),
        at(9, 0, "'Rbac' is no mode: choose of ABAC, AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook"),
        at(9, 0, "'Node,RBAC,ABAC,Node,Rbac' names a mode twice"),
    ),
    case(
        "tokens-signed-elsewhere",
        flags("service-account-signing-endpoint=/run/signer.sock"),
        at(9, 0, "'service-account-signing-endpoint' excludes service-account-signing-key-file and service-"),
    ),
    case(
        "reload-of-nothing",
        flags("encryption-provider-config-automatic-reload=true"),
        at(
            9,
            0,
            "'encryption-provider-config-automatic-reload' needs encryption-provider-config: set",
        ),
    ),
    case(
        "admission-the-old-way-too",
        flags("admission-control=NodeRestriction", "enable-admission-plugins=NodeRestriction"),
        at(9, 0, "'admission-control' excludes enable-admission-plugins: use the latter"),
    ),
    case(
        "one-ca-for-clients-and-proxies",
        flags("requestheader-allowed-names=", ONE_CA, version="v1.35.0"),
        at(
            9,
            0,
            "requestheader-allowed-names is empty, and client-ca-file and requestheader-cli",
        ),
    ),
]
TAKEN = [
    case("an-issuer-by-flags", flags(ISSUER, "oidc-client-id=a")),
    case("an-issuer-by-flags-beside-proxies", flags(ISSUER, "oidc-client-id=a", body=PROXIES)),
    case("anonymous-beside-issuers", flags("anonymous-auth=true", body=JWT)),
    case(
        "a-webhook",
        flags(
            "authorization-mode=Node,RBAC,Webhook",
            "authorization-webhook-config-file=/etc/kubernetes/pki/w.conf",
        ),
    ),
    case(
        "tokens-by-webhook",
        flags("authentication-token-webhook-config-file=/etc/kubernetes/pki/w.conf", body=JWT),
    ),
    case("authorizers-by-file", flags("authorization-config=/etc/kubernetes/pki/a.yaml")),
    case("no-reload", flags("encryption-provider-config-automatic-reload=false")),
    case("reload", flags("encryption-provider-config-automatic-reload=true", body="  encryption: {}\n")),
    case("one-ca-with-names", flags(ONE_CA)),
    case("no-names-and-two-cas", flags("requestheader-allowed-names=")),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_refused(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "_expected"), TAKEN)
def test_taken(source: str, _expected: tuple[str, ...]) -> None:
    assert not loaded(source).warnings


def test_one_ca_without_names_was_only_unsafe_once() -> None:
    source = flags("requestheader-allowed-names=", ONE_CA, version="v1.34.9")
    assert_starts(warnings(source), (at(9, 0, "requestheader-allowed-names is empty, and client-ca-file"),))


def test_where_others_write_the_manifests_it_is_a_warning() -> None:
    source = flags("authorization-config=/a.yaml", "authorization-mode=RBAC", body="  manage: []\n")
    assert_starts(warnings(source), (at(10, 1, "'authorization-mode' excludes authorization-config"),))


TOGETHER = {
    "authentication-config=/a.yaml oidc-client-id=a": "config file and oidc-* flags are mutually exclusive",
    "oidc-client-id=a": "oidc-issuer-url and oidc-client-id must be specified together",
    "authorization-config=/a.yaml authorization-mode=RBAC": "can not be specified when --authorization-mode",
    "authorization-webhook-config-file=/w authorization-mode=Node": "without mode Webhook",
    "authorization-mode=ABAC": "ABAC's authorization policy file not passed",
    "authorization-mode=Rbac": '"Rbac" is not a valid mode',
    "authorization-mode=Node,Node": "has mode specified more than once",
    "service-account-signing-endpoint=/s": "signing-endpoint are mutually exclusive",
    "encryption-provider-config-automatic-reload=true": "must be set with --encryption-provider-config",
    "admission-control=X enable-admission-plugins=X": "enable-admission-plugins flags are mutually exclusive",
    "client-ca-file={ca} requestheader-client-ca-file={ca}": "allowed-names must be specified",
}


@pytest.mark.live
@pytest.mark.parametrize("given", TOGETHER)
def test_the_api_server_refuses_them(given: str, tmp_path: Path) -> None:
    program, ca, key = find("kube-apiserver"), tmp_path / "ca.crt", tmp_path / "ca.key"
    making = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca"
    subprocess.run(
        ["openssl", *making.split(), "-keyout", str(key), "-out", str(ca)], check=True, capture_output=True
    )
    base = "etcd-servers=http://127.0.0.1:1 service-account-issuer=https://a.example "
    base += f"service-account-key-file={key} service-account-signing-key-file={key}"
    command = [program, *(f"--{each}" for each in f"{base} {given.format(ca=ca)}".split())]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert TOGETHER[given] in result.stderr.replace("/disable-admission-plugins", "").replace('\\"', '"')


def test_a_file_of_authorizers_is_read_from_v1_32_on() -> None:
    chosen = spec("  apiServer: {structuredAuthorization: true}\n")
    assert problems(chosen.replace("v1.36.2", "v1.31.4")) == [
        "7:40: spec.apiServer.structuredAuthorization: needs Kubernetes v1.32 or later"
    ]
    assert warnings(chosen.replace("v1.36.2", "v1.32.0")) == []
    assert warnings(chosen.replace("v1.36.2", "v1.31.4").replace("true", "false")) == []
