"""Rules about flags that say otherwise what a field of the spec says, too.

Such a flag counts for its program alone: certificates, kubeconfigs, probes and mounts follow the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.layout import is_within
from pkigen.spec.addresses import parse_address, parse_network
from pkigen.spec.findings import NODES, Location, SpecFinding, last_known, warning
from pkigen.spec.model import ManagedFiles, Runtime
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkigen.spec.addresses import IPNetwork
    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec

_API_SERVER: Final[Location] = ("spec", "apiServer", "extraArgs")
_CONTROLLER_MANAGER: Final[Location] = ("spec", "controllerManager", "extraArgs")
_ETCD: Final[Location] = ("spec", "etcd", "extraArgs")
_SUBNETS: Final[Location] = ("spec", "networking", "serviceSubnets")
_MANAGE: Final[Location] = ("spec", "manage")


def _port(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Where API servers listen: kubeconfigs and probes lead to the field's port."""
    given, ports = spec.spec.api_server.extra_args, {str(spec.api_port(node)) for node in spec.control_plane}
    place = last_known(given, "secure-port")
    if place is not None and {given[place].value} != ports and ports and spec.manages(ManagedFiles.MANIFESTS):
        yield warning(
            (*_API_SERVER, place, "value"),
            f"is not the port that kubeconfigs and probes lead to ({', '.join(sorted(ports))}): set bindPort",
            ("spec", "apiServer", "bindPort"),
            NODES,
            _MANAGE,
        )


def _address(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What API servers publish as their address has to be in their certificates."""
    given = spec.spec.api_server.extra_args
    place = last_known(given, "advertise-address")
    if place is None or not spec.manages(ManagedFiles.MANIFESTS):
        return
    text = given[place].value
    for node in spec.control_plane:
        named = {*map(str, node.addresses), *node.cert_sans, *spec.spec.api_server.cert_sans}
        if _plain(text) not in named:
            yield warning(
                (*_API_SERVER, place, "value"),
                f"is no address of {quote(node.name)}, whose certificate lacks it: make it the first of its "
                "addresses, or give it in certSANs",
                ("spec", "apiServer", "certSANs"),
                NODES,
                _MANAGE,
            )


def _plain(text: str) -> str:
    """An address in its one form; other text as it is."""
    try:
        return str(parse_address(text))
    except ValueError:
        return text


def _service_subnets(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Certificates name the first address of the field's subnets, and kubelets the tenth."""
    if not spec.manages(ManagedFiles.MANIFESTS):
        return
    networking, name = spec.spec.networking, "service-cluster-ip-range"
    allocated = networking.service_subnets if networking.pod_subnets else ()
    for at, given, meant in (
        (_API_SERVER, spec.spec.api_server.extra_args, networking.service_subnets),
        (_CONTROLLER_MANAGER, spec.spec.controller_manager.extra_args, allocated),
    ):
        place = last_known(given, name)
        if place is not None and meant and _networks(given[place].value) != meant:
            subnets = ",".join(map(str, meant))
            yield warning(
                (*at, place, "value"),
                f"is not {subnets}, the service subnets that certificates and kubelets are made for: change "
                "those, and remove the flag",
                _SUBNETS,
                _MANAGE,
            )


def _networks(text: str) -> tuple[IPNetwork, ...]:
    """The subnets in a flag; none where one of them cannot be read."""
    try:
        return tuple(parse_network(part) for part in text.split(","))
    except ValueError:
        return ()


def _data_of_etcd(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What etcd stores is in its volume, or gone with the container."""
    etcd = spec.spec.etcd
    if etcd.external is not None or spec.spec.runtime is Runtime.SYSTEMD:
        return
    if not spec.manages(ManagedFiles.MANIFESTS):
        return
    for name in ("data-dir", "wal-dir"):
        place = last_known(etcd.extra_args, name)
        if place is not None and _is_outside(etcd.extra_args, place, etcd.data_dir):
            yield warning(
                (*_ETCD, place, "value"),
                f"is not in {etcd.data_dir}, the only volume of etcd's Pod: what is stored there is lost "
                "with the container; set etcd.dataDir",
                ("spec", "etcd", "dataDir"),
                ("spec", "runtime"),
                _MANAGE,
            )


def _is_outside(arguments: Sequence[ExtraArg], place: int, directory: str) -> bool:
    """Whether a flag names a path that is neither a directory nor below it; an empty one names none."""
    path = arguments[place].value
    return bool(path) and not is_within(path, directory)


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _port,
    _address,
    _service_subnets,
    _data_of_etcd,
)
