"""What each end of a TLS edge presents to the other, and whether it is accepted: without a directory."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crew import Hands
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.connections import Edge, Peer
from pkigen.desired.inventory import derive
from pkigen.desired.trust_graph import Health, Presentation, Shower
from pkigen.reconcile.edge_verdicts import EdgeVerdicts, anchors_in, chain_of, judged
from pkigen.state.observed import WithheldContent
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography import x509

DAY, YEAR = timedelta(days=1), timedelta(days=365)
INVENTORY = derive(spec(CP1, certificates={"renewBefore": "480h"}))
SERVER = INVENTORY.certificates["cp-1/apiserver"]
KEY = ec.generate_private_key(ec.SECP256R1())


def made(
    name: str, profile: Profile, issuer: Issuer | None, *sans: str, lives: timedelta, at: datetime = NOW
) -> Issuer:
    content = CertificateContent(
        subject=Subject(common_name=name), sans=SANs.of(*sans), profile=profile, validity=lives
    )
    key = ec.generate_private_key(ec.SECP256R1()) if issuer is None else KEY
    issued = issue(content, key=key, issuer=issuer, now=at, entropy=os.urandom)
    return Issuer(certificate=issued.certificate, key=key)


OURS = made("kubernetes", Profile.CA, None, lives=3 * YEAR)
SHORT = made("short", Profile.CA, None, lives=40 * DAY)
LEAF = made("api", Profile.SERVER, OURS, "api", "cp-1", lives=YEAR)
CLIENT = made("dev", Profile.CLIENT, OURS, lives=90 * DAY)
BRIEF = made("brief", Profile.CLIENT, OURS, lives=12 * DAY)


def pem(*several: Issuer) -> bytes:
    return b"".join(certificate_pem(each.certificate) for each in several)


TREE = Photograph(
    {
        SERVER.file: pem(LEAF),
        INVENTORY.certificates["ca"].file: pem(OURS),
        "trust.crt": pem(OURS, SHORT),
        "short.crt": pem(SHORT),
        "client.crt": pem(CLIENT),
        "brief.crt": pem(BRIEF),
        "torn.crt": b"nothing",
    }
)
EDGE = Edge(
    client=Peer(component="kubectl", node=None),
    server=Peer(component="kube-apiserver", node="cp-1"),
    names=("api", "cp-1"),
    server_certificate=SERVER.id,
    client_trust="trust.crt",
    client_certificate="client.crt",
    server_trust="trust.crt",
)


class Hidden(Photograph):
    """Some private files are not looked at."""

    def read(self, path: str, *, limit: int = 1 << 20) -> WithheldContent:  # type: ignore[override]
        found = super().read(path, limit=limit)
        shown = {"data": found.data, "mode": found.mode, "size": found.size, "uid": 0, "gid": 0, "links": 1}
        return (WithheldContent if path in HIDDEN else type(found))(**shown)  # type: ignore[return-value]


HIDDEN: set[str] = set()


def found(
    edge: Edge = EDGE, *, tree: Photograph = TREE, now: datetime = NOW + DAY, unknown: tuple[str, ...] = ()
) -> tuple[Presentation, ...]:
    verdicts = EdgeVerdicts(INVENTORY, tree, now=now, unknown=unknown)
    connection = verdicts.connection(edge)
    assert (connection.client, connection.server) == (edge.client, edge.server)
    assert list(judged(verdicts, [edge])) == [connection]
    return connection.presentations


def test_both_ends_present_what_the_other_accepts() -> None:
    server, client = found()
    assert server == Presentation(
        shown_by=Shower.SERVER,
        certificate=SERVER.id,
        bundle="trust.crt",
        names=("api", "cp-1"),
        anchors=("ca", "CN=short"),
        ends=LEAF.certificate.not_valid_after_utc,
        health=Health.HOLDS,
    )
    assert client == Presentation(
        shown_by=Shower.CLIENT,
        certificate="client.crt",
        bundle="trust.crt",
        anchors=("ca", "CN=short"),
        ends=CLIENT.certificate.not_valid_after_utc,
        health=Health.HOLDS,
    )


@pytest.mark.parametrize(
    ("left_out", "shown"),
    [
        ("server_certificate", [Shower.CLIENT]),
        ("client_trust", [Shower.CLIENT]),
        ("client_certificate", [Shower.SERVER]),
        ("server_trust", [Shower.SERVER]),
    ],
)
def test_an_end_without_a_certificate_or_a_judge_presents_nothing(left_out: str, shown: list[Shower]) -> None:
    edge = replace(EDGE, **{left_out: None})  # type: ignore[arg-type]
    assert [each.shown_by for each in found(edge)] == shown


def test_who_refuses_whom_for_what_is_told() -> None:
    edge = replace(EDGE, client_trust="short.crt", server_trust="short.crt", names=("api", "x"))
    server, client = found(edge)
    assert server.health is client.health is Health.BROKEN
    who = f"kubectl (short.crt) refuses the certificate {SERVER.id}"
    assert [each.partition(": ")[0] for each in server.refusals] == [f"{who} for api", f"{who} for x"]
    (refusal,) = client.refusals
    assert refusal.startswith("kube-apiserver on cp-1 (short.crt) refuses the certificate client.crt: ")
    # Only the name that is not in it.
    (refusal,) = found(replace(EDGE, names=("api", "x")))[0].refusals
    assert refusal.startswith(f"kubectl (trust.crt) refuses the certificate {SERVER.id} for x: ")
    # Each end is judged for what it does.
    turned = found(
        replace(EDGE, server_certificate="client.crt", client_certificate=SERVER.id, names=("api",))
    )
    assert [each.health for each in turned] == [Health.BROKEN, Health.BROKEN]


def test_what_cannot_be_read_breaks_the_edge() -> None:
    server, client = found(replace(EDGE, client_trust="torn.crt", client_certificate="torn.crt"))
    assert (server.health, server.anchors, server.ends) == (Health.BROKEN, (), None)
    assert [each.partition(" ")[0] for each in server.refusals] == ["torn.crt"]
    assert (client.health, client.anchors, client.ends) == (Health.BROKEN, ("ca", "CN=short"), None)
    assert [each.partition(" ")[0] for each in client.refusals] == ["torn.crt"]
    (missing,) = found(replace(EDGE, client_trust="gone.crt", client_certificate=None))
    assert missing.refusals == ("gone.crt is missing",)
    assert chain_of(INVENTORY, TREE, "gone.crt") == "gone.crt is missing"
    assert anchors_in(TREE, "gone.crt") == "gone.crt is missing"
    assert chain_of(INVENTORY, TREE, SERVER.id) == (LEAF.certificate,)
    sent = TREE.but(**{"client.crt": pem(CLIENT, SHORT)})
    assert chain_of(INVENTORY, sent, "client.crt") == (CLIENT.certificate, SHORT.certificate)


@pytest.mark.parametrize("file", [SERVER.id, "trust.crt"])
def test_what_is_not_in_the_directory_is_not_judged(file: str) -> None:
    server, client = found(replace(EDGE, server_trust="short.crt"), unknown=(file,))
    assert server == replace(server, health=Health.UNKNOWN, anchors=(), ends=None, refusals=())
    assert server.health is Health.UNKNOWN
    assert client.health is Health.BROKEN


@pytest.mark.parametrize("file", [SERVER.file, "trust.crt"])
def test_what_is_not_looked_at_is_not_judged(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.HIDDEN", {file})
    server, client = found(replace(EDGE, server_trust="short.crt"), tree=Hidden(TREE.files))
    assert (server.health, client.health) == (Health.UNKNOWN, Health.BROKEN)


def test_when_what_holds_is_to_be_renewed() -> None:
    """By `renewBefore`, or a month; of what lives shortly, in the last third of its life."""

    earlier = made("kubernetes", Profile.CA, None, lives=3 * YEAR, at=NOW - YEAR).certificate

    def turns(identifier: str, leaf: x509.Certificate, notice: timedelta) -> None:
        due = leaf.not_valid_after_utc - notice
        for now, health in ((due - timedelta(seconds=1), Health.HOLDS), (due, Health.SOON)):
            verdicts = EdgeVerdicts(INVENTORY, TREE, now=now)
            chain = [leaf, earlier]
            assert verdicts._health(identifier, chain, leaf.not_valid_after_utc) is health  # noqa: SLF001

    brief = BRIEF.certificate
    third = (brief.not_valid_after_utc - brief.not_valid_before_utc) / 3
    turns(SERVER.id, LEAF.certificate, SERVER.renew_before)
    turns("client.crt", CLIENT.certificate, 30 * DAY)
    turns("brief.crt", brief, third)


def test_the_first_end_of_a_chain_counts_with_its_anchor() -> None:
    """An anchor of another name does not end it; of two of one name, the later one does."""
    later = made("short", Profile.CA, None, lives=80 * DAY)
    leaf = made("x", Profile.CLIENT, SHORT, lives=40 * DAY)
    edge = replace(EDGE, server_certificate=None, client_certificate="leaf.crt")
    tree = TREE.but(**{"leaf.crt": pem(leaf), "trust.crt": pem(SHORT, later, BRIEF)})
    (client,) = found(edge, tree=tree)
    assert client.ends == leaf.certificate.not_valid_after_utc
    long = made("kubernetes", Profile.CA, None, lives=20 * DAY)
    (client,) = found(edge, tree=tree.but(**{"leaf.crt": pem(CLIENT), "trust.crt": pem(long)}))
    assert client.ends == long.certificate.not_valid_after_utc
    (client,) = found(edge, tree=tree.but(**{"leaf.crt": pem(CLIENT), "trust.crt": pem(long, OURS)}))
    assert client.ends == CLIENT.certificate.not_valid_after_utc
    (client,) = found(edge, tree=tree.but(**{"leaf.crt": pem(CLIENT), "trust.crt": pem(long, SHORT)}))
    assert client.ends == long.certificate.not_valid_after_utc
    # Whoever is above the last one that is sent, and not above the first.
    (client,) = found(edge, tree=tree.but(**{"leaf.crt": pem(CLIENT, later), "trust.crt": pem(OURS, SHORT)}))
    assert client.ends == SHORT.certificate.not_valid_after_utc


class Steps:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        self.told += [what, total]
        yield lambda: self.told.append("step")


@pytest.mark.parametrize("count", [4, 5])
def test_several_processes_judge_the_same_in_order(count: int) -> None:
    edges = [replace(EDGE, names=(name,)) for name in ("api", "x", "cp-1", "y", "z")][:count]
    steps = Steps()
    verdicts = EdgeVerdicts(INVENTORY, TREE, now=NOW + DAY)
    hands = Hands(most=2, least_objects=1, chunk=2)
    found = list(judged(verdicts, edges, progress=steps, hands=hands))
    assert found == [EdgeVerdicts(INVENTORY, TREE, now=NOW + DAY).connection(each) for each in edges]
    assert [each.health for each in found[:2]] == [Health.HOLDS, Health.BROKEN]
    assert steps.told == ["verifying TLS edges", count, *["step"] * count]
