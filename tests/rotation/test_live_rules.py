"""What is made of what endpoints serve: a tree in memory, and nobody who listens."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen import layout
from pkigen.crypto.issuance import CertificateContent, Issuer, fingerprint, issue
from pkigen.crypto.keys import load_private
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.rotation import live, phases
from pkigen.rotation.live import Flaw, ServedIdentity, Sight
from pkigen.state.ledger import Event, LedgerEntry, appended
from tests.rotation.phases import Photograph
from tests.samples import CP1, ENDPOINT, NOW, W1, World, spec

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.desired.endpoints import Endpoint
    from pkigen.desired.inventory import Inventory
    from pkigen.rotation.live import Live

PKI = "nodes/cp-1/etc/kubernetes/pki"
FILES = {
    ("kube-apiserver", "cp-1"): f"{PKI}/apiserver.crt",
    ("etcd", "cp-1"): f"{PKI}/etcd/server.crt",
    ("etcd peer", "cp-1"): f"{PKI}/etcd/peer.crt",
    ("kubelet", "cp-1"): "nodes/cp-1/var/lib/kubelet/pki/kubelet.crt",
    ("kubelet", "worker-1"): "nodes/worker-1/var/lib/kubelet/pki/kubelet.crt",
}
API = ("kube-apiserver", "cp-1")
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Rooted(Photograph):
    """A photograph of a directory that says where it was."""

    root: str = "/tree"

    def but(self, **files: bytes) -> Rooted:
        return Rooted({**self.files, **{name.replace("__", "/"): data for name, data in files.items()}})


@dataclass(kw_only=True)
class Cluster:
    """A tree, what its endpoints serve, and who was asked with which certificate."""

    inventory: Inventory
    tree: Rooted
    served: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: dict[tuple[str, str], list[ServedIdentity | None]] = field(default_factory=dict)

    def __call__(self, endpoint: Endpoint, identity: ServedIdentity | None) -> tuple[bytes, ...]:
        place = (endpoint.component, endpoint.node)
        self.asked.setdefault(place, []).append(identity)
        answer = self.served.get(place)
        if isinstance(answer, Exception):
            raise answer
        return answer if answer is not None else presented(self.tree.files[FILES[place]])

    def looked(self, *, now: datetime = NOW, **asked: Any) -> Live:
        return live.look(self.inventory, cast("Any", self.tree), now=now, dial=self, **asked)

    def findings(self, *, now: datetime = NOW) -> dict[tuple[str, str], list[tuple[Flaw, str]]]:
        """What is wrong, by endpoint."""
        found: dict[tuple[str, str], list[tuple[Flaw, str]]] = {}
        for each in self.looked(now=now).findings:
            place = (each.endpoint.component, each.endpoint.node)
            found.setdefault(place, []).append((each.flaw, each.detail))
        return found


def presented(pem: bytes) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inventory, Rooted]:
    world = World(root=tmp_path_factory.mktemp("live") / "prod", cluster=spec(CP1, W1, **ENDPOINT))
    world.apply()
    return world.inventory, Rooted(Photograph.of(world.root).files)


@pytest.fixture
def cluster(made: tuple[Inventory, Rooted]) -> Cluster:
    inventory, tree = made
    return Cluster(inventory=inventory, tree=tree)


def signed(
    cluster: Cluster, *names: str, ca: str = "pki/ca", at: datetime = NOW, issuer: Issuer | None = None
) -> x509.Certificate:
    """A serving certificate for other names than the tree's."""
    if issuer is None:
        (certificate,) = x509.load_pem_x509_certificates(cluster.tree.files[f"{ca}.crt"])
        issuer = Issuer(certificate=certificate, key=load_private(cluster.tree.files[f"{ca}.key"]))
    content = CertificateContent(
        subject=Subject(common_name="stranger"),
        sans=SANs.of(*names),
        profile=Profile.SERVER,
        validity=YEAR,
    )
    key = ec.generate_private_key(ec.SECP256R1())
    return issue(content, key=key, issuer=issuer, now=at, entropy=os.urandom).certificate


def names_of(certificate: bytes) -> list[str]:
    (found,) = x509.load_pem_x509_certificates(certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in names]


def test_the_words_of_what_is_published() -> None:
    assert [*Sight] == ["current", "old", "unknown", "unreachable"]
    flaws = ["unreachable", "old-certificate", "unknown-certificate", "name-missing", "untrusted", "expired"]
    assert [*Flaw] == [*flaws, "not-yet-valid"]
    assert frozenset({"ca", "etcd-ca"}) == phases.OBSERVABLE


# -- a look -------------------------------------------------------------------------------------------------


def test_everything_is_current(cluster: Cluster) -> None:
    found = cluster.looked()
    assert [(each.endpoint.component, each.endpoint.node) for each in found.seen] == list(FILES)
    for each in found.seen:
        (certificate,) = x509.load_pem_x509_certificates(
            cluster.tree.files[FILES[each.endpoint.component, each.endpoint.node]]
        )
        assert (each.sight, each.findings) == (Sight.CURRENT, ())
        assert each.fingerprint == f"sha256:{fingerprint(certificate)}"
        assert each.expires == certificate.not_valid_after_utc
    # Nobody shows a certificate to whom it was not asked for.
    assert cluster.asked == {place: [None] for place in FILES}


def test_the_endpoints_of_some_cas(cluster: Cluster) -> None:
    assert cluster.looked(only={"etcd-ca"}).nodes(Sight.CURRENT) == ("cp-1",)
    assert list(cluster.asked) == [("etcd", "cp-1"), ("etcd peer", "cp-1")]
    assert cluster.looked(only=()).seen == ()
    assert cluster.looked(only={"front-proxy-ca"}).seen == ()
    assert cluster.looked(only={"ca"}).nodes(Sight.CURRENT, Sight.OLD) == ("cp-1", "worker-1")


def test_etcd_is_asked_again_with_a_certificate(cluster: Cluster) -> None:
    refused = ssl.SSLError(1, "[SSL: X] what a string says")
    refused.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    cluster.served = dict.fromkeys(FILES, refused)
    said = {
        place: [(Flaw.UNREACHABLE, "the handshake failed: tlsv13 alert certificate required")]
        for place in FILES
    }
    assert cluster.findings() == said
    identity = ServedIdentity(
        certificate=f"/tree/{PKI}/etcd/healthcheck-client.crt", key=f"/tree/{PKI}/etcd/healthcheck-client.key"
    )
    assert cluster.asked.pop(("etcd", "cp-1")) == [None, identity]
    assert cluster.asked.pop(("etcd peer", "cp-1")) == [None, identity]
    assert set(map(tuple, cluster.asked.values())) == {(None,)}
    (etcd, *_) = (each.endpoint for each in cluster.looked(only={"etcd-ca"}).seen)
    cluster.asked.clear()
    assert live._ask(cluster, etcd, identity) == said["etcd", "cp-1"][0][1]  # noqa: SLF001 -- without a thread
    assert live._ask(cluster, etcd, None) == said["etcd", "cp-1"][0][1]  # noqa: SLF001
    assert cluster.asked == {("etcd", "cp-1"): [None, identity, None]}
    cluster.served = {("etcd", "cp-1"): TimeoutError()}
    assert live._ask(cluster, etcd, identity) == "no answer within 5 s"  # noqa: SLF001
    assert live._ask(cluster, etcd, identity, seconds=2) == "no answer within 2 s"  # noqa: SLF001
    assert cluster.asked["etcd", "cp-1"][3:] == [None, None]


def test_a_key_that_the_node_alone_has_is_shown_to_nobody(tmp_path: Any) -> None:
    world = World(root=tmp_path / "prod", cluster=spec({**CP1, "keys": "node"}))
    store = cast("Any", Rooted({}))
    view = live._LiveLook(world.inventory, store, NOW)  # noqa: SLF001 -- what `look` asks of each endpoint
    found = {each.component: view.identity(each) for each in live.endpoints(world.inventory)}
    assert "etcd" in found
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (ConnectionError("It presented no certificate"), "it presented no certificate"),
        (ssl.SSLError(1, "[SSL] Odd_words"), "the handshake failed: [ssl] odd words"),
        (TimeoutError(), "no answer within 5 s"),
    ],
)
def test_who_does_not_answer(error: Exception, said: str, cluster: Cluster) -> None:
    cluster.served[API] = error
    found = cluster.looked()
    (finding,) = found.findings
    assert (finding.flaw, finding.detail) == (Flaw.UNREACHABLE, said)
    assert str(finding) == f"kube-apiserver on cp-1 (10.0.0.11:6443): unreachable: {said}"
    seen = next(each for each in found.seen if each.findings)
    assert (seen.sight, seen.fingerprint, seen.expires) == (Sight.NOTHING, None, None)
    assert found.nodes(Sight.NOTHING, Sight.OLD) == ("cp-1",)
    # The same asked without a thread.
    assert live._ask(cluster, seen.endpoint, None, seconds=5) == said  # noqa: SLF001
    assert cluster.asked.pop(API) == [None, None]
    assert set(map(tuple, cluster.asked.values())) == {(None,)}


def test_what_one_endpoint_may_take_at_most(cluster: Cluster) -> None:
    cluster.served[API] = TimeoutError()
    (finding,) = cluster.looked(within=timedelta(seconds=2)).findings
    assert finding.detail == "no answer within 2 s"


def test_who_dials_where_nobody_is_given(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    took = []

    def dialled(endpoint: Endpoint, identity: ServedIdentity | None, *, seconds: float) -> tuple[bytes, ...]:
        took.append(seconds)
        return cluster(endpoint, identity)

    monkeypatch.setattr(live, "handshake", dialled)
    store = cast("Any", cluster.tree)
    for seconds, each_one in ((2, 2), (7, 5)):
        took.clear()
        within = timedelta(seconds=seconds)
        assert live.look(cluster.inventory, store, now=NOW, within=within).nodes(Sight.CURRENT)
        assert took == [each_one] * len(FILES)


def test_nobody_waits_for_who_is_late(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, and the first does not answer: the others are not asked any more."""
    begun, release, threads = threading.Event(), threading.Event(), []

    def stuck(endpoint: Endpoint, identity: ServedIdentity | None) -> tuple[bytes, ...]:
        threads.append(threading.current_thread())
        begun.set()
        release.wait(20)
        return cluster(endpoint, identity)

    def waited(asked: list[Any], *, timeout: float) -> None:
        assert (len(asked), timeout) == (len(FILES), 90)
        begun.wait(20)

    monkeypatch.setattr(live, "_AT_ONCE", 1)
    monkeypatch.setattr(live, "wait", waited)
    store = cast("Any", cluster.tree)
    found = live.look(cluster.inventory, store, now=NOW, dial=stuck, within=timedelta(seconds=90))
    assert not cluster.asked
    release.set()
    for thread in threads:
        thread.join()
    assert len(threads) == 1
    assert {each.detail for each in found.findings} == {"no answer within the 90 s for all endpoints"}
    assert len(found.findings) == len(FILES)
    assert list(cluster.asked) == [API]


class Line:
    """A connection, and the TLS on it, as far as a handshake asks for them."""

    def __init__(self, presented: bytes | None, *chain: bytes) -> None:
        self._presented = presented
        self.opened: list[tuple[tuple[str, int], float]] = []
        if chain:  # as from Python 3.13 on
            self.get_unverified_chain = lambda: list(chain)

    def connect(self, place: tuple[str, int], *, timeout: float) -> Self:
        self.opened.append((place, timeout))
        return self

    def wrap_socket(self, connection: Line) -> Line:
        return connection

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        assert binary_form
        return self._presented

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("line", "presented"),
    [
        (Line(b"leaf"), (b"leaf",)),
        (Line(b"leaf", b"leaf", b"above"), (b"leaf", b"above")),
        (Line(None), None),
    ],
)
def test_what_a_handshake_gives(
    line: Line, presented: tuple[bytes, ...] | None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = cluster.looked().seen[0].endpoint
    monkeypatch.setattr(ssl, "SSLContext", lambda _: line)
    monkeypatch.setattr(socket, "create_connection", line.connect)
    if presented is None:
        with pytest.raises(ConnectionError, match="it presented no certificate"):
            live.handshake(endpoint, None)
    else:
        assert live.handshake(endpoint, None) == live.handshake(endpoint, None, seconds=2) == presented
        assert line.opened == [(("10.0.0.11", 6443), 5), (("10.0.0.11", 6443), 2)]


# -- what is served -----------------------------------------------------------------------------------------


def test_what_is_no_certificate(cluster: Cluster) -> None:
    cluster.served[API] = (b"nothing",)
    assert cluster.findings() == {
        API: [(Flaw.UNREACHABLE, "what it presents holds a certificate that cannot be read")]
    }


def test_what_the_ledger_knows_is_old(cluster: Cluster) -> None:
    certificate = signed(cluster, *names_of(cluster.tree.files[FILES[API]]))
    cluster.served[API] = (certificate.public_bytes(Encoding.DER),)
    print_ = f"sha256:{fingerprint(certificate)}"
    stranger = (Flaw.UNKNOWN_CERTIFICATE, f"serves {print_}, which pkigen has not issued in this directory")
    assert cluster.findings() == {API: [stranger]}
    assert cluster.looked().nodes(Sight.UNKNOWN) == ("cp-1",)

    def told(*identifiers: str, after: bytes = b"") -> list[tuple[Flaw, str]]:
        ledger = b""
        for day, identifier in enumerate(identifiers):
            line = LedgerEntry(event=Event.ISSUED, id=identifier, reason=None, facts={"fingerprint": print_})
            ledger, _ = appended(ledger, [line], now=NOW + timedelta(days=day))
        files = {**cluster.tree.files, layout.LEDGER_FILE: ledger + after}
        known = replace(cluster, tree=Rooted(files), asked={})
        assert known.looked().nodes(Sight.OLD) == (("cp-1",) if identifiers else ())
        return known.findings()[API]

    lacks = "it lacks the new files or a restart"
    old = (Flaw.OLD_CERTIFICATE, f"still serves the certificate of 2026-03-02T12:00:00Z; {lacks}")
    assert told("etcd-ca", "cp-1/apiserver") == [old], "the newest line counts"
    other = (Flaw.OLD_CERTIFICATE, f"still serves etcd-ca of 2026-03-01T12:00:00Z; {lacks}")
    assert told("etcd-ca") == [other]
    # Anybody may have written into it what is no line of pkigen's.
    torn = (f'{{"{print_}"', f'["{print_}"]', f'{{"id": "{print_}"}}', f'{"[" * 100_000}"{print_}"')
    for each in torn:
        assert told(after=each.encode()) == [stranger]
        assert told("etcd-ca", after=each.encode()) == [other]


def test_without_a_lock_file_the_tree_says_what_is_served(cluster: Cluster) -> None:
    cluster.served[API] = presented(cluster.tree.files[FILES[API]])
    files = {path: data for path, data in cluster.tree.files.items() if path != layout.LOCK_FILE}
    assert replace(cluster, tree=Rooted(files)).findings() == {}
    del files[FILES[API]]
    found = replace(cluster, tree=Rooted(files)).findings()
    assert [flaw for flaw, _ in found[API]] == [Flaw.OLD_CERTIFICATE]


def test_the_lock_file_counts_more_than_the_tree(cluster: Cluster) -> None:
    other = signed(cluster, *names_of(cluster.tree.files[FILES[API]]))
    lock = json.loads(cluster.tree.files[layout.LOCK_FILE])
    lock["certificates"]["cp-1/apiserver"]["fingerprint"] = f"sha256:{fingerprint(other)}"
    cluster.served[API] = (other.public_bytes(Encoding.DER),)
    cluster.tree = Rooted({**cluster.tree.files, layout.LOCK_FILE: json.dumps(lock).encode()})
    assert cluster.findings() == {}


# -- what clients will refuse -------------------------------------------------------------------------------


def test_time_alone_is_told_of_what_is_over(cluster: Cluster) -> None:
    (certificate,) = x509.load_pem_x509_certificates(cluster.tree.files[FILES[API]])
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    second = timedelta(seconds=1)
    for moment in (begin, end - second):
        assert API not in cluster.findings(now=moment)
    assert cluster.findings(now=end)[API] == [(Flaw.EXPIRED, f"expired {end:%Y-%m-%d %H:%M} UTC")]
    assert cluster.findings(now=begin - second)[API] == [
        (Flaw.NOT_YET_VALID, f"is not valid before {begin:%Y-%m-%d %H:%M} UTC")
    ]


def test_every_name_that_is_missing(cluster: Cluster) -> None:
    names = names_of(cluster.tree.files[FILES[API]])
    needed = ("10.0.0.11", "api.prod.example.com", "10.96.0.1")
    for missing in (*((each,) for each in needed), needed):
        there = [each for each in names if each not in missing]
        cluster.served[API] = (signed(cluster, *there).public_bytes(Encoding.DER),)
        (_, *found) = cluster.findings()[API]
        assert sorted(found) == [
            (Flaw.NAME_MISSING, f"its certificate is not for {name}") for name in sorted(missing)
        ]


def test_a_certificate_of_another_ca_is_told_of_once(cluster: Cluster) -> None:
    names = names_of(cluster.tree.files[FILES[API]])
    cluster.served[API] = (signed(cluster, *names, ca="pki/etcd/ca").public_bytes(Encoding.DER),)
    (_, *refused) = cluster.findings()[API]
    assert refused == [(Flaw.UNTRUSTED, "the trust bundle refuses it: no trusted CA has signed it")]


def test_an_endpoint_that_nobody_connects_to_is_judged_by_its_address(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "edges", lambda *_: ())
    cluster.served[API] = (signed(cluster, "other").public_bytes(Encoding.DER),)
    (_, *refused) = cluster.findings()[API]
    assert refused == [(Flaw.NAME_MISSING, "its certificate is not for 10.0.0.11")]


def test_a_ca_that_is_not_there_judges_nobody(cluster: Cluster) -> None:
    files = {path: data for path, data in cluster.tree.files.items() if not path.startswith("pki/ca.")}
    names = names_of(cluster.tree.files[FILES[API]])
    cluster.served[API] = (signed(cluster, *names, ca="pki/etcd/ca").public_bytes(Encoding.DER),)
    found = replace(cluster, tree=Rooted(files)).findings()
    assert [flaw for flaw, _ in found[API]] == [Flaw.UNKNOWN_CERTIFICATE]


def test_what_is_sent_after_a_certificate_leads_to_the_ca(cluster: Cluster) -> None:
    names = names_of(cluster.tree.files[FILES[API]])
    key = ec.generate_private_key(ec.SECP256R1())
    (root,) = x509.load_pem_x509_certificates(cluster.tree.files["pki/ca.crt"])
    content = CertificateContent(
        subject=Subject(common_name="below"), sans=SANs.of(), profile=Profile.CA, validity=2 * YEAR
    )
    above = Issuer(certificate=root, key=load_private(cluster.tree.files["pki/ca.key"]))
    below = issue(content, key=key, issuer=above, now=NOW, entropy=os.urandom).certificate
    leaf = signed(cluster, *names, issuer=Issuer(certificate=below, key=key))
    for sent, flaws in (((leaf, below), []), ((leaf,), [Flaw.UNTRUSTED])):
        cluster.served[API] = tuple(each.public_bytes(Encoding.DER) for each in sent)
        assert [flaw for flaw, _ in cluster.findings()[API]] == [Flaw.UNKNOWN_CERTIFICATE, *flaws]
        seen = cluster.looked().seen[0]
        assert (seen.fingerprint, seen.expires) == (f"sha256:{fingerprint(leaf)}", NOW + YEAR)
        assert Flaw.EXPIRED in dict(cluster.findings(now=NOW + YEAR)[API])
