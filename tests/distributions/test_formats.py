"""`pkigen export`: another distribution makes its cluster below this authority."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from pkigen.crypto.keys import load_private, public_der
from pkigen.desired.generations import Slot, sa_path
from pkigen.distributions.names import Distribution
from tests.cli.program import HOME, REPOSITORY, InProcess, contents, photograph
from tests.live.programs import find
from tests.pages.blocks import commands_for
from tests.rotation.phases import Workshop

CAS = {"ca": "pki/ca", "etcd": "pki/etcd/ca", "proxy": "pki/front-proxy-ca"}
PINNED = ("k3s", "rke2")
K3S = ("client-ca", "server-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")


def export(pkigen: InProcess, tree: Path, distribution: str, out: Path, *more: str) -> Path:
    before = photograph(tree)
    result = pkigen("-C", tree, "export", "--as", distribution, "--out", out, *more)
    assert result.code == 0, result
    assert "\nnext: " in f"\n{result.err}"
    assert str(out) in result.err
    assert "PRIVATE KEY" not in result.out + result.err
    assert photograph(tree) == before, "the cluster's own directory stays as it is"
    return out


@pytest.mark.parametrize("distribution", list(Distribution))
def test_what_is_secret_is_for_its_owner_alone(
    pkigen: InProcess, tree: Path, tmp_path: Path, distribution: Distribution
) -> None:
    """Whatever the umask; nobody else gets below the directory at all."""
    old = os.umask(0o022)
    try:
        out = export(pkigen, tree, distribution, tmp_path / "out")
    finally:
        os.umask(old)
    files = [each for each in out.rglob("*") if each.is_file()]
    assert files
    for each in files:
        data = each.read_bytes()
        is_secret = b"PRIVATE KEY" in data or b"tls.key" in data or b"bootstraptoken" in data
        assert each.stat().st_mode & 0o7777 == (0o600 if is_secret else 0o644), each
    assert out.stat().st_mode & 0o7777 == 0o700
    assert {each.stat().st_mode & 0o7777 for each in out.rglob("*") if each.is_dir()} <= {0o755}
    assert any(each.stat().st_mode & 0o7777 == 0o600 for each in files)


@pytest.mark.parametrize("distribution", list(Distribution))
def test_nothing_is_replaced(
    pkigen: InProcess, tree: Path, tmp_path: Path, distribution: Distribution
) -> None:
    """What is there may be the only copy of a key; none or all of the files are made."""
    out = export(pkigen, tree, distribution, tmp_path / "out")
    victims = sorted(each for each in out.rglob("*") if each.is_file())
    for each in victims[:-1]:
        each.unlink()
    victims[-1].write_text("mine")
    result = pkigen("-C", tree, "export", "--as", distribution, "--out", out)
    assert result.code == 1
    assert result.error == f"{victims[-1]} exists already"
    assert [each for each in out.rglob("*") if each.is_file()] == [victims[-1]]
    assert victims[-1].read_text() == "mine"


@pytest.mark.parametrize("distribution", ["cluster-api", "k0smotron"])
def test_the_secrets_of_a_management_cluster(
    pkigen: InProcess, tree: Path, tmp_path: Path, distribution: str
) -> None:
    out = export(pkigen, tree, distribution, tmp_path / "out", "--name", "edge-7", "--namespace", "sites")
    (file,) = out.iterdir()
    secrets = list(yaml.safe_load_all(file.read_text()))
    assert [each["metadata"]["name"] for each in secrets] == [
        "edge-7-ca",
        "edge-7-etcd",
        "edge-7-proxy",
        "edge-7-sa",
    ]
    for each in secrets:
        assert each["kind"] == "Secret"
        assert each["type"] == "cluster.x-k8s.io/secret"
        assert each["metadata"]["namespace"] == "sites"
        assert each["metadata"]["labels"] == {"cluster.x-k8s.io/cluster-name": "edge-7"}
    data = {
        each["metadata"]["name"].removeprefix("edge-7-"): {
            name: base64.b64decode(value) for name, value in each["data"].items()
        }
        for each in secrets
    }
    node = tree / "nodes/cp-1/etc/kubernetes"
    for name, stem in CAS.items():
        assert data[name]["tls.crt"] == (node / f"{stem}.crt").read_bytes(), name
        certificate = x509.load_pem_x509_certificate(data[name]["tls.crt"])
        assert public_der(load_private(data[name]["tls.key"])) == public_der(certificate.public_key())
    assert data["sa"] == {
        "tls.crt": (node / "pki/sa.pub").read_bytes(),
        "tls.key": (node / "pki/sa.key").read_bytes(),
    }


def test_the_names_of_kubeadm(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    """For k0s, and for `talosctl gen secrets`; byte for byte what a node of pkigen's has."""
    node = contents(tree / "nodes/cp-1/etc/kubernetes/pki")
    found = contents(export(pkigen, tree, "k0s", tmp_path / "k0s"))
    public = {name: data for name, data in found.items() if not name.endswith(".key") or name == "sa.key"}
    assert public.items() <= node.items()
    assert set(found) == {
        *("ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt", "front-proxy-ca.key"),
        *("sa.key", "sa.pub"),
    }


def test_kubeadm_goes_on_from_them(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    """What reads the directory is kubeadm's code in k0s too: it makes leaves below these CAs, and no CA."""
    kubeadm = find("kubeadm")
    if kubeadm is None:
        pytest.skip("no kubeadm in KUBEBUILDER_ASSETS or on PATH")
    out = export(pkigen, tree, "k0s", tmp_path / "pki")
    before = contents(out)
    subprocess.run(
        [kubeadm, "init", "phase", "certs", "all", "--cert-dir", out, "--kubernetes-version", "v1.36.2"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    after = contents(out)
    assert before.items() <= after.items()
    assert "apiserver.crt" in after
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", out / "ca.crt", out / "apiserver.crt"],
        check=True,
        capture_output=True,
        timeout=300,
    )


def test_kubespray(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    found = contents(export(pkigen, tree, "kubespray", tmp_path / "out"))
    node = contents(tree / "nodes/cp-1/etc/kubernetes/pki")
    assert found["etc/ssl/etcd/ssl/ca.pem"] == node["etcd/ca.crt"]
    assert {name for name in found if not name.endswith((".crt", ".pub"))} == {
        "etc/kubernetes/ssl/ca.key",
        "etc/kubernetes/ssl/front-proxy-ca.key",
        "etc/kubernetes/ssl/sa.key",
        "etc/ssl/etcd/ssl/ca.pem",
        "etc/ssl/etcd/ssl/ca-key.pem",
    }


def test_k8s_snap(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    out = export(pkigen, tree, "k8s-snap", tmp_path / "out")
    found = yaml.safe_load((out / "bootstrap.yaml").read_text())
    node = tree / "nodes/cp-1/etc/kubernetes/pki"
    assert found["ca-crt"] == found["client-ca-crt"] == (node / "ca.crt").read_text()
    assert found["front-proxy-ca-crt"] == (node / "front-proxy-ca.crt").read_text()
    assert found["service-account-key"] == (node / "sa.key").read_text()
    for name in ("ca", "client-ca", "front-proxy-ca"):
        certificate = x509.load_pem_x509_certificate(found[f"{name}-crt"].encode())
        assert public_der(load_private(found[f"{name}-key"].encode())) == public_der(certificate.public_key())


@pytest.mark.parametrize("distribution", PINNED)
def test_the_five_cas_of_k3s(pkigen: InProcess, tree: Path, tmp_path: Path, distribution: str) -> None:
    found = contents(export(pkigen, tree, distribution, tmp_path / "out") / "tls")
    names = ["client-ca", "server-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca"]
    assert sorted(found) == sorted(
        [*(f"{name}.{end}" for name in names for end in ("crt", "key")), "service.key"]
    )
    for name in names:
        # Its own script splits key files at the end of an EC key: SEC 1, not PKCS #8.
        assert b"-----BEGIN EC PRIVATE KEY-----" in found[f"{name}.key"] or b"RSA" in found[f"{name}.key"]


def verified_by_the_old_root(bundle: bytes, old: bytes, place: Path) -> bool:
    """As k3s' `validateCA`: the first certificate, below what was trusted before, by way of the others."""
    place.mkdir(exist_ok=True)
    end = b"-----END CERTIFICATE-----\n"
    first = bundle[: bundle.index(end) + len(end)]
    for name, content in (("first", first), ("old", old), ("all", bundle)):
        (place / name).write_bytes(content)
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-no-CApath",
            "-CAfile",
            place / "old",
            "-untrusted",
            place / "all",
            place / "first",
        ],
        check=False,
        capture_output=True,
        timeout=300,
    )
    return done.returncode == 0


def taken_by_k3s(exported: Path) -> Path:
    """The directory that a server is led to by the command of the page, beside what was exported."""
    page = REPOSITORY / "docs/how-to/distributions.md"
    ((command,),) = commands_for("tests/distributions/test_formats.py", page)
    place = exported.parent
    stand_in = place / "programs/k3s"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/sh\nset -e\ntest "$1 $2 $3 $#" = "certificate rotate-ca --path 4"\ncd "$4" && pwd -P\n'
    )
    stand_in.chmod(0o755)
    searched = {**os.environ, "PATH": f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.check_output(["sh", "-c", command.words], cwd=place, env=searched, text=True)
    return Path(said.removesuffix("\n"))


def test_a_rotation_is_carried_into_k3s(pkigen: InProcess, tmp_path: Path) -> None:
    """From promote on: its server accepts the new CAs, and those who know only the old one go on."""
    workshop = Workshop(place=tmp_path).made()
    old = contents(export(pkigen, workshop.tree, "k3s", tmp_path / "old") / "tls")
    every = "ca kubernetes etcd front-proxy"
    workshop.step(every, "prepare")
    workshop.step("sa", "prepare")
    both = contents(export(pkigen, workshop.tree, "k3s", tmp_path / "both") / "tls")
    for name in K3S:
        assert both[f"{name}.key"] == old[f"{name}.key"], "the CA that signs stays until promote"
        assert both[f"{name}.crt"].startswith(old[f"{name}.crt"])
        assert both[f"{name}.crt"].count(b"BEGIN CERTIFICATE") == 2
        assert verified_by_the_old_root(both[f"{name}.crt"], old[f"{name}.crt"], tmp_path / "first")
    assert both["service.key"].startswith(old["service.key"])
    workshop.step(every, "promote")
    workshop.step("sa", "promote")
    new = contents(taken_by_k3s(export(pkigen, workshop.tree, "k3s", tmp_path / "prod-k3s")) / "tls")
    for name in K3S:
        assert new[f"{name}.key"] != old[f"{name}.key"]
        assert new[f"{name}.crt"].count(b"BEGIN CERTIFICATE") > 1, "its server wants more than one"
        assert verified_by_the_old_root(new[f"{name}.crt"], old[f"{name}.crt"], tmp_path / "check")
        # The control: a CA of another's.
        assert not verified_by_the_old_root(
            new[f"{name}.crt"], new["request-header-ca.crt"], tmp_path / "not"
        ) or (name == "request-header-ca")
    assert new["service.key"].count(b"BEGIN") == 2
    assert new["service.key"].endswith(old["service.key"])
    for distribution in set(Distribution) - {Distribution.K3S, Distribution.RKE2}:
        refused = pkigen("-C", workshop.tree, "export", "--as", distribution, "--out", tmp_path / "half")
        assert refused.code == 1, distribution
        assert "finished" in refused.hint
    assert not (tmp_path / "half").exists()


def test_a_damaged_key_is_named(pkigen: InProcess, tmp_path: Path) -> None:
    """Also the one before the key that signs, which is still accepted."""
    workshop = Workshop(place=tmp_path).made()
    workshop.step("sa", "prepare")
    workshop.step("sa", "promote")
    damaged = workshop.tree / sa_path(Slot.PREVIOUS, "sa.key")
    damaged.write_text("no key")
    refused = pkigen("-C", workshop.tree, "export", "--as", "k3s", "--out", tmp_path / "out")
    assert refused.code == 1
    assert damaged.name in refused.error
    assert not (tmp_path / "out").exists()


def test_an_encrypted_authority_is_opened(pkigen: InProcess, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(f"{HOME}  certificates:\n    distributeCAKeys: false\n")
    tree = tmp_path / "tree"
    assert pkigen("init", tmp_path / "cluster.yaml", "-C", tree).code == 0
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    plain = contents(export(pkigen, tree, "k0s", tmp_path / "plain"))
    sealed = pkigen("-C", tree, "airgap", "authority", "encrypt", "--yes", "--passphrase-file", secret)
    assert sealed.code == 0, sealed
    wrong = tmp_path / "wrong"
    wrong.write_text("another one entirely\n")
    wrong.chmod(0o600)
    refused = pkigen(
        "-C", tree, "export", "--as", "k0s", "--out", tmp_path / "no", "--passphrase-file", wrong
    )
    assert refused.code == 1
    assert not (tmp_path / "no").exists()
    out = export(pkigen, tree, "k0s", tmp_path / "again", "--passphrase-file", str(secret))
    assert contents(out) == plain


def test_a_key_that_is_elsewhere_is_asked_for(pkigen: InProcess, tmp_path: Path) -> None:
    """A CA that an external etcd has is never guessed, nor is a key that an offline authority keeps."""
    text = HOME.replace(
        "  users:",
        "  etcd:\n    external:\n      endpoints: ['https://10.0.0.9:2379']\n  users:",
    )
    (tmp_path / "cluster.yaml").write_text(text)
    made = pkigen("init", tmp_path / "cluster.yaml", "-C", tmp_path / "tree")
    assert made.code == 0, made
    for distribution in ("talos", "k3s", "rke2"):
        refused = pkigen("-C", tmp_path / "tree", "export", "--as", distribution, "--out", tmp_path / "no")
        assert refused.code == 2
        assert "etcd is external" in refused.error
    out = export(pkigen, tmp_path / "tree", "cluster-api", tmp_path / "out")
    names = [each["metadata"]["name"] for each in yaml.safe_load_all((out / "home-secrets.yaml").read_text())]
    assert names == ["home-ca", "home-proxy", "home-sa"]


@pytest.mark.parametrize("option", ["--name", "--namespace"])
@pytest.mark.parametrize("value", ["../up", "A", "a b", "a\nkind: Pod", "-x", "a" * 300])
def test_a_name_is_that_of_an_object(
    pkigen: InProcess, tree: Path, tmp_path: Path, option: str, value: str
) -> None:
    result = pkigen(
        "-C", tree, "export", "--as", "cluster-api", "--out", tmp_path / "out", f"{option}={value}"
    )
    assert result.code == 2, result
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["", "k3s", "pki/../x", "link"])
def test_nothing_is_written_into_the_pki_directory(
    out: str, pkigen: InProcess, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tree)
    target = tmp_path / "link/x" if out == "link" else tree / out
    before = sorted(tree.rglob("*"))
    refused = pkigen("-C", tree, "export", "--as", "k3s", "--out", target)
    assert refused.code == 2, refused
    assert f"is in the PKI directory {tree}, where nothing else belongs" in refused.error
    assert sorted(tree.rglob("*")) == before
