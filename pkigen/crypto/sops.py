"""Documents whose values are encrypted in place, in the form of SOPS, for age recipients.

Source: getsops/sops `aes/cipher.go` (a value's form, its additional data), `sops.go` (`Tree.Encrypt`,
the MAC over all values in their order) and `age/keysource.go` (the data key, in age's armored form).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pkigen.crypto.age import armored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from pkigen.crypto.age import Recipient

_KEY_SIZE: Final = 32  # AES-256
# As SOPS has it (`nonceSize`), although NIST SP 800-38D 5.2.1.1 recommends 12 bytes for AES-GCM.
_NONCE_SIZE: Final = 32
_TAG_SIZE: Final = 16
_VERSION: Final = "3.9.0"


def sealed_documents(
    documents: Sequence[Mapping[str, object]],
    recipients: Sequence[Recipient],
    *,
    only: str,
    now: datetime,
    entropy: Callable[[int], bytes],
) -> tuple[dict[str, object], ...]:
    """Encrypt the values of documents, which have mappings and texts only.

    Args:
        documents: As they are written: their keys are sorted then, and so is the order of the MAC.
        recipients: Who can open them.
        only: A regular expression: what stands below a key of this name is encrypted; all, where it is empty.
        now: The present, in UTC.
        entropy: The random source.
    """
    key, digest = entropy(_KEY_SIZE), hashlib.sha512()

    def sealed(value: object, path: tuple[str, ...], *, is_secret: bool) -> object:
        if isinstance(value, dict):
            return {
                name: sealed(
                    value[name],
                    (*path, name),
                    is_secret=is_secret or re.search(only, name) is not None,
                )
                for name in sorted(value)
            }
        text = str(value).encode()
        # Values that stay readable count too: whoever changes one is found out by the MAC.
        digest.update(text)
        # The path is authenticated with the value, so that no value can be moved to another key.
        return _encrypted(key, text, "".join(f"{step}:" for step in path), entropy) if is_secret else value

    found = [sealed(document, (), is_secret=False) for document in documents]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata: dict[str, object] = {
        "age": [{"enc": armored(each.close(key)), "recipient": each.text} for each in recipients],
        "lastmodified": moment,
        "mac": _encrypted(key, digest.hexdigest().upper().encode(), moment, entropy),
        "version": _VERSION,
        **({"encrypted_regex": only} if only else {"unencrypted_suffix": "_unencrypted"}),
    }
    return tuple({**each, "sops": metadata} for each in found if isinstance(each, dict))


def _encrypted(key: bytes, text: bytes, additional: str, entropy: Callable[[int], bytes]) -> str:
    """One value as SOPS writes it: the tag, which AESGCM appends, stands in a field of its own there."""
    nonce = entropy(_NONCE_SIZE)
    content = AESGCM(key).encrypt(nonce, text, additional.encode())
    data, tag = content[:-_TAG_SIZE], content[-_TAG_SIZE:]
    parts = (base64.b64encode(each).decode("ascii") for each in (data, nonce, tag))
    return "ENC[AES256_GCM,data:{},iv:{},tag:{},type:str]".format(*parts)
