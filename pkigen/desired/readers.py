"""Who reads the files of a node, and when it sees that one of them has changed."""

from __future__ import annotations

import enum

from pkigen.records import dataclass


class ComponentName(enum.StrEnum):
    """What runs on a node, in the order in which it is safe to restart."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    KUBE_PROXY = "kube-proxy"


class Reading(enum.Enum):
    """When a running component reads a file."""

    AT_START = enum.auto()
    ON_CHANGE = enum.auto()
    BY_CLIENT_GO = enum.auto()
    """A CA file that client-go verifies servers with: every five minutes where its version reads it again."""
    BY_KUBECONFIG = enum.auto()
    """At start where a kubeconfig embeds it; where one names it by path, client-go reads it again for each
    new connection, and every five minutes for those that are open."""
    PER_CONNECTION = enum.auto()
    """Also in the moment in which a certificate is new and its key is not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBy:
    """A component that reads a file."""

    component: ComponentName
    reading: Reading
