"""Kubeconfigs as client-go reads them (`clientcmd/api/v1/types.go`): loaded strictly, and assembled.

An entry keeps its fields as they were read, so that a merge does not change them.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping
from dataclasses import field
from pathlib import PurePath
from typing import TYPE_CHECKING

from pkigen.access import kubeconfig_fields as fields
from pkigen.access.client_go_yaml import misread
from pkigen.access.kubeconfig_fields import BadField
from pkigen.access.yaml_text import Value, dump, parse
from pkigen.errors import AccessError
from pkigen.notation import base64_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    except BadField as fault:
        raise AccessError(f"{path} is not a kubeconfig that kubectl reads: {fault}") from None


def _config(content: object, path: PurePath) -> Kubeconfig:
    """The content of a file as its three sections; Go's decoder takes null for none."""
    top = fields.mapping(content, "it")
    # clientcmd's Load takes both for given where they are left out.
    kind, version = (fields.text_or_nothing(top.get(key), key) for key in ("kind", "apiVersion"))
    if kind not in {"", "Config"} or version not in {"", "v1"}:
        raise BadField("its kind is not Config in v1")
    unknown = [key for key in top if key not in fields.TOP]
    entries: dict[Section, Mapping[str, NamedEntry]] = {}
    for section in Section:
        found: dict[str, NamedEntry] = {}
        listed = fields.named(top.get(section.key), section, section.key, of=fields.mapping_or_nothing)
        for name, content_of in listed.items():
            unknown += _unknown_fields(name, content_of, section)
            known = _known_fields(content_of, section, f"{section} {name!r}")
            found[name] = NamedEntry(name=name, fields=known, origin=path)
        entries[section] = found
    preferences = fields.mapping_or_nothing(top.get("preferences"), "preferences")
    fields.require_preferences(preferences, "preferences")
    return Kubeconfig(
        path=path,
        entries=entries,
        current_context=fields.text_or_nothing(top.get("current-context"), "current-context"),
        extensions=fields.named(top.get("extensions"), "extension", "extensions", of=fields.anything),
        preferences=preferences,
        unknown=tuple(unknown),
    )


def _known_fields(content: Fields, section: Section, where: str) -> Fields:
    """The fields that kubectl reads, each of its type: with one of another type it reads nothing at all."""
    result: dict[str, Value] = {}
    for key, value in content.items():
        if key not in _FIELDS[section] or value is None:
            continue  # Go's decoder takes null for "not given"
        _FIELDS[section][key](value, f"{key} of {where}")
        result[key] = value
    return result


def _unknown_fields(name: str, content: Fields, section: Section) -> Iterator[str]:
    """The paths of fields that kubectl drops in silence: most are misspelt."""
    return (f"{section.key}[{name}].{key}" for key in content if key not in _FIELDS[section])


_FIELDS = {Section.CLUSTER: fields.CLUSTER, Section.CONTEXT: fields.CONTEXT, Section.USER: fields.USER}


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
