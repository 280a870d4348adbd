"""Warnings about flags in `extraArgs` that take a lock off which pkigen puts on.

On foreign nodes `adoption/checks/settings` finds the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.spec.addresses import urls_without_tls
from pkigen.spec.findings import Location, SpecFinding, warning
from pkigen.spec.flag_values import is_true
from pkigen.spec.kubelet_rules import flags_of_kubelets
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec

_API_SERVER: Final[Location] = ("spec", "apiServer", "extraArgs")
_ETCD: Final[Location] = ("spec", "etcd", "extraArgs")


class _Overrides:
    """A list of flags of the spec; of several of one name the last counts."""

    def __init__(self, at: Location, arguments: Sequence[ExtraArg]) -> None:
        self._places: dict[str, Location] = {}
        self._values: dict[str, str] = {}
        for place, argument in enumerate(arguments):
            self._places[argument.name] = (*at, place, "value")
            self._values[argument.name] = argument.value

    def value(self, name: str) -> str | None:
        """The value of a flag; None where it is not given."""
        return self._values.get(name)

    def told(self, name: str, message: str, *given: Location) -> SpecFinding:
        """A warning at a flag that is given."""
        return warning(self._places[name], message, *given)


def _open_api_server(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What everybody may do, and what anybody on the way may read."""
    flags = _Overrides(_API_SERVER, spec.spec.api_server.extra_args)
    if "AlwaysAllow" in (flags.value("authorization-mode") or "").split(","):
        yield flags.told(
            "authorization-mode",
            "with 'AlwaysAllow' whoever has any credential may do everything, whatever roles there are; who "
            "shows none is refused, the kubelet's probes among them",
        )
    for url in urls_without_tls(flags.value("etcd-servers") or ""):
        yield flags.told("etcd-servers", f"{quote(url)} is dialled without TLS")


def _open_etcd(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Ways into etcd that ask for no certificate: who reaches it reads every Secret, past RBAC."""
    flags = _Overrides(_ETCD, spec.spec.etcd.extra_args)
    for name in ("listen-client-urls", "listen-peer-urls"):
        for url in urls_without_tls(flags.value(name) or ""):
            yield flags.told(name, f"at {quote(url)} etcd lets in whoever reaches it, without TLS")
    for prefix in ("", "peer-"):
        name, asks = f"{prefix}trusted-ca-file", flags.value(f"{prefix}client-cert-auth")
        # With a CA it asks in any case (client/pkg/transport/listener.go, ServerConfig).
        if flags.value(name) == "" and asks is not None and not is_true(asks):
            yield flags.told(name, "without a CA, and without asking for certificates, etcd lets in anybody")


def _open_kubelets(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Kubelets that let in anybody who reaches their port."""
    for at, arguments, _ in flags_of_kubelets(spec):
        flags = _Overrides(at, arguments)
        if is_true(flags.value("anonymous-auth") or ""):
            yield flags.told("anonymous-auth", "the kubelet lets in who shows no certificate")
        if flags.value("authorization-mode") == "AlwaysAllow":
            yield flags.told(
                "authorization-mode", "the kubelet allows everything to whom it lets in, commands in Pods too"
            )
        if (flags.value("read-only-port") or "0") != "0":
            yield flags.told("read-only-port", "the kubelet tells everybody of its Pods at this port")


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _open_api_server,
    _open_etcd,
    _open_kubelets,
)
