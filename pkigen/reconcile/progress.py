"""Who is told how far a long piece of work is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """Is told how far a long piece of work is."""

    def over(self, what: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """A piece of work of `total` steps, for as long as the context lasts; each step calls what it gives.

        Nothing of it stays on the screen after the context, however the work ends.
        """
        ...


class _Silence:
    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:  # noqa: ARG002 -- as the protocol
        """Nothing to say."""
        yield _nothing


def _nothing() -> None:
    """Take a step that nobody watches."""


SILENCE: Progress = _Silence()
"""Says nothing."""
