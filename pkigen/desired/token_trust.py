"""Whose tokens the API servers take and for whom, by what really starts them: a template may say so, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.inventory import TokenTrust, derive
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering.templates import Templates


def rendered_with(inventory: Inventory, templates: Templates) -> Inventory:
    """The same with other templates, and what follows from the flags that they render.

    Raises:
        TemplateError: They render no command line of the API server.
    """
    changed = replace(inventory, templates=templates)
    if not templates.are_overridden or not inventory.cluster.control_plane:
        return changed
    line = CommandLines(changed).of(ComponentName.API_SERVER, inventory.cluster.control_plane[0])
    issuers = line.values("service-account-issuer")
    audiences = tuple(each for value in line.values("api-audiences") for each in value.split(","))
    # The first issues, the others are accepted too (kubeapiserver/options/authentication.go); without
    # audiences the issuers are these.
    trust = TokenTrust(issuer=issuers[0], audiences=audiences or issuers)
    derived = derive(
        inventory.cluster,
        inventory.rotations,
        inventory.etcd,
        inventory.adopted,
        inventory.revocations,
        token_trust=trust,
    )
    return replace(derived, templates=templates)
