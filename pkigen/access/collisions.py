"""Names that mean one thing in one kubeconfig and another in the next: what a merge would lose.

kubectl lets the first file decide, in silence. Where all clusters are called `kubernetes`, that is all of the
second file: its context then opens the first one's cluster.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry, Section
from pkigen.errors import AccessError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import PurePath

    Resolve = Callable[[NamedEntry, Section], NamedEntry]

_ORDER = (Section.CLUSTER, Section.USER, Section.CONTEXT)  # a context refers to the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """A name that stands for something else in an earlier file, and one that is free."""

    section: Section
    name: str
    free_name: str
    first: PurePath
    origin: PurePath

    def __str__(self) -> str:
        return f"the {self.section} {self.name!r} of {self.origin} is another one than that of {self.first}"


class CollisionError(AccessError):
    """Kubeconfigs give one name to several things."""

    def __init__(self, collisions: Sequence[Collision]) -> None:
        count = len(collisions)
        super().__init__(
            f"{count} name{' collides' if count == 1 else 's collide'}, the first: {collisions[0]}",
            hint="with --rename, what later files mean gets a name of its own; with --first-wins it is lost",
        )
        self.collisions = tuple(collisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disambiguation:
    """Kubeconfigs in which no name means two things, and what had to be renamed for that."""

    configs: tuple[Kubeconfig, ...]
    collisions: tuple[Collision, ...]


def disambiguated(configs: Sequence[Kubeconfig], resolve: Resolve) -> Disambiguation:
    """Give what a merge would lose a name of its own: the old one with a number behind it.

    Args:
        configs: The kubeconfigs, the one that keeps all of its names first.
        resolve: Makes an entry independent of the directory of its file.
    """
    names = _Names(configs, resolve)
    return Disambiguation(
        configs=tuple(names.taken_up(config) for config in configs), collisions=tuple(names.collisions)
    )


class _Names:
    """The names that files have given so far, and what each stands for."""

    def __init__(self, configs: Sequence[Kubeconfig], resolve: Resolve) -> None:
        # The names of all files at once, so that no new name takes one that a later file has.
        self._used = {
            section: {name for each in configs for name in each.entries[section]} for section in _ORDER
        }
        self._meanings: dict[Section, dict[str, NamedEntry]] = {section: {} for section in _ORDER}
        self._resolve = resolve
        self.collisions: list[Collision] = []

    def taken_up(self, config: Kubeconfig) -> Kubeconfig:
        """The next file, with other names where its own stand for something else already."""
        renamed: dict[Section, dict[str, str]] = {section: {} for section in _ORDER}
        entries: dict[Section, dict[str, NamedEntry]] = {section: {} for section in Section}
        for section in _ORDER:
            for name, entry in config.entries[section].items():
                meant = _referring(entry, renamed) if section is Section.CONTEXT else entry
                named = self._named(section, meant)
                if named.name != name:
                    renamed[section][name] = named.name
                entries[section][named.name] = named
        current = renamed[Section.CONTEXT].get(config.current_context, config.current_context)
        return replace(config, entries=entries, current_context=current)

    def _named(self, section: Section, entry: NamedEntry) -> NamedEntry:
        """The entry under the first name that is free, or that stands for the very same."""
        meanings, fields = self._meanings[section], self._resolve(entry, section).fields
        for name in self._candidates(section, entry.name):
            # The same entry in two files is no collision: merging a file with itself changes nothing.
            known = meanings.get(name)
            if known is None or known.fields == fields:
                break
        if name != entry.name:
            self.collisions.append(
                Collision(
                    section=section,
                    name=entry.name,
                    free_name=name,
                    first=meanings[entry.name].origin,
                    origin=entry.origin,
                )
            )
        # The first one's: under this name only the very same comes after it.
        named = replace(entry, name=name)
        self._used[section].add(name)
        meanings.setdefault(name, replace(named, fields=fields))
        return named

    def _candidates(self, section: Section, name: str) -> Iterator[str]:
        yield name
        for number in itertools.count(2):
            candidate = f"{name}-{number}"
            # A name that was given to something may stand for the very same; `_named` compares.
            if candidate not in self._used[section] or candidate in self._meanings[section]:
                yield candidate


def _referring(context: NamedEntry, renamed: Mapping[Section, Mapping[str, str]]) -> NamedEntry:
    """A context with the new names of what it refers to in its own file."""
    changed = {
        str(section): renamed[section][context.text(section)]
        for section in (Section.CLUSTER, Section.USER)
        if context.text(section) in renamed[section]
    }
    return replace(context, fields={**context.fields, **changed})
