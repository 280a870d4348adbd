"""`pkigen rotate` step by step: what changes, what is refused, and how it is said."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pkigen.desired.generations import Phase, Rotations
from pkigen.rotation.phases import premises
from pkigen.rotation.step_names import RotationStep
from tests.cli.program import unaddressed
from tests.live import certificates
from tests.rotation.phases import DAY, PKI, SMALL, Photograph, Workshop, spec_text

CAS = {"kubernetes": "pki/ca", "etcd": "pki/etcd/ca", "front-proxy": "pki/front-proxy-ca"}
IDS = {"kubernetes": "ca", "etcd": "etcd-ca", "front-proxy": "front-proxy-ca"}


def pem(workshop: Workshop, path: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((workshop.tree / path).read_bytes())


def name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def verified(workshop: Workshop) -> None:
    for command in (
        ("verify", "-C", workshop.tree),
        ("plan", workshop.spec, "-C", workshop.tree, "--exit-code"),
    ):
        result = workshop.run(*command)
        assert result.code == 0, result


# -- CAs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ca", CAS)
def test_a_ca_goes_through_all_phases(workshop: Workshop, ca: str) -> None:
    stem, identifier = CAS[ca], IDS[ca]
    bundle = f"nodes/cp-1/{PKI}/{stem.removeprefix('pki/')}.crt"
    (old,) = pem(workshop, f"{stem}.crt")

    said = workshop.step(f"ca {ca}", "prepare").out
    assert re.search(rf"\+ create {identifier}-next: valid until .* \(missing\)", said)
    assert workshop.phases() == {identifier: "prepared"}
    (new,) = pem(workshop, f"{stem}-next.crt")
    assert name(new) == f"{name(old)}-g2"
    assert new.public_key() != old.public_key()
    assert pem(workshop, bundle) == [old, new]
    verified(workshop)

    workshop.step(f"ca {ca}", "promote")
    assert workshop.phases() == {identifier: "promoted"}
    assert pem(workshop, f"{stem}.crt") == [new]
    assert pem(workshop, f"{stem}-previous.crt") == [old]
    assert pem(workshop, bundle) == [new, old]
    verified(workshop)

    workshop.step(f"ca {ca}", "finish")
    assert workshop.phases() == {}
    assert pem(workshop, bundle) == [new]
    assert not list(workshop.tree.glob("pki/**/*-*previous*"))
    verified(workshop)
    workshop.step(f"ca {ca}", "prepare")
    assert name(pem(workshop, f"{stem}-next.crt")[0]) == f"{name(old)}-g3"


def test_trust_goes_everywhere_that_it_lives(workshop: Workshop) -> None:
    """Every file that some flag or kubeconfig trusts by has both CAs; the signing file has one."""
    workshop.step("ca kubernetes etcd front-proxy", "prepare")
    for node in ("cp-1", "cp-2", "worker-1", "worker-2"):
        assert len(pem(workshop, f"nodes/{node}/{PKI}/ca.crt")) == 2
        kubelet = yaml.safe_load((workshop.tree / f"nodes/{node}/var/lib/kubelet/config.yaml").read_text())
        assert kubelet["authentication"]["x509"]["clientCAFile"] == f"/{PKI}/ca.crt"
    both = re.compile(rb"certificate-authority-data: (\S+)")
    for path in (*workshop.tree.glob("nodes/*/etc/kubernetes/*.conf"), *workshop.tree.glob("users/*.conf")):
        (data,) = both.findall(path.read_bytes())
        assert len(x509.load_pem_x509_certificates(base64.b64decode(data))) == 2, path
    manifests = workshop.tree / "nodes/cp-1/etc/kubernetes/manifests"
    trusted = {
        "kube-apiserver": ("client-ca-file", "kubelet-certificate-authority", "requestheader-client-ca-file"),
        "kube-controller-manager": ("root-ca-file", "client-ca-file", "requestheader-client-ca-file"),
        "etcd": ("trusted-ca-file", "peer-trusted-ca-file"),
    }
    for component, flags in trusted.items():
        (container,) = yaml.safe_load((manifests / f"{component}.yaml").read_text())["spec"]["containers"]
        values = dict(each.removeprefix("--").partition("=")[::2] for each in container["command"][1:])
        for flag in (*flags, *(("etcd-cafile",) if component == "kube-apiserver" else ())):
            assert len(pem(workshop, f"nodes/cp-1{values[flag]}")) == 2, flag
        if component == "kube-controller-manager":
            assert len(pem(workshop, f"nodes/cp-1{values['cluster-signing-cert-file']}")) == 1


def test_promote_reissues_every_leaf_and_nothing_else_signs(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    before = json.loads((workshop.tree / "pki.lock").read_text())["certificates"]
    workshop.step("ca kubernetes", "promote")
    after = json.loads((workshop.tree / "pki.lock").read_text())
    assert after["rotations"] == {"ca": "promoted"}
    for identifier, facts in after["certificates"].items():
        changed = facts["fingerprint"] != before.get(identifier, {}).get("fingerprint")
        assert changed is (facts["issuer"] == "ca" or identifier in {"ca", "ca-previous"}), identifier
        if facts["issuer"] == "ca":
            assert facts["spki"] != before[identifier]["spki"]


def test_leaves_may_keep_their_keys(workshop: Workshop) -> None:
    path = f"nodes/cp-1/{PKI}/etcd/server.key"
    workshop.step("ca etcd", "prepare")
    key = (workshop.tree / path).read_bytes()
    workshop.step("ca etcd", "promote", "--reuse-keys")
    assert (workshop.tree / path).read_bytes() == key
    workshop.step("ca etcd", "rollback")
    assert (workshop.tree / path).read_bytes() != key


def test_without_a_phase_the_next_one_is_proposed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for phase, vouched in (("prepared", ()), ("promoted", ("--assume-distributed",))):
        assert workshop.rotate("ca", "etcd", "front-proxy", *vouched).code == 0
        assert workshop.phases() == {"etcd-ca": phase, "front-proxy-ca": phase}
    asked = workshop.rotate("ca", "etcd", "front-proxy")
    assert asked.code == 1
    assert asked.error.startswith("it is not confirmed that every node has the promoted files")
    monkeypatch.setattr("pkigen.cli.work.rotate.agreed", lambda question: question == "finish etcd-ca?")
    command = ("rotate", "ca", "etcd", workshop.spec, "-C", workshop.tree, "--assume-distributed")
    assert workshop.run(*command).code == 0
    monkeypatch.setattr("pkigen.cli.work.rotate.agreed", lambda _: False)
    declined = workshop.run("rotate", "ca", "etcd", workshop.spec, "-C", workshop.tree)
    assert (declined.code, declined.error, declined.hint) == (1, "not rotated", "nothing was changed")
    assert workshop.phases() == {"front-proxy-ca": "promoted"}


def test_no_phase_can_be_skipped(workshop: Workshop) -> None:
    expected = {
        "stable": ({"promote", "finish", "rollback"}, "its next step is `prepare`; no step can be skipped"),
        "prepared": ({"finish"}, "its next step is `promote`; no step can be skipped"),
        "promoted": ({"prepare"}, "its next step is `finish`; no step can be skipped"),
    }
    for phase, (steps, hint) in expected.items():
        before = workshop.photograph()
        for step in sorted(steps):
            result = workshop.rotate("ca", "etcd", f"--phase {step}", "--assume-distributed")
            assert result.code == 1
            assert result.error == f"etcd-ca is {phase}: it cannot {step} now"
            assert unaddressed(result.hint) == (
                "no rotation is in progress; what a finished rotation replaced is in the backups: "
                "`pkigen rollback`"
                if step == "rollback"
                else hint
            )
        assert workshop.photograph() == before
        if phase != "promoted":
            workshop.rotate("ca", "etcd", "--assume-distributed")


def test_a_step_that_was_taken_is_not_taken_again(workshop: Workshop) -> None:
    for step, phase in (("prepare", "prepared"), ("promote", "promoted"), ("finish", "stable")):
        workshop.step("ca etcd", step)
        before = workshop.photograph()
        again = workshop.step("ca etcd", step)
        assert again.out == f"nothing to do: etcd-ca is {phase} already\n"
        content = workshop.step("ca etcd", step, "-o json").json
        assert (content["actions"], content["phases"]) == ([], {"etcd-ca": phase})
        assert workshop.photograph() == before


def test_several_cas_must_be_in_one_phase(workshop: Workshop) -> None:
    workshop.step("ca etcd", "prepare")
    result = workshop.rotate("ca", "kubernetes", "etcd")
    assert (result.code, result.error) == (
        2,
        "ca is stable, etcd-ca is prepared: they are in different phases",
    )
    assert result.hint == "rotate them one at a time, or name the step with --phase"


def test_rolled_back_at_any_point_before_finish(workshop: Workshop) -> None:
    before = workshop.photograph().files
    workshop.step("ca kubernetes", "prepare")
    assert "risk:" not in workshop.step("ca kubernetes", "rollback").out
    after = workshop.photograph().files
    kept = [name for name in before if not name.startswith(".pkigen")]
    assert [name for name in kept if after[name] != before[name]] == ["pki.lock"]  # it knows the ledger's end
    verified(workshop)

    workshop.step("ca kubernetes", "prepare")
    workshop.step("ca kubernetes", "promote")
    workshop.step("ca kubernetes", "rollback")
    assert workshop.phases() == {"ca": "prepared"}
    assert pem(workshop, f"nodes/cp-1/{PKI}/apiserver.crt")[0].issuer.rfc4514_string() == "CN=kubernetes"
    verified(workshop)
    said = workshop.step("ca kubernetes", "rollback").out
    assert "risk: the next ca was promoted earlier: what it has signed since then is refused" in said
    assert workshop.phases() == {}
    assert pem(workshop, f"nodes/cp-1/{PKI}/ca.crt") == pem(workshop, "pki/ca.crt")
    verified(workshop)


def test_after_finish_the_way_back_is_a_rollback_of_the_directory(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    workshop.step("ca kubernetes", "promote")
    promoted = workshop.photograph().files
    said = workshop.step("ca kubernetes", "finish")
    assert f"`pkigen rollback -C {workshop.tree}` restores what was archived" in said.err
    archived = {path.name for path in workshop.tree.glob(".pkigen/backups/*/files/pki/*")}
    assert {"ca-previous.crt", "ca-previous.key"} <= archived
    refused = workshop.run("rollback", "-C", workshop.tree, "--yes")
    assert refused.error.startswith("the rollback is dangerous: it brings back pki/ca-previous.crt (sha256:")
    assert workshop.run("rollback", "-C", workshop.tree, "--yes", "--force").code == 0
    now = workshop.photograph().files
    assert {name for name in promoted if now[name] != promoted[name]} <= {"pki.lock", ".pkigen/ledger.jsonl"}
    assert workshop.phases() == {"ca": "promoted"}
    verified(workshop)
    workshop.step("ca kubernetes", "rollback")


def test_status_plan_and_lock_show_the_phase(workshop: Workshop) -> None:
    workshop.step("ca etcd", "prepare")
    option = f"-C {workshop.tree} --phase promote --live"
    line = f"rotation: etcd-ca is prepared; next: `pkigen rotate ca etcd {option}`\n"
    status = workshop.run("status", "-C", workshop.tree).out
    assert status.endswith(line)
    assert re.search(r"^- +etcd-ca-next ", status, re.MULTILINE)
    plan = workshop.run("plan", workshop.spec, "-C", workshop.tree)
    assert plan.out.startswith(line)
    assert line in workshop.run("renew", "cp-1/apiserver", "-C", workshop.tree, "--yes").out
    content = workshop.run("plan", workshop.spec, "-C", workshop.tree, "-o", "json").json
    assert content["rotations"] == {"etcd-ca": "prepared"}
    lock = json.loads((workshop.tree / "pki.lock").read_text())
    assert lock["rotations"] == {"etcd-ca": "prepared"}
    assert "etcd-ca-next" in lock["certificates"]


def test_the_discovery_hash_is_told_when_it_changes(workshop: Workshop) -> None:
    assert "discovery hash" not in workshop.step("ca etcd", "prepare").out
    hashes = []
    for step in ("prepare", "promote", "finish"):
        said = workshop.step("ca kubernetes", step).out
        assert "the discovery hash changes; joining nodes pin the CA by:\n" in said
        hashes.append(re.findall(r"^  (sha256:[0-9a-f]{64})$", said, re.MULTILINE))
    old, new = hashes[0]
    assert hashes == [[old, new], [new, old], [new]]


def test_what_comes_next_is_told(workshop: Workshop) -> None:
    said = workshop.step("ca kubernetes etcd", "prepare").err
    assert re.search(r"then `pkigen rotate ca kubernetes etcd .* --phase promote --live`", said)
    assert "assumed: " not in said
    said = workshop.step("ca kubernetes etcd", "promote").err
    assert "assumed: every node has the present files, and has restarted what they required" in said
    assert "--phase finish --live`" in said


def test_structured(workshop: Workshop) -> None:
    result = workshop.step("ca kubernetes", "prepare", "-o json").json
    assert (result["kind"], result["step"], result["phases"]) == ("Rotated", "prepare", {"ca": "prepared"})
    assert len(result["discoveryHashes"]) == 2
    assert result["proof"]["broken"] == 0
    assert result["proof"]["cases"] == 4 * result["proof"]["edges"]
    assert {each["component"] for each in result["restarts"]} >= {"kube-apiserver", "kubelet"}
    assert yaml.safe_load(workshop.step("ca etcd", "prepare", "-o yaml").out)["issued"] == [
        "etcd-ca-next",
        "etcd-ca-cross",
    ]


def test_the_proof_is_shown_and_nothing_changes(workshop: Workshop) -> None:
    before = workshop.photograph()
    result = workshop.rotate("ca", "kubernetes", "--prove")
    assert result.code == 0
    assert re.search(r"^\d+ edges, \d+ cases, 0 broken$", result.out, re.MULTILINE)
    assert "assumed: " in result.out
    content = workshop.rotate("ca", "kubernetes", "--prove", "-o json").json
    assert (content["kind"], content["broken"]) == ("Proof", [])
    assert content["premises"]
    assert workshop.photograph() == before


def test_the_readme_shows_the_table_as_it_is(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (shown,) = re.findall(r"^\$ pkigen (rotate .+ --prove)\n((?:.+\n)+?)```", readme, re.MULTILINE)
    command, table = shown
    workshop = Workshop(place=tmp_path)
    example = workshop.run("init", "--example", "ha").out
    workshop.made(example)
    names = command.split()[1:-1]
    printed = workshop.run("rotate", *names, workshop.spec, "--prove", "-C", workshop.tree).out.splitlines()
    lines = [line for line in table.splitlines() if line != "…"]
    assert [line for line in printed if line in lines] == lines
    assert len(lines) > 8


def test_pending_changes_come_first(workshop: Workshop) -> None:
    spec = {**SMALL, "users": [{"name": "dev1"}, {"name": "dev2"}]}
    workshop.spec.write_text(spec_text(spec))
    result = workshop.rotate("ca", "kubernetes")
    assert (result.code, result.error) == (
        1,
        "1 other changes are pending, the first is create user:dev2",
    )
    assert unaddressed(result.hint) == "`pkigen apply` them first, and distribute them to every node"
    workshop.step("ca etcd", "prepare") if workshop.run(
        "apply", workshop.spec, "-C", workshop.tree, "--yes"
    ).code == 0 else pytest.fail("apply")
    workshop.spec.write_text(spec_text())
    assert "other changes are pending" in workshop.rotate("ca", "etcd").error


def test_a_step_that_would_break_an_edge_changes_nothing(workshop: Workshop) -> None:
    """The files that are there are changed behind pkigen's back, between its plan and its proof."""
    workshop.step("ca kubernetes", "prepare")
    before = workshop.photograph()
    real = Photograph.of(workshop.tree).files[f"nodes/worker-2/{PKI}/ca.crt"]
    (workshop.tree / f"nodes/worker-2/{PKI}/ca.crt").write_bytes(real[: len(real) // 2])
    result = workshop.rotate("ca", "kubernetes", "--phase promote")
    assert result.code == 1
    assert "other changes are pending" in result.error
    (workshop.tree / f"nodes/worker-2/{PKI}/ca.crt").write_bytes(real)
    assert workshop.photograph() == before


@pytest.mark.parametrize("arguments", [("ca", "etcd"), ("encryption-key",)])
def test_what_the_cluster_has_not_cannot_rotate(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    spec = {
        "kubernetesVersion": "v1.36.2",
        "etcd": {"external": {"endpoints": ["http://10.0.1.1:2379"]}},
        "nodes": SMALL["nodes"][:1],
    }
    workshop = Workshop(place=tmp_path).made(spec_text(spec))
    result = workshop.rotate(*arguments)
    assert result.code == 2
    assert result.error in {"this cluster has no etcd-ca CA", "this cluster does not encrypt Secrets"}
    workshop.step("ca kubernetes front-proxy", "prepare")
    workshop.step("ca kubernetes front-proxy", "promote")
    verified(workshop)


# -- a CA that the operator brings ------------------------------------------------------------------


def bring(workshop: Workshop, made: certificates.Identity, *above: certificates.Identity) -> None:
    chain = b"".join(each.certificate.read_bytes() for each in (made, *above))
    (workshop.tree / "pki/ca-next.crt").write_bytes(chain)
    key = workshop.tree / "pki/ca-next.key"
    key.write_bytes(made.key.read_bytes())
    key.chmod(0o600)


@pytest.fixture
def brought(workshop: Workshop, tmp_path: Path) -> certificates.Identity:
    """A CA of one's own, in time with the machine's clock, which the workshop's clock follows."""
    workshop.now = datetime.now(UTC)
    return certificates.make_ca(tmp_path, "next of the company", parent=None)


@pytest.mark.parametrize("options", [("--phase prepare",), ()])
def test_a_brought_root_is_taken_up(
    workshop: Workshop, brought: certificates.Identity, options: tuple[str, ...]
) -> None:
    spec = {**SMALL, "certificates": {"validity": "2h", "renewBefore": "10m"}}
    workshop.spec.write_text(spec_text(spec))
    assert workshop.run("apply", workshop.spec, "-C", workshop.tree, "--yes", "--force").code == 0
    bring(workshop, brought)
    result = workshop.rotate("ca", "kubernetes", *options)
    assert result.code == 0, result
    assert "prepare: done" in result.out
    assert [name(each) for each in pem(workshop, f"nodes/worker-1/{PKI}/ca.crt")] == [
        "CN=kubernetes",
        "CN=next of the company",
    ]
    workshop.step("ca kubernetes", "promote")
    leaf, cross = pem(workshop, f"nodes/cp-1/{PKI}/apiserver.crt")
    assert leaf.issuer.rfc4514_string() == "CN=next of the company"
    assert (name(cross), cross.issuer.rfc4514_string()) == ("CN=next of the company", "CN=kubernetes")


def test_an_intermediate_is_followed_by_what_the_operator_brings(
    workshop: Workshop, brought: certificates.Identity, tmp_path: Path
) -> None:
    """pkigen cannot sign an intermediate's successor, and must not leave the company's hierarchy unasked."""
    spec = {**SMALL, "certificates": {"validity": "2h", "renewBefore": "10m"}}
    workshop = Workshop(place=tmp_path / "branch", now=workshop.now)
    authority = workshop.tree / "pki"
    authority.mkdir(parents=True, mode=0o700)
    first = certificates.make_ca(tmp_path, "first", parent=brought)
    (authority / "ca.crt").write_bytes(first.certificate.read_bytes() + brought.certificate.read_bytes())
    (authority / "ca.key").write_bytes(first.key.read_bytes())
    (authority / "ca.key").chmod(0o600)
    workshop.made(spec_text(spec))
    refused = workshop.rotate("ca", "kubernetes")
    assert refused.code == 1
    assert refused.error == "the ca CA is an intermediate: pkigen cannot sign its successor"
    assert f"put the next one into {workshop.tree}/pki/ca-next.crt" in refused.hint
    second = certificates.make_ca(tmp_path, "second", parent=brought)
    bring(workshop, second, brought)
    for step in ("prepare", "promote", "finish"):
        workshop.step("ca kubernetes", step)
        verified(workshop)
    assert [name(each) for each in pem(workshop, f"nodes/worker-1/{PKI}/ca.crt")] == ["CN=second"]
    assert [name(each) for each in pem(workshop, f"nodes/cp-1/{PKI}/apiserver.crt")] == [
        "CN=kube-apiserver",
        "CN=second",
    ]


def _without(workshop: Workshop, path: str) -> None:
    (workshop.tree / path).unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: _without(w, "pki/ca-next.key"), "pki/ca-next.key is missing"),
        (
            lambda w: _without(w, "pki/ca-next.crt"),
            "pki/ca-next.crt is missing, but pki/ca-next.key is there",
        ),
        (
            lambda w: (w.tree / "pki/ca-next.key").write_bytes((w.tree / "pki/ca.key").read_bytes()),
            "pki/ca-next.crt is unfit as the ca CA: the private key beside it does not match",
        ),
        (
            lambda w: (w.tree / "pki/ca-next.crt").write_bytes(
                (w.tree / f"nodes/cp-1/{PKI}/apiserver.crt").read_bytes()
            ),
            "pki/ca-next.crt is unfit as the ca CA",
        ),
        (
            lambda w: [
                (w.tree / f"pki/ca-next.{end}").write_bytes((w.tree / f"pki/ca.{end}").read_bytes())
                for end in ("crt", "key")
            ],
            "pki/ca-next.crt has the same key as the other generation of this CA",
        ),
        (
            lambda w: [
                (w.tree / f"pki/ca-next.{end}").write_bytes((w.tree / f"pki/etcd/ca.{end}").read_bytes())
                for end in ("crt", "key")
            ],
            "pki/ca.crt and pki/etcd/ca.crt have the same key",
        ),
        (lambda w: setattr(w, "now", w.now + 3 * DAY), "pki/ca-next.crt is unfit as the ca CA: it expired"),
        (lambda w: (w.tree / "pki/ca-next.crt").write_text("no PEM"), "pki/ca-next.crt holds no PEM"),
    ],
    ids=[
        "no key",
        "no certificate",
        "another's key",
        "a leaf",
        "the same",
        "another CA's",
        "expired",
        "torn",
    ],
)
def test_an_unfit_one_is_refused(
    workshop: Workshop, brought: certificates.Identity, spoil: Any, said: str
) -> None:
    bring(workshop, brought)
    spoil(workshop)
    before = workshop.photograph()
    result = workshop.rotate("ca", "kubernetes", "--phase prepare")
    assert result.code == 1
    assert result.error.startswith(said), result
    assert workshop.photograph() == before


def test_one_that_looks_like_the_present_one_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    """The same subject and no key identifier: who looks issuers up by name could pick the wrong one."""
    workshop.now = datetime.now(UTC)
    twin = certificates.make_ca(tmp_path, "kubernetes", parent=None)
    bring(workshop, twin)
    assert (
        workshop.rotate("ca", "kubernetes", "--prove").code == 0
    )  # its subjectKeyIdentifier tells them apart
    key = serialization.load_pem_private_key(twin.key.read_bytes(), None)
    old = x509.load_pem_x509_certificate(twin.certificate.read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(7)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    plain = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    (workshop.tree / "pki/ca-next.crt").write_bytes(plain.public_bytes(serialization.Encoding.PEM))
    result = workshop.rotate("ca", "kubernetes", "--phase prepare")
    assert result.error == (
        "pki/ca-next.crt cannot be told from the other generation: the same subject, and no "
        "subjectKeyIdentifier apart"
    )


# -- the service account key ------------------------------------------------------------------------


def key_files(workshop: Workshop, node: str = "cp-1") -> list[str]:
    manifest = workshop.tree / f"nodes/{node}/etc/kubernetes/manifests/kube-apiserver.yaml"
    (container,) = yaml.safe_load(manifest.read_text())["spec"]["containers"]
    flag = "--service-account-key-file="
    return [each.removeprefix(flag) for each in container["command"] if each.startswith(flag)]


def keys(workshop: Workshop, node: str = "cp-1") -> list[bytes]:
    return [(workshop.tree / f"nodes/{node}{path}").read_bytes() for path in key_files(workshop, node)]


def test_the_service_account_key_goes_through_all_phases(workshop: Workshop) -> None:
    old = (workshop.tree / "pki/sa.pub").read_bytes()
    assert keys(workshop) == [old]
    workshop.step("sa", "prepare")
    new = (workshop.tree / "pki/sa-next.pub").read_bytes()
    assert keys(workshop, "cp-1") == keys(workshop, "cp-2") == [old, new]
    assert (workshop.tree / f"nodes/cp-1/{PKI}/sa.key").read_bytes() == (
        workshop.tree / "pki/sa.key"
    ).read_bytes()
    verified(workshop)
    prepared = workshop.photograph().files

    result = workshop.step("sa", "promote", "-o json").json
    assert keys(workshop) == [old, new]
    signing = (workshop.tree / f"nodes/cp-1/{PKI}/sa.key").read_bytes()
    assert signing == (workshop.tree / "pki/sa.key").read_bytes() == prepared["pki/sa-next.key"]
    now = workshop.photograph().files
    changed = {name for name in now if name.startswith("nodes/") and now[name] != prepared.get(name)}
    assert changed == {f"nodes/{node}/{PKI}/sa.key" for node in ("cp-1", "cp-2")}
    assert {(each["node"], each["component"]) for each in result["restarts"]} == {
        (node, component)
        for node in ("cp-1", "cp-2")
        for component in ("kube-apiserver", "kube-controller-manager")
    }
    verified(workshop)

    workshop.step("sa", "finish")
    assert keys(workshop) == [new] == [(workshop.tree / "pki/sa.pub").read_bytes()]
    assert key_files(workshop) == [f"/{PKI}/sa.pub"]
    assert not [path for path in workshop.photograph().files if "/sa-" in path and path[0] != "."]
    verified(workshop)


def test_finish_waits_for_the_longest_token(workshop: Workshop) -> None:
    spec = {**SMALL, "serviceAccounts": {"maxTokenLifetime": "240h"}}
    workshop.spec.write_text(spec_text(spec))
    assert workshop.run("apply", workshop.spec, "-C", workshop.tree, "--yes").code == 0
    workshop.step("sa", "prepare")
    workshop.step("sa", "promote")
    workshop.now += timedelta(hours=239)
    early = workshop.rotate("sa", "--phase finish", "--assume-distributed")
    assert (early.code, early.error) == (
        1,
        (
            "tokens of the previous key may be valid until 2026-12-02 03:00 UTC "
            "(serviceAccounts.maxTokenLifetime)"
        ),
    )
    assert "every token of the previous key is then refused at once" in early.hint
    workshop.now += timedelta(hours=2)
    blind = workshop.rotate("sa", "--phase finish")
    assert blind.error.startswith("it is not confirmed that every node has the promoted files")
    assert "--live" not in blind.hint.replace("verify --live", "")
    done = workshop.rotate("sa", "--phase finish", "--assume-distributed")
    assert done.code == 0
    assert "risk:" not in done.out


def test_force_says_what_it_breaks(workshop: Workshop) -> None:
    workshop.step("sa", "prepare")
    workshop.step("sa", "promote")
    done = workshop.rotate("sa", "--phase finish", "--force")
    assert done.code == 0
    assert (
        "risk: tokens of the previous key that are valid until 2027-11-22 03:00 UTC are refused from now on: "
        "whoever holds one (Pods, until they are restarted; files; legacy token Secrets) loses access"
        in done.out
    )
    assert (
        "risk: an API server or controller manager that has not restarted with the promoted key" in done.out
    )
    assert "assumed: no token that the previous key has signed is still in use" in done.err


def test_a_promotion_that_the_ledger_does_not_know(workshop: Workshop) -> None:
    workshop.step("sa", "prepare")
    workshop.step("sa", "promote")
    (workshop.tree / ".pkigen/ledger.jsonl").write_bytes(b"")
    finish = ("sa", "--phase finish", "--assume-distributed")
    refused = workshop.rotate(*finish).error
    assert "is not the one that is recorded: .pkigen/ledger.jsonl is missing" in refused
    assert workshop.run("apply", workshop.spec, "-C", workshop.tree, "--yes", "--force").code == 0
    result = workshop.rotate(*finish)
    assert result.error.startswith("tokens of the previous key may be valid until an unknown time")


def test_the_service_account_key_is_rolled_back(workshop: Workshop) -> None:
    old = keys(workshop)
    workshop.step("sa", "prepare")
    workshop.step("sa", "promote")
    workshop.step("sa", "rollback")
    assert keys(workshop)[0] == old[0]
    assert "risk: the next sa was promoted earlier" in workshop.step("sa", "rollback").out
    assert keys(workshop) == old
    verified(workshop)


# -- the encryption key -----------------------------------------------------------------------------


def secrets(workshop: Workshop) -> list[str]:
    path = workshop.tree / f"nodes/cp-1/{PKI}/encryption-config.yaml"
    (provider,) = yaml.safe_load(path.read_text())["resources"][0]["providers"][0].values()
    return [each["secret"] for each in provider["keys"]]


def test_the_encryption_key_goes_through_its_three_steps(workshop: Workshop) -> None:
    (old,) = secrets(workshop)
    workshop.step("encryption-key", "prepare")
    assert secrets(workshop)[0] == old
    new = secrets(workshop)[1]
    workshop.step("encryption-key", "promote")
    assert secrets(workshop) == [new, old]
    refused = workshop.rotate("encryption-key", "--phase finish")
    assert refused.code == 1
    workshop.step("encryption-key", "finish")
    assert secrets(workshop) == [new]
    verified(workshop)
    everything = "".join(
        path.read_text(errors="replace") for path in (workshop.tree / "pki.lock", workshop.tree / "pki.lock")
    )
    assert old not in everything
    assert new not in everything


def test_an_encryption_key_that_wrote_is_not_dropped_lightly(workshop: Workshop) -> None:
    workshop.step("encryption-key", "prepare")
    workshop.step("encryption-key", "promote")
    workshop.step("encryption-key", "rollback")
    result = workshop.rotate("encryption-key", "--phase rollback")
    assert (result.code, result.error) == (
        1,
        "the next encryption key was promoted earlier: Secrets may be encrypted with it",
    )
    workshop.step("encryption-key", "rollback", "--assume-distributed")
    assert len(secrets(workshop)) == 1
    workshop.step("encryption-key", "prepare")
    workshop.step("encryption-key", "rollback")


def test_the_proof_of_the_other_rotations(workshop: Workshop) -> None:
    for what in ("sa", "encryption-key"):
        result = workshop.rotate(what, "--prove")
        assert (result.code, ", 0 broken" in result.out) == (0, True)


def test_all_at_once(workshop: Workshop) -> None:
    """Rotations of different things are independent of one another."""
    workshop.step("ca kubernetes", "prepare")
    workshop.step("sa", "prepare")
    workshop.step("ca kubernetes", "promote")
    workshop.step("ca etcd", "prepare")
    workshop.step("encryption-key", "prepare")
    assert workshop.phases() == {
        "ca": "promoted",
        "encryption-key": "prepared",
        "etcd-ca": "prepared",
        "sa": "prepared",
    }
    verified(workshop)
    workshop.step("ca kubernetes", "rollback")
    workshop.step("sa", "rollback")
    verified(workshop)


def test_premises() -> None:
    rotations = Rotations(phases={"ca": Phase.PROMOTED, "etcd-ca": Phase.PROMOTED, "sa": Phase.PREPARED})
    found = premises(rotations, ("ca", "etcd-ca"), RotationStep.FINISH)
    assert len(found) == 3
    assert "kubelet-client-current.pem" in found[1]
    assert found[2] == "no certificate that the previous etcd-ca has signed is still in use"
    assert premises(rotations, ("sa",), RotationStep.ROLLBACK)[1] == (
        "no token that the next key has signed is still in use"
    )
    assert len(premises(rotations, ("sa",), RotationStep.PROMOTE)) == 1


# -- renew ca ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("SPEC", "ca"),
        ("ca", "SPEC"),
        ("ca", "kubernetes", "SPEC"),
    ],
)
def test_renew_ca_keeps_the_key_and_reaches_every_bundle(workshop: Workshop, words: tuple[str, ...]) -> None:
    (old,) = pem(workshop, "pki/ca.crt")
    before = workshop.photograph().files
    workshop.now += 15 * DAY
    result = workshop.run(
        "renew",
        *(workshop.spec if word == "SPEC" else word for word in words),
        "-C",
        workshop.tree,
        "--yes",
    )
    assert result.code == 0, result
    assert "if the key may have leaked, rotate the CA instead" in result.err
    assert "`pkigen rotate ca`" in unaddressed(result.err)
    (new,) = pem(workshop, "pki/ca.crt")
    assert (new.subject, new.public_key()) == (old.subject, old.public_key())
    assert new.not_valid_after_utc - old.not_valid_after_utc == 15 * DAY
    assert new.serial_number != old.serial_number
    after = workshop.photograph().files
    changed = {name for name in after if after[name] != before.get(name) and not name.startswith(".pkigen")}
    bundles = {f"nodes/{node['name']}/{PKI}/ca.crt" for node in SMALL["nodes"]}
    signing = {f"nodes/{node}/{PKI}/ca-signing.crt" for node in ("cp-1", "cp-2")}
    assert changed == {
        "pki.lock",
        "pki/ca.crt",
        *bundles,
        *signing,
        *(n for n in after if n.endswith(".conf") and n[0] != "."),
    }
    assert pem(workshop, f"nodes/worker-1/{PKI}/ca.crt") == [new]
    conf = "nodes/worker-1/etc/kubernetes/kubelet.conf"
    user = re.compile(rb"client-(?:certificate|key)-data: (\S+)")
    assert user.findall(after[conf]) == user.findall(before[conf])
    verified(workshop)


def test_renew_several_cas(workshop: Workshop) -> None:
    result = workshop.run(
        "renew", "ca", "etcd", "front-proxy", workshop.spec, "-C", workshop.tree, "--yes", "-o", "json"
    )
    assert sorted(result.json["issued"]) == ["ca", "etcd-ca", "front-proxy-ca"]
    verified(workshop)


def test_renew_ca_waits_for_a_rotation(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    result = workshop.run("renew", workshop.spec, "ca", "-C", workshop.tree, "--yes")
    assert (result.code, result.error) == (1, "ca is being rotated (prepared)")


def test_renew_an_intermediate_is_not_pkigens_affair(tmp_path: Path) -> None:
    workshop = Workshop(place=tmp_path / "branch", now=datetime.now(UTC))
    authority = workshop.tree / "pki"
    authority.mkdir(parents=True, mode=0o700)
    company = certificates.make_ca(tmp_path, "company", parent=None)
    own = certificates.make_ca(tmp_path, "own", parent=company)
    (authority / "ca.crt").write_bytes(own.certificate.read_bytes() + company.certificate.read_bytes())
    (authority / "ca.key").write_bytes(own.key.read_bytes())
    (authority / "ca.key").chmod(0o600)
    spec = {**SMALL, "certificates": {"validity": "2h", "renewBefore": "10m"}}
    workshop.made(spec_text(spec))
    result = workshop.run("renew", workshop.spec, "ca", "-C", workshop.tree, "--yes")
    assert (result.code, result.error) == (
        1,
        "ca is an intermediate: only its issuer can renew it",
    )
