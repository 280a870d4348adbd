"""The index saves work and decides nothing: with it, without it, and with any byte of it changed."""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen import layout
from pkigen.cli.reports.status import rows
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.adopted import ABSENT, Adopted
from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import EtcdMembership, derive
from pkigen.desired.rendering import Renderer
from pkigen.desired.rendering.templates import Templates, template_directory
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.errors import AuthorityError
from pkigen.reconcile import index, planner, survey
from pkigen.reconcile.cluster_changes import ClusterStep, ClusterVerb
from pkigen.reconcile.index import Glance, PlanIndex
from pkigen.reconcile.plan import Ask, Keep, Plan
from pkigen.reconcile.planner import Planner
from pkigen.reconcile.surveyed import Selection
from pkigen.reconcile.verify import verify
from pkigen.reconcile.whole_survey import survey_whole
from pkigen.state.authority_record import SETTLED
from pkigen.state.reasons import Reason
from pkigen.state.views import Move, MovedView
from pkigen.store import Store
from tests.samples import CP1, W1, W2, World, private_keys, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from cryptography.x509 import Certificate

    from pkigen.crypto.keys import PrivateKey
    from pkigen.desired.inventory import Inventory
    from pkigen.store import Snapshot

LATER = timedelta(minutes=1)


def plan_of(world: World, *, now: datetime | None = None) -> Plan:
    """The plan as a command makes it: with the index, which it keeps."""
    with Store.open_reading(world.root) as store:
        moment = now or world.now + LATER
        found = Planner(inventory=world.inventory, renderer=world.renderer, now=moment).at(store)
        return found.plan(store)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each plan that is made by a look at the directory."""
    seen: list[str] = []
    made = planner.make_plan

    def noted(*given: Any, **named: Any) -> Plan:
        seen.append("look")
        return made(*given, **named)

    monkeypatch.setattr(planner, "make_plan", noted)
    return seen


@pytest.fixture
def settled(world: World) -> World:
    """A directory whose files are old, and which has an index."""
    settle(world)
    plan_of(world)
    assert (world.root / ".pkigen/index").exists()
    return world


def settle(world: World) -> None:
    """Let a minute go by: no time that a file has is the present any more."""
    world.now = max(world.now, _newest(world.root)) + LATER


def _newest(root: Path) -> datetime:
    newest = max(max(path.lstat().st_mtime, path.lstat().st_ctime) for path in root.rglob("*"))
    return datetime.fromtimestamp(newest, UTC)


def test_who_asks_for_more_than_a_plan_is_not_told_what_is_known(settled: World, looks: list[str]) -> None:
    """Nor does what was asked for become what is known."""
    kept = (settled.root / ".pkigen/index").read_bytes()
    with Store.open_reading(settled.root) as store:
        found = Planner(inventory=settled.inventory, renderer=settled.renderer, now=settled.now + LATER)
        found = found.at(store)
        assert found.plan(store, selection=Selection()) == found.plan(store)
        assert looks == []
        selected = found.plan(store, selection=Selection(ids=frozenset({"cp-1/apiserver"})))
        assert [action.id for action in selected.changes] == ["cp-1/apiserver"]
        move = Move(source="pki/not-there", target=None)
        assert found.plan(store, moves=(move,)).moves == (move,)
        assert found.plan(store, rotated={"ca": "prepared"}).rotated == {"ca": "prepared"}
        seen = survey_whole(found.inventory, store, found.renderer, now=found.now)
        assert found.plan(store, seen=seen).observed == seen.reader.digests
    assert looks == ["look"] * 4
    assert (settled.root / ".pkigen/index").read_bytes() == kept


def test_of_what_is_no_directory_nothing_is_known(settled: World) -> None:
    with Store.open_reading(settled.root) as store:
        found = Planner(inventory=settled.inventory, renderer=settled.renderer, now=settled.now + LATER)
        assert found.at(store).is_settled(store)
        assert not found.at(store).is_settled(MovedView(store, ()))


def test_what_nobody_has_touched_is_not_looked_at(settled: World, looks: list[str]) -> None:
    known = plan_of(settled)
    assert looks == []
    (settled.root / ".pkigen/index").unlink()
    assert plan_of(settled) == known
    assert looks == ["look"]


@pytest.mark.parametrize(
    "settings",
    [
        {"runtime": "systemd"},
        {"encryption": {}, "users": [{"name": "jane", "groups": ["dev"]}]},
        {"certificates": {"kubeconfigs": "files", "keyAlgorithm": "ECDSA-P256"}},
        {"certificates": {"nodeKeys": "node"}},
    ],
    ids=["systemd", "users", "kubeconfigs-by-path", "keys-on-nodes"],
)
def test_the_known_plan_is_the_plan(settings: dict[str, Any], tmp_path: Path, looks: list[str]) -> None:
    cluster = spec(CP1, W1, W2, **settings)
    world = World(root=tmp_path / "prod", cluster=cluster, now=datetime.now(UTC))
    world.apply()
    settle(world)
    made, again = plan_of(world), plan_of(world)
    assert again == made
    # What waits for a node's request is looked at each time.
    assert len(looks) == (2 if made.waiting else 1)


def test_the_spec_may_name_its_nodes_in_another_order(tmp_path: Path, looks: list[str]) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, W1, W2))
    world.apply()
    settle(world)
    plan_of(world)
    known = plan_of(world.follow(spec(CP1, W2, W1)))
    assert looks == ["look"]
    (world.root / ".pkigen/index").unlink()
    assert plan_of(world) == known


def _rewritten(world: World) -> None:
    """Other bytes of the same length, with the times that the file had."""
    path = world.path("nodes/worker-1/etc/kubernetes/pki/ca.crt")
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced(world: World) -> None:
    path = world.path("pki/ca.crt")
    shutil.copy2(path, path.with_name("x"))
    path.with_name("x").rename(path)


def _linked(world: World) -> None:
    """A directory's place is taken by a link to a copy of it."""
    path = world.path("nodes/worker-1")
    shutil.copytree(path, world.root.parent / "elsewhere", copy_function=shutil.copy2)
    shutil.rmtree(path)
    path.symlink_to(world.root.parent / "elsewhere")


TOUCHED: dict[str, Callable[[World], object]] = {
    "content": _rewritten,
    "replaced": _replaced,
    "removed": lambda world: world.path("nodes/cp-1/etc/kubernetes/pki/apiserver.key").unlink(),
    "mode": lambda world: world.path("pki/ca.key").chmod(0o644),
    "came": lambda world: world.path("nodes/worker-1/etc/kubernetes/manifests.yaml").write_text("x"),
    "node came": lambda world: world.path("nodes/worker-9/etc").mkdir(parents=True),
    "directory linked": _linked,
    "lock file": lambda world: world.path("pki.lock").write_text("{}"),
    "ledger": lambda world: world.path(".pkigen/ledger.jsonl").write_text(""),
    "top came": lambda world: (
        world.path("users").mkdir(exist_ok=True) or world.path("users/x").write_text("")
    ),
}


@pytest.mark.parametrize("touch", TOUCHED.values(), ids=TOUCHED)
def test_what_was_touched_is_looked_at(
    touch: Callable[[World], object], settled: World, looks: list[str]
) -> None:
    touch(settled)
    found = plan_of(settled)
    assert looks == ["look"]
    (settled.root / ".pkigen/index").unlink()
    assert plan_of(settled) == found


def test_a_comparison_that_sees_nothing_would_be_noticed(
    settled: World, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken control: the tests above would fail."""
    monkeypatch.setattr(Store, "stands_as", lambda *_: True)
    _rewritten(settled)
    assert not plan_of(settled).changes
    assert looks == []


def test_another_spec_is_another_plan(settled: World, looks: list[str]) -> None:
    assert plan_of(settled.follow(spec(CP1, W1, W2, encryption={}))).changes
    assert looks == ["look"]


def test_a_rotation_in_another_phase_is_another_plan(settled: World, looks: list[str]) -> None:
    """A step is planned under phases that the directory is not in yet."""
    with Store.open_reading(settled.root) as store:
        moment = settled.now + LATER
        found = Planner(inventory=settled.inventory, renderer=settled.renderer, now=moment).at(store)
        prepared = found.under(Rotations(phases={"sa": Phase.PREPARED}))
        assert found.is_settled(store)
        assert not prepared.is_settled(store)
        assert prepared.plan(store).changes
    assert looks == ["look"]


def test_other_templates_are_another_plan(settled: World, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "kubeconfig.yaml.j2").write_text("# ours\n")
    with Store.open_reading(settled.root) as store:
        of = Planner.of(settled.inventory, now=settled.now + LATER, templates=folder).at(store)
        assert not of.is_settled(store)


def test_another_pkigen_looks_again(
    settled: World, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "__version__", "0.0.1")
    plan_of(settled)
    assert looks == ["look"]


@pytest.mark.parametrize("days", [-1, 1, 400])
def test_time_alone_changes_a_plan(settled: World, looks: list[str], days: int) -> None:
    """Before it was made; after a day, for some rule may have been forgotten; and after a year."""
    moment = settled.now + timedelta(days=days, hours=1)
    found = plan_of(settled, now=moment)
    assert looks == ["look"]
    assert bool(found.changes) == (days > 1)


def test_what_is_about_to_be_due_is_known_until_then(settled: World, looks: list[str]) -> None:
    due = min(
        settled.certificate(item.id).not_valid_after_utc - item.renew_before
        for item in settled.inventory.certificates.values()
    )
    (settled.root / ".pkigen/index").unlink()
    plan_of(settled, now=due - timedelta(hours=1))
    assert not plan_of(settled, now=due - timedelta(seconds=1)).changes
    assert looks == ["look"]
    assert plan_of(settled, now=due).changes
    assert looks == ["look", "look"]


def test_a_ca_above_ours_may_end_first(world: World) -> None:
    """Who signed our CA need not end after it; once it has, no CA here is fit, and a plan says so."""
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    settle(world)

    def ca(
        name: str, profile: Profile, key: PrivateKey, issuer: Issuer | None, **validity: int
    ) -> Certificate:
        content = CertificateContent(
            subject=Subject(common_name=name),
            sans=SANs(),
            profile=profile,
            validity=timedelta(**validity),
        )
        return issue(content, key=key, issuer=issuer, now=world.now, entropy=os.urandom).certificate

    # Two of one name and key: the one that is in the file ends in half a day.
    above = ca("corporate", Profile.CA, root, None, hours=12)
    signer = Issuer(certificate=ca("corporate", Profile.CA, root, None, days=9000), key=root)
    issued = ca("issuing", Profile.INTERMEDIATE, own, signer, days=8000)
    world.path("pki/ca.crt").write_bytes(certificate_pem(issued, above))
    world.path("pki/ca.key").write_bytes(private_pem(own))
    world.apply()
    settle(world)
    assert not plan_of(world).changes
    assert (world.root / ".pkigen/index").exists()
    with pytest.raises(AuthorityError, match="corporate above it in the file expired"):
        plan_of(world, now=above.not_valid_after_utc)


def test_what_has_just_been_written_is_looked_at_again(world: World, looks: list[str]) -> None:
    world.now = _newest(world.root) + timedelta(seconds=1)
    plan_of(world, now=world.now)
    assert not (world.root / ".pkigen/index").exists()
    plan_of(world, now=world.now)
    assert looks == ["look", "look"]


def test_what_was_written_with_an_old_date_is_looked_at_again(world: World) -> None:
    """A file's mtime is anybody's to set; its ctime is the system's."""
    for path in world.root.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    world.now = _newest(world.root) + timedelta(seconds=1)
    plan_of(world, now=world.now)
    assert not (world.root / ".pkigen/index").exists()


def test_what_is_dated_ahead_is_looked_at_again(world: World) -> None:
    settle(world)
    ahead = (world.now + timedelta(days=1)).timestamp()
    os.utime(world.path("pki/ca.crt"), (ahead, ahead))
    plan_of(world)
    assert not (world.root / ".pkigen/index").exists()


# -- without a directory ----------------------------------------------------------------------------------

CLUSTER = spec(CP1, W1)
INVENTORY = derive(CLUSTER)
NOW = datetime(2026, 11, 28, tzinfo=UTC)
QUIET = Plan(
    actions=(Keep(id="x", paths=(), node=None, reason=None),),
    authority=SETTLED,
    until=NOW + timedelta(days=9),
)
STEP = ClusterStep(verb=ClusterVerb.MAP, kubeconfig="")


class Noted:
    """Stands for a store: notes what is kept, and which names in the root are described."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.tops: list[str] = []

    def keep_index(self, data: bytes) -> None:
        self.kept.append(data)

    def snapshot(self, tops: Collection[str]) -> Snapshot:
        self.tops += tops
        return {}


def glance(
    inventory: Inventory = INVENTORY, renderer: Renderer | None = None, *, store: object = None
) -> Glance:
    given: Any = store
    return Glance.at(given, inventory, renderer or Renderer(INVENTORY), now=NOW)


def kept_of(
    plan: Plan, *, inventory: Inventory = INVENTORY, times: tuple[int, int] = (0, 0)
) -> PlanIndex | None:
    store = Noted()
    glance(inventory, store=store).keep(plan, {"pki": [1, *times, 1, 1], "gone": None})
    return PlanIndex.decode(store.kept[0]) if store.kept else None


def test_whatever_a_plan_follows_from_makes_it_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what stands in files, which are compared as well: there it may come to be read from elsewhere."""
    revoked = Revocation(
        credential=CredentialId.parse("JTI=a"), of="x", reason="y", revoked=NOW, expires=None
    )
    trust = replace(INVENTORY.token_trust, issuer="https://elsewhere.example.com")
    others = (
        derive(spec(CP1)),
        replace(INVENTORY, etcd=EtcdMembership(founders=("cp-9",))),
        replace(INVENTORY, adopted={"ca": Adopted(found=ABSENT, wanted="", modes="")}),
        replace(INVENTORY, revocations=RevocationList(active=(revoked,))),
        replace(INVENTORY, given_token_trust=trust),
    )
    digests = {glance(each).of for each in (INVENTORY, *others)}
    assert glance(derive(CLUSTER)).of in digests
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        shutil.copy(template_directory() / "kubeconfig.yaml.j2", tmp_path / name)
        own = replace(INVENTORY, templates=Templates(tmp_path / name))
        digests.add(glance(renderer=Renderer(own)).of)
    monkeypatch.setattr(Renderer, "digest", lambda _: "another pkigen's")
    digests.add(glance().of)
    assert len(digests) == len([INVENTORY, *others, "here", "there", "another"])


def test_a_plan_that_says_anything_is_not_kept() -> None:
    assert kept_of(QUIET) is not None
    (keep,) = QUIET.actions
    move = Move(source="a", target="b")
    others = (
        replace(QUIET, actions=(keep, replace(keep, reason=Reason.EXPIRED))),
        replace(QUIET, actions=(Ask(id="x", paths=(), node=None, reason=None),)),
        replace(QUIET, authority=replace(SETTLED, is_empty=True)),
        replace(QUIET, moves=(move,)),
        replace(QUIET, rotated={"ca": "prepared"}),
        replace(QUIET, withheld=("x",)),
        replace(QUIET, given={"addons/x": ()}),
        replace(QUIET, in_cluster=(STEP,)),
        replace(QUIET, until=None),
    )
    assert [kept_of(each) for each in others] == [None] * len(others)
    rotating = replace(INVENTORY, rotations=Rotations(phases={"ca": Phase.PREPARED}))
    assert kept_of(QUIET, inventory=rotating) is None


def test_it_is_kept_until_time_may_change_it_and_no_longer_than_a_day() -> None:
    tomorrow = NOW + timedelta(days=1)
    for moment in (tomorrow + timedelta(days=1), tomorrow, NOW + timedelta(hours=1)):
        found = kept_of(replace(QUIET, until=moment))
        assert found is not None
        assert (found.since, found.until) == (NOW, min(moment, tomorrow))


@pytest.mark.parametrize("which", [0, 1], ids=["mtime", "ctime"])
def test_a_file_may_be_written_within_the_same_tick(which: int) -> None:
    seconds = int(NOW.timestamp())
    for age, is_kept in ((3, True), (2, False), (0, False), (-9, False)):
        times = [0, 0]
        times[which] = (seconds - age) * 10**9
        assert (kept_of(QUIET, times=(times[0], times[1])) is not None) == is_kept


def test_a_known_plan_says_until_when_it_holds() -> None:
    class Kept(Noted):
        def index(self) -> bytes:
            return index_of.encode()

        def stands_as(self, files: Snapshot) -> bool:
            return files == index_of.files

    index_of = kept_of(QUIET)
    assert index_of is not None
    known = glance(store=Kept()).known_plan()
    assert known is not None
    assert (known.until, known.authority) == (index_of.until, SETTLED)


def test_what_cannot_be_listed_has_no_index() -> None:
    store = Noted()
    glance(store=store).keep(QUIET, None)
    assert not store.kept


def test_a_plan_looks_below_names_in_the_root() -> None:
    store = Noted()
    assert glance(store=store).files() == {}
    assert set(store.tops) == layout.OWN_TREES | {layout.LOCK_FILE}


def test_no_byte_of_it_decides(settled: World) -> None:
    """Every byte flipped, and every length: what is planned is what a look finds, and nothing is raised."""
    path = settled.root / ".pkigen/index"
    whole = path.read_bytes()
    assert PlanIndex.decode(whole) is not None
    for at in range(len(whole)):
        for bits in (0x01, 0x80):
            torn = whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :]
            assert PlanIndex.decode(torn) is None
    assert not any(PlanIndex.decode(whole[:length]) for length in range(len(whole)))
    # Whoever wrote it has counted right, and means something else.
    content = json.loads(whole.partition(b"\n")[2])
    for name in content:
        for other in (None, [], {}, 0, "x", {"x": "x"}, {"x": []}):
            changed = json.dumps({**content, name: other}).encode()
            found = forged(changed)
            assert found is None or found.encode() != whole
    assert forged(b"{}") is None
    assert forged(b"[" * 100_000) is None
    for name in ("since", "until"):
        naive = forged(json.dumps({**content, name: "2026-11-28T00:00:00"}).encode())
        assert naive is not None
        assert getattr(naive, name).tzinfo is UTC  # it is compared with the present
        assert forged(json.dumps({**content, name: "0001-01-01T00:00:00+23:59"}).encode()) is None


def forged(content: bytes) -> PlanIndex | None:
    """What is read of a content whose digest is right."""
    return PlanIndex.decode(index._sum(content) + content)  # noqa: SLF001 -- as a forger would


def test_a_damaged_index_is_made_again_in_silence(
    settled: World, looks: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    path = settled.root / ".pkigen/index"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole.swapcase(), os.urandom(4096)):
        path.write_bytes(damaged)
        assert not plan_of(settled).changes
        assert PlanIndex.decode(path.read_bytes()) is not None
    assert len(looks) == len([b"", "cut", "other", "random"])
    assert capfd.readouterr() == ("", "")


def test_that_of_another_directory_is_not_believed(settled: World, looks: list[str], tmp_path: Path) -> None:
    """Not even where it is a copy with all times: its inodes are others."""
    copy = tmp_path / "copy"
    shutil.copytree(settled.root, copy, copy_function=shutil.copy2)
    settled.root = copy
    settle(settled)
    plan_of(settled)
    assert looks == ["look"]


@pytest.mark.parametrize("there", [".pkigen/index", ".pkigen/index.new"])
def test_what_stands_in_its_place_is_no_error(settled: World, looks: list[str], there: str) -> None:
    (settled.root / ".pkigen/index").unlink()
    (settled.root / there).mkdir()
    assert not plan_of(settled).changes
    assert not plan_of(settled).changes
    assert looks == ["look", "look"]


def test_it_holds_no_secret_and_is_read_by_nobody_else(settled: World) -> None:
    path = settled.root / ".pkigen/index"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    data = path.read_bytes()
    assert not list(private_keys(data))
    secrets = [settled.read(each) for each in ("pki/encryption.key",) if settled.path(each).exists()]
    assert not any(secret.strip() in data for secret in secrets)


def test_verify_never_asks_it(settled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Glance, "at", refuse)
    monkeypatch.setattr(Store, "index", refuse)
    with Store.open_reading(settled.root) as store:
        assert not verify(settled.inventory, store, settled.renderer, now=settled.now).findings


def test_status_says_the_same_of_what_is_known(settled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open_reading(settled.root) as store:
        of = Planner(inventory=settled.inventory, renderer=settled.renderer, now=settled.now + LATER).at(
            store
        )
        assert of.is_settled(store)
        renderer = Renderer(of.inventory)
        whole = list(rows(of.inventory, store, renderer, now=of.now))
        monkeypatch.setattr(survey, "examine", None)  # nothing is checked
        assert list(rows(of.inventory, store, renderer, now=of.now, settled=True)) == whole
