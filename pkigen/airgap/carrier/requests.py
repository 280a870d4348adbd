"""Files that carry requests to an authority, and certificates back, where there is no network.

Both are envelopes like bundles: signed, verified before anything is parsed, in canonical form. They hold no
secret and are not encrypted.
"""

from __future__ import annotations

import enum
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pkigen.airgap.carrier.envelope import Envelope, unwrap, wrap
from pkigen.airgap.carrier.format import (
    EVERYBODY,
    BundleKind,
    Label,
    cluster_name_of,
    decoded,
    plain_text,
    text_of,
    time_of,
)
from pkigen.crypto.age_recipient import RECIPIENT
from pkigen.crypto.csr import LARGEST_REQUEST
from pkigen.errors import BundleError
from pkigen.notation import json_text, timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.airgap.carrier.bundle_key import BundleKey

VALIDITY = timedelta(days=30)
"""How long a request may wait for its answer, and an answer for its install."""

SKEW = timedelta(minutes=5)
"""How far this host's clock may be behind: certificates, too, begin five minutes before they are made."""

# More than all nodes of a large cluster ask for together.
MOST_REQUESTS = 1 << 17
# In characters: a certificate, and the intermediates above it.
_LARGEST_CHAIN = 64 << 10
_NONCE = re.compile(r"[0-9a-f]{32}")
# 128 random bits: two requests never have the same one, on whichever machines they are made.
NONCE_SIZE = 16
_PEM = re.compile(r"[A-Za-z0-9+/= \n-]+")


class Purpose(enum.StrEnum):
    """Whose keys the requests are for."""

    NODE = "node"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """What requests and answers have in common.

    `origin` is the node, or what else stands for the site. `nonce` tells one request from every other.
    """

    kind: ClassVar[BundleKind]
    cluster: str
    origin: str
    created: datetime
    nonce: str

    @property
    def label(self) -> Label:
        """The outside of the file."""
        created = self.created.replace(microsecond=0)
        return Label(
            kind=self.kind,
            cluster=self.cluster,
            node=self.origin,
            # What is carried belongs to no ledger of its reader; `created` is what orders requests.
            serial=0,
            created=created,
            expires=created + VALIDITY,
            reader=EVERYBODY,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSet(_Carried):
    """Requests by the inventory's id; each is PEM.

    `recipient` is the age key that a sealed answer is for; None where the answer is no secret.
    """

    kind = BundleKind.REQUEST
    purpose: Purpose
    recipient: str | None
    requests: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSet(_Carried):
    """Certificates by the inventory's id; each is PEM, with the intermediates that its holder sends after it.

    `nonce` is that of the requests which they answer.
    """

    kind = BundleKind.ANSWER
    certificates: tuple[tuple[str, bytes], ...]


def write_requests(requests: RequestSet, key: BundleKey) -> bytes:
    """The file of a set of requests: the same requests and key give the same bytes."""
    return wrap(requests.label, _encode_requests(requests), key)


def read_requests(envelope: Envelope) -> RequestSet:
    """What a signed file of requests holds.

    Raises:
        BundleError: It is something else, or not of the form that pkigen writes.
    """
    found = decoded(envelope.sealed, _requests, _encode_requests, "list of requests")
    _require_label(envelope, found.label)
    return found


def write_answers(answers: AnswerSet, key: BundleKey) -> bytes:
    """The file of a set of certificates."""
    return wrap(answers.label, _encode_answers(answers), key)


def read_answers(envelope: Envelope) -> AnswerSet:
    """What a signed file of certificates holds.

    Raises:
        BundleError: It is something else, or not of the form that pkigen writes.
    """
    found = decoded(envelope.sealed, _answers, _encode_answers, "list of certificates")
    _require_label(envelope, found.label)
    return found


def open_envelope(data: bytes, *, kind: BundleKind, pin: str | None) -> Envelope:
    """Check a file's signature, and that it is of the kind that is asked for.

    Raises:
        BundleError: It is not signed, not by that key, was changed, or is of another kind.
    """
    envelope = unwrap(data, pin=pin)
    if envelope.label.kind is not kind:
        raise BundleError(
            f"it is a file of kind {envelope.label.kind}, not {kind}",
            hint="nothing was written",
        )
    return envelope


def require_timely(requests: RequestSet, *, newest: str | None, now: datetime, again: str) -> None:
    """Refuse a request from the future, one that has expired, and one that is older than what was approved.

    Args:
        requests: What is asked.
        newest: When the last request was made that was approved for the same asker (`timestamp`); None where
            there is none but this one.
        now: The present by this host's clock, in UTC.
        again: How a new request is made.

    Raises:
        BundleError: It is one of these.
    """
    made, expires = timestamp(requests.created), requests.label.expires
    if requests.created > now + SKEW:
        raise BundleError(
            f"it was made {made}, in the future of this host's clock ({timestamp(now)})",
            hint="nothing was issued; set the clock that is wrong",
        )
    if now >= expires:
        raise BundleError(
            f"it has expired: made {made}, it could be approved until {timestamp(expires)}",
            hint=f"nothing was issued; {again}",
        )
    # As text: `timestamp` always writes UTC in the same width, so it sorts like the moments.
    if newest is not None and made < newest:
        raise BundleError(
            f"it was made {made}, and a newer one, of {newest}, was approved already",
            hint=f"nothing was issued; {again}",
        )


def _require_label(envelope: Envelope, label: Label) -> None:
    """Refuse a label that says anything else than the content: it was read before, and acted on."""
    if envelope.label != label:
        raise BundleError("its label and content differ")


def _encode_requests(requests: RequestSet) -> bytes:
    """The one form of a set of requests."""
    return json_text(
        {
            "purpose": requests.purpose,
            **_head_fields(requests),
            "recipient": requests.recipient,
            "requests": _listed(requests.requests, "request"),
        }
    )


def _encode_answers(answers: AnswerSet) -> bytes:
    """The one form of a set of certificates."""
    return json_text(
        {
            **_head_fields(answers),
            "certificates": _listed(answers.certificates, "certificate"),
        }
    )


def _head_fields(carried: _Carried) -> dict[str, str]:
    return {
        "cluster": carried.cluster,
        "origin": carried.origin,
        "created": timestamp(carried.created),
        "nonce": carried.nonce,
    }


def _listed(pems: tuple[tuple[str, bytes], ...], what: str) -> list[dict[str, str]]:
    return [{"id": identifier, what: pem.decode("ascii")} for identifier, pem in pems]


def _requests(content: dict[str, Any]) -> RequestSet:
    """Read a set of requests; `ValueError`, `TypeError` or `KeyError` where it is none."""
    recipient = content["recipient"]
    return RequestSet(
        **_read_head(content),
        purpose=Purpose(content["purpose"]),
        recipient=None if recipient is None else text_of(recipient, RECIPIENT),
        requests=_by_id(content["requests"], "request", LARGEST_REQUEST),
    )


def _answers(content: dict[str, Any]) -> AnswerSet:
    """Read a set of certificates, likewise."""
    return AnswerSet(
        **_read_head(content),
        certificates=_by_id(content["certificates"], "certificate", _LARGEST_CHAIN),
    )


def _read_head(content: dict[str, Any]) -> dict[str, Any]:
    """The fields that both have."""
    return {
        "cluster": cluster_name_of(content["cluster"]),
        "origin": cluster_name_of(content["origin"]),
        "created": time_of(content["created"]),
        "nonce": text_of(content["nonce"], _NONCE),
    }


def _by_id(content: list[dict[str, Any]], what: str, limit: int) -> tuple[tuple[str, bytes], ...]:
    """PEM texts by id, each once and in order, the one way to write a set; `ValueError` for others."""
    found = tuple((plain_text(each["id"]), _pem(each[what], limit)) for each in content)
    identifiers = [identifier for identifier, _ in found]
    if len(found) > MOST_REQUESTS or identifiers != sorted(set(identifiers)):
        raise ValueError
    return found


def _pem(text: object, limit: int) -> bytes:
    """Base64 and marks alone: such a text does a terminal no harm. `ValueError` where it is more."""
    if isinstance(text, str) and len(text) <= limit and _PEM.fullmatch(text):
        return text.encode("ascii")
    raise ValueError
