"""How one value becomes text in each output language, so that it can never become more than one value.

Every expression of a template passes through one of these functions (`Environment.finalize`). Only text that
a quoting function or a macro made, `Rendered`, passes untouched; whatever else is done to such text turns it
back into `str`, which is quoted again. So a template author who forgets quoting still cannot let a value add
a line, a key or an argument.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_SCALARS = (str, int, IPv4Address, IPv6Address, IPv4Network, IPv6Network)

# What every YAML 1.1 and 1.2 reader takes as a string without quotes, also inside [ ] and { }: a word that
# begins with a letter, a dotted IPv4 address, or a Kubernetes quantity. The rest is quoted.
_YAML_WORD = re.compile(r"[A-Za-z/_](?:[A-Za-z0-9/_.@:+=-]*[A-Za-z0-9/_.@+=-])?")
_YAML_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,3}|:\d{1,5})?")
_YAML_QUANTITY = re.compile(r"\d{1,9}(?:m|Mi)")
# The same outside of [ ] and { }, where flags look as kubeadm writes them.
_YAML_BLOCK_WORD = re.compile(r"(?:--)?[A-Za-z/_](?:[A-Za-z0-9/_.@:+=,*\[\]-]*[A-Za-z0-9/_.@+=,*\[\]-])?")
# YAML 1.1 reads these as booleans and nulls, in several spellings (yaml.org/type/bool.html, null.html).
_YAML_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

# RFC 7468 3: base64 and the lines around it; none of these characters ends a block or a document.
_PEM_LINE = re.compile(r"[A-Za-z0-9+/=]+|-----(?:BEGIN|END) [A-Z0-9 ]+-----")

# UTF-8 cannot hold one (RFC 3629 3).
_SURROGATE = re.compile("[\ud800-\udfff]")
_SYSTEMD_WORD = re.compile(r"[A-Za-z0-9/_.@:+=,-]+")
_ARGUMENT_WORD = re.compile(r"[A-Za-z0-9/_.@:+=,*\[\]%-]+")
_ESCAPED_IN_WORD = re.compile(r'(["\\])')
_ESCAPED_IN_ENVIRONMENT = re.compile(r'(["\\$`])')


class Rendered(str):
    """Text in the output's own language; every other string is a value and gets quoted."""

    __slots__ = ()


def text_of(value: object) -> str:
    """The text of a scalar; anything that is not one is refused.

    Raises:
        TypeError: The value is no scalar.
        ValueError: The text cannot be encoded.
    """
    if not isinstance(value, _SCALARS):
        msg = f"a {type(value).__name__} is not a scalar"
        raise TypeError(msg)
    text = str(value)
    if _SURROGATE.search(text):
        raise ValueError("a value contains a lone surrogate")
    return text


def yaml_scalar(value: object) -> Rendered:
    """A YAML scalar that reads back as the same value anywhere, also inside `[ ]` and `{ }`."""
    return _yaml(value, _YAML_WORD)


def yaml_block_scalar(value: object) -> Rendered:
    """A YAML scalar for the end of a line: commas and brackets stay bare, as kubeadm writes flags."""
    return _yaml(value, _YAML_BLOCK_WORD)


def yaml_pem(value: object, indentation: int = 4) -> Rendered:
    """PEM as a literal block, so many blanks in: people compare it line by line.

    Raises:
        ValueError: It holds a character that PEM has not.
    """
    lines = text_of(value).splitlines()
    if not all(_PEM_LINE.fullmatch(line) for line in lines):
        raise ValueError("a value is not PEM")
    # With no line an empty string: a block without content would take in what follows it.
    return Rendered("|\n" + "\n".join(f"{' ' * indentation}{line}" for line in lines) if lines else '""')


def _yaml(value: object, word: re.Pattern[str]) -> Rendered:
    """The value as it is, where every reader takes that for the same string, else in double quotes."""
    if isinstance(value, Rendered):
        return value
    # Before `int`, which a bool is in Python, too.
    if isinstance(value, bool):
        return Rendered("true" if value else "false")
    if isinstance(value, int):
        return Rendered(value)
    text = text_of(value)
    plain = (
        (word.fullmatch(text) and text.lower() not in _YAML_RESERVED)
        or _YAML_ADDRESS.fullmatch(text)
        or _YAML_QUANTITY.fullmatch(text)
    )
    return Rendered(text if plain else _double_quoted(text))


def _double_quoted(text: str) -> str:
    """The one YAML form that can hold any character."""
    return '"' + "".join(map(_yaml_character, text)) + '"'


def _yaml_character(character: str) -> str:
    """One character within double quotes (YAML 1.2 5.7)."""
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 -- the reach of \x
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 -- the reach of \u


def _printable(value: object, language: str) -> str:
    """The text of a value; raises `ValueError` for what the language cannot have, without showing it."""
    text = text_of(value)
    # A line feed ends a setting, and what follows it would be one of its own.
    if not text.isprintable():
        msg = f"a value contains a character that {language} cannot have"
        raise ValueError(msg)
    return text


def unit_word(value: object) -> Rendered:
    """One word of a systemd unit file, `%` doubled (systemd.syntax(7), systemd.unit(5) "Specifiers").

    `$` is refused: it means a variable on Exec lines and itself elsewhere, and a word cannot know its line.

    Raises:
        ValueError: It holds `$`, or a character that a unit file cannot have.
    """
    if isinstance(value, Rendered):
        return value
    text = _printable(value, "a unit file")
    if "$" in text:
        raise ValueError(
            "a value contains '$', which a unit file may expand: put it into the environment file"
        )
    if _SYSTEMD_WORD.fullmatch(text):
        return Rendered(text)
    return Rendered('"' + _ESCAPED_IN_WORD.sub(r"\\\1", text).replace("%", "%%") + '"')


def argument_word(value: object) -> str:
    """One argument as systemd splits `$FLAGS`: quotes and backslashes count, `$` and `%` do not.

    `replace_env_argv` in systemd's src/basic/env-util.c splits with EXTRACT_UNQUOTE and expands nothing more.
    """
    text = _printable(value, "an argument list")
    if _ARGUMENT_WORD.fullmatch(text):
        return text
    return '"' + _ESCAPED_IN_WORD.sub(r"\\\1", text) + '"'


def argument_line(value: object) -> Rendered:
    """Part of an argument on a line of its own; what makes a manifest or an environment file of it quotes it.

    Raises:
        ValueError: It holds a line feed, and would begin another argument.
    """
    if isinstance(value, Rendered):
        return value
    if isinstance(value, bool):
        return Rendered("true" if value else "false")
    text = text_of(value)
    if "\n" in text:
        raise ValueError("a value contains a line feed, which would begin another argument")
    return Rendered(text)


def environment_argument(value: object) -> Rendered:
    """One argument inside the double quotes of an environment file (systemd.exec(5), EnvironmentFile=).

    In double quotes a backslash goes before `"`, a backslash, `$` and a backquote, as in a POSIX shell.
    """
    if isinstance(value, Rendered):
        return value
    return Rendered(_ESCAPED_IN_ENVIRONMENT.sub(r"\\\1", argument_word(value)))
