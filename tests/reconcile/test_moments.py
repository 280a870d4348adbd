"""The next moment at which time alone changes a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredToken
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.reconcile.division import Summary
from pkigen.reconcile.moments import lasting, next_moment
from pkigen.reconcile.surveyed import kept
from tests.samples import CP1, spec

NOW = datetime(2026, 11, 28, tzinfo=UTC)
DAY = timedelta(days=1)
UID = "3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b"
INVENTORY = derive(
    spec(CP1, users=[{"name": "bot", "kind": "ServiceAccount", "namespace": "web", "uid": UID}])
)
NOTICE = INVENTORY.certificates["cp-1/apiserver"].renew_before
BEGIN, END = NOW + DAY, NOW + 365 * DAY
CERTIFICATE = {"cp-1/apiserver": {"notBefore": BEGIN.isoformat(), "notAfter": END.isoformat()}}
TOKEN_END, TOKEN_NOTICE = NOW + 9 * DAY, 2 * DAY


def revocation(expires: datetime | None) -> Revocation:
    credential = CredentialId.parse("JTI=a")
    return Revocation(credential=credential, of="x", reason="y", revoked=NOW, expires=expires)


@pytest.mark.parametrize(
    ("now", "moment"), [(BEGIN - DAY, BEGIN), (BEGIN, END - NOTICE), (END - NOTICE, END), (END, None)]
)
def test_a_certificate_begins_is_due_and_ends(now: datetime, moment: datetime | None) -> None:
    assert next_moment(INVENTORY, CERTIFICATE, (), now=now) == moment


@pytest.mark.parametrize(
    ("now", "moment"),
    [(NOW, TOKEN_END - TOKEN_NOTICE), (TOKEN_END - TOKEN_NOTICE, TOKEN_END), (TOKEN_END, None)],
)
def test_a_token_is_due_and_ends(now: datetime, moment: datetime | None) -> None:
    assert next_moment(INVENTORY, {}, [(TOKEN_END, TOKEN_NOTICE)], now=now) == moment


def test_a_revocation_is_over_and_one_that_never_ends_is_no_moment() -> None:
    limited, endless = revocation(NOW), revocation(None)
    inventory = replace(INVENTORY, revocations=RevocationList(active=(endless, limited)))
    assert next_moment(inventory, {}, (), now=NOW) == limited.ends
    assert next_moment(replace(inventory, revocations=RevocationList()), {}, (), now=NOW) is None


def test_the_first_of_all_counts() -> None:
    inventory = replace(INVENTORY, revocations=RevocationList(active=(revocation(NOW + 3 * DAY),)))
    tokens = [(TOKEN_END, TOKEN_NOTICE)]
    assert next_moment(inventory, CERTIFICATE, tokens, now=NOW) == BEGIN
    assert next_moment(inventory, CERTIFICATE, tokens, now=NOW + 2 * DAY) == revocation(NOW + 3 * DAY).ends
    assert next_moment(inventory, CERTIFICATE, tokens, now=NOW + 4 * DAY) == TOKEN_END - TOKEN_NOTICE


def test_a_token_is_due_before_its_end_and_a_ca_above_ends() -> None:
    (token,) = (item for item in INVENTORY.items if isinstance(item, DesiredToken))
    other = INVENTORY.certificates["cp-1/apiserver"]

    def summary(item: DesiredToken, expires: datetime | None) -> Summary:
        return Summary(item=item, action=kept(item), expires=expires)

    assert list(lasting(summary(token, END))) == [(END, token.renew_before)]
    assert not list(lasting(summary(token, None)))
    assert list(lasting(Summary(item=other, action=kept(other), expires=END))) == [(END, timedelta())]
    assert not list(lasting(Summary(item=other, action=kept(other))))
