"""Which clusters are taken over, and what is recorded of them: trees that are right but for a little."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pkigen import layout
from pkigen.desired.adopted import ABSENT
from pkigen.desired.items import DesiredKubeconfig
from pkigen.desired.readers import ComponentName
from pkigen.errors import AdoptionError
from pkigen.reconcile.adopt import Import, TakenOver, take_over
from pkigen.reconcile.planner import Planner
from pkigen.state.lockfile import read_lock
from pkigen.state.reasons import Reason
from pkigen.store import Store
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, Unsynced, World, node, spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from pkigen.state.lockfile import Lock

ETCD1 = node("etcd-1", "10.0.0.31", "etcd")
PKI = "nodes/cp-1/etc/kubernetes/pki"
CONF = "nodes/cp-1/etc/kubernetes"
ETCD = "nodes/etcd-1/etc/kubernetes/pki/etcd"
OWN = (layout.LOCK_FILE, layout.GITIGNORE_FILE, ".pkigen/")


@dataclass(kw_only=True)
class Found:
    """A cluster's files, and what they are to become."""

    world: World
    files: Mapping[str, bytes]

    def taken(
        self,
        root: Path,
        files: Mapping[str, bytes | None] | None = None,
        *,
        now: datetime = NOW,
        idle: Mapping[str, frozenset[ComponentName]] | None = None,
        modes: Mapping[str, int] | None = None,
    ) -> Taken:
        """Take them over, with others in the place of some, and without those that are None."""
        mixed, modes = {**self.files, **(files or {})}, modes or {}
        imports = [
            Import(
                path=path,
                mode=modes.get(path, mode_of(path)),
                content=data,
                private=path.startswith("pki/") and layout.is_private(path),
            )
            for path, data in mixed.items()
            if data is not None
        ]
        planner = Planner.of(self.world.inventory, now=now)
        with Store.open(root, command="adopt", now=now, filesystem=Unsynced()) as store:
            told = take_over(planner, imports, store, self.world.tools(), idle=idle or {})
            lock = read_lock(store)
            ledger = store.read(layout.LEDGER_FILE).data
        assert lock is not None
        return Taken(told=told, lock=lock, lines=[json.loads(line) for line in ledger.splitlines()])


@dataclass(kw_only=True)
class Taken:
    told: TakenOver
    lock: Lock
    lines: list[dict[str, Any]]


def mode_of(path: str) -> int:
    return layout.SECRET_MODE if layout.is_private(path) else layout.PUBLIC_MODE


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Found:
    world = World(root=tmp_path_factory.mktemp("made") / "prod", cluster=spec(CP1, ETCD1, manage=[]))
    world.apply()
    files = Photograph.of(world.root).files
    return Found(world=world, files={path: files[path] for path in files if not path.startswith(OWN)})


def refused(cluster: Found, root: Path, files: Mapping[str, bytes | None], **asked: Any) -> tuple[str, str]:
    """Why nothing is taken over; then nothing is there."""
    with pytest.raises(AdoptionError) as error:
        cluster.taken(root, files, **asked)
    assert not (root / layout.LOCK_FILE).exists()
    start = "the cluster cannot be taken over as it is: "
    assert error.value.message.startswith(start)
    return error.value.message.removeprefix(start), error.value.hint or ""


def absent(*paths: str) -> dict[str, bytes | None]:
    return dict.fromkeys(paths)


def pair(path: str) -> tuple[str, str]:
    return f"{path}.crt", f"{path}.key"


# -- what is taken over -------------------------------------------------------------------------------------


def test_a_cluster_that_is_right(cluster: Found, tmp_path: Path) -> None:
    taken = cluster.taken(tmp_path / "prod")
    items = [each for each in cluster.world.inventory.items if not isinstance(each, DesiredKubeconfig)]
    assert taken.told == TakenOver(objects=len(items), due=(), advice={})
    assert taken.lock.adopted == {}
    # A line for each certificate, and one for the lock file.
    *adopted, recorded = taken.lines
    assert {each["event"] for each in adopted} == {"adopted"}
    facts = json.loads((tmp_path / "prod" / layout.LOCK_FILE).read_bytes())["certificates"]
    assert {each["id"]: each["fingerprint"] for each in adopted} == {
        identifier: each["fingerprint"] for identifier, each in facts.items()
    }
    assert set(facts) == set(cluster.world.inventory.certificates)
    assert recorded["event"] == "recorded"
    for path, data in cluster.files.items():
        found = tmp_path / "prod" / path
        assert (found.read_bytes(), found.stat().st_mode & 0o777) == (data, mode_of(path))


def test_the_authoritys_own_are_private_whatever_they_were(cluster: Found, tmp_path: Path) -> None:
    cluster.taken(tmp_path / "prod", modes={"pki/ca.key": 0o644})
    assert (tmp_path / "prod/pki/ca.key").stat().st_mode & 0o777 == 0o600


def test_one_ca_for_several(cluster: Found, tmp_path: Path) -> None:
    files = cluster.files
    one = {
        **{f"pki/front-proxy-ca.{end}": files[f"pki/ca.{end}"] for end in ("crt", "key")},
        f"{PKI}/front-proxy-ca.crt": files["pki/ca.crt"],
        **{
            f"{PKI}/front-proxy-client.{end}": files[f"{PKI}/apiserver-kubelet-client.{end}"]
            for end in ("crt", "key")
        },
    }
    taken = cluster.taken(tmp_path / "prod", one)
    assert set(taken.lock.adopted) == {"cp-1/front-proxy-client"}
    assert taken.told.advice == {Reason.SHARED_KEY: 1, Reason.SUBJECT_CHANGED: 1}


def test_into_a_new_directory_only(cluster: Found, tmp_path: Path) -> None:
    root = tmp_path / "prod"
    for path in ("users/x", layout.LOCK_FILE):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(b"{}")
        with pytest.raises(AdoptionError, match="is not empty: a cluster is taken over once") as error:
            cluster.taken(root)
        assert error.value.hint == "give another directory with -C"
        shutil.rmtree(root)


def test_what_differs_is_kept_and_told_of(cluster: Found, tmp_path: Path) -> None:
    wanted = spec(CP1, ETCD1, manage=[], apiServer={"certSANs": ["api.example.com"]})
    other = replace(cluster, world=World(root=cluster.world.root, cluster=wanted))
    bundle = f"{PKI}/ca.crt"
    commented = b"# ours\n" + cluster.files[bundle]
    taken = other.taken(tmp_path / "prod", {bundle: commented}, modes={f"{PKI}/apiserver.key": 0o644})
    # Each object once, by what weighs most.
    assert taken.told.advice == {Reason.ORDER_CHANGED: 1, Reason.SANS_CHANGED: 1}
    assert taken.told.due == ()
    assert set(taken.lock.adopted) == {"cp-1/apiserver", bundle}
    (line,) = (each for each in taken.lines if each["id"] == bundle)
    assert line["event"] == "adopted"
    assert "fingerprint" not in line
    assert (tmp_path / "prod" / bundle).read_bytes() == commented


def test_what_is_due_is_taken_over_and_renewed_later(cluster: Found, tmp_path: Path) -> None:
    taken = cluster.taken(tmp_path / "prod", now=NOW + timedelta(days=400))
    leaves = {each.id for each in cluster.world.inventory.certificates.values() if each.issuer is not None}
    assert sorted(taken.told.due) == sorted(leaves)


def test_one_pair_for_several(cluster: Found, tmp_path: Path) -> None:
    """What another maker has given to two is recorded, though nothing about it differs otherwise."""
    given = {f"{ETCD}/server.{end}": cluster.files[f"{ETCD}/peer.{end}"] for end in ("crt", "key")}
    taken = cluster.taken(tmp_path / "prod", given)
    assert set(taken.lock.adopted) == {"etcd-1/etcd-peer"}


def test_a_kubelet_with_a_certificate_of_its_own(cluster: Found, tmp_path: Path) -> None:
    own = by_file(cluster.files[f"{CONF}/kubelet.conf"], "/var/lib/kubelet/pki/kubelet-client-current.pem")
    taken = cluster.taken(tmp_path / "prod", {f"{CONF}/kubelet.conf": own})
    assert set(taken.lock.adopted) == {"cp-1/kubelet.conf"}
    assert taken.lock.adopted["cp-1/kubelet.conf"].found != ABSENT
    (line,) = (each for each in taken.lines if each["id"] == "cp-1/kubelet.conf")
    assert (line["event"], "fingerprint" in line) == ("adopted", False)


def by_file(kubeconfig: bytes, path: str) -> bytes:
    """A kubeconfig that names the files of its certificate and its key."""
    return re.sub(rb"client-(certificate|key)-data: .*", rb"client-\1: " + path.encode(), kubeconfig)


# -- what may be absent -------------------------------------------------------------------------------------


SERVING = pair("nodes/cp-1/var/lib/kubelet/pki/kubelet")
FRONT_PROXY = (*pair("pki/front-proxy-ca"), f"{PKI}/front-proxy-ca.crt", *pair(f"{PKI}/front-proxy-client"))


@pytest.mark.parametrize(
    ("paths", "identifiers", "idle"),
    [
        (SERVING, {"cp-1/kubelet-serving"}, {}),
        (("nodes/etcd-1/etc/kubernetes/kubelet.conf",), {"etcd-1/kubelet.conf"}, {}),
        (("nodes/etcd-1/etc/kubernetes/pki/ca.crt",), {"nodes/etcd-1/etc/kubernetes/pki/ca.crt"}, {}),
        ((f"{PKI}/ca-signing.crt",), {f"{PKI}/ca-signing.crt"}, {}),
        (FRONT_PROXY, {"front-proxy-ca", f"{PKI}/front-proxy-ca.crt", "cp-1/front-proxy-client"}, {}),
        # Nothing that runs reads an administrator's kubeconfig.
        ((f"{CONF}/admin.conf",), {"cp-1/admin.conf"}, {}),
        (
            (f"{CONF}/scheduler.conf",),
            {"cp-1/scheduler.conf"},
            {"cp-1": frozenset({ComponentName.SCHEDULER, ComponentName.KUBELET})},
        ),
    ],
)
def test_what_nothing_reads_may_be_absent(
    paths: tuple[str, ...],
    identifiers: set[str],
    idle: Mapping[str, frozenset[ComponentName]],
    cluster: Found,
    tmp_path: Path,
) -> None:
    taken = cluster.taken(tmp_path / "prod", absent(*paths), idle=idle)
    assert set(taken.lock.adopted) == identifiers
    assert {each.found for each in taken.lock.adopted.values()} == {ABSENT}
    assert taken.told.due == ()
    assert not identifiers & {each["id"] for each in taken.lines}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"{CONF}/kubelet.conf", f"cp-1/kubelet.conf: {CONF}/kubelet.conf is missing"),
        (f"{CONF}/scheduler.conf", f"cp-1/scheduler.conf: {CONF}/scheduler.conf is missing"),
        (f"{PKI}/ca.crt", f"{PKI}/ca.crt is missing"),
        (f"{PKI}/front-proxy-ca.crt", f"{PKI}/front-proxy-ca.crt is missing"),
        (f"{PKI}/ca.key", f"{PKI}/ca.key is missing"),
        (f"{PKI}/sa.pub", f"{PKI}/sa.pub is missing"),
        ("pki/bundle.key", "bundle-key: pki/bundle.key is missing"),
        (f"{ETCD}/server.crt", f"etcd-1/etcd-server: {ETCD}/server.crt is missing"),
        (f"{PKI}/apiserver.key", f"cp-1/apiserver: private key {PKI}/apiserver.key is missing"),
        (
            f"{PKI}/front-proxy-client.crt",
            f"cp-1/front-proxy-client: {PKI}/front-proxy-client.crt is missing",
        ),
    ],
)
def test_what_is_read_may_not(path: str, told: str, cluster: Found, tmp_path: Path) -> None:
    assert refused(cluster, tmp_path / "prod", absent(path), idle={"cp-2": frozenset(ComponentName)}) == (
        told,
        (
            "`pkigen verify TREE` of the same files says what is wrong with them; what is missing here has "
            "to be copied from its node"
        ),
    )


def test_what_may_be_absent_may_not_be_damaged(cluster: Found, tmp_path: Path) -> None:
    told, _ = refused(cluster, tmp_path / "prod", {SERVING[0]: b"nothing"})
    assert told.startswith(f"cp-1/kubelet-serving: {SERVING[0]} ")


def test_a_key_that_cannot_be_read(cluster: Found, tmp_path: Path) -> None:
    told, _ = refused(cluster, tmp_path / "prod", {f"{PKI}/apiserver.key": b"nothing"})
    assert told.startswith(f"cp-1/apiserver: private key {PKI}/apiserver.key ")


def test_what_is_taken_over_is_not_shown() -> None:
    file = Import(path="a", mode=0o600, content=b"secret")
    assert "secret" not in repr(file)
    assert not file.private


def test_a_certificate_of_another_ca(cluster: Found, tmp_path: Path) -> None:
    """It is readable, and neither tolerated nor due."""
    strange = {
        f"{PKI}/apiserver.{end}": cluster.files[f"{PKI}/front-proxy-client.{end}"] for end in ("crt", "key")
    }
    told, _ = refused(cluster, tmp_path / "prod", strange)
    assert told.startswith("cp-1/apiserver: ")
    assert ";" not in told


def test_a_kubeconfig_that_logs_in_otherwise(cluster: Found, tmp_path: Path) -> None:
    """Only a kubelet renews a certificate of its own."""
    path = f"{CONF}/scheduler.conf"
    own = by_file(cluster.files[path], "/var/lib/kubelet/pki/kubelet-client-current.pem")
    told, hint = refused(cluster, tmp_path / "prod", {path: own})
    assert told.startswith(
        f"cp-1/scheduler.conf: {path} is not a kubeconfig with an embedded client certificate"
    )
    assert hint == (
        "leave an administrator's kubeconfig that logs in by a plugin or a token out of the copy: it is kept "
        "absent then; a component's needs its certificate"
    )
    told, also = refused(cluster, tmp_path / "prod", {path: own, f"{PKI}/sa.pub": None})
    assert also == hint
    assert f"{PKI}/sa.pub is missing" in told
    named = by_file(cluster.files[f"{CONF}/kubelet.conf"], "/etc/kubernetes/mine.pem")
    told, _ = refused(cluster, tmp_path / "other", {f"{CONF}/kubelet.conf": named})
    assert told.startswith("cp-1/kubelet.conf: ")


def test_the_first_faults_are_named(cluster: Found, tmp_path: Path) -> None:
    copies = ("ca.crt", "ca.key", "front-proxy-ca.crt", "sa.key", "sa.pub")
    leaves = ("apiserver", "apiserver-kubelet-client", "apiserver-etcd-client")
    eight = absent(*(f"{PKI}/{each}" for each in copies), *(f"{PKI}/{each}.key" for each in leaves))
    told, _ = refused(cluster, tmp_path / "prod", eight)
    assert told.count(" is missing") == 8
    assert all(each.endswith(" is missing") for each in told.split("; "))
    told, _ = refused(cluster, tmp_path / "other", {**eight, **absent(f"{CONF}/scheduler.conf")})
    assert told.count(" is missing") == 8
    assert told.endswith(" is missing and 1 more")
