"""Specs to test with: a smallest valid one, and ways to add lines to it at known places."""

from __future__ import annotations

from typing import Any

import pytest

from pkigen.desired.certificates import CERTIFICATES
from pkigen.errors import SpecError
from pkigen.spec.loader import LoadedSpec, load_text

HEAD = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: t}
spec:
  kubernetesVersion: v1.36.2
"""
NODE = "  nodes: [{name: a, roles: [control-plane], addresses: [192.0.2.1]}]\n"
INIT = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {name: cp1}
localAPIEndpoint: {advertiseAddress: 192.0.2.1}
---
"""
CLUSTER = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
"""


def swapped(old: str, new: str) -> str:
    """The smallest spec with one text in place of another."""
    assert old in HEAD + NODE
    return (HEAD + NODE).replace(old, new)


def swapped_kubeadm(old: str, new: str) -> str:
    """The smallest kubeadm configuration with one text in place of another."""
    assert old in INIT + CLUSTER
    return (INIT + CLUSTER).replace(old, new)


def header(body: str) -> str:
    """Lines from 6 on, with no node."""
    return HEAD + body


def spec(body: str) -> str:
    """Lines from 7 on, below `spec`."""
    return HEAD + NODE + body


def nodes(body: str) -> str:
    """Lines from 7 on, below `nodes`."""
    return f"{HEAD}  nodes:\n{body}"


def more_nodes(body: str) -> str:
    """Lines from 8 on, after the node `a`, 192.0.2.1."""
    return nodes("    - {name: a, roles: [control-plane], addresses: [192.0.2.1]}\n" + body)


def users(body: str) -> str:
    """Lines from 8 on, below `users`."""
    return f"{HEAD}{NODE}  users:\n{body}"


def cluster(body: str) -> str:
    """Lines from 9 on, in a v1beta4 ClusterConfiguration after an InitConfiguration."""
    return INIT + CLUSTER + body


def old_cluster(body: str) -> str:
    """The same in v1beta3."""
    return cluster(body).replace("v1beta4", "v1beta3")


def join(body: str) -> str:
    """Lines from 12 on, in a JoinConfiguration."""
    return cluster("---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n" + body)


def case(name: str, source: str | bytes, *expected: str) -> Any:
    """A source, and how each of its problems begins after the file's name."""
    return pytest.param(source, expected, id=name)


def loaded(source: str | bytes) -> LoadedSpec:
    """The spec in a source that is valid."""
    return load_text(source if isinstance(source, bytes) else source.encode(), file="f", kinds=CERTIFICATES)


def problems(source: str | bytes) -> list[str]:
    """The problems of a source that is not, without the file's name."""
    with pytest.raises(SpecError) as caught:
        loaded(source)
    return [str(problem).removeprefix("f:").lstrip() for problem in caught.value.problems]


def warnings(source: str | bytes) -> list[str]:
    """The warnings of a valid source, without the file's name."""
    return [str(warning).removeprefix("f:").lstrip() for warning in loaded(source).warnings]


def assert_starts(actual: list[str], expected: tuple[str, ...]) -> None:
    """Every one of the problems is expected, begins as expected, and none is missing."""
    assert [text[: len(start)] for text, start in zip(actual, expected, strict=False)] == list(expected)
    assert len(actual) == len(expected), actual
