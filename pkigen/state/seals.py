"""What is known of the authority's sealed keys without opening them: `pki/sealed.json`.

An authority whose keys are encrypted at rest keeps every private file under its own name, as an age file
sealed to one identity, and that identity in `pki/identity.age`. Beside them this record says, by the digest
of the sealed file, what is in it: the public half, or the size of a secret, and the digest of the content. So
whoever only plans or verifies needs no passphrase. Its MAC is made with the identity: whoever opens the
authority finds out whether the record was changed by somebody who could not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.crypto.age_recipient import RECIPIENT
from pkigen.errors import AuthorityError
from pkigen.notation import json_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pkigen.crypto.age import Identity

IDENTITY_PATH = layout.authority_path("identity.age")
RECORD_PATH = layout.authority_path("sealed.json")
LARGEST_RECORD = 1 << 20
# No other MAC that is ever made with this identity can be taken for one of these.
_CONTEXT = b"pkigen sealed keys 1\0"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """One sealed file's content, from outside.

    `sha256` is the digest of the content: of a private key, or of 256 random bits, so nobody finds the
    content by it. `public` is the SPKI DER of a key pair, or the Ed25519 key of the bundle key. `size` is
    that of a random secret, in bytes.
    """

    sha256: bytes
    public: bytes | None = None
    size: int | None = None

    def is_like(self, other: SealedKey) -> bool:
        """Whether both are of one kind: key pairs, secrets of one size, or bundle keys."""
        return (self.public is None, self.size) == (other.public is None, other.size)

    def is_same(self, other: SealedKey) -> bool:
        """Whether both have one public half, however their files are written."""
        return self.public is not None and self.public == other.public


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRecord:
    """All sealed keys, by the SHA-256 of their sealed files, and who can open them."""

    recipient: str
    keys: Mapping[str, SealedKey]
    mac: bytes = field(default=b"", repr=False)

    def of(self, sealed: bytes) -> SealedKey | None:
        """What is in a sealed file; None where the record does not know it."""
        # By what it is, not where: a rotation moves sealed files, and their entries stay true.
        return self.keys.get(digest(sealed))

    def with_key(self, sealed: bytes, key: SealedKey) -> SealRecord:
        """The same with one more."""
        return replace(self, keys={**self.keys, digest(sealed): key})

    def only(self, present: Collection[str]) -> SealRecord:
        """The same without the files that are gone."""
        return replace(self, keys={each: key for each, key in self.keys.items() if each in present})

    def signed(self, identity: Identity) -> SealRecord:
        """The same with its MAC."""
        return replace(self, mac=self._mac(identity))

    def require_genuine(self, identity: Identity) -> None:
        """See that whoever wrote the record could open the authority.

        Raises:
            AuthorityError: It was changed by somebody else.
        """
        # In constant time: whoever can write here could otherwise guess the MAC byte by byte.
        if not hmac.compare_digest(self.mac, self._mac(identity)):
            raise AuthorityError(
                f"{RECORD_PATH} was changed by something that cannot open the authority",
                hint="find out what changed it; `pkigen rollback` restores an earlier state",
            )

    def encode(self) -> bytes:
        """The file's bytes: one form only."""
        return json_text({**self._content(), "mac": self.mac.hex()})

    def _mac(self, identity: Identity) -> bytes:
        """Keyed with the private half, which nobody has who can only write here."""
        # The content is sorted and has one form (`decode_record`), so the MAC is over what was read.
        body = json.dumps(self._content()).encode()
        return hmac.digest(identity.text.encode(), _CONTEXT + body, hashlib.sha256)

    def _content(self) -> dict[str, Any]:
        """What the MAC is over."""
        return {
            "apiVersion": "pkigen/v1",
            "kind": "SealedKeys",
            "recipient": self.recipient,
            "keys": {each: _facts(key) for each, key in sorted(self.keys.items())},
        }


def digest(data: bytes) -> str:
    """How the record names a sealed file."""
    return hashlib.sha256(data).hexdigest()


def decode_record(data: bytes) -> SealRecord | None:
    """Read a record; None where it is not in pkigen's canonical form."""
    try:
        content = json.loads(data)
        record = SealRecord(
            recipient=_text(content["recipient"], RECIPIENT),
            keys={_text(each, _DIGEST): _key(facts) for each, facts in content["keys"].items()},
            mac=bytes.fromhex(_text(content["mac"], _DIGEST)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    # Two spellings of one record would be two files with one MAC.
    return record if record.encode() == data else None


def _facts(key: SealedKey) -> dict[str, Any]:
    """One key's entry; what it has not is left out."""
    facts: dict[str, Any] = {"sha256": key.sha256.hex()}
    if key.public is not None:
        facts["public"] = base64.b64encode(key.public).decode()
    if key.size is not None:
        facts["size"] = key.size
    return facts


def _key(facts: dict[str, Any]) -> SealedKey:
    """Read an entry; raises `ValueError`, `TypeError` or `KeyError` for one that is damaged."""
    public = facts.get("public")
    size = facts.get("size")
    return SealedKey(
        sha256=bytes.fromhex(_text(facts["sha256"], _DIGEST)),
        public=base64.b64decode(public, validate=True) if public is not None else None,
        size=int(size) if size is not None else None,
    )


def _text(value: object, form: re.Pattern[str]) -> str:
    """A text of the wanted form; raises `ValueError` for anything else."""
    if isinstance(value, str) and form.fullmatch(value):
        return value
    raise ValueError
