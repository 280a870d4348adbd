"""What may be renewed by name, and what a renewal may change.

A leaf is renewed whenever somebody asks. A CA is renewed alone, with its own key, and not while it rotates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.desired.generations import CA, CA_WORDS, Phase, ca_id, certificate_named
from pkigen.desired.inventory import carriers
from pkigen.desired.names import certificates_named, tokens_named
from pkigen.errors import AuthorityError, PkigenError, RotationError, UsageError
from pkigen.notation import dir_option, suggestion
from pkigen.reconcile.plan import Renew, Rewrite
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority import look_at_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.plan import Action, Plan
    from pkigen.reconcile.planner import Planner
    from pkigen.state.observed import Reader

AUTHORITIES = frozenset(ca_id(ca) for ca in CA)
"""The ids of the CAs, by which alone they are renewed."""


def leaf_ids(inventory: Inventory) -> frozenset[str]:
    """Every leaf certificate and every token."""
    leaves = (identifier for identifier, item in inventory.certificates.items() if item.issuer is not None)
    return frozenset((*leaves, *inventory.tokens))


def ids_of(inventory: Inventory, name: str) -> tuple[str, ...]:
    """What a name means: every name that `explain` knows of certificates and tokens, and CAs' own.

    Raises:
        UsageError: There is nothing of that name, or it is a CA of a rotation in progress.
    """
    certificates = inventory.certificates
    # A CA is called the same on every command line: `etcd` is its CA, `etcd-server` the component's.
    found = _named(inventory, certificate_named(name))
    if not found:
        raise UsageError(
            f"there is no certificate {name!r} in this cluster", hint=_what_was_meant(inventory, name)
        )
    # `ca-next` and the like, which exist only while a rotation is in progress.
    if any(_is_of_a_rotation(certificates[identifier]) for identifier in found if identifier in certificates):
        raise UsageError(
            f"{name} is a CA of a rotation in progress", hint="finish the rotation, or roll it back"
        )
    return found


def _named(inventory: Inventory, name: str) -> tuple[str, ...]:
    """In the order of the inventory, and so of plans."""
    wanted = certificates_named(inventory, name)
    tokens = (token.id for token in tokens_named(inventory, name))
    return (*(identifier for identifier in inventory.certificates if identifier in wanted), *tokens)


def _is_of_a_rotation(item: DesiredCertificate) -> bool:
    return item.issuer is None and item.id not in AUTHORITIES


def _what_was_meant(inventory: Inventory, name: str) -> str:
    """The hint for a name that means nothing: the nearest one, or all of them."""
    if name == "all":  # kubeadm's word for it
        return "every leaf is renewed by --all"
    certificates = inventory.certificates
    names = sorted({item.name for item in certificates.values() if item.issuer is not None})
    near = suggestion(name, [*names, *certificates, *inventory.tokens, *CA_WORDS])
    return near or f"choose from {', '.join(names)}"


def require_keys_here(inventory: Inventory, names: Collection[str], ids: Collection[str]) -> None:
    """Where a node alone has the key, only the node can ask for a new certificate.

    Args:
        inventory: What must exist.
        names: As somebody has given them.
        ids: What they mean.

    Raises:
        UsageError: Nodes have the keys of all that was named.
    """
    items = [inventory.certificates[identifier] for identifier in ids if identifier in inventory.certificates]
    # With `--all` nothing was named: what is only on nodes is left to them.
    if names and items and all(item.key_is_elsewhere for item in items):
        nodes = sorted({str(item.node) for item in items})
        raise UsageError(
            f"the private key of {', '.join(names)} is only on {', '.join(nodes)}: the node must request "
            "the certificate",
            hint="`pkigen airgap node request --out MEDIUM SPEC` there, then "
            "`pkigen airgap node approve` here",
        )


def require_renewable(planner: Planner, reader: Reader, ids: Collection[str], *, root: Path) -> None:
    """Refuse to renew a CA together with others, while it rotates, or where somebody else has signed it.

    Args:
        planner: What this directory asks for.
        reader: The PKI directory.
        ids: What is to be renewed, a CA among it.
        root: Where the directory is, for the hints.

    Raises:
        UsageError: Something else is to be renewed, too.
        RotationError: The CA is being rotated.
        AuthorityError: Only whoever signed the CA can renew it.
    """
    # A renewed CA has to reach every bundle first, and that is a plan of its own to review.
    if not AUTHORITIES.issuperset(ids):
        raise UsageError(
            "a CA cannot be renewed together with other certificates",
            hint="renew the other certificates afterwards",
        )
    inventory = planner.inventory
    # Also those that have ended: these are what is to be renewed.
    authorities, _ = look_at_all(reader, inventory, now=planner.now)
    for ca in (ca for ca in authorities if ca_id(ca) in ids):
        name = ca.certificate_name
        phase = inventory.rotations.phase(name)
        if phase is not Phase.STABLE:
            raise RotationError(
                f"{name} is being rotated ({phase})", hint="finish the rotation, or roll it back, then renew"
            )
        certificate = authorities[ca].certificate
        if inventory.is_signed_offline(inventory.certificates[name]):
            raise AuthorityError(
                f"{name} comes from the offline authority: only it can renew the certificate",
                hint=_how_to_renew(inventory, name, root),
            )
        # Renewing one here would make a root of it: the key would sign what its issuer has to.
        if certificate.subject != certificate.issuer:
            raise AuthorityError(
                f"{name} is an intermediate: only its issuer can renew it",
                hint="have its issuer renew it, replace the file, then `pkigen apply`",
            )


def _how_to_renew(inventory: Inventory, name: str, root: Path) -> str:
    """Where a CA of the offline authority is renewed: from here by a request, or over there."""
    if inventory.ca_keys is CAKeys.SITE:
        return f"request it: `pkigen airgap authority request {name} {dir_option(root)}`"
    return f"at the authority: `pkigen airgap authority renew SPEC {name}`; the next answer contains it"


def require_renewals_only(plan: Plan, inventory: Inventory) -> None:
    """Who asks for renewals has not reviewed anything else, but for what a renewed CA has to reach.

    Raises:
        PkigenError: The plan changes something else.
    """
    renewed = {action.id for action in plan.changes if isinstance(action, Renew)}
    reached = carriers(inventory, {ca for ca in CA if ca_id(ca) in renewed})
    others = [action for action in plan.changes if not _is_of_a_renewal(action, reached)]
    if others:
        first = others[0]
        raise PkigenError(
            f"{len(others)} other {'change is' if len(others) == 1 else 'changes are'} pending, such as "
            f"{first.verb} {first.id} ({first.reason}); renew only renews",
            hint="review them with `pkigen plan`, apply them with `pkigen apply`, then renew",
        )


def _is_of_a_renewal(action: Action, reached: Collection[str]) -> bool:
    """Whether an action renews something, or only brings a renewed CA to a file that holds it."""
    return isinstance(action, Renew) or (isinstance(action, Rewrite) and action.id in reached)


def ending_authorities(planner: Planner, reader: Reader) -> Iterator[tuple[CA, datetime]]:
    """The CAs that end sooner than a leaf would: what they sign now ends with them."""
    # A leaf made today would reach that far.
    longest = planner.inventory.cluster.spec.certificates.validity
    authorities, _ = look_at_all(reader, planner.inventory, now=planner.now)
    for ca, found in authorities.items():
        end = found.certificate.not_valid_after_utc
        if end - planner.now < longest:
            yield ca, end
