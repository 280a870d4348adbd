"""Whatever is done with a cluster of pkigen's own is done with one that was taken over."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import DAY, moment
from tests.adoption.test_adopt import Adopted, contents

if TYPE_CHECKING:
    from pathlib import Path

PHASES = ("prepare", "promote", "finish")


@pytest.fixture(params=["pkigen", pytest.param("kubeadm", marks=pytest.mark.live)])
def adopted(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Adopted:
    if request.param == "kubeadm":
        kubeadm_trees.kubeadm()
    shutil.copytree(request.getfixturevalue(f"of_{request.param}"), tmp_path / "nodes", symlinks=True)
    # After the moment at which kubeadm, which asks the clock itself, has made everything.
    found = Adopted(tmp_path, moment() + timedelta(minutes=10), capsys)
    assert found.adopt(tmp_path / "nodes") == 0, found.err
    return found


def done(adopted: Adopted, *arguments: str, after: timedelta = timedelta()) -> None:
    assert adopted.run(*arguments, "-C", str(adopted.root), after=after) == 0, (arguments, adopted.err)


def is_right(adopted: Adopted, *, after: timedelta = timedelta()) -> None:
    assert adopted.planned(after=after) == []
    assert adopted.run("verify", "-C", str(adopted.root), after=after) == 0, adopted.out


def rotate(adopted: Adopted, what: str) -> None:
    for phase in PHASES:
        force = ("--force",) if (what, phase) == ("sa", "finish") else ()
        done(adopted, "rotate", what, "--phase", phase, "--yes", "--assume-distributed", *force)
        is_right(adopted)


def test_the_token_key_rotates_once_manifests_name_the_next_one(adopted: Adopted) -> None:
    before = (adopted.root / "pki/sa.pub").read_bytes()
    files = contents(adopted.root)
    assert adopted.run("rotate", "sa", "-C", str(adopted.root), "--phase", "prepare", "--yes") == 1
    assert "(--service-account-key-file): it would accept none of the next key" in adopted.err
    assert "hint: add manifests to `manage` in the spec" in adopted.err
    assert contents(adopted.root) == files
    adopted.edit(manage=["manifests"])
    done(adopted, "apply", "--yes", "--force")
    rotate(adopted, "sa")
    assert (adopted.root / "pki/sa.pub").read_bytes() != before


def test_secrets_are_encrypted_from_now_on_and_the_key_rotates(adopted: Adopted) -> None:
    adopted.edit(encryption={}, manage=["manifests"])
    done(adopted, "apply", "--yes", "--force")
    is_right(adopted)
    (before, *others) = {path.read_bytes() for path in (adopted.root / "nodes").rglob("*encryption*.yaml")}
    assert not others
    rotate(adopted, "encryption-key")
    assert before not in {path.read_bytes() for path in (adopted.root / "nodes").rglob("*encryption*.yaml")}


@pytest.mark.parametrize("years", [1.5, 12])
def test_expired_it_is_rescued(adopted: Adopted, years: float) -> None:
    """Its leaves alone, and its CAs too."""
    later = years * 365 * DAY
    absent = set(contents(adopted.root / "nodes"))
    assert adopted.run("verify", "-C", str(adopted.root), after=later) == 4
    done(adopted, "rescue", "--yes", after=later)
    is_right(adopted, after=later)
    # What its makers do without, nobody needs for a renewed CA.
    assert set(contents(adopted.root / "nodes")) == absent


def test_nodes_come_and_go(adopted: Adopted) -> None:
    text = adopted.spec.read_text()
    before = contents(adopted.root / "nodes/cp-1")
    members = [
        {"name": f"cp-{number}", "roles": ["control-plane"], "addresses": [f"10.0.0.1{number}"]}
        for number in (1, 2, 3)
    ]
    adopted.edit(nodes=[*members, {"name": "worker-2", "roles": ["worker"], "addresses": ["10.0.0.22"]}])
    done(adopted, "apply", "--yes", "--force")
    is_right(adopted)
    assert contents(adopted.root / "nodes/cp-1") == before
    assert (adopted.root / "nodes/worker-2/etc/kubernetes/kubelet.conf").exists()
    assert not (adopted.root / "nodes/worker-1").exists()
    adopted.spec.write_text(text)
    done(adopted, "apply", "--yes", "--force")
    is_right(adopted)


def test_bundles_bring_it_to_its_nodes(adopted: Adopted, tmp_path: Path) -> None:
    done(adopted, "renew", "--all", "--yes")
    words = tmp_path / "words"
    words.write_text("correct horse battery staple\n")
    words.chmod(0o600)
    known = ("--passphrase-file", str(words))
    done(adopted, "airgap", "bundle", "create", "--out", str(tmp_path / "media"), *known)
    pin = re.search(r"signed by bundle key (\S+)", adopted.out)
    assert pin is not None, adopted.err
    (bundle,) = (tmp_path / "media").glob("*cp-2*.bundle")
    root = tmp_path / "nodes/cp-2"
    before = contents(root)
    install = ("airgap", "bundle", "install", str(bundle), "--root", str(root), "--pin", pin[1], *known)
    assert adopted.run(*install, "--node", "cp-2", "--yes") == 0, adopted.err
    after, tree = contents(root), contents(adopted.root / "nodes/cp-2")
    assert {path: after[path] for path in tree} == tree
    changed = {path for path in before if before[path] != after.get(path)}
    assert changed
    assert changed <= set(tree)
