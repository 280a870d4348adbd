"""The formats that a spec file may have, told apart by its `apiVersion`."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.notation import IPAddress

KUBEADM_GROUP: Final = "kubeadm.k8s.io"
KUBEADM_NEWEST: Final = "kubeadm.k8s.io/v1beta4"
KUBEADM_V1BETA3: Final = "kubeadm.k8s.io/v1beta3"


class Dialect(enum.StrEnum):
    """Whose format a spec file has."""

    PKIGEN = "pkigen"
    KUBEADM = "kubeadm"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What kubeadm would ask the host for where a configuration leaves it out."""

    hostname: str | None
    default_address: IPAddress | None
