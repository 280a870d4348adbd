"""Many sites' requests in one file, and their answers in one: each part is signed by itself.

The file adds no signature of its own, and nothing is believed because of it: a request is its site's, an
answer the authority's. Its fingerprint, over every bit, is what people compare where a site is new.
"""

from __future__ import annotations

import base64
import enum
import json
from typing import Any

from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
from pkigen.airgap.carrier.format import cluster_name_of
from pkigen.errors import BundleError
from pkigen.notation import json_text
from pkigen.records import dataclass

LARGEST_COLLECTION = LARGEST_BUNDLE


class Kind(enum.StrEnum):
    """What the parts are."""

    REQUESTS = "FleetRequests"
    ANSWERS = "FleetAnswers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Signed files by the cluster that each is from or for."""

    kind: Kind
    fleet: str
    parts: tuple[tuple[str, bytes], ...]

    @property
    def file(self) -> bytes:
        """The one form of it."""
        return json_text(
            {
                "apiVersion": "pkigen/v1",
                "kind": self.kind,
                "fleet": self.fleet,
                "files": [
                    {"cluster": cluster, "file": base64.b64encode(data).decode("ascii")}
                    for cluster, data in self.parts
                ],
            }
        )

    @property
    def fingerprint(self) -> str:
        """What people compare."""
        return fingerprint(self.file)

    def part(self, cluster: str) -> bytes | None:
        """The file of one cluster; None where there is none."""
        return dict(self.parts).get(cluster)


def read_collection(data: bytes, kind: Kind) -> Collection:
    """The parts of a file.

    Raises:
        BundleError: It is something else, or not of the form that pkigen writes.
    """
    try:
        content = json.loads(data)
        if content["kind"] != kind:
            raise BundleError(
                f"it is a file of kind {content['kind']!a}, not {kind}", hint="nothing was written"
            )
        found = _collection(content, kind)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found = None
    if found is None or found.file != data:
        raise BundleError(f"it is no {kind} file as pkigen writes it", hint="make and carry it again")
    return found


def _collection(content: dict[str, Any], kind: Kind) -> Collection:
    """Read the fields; `ValueError`, `TypeError` or `KeyError` where they are others."""
    parts = tuple(
        (cluster_name_of(each["cluster"]), base64.b64decode(each["file"], validate=True))
        for each in content["files"]
    )
    # Of two parts of one cluster, `part` would hand out the last one, and a person may have seen the first.
    if len(dict(parts)) != len(parts):
        raise ValueError
    return Collection(kind=kind, fleet=cluster_name_of(content["fleet"]), parts=parts)
