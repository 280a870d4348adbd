"""The way out of what `verify` finds in a directory of pkigen's own."""

from __future__ import annotations

from pkigen.cli.reports.audit_forms import REMARK
from pkigen.state.reasons import Anomaly, Reason

_APPLY = "`pkigen plan` shows how `pkigen apply` puts it right"
_WAYS = {
    Reason.EXPIRED: "`pkigen renew`; where a CA has expired, `pkigen rescue`",
    Reason.EXPIRES_SOON: "`pkigen renew`; for a CA, begin a rotation with `pkigen rotate`",
    Reason.AWAITS_REQUEST: "have the node ask for it: `pkigen airgap node request`, then approve it here",
    Anomaly.UNFIT_AUTHORITY: "restore the CA from a backup, or begin anew with another authority",
    Anomaly.UNUSUAL_AUTHORITY: "nothing has to be done; the next rotation can make a usual one",
    Anomaly.CHANGED_AUTHORITY: "if nobody of yours has changed it, restore the authority from a backup",
    Anomaly.UNEXPECTED_KEY: "move the file away, and rotate what the key is for if others may have read it",
    Anomaly.UNEXPECTED_FILE: "move the file away, or name it in the spec",
    Anomaly.OWNER: "give the file to the user who runs pkigen, after a look at who changed it",
    Anomaly.LEDGER: "compare the ledger with a backup; who changed it may have hidden what was issued",
    Anomaly.LEDGER_GAP: "nothing has to be done if the gap is known",
    Anomaly.BROKEN_EDGE: _APPLY,
    Anomaly.NOT_JUDGED: "look at the directory where its private files are",
    Anomaly.TRACKED: "`git rm --cached` it, and rotate what it holds if the repository was ever pushed",
}


def way_out(rule: str) -> str:
    """What to do about a finding, by its rule; what a plan puts right needs no other way."""
    if rule == REMARK:
        return "nothing has to be done: it is as somebody wanted it"
    return next((way for reason, way in _WAYS.items() if str(reason) == rule), _APPLY)
