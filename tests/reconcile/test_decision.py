"""What is to be done to a certificate, as a table: what was found, who can sign, what was asked for."""

from __future__ import annotations

import pytest

from pkigen.reconcile.checks import Finding
from pkigen.reconcile.decision import Signer, decide, issuing
from pkigen.reconcile.plan import Action, Ask, Await, Create, Keep, Reissue, Renew, Rewrite
from pkigen.state.reasons import TIME_REASONS, Reason

HERE, OFFLINE, NODE, NOBODY = Signer.HERE, Signer.OFFLINE, Signer.NODE, Signer.NOBODY
MODE = Finding(reason=Reason.MODE, detail="around")

# Findings, signer, requested, whether something around it is wrong; the action, and the reasons it names.
Row = tuple[tuple[Reason, ...], Signer, bool, bool, type[Action], tuple[Reason, ...]]
TABLE: dict[str, Row] = {
    "good": ((), HERE, False, False, Keep, ()),
    "good-but-for-its-mode": ((), HERE, False, True, Rewrite, (Reason.MODE,)),
    "missing": ((Reason.MISSING,), HERE, False, False, Create, (Reason.MISSING,)),
    "due": ((Reason.EXPIRES_SOON,), HERE, False, False, Renew, (Reason.EXPIRES_SOON,)),
    "asked-for": ((Reason.REQUESTED,), HERE, True, False, Renew, (Reason.REQUESTED,)),
    "changed": ((Reason.SANS_CHANGED,), HERE, False, False, Reissue, (Reason.SANS_CHANGED,)),
    "the-first-decides": (
        (Reason.SANS_CHANGED, Reason.EXPIRED),
        HERE,
        False,
        True,
        Reissue,
        (Reason.SANS_CHANGED, Reason.EXPIRED),
    ),
    "only-the-chain": ((Reason.CHAIN_CHANGED,), HERE, False, True, Rewrite, (Reason.CHAIN_CHANGED,)),
    "the-chain-and-more": (
        (Reason.CHAIN_CHANGED, Reason.EXPIRED),
        HERE,
        False,
        False,
        Reissue,
        (Reason.CHAIN_CHANGED, Reason.EXPIRED),
    ),
    "offline-good": ((), OFFLINE, False, False, Keep, ()),
    "offline-missing": ((Reason.MISSING,), OFFLINE, False, False, Create, (Reason.MISSING,)),
    "offline-changed": ((Reason.SANS_CHANGED,), OFFLINE, False, False, Reissue, (Reason.SANS_CHANGED,)),
    "offline-due": ((Reason.EXPIRED,), OFFLINE, False, False, Await, (Reason.EXPIRED,)),
    "offline-due-with-a-mode": ((Reason.EXPIRED,), OFFLINE, False, True, Rewrite, (Reason.MODE,)),
    "offline-due-and-changed": (
        (Reason.SANS_CHANGED, Reason.EXPIRED),
        OFFLINE,
        False,
        False,
        Reissue,
        (Reason.SANS_CHANGED, Reason.EXPIRED),
    ),
    "offline-delivered": ((Reason.EXPIRED,), OFFLINE, True, True, Renew, (Reason.EXPIRED,)),
    "offline-only-the-chain": (
        (Reason.CHAIN_CHANGED,),
        OFFLINE,
        False,
        False,
        Rewrite,
        (Reason.CHAIN_CHANGED,),
    ),
    "node-good": ((), NODE, False, False, Keep, ()),
    "node-has-not-asked": ((Reason.AWAITS_REQUEST,), NODE, False, False, Ask, (Reason.AWAITS_REQUEST,)),
    "node-due": ((Reason.EXPIRES_SOON,), NODE, True, False, Ask, (Reason.EXPIRES_SOON,)),
    "node-changed-with-a-mode": ((Reason.SANS_CHANGED,), NODE, False, True, Rewrite, (Reason.MODE,)),
    "node-only-the-chain": ((Reason.CHAIN_CHANGED,), NODE, False, False, Rewrite, (Reason.CHAIN_CHANGED,)),
    "node-has-asked": ((Reason.AWAITS_REQUEST,), HERE, False, False, Create, (Reason.AWAITS_REQUEST,)),
    "ca-good": ((), NOBODY, False, False, Keep, ()),
    "ca-changed": ((Reason.EXTENSIONS_CHANGED,), NOBODY, False, False, Keep, ()),
    "ca-due": ((Reason.EXPIRES_SOON,), NOBODY, False, False, Keep, ()),
    "ca-with-a-mode": ((Reason.EXPIRES_SOON,), NOBODY, False, True, Rewrite, (Reason.MODE,)),
    "ca-asked-for": ((Reason.EXPIRED,), NOBODY, True, True, Renew, (Reason.REQUESTED,)),
}


def found(*reasons: Reason) -> tuple[Finding, ...]:
    return tuple(Finding(reason=reason, detail=f"it is {reason}") for reason in reasons)


@pytest.mark.parametrize("name", TABLE)
def test_each_row(name: str) -> None:
    reasons, signer, requested, around, kind, causes = TABLE[name]
    decision = decide(found(*reasons), signer=signer, requested=requested, around=MODE if around else None)
    assert decision.kind is kind
    assert tuple(cause.reason for cause in decision.causes) == causes


def test_all_that_was_found_is_reported_whatever_is_done() -> None:
    due = found(Reason.EXPIRES_SOON)
    kept = decide(due, signer=NOBODY, requested=False, around=None)
    assert (kept.kind, kept.findings) == (Keep, due)
    rewritten = decide(due, signer=OFFLINE, requested=False, around=MODE)
    assert (rewritten.causes, rewritten.findings) == ((MODE,), (*due, MODE))


def test_a_ca_is_renewed_with_its_own_key_whatever_was_found() -> None:
    decision = decide(found(Reason.EXPIRED), signer=NOBODY, requested=True, around=None)
    assert [finding.detail for finding in decision.findings] == ["the same key and name, a new validity"]


@pytest.mark.parametrize("reason", Reason)
def test_time_renews_absence_creates_and_all_else_reissues(reason: Reason) -> None:
    absent = {Reason.MISSING, Reason.AWAITS_REQUEST}
    assert issuing(reason) is (Create if reason in absent else Renew if reason in TIME_REASONS else Reissue)
