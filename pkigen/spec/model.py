"""The cluster spec as frozen types; the JSON Schema for editors is derived from them.

Rules that concern one value stand here, beside its field. Rules that concern several values at once
(overlapping subnets, duplicate names, …) stand in `validation`.
"""

from __future__ import annotations

import enum
import re
from datetime import timedelta
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from pkigen import layout
from pkigen.crypto.keys import KeyAlgorithm
from pkigen.notation import IPAddress, host_text

IPNetwork = IPv4Network | IPv6Network

API_VERSION: Final = "pkigen/v1"
KIND: Final = "Cluster"

CA_CERTIFICATE_NAMES = ("ca", "etcd-ca", "front-proxy-ca")
CERTIFICATE_NAMES = (
    *CA_CERTIFICATE_NAMES,
    "apiserver",
    "apiserver-kubelet-client",
    "apiserver-etcd-client",
    "front-proxy-client",
    "etcd-server",
    "etcd-peer",
    "etcd-healthcheck-client",
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kubelet.conf",
    "kubelet-serving",
    "kube-proxy.conf",
)
"""kubeadm's names (`kubeadm certs renew`) and, in the same manner, those of what kubeadm does not make."""

OLDEST_MINOR, NEWEST_MINOR = 29, 37
LONGEST_COMMON_NAME = 64  # RFC 5280 appendix A.1, ub-common-name; ub-organization-name is the same
_LONGEST_PATH = 4095  # PATH_MAX of Linux without its final NUL
_LONGEST_FILE_NAME = 255  # NAME_MAX
KUBELET_USER_PREFIX = "system:node:"
_BROADCAST = IPv4Address("255.255.255.255")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DNS_LABEL = re.compile(_LABEL)
_NUMBER = r"(0|[1-9][0-9]{0,2})"  # semver.org 2: no leading zeros; \d is all of Unicode's digits
_VERSION = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_DURATION = re.compile(r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+")
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*")
_AGE_RECIPIENT = re.compile(r"age1[ac-hj-np-z02-9]{58}")
_FLAG = re.compile(r"[a-z0-9][a-z0-9-]*")
_ENVIRONMENT_NAME = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ARN = re.compile(r"arn:(aws[a-z-]*):([a-z0-9-]*):([a-z0-9-]*):([^:]*):(.+)")
_IAM_PATH_AND_NAME = re.compile(r"(role|user)(/(?:[!-.0-~]+/)*)([A-Za-z0-9+=,.@_-]{1,64})")
_PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc")
_IMAGE_REPOSITORY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
)
_IMAGE_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Runtime(enum.StrEnum):
    """What runs the control plane on a node."""

    STATIC_PODS = "static-pods"
    SYSTEMD = "systemd"


class Role(enum.StrEnum):
    """What a node is for."""

    CONTROL_PLANE = "control-plane"
    ETCD = "etcd"
    WORKER = "worker"


class Authority(enum.StrEnum):
    """Where the root of trust is."""

    LOCAL = "local"
    OFFLINE = "offline"


class CAKeys(enum.StrEnum):
    """Where the private keys of the three CAs are."""

    SITE = "site"
    OFFLINE = "offline"


class KeyHome(enum.StrEnum):
    """Where the private keys of a node's certificates are made."""

    AUTHORITY = "authority"
    NODE = "node"


class UserKind(enum.StrEnum):
    """What a user is to Kubernetes."""

    USER = "User"
    SERVICE_ACCOUNT = "ServiceAccount"


class EncryptionProvider(enum.StrEnum):
    """How the API server encrypts Secrets in etcd (`apiserver.config.k8s.io/v1` EncryptionConfiguration)."""

    SECRETBOX = "secretbox"
    AESCBC = "aescbc"
    AESGCM = "aesgcm"


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        msg = f"must be {what}, in quotes where YAML would read it as something else"
        raise ValueError(msg)  # noqa: TRY004 -- pydantic gathers ValueErrors
    return value


def dns_name(value: str) -> str:
    """A lower-case RFC 1123 subdomain."""
    if len(value) > 253 or not _DNS_NAME.fullmatch(value):  # noqa: PLR2004 -- RFC 1123 section 2.1
        msg = "must be a lower-case DNS name: letters, digits, '-' and '.', each label at most 63 characters"
        raise ValueError(msg)
    return value


def dns_label(value: str) -> str:
    """A lower-case RFC 1123 label, as namespaces are called."""
    if not _DNS_LABEL.fullmatch(value):
        msg = "must be a DNS label: at most 63 lower-case letters, digits and '-'"
        raise ValueError(msg)
    return value


def _node_name(value: str) -> str:
    dns_name(value)
    longest = LONGEST_COMMON_NAME - len(KUBELET_USER_PREFIX)
    if len(value) > longest:
        msg = (
            f"is {len(value)} characters long: the kubelet's common name {KUBELET_USER_PREFIX}<name> may "
            f"have {LONGEST_COMMON_NAME}, which leaves {longest}"
        )
        raise ValueError(msg)
    return value


def parse_address(value: object) -> IPAddress:
    """An IP address as text; mapped and scoped ones are refused.

    Go refuses to parse certificates with an IPv4-mapped address (crypto/x509 parseSANExtension).
    """
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    text = _text(value, "an IP address")
    try:
        address: IPAddress = IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        msg = f"must be an IP address, not {text[:60]!r}"
        raise ValueError(msg) from None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            msg = f"is an IPv4-mapped IPv6 address, which the API server refuses: write {address.ipv4_mapped}"
            raise ValueError(msg)
        if address.scope_id is not None:
            raise ValueError("must not have a zone ('%'): certificates cannot name one")
    return address


def _node_address(value: object) -> IPAddress:
    address = parse_address(value)
    if address.is_unspecified or address.is_multicast or address == _BROADCAST:
        raise ValueError("must be the address of one host")
    return address


def parse_node_ip(value: str) -> tuple[IPAddress, ...]:
    """The addresses in the kubelet's flag `node-ip`; unspecified ones mean "find out" and are left out.

    Raises:
        ValueError: It holds something else.
    """
    addresses = (parse_address(part.strip()) for part in value.split(",") if part.strip())
    return tuple(address for address in addresses if not address.is_unspecified)


def parse_network(value: object) -> IPNetwork:
    """A subnet in CIDR notation, without host bits."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = _text(value, "a subnet such as 10.96.0.0/12")
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        msg = f"must be a subnet such as 10.96.0.0/12, not {text[:60]!r}"
        raise ValueError(msg) from None
    if isinstance(meant, IPv6Network):
        parse_address(str(meant.network_address))  # neither mapped nor with a zone
    prefix = text.partition("/")[2]
    if not prefix:
        msg = f"needs the length of its prefix, such as {text}/{meant.max_prefixlen // 2}"
        raise ValueError(msg)
    if prefix != str(meant.prefixlen):
        msg = f"must have the length of its prefix after the '/': write {meant}"
        raise ValueError(msg)
    if ip_address(text.partition("/")[0]) != meant.network_address:
        msg = f"has host bits set: write {meant}"
        raise ValueError(msg)
    return meant


def parse_san(value: object) -> str:
    """A subject alternative name: an IP address, a lower-case DNS name or `*.` and a DNS name."""
    text = _text(value, "a DNS name or an IP address").lower()
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        return str(parse_address(text))
    try:
        dns_name(text.removeprefix("*."))
    except ValueError:
        msg = f"must be an IP address, a DNS name or *. and a DNS name, not {text[:60]!r}"
        raise ValueError(msg) from None
    return text


def parse_duration(value: object) -> timedelta:
    """A Go duration in hours, minutes and seconds (`metav1.Duration`), positive, at most 200 years."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**7:
        msg = f"needs a unit: write {value}h, {value}m or {value}s"
        raise ValueError(msg)
    text = _text(value, "a duration such as 8760h")
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        days = re.fullmatch(r"([0-9]{1,6})d", text)
        way_out = f": write {int(days[1]) * 24}h" if days else " such as 8760h, 90m or 1h30m"
        msg = f"must be a duration in h, m and s{way_out}"
        raise ValueError(msg)
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if hours > 200 * 8766:
        raise ValueError("must be at most 200 years (1753200h)")
    result = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not result:
        raise ValueError("must be longer than zero")
    return result


def format_duration(value: timedelta) -> str:
    """The Go notation of a duration, as people write it in a spec: `8760h`, `1h30m`, `45s`."""
    seconds = int(value.total_seconds())
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


class KubernetesVersion(BaseModel):
    """A release of Kubernetes; pre-release parts are refused."""

    model_config = ConfigDict(frozen=True)

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"


def _version(value: object) -> object:
    if isinstance(value, KubernetesVersion):
        return value
    text = _text(value, "a version such as v1.36.2")
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError("must be an exact version such as v1.36.2")
    major, minor, patch = (int(part) for part in match.groups())
    if major != 1 or not OLDEST_MINOR <= minor <= NEWEST_MINOR:
        msg = (
            f"is not supported: this pkigen knows the flags of v1.{OLDEST_MINOR} to v1.{NEWEST_MINOR}; "
            f"choose one of them{'' if minor <= NEWEST_MINOR else ' or a newer pkigen'}"
        )
        raise ValueError(msg)
    return {"major": major, "minor": minor, "patch": patch}


def _absolute_path(value: str) -> str:
    if not _PATH.fullmatch(value) or any(part in {".", ".."} for part in value.split("/")):
        raise ValueError("must be an absolute path of letters, digits and . _ @ + -, without '..'")
    if len(value) > _LONGEST_PATH:
        msg = f"is {len(value)} characters long: a path may have {_LONGEST_PATH}"
        raise ValueError(msg)
    longest = max(map(len, value.split("/")))
    if longest > _LONGEST_FILE_NAME:
        msg = f"has a name of {longest} characters: one may have {_LONGEST_FILE_NAME}"
        raise ValueError(msg)
    return value


def _directory(value: str) -> str:
    if f"{value}/".startswith(f"{layout.MANIFESTS_DIRECTORY}/"):
        msg = f"must not be in {layout.MANIFESTS_DIRECTORY}: the kubelet reads every file there as a Pod"
        raise ValueError(msg)
    named = next((part for part in value.split("/") if part.endswith(layout.FILE_SUFFIXES)), None)
    if named is not None:
        msg = f"must be a directory's path: {named!r} is what files are called"
        raise ValueError(msg)
    return value


def _image_repository(value: str) -> str:
    if not _IMAGE_REPOSITORY.fullmatch(value):
        raise ValueError("must be a registry, and a lower-case path in it, such as registry.k8s.io/mirror")
    return value


def _image_tag(value: str) -> str:
    if not _IMAGE_TAG.fullmatch(value):
        raise ValueError("must be an image's tag, such as 3.6.8-0")
    return value


def _role_name(value: str) -> str:
    _line(value)
    if value in {"", ".", ".."} or "/" in value or "%" in value:
        raise ValueError("must be the name of a role, without '/' and '%'")
    return value


def _line(value: str) -> str:
    # Nothing that turns text around or stands there unseen either: a reviewer could not tell.
    hidden = next((character for character in value if not character.isprintable()), None)
    if hidden is not None:
        msg = f"must be one line of printable text, without U+{ord(hidden):04X}"
        raise ValueError(msg)
    return value


def _flag(value: str) -> str:
    if not _FLAG.fullmatch(value):
        raise ValueError("must be the flag's name without dashes in front, such as audit-log-path")
    return value


def _environment_name(value: str) -> str:
    # apimachinery validation.IsEnvVarName, before v1.34 relaxed it
    if not _ENVIRONMENT_NAME.fullmatch(value):
        raise ValueError("must be a variable's name: letters, digits and . _ -, no digit first")
    return value


def _age_recipient(value: str) -> str:
    if not _AGE_RECIPIENT.fullmatch(value):
        raise ValueError("must be an age recipient (age1…), as `pkigen node identity` prints it on the node")
    return value


def parse_person(value: str) -> str:
    """The name of a user or a group, as a certificate can carry it.

    Raises:
        ValueError: It is none.
    """
    if not _PERSON.fullmatch(value):
        raise ValueError("must begin with a letter or digit; then letters, digits and . _ : @ + - may follow")
    if len(value) > LONGEST_COMMON_NAME:
        msg = f"is {len(value)} characters long: a name in a certificate may have {LONGEST_COMMON_NAME}"
        raise ValueError(msg)
    return value


def parse_uid(value: str) -> str:
    """An object's UID as the API server makes it (apimachinery `uuid.NewUUID`).

    Raises:
        ValueError: It is none.
    """
    if not _UID.fullmatch(value):
        raise ValueError("must be an object's UID such as 3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b")
    return value


def parse_iam_arn(value: str) -> str:
    """The ARN of an IAM role or user, as aws-iam-authenticator compares it.

    Raises:
        ValueError: It is none, or one that nobody would ever be matched by.
    """
    match = _ARN.fullmatch(value)
    if match is None:
        raise ValueError(
            "must be the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/Admin"
        )
    partition, service, region, account, resource = match.groups()
    if partition not in _PARTITIONS:
        msg = f"has the partition {partition!r}, which is none of {', '.join(_PARTITIONS)}"
        raise ValueError(msg)
    if not re.fullmatch(r"[0-9]{12}", account):
        msg = f"must have an account of twelve digits, not {account[:40]!r}"
        raise ValueError(msg)
    if service == "sts" and resource.startswith("assumed-role/"):
        role = resource.split("/")[1]
        msg = (
            "is one session of an assumed role, which aws-iam-authenticator maps by its role: "
            f"write arn:{partition}:iam::{account}:role/{role}"
        )
        raise ValueError(msg)
    if service != "iam" or region:
        raise ValueError("must be an ARN of IAM, which has no region: arn:aws:iam::<account>:role/<name>")
    named = _IAM_PATH_AND_NAME.fullmatch(resource)
    if named is None:
        raise ValueError("must name a role or a user: arn:aws:iam::<account>:role/<name> or …:user/<name>")
    kind, path, name = named.groups()
    if kind == "role" and path != "/":
        # pkg/arn/arn.go Canonicalize: sts reports assumed roles without their path.
        msg = (
            f"has the path {path}, which AWS leaves out when the role is assumed, so that it never matches: "
            f"write arn:{partition}:iam::{account}:role/{name}"
        )
        raise ValueError(msg)
    return value


def _host_port(value: str) -> str:
    host, port = split_host_port(value)
    if port is not None and not 1 <= port <= 65535:  # noqa: PLR2004 -- TCP
        raise ValueError("must have a port between 1 and 65535")
    if isinstance(host, str):
        dns_name(host)
    elif host.is_unspecified or host.is_multicast:
        raise ValueError("must be an address that clients can reach")
    return value


def split_host_port(value: str) -> tuple[IPAddress | str, int | None]:
    """Split `host`, `host:port` or `[v6]:port`; the host comes back as an address where it is one.

    Raises:
        ValueError: It is none of these.
    """
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?", value)
    if bracketed:
        return parse_address(bracketed[1]), int(bracketed[2]) if bracketed[2] else None
    if value.count(":") > 1:
        try:
            return parse_address(value), None
        except ValueError:
            raise ValueError("must be a host or host:port; write IPv6 as [address]:port") from None
    plain = re.fullmatch(r"([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?", value)
    if not plain:
        raise ValueError("must be a host or host:port, such as api.example.com:6443")
    port = int(plain[2]) if plain[2] else None
    host = plain[1].lower()
    return (parse_address(host) if re.fullmatch(r"[0-9.]+", host) else host), port


def _endpoint_url(value: str) -> str:
    match = re.fullmatch(r"https?://([^/?#@\s]+)/?", value)
    if not match:
        raise ValueError("must be a URL such as https://10.0.0.31:2379")
    _host_port(match[1])
    return value


_TEXT_SCHEMA: dict[str, Any] = {"type": "string"}


def _as_text(*, example: str) -> tuple[PlainSerializer, WithJsonSchema]:
    return PlainSerializer(str, return_type=str), WithJsonSchema({**_TEXT_SCHEMA, "examples": [example]})


Text = Annotated[StrictStr, AfterValidator(_line), Field(min_length=1, max_length=4096)]
DNSName = Annotated[StrictStr, AfterValidator(dns_name)]
DNSLabel = Annotated[StrictStr, AfterValidator(dns_label)]
NodeName = Annotated[StrictStr, AfterValidator(_node_name)]
PersonName = Annotated[StrictStr, Field(min_length=1), AfterValidator(parse_person)]
AbsolutePath = Annotated[StrictStr, AfterValidator(_absolute_path)]
DirectoryPath = Annotated[AbsolutePath, AfterValidator(_directory)]
UID = Annotated[StrictStr, AfterValidator(parse_uid)]
IAMARN = Annotated[StrictStr, AfterValidator(parse_iam_arn), Field(max_length=2048)]
AgeRecipient = Annotated[StrictStr, AfterValidator(_age_recipient)]
EnvironmentName = Annotated[StrictStr, AfterValidator(_environment_name), Field(max_length=255)]
FlagName = Annotated[StrictStr, AfterValidator(_flag)]
ImageRepository = Annotated[StrictStr, AfterValidator(_image_repository), Field(max_length=255)]
ImageTag = Annotated[StrictStr, AfterValidator(_image_tag)]
RoleName = Annotated[StrictStr, AfterValidator(_role_name), Field(max_length=253)]
HostPort = Annotated[StrictStr, AfterValidator(_host_port)]
EndpointURL = Annotated[StrictStr, AfterValidator(_endpoint_url)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
SAN = Annotated[
    str, BeforeValidator(parse_san), WithJsonSchema({**_TEXT_SCHEMA, "examples": ["api.internal"]})
]
Address = Annotated[IPAddress, BeforeValidator(_node_address), *_as_text(example="10.0.0.11")]
Network = Annotated[IPNetwork, BeforeValidator(parse_network), *_as_text(example="10.96.0.0/12")]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({**_TEXT_SCHEMA, "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$", "examples": ["8760h"]}),
]
Version = Annotated[KubernetesVersion, BeforeValidator(_version), *_as_text(example="v1.36.2")]


class Strict(BaseModel):
    """A mapping of the spec: frozen, camelCase keys, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,  # the whole is built at its first use; each part by itself is never asked for
    )


class Metadata(Strict):
    """What the cluster is called."""

    name: DNSName
    """The cluster's name in kubeconfigs, and the default name of the PKI directory."""


class Networking(Strict):
    """The cluster's networks."""

    service_subnets: tuple[Network, ...] = Field(
        default=(IPv4Network("10.96.0.0/12"),), min_length=1, max_length=2
    )
    """One subnet, or one of each family for dual stack; the first one's first address is in the API server's
    certificate."""
    pod_subnets: tuple[Network, ...] = Field(default=(), max_length=2)
    """Given to the controller manager to allocate; empty leaves that to the network plugin."""
    dns_domain: DNSName = "cluster.local"
    """The cluster's DNS suffix."""


class ExtraArg(Strict):
    """A flag that replaces the default of the same name, as kubeadm's extraArgs do."""

    name: FlagName
    """Without dashes in front."""
    value: Annotated[StrictStr, AfterValidator(_line), Field(max_length=4096)]
    """May be empty."""


class EnvironmentVariable(Strict):
    """A variable in the environment of a static Pod (kubeadm's extraEnvs)."""

    name: EnvironmentName
    value: Annotated[StrictStr, AfterValidator(_line), Field(max_length=4096)] = ""


class HostPathMount(Strict):
    """A host directory or file mounted into a static Pod (kubeadm's extraVolumes)."""

    name: DNSLabel
    host_path: AbsolutePath
    mount_path: AbsolutePath
    read_only: StrictBool = False
    path_type: Literal[
        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"
    ] = ""


class Component(Strict):
    """A control-plane component's own settings."""

    extra_args: tuple[ExtraArg, ...] = ()
    """Flags that replace or add to the defaults."""
    extra_volumes: tuple[HostPathMount, ...] = ()
    """Host paths that those flags need (static Pods only)."""
    extra_envs: tuple[EnvironmentVariable, ...] = ()
    """The program's environment, such as a proxy; of two of one name the later counts (static Pods only)."""


class APIServer(Component):
    """The API server's settings."""

    cert_sans: tuple[SAN, ...] = Field(default=(), alias="certSANs")
    """Additional names and addresses in every API server's certificate."""
    bind_port: Port = 6443
    """The port every API server listens on."""


class ExternalEtcd(Strict):
    """An etcd that pkigen does not build."""

    endpoints: tuple[EndpointURL, ...] = Field(min_length=1)
    ca_file: AbsolutePath | None = None
    """On the control-plane nodes, like the next two."""
    cert_file: AbsolutePath | None = None
    key_file: AbsolutePath | None = None


class Etcd(Strict):
    """The cluster's etcd: on the control-plane nodes, on nodes with the role etcd, or external."""

    data_dir: DirectoryPath = "/var/lib/etcd"
    image_repository: ImageRepository | None = None
    """Where etcd's image comes from, if not from spec.imageRepository like the others."""
    image_tag: ImageTag | None = None
    """Replaces the etcd image's tag that belongs to the Kubernetes version."""
    server_cert_sans: tuple[SAN, ...] = Field(default=(), alias="serverCertSANs")
    peer_cert_sans: tuple[SAN, ...] = Field(default=(), alias="peerCertSANs")
    extra_args: tuple[ExtraArg, ...] = ()
    extra_envs: tuple[EnvironmentVariable, ...] = ()
    """etcd's environment (static Pods only)."""
    external: ExternalEtcd | None = None


class Kubelet(Strict):
    """The kubelets' settings."""

    rotate_certificates: StrictBool = True
    """Whether a kubelet renews its own client certificate through the cluster, as kubeadm's do."""
    extra_args: tuple[ExtraArg, ...] = ()
    """Flags for every kubelet."""


class Override(Strict):
    """What one kind of certificate has of its own."""

    validity: Duration | None = None
    renew_before: Duration | None = None
    key_algorithm: KeyAlgorithm | None = None


class Certificates(Strict):
    """Keys and lifetimes."""

    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256
    """kubeadm's names."""
    ca_validity: Duration = timedelta(hours=87600)
    validity: Duration = timedelta(hours=8760)
    """Of leaf certificates; none outlives its CA."""
    renew_before: Duration = timedelta(hours=720)
    """How long before its end a certificate is renewed; never more than a third of its life."""
    directory: DirectoryPath = "/etc/kubernetes/pki"
    """Where the files stand on the nodes (kubeadm's certificatesDir)."""
    distribute_ca_keys: StrictBool = Field(default=True, alias="distributeCAKeys")
    """Whether control-plane nodes get the CA keys; without, the controller manager signs nothing."""
    authority: Authority = Authority.LOCAL
    """Where the root of trust is: with local, this machine makes the CAs; with offline, a machine that is
    never connected signs by file what this one cannot (`pkigen authority`)."""
    ca_keys: CAKeys = CAKeys.SITE
    """With an offline authority: site makes the three CAs intermediates under its root, with their keys here;
    offline leaves their keys with it too, and it signs every certificate (kubeadm's external CA)."""
    node_keys: KeyHome = KeyHome.AUTHORITY
    """Where the private keys of nodes' certificates are made, where a node does not say otherwise."""
    overrides: dict[StrictStr, Override] = Field(default_factory=dict)
    """By the certificate's kubeadm name: apiserver, etcd-server, admin.conf, ca, …"""


class Encryption(Strict):
    """Encryption of Secrets at rest, with a key that pkigen generates."""

    provider: EncryptionProvider = EncryptionProvider.SECRETBOX
    resources: tuple[Text, ...] = Field(default=("secrets",), min_length=1)


class ServiceAccounts(Strict):
    """What is known of the tokens that workloads hold."""

    max_token_lifetime: Duration = timedelta(hours=8760)
    """How long a token of the previous signing key may still be in use. The API server extends the tokens of
    Pods to a year unless --service-account-extend-token-expiration=false (pkg/serviceaccount/claims.go)."""


class Backups(Strict):
    """What is kept of what changes replaced."""

    keep: Annotated[StrictInt, Field(ge=1, le=1000)] = 10
    """How many backups stay in .pkigen/backups."""


class Node(Strict):
    """One host."""

    name: NodeName
    """The Node object's name; the kubelet registers with it."""
    roles: tuple[Role, ...] = Field(min_length=1)
    addresses: tuple[Address, ...] = Field(min_length=1)
    """The first is the advertise address."""
    cert_sans: tuple[SAN, ...] = Field(default=(), alias="certSANs")
    """Additional names and addresses in this node's serving certificates."""
    bind_port: Port | None = None
    """The API server's port on this node, where it differs from apiServer.bindPort."""
    kubelet_extra_args: tuple[ExtraArg, ...] = ()
    """Flags for this node's kubelet; they replace kubelet.extraArgs of the same name."""
    keys: KeyHome | None = None
    """Where the private keys of this node's certificates are made; certificates.nodeKeys by default."""
    age_recipient: AgeRecipient | None = None
    """The public half of the node's age key: its bundles are sealed to it (`pkigen node identity`)."""

    @property
    def advertise_address(self) -> IPAddress:
        """What the other nodes reach this one at."""
        return self.addresses[0]

    @property
    def kubelet_addresses(self) -> tuple[IPAddress, ...]:
        """Where the API server finds the kubelet: the node's addresses, and those of the flag node-ip.

        A kubeadm configuration has one address for the API server and, with dual stack, two in that flag.
        """
        flags = [arg.value for arg in self.kubelet_extra_args if arg.name == "node-ip"]
        more = parse_node_ip(flags[-1]) if flags else ()
        return tuple(dict.fromkeys((*self.addresses, *more)))

    def has(self, role: Role) -> bool:
        """Whether the node has this role."""
        return role in self.roles


class PolicyRule(Strict):
    """An RBAC rule (`rbac.authorization.k8s.io/v1` PolicyRule)."""

    api_groups: tuple[Annotated[StrictStr, AfterValidator(_line)], ...] = ()
    resources: tuple[Text, ...] = ()
    verbs: tuple[Text, ...] = Field(min_length=1)
    resource_names: tuple[Text, ...] = ()
    non_resource_urls: tuple[Text, ...] = Field(default=(), alias="nonResourceURLs")


class NamespacedRole(Strict):
    """What a user may do in one namespace: a ClusterRole, a Role, or rules of its own."""

    namespace: DNSLabel
    cluster_role: RoleName | None = None
    role: RoleName | None = None
    rules: tuple[PolicyRule, ...] = ()


class User(Strict):
    """A person or program that comes in with a client certificate, or a service account with a token."""

    name: PersonName
    """Becomes the certificate's common name, and so the user name; or the service account's name."""
    kind: UserKind = UserKind.USER
    """A ServiceAccount gets its object, bindings and, once its UID is known, a kubeconfig with a token."""
    groups: tuple[PersonName, ...] = ()
    """Become the certificate's organizations, and so the groups. A service account has its own."""
    validity: Duration = timedelta(hours=720)
    """Short, because a client certificate cannot be revoked: 30 days. Of a token likewise."""
    namespace: DNSLabel | None = None
    """The kubeconfig's default namespace; the one that a service account lives in."""
    uid: UID | None = None
    """A service account's UID: the API server makes it, and takes no token that has not got it."""
    audiences: tuple[Text, ...] = ()
    """Whom a service account's token is for; without any, the API server."""
    cluster_roles: tuple[RoleName, ...] = ()
    """Bound for the user across the cluster."""
    roles: tuple[NamespacedRole, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    """Make a ClusterRole of the user's own."""
    allow_system_identity: Text | None = None
    """The reason why this user may have a name or group that begins with system:."""

    @property
    def is_service_account(self) -> bool:
        """Whether this is a service account and no person."""
        return self.kind is UserKind.SERVICE_ACCOUNT

    @property
    def username(self) -> str:
        """Who the API server says that this is (apiserver `serviceaccount.MakeUsername`)."""
        return f"system:serviceaccount:{self.namespace}:{self.name}" if self.is_service_account else self.name

    @property
    def stem(self) -> str:
        """What the user's files are called by: no colon, which separates the files of $KUBECONFIG."""
        return f"{self.namespace}.{self.name}" if self.is_service_account else self.name


class IAMMapping(Strict):
    """An IAM role or user of AWS, and who it is in the cluster (`aws-auth`)."""

    arn: IAMARN
    """Of the role or user itself, never of a session."""
    username: Text
    """The user name; may hold aws-iam-authenticator's variables such as {{SessionName}}."""
    groups: tuple[PersonName, ...] = ()
    cluster_roles: tuple[RoleName, ...] = ()
    """Bound for the user across the cluster; for the groups where the user name has variables."""
    roles: tuple[NamespacedRole, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    """Make a ClusterRole of the mapping's own."""
    allow_system_identity: Text | None = None
    """The reason why this mapping may have a name or group that begins with system:."""

    @property
    def has_variables(self) -> bool:
        """Whether the user name is made anew for each session."""
        return "{{" in self.username


class Spec(Strict):
    """What the cluster is."""

    kubernetes_version: Version
    runtime: Runtime = Runtime.STATIC_PODS
    control_plane_endpoint: HostPort | None = None
    """The load balancer or name in front of the API servers; without it, clients use the first one alone."""
    image_repository: ImageRepository = "registry.k8s.io"
    """Where the control plane's images come from."""
    startup_timeout: Duration = timedelta(minutes=4)
    """How long a component of the control plane may take to start until the kubelet restarts it (static Pods
    only; kubeadm's timeouts.controlPlaneComponentHealthCheck)."""
    networking: Networking = Networking()
    api_server: APIServer = APIServer()
    controller_manager: Component = Component()
    scheduler: Component = Component()
    etcd: Etcd = Etcd()
    kubelet: Kubelet = Kubelet()
    certificates: Certificates = Certificates()
    encryption: Encryption | None = None
    service_accounts: ServiceAccounts = ServiceAccounts()
    backups: Backups = Backups()
    nodes: tuple[Node, ...] = Field(min_length=1)
    users: tuple[User, ...] = ()
    iam: tuple[IAMMapping, ...] = ()
    """IAM roles and users of AWS that come in through aws-iam-authenticator, as on EKS."""


class ClusterSpec(Strict):
    """A whole spec file."""

    model_config = ConfigDict(json_schema_extra={"required": ["apiVersion", "kind", "metadata", "spec"]})

    api_version: Literal["pkigen/v1"] = API_VERSION
    kind: Literal["Cluster"] = KIND
    metadata: Metadata
    spec: Spec

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.metadata.name

    @cached_property
    def control_plane(self) -> tuple[Node, ...]:
        """The nodes that run an API server, by name: the spec's order means nothing."""
        nodes = (node for node in self.spec.nodes if node.has(Role.CONTROL_PLANE))
        return tuple(sorted(nodes, key=lambda node: node.name))

    @cached_property
    def etcd_members(self) -> tuple[Node, ...]:
        """The nodes that run etcd: those with that role, else the control plane; none if it is external."""
        if self.spec.etcd.external is not None:
            return ()
        dedicated = (node for node in self.spec.nodes if node.has(Role.ETCD))
        return tuple(sorted(dedicated, key=lambda node: node.name)) or self.control_plane

    @property
    def ca_keys_on_nodes(self) -> bool:
        """Whether the control plane has the CA keys, and so a controller manager that signs."""
        certificates = self.spec.certificates
        return certificates.distribute_ca_keys and certificates.ca_keys is CAKeys.SITE

    @property
    def token_issuer(self) -> str:
        """Who signs service account tokens: the first --service-account-issuer."""
        given = self._api_server_arguments("service-account-issuer")
        return given[0] if given else f"https://kubernetes.default.svc.{self.spec.networking.dns_domain}"

    @property
    def api_audiences(self) -> tuple[str, ...]:
        """Whom tokens for the API server are for: --api-audiences, else every issuer."""
        given = self._api_server_arguments("api-audiences")
        if given:
            return tuple(audience for value in given for audience in value.split(","))
        return self._api_server_arguments("service-account-issuer") or (self.token_issuer,)

    def _api_server_arguments(self, name: str) -> tuple[str, ...]:
        return tuple(arg.value for arg in self.spec.api_server.extra_args if arg.name == name)

    def key_home(self, node: Node) -> KeyHome:
        """Where the private keys of a node's certificates are made, and stay."""
        return node.keys or self.spec.certificates.node_keys

    def api_port(self, node: Node) -> int:
        """The port of a control-plane node's API server."""
        return node.bind_port or self.spec.api_server.bind_port

    def local_server(self, node: Node) -> str:
        """The URL of the API server on this control-plane node."""
        return f"https://{host_text(node.advertise_address)}:{self.api_port(node)}"

    @cached_property
    def cluster_server(self) -> str:
        """The URL that reaches the control plane as a whole."""
        if self.spec.control_plane_endpoint is None:
            return self.local_server(self.control_plane[0])
        host, port = split_host_port(self.spec.control_plane_endpoint)
        return f"https://{host_text(host)}:{port or self.spec.api_server.bind_port}"
