"""Kubeconfigs read as kubectl reads them, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.access.kubeconfigs import Section, load
from pkigen.errors import AccessError
from tests.access.kubeconfig_files import viewed
from tests.access.made_requests import plain, request

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster

BAD = {
    "[]": "it is not a mapping",
    "kind: Pod": "its kind is not Config",
    "apiVersion: v2": "its kind is not Config",
    "clusters: {}x": "clusters is not a list",
    "clusters: {a: b}": "clusters is not a list",
    "clusters: [a]": "an entry of clusters is not a mapping",
    "clusters: [{name: 7}]": "a name in clusters is not a string",
    "clusters: [{name: a}, {name: a}]": "clusters has the name 'a' twice",
    "clusters: [{name: a, cluster: b}]": "clusters[a] is not a mapping",
    "clusters: [{name: a, cluster: {server: 7}}]": "server of cluster 'a' is not a string",
    "clusters: [{name: a, cluster: {insecure-skip-tls-verify: 'yes'}}]": "is neither true nor false",
    "clusters: [{name: a, cluster: {certificate-authority-data: '*'}}]": "is not base64",
    "clusters: [{name: a, cluster: {extensions: 7}}]": "extensions of cluster 'a' is not a list",
    "users: [{name: a, user: {as-groups: a}}]": "as-groups of user 'a' is not a list of strings",
    "users: [{name: a, user: {exec: a}}]": "exec of user 'a' is not a mapping",
    "current-context: 7": "current-context is not a string",
    "preferences: 7": "preferences is not a mapping",
    "kind: Config\n---\nkind: Config": "holds 2 YAML documents",
    "users: [{name: a, user: {token: yes}}]": "kubectl reads yes as true",
    "users: [{name: a, user: {token: 0_12}}]": "kubectl reads 0_12 as a number",
    "users: [{name: n}]": "kubectl reads n as false",
    "clusters: [{name: a, cluster: {insecure-skip-tls-verify: on}}]": "kubectl reads on as true",
    "a: [": "is not YAML",
    "kind: Config\nkind: Config": "is given twice",
    "a: &a [*a]": "stands within its own anchor",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_kubeconfig(place: TeamCluster, text: str) -> None:
    path = place.write("c", text)
    for command in ("merge", "show"):
        result = place.run("access", "kubeconfig", command, path)
        assert (result.code, result.out) == (1, "")
        assert str(path) in result.error
        if "}x" not in text:
            assert BAD[text] in result.error


def test_kubectl_loads_what_pkigen_writes(place: TeamCluster) -> None:
    place.sign(
        request(plain("users:dev1")), "--kubeconfig", place.folder / "s", "--key-path", "k", user="users:dev1"
    )
    place.run(
        "access",
        "token",
        "--service-account",
        "web/deployer",
        "--kubeconfig",
        place.folder / "t",
        "-C",
        place.tree,
    )
    place.run("access", "bootstrap-token", "-C", place.tree, "--out", place.folder)
    written = [place.folder / "s", place.folder / "t", place.folder / "bootstrap-kubelet.conf"]
    written += list((place.tree / "users").glob("*.conf"))
    for path in written:
        theirs, ours = viewed(path), load(path.read_bytes(), path)
        assert theirs["current-context"] == ours.current_context
        assert {entry["name"] for entry in theirs["users"]} == set(ours.entries[Section.USER])


def test_a_mapping_of_whatever_kind_is_no_section() -> None:
    with pytest.raises(AccessError, match="it is not a mapping"):
        load(b"7", Path("x"))
