"""Requests in the forms that people send them in: PEM, DER, base64 of either, or a manifest of Kubernetes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.crypto.csr import LARGEST_REQUEST, refuse_private_key
from pkigen.errors import AccessError, SpecError
from pkigen.spec.yaml_nodes import YAMLNode, child
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Sequence

_KIND: Final = "CertificateSigningRequest"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\s]+=*\s*")
_MARK: Final = b"-----BEGIN "
_MANIFEST: Final = re.compile(rb"\bkind\b[\"']?\s*:")


def request_pem(data: bytes) -> bytes:
    """The request of a file as PEM, where one can be made of it; else what is there, for `parse_request`.

    Nothing in it is verified yet.

    Raises:
        AccessError: It is a manifest of something else or of several, or holds a private key.
    """
    # `parse_request` refuses what is too large, and reads PEM as it is.
    if len(data) > LARGEST_REQUEST or _MARK in data:
        return data
    if _MANIFEST.search(data):
        data = _in_manifest(data)
    return _of_base64(data) or _of_der(data) or data


def _of_base64(data: bytes) -> bytes | None:
    """Base64 of PEM, as `base64` and Kubernetes have it, or of DER."""
    if not _BASE64.fullmatch(data):
        return None
    try:
        decoded = base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return None
    return decoded if _MARK in decoded else _of_der(decoded)


def _of_der(data: bytes) -> bytes | None:
    """The request of a DER file as PEM; None where it is none."""
    # Before it is taken for anything: a key that was sent by mistake must be replaced, and nothing else says
    # so.
    refuse_private_key(data)
    try:
        return x509.load_der_x509_csr(data).public_bytes(Encoding.PEM)
    except (ValueError, x509.InvalidVersion):  # the second is no ValueError
        return None


def _in_manifest(data: bytes) -> bytes:
    """What `spec.request` of the one CertificateSigningRequest holds (`certificates.k8s.io/v1`), base64.

    Raises:
        AccessError: There are several, or it holds no request.
    """
    try:
        documents, problems = read_documents(data, file="the request")
    except SpecError as error:
        raise AccessError(f"the manifest cannot be read: {error.problems[0]}") from None
    if problems:
        raise AccessError(f"the manifest cannot be read: {problems[0]}")
    requests = [each for each in _objects(documents) if _text(each, "kind") == _KIND]
    if len(requests) != 1:
        raise AccessError(f"the manifest holds {len(requests)} {_KIND} objects; exactly one is read")
    text = _text(requests[0], "spec", "request")
    if not text:
        raise AccessError(f"the {_KIND} has no spec.request")
    return text.encode()


def _objects(documents: Sequence[YAMLNode]) -> list[YAMLNode]:
    """Also those of a List, as `kubectl get csr -o yaml` prints several."""
    found: list[YAMLNode] = []
    for document in documents:
        items = child(document, "items")
        found.extend([document] if items is None else getattr(items, "items", []))
    return found


def _text(node: YAMLNode, *keys: str) -> str:
    value = child(node, *keys)
    return value.value if value is not None and isinstance(value.value, str) else ""
