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
    "clusters: {}": "clusters is not a list",
    "users: false": "users is not a list",
    "contexts: [{name: 0}]": "a name in contexts is not a string",
    "contexts: [{name: a, context: false}]": "contexts[a] is not a mapping",
    "contexts: [{name: a, context: {extensions: [a]}}]": "an entry of extensions of context 'a'",
    "extensions: [{name: b, extension: {}}, {name: b, extension: {}}]": "has the name 'b' twice",
    "extensions: [{name: a, extension: 012}]": "kubectl reads 012 as a number that others read differently",
    "extensions: [{name: a, extension: .nan}]": "kubectl reads .nan as a number that JSON does not have",
    "users: [{name: 0X1F}]": "kubectl reads 0X1F as a number",
    "users: [{name: a, user: {as-user-extra: {k: v}}}]": "k in as-user-extra of user 'a' is not a list",
    "users: [{name: a, user: {exec: {command: 7}}}]": "command of exec of user 'a' is not a string",
    "users: [{name: a, user: {exec: {args: a}}}]": "args of exec of user 'a' is not a list of strings",
    "users: [{name: a, user: {exec: {env: {a: b}}}}]": "env of exec of user 'a' is not a list",
    "users: [{name: a, user: {exec: {env: [{name: 7}]}}}]": "a name in env of exec of user 'a'",
    "users: [{name: a, user: {exec: {provideClusterInfo: 1}}}]": "is neither true nor false",
    "users: [{name: a, user: {auth-provider: {name: a, config: {k: 1}}}}]": "k in config of auth-provider",
    "preferences: []": "preferences is not a mapping",
    "preferences: {colors: a}": "colors of preferences is neither true nor false",
    "current-context: false": "current-context is not a string",
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

# kubectl reads the first of several documents and the last of two keys, and octal numbers and words for true.
OWN_RULES = (
    "kind: Config\n",
    "extensions: [{name: a, extension: 012}]",
    "clusters: [{name: a, cluster: {insec",
)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_kubeconfig(place: TeamCluster, text: str) -> None:
    path = place.write("c", text)
    for command in ("merge", "show"):
        result = place.run("access", "kubeconfig", command, path)
        assert (result.code, result.out) == (1, "")
        assert str(path) in result.error
        if "}x" not in text:
            assert BAD[text] in result.error


@pytest.mark.parametrize("text", [each for each in BAD if not each.startswith(OWN_RULES)])
def test_kubectl_reads_none_of_them_either(place: TeamCluster, text: str) -> None:
    path = place.write("c", text)
    with pytest.raises(AssertionError):
        viewed(path)


def test_nothing_is_what_it_is_for_kubectl(place: TeamCluster) -> None:
    text = "kind: null\napiVersion: ''\nusers: null\ncurrent-context: null\npreferences: null\n"
    path = place.write("c", f"{text}contexts: [{{name: null, context: null}}]\n")
    assert viewed(path)["contexts"] == [{"name": "", "context": {"cluster": "", "user": ""}}]
    assert place.run("access", "kubeconfig", "show", path).code == 0


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
