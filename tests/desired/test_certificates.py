"""The table of certificates: a kind that nobody has heard of is one row, and everything follows from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.cli.app import run
from pkigen.cli.system import System
from pkigen.crypto.names import SANs, sans_of, subject_of
from pkigen.crypto.profiles import Profile
from pkigen.desired import certificates
from pkigen.desired.certificates import CERTIFICATES, CertificateKind, Holder, KubeconfigTo, PairAt, Server
from pkigen.desired.generations import CA, Phase, Rotations, ca_id
from pkigen.desired.inventory import derive
from pkigen.desired.readers import ComponentName, ReadBy, Reading
from pkigen.state.observed import client_certificate_pem
from tests.cli.program import NOW, InProcess
from tests.samples import spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.spec.model import ClusterSpec, Node


def _names(_cluster: ClusterSpec, node: Node) -> SANs:
    return SANs.of("tunnel.example.com", node.name, *node.addresses)


TUNNEL = CertificateKind(
    name="tunnel-server",
    issuer=CA.KUBERNETES,
    profile=Profile.SERVER,
    common_name="tunnel:{node}",
    organizations=("tunnels",),
    sans=_names,
    holder=Holder.CONTROL_PLANE,
    place=PairAt(stem="tunnel/server"),
    readers=(ReadBy(component=ComponentName.API_SERVER, reading=Reading.AT_START),),
    given_by="tunnel --cert",
    stops="no tunnel is dug any more",
)
CLOUD = CertificateKind(
    name="cloud.conf",
    issuer=CA.KUBERNETES,
    profile=Profile.CLIENT,
    common_name="system:cloud",
    holder=Holder.CONTROL_PLANE,
    place=KubeconfigTo(server=Server.NEAREST),
    readers=(ReadBy(component=ComponentName.CONTROLLER_MANAGER, reading=Reading.AT_START),),
    given_by="cloud --kubeconfig",
    stops="the weather stays as it is",
    rights="ClusterRole system:cloud",
)
BACKUP = CertificateKind(
    name="etcd-backup-client",
    issuer=CA.ETCD,
    profile=Profile.CLIENT,
    common_name="backup",
    holder=Holder.ETCD_MEMBER,
    place=PairAt(stem="backup", directory="/srv/backup"),
    readers=(ReadBy(component=ComponentName.ETCD, reading=Reading.PER_CONNECTION),),
    given_by="backup --cert",
    stops="no backups are taken",
    rights="everything that etcd holds",
)
MADE_UP = {
    TUNNEL: "etc/kubernetes/pki/tunnel/server.crt",
    CLOUD: "etc/kubernetes/cloud.conf",
    BACKUP: "srv/backup/backup.crt",
}
SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {{name: home}}
spec:
  kubernetesVersion: v1.36.2
  certificates: {{overrides: {{{name}: {{validity: 300h}}}}}}
  nodes:
    - {{name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}}
    - {{name: worker-1, roles: [worker], addresses: [10.0.0.21]}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """A cluster whose table has one row more."""

    kind: CertificateKind
    spec: Path
    tree: Path

    @property
    def file(self) -> Path:
        """Where the certificate stands."""
        return self.tree / "nodes/cp-1" / MADE_UP[self.kind]

    def certificate(self) -> x509.Certificate:
        """As it is on disk."""
        data = self.file.read_bytes()
        embedded = isinstance(self.kind.place, KubeconfigTo)
        return x509.load_pem_x509_certificate(client_certificate_pem(data) if embedded else data)


@pytest.fixture(scope="module", params=MADE_UP, ids=lambda kind: kind.name)
def made_up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeUp]:
    place = tmp_path_factory.mktemp("made-up")
    made = MadeUp(kind=request.param, spec=place / "home.yaml", tree=place / "home")
    made.spec.write_text(SPEC.format(name=made.kind.name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "CERTIFICATES", (*CERTIFICATES, made.kind))
        system = System(clock=lambda: NOW)
        assert run(["init", str(made.spec), "-C", str(made.tree)], system=system) == 0
        yield made


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


def test_it_is_issued_as_its_row_says(made_up: MadeUp) -> None:
    kind, certificate = made_up.kind, made_up.certificate()
    assert kind.issuer is not None
    issuer = x509.load_pem_x509_certificate((made_up.tree / f"pki/{kind.issuer}.crt").read_bytes())
    certificate.verify_directly_issued_by(issuer)
    assert subject_of(certificate) == kind.subject("cp-1")
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    serves = kind.profile is Profile.SERVER
    wanted = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
    assert list(usages) == [wanted]
    assert sans_of(certificate) == (("cp-1", "tunnel.example.com", "10.0.0.11") if serves else ())
    # The name is one that `overrides` may use; only those who hold the kind have one.
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days < 14
    assert not list((made_up.tree / "nodes/worker-1").rglob(made_up.file.name))
    lock = json.loads((made_up.tree / "pki.lock").read_text())
    assert lock["certificates"][f"cp-1/{kind.name}"]["issuer"] == ca_id(kind.issuer)


RESTARTS = {
    TUNNEL.name: ("kube-apiserver", "restart"),
    CLOUD.name: ("kube-controller-manager", "restart"),
    BACKUP.name: ("etcd", "reloads by itself"),
}


def test_it_is_planned_and_its_reader_is_in_the_restart_map(pkigen: InProcess, made_up: MadeUp) -> None:
    made_up.file.unlink()
    plan = pkigen("plan", made_up.spec, "-C", made_up.tree, "-o", "json").json
    assert {(each["id"], each["reason"]) for each in plan["actions"]} == {
        (f"cp-1/{made_up.kind.name}", "missing")
    }
    (step,) = plan["restarts"]
    assert (step["node"], step["component"], step["effect"]) == ("cp-1", *RESTARTS[made_up.kind.name])
    assert f"/{MADE_UP[made_up.kind]}" in step["files"]
    assert pkigen("apply", made_up.spec, "-C", made_up.tree, "--yes").code == 0
    assert pkigen("plan", made_up.spec, "-C", made_up.tree, "-o", "json").json["actions"] == []


def test_it_is_explained(pkigen: InProcess, made_up: MadeUp) -> None:
    kind = made_up.kind
    out = pkigen("explain", kind.name, "-C", made_up.tree).out
    assert f"cp-1/{kind.name}: " in out
    assert f"file:         nodes/cp-1/{MADE_UP[kind]}, until " in out
    for said in (kind.given_by, kind.stops, kind.rights, f"signed by:    {kind.issuer_name}"):
        assert said in out
    if kind is CLOUD:
        assert "presented to: kube-apiserver on cp-1\n" in out
        assert f"cp-1/{kind.name}" in pkigen("explain", "kube-controller-manager", "-C", made_up.tree).out


def test_it_is_verified(pkigen: InProcess, made_up: MadeUp) -> None:
    assert pkigen("verify", "-C", made_up.tree).code == 0
    content = made_up.file.read_bytes()
    made_up.file.unlink()
    missed = pkigen("verify", "-C", made_up.tree, "-o", "json")
    made_up.file.write_bytes(content)
    assert missed.code == 4
    assert f"cp-1/{made_up.kind.name}" in missed.out


def test_without_its_row_the_name_is_unknown(pkigen: InProcess, tmp_path: Path) -> None:
    spec = tmp_path / "home.yaml"
    spec.write_text(SPEC.format(name=TUNNEL.name))
    refused = pkigen("validate", spec)
    assert refused.code == 2
    assert f"spec.certificates.overrides.{TUNNEL.name}: is not the name of a certificate" in refused.err


# -- the real table -----------------------------------------------------------------------------------


def test_certificates_have_one_name_each() -> None:
    names = [kind.name for kind in CERTIFICATES]
    assert len(set(names)) == len(names)


def test_the_authority_holds_the_cas_and_nothing_else() -> None:
    held = [kind for kind in CERTIFICATES if kind.holder is Holder.AUTHORITY]
    assert [kind.name for kind in held] == [ca_id(ca) for ca in CA]
    assert held == [kind for kind in CERTIFICATES if kind.issuer is None]
    assert [CA.of_id(kind.name) for kind in held] == list(CA)
    with pytest.raises(ValueError, match="ca-next is not the id of a CA"):
        CA.of_id("ca-next")


@pytest.mark.parametrize("kind", CERTIFICATES, ids=lambda kind: kind.name)
def test_a_row_says_everything_that_people_ask_for(kind: CertificateKind) -> None:
    assert kind.stops
    assert bool(kind.given_by) is (kind.issuer is not None)  # nobody presents a CA
    # A client can do something; etcd's members are let in for what they are.
    assert bool(kind.rights) is (kind.profile is Profile.CLIENT)


def test_cas_are_called_as_the_spec_says_in_every_generation() -> None:
    named = spec(
        certificates={"overrides": {"ca": {"commonName": "Acme: prod"}, "etcd-ca": {"commonName": "e1"}}}
    )
    inventory = derive(named, Rotations(phases={"ca": Phase.PREPARED}, next_generations={"ca": 3}))
    names = {
        item.id: item.subject.common_name for item in inventory.certificates.values() if item.issuer is None
    }
    assert names == {
        "ca": "Acme: prod",
        "ca-next": "Acme: prod-g3",
        "etcd-ca": "e1",
        "front-proxy-ca": "front-proxy-ca",
    }
    # kubeadm gives a CA its name as a DNS name too; this one is none.
    assert inventory.certificates["ca"].sans == SANs()
    assert inventory.certificates["etcd-ca"].sans == SANs.of("e1")
