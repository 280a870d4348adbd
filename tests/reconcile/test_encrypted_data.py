"""What etcd holds encrypted, when API servers are given another EncryptionConfiguration."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.reconcile.cluster_changes import ClusterVerb
from pkigen.reconcile.encrypted_data import (
    UNCHANGED,
    CipherChange,
    Writer,
    cipher_change,
    ciphers,
    rewriting,
    stored,
    unread,
    writers,
)
from pkigen.reconcile.plan import Keep, Rewrite
from pkigen.spec.encrypted_resources import GroupResource
from pkigen.state.cluster_objects import objects
from tests.reconcile.altered_trees import follow
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, spec
from tests.state.test_lockfile import LEAST, as_file

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Action
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


@pytest.mark.parametrize(
    "damaged",
    [
        b"{",
        b"resources: 7",
        b"- a",
        b"resources: [{resources: secrets}]",
        b"resources: [{resources: [secrets], providers: [aescbc]}]",
    ],
)
def test_what_is_no_configuration_encrypts_nothing(damaged: bytes) -> None:
    assert list(unread(CipherChange(before=ciphers(damaged), after={}))) == []


# -- of a plan ------------------------------------------------------------------------------------------

ENCRYPTED = derive(spec(CP1, CP2, encryption={}))
OTHER_CONFIGURATION = CONFIGURATION.replace("cp-1", "cp-2")
AESCBC = configuration(("secrets", "aescbc identity"))


class Rendering:
    """A renderer of one text, with a key in it as long as real ones."""

    def file(self, item: DesiredFile, *, secrets: tuple[bytes, ...]) -> bytes:
        (secret,) = secrets
        assert len(base64.b64decode(secret)) == 32
        return configuration((item.kind, "secretbox"))


def changed_by(
    *actions: Action,
    files: dict[str, bytes] | None = None,
    inventory: Inventory = ENCRYPTED,
    lock: bool = True,
) -> CipherChange:
    tree = Photograph({**(files or {}), **({"pki.lock": as_file(LEAST)} if lock else {})})
    return cipher_change(actions, tree, inventory, Rendering())  # type: ignore[arg-type]


def rewrite(path: str = CONFIGURATION, kind: type[Action] = Rewrite) -> Action:
    return kind(id=path, paths=("nodes/cp-1/other", path), node="cp-1", reason=None)


AFTER = {GroupResource.read(FileKind.ENCRYPTION_CONFIGURATION): ("secretbox",)}


def test_what_another_configuration_changes() -> None:
    before = ciphers(AESCBC)
    assert before == {GroupResource.read("secrets"): ("aescbc", "identity")}
    expected = CipherChange(before=before, after=AFTER)
    assert changed_by(rewrite(), files={CONFIGURATION: AESCBC}) == expected
    # All API servers go by the same; where one has none, another's counts.
    assert changed_by(rewrite(), files={OTHER_CONFIGURATION: AESCBC}) == expected
    assert changed_by(rewrite(OTHER_CONFIGURATION), files={CONFIGURATION: AESCBC}) == expected
    files = {CONFIGURATION: AESCBC, OTHER_CONFIGURATION: SECRETBOX}
    assert changed_by(rewrite(), files=files) == expected
    assert changed_by(rewrite()) == CipherChange(before={}, after=AFTER)


def test_what_changes_nothing_about_it() -> None:
    files = {CONFIGURATION: AESCBC}
    assert changed_by(rewrite(kind=Keep), files=files) == UNCHANGED
    assert changed_by(rewrite("nodes/cp-1/else"), files=files) == UNCHANGED
    assert changed_by(files=files) == UNCHANGED
    # Before there is a cluster, etcd holds nothing.
    assert changed_by(rewrite(), files=files, lock=False) == UNCHANGED


def test_a_configuration_that_is_not_pkigens_is_not_looked_at() -> None:
    items = tuple(
        replace(item, managed=False) if isinstance(item, DesiredFile) else item for item in ENCRYPTED.items
    )
    inventory = replace(ENCRYPTED, items=items)
    assert changed_by(rewrite(), files={CONFIGURATION: AESCBC}, inventory=inventory) == UNCHANGED


# -- writing it anew ------------------------------------------------------------------------------------


def test_resources_are_written_again_by_name() -> None:
    assert [rewriting(each, "kc") for each in ("secrets", "deployments.apps")] == [
        "kc get secrets --all-namespaces -o json | kc replace -f -",
        "kc get deployments.apps --all-namespaces -o json | kc replace -f -",
    ]


def test_what_stands_for_many_is_asked_of_the_api_server() -> None:
    loop = (
        "kc api-resources{} --verbs=list,update -o name | while read -r resource; do "
        'kc get "$resource" --all-namespaces -o json </dev/null | kc replace -f -; done'
    )
    assert [rewriting(each, "kc") for each in ("*.apps", "*.*", "secrets", "*.")] == [
        loop.format(" --api-group=apps"),
        loop.format(""),
        "kc get secrets --all-namespaces -o json | kc replace -f -",
        loop.format(" --api-group="),
    ]


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


def test_a_sentence_names_every_resource_of_a_provider() -> None:
    (sentence,) = unread(CipherChange(before=ciphers(SECRETBOX), after={}))
    assert "what secretbox has encrypted (secrets, configmaps)" in sentence


def test_a_configuration_that_is_not_there_says_nothing(world: World) -> None:
    world.path(CONFIGURATION).unlink()
    assert told(world, provider="aescbc") == ()


# -- what has to be written again ---------------------------------------------------------------------------


def written_again(world: World, **more: Any) -> list[str]:
    """The resources that are to be written again once the world follows another spec."""
    follow(world, **more)
    steps = [step for step in world.plan().in_cluster if step.verb is ClusterVerb.WRITE]
    return [step.object.name for step in steps if step.object is not None]


def test_each_resource_is_written_by_its_first_provider_with_its_first_key() -> None:
    text = b"""
resources:
- resources: [secrets, deployments.apps]
  providers: [{aescbc: {keys: [{name: a}, {name: b}]}}, {identity: {}}]
- resources: [configmaps]
  providers: [{identity: {}}, {aescbc: {keys: [{name: a}]}}]
- resources: [secrets, pods]
  providers: [{kms: {name: x}}]
"""
    found = writers(text)
    assert found == {
        GroupResource("secrets", ""): Writer(provider="aescbc", key="a"),
        GroupResource("deployments", "apps"): Writer(provider="aescbc", key="a"),
        GroupResource("pods", ""): Writer(provider="kms", key=""),
    }
    assert [each.name for each in objects(stored(found))] == ["secrets", "deployments.apps", "pods"]
    assert objects(stored(found)) != objects(stored(writers(text.replace(b"name: a", b"name: c"))))
    assert objects(stored(found)) != objects(stored(writers(text.replace(b"aescbc", b"aesgcm"))))
    for damaged in (None, b"{", b"resources: [{resources: [a], providers: []}]"):
        assert stored(writers(damaged)) == b""


def test_what_becomes_encrypted_is_written_again(world: World) -> None:
    assert written_again(world) == []
    assert written_again(world, encryption={"resources": ["secrets", "configmaps"]}) == ["configmaps"]
    assert written_again(world, encryption={"resources": ["*.*"]}) == ["*.*"]


def test_it_is_remembered_until_it_was_done_and_unless_nobody_can_read_it_any_more(world: World) -> None:
    assert written_again(world, encryption=None) == []
    world.apply()
    assert written_again(world) == ["secrets"]
    world.apply()
    # The ledger knows that nobody has said that it was done.
    assert written_again(world) == ["secrets"]
    assert written_again(world, encryption=None) == []


def test_what_cannot_be_read_is_not_written_again(world: World) -> None:
    assert written_again(world, encryption={"provider": "aescbc"}) == []
    assert world.plan().unread


def test_what_first_makes_a_cluster_has_nothing_to_write_again(world: World, tmp_path: Path) -> None:
    assert type(world)(root=tmp_path / "new", cluster=world.cluster).plan().in_cluster == ()


def test_where_the_file_was_lost_nobody_knows_what_was_written_with_it(world: World) -> None:
    world.path(CONFIGURATION).unlink()
    assert written_again(world) == []


def test_a_file_that_encrypted_nothing_has_left_clear_text(world: World) -> None:
    """A template of one's own leads to encryption, and back: what stands first counts."""
    path = world.path(CONFIGURATION)
    content = yaml.safe_load(path.read_bytes())
    (group,) = content["resources"]
    group["providers"].reverse()
    path.write_text(yaml.safe_dump(content))
    assert written_again(world) == ["secrets"]
