"""OIDC discovery documents of the service account issuer, byte for byte as the API server serves them.

`pkg/serviceaccount/openidmetadata.go`; the keys in the order of --service-account-key-file.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from pkigen import layout
from pkigen.crypto.keys import UnsupportedKeyError, load_public, public_der, spki_fingerprint
from pkigen.crypto.service_account_tokens import algorithm, key_id
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.generations import accepted_sa_keys, sa_path
from pkigen.desired.readers import ComponentName
from pkigen.errors import AccessError
from pkigen.records import dataclass
from pkigen.state.authority_record import RESTORE, is_recorded
from pkigen.state.observed import Fault, read_file

if TYPE_CHECKING:
    from pkigen.crypto.keys import PublicKey
    from pkigen.desired.generations import Slot
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader

CONFIGURATION_PATH = ".well-known/openid-configuration"
JWKS_PATH = "openid/v1/jwks"
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Both documents; they hold public keys only."""

    issuer: str
    jwks_uri: str
    configuration: str
    jwks: str


def documents(inventory: Inventory, reader: Reader, *, jwks_uri: str | None) -> Discovery:
    """The documents for whoever verifies the cluster's service account tokens.

    Args:
        inventory: Of this cluster; while the key rotates, both public keys are published.
        reader: The PKI directory.
        jwks_uri: Where the keys are published; by default what the API server says.

    Raises:
        AccessError: The keys cannot be read, or the URLs are none that a verifier could use.
    """
    # In the order of the API servers' flags: the documents are compared with theirs byte for byte.
    slots = [slot for _, slot in accepted_sa_keys(inventory.rotations)]
    keys = [_recorded_key(reader, slot) for slot in slots]
    issuer = inventory.token_trust.issuer
    uri = jwks_uri or _default_uri(inventory)
    _require_https_url("the issuer", issuer)
    _require_https_url("the JWKS URI", uri)
    configuration = {
        "issuer": issuer,
        "jwks_uri": uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        # Sorted and without repeats, as `getAlgs` lists its set; the keys keep their order.
        "id_token_signing_alg_values_supported": sorted({algorithm(key) for key in keys}),
    }
    return Discovery(
        issuer=issuer,
        jwks_uri=uri,
        configuration=_json(configuration),
        jwks=_json({"keys": [_jwk(key) for key in keys]}),
    )


def _require_https_url(what: str, url: str) -> None:
    """OpenID Connect Discovery 1.0 (3, issuer) allows nothing else, and verifiers refuse the rest."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment:
        raise AccessError(f"{what} {url[:200]!r} is no https URL without query and fragment")


def _default_uri(inventory: Inventory) -> str:
    """What the API server publishes: the last of its flags, else where it is itself reached."""
    cluster = inventory.cluster
    # The nodes are another distribution's: what its API servers are started with is not known here.
    if not cluster.control_plane:
        return f"{cluster.cluster_server}/{JWKS_PATH}"
    node = cluster.control_plane[0]
    given = CommandLines(inventory).of(ComponentName.API_SERVER, node).value("service-account-jwks-uri")
    return given or f"{cluster.local_server(node)}/{JWKS_PATH}"


def _recorded_key(reader: Reader, slot: Slot) -> PublicKey:
    """The public key of a generation; raises `AccessError` where verifiers would believe a stranger by it."""
    path = sa_path(slot, layout.SA_PUBLIC_KEY)
    key = _public_key(reader, path)
    # The record names private keys alone; their public halves have the same fingerprint.
    if not is_recorded(reader, sa_path(slot, layout.SA_PRIVATE_KEY), spki_fingerprint(public_der(key))):
        raise AccessError(
            f"{path} is another key than the one that is recorded",
            hint=f"{RESTORE}; if the change is intended, record it first: `pkigen apply --force`",
        )
    return key


def _public_key(reader: Reader, path: str) -> PublicKey:
    """A public key of the tree; raises `AccessError` where it cannot be published."""
    content = read_file(reader, path)
    if isinstance(content, Fault):
        raise AccessError(f"{path} {content.message}", hint="make the PKI with `pkigen init` first")
    try:
        return load_public(content.data)
    except UnsupportedKeyError as error:
        raise AccessError(f"{path} {error}", hint="`pkigen plan` says how to repair it") from None


def _jwk(key: PublicKey) -> dict[str, str]:
    """The fields in the order of go-jose's rawJSONWebKey."""
    common = {"use": "sig", "kid": key_id(key), "alg": algorithm(key)}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {
            "use": "sig", "kty": "RSA", "kid": common["kid"], "alg": common["alg"],
            "n": _number(numbers.n), "e": _number(numbers.e),
        }  # fmt: skip
    point = key.public_numbers()
    size = (key.curve.key_size + 7) // 8
    return {
        "use": "sig", "kty": "EC", "kid": common["kid"], "crv": _CURVES[key.curve.name], "alg": common["alg"],
        "x": _number(point.x, size), "y": _number(point.y, size),
    }  # fmt: skip


def _number(value: int, size: int | None = None) -> str:
    """Base64urlUInt without padding (RFC 7518 2); a coordinate has the curve's full length (6.2.1.2)."""
    data = value.to_bytes(size or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _json(content: object) -> str:
    """Without blanks, as Go's `json.Marshal` writes: the documents are compared byte for byte."""
    return json.dumps(content, separators=(",", ":"))
