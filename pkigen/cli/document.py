"""A command's result as a document, for those that say it in sentences otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pkigen.cli.console import said_aside, say
from pkigen.cli.options import Format

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def document(output: Format) -> Iterator[dict[str, Any]]:
    """The document that the block fills; it is printed at its end, and what the block says goes beside it.

    As text, the block says the result itself, and the document is not used. A block that fails prints none.
    """
    content: dict[str, Any] = {}
    if output is Format.TEXT:
        yield content
        return
    with said_aside():
        yield content
    from pkigen.cli.reports import structured  # noqa: PLC0415 -- only these forms pay for it

    # Only now, and not in a `finally`: half of a document would be taken for all of it.
    say(structured.dump(content, output))
