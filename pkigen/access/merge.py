"""Merging kubeconfigs, with the precedence of client-go (`tools/clientcmd/loader.go` Load)."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from pkigen.access.collisions import CollisionError, disambiguated
from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry, Section
from pkigen.errors import AccessError
from pkigen.notation import base64_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkigen.access.yaml_text import Value

_PATHS = {
    Section.CLUSTER: ("certificate-authority",),
    Section.CONTEXT: (),
    Section.USER: ("client-certificate", "client-key", "tokenFile"),
}
_EMBEDDED = {
    "certificate-authority": ("certificate", rb"CERTIFICATE"),
    "client-certificate": ("certificate", rb"CERTIFICATE"),
    "client-key": ("private key", rb"(?:(?:RSA |EC )?PRIVATE KEY|EC PARAMETERS)"),
}
"""What is taken from the file that a field names: blocks of PEM with these labels, and nothing else of it."""
_PROGRAMS = ("exec", "auth-provider")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Several kubeconfigs as one, and warnings about what the merge hides."""

    config: Kubeconfig
    remarks: tuple[str, ...]


class Precedence(enum.Enum):
    """What becomes of a name that means something else in a later file."""

    REFUSED = enum.auto()
    RENAMED = enum.auto()
    FIRST_WINS = enum.auto()


def unambiguous(configs: Sequence[Kubeconfig], precedence: Precedence) -> Merged:
    """Several kubeconfigs as one, of which nothing is lost but where that is asked for.

    Args:
        configs: The kubeconfigs, the one that takes precedence first.
        precedence: What becomes of names that mean more than one thing.

    Raises:
        CollisionError: A name means more than one thing.
    """
    if precedence is Precedence.FIRST_WINS:
        return merge(configs)
    found = disambiguated(configs, _resolved)
    if found.collisions and precedence is Precedence.REFUSED:
        raise CollisionError(found.collisions)
    merged = merge(found.configs)
    renamed = tuple(f"{each}: it is {each.free_name!r} now" for each in found.collisions)
    return replace(merged, remarks=(*renamed, *merged.remarks))


def merge(configs: Sequence[Kubeconfig]) -> Merged:
    """The first file that has a name decides what it means, whole; paths become absolute.

    Args:
        configs: The kubeconfigs, the one that takes precedence first.
    """
    entries: dict[Section, dict[str, NamedEntry]] = {section: {} for section in Section}
    remarks: list[str] = []
    for config in configs:
        remarks += _added(config, entries)
        remarks += _changed_meanings(config, entries)
    current = next((config.current_context for config in configs if config.current_context), "")
    if current and current not in entries[Section.CONTEXT]:
        remarks.append(f"the current context {current!r} is in none of the files")
    # From the last file to the first, so that here, too, the first decides.
    extensions: dict[str, Value] = {}
    preferences: dict[str, Value] = {}
    for config in reversed(configs):
        extensions |= config.extensions
        preferences |= config.preferences
    merged = Kubeconfig(
        path=PurePath(),
        entries=entries,
        current_context=current,
        extensions=extensions,
        preferences=preferences,
    )
    return Merged(config=merged, remarks=tuple(dict.fromkeys((*remarks, *_dangling(merged)))))


def _added(config: Kubeconfig, entries: dict[Section, dict[str, NamedEntry]]) -> Iterator[str]:
    """Put what is new in a file to the entries of those before it, and tell what is lost of the rest."""
    for path in config.unknown:
        yield f"{config.path}: {path} is not understood by kubectl and left out"
    for section in Section:
        for name, entry in config.entries[section].items():
            resolved = _resolved(entry, section)
            first = entries[section].setdefault(name, resolved)
            if first is not resolved and first.fields != resolved.fields:
                yield _conflict(section, first, resolved)


def programs(config: Kubeconfig) -> Iterator[str]:
    """Every user whose credential comes from a program that kubectl runs."""
    for entry in config.entries[Section.USER].values():
        for key in _PROGRAMS:
            if entry.fields.get(key):
                yield f"the user {entry.name!r} of {entry.origin} runs a program ({key})"


def flattened(config: Kubeconfig, read: Callable[[Path], bytes]) -> Kubeconfig:
    """The same with the certificates and keys of files in it, as `kubectl config view --flatten`.

    A kubeconfig can name any file, and its author is seldom who may read it: what is no certificate or key
    does not get into the result.

    Raises:
        AccessError: A file cannot be read, holds nothing of the kind, or stands beside its own content.
    """

    def embed(section: Section, entry: NamedEntry) -> NamedEntry:
        fields = dict(entry.fields)
        for key in _PATHS[section]:
            path = entry.text(key)
            if key not in _EMBEDDED or not path:
                continue
            if entry.text(f"{key}-data"):
                raise AccessError(
                    f"the {section} {entry.name!r} of {entry.origin} has both {key} and its data"
                )
            fields[f"{key}-data"] = base64_text(
                _blocks(read(Path(path)), key, path, f"{section} {entry.name!r}")
            )
            del fields[key]
        return replace(entry, fields=fields)

    return _each(config, embed)


def _blocks(content: bytes, key: str, path: str, whose: str) -> bytes:
    """The certificates or the key of a file that a kubeconfig names; raises `AccessError` for other files."""
    what, label = _EMBEDDED[key]
    # Only the kind of block that the field is for: a kubeconfig of somebody else's may name any file, and
    # what is embedded is handed on.
    block = rb"-----BEGIN (%b)-----[ \t]*\r?\n[A-Za-z0-9+/=\s]+?-----END \1-----[ \t]*(?:\r?\n|\Z)" % label
    found = b"".join(match[0] for match in re.finditer(block, content))
    # EC PARAMETERS alone are no key.
    if what.encode().upper() not in found:
        raise AccessError(
            f"{path}, which the {whose} names as its {key}, holds no {what} in PEM",
            hint="nothing of it was used: check who has written this kubeconfig",
        )
    return found


def relative_to(config: Kubeconfig, directory: Path) -> Kubeconfig:
    """The same for a file in `directory`: paths below it are written relative, as kubectl writes them."""

    def shortened(path: str) -> str:
        # Not with `..`, though client-go would resolve it: what lies beside a file is rarely moved along
        # with it.
        if os.pardir in Path(path).parts or not Path(path).is_relative_to(directory):
            return path
        return str(Path(path).relative_to(directory))

    def program(path: str) -> str:
        short = shortened(path)
        # A name alone would be looked up in PATH.
        return short if os.sep in short else f"{os.curdir}{os.sep}{short}"

    return _each(config, lambda section, entry: _with_paths(entry, section, of=shortened, of_program=program))


def _each(config: Kubeconfig, change: Callable[[Section, NamedEntry], NamedEntry]) -> Kubeconfig:
    """A kubeconfig with every entry changed."""
    entries = {
        section: {name: change(section, entry) for name, entry in config.entries[section].items()}
        for section in Section
    }
    return replace(config, entries=entries)


def _resolved(entry: NamedEntry, section: Section) -> NamedEntry:
    """A relative path is meant from the directory of its kubeconfig (loader.go ResolveLocalPaths)."""
    # Where a file comes from may be told from where the command was run.
    base = Path.cwd() / entry.origin.parent

    def absolute(path: str) -> str:
        # As Go's filepath.Join, links stay what they are; what is absolute already leads where it led.
        return path if Path(path).is_absolute() else os.path.normpath(base / path)

    return _with_paths(entry, section, of=absolute, of_program=absolute)


def _with_paths(
    entry: NamedEntry, section: Section, *, of: Callable[[str], str], of_program: Callable[[str], str]
) -> NamedEntry:
    """The same entry with other paths of files and of a program (loader.go GetAuthInfoFileReferences)."""
    fields = dict(entry.fields)
    for key in _PATHS[section]:
        if entry.text(key):
            fields[key] = of(entry.text(key))
    program = fields.get("exec")
    command = program.get("command") if isinstance(program, Mapping) else None
    # What has no separator is looked up in PATH, and stays so.
    if isinstance(program, Mapping) and isinstance(command, str) and os.sep in command:
        fields["exec"] = {**program, "command": of_program(command)}
    return replace(entry, fields=fields)


def _conflict(section: Section, first: NamedEntry, other: NamedEntry) -> str:
    """A sentence about two entries of one name: the first counts, as with kubectl."""
    different = sorted(
        key
        for key in first.fields.keys() | other.fields.keys()
        if first.fields.get(key) != other.fields.get(key)
    )
    return (
        f"the {section} {first.name!r} is different in {first.origin} and {other.origin} "
        f"({', '.join(different)}): {first.origin} takes precedence"
    )


def _changed_meanings(config: Kubeconfig, entries: dict[Section, dict[str, NamedEntry]]) -> Iterator[str]:
    """A context whose cluster or user another file decides: what it opens is not what its author meant."""
    for name, context in config.entries[Section.CONTEXT].items():
        # The context of this name is another file's, so what this one means counts nowhere.
        if entries[Section.CONTEXT][name].origin != context.origin:
            continue
        for section in (Section.CLUSTER, Section.USER):
            own = config.find(section, context.text(section))
            used = entries[section].get(context.text(section))
            if own is not None and used is not None and used.fields != _resolved(own, section).fields:
                yield (
                    f"the context {name!r} of {context.origin} now refers to the {section} {used.name!r} of "
                    f"{used.origin}: rename one of them"
                )


def _dangling(config: Kubeconfig) -> Iterator[str]:
    """What kubectl would only say once the context is used (clientcmd's `validateContext`)."""
    for context in config.entries[Section.CONTEXT].values():
        for section in (Section.CLUSTER, Section.USER):
            name = context.text(section)
            if name not in config.entries[section]:
                yield f"the context {context.name!r} names the {section} {name!r}, which no file has"
