"""The API server's flags: the lines of `templates/flags/kube-apiserver.j2`, and here the values they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.desired import authentication, authorization
from pkigen.desired.generations import accepted_sa_keys
from pkigen.desired.rendering import flags, read_back
from pkigen.desired.rendering.contexts import APIServerFlags, EtcdClient
from pkigen.desired.rendering.flags import Flag
from pkigen.desired.rendering.templates import ORIGINALS, Language
from pkigen.errors import TemplateError
from pkigen.spec import feature_gates
from pkigen.spec.compatibility_flags import registry_faults
from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.flag_combinations import AUTHORIZATION_FLAG, combinations
from pkigen.spec.flag_rules import flag_fault, gate_fault
from pkigen.spec.flag_values import value_fault
from pkigen.spec.model import ManagedFiles
from pkigen.spec.values import NODE_PLACEHOLDER
from pkigen.spec.versions import AUTHORIZATION_FILE_REPLACES_MODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.desired.generations import Rotations
    from pkigen.desired.rendering.templates import Templates
    from pkigen.spec.model import ClusterSpec, Node

_TEMPLATE = "flags/kube-apiserver"


def kube_apiserver(
    cluster: ClusterSpec, node: Node, rotations: Rotations, templates: Templates
) -> tuple[Flag, ...]:
    """The API server's flags: the lines of its template, and those of the spec.

    Raises:
        TemplateError: An operator's own template renders what is none, or leaves one out.
    """
    context = _api_server_values(cluster, node, rotations)
    found = _lines(templates, _TEMPLATE, context)
    if templates.are_overridden:
        # An override is a program of somebody else's: what it renders is read before it is used.
        originals = _lines(templates, f"{ORIGINALS}/{_TEMPLATE}", context)
        read_back.check_flags(originals, found, templates.place(_TEMPLATE))
    given = (Flag(*line.removeprefix("--").split("=", 1)) for line in found)
    merged = flags.merged(given, cluster.spec.api_server.extra_args)
    if templates.are_overridden:
        require_startable(cluster, map(str, merged), templates, _TEMPLATE)
    return merged


def require_startable(
    cluster: ClusterSpec, arguments: Iterable[str], templates: Templates, name: str
) -> None:
    """Refuse what a template renders and the API server does not take: it would stop at once.

    Raises:
        TemplateError: There is such a flag; with the file, and the line where the flag stands in one.
    """
    given = [flags.of_argument(argument) for argument in arguments]
    for culprits, fault in (*_unknown(cluster, given), *_excluding(cluster, given)):
        msg = f"{templates.place(name, *culprits)}: {fault}"
        raise TemplateError(msg, hint="correct the flag, or take it out of the template")


def _unknown(cluster: ClusterSpec, given: Sequence[Flag]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Flags and feature gates that the version does not have."""
    for flag in given:
        fault = flag_fault(cluster, KnownProgram.API_SERVER, flag.name)
        fault = fault or value_fault(KnownProgram.API_SERVER, flag.name, flag.value)
        if fault is not None:
            yield (flag.name,), fault
        for name, setting in feature_gates.pairs(flag.value) if flag.name == feature_gates.FLAG else ():
            fault = gate_fault(cluster, KnownProgram.API_SERVER, name, setting)
            if fault is not None:
                yield (flag.name,), fault
    if not cluster.spec.allow_unknown_flags:
        values = [(flag.name, flag.value) for flag in given]
        for culprit, fault in registry_faults(
            KnownProgram.API_SERVER, cluster.spec.kubernetes_version, values
        ):
            yield (culprit,), fault


def _excluding(cluster: ClusterSpec, given: Iterable[Flag]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Flags that do not go together."""
    who = cluster.spec.authentication
    for each in combinations(
        [(flag.name, flag.value) for flag in given],
        cluster.spec.kubernetes_version,
        file_has_anonymous=who is not None and who.anonymous is not None,
    ):
        if each.stops:
            yield each.flags, each.message


def _lines(templates: Templates, name: str, context: APIServerFlags) -> tuple[str, ...]:
    """The arguments that a template renders; lines may be indented, as within a condition, or empty."""
    lines = (line.lstrip(" \t") for line in templates.render(name, Language.ARGUMENTS, context).split("\n"))
    return tuple(line for line in lines if line)


def _api_server_values(cluster: ClusterSpec, node: Node, rotations: Rotations) -> APIServerFlags:
    """What the template of the API server's flags is rendered from."""
    spec = cluster.spec
    # Both at once are refused (`versions`).
    structured = authorization.is_structured(cluster)
    given = flags.last_value(spec.api_server.extra_args, AUTHORIZATION_FLAG) is not None
    replaces_mode = given and AUTHORIZATION_FILE_REPLACES_MODE.holds(spec.kubernetes_version)
    return APIServerFlags(
        advertise_address=node.advertise_address,
        authentication_config=authentication.configuration_path(cluster)
        if authentication.is_configured(cluster)
        else None,
        authorization_config=authorization.configuration_path(cluster) if structured else None,
        authorization_mode=None if structured or replaces_mode else "Node,RBAC",
        directory=spec.certificates.directory,
        dns_domain=spec.networking.dns_domain,
        encrypts=spec.encryption is not None,
        etcd=_etcd_client(cluster, node),
        front_proxies=cluster.front_proxies,
        secure_port=cluster.api_port(node),
        service_account_keys=tuple(name for name, _ in accepted_sa_keys(rotations)),
        service_subnets=spec.networking.service_subnets,
        # Kubelets that others look after go on with certificates that they signed themselves.
        verifies_kubelets=cluster.manages(ManagedFiles.KUBELET),
    )


def _named(path: str | None, node: Node) -> str | None:
    """A file whose name may have the node's in it."""
    return path.replace(NODE_PLACEHOLDER, node.name) if path else None


def _etcd_client(cluster: ClusterSpec, node: Node) -> EtcdClient:
    """The local member where there is one, as kubeadm does; else every member, or an external etcd."""
    etcd, directory = cluster.spec.etcd, cluster.spec.certificates.directory
    if etcd.external is not None:
        # Both or neither, as kubeadm has it (controlplane/manifests.go): one alone is no credential.
        paired = etcd.external.cert_file and etcd.external.key_file
        return EtcdClient(
            servers=tuple(etcd.external.endpoints),
            ca_file=_named(etcd.external.ca_file, node),
            cert_file=_named(etcd.external.cert_file, node) if paired else None,
            key_file=_named(etcd.external.key_file, node) if paired else None,
        )
    members = cluster.etcd_members
    # By the address that members advertise, as kubeadm has it (controlplane/manifests.go).
    given = flags.last_value(etcd.extra_args, "advertise-client-urls")
    local = any(member.name == node.name for member in members)
    own = (flags.loopback_url(node),) if local else tuple(map(flags.client_url, members))
    return EtcdClient(
        servers=own if given is None else (given,),
        ca_file=f"{directory}/etcd/ca.crt",
        cert_file=f"{directory}/apiserver-etcd-client.crt",
        key_file=f"{directory}/apiserver-etcd-client.key",
    )
