"""How rendered files are read: YAML, environment files and units, as strictly as their programs at least."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

# libyaml where PyYAML was built with it: a cluster has thousands of files.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ASSIGNMENT = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\n', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEPT_BACKSLASH = '"\\$`'


class Mismatch(Exception):  # noqa: N818 -- a finding on its way to becoming a TemplateError
    """What is wrong with the text, without any of its values."""


def documents(text: str) -> list[Any]:
    """Every document of a YAML text; a key that stands twice is refused, where PyYAML would keep the last."""
    loader = _Loader(text)
    result = []
    try:
        while loader.check_node():
            node = loader.get_node()
            # Before it is constructed: of two keys only the last is left then.
            _refuse_repeats(node)
            result.append(loader.construct_document(node))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1} of the result" if mark else ""
        msg = f"it does not render YAML{where}"
        raise Mismatch(msg) from None
    finally:
        loader.dispose()
    return result


def _refuse_repeats(node: yaml.Node) -> None:
    """Of a key that stands twice, PyYAML would keep the last without a word."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                msg = f"a key is given twice, line {key.start_mark.line + 1} of the result"
                raise Mismatch(msg)
            seen.add(name)
            _refuse_repeats(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeats(value)


def environment(text: str) -> dict[str, list[str]]:
    """The variables of an environment file, each split into arguments as systemd does it.

    The subset that pkigen writes: NAME="…" with escapes, comments and empty lines.
    """
    result: dict[str, list[str]] = {}
    position = 0
    while position < len(text):
        if text[position] in "#\n":
            # `find` gives -1 where the text ends with the comment: all of it is read then.
            position = text.find("\n", position) + 1 or len(text)
            continue
        match = _ASSIGNMENT.match(text, position)
        # Of a variable that is set twice systemd takes the last one: a template could hide it below.
        if match is None or match[1] in result:
            raise Mismatch('it does not render an environment file of the form NAME="…", each name once')
        result[match[1]] = list(_arguments(_ESCAPE.sub(_unescaped, match[2])))
        position = match.end()
    return result


def _unescaped(match: re.Match[str]) -> str:
    """A backslash counts before few characters, and joins lines (systemd.exec(5), EnvironmentFile=)."""
    if match[1] == "\n":
        return ""
    return match[1] if match[1] in _KEPT_BACKSLASH else match[0]


def _arguments(value: str) -> Iterator[str]:
    """Split at white space outside of quotes; a backslash takes the next character as it is."""
    word: list[str] = []
    begun, quote = False, ""
    # An iterator, so that a backslash can take the next character along.
    characters = iter(value)
    for character in characters:
        if not quote and character in " \t\n\r":
            if begun:
                yield "".join(word)
            word, begun = [], False
            continue
        begun = True
        if character == "\\":
            word.append(next(characters, ""))
        elif character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        else:
            word.append(character)
    if begun:
        yield "".join(word)


def unit_settings(text: str) -> Iterator[tuple[str, str, str]]:
    """Section, key and value of every setting of a unit file."""
    section = ""
    # A backslash at the end of a line continues it (systemd.syntax(7)).
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith(("#", ";")):
            key, separator, value = line.partition("=")
            if not separator or not section:
                raise Mismatch("it renders a line that is not a setting of a unit file")
            yield section, key.strip(), value.strip()
