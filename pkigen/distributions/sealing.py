"""What is exported, sealed for age recipients: documents value by value as SOPS does, other files whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.access.yaml_text import dump
from pkigen.crypto.age import armored, close_for
from pkigen.crypto.sops import sealed_documents
from pkigen.distributions.exported import ExportedFile
from pkigen.spec.yaml_nodes import MappingNode
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pkigen.crypto.age import Recipient
    from pkigen.crypto.issuance import Entropy

_OF_SECRETS: Final = "^(data|stringData)$"
"""What is secret of a Secret; tools that apply it have to read the rest."""


def sealed(
    file: ExportedFile, recipients: Sequence[Recipient], *, now: datetime, entropy: Entropy
) -> ExportedFile:
    """A file that only the recipients can open; one without secrets stays as it is."""
    if not file.is_secret:
        return file
    if not file.path.endswith(".yaml"):
        # Armored, so that it may be pasted and mailed like the PEM that it holds.
        content = armored(close_for(recipients, file.content))
        # No secret any more: sealed files may be in Git, and readable.
        return ExportedFile(path=f"{file.path}.age", content=content.encode(), is_secret=False)
    nodes, _ = read_documents(file.content, file=file.path)
    values = [each.value for each in nodes if isinstance(each, MappingNode)]
    # Talos' and k8s-snap's files are no Kubernetes objects: there every value is sealed.
    is_of_secrets = all(each.get("kind") == "Secret" for each in values)
    found = sealed_documents(
        values, recipients, only=_OF_SECRETS if is_of_secrets else "", now=now, entropy=entropy
    )
    path = f"{file.path.removesuffix('.yaml')}.sops.yaml"
    text = "---\n".join(map(dump, found))  # type: ignore[arg-type]
    return ExportedFile(path=path, content=text.encode(), is_secret=False)
