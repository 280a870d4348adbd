"""Rules that concern several values of a spec at once; what concerns one value stands in `values`.

Each rule is one function from the spec to findings and stands in the `RULES` of its module. Findings name
places in the model, which `loader` turns into lines and columns. Where Kubernetes has the same rule, its
source is cited there (`K/` is `cmd/kubeadm/app/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.spec import certificate_rules, component_rules, network_rules, node_rules, user_rules
from pkigen.spec.findings import Location, Severity, SpecFinding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.model import ClusterSpec

__all__ = ["Location", "Severity", "SpecFinding", "findings"]

_MODULES = (network_rules, node_rules, component_rules, certificate_rules, user_rules)


def findings(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Everything that the rules find."""
    for module in _MODULES:
        for rule in module.RULES:
            yield from rule(spec)
