"""The ConfigMap `aws-auth`: which AWS IAM identity is which user (`aws-iam-authenticator/pkg/mapper`).

The spec determines the mappings of people; those of nodes belong to the cloud provider and are kept, and
those of others unless somebody asks. Anybody who can write the present ConfigMap can call an entry a node, so
only an exact node mapping counts as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen.access.yaml_text import Value, dump, parse
from pkigen.errors import AccessError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pkigen.spec.model import ClusterSpec
    from pkigen.spec.users import IAMMapping

NAME, NAMESPACE = "aws-auth", "kube-system"
LARGEST_CONFIG_MAP = 2 << 20  # etcd's own limit is 1.5 MiB
_ROLES, _USERS, _ACCOUNTS = "mapRoles", "mapUsers", "mapAccounts"
_ARN_KEYS = {_ROLES: "rolearn", _USERS: "userarn"}
_NODE_GROUP, _NODE_USER = "system:nodes", "system:node:"
_NODES_OF_EC2, _NODES_OF_FARGATE = "system:node:{{EC2PrivateDNSName}}", "system:node:{{SessionName}}"
_JOINING = frozenset({"system:bootstrappers", _NODE_GROUP})
_NODE_SHAPES = (
    (_NODES_OF_EC2, _JOINING),
    (_NODES_OF_EC2, _JOINING | {"eks:kube-proxy-windows"}),
    (_NODES_OF_FARGATE, _JOINING | {"system:node-proxier"}),
)
"""User name and groups of Linux and Windows nodes and of Fargate's (Amazon EKS User Guide: "Grant IAM users
access to Kubernetes with a ConfigMap", "Enable Windows support", "Pod execution IAM role")."""
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """What the cluster's ConfigMap maps now: entries by its keys, as they were read."""

    entries: Mapping[str, tuple[Mapping[str, Value], ...]]
    accounts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMap:
    """The new ConfigMap, and warnings to read before applying it."""

    manifest: str
    remarks: tuple[str, ...]


NO_CURRENT = Current(entries={_ROLES: (), _USERS: ()}, accounts="")


def read_current(data: bytes, file: str) -> Current:
    """Read the cluster's ConfigMap, as `kubectl -n kube-system get configmap aws-auth -o yaml` prints it.

    Raises:
        AccessError: It is something else, or its lists cannot be read.
    """
    top = _document(data, file)
    metadata = top.get("metadata")
    named = metadata.get("name") if isinstance(metadata, dict) else None
    if top.get("kind") != "ConfigMap" or named != NAME:
        raise AccessError(f"{file} is not the ConfigMap {NAME}")
    content = top.get("data") or {}
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise AccessError(f"{file}: its data is not a mapping of strings")
    return Current(
        entries={key: tuple(_listed(content.get(key, ""), key, file)) for key in _ARN_KEYS},
        accounts=content.get(_ACCOUNTS, ""),
    )


def config_map(
    cluster: ClusterSpec,
    current: Current | None,
    *,
    prunes: bool = False,
    given_up: frozenset[str] = frozenset(),
) -> ConfigMap:
    """The ConfigMap of a spec, with the mappings of the present one that it says nothing about.

    Args:
        cluster: Whose `spec.iam` is rendered.
        current: What is there now.
        prunes: Whether mappings of others go. Those of nodes stay; what only calls itself a node always goes.
        given_up: The ARNs, in lower case, that an earlier spec had: these are not others'.

    Raises:
        AccessError: The spec maps the role of nodes to somebody else, which would lock the nodes out.
    """
    remarks: list[str] = []
    if current is None:
        remarks.append(
            "no current ConfigMap was given: if nodes authenticate through aws-auth, applying this locks "
            "them out; give it with --current"
        )
    known = current or NO_CURRENT
    data: dict[str, Value] = {}
    for key, arn_key in _ARN_KEYS.items():
        wanted = _wanted(cluster.spec.iam, key)
        kept, said = _others(
            _unmapped(known.entries[key], wanted, arn_key), key, prunes=prunes, given_up=given_up
        )
        remarks += said
        entries = [*kept, *(wanted[arn] for arn in sorted(wanted))]
        if entries:
            data[key] = "".join(map(_listing, entries))
    if known.accounts.strip():
        # Nothing in the spec corresponds to it, so that nobody has asked here for it to go.
        data[_ACCOUNTS] = known.accounts
        remarks.append(f"{_ACCOUNTS} is kept: every IAM user of these accounts can authenticate")
    return ConfigMap(manifest=dump(_manifest(data)), remarks=tuple(remarks))


def _others(
    entries: Sequence[Mapping[str, Value]], key: str, *, prunes: bool, given_up: frozenset[str]
) -> tuple[list[Mapping[str, Value]], list[str]]:
    """Which of the entries that the spec says nothing about stay, and what is said of those of no node."""
    kept: list[Mapping[str, Value]] = []
    remarks: list[str] = []
    for entry in entries:
        arn = _arn(entry, _ARN_KEYS[key])
        # The mappings of nodes stay whatever is pruned: without them no node could come in.
        if key == _ROLES and _is_node(entry):
            kept.append(entry)
        elif arn.lower() in given_up:
            remarks.append(f"{arn} was taken out of the spec and is removed")
        elif prunes or not _is_of_somebody(entry, _ARN_KEYS[key]):
            remarks.append(_removed(entry, _ARN_KEYS[key]))
        else:
            kept.append(entry)
            remarks.append(_kept(entry, _ARN_KEYS[key]))
    return kept, remarks


def _manifest(data: Mapping[str, Value]) -> Mapping[str, Value]:
    """The ConfigMap that aws-iam-authenticator reads."""
    metadata: Mapping[str, Value] = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _unmapped(
    present: Sequence[Mapping[str, Value]], wanted: Mapping[str, Mapping[str, Value]], arn_key: str
) -> list[Mapping[str, Value]]:
    """The present entries that the spec says nothing about; refused where it would take a node's from it."""
    found = []
    for entry in present:
        replaced = wanted.get(_arn(entry, arn_key).lower())
        if replaced is None:
            found.append(entry)
        elif _is_node(entry) and not _claims_to_be_a_node(replaced):
            raise AccessError(
                f"spec.iam maps {_arn(entry, arn_key)}, which is the role of nodes: they would be locked out",
                hint="give people a role of their own",
            )
    return found


def _arn(entry: Mapping[str, Value], arn_key: str) -> str:
    return str(entry.get(arn_key, ""))


def _wanted(mappings: Sequence[IAMMapping], key: str) -> dict[str, Mapping[str, Value]]:
    """The spec's entries of one list, by the ARN as aws-iam-authenticator compares it, in lower case."""
    return {
        mapping.arn.lower(): _entry(mapping, _ARN_KEYS[key])
        for mapping in mappings
        if (":user/" in mapping.arn) == (key == _USERS)
    }


def _entry(mapping: IAMMapping, arn_key: str) -> Mapping[str, Value]:
    """One mapping as the ConfigMap has it; a role's ARN and a user's stand under different keys."""
    groups: list[Value] = list(dict.fromkeys(mapping.groups))
    return {arn_key: mapping.arn, "username": mapping.username, **({"groups": groups} if groups else {})}


def _is_node(entry: Mapping[str, Value]) -> bool:
    """Whether an entry is exactly a node's; anything more in it could grant more."""
    groups = entry.get("groups")
    if entry.keys() != {"rolearn", "username", "groups"} or not isinstance(groups, list | tuple):
        return False
    shape = (entry["username"], frozenset(map(str, groups)))
    return shape in _NODE_SHAPES and _ROLE.fullmatch(str(entry["rolearn"])) is not None


def _claims_to_be_a_node(entry: Mapping[str, Value]) -> bool:
    """Whether an entry lets kubelets in: the Node authorizer knows them by this group and user prefix."""
    groups = entry.get("groups")
    # Whatever it is, it must not hide the group: in a text any mention counts.
    in_group = _NODE_GROUP in (groups if isinstance(groups, list | tuple) else str(groups))
    return in_group or str(entry.get("username", "")).startswith(_NODE_USER)


def _is_of_somebody(entry: Mapping[str, Value], arn_key: str) -> bool:
    """Whether an entry is another person's or program's; one without ARN makes the whole list unreadable."""
    return bool(_arn(entry, arn_key)) and not _claims_to_be_a_node(entry)


def _kept(entry: Mapping[str, Value], arn_key: str) -> str:
    """What is said of an entry of others that stays."""
    groups = entry.get("groups")
    is_admin = isinstance(groups, list | tuple) and "system:masters" in groups
    grants = ", and grants every right (system:masters)" if is_admin else ""
    return f"{_arn(entry, arn_key)} is not in the spec{grants}: it is kept; --prune removes it"


def _removed(entry: Mapping[str, Value], arn_key: str) -> str:
    """What is said of an entry that is not kept."""
    arn = _arn(entry, arn_key) or "an entry without ARN"
    if not _claims_to_be_a_node(entry):
        return f"{arn} is not in the spec and is removed"
    groups = entry.get("groups")
    names = ", ".join(map(str, groups)) if isinstance(groups, list | tuple) and groups else "none"
    return (
        f"{arn} calls itself a node and is not mapped as nodes are (username {entry.get('username', '')}, "
        f"groups {names}): it is removed; if nodes do use this role, map it as EKS does before this is "
        "applied"
    )


def _listing(entry: Mapping[str, Value]) -> str:
    """An item of a YAML list: the ConfigMap's values are YAML texts themselves."""
    first, *rest = dump(entry).splitlines()
    return "".join(f"{line}\n" for line in (f"- {first}", *(f"  {line}" for line in rest)))


def _document(data: bytes, file: str) -> Mapping[str, Value]:
    """The one object of a file; raises `AccessError` where it is anything else."""
    documents = parse(data, file)
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise AccessError(f"{file} is not the ConfigMap {NAME}")
    return documents[0].value


def _listed(text: str, key: str, file: str) -> Iterator[Mapping[str, Value]]:
    """The mappings of one key, whose value is a text that is itself YAML (`pkg/mapper/configmap`).

    Raises:
        AccessError: It is not such a text.
    """
    documents = parse(text.encode(), f"{file}: {key}")
    content = documents[0].value if documents else []
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise AccessError(f"{file}: {key} is not a list of mappings")
    yield from content
