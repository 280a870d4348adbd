"""An offline root that is a company's: intermediates of several levels, other algorithms, path lengths."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkigen.state.observed import client_certificate_pem
from tests.airgap.offline.offline_sides import SPEC, OfflineSides, snapshot
from tests.live import certificates

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.hosts import Identity

PKI = "nodes/cp-1/etc/kubernetes/pki"
# The CAs above last for hours: they are made with a clock of their own.
SHORT = SPEC.replace("caKeys: KEYS", "caKeys: site, caValidity: 3h, validity: 2h, renewBefore: 10m").replace(
    "groups: [dev]", "groups: [dev], validity: 1h"
)


@dataclass(frozen=True, kw_only=True)
class Level:
    """A CA of a company's: the first is its root, the last stands above the cluster's."""

    key: str = "P-256"
    path_length: int | None = None


HIERARCHIES = {
    "an RSA root": (Level(key="RSA"),),
    "a root that allows one below": (Level(path_length=1),),
    "an intermediate of an RSA root": (Level(key="RSA"), Level(key="P-384", path_length=1)),
    "two intermediates": (
        Level(key="P-384", path_length=3),
        Level(path_length=2),
        Level(key="RSA", path_length=1),
    ),
}
TOO_SHORT = {
    "a root that allows none below": (Level(path_length=0),),
    "an intermediate that allows none below": (Level(), Level(path_length=0)),
    "a root that allows one below, and has two": (Level(path_length=1), Level()),
}


def company(folder: Path, levels: tuple[Level, ...]) -> list[Identity]:
    """The CAs, from the root down."""
    made: list[Identity] = []
    for number, level in enumerate(levels):
        key = {
            "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "RSA": lambda: rsa.generate_private_key(65537, 2048),
        }[level.key]()
        parent = made[-1] if made else None
        name = f"company-{number}"
        made.append(certificates.make_ca(folder, name, parent=parent, key=key, path_length=level.path_length))
    return made


def brought(folder: Path, chain: list[Identity]) -> OfflineSides:
    """The lowest of these CAs is what the offline authority signs with."""
    places = OfflineSides.new(folder, "site", SHORT)
    places.now = datetime.now(UTC)
    pki = places.authority / "pki"
    pki.mkdir(parents=True, mode=0o700)
    (pki / "root.crt").write_bytes(b"".join(each.certificate.read_bytes() for each in reversed(chain)))
    shutil.copy(chain[-1].key, pki / "root.key")
    return places


def pem_of(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def accepted(anchor: Path, sent: Path, purpose: str) -> bool:
    """Whether a client that has this root alone takes what is sent (the leaf, and what follows it)."""
    verify = (
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
        anchor,
        "-untrusted",
        sent,
        sent,
    )
    return subprocess.run(verify, capture_output=True, check=False, timeout=600).returncode == 0


@pytest.mark.parametrize("name", HIERARCHIES)
def test_servers_send_all_but_the_root_and_peers_trust_the_clusters_ca_alone(
    tmp_path: Path, name: str
) -> None:
    chain = company(tmp_path, HIERARCHIES[name])
    places = brought(tmp_path / "places", chain).made()
    assert places.done("verify", "-C", places.site).err == ""
    node = places.site / PKI
    for ca, servers in (("ca.crt", ["apiserver.crt"]), ("etcd/ca.crt", ["etcd/server.crt", "etcd/peer.crt"])):
        (anchor,) = pem_of(node / ca)
        assert anchor.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
        for server in servers:
            sent = pem_of(node / server)
            assert sent[1] == anchor
            assert sent[2:] == [pem_of(each.certificate)[0] for each in reversed(chain[1:])]
            assert accepted(chain[0].certificate, node / server, "sslserver")
            alone = tmp_path / "alone.crt"
            alone.write_bytes(sent[0].public_bytes(certificates.serialization.Encoding.PEM))
            assert not accepted(chain[0].certificate, alone, "sslserver"), (
                "the control: nothing else was sent"
            )
    (front,) = pem_of(node / "front-proxy-ca.crt")
    assert front.issuer == pem_of(chain[-1].certificate)[0].subject
    assert len(pem_of(node / "ca-signing.crt")) == 1, "kube-controller-manager takes exactly one"
    for client in ("apiserver-kubelet-client.crt", "front-proxy-client.crt", "apiserver-etcd-client.crt"):
        assert len(pem_of(node / client)) == 1
    admin = client_certificate_pem((node.parent / "admin.conf").read_bytes())
    assert len(x509.load_pem_x509_certificates(admin)) == 1


@pytest.mark.parametrize("name", TOO_SHORT)
def test_a_root_that_could_not_sign_a_ca_is_refused_before_anybody_travels(tmp_path: Path, name: str) -> None:
    places = brought(tmp_path / "places", company(tmp_path, TOO_SHORT[name]))
    before = snapshot(places.authority)
    refused = places.pkigen("airgap", "authority", "init", places.spec_there, "--authority", places.authority)
    assert refused.code == 1
    assert "below it (pathLenConstraint)" in refused.error
    assert snapshot(places.authority) == before
