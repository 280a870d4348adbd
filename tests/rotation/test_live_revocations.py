"""What API servers say of the list of revoked credentials: a real clock, and a real TLS server."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.desired.endpoints import Endpoint
from pkigen.desired.inventory import derive
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.rotation.live_revocations import Reviewer, ask_all
from pkigen.spec.model import ClusterSpec
from pkigen.store import Store
from tests.rotation.phases import SMALL, Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


NOW = datetime(2026, 11, 27, tzinfo=UTC)
Answer = dict[str, Any]
CLUSTER = ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": SMALL})


def test_nobody_is_waited_for_longer_than_that(workshop: Workshop) -> None:
    release = threading.Event()

    def ask(_endpoint: Endpoint, _body: Answer) -> Answer:
        release.wait(60)
        return {}

    token = Revocation(
        credential=CredentialId.parse("JTI=a"), of="x", reason="stolen", revoked=NOW, expires=None
    )
    inventory = derive(CLUSTER, revocations=RevocationList(active=(token,)))
    with Store.open_reading(workshop.tree) as store:
        found = ask_all(inventory, store, within=timedelta(seconds=2), ask=ask)
    release.set()
    assert {each.detail for each in found} == {"no answer within 2 s"}


# -- over TLS ------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path) -> Workshop:
    """A tree whose certificates are valid by the real clock, which TLS goes by."""
    return Workshop(place=tmp_path, now=datetime.now(UTC)).made()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        peer = self.connection.getpeercert() or {}
        names = [pair[1] for part in peer["subject"] for pair in part if pair[0] == "commonName"]
        server: Any = self.server
        server.clients += names
        data = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = server.answer(names[0], json.loads(data))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def serving(fresh: Workshop, answer: Callable[[str, Answer], tuple[int, Any]]) -> Iterator[Any]:
    """An API server's own certificate, and clients of the cluster's CA."""
    pki = fresh.tree / "nodes/cp-1/etc/kubernetes/pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server: Any = HTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answer, server.clients = answer, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def ask_one(fresh: Workshop, server: Any) -> Answer:
    inventory = derive(CLUSTER)
    endpoint = Endpoint(
        component="kube-apiserver",
        node="cp-1",
        host=ip_address("127.0.0.1"),
        port=server.server_port,
        certificate="cp-1/apiserver",
    )
    with Store.open_reading(fresh.tree) as store:
        return Reviewer(inventory, store, seconds=10)(endpoint, {"kind": "SubjectAccessReview"})


def test_the_scheduler_asks(fresh: Workshop) -> None:
    with serving(fresh, lambda _, body: (201, {**body, "status": {"denied": True}})) as server:
        assert ask_one(fresh, server) == {"kind": "SubjectAccessReview", "status": {"denied": True}}
        assert server.clients == ["system:kube-scheduler"]


def test_the_next_one_asks_where_the_scheduler_may_not(fresh: Workshop) -> None:
    def answer(name: str, body: Answer) -> tuple[int, Any]:
        return (500, {}) if name == "system:kube-scheduler" else (201, body)

    with serving(fresh, answer) as server:
        assert ask_one(fresh, server) == {"kind": "SubjectAccessReview"}
        assert server.clients == ["system:kube-scheduler", "system:kube-controller-manager"]


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [(403, {}, "it answers 403 forbidden"), (201, [], "its answer is no object")],
)
def test_an_answer_that_is_none(status: int, content: Any, why: str, fresh: Workshop) -> None:
    with serving(fresh, lambda *_: (status, content)) as server, pytest.raises(ValueError, match=why):
        ask_one(fresh, server)


def test_without_a_key_nobody_can_ask(fresh: Workshop) -> None:
    for name in ("scheduler", "controller-manager", "admin", "super-admin"):
        (fresh.tree / f"nodes/cp-1/etc/kubernetes/{name}.conf").unlink(missing_ok=True)
    with serving(fresh, lambda *_: (201, {})) as server:
        with pytest.raises(ValueError, match="no kubeconfig in the tree"):
            ask_one(fresh, server)
        assert server.clients == []


def test_a_server_of_another_ca_is_not_asked(fresh: Workshop) -> None:
    with serving(fresh, lambda *_: (201, {})) as server:
        (fresh.tree / "pki/ca.crt").write_bytes((fresh.tree / "pki/etcd/ca.crt").read_bytes())
        with pytest.raises(ssl.SSLError):
            ask_one(fresh, server)
        assert server.clients == []


@pytest.mark.parametrize("content", [None, b""])
def test_without_a_ca_the_cas_of_the_machine_do_not_count(content: bytes | None, fresh: Workshop) -> None:
    with serving(fresh, lambda *_: (201, {})) as server:
        (fresh.tree / "pki/ca.crt").unlink()
        if content is not None:
            (fresh.tree / "pki/ca.crt").write_bytes(content)
        with pytest.raises(ValueError, match="no CA to verify it by"):
            ask_one(fresh, server)
        assert server.clients == []
