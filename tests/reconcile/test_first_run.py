"""When a first run is right: what may lie there before it, and which names a CA is not read under."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.desired.inventory import derive
from pkigen.errors import PkigenError
from pkigen.reconcile.first_run import is_new, require_own, require_read, require_unchanged, unread
from pkigen.reconcile.plan import Create, Keep, Plan, Rewrite
from tests.rotation.phases import Photograph
from tests.samples import spec
from tests.state.test_lockfile import lock_with

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.reconcile.plan import Action

INVENTORY = derive(spec(encryption={}))


def plan(kind: type[Action], *paths: str) -> Plan:
    return Plan(actions=(kind(id="x", paths=paths, node=None, reason=None),))


NEW = plan(Create, *INVENTORY.paths)


@pytest.mark.parametrize(
    ("made", "new"),
    [
        (None, True),
        ((), True),
        (("ca", "etcd-ca", "front-proxy-ca"), True),
        (("ca", "cp-1/apiserver"), False),
        (("somebody",), False),
    ],
)
def test_a_cluster_is_new_until_more_than_cas_was_made(made: tuple[str, ...] | None, *, new: bool) -> None:
    certificates = {each: {"fingerprint": "sha256:1", "spki": "sha256:2"} for each in made or ()}
    lock = None if made is None else lock_with(certificates=certificates)
    assert is_new(lock, INVENTORY) is new


def test_a_first_run_changes_nothing_that_an_earlier_one_has_made(tmp_path: Path) -> None:
    require_unchanged(NEW, None, root=tmp_path, words="-C prod")
    require_unchanged(plan(Keep, "pki/ca.crt"), lock_with(), root=tmp_path, words="-C prod")
    with pytest.raises(PkigenError) as refused:
        require_unchanged(NEW, lock_with(), root=tmp_path, words="-C prod")
    assert f"{tmp_path} exists and differs from the spec in 1 places" in refused.value.message
    assert "`pkigen plan -C prod`" in refused.value.hint


@pytest.mark.parametrize(
    "harmless",
    [
        plan(Create, "nodes/cp-1/a"),
        plan(Rewrite, "pki/ca.crt", "pki/ca.key"),
        plan(Keep, "nodes/cp-1/a"),
        Plan(actions=()),
    ],
)
def test_an_authority_that_somebody_brought_may_be_there(harmless: Plan, tmp_path: Path) -> None:
    require_own(harmless, root=tmp_path)


@pytest.mark.parametrize("paths", [("nodes/cp-1/a",), ("nodes/cp-1/a", "pki/ca.crt"), ("pkix",)])
def test_other_files_may_not(paths: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(PkigenError) as refused:
        require_own(plan(Rewrite, *paths), root=tmp_path)
    assert refused.value.message == f"{tmp_path} holds files that pkigen did not write: {paths[0]}"
    assert "choose another directory with -C" in refused.value.hint


def test_what_lies_beside_the_authoritys_files_and_is_none_of_them() -> None:
    tree = Photograph({"pki/ca.crt": b"", "pki/a": b"", "nodes/b": b"", "pki/etcd/c": b""})
    assert unread(tree, INVENTORY) == ("pki/a", "pki/etcd/c")


# -- names that pkigen does not read ------------------------------------------------------------------------


def refusal(*paths: str, made: Plan = NEW) -> tuple[str, str] | None:
    tree = Photograph(dict.fromkeys(paths, b""))
    try:
        require_read(made, tree, INVENTORY)
    except PkigenError as error:
        return error.message, error.hint
    return None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pki/ca.pem", "pki/ca.crt"),
        ("pki/ca.cer", "pki/ca.crt"),
        ("pki/ca.der", "pki/ca.crt"),
        ("pki/ca-key.pem", "pki/ca.key"),
        ("pki/ca.key.pem", "pki/ca.key"),
        ("pki/etcd-ca.crt", "pki/etcd/ca.crt"),
        ("pki/etcd-ca.key", "pki/etcd/ca.key"),
        ("pki/etcd-ca-key.pem", "pki/etcd/ca.key"),
        ("pki/etcd/ca.pem", "pki/etcd/ca.crt"),
        ("pki/front-proxy/ca.crt", "pki/front-proxy-ca.crt"),
        ("pki/front-proxy/ca-key.pem", "pki/front-proxy-ca.key"),
        ("pki/sa.key.pem", "pki/sa.key"),
    ],
)
def test_no_ca_is_made_beside_one_under_another_name(path: str, name: str) -> None:
    assert refusal(path) == (
        f"{path}: not read under this name, so a new CA would be made beside it",
        f"to use it, rename {path} to {name} (as PEM); if it has no use here, move it to another place",
    )


def test_all_of_them_are_named_at_once() -> None:
    told = refusal("pki/ca.pem", "pki/ca-key.pem", "pki/readme.txt")
    assert told is not None
    assert told[0].startswith("pki/ca.pem, pki/ca-key.pem: not read under this name")
    assert "rename pki/ca.pem to pki/ca.crt, pki/ca-key.pem to pki/ca.key (as PEM)" in told[1]


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("pki/readme.txt", NEW),
        ("pki/other.pem", NEW),
        ("nodes/ca.pem", NEW),
        # What is there already, or is not the authority's, is not made.
        ("pki/ca.pem", plan(Rewrite, "pki/ca.crt")),
        ("pki/ca.pem", plan(Create, "pki/sa.key")),
        ("pki/ca.pem", plan(Create, "nodes/cp-1/ca.crt")),
        ("pki/ca.pem", plan(Keep, "pki/ca.crt")),
    ],
)
def test_whatever_else_lies_there_is_in_nobodys_way(path: str, made: Plan) -> None:
    assert refusal(path, made=made) is None
