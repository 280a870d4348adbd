"""What can be said of a CEL expression without compiling it.

Only the API server compiles expressions, with its own functions and types. Here they are split into what is
code and what is a string or a comment (cel-spec doc/langdef.md, "Lexis"), which is enough to see a quote or a
bracket that is not closed, and which claims an expression names.
"""

from __future__ import annotations

import re
from typing import Final

_STRING: Final = re.compile(
    r"""(?P<raw>[bB]?[rR][bB]?)?(?:
        \"\"\"(?(raw)(?:.|\n)*?|(?:\\.|[^\\])*?)\"\"\"
      | '''(?(raw)(?:.|\n)*?|(?:\\.|[^\\])*?)'''
      | "(?(raw)[^"\n]*|(?:\\.|[^"\\\n])*)"
      | '(?(raw)[^'\n]*|(?:\\.|[^'\\\n])*)'
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"//[^\n]*")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|.", re.DOTALL)
# apiserver pkg/authentication/cel/compile.go: of users there is one variable, of tokens the other.
_VARIABLES: Final = ("claims", "user")
_CLOSED_BY: Final = {"(": ")", "[": "]", "{": "}"}


def code_of(expression: str) -> str:
    """The expression with every string as "" and without comments."""
    found: list[str] = []
    place = 0
    while place < len(expression):
        string = _STRING.match(expression, place)
        comment = _COMMENT.match(expression, place)
        other = _WORD.match(expression, place)
        # In this order: `//` within a string is text, and a quote within a comment opens none.
        match = string or comment or other
        if match is None:  # pragma: no cover -- `_WORD` takes any character
            break
        found.append('""' if string else "" if comment else match[0])
        place = match.end()
    return "".join(found)


def fault(expression: str, variable: str) -> str | None:
    """An open quote or bracket, or another variable than there is; None says nothing of the rest."""
    if not expression.strip():
        return "is empty"
    open_one = _open(code_of(expression))
    if open_one is not None:
        return open_one
    other = next((name for name in _VARIABLES if name != variable and _selects_from(expression, name)), None)
    return f"uses {other}, and only {variable} is there" if other is not None else None


def _open(code: str) -> str | None:
    """A quote or a bracket that is not closed, or was never opened."""
    awaited: list[str] = []
    # Strings that are closed are `""` by now: a quote that is left is not.
    for character in code.replace('""', ""):
        if character in "\"'":
            return "has a quote that is not closed"
        if character in _CLOSED_BY:
            awaited.append(_CLOSED_BY[character])
        elif character in _CLOSED_BY.values() and (not awaited or awaited.pop() != character):
            return f"has a {character} that nothing opens"
    return f"lacks a {awaited[-1]}" if awaited else None


def _selects_from(expression: str, name: str) -> bool:
    """Whether an expression selects of a variable, and no macro (`exists(name, …)`) has made it."""
    code = code_of(expression)
    is_own = re.search(rf"[(,]\s*{name}\s*,", code) is not None
    return not is_own and re.search(rf"(?<![\w.?]){name}\s*[.\[]", code) is not None


def names_claim(expression: str, claim: str) -> bool:
    """Whether an expression selects a claim by name: `claims.email`, or `claims.?email`."""
    return (
        re.search(rf"(?<![\w.])claims\s*\.\s*\??\s*{re.escape(claim)}(?!\w)", code_of(expression)) is not None
    )
