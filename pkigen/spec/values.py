"""Readers of single values: what a name, an address, a path or an ARN in a spec may be.

Each takes what YAML made of the value and returns what the model keeps. A value that it refuses raises
ValueError with a sentence that has the value's place as its subject: "must be …", "is …", "has …".

Patterns are text, which `re` compiles at its first use: most specs need few of them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from pkigen import layout
from pkigen.crypto.age_recipient import recipient_fault
from pkigen.notation import parse_duration
from pkigen.records import dataclass

OLDEST_MINOR: Final = 29
NEWEST_MINOR: Final = 38
NEWEST_RELEASED: Final = 37
_LONGEST_COMMON_NAME: Final = 64  # RFC 5280 appendix A.1, ub-common-name; ub-organization-name is the same
LONGEST_CA_NAME: Final = 56  # a rotation adds `-g` and up to six digits
_KUBELET_USER_PREFIX: Final = "system:node:"
_LONGEST_DNS_NAME: Final = 253  # RFC 1123 section 2.1
_LONGEST_PATH: Final = 4095  # PATH_MAX of Linux without its final NUL
_LONGEST_FILE_NAME: Final = 255  # NAME_MAX
_LARGEST_BARE_NUMBER: Final = 10**7  # above, a number is no duration that lacks its unit
_PARTITIONS: Final = (
    "aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc",
)  # fmt: skip

_DNS_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME: Final = rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"
_NUMBER: Final = r"(0|[1-9][0-9]{0,2})"  # semver.org 2: no leading zeros; \d is all of Unicode's digits
_NUMBERS: Final = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
_IDENTIFIERS: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
# apimachinery util/version, ParseSemantic: within a pre-release, no number has a leading zero.
_PRE_RELEASE: Final = rf"(?:-(?!(?:[0-9A-Za-z-]+\.)*0[0-9]+(?:[.+]|\Z)){_IDENTIFIERS})?"
_VERSION: Final = rf"v?{_NUMBERS}({_PRE_RELEASE}(?:\+{_IDENTIFIERS})?)"
NODE_PLACEHOLDER: Final = "{node}"
_PATH: Final = r"(?:/[A-Za-z0-9._@+-]+)+"
_FLAG: Final = r"[a-z0-9][a-z0-9_-]*"
_ENVIRONMENT_NAME: Final = r"[-._A-Za-z][-._A-Za-z0-9]*"
_UID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ARN: Final = r"arn:(aws[a-z-]*):([a-z0-9-]*):([a-z0-9-]*):([^:]*):(.+)"
_ACCOUNT: Final = r"[0-9]{12}"
_IAM_PATH_AND_NAME: Final = r"(role|user)(/(?:[!-.0-~]+/)*)([A-Za-z0-9+=,.@_-]{1,64})"
_IMAGE_REPOSITORY: Final = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
)
_IMAGE_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_IMAGE_DIGEST: Final = r"(?:@(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))?"
_OTHERS_IN_NAMES: Final = frozenset("._@+-")
_NO_PATH: Final = "must be an absolute path without '..'"
_NO_PLAIN_PATH: Final = "must be an absolute path of letters, digits and . _ @ + -, without '..'"


def text_of(value: object, what: str) -> str:
    """The text of a value; `ValueError` where YAML has read it as something else."""
    if not isinstance(value, str):
        msg = f"must be {what}, in quotes where YAML would read it as something else"
        raise ValueError(msg)  # noqa: TRY004 -- pydantic gathers ValueErrors
    return value


# Text and names


def parse_line(value: str) -> str:
    """One line of printable text.

    Nothing that turns text around or stands there unseen either: a reviewer could not tell.
    """
    hidden = next((character for character in value if not character.isprintable()), None)
    if hidden is not None:
        msg = f"must be one line of printable text, without U+{ord(hidden):04X}"
        raise ValueError(msg)
    return value


def parse_dns_name(value: str) -> str:
    """A lower-case RFC 1123 subdomain."""
    if len(value) > _LONGEST_DNS_NAME or not re.fullmatch(_DNS_NAME, value):
        msg = "must be a lower-case DNS name: letters, digits, '-' and '.', each label at most 63 characters"
        raise ValueError(msg)
    return value


def parse_dns_label(value: str) -> str:
    """A lower-case RFC 1123 label, as namespaces are called."""
    if not re.fullmatch(_DNS_LABEL, value):
        msg = "must be a DNS label: at most 63 lower-case letters, digits and '-'"
        raise ValueError(msg)
    return value


def parse_node_name(value: str) -> str:
    """The name of a Node object, which must fit into its kubelet's common name."""
    parse_dns_name(value)
    longest = _LONGEST_COMMON_NAME - len(_KUBELET_USER_PREFIX)
    if len(value) > longest:
        msg = (
            f"is {len(value)} characters long: the kubelet's common name {_KUBELET_USER_PREFIX}<name> may "
            f"have {_LONGEST_COMMON_NAME}, which leaves {longest}"
        )
        raise ValueError(msg)
    return value


def parse_cluster_name(value: str) -> str:
    """The name of a cluster: any line of text, as with kubeadm."""
    parse_line(value)
    if len(value) > _LONGEST_DNS_NAME:
        msg = f"is {len(value)} characters long: a cluster's name may have {_LONGEST_DNS_NAME}"
        raise ValueError(msg)
    return value


def parse_person(value: str) -> str:
    """The name of a user or a group, as identity providers have them and a certificate can carry it."""
    parse_line(value)
    if not value:
        raise ValueError("must not be empty")
    if value != value.strip():
        raise ValueError("must not begin or end with a space, which nobody would see")
    if len(value) > _LONGEST_COMMON_NAME:
        msg = f"is {len(value)} characters long: a name in a certificate may have {_LONGEST_COMMON_NAME}"
        raise ValueError(msg)
    return value


def parse_certified_name(value: str) -> str:
    """A name that `parse_person` takes and a certificate can carry: pyca counts it in octets of UTF-8."""
    return _fitting(value, _LONGEST_COMMON_NAME)


def _fitting(value: str, most: int) -> str:
    """Text that is no longer in UTF-8; how many characters it may have is somebody else's to say."""
    octets = len(value.encode())
    if octets > most >= len(value):
        msg = f"is {octets} octets long in UTF-8: a name in a certificate may have {most}"
        raise ValueError(msg)
    return value


def parse_ca_name(value: str) -> str:
    """What a CA may be called: no generation of another one's, and nothing that cannot be read."""
    parse_line(value)
    _fitting(value, LONGEST_CA_NAME)
    if not value.strip() or value != value.strip():
        raise ValueError("must be a name, without spaces around it")
    # A CA that is called so would take the name of another CA's successor, and verifiers look issuers up by
    # name.
    if re.search(r"-g\d+\Z", value):
        raise ValueError("must not end in -g and a number: so the generations of a rotation are called")
    return value


def person_stem(name: str) -> str:
    """A person's name as a part of file and object names; two names never become the same.

    Letters, digits and, behind the first character, . _ @ + - stay. The rest becomes `=` and its bytes, as
    in RFC 2047 4.2: `/`, `%` and `,` cannot stand in an object's name, others not in a file's, and a colon
    not in $KUBECONFIG.
    """
    return "".join(
        character
        if character.isalnum() or (place and character in _OTHERS_IN_NAMES)
        else "".join(f"={byte:02X}" for byte in character.encode())
        for place, character in enumerate(name)
    )


def parse_role_name(value: str) -> str:
    """The name of a Role or ClusterRole (apimachinery `path.IsValidPathSegmentName`)."""
    parse_line(value)
    if value in {"", ".", ".."} or "/" in value or "%" in value:
        raise ValueError("must be the name of a role, without '/' and '%'")
    return value


def parse_uid(value: str) -> str:
    """An object's UID as the API server makes it (apimachinery `uuid.NewUUID`)."""
    if not re.fullmatch(_UID, value):
        raise ValueError("must be an object's UID such as 3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b")
    return value


def parse_flag(value: str) -> str:
    """The name of a program's flag, as `flag_name` writes it."""
    # Before it is put behind two dashes: a value with a blank or `=` would become another argument.
    if not re.fullmatch(_FLAG, value):
        raise ValueError("must be the flag's name without dashes in front, such as audit-log-path")
    return flag_name(value)


def flag_name(text: str) -> str:
    """The one spelling of a flag: `_` is `-` (component-base `WordSepNormalizeFunc`); etcd has only `-`."""
    return text.replace("_", "-")


def parse_environment_name(value: str) -> str:
    """The name of an environment variable (apimachinery `IsEnvVarName`, before v1.34 relaxed it)."""
    if not re.fullmatch(_ENVIRONMENT_NAME, value):
        raise ValueError("must be a variable's name: letters, digits and . _ -, no digit first")
    return value


def parse_age_recipient(value: str) -> str:
    """The public half of an age X25519 identity (age-encryption.org/v1)."""
    fault = recipient_fault(value)
    if fault is not None:
        msg = f"{fault}: `pkigen airgap node identity` prints it on the node"
        raise ValueError(msg)
    return value


# Paths and images


def parse_absolute_path(value: str) -> str:
    """A path that every tool takes as it is, unquoted; `{node}` in the file's name stands for each node's."""
    path = _clean_path(value, otherwise=_NO_PLAIN_PATH)
    folder, separator, name = path.rpartition("/")
    if not re.fullmatch(_PATH, folder + separator + name.replace(NODE_PLACEHOLDER, "node")):
        raise ValueError(_NO_PLAIN_PATH)
    return path


def has_variable(argument: str) -> bool:
    """Whether the kubelet puts a variable into an argument of a Pod: what it becomes is not known here.

    `$$(NAME)`, which stays a text, counts as well (third_party/forked/golang/expansion).
    """
    return "$(" in argument


def parse_host_path(value: str) -> str:
    """A path on a host for a volume, which is only ever written into a manifest, quoted."""
    return _clean_path(parse_line(value), otherwise=_NO_PATH)


def parse_mount_path(value: str) -> str:
    """A path in a container for a volume (k8s.io/api/core/v1 VolumeMount)."""
    path = _clean_path(parse_line(value), otherwise=_NO_PATH)
    # A mount at / would hide the whole image.
    if path == "/" or ":" in path:
        raise ValueError("must be an absolute path below / in the container, without ':'")
    return path


def _clean_path(value: str, *, otherwise: str) -> str:
    """An absolute path with neither repeated slashes nor one at the end, as `filepath.Clean` makes it.

    What `..` means depends on links; the API server refuses it in volumes as well.
    """
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if not value.startswith("/") or ".." in parts:
        raise ValueError(otherwise)
    path = "/" + "/".join(parts)
    if len(path.encode()) > _LONGEST_PATH:
        msg = f"is {len(path)} characters long: a path may have {_LONGEST_PATH}"
        raise ValueError(msg)
    longest = max((len(part.encode()) for part in parts), default=0)
    if longest > _LONGEST_FILE_NAME:
        msg = f"has a name of {longest} characters: one may have {_LONGEST_FILE_NAME}"
        raise ValueError(msg)
    return path


def parse_directory(value: str) -> str:
    """The path of a directory for pkigen's files: not the kubelet's, and not named as files are."""
    path = parse_absolute_path(value)
    if layout.is_within(path, layout.MANIFESTS_DIRECTORY):
        msg = f"must not be in {layout.MANIFESTS_DIRECTORY}: the kubelet reads every file there as a Pod"
        raise ValueError(msg)
    named = next((part for part in path.split("/") if part.endswith(layout.FILE_SUFFIXES)), None)
    if named is not None:
        msg = f"must be the path of a directory: {named!r} is a file name"
        raise ValueError(msg)
    return path


def parse_image_repository(value: str) -> str:
    """Where images come from: a registry, and a path in it (distribution `reference`)."""
    if value.endswith("/"):
        raise ValueError("must not end with '/': an image's name follows after another one")
    if not re.fullmatch(_IMAGE_REPOSITORY, value):
        raise ValueError("must be a registry, and a lower-case path in it, such as registry.k8s.io/mirror")
    return value


def parse_image_tag(value: str) -> str:
    """The tag of an image, with or without its digest (distribution `reference`)."""
    if not re.fullmatch(_IMAGE_TAG + _IMAGE_DIGEST, value):
        raise ValueError("must be an image's tag, such as 3.6.8-0; @ and its whole digest may follow")
    return value


# Versions and durations


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesVersion:
    """A build of Kubernetes; `suffix` is its pre-release and build metadata, such as `-rc.1+vendor.2`."""

    major: int
    minor: int
    patch: int
    suffix: str = ""

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}{self.suffix}"

    @property
    def image_tag(self) -> str:
        """The tag of its images, which cannot have a `+` (kubeadm's `KubernetesVersionToImageTag`)."""
        return str(self).replace("+", "_")


def parse_version(value: object) -> KubernetesVersion:
    """A release of Kubernetes whose flags pkigen knows."""
    if isinstance(value, KubernetesVersion):
        return value
    match = re.fullmatch(_VERSION, text_of(value, "a version such as v1.36.2"))
    if match is None:
        raise ValueError("must be an exact version such as v1.36.2, v1.36.0-rc.1 or v1.36.2+vendor.1")
    major, minor, patch = (int(part) for part in match.groups()[:3])
    if major != 1 or not OLDEST_MINOR <= minor <= NEWEST_MINOR:
        msg = (
            f"is not supported: this pkigen knows the flags of v1.{OLDEST_MINOR} to v1.{NEWEST_MINOR}; "
            f"choose one of them{'' if minor <= NEWEST_MINOR else ' or a newer pkigen'}"
        )
        raise ValueError(msg)
    version = KubernetesVersion(major=major, minor=minor, patch=patch, suffix=match[4])
    if not re.fullmatch(_IMAGE_TAG, version.image_tag):
        msg = f"is {len(version.image_tag)} characters long: the tag of its images may have 128"
        raise ValueError(msg)
    return version


def parse_period(value: object) -> timedelta:
    """A duration as `notation.parse_duration` reads it; for a bare number, the ways to give it a unit."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_BARE_NUMBER:
        msg = f"needs a unit: write {value}h, {value}m or {value}s"
        raise ValueError(msg)
    return parse_duration(text_of(value, "a duration such as 8760h"))


class Percent(int):
    """A share of something, written with its sign."""

    def __str__(self) -> str:
        return f"{int(self)}%"


def parse_share(value: object) -> Percent:
    """A share of a validity, in percent; at most a quarter.

    Raises:
        ValueError: It is none, or larger.
    """
    match = re.fullmatch(r"([0-9]|1[0-9]|2[0-5])%", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a share from 0% to 25%, such as 10%")
    return Percent(match[1])


# ARNs of AWS


def parse_iam_arn(value: str) -> str:
    """The ARN of an IAM role or user, as aws-iam-authenticator compares it.

    Raises:
        ValueError: It is none, or one that nobody would ever be matched by.
    """
    match = re.fullmatch(_ARN, value)
    if match is None:
        raise ValueError(
            "must be the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/Admin"
        )
    partition, service, region, account, resource = match.groups()
    if partition not in _PARTITIONS:
        msg = f"has the partition {partition!r}, which is none of {', '.join(_PARTITIONS)}"
        raise ValueError(msg)
    if not re.fullmatch(_ACCOUNT, account):
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
    _check_principal(resource, f"arn:{partition}:iam::{account}")
    return value


def _check_principal(resource: str, above: str) -> None:
    """Whether the end of an ARN names a role or a user in a way that a login can match."""
    named = re.fullmatch(_IAM_PATH_AND_NAME, resource)
    if named is None:
        raise ValueError("must name a role or a user: arn:aws:iam::<account>:role/<name> or …:user/<name>")
    kind, path, name = named.groups()
    if kind == "role" and path != "/":
        # pkg/arn/arn.go Canonicalize: sts reports assumed roles without their path.
        msg = (
            f"has the path {path}, which AWS leaves out when the role is assumed, so that it never matches: "
            f"write {above}:role/{name}"
        )
        raise ValueError(msg)
