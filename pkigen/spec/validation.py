"""Rules that concern several values of a spec at once; what concerns one value stands in `values`.

Each rule is one function from the spec to findings and stands in the `RULES` of its module, or in its `rules`
where it must know more than the spec. Findings name
places in the model, which `loader` turns into lines and columns. Where Kubernetes has the same rule, its
source is cited there (`K/` is `cmd/kubeadm/app/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.spec import (
    authentication_rules,
    certificate_rules,
    component_rules,
    encryption_rules,
    flag_rules,
    kubelet_rules,
    mounted_files,
    network_rules,
    node_rules,
    open_flags,
    restated_rules,
    user_rules,
)
from pkigen.spec.findings import Location, Severity, SpecFinding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pkigen.spec.certificate_rules import OverridableKind
    from pkigen.spec.model import ClusterSpec

__all__ = ["Location", "Severity", "SpecFinding", "findings"]


def findings(spec: ClusterSpec, kinds: Collection[OverridableKind]) -> Iterator[SpecFinding]:
    """Everything that the rules find.

    Args:
        spec: Whose values are right one by one.
        kinds: Every kind of certificate that there is.
    """
    for rules in (
        network_rules.RULES,
        node_rules.RULES,
        kubelet_rules.RULES,
        component_rules.RULES,
        encryption_rules.RULES,
        flag_rules.RULES,
        restated_rules.RULES,
        mounted_files.RULES,
        open_flags.RULES,
        certificate_rules.rules(kinds),
        user_rules.RULES,
        authentication_rules.RULES,
    ):
        for rule in rules:
            yield from rule(spec)
