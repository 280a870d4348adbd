"""The CertificateSigningRequest object for a request, and the kubectl commands that go with it."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen.access.yaml_text import Value, dump
from pkigen.errors import AccessError
from pkigen.notation import base64_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.access.requests import Request

SIGNER = "kubernetes.io/kube-apiserver-client"
SHORTEST = timedelta(seconds=600)
"""pkg/apis/certificates/validation: expirationSeconds must be at least this."""
_LONGEST_LABEL = 63
# `ExpirationSeconds` is an int32 (api/certificates/v1): a larger number would not be decoded.
_LONGEST_SECONDS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestObject:
    """An object to apply, and what to do with it then."""

    name: str
    manifest: str
    steps: tuple[str, ...]


def request_object(request: Request, *, name: str | None, validity: timedelta, file: str) -> RequestObject:
    """The object for a request that is fit; the cluster takes the identity from the request itself.

    Args:
        request: What was read; nothing that stood around it gets into the object.
        name: The object's name; by default the user's.
        validity: How long the certificate should live; the cluster may shorten it.
        file: Where the manifest will stand, for the lines to say.

    Raises:
        AccessError: The cluster would refuse it, or issue something that nobody should have.
    """
    if not request.asked.common_name:
        raise AccessError("the request has no user (CN), and the cluster would issue it as it is")
    # The signer copies the request's subject (controller/certificates/authority `PermissiveSigningPolicy`):
    # an OU or an e-mail address that nobody reads would be certified.
    if not request.plain:
        raise AccessError(
            f"the request's subject has more than a user (CN) and groups (O): {request.subject}",
            hint="the cluster copies the subject unchanged: make a plain one with `pkigen access csr new`",
        )
    if validity < SHORTEST:
        raise AccessError("the cluster issues no certificate for less than 10 minutes")
    own = name or object_name(request.asked.common_name)
    # This signer signs for no other usages than these three (`validAPIServerClientUsages`).
    usages: list[Value] = [
        "digital signature",
        *(["key encipherment"] if request.enciphers else []),
        "client auth",
    ]
    seconds = min(int(validity.total_seconds()), _LONGEST_SECONDS)
    manifest = dump(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": own},
            "spec": {
                "expirationSeconds": seconds,
                "request": base64_text(request.pem),
                "signerName": SIGNER,
                "usages": usages,
            },
        }
    )
    steps = (
        f"kubectl apply -f {shlex.quote(file)}",
        f"kubectl certificate approve {own}",
        f"kubectl get csr {own} -o jsonpath='{{.status.certificate}}' | base64 -d > {own}.crt",
        f"pkigen access user kubeconfig --certificate {own}.crt --key-path KEY -C DIR > {own}.conf",
    )
    return RequestObject(name=own, manifest=manifest, steps=steps)


def object_name(user: str) -> str:
    """A user's name, of at most 64 characters, as the name of an object (RFC 1123 subdomain)."""
    labels = re.sub(r"[^a-z0-9.]+", "-", user.lower()).split(".")
    return ".".join(filter(None, (label[:_LONGEST_LABEL].strip("-") for label in labels))) or "user"
