"""`pkigen access csr`: a new key and its request, and the object for the cluster."""

from __future__ import annotations

import base64
import re
import stat
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from hypothesis import example, given, strategies

from pkigen.access.csr_objects import object_name
from pkigen.crypto.keys import load_private
from pkigen.spec.values import parse_dns_name
from tests.access.made_requests import issued_certificate, issued_names, name, plain, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.access.team_cluster import TeamCluster


def test_a_new_key_and_its_request(place: TeamCluster) -> None:
    result = place.run(
        "access", "csr", "new", "--user", "users:Dev1", "--group", "dev", "--out", place.folder / "k" / "new"
    )
    folder = place.folder / "k" / "new"
    assert result.out == f"{folder}/users-dev1.csr\n"
    key = folder / "users-dev1.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    made = x509.load_pem_x509_csr((folder / "users-dev1.csr").read_bytes())
    assert made.is_signature_valid
    assert made.public_key() == loaded.public_key()
    assert made.subject == plain("users:Dev1", "dev")
    assert not list(made.extensions)
    again = place.run("access", "csr", "new", "--user", "users:dev1", "--out", folder)
    assert again.error == f"{key} exists already"
    assert "only copy of a key" in again.hint
    key.unlink()
    asked = (folder / "users-dev1.csr").read_bytes()
    again = place.run("access", "csr", "new", "--user", "users:dev1", "--out", folder)
    assert again.error == f"{folder}/users-dev1.csr exists already"
    assert not key.exists(), "no key without its request"
    assert (folder / "users-dev1.csr").read_bytes() == asked
    signed = place.sign(folder / "users-dev1.csr", "--group", "dev", user="users:Dev1")
    assert issued_names(issued_certificate(signed.out)) == ("users:Dev1", {"dev"})
    assert place.run("access", "csr", "new", "--user", "system:x", "--out", folder).code == 1


def test_new_keys_of_other_kinds_and_places(place: TeamCluster) -> None:
    assert (
        place.run(
            "access", "csr", "new", "--user", "r", "--key-algorithm", "RSA-2048", "--out", place.folder
        ).code
        == 0
    )
    made = x509.load_pem_x509_csr((place.folder / "r.csr").read_bytes())
    assert isinstance(made.public_key(), rsa.RSAPublicKey)
    place.write("file", "")
    assert (
        "cannot be" in place.run("access", "csr", "new", "--user", "q", "--out", place.folder / "file").error
    )
    assert (
        "cannot be made"
        in place.run("access", "csr", "new", "--user", "q", "--out", place.folder / "file/x").error
    )


def test_the_object_for_the_cluster(place: TeamCluster) -> None:
    data = request(plain("users:Dev1", "dev"), rsa.generate_private_key(65537, 2048))
    path = place.write("client.csr", data)
    result = place.run("access", "csr", "manifest", "--csr", path, "--validity", "24h")
    assert result.out.splitlines()[:4] == [
        "# kubectl apply -f FILE",
        "# kubectl certificate approve users-dev1",
        "# kubectl get csr users-dev1 -o jsonpath='{.status.certificate}' | base64 -d > users-dev1.crt",
        "# pkigen access user kubeconfig --certificate users-dev1.crt --key-path KEY -C DIR > users-dev1.conf",  # noqa: E501 -- a line of a shell
    ]
    assert yaml.safe_load(result.out) == {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "users-dev1"},
        "spec": {
            "request": base64.b64encode(data).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["digital signature", "key encipherment", "client auth"],
            "expirationSeconds": 86400,
        },
    }
    assert "approving it grants access to CN=users:Dev1,O=dev" in result.err
    out = place.folder / "csr.yaml"
    named = place.run("access", "csr", "manifest", "--csr", path, "--name", "a", "--out", out)
    assert named.out.startswith(f"kubectl apply -f {out}\nkubectl certificate approve a\n")
    assert yaml.safe_load(out.read_text())["metadata"] == {"name": "a"}
    spaced = place.folder / "a b; c.yaml"
    assert (
        f"kubectl apply -f '{spaced}'\n"
        in place.run("access", "csr", "manifest", "--csr", path, "--out", spaced).out
    )
    wrong = place.run("access", "csr", "manifest", "--csr", path, "--name", "a; rm -rf .")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.error.startswith("--name must be a lower-case DNS name")


@pytest.mark.parametrize(
    "sent",
    [
        lambda pem: pem.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),  # keytool, certreq
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"Certificate Request: CN=somebody else\n" + pem + b"and more\n",
    ],
)
def test_the_cluster_gets_the_request_alone(place: TeamCluster, sent: Callable[[bytes], bytes]) -> None:
    """The API server takes one label only (`ParseCSR` of pkg/apis/certificates/v1)."""
    data = request(plain("dev1"))
    path = place.write("client.csr", sent(data))
    made = place.run("access", "csr", "manifest", "--csr", path).out
    assert base64.b64decode(yaml.safe_load(made)["spec"]["request"]) == data


@given(strategies.text("aB0._:@+-", max_size=63).map("a".__add__))
@example("a-.-b")
@example("A" * 64)
@example("a" + ".-" * 20)
def test_every_user_has_a_name_for_an_object(user: str) -> None:
    # kubectl and the API server: apimachinery `validation.IsDNS1123Subdomain`.
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", object_name(user))
    assert parse_dns_name(object_name(user))


@pytest.mark.parametrize(
    ("subject", "options", "said"),
    [
        (x509.Name([]), [], "the request has no user"),
        (name((NameOID.COUNTRY_NAME, "DE"), (NameOID.COMMON_NAME, "ann")), [], "has more than a user"),
        (plain(), ["--validity", "9m"], "less than 10 minutes"),
        (plain("a b "), [], "must not begin or end with a space"),
        (plain("ann", "system:masters"), [], "which is reserved for Kubernetes"),
    ],
)
def test_objects_that_the_cluster_would_refuse(
    place: TeamCluster, subject: x509.Name, options: list[str], said: str
) -> None:
    path = place.write("client.csr", request(subject))
    result = place.run("access", "csr", "manifest", "--csr", path, *options)
    assert (result.code, result.out) == (1, "")
    assert said in result.error


def test_a_key_of_the_cluster_gets_no_object(place: TeamCluster) -> None:
    key = load_private((place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.key").read_bytes())
    path = place.write("client.csr", request(plain("ann"), key))
    arguments = ("access", "csr", "manifest", "--csr", path)
    refused = place.run(*arguments, "-C", place.tree)
    assert (refused.code, refused.out) == (1, "")
    assert refused.error.startswith("the key of this request is that of cp-1/apiserver: ")
    assert place.run(*arguments).code == 0, "where no cluster is known, nothing can be compared"
