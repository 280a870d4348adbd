"""The list of revoked credentials in the files that API servers read, and what of a plan belongs to it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.authorization import (
    configuration_path,
    is_managed,
    is_structured,
)
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.desired.readers import ComponentName
from pkigen.desired.revocations import MOST, short
from pkigen.errors import AccessError
from pkigen.reconcile.checks import Finding
from pkigen.spec.flag_combinations import AUTHORIZATION_FLAG
from pkigen.spec.versions import STRUCTURED_AUTHORIZATION
from pkigen.state.observed import content_at
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.revocations import Revocation, RevocationChange, RevocationList
    from pkigen.reconcile.plan import Plan
    from pkigen.state.observed import Reader

# `X509SHA256=` (`request/x509` in apiserver's `pkg/authentication`) and `JTI=` (`token/jwt` there) begin the
# ids that API servers note of certificates and tokens; a node is refused by its user name.
_LISTED = re.compile(rb"((?:X509SHA256|JTI)=[^'\s]+|system:node:[^'\s]+)")
_LIST_KINDS = frozenset({FileKind.AUTHORIZATION_CONFIGURATION, FileKind.AUTHORIZATION_WEBHOOK})


def list_change(reader: Reader, path: str, wanted: RevocationList) -> Finding | None:
    """Why the file that API servers authorize by changes; None where that is not the list of credentials."""
    before = listed(content_at(reader, path) or b"")
    active = {str(each.credential): each for each in wanted.active}
    over = {str(each.credential): each for each in wanted.over}
    # What has expired is refused anyway: that it comes off lets nobody in, and is told of apart.
    added = [active[each] for each in sorted(active.keys() - before)]
    lifted = _without_marker(before - active.keys() - over.keys())
    if added or lifted:
        told = (f"refuses {_told(added)}" if added else "", f"{lifted} fewer" if lifted else "")
        return Finding(reason=Reason.REVOKED, detail="; ".join(filter(None, told)))
    return _of_expired([over[each] for each in sorted(over.keys() & before)])


def _of_expired(expired: Sequence[Revocation]) -> Finding | None:
    if not expired:
        return None
    detail = f"what has expired comes off the list: {_told(expired)}"
    return Finding(reason=Reason.REVOCATION_OVER, detail=detail)


def _without_marker(gone: set[str]) -> int:
    """How many ids are gone from a list but its marker, which goes with every change."""
    return max(len(gone) - 1, 0)


_TOLD = 3


def _told(revocations: Sequence[Revocation]) -> str:
    more = f" and {len(revocations) - _TOLD} more" if len(revocations) > _TOLD else ""
    return ", ".join(f"{short(each.credential)} of {each.of}" for each in revocations[:_TOLD]) + more


def listed(data: bytes) -> set[str]:
    """The ids in a file that API servers authorize by, the marker among them; users as `USER=…`."""
    found = (match.decode("ascii", "replace") for match in _LISTED.findall(data))
    return {f"USER={each}" if each.startswith("system:") else each for each in found}


def with_change(plan: Plan, change: RevocationChange, inventory: Inventory) -> tuple[Plan, frozenset[str]]:
    """A plan with what belongs to a change of the list alone, and the ids of all that is left for later.

    A revocation is urgent: it neither waits for what else is to be done nor brings it along.
    """
    lists = {
        item.id for item in inventory.items if isinstance(item, DesiredFile) and item.kind in _LIST_KINDS
    }
    kept = tuple(each for each in plan.actions if each.id in lists)
    others = frozenset(each.id for each in plan.changes if each.id not in lists)
    return replace(plan, actions=kept, revocation=change), others


def require_enforced(inventory: Inventory, reader: Reader) -> None:
    """Refuse a revocation that API servers would not learn of.

    Raises:
        AccessError: They do not read the file; the way there is said.
    """
    cluster = inventory.cluster
    version = cluster.spec.kubernetes_version
    if not STRUCTURED_AUTHORIZATION.holds(version):
        raise AccessError(
            f"the API servers of Kubernetes {version} cannot refuse a single credential: that is stable from "
            f"v1.{STRUCTURED_AUTHORIZATION.since} on",
            hint="remove what RBAC binds to the user (`pkigen explain USER` names it), or rotate the CA: "
            "`pkigen rotate ca kubernetes`",
        )
    if not cluster.control_plane:
        raise AccessError(
            "the API servers are another distribution's, and what they authorize by is not pkigen's to write",
            hint="remove what RBAC binds to the user (`pkigen explain USER` names it), or rotate the CA",
        )
    is_ours = is_structured(cluster) and is_managed(cluster)
    refusal = _not_reading(inventory, reader) if is_ours else _by_flags(inventory)
    if refusal is not None:
        raise refusal


_ONCE = (
    "`pkigen apply`, and restart the API servers one after the other; after that no revocation restarts any"
)


def _by_flags(inventory: Inventory) -> AccessError:
    """Why API servers do not read pkigen's file by this spec, and the way out."""
    given = {each.name: each.value for each in inventory.cluster.spec.api_server.extra_args}
    if AUTHORIZATION_FLAG in given and not is_structured(inventory.cluster):
        return AccessError(
            f"the API servers authorize by {given[AUTHORIZATION_FLAG]} (--{AUTHORIZATION_FLAG} in "
            "spec.apiServer.extraArgs), which is not pkigen's to write",
            hint="take the flag out of extraArgs, so that pkigen writes the file, or put an authorizer that "
            "refuses the credential into your own: docs/how-to/revocation.md shows it",
        )
    named = next((each for each in given if each.startswith("authorization-")), None)
    if named is not None:
        return AccessError(
            f"the API servers authorize by flags (--{named} in spec.apiServer.extraArgs)",
            hint=f"take the flags of authorization out of extraArgs, {_ONCE}",
        )
    path = configuration_path(inventory.cluster)
    return AccessError(
        "the API servers authorize by flags (spec.apiServer.structuredAuthorization)",
        hint="set spec.apiServer.structuredAuthorization: true (in a kubeadm configuration: the extraArg "
        f"{AUTHORIZATION_FLAG} with {path}), {_ONCE}",
    )


def _not_reading(inventory: Inventory, reader: Reader) -> AccessError | None:
    """The first control plane that runs without the flag, by its own manifest or flag file."""
    lines = CommandLines(inventory, lambda path: content_at(reader, path))
    wanted = configuration_path(inventory.cluster)
    for node in inventory.cluster.control_plane:
        line = lines.of(ComponentName.API_SERVER, node)
        value = line.value(AUTHORIZATION_FLAG)
        if not value or line.host_path(value) != wanted:
            return AccessError(
                f"the API server on {node.name} does not run with --{AUTHORIZATION_FLAG}={wanted} yet",
                hint="`pkigen apply` first, where pkigen writes the manifests; else put the flag into them "
                "in place of --authorization-mode, and restart the API servers one after the other",
            )
    return None


def let_in(path: str, before: bytes, after: bytes) -> str | None:
    """What a file of before would let in again, as a risk; None where nothing."""
    if not path.endswith(f"/{layout.AUTHORIZATION_CONFIGURATION}"):
        return None
    count = _without_marker(listed(before) - listed(after))
    what = f"{count} revoked credential{'' if count == 1 else 's'}"
    return f"it lets {what} pass again, by {path}" if count > 0 else None


def require_bearable(inventory: Inventory) -> None:
    """Refuse a list that is longer than what was measured.

    Raises:
        AccessError: It is.
    """
    count = len(inventory.revocations.active)
    if count > MOST:
        raise AccessError(
            f"{count} credentials would be revoked, and one file bears {MOST}",
            hint="rotate the CA instead, which ends all of its certificates: `pkigen rotate ca kubernetes`",
        )
