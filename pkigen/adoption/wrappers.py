"""Programs that start a component instead of being one: a shell, an init, something that writes a log."""

from __future__ import annotations

import posixpath
import shlex
from itertools import takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pkigen.desired.readers import ComponentName

_SHELLS: Final = frozenset({"sh", "ash", "bash", "dash"})
# go-runner is in the images of Kubernetes itself (kubernetes/release, images/build/go-runner).
_OTHERS: Final = frozenset({"dumb-init", "env", "go-runner", "nice", "systemd-run", "tini"})
_MARKS: Final = "();<>|&"
"""What ends a command of a shell, each a word of its own."""


def unwrapped(words: Sequence[str], components: Sequence[ComponentName]) -> list[str]:
    """The words of a component's own command line, where something else starts it.

    Args:
        words: A whole command line.
        components: The programs to be found in it.

    Returns:
        From the component's program on, without what a shell is to do after it; `words` where it starts none.
    """
    found = list(words)
    if found and posixpath.basename(found[0]) in _SHELLS:
        found = _script(found[1:])
    elif not found or posixpath.basename(found[0]) not in _OTHERS:
        return found
    # The first word that is a component's program: what stands before it are the wrapper's own options.
    starts = (number for number, word in enumerate(found) if posixpath.basename(word) in components)
    first = next(starts, None)
    if first is None:
        return list(words)
    # An empty word is an argument, though its set of characters is in every other set.
    return list(takewhile(lambda word: not word or not set(word) <= set(_MARKS), found[first:]))


def _script(words: Sequence[str]) -> list[str]:
    """The words of what `sh -c` is given; none for a shell that runs a file."""
    given = iter(words)
    for word in given:
        # Also in a cluster of them, as in `-ec`.
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return _lexed(next(given, ""))
    return []


def _lexed(script: str) -> list[str]:
    lines = script.replace("\\\n", " ").replace("\n", " ; ")
    lexer = shlex.shlex(lines, posix=True, punctuation_chars=_MARKS)
    # Otherwise a word ends at `,` and `:`, which values of flags have.
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return []
