"""What etcd holds encrypted, when API servers are given another EncryptionConfiguration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.reconcile.encrypted_data import CipherChange, ciphers, unread
from tests.reconcile.altered_trees import follow

if TYPE_CHECKING:
    from tests.samples import World

CONFIGURATION = "nodes/cp-1/etc/kubernetes/pki/encryption-config.yaml"


def configuration(*groups: tuple[str, str]) -> bytes:
    """An EncryptionConfiguration of resources and their providers, each as words."""
    resources = [
        {"resources": names.split(), "providers": [{provider: {}} for provider in providers.split()]}
        for names, providers in groups
    ]
    return yaml.safe_dump({"kind": "EncryptionConfiguration", "resources": resources}).encode()


def lost(before: bytes, after: bytes) -> dict[str, tuple[str, ...]]:
    return CipherChange(before=ciphers(before), after=ciphers(after)).unreadable


SECRETBOX = configuration(("secrets configmaps", "secretbox identity"))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (SECRETBOX, {}),
        (configuration(("secrets configmaps", "identity secretbox")), {}),
        (configuration(("secrets configmaps", "aescbc secretbox identity")), {}),
        (configuration(("secrets", "secretbox"), ("configmaps", "identity secretbox")), {}),
        (configuration(("*.*", "aesgcm secretbox")), {}),
        (configuration(("*.", "secretbox")), {}),
        (configuration(("secrets configmaps", "aescbc identity")), {"secretbox": ("secrets", "configmaps")}),
        (configuration(("secrets", "secretbox identity")), {"secretbox": ("configmaps",)}),
        # The first entry that concerns a resource counts, as for the API server.
        (
            configuration(("secrets", "identity"), ("*.", "secretbox")),
            {"secretbox": ("secrets",)},
        ),
        (configuration(("*.apps", "secretbox")), {"secretbox": ("secrets", "configmaps")}),
        (b"", {"secretbox": ("secrets", "configmaps")}),
    ],
)
def test_a_resource_needs_the_provider_that_has_written_it(
    after: bytes, expected: dict[str, tuple[str, ...]]
) -> None:
    assert lost(SECRETBOX, after) == expected


def test_a_provider_that_was_only_kept_for_reading_may_still_be_needed() -> None:
    both = configuration(("secrets", "aescbc secretbox identity"))
    assert lost(both, configuration(("secrets", "aescbc identity"))) == {"secretbox": ("secrets",)}
    assert lost(both, configuration(("secrets", "identity"))) == {
        "aescbc": ("secrets",),
        "secretbox": ("secrets",),
    }


def test_everything_is_covered_by_nothing_less() -> None:
    everything = configuration(("*.*", "secretbox"))
    assert lost(everything, configuration(("*. *.apps", "secretbox"))) == {"secretbox": ("*.*",)}
    core = configuration(("*.", "secretbox"))
    assert lost(core, configuration(("secrets", "secretbox"))) == {"secretbox": ("*.",)}


@pytest.mark.parametrize("damaged", [b"{", b"resources: 7", b"- a", b"resources: [{resources: secrets}]"])
def test_what_is_no_configuration_encrypts_nothing(damaged: bytes) -> None:
    assert list(unread(CipherChange(before=ciphers(damaged), after={}))) == []


def told(world: World, **encryption: Any) -> tuple[str, ...]:
    follow(world, encryption=encryption)
    return world.plan().unread


def test_a_file_that_somebody_has_edited_counts(world: World) -> None:
    """It is what API servers may have written by; a template of one's own is read the same way."""
    path = world.path(CONFIGURATION)
    both = path.read_bytes().replace(b"  - identity", b"  - aesgcm: {keys: []}\n  - identity")
    path.write_bytes(both)
    (sentence,) = told(world)
    assert "what aesgcm has encrypted (secrets)" in sentence


def test_a_configuration_that_is_not_there_says_nothing(world: World) -> None:
    world.path(CONFIGURATION).unlink()
    assert told(world, provider="aescbc") == ()
