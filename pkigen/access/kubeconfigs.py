"""Kubeconfigs as client-go reads them (`clientcmd/api/v1/types.go`): loaded strictly, and assembled.

An entry keeps its fields as they were read, so that a merge does not change them.
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Mapping
from dataclasses import field
from pathlib import PurePath
from typing import TYPE_CHECKING

from pkigen.access.client_go_yaml import misread
from pkigen.access.yaml_text import Value, dump, parse
from pkigen.errors import AccessError
from pkigen.notation import base64_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Fields = Mapping[str, Value]

# In bytes: more than a thousand clusters and users with their certificates.
LARGEST_KUBECONFIG = 4 << 20


class Section(enum.StrEnum):
    """The three lists of a kubeconfig, by the key of an entry's content."""

    CLUSTER = "cluster"
    CONTEXT = "context"
    USER = "user"

    @property
    def key(self) -> str:
        """The list's key."""
        return f"{self}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEntry:
    """One named cluster, context or user; `origin` is the file that it came from."""

    name: str
    fields: Fields = field(repr=False)
    origin: PurePath

    def text(self, name: str) -> str:
        """A field's text; empty where it is not given."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """Whether a field is true."""
        return self.fields.get(name) is True

    def data(self, name: str) -> bytes:
        """A field's bytes, which stand in base64."""
        return base64.b64decode(self.text(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.fields.get(name)
        return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """A kubeconfig: its entries by section and name, and what else it holds.

    `unknown` are the paths of fields that kubectl ignores.
    """

    path: PurePath
    entries: Mapping[Section, Mapping[str, NamedEntry]]
    current_context: str = ""
    extensions: Mapping[str, Value] = field(default_factory=dict)
    preferences: Fields = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def find(self, section: Section, name: str) -> NamedEntry | None:
        """An entry by its name."""
        return self.entries[section].get(name)


class _Bad(Exception):  # noqa: N818 -- a finding on its way to becoming an AccessError
    pass


def load(data: bytes, path: PurePath) -> Kubeconfig:
    """Read a kubeconfig.

    Raises:
        AccessError: It is no YAML, no kubeconfig, says one thing twice, or means another thing to kubectl.
    """
    documents = parse(data, str(path))
    if len(documents) > 1:
        raise AccessError(f"{path} holds {len(documents)} YAML documents; a kubeconfig is one")
    # pkigen reads YAML 1.2, kubectl 1.1: what they read differently is refused.
    for node, meaning in misread(documents[0]) if documents else ():
        raise AccessError(
            f"{path}:{node.line}:{node.column}: kubectl reads {node.text[:40]} as {meaning}",
            hint="put it in quotes if it is text",
        )
    # A file without anything is a kubeconfig without anything (clientcmd Load).
    content = documents[0].value if documents else {}
    try:
        return _config(content, path)
    except _Bad as fault:
        raise AccessError(f"{path} is not a kubeconfig that kubectl reads: {fault}") from None


def _config(content: object, path: PurePath) -> Kubeconfig:
    """The content of a file as its three sections; Go's decoder takes null, an empty value, for none."""
    top = _mapping(content, "it")
    # clientcmd's Load takes both for given where they are left out.
    if top.get("kind", "Config") != "Config" or top.get("apiVersion", "v1") != "v1":
        raise _Bad("its kind is not Config in v1")
    unknown = [key for key in top if key not in _TOP]
    entries: dict[Section, Mapping[str, NamedEntry]] = {}
    for section in Section:
        found: dict[str, NamedEntry] = {}
        for name, fields in _named(top.get(section.key), section, section.key):
            unknown += _unknown_fields(name, fields, section)
            known = _known_fields(fields, section, f"{section} {name!r}")
            found[name] = NamedEntry(name=name, fields=known, origin=path)
        entries[section] = found
    return Kubeconfig(
        path=path,
        entries=entries,
        current_context=_text(top.get("current-context") or "", "current-context"),
        extensions=dict(_named(top.get("extensions"), "extension", "extensions", of=_anything)),
        preferences=_mapping(top.get("preferences") or {}, "preferences"),
        unknown=tuple(unknown),
    )


def _named(
    content: object,
    key: str,
    where: str,
    *,
    of: Callable[[object, str], Fields] | None = None,
) -> Iterator[tuple[str, Fields]]:
    """A list of named entries as pairs; client-go refuses two with one name, too (`api/v1/conversion.go`)."""
    read = of or _mapping
    if not isinstance(content or [], list):
        msg = f"{where} is not a list"
        raise _Bad(msg)
    seen: set[str] = set()
    for item in content or []:  # type: ignore[attr-defined]
        entry = _mapping(item, f"an entry of {where}")
        name = _text(entry.get("name") or "", f"a name in {where}")
        if name in seen:
            msg = f"{where} has the name {name!r} twice"
            raise _Bad(msg)
        seen.add(name)
        yield name, read(entry.get(key) or {}, f"{where}[{name}]")


def _anything(content: object, _where: str) -> Fields:
    return content  # type: ignore[return-value]


def _mapping(content: object, where: str) -> Fields:
    """A mapping, or `_Bad` with a sentence that names the place and no value."""
    if not isinstance(content, dict):
        msg = f"{where} is not a mapping"
        raise _Bad(msg)
    return content


def _text(value: object, where: str) -> str:
    """A text, likewise."""
    if not isinstance(value, str):
        msg = f"{where} is not a string"
        raise _Bad(msg)
    return value


def _known_fields(fields: Fields, section: Section, where: str) -> Fields:
    """The fields that kubectl reads, each of its type: with one of another type it reads nothing at all."""
    result: dict[str, Value] = {}
    for key, value in fields.items():
        if key not in _FIELDS[section] or value is None:
            continue  # Go's decoder takes null for "not given"
        _FIELDS[section][key](value, f"{key} of {where}")
        result[key] = value
    return result


def _unknown_fields(name: str, fields: Fields, section: Section) -> Iterator[str]:
    """The paths of fields that kubectl drops in silence: most are misspelt."""
    return (f"{section.key}[{name}].{key}" for key in fields if key not in _FIELDS[section])


def _require_text(value: object, where: str) -> None:
    _text(value, where)


def _require_flag(value: object, where: str) -> None:
    """Refuse what is not `true` or `false`: client-go does not take words for them."""
    if not isinstance(value, bool):
        msg = f"{where} is neither true nor false"
        raise _Bad(msg)


def _require_data(value: object, where: str) -> None:
    """Standard base64 in one line or several: Go's decoder skips line breaks (`encoding/base64`)."""
    try:
        base64.b64decode(_text(value, where).replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        msg = f"{where} is not base64"
        raise _Bad(msg) from None


def _require_texts(value: object, where: str) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        msg = f"{where} is not a list of strings"
        raise _Bad(msg)


def _require_mapping(value: object, where: str) -> None:
    _mapping(value, where)


def _require_list(value: object, where: str) -> None:
    if not isinstance(value, list):
        msg = f"{where} is not a list"
        raise _Bad(msg)


# The JSON names of clientcmd/api/v1/types.go: Config, Cluster, Context, AuthInfo.
_TOP = frozenset(
    {"apiVersion", "kind", "clusters", "contexts", "users", "current-context", "preferences", "extensions"}
)
_FIELDS: dict[Section, dict[str, Callable[[object, str], None]]] = {
    Section.CLUSTER: {
        "server": _require_text,
        "tls-server-name": _require_text,
        "insecure-skip-tls-verify": _require_flag,
        "certificate-authority": _require_text,
        "certificate-authority-data": _require_data,
        "proxy-url": _require_text,
        "disable-compression": _require_flag,
        "extensions": _require_list,
    },
    Section.CONTEXT: {
        "cluster": _require_text,
        "user": _require_text,
        "namespace": _require_text,
        "extensions": _require_list,
    },
    Section.USER: {
        "client-certificate": _require_text,
        "client-certificate-data": _require_data,
        "client-key": _require_text,
        "client-key-data": _require_data,
        "token": _require_text,
        "tokenFile": _require_text,
        "as": _require_text,
        "as-uid": _require_text,
        "as-groups": _require_texts,
        "as-user-extra": _require_mapping,
        "username": _require_text,
        "password": _require_text,
        "auth-provider": _require_mapping,
        "exec": _require_mapping,
        "extensions": _require_list,
    },
}


def encode(config: Kubeconfig) -> str:
    """A kubeconfig as kubectl writes it: entries and keys sorted."""
    content: dict[str, Value] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": config.current_context,
    }
    for section in Section:
        content[section.key] = [
            {"name": name, section: entry.fields} for name, entry in sorted(config.entries[section].items())
        ]
    if config.preferences:
        content["preferences"] = config.preferences
    if config.extensions:
        content["extensions"] = [
            {"name": name, "extension": value} for name, value in sorted(config.extensions.items())
        ]
    return dump(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a cluster is, and how somebody works there; what `assemble` makes a kubeconfig of."""

    cluster: str
    server: str
    trust_bundle: bytes
    user: str
    namespace: str | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None


def assemble(access: Access, credential: Fields) -> str:
    """A kubeconfig of one cluster and one user, with the names that kubeadm gives them."""
    cluster: dict[str, Value] = {
        "certificate-authority-data": base64_text(access.trust_bundle),
        "server": access.server,
    }
    if access.tls_server_name is not None:
        cluster["tls-server-name"] = access.tls_server_name
    if access.proxy_url is not None:
        cluster["proxy-url"] = access.proxy_url
    context: dict[str, Value] = {"cluster": access.cluster, "user": access.user}
    if access.namespace is not None:
        context["namespace"] = access.namespace
    # The context's name as kubeadm forms it (cmd/kubeadm/app/util/kubeconfig).
    name, here = f"{access.user}@{access.cluster}", PurePath()
    entries = {
        Section.CLUSTER: {access.cluster: NamedEntry(name=access.cluster, fields=cluster, origin=here)},
        Section.CONTEXT: {name: NamedEntry(name=name, fields=context, origin=here)},
        Section.USER: {access.user: NamedEntry(name=access.user, fields=credential, origin=here)},
    }
    return encode(Kubeconfig(path=here, entries=entries, current_context=name))
