"""`sign` and `csr manifest` read a request as people send it; a private key is refused in every form."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pkigen.access.request_forms import request_pem
from pkigen.crypto.csr import parse_request
from pkigen.errors import AccessError
from tests.access.made_requests import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.access.team_cluster import TeamCluster


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)


def manifest(pem: bytes, kind: str = "CertificateSigningRequest") -> dict[str, object]:
    signer = "kubernetes.io/kube-apiserver-client"
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "ann"},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": signer,
        },
    }


def as_list(pem: bytes) -> bytes:
    return yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [manifest(pem)]}).encode()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "pem": lambda pem: pem,
    "der": der,
    "base64-of-pem": base64.b64encode,
    "base64-of-pem-in-lines": base64.encodebytes,
    "base64-of-der": lambda pem: base64.encodebytes(der(pem)),
    "yaml": lambda pem: yaml.safe_dump(manifest(pem)).encode(),
    "yaml-with-der": lambda pem: yaml.safe_dump(manifest(der(pem))).encode(),
    "json": lambda pem: json.dumps(manifest(pem)).encode(),
    "beside-others": lambda pem: yaml.safe_dump_all([{"kind": "Namespace"}, manifest(pem)]).encode(),
    "list": as_list,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_signed(place: TeamCluster, form: str) -> None:
    pem = request()
    result = place.sign(FORMS[form](pem), user="ann")
    assert result.code == 0, result.err
    made = x509.load_pem_x509_certificate(result.out.encode())
    assert made.public_key() == x509.load_pem_x509_csr(pem).public_key()


def test_a_manifest_is_made_of_any_form(place: TeamCluster) -> None:
    pem = request()
    for form in ("pem", "der", "json"):
        path = place.write("client.csr", FORMS[form](pem))
        result = place.run("access", "csr", "manifest", "--csr", path)
        assert result.code == 0, result.err
        carried = base64.b64decode(yaml.safe_load(result.out)["spec"]["request"])
        assert parse_request(carried) == parse_request(pem)


KEY = ec.generate_private_key(ec.SECP256R1())
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
KEY_DER = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "data",
    [
        KEY_PEM,
        KEY_DER,
        base64.encodebytes(KEY_PEM),
        base64.encodebytes(KEY_DER),
        yaml.safe_dump(manifest(KEY_PEM)).encode(),
        json.dumps(manifest(request() + KEY_PEM)).encode(),
    ],
)
def test_a_private_key_is_refused_in_every_form(data: bytes) -> None:
    with pytest.raises(AccessError, match="contains a private key"):
        parse_request(request_pem(data))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no PEM block"),
        (b"QUJD", "holds no PEM block"),
        (b"\x30\x03\x02\x01\x01", "holds no PEM block"),
        (
            yaml.safe_dump(manifest(request(), kind="Secret")).encode(),
            "holds 0 CertificateSigningRequest objects",
        ),
        (yaml.safe_dump_all([manifest(request())] * 2).encode(), "holds 2 CertificateSigningRequest objects"),
        (b"kind: CertificateSigningRequest\nspec: {}\n", "has no spec.request"),
        (b"kind: CertificateSigningRequest\nspec: {request: [1]}\n", "has no spec.request"),
        (b"kind: CertificateSigningRequest\nkind: x\n", "cannot be read"),
        (b"kind: [\n", "cannot be read"),
        (base64.b64encode(request() * 2), "holds 2 PEM blocks"),
        (b"kind: " + b"x" * (64 << 10), "is larger than 64 KiB"),
    ],
)
def test_what_is_no_single_request(data: bytes, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        parse_request(request_pem(data))


def test_a_request_of_an_unknown_version_is_none() -> None:
    """The library's exception for it is no ValueError."""
    odd = bytearray(der(request()))
    version = odd.index(b"\x02\x01\x00")  # the first INTEGER (RFC 2986 4.1)
    odd[version + 2] = 79
    for data in (bytes(odd), base64.b64encode(odd)):
        with pytest.raises(AccessError, match="holds no PEM block"):
            parse_request(request_pem(data))
