"""An offline root above, keys of their own below: three places, and files alone go between them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.carrier.envelope import unwrap
from pkigen.crypto.age import Identity
from tests.airgap.offline.offline_sides import CAS, DAY, SPEC, OfflineSides
from tests.cli.program import unaddressed

if TYPE_CHECKING:
    from pathlib import Path

OWN_KEYS = SPEC.partition("  users:")[0].replace(
    "caKeys: KEYS", "caKeys: site, nodeKeys: node, distributeCAKeys: false"
)
NODES = ("cp-1", "worker-1")


@dataclass(kw_only=True)
class WithNodes(OfflineSides):
    """The nodes' root directories stand beside the two other places."""

    opened: tuple[object, ...] = ()
    """How the site's authority is opened."""

    def root(self, node: str) -> Path:
        return self.place / "nodes" / node

    def bundle(self, node: str) -> Path:
        return self.place / "medium" / f"prod.{node}.bundle"

    def enrol(self) -> None:
        """Every node asks, all are approved in one run, every node installs."""
        medium = self.place / "medium"
        pins: list[str] = []
        for node in NODES:
            self.root(node).mkdir(parents=True, exist_ok=True)
            at = ("--root", self.root(node), "--node", node)
            said = self.done("airgap", "node", "request", self.spec, *at, "--out", medium).out
            pins += ("--pin", f"{node}={said.split()[-1]}")
        files = [medium / f"prod.{node}.request" for node in NODES]
        approve = ("airgap", "node", "approve", self.spec, *files, "-C", self.site, "--out", medium, "--yes")
        self.done(*approve, *pins, *self.opened)
        for node in NODES:
            self.install(node)

    def install(self, node: str) -> None:
        at = ("--root", self.root(node), "--node", node, "--pin", self.site_pin)
        self.done("airgap", "bundle", "install", self.bundle(node), *at, "--yes")

    def send(self) -> None:
        """What is around the keys, without anybody having asked."""
        opened = (
            f"--authority-{str(word)[2:]}" if str(word).startswith("--") else word for word in self.opened
        )
        self.done(
            *("airgap", "bundle", "create", self.spec, "-C", self.site, "--out", self.place / "medium"),
            *opened,
        )
        for node in NODES:
            self.install(node)

    def installed(self, node: str, path: str) -> bytes:
        return (self.root(node) / path).read_bytes()

    def verified(self) -> None:
        verified = self.done("verify", "-C", self.site)
        assert (verified.out.endswith("0 findings\n"), verified.err) == (True, "")


@pytest.fixture
def places(tmp_path: Path) -> WithNodes:
    """Nobody has asked yet."""
    found = WithNodes.new(tmp_path / "places", "site", OWN_KEYS)
    assert isinstance(found, WithNodes)
    found.made()
    return found


@pytest.fixture
def enrolled(places: WithNodes, tmp_path: Path) -> WithNodes:
    """The site's authority is encrypted, and every node has its certificates."""
    identity = tmp_path / "owner.age"
    identity.write_text(f"{Identity.generate().text}\n")
    identity.chmod(0o600)
    places.opened = ("--identity", identity)
    places.done("airgap", "authority", "encrypt", "-C", places.site, *places.opened, "--yes")
    places.enrol()
    places.verified()
    return places


def test_a_renewed_intermediate_reaches_nodes_without_a_request(enrolled: WithNodes) -> None:
    key = enrolled.installed("cp-1", "etc/kubernetes/pki/apiserver.key")
    before = enrolled.installed("worker-1", "etc/kubernetes/pki/ca.crt")
    enrolled.now += 20 * DAY
    enrolled.ask(*CAS, *enrolled.opened)
    enrolled.sign()
    enrolled.accept(*enrolled.opened)
    enrolled.verified()
    enrolled.send()
    assert enrolled.installed("worker-1", "etc/kubernetes/pki/ca.crt") != before
    assert enrolled.installed("cp-1", "etc/kubernetes/pki/apiserver.key") == key
    sent = enrolled.installed("cp-1", "etc/kubernetes/pki/apiserver.crt")
    assert sent.endswith(enrolled.installed("cp-1", "etc/kubernetes/pki/ca.crt")), "leaf, then intermediate"


def test_rescue_needs_the_offline_side_for_what_has_ended_there(enrolled: WithNodes) -> None:
    """Eleven years on: the intermediates from there, the leaves by request, nothing from an API server."""
    enrolled.now += 4015 * DAY
    refused = enrolled.pkigen("rescue", "-C", enrolled.site, "--yes", *enrolled.opened)
    assert refused.code == 1
    assert refused.error == f"only the offline authority can renew what has expired: {', '.join(CAS)}"
    assert f"`pkigen airgap authority request {' '.join(CAS)}` here" in unaddressed(refused.hint)
    enrolled.ask(*CAS, *enrolled.opened)
    enrolled.sign()
    enrolled.accept(*enrolled.opened)
    enrolled.enrol()
    enrolled.verified()
    for node in NODES:
        assert unwrap(enrolled.bundle(node).read_bytes(), pin=enrolled.site_pin).label.node == node
    shutil.rmtree(enrolled.place / "vault")  # whoever has the site alone still knows what is right
    enrolled.verified()


def test_a_ca_rotates_by_a_successor_from_there_and_requests_from_here(places: WithNodes) -> None:
    """A key that waits for the offline side cannot be sealed: this site's authority lies open."""
    places.enrol()
    before = places.installed("worker-1", "etc/kubernetes/pki/ca.crt")
    rotate = (
        "rotate",
        "ca",
        "kubernetes",
        places.spec,
        "-C",
        places.site,
        "--yes",
        "--assume-distributed",
    )
    places.ask("--next", "ca")
    places.sign()
    places.accept()
    create = ("airgap", "bundle", "create", places.spec, "-C", places.site, "--out", places.place / "medium")
    for phase in ("prepare", "promote"):
        places.now += DAY / 24
        places.done(*rotate, "--phase", phase)
        places.done(*create)
        for node in NODES:
            places.install(node)
        both = places.installed("worker-1", "etc/kubernetes/pki/ca.crt")
        assert both.count(b"BEGIN CERTIFICATE") == 2
    assert "would break a connection" in places.pkigen(*rotate, "--phase", "finish").error
    places.now += DAY / 24
    places.enrol()
    places.done(*rotate, "--phase", "finish")
    places.verified()
    places.now += DAY / 24
    places.done(*create)
    for node in NODES:
        places.install(node)
    after = places.installed("worker-1", "etc/kubernetes/pki/ca.crt")
    assert after.count(b"BEGIN CERTIFICATE") == 1
    assert after != before
