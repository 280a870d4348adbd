"""**The** list of everything that must exist, derived from the spec.

Issuing, rendering, planning and verifying all derive from it. A newcomer who adds a certificate adds one
row to `certificates`. The order is: issuers before what they sign, the authority before the nodes, nodes by
name, so that neither the order of nodes in the spec nor the run changes any output.
"""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from pkigen.desired.adopted import ABSENT
from pkigen.desired.certificate_items import pki_path
from pkigen.desired.derivation import derived_items
from pkigen.desired.generations import CA, KeyPairFiles, Rotations, ca_id
from pkigen.desired.items import (
    Desired,
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    DesiredKubeconfig,
    DesiredSecret,
    DesiredToken,
    MaterialKind,
)
from pkigen.desired.revocations import NOBODY, RevocationList
from pkigen.records import dataclass
from pkigen.spec.certificates import Authority, CAKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.rendering.templates import Templates
    from pkigen.spec.model import ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdMembership:
    """Which members began the etcd cluster together, and which joined it later, in that order.

    A member that joins must be started with the members that are there already and with the cluster's state
    `existing`; started like a founder, it would wait for a cluster of its own (etcd `server/etcdserver/
    bootstrap.go`).
    """

    founders: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()

    def grown(self, members: Collection[str]) -> EtcdMembership:
        """The membership once these are the members: who is new joins, unless nobody is left to be joined."""
        known = {*self.founders, *self.joined}
        # None of the known members is left: nobody could admit the others, so
        # they found a cluster of their own.
        if not known.intersection(members):
            return EtcdMembership(founders=tuple(sorted(members)))
        return EtcdMembership(
            founders=tuple(name for name in self.founders if name in members),
            # In the order in which they joined: each was started with those before it.
            joined=(*(name for name in self.joined if name in members), *sorted(set(members) - known)),
        )

    def known_to(self, member: str) -> tuple[str, ...]:
        """The members that one starts with: the founders and, for one that joins, who joined before it."""
        if member not in self.joined:
            return self.founders
        return (*self.founders, *self.joined[: self.joined.index(member) + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTrust:
    """Whose service account tokens the API servers take, and whom these must be for."""

    issuer: str
    audiences: tuple[str, ...]

    @classmethod
    def of(cls, cluster: ClusterSpec) -> TokenTrust:
        """By the spec alone."""
        return cls(issuer=cluster.token_issuer, audiences=cluster.api_audiences)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything that must exist, issuers first."""

    cluster: ClusterSpec
    items: tuple[Desired, ...]
    rotations: Rotations
    etcd: EtcdMembership
    adopted: Mapping[str, Adopted] = field(default_factory=dict)
    """What was taken over as it was found, by id."""
    revocations: RevocationList = NOBODY
    """The credentials that API servers must refuse."""
    templates: Templates | None = field(default=None, compare=False, repr=False)
    """What renders the files; None for pkigen's own templates."""
    given_token_trust: TokenTrust | None = None

    @property
    def token_trust(self) -> TokenTrust:
        """Whose tokens the API servers take, and whom these must be for."""
        return self.given_token_trust or TokenTrust.of(self.cluster)

    @cached_property
    def absent(self) -> frozenset[str]:
        """The ids of what was not there when the cluster was taken over, and is not missed."""
        return frozenset(identifier for identifier, each in self.adopted.items() if each.found == ABSENT)

    @cached_property
    def certificates(self) -> dict[str, DesiredCertificate]:
        """Certificates by id, issuers first."""
        return {item.id: item for item in self.items if isinstance(item, DesiredCertificate)}

    @cached_property
    def certificates_by_file(self) -> dict[str, str]:
        """The ids of the certificates, by the file that each stands in."""
        return {item.file: item.id for item in self.certificates.values()}

    @cached_property
    def authorities(self) -> tuple[CA, ...]:
        """The CAs of this cluster: all three, but for etcd's where etcd is external."""
        return tuple(ca for ca in CA if ca_id(ca) in self.certificates)

    @cached_property
    def kubeconfigs(self) -> dict[str, DesiredKubeconfig]:
        """Kubeconfigs by path."""
        return {item.path: item for item in self.items if isinstance(item, DesiredKubeconfig)}

    @cached_property
    def tokens(self) -> dict[str, DesiredToken]:
        """Service accounts' tokens by id."""
        return {item.id: item for item in self.items if isinstance(item, DesiredToken)}

    @property
    def ca_keys(self) -> CAKeys:
        """Where the CAs' private keys are."""
        return self.cluster.spec.certificates.ca_keys

    def is_signed_offline(self, item: DesiredCertificate) -> bool:
        """Whether only the offline authority can issue this certificate."""
        if self.cluster.spec.certificates.authority is Authority.LOCAL:
            return False
        # With the CA keys at the site, only the CAs themselves are signed elsewhere.
        return item.issuer is None or self.ca_keys is CAKeys.OFFLINE

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that the inventory puts a file at."""
        return frozenset(path for item in self.items for path in item.paths)

    def pki_path(self, node: str, name: str) -> str:
        """Where a file of a node's directory of certificates stands in the PKI directory."""
        return pki_path(self.cluster, node, name)


def private_paths(inventory: Inventory) -> tuple[str, ...]:
    """Every private file of the authority itself: CA keys, service account keys, secrets."""
    found: list[str] = []
    for item in inventory.items:
        match item:
            case DesiredCertificate(issuer=None, location=KeyPairFiles() as files):
                found.append(files.key)
            case DesiredKeyPair():
                found.append(item.private_path)
            case DesiredSecret():
                found.append(item.path)
            case _:
                pass
    return tuple(found)


def carriers(inventory: Inventory, authorities: Collection[CA]) -> frozenset[str]:
    """The ids of what holds a copy of one of these CAs' certificates: bundles, signing files, kubeconfigs."""
    copies = (
        item.path
        for item in inventory.items
        if isinstance(item, DesiredCopy)
        and item.ca in authorities
        # A renewed CA keeps its key, and so do the copies of that.
        and item.material is not MaterialKind.CA_KEY
    )
    published = (
        item.path for item in inventory.items if isinstance(item, DesiredFile) and item.trust in authorities
    )
    kubeconfigs = (each.certificate for each in inventory.kubeconfigs.values() if each.trust in authorities)
    return frozenset((*copies, *published, *kubeconfigs))


def derive(
    cluster: ClusterSpec,
    rotations: Rotations | None = None,
    etcd: EtcdMembership | None = None,
    adopted: Mapping[str, Adopted] | None = None,
    revocations: RevocationList = NOBODY,
    *,
    token_trust: TokenTrust | None = None,
) -> Inventory:
    """Derive everything that must exist from a valid spec.

    Args:
        cluster: The spec.
        rotations: Those in progress.
        etcd: The membership before this spec; without it, all members begin together.
        adopted: What was taken over from another maker.
        revocations: What API servers must refuse.
        token_trust: Whose tokens the API servers take, where templates say so; by the spec without it.
    """
    known = rotations or Rotations()
    return Inventory(
        cluster=cluster,
        items=tuple(derived_items(cluster, known, token_trust or TokenTrust.of(cluster))),
        rotations=known,
        etcd=(etcd or EtcdMembership()).grown([member.name for member in cluster.etcd_members]),
        adopted=adopted or {},
        revocations=revocations,
        given_token_trust=token_trust,
    )
