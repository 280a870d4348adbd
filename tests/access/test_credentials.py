"""Credentials of every kind: whom the API server takes the bearer for, and why it would not."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.access.kubeconfig_files import shown, written
from tests.access.made_requests import plain
from tests.access.team_cluster import UID, TeamCluster
from tests.cli.program import NOW

# -- show --------------------------------------------------------------------------------------------------


def test_a_token_is_explained_and_not_shown(place: TeamCluster) -> None:
    text = (place.tree / "users/web.deployer.conf").read_text()
    out = shown(place, text)
    for said in (
        "credential: service account token",
        "user:       system:serviceaccount:web:deployer",
        "groups:     system:serviceaccounts, system:serviceaccounts:web, system:authenticated",
        "issued by https://kubernetes.default.svc.cluster.local",
        "next:       2026-12-22 03:00 UTC the service account token expires",
    ):
        assert said in out
    assert yaml.safe_load(text)["users"][0]["user"]["token"] not in out
    assert "broken:     the token expired" in shown(place, text, later=timedelta(days=31))


def jwt(**claims: object) -> str:
    parts = ({"alg": "RS256"}, claims)
    return ".".join(
        (*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "A")
    )


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("token: abcdef.0123456789abcdef", "user:       system:bootstrap:abcdef"),
        ("token: opaque", "only the cluster knows its user"),
        (f"token: {jwt(sub='joe', exp=1)}", "broken:     the token expired 1970-01-01"),
        (f"token: {jwt(sub='system:serviceaccount:n:a')}", "contains no UID: the API server refuses it"),
        (
            "token: "
            + jwt(
                sub="system:serviceaccount:n:a", **{"kubernetes.io/serviceaccount/service-account.uid": UID}
            ),
            "until:      never expires",
        ),
        ("exec: {command: aws}", "kubectl runs a program that gets it (exec)"),
        ("auth-provider: {name: gcp}", "kubectl no longer has since 1.26"),
        (
            "auth-provider: {name: oidc, config: {idp-issuer-url: 'https://i'}}",
            "it logs in at https://i",
        ),
        ("auth-provider: {name: oidc}", "broken:     its auth-provider names no idp-issuer-url"),
        # client-go runs no program where it has a certificate or a token.
        ("exec: {command: aws}, token: opaque", "credential: bearer token"),
        ("exec: {command: aws}, client-certificate: ca.crt", "credential: client certificate"),
        ("exec: {command: aws}, token: opaque", "kubectl does not run it beside a credential"),
        ("client-certificate: ca.crt, tokenFile: none", "broken:     its token"),
        ("username: joe, password: x", "API servers have not accepted since 1.19"),
        ("as: root", "user:       system:anonymous"),
        ("token: opaque, as: root, as-groups: [a, b]", "acts as:    root in a, b, if it may impersonate"),
        ("tokenFile: token", "only the cluster knows its user"),
        ("tokenFile: none", "its token"),
        ("tokenFile: none, token: opaque", "only the cluster knows"),
        ("client-certificate: none", "broken:     its certificate"),
        ("client-certificate: token", "its certificate is empty"),
        ("client-certificate: ca.crt", "it is a CA's: nobody should hold its key"),
        ("client-certificate: ca.crt, token: x", "there is also a token"),
        ("client-certificate: ca.crt, client-key: none", "its private key"),
        ("client-certificate: ca.crt, client-key: token", "is not a PEM private key"),
        ("client-certificate: ca.crt, client-key: sa.key", "does not match the certificate"),
        ("client-certificate: server.crt", "is not for clients: its extendedKeyUsage lacks clientAuth"),
    ],
)
def test_credentials_of_all_kinds(place: TeamCluster, user: str, said: str) -> None:
    place.write("token", "opaque\n")
    server = "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
    for file, source in (("ca.crt", "pki/ca.crt"), ("sa.key", "pki/sa.key"), ("server.crt", server)):
        place.write(file, (place.tree / source).read_bytes())
    assert said in shown(place, written(user))


def test_a_certificate_that_names_no_usage_is_for_clients_too(place: TeamCluster) -> None:
    """As Go's verifier, and so the API server, has it."""
    key = ed25519.Ed25519PrivateKey.generate()
    made = (
        x509.CertificateBuilder()
        .subject_name(plain())
        .issuer_name(plain())
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, None)
    )
    place.write("ann.crt", made.public_bytes(serialization.Encoding.PEM))
    assert "is not for clients" not in shown(place, written("client-certificate: ann.crt"))


def test_an_ed25519_key_is_no_fault(place: TeamCluster) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    asked = x509.CertificateSigningRequestBuilder().subject_name(plain()).sign(key, None)
    out, form = place.folder / "ann.conf", serialization.PrivateFormat.PKCS8
    place.sign(asked.public_bytes(serialization.Encoding.PEM), "--kubeconfig", out, "--key-path", "ed.key")
    place.write("ed.key", key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    assert "broken" not in place.run("access", "kubeconfig", "show", out).out
