"""Rules about what is encrypted in etcd: at a name that it does not take, the API server stops.

Sources are apiserver `pkg/apis/apiserver/validation/validation_encryption.go` (validateResourceOverlap,
validateResourceNames) and apimachinery `pkg/runtime/schema` (ParseGroupResource).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen.spec.encrypted_resources import GroupResource
from pkigen.spec.findings import Location, SpecFinding, last, repeats
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.spec.model import ClusterSpec

_RESOURCES: Final[Location] = ("spec", "encryption", "resources")
_NAME: Final = re.compile(r"(\*|[a-z0-9-]+)(?:\.(\*|[a-z0-9.-]*))?")
_WITHOUT_OBJECTS: Final = frozenset({"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"})
_GROUPS_NOT_STORED: Final = {
    "events.k8s.io": "is stored under the core group's name: write events",
    "extensions": "is of a group that Kubernetes does not have any more: the API server does not start",
}
_VERSION: Final = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]+)?")


def _names(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Each is a resource and its group, and one that is stored under that name."""
    if spec.spec.encryption is None:
        return
    for place, text in enumerate(spec.spec.encryption.resources):
        fault = _fault(text)
        if fault is not None:
            yield SpecFinding(at=(*_RESOURCES, place), message=fault)


def _fault(text: str) -> str | None:
    """What is wrong with the name of a resource, if anything."""
    if not _NAME.fullmatch(text):
        return "must be a resource, and its group behind a dot, in small letters: secrets, deployments.apps"
    if text == "*":
        return "must be '*.*' for all resources, or '*.' for those of the core group"
    if text in _WITHOUT_OBJECTS:
        return "is no resource of the API, and so is never encrypted: remove it"
    return _fault_of_group(*GroupResource.read(text))


def _fault_of_group(resource: str, group: str) -> str | None:
    if group in _GROUPS_NOT_STORED:
        return _GROUPS_NOT_STORED[group]
    if group == "*" and resource != "*":
        return f"must have one group: {quote(resource)} of every group cannot be encrypted"
    # The API server takes it, and encrypts nothing: no group is called so.
    if group == "core" or _VERSION.fullmatch(group):
        core = "'*.'" if resource == "*" else resource
        return f"would encrypt nothing, as no group is called {quote(group)}: write {core}"
    return None


def _overlaps(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """None is named twice, by itself or by a `*`."""
    if spec.spec.encryption is None:
        return
    given = spec.spec.encryption.resources
    resources = tuple(map(GroupResource.read, given))
    twice = set(repeats(resources))
    for place, (text, resource) in enumerate(zip(given, resources, strict=True)):
        at: Location = (*_RESOURCES, place)
        wider = next((each for each in resources if each != resource and each.covers(resource)), None)
        if place in twice:
            message = f"{quote(text)} is given twice, and the API server does not start: remove it"
            yield SpecFinding(at=at, message=message)
        elif wider is not None:
            message = (
                f"is a part of {quote(str(wider))}, and the API server does not start: remove one of them"
            )
            yield SpecFinding(at=at, message=message)


def _one_configuration(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Two encryption configurations: the flag would win, and the other's key would never be used."""
    flag = last(spec.spec.api_server.extra_args, "encryption-provider-config")
    if spec.spec.encryption is not None and flag is not None:
        yield SpecFinding(
            at=("spec", "apiServer", "extraArgs", flag),
            message="replaces the configuration that spec.encryption makes: remove one of them",
        )


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _one_configuration,
    _names,
    _overlaps,
)
