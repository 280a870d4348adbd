"""Which names a credential may carry, and the reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.names import Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA, InKubeconfig
from pkigen.errors import AccessError
from pkigen.records import dataclass
from pkigen.spec.user_rules import is_reserved_group, is_reserved_user
from pkigen.spec.values import parse_person

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.desired.inventory import Inventory
    from pkigen.spec.users import User

_WAY_OUT = (
    "such a certificate cannot be revoked by RBAC: choose another name, or give the reason with "
    "--allow-system-identity REASON"
)


def approved(user: str, groups: Iterable[str], *, inventory: Inventory | None, reason: str | None) -> Subject:
    """The identity that somebody approved, as the subject of a certificate.

    Args:
        user: The user name.
        groups: The groups, in any order.
        inventory: Whose identities it must not take, where a cluster is known.
        reason: Why it may be a name reserved for Kubernetes, or None.

    Raises:
        AccessError: A name is none, or is Kubernetes' or this cluster's own.
    """
    # Sorted, so that the same approval gives the same subject, and a renewal differs in nothing but time.
    names = tuple(sorted(set(groups)))
    for what, name in (("user", user), *(("group", name) for name in names)):
        try:
            parse_person(name)
        except ValueError as error:
            raise AccessError(f"the {what} {name[:80]!r} {error}") from None
    if reason is None:
        fault = (_taken(user, inventory) if inventory is not None else None) or reserved(user, names)
        if fault is not None:
            raise AccessError(fault, hint=_WAY_OUT)
    return Subject(common_name=user, organizations=names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedIdentity:
    """Who somebody is to be: `person` as the spec has them, `reason` why it may be one of Kubernetes' own."""

    subject: Subject
    person: User | None
    reason: str | None

    @property
    def allowed(self) -> Subject | None:
        """What a request may ask for although it is one of Kubernetes' own."""
        return self.subject if self.reason is not None else None


def approved_person(
    user: str,
    groups: Iterable[str] | None,
    *,
    inventory: Inventory,
    reason: str | None,
    spec_vouches: bool = True,
) -> ApprovedIdentity:
    """The identity that somebody approved, with what the spec says of the person.

    Args:
        user: The user name.
        groups: The groups; the spec's, where it is None.
        inventory: Of the cluster.
        reason: Why it may be one of Kubernetes' own; the spec's reason, where it is None.
        spec_vouches: Whether the spec may give that reason. A lock file's may not: others can write there.

    Raises:
        AccessError: A name is none, or is Kubernetes' or this cluster's own.
    """
    person = declared(inventory, user)
    declared_reason = None
    if person is not None:
        groups = person.groups if groups is None else groups
        declared_reason = person.allow_system_identity
    reason = reason or (declared_reason if spec_vouches else None)
    try:
        subject = approved(user, groups or (), inventory=inventory, reason=reason)
    except AccessError as error:
        if declared_reason is None or spec_vouches:
            raise
        hint = (
            "give the spec's file, or the reason with --allow-system-identity: pki.lock cannot vouch for it"
        )
        raise AccessError(error.message, hint=hint) from None
    return ApprovedIdentity(subject=subject, person=person, reason=reason)


def reserved(user: str, groups: Iterable[str]) -> str | None:
    """Which of the names belongs to Kubernetes itself; None where none does."""
    if is_reserved_user(user):
        return f"the user {user[:80]!r} is reserved for Kubernetes"
    for group in groups:
        if is_reserved_group(group):
            return f"the group {group[:80]!r} is reserved for Kubernetes"
    return None


def declared(inventory: Inventory, name: str) -> User | None:
    """The person of the spec that has this name."""
    for user in inventory.cluster.spec.users:
        if user.name == name and not user.is_service_account:
            return user
    return None


def _taken(user: str, inventory: Inventory) -> str | None:
    """Why a certificate of this name would pass for a component's, by its CN; None where it would not."""
    for certificate in inventory.certificates.values():
        # A person's name may be signed for again; only those of components are taken.
        person = isinstance(certificate.location, InKubeconfig) and certificate.node is None
        own = certificate.issuer is CA.KUBERNETES and certificate.profile is Profile.CLIENT and not person
        if own and certificate.subject.common_name == user:
            return f"the user {user!r} is the identity of this cluster's {certificate.id}"
    return None
