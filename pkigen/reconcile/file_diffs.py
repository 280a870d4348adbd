"""What changes in the text of a file, as a unified diff that holds no secret.

Private keys, tokens and encryption keys are withheld by where they stand, not by how they look: of a file
that holds a secret, only what a template of pkigen's writes around it is shown.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING

from pkigen.crypto.issuance import fingerprint
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.rendering.renderer import encryption_key_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.desired.items import DesiredFile
    from pkigen.desired.rendering import Renderer

_CALLED = {
    "certificate-authority-data": "CA",
    "client-certificate-data": "certificate",
    "certificate-authority": "CA",
    "client-certificate": "certificate",
    "client-key": "key",
    "name": "names",
    "cluster": "names",
    "user": "names",
    "current-context": "names",
}
_SECRETS = frozenset({"client-key-data", "token"})
WITHHELD = "(withheld)"
"""What stands where a secret is, or what may be one."""

_MADE_NOW = "(made by this change)"
# In lines: `difflib` takes up to the square of their number in time.
_LONGEST_TEXT = 4000
_CONTEXT = 3
_FIELD = re.compile(r"( *(?:- )?)([A-Za-z][A-Za-z0-9-]*):(?: (.*))?")
_PLAIN = re.compile(r"""(?:"[A-Za-z0-9:/._@ \[\]-]*"|[A-Za-z0-9][A-Za-z0-9:/._@ \[\]-]*|)""")
_PATH = re.compile(r"/[A-Za-z0-9._/@-]*")
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
"""The userinfo of a URL (RFC 3986, 3.2.1)."""
_CERTIFICATES = {"certificate-authority-data", "client-certificate-data"}
_FILES = frozenset({"certificate-authority", "client-certificate", "client-key"})
"""The fields of a kubeconfig that name files."""
_SHOWN = frozenset(
    {
        *("apiVersion", "kind", "clusters", "cluster", "server", "name"),
        *("contexts", "context", "current-context", "namespace", "users", "user"),
    }
)
"""The fields of a kubeconfig that pkigen writes and that are public."""


def content_diff(before: str, after: str) -> tuple[str, ...]:
    """The hunks of a unified diff; nothing where both are the same."""
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > _LONGEST_TEXT:
        return (f"@@ {len(old)} lines become {len(new)}, too many to be compared here @@",)
    # Without the two lines that would name the files.
    return tuple(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT))[2:]


def file_diff(before: bytes, after: bytes) -> tuple[str, ...]:
    """The diff of a file that holds no secret of pkigen's.

    A private key that somebody put there is withheld, and the password in a URL, such as that of a proxy.
    """
    texts = ("\n".join(_without_keys(_lines(content))) for content in (before, after))
    return content_diff(*(_PASSWORD.sub(rf"\1{WITHHELD}@", text) for text in texts))


def kubeconfig_diff(before: bytes, after: bytes) -> tuple[str, ...]:
    """The diff of a kubeconfig: its keys, tokens and passwords withheld, its certificates by fingerprint."""
    return content_diff(*("\n".join(_kubeconfig_view(_lines(content))) for content in (before, after)))


def changed_fields(before: bytes, after: bytes) -> str:
    """What differs between two kubeconfigs, by the names of their fields: `server, namespace`.

    A key or token that both have is left out: one of the two has a placeholder in its place.
    """
    old, new = (Counter(_lines(content)) for content in (before, after))
    there, wanted = (list(_field_names(lines)) for lines in (old - new, new - old))
    secrets = _SECRETS.intersection(there, wanted)
    names = dict.fromkeys(_CALLED.get(name, name) for name in (*wanted, *there) if name not in secrets)
    return ", ".join(names) or "text"


def _field_names(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is not None:
            yield match[2]


def encryption_diff(
    before: bytes, item: DesiredFile, renderer: Renderer, *, known: Sequence[bytes | None], keys: int
) -> tuple[str, ...]:
    """The diff of an EncryptionConfiguration: it is rendered with other keys than the real ones.

    Args:
        before: What is there. A line that is not also in the new file is withheld.
        item: The file.
        renderer: What renders it.
        known: The real keys, in their order, as far as they are known.
        keys: How many keys it gets.
    """
    # As long as real keys are, so that nothing but the secret itself can differ.
    places = tuple(base64.b64encode(hashlib.sha256(str(each).encode()).digest()) for each in range(keys))
    present, after = before, renderer.file(item, secrets=places)
    # The last may not be known yet: this very change makes it.
    for real, place in zip(known, places, strict=False):
        if real is not None:
            present = _keys_replaced(present, real, place)
        # Base64 that begins like a number stands in quotes: one key may, and the other not.
        present, after = (text.replace(b'"%b"' % place, place) for text in (present, after))
    shown = set(_lines(after))
    old = [line if line in shown else f"{_indent(line)}{WITHHELD}" for line in _lines(present)]
    texts = ["\n".join(old), after.decode()]
    for place in places:
        texts = [text.replace(place.decode(), WITHHELD) for text in texts]
    return content_diff(*texts)


def _keys_replaced(text: bytes, old: bytes, new: bytes) -> bytes:
    """A configuration with another key, and its name, in place of one."""
    named = text.replace(encryption_key_name(old).encode(), encryption_key_name(new).encode())
    return named.replace(old, new)


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").split("\n")


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip(" ")))


def _without_keys(lines: Iterable[str]) -> Iterator[str]:
    """Lines without the PEM blocks of private keys, however far in they stand."""
    is_key = False
    for line in lines:
        begins = "-----BEGIN" in line and "PRIVATE KEY-----" in line
        if begins:
            yield f"{_indent(line)}{WITHHELD}"
        is_key = (is_key or begins) and "-----END" not in line
        if not (is_key or ("-----END" in line and "PRIVATE KEY-----" in line)):
            yield line


def _kubeconfig_view(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a kubeconfig that may be shown; what stands below a withheld field goes with it."""
    withheld_at: int | None = None
    for line in lines:
        depth = len(_indent(line))
        # An empty line ends no block scalar of YAML: what follows it may belong to the secret.
        if withheld_at is not None and (depth > withheld_at or not line.strip()):
            continue
        withheld_at = None
        shown = _shown_field(line)
        if shown is None:
            withheld_at = depth
        yield shown if shown is not None else _withheld_field(line)


def _shown_field(line: str) -> str | None:
    """A field whose value is public; None where it may not be."""
    if not line:
        return line
    match = _FIELD.fullmatch(line)
    if match is None:
        return None
    start, name, value = match[1], match[2], match[3] or ""
    if name in _CERTIFICATES:
        text = _certificates(value)
        return None if text is None else f"{start}{name}: {text}"
    return line if _is_public(name, value) else None


def _is_public(name: str, value: str) -> bool:
    """Whether a value is one that pkigen writes into a kubeconfig and that is public."""
    if name in _FILES:
        return _PATH.fullmatch(value) is not None
    # `https://user:password@host` is a server, too (RFC 3986 3.2.1).
    is_password = name == "server" and "@" in value
    return name in _SHOWN and _PLAIN.fullmatch(value) is not None and not is_password


def _withheld_field(line: str) -> str:
    """A line of a secret file without its value, so that a difference shows where, and never what."""
    match = _FIELD.fullmatch(line)
    return f"{match[1]}{match[2]}: {WITHHELD}" if match is not None else f"{_indent(line)}{WITHHELD}"


def _certificates(value: str) -> str | None:
    """Certificates by their fingerprints; None where the value is something else."""
    if value == '""':  # as it is rendered before there is one
        return _MADE_NOW
    try:
        certificates = parse_certificates(base64.b64decode(value, validate=True))
    except ValueError:
        return None
    if isinstance(certificates, str):
        return None
    return " ".join(fingerprint(each)[:16] for each in certificates)
