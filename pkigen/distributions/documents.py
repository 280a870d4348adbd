"""YAML documents of another distribution: read strictly, told of by file and line, without their secrets."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from pkigen.errors import AdoptionError, SpecError
from pkigen.records import dataclass
from pkigen.spec.yaml_nodes import MappingNode, SequenceNode, child
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.distributions.found import Source
    from pkigen.spec.yaml_nodes import YAMLNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A mapping in a file."""

    file: str
    node: MappingNode

    @property
    def place(self) -> str:
        """Where it begins, for messages."""
        return f"{self.file}:{self.node.line}"

    def text(self, *keys: str) -> str:
        """A text; empty where there is none."""
        found = child(self.node, *keys)
        return found.value if found is not None and isinstance(found.value, str) else ""

    def mapping(self, *keys: str) -> bool:
        """Whether a mapping with anything in it stands there."""
        found = child(self.node, *keys)
        return isinstance(found, MappingNode) and bool(found.entries)

    def number(self, *keys: str) -> int | None:
        """A number; None where there is none."""
        found = child(self.node, *keys)
        return found.value if found is not None and isinstance(found.value, int) else None

    def decoded(self, *keys: str) -> bytes:
        """What stands in base64; empty where nothing does.

        Raises:
            AdoptionError: It is none.
        """
        found = child(self.node, *keys)
        if found is None or found.value is None:
            return b""
        try:
            # Writers fold long lines, so that blanks go first; what else is no base64 is not passed over, as
            # it would be by default, because a key that loses a character silently is another key.
            return base64.b64decode("".join(self.text(*keys).split()), validate=True)
        except (binascii.Error, ValueError):
            raise AdoptionError(
                f"{self.file}:{found.line}:{found.column}: {'.'.join(keys)} is no base64",
                hint="copy the file again",
            ) from None


def documents(source: Source) -> Iterator[Document]:
    """Every document of every file, and of every List among them.

    Raises:
        AdoptionError: A file is no YAML, or is sealed.
    """
    # Sorted, so that the same files give the same answer, whatever order a tar has them in.
    for file, content in sorted(source.files.items()):
        try:
            found, problems = read_documents(content, file=file)
        except SpecError as error:
            raise AdoptionError(f"{error.problems[0]}", hint="give the YAML file alone") from None
        if problems:
            raise AdoptionError(f"{problems[0]}", hint="give the YAML file alone")
        for node in found:
            yield from _below(node, file)


def _below(node: YAMLNode, file: str) -> Iterator[Document]:
    if not isinstance(node, MappingNode):
        return
    # Sealed, it is YAML all the same, and its values would be taken for what they are not.
    if isinstance(child(node, "sops"), MappingNode):
        raise AdoptionError(
            f"{file} is sealed by SOPS",
            hint=f"`sops decrypt {file} | pkigen adopt --from … -`: then nothing that is open is on a disk",
        )
    # `kubectl get -o yaml` prints a List, whose kind nobody asks here.
    items = child(node, "items")
    if isinstance(items, SequenceNode):
        for each in items.items:
            yield from _below(each, file)
    else:
        yield Document(file=file, node=node)
