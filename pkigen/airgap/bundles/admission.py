"""Whether a bundle may be installed on this host now; each reason to refuse has its own message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.carrier.requests import SKEW
from pkigen.errors import BundleError
from pkigen.notation import format_duration, residual, timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from pkigen.airgap.bundles.record import Installed
    from pkigen.airgap.carrier.format import BundleKind, Label

_UNCHANGED = "nothing was written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this host is, and what was installed on it last."""

    node: str
    now: datetime
    installed: Installed | None


def require_admissible(
    label: Label, host: Host, *, kind: BundleKind, max_age: timedelta, allow_older: bool
) -> None:
    """Refuse a bundle that is not for this host, or not for now.

    Raises:
        BundleError: It is for another use, cluster or node, is expired, too old, made in the future, or
            older than what is installed.
    """
    # First what it is, then whose, then when: each message is about the first thing that is wrong.
    if label.kind is not kind:
        raise BundleError(f"it is a {label.kind} bundle, not a {kind} bundle", hint=_UNCHANGED)
    if host.installed is not None and label.cluster != host.installed.label.cluster:
        raise BundleError(
            f"it is for another cluster: {label.cluster}, where {host.installed.label.cluster} is installed",
            hint=_UNCHANGED,
        )
    if label.node != host.node:
        raise BundleError(
            f"it is for another node: {label.node}, and this host is {host.node}",
            hint=f"{_UNCHANGED}; if the host's name is not the node's, give --node {label.node}",
        )
    _require_timely(label, host.now, max_age)
    # By the ledger's length first: it only grows, while a clock can be set back.
    if host.installed is not None and not allow_older:
        _require_no_older(label, host.installed.label)


def _require_timely(label: Label, now: datetime, max_age: timedelta) -> None:
    """Refuse a bundle that is from the future, has expired or is too old, by this host's clock."""
    if label.created > now + SKEW:
        raise BundleError(
            f"it was made {label.created:%Y-%m-%d %H:%M} UTC, in the future of this host's "
            f"clock ({now:%Y-%m-%d %H:%M})",
            hint=f"{_UNCHANGED}; set this host's clock",
        )
    if now >= label.expires:
        raise BundleError(
            f"it has expired: a certificate in it expired {label.expires:%Y-%m-%d %H:%M} UTC",
            hint=f"{_UNCHANGED}; renew with `pkigen apply`, and pack again with "
            "`pkigen airgap bundle create`",
        )
    if now - label.created > max_age:
        raise BundleError(
            f"it was made {residual(now - label.created)} ago; {format_duration(max_age)} are allowed",
            hint=f"{_UNCHANGED}; make a new one, or allow more with --max-age",
        )


def _require_no_older(label: Label, installed: Label) -> None:
    """Refuse a bundle from before what is installed: it would bring back what was replaced since."""
    if label.order < installed.order:
        raise BundleError(
            f"it is older than what is installed: serial {label.serial} of {timestamp(label.created)}, "
            f"installed is {installed.serial} of {timestamp(installed.created)}",
            hint=f"{_UNCHANGED}; to go back, use `pkigen airgap bundle rollback`, or --allow-older",
        )
