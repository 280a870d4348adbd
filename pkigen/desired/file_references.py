"""Which files of trust the components read, by the flags that name them; and which of these are foreign.

A flag of `extraArgs`, or of a template, may name a file that pkigen does not make: nothing that pkigen does
changes it, so what depends on it is judged by what lies there, or not at all, and then it is called by its
name.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, KeyPairFiles, ca_id
from pkigen.desired.readers import ComponentName
from pkigen.records import dataclass
from pkigen.spec.addresses import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from urllib.parse import SplitResult

    from pkigen.desired.command_lines import EffectiveFlags, ProgramFlags, ReadText
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.model import ClusterSpec, Node


class Use(enum.Enum):
    """What a component does with a file that a flag names."""

    TRUST = enum.auto()
    """It judges others by it: a bundle of CAs, or the CA data of a kubeconfig."""
    CREDENTIAL = enum.auto()
    """It shows it to others."""
    KUBECONFIG = enum.auto()
    """Both."""
    SIGNER = enum.auto()
    """It signs certificates with it: exactly one."""
    SIGNING_KEY = enum.auto()
    OTHER_KEY = enum.auto()
    """It proves with it that a certificate is its own, whose key is in another file."""
    TOKEN_KEYS = enum.auto()
    """It judges tokens by it; the flag may be given several times."""
    SECRETS = enum.auto()
    """It encrypts with it."""
    SERVER = enum.auto()
    """It is no file, but the URL of a server that it dials."""
    CONFIGURATION = enum.auto()
    """It may say what flags say, and counts more than some of them."""


SECRET_USES = frozenset({Use.SIGNING_KEY, Use.OTHER_KEY, Use.SECRETS})
"""Uses of files that hold a private key, which no tree should hold unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """A file of trust that a component reads on a node.

    `file` is what it calls it, `path` where that stands in the PKI directory. `owner` is the id of what
    has to rotate together with it.
    """

    component: ComponentName
    node: str
    flag: str
    file: str
    path: str
    use: Use
    owner: str

    def __str__(self) -> str:
        return f"{self.component} on {self.node} {self.verb} {self.file} (--{self.flag})"

    @property
    def verb(self) -> str:
        """What the component does with it."""
        return "dials" if self.use is Use.SERVER else "reads"


SIGNERS = ("kubelet-client", "kube-apiserver-client", "kubelet-serving", "legacy-unknown")
"""The signers of the controller manager that may have a pair of files of their own."""
# In the order of the enum.
_KUBERNETES, _ETCD, _FRONT_PROXY = map(ca_id, CA)
_SIGNING = {
    "cluster-signing-cert-file": (Use.SIGNER, _KUBERNETES),
    "cluster-signing-key-file": (Use.SIGNING_KEY, _KUBERNETES),
    **{f"cluster-signing-{name}-cert-file": (Use.SIGNER, _KUBERNETES) for name in SIGNERS},
    **{f"cluster-signing-{name}-key-file": (Use.SIGNING_KEY, _KUBERNETES) for name in SIGNERS},
}
_KUBECONFIGS = {
    "kubeconfig": (Use.KUBECONFIG, _KUBERNETES),
    "authentication-kubeconfig": (Use.KUBECONFIG, _KUBERNETES),
    "authorization-kubeconfig": (Use.KUBECONFIG, _KUBERNETES),
}
# By these controller manager and scheduler, too, let in who asks them (apiserver,
# DelegatingAuthenticationOptions).
_CLIENT_CAS = {
    "client-ca-file": (Use.TRUST, _KUBERNETES),
    "requestheader-client-ca-file": (Use.TRUST, _FRONT_PROXY),
}
_NOTHING = ""
"""The owner of what no rotation stops for: it is named, and what it says may lead to pkigen's files."""
# Every flag of these programs that names a file of keys, certificates or CAs (their options.go and flags.go);
# what is not in it is judged by nobody, see `not_judged`.
TRUST_FLAGS: dict[ComponentName, dict[str, tuple[Use, str]]] = {
    ComponentName.API_SERVER: {
        **_CLIENT_CAS,
        "peer-ca-file": (Use.TRUST, _KUBERNETES),
        "kubelet-certificate-authority": (Use.TRUST, _KUBERNETES),
        "etcd-cafile": (Use.TRUST, _ETCD),
        "tls-cert-file": (Use.CREDENTIAL, _KUBERNETES),
        "kubelet-client-certificate": (Use.CREDENTIAL, _KUBERNETES),
        "proxy-client-cert-file": (Use.CREDENTIAL, _FRONT_PROXY),
        "etcd-certfile": (Use.CREDENTIAL, _ETCD),
        "tls-private-key-file": (Use.OTHER_KEY, _KUBERNETES),
        "kubelet-client-key": (Use.OTHER_KEY, _KUBERNETES),
        "proxy-client-key-file": (Use.OTHER_KEY, _FRONT_PROXY),
        "etcd-keyfile": (Use.OTHER_KEY, _ETCD),
        "etcd-servers": (Use.SERVER, _ETCD),
        "etcd-servers-overrides": (Use.SERVER, _ETCD),
        # Given at least once, or tokens are signed elsewhere (kubeapiserver/options/authentication.go,
        # Validate).
        "service-account-key-file": (Use.TOKEN_KEYS, SA),
        "service-account-signing-key-file": (Use.SIGNING_KEY, SA),
        "encryption-provider-config": (Use.SECRETS, ENCRYPTION_KEY),
    },
    ComponentName.CONTROLLER_MANAGER: {
        **_CLIENT_CAS,
        **_KUBECONFIGS,
        **_SIGNING,
        "root-ca-file": (Use.TRUST, _KUBERNETES),
        "service-account-private-key-file": (Use.SIGNING_KEY, SA),
    },
    ComponentName.SCHEDULER: {**_CLIENT_CAS, **_KUBECONFIGS, "config": (Use.CONFIGURATION, _NOTHING)},
    ComponentName.ETCD: {
        "trusted-ca-file": (Use.TRUST, _ETCD),
        "peer-trusted-ca-file": (Use.TRUST, _ETCD),
        "cert-file": (Use.CREDENTIAL, _ETCD),
        "peer-cert-file": (Use.CREDENTIAL, _ETCD),
        "client-cert-file": (Use.CREDENTIAL, _ETCD),
        "peer-client-cert-file": (Use.CREDENTIAL, _ETCD),
        "key-file": (Use.OTHER_KEY, _ETCD),
        "peer-key-file": (Use.OTHER_KEY, _ETCD),
        "client-key-file": (Use.OTHER_KEY, _ETCD),
        "peer-client-key-file": (Use.OTHER_KEY, _ETCD),
        "config-file": (Use.CONFIGURATION, _ETCD),
    },
    ComponentName.KUBELET: {
        "kubeconfig": (Use.KUBECONFIG, _KUBERNETES),
        "client-ca-file": (Use.TRUST, _KUBERNETES),
        "tls-cert-file": (Use.CREDENTIAL, _KUBERNETES),
        "tls-private-key-file": (Use.OTHER_KEY, _KUBERNETES),
        "config": (Use.CONFIGURATION, _NOTHING),
        "config-dir": (Use.CONFIGURATION, _NOTHING),
    },
}
CERTIFICATE_OF = {
    "tls-private-key-file": "tls-cert-file",
    "kubelet-client-key": "kubelet-client-certificate",
    "proxy-client-key-file": "proxy-client-cert-file",
    "etcd-keyfile": "etcd-certfile",
    "key-file": "cert-file",
    "peer-key-file": "peer-cert-file",
    "client-key-file": "client-cert-file",
    "peer-client-key-file": "peer-client-cert-file",
}
"""For each flag that names a private key the one that names its certificate."""


def file_references(inventory: Inventory, lines: CommandLines | None = None) -> Iterator[FileReference]:
    """Every file of trust that a component of the cluster reads, by component and node."""
    cluster = inventory.cluster
    lines = lines or CommandLines(inventory)
    keys = _keys(inventory)
    for component, flags in TRUST_FLAGS.items():
        for node in _nodes_with(component, cluster):
            line = lines.of(component, node)
            for flag, (use, owner) in flags.items():
                if owner == _ETCD and not cluster.etcd_members:
                    # No etcd of this cluster, no member that could be named.
                    continue  # an external etcd's files are its operator's
                # A key beside its own certificate rotates with it, and needs no row of its own.
                if use is not Use.OTHER_KEY or _is_other_key(line, flag, keys):
                    yield from _references(line, flag, use, owner, cluster)


def _keys(inventory: Inventory) -> dict[str, str]:
    """Where the key of each certificate is, by where that is."""
    pairs = (item.location for item in inventory.certificates.values())
    return {pair.certificate: pair.key for pair in pairs if isinstance(pair, KeyPairFiles)}


def _is_other_key(line: EffectiveFlags, flag: str, keys: Mapping[str, str]) -> bool:
    """Whether a flag names a key that does not change with its certificate; not if neither is pkigen's."""
    certificate, key = line.file(CERTIFICATE_OF[flag]) or "", line.file(flag)
    return key in keys.values() if certificate not in keys else keys[certificate] != key


def _nodes_with(component: ComponentName, cluster: ClusterSpec) -> Iterable[Node]:
    """The nodes that run a component, in an order that does not depend on the spec."""
    match component:
        case ComponentName.ETCD:
            return cluster.etcd_members
        case ComponentName.KUBELET:
            return sorted(cluster.spec.nodes, key=lambda node: node.name)
        case _:
            return cluster.control_plane


def _references(
    line: EffectiveFlags, flag: str, use: Use, owner: str, cluster: ClusterSpec
) -> Iterator[FileReference]:
    """What one flag of one component names, file by file."""
    is_server = use is Use.SERVER
    for named in _strangers(line, flag, cluster) if is_server else _files(line, flag, use):
        yield FileReference(
            component=line.component,
            node=line.node.name,
            flag=flag,
            file=named,
            path="" if is_server else line.place(named),
            use=use,
            owner=owner,
        )


def https_urls(text: str) -> Iterator[SplitResult]:
    """The https URLs of a list; what is none is the program's to refuse."""
    for each in text.split(","):
        try:
            url = urlsplit(each.strip())
            # `urlsplit` looks at the port only when it is asked for.
            port = url.port  # a ValueError where it is none
        except ValueError:
            continue
        if url.scheme == "https" and url.hostname and port != 0:
            yield url


def members_at(host: str, cluster: ClusterSpec, node: Node) -> tuple[Node, ...]:
    """The members of etcd that a node reaches by this name or address."""
    return tuple(
        member
        for member in cluster.etcd_members
        if (host in LOOPBACK and member.name == node.name)
        or host in {member.name, *map(str, member.addresses), *member.cert_sans}
    )


_RESOURCE = re.compile(r"[^,;#]*#")  # `group/resource#URL;URL` (--etcd-servers-overrides)


def _strangers(line: EffectiveFlags, flag: str, cluster: ClusterSpec) -> tuple[str, ...]:
    """The URLs that lead to no member of the cluster's etcd."""
    return tuple(
        url.geturl()
        for urls in line.values(flag)
        for url in https_urls(_RESOURCE.sub("", urls).replace(";", ","))
        if not members_at(url.hostname or "", cluster, line.node)
    )


def _files(line: EffectiveFlags, flag: str, use: Use) -> tuple[str, ...]:
    """The files that a flag names: all where it may be repeated, else the last, and SNI pairs."""
    # pflag: a plain flag that is given again replaces its value; a list grows.
    given = line.values(flag) if use is Use.TOKEN_KEYS else (line.value(flag),)
    pairs = sni_pairs(line) if flag == "tls-cert-file" else ()
    return tuple(filter(None, (*given, *(pair.certificate for pair in pairs))))


@dataclass(frozen=True, slots=True)
class SNIPair:
    """A serving certificate for clients that ask for certain names (`--tls-sni-cert-key`)."""

    certificate: str
    names: tuple[str, ...]


def sni_pairs(line: ProgramFlags) -> Iterator[SNIPair]:
    """The pairs of an API server beside `--tls-cert-file`: `cert,key` or `cert,key:name,name`."""
    for value in line.values("tls-sni-cert-key"):
        # As `NamedCertKey.Set` reads it (component-base, cli/flag).
        files, _, names = value.partition(":")
        yield SNIPair(files.partition(",")[0], tuple(filter(None, names.lower().split(","))))


def foreign_files(inventory: Inventory, read: ReadText | None = None) -> tuple[FileReference, ...]:
    """The files of trust that a component reads and pkigen does not make."""
    lines = CommandLines(inventory, read)
    return tuple(each for each in file_references(inventory, lines) if each.path not in inventory.paths)


# How many nodes a sentence names before it only counts them.
_NAMED = 3


def not_judged(references: Iterable[FileReference]) -> Iterator[str]:
    """One sentence for each file that pkigen cannot judge, and so leaves out of its verdicts."""
    nodes: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for each in references:
        nodes.setdefault((str(each.component), each.verb, each.file, each.flag), {})[each.node] = None
    for (component, verb, file, flag), found in nodes.items():
        some = list(found)
        more = f" and {len(some) - _NAMED} more nodes" if len(some) > _NAMED else ""
        yield (
            f"not judged: {component} on {', '.join(some[:_NAMED])}{more} {verb} {file} (--{flag}), "
            "which pkigen does not manage"
        )
