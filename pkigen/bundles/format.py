"""What a bundle says of itself: the label outside, for the first look, and the manifest inside.

Both are JSON of one form only. The label is signed but not secret; the manifest is sealed with the files.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pkigen.bundles.paths import MODES
from pkigen.errors import BundleError
from pkigen.ledger import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST_LABEL = 1 << 14
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_READER = re.compile(r"age1[a-z0-9]{58}|passphrase|nobody")
_LARGEST_SERIAL = 1 << 53
_LONGEST_TEXT = 4096
OWNER = "root:root"
Said = TypeVar("Said")


class BundleKind(enum.StrEnum):
    """What a bundle is for."""

    NODE = "node"
    REQUEST = "request"
    CERTIFICATES = "certificates"
    RESCUE = "rescue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The outside of a bundle.

    `serial` only grows: it is how far the cluster's ledger has come. `reader` is who can open it.
    """

    kind: BundleKind
    cluster: str
    node: str
    serial: int
    created: datetime
    expires: datetime
    reader: str

    @property
    def order(self) -> tuple[int, datetime]:
        """What tells an older bundle from a newer one."""
        return self.serial, self.created


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file as the manifest has it; all are root's."""

    path: str
    mode: int
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartStep:
    """What a component does about changed files, and the commands where it must restart."""

    component: str
    effect: str
    files: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The inside of a bundle: every file, and what is to be restarted for which."""

    kind: BundleKind
    cluster: str
    node: str
    serial: int
    expires: datetime
    files: tuple[Entry, ...]
    steps: tuple[RestartStep, ...]

    def agrees_with(self, label: Label) -> bool:
        """Whether outside and inside say the same."""
        inside = (self.kind, self.cluster, self.node, self.serial, self.expires)
        return inside == (label.kind, label.cluster, label.node, label.serial, label.expires)


def encode_label(label: Label) -> bytes:
    """The label's bytes."""
    return _encode(
        {
            "kind": label.kind,
            "cluster": label.cluster,
            "node": label.node,
            "serial": label.serial,
            "created": timestamp(label.created),
            "expires": timestamp(label.expires),
            "reader": label.reader,
        }
    )


def decode_label(data: bytes) -> Label:
    """Read a label.

    Raises:
        BundleError: It is not of the one form.
    """
    return _decoded(data, _label, encode_label, "label")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes."""
    return _encode(
        {
            "kind": manifest.kind,
            "cluster": manifest.cluster,
            "node": manifest.node,
            "serial": manifest.serial,
            "expires": timestamp(manifest.expires),
            "files": [
                {
                    "path": entry.path,
                    "mode": f"{entry.mode:04o}",
                    "owner": OWNER,
                    "size": entry.size,
                    "sha256": entry.sha256,
                }
                for entry in manifest.files
            ],
            "steps": [
                {
                    "component": step.component,
                    "effect": step.effect,
                    "files": list(step.files),
                    "commands": list(step.commands),
                }
                for step in manifest.steps
            ],
        }
    )


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        BundleError: It is not of the one form.
    """
    return _decoded(data, _manifest, encode_manifest, "manifest")


def _encode(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=True).encode() + b"\n"


def _decoded(
    data: bytes, read: Callable[[dict[str, Any]], Said], write: Callable[[Said], bytes], what: str
) -> Said:
    """Whatever the writer would have written differently (keys twice, spaces, more fields) is not ours."""
    try:
        found: Said | None = read(json.loads(data))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        found = None
    if found is None or write(found) != data:
        raise BundleError(f"the bundle's {what} is not of the form that pkigen writes")
    return found


def _label(content: dict[str, Any]) -> Label:
    return Label(
        kind=BundleKind(content["kind"]),
        cluster=_text(content["cluster"], _NAME),
        node=_text(content["node"], _NAME),
        serial=_number(content["serial"]),
        created=_time(content["created"]),
        expires=_time(content["expires"]),
        reader=_text(content["reader"], _READER),
    )


def _manifest(content: dict[str, Any]) -> Manifest:
    return Manifest(
        kind=BundleKind(content["kind"]),
        cluster=_text(content["cluster"], _NAME),
        node=_text(content["node"], _NAME),
        serial=_number(content["serial"]),
        expires=_time(content["expires"]),
        files=tuple(_entry(each) for each in content["files"]),
        steps=tuple(
            RestartStep(
                component=_plain(each["component"]),
                effect=_plain(each["effect"]),
                files=_plain_texts(each["files"]),
                commands=_plain_texts(each["commands"]),
            )
            for each in content["steps"]
        ),
    )


def _entry(content: dict[str, Any]) -> Entry:
    mode = int(content["mode"], 8)
    if mode not in MODES:
        raise ValueError
    return Entry(
        path=_plain(content["path"]),
        mode=mode,
        sha256=_text(content["sha256"], _SHA256),
        size=_number(content["size"]),
    )


def _text(value: object, form: re.Pattern[str]) -> str:
    if isinstance(value, str) and form.fullmatch(value):
        return value
    raise ValueError


def _plain(value: object) -> str:
    """Text that does a terminal no harm."""
    if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_TEXT:
        return value
    raise ValueError


def _plain_texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(_plain(value) for value in values)


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_SERIAL:
        return value
    raise ValueError


def _time(value: object) -> datetime:
    return datetime.strptime(_text(value, _TIME), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
