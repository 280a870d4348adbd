"""Clusters whose one CA is several: taken up as they are, and separated by rotations."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from pkigen.access.requests import make_request
from pkigen.crypto.keys import load_private, private_pem, public_der
from pkigen.crypto.names import Subject
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import DAY, PKI, AlteredNode, moment, new_ca
from tests.adoption.test_adopt import Adopted, adopted, contents, remove_keys
from tests.cli.program import unaddressed

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

__all__ = ["adopted"]  # the fixture

OF_ETCD = ("etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client")
ISSUED = {"etcd/ca": OF_ETCD, "front-proxy-ca": ("front-proxy-client",)}
CALLED = {"ca": "kubernetes", "etcd/ca": "etcd", "front-proxy-ca": "front-proxy"}
ALL = ("etcd/ca", "front-proxy-ca")


def share(nodes: Path, now: datetime, *others: str, owner: str = "ca") -> Path:
    """Have one CA in the place of others too, with everything under it issued by it."""
    for root in nodes.iterdir():
        node = AlteredNode(root=root, now=now)
        for other in others:
            if not node.path(f"pki/{other}.key").exists():
                continue
            for end in ("crt", "key"):
                node.write(f"pki/{other}.{end}", node.path(f"pki/{owner}.{end}").read_bytes())
            for leaf in ISSUED[other]:
                node.reissue(leaf, node.issuer(owner))
    return nodes


@pytest.fixture
def copy(of_pkigen: Path, tmp_path: Path) -> Path:
    shutil.copytree(of_pkigen, tmp_path / "nodes", symlinks=True)
    return tmp_path / "nodes"


def keys_of(adopted: Adopted) -> set[bytes]:
    paths = [adopted.root / f"pki/{name}.crt" for name in CALLED]
    found = [x509.load_pem_x509_certificate(path.read_bytes()) for path in paths]
    return {public_der(each.public_key()) for each in found}


def rotate(adopted: Adopted, *cas: str, steps: tuple[str, ...] = ("prepare", "promote", "finish")) -> None:
    for phase in steps:
        arguments = ("rotate", "ca", *cas, "-C", str(adopted.root), "--yes", "--phase", phase)
        assert adopted.run(*arguments, "--assume-distributed") == 0, (phase, cas, adopted.err)
        assert adopted.run("verify", "-C", str(adopted.root)) == 0, (phase, cas, adopted.out)
        assert adopted.planned() == [], (phase, cas)


def advised(adopted: Adopted) -> list[str]:
    assert adopted.run("plan", "-C", str(adopted.root), "-o", "json") == 0, adopted.err
    advice = json.loads(adopted.out).get("advice", [])
    return [each["id"] for each in advice if each["reason"] == "shared-key"]


@pytest.mark.parametrize(
    ("owner", "others", "told"),
    [
        ("ca", ALL, ["etcd-ca", "front-proxy-ca"]),
        ("ca", ("etcd/ca",), ["etcd-ca"]),
        ("ca", ("front-proxy-ca",), ["front-proxy-ca"]),
        ("etcd/ca", ("front-proxy-ca",), ["front-proxy-ca"]),
    ],
)
def test_it_is_taken_up_as_it_is(
    owner: str, others: tuple[str, ...], told: list[str], copy: Path, now: datetime, adopted: Adopted
) -> None:
    share(copy, now, *others, owner=owner)
    assert adopted.adopt(copy) == 0, adopted.err
    assert "kept until rotated (shared-key)" in adopted.out
    for name in ("cp-1", "worker-1"):
        found = contents(copy / name / PKI)
        taken = contents(adopted.root / "nodes" / name / PKI)
        assert taken == {path: found[path] for path in taken}
    assert adopted.planned() == []
    assert advised(adopted) == told
    assert adopted.run("plan", "-C", str(adopted.root), "--full") == 0
    assert f"`pkigen rotate ca {told[0]}` separates them" in unaddressed(adopted.out)
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    assert " 0 findings" in adopted.out
    assert adopted.run("status", "-C", str(adopted.root)) == 0, adopted.err
    assert len(keys_of(adopted)) == 3 - len(others)


@pytest.mark.parametrize("order", list(permutations(CALLED.values())))
def test_rotations_lead_to_three(order: tuple[str, ...], copy: Path, now: datetime, adopted: Adopted) -> None:
    assert adopted.adopt(share(copy, now, *ALL)) == 0, adopted.err
    adopted.edit(manage=["manifests"])
    assert adopted.run("apply", "-C", str(adopted.root), "--yes", "--force") == 0, adopted.err
    for each in order[:2]:
        rotate(adopted, each)
    # The third CA is alone then: its rotation is one like any other.
    assert len(keys_of(adopted)) == 3
    assert advised(adopted) == []


def test_all_at_once_and_back_in_the_middle(copy: Path, now: datetime, adopted: Adopted) -> None:
    assert adopted.adopt(share(copy, now, *ALL)) == 0, adopted.err
    adopted.edit(manage=["manifests"])
    assert adopted.run("apply", "-C", str(adopted.root), "--yes", "--force") == 0, adopted.err
    steps = ("prepare", "promote", "rollback", "prepare", "promote", "finish")
    rotate(adopted, *CALLED.values(), steps=steps)
    assert len(keys_of(adopted)) == 3


def test_the_way_to_three_needs_no_manifests(copy: Path, now: datetime, adopted: Adopted) -> None:
    """The CA that the controller manager signs with may stay the one that it was."""
    assert adopted.adopt(share(copy, now, *ALL)) == 0, adopted.err
    rotate(adopted, "etcd")
    assert advised(adopted) == ["front-proxy-ca"]
    rotate(adopted, "front-proxy")
    assert len(keys_of(adopted)) == 3
    assert advised(adopted) == []


def test_what_is_due_is_renewed_under_the_shared_ca(copy: Path, now: datetime, adopted: Adopted) -> None:
    assert adopted.adopt(share(copy, now, *ALL)) == 0, adopted.err
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 0, adopted.err
    assert adopted.planned() == []
    assert advised(adopted) == ["etcd-ca", "front-proxy-ca"]
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    adopted.certificate(f"cp-1/{PKI}/etcd/server.crt").verify_directly_issued_by(
        x509.load_pem_x509_certificate((adopted.root / "pki/ca.crt").read_bytes())
    )
    assert adopted.planned(after=30 * DAY) == []


def test_a_key_beside_one_of_the_certificates_is_enough(copy: Path, now: datetime, adopted: Adopted) -> None:
    share(copy, now, *ALL)
    remove_keys(copy, *ALL)
    assert adopted.adopt(copy) == 0, adopted.err
    keys = {(adopted.root / f"pki/{name}.key").read_bytes() for name in CALLED}
    assert len(keys) == 1
    assert adopted.planned() == []


def test_without_any_key_it_is_an_external_ca(copy: Path, now: datetime, adopted: Adopted) -> None:
    share(copy, now, *ALL)
    remove_keys(copy, *CALLED)
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out


def test_its_key_is_certified_for_nobody(copy: Path, now: datetime, adopted: Adopted) -> None:
    assert adopted.adopt(share(copy, now, *ALL)) == 0, adopted.err
    asked = adopted.root.parent / "jane.csr"
    key = load_private((adopted.root / "pki/ca.key").read_bytes())
    asked.write_bytes(make_request(Subject(common_name="jane"), key))
    assert adopted.run("access", "sign", "--csr", str(asked), "--user", "jane", "-C", str(adopted.root)) == 1
    assert "ca" in adopted.err.partition("is that of ")[2]


def test_it_is_encrypted_like_any_other(copy: Path, now: datetime, adopted: Adopted) -> None:
    assert adopted.adopt(share(copy, now, *ALL)) == 0, adopted.err
    adopted.edit(certificates={"distributeCAKeys": False})
    assert adopted.run("apply", "-C", str(adopted.root), "--yes", "--force") == 0, adopted.err
    word = adopted.root.parent / "word"
    word.write_text("correct horse battery staple\n")
    word.chmod(0o600)
    known = ("--passphrase-file", str(word), "-C", str(adopted.root))
    assert adopted.run("airgap", "authority", "encrypt", *known, "--yes") == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    for phase in ("prepare", "promote", "finish"):
        arguments = ("rotate", "ca", "etcd", *known, "--yes", "--phase", phase, "--assume-distributed")
        assert adopted.run(*arguments) == 0, adopted.err
    assert len(keys_of(adopted)) == 2
    assert adopted.planned() == []


def test_what_was_separate_never_becomes_one(copy: Path, now: datetime, adopted: Adopted) -> None:
    """Neither what was taken over with keys apart, nor what a rotation has separated."""
    assert adopted.adopt(share(copy, now, "etcd/ca")) == 0, adopted.err
    rotate(adopted, "etcd")
    for other in ("front-proxy-ca", "etcd/ca"):
        kept = {end: (adopted.root / f"pki/{other}.{end}").read_bytes() for end in ("crt", "key")}
        for end in kept:
            (adopted.root / f"pki/{other}.{end}").write_bytes((adopted.root / f"pki/ca.{end}").read_bytes())
        for arguments in (("plan",), ("apply", "--yes", "--force"), ("renew", "--all", "--yes", "--force")):
            assert adopted.run(*arguments, "-C", str(adopted.root)) == 1
            assert f"pki/ca.crt and pki/{other}.crt have the same key" in adopted.err
        assert adopted.run("verify", "-C", str(adopted.root)) == 4
        for end, data in kept.items():
            (adopted.root / f"pki/{other}.{end}").write_bytes(data)
    assert adopted.planned() == []


@pytest.mark.live
def test_what_kubeadm_makes_of_one_ca(tmp_path: Path, now: datetime, adopted: Adopted) -> None:
    """It takes what it finds in the three places."""
    kubeadm_trees.kubeadm()
    ca, given = new_ca("company", now), tmp_path / "given" / PKI
    (given / "etcd").mkdir(parents=True)
    for name in CALLED:
        (given / f"{name}.crt").write_bytes(ca.pem)
        (given / f"{name}.key").write_bytes(private_pem(ca.key))
    kubeadm_trees.control_plane(tmp_path / "nodes/cp-1", first=tmp_path / "given")
    adopted.now = moment() + timedelta(minutes=1)  # after kubeadm's own clock
    assert adopted.adopt(tmp_path / "nodes") == 0, adopted.err
    assert adopted.planned() == []
    assert advised(adopted) == ["etcd-ca", "front-proxy-ca"]
    rotate(adopted, "etcd", "front-proxy")
    assert len(keys_of(adopted)) == 3
