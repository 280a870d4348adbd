"""Cross certificates in a rotation: who was never touched goes on until `finish`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.crypto import go_paths
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile
from pkigen.rotation.crossing import Crossing
from pkigen.rotation.phases import WantedStep
from pkigen.rotation.prover import prove
from tests.rotation.phases import DAY, NOW, PKI, Photograph, Workshop
from tests.samples import NOW as SAMPLES_NOW
from tests.state.test_authority import openssl
from tests.state.test_generations import root

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.rotation.proof import ProofRow
    from pkigen.spec.model import ClusterSpec

CROSS = ("pki/ca-cross.crt", "pki/etcd/ca-cross.crt", "pki/front-proxy-ca-cross.crt")
SENT = (
    f"nodes/cp-1/{PKI}/apiserver.crt",
    f"nodes/cp-1/{PKI}/etcd/server.crt",
    f"nodes/cp-1/{PKI}/etcd/peer.crt",
    f"nodes/cp-1/{PKI}/front-proxy-client.crt",
    "nodes/worker-1/var/lib/kubelet/pki/kubelet.crt",
)
ALONE = (
    f"nodes/cp-1/{PKI}/apiserver-kubelet-client.crt",
    f"nodes/cp-1/{PKI}/apiserver-etcd-client.crt",
    f"nodes/cp-1/{PKI}/etcd/healthcheck-client.crt",
    f"nodes/cp-1/{PKI}/ca-signing.crt",
)
UNTOUCHED = "never touched"


def chain(files: Photograph, path: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(files.files[path])


def rows(cluster: ClusterSpec, old: Photograph, new: Photograph) -> list[ProofRow]:
    table = prove(old.state(cluster), new.state(cluster), now=NOW).table
    return [row for row in table if UNTOUCHED in row.edge]


def verified(workshop: Workshop) -> None:
    result = workshop.run("verify", "-C", workshop.tree)
    assert result.code == 0, result


def crossing(certificates: dict[str, Issuer | bytes], *identifiers: str, cross_sign: bool = True) -> Crossing:
    tree = {
        path: each if isinstance(each, bytes) else certificate_pem(each.certificate)
        for path, each in certificates.items()
    }
    return Crossing.of(Photograph(tree), WantedStep(identifiers=identifiers, cross_sign=cross_sign))


def leaves_only() -> Issuer:
    """A CA that may sign no other CA."""
    content = CertificateContent(
        subject=Subject(common_name="kubernetes"),
        sans=SANs.of(),
        profile=Profile.INTERMEDIATE,
        validity=900 * DAY,
    )
    key = ec.generate_private_key(ec.SECP256R1())
    made = issue(content, key=key, issuer=root("above"), now=SAMPLES_NOW, entropy=bytes)
    return Issuer(certificate=made.certificate, key=key)


def test_every_ca_that_rotates_certifies_its_successor_unless_nobody_wants_that() -> None:
    there: dict[str, Issuer | bytes] = {"pki/ca.crt": root("kubernetes"), "pki/etcd/ca.crt": root("etcd-ca")}
    assert crossing(there, "etcd-ca", "ca") == Crossing(identifiers=("ca", "etcd-ca"))
    assert crossing(there, "ca", "sa") == Crossing(identifiers=("ca",))
    assert crossing(there, "ca", cross_sign=False) == Crossing()
    # What is not there, or cannot be read, is refused elsewhere.
    assert crossing({"pki/ca.crt": b"rubbish"}, "ca", "etcd-ca") == Crossing(identifiers=("ca", "etcd-ca"))


def test_one_that_may_sign_leaves_only_is_a_risk() -> None:
    found = crossing({"pki/ca.crt": leaves_only(), "pki/etcd/ca.crt": root("etcd-ca")}, "ca", "etcd-ca")
    assert found.identifiers == ("etcd-ca",)
    (risk,) = found.risks
    assert risk.startswith("ca cannot certify its successor (its pathLenConstraint is 0")


def test_servers_send_it_from_promote_until_finish(life: dict[str, Photograph]) -> None:
    for phase, paths, count in (
        ("prepared", (*SENT, *ALONE), 1),
        ("promoted", SENT, 2),
        ("promoted", ALONE, 1),
        ("finished", (*SENT, *ALONE), 1),
    ):
        for path in paths:
            assert len(chain(life[phase], path)) == count, (phase, path)
    for phase, there in (("stable", False), ("prepared", True), ("promoted", True), ("finished", False)):
        assert [path in life[phase].files for path in CROSS] == [there] * 3


@pytest.mark.parametrize("path", SENT)
def test_who_has_the_old_ca_alone_finds_a_path(life: dict[str, Photograph], path: str) -> None:
    stem = "etcd/ca" if "/etcd/" in path else "front-proxy-ca" if "front-proxy" in path else "ca"
    (old,) = chain(life["stable"], f"pki/{stem}.crt")
    (new,) = chain(life["finished"], f"pki/{stem}.crt")
    shown, judge = chain(life["promoted"], path), PathVerifier(NOW)
    for anchor in (old, new):
        assert (
            judge.client(shown, (anchor,)) is None
            if "client" in path
            else (judge.server(shown, (anchor,), _name(shown[0])) is None)
        )


def _name(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return str(names.get_values_for_type(x509.IPAddress)[0])


def test_the_proof_has_rows_for_who_was_never_touched(
    cluster: ClusterSpec, life: dict[str, Photograph]
) -> None:
    for old, new in (("stable", "prepared"), ("prepared", "promoted"), ("promoted", "prepared")):
        found = rows(cluster, life[old], life[new])
        assert {row.edge for row in found} == {
            "a client that was never touched → kube-apiserver: serving certificate",
            "a client that was never touched → kubelet: serving certificate",
            "a client that was never touched → etcd: serving certificate",
            "a client that was never touched → etcd peer: serving certificate",
            "kube-apiserver → an aggregated API server that was never touched: client certificate",
        }
        assert all(row.binding and row.held == (row.count,) * 4 for row in found), (old, new)
    finish = rows(cluster, life["promoted"], life["finished"])
    assert all(not row.binding and row.held == (row.count, row.count, 0, 0) for row in finish)


@pytest.mark.parametrize("path", SENT)
def test_a_server_that_would_not_send_it_is_a_broken_edge(
    cluster: ClusterSpec, life: dict[str, Photograph], path: str
) -> None:
    alone = chain(life["promoted"], path)[0].public_bytes(Encoding.PEM)
    found = prove(
        life["prepared"].state(cluster), life["promoted"].but(**{path: alone}).state(cluster), now=NOW
    )
    assert found.broken
    assert all(UNTOUCHED in str(verdict) for verdict in found.broken)


@pytest.mark.parametrize("spoilt", [None, b"nothing", "another"])
@pytest.mark.parametrize("phase", ["prepare", "promote"])
def test_one_that_is_lost_or_spoilt_is_made_again(
    workshop: Workshop, phase: str, spoilt: bytes | str | None
) -> None:
    for step in ("prepare", "promote")[: 1 + (phase == "promote")]:
        workshop.step("ca kubernetes", step)
    path = workshop.tree / CROSS[0]
    if spoilt is None:
        path.unlink()
    else:
        path.write_bytes(spoilt if isinstance(spoilt, bytes) else (workshop.tree / "pki/ca.crt").read_bytes())
    found = workshop.run("verify", "-C", workshop.tree)
    assert found.code == 4
    assert "ca-cross" in found.out
    result = workshop.run("apply", "-C", workshop.tree, "--yes")
    assert result.code == 0, result
    verified(workshop)
    sent = len(chain(workshop.photograph(), SENT[0]))
    assert sent == (2 if phase == "promote" else 1)


def test_its_mode_is_put_right(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    path = workshop.tree / CROSS[0]
    before = path.read_bytes()
    path.chmod(0o666)
    assert workshop.run("apply", "-C", workshop.tree, "--yes").code == 0
    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o644, before)


def test_the_way_back_takes_it_out_again(workshop: Workshop) -> None:
    for step in ("prepare", "promote", "rollback"):
        workshop.step("ca kubernetes", step)
    verified(workshop)
    assert len(chain(workshop.photograph(), SENT[0])) == 1
    assert (workshop.tree / CROSS[0]).exists(), "the next one is prepared again"
    workshop.step("ca kubernetes", "promote")
    assert len(chain(workshop.photograph(), SENT[0])) == 2
    for step in ("rollback", "rollback"):
        workshop.step("ca kubernetes", step)
    verified(workshop)
    assert not (workshop.tree / CROSS[0]).exists()


def test_it_is_on_record(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    entries = map(json.loads, (workshop.tree / ".pkigen/ledger.jsonl").read_text().splitlines())
    (entry,) = [each for each in entries if each.get("id") == "ca-cross"]
    (cross,) = chain(workshop.photograph(), CROSS[0])
    assert entry["event"] == "issued"
    assert f"{cross.serial_number:x}" in json.dumps(entry)
    lock = json.loads((workshop.tree / "pki.lock").read_text())
    assert lock["files"][CROSS[0]]["sha256"]


def test_without_it_who_was_never_touched_is_refused_and_no_edge_is_broken(workshop: Workshop) -> None:
    said = workshop.step("ca kubernetes", "prepare", "--no-cross-sign")
    assert "cannot certify" not in said.out
    assert not (workshop.tree / CROSS[0]).exists()
    proof = workshop.rotate("ca", "kubernetes", "--prove", "--assume-distributed")
    assert proof.code == 0
    (row,) = [line for line in proof.out.splitlines() if "touched → kubelet" in line]
    assert row.split()[-4:] == ["4", "refused", "4", "refused"]
    workshop.step("ca kubernetes", "promote")
    verified(workshop)
    assert len(chain(workshop.photograph(), SENT[0])) == 1


@pytest.fixture
def brought(tmp_path: Path) -> Workshop:
    """A cluster whose CA is brought: it ends in 60 days, and may be one that signs leaves only."""
    return Workshop(place=tmp_path / "brought")


def _bring(workshop: Workshop, constraints: str, days: int) -> None:
    authority = workshop.tree / "pki"
    authority.mkdir(parents=True, mode=0o700)
    openssl(
        authority,
        f"req -x509 -nodes -days {days} -subj /CN=mine -keyout ca.key -out ca.crt -newkey ec "
        "-pkeyopt ec_paramgen_curve:P-256 -addext keyUsage=critical,keyCertSign,cRLSign "
        f"-addext basicConstraints=critical,{constraints}",
    )
    (authority / "ca.key").chmod(0o600)
    workshop.now = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes()).not_valid_before_utc
    workshop.now += timedelta(hours=1)
    workshop.made()


def test_a_ca_that_may_sign_leaves_only_says_so_and_goes_without(brought: Workshop) -> None:
    _bring(brought, "CA:TRUE,pathlen:0", 3650)
    said = brought.step("ca kubernetes etcd", "prepare").out
    assert "ca cannot certify its successor (its pathLenConstraint is 0, so it may sign leaves only)" in said
    assert [(brought.tree / path).exists() for path in CROSS] == [False, True, False]
    brought.step("ca kubernetes etcd", "promote")
    verified(brought)


def test_it_goes_when_the_old_ca_ends(brought: Workshop) -> None:
    _bring(brought, "CA:TRUE", 60)
    for step in ("prepare", "promote"):
        brought.step("ca kubernetes", step)
    end = chain(brought.photograph(), CROSS[0])[0].not_valid_after_utc
    assert end == chain(brought.photograph(), "pki/ca-previous.crt")[0].not_valid_after_utc
    assert len(chain(brought.photograph(), SENT[0])) == 2
    brought.now = end + DAY
    said = brought.run("apply", "-C", brought.tree, "--yes")
    assert said.code == 0, said
    assert "ca-cross" not in said.out
    assert len(chain(brought.photograph(), SENT[0])) == 1
    brought.step("ca kubernetes", "finish")
    verified(brought)


def test_name_constraints_of_the_old_ca_do_not_meet_the_new_cas_own_name(brought: Workshop) -> None:
    """The new CA is called kubernetes-g2, which the old one permits to nobody: no SAN of it is certified."""
    names = ("kubernetes", "default", "svc", "local", "localhost", "cp-1", "cp-2", "worker-1", "worker-2")
    permitted = [f"permitted;DNS:{name}" for name in (*names, "example.com")]
    ranges = [f"permitted;IP:{each}" for each in ("10.0.0.0/255.0.0.0", "127.0.0.1/255.255.255.255")]
    limits = ",".join((*permitted, *ranges))
    _bring(brought, f"CA:TRUE -addext nameConstraints=critical,{limits}", 3650)
    (old,) = chain(brought.photograph(), "pki/ca.crt")
    for step in ("prepare", "promote"):
        brought.step("ca kubernetes", step)
    verified(brought)
    shown = chain(brought.photograph(), SENT[0])
    assert [link.subject.rfc4514_string() for link in shown][1] == "CN=kubernetes-g2"
    for name in ("10.0.0.11", "kubernetes.default.svc"):
        assert go_paths.refusal(shown, (old,), name, brought.now) is None
        assert PathVerifier(brought.now).server(shown, (old,), name) is None


def test_a_tree_of_an_older_pkigen_goes_on_without(workshop: Workshop) -> None:
    """Prepared without cross certificates: nothing adds one in the midst of a rotation."""
    workshop.step("ca kubernetes", "prepare", "--no-cross-sign")
    result = workshop.run("plan", "-C", workshop.tree, "--exit-code")
    assert result.code == 0, result
    for step in ("promote", "finish"):
        workshop.step("ca kubernetes", step)
    verified(workshop)


def test_undoing_finish_brings_it_back(workshop: Workshop) -> None:
    for step in ("prepare", "promote"):
        workshop.step("ca kubernetes", step)
    cross = (workshop.tree / CROSS[0]).read_bytes()
    workshop.now += DAY
    workshop.step("ca kubernetes", "finish")
    assert not (workshop.tree / CROSS[0]).exists()
    undone = workshop.run("rollback", "-C", workshop.tree, "--yes", "--force")
    assert undone.code == 0, undone
    assert (workshop.tree / CROSS[0]).read_bytes() == cross
    assert len(chain(workshop.photograph(), SENT[0])) == 2
    verified(workshop)
