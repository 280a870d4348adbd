"""What a bundle says about itself: the label, which anybody can read, and the manifest, which is sealed.

Both are canonical JSON. The label is signed but not secret; the manifest is sealed with the files.
"""

from __future__ import annotations

import enum
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pkigen.airgap.carrier.paths import MODES
from pkigen.errors import BundleError
from pkigen.notation import json_text, timestamp
from pkigen.records import dataclass
from pkigen.spec.values import parse_cluster_name
from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pkigen.state.observed import Reader

LARGEST_LABEL = 1 << 14
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# A DNS subdomain, as names of nodes are (pkg/apis/core/validation/validation.go, ValidateNodeName).
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
EVERYBODY = "everybody"
"""The reader of what is not sealed, because nothing in it is secret."""
_READER = re.compile(rf"age1[a-z0-9]{{58}}|passphrase|nobody|{EVERYBODY}")
# What every JSON reader holds exactly (RFC 8259 6).
_LARGEST_SERIAL = 1 << 53
_LONGEST_TEXT = 4096
OWNER = "root:root"
Said = TypeVar("Said")


class BundleKind(enum.StrEnum):
    """What a bundle is for."""

    NODE = "node"
    REQUEST = "request"
    ANSWER = "answer"
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
class ManifestEntry:
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
    files: tuple[ManifestEntry, ...]
    steps: tuple[RestartStep, ...]

    def agrees_with(self, label: Label) -> bool:
        """Whether outside and inside say the same."""
        # `created` and `reader` are of the sealing: the same tree gives the same archive, whenever and for
        # whomever.
        inside = (self.kind, self.cluster, self.node, self.serial, self.expires)
        return inside == (label.kind, label.cluster, label.node, label.serial, label.expires)


def encode_label(label: Label) -> bytes:
    """The label's bytes."""
    return json_text(
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
        BundleError: It is not in pkigen's canonical form.
    """
    return decoded(data, _label, encode_label, "label")


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes."""
    return json_text(
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
        BundleError: It is not in pkigen's canonical form.
    """
    return decoded(data, _manifest, encode_manifest, "manifest")


def decoded(
    data: bytes, read: Callable[[dict[str, Any]], Said], write: Callable[[Said], bytes], what: str
) -> Said:
    """Read JSON of the one form: what the writer would have written differently is not ours.

    That is keys that stand twice, spaces, fields that nobody knows.

    Raises:
        BundleError: It is not of that form.
    """
    try:
        found: Said | None = read(json.loads(data))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        found = None
    # Two texts with one meaning could be shown as one and signed as the other.
    if found is None or write(found) != data:
        raise BundleError(f"the bundle's {what} is not in pkigen's canonical form")
    return found


def read_own_file(
    reader: Reader,
    path: str,
    read: Callable[[dict[str, Any]], Said],
    write: Callable[[Said], bytes],
    *,
    damaged: BundleError,
    limit: int = 1 << 20,
) -> Said | None:
    """Read a file of the one form that pkigen keeps for itself between two runs; None where there is none.

    Raises:
        BundleError: The one given as `damaged`: the file is not of that form.
        UnreadableError: Something else stands in its place.
    """
    try:
        data = reader.read(path, limit=limit).data
    except MissingError:
        return None
    try:
        return decoded(data, read, write, path)
    except BundleError:
        raise damaged from None


def _label(content: dict[str, Any]) -> Label:
    """Read a label's fields; raises like `decoded` expects for anything that is not of its form."""
    return Label(
        kind=BundleKind(content["kind"]),
        cluster=cluster_name_of(content["cluster"]),
        node=name_of(content["node"]),
        serial=_number(content["serial"]),
        created=time_of(content["created"]),
        expires=time_of(content["expires"]),
        reader=text_of(content["reader"], _READER),
    )


def _manifest(content: dict[str, Any]) -> Manifest:
    """Read a manifest's fields, likewise."""
    return Manifest(
        kind=BundleKind(content["kind"]),
        cluster=cluster_name_of(content["cluster"]),
        node=name_of(content["node"]),
        serial=_number(content["serial"]),
        expires=time_of(content["expires"]),
        files=tuple(_entry(each) for each in content["files"]),
        steps=tuple(
            RestartStep(
                component=plain_text(each["component"]),
                effect=plain_text(each["effect"]),
                files=_plain_texts(each["files"]),
                commands=_plain_texts(each["commands"]),
            )
            for each in content["steps"]
        ),
    )


def _entry(content: dict[str, Any]) -> ManifestEntry:
    """One file of a manifest; raises `ValueError` for a mode that no file of a node has."""
    mode = int(content["mode"], 8)
    if mode not in MODES:
        raise ValueError
    return ManifestEntry(
        path=plain_text(content["path"]),
        mode=mode,
        sha256=text_of(content["sha256"], _SHA256),
        size=_number(content["size"]),
    )


def cluster_name_of(value: object) -> str:
    """The name of a cluster, as a spec can have it; `ValueError` otherwise."""
    if isinstance(value, str) and value:
        return parse_cluster_name(value)
    raise ValueError


def name_of(value: object) -> str:
    """The name of a node."""
    return text_of(value, _NAME)


def text_of(value: object, form: re.Pattern[str]) -> str:
    """A text of some form; `ValueError` where it is another."""
    if isinstance(value, str) and form.fullmatch(value):
        return value
    raise ValueError


def plain_text(value: object) -> str:
    """Text without control characters, safe for a terminal; `ValueError` otherwise."""
    if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_TEXT:
        return value
    raise ValueError


def _plain_texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(plain_text(value) for value in values)


def _number(value: object) -> int:
    """A number from 0 on; `ValueError` for others, and for JSON's `true`, which is an int in Python."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_SERIAL:
        return value
    raise ValueError


def time_of(value: object) -> datetime:
    """A moment as `timestamp` writes it; `ValueError` where it is another."""
    return datetime.strptime(text_of(value, _TIME), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
