"""Every check over a foreign cluster, and what they find, the gravest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.adoption.checks import (
    access_rights,
    authorities,
    connections,
    files,
    identities,
    keys,
    settings,
    validity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.adoption.findings import AuditFinding
    from pkigen.adoption.found import ForeignCluster

CHECKS: Final[tuple[Callable[[ForeignCluster], Iterator[AuditFinding]], ...]] = (
    # In any order: `audit` sorts what they find.
    files.damaged_file,
    files.missing_file,
    files.dangling_context,
    files.overlapping_manifests,
    validity.expired,
    validity.expires_soon,
    validity.not_yet_valid,
    connections.refused_connections,
    connections.record_differs,
    connections.unverified_server,
    connections.trust_missing,
    connections.signer_unusable,
    keys.key_mismatch,
    keys.key_missing,
    keys.weak_key,
    keys.weak_signature,
    keys.duplicate_serial,
    keys.key_reused,
    keys.key_copied,
    keys.token_key_unknown,
    authorities.ca_unfit,
    authorities.leaf_is_ca,
    authorities.unlimited_usage,
    authorities.shared_ca,
    authorities.front_proxy_names,
    authorities.unknown_anchor,
    authorities.trust_differs,
    authorities.spare_authority,
    authorities.authority_key_on_worker,
    identities.administrator_on_worker,
    identities.wrong_identity,
    identities.without_credential,
    identities.wrong_administrator,
    identities.one_node_twice,
    identities.wrong_power,
    identities.long_lived_masters,
    identities.not_renewed,
    settings.etcd_unprotected,
    settings.kubelet_unverified,
    settings.open_api_server,
    settings.open_kubelet,
    settings.static_tokens,
    access_rights.key_exposed,
    access_rights.permissive_mode,
    access_rights.wrong_owner,
)


def audit(cluster: ForeignCluster) -> tuple[AuditFinding, ...]:
    """Everything that the checks find."""
    # What two checks find alike counts once.
    found = {finding: None for check in CHECKS for finding in check(cluster)}
    return tuple(sorted(found, key=lambda each: (each.severity.rank, each.spot, each.rule, each.detail)))
