"""Every chain as a client would verify it that has only what our bundles hold; controls must be refused."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.generations import CA, InKubeconfig, KeyPairFiles
from pkigen.desired.inventory import derive
from pkigen.spec.loader import load
from pkigen.state.observed import client_certificate_pem, client_key_pem
from tests.airgap.offline.offline_sides import OfflineSides

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.desired.items import DesiredCertificate

BUNDLES = {CA.KUBERNETES: "ca.crt", CA.ETCD: "etcd/ca.crt", CA.FRONT_PROXY: "front-proxy-ca.crt"}
OPENSSL = {
    Profile.SERVER: ("sslserver",),
    Profile.CLIENT: ("sslclient",),
    Profile.PEER: ("sslserver", "sslclient"),
}
GNUTLS = {"sslserver": "1.3.6.1.5.5.7.3.1", "sslclient": "1.3.6.1.5.5.7.3.2"}


@pytest.fixture(scope="module")
def real(original_cluster: OfflineSides, tmp_path_factory: pytest.TempPathFactory) -> OfflineSides:
    """A cluster of the real present, so that programs with a clock of their own can verify it."""
    from datetime import UTC, datetime  # noqa: PLC0415

    keys = "site" if "caKeys: site" in original_cluster.spec.read_text() else "offline"
    places = OfflineSides.new(tmp_path_factory.mktemp("real") / "places", keys)
    places.now = datetime.now(UTC)
    return places.made()


def anchors(places: OfflineSides, ca: CA) -> Path:
    """The bundle that a control-plane node verifies with."""
    return places.site / "nodes/cp-1/etc/kubernetes/pki" / BUNDLES[ca]


def leaves(places: OfflineSides, scratch: Path) -> Iterator[tuple[DesiredCertificate, Path, Path]]:
    """Every leaf with its file and its key's, taken out of kubeconfigs."""
    for number, item in enumerate(derive(load(places.spec, kinds=CERTIFICATES).spec).certificates.values()):
        if item.issuer is None:
            continue
        if isinstance(item.location, KeyPairFiles):
            yield item, places.site / item.location.certificate, places.site / item.location.key
        elif isinstance(item.location, InKubeconfig):
            config = (places.site / item.location.kubeconfig).read_bytes()
            files = scratch / f"{number}.crt", scratch / f"{number}.key"
            files[0].write_bytes(client_certificate_pem(config))
            files[1].write_bytes(client_key_pem(config) or b"")
            yield item, *files


def accepted(*command: object) -> bool:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=600)
    return done.returncode == 0


def test_openssl_in_its_strict_mode(real: OfflineSides, tmp_path: Path) -> None:
    """An anchor that is an intermediate needs -partial_chain; a whole chain to the root needs nothing."""
    root = real.authority / "pki/root.crt"
    partial = ("-partial_chain",) if root.exists() else ()
    by_verifier: dict[tuple[CA, str], list[Path]] = {}
    for item, certificate, _ in leaves(real, tmp_path):
        assert item.issuer is not None
        for purpose in OPENSSL[item.profile]:
            by_verifier.setdefault((item.issuer, purpose), []).append(certificate)
    assert sum(map(len, by_verifier.values())) == 18
    for (ca, purpose), certificates in by_verifier.items():
        verify = ("openssl", "verify", "-x509_strict", "-purpose", purpose)
        assert accepted(*verify, *partial, "-CAfile", anchors(real, ca), *certificates), (ca, purpose)
        other = anchors(real, CA.ETCD if ca is not CA.ETCD else CA.KUBERNETES)
        assert not any(accepted(*verify, *partial, "-CAfile", other, each) for each in certificates[:2])
        if root.exists() and purpose == "sslserver":
            for each in certificates:
                assert accepted(*verify, "-CAfile", root, "-untrusted", each, each)
            assert not accepted(*verify, "-CAfile", root, certificates[0]), "the control: nothing was sent"


def test_gnutls(real: OfflineSides, tmp_path: Path) -> None:
    certtool = shutil.which("certtool")
    if certtool is None:
        pytest.skip("certtool is not installed (Debian: gnutls-bin)")
    kinds = {(item.issuer, item.profile): (item, each) for item, each, _ in leaves(real, tmp_path)}
    for item, certificate in kinds.values():
        assert item.issuer is not None
        alone = tmp_path / "alone.crt"
        alone.write_bytes(
            certificate.read_bytes().partition(b"-----END CERTIFICATE-----\n")[0]
            + b"-----END CERTIFICATE-----\n"
        )
        for purpose in OPENSSL[item.profile]:
            verify = (certtool, "--verify", "--verify-purpose", GNUTLS[purpose], "--infile", alone)
            assert accepted(*verify, "--load-ca-certificate", anchors(real, item.issuer)), item.id
            other = CA.ETCD if item.issuer is not CA.ETCD else CA.KUBERNETES
            assert not accepted(*verify, "--load-ca-certificate", anchors(real, other)), item.id


def files_of(places: OfflineSides, identifier: str, scratch: Path) -> tuple[Path, Path]:
    return next((crt, key) for item, crt, key in leaves(places, scratch) if item.id == identifier)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """Why a handshake fails; None where both ends are content and a byte has passed."""
    ours, theirs = socket.socketpair()
    faults: list[str] = []

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as stream:
                stream.sendall(stream.recv(1))
        except OSError as error:
            faults.append(str(error))
        finally:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as stream:
            stream.sendall(b"x")
            if stream.recv(1) != b"x":
                faults.append("nothing came back")
    except OSError as error:
        faults.append(str(error))
    finally:
        with suppress(OSError):
            ours.close()
        thread.join()
    return "; ".join(faults) or None


def test_handshakes_with_what_nodes_have(real: OfflineSides, tmp_path: Path) -> None:
    """An API server and a client with a kubeconfig, with nothing but what is in their files."""
    crt, key = files_of(real, "cp-1/apiserver", tmp_path)
    client_crt, client_key = files_of(real, "cp-1/admin.conf", tmp_path)
    etcd_crt, etcd_key = files_of(real, "cp-1/apiserver-etcd-client", tmp_path)

    def server(bundle: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        context.load_verify_locations(bundle)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def client(
        bundle: Path, crt: Path = client_crt, key: Path = client_key, *, partial: bool = True
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(bundle)
        context.load_cert_chain(crt, key)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if partial:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    own = anchors(real, CA.KUBERNETES)
    assert handshake(server(own), client(own), "kubernetes.default.svc") is None
    assert "Hostname mismatch" in str(handshake(server(own), client(own), "evil.example.com"))
    assert "verify failed" in str(handshake(server(own), client(anchors(real, CA.ETCD)), "kubernetes"))
    # A client of another purpose is not let in, though the same root stands above it.
    assert handshake(server(own), client(own, etcd_crt, etcd_key), "kubernetes") is not None
    root = real.authority / "pki/root.crt"
    if not root.exists():
        assert handshake(server(own), client(own, partial=False), "kubernetes") is None
        return
    # Whoever has the root only gets there with what the server sends, and needs no partial chain.
    assert handshake(server(own), client(root, partial=False), "kubernetes") is None
    # The control, and the decision's cost: OpenSSL's default takes no intermediate for an anchor.
    assert "unable to get issuer certificate" in str(
        handshake(server(own), client(own, partial=False), "kubernetes")
    )
    # Why the root is no anchor: with it, a certificate of the etcd CA would be a client of the API server.
    chain = tmp_path / "etcd-client-and-its-ca.crt"
    chain.write_bytes(etcd_crt.read_bytes() + (real.site / "pki/etcd/ca.crt").read_bytes())
    assert handshake(server(root), client(own, chain, etcd_key), "kubernetes") is None
    assert handshake(server(own), client(own, chain, etcd_key), "kubernetes") is not None


def test_openssl_s_client(real: OfflineSides, tmp_path: Path) -> None:
    """The program itself, over TCP, against a server that sends what its file holds."""
    crt, key = files_of(real, "cp-1/apiserver", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(stream, server_side=True) as secure:
                secure.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    dial = (
        "openssl",
        "s_client",
        "-connect",
        address,
        "-verify_return_error",
        "-verify_hostname",
        "kubernetes",
    )

    def dialled(*more: object) -> subprocess.CompletedProcess[str]:
        command = [*map(str, (*dial, *more))]
        return subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=600)

    own, root = anchors(real, CA.KUBERNETES), real.authority / "pki/root.crt"
    partial = ("-partial_chain",) if root.exists() else ()
    done = dialled("-CAfile", own, "-x509_strict", *partial)
    assert "Verify return code: 0 (ok)" in done.stdout, done.stderr
    assert dialled("-CAfile", anchors(real, CA.ETCD), *partial).returncode != 0
    if root.exists():
        done = dialled("-CAfile", root, "-showcerts")
        assert "Verify return code: 0 (ok)" in done.stdout, done.stderr
        assert done.stdout.count("BEGIN CERTIFICATE") == 2, "leaf and intermediate, and not the root"
    # `close` alone wakes nobody who waits in `accept` (Linux).
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
