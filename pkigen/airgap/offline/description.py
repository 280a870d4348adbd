"""What the directory of an offline authority says that it is: one cluster's, or the root of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.airgap.carrier.format import cluster_name_of, read_own_file
from pkigen.errors import BundleError
from pkigen.notation import json_text
from pkigen.records import dataclass
from pkigen.spec.certificates import CAKeys

if TYPE_CHECKING:
    from pkigen.state.observed import Reader

DESCRIPTION = "authority.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a directory says it is: one cluster's authority, or the root of a fleet."""

    cluster: str
    ca_keys: CAKeys
    is_shared: bool = False
    """Whether it is above all clusters of a fleet; `cluster` is the fleet's name then."""


def read_description(reader: Reader) -> Described | None:
    """Whose authority a directory is; None where it is none.

    Raises:
        BundleError: It says something that pkigen does not write.
    """
    damaged = BundleError(f"{DESCRIPTION} is damaged")
    return read_own_file(reader, DESCRIPTION, _described, encode_description, damaged=damaged)


def encode_description(described: Described) -> bytes:
    """The one form of the description."""
    return json_text(
        {
            "apiVersion": "pkigen/v1",
            "kind": "OfflineAuthority",
            "fleet" if described.is_shared else "cluster": described.cluster,
            "caKeys": described.ca_keys,
        }
    )


def _described(content: dict[str, Any]) -> Described:
    """Read a description; raises what `read_own_file` takes for damage."""
    shared = "fleet" in content
    name = cluster_name_of(content["fleet" if shared else "cluster"])
    return Described(cluster=name, ca_keys=CAKeys(content["caKeys"]), is_shared=shared)


def require_owner(described: Described, name: str, *, is_shared: bool) -> None:
    """Refuse the authority of somebody else; a fleet may be called like a cluster."""
    if (described.cluster, described.is_shared) != (name, is_shared):
        owner = f"{'the fleet ' if described.is_shared else ''}{described.cluster}"
        raise BundleError(
            f"this authority is for {owner}, and the spec is for {'the fleet ' if is_shared else ''}{name}",
            hint="each cluster has an authority of its own, or its fleet has one; nothing was signed",
        )
