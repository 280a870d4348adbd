"""What running endpoints serve: real TLS servers of every temper, and a whole cluster of stand-ins."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.desired.endpoints import Endpoint
from pkigen.desired.inventory import derive
from pkigen.rotation import live
from pkigen.rotation.live import Flaw, ServedIdentity, Sight, handshake
from pkigen.spec.model import ClusterSpec
from pkigen.store import Store
from tests.live import certificates
from tests.rotation.phases import DAY, NOW, PKI, SMALL, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDPOINTS = 2 + 2 * 2 + 4


class Servers:
    """Every endpoint of the cluster: serves what it was given; nobody has to listen for that."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.served: dict[tuple[str, str], tuple[bytes, ...] | Exception] = {}
        self.asked: list[tuple[str, str, bool]] = []

    def take_up(self, *nodes: str) -> None:
        """Nodes get their files of now, and restart what must restart."""
        paths = {
            "kube-apiserver": f"{PKI}/apiserver.crt",
            "etcd": f"{PKI}/etcd/server.crt",
            "etcd peer": f"{PKI}/etcd/peer.crt",
            "kubelet": "var/lib/kubelet/pki/kubelet.crt",
        }
        for node in nodes or ("cp-1", "cp-2", "worker-1", "worker-2"):
            for component, path in paths.items():
                file = self.workshop.tree / "nodes" / node / path
                if file.exists():
                    self.served[component, node] = tuple(
                        each.public_bytes(Encoding.DER)
                        for each in x509.load_pem_x509_certificates(file.read_bytes())
                    )

    def __call__(self, endpoint: Endpoint, identity: ServedIdentity | None) -> tuple[bytes, ...]:
        self.asked.append((endpoint.component, endpoint.node, identity is not None))
        answer = self.served[endpoint.component, endpoint.node]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def servers(workshop: Workshop) -> Servers:
    found = Servers(workshop)
    workshop.dial = found
    found.take_up()
    return found


def test_everything_is_current(workshop: Workshop, servers: Servers) -> None:
    result = workshop.run("verify", "--live", "-C", workshop.tree)
    assert (result.code, result.err) == (0, "")
    lines = [re.split(r" {2,}", line) for line in result.out.splitlines()]
    assert lines[0] == ["NODE", "COMPONENT", "ENDPOINT", "SERVES", "SHA-256", "EXPIRES"]
    assert {(line[0], line[1], line[2], line[3]) for line in lines[1:5]} <= {
        ("cp-1", "kube-apiserver", "10.0.0.11:6443", "current"),
        ("cp-2", "kube-apiserver", "10.0.0.12:6443", "current"),
        ("cp-1", "etcd", "10.0.0.11:2379", "current"),
        ("cp-1", "etcd peer", "10.0.0.11:2380", "current"),
    }
    assert lines[-1] == [f"cluster prod: {ENDPOINTS} endpoints, {ENDPOINTS} current, 0 findings"]
    assert len(servers.asked) == ENDPOINTS


def test_who_still_serves_the_old_certificate(workshop: Workshop, servers: Servers) -> None:
    workshop.step("ca kubernetes", "prepare")
    workshop.now += DAY
    workshop.step("ca kubernetes", "promote")
    servers.take_up("cp-1", "worker-1")
    result = workshop.run("verify", "--live", "-C", workshop.tree)
    assert result.code == 4
    assert "not serving the certificate in pki.lock: cp-2, worker-2\n" in result.out
    assert (
        "kube-apiserver on cp-2 (10.0.0.12:6443): old-certificate: still serves the certificate of "
        "2026-11-22T03:00:00Z; it lacks the new files or a restart\n" in result.out
    )
    assert f"cluster prod: {ENDPOINTS} endpoints, {ENDPOINTS - 3} current, 3 findings\n" in result.out
    content = workshop.run("verify", "--live", "-C", workshop.tree, "-o", "json").json
    assert content["kind"] == "LiveVerification"
    serves = {(each["component"], each["node"]): each["serves"] for each in content["endpoints"]}
    assert serves["kubelet", "worker-2"] == serves["kube-apiserver", "cp-2"] == "old"
    assert serves["kubelet", "worker-1"] == serves["etcd", "cp-2"] == "current"
    (behind,) = [
        each for each in content["endpoints"] if (each["component"], each["node"]) == ("kubelet", "worker-2")
    ]
    assert [finding["reason"] for finding in behind["findings"]] == ["old-certificate"]
    assert behind["certificate"] == "worker-2/kubelet-serving"


def test_finish_asks_for_it(workshop: Workshop, servers: Servers) -> None:
    workshop.step("ca kubernetes etcd", "prepare")
    workshop.step("ca kubernetes etcd", "promote")
    servers.take_up("cp-1", "cp-2", "worker-1")
    refused = workshop.rotate("ca", "kubernetes", "etcd", "--phase finish", "--live")
    assert refused.code == 1
    assert refused.error.startswith(
        "not every endpoint serves its promoted certificate: kubelet on worker-2 (10.0.0.22:10250): old-"
    )
    assert "not serving the certificate in pki.lock: worker-2\n" in refused.err
    assert workshop.phases() == {"ca": "promoted", "etcd-ca": "promoted"}
    servers.take_up("worker-2")
    done = workshop.rotate("ca", "kubernetes", "etcd", "--phase finish", "--live")
    assert done.code == 0, done
    assert workshop.phases() == {}


def test_only_the_endpoints_of_the_ca_count(workshop: Workshop, servers: Servers) -> None:
    workshop.step("ca etcd", "prepare")
    workshop.step("ca etcd", "promote")
    servers.take_up()
    servers.served["kubelet", "worker-2"] = ConnectionRefusedError(111, "Connection refused")
    servers.asked.clear()
    assert workshop.rotate("ca", "etcd", "--phase finish", "--live").code == 0
    assert {component for component, _, _ in servers.asked} == {"etcd", "etcd peer"}


def test_what_no_endpoint_shows(workshop: Workshop, servers: Servers) -> None:
    assert servers.served
    workshop.step("ca etcd front-proxy", "prepare")
    workshop.step("ca etcd front-proxy", "promote")
    unsaid = workshop.rotate("ca", "etcd", "front-proxy", "--phase finish")
    assert "or do both at once" not in unsaid.hint
    # What can be seen is looked at, whatever is assumed of the rest.
    both = ("--phase finish", "--live", "--assume-distributed")
    early = workshop.rotate("ca", "etcd", "front-proxy", *both)
    assert early.error.startswith("not every endpoint serves its promoted certificate: etcd on cp-1 ")
    servers.take_up("cp-1", "cp-2")
    blind = workshop.rotate("ca", "etcd", "front-proxy", "--phase finish", "--live")
    assert blind.error == "no endpoint shows whether front-proxy-ca has reached every node"
    assert workshop.rotate("ca", "etcd", "front-proxy", *both).code == 0


def test_everything_that_can_be_wrong(workshop: Workshop, servers: Servers, tmp_path: Path) -> None:
    workshop.now = datetime.now(UTC)
    forged = certificates.forged_like(workshop.tree / f"nodes/cp-1/{PKI}/apiserver.crt", tmp_path)
    servers.served["kube-apiserver", "cp-1"] = (ssl.PEM_cert_to_DER_cert(forged.certificate.read_text()),)
    servers.served["kube-apiserver", "cp-2"] = servers.served["kubelet", "cp-1"]
    servers.served["kubelet", "worker-1"] = ConnectionRefusedError(111, "Connection refused")
    servers.served["kubelet", "worker-2"] = TimeoutError()
    servers.served["kubelet", "cp-2"] = (b"no certificate",)
    servers.served["etcd", "cp-1"] = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    servers.served["etcd", "cp-2"] = ConnectionError("it presented no certificate")
    result = workshop.run("verify", "--live", "-C", workshop.tree)
    assert result.code == 4
    for expected in (
        r"kube-apiserver on cp-1 \(10\.0\.0\.11:6443\): unknown-certificate: serves sha256:[0-9a-f]{64}, ",
        "kube-apiserver on cp-1 .*: untrusted: the trust bundle refuses it: ",
        "kube-apiserver on cp-2 .*: old-certificate: still serves cp-1/kubelet-serving of ",
        "kube-apiserver on cp-2 .*: name-missing: its certificate is not for api.example.com",
        r"kubelet on worker-1 \(10\.0\.0\.21:10250\): unreachable: connection refused",
        "kubelet on worker-2 .*: unreachable: no answer within 5 s",
        "kubelet on cp-2 .*: unreachable: what it presents holds a certificate that cannot be read",
        "etcd on cp-1 .*: unreachable: the handshake failed: ",
        "etcd on cp-2 .*: unreachable: it presented no certificate",
        "no answer from: cp-1, cp-2, worker-1, worker-2",
        "not serving the certificate in pki.lock: cp-1, cp-2",
    ):
        assert re.search(f"^{expected}", result.out, re.MULTILINE), (expected, result.out)
    assert ("etcd", "cp-1", True) in servers.asked
    assert yaml.safe_load(workshop.run("verify", "--live", "-C", workshop.tree, "-o", "yaml").out)[
        "endpoints"
    ]


@pytest.mark.parametrize(
    ("days", "flaw"), [(400, "expired: expired 2027-11-22"), (-1, "not-yet-valid: is not valid before ")]
)
def test_time(workshop: Workshop, servers: Servers, days: int, flaw: str) -> None:
    assert servers.served
    workshop.now += days * DAY
    result = workshop.run("verify", "--live", "-C", workshop.tree)
    assert result.code == 4
    assert f"kubelet on worker-2 (10.0.0.22:10250): {flaw}" in result.out


def test_without_a_lock_file_the_tree_is_compared(workshop: Workshop, servers: Servers) -> None:
    assert servers.served
    (workshop.tree / "pki.lock").unlink()
    result = workshop.run("verify", "--live", "-C", workshop.tree, workshop.spec)
    assert f"{ENDPOINTS} current, 0 findings" in result.out
    (workshop.tree / f"nodes/cp-1/{PKI}/apiserver.crt").unlink()
    result = workshop.run("verify", "--live", "-C", workshop.tree, workshop.spec)
    assert "kube-apiserver on cp-1 (10.0.0.11:6443): old-certificate" in result.out


def test_a_ledger_of_anything(workshop: Workshop, servers: Servers) -> None:
    (fingerprint,) = re.findall(
        r'"cp-2/apiserver": \{[^}]*"fingerprint": "(sha256:[0-9a-f]+)"',
        (workshop.tree / "pki.lock").read_text(),
    )
    servers.served["kube-apiserver", "cp-1"] = servers.served["kube-apiserver", "cp-2"]
    (workshop.tree / ".pkigen/ledger.jsonl").write_text(f'["{fingerprint}"]\n{{"{fingerprint}"\n')
    result = workshop.run("verify", "--live", "-C", workshop.tree)
    assert "kube-apiserver on cp-1 (10.0.0.11:6443): unknown-certificate" in result.out


def test_an_authority_that_is_not_there(workshop: Workshop, servers: Servers) -> None:
    """What is served can still be compared; whom it would be judged by is for `verify` to miss."""
    assert servers.served
    for path in ("pki/ca.crt", "pki/ca.key"):
        (workshop.tree / path).unlink()
    assert workshop.run("verify", "--live", "-C", workshop.tree).code == 0


# -- real servers -----------------------------------------------------------------------------------


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server on the loopback interface; without a context it accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                connection, _ = listener.accept()
                with connection:
                    if done.is_set():
                        return
                    if context is None:
                        done.wait()
                        continue
                    try:
                        with context.wrap_socket(connection, server_side=True) as encrypted:
                            encrypted.recv(1)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            with socket.create_connection(listener.getsockname()):
                pass  # it waits for somebody
            thread.join()


def context_of(workshop: Workshop, *, demands: bool, version: ssl.TLSVersion) -> ssl.SSLContext:
    pki = workshop.tree / f"nodes/cp-1/{PKI}/etcd"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    context.maximum_version = version
    if demands:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki / "ca.crt")
    return context


def at(port: int) -> Endpoint:
    return Endpoint(
        component="etcd", node="cp-1", host=ip_address("127.0.0.1"), port=port, certificate="cp-1/etcd-server"
    )


@pytest.mark.parametrize("demands", [False, True], ids=["lets anybody in", "demands a certificate"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_handshake(workshop: Workshop, version: ssl.TLSVersion, *, demands: bool) -> None:
    pki = workshop.tree / f"nodes/cp-1/{PKI}/etcd"
    identity = ServedIdentity(
        certificate=f"{pki}/healthcheck-client.crt", key=f"{pki}/healthcheck-client.key"
    )
    with serving(context_of(workshop, demands=demands, version=version)) as port:
        answer = live._ask(handshake, at(port), identity)  # noqa: SLF001 -- what `look` asks for each endpoint
    assert not isinstance(answer, str), answer
    assert answer[0] == ssl.PEM_cert_to_DER_cert((pki / "server.crt").read_text())


def test_a_refusal_of_whoever_has_no_certificate(workshop: Workshop) -> None:
    """In TLS 1.2 it hides what is served, in TLS 1.3 it comes afterwards."""
    with serving(context_of(workshop, demands=True, version=ssl.TLSVersion.TLSv1_2)) as port:
        answer = live._ask(handshake, at(port), None)  # noqa: SLF001
        assert str(answer).startswith("the handshake failed: ")
    with serving(context_of(workshop, demands=True, version=ssl.TLSVersion.TLSv1_3)) as port:
        assert handshake(at(port), None)


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SECONDS", 0.2)
    with serving(None) as port:
        assert live._ask(handshake, at(port), None) == "no answer within 0.2 s"  # noqa: SLF001


@contextmanager
def dripping(record: bytes) -> Iterator[int]:
    """A server that sends its answer byte by byte, for as long as anybody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def drip(connection: socket.socket) -> None:
            with connection:
                for byte in record + bytes(10_000):
                    if done.wait(0.05):
                        return
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                if done.is_set():
                    connection.close()
                    return
                threading.Thread(target=drip, args=(connection,)).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            with socket.create_connection(listener.getsockname()):
                pass
            thread.join(15)


@pytest.mark.parametrize(
    "record",
    [b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", b"\x15\x03\x03\x00\x02\x01\x64" * 1000, b""],
    ids=["a long ServerHello", "warnings without end", "zeros"],
)
def test_bytes_that_come_one_by_one_do_not_hold_it_up(record: bytes) -> None:
    """Each of them is in time; all of them together are not."""
    begun = time.monotonic()
    with dripping(record) as port:
        answer = live._ask(partial(handshake, seconds=1), at(port), None, seconds=1)  # noqa: SLF001
    assert isinstance(answer, str)
    assert time.monotonic() - begun < 120  # all of them take eight minutes


def test_all_endpoints_together_have_a_deadline(workshop: Workshop, servers: Servers) -> None:
    """More of them than are dialled at once, and all are slow: those that answered are still shown."""
    release, answered = threading.Event(), []

    def slow(endpoint: Endpoint, identity: ServedIdentity | None) -> tuple[bytes, ...]:
        if endpoint.component == "kubelet":
            release.wait(20)
        answered.append(endpoint)
        return servers(endpoint, identity)

    workshop.dial = slow
    begun = time.monotonic()
    result = workshop.run("verify", "--live", "-C", workshop.tree, "--timeout", "1s")
    took = time.monotonic() - begun
    release.set()
    assert (result.code, took < 10) == (4, True)
    assert (
        re.findall(
            r"(\S+) on \S+ \(.*\): unreachable: no answer within the 1 s for all endpoints", result.out
        )
        == ["kubelet"] * 4
    )
    assert f"cluster prod: {ENDPOINTS} endpoints, {ENDPOINTS - 4} current, 4 findings" in result.out


def test_a_deadline_of_nothing_is_refused(workshop: Workshop) -> None:
    refused = workshop.run("verify", "--live", "-C", workshop.tree, "--timeout", "0s")
    assert (refused.code, refused.error) == (2, "--timeout must be longer than zero")


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert live._ask(handshake, at(port), None) == "connection refused"  # noqa: SLF001


def test_nothing_to_look_at(workshop: Workshop, servers: Servers) -> None:
    inventory = derive(ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": SMALL}))
    with Store.open_reading(workshop.tree) as store:
        assert live.look(inventory, store, now=NOW, dial=servers, only=()).seen == ()
        seen = live.look(inventory, store, now=NOW, dial=servers)
    assert {each.sight for each in seen.seen} == {Sight.CURRENT}
    assert Flaw.OLD_CERTIFICATE not in {finding.flaw for finding in seen.findings}


def test_the_next_task_names_the_node_that_lacks_a_step(workshop: Workshop, servers: Servers) -> None:
    workshop.step("ca kubernetes", "prepare")
    ready = workshop.run("next", "-C", workshop.tree, "--live")
    assert ready.code == 3
    assert "the rotation of ca is prepared: promote\n" in ready.out
    workshop.step("ca kubernetes", "promote")
    servers.take_up("cp-1", "worker-1", "worker-2")
    lagging = workshop.run("next", "-C", workshop.tree, "--live")
    assert lagging.code == 3
    assert lagging.out.startswith("cp-2 has not got promote of ca yet: ")
    assert f"\n  pkigen show -C {workshop.tree}\n" in lagging.out
    servers.take_up("cp-2")
    done = workshop.run("next", "-C", workshop.tree, "--live")
    assert f"\n  pkigen rotate ca kubernetes -C {workshop.tree} --live\n" in done.out
    workshop.step("ca kubernetes", "finish")
    last = workshop.run("next", "-C", workshop.tree, "--live")
    assert (last.code, last.out[:13]) == (0, "nothing to do")
