"""People who keep their own key: what was signed for them, and what they may do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access.rights import bindings, by_groups
from pkigen.desired.certificates import USER
from pkigen.notation import quoted, residual
from pkigen.state.signed_certificates import REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.spec.users import User
    from pkigen.state.signed_certificates import SignedCertificate

_MOST_SHOWN = 8
_ELSEWHERE = "what the cluster binds to them itself: `kubectl auth can-i --list`"


def names(inventory: Inventory, signed: Sequence[SignedCertificate]) -> tuple[str, ...]:
    """Everybody who keeps a key, by the spec or because a certificate was signed."""
    declared = (user.name for user in inventory.cluster.spec.users if user.keeps_key)
    return tuple(dict.fromkeys((*declared, *(each.user for each in signed))))


def explain(
    inventory: Inventory, signed: Sequence[SignedCertificate], who: str, *, now: datetime
) -> Iterator[tuple[str, ...]]:
    """A paragraph about whoever of them goes by a name."""
    for name in names(inventory, signed):
        if who in {name, f"user:{name}", f"{REQUEST}{name}"}:
            own = [each for each in signed if each.user == name]
            yield tuple(_paragraph(inventory, name, own, now))


def _paragraph(
    inventory: Inventory, name: str, signed: Sequence[SignedCertificate], now: datetime
) -> Iterator[str]:
    person = _person(inventory, name)
    yield f"{name}: {_standing(person)}"
    for each in signed[:_MOST_SHOWN]:
        yield f"  certificate:  {each.subject}, {certificate_words(each, now)}"
    if len(signed) > _MOST_SHOWN:
        yield f"                … and {len(signed) - _MOST_SHOWN} more"
    if not signed:
        yield f"  certificate:  none on record: `pkigen access sign --csr FILE --user {quoted(name)}`, or"
        yield "                through the cluster, `pkigen access csr manifest` and"
        yield "                `pkigen access user kubeconfig`; or another authenticator, such as OIDC,"
        yield "                vouches for the name"
    yield "  presented to: kube-apiserver"
    yield "  verified by:  kube-apiserver --client-ca-file"
    groups = _groups(person, signed)
    member = ", ".join(groups)
    yield f"  identity:     user {name}, {f'groups {member}' if groups else 'no groups'}"
    rights = (*(bindings(person) if person is not None else ()), *by_groups(inventory, groups))
    yield from (f"  permissions:  {right}" for right in rights or (_ELSEWHERE,))
    yield f"  on expiry:    {USER.stops}"
    yield from _differing(person, signed)


def _person(inventory: Inventory, name: str) -> User | None:
    people = inventory.cluster.spec.users
    return next((user for user in people if user.name == name and not user.is_service_account), None)


def _standing(person: User | None) -> str:
    if person is None:
        return "somebody who keeps a key of their own, and is not in spec.users"
    if person.keeps_key:
        return "a person who keeps a key of their own (credential: external)"
    return "a person of the spec, who has a certificate for a key of their own, too"


def certificate_words(each: SignedCertificate, now: datetime) -> str:
    """Until when a certificate works, and which it is."""
    by = f", signed by the {each.signer}" if each.signer is not None else ""
    left = residual(each.expires - now)
    return f"until {each.expires:%Y-%m-%d %H:%M} UTC (in {left}){by}, serial {each.serial}"


def _groups(person: User | None, signed: Sequence[SignedCertificate]) -> tuple[str, ...]:
    """The groups that somebody has: those of the certificates, before any was signed those of the spec."""
    if signed:
        return tuple(dict.fromkeys(group for each in signed for group in each.subject.organizations))
    return person.groups if person is not None else ()


def _differing(person: User | None, signed: Sequence[SignedCertificate]) -> Iterator[str]:
    """Groups change with a new certificate alone."""
    if person is None or not signed:
        return
    newest = set(signed[0].subject.organizations)
    if newest != set(person.groups):
        said = ", ".join(person.groups) or "none"
        yield f"  note:         the spec gives the groups {said}: the next certificate has them"
