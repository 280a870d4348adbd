"""What the spec binds for somebody, in words: by the name, and by the groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.rendering.access import of_group, of_mapping, of_user
from pkigen.spec.users import User, UserGroup

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.spec.users import IAMMapping


def addon_of(who: User | UserGroup | IAMMapping) -> str:
    """The file of the addons that gives somebody's rights."""
    match who:
        case User():
            return layout.addon_path(f"user-{who.stem}")
        case UserGroup():
            return layout.addon_path(f"group-{who.stem}")
        case _:
            return layout.addon_path("iam")


def bindings(who: User | UserGroup | IAMMapping, addon: str | None = None) -> Iterator[str]:
    """What the spec binds for somebody, and the file of the addons that does so."""
    match who:
        case User():
            access = of_user(who)
        case UserGroup():
            access = of_group(who)
        case _:
            access = of_mapping(who)
    for binding in access.bindings:
        where = f"in the namespace {binding.namespace}" if binding.namespace else "in the whole cluster"
        yield f"{binding.role_kind} {binding.role_name} {where} ({addon or addon_of(who)})"


def bound_groups(inventory: Inventory, groups: Collection[str]) -> tuple[UserGroup, ...]:
    """Those of these groups that the spec gives rights to."""
    return tuple(group for group in inventory.cluster.groups if group.name in groups)


def by_groups(inventory: Inventory, groups: Collection[str]) -> Iterator[str]:
    """What somebody may do by being in these groups."""
    for group in bound_groups(inventory, groups):
        yield from (f"{each}, by the group {group.name}" for each in bindings(group))
