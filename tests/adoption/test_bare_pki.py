"""Directories with a PKI and no node in it, and what `adopt` leaves where it is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.adoption.altered_nodes import PKI
from tests.adoption.test_adopt import Adopted, adopted, copy, remove_keys
from tests.cli.program import unaddressed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["adopted", "copy"]  # the fixtures


@pytest.fixture
def easy_rsa(of_pkigen: Path, tmp_path: Path) -> Path:
    """A PKI as easy-rsa lays it out: ca.crt, private/ and issued/."""
    found, place = of_pkigen / "cp-1" / PKI, tmp_path / "pki"
    for directory in ("private", "issued"):
        (place / directory).mkdir(parents=True)
    shutil.copy2(found / "ca.crt", place)
    shutil.copy2(found / "ca.key", place / "private")
    shutil.copy2(found / "apiserver.crt", place / "issued")
    return place


def test_one_alone_is_named_and_the_way_out_told(easy_rsa: Path, adopted: Adopted) -> None:
    assert adopted.adopt(easy_rsa) == 1
    assert "this is a PKI (CAs: CN=kubernetes (with its key); 1 other certificate)" in adopted.err
    assert "no manifest or unit of an API server says what they are for" in adopted.err
    assert "`pkigen adopt --gather NODE`" in unaddressed(adopted.err)
    assert not adopted.root.exists()


def test_a_ca_key_is_found_in_one_beside_the_nodes(copy: Path, easy_rsa: Path, adopted: Adopted) -> None:
    remove_keys(copy, "ca")
    assert adopted.adopt(copy) == 1
    assert "without it nothing of that CA is renewed or issued" in adopted.err
    assert adopted.adopt(copy, easy_rsa) == 0, adopted.err
    assert "note: pki is taken for a PKI, not for a node" in adopted.err
    assert "adopted 95 objects of 4 nodes" in adopted.out
    own = (easy_rsa / "private/ca.key").read_bytes()
    assert (adopted.root / "pki/ca.key").read_bytes() == own
    assert adopted.planned() == []


def test_what_is_left_out_is_said(copy: Path, adopted: Adopted) -> None:
    """kubeadm gives the break-glass kubeconfig to its first node alone; people copy it to others."""
    first = copy / "cp-1/etc/kubernetes"
    shutil.copy2(first / "admin.conf", copy / "cp-2/etc/kubernetes/super-admin.conf")
    shutil.copy2(first / "pki/apiserver.key", copy / "cp-3" / PKI / "dashboard.key")
    assert adopted.adopt(copy) == 0, adopted.err
    left = "cp-2:/etc/kubernetes/super-admin.conf, cp-3:/etc/kubernetes/pki/dashboard.key"
    assert f"note: not taken over, and not renewed here: {left}\n" in adopted.err
