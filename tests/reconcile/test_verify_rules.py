"""What `verify` says of strangers, records, backups, keys and revocations, and how grave it is: in memory."""

from __future__ import annotations

import base64
import json
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pkigen import layout
from pkigen.crypto.issuance import certificate_pem
from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredCopy, DesiredKubeconfig
from pkigen.desired.rendering import Renderer
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.errors import UnsafePathError
from pkigen.reconcile.observations import ObservationSeverity
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.verify import verify
from pkigen.reconcile.whole_survey import survey_whole
from pkigen.state.authority import look_at_all
from pkigen.state.ledger import LARGEST_LEDGER, Event, LedgerEntry, appended
from pkigen.state.lockfile import LARGEST_LOCK
from pkigen.state.observed import observe_certificate
from pkigen.state.reasons import Anomaly, Reason
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.store import (
    BackupAction,
    FileContent,
    Lapse,
    MissingError,
    RefusedError,
    UnreadableError,
)
from pkigen.store.lapses import Lapsed
from tests.samples import CP1, NOW, W1, World, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from pkigen.crew import Hands
    from pkigen.store import Store

FINDING, REMARK = ObservationSeverity.FINDING, ObservationSeverity.REMARK
PRIVATE = b"-----BEGIN PRIVATE KEY-----\n"
HOST = "etc/kubernetes/pki"
PKI = f"nodes/cp-1/{HOST}"
GROWING = {layout.LOCK_FILE: LARGEST_LOCK, layout.LEDGER_FILE: LARGEST_LEDGER}
"""What is read whole, however large the cluster and its past are."""
Said = dict[tuple[str, Reason | Anomaly], tuple[ObservationSeverity, str]]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A store in memory: files, their modes, and what the system says of some."""

    files: Mapping[str, bytes]
    modes: Mapping[str, int]
    errors: Mapping[str, Exception] = field(default_factory=dict)
    lapsed: tuple[Lapsed, ...] = ()
    kept: tuple[Any, ...] = ()

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        if path in self.errors:
            raise self.errors[path]
        if path not in self.files:
            raise MissingError(f"{path} is missing")
        data = self.files[path]
        assert len(data) <= limit >= GROWING.get(path, 0)
        return FileContent(data=data, mode=self.modes.get(path, 0o600), size=len(data), uid=0, gid=0, links=1)

    def walk(self, path: str = "") -> Iterator[str]:
        yield from (
            each
            for each in (*self.files, *self.errors)
            if each.startswith(path) and not each.startswith(".pkigen/")
        )

    def lapses(self, below: Collection[str]) -> Iterator[Lapsed]:
        assert set(below) == {"pki", "nodes", "users", "addons", "pki.lock"}
        yield from self.lapsed

    def backups(self) -> tuple[Any, ...]:
        return self.kept

    def read_backup(self, identifier: str, path: str, *, limit: int = 1 << 20) -> FileContent:
        assert identifier
        return self.read(path, limit=limit)

    def but(self, files: Mapping[str, bytes | None]) -> Memory:
        """The same with other files, and without those that are None."""
        mixed = {**self.files, **files}
        return replace(self, files={path: data for path, data in mixed.items() if data is not None})


def applied(root: Path, **settings: Any) -> tuple[World, Memory]:
    """A finished tree, taken into memory."""
    world = World(root=root / "prod", cluster=spec(CP1, **settings))
    world.apply()
    return world, in_memory(world)


def in_memory(world: World) -> Memory:
    names = {
        str(path.relative_to(world.root)): path for path in sorted(world.root.rglob("*")) if path.is_file()
    }
    return Memory(
        files={name: path.read_bytes() for name, path in names.items()},
        modes={name: stat.S_IMODE(path.stat().st_mode) for name, path in names.items()},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Memory]:
    return applied(tmp_path_factory.mktemp("rules"))


def said(world: World, tree: Memory, *, now: datetime | None = None, inventory: Any = None) -> Said:
    """All that is said, by subject and reason."""
    store = cast("Store", tree)
    verified = verify(inventory or world.inventory, store, world.renderer, now=now or world.now)
    told = {(each.subject, each.reason): (each.severity, each.detail) for each in verified.observations}
    edges = [each for each in verified.observations if each.reason is Anomaly.BROKEN_EDGE]
    several = len(edges) - len({each.subject for each in edges})  # both ends may refuse
    assert len(told) == len(verified.observations) - several
    return told


def test_a_right_tree(made: tuple[World, Memory]) -> None:
    world, tree = made
    verified = verify(world.inventory, cast("Store", tree), world.renderer, now=world.now)
    assert verified.observations == ()
    # A kubeconfig is looked at once, with its certificate.
    items = [each for each in world.inventory.items if not isinstance(each, DesiredKubeconfig)]
    assert verified.objects == len(items)
    assert verified.edges == len(verified.graph.connections) > 0


@pytest.mark.parametrize(
    ("path", "data", "reason", "severity", "detail"),
    [
        ("mine/notes", b"", None, None, ""),
        (
            "mine/a",
            PRIVATE,
            Anomaly.UNEXPECTED_KEY,
            FINDING,
            "contains a private key that is not in the spec",
        ),
        (
            "mine/admin.conf",
            b"client-key-data: x",
            Anomaly.UNEXPECTED_KEY,
            FINDING,
            "contains a private key that is not in the spec",
        ),
        (
            "nodes/x",
            PRIVATE,
            Anomaly.UNEXPECTED_KEY,
            FINDING,
            "contains a private key that is not in the spec",
        ),
        (
            "nodes/x",
            b"",
            Anomaly.UNEXPECTED_FILE,
            FINDING,
            "is not in the spec, and would be copied to the host",
        ),
        (
            "addons/x",
            b"",
            Anomaly.UNEXPECTED_FILE,
            FINDING,
            "is not in the spec, and would be applied to the cluster",
        ),
        ("pki/x", b"", Anomaly.UNEXPECTED_FILE, REMARK, "is not in the spec"),
        ("users/x", b"", Anomaly.UNEXPECTED_FILE, REMARK, "is not in the spec"),
        (layout.PENDING_REQUEST, b"", Anomaly.UNEXPECTED_FILE, REMARK, "is not in the spec"),
        (layout.AUTHORITY_PIN, b"", Anomaly.UNEXPECTED_FILE, REMARK, "is not in the spec"),
        (IDENTITY_PATH, b"", None, None, ""),
    ],
)
def test_a_file_that_nobody_asked_for(
    path: str,
    data: bytes,
    reason: Anomaly | None,
    severity: ObservationSeverity | None,
    detail: str,
    made: tuple[World, Memory],
) -> None:
    world, tree = made
    found = said(world, tree.but({path: data}))
    assert found == ({} if reason is None else {(path, reason): (severity, f"{path} {detail}")})


def test_what_cannot_be_read(made: tuple[World, Memory]) -> None:
    world, tree = made

    def at(path: str, error: Exception) -> Said:
        return said(world, replace(tree, errors={path: error}))

    link = UnreadableError("whole", reason="is a link")
    assert at("nodes/x", link) == {("nodes/x", Reason.UNREADABLE): (FINDING, "nodes/x is a link")}
    assert at("mine/x", link) == {}
    assert at("mine/x", RefusedError("denied")) == {}
    # What is unknown in our own trees must not pass for right.
    with pytest.raises(RefusedError, match="denied"):
        at("users/x", RefusedError("denied"))
    assert at("nodes/x", MissingError("gone")) == {}
    assert at("nodes/x", UnsafePathError("odd")) == {}


def test_owners_and_modes(made: tuple[World, Memory]) -> None:
    world, tree = made
    ca = "pki/ca.crt"
    several = (
        Lapsed(path="users", lapse=Lapse.WRITABLE, mode=0o777, uid=0),
        Lapsed(path="pki", lapse=Lapse.FOREIGN, mode=0o755, uid=1234),
        Lapsed(path=ca, lapse=Lapse.FOREIGN, mode=0o644, uid=7),
    )
    # The inventory's own files are compared with their exact modes: they are told of once.
    ours = Lapsed(path=ca, lapse=Lapse.OPEN, mode=0o666, uid=0)
    assert said(world, replace(tree, lapsed=(ours, *several))) == {
        ("users", Reason.MODE): (FINDING, "users is writable by other users (mode 0777)"),
        ("pki", Anomaly.OWNER): (FINDING, "pki belongs to another user (uid 1234)"),
        (ca, Anomaly.OWNER): (FINDING, f"{ca} belongs to another user (uid 7)"),
    }
    ledger = {**tree.modes, layout.LEDGER_FILE: 0o640}
    assert said(world, replace(tree, modes=ledger)) == {
        (layout.LEDGER_FILE, Reason.MODE): (
            FINDING,
            f"{layout.LEDGER_FILE} mode 0640, must be 0600",
        )
    }
    assert said(world, replace(tree, modes={**tree.modes, layout.LEDGER_FILE: 0o400})) == {}


def test_the_lock_file_and_the_ledger(made: tuple[World, Memory]) -> None:
    world, tree = made
    lock, ledger = layout.LOCK_FILE, layout.LEDGER_FILE
    assert said(world, tree.but({lock: None}))[lock, Reason.MISSING] == (
        FINDING,
        f"{lock} is missing or cannot be understood",
    )
    other = tree.files[lock].replace(b'"cluster": "prod"', b'"cluster": "test"')
    assert said(world, tree.but({lock: other})) == {
        (lock, Reason.CONTENT_CHANGED): (FINDING, f"{lock} does not describe this tree")
    }
    assert said(world, tree.but({ledger: None}))[ledger, Reason.MISSING] == (FINDING, f"{ledger} is missing")
    link = replace(tree.but({ledger: None}), errors={ledger: UnreadableError("all", reason="is a link")})
    assert said(world, link)[ledger, Reason.UNREADABLE] == (FINDING, f"{ledger} is a link")
    cut = tree.files[ledger].removesuffix(b"\n")
    found = said(world, tree.but({ledger: cut}))
    assert found[ledger, Anomaly.LEDGER][0] is FINDING
    # Where the ledger ends is known from the lock file alone.
    shorter = b"".join(tree.files[ledger].splitlines(keepends=True)[:-1])
    assert [*said(world, tree.but({ledger: shorter}))] == [(ledger, Anomaly.LEDGER)]


def test_an_authority_that_is_not_the_recorded_one(made: tuple[World, Memory]) -> None:
    world, tree = made
    lock = json.loads(tree.files[layout.LOCK_FILE])
    changed = next(path for path in lock["authority"] if path.endswith(("ca.crt", "ca.key")))
    swapped = {changed: tree.files["pki/front-proxy-ca" + changed[-4:]]}
    found = said(world, tree.but(swapped))
    assert found[changed, Anomaly.CHANGED_AUTHORITY][0] is FINDING


def test_a_key_is_one_objects_only(made: tuple[World, Memory]) -> None:
    world, tree = made
    copied = {
        f"{PKI}/apiserver-kubelet-client.{end}": tree.files[f"{PKI}/apiserver.{end}"]
        for end in ("crt", "key")
    }
    found = said(world, tree.but(copied))
    assert found["cp-1/apiserver-kubelet-client", Reason.SHARED_KEY] == (
        FINDING,
        "has the same private key as cp-1/apiserver",
    )
    assert not {subject for subject, reason in found if reason is Reason.SHARED_KEY} - {
        "cp-1/apiserver-kubelet-client"
    }


def test_a_revoked_certificate(made: tuple[World, Memory]) -> None:
    world, tree = made
    facts = json.loads(tree.files[layout.LOCK_FILE])["certificates"]
    name = "cp-1/apiserver-kubelet-client"
    listed = [
        Revocation(
            credential=CredentialId.of_certificate(print_.removeprefix("sha256:")),
            of=name,
            reason="laptop stolen",
            revoked=NOW,
            expires=NOW + timedelta(days=400),
        )
        for print_ in (facts[name]["fingerprint"], "sha256:" + "0" * 64)
    ]
    inventory = replace(world.inventory, revocations=RevocationList(active=tuple(listed)))
    found = said(world, tree, inventory=inventory)
    assert [(key, value) for key, value in found.items() if key[1] is Reason.REVOKED] == [
        (
            (name, Reason.REVOKED),
            (REMARK, f"is revoked (laptop stolen): `pkigen renew {name}` makes another"),
        )
    ]


def test_what_is_soon_to_end_is_a_remark(made: tuple[World, Memory]) -> None:
    world, tree = made
    soon = said(world, tree, now=NOW + timedelta(days=350))
    assert {value[0] for key, value in soon.items() if key[1] is Reason.EXPIRES_SOON} == {REMARK}
    over = said(world, tree, now=NOW + timedelta(days=366))
    assert {value[0] for key, value in over.items() if key[1] is Reason.EXPIRED} == {FINDING}
    assert FINDING in {value[0] for key, value in over.items() if key[1] is Anomaly.BROKEN_EDGE}


def test_a_clone_without_private_files(made: tuple[World, Memory]) -> None:
    world, tree = made
    clone = tree.but({path: None for path in tree.files if layout.is_private(path)})
    found = said(world, replace(clone, lapsed=(Lapsed(path="pki", lapse=Lapse.FOREIGN, mode=0, uid=7),)))
    assert {(reason, severity) for (_, reason), (severity, _) in found.items()} == {
        (Anomaly.NOT_JUDGED, REMARK)
    }
    assert found["cp-1/apiserver", Anomaly.NOT_JUDGED][1] == (
        "not judged: its private files are not in this checkout"
    )
    assert found[layout.LOCK_FILE, Anomaly.NOT_JUDGED][1] == (
        "not judged: the ledger, modes and owners, and the keys of the authority"
    )


def test_backups_of_an_encrypted_authority(made: tuple[World, Memory]) -> None:
    world, tree = made
    entry = SimpleNamespace(path="pki/ca.key", action=BackupAction.REPLACED)
    kept = (SimpleNamespace(id="2026-03-01", entries=(entry,), damage=""),)
    place = ("2026-03-01: pki/ca.key", Reason.NOT_SEALED)
    assert place not in said(world, replace(tree, kept=kept))
    found = said(world, replace(tree.but({RECORD_PATH: b"{}"}), kept=kept))
    assert found[place][0] is FINDING
    assert (RECORD_PATH, Anomaly.UNEXPECTED_FILE) not in found
    # What the change has made was not there before it.
    created = SimpleNamespace(path="pki/ca.key", action=BackupAction.CREATED)
    kept = (SimpleNamespace(id="2026-03-01", entries=(created,), damage=""),)
    assert place not in said(world, replace(tree.but({RECORD_PATH: b"{}"}), kept=kept))
    # Nobody knows what one without its manifest holds.
    kept = (SimpleNamespace(id="2026-03-01", entries=(), damage="manifest.json is missing"),)
    found = said(world, replace(tree.but({RECORD_PATH: b"{}"}), kept=kept))
    assert found["2026-03-01: whatever its damaged manifest named", Reason.NOT_SEALED][0] is FINDING


def test_the_service_account_key_is_no_cas(made: tuple[World, Memory]) -> None:
    world, tree = made
    ca = tree.files["pki/ca.key"]
    found = said(world, tree.but({"pki/sa.key": ca}))
    shared = {subject: value for (subject, reason), value in found.items() if reason is Reason.SHARED_KEY}
    assert shared == {"sa": (FINDING, "has the same private key as ca")}


@pytest.mark.parametrize("path", [layout.PENDING_REQUEST, layout.AUTHORITY_PIN])
def test_what_goes_to_and_fro_with_an_offline_authority(path: str, made: tuple[World, Memory]) -> None:
    world, tree = made
    offline = World(root=world.root, cluster=spec(CP1, certificates={"authority": "offline"}))
    assert (path, Anomaly.UNEXPECTED_FILE) not in said(offline, tree.but({path: b"{}"}))


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Memory]:
    """A tree with a node whose keys are its own, before it has asked for anything."""
    world = World(root=tmp_path_factory.mktemp("asking") / "prod", cluster=spec(CP1, {**W1, "keys": "node"}))
    world.apply()
    return world, in_memory(world)


def test_a_node_that_has_not_asked_yet_is_a_remark_and_on_no_edge(asking: tuple[World, Memory]) -> None:
    awaited = {
        (each, Reason.AWAITS_REQUEST): (REMARK, "no request of worker-1 for it was approved yet")
        for each in ("worker-1/kubelet-serving", "worker-1/kubelet.conf")
    }
    assert said(*asking) == awaited


def test_files_that_flags_of_the_spec_name(tmp_path: Path) -> None:
    flags = {"client-ca-file": f"/{HOST}/own.crt", "tls-private-key-file": f"/{HOST}/own.key"}
    arguments = [{"name": name, "value": value} for name, value in flags.items()]
    own, tree = applied(tmp_path, apiServer={"extraArgs": arguments})
    bundle, key = f"{PKI}/own.crt", f"{PKI}/own.key"
    found = said(own, tree.but({bundle: tree.files["pki/ca.crt"], key: PRIVATE}))
    assert (bundle, Anomaly.UNEXPECTED_FILE) not in found
    # Whichever flag names it: a private key that the spec does not put there stays unexpected.
    assert found[key, Anomaly.UNEXPECTED_KEY][0] is FINDING
    assert not [each for each, reason in found if reason is Anomaly.NOT_JUDGED and "own.crt" in each]
    absent = said(own, tree.but({key: PRIVATE}))
    reason = (
        f"not judged: kube-apiserver on cp-1 reads /{HOST}/own.crt (--client-ca-file), "
        "which pkigen does not manage"
    )
    assert absent["kube-apiserver on cp-1", Anomaly.NOT_JUDGED] == (REMARK, reason)


def test_a_ca_with_the_key_of_another_cannot_sign(made: tuple[World, Memory]) -> None:
    world, tree = made
    found = said(world, tree.but({"pki/etcd/ca.key": tree.files["pki/ca.key"]}))
    severity, detail = found["etcd-ca", Anomaly.UNFIT_AUTHORITY]
    assert severity is FINDING
    assert "pki/etcd/ca" in detail


# -- what was taken over ------------------------------------------------------------------------------------


CONF = "nodes/cp-1/etc/kubernetes"
BUNDLE = f"{PKI}/ca.crt"


def taken_over(world: World, tree: Memory, identifier: str) -> Said:
    """What is said where one object was taken over as it stands there, but for the lock file."""
    store = cast("Store", tree)
    survey = Survey(
        inventory=world.inventory,
        reader=store,
        renderer=world.renderer,
        authorities=look_at_all(store, world.inventory, now=world.now)[0],
        now=world.now,
    )
    item = next(each for each in survey.items if each.id == identifier)
    if isinstance(item, DesiredCopy):
        state = survey.state_of_copy(item)
    else:
        item = world.inventory.certificates[identifier]
        state = survey.state_of(item, observe_certificate(store, item.location))
    found = said(world, tree, inventory=replace(world.inventory, adopted={identifier: state}))
    # It was written for another tree.
    assert found.pop((layout.LOCK_FILE, Reason.CONTENT_CHANGED))
    return found


@pytest.mark.parametrize(
    ("identifier", "absent"),
    [
        (BUNDLE, (BUNDLE,)),
        ("cp-1/apiserver-etcd-client", [f"{PKI}/apiserver-etcd-client.{end}" for end in ("crt", "key")]),
        ("cp-1/scheduler.conf", (f"{CONF}/scheduler.conf",)),
    ],
)
def test_what_the_cluster_did_without_is_on_no_edge(
    identifier: str, absent: Collection[str], made: tuple[World, Memory]
) -> None:
    world, tree = made
    without = tree.but(dict.fromkeys(absent))
    assert taken_over(world, without, identifier) == {}
    assert Anomaly.BROKEN_EDGE in {reason for _, reason in said(world, without)}


def broken(found: Said) -> set[str]:
    """The edges that do not hold; nothing else is said."""
    assert {reason for _, reason in found} <= {Anomaly.BROKEN_EDGE}
    return {subject for subject, _ in found}


def test_a_bundle_that_was_taken_over_is_judged_all_the_same(made: tuple[World, Memory]) -> None:
    world, tree = made
    found = taken_over(world, tree.but({BUNDLE: tree.files["pki/front-proxy-ca.crt"]}), BUNDLE)
    assert "kube-scheduler on cp-1 → kube-apiserver on cp-1" in broken(found)


def test_whom_a_kubelet_with_its_own_certificate_trusts_is_judged(made: tuple[World, Memory]) -> None:
    world, tree = made
    path, identifier = f"{CONF}/kubelet.conf", "cp-1/kubelet.conf"
    own = re.sub(
        rb"client-(certificate|key)-data: .*",
        rb"client-\1: /var/lib/kubelet/pki/kubelet-client-current.pem",
        tree.files[path],
    )
    assert taken_over(world, tree.but({path: own}), identifier) == {}
    other = base64.b64encode(tree.files["pki/front-proxy-ca.crt"])
    led_astray = re.sub(rb"(certificate-authority-data: ).*", rb"\1" + other, own)
    found = taken_over(world, tree.but({path: led_astray}), identifier)
    assert broken(found) == {"kubelet on cp-1 → kube-apiserver on cp-1"}


def test_a_certificate_that_was_taken_over_with_anothers_key(made: tuple[World, Memory]) -> None:
    world, tree = made
    pair = {
        f"{PKI}/apiserver-kubelet-client.{end}": tree.files[f"{PKI}/apiserver.{end}"]
        for end in ("crt", "key")
    }
    found = taken_over(world, tree.but(pair), "cp-1/apiserver-kubelet-client")
    shared = found.pop(("cp-1/apiserver-kubelet-client", Reason.SHARED_KEY))
    assert shared == (REMARK, "has the same private key as cp-1/apiserver")
    # That it is kept does not make it good for what it is shown for.
    assert broken(found) == {"kube-apiserver on cp-1 → kubelet on cp-1"}


def test_one_ca_that_is_recorded_as_two(made: tuple[World, Memory]) -> None:
    world, tree = made
    lock = json.loads(tree.files[layout.LOCK_FILE])
    lock["authority"]["pki/etcd/ca.crt"] = lock["authority"]["pki/ca.crt"]
    same = {f"pki/etcd/ca.{end}": tree.files[f"pki/ca.{end}"] for end in ("crt", "key")}
    shared = ("etcd-ca", Reason.SHARED_KEY)
    assert said(world, tree.but(same))[shared] == (FINDING, "has the same private key as ca")
    recorded = tree.but({**same, layout.LOCK_FILE: json.dumps(lock, indent=2).encode()})
    assert shared not in said(world, recorded)
    # Also where it is all CAs that the cluster has.
    etcd = {"external": {"endpoints": ["http://10.0.1.1:2379"]}}
    two = World(root=world.root, cluster=spec(CP1, etcd=etcd))
    lock["authority"]["pki/front-proxy-ca.crt"] = lock["authority"]["pki/ca.crt"]
    both = {f"pki/front-proxy-ca.{end}": tree.files[f"pki/ca.{end}"] for end in ("crt", "key")}
    of_two = tree.but({**both, layout.LOCK_FILE: json.dumps(lock, indent=2).encode()})
    assert Reason.SHARED_KEY not in {reason for _, reason in said(two, of_two)}
    # CAs alone: a certificate with the key of a CA could sign.
    lead = {f"{PKI}/apiserver.{end}": tree.files[f"pki/ca.{end}"] for end in ("crt", "key")}
    assert said(world, recorded.but(lead))["cp-1/apiserver", Reason.SHARED_KEY][0] is FINDING


# -- what is rare -------------------------------------------------------------------------------------------


def test_a_pair_of_keys_that_is_not_there_shares_none(made: tuple[World, Memory]) -> None:
    world, tree = made
    rotating = derive(world.cluster, Rotations(phases={"sa": Phase.PREPARED}))
    found = said(world, tree.but({"pki/sa.key": None, "pki/sa.pub": None}), inventory=rotating)
    for each in ("sa", "sa-next"):
        assert found[each, Reason.MISSING] == (FINDING, f"pki/{each}.key is missing")
    assert not [subject for subject, reason in found if reason is Reason.SHARED_KEY]


def test_a_ca_that_stricter_verifiers_refuse(made: tuple[World, Memory]) -> None:
    world, tree = made
    (ca,) = x509.load_pem_x509_certificates(tree.files["pki/ca.crt"])
    key: Any = load_pem_private_key(tree.files["pki/ca.key"], None)
    bare = x509.CertificateBuilder(
        ca.issuer,
        ca.subject,
        ca.public_key(),
        ca.serial_number,
        ca.not_valid_before_utc,
        ca.not_valid_after_utc,
    )
    for extension in ca.extensions:
        if not isinstance(extension.value, x509.KeyUsage):
            bare = bare.add_extension(extension.value, critical=extension.critical)
    found = said(world, tree.but({"pki/ca.crt": certificate_pem(bare.sign(key, hashes.SHA256()))}))
    assert found["ca", Anomaly.UNUSUAL_AUTHORITY] == (
        REMARK,
        "the CA has no keyUsage, which Python 3.13 and later refuse (RFC 5280 4.2.1.3)",
    )


def test_a_ledger_that_was_changed_earlier(made: tuple[World, Memory]) -> None:
    world, tree = made
    ledger = layout.LEDGER_FILE
    gap = LedgerEntry(event=Event.MISMATCH, id="ledger", reason=None, facts={})
    longer, _ = appended(tree.files[ledger], [gap], now=NOW)
    severity, detail = said(world, tree.but({ledger: longer}))[ledger, Anomaly.LEDGER_GAP]
    assert severity is REMARK
    assert "the lines before it were not those that pki.lock knew" in detail


def revoked(world: World, listed: RevocationList) -> None:
    """From now on these credentials are revoked."""
    world.inventory = replace(world.inventory, revocations=listed)
    world.renderer = Renderer(world.inventory)


def test_revocations_until_they_are_over(tmp_path: Path) -> None:
    listed, lapsing = (
        Revocation(
            credential=CredentialId.of_certificate(digit * 64),
            of="cp-1/admin.conf",
            reason="laptop stolen",
            revoked=NOW,
            expires=NOW + timedelta(days=days),
        )
        for digit, days in (("a", 90), ("b", 3))
    )
    world = World(root=tmp_path / "prod", cluster=spec(CP1))
    revoked(world, RevocationList(active=(listed, lapsing)))
    world.apply()
    tree = in_memory(world)
    assert said(world, tree) == {}
    # Off the list it comes with the next change: until then neither file is at fault.
    revoked(world, RevocationList(active=(listed,), over=(lapsing,)))
    found = said(world, tree, now=NOW + timedelta(days=30))
    (path,) = {subject for subject, _ in found}
    assert path.endswith("authorization-config.yaml")
    severity, detail = found[path, Reason.REVOCATION_OVER]
    assert severity is REMARK
    assert "what has expired comes off the list" in detail


class Watching:
    """Progress that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        self.told.append((what, total))
        yield lambda: None


def test_who_is_told_and_who_shares_the_work(made: tuple[World, Memory]) -> None:
    world, tree = made
    progress, store = Watching(), cast("Store", tree)
    asked: list[int] = []

    def none(count: int) -> int:
        asked.append(count)
        return 0

    hands = cast("Hands", SimpleNamespace(chunk=128, for_objects=none))
    verified = verify(world.inventory, store, world.renderer, now=world.now, progress=progress, hands=hands)
    assert progress.told == [("verifying objects", verified.objects), ("verifying TLS edges", verified.edges)]
    assert asked == [verified.objects, verified.edges]


def test_a_survey_that_was_made_already_is_not_made_again(made: tuple[World, Memory]) -> None:
    world, tree = made
    manifest = f"{CONF}/manifests/etcd.yaml"
    earlier = cast("Store", tree.but({manifest: None}))
    seen = survey_whole(world.inventory, earlier, world.renderer, now=world.now)
    verified = verify(world.inventory, cast("Store", tree), world.renderer, now=world.now, seen=seen)
    assert verified.objects == len(seen.objects)
    assert (manifest, Reason.MISSING) in {(each.subject, each.reason) for each in verified.observations}
