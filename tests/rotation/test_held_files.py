"""What the ends hold before and after a step, read from two trees; and why something is not held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.keys import load_private, private_pem, public_der, public_pem
from pkigen.desired.inventory import derive
from pkigen.desired.items import FileKind
from pkigen.errors import UnsafePathError
from pkigen.rotation import held_files
from pkigen.rotation.held_files import HeldFiles, Unprovable
from pkigen.rotation.proof import Age, State
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, World, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.store import FileContent

CLUSTER = spec(CP1, encryption={})
WIDER = spec(CP1, CP2, encryption={}, controlPlaneEndpoint="api.example.com:6443")
PKI = "nodes/cp-1/etc/kubernetes/pki"
MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
ENCRYPTION = f"{PKI}/encryption-config.yaml"
FOREIGN = "nodes/cp-1/opt/own.crt"
OLD, NEW = Age.OLD, Age.NEW


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Photograph:
    world = World(root=tmp_path_factory.mktemp("held") / "prod", cluster=CLUSTER)
    world.apply()
    return Photograph.of(world.root)


class Counted(Photograph):
    """Counts how often a path is read."""

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        counts[path] = counts.get(path, 0) + 1
        return super().read(path, limit=limit)


counts: dict[str, int] = {}


def held(
    old: Photograph, new: Photograph | None = None, *, foreign: tuple[str, ...] = (FOREIGN,)
) -> HeldFiles:
    """Of both ages; the new tree has a control plane more."""
    states = {
        OLD: State(inventory=derive(CLUSTER), reader=old),
        NEW: State(inventory=derive(WIDER), reader=old if new is None else new),
    }
    return HeldFiles(states, foreign)


def refusal(ask: Callable[..., object], *words: object) -> str:
    with pytest.raises(Unprovable) as found:
        ask(*words)
    return str(found.value)


def key_text(key: ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    return {"private": private_pem(key), "public": public_pem(key.public_key())}


def test_a_chain_by_id_and_by_the_path_that_a_flag_names(files: Photograph) -> None:
    crt = f"{PKI}/apiserver.crt"
    changed = files.but(**{crt.replace("/", "__"): files.files[f"{PKI}/apiserver-etcd-client.crt"]})
    ends = held(Photograph({**changed.files, FOREIGN: files.files[f"{PKI}/front-proxy-client.crt"]}), files)
    names = [ends.chain("cp-1/apiserver", age)[0].subject.rfc4514_string() for age in (OLD, NEW)]
    assert names == ["CN=kube-apiserver-etcd-client", "CN=kube-apiserver"]
    assert ends.chain(crt, OLD) == ends.chain("cp-1/apiserver", OLD)
    assert ends.chain(FOREIGN, OLD)[0].subject.rfc4514_string() == "CN=front-proxy-client"
    assert refusal(ends.chain, FOREIGN, NEW) == f"{FOREIGN} is missing"
    assert refusal(ends.chain, "nodes/cp-1/opt/other.crt", OLD) == "there is no nodes/cp-1/opt/other.crt"
    assert refusal(ends.chain, "cp-2/apiserver", OLD) == "there is no cp-2/apiserver"
    assert "apiserver.crt is missing" in refusal(ends.chain, "cp-2/apiserver", NEW)


def test_bundles_and_command_lines(files: Photograph) -> None:
    cut = files.but(**{MANIFEST.replace("/", "__"): b"kind: Pod\n"})
    ends = held(files, cut)
    (anchor,) = ends.anchors(f"{PKI}/etcd/ca.crt", OLD)
    assert anchor.subject.rfc4514_string() == "CN=etcd-ca"
    assert refusal(ends.anchors, f"{PKI}/none.crt", NEW) == f"{PKI}/none.crt is missing"
    assert "--allow-privileged=true" in ends.arguments(MANIFEST, FileKind.KUBE_APISERVER, OLD)
    assert (
        refusal(ends.arguments, MANIFEST, FileKind.KUBE_APISERVER, NEW) == f"{MANIFEST} contains no command"
    )
    binary = held(files.but(**{MANIFEST.replace("/", "__"): b"\xff\xfe"}))
    assert (
        refusal(binary.arguments, MANIFEST, FileKind.KUBE_APISERVER, OLD) == f"{MANIFEST} contains no command"
    )
    assert refusal(ends.arguments, "nodes/x", FileKind.KUBE_APISERVER, NEW) == "nodes/x is missing"


def test_a_key_is_known_by_its_public_half(files: Photograph) -> None:
    ends = held(files)
    public = public_der(load_private(files.files["pki/sa.key"]).public_key())
    assert ends.key("pki/sa.key", OLD) == ends.key(f"{PKI}/sa.pub", NEW) == public
    assert refusal(ends.key, "pki/none.key", OLD) == "pki/none.key is missing"
    assert refusal(ends.key, MANIFEST, OLD) == f"{MANIFEST} holds no key that can be read"


def test_encryption_keys_are_told_apart_without_being_kept(files: Photograph) -> None:
    first, second = b"A" * 44, b"B" * 42 + b"=="
    text = b"keys:\n- name: a\n  secret: %s\n- name: b\n  secret: '%s'\n- secret:\"short\"\n# secret: %s\n"
    changed = files.but(**{ENCRYPTION.replace("/", "__"): text % (first, second, b"C" * 44)})
    ends = held(files, changed)
    (present,) = ends.encryption_keys(ENCRYPTION, OLD)
    found = ends.encryption_keys(ENCRYPTION, NEW)
    assert len({present, *found}) == 3
    assert all(len(each) == 32 and first not in each for each in found)
    none = held(files.but(**{ENCRYPTION.replace("/", "__"): b"keys: []\n"}))
    assert refusal(none.encryption_keys, ENCRYPTION, OLD) == f"{ENCRYPTION} holds no key"
    assert refusal(ends.encryption_keys, "nodes/none", OLD) == "nodes/none is missing"


def test_which_files_are_ours_and_how_old_they_are(files: Photograph) -> None:
    ends = held(files.but(nodes__own=b"x"), files)
    second = PKI.replace("cp-1", "cp-2") + "/apiserver.crt"
    assert [ends.is_ours(each) for each in (f"{PKI}/apiserver.crt", second, "nodes/own")] == [True] * 3
    assert not ends.is_ours("nodes/none")
    assert not held(Outside({})).is_ours("../../etc/passwd")
    # What the new tree does not have is on the node still, as it was.
    assert [ends.age_of(f"{PKI}/apiserver.crt", age) for age in Age] == [OLD, NEW]
    assert [ends.age_of(second, age) for age in Age] == [OLD, NEW]
    assert [ends.age_of("nodes/own", age) for age in Age] == [OLD, OLD]


class Outside(Photograph):
    """A tree whose reader refuses what leads out of it."""

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        raise UnsafePathError(f"{path} leads elsewhere, whatever the limit of {limit} bytes")


def test_keys_of_the_operators_own_stay_as_they_are(files: Photograph) -> None:
    mine, other = (key_text(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    same = {"nodes/one.key": mine["private"], "nodes/two.pub": other["public"]}
    old = Photograph({**files.files, **same})
    assert held(old).unless_same(["nodes/one.key"], ["nodes/two.pub", "nodes/none"]) is None
    # In another form it is the same key.
    rewritten = Photograph({**old.files, "nodes/one.key": mine["public"]})
    assert held(old, rewritten).unless_same(["nodes/one.key"], ["nodes/two.pub"]) is None
    changed = Photograph({**old.files, "nodes/two.pub": mine["public"]})
    refused = held(old, changed).unless_same(["nodes/one.key"], ["nodes/two.pub"])
    assert refused is not None
    assert "are not managed by pkigen" in refused
    assert held(old, changed).unless_same(["nodes/one.key"]) is None


def test_each_answer_is_read_once_while_it_is_remembered(
    files: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts.clear()
    monkeypatch.setattr(held_files, "_REMEMBERED", 2)
    ends = held(Counted(files.files))
    first, second, third = (f"{PKI}/{each}.crt" for each in ("ca", "etcd/ca", "front-proxy-ca"))
    for path in (first, first, second, first, third, first, second):
        ends.anchors(path, OLD)
    # The third put out the second, which had not been asked for as lately as the first.
    assert {path: counts[path] for path in (first, second, third)} == {first: 1, second: 2, third: 1}
