"""The names of the distributions whose authority pkigen can be, without what writes and reads their files."""

from __future__ import annotations

import enum


class Distribution(enum.StrEnum):
    """Whose cluster stands below the authority."""

    CLUSTER_API = "cluster-api"
    K0SMOTRON = "k0smotron"
    TALOS = "talos"
    K3S = "k3s"
    RKE2 = "rke2"
    K0S = "k0s"
    KUBESPRAY = "kubespray"
    K8S_SNAP = "k8s-snap"
