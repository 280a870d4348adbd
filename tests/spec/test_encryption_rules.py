"""Rules about what is encrypted in etcd."""

from __future__ import annotations

import pytest

from tests.spec.sources import problems, spec, warnings


def encrypting(*resources: str) -> str:
    return spec(f"  encryption: {{resources: [{', '.join(map(repr, resources))}]}}\n")


def test_two_configurations() -> None:
    [told] = problems(
        spec("  encryption: {}\n  apiServer: {extraArgs: [{name: encryption-provider-config, value: /x}]}\n")
    )
    assert told.startswith(
        "8:27: spec.apiServer.extraArgs[0]: replaces the configuration that spec.encryption makes:"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Secrets", "must be a resource, and its group behind a dot, in small letters"),
        ("pods/log", "must be a resource, and its group"),
        ("a b", "must be a resource, and its group"),
        (".apps", "must be a resource, and its group"),
        ("*", "must be '*.*' for all resources, or '*.' for those of the core group"),
        ("apiserveripinfo", "is no resource of the API, and so is never encrypted"),
        ("events.events.k8s.io", "is stored under the core group's name: write events"),
        ("*.events.k8s.io", "is stored under the core group's name: write events"),
        ("deployments.extensions", "is of a group that Kubernetes does not have any more"),
        ("secrets.*", "must have one group: 'secrets' of every group cannot be encrypted"),
        ("secrets.core", "would encrypt nothing, as no group is called 'core': write secrets"),
        ("secrets.v1", "would encrypt nothing, as no group is called 'v1': write secrets"),
        ("*.core", "would encrypt nothing, as no group is called 'core': write '*.'"),
    ],
)
def test_names_that_the_api_server_does_not_take_or_never_finds(name: str, message: str) -> None:
    [told] = problems(encrypting(name))
    assert told.startswith(f"7:28: spec.encryption.resources[0]: {message}")


@pytest.mark.parametrize(
    ("resources", "place", "message"),
    [
        (("secrets", "configmaps", "secrets"), 2, "'secrets' is given twice"),
        (("secrets", "secrets."), 1, "'secrets.' is given twice"),
        (("secrets", "*."), 0, "is a part of '*.'"),
        (("*.apps", "deployments.apps"), 1, "is a part of '*.apps'"),
        (("*.*", "secrets"), 1, "is a part of '*.*'"),
        (("*.apps", "*.*"), 0, "is a part of '*.*'"),
    ],
)
def test_what_is_named_twice(resources: tuple[str, ...], place: int, message: str) -> None:
    [told] = problems(encrypting(*resources))
    assert f"spec.encryption.resources[{place}]: {message}, and the API server does not start" in told


def test_what_the_api_server_takes() -> None:
    for resources in (
        ("secrets", "configmaps", "*.apps", "widgets.example.com", "events"),
        ("*.*",),
        ("*.", "*.apps"),
        ("secrets.", "secrets.example.com"),
    ):
        assert warnings(encrypting(*resources)) == []
