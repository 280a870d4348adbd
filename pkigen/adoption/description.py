"""The spec that describes a foreign cluster, from its manifests, certificates and kubeconfigs.

What is as pkigen would have it anyway is left out.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pkigen import layout
from pkigen.access.kubeconfigs import Section as KubeconfigSection
from pkigen.access.yaml_text import dump
from pkigen.adoption.bare_pki import bare_pkis, require_api_server
from pkigen.adoption.bound_subjects import kept_subjects
from pkigen.adoption.foreign_flags import DifferingFlags
from pkigen.adoption.foreign_names import DifferingNames
from pkigen.adoption.foreign_users import users
from pkigen.adoption.gathered import beside
from pkigen.adoption.kubeadm_record import KubeadmRecord
from pkigen.adoption.places import signing_key
from pkigen.adoption.topology import (
    KnownNode,
    image_tag,
    known_nodes,
    members_apart,
    members_missing,
    releases_apart,
)
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.keys import describe
from pkigen.crypto.names import sans_of
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.generations import CA
from pkigen.desired.readers import ComponentName
from pkigen.errors import AdoptionError, SpecError
from pkigen.records import dataclass
from pkigen.spec.certificates import KubeadmCA, Kubeconfigs
from pkigen.spec.dialects import KUBEADM_V1BETA3
from pkigen.spec.loader import load_text
from pkigen.spec.model import API_VERSION, KIND, Runtime
from pkigen.spec.values import NODE_PLACEHOLDER
from pkigen.spec.versions import KUBEADM_V1BETA3_GONE, etcd_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import ForeignCluster, FoundKubeconfig, FoundLogin, Program
    from pkigen.spec.loader import LoadedSpec

_DIRECTORY: Final = layout.CERTIFICATES_DIRECTORY
# Most of these are kubeadm's defaults (kubeadm/v1beta4/defaults.go).
_REPOSITORY: Final = "registry.k8s.io"
_DNS_PREFIX: Final = "kubernetes.default.svc."
_DNS_DOMAIN: Final = "cluster.local"
_SERVICE_SUBNET: Final = "10.96.0.0/12"
_PORT: Final = "6443"
_HTTPS: Final = 443
_DATA: Final = "/var/lib/etcd"
_NAME: Final = "kubernetes"
_COMPONENT_KUBECONFIGS: Final = (layout.SCHEDULER_KUBECONFIG, layout.CONTROLLER_MANAGER_KUBECONFIG)
# The other kubeconfigs of kubeadm dial the API server of their own node (phases/kubeconfig).
_SHARED_KUBECONFIGS: Final = ("/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf")
_HEAD: Final = """\
# What `pkigen adopt` found. With `manage: []`, manifests, the kubelets' settings and RBAC objects stay as
# they are: add manifests, kubelet or addons, one after the other; `pkigen plan` shows what would change.
# With apiServer.structuredAuthorization: true, credentials can be revoked (docs/how-to/revocation.md).
"""
_FILE: Final = "the description of the cluster"
_KEYS: Final = {
    KubeadmCA.KUBERNETES: f"{CA.KUBERNETES}.key",
    KubeadmCA.ETCD: f"{CA.ETCD}.key",
    KubeadmCA.FRONT_PROXY: f"{CA.FRONT_PROXY}.key",
}

Section = dict[str, Any]
"""A section of a spec, as it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A spec in text, the same loaded, and what no spec can say."""

    text: str
    loaded: LoadedSpec
    notes: tuple[str, ...] = ()


def described(cluster: ForeignCluster, record: KubeadmRecord | None = None) -> Description:
    """Describe a cluster.

    Args:
        cluster: Its nodes.
        record: What kubeadm has recorded of it; it counts more than what the files let guess.

    Raises:
        AdoptionError: No API server is among them, its version is not known, or a file that should say what
            runs cannot be read.
        SpecError: What is there cannot be said in a spec.
    """
    require_api_server(cluster)
    for node in cluster.nodes:
        for each in node.unread_programs:
            raise AdoptionError(
                f"{each.spot} {each.problem}: without it nobody knows what runs there",
                hint="repair the copy, or remove the file from it if the node does not need it",
            )
    has_keys = any(content.private for node in bare_pkis(cluster) for content in node.contents.values())
    found = _Describer(known_nodes(cluster), record or KubeadmRecord(), keys_apart=has_keys).description()
    told = [note for about in (releases_apart, members_missing, members_apart) for note in about(cluster)]
    old = _old_record(record, found) if record is not None else ()
    return replace(found, notes=(*told, *old, *found.notes))


def _old_record(record: KubeadmRecord, found: Description) -> Iterator[str]:
    """A record that the cluster's own kubeadm cannot read."""
    release = found.loaded.spec.spec.kubernetes_version
    if record.api_version == KUBEADM_V1BETA3 and KUBEADM_V1BETA3_GONE.holds(release):
        yield (
            f"the ClusterConfiguration is v1beta3, which the kubeadm of v1.{release.minor} does not read: "
            f"kubeadm config migrate of v1.31 to v1.{KUBEADM_V1BETA3_GONE.since - 1} converts it to v1beta4"
        )


class _Describer:
    def __init__(self, nodes: tuple[KnownNode, ...], record: KubeadmRecord, *, keys_apart: bool) -> None:
        self._nodes = nodes
        self._keys_apart = keys_apart
        self._record = record
        self._control_plane = [node for node in nodes if node.program(ComponentName.API_SERVER)]
        self._members = [node for node in nodes if node.program(ComponentName.ETCD)]
        program = self._control_plane[0].program(ComponentName.API_SERVER)
        assert program is not None  # noqa: S101 -- that is what makes it one of the control plane
        self._api_server: Program = program
        self._flag = program.flags.value

    def description(self) -> Description:
        """In two passes: what is given beside the defaults shows only once the rest is known."""
        spec = self._spec()
        plain = self._load(spec)
        spec["certificates"] = {**spec["certificates"], **self._keys_on_nodes()}
        names, flags = DifferingNames(plain.spec, self._nodes), DifferingFlags(plain.spec, self._nodes)
        spec["apiServer"] |= _given(certSANs=names.common)
        spec["etcd"] |= _given(**names.of_etcd)
        for section, entries in flags.sections():
            spec[section] = {**spec.get(section, {}), **entries}
        for node, entry in zip(self._nodes, spec["nodes"], strict=True):
            entry.update(_given(certSANs=names.of_node(node), kubeletExtraArgs=flags.of_kubelet(node)))
        spec["users"] = list(users(self._nodes))
        loaded = self._allowing(spec)
        return Description(text=self._text(spec), loaded=loaded, notes=tuple(flags.notes()))

    def _allowing(self, spec: Section) -> LoadedSpec:
        """With flags that are not known, if need be: a component that runs has them all the same."""
        try:
            return self._load(spec)
        except SpecError as error:
            spec["allowUnknownFlags"] = True
            try:
                return self._load(spec)
            except SpecError:
                raise error from None

    def _text(self, spec: Section) -> str:
        content: Section = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": self._name()}}
        # Without its empty sections: they say nothing.
        given = {key: value for key, value in spec.items() if value}
        return _HEAD + dump({**content, "spec": {**given, "manage": []}})

    def _load(self, spec: Section) -> LoadedSpec:
        try:
            return load_text(self._text(spec).encode(), file=_FILE, kinds=CERTIFICATES)
        except SpecError as error:
            hint = "no spec can say what they have; `pkigen verify TREE` of the same files may say more"
            raise SpecError(error.problems, hint=hint) from None

    # -- what the flags say -----------------------------------------------------------------------------

    def _spec(self) -> Section:
        repository, _, _ = self._api_server.image.rpartition("/")
        return {
            "kubernetesVersion": self._version(),
            **_given(
                runtime=str(Runtime.SYSTEMD) if self._api_server.flags.mounts is None else "",
                controlPlaneEndpoint=self._record.endpoint or self._endpoint(),
                imageRepository=repository if repository != _REPOSITORY else "",
            ),
            "networking": self._networking(),
            "apiServer": _given(bindPort=_number(self._flag("secure-port"), _PORT)),
            "etcd": self._etcd(),
            "kubelet": {"rotateCertificates": False} if self._never_rotates() else {},
            "certificates": self._certificates(),
            "nodes": [self._node(node) for node in self._nodes],
        }

    def _name(self) -> str:
        named = (
            program.flags.value("cluster-name")
            for node in self._control_plane
            for program in node.found.running(ComponentName.CONTROLLER_MANAGER)
        )
        return self._record.name or next(filter(None, named), "") or _NAME

    def _version(self) -> str:
        tag = image_tag(self._api_server.image) or self._record.version
        if not tag:
            raise AdoptionError(
                "which release of Kubernetes this is cannot be found: no image of the API server names it",
                hint="say it with --kubernetes-version, or give the cluster's ClusterConfiguration with "
                "--kubeadm-config",
            )
        return tag

    def _networking(self) -> Section:
        services = self._flag("service-cluster-ip-range") or ",".join(self._record.service_subnets)
        pods = ",".join(self._record.pod_subnets)
        for node in self._control_plane:
            manager = node.program(ComponentName.CONTROLLER_MANAGER)
            if manager is not None and manager.flags.value("allocate-node-cidrs") == "true":
                # Otherwise the network's own program gives Pods their addresses, and the flag may be a
                # leftover.
                pods = manager.flags.value("cluster-cidr") or pods
        domain = self._record.dns_domain or self._domain()
        return _given(
            serviceSubnets=services.split(",") if services not in {"", _SERVICE_SUBNET} else [],
            podSubnets=pods.split(",") if pods else [],
            dnsDomain=domain if domain != _DNS_DOMAIN else "",
        )

    def _domain(self) -> str:
        """The suffix in the API server's own name in the cluster."""
        pair = self._control_plane[0].pair(ComponentName.API_SERVER, "tls-cert-file")
        names = sans_of(pair.certificate) if pair is not None else ()
        return next((name.removeprefix(_DNS_PREFIX) for name in names if name.startswith(_DNS_PREFIX)), "")

    def _endpoint(self) -> str:
        """What kubeconfigs dial that is no node's own address."""
        # A node's own address is no endpoint for all: it ends with its node.
        own = {str(address) for node in self._nodes for address in node.addresses}
        for login in self._shared_logins():
            url = _split(login.server)
            if url is not None and url[0] not in own:
                return f"{_bracketed(url[0])}:{url[1]}"
        return ""

    def _shared_logins(self) -> Iterator[FoundLogin]:
        for path in _SHARED_KUBECONFIGS:
            for node in self._nodes:
                kubeconfig = node.found.kubeconfig(path)
                if kubeconfig is not None and kubeconfig.current is not None:
                    yield kubeconfig.current

    def _never_rotates(self) -> bool:
        settings = [
            program.flags.value("rotate-certificates")
            for node in self._nodes
            for program in node.found.running(ComponentName.KUBELET)
        ]
        return bool(settings) and all(setting == "false" for setting in settings)

    # -- etcd -------------------------------------------------------------------------------------------

    def _etcd(self) -> Section:
        if not self._members:
            return {"external": self._external()}
        program = self._members[0].program(ComponentName.ETCD)
        assert program is not None  # noqa: S101 -- that is what makes it a member
        repository, _, name = program.image.rpartition("/")
        tag, data = image_tag(program.image), program.flags.value("data-dir")
        of_cluster, _, _ = self._api_server.image.rpartition("/")
        default = self._default_etcd_tag()
        return _given(
            dataDir=data if data != _DATA else "",
            imageRepository=repository if name and repository != of_cluster else "",
            imageTag=tag if tag != default else "",
        )

    def _default_etcd_tag(self) -> str:
        nodes = [self._node(self._control_plane[0])]
        # The API server's node is enough for a spec that loads, and the release gives the tag.
        plain = self._load({"kubernetesVersion": self._version(), "nodes": nodes})
        return etcd_tag(plain.spec.spec.kubernetes_version)

    def _external(self) -> Section:
        files = {
            key: self._path_on_all(flag)
            for key, flag in (
                ("caFile", "etcd-cafile"),
                ("certFile", "etcd-certfile"),
                ("keyFile", "etcd-keyfile"),
            )
            if self._flag(flag)
        }
        return {"endpoints": self._flag("etcd-servers").split(","), **files}

    def _path_on_all(self, flag: str) -> str:
        """The file that a flag of every API server names, with a placeholder where it has the node's name."""
        programs = [(node, node.program(ComponentName.API_SERVER)) for node in self._control_plane]
        named = [(node.name, each.flags.host_path(each.flags.value(flag))) for node, each in programs if each]
        forms = {path.replace(name, NODE_PLACEHOLDER) for name, path in named}
        # Where all have it under one name, that it holds the name of a node means nothing.
        return forms.pop() if len({path for _, path in named}) > 1 and len(forms) == 1 else named[0][1]

    # -- certificates -----------------------------------------------------------------------------------

    def _directory(self) -> str:
        named = self._api_server.flags.host_path(self._flag("client-ca-file"))
        # No flag has the directory itself; of all files in it this one is always named.
        return posixpath.dirname(named) if self._flag("client-ca-file") else _DIRECTORY

    def _certificates(self) -> Section:
        directory = self._directory()
        pair = self._control_plane[0].pair(ComponentName.API_SERVER, "tls-cert-file")
        algorithm = describe(pair.certificate.public_key()) if pair is not None else ""
        # A key that no spec can ask for, such as RSA-1024, is replaced by the default at its renewal.
        own = {str(each) for each in KeyAlgorithm} - {str(KeyAlgorithm.ECDSA_P256)}
        return _given(
            directory=directory if directory != _DIRECTORY else "",
            kubeconfigs=str(Kubeconfigs.FILES) if self._names_files(directory) else "",
            keyAlgorithm=algorithm if algorithm in own else "",
            validity=self._record.validity,
            caValidity=self._record.ca_validity,
            overrides=kept_subjects(self._control_plane),
        )

    def _names_files(self, directory: str) -> bool:
        """Whether the kubeconfigs of schedulers and controller managers name their credentials by path.

        Raises:
            AdoptionError: Some do, and not as pkigen does: they would be taken for damaged.
        """
        found = [
            (f"{node.name}: {path}", named, f"{layout.credentials_directory(directory, path)}/client.crt")
            for node in self._control_plane
            for path in _COMPONENT_KUBECONFIGS
            for named in _named_certificates(node.found.kubeconfig(path))
        ]
        for spot, named, own in found:
            if named != own:
                raise AdoptionError(
                    f"{spot} names its client certificate by path, {named}, which is elsewhere than pkigen's",
                    hint="embed it (`kubectl config view --raw --flatten`), or put CA, certificate and key "
                    f"into {own.removesuffix('client.crt')}, as ca.crt, client.crt and client.key",
                )
        return bool(found)

    def _keys_on_nodes(self) -> Section:
        """Which CA keys control-plane nodes have; where none has any, somebody else keeps them."""
        held = {ca: self._holders(name) for ca, name in _KEYS.items()}
        if not any(held.values()) and not self._keys_apart:
            return {"authority": "offline", "caKeys": "offline"}
        listed = [str(ca) for ca, holders in held.items() if self._is_everywhere(ca, holders)]
        return {} if listed == [str(KubeadmCA.KUBERNETES)] else {"distributeCAKeys": listed}

    def _is_everywhere(self, ca: KubeadmCA, holders: set[str]) -> bool:
        """Whether every node that has a place for a CA's key has it; for etcd's only members have one."""
        places = {node.name for node in self._control_plane}
        if ca is KubeadmCA.ETCD:
            places &= {node.name for node in self._members}
        return bool(places) and places <= holders

    def _holders(self, name: str) -> set[str]:
        """The nodes that have the key of a CA, under kubeadm's name or where its own flags lead."""
        path = f"{self._directory()}/{name}"
        return {
            node.name
            for node in self._nodes
            for file in (path, *(signing_key(node.found) if name == f"{CA.KUBERNETES}.key" else ()))
            if (content := node.found.content(file)) is not None and content.private
        }

    # -- nodes ------------------------------------------------------------------------------------------

    def _node(self, node: KnownNode) -> Section:
        program = node.program(ComponentName.API_SERVER)
        common = self._flag("secure-port")
        port = program.flags.value("secure-port") if program is not None else common
        return {
            "name": node.name,
            "roles": [str(role) for role in node.roles],
            "addresses": [str(address) for address in node.addresses],
            **_given(bindPort=_number(port, common)),
        }


def _given(**entries: Any) -> Section:
    """Entries of a section without those that say nothing."""
    return {key: value for key, value in entries.items() if value}


def _number(text: str, default: str) -> int | None:
    return int(text) if text.isdigit() and text != default else None


def _split(server: str) -> tuple[str, int] | None:
    """Host and port of a URL; None where it is none."""
    try:
        url = urlsplit(server)
        port = url.port or _HTTPS
    except ValueError:
        return None
    return (url.hostname, port) if url.hostname else None


def _bracketed(host: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{host}]" if ":" in host else host


def _named_certificates(kubeconfig: FoundKubeconfig | None) -> Iterator[str]:
    """The client certificates that a kubeconfig names by path, as its node knows them."""
    if kubeconfig is None:
        return
    for user in kubeconfig.content.entries[KubeconfigSection.USER].values():
        if not user.text("client-certificate-data") and (named := user.text("client-certificate")):
            yield beside(kubeconfig.spot.path, named)
