# noqa: INP001 -- a script imports it
"""The page of the reference about what versions of Kubernetes change, from the tables that the code asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.spec.component_flags import flag_changes
from pkigen.spec.feature_gates import gate_changes
from pkigen.spec.values import NEWEST_RELEASED, OLDEST_MINOR
from pkigen.spec.versions import CHANGES, ETCD_TAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = """\
# What versions of Kubernetes change

Made by `python scripts/reference.py` from the tables that pkigen itself asks (`pkigen/spec/versions.py`,
`component_flags.json`, `feature_gates.json`). `spec.kubernetesVersion` is the version that the API servers
run. What has no row is the same from v1.29 on. `kubernetes#N` is a pull request of kubernetes/kubernetes,
`KEP-N` a proposal of kubernetes/enhancements.

Of v1.37 the release notes, their pull requests and the output of its kubeadm were read, not its source.
**v1.38 was not released when this was written**: what is said of it is what its CHANGELOG has up to
v1.38.0-alpha.2, and every command that reads the spec says so with a warning.
"""
_CHANGES = """
## Behaviour, formats and defaults

| from | what Kubernetes changes | what pkigen does | where | source |
|---|---|---|---|---|
"""
_ETCD = """
## The default image of etcd
`spec.etcd.imageTag` replaces it; flags and probes follow the version that a tag names.

| from | tag |
|---|---|
"""
_FLAGS = """
## Flags that are gone
In `extraArgs` and in templates of your own they are refused from that version on, at their line: the program
would stop.

| from | program | flags | source |
|---|---|---|---|
"""
_GATES = """
## Feature gates that are gone, or locked
Refused in `feature-gates` from that version on: a program stops at a gate that it does not know, and at one
that is set to another value than it is locked to. A gate of a later version is refused as well, unless
`spec.allowUnknownFlags` is set; one that no version is known to have gets a warning. Where the source is a
list, the gate may be gone since earlier.

To the API server, the controller manager and the scheduler all gates may be named with `kube:`, or none;
they stop at other components, and kubelets and etcd at any (component-base `compatibility/registry.go`).
From v1.33 on they behave as a version that is at most three older (`emulated-version`, apiserver
`util/compatibility/version.go`).

| from | what | gates | source |
|---|---|---|---|
"""


def versions_page() -> str:
    """All that depends on the version."""
    changes = ((_since(each.since), each.what, each.follows, each.touches, each.source) for each in CHANGES)
    return "".join(
        (
            _HEAD,
            _CHANGES,
            *_rows(changes),
            _ETCD,
            *_rows((_since(minor, patch), f"`{tag}`") for (minor, patch), tag in ETCD_TAGS),
            _FLAGS,
            *_rows(_flags()),
            _GATES,
            *_rows(_gates()),
        )
    )


def _flags() -> Iterator[tuple[str, ...]]:
    found = [each for each in flag_changes() if each[1] > OLDEST_MINOR]
    for program, minor, flags, source in sorted(found, key=lambda each: (each[1], each[0])):
        yield _since(minor), program, _names(flags), source


def _gates() -> Iterator[tuple[str, ...]]:
    for each in sorted(gate_changes(), key=lambda each: (each["version"], each["what"])):
        yield _since(each["version"]), each["what"], _names(each["gates"]), each["source"]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _since(minor: int, patch: int | None = None) -> str:
    text = f"v1.{minor}" if patch is None else f"v1.{minor}.{patch}"
    return text if minor <= NEWEST_RELEASED else f"{text} (not released)"


def _rows(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |\n"
