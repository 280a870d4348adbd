"""Service account tokens: their claims, how they are signed, and how they are verified.

The form is that of the API server's own bound tokens (`pkg/serviceaccount/claims.go`, `jwt.go`). The JOSE
library is imported only where a token is signed or verified: few runs need it.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import json
import re
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pkigen.crypto.keys import (
    UnsupportedKeyError,
    curve_name,
    describe,
    load_public,
    private_pem,
    public_der,
    public_pem,
    raw_ecdsa_signature,
)
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from joserfc.jwk import ECKey, RSAKey
    from joserfc.jws import JWSRegistry

    from pkigen.crypto.keys import PrivateKey, PublicKey

LONGEST_TOKEN = 16 << 10
"""In characters; real ones have about a thousand."""
LEEWAY = timedelta(minutes=1)
"""How far the API server lets two clocks differ (go-jose `jwt.DefaultLeeway`)."""
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
TOKEN_PLACEHOLDER = "token-withheld"  # noqa: S105 -- stands where a token was
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# As `token-kubeconfig.yaml` writes it.
_IN_KUBECONFIG = re.compile(rb"(?m)^    token: (\S+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a bound token about a service account."""

    issuer: str
    namespace: str
    account: str
    uid: str | None
    audiences: tuple[str, ...]
    not_before: datetime
    validity: timedelta

    @property
    def expires(self) -> datetime:
        """When it ends."""
        return self.not_before + self.validity

    @property
    def subject(self) -> str:
        """The user name that the API server takes from it."""
        return f"{SERVICE_ACCOUNT_PREFIX}{self.namespace}:{self.account}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A parsed token; its signature is not verified."""

    text: str = field(repr=False)
    key_id: str | None
    algorithm: str
    claims: dict[str, Any]

    @property
    def audiences(self) -> tuple[str, ...]:
        """Its audiences; empty for a legacy token, which has none."""
        given = self.claims.get("aud", ())
        return (given,) if isinstance(given, str) else tuple(map(str, given))

    @property
    def expires(self) -> datetime | None:
        """When it ends; None where it never does, or a year that no clock knows."""
        return self._moment("exp")

    @property
    def not_before(self) -> datetime | None:
        """When it begins; None where it does not say."""
        return self._moment("nbf")

    def _moment(self, claim: str) -> datetime | None:
        """A claim as a moment; None where no clock has it, for any number may stand there."""
        try:
            return datetime.fromtimestamp(int(self.claims[claim]), UTC)
        # `fromtimestamp` raises the last two for years that the system does not know.
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None


def key_id(key: PrivateKey | PublicKey) -> str:
    """The `kid` as the API server derives it (`jwt.go` keyIDFromPublicKey)."""
    return _unpadded(hashlib.sha256(public_der(key)).digest())


def algorithm(key: PrivateKey | PublicKey) -> str:
    """The JOSE name of what the API server signs with this key (`jwt.go`): RS256 for every RSA key.

    Raises:
        UnsupportedKeyError: The API server signs with no such key.
    """
    name = _ALGORITHMS.get(curve_name(key))
    if name is None:
        msg = f"is {describe(key)}, which the API server cannot sign tokens with"
        raise UnsupportedKeyError(msg)
    return name


# signerFromECDSAPrivateKey (jwt.go) goes by the curve, signerFromRSAPrivateKey has one algorithm for all
# sizes.
_ALGORITHMS = {None: "RS256", "secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def sign(claims: Claims, key: PrivateKey, *, entropy: Callable[[int], bytes]) -> str:
    """Sign a token as the API server does.

    Args:
        claims: What it says.
        key: The service account signing key.
        entropy: Where the token's own id comes from.
    """
    from joserfc import jwt  # noqa: PLC0415 -- see the module's docstring

    name = algorithm(key)
    header = {"alg": name, "kid": key_id(key)}
    # The header has no `typ`: the API server's signer adds none (jwt.go).
    begin = int(claims.not_before.timestamp())  # JSON Web Tokens count whole seconds
    account = {"name": claims.account, **({"uid": claims.uid} if claims.uid else {})}
    # In the order in which go-jose writes them: it gathers claims in a map, and Go sorts those.
    content: dict[str, Any] = {
        "aud": list(claims.audiences),
        "exp": begin + int(claims.validity.total_seconds()),
        "iat": begin,
        "iss": claims.issuer,
        "jti": _uuid(entropy(16)),
        "kubernetes.io": {"namespace": claims.namespace, "serviceaccount": account},
        "nbf": begin,
        "sub": claims.subject,
    }
    return jwt.encode(
        header, content, _jose(key, private_pem(key)), registry=_registry(key), default_type=None
    )


def read(text: str) -> Token | str:
    """Parse a token, or say in a sentence why the text is not one."""
    text = text.strip()
    if len(text) > LONGEST_TOKEN:
        return "is longer than any token"
    if not _TOKEN.fullmatch(text):
        return "is not a JSON Web Token"
    try:
        header, claims = (json.loads(_padded(part)) for part in text.split(".")[:2])
    except (ValueError, RecursionError):
        return "is a damaged JSON Web Token"
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return "is a damaged JSON Web Token"
    # Anything may stand in a header: only a text is compared with a key's id.
    kid = header.get("kid")
    return Token(
        text=text,
        key_id=kid if isinstance(kid, str) else None,
        algorithm=str(header.get("alg", "")),
        claims=claims,
    )


def is_signed_by(token: Token, public: bytes) -> bool:
    """Whether a token's signature is that of a key; `public` is its PEM."""
    from joserfc import jwt  # noqa: PLC0415 -- see the module's docstring
    from joserfc.errors import JoseError  # noqa: PLC0415

    try:
        key = load_public(public)
        name = algorithm(key)
        # Without a key id the API server tries every key (jwt.go, GetPublicKeys).
        if token.key_id not in {None, key_id(key)}:
            return False
        # Only the algorithm of this key, whatever the header says: else `none`, or HMAC with the public key
        # as its secret, would pass (RFC 8725 3.1).
        jwt.decode(token.text, _jose(key, public_pem(key)), algorithms=[name])
    except (JoseError, UnsupportedKeyError, ValueError):
        return False
    return True


def token_facts(token: Token | str) -> dict[str, str | int | list[str]]:
    """What the ledger may hold of a token: everything but its signature."""
    if isinstance(token, str):
        return {}
    claims = token.claims
    expires = token.expires
    return {
        "subject": str(claims.get("sub", "")),
        "audiences": list(token.audiences),
        "tokenId": str(claims.get("jti", "")),
        "keyId": token.key_id or "",
        "notAfter": f"{expires:%Y-%m-%dT%H:%M:%SZ}" if expires else "",
    }


def in_kubeconfig(content: bytes) -> str | None:
    """The token of a kubeconfig that pkigen wrote; None where it holds none."""
    match = _IN_KUBECONFIG.search(content)
    return match[1].decode("ascii", "replace") if match else None


def withheld(content: bytes) -> bytes:
    """A kubeconfig with a placeholder in place of its token, to compare what stands around it."""
    return _IN_KUBECONFIG.sub(f"    token: {TOKEN_PLACEHOLDER}".encode(), content)


def _jose(key: PrivateKey | PublicKey, pem: bytes) -> RSAKey | ECKey:
    """The library's form of a key; it is imported here only, see the module's docstring."""
    from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415 -- see the module's docstring

    return RSAKey.import_key(pem) if curve_name(key) is None else ECKey.import_key(pem)


def _registry(key: PrivateKey) -> JWSRegistry:
    """The one algorithm of a key; ECDSA nonces follow RFC 6979: the same input gives the same bytes."""
    from joserfc.jws import JWSRegistry  # noqa: PLC0415 -- see the module's docstring

    class Registry(JWSRegistry):
        def get_alg(self, name: str) -> Any:
            # A copy: the library's algorithms are shared by all registries of the process.
            found = copy.copy(super().get_alg(name))
            if curve_name(key) is not None:
                vars(found)["sign"] = lambda message, _: raw_ecdsa_signature(key, message)
            return found

    return Registry(algorithms=[algorithm(key)])


def _padded(part: str) -> bytes:
    """Decode base64url without padding (RFC 7515 2), which Python wants back; raises `ValueError`."""
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise ValueError from None


def _unpadded(data: bytes) -> str:
    """Base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _uuid(random: bytes) -> str:
    """A random UUID (RFC 9562 5.4), as the API server gives each token (`claims.go` newUUID)."""
    octets = bytearray(random)
    # Version 4, and the variant of RFC 9562 4.1.
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
