"""Clusters for the tests: specs in few words, and a PKI directory that is planned, applied and verified."""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pkigen.crypto.keys import public_der
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.generations import InKubeconfig
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.rendering import Renderer
from pkigen.desired.rendering.templates import Templates
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.source import IssuedHere
from pkigen.reconcile.surveyed import Selection
from pkigen.reconcile.verify import verify
from pkigen.reconcile.workbench import Tools
from pkigen.spec.model import ClusterSpec
from pkigen.spec.validation import Severity, findings
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import client_certificate_pem
from pkigen.store import OsFileSystem, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from pkigen.reconcile.observations import Verified
    from pkigen.reconcile.plan import Plan
    from pkigen.state.reasons import Reason

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

Node = dict[str, Any]


class Unsynced(OsFileSystem):
    """The real file system without waiting for the disk: that durability is the store's own tests' affair."""

    def fsync(self, fd: int) -> None:
        """Do not wait."""


def node(name: str, address: str | list[str], *roles: str, **more: Any) -> Node:
    """A node of a spec."""
    addresses = [address] if isinstance(address, str) else address
    return {"name": name, "roles": list(roles) or ["worker"], "addresses": addresses, **more}


def spec(*nodes: Node, name: str = "prod", **settings: Any) -> ClusterSpec:
    """A valid cluster spec: its nodes, and the fields of `spec` by their YAML names."""
    content = {"kubernetesVersion": "v1.36.2", **settings, "nodes": list(nodes) or [CP1]}
    cluster = ClusterSpec.model_validate({"metadata": {"name": name}, "spec": content})
    errors = [finding for finding in findings(cluster, CERTIFICATES) if finding.severity is Severity.ERROR]
    assert not errors, errors
    return cluster


CP1 = node("cp-1", "10.0.0.11", "control-plane")
CP2 = node("cp-2", "10.0.0.12", "control-plane")
CP3 = node("cp-3", "10.0.0.13", "control-plane", certSANs=["cp-3.rack2.example.com"])
W1 = node("worker-1", "10.0.0.21")
W2 = node("worker-2", "10.0.0.22")
ENDPOINT = {"controlPlaneEndpoint": "api.prod.example.com:6443"}


@dataclass(kw_only=True)
class World:
    """One PKI directory and the spec that it is to follow."""

    root: Path
    cluster: ClusterSpec
    now: datetime = NOW
    entropy: Callable[[int], bytes] = os.urandom
    renderer: Renderer = field(init=False)
    inventory: Inventory = field(init=False)

    def __post_init__(self) -> None:
        self.follow(self.cluster)

    def follow(self, cluster: ClusterSpec) -> World:
        """From now on the spec is another one."""
        self.cluster = cluster
        self.inventory = derive(cluster)
        self.renderer = Renderer(self.inventory)
        self.renderer._templates = _templates()  # noqa: SLF001 -- compiling them takes longer than a test
        return self

    def writing(self) -> Store:
        """The directory, for a change."""
        return Store.open(self.root, command="test", now=self.now, filesystem=Unsynced())

    def plan(self, selection: Selection | None = None, *, after: timedelta | None = None) -> Plan:
        """What is to be done."""
        if not self.root.exists():
            self.root.mkdir()
        with Store.open_reading(self.root) as store:
            return self.plan_of(store, selection, now=self.now + after if after else self.now)

    def plan_of(
        self, store: Store, selection: Selection | None = None, *, now: datetime | None = None
    ) -> Plan:
        """The plan of an open directory."""
        lock = read_lock(store)
        owned = lock.paths if lock else frozenset[str]()
        return make_plan(
            self.inventory,
            store,
            self.renderer,
            now=now or self.now,
            owned=owned,
            selection=selection or Selection(),
        )

    def apply(self, selection: Selection | None = None, *, reuse_keys: bool = False) -> Applied:
        """Plan, and carry the plan out."""
        with self.writing() as store:
            plan = self.plan_of(store, selection)
            source = IssuedHere(reuses_keys=reuse_keys)
            return apply_plan(plan, self.inventory, store, self.tools(), source=source)

    def tools(self) -> Tools:
        """Clock, randomness, templates."""
        return Tools(now=self.now, entropy=self.entropy, renderer=self.renderer, progress=SILENCE)

    def verify(self, *, now: datetime | None = None) -> Verified:
        """Verify the directory."""
        with Store.open_reading(self.root) as store:
            return verify(self.inventory, store, self.renderer, now=now or self.now)

    def reasons(self, selection: Selection | None = None) -> dict[str, tuple[str, Reason | None]]:
        """The plan's changes: verb and reason by id."""
        return {action.id: (action.verb, action.reason) for action in self.plan(selection).changes}

    # -- what is on disk ------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """A file of the directory."""
        return self.root / path

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        return self.path(path).read_bytes()

    def certificate(self, identifier: str) -> x509.Certificate:
        """A certificate of the inventory as it is on disk."""
        return x509.load_pem_x509_certificate(self.pem(identifier))

    def pem(self, identifier: str) -> bytes:
        """A certificate and what follows it, as it is on disk."""
        location = self.inventory.certificates[identifier].location
        if isinstance(location, InKubeconfig):
            return client_certificate_pem(self.read(location.kubeconfig))
        return self.read(location.certificate)

    def fingerprints(self) -> dict[str, bytes]:
        """Every certificate of the inventory."""
        return {identifier: self.pem(identifier) for identifier in self.inventory.certificates}


@cache
def _templates() -> Templates:
    return Templates(None)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of every file below a directory, but for the lock's own file and the index."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in {"lock", "index"}
    }


_PRIVATE = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]{100,}")


def private_keys(data: bytes) -> Iterator[bytes]:
    """The SPKI of every private key in some bytes, also of those in base64."""
    for text in (data, *(base64.b64decode(block + b"==") for block in _BASE64.findall(data))):
        for match in _PRIVATE.finditer(text):
            key = load_pem_private_key(match[0], password=None, unsafe_skip_rsa_key_validation=True)
            yield public_der(key)  # type: ignore[arg-type]
