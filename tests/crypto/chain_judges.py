"""Other programs that judge certification paths: OpenSSL, GnuTLS, pkilint, and Go in kubectl and in etcd."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.crypto.test_independent_verifiers import lint
from tests.desired.rendering.reference_programs import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.crypto.chains import Chain, Made

_SECONDS = 120
_PURPOSES = {True: ("sslserver", "1.3.6.1.5.5.7.3.1"), False: ("sslclient", "1.3.6.1.5.5.7.3.2")}


def _pem(certificates: Sequence[Made]) -> bytes:
    return b"".join(each.pem for each in certificates)


def _key(made: Made) -> bytes:
    return made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ip_address(name))
    return False


def _succeeds(command: list[str]) -> bool:
    return (
        subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS).returncode == 0
    )


def openssl(chain: Chain, folder: Path) -> bool:
    """`openssl verify -x509_strict`, with the name that is wanted."""
    (folder / "leaf.pem").write_bytes(chain.sent[0].pem)
    (folder / "anchors.pem").write_bytes(_pem(chain.anchors))
    (folder / "between.pem").write_bytes(_pem(chain.sent[1:]))
    command = ["openssl", "verify", "-x509_strict", "-auth_level", "1"]
    command += ["-purpose", _PURPOSES[bool(chain.name)][0], "-CAfile", str(folder / "anchors.pem")]
    command += ["-untrusted", str(folder / "between.pem")] if chain.sent[1:] else []
    if chain.name:
        command += ["-verify_ip" if _is_address(chain.name) else "-verify_hostname", chain.name]
    return _succeeds([*command, str(folder / "leaf.pem")])


def gnutls(chain: Chain, folder: Path) -> bool:
    """GnuTLS' `certtool --verify`."""
    certtool = shutil.which("certtool")
    if certtool is None:
        pytest.skip("certtool is not installed (Debian: gnutls-bin)")
    (folder / "chain.pem").write_bytes(_pem(chain.sent))
    (folder / "anchors.pem").write_bytes(_pem(chain.anchors))
    command = [certtool, "--verify", "--load-ca-certificate", str(folder / "anchors.pem")]
    command += ["--verify-purpose", _PURPOSES[bool(chain.name)][1], "--infile", str(folder / "chain.pem")]
    return _succeeds([*command, *(["--verify-hostname", chain.name] if chain.name else [])])


def pkilint(chain: Chain) -> bool:
    """Whether pkilint has nothing against the leaf and what is sent with it; it judges no paths."""
    for made in chain.sent:
        try:
            found = [code for code, _ in lint(made.der) if code not in _ABOUT_KUBERNETES]
        except Exception:  # noqa: BLE001 -- what its decoder does not take is against it too
            return False
        if found:
            return False
    return True


# Kubernetes dials names of one label.
_ABOUT_KUBERNETES = {"pkix.invalid_domain_name_syntax"}


def kubectl(chain: Chain, folder: Path) -> bool | None:
    """Whether Go in kubectl takes a server: then it sends its request. None where OpenSSL cannot serve it."""
    (folder / "server.pem").write_bytes(_key(chain.sent[0]) + _pem(chain.sent))
    (folder / "ca.crt").write_bytes(_pem(chain.anchors))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        context.load_cert_chain(folder / "server.pem")
    except ssl.SSLError:
        return None
    with _Listening(context) as server:
        command = [
            find("kubectl"),
            "--kubeconfig",
            "/dev/null",
            "--server",
            f"https://127.0.0.1:{server.port}",
        ]
        command += ["--certificate-authority", str(folder / "ca.crt"), "--tls-server-name", chain.name]
        command += ["--request-timeout=60s", "--token=x", "--cache-dir", str(folder), "get", "--raw", "/x"]
        subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    return server.asked


class _Listening:
    """A TLS server that takes one connection at a time, and knows whether one was used."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.asked = False
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(_SECONDS)
            with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as it:
                self.asked |= it.recv(1024).startswith(b"GET /x")
                it.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=_SECONDS)


@contextlib.contextmanager
def etcd(chains: Sequence[Chain], own: Made, folder: Path) -> Iterator[int]:
    """Go in etcd, which judges every client by the anchors of all: each path has its own names of CAs."""
    program = find("etcd")
    anchors = [each for chain in chains for each in chain.anchors if each.draft.serial >= 0]
    (folder / "anchors.pem").write_bytes(_pem(anchors))
    (folder / "server.crt").write_bytes(own.pem)
    (folder / "server.key").write_bytes(_key(own))
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(int(free.getsockname()[1]))
    url, peer = f"https://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    command = [program, "--name", "one", "--data-dir", str(folder / "data"), "--client-cert-auth"]
    command += ["--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer]
    command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}"]
    command += ["--cert-file", str(folder / "server.crt"), "--key-file", str(folder / "server.key")]
    command += ["--trusted-ca-file", str(folder / "anchors.pem")]
    with (
        (folder / "etcd.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as running,
    ):
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports[0])):
                    break
                assert running.poll() is None, (folder / "etcd.log").read_text()[-2000:]
                time.sleep(0.1)
            yield ports[0]
        finally:
            running.kill()


def is_let_in(chain: Chain, port: int, folder: Path) -> bool | None:
    """Whether a server lets a client in: then it answers. None where OpenSSL cannot show the certificate."""
    (folder / "client.pem").write_bytes(_key(chain.sent[0]) + _pem(chain.sent))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        context.load_cert_chain(folder / "client.pem")
    except ssl.SSLError:
        return None
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as raw,
            context.wrap_socket(raw) as stream,
        ):
            stream.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return stream.recv(16).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def side_by_side(
    work: Sequence[Chain], judge: Callable[[Chain, Path], bool | None], folder: Path
) -> list[bool | None]:
    """What a judge says of each, some at a time, each with a folder of its own."""

    def one(number: int) -> bool | None:
        place = folder / f"{number}"
        place.mkdir(parents=True)
        return judge(work[number], place)

    with ThreadPoolExecutor(4) as workers:
        return list(workers.map(one, range(len(work))))
