"""The contexts of a node's own files: kubelet, kube-proxy and systemd units."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.rendering.contexts import KubeletConfiguration, KubeProxyConfiguration, Unit
from pkigen.desired.rendering.file_syntax import documents
from pkigen.errors import TemplateError
from pkigen.spec.compatibility_flags import registry_faults
from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.feature_gates import FLAG
from pkigen.spec.flag_rules import gate_fault
from pkigen.spec.model import Runtime
from pkigen.spec.versions import PROXY_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.model import ClusterSpec, Node

KUBEADM_ARGUMENTS = "KUBELET_KUBEADM_ARGS"
"""The variable that the kubelet package's drop-in 10-kubeadm.conf puts on the command line."""

_PROGRAMS = "/usr/local/bin"
# kubeadm gives the Service of the cluster's DNS this address (constants.go, `GetDNSIP`).
_DNS_INDEX = 10


def runs_units(cluster: ClusterSpec) -> bool:
    """Whether systemd runs the control plane."""
    return cluster.spec.runtime is Runtime.SYSTEMD


def flags_variable(component: str) -> str:
    """The variable in a component's flag file."""
    return f"{component.upper().replace('-', '_')}_FLAGS"


def unit(component: str, cluster: ClusterSpec, node: Node) -> Unit:
    """A component's unit file."""
    # Where both run on one host, the API server's first connection finds etcd.
    local_etcd = component == "kube-apiserver" and any(m.name == node.name for m in cluster.etcd_members)
    return Unit(
        program=f"{_PROGRAMS}/{component}",
        environment_file=f"{layout.FLAGS_DIRECTORY}/{component}.env",
        variable=flags_variable(component),
        data_directory=cluster.spec.etcd.data_dir,
        ordered_after=("etcd.service",) if local_etcd else (),
    )


def kubelet_configuration(cluster: ClusterSpec, _node: Node) -> KubeletConfiguration:
    """What kubeadm's `componentconfigs/kubelet.go` sets, and the serving certificate that is ours.

    Raises:
        TemplateError: The service subnet has no tenth address.
    """
    spec = cluster.spec
    # Only the first subnet has the DNS service's address, also with dual stack (constants.GetDNSIP).
    subnet = spec.networking.service_subnets[0]
    if subnet.num_addresses <= _DNS_INDEX:
        msg = f"the service subnet {subnet} has no {_DNS_INDEX}th address for the cluster's DNS"
        raise TemplateError(msg, hint="choose a larger spec.networking.serviceSubnets")
    return KubeletConfiguration(
        client_ca_file=f"{spec.certificates.directory}/ca.crt",
        tls_cert_file=f"{layout.KUBELET_PKI_DIRECTORY}/kubelet.crt",
        tls_private_key_file=f"{layout.KUBELET_PKI_DIRECTORY}/kubelet.key",
        cluster_dns=(str(subnet[_DNS_INDEX]),),
        cluster_domain=spec.networking.dns_domain,
        rotate_certificates=spec.kubelet.rotate_certificates,
        static_pod_path=None if runs_units(cluster) else layout.MANIFESTS_DIRECTORY,
    )


def require_gates(cluster: ClusterSpec, text: str, place: str) -> None:
    """Refuse feature gates in a kubelet's configuration at which it would stop.

    Args:
        cluster: The spec, whose version counts.
        text: The configuration, which has been read back already.
        place: The template's file, for the message.

    Raises:
        TemplateError: There is such a gate.
    """
    gates = documents(text)[0].get("featureGates") or {}
    for name, setting in gates.items() if isinstance(gates, dict) else ():
        for fault in _gate_faults(cluster, str(name), str(setting).lower()):
            msg = f"{place}: featureGates: {fault}"
            raise TemplateError(msg, hint="take it out of the template")


def _gate_faults(cluster: ClusterSpec, name: str, setting: str) -> Iterator[str]:
    """Why a kubelet stops at a feature gate in its configuration."""
    program, version = KnownProgram.KUBELET, cluster.spec.kubernetes_version
    if fault := gate_fault(cluster, program, name, setting):
        yield fault
    if not cluster.spec.allow_unknown_flags:
        for _, fault in registry_faults(program, version, [(FLAG, f"{name}={setting}")]):
            yield fault


def kube_proxy_configuration(cluster: ClusterSpec, node: Node) -> KubeProxyConfiguration:
    """What kubeadm's `componentconfigs/kubeproxy.go` sets, with this node's own kubeconfig and name."""
    # A node may have no address in the spec; the Service network has the cluster's family all the same.
    addresses = node.addresses or (cluster.spec.networking.service_subnets[0].network_address,)
    ipv6 = isinstance(addresses[0], IPv6Address)
    return KubeProxyConfiguration(
        bind_address="::" if ipv6 else "0.0.0.0",  # noqa: S104 -- kube-proxy's default
        kubeconfig=f"{layout.KUBERNETES_DIRECTORY}/kube-proxy.conf",
        cluster_cidr=",".join(map(str, cluster.spec.networking.pod_subnets)),
        hostname_override=node.name,
        mode="iptables" if PROXY_MODE.holds(cluster.spec.kubernetes_version) else None,
    )
