"""What is to be done to a certificate: decided from what was found, without looking at anything."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen.reconcile.checks import Finding
from pkigen.reconcile.plan import Action, Ask, Await, Create, Keep, Reissue, Renew, Rewrite
from pkigen.records import dataclass
from pkigen.state.reasons import TIME_REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable


class Signer(enum.Enum):
    """Who can give a certificate a successor."""

    HERE = enum.auto()
    """The authority in this PKI directory."""
    OFFLINE = enum.auto()
    """Only the offline authority; a certificate that is merely due waits for it."""
    NODE = enum.auto()
    """Nobody before its node has asked: only the node knows for which key."""
    NOBODY = enum.auto()
    """It is a CA that is there: a plan may renew it on request, but replacing it is a rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done, the findings for which it is done, and everything that was found."""

    kind: type[Action]
    causes: tuple[Finding, ...]
    findings: tuple[Finding, ...]


def decide(
    findings: tuple[Finding, ...], *, signer: Signer, requested: bool, around: Finding | None
) -> Decision:
    """Decide what is to be done to one certificate.

    Args:
        findings: What is wrong with the certificate and its key, as far as it is to be acted on; the first
            one decides.
        signer: Who can give it a successor.
        requested: Whether `renew` names it.
        around: What is wrong with the files that it stands in, though it may stay as it is.
    """
    # A CA keeps its key and name: asked for or not, nothing else may be done to it here.
    if signer is Signer.NOBODY and requested:
        renewal = (Finding(reason=Reason.REQUESTED, detail="the same key and name, a new validity"),)
        return Decision(kind=Renew, causes=renewal, findings=renewal)
    if findings and signer in {Signer.HERE, Signer.OFFLINE}:
        # The chain is public and here: no signature is needed to put it right.
        if _is_of_chain_only(findings):
            return Decision(kind=Rewrite, causes=findings[:1], findings=findings)
        # It can wait until somebody carries a request; what is wrong cannot.
        is_merely_due = all(finding.reason in TIME_REASONS for finding in findings)
        if signer is Signer.HERE or requested or not is_merely_due:
            return Decision(kind=issuing(findings[0].reason), causes=findings, findings=findings)
    return _meanwhile(findings, signer, around)


def _meanwhile(findings: tuple[Finding, ...], signer: Signer, around: Finding | None) -> Decision:
    """What is done to a certificate that stays, for now or for good: what is around it is kept right."""
    # Whoever waits for a signature still gets right modes, and the right server in the kubeconfig.
    if around is not None:
        return Decision(kind=Rewrite, causes=(around,), findings=(*findings, around))
    # A CA that is there is kept whatever was found: replacing it is a rotation.
    if not findings or signer is Signer.NOBODY:
        return Decision(kind=Keep, causes=(), findings=findings)
    if signer is Signer.OFFLINE:
        return Decision(kind=Await, causes=findings, findings=findings)
    if _is_of_chain_only(findings):
        return Decision(kind=Rewrite, causes=findings[:1], findings=findings)
    return Decision(kind=Ask, causes=findings, findings=findings)


def issuing(reason: Reason) -> type[Create | Renew | Reissue]:
    """The action that makes an object again for a reason."""
    if reason in {Reason.MISSING, Reason.AWAITS_REQUEST}:
        return Create
    return Renew if reason in TIME_REASONS else Reissue


def _is_of_chain_only(findings: Iterable[Finding]) -> bool:
    """Whether the certificate is good, and only what follows it in its file is not."""
    return all(finding.reason is Reason.CHAIN_CHANGED for finding in findings)
