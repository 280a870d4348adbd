"""One case for each reason why something that is no certificate is not what it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.keys import public_pem
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import MANIFEST, PKI, TreeCase, assert_planned, assert_put_right, edit

if TYPE_CHECKING:
    from tests.samples import World

_ETCD = "nodes/cp-1/etc/kubernetes/manifests/etcd.yaml"
_NO_AUTHORITY = b"-certificate-authority="
CASES: dict[str, TreeCase] = {
    "missing-copy": (
        lambda w: w.path(f"{PKI}/sa.pub").unlink(),
        f"{PKI}/sa.pub",
        "create",
        Reason.MISSING,
        f"{PKI}/sa.pub is missing",
    ),
    "missing-manifest": (
        lambda w: w.path(MANIFEST).unlink(),
        MANIFEST,
        "create",
        Reason.MISSING,
        "is missing",
    ),
    "mode-of-a-copy": (
        lambda w: w.path(f"{PKI}/ca.key").chmod(0o640),
        f"{PKI}/ca.key",
        "rewrite",
        Reason.MODE,
        f"{PKI}/ca.key mode 0640, must be 0600",
    ),
    "mode-of-the-sa-key": (
        lambda w: w.path("pki/sa.key").chmod(0o660),
        "sa",
        "rewrite",
        Reason.MODE,
        "mode 0660",
    ),
    "mode-of-the-encryption-key": (
        lambda w: w.path("pki/encryption.key").chmod(0o644),
        "encryption-key",
        "rewrite",
        Reason.MODE,
        "mode 0644, must be 0600",
    ),
    "content-of-a-manifest": (
        lambda w: w.path(MANIFEST).write_bytes(w.read(MANIFEST) + b"# mine\n"),
        MANIFEST,
        "rewrite",
        Reason.CONTENT_CHANGED,
        "differs from what the spec and the templates give",
    ),
    "address-of-a-member": (
        lambda w: edit(w, _ETCD, b"-peer-urls=https://10.0.0.11", b"-peer-urls=https://10.0.0.66"),
        _ETCD,
        "rewrite",
        Reason.MEMBER_MOVES,
        "the peer URLs of the etcd member change from https://10.0.0.66:2380 to https://10.0.0.11:2380",
    ),
    "kubelets-that-nobody-verified": (
        lambda w: edit(w, MANIFEST, b"-certificate-authority=/etc/kubernetes/pki/ca.crt", _NO_AUTHORITY),
        MANIFEST,
        "rewrite",
        Reason.VERIFIES_KUBELETS,
        "the API server begins to verify kubelets (--kubelet-certificate-authority)",
    ),
    "content-of-a-bundle": (
        lambda w: w.path(f"{PKI}/ca.crt").write_bytes(w.read("pki/ca.crt") + w.read("pki/etcd/ca.crt")),
        f"{PKI}/ca.crt",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "is not the ca trust bundle of the authority",
    ),
    "order-of-a-bundle": (
        lambda w: w.path(f"{PKI}/ca.crt").write_bytes(2 * w.read("pki/ca.crt")),
        f"{PKI}/ca.crt",
        "rewrite",
        Reason.ORDER_CHANGED,
        "has the same certificates, written otherwise",
    ),
    "content-of-a-ca-key": (
        lambda w: w.path(f"{PKI}/ca.key").write_bytes(w.read("pki/etcd/ca.key")),
        f"{PKI}/ca.key",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "is not the ca CA key of the authority",
    ),
    "sa-pub-missing": (
        lambda w: w.path("pki/sa.pub").unlink(),
        "sa",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki/sa.pub is not the public half of pki/sa.key",
    ),
    "sa-pub-stale": (
        lambda w: w.path("pki/sa.pub").write_bytes(public_pem(ec.generate_private_key(ec.SECP256R1()))),
        "sa",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki/sa.pub is not the public half of pki/sa.key",
    ),
    "sa-missing": (
        lambda w: w.path("pki/sa.key").unlink(),
        "sa",
        "create",
        Reason.MISSING,
        "pki/sa.key is missing",
    ),
    "sa-unreadable": (
        lambda w: w.path("pki/sa.key").write_bytes(b"?"),
        "sa",
        "reissue",
        Reason.UNREADABLE,
        "pki/sa.key is not a PEM private key",
    ),
    "encryption-key-missing": (
        lambda w: w.path("pki/encryption.key").unlink(),
        "encryption-key",
        "create",
        Reason.MISSING,
        "pki/encryption.key is missing",
    ),
    "encryption-key-damaged": (
        lambda w: w.path("pki/encryption.key").write_bytes(b"c2hvcnQ="),
        "encryption-key",
        "reissue",
        Reason.UNREADABLE,
        "is not 32 bytes in base64",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    assert_planned(world, CASES[name])
    assert_put_right(world, CASES[name])


def test_a_stale_public_half_and_a_loose_private_one(world: World) -> None:
    world.path("pki/sa.pub").unlink()
    world.path("pki/sa.key").chmod(0o644)
    before = world.read("pki/sa.key")
    world.apply()
    assert world.plan().changes == ()
    assert world.read("pki/sa.key") == before
