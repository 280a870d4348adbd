"""What is found of each certificate and around it, and what is done about it: a tree in memory."""

from __future__ import annotations

import base64
import json
import os
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen import layout
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import load_private, private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.adopted import ABSENT, Adopted
from pkigen.desired.generations import CA
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredKubeconfig, DesiredSecret, content_of
from pkigen.desired.rendering import Renderer
from pkigen.reconcile.checkout import without_secrets
from pkigen.reconcile.plan import Action, Ask, Await, Create, Keep, Reissuance, Reissue, Renew, Rewrite
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.surveyed import Selection
from pkigen.state.authority import look_at_all
from pkigen.state.observed import KEY_PLACEHOLDER, observe_certificate
from pkigen.state.reasons import Reason
from pkigen.state.views import HashedView
from tests.reconcile.test_surveyed_files import sealed
from tests.reconcile.test_verify_rules import Memory, in_memory
from tests.samples import CP1, NOW, W1, World, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.surveyed import Surveyed
    from pkigen.state.authority import CACertificates

KUBERNETES = "nodes/cp-1/etc/kubernetes"
PKI = f"{KUBERNETES}/pki"
API, ADMIN, SCHEDULER = "cp-1/apiserver", "cp-1/admin.conf", "cp-1/scheduler.conf"
CRT, KEY, CONF = f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key", f"{KUBERNETES}/scheduler.conf"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Memory]:
    world = World(root=tmp_path_factory.mktemp("certificates") / "prod", cluster=spec(CP1, W1))
    world.apply()
    return world, in_memory(world)


def survey(
    world: World,
    tree: Memory,
    *,
    inventory: Inventory | None = None,
    public: bool = False,
    authorities: dict[CA, CACertificates] | None = None,
    **asked: Any,
) -> Survey:
    inventory, store = inventory or world.inventory, cast("Any", tree)
    return Survey(
        inventory=inventory,
        reader=cast("Any", without_secrets(store, inventory)) if public else store,
        renderer=Renderer(inventory) if inventory is not world.inventory else world.renderer,
        authorities=look_at_all(store, inventory, now=NOW)[0] if authorities is None else authorities,
        **{"now": world.now, **asked},
    )


def surveyed(world: World, tree: Memory, **asked: Any) -> dict[str, Surveyed]:
    return {each.item.id: each for each in survey(world, tree, **asked).objects()}


def told(found: Surveyed) -> tuple[type[Action], Reason | None, tuple[str, ...]]:
    """What is to be done to a certificate, and why, in full."""
    action, item = found.action, found.item
    assert isinstance(item, DesiredCertificate)
    assert (action.id, action.paths, action.node) == (item.id, item.read_paths, item.node)
    assert (action.reissuance is not None) is isinstance(action, Create | Renew | Reissue | Await)
    return type(action), action.reason, action.details


def of(world: World, tree: Memory, identifier: str, **asked: Any) -> tuple[Any, ...]:
    return told(surveyed(world, tree, **asked)[identifier])


KEPT = (Keep, None, ())


# -- the pass -----------------------------------------------------------------------------------------------


class Watching:
    """Progress that counts what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []
        self.steps = 0

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        self.said.append((what, total))
        yield self._step

    def _step(self) -> None:
        self.steps += 1


def test_what_is_right_is_kept(made: tuple[World, Memory]) -> None:
    world, tree = made
    progress = Watching()
    whole = survey(world, tree, progress=progress)
    found = {each.item.id: each for each in whole.objects()}
    assert len(whole) == len(found) == progress.steps
    assert progress.said == [("looking at", len(found))]
    assert set(found) == {each.id for each in world.inventory.items}
    assert {type(each.item) for each in found.values()} & {DesiredKubeconfig} == set()
    authorities = look_at_all(cast("Any", tree), world.inventory, now=NOW)[0]
    for identifier, item in world.inventory.certificates.items():
        each = found[identifier]
        assert told(each) == KEPT
        assert (each.findings, each.advice, each.adopted) == ((), (), None)
        assert each.observed == observe_certificate(cast("Any", tree), item.location)
        assert each.issuer == (authorities[item.issuer] if item.issuer is not None else None)
    assert whole.hashed is None
    # Told by those who ask for less.
    some = survey(
        world, tree, progress=progress, what="reading", kinds=(DesiredCertificate,), without={API, "x"}
    )
    assert {each.item.id for each in some.objects()} == set(world.inventory.certificates) - {API}
    assert progress.said[1] == ("reading", len(some))
    assert survey(world, tree, kinds=(DesiredSecret,)).items == [
        each for each in world.inventory.items if isinstance(each, DesiredSecret)
    ]
    assert survey(world, tree, kinds=(DesiredKubeconfig,)).items == []
    view = HashedView(cast("Any", tree))
    assert survey(world, tree, authorities=authorities).hashed is None
    hashed = Survey(
        inventory=world.inventory, reader=view, renderer=world.renderer, authorities=authorities, now=NOW
    )
    assert hashed.hashed is view


def test_what_is_known_to_be_right_is_read_alone(made: tuple[World, Memory]) -> None:
    """Not even that its key is missing is seen."""
    world, tree = made
    full = surveyed(world, tree)
    settled = surveyed(world, tree.but({KEY: None}), settled=True)
    for identifier, item in world.inventory.certificates.items():
        each = settled[identifier]
        assert told(each) == KEPT
        assert each.observed is not None
        assert full[identifier].observed.certificate == each.observed.certificate  # type: ignore[union-attr]
        assert (each.item, each.issuer) == (item, full[identifier].issuer)
    assert of(world, tree.but({KEY: None}), API)[0] is not Keep


# -- one certificate ----------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_certificate(made: tuple[World, Memory]) -> None:
    world, tree = made
    gone = surveyed(world, tree.but({CRT: None, KEY: None}))[API]
    assert told(gone) == (Create, Reason.MISSING, (f"{CRT} is missing",))
    assert [each.reason for each in gone.findings] == [Reason.MISSING]
    assert gone.action.reissuance == Reissuance(
        issuer="ca", key_algorithm="ECDSA-P256", expires=None, will_expire=NOW + 365 * DAY
    )
    assert of(world, tree.but({KEY: None}), API) == (
        Reissue,
        Reason.KEY_MISSING,
        (f"private key {KEY} is missing",),
    )
    due = surveyed(world, tree, now=NOW + 350 * DAY)[API]
    assert told(due)[:2] == (Renew, Reason.EXPIRES_SOON)
    assert due.action.reissuance == Reissuance(
        issuer="ca",
        key_algorithm="ECDSA-P256",
        expires=NOW + 365 * DAY,
        will_expire=NOW + (350 + 365) * DAY,
    )
    last = surveyed(world, tree, now=NOW + 3400 * DAY)
    end = last["ca"].observed.certificate.not_valid_after_utc  # type: ignore[union-attr]
    assert last[API].action.reissuance.will_expire == end  # type: ignore[union-attr]
    both = surveyed(world, tree, now=NOW + 3400 * DAY, selection=Selection(ids=frozenset({"ca"})))
    assert told(both["ca"])[:2] == (Renew, Reason.REQUESTED)
    assert both["ca"].action.reissuance.issuer is None  # type: ignore[union-attr]
    assert both[API].action.reissuance.will_expire == NOW + 3765 * DAY  # type: ignore[union-attr]
    loose = replace(tree, modes={**tree.modes, KEY: 0o644})
    found = surveyed(world, loose)[API]
    assert told(found) == (Rewrite, Reason.MODE, (f"{KEY} mode 0644, must be 0600",))
    assert [each.reason for each in found.findings] == [Reason.MODE]
    for identifier, path, must in (
        (API, CRT, "0644"),
        (SCHEDULER, CONF, "0600"),
        ("ca", "pki/ca.crt", "0644"),
    ):
        loose = replace(tree, modes={**tree.modes, path: 0o666})
        assert of(world, loose, identifier) == (Rewrite, Reason.MODE, (f"{path} mode 0666, must be {must}",))


def test_what_is_asked_for(made: tuple[World, Memory]) -> None:
    world, tree = made

    def asked(*, days: int = 0, **selection: Any) -> tuple[Any, ...]:
        return of(world, tree, API, now=NOW + days * DAY, selection=Selection(**selection))[:2]

    assert asked(ids=frozenset({API})) == (Renew, Reason.REQUESTED)
    assert asked(ids=frozenset({ADMIN})) == (Keep, None)
    assert asked(within=366 * DAY) == (Renew, Reason.EXPIRES_SOON)
    assert asked(within=10 * DAY, days=350) == (Keep, None)
    assert asked(ids=frozenset({ADMIN}), only=True, days=350) == (Keep, None)
    assert asked(ids=frozenset({API}), only=True, days=350) == (Renew, Reason.EXPIRES_SOON)


def test_another_generation_of_its_ca_is_told_from_an_unknown_one(made: tuple[World, Memory]) -> None:
    world, tree = made
    known = look_at_all(cast("Any", tree), world.inventory, now=NOW)[0]
    present, other = known[CA.KUBERNETES], known[CA.ETCD]

    def reason(authorities: dict[CA, CACertificates]) -> tuple[Any, ...]:
        found = surveyed(world, tree, authorities=authorities)
        assert told(found["ca"]) == KEPT
        assert found[API].issuer == authorities.get(CA.KUBERNETES)
        return told(found[API])[:2]

    assert reason({CA.KUBERNETES: other}) == (Reissue, Reason.UNKNOWN_ISSUER)
    two = replace(other, other=present.certificate)
    assert reason({CA.KUBERNETES: two}) == (Reissue, Reason.ISSUER_REPLACED)
    assert reason({}) == (Reissue, Reason.ISSUER_REPLACED)


def test_a_ca_that_is_there_is_never_replaced_unasked(made: tuple[World, Memory]) -> None:
    world, tree = made
    assert of(world, tree, "ca", now=NOW + 3640 * DAY)[0] is Keep
    other = derive(spec(CP1, W1, certificates={"keyAlgorithm": "ECDSA-P384"}))
    found = surveyed(world, tree, inventory=other)
    assert told(found["ca"])[0] is Keep
    assert told(found[API])[:2] == (Reissue, Reason.ALGORITHM_CHANGED)
    assert found[API].action.reissuance.key_algorithm == "ECDSA-P384"  # type: ignore[union-attr]
    gone = tree.but({"pki/ca.crt": None, "pki/ca.key": None})
    made_anew = surveyed(world, gone)
    assert told(made_anew["ca"])[:2] == (Create, Reason.MISSING)
    # What does not exist yet limits nothing.
    late = surveyed(world, gone, now=NOW + 3400 * DAY)[API]
    assert late.action.reissuance.will_expire == NOW + 3765 * DAY  # type: ignore[union-attr]


def test_who_signs_for_whom(made: tuple[World, Memory]) -> None:
    world, tree = made
    nodes = derive(spec(CP1, W1, certificates={"nodeKeys": "node"}))
    gone = tree.but({CRT: None})
    assert of(world, gone, API, inventory=nodes)[:2] == (Ask, Reason.AWAITS_REQUEST)
    asked = Selection(requested=frozenset({API}))
    assert of(world, gone, API, inventory=nodes, selection=asked)[0] is Create
    assert of(world, tree, API, inventory=nodes, selection=asked)[:2] == (Renew, Reason.REQUESTED)
    # A key that only the node should have is no longer embedded.
    detail = f"{CONF} contains a private key that only cp-1 should have"
    assert of(world, tree, SCHEDULER, inventory=nodes) == (Rewrite, Reason.KEY_NOT_ALONE, (detail,))
    withheld = b"client-key-data: " + base64.b64encode(KEY_PLACEHOLDER)
    alone = re.sub(rb"client-key-data: .*", withheld, tree.files[CONF])
    assert of(world, tree.but({CONF: alone}), SCHEDULER, inventory=nodes) == KEPT
    offline = derive(spec(CP1, W1, certificates={"authority": "offline", "caKeys": "offline"}))
    without = tree.but({path: None for path in tree.files if path.endswith("ca.key")})
    for identifier, path in (("ca", "pki/ca.crt"), (API, CRT)):
        loose = replace(without.but({KEY: None}), modes={**tree.modes, path: 0o666})
        inventory = offline if identifier == "ca" else nodes
        assert of(world, loose, identifier, inventory=inventory)[1] is Reason.MODE
    due = surveyed(world, without, inventory=offline, now=NOW + 350 * DAY)[API]
    assert told(due)[:2] == (Await, Reason.EXPIRES_SOON)
    assert due.action.reissuance.offline  # type: ignore[union-attr]
    here = surveyed(world, tree, now=NOW + 350 * DAY)[API]
    assert not here.action.reissuance.offline  # type: ignore[union-attr]


# -- around it ----------------------------------------------------------------------------------------------


def lines(found: Surveyed) -> list[str]:
    return [line for line in found.action.diff if line[0] in "+-"]


def test_what_stands_around_it_in_a_kubeconfig(made: tuple[World, Memory]) -> None:
    world, tree = made
    moved = tree.but({CONF: tree.files[CONF].replace(b"10.0.0.11", b"10.0.0.66")})
    found = surveyed(world, moved)[SCHEDULER]
    detail = f"{CONF} differs from what the spec gives in its server"
    assert told(found) == (Rewrite, Reason.CONTENT_CHANGED, (detail,))
    changed = ["-    server: https://10.0.0.66:6443", "+    server: https://10.0.0.11:6443"]
    assert lines(found) == changed
    # A loose mode is put right with that.
    loose = replace(moved, modes={**tree.modes, CONF: 0o666})
    assert of(world, loose, SCHEDULER)[1] is Reason.CONTENT_CHANGED
    renewed = surveyed(world, tree, selection=Selection(ids=frozenset({"ca"})))[SCHEDULER]
    detail = f"{CONF} differs from what the spec gives in its CA"
    assert told(renewed) == (Rewrite, Reason.CONTENT_CHANGED, (detail,))
    assert lines(renewed)[1] == "+    certificate-authority-data: (made by this change)"
    due = surveyed(world, moved, now=NOW + 350 * DAY)[SCHEDULER]
    assert (told(due)[:2], lines(due)) == ((Renew, Reason.EXPIRES_SOON), changed)
    gone = surveyed(world, tree.but({CONF: None}))[SCHEDULER]
    assert (told(gone)[0], gone.action.diff) == (Create, ())
    torn = surveyed(world, tree.but({CONF: b"none"}))[SCHEDULER]
    assert (told(torn)[:2], torn.action.diff) == ((Reissue, Reason.UNREADABLE), ())
    # A certificate in a file of its own has nothing around it.
    assert surveyed(world, tree, now=NOW + 350 * DAY)[API].action.diff == ()


def test_what_stands_behind_a_certificate_in_a_kubeconfig(made: tuple[World, Memory]) -> None:
    """What somebody has put there is a chain that no client sends; the rest is as it must be."""
    world, tree = made
    certificate, _ = embedded(tree.files[CONF])
    both = base64.b64encode(certificate + tree.files["pki/etcd/ca.crt"])
    longer = re.sub(rb"(client-certificate-data: ).*", rb"\1" + both, tree.files[CONF])
    found = surveyed(world, tree.but({CONF: longer}))[SCHEDULER]
    assert told(found)[:2] == (Rewrite, Reason.CHAIN_CHANGED)
    assert found.action.diff == ()
    now = tree.but({CONF: longer})
    kept = surveyed(world, now, inventory=taken_over(world, now, SCHEDULER))[SCHEDULER]
    assert told(kept)[:2] == (Keep, Reason.CHAIN_CHANGED)
    assert [each.reason for each in kept.advice] == [Reason.CHAIN_CHANGED]


def test_the_key_of_a_ca_lies_open_in_an_encrypted_authority(made: tuple[World, Memory]) -> None:
    world, tree = made
    found = surveyed(world, sealed(tree, but="pki/ca.key"))
    detail = "pki/ca.key is not encrypted, but the authority is: it will be sealed"
    assert told(found["ca"]) == (Rewrite, Reason.NOT_SEALED, (detail,))
    assert told(found["etcd-ca"]) == told(found[API]) == KEPT


def intermediate(tree: Memory) -> Memory:
    """The same below an intermediate CA, whose servers have sent its certificate along."""
    key, above = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def ca(name: str, profile: Profile, issuer: Issuer | None, own: Any) -> x509.Certificate:
        content = CertificateContent(
            subject=Subject(common_name=name), sans=SANs(), profile=profile, validity=8000 * DAY
        )
        return issue(content, key=own, issuer=issuer, now=NOW, entropy=os.urandom).certificate

    root = Issuer(certificate=ca("root", Profile.CA, None, above), key=above)
    below = ca("issuing", Profile.INTERMEDIATE, root, key)
    return tree.but({"pki/ca.crt": certificate_pem(below), "pki/ca.key": private_pem(key)})


def test_a_renewed_ca_changes_what_servers_send_after_their_certificate(made: tuple[World, Memory]) -> None:
    world, tree = made
    below = intermediate(tree)
    ca = Issuer(
        certificate=x509.load_pem_x509_certificate(below.files["pki/ca.crt"]),
        key=load_private(below.files["pki/ca.key"]),
    )

    def sent(identifier: str, path: str, *, along: bool) -> dict[str, bytes | None]:
        key = load_private(tree.files[path.replace(".crt", ".key")])
        content = content_of(world.inventory.certificates[identifier])
        leaf = issue(content, key=key, issuer=ca, now=NOW, entropy=os.urandom).certificate
        return {path: certificate_pem(leaf, *((ca.certificate,) if along else ()))}

    client = "cp-1/apiserver-kubelet-client"
    right = below.but({**sent(API, CRT, along=True), **sent(client, f"{PKI}/{client[5:]}.crt", along=False)})
    assert of(world, right, API) == of(world, right, client) == KEPT
    bare = right.but(sent(API, CRT, along=False))
    assert of(world, bare, API)[:2] == (Rewrite, Reason.CHAIN_CHANGED)
    renewed = Selection(ids=frozenset({"ca"}))
    detail = "its CA ca has a new certificate"
    assert of(world, right, API, selection=renewed) == (Rewrite, Reason.CHAIN_CHANGED, (detail,))
    # Whoever sends none, and whoever has another CA, is as it must be; what has expired is renewed for that.
    assert of(world, right, client, selection=renewed) == KEPT
    assert of(world, right, "cp-1/etcd-server", selection=renewed) == KEPT
    assert of(world, right, API, selection=Selection(ids=frozenset({"etcd-ca"}))) == KEPT
    assert of(world, right, API, selection=renewed, now=NOW + 366 * DAY)[:2] == (Renew, Reason.EXPIRED)


# -- what stands elsewhere ----------------------------------------------------------------------------------


def test_a_certificate_that_moves(made: tuple[World, Memory]) -> None:
    world, tree = made
    by_path = derive(spec(CP1, W1, certificates={"kubeconfigs": "files"}))
    item = by_path.certificates[SCHEDULER]
    detail = f"it and its key move from {CONF} to {item.file}"
    found = surveyed(world, tree, inventory=by_path)[SCHEDULER]
    assert told(found) == (Rewrite, Reason.LOCATION_CHANGED, (detail,))
    assert found.observed is not None
    assert found.observed.certificate is not None
    # It has to be good, too.
    due = surveyed(world, tree, inventory=by_path, now=NOW + 350 * DAY)[SCHEDULER]
    assert told(due)[:2] == (Renew, Reason.EXPIRES_SOON)
    nowhere = of(world, tree.but({CONF: None}), SCHEDULER, inventory=by_path)
    assert nowhere[:2] == (Create, Reason.MISSING)
    # Where private files are not looked at, it is taken for what it was.
    unseen = surveyed(world, tree, inventory=by_path, public=True)[SCHEDULER]
    assert told(unseen) == (Rewrite, Reason.LOCATION_CHANGED, (detail,))
    assert unseen.observed is None
    assert [(each.reason, each.detail) for each in unseen.findings] == [(Reason.LOCATION_CHANGED, detail)]
    # A key that the node alone has does not move with it.
    nodes = derive(spec(CP1, W1, certificates={"kubeconfigs": "files", "nodeKeys": "node"}))
    (alone,) = surveyed(world, tree, inventory=nodes, public=True)[SCHEDULER].action.details
    assert alone == f"it moves from {CONF} to {item.file}"
    kept = surveyed(world, tree, public=True)
    assert (told(kept[SCHEDULER]), kept[SCHEDULER].observed) == (KEPT, None)
    assert kept[API].observed is not None
    certificate, key = embedded(tree.files[CONF])
    # Where it is in its place, what else stands at the former one is no matter.
    both = {item.file: certificate, item.file.replace(".crt", ".key"): key}
    there = replace(tree.but(both), modes={**tree.modes, item.file: 0o644})
    assert of(world, there, SCHEDULER, inventory=by_path) == KEPT
    # Back, from files into the kubeconfig; that what names them stands there is all that a checkout shows.
    lock = json.loads(tree.files[layout.LOCK_FILE])
    lock["files"][item.file.replace(".crt", ".key")] = {}
    public = tree.but({item.file: certificate, layout.LOCK_FILE: json.dumps(lock).encode()})
    seen = surveyed(world, public, public=True)[SCHEDULER]
    assert told(seen)[:2] == (Rewrite, Reason.LOCATION_CHANGED)
    assert seen.observed is not None
    files = tree.but({CONF: None, item.file: certificate, item.file.replace(".crt", ".key"): key})
    back = of(world, files, SCHEDULER)
    assert back == (
        Rewrite,
        Reason.LOCATION_CHANGED,
        (f"it and its key move from {item.file} to {CONF}",),
    )


def embedded(kubeconfig: bytes) -> list[bytes]:
    """A certificate and its key, as a kubeconfig holds them."""
    found = re.findall(rb"client-(?:certificate|key)-data: (\S+)", kubeconfig)
    return [base64.b64decode(each) for each in found]


# -- what was taken over ------------------------------------------------------------------------------------


def taken_over(world: World, tree: Memory, *identifiers: str, **fields: str) -> Inventory:
    """The inventory in which these objects were taken over as they stand there."""
    looking = survey(world, tree)
    records = {}
    for item in looking.items:
        if item.id in identifiers:
            if isinstance(item, DesiredCopy):
                state = looking.state_of_copy(item)
            else:
                assert isinstance(item, DesiredCertificate)
                state = looking.state_of(item, observe_certificate(cast("Any", tree), item.location))
            records[item.id] = replace(state, **fields)
    assert len(records) == len(identifiers)
    return replace(world.inventory, adopted=records)


def foreign(world: World, tree: Memory, **more: Any) -> Memory:
    """The same with a certificate of the API server that pkigen would not make."""
    (ca,) = x509.load_pem_x509_certificates(tree.files["pki/ca.crt"])
    item = world.inventory.certificates[API]
    content = replace(content_of(item), sans=SANs.of("api.example.com"), **more)
    key = load_private(tree.files[KEY])
    issuer = Issuer(certificate=ca, key=load_private(tree.files["pki/ca.key"]))
    made = issue(content, key=key, issuer=issuer, now=NOW, entropy=os.urandom).certificate
    return tree.but({CRT: certificate_pem(made)})


def test_a_certificate_that_was_taken_over_is_kept_while_it_is_what_it_was(
    made: tuple[World, Memory],
) -> None:
    world, tree = made
    other = foreign(world, tree)
    assert of(world, other, API)[:2] == (Reissue, Reason.SANS_CHANGED)
    inventory = taken_over(world, other, API)
    found = surveyed(world, other, inventory=inventory)[API]
    kind, reason, (detail,) = told(found)
    assert (kind, reason) == (Keep, Reason.SANS_CHANGED)
    assert [(each.reason, each.detail) for each in found.advice] == [(reason, detail)]
    assert (found.findings, found.adopted) == ((), inventory.adopted[API])
    assert found.issuer is not None
    # The first deviation ends it, of the certificate or of the wish.
    assert of(world, foreign(world, tree), API, inventory=inventory)[0] is Reissue
    # What is due is renewed, and asked for it is, too.
    due = surveyed(world, other, inventory=inventory, now=NOW + 350 * DAY)[API]
    assert told(due)[:2] == (Renew, Reason.EXPIRES_SOON)
    assert [each.reason for each in due.findings] == [Reason.EXPIRES_SOON]
    asked = Selection(ids=frozenset({API}))
    assert of(world, other, API, inventory=inventory, selection=asked)[:2] == (Renew, Reason.REQUESTED)
    # A mode is tolerated only if it was the same then.
    loose = replace(other, modes={**tree.modes, KEY: 0o644})
    later = surveyed(world, loose, inventory=inventory)[API]
    assert told(later)[:2] == (Rewrite, Reason.MODE)
    assert [each.reason for each in later.advice] == [Reason.SANS_CHANGED]
    then = surveyed(world, loose, inventory=taken_over(world, loose, API))[API]
    assert (told(then)[:2], told(then)[2][1]) == (
        (Keep, Reason.SANS_CHANGED),
        f"{KEY} mode 0644, must be 0600",
    )
    # Of what is right there is nothing to say.
    right = surveyed(world, tree, inventory=taken_over(world, tree, API))[API]
    assert (told(right), right.advice) == (KEPT, ())


def test_a_kubeconfig_that_was_taken_over_shows_no_change(made: tuple[World, Memory]) -> None:
    world, tree = made
    moved = tree.but({CONF: tree.files[CONF].replace(b"10.0.0.11", b"10.0.0.66")})
    found = surveyed(world, moved, inventory=taken_over(world, moved, SCHEDULER))[SCHEDULER]
    assert told(found)[:2] == (Keep, Reason.CONTENT_CHANGED)
    assert found.action.diff == ()


def test_a_certificate_that_was_not_there(made: tuple[World, Memory]) -> None:
    world, tree = made
    absent = tree.but({CRT: None, KEY: None})
    inventory = taken_over(world, absent, API)
    assert inventory.adopted[API].found == ABSENT
    asked = Selection(ids=frozenset({API}))
    for selection in (Selection(), asked):
        found = surveyed(world, absent, inventory=inventory, selection=selection)[API]
        assert told(found) == (Keep, Reason.MISSING, (f"{CRT} is missing",))
        assert (found.observed is not None, found.issuer is not None) == (True, True)
        assert found.adopted == inventory.adopted[API]


def test_a_copy_that_was_taken_over(made: tuple[World, Memory]) -> None:
    world, tree = made
    path = f"{PKI}/ca.crt"
    other = tree.but({path: tree.files["pki/etcd/ca.crt"]})
    inventory = taken_over(world, other, path)
    found = surveyed(world, other, inventory=inventory)[path]
    detail = f"{path} is not the ca trust bundle of the authority"
    assert (type(found.action), found.action.reason, found.action.details) == (
        Keep,
        Reason.CONTENT_CHANGED,
        (detail,),
    )
    assert (found.findings, found.adopted) == ((), inventory.adopted[path])
    assert [each.detail for each in found.advice] == [detail]
    changed = surveyed(world, tree.but({path: b"third"}), inventory=inventory)[path]
    assert (type(changed.action), changed.adopted) == (Rewrite, None)
    right = surveyed(world, tree, inventory=inventory)[path]
    assert (type(right.action), right.adopted) == (Keep, None)
    # A mode that has come since.
    loose = replace(tree, modes={**tree.modes, path: 0o666})
    kept = surveyed(world, loose, inventory=taken_over(world, loose, path))[path]
    assert (type(kept.action), kept.action.reason) == (Keep, Reason.MODE)
    since = surveyed(world, loose, inventory=taken_over(world, tree, path))[path]
    assert (type(since.action), since.action.reason) == (Rewrite, Reason.MODE)


def test_what_is_asked_of_something_absent_is_whether_anybody_is_led_to_it(
    made: tuple[World, Memory],
) -> None:
    """Only then: another name, or another CA, makes nobody read it."""
    world, tree = made
    own = World(root=world.root, cluster=spec(CP1, W1, manage=[]))

    def wanted(where: World, now: Memory, identifier: str) -> str:
        return taken_over(where, now, identifier).adopted[identifier].wanted

    signing, serving = f"{PKI}/ca-signing.crt", "cp-1/kubelet-serving"
    kubelet = "nodes/cp-1/var/lib/kubelet/pki/kubelet"
    front = {f"pki/front-proxy-ca.{end}": None for end in ("crt", "key")}
    client, copy = f"{PKI}/front-proxy-client", f"{PKI}/front-proxy-ca.crt"
    leaves = {f"{client}.crt": None, f"{client}.key": None, copy: None}
    without: Memory = tree.but({**front, **leaves})
    for identifier, now in (
        (signing, tree.but({signing: None})),
        (serving, tree.but({f"{kubelet}.crt": None, f"{kubelet}.key": None})),
        ("cp-1/front-proxy-client", without),
        ("front-proxy-ca", without),
        (copy, without),
    ):
        assert wanted(world, now, identifier) != wanted(own, now, identifier), identifier
    # What its CA is there for is read already.
    for identifier, now in (
        ("cp-1/front-proxy-client", tree.but(leaves)),
        (copy, tree.but(leaves)),
        (f"{PKI}/sa.pub", tree.but({f"{PKI}/sa.pub": None})),
        ("ca", tree.but({"pki/ca.crt": None, "pki/ca.key": None, f"{PKI}/ca.crt": None})),
    ):
        same = wanted(world, now, identifier) == wanted(own, now, identifier)
        assert same is (identifier != "ca"), identifier
    kubelets = World(root=world.root, cluster=spec(CP1, W1, manage=["kubelet"]))
    bare = tree.but({f"{kubelet}.crt": None, f"{kubelet}.key": None})
    assert wanted(kubelets, bare, serving) == wanted(world, bare, serving)


def test_what_is_recorded_of_something_that_is_there(made: tuple[World, Memory]) -> None:
    """Its CA by the key, what stands around it, and its own content."""
    world, tree = made

    def state(now: Memory, identifier: str, **fields: Any) -> Adopted:
        looking = survey(world, now, **fields)
        item = looking.inventory.certificates[identifier]
        return looking.state_of(item, observe_certificate(cast("Any", now), item.location))

    known = look_at_all(cast("Any", tree), world.inventory, now=NOW)[0]
    other = {**known, CA.KUBERNETES: known[CA.ETCD]}
    for identifier in (API, SCHEDULER):
        first = state(tree, identifier)
        assert first == state(tree, identifier)
        assert state(tree, identifier, authorities=other).wanted != first.wanted
        assert state(tree, identifier, authorities={}).wanted != first.wanted
        assert state(tree, identifier, authorities=other).found == first.found
    renewed = Selection(ids=frozenset({"ca"}))
    assert state(tree, SCHEDULER, selection=renewed).wanted != state(tree, SCHEDULER).wanted
    assert state(tree, API, selection=renewed) == state(tree, API)
    elsewhere = derive(spec(CP1, W1, controlPlaneEndpoint="10.0.0.99:6443"))
    assert state(tree, ADMIN, inventory=elsewhere).wanted != state(tree, ADMIN).wanted
    own = tree.but(
        {CONF: re.sub(rb"client-certificate-data: .*", b"client-certificate: /x", tree.files[CONF])}
    )
    assert state(own, SCHEDULER).found not in {ABSENT, state(tree, SCHEDULER).found}


def test_cas_that_are_one(made: tuple[World, Memory]) -> None:
    world, tree = made
    known = look_at_all(cast("Any", tree), world.inventory, now=NOW)[0]
    same = {**known, CA.ETCD: known[CA.KUBERNETES]}
    found = surveyed(world, tree, authorities=same)
    separates = "`pkigen rotate ca etcd-ca` separates them"
    detail = f"has the key of ca: a client of one is a client of the other; {separates}"
    assert told(found["etcd-ca"]) == (Keep, Reason.SHARED_KEY, (detail,))
    assert [(each.reason, each.detail) for each in found["etcd-ca"].advice] == [(Reason.SHARED_KEY, detail)]
    assert {each.item.id for each in found.values() if each.advice} == {"etcd-ca"}
    # An advice is no reason where something is done.
    files = {"pki/etcd/ca.crt": None, "pki/etcd/ca.key": None}
    assert of(world, tree.but(files), "etcd-ca", authorities=same)[:2] == (Create, Reason.MISSING)
