"""What an object is and what is asked of it, each as one digest: by these adopted objects are recognized.

No secret goes into a digest, since `pki.lock` is public: of private keys, their public halves.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from pkigen.crypto.issuance import fingerprint
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.desired.adopted import ABSENT, Adopted
from pkigen.state.observed import Fault, FaultKind, key_identity, read_file
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredKubeconfig
    from pkigen.state.authority import CACertificates
    from pkigen.state.observed import ObservedCertificate, Reader

TOLERATED: Final = frozenset(
    {
        Reason.MISSING,
        Reason.UNREADABLE,
        Reason.KEY_MISSING,
        Reason.KEY_UNREADABLE,
        Reason.ISSUER_REPLACED,
        Reason.SUBJECT_CHANGED,
        Reason.SANS_CHANGED,
        Reason.EXTENSIONS_CHANGED,
        Reason.ALGORITHM_CHANGED,
        Reason.CHAIN_CHANGED,
        Reason.OUTLIVES_ISSUER,
        Reason.MODE,
        Reason.CONTENT_CHANGED,
        Reason.ORDER_CHANGED,
    }
)
"""The findings that an adopted object may have; none of them means that it fails or has expired."""
_SECRETS: Final = re.compile(rb"((?:client-key-data|token|password)[\"']?\s*:).*")
"""To the end of the line: in JSON that may be more than the secret, and never less."""


def certificate_state(
    item: DesiredCertificate,
    observed: ObservedCertificate,
    *,
    reader: Reader,
    kubeconfig: DesiredKubeconfig | None,
    trust_bundle: bytes | None,
    issuer: CACertificates | None,
    named: bool,
) -> Adopted:
    """What a certificate and what it stands in are.

    Args:
        item: What is asked for.
        observed: What was found.
        reader: The PKI directory.
        kubeconfig: The kubeconfig that it stands in; None for one in a file of its own.
        trust_bundle: What that embeds of its CA.
        issuer: The CA that signs such certificates now.
        named: Whether a file that pkigen writes leads a component to it.
    """
    found = _found(item, observed, reader)
    return Adopted(
        found=found,
        modes=_modes(mode for _, mode in observed.modes),
        wanted=_asked(
            found,
            # By its key: a CA that is renewed is the same one, and its next generation is another.
            spki_fingerprint(public_der(issuer.certificate.public_key())) if issuer is not None else "",
            str(item.subject),
            item.sans.texts(),
            item.profile.name,
            item.key_algorithm,
            None if kubeconfig is None else [kubeconfig.server, kubeconfig.cluster, kubeconfig.user],
            hashlib.sha256(trust_bundle or b"").hexdigest() if kubeconfig is not None else "",
            named=named,
        ),
    )


def _found(item: DesiredCertificate, observed: ObservedCertificate, reader: Reader) -> str:
    """What stands there, so that another one shows; else the text, without its secrets."""
    fault = observed.certificate_fault
    if observed.certificate is None:
        if fault is not None and fault.kind is FaultKind.MISSING:
            return ABSENT
        content = read_file(reader, item.file)
        masked = b"" if isinstance(content, Fault) else _SECRETS.sub(rb"\1", content.data)
        return hashlib.sha256(masked).hexdigest()
    return _digest(
        [fingerprint(each) for each in (observed.certificate, *observed.chain)],
        hashlib.sha256(observed.public_key or b"").hexdigest(),
        (observed.skeleton or b"").hex(),
    )


def copy_state(item: DesiredCopy, *, reader: Reader, wanted: bytes | None, named: bool) -> Adopted:
    """What a copy of the authority's on a node is.

    Args:
        item: What is asked for.
        reader: The PKI directory.
        wanted: What it must hold.
        named: Whether a file that pkigen writes leads a component to it.
    """
    content = read_file(reader, item.path)
    if isinstance(content, Fault):
        found = ABSENT if content.kind is FaultKind.MISSING else _digest(content.message)
    else:
        found = _identity(reader, content.data)
    modes = () if isinstance(content, Fault) else (content.mode,)
    return Adopted(
        found=found,
        wanted=_asked(found, item.mode, _identity(reader, wanted or b""), named=named),
        modes=_modes(modes),
    )


def _asked(found: str, *parts: Any, named: bool) -> str:
    """What is asked of an object.

    Of one that is absent only whether somebody reads it now: another CA, or a name more, makes nobody do so.
    """
    return _digest(named, *(() if found == ABSENT else parts))


def _modes(modes: Iterable[int]) -> str:
    return " ".join(f"{mode:04o}" for mode in modes)


def _identity(reader: Reader, data: bytes) -> str:
    """A digest of a file: of the public half where it is a private key."""
    # Keys of an encrypted authority are age files, which begin so (`crypto.age`).
    public = key_identity(reader, data) if b"PRIVATE KEY" in data or data.startswith(b"age-") else data
    return hashlib.sha256(public.encode() if isinstance(public, str) else public).hexdigest()


def _digest(*parts: Any) -> str:
    # As JSON: parts that are only joined could be divided elsewhere and give the same digest.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
