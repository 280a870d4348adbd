"""What real clients make of a leaf with a cross certificate behind it: Go, OpenSSL, GnuTLS, Python, Java.

A server of Python's has the files of an API server after *promote*. Each client trusts one generation of the
CA alone, and is refused where the leaf is sent by itself: so it is the cross certificate that carries it.
"""

from __future__ import annotations

import contextlib
import http
import http.client
import http.server
import json
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.live import programs
from tests.rotation.phases import PKI, SMALL, Workshop, spec_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_SECONDS = 300
_ADDRESS = "127.0.0.1"
_JAVA = """
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import javax.net.ssl.*;
public class Client {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream in = Files.newInputStream(Path.of(arguments[1]))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, factory.getTrustManagers(), null);
        HttpsURLConnection connection = (HttpsURLConnection) new URL(arguments[0]).openConnection();
        connection.setSSLSocketFactory(context.getSocketFactory());
        System.out.println(connection.getResponseCode());
    }
}
"""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"major": "1", "minor": "36", "gitVersion": "v1.36.2"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__((_ADDRESS, 0), _Handler)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        # In the thread of the connection: a handshake that comes to nothing holds nobody up.
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(request, server_side=True) as connection,
        ):
            _Handler(connection, client_address, self)


@contextlib.contextmanager
def _serving(certificate: Path, key: Path) -> Iterator[int]:
    server = _Server(certificate, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The ports where the leaf is served with its cross certificate and alone; the CAs of clients."""

    crossed: int
    alone: int
    old: Path
    new: Path
    scratch: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    scratch = tmp_path_factory.mktemp("served")
    workshop = Workshop(place=scratch, now=datetime.now(UTC))
    # What most clusters have: kubeadm's keys.
    one = {"kubernetesVersion": "v1.36.2", "nodes": SMALL["nodes"][:1]}
    spec = {**one, "apiServer": {"certSANs": [_ADDRESS]}, "certificates": {"keyAlgorithm": "RSA-2048"}}
    workshop.made(spec_text(spec))
    for step in ("prepare", "promote"):
        workshop.step("ca kubernetes", step)
    pki = workshop.tree / f"nodes/cp-1/{PKI}"
    pem = (pki / "apiserver.crt").read_text()
    assert pem.count("BEGIN") == 2
    leaf = scratch / "leaf.crt"
    leaf.write_text(pem[: pem.index("-----BEGIN", 1)])
    key = pki / "apiserver.key"
    with _serving(pki / "apiserver.crt", key) as crossed, _serving(leaf, key) as alone:
        yield Served(
            crossed=crossed,
            alone=alone,
            old=workshop.tree / "pki/ca-previous.crt",
            new=workshop.tree / "pki/ca.crt",
            scratch=scratch,
        )


def _require(*names: str) -> None:
    missing = [name for name in names if programs.find(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in KUBEBUILDER_ASSETS or on PATH")


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = list(map(str, command))
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS
    )


def _ran(*command: str | Path) -> bool:
    return _run(*command).returncode == 0


def go(port: int, authority: Path, scratch: Path) -> bool:
    """kubectl, with Go's crypto/x509."""
    _require("kubectl")
    path = scratch / f"{authority.stem}-{port}.conf"
    cluster = {"server": f"https://{_ADDRESS}:{port}", "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": cluster}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {"token": "none"}}],
        "current-context": "a",
    }
    path.write_text(yaml.safe_dump(config))
    return _ran(programs.find("kubectl") or "", "--kubeconfig", path, "get", "--raw", "/version")


def openssl(port: int, authority: Path, _: Path) -> bool:
    """openssl s_client, by the strict rules of RFC 5280."""
    _require("openssl")
    return _ran(
        *("openssl", "s_client", "-connect", f"{_ADDRESS}:{port}", "-CAfile", authority),
        *("-verify_return_error", "-x509_strict", "-verify_ip", _ADDRESS),
    )


def gnutls(port: int, authority: Path, _: Path) -> bool:
    """gnutls-cli."""
    _require("gnutls-cli")
    done = _run("gnutls-cli", f"--x509cafile={authority}", "--port", str(port), _ADDRESS)
    return "- Status: The certificate is trusted." in done.stdout  # its exit code is about the end, too


def python(port: int, authority: Path, _: Path) -> bool:
    """Python's ssl as 3.13 has it."""
    context = ssl.create_default_context(cafile=authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    connection = http.client.HTTPSConnection(_ADDRESS, port, context=context, timeout=_SECONDS)
    try:
        connection.request("GET", "/version")
        return connection.getresponse().status == http.HTTPStatus.OK
    except ssl.SSLCertVerificationError:
        return False
    finally:
        connection.close()


def curl(port: int, authority: Path, _: Path) -> bool:
    """curl, with whatever it was built with."""
    _require("curl")
    return _ran("curl", "-sS", "--cacert", authority, f"https://{_ADDRESS}:{port}/")


def java(port: int, authority: Path, scratch: Path) -> bool:
    """Java's PKIX trust manager."""
    _require("java", "javac")
    source = scratch / "Client.java"
    source.write_text(_JAVA)
    return _ran("java", source, f"https://{_ADDRESS}:{port}/", authority)


@pytest.mark.parametrize("client", [go, openssl, gnutls, python, curl, java])
def test_it_goes_on_with_either_ca(served: Served, client: Callable[[int, Path, Path], bool]) -> None:
    assert client(served.crossed, served.old, served.scratch), "who trusts the old CA alone"
    assert client(served.crossed, served.new, served.scratch), "who trusts the new CA alone"
    assert client(served.alone, served.new, served.scratch), "the leaf alone, to who trusts the new CA"
    assert not client(served.alone, served.old, served.scratch), "the leaf alone, to who trusts the old CA"
