"""The named reasons for a change, and the anomalies that no change puts right."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """Every reason for which something is changed; `verify` and `status` report the same ones."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    KEY_MISSING = "key-missing"
    KEY_UNREADABLE = "key-unreadable"
    KEY_MISMATCH = "key-mismatch"
    UNKNOWN_ISSUER = "unknown-issuer"
    ISSUER_REPLACED = "issuer-replaced"
    SUBJECT_CHANGED = "subject-changed"
    SANS_CHANGED = "sans-changed"
    EXTENSIONS_CHANGED = "extensions-changed"
    ALGORITHM_CHANGED = "algorithm-changed"
    CHAIN_CHANGED = "chain-changed"
    OUTLIVES_ISSUER = "outlives-issuer"
    LIVES_TOO_LONG = "lives-too-long"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    EXPIRES_SOON = "expires-soon"
    REQUESTED = "requested"
    MODE = "mode"
    CONTENT_CHANGED = "content-changed"
    MEMBER_MOVES = "member-moves"
    VERIFIES_KUBELETS = "verifies-kubelets"
    ANONYMOUS_CHANGED = "anonymous-changed"
    CREDENTIAL_CHANGED = "credential-changed"
    ORDER_CHANGED = "order-changed"
    LOCATION_CHANGED = "location-changed"
    NOT_WANTED = "not-wanted"
    ROTATION = "rotation"
    ROLLBACK = "rollback"
    NOT_SEALED = "not-sealed"
    AWAITS_REQUEST = "awaits-request"
    KEY_NOT_ALONE = "key-not-alone"
    REVOKED = "revoked"
    REVOCATION_OVER = "revocation-over"
    SHARED_KEY = "shared-key"


class Anomaly(enum.StrEnum):
    """What `verify` reports beside the reasons: no plan puts it right by itself."""

    UNFIT_AUTHORITY = "unfit-authority"
    UNUSUAL_AUTHORITY = "unusual-authority"
    CHANGED_AUTHORITY = "changed-authority"
    UNEXPECTED_KEY = "unexpected-key"
    UNEXPECTED_FILE = "unexpected-file"
    OWNER = "owner"
    LEDGER = "ledger"
    LEDGER_GAP = "ledger-gap"
    BROKEN_EDGE = "broken-edge"
    NOT_JUDGED = "not-judged"
    TRACKED = "tracked-secret"


TIME_REASONS = frozenset({Reason.EXPIRED, Reason.EXPIRES_SOON, Reason.REQUESTED})
"""Reasons for which the same content is issued again: a renewal, not a reissue."""


USELESS = frozenset(
    {
        Reason.MISSING,
        Reason.UNREADABLE,
        Reason.KEY_MISSING,
        Reason.KEY_UNREADABLE,
        Reason.KEY_MISMATCH,
        Reason.UNKNOWN_ISSUER,
        Reason.NOT_YET_VALID,
        Reason.EXPIRED,
    }
)
"""Reasons for which something does not work as it is, and not only differs from the spec."""
