"""`pkigen access user kubeconfig`: a kubeconfig of a certificate or token that came back."""

from __future__ import annotations

import base64
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pkigen.crypto.issuance import CertificateContent, extensions
from pkigen.crypto.keys import load_private
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from tests.access.kubeconfig_files import viewed
from tests.access.made_requests import name, request
from tests.cli.program import NOW

if TYPE_CHECKING:
    from pathlib import Path

    from tests.access.team_cluster import TeamCluster
    from tests.cli.program import Result


# -- user kubeconfig ---------------------------------------------------------------------------------------


def test_a_certificate_that_came_back(place: TeamCluster) -> None:
    place.sign(request(), "--out", place.folder / "ann.crt", "--group", "dev")
    result = place.run(
        "access", "user", "kubeconfig", "--certificate", place.folder / "ann.crt", "-C", place.tree
    )
    assert result.code == 0, result.err
    content = yaml.safe_load(result.out)
    assert content["users"][0]["user"]["client-key"] == "ann.key"
    assert "groups:     dev, system:authenticated" in result.err
    assert "its private key must be at" in result.err
    out = place.folder / "ann.conf"
    options = ("--key-path", "/k", "--namespace", "web", "--out", out)
    assert (
        place.run(
            "access",
            "user",
            "kubeconfig",
            "--certificate",
            place.folder / "ann.crt",
            *options,
            "-C",
            place.tree,
        ).code
        == 0
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    viewed(out)


def _key_and_certificate(place: TeamCluster, stem: str) -> Path:
    """What the owner has: a key, and the certificate that came back for it."""
    place.run("access", "csr", "new", "--user", stem, "--out", place.folder)
    certificate = place.folder / f"{stem}.crt"
    assert place.sign(place.folder / f"{stem}.csr", "--out", certificate, user=stem).code == 0
    return certificate


def test_the_key_must_be_the_certificates(place: TeamCluster) -> None:
    certificate = _key_and_certificate(place, "ann")
    other = _key_and_certificate(place, "bob").with_suffix(".key")
    out = place.folder / "x.conf"

    def made(*options: object) -> Result:
        return place.run(
            "access",
            "user",
            "kubeconfig",
            "--certificate",
            certificate,
            *options,
            "--out",
            out,
            "-C",
            place.tree,
        )

    assert made().code == 0
    assert yaml.safe_load(out.read_text())["users"][0]["user"]["client-key"] == "ann.key"
    assert "broken" not in place.run("access", "kubeconfig", "show", out).out
    before = out.read_bytes()
    for file, said in (
        (other, "does not match the certificate"),
        (certificate, "is not a PEM private key"),
        (place.write("enc.key", _encrypted()), "is encrypted with a passphrase"),
    ):
        result = made("--key-path", file)
        assert (result.code, result.out) == (1, "")
        assert result.error == f"the private key {file} {said}"
        assert out.read_bytes() == before
    (place.folder / "sub").mkdir()
    elsewhere = ("--out", place.folder / "sub/x.conf", "-C", place.tree)
    assert place.run("access", "user", "kubeconfig", "--certificate", certificate, *elsewhere).code == 0
    written = yaml.safe_load((place.folder / "sub/x.conf").read_text())
    assert written["users"][0]["user"]["client-key"] == str(place.folder / "ann.key")


@pytest.mark.parametrize(
    ("key_path", "out", "named"),
    [
        ("keys/ann.key", "keys/x.conf", "ann.key"),
        ("keys/ann.key", "x.conf", "keys/ann.key"),
        ("keys/ann.key", "sub/x.conf", "{here}/keys/ann.key"),
        ("nowhere/ann.key", "sub/x.conf", "nowhere/ann.key"),
    ],
)
def test_a_key_that_is_named_from_here_is_found_by_kubectl(
    key_path: str, out: str, named: str, place: TeamCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, here = _key_and_certificate(place, "ann"), place.folder
    for folder in ("keys", "sub"):
        (here / folder).mkdir()
    certificate.with_suffix(".key").rename(here / "keys/ann.key")
    monkeypatch.chdir(here)
    options = ("--certificate", certificate, "--key-path", key_path, "--out", out)
    assert place.run("access", "user", "kubeconfig", *options, "-C", place.tree).code == 0
    user = yaml.safe_load((here / out).read_text())["users"][0]["user"]
    assert user["client-key"] == named.format(here=here)


def _encrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    form, lock = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    return key.private_bytes(serialization.Encoding.PEM, form, lock)


def test_the_namespace_is_the_specs(place: TeamCluster) -> None:
    certificate = _key_and_certificate(place, "dev1")
    options = ("access", "user", "kubeconfig", "--certificate", certificate, "-C", place.tree)
    for more, expected in (((), "web"), (("--namespace", "db"), "db")):
        content = yaml.safe_load(place.run(*options, *more).out)
        assert content["contexts"][0]["context"]["namespace"] == expected


def test_only_certificates_come_into_a_kubeconfig(place: TeamCluster) -> None:
    certificate = _key_and_certificate(place, "ann")
    text = certificate.read_bytes()
    certificate.write_bytes(b"Certificate:\n    Data:\n" + text + b"trailing\n")
    result = place.run("access", "user", "kubeconfig", "--certificate", certificate, "-C", place.tree)
    embedded = yaml.safe_load(result.out)["users"][0]["user"]["client-certificate-data"]
    assert base64.b64decode(embedded) == text
    certificate.write_bytes(text + b" " * (256 << 10))
    assert (
        "larger"
        in place.run("access", "user", "kubeconfig", "--certificate", certificate, "-C", place.tree).error
    )
    certificate.write_bytes(text + certificate.with_suffix(".key").read_bytes())
    assert (
        "holds a private key"
        in place.run("access", "user", "kubeconfig", "--certificate", certificate, "-C", place.tree).error
    )


@pytest.mark.parametrize(
    ("arguments", "later", "said"),
    [
        (("--validity", "1h"), timedelta(hours=2), "the token expired 2026-11-22 04:00 UTC"),
        ((), -timedelta(minutes=3), "the token is not valid before 2026-11-22 03:00 UTC"),
        (("--uid", ""), timedelta(), "the token contains no UID"),
    ],
)
def test_tokens_that_no_api_server_takes(
    place: TeamCluster, arguments: tuple[str, ...], later: timedelta, said: str
) -> None:
    account = "web/other" if "--uid" in arguments else "web/deployer"
    options = () if "--uid" in arguments else arguments
    path = place.write(
        "token", place.run("access", "token", "--service-account", account, *options, "-C", place.tree).out
    )
    out = place.folder / "x.conf"
    place.at(NOW + later)
    result = place.run("access", "user", "kubeconfig", "--token-file", path, "--out", out, "-C", place.tree)
    assert (result.code, result.out) == (1, "")
    assert result.error == f"this cluster's API servers refuse it: {said}" + (
        ": the API server refuses it, other verifiers may accept it" if "UID" in said else ""
    )
    assert not out.exists()


def test_a_token_of_another_key_is_put_up_with(place: TeamCluster) -> None:
    text = place.run("access", "token", "--service-account", "web/deployer", "-C", place.tree).out.strip()
    options = ("access", "user", "kubeconfig", "--token-file")
    assert "warning" not in place.run(*options, place.write("token", text), "-C", place.tree).err
    forged = text[:-8] + ("A" * 8)
    said = place.run(*options, place.write("token", forged), "-C", place.tree).err
    assert "none of this cluster's service account keys has signed the token" in said
    (place.tree / "pki/sa.pub").unlink()
    assert "none of this cluster's" in place.run(*options, place.write("token", text), "-C", place.tree).err


def test_a_token_that_kubectl_made(place: TeamCluster) -> None:
    path = place.write(
        "token", place.run("access", "token", "--service-account", "web/deployer", "-C", place.tree).out
    )
    result = place.run("access", "user", "kubeconfig", "--token-file", path, "-C", place.tree)
    assert yaml.safe_load(result.out)["current-context"] == "web:deployer@team"
    assert yaml.safe_load(result.out)["contexts"][0]["context"]["namespace"] == "web"
    opaque = place.run(
        "access", "user", "kubeconfig", "--token-file", place.write("token", "opaque"), "-C", place.tree
    )
    assert yaml.safe_load(opaque.out)["current-context"] == "token@team"
    for bad in ("", "a b", "a\x07"):
        refused = place.run(
            "access", "user", "kubeconfig", "--token-file", place.write("token", bad), "-C", place.tree
        )
        assert "holds no token" in refused.error


def nameless(place: TeamCluster) -> bytes:
    """A client certificate of this cluster's CA with groups and no user."""
    authority = x509.load_pem_x509_certificate((place.tree / "pki/ca.crt").read_bytes())
    key = load_private((place.tree / "pki/ca.key").read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name((NameOID.ORGANIZATION_NAME, "dev")))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    subject = Subject(common_name="")
    wanted = CertificateContent(
        subject=subject, sans=SANs(), profile=Profile.CLIENT, validity=timedelta(days=1)
    )
    for each in extensions(wanted, key.public_key(), authority):
        builder = builder.add_extension(each.value, critical=each.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_certificate_without_a_user(place: TeamCluster) -> None:
    path = place.write("c.crt", nameless(place))
    result = place.run("access", "user", "kubeconfig", "--certificate", path, "-C", place.tree)
    assert "names no user (CN)" in result.error
    assert "has no common name: the API server finds no user in it" in place.run("explain", path).out


def test_certificates_that_the_cluster_refuses(place: TeamCluster) -> None:
    assert place.run("access", "user", "kubeconfig", "-C", place.tree).code == 2
    command = ("access", "user", "kubeconfig", "--certificate")
    assert "is empty" in place.run(*command, place.write("c", ""), "-C", place.tree).error
    serving = place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"
    assert "API servers refuse the certificate" in place.run(*command, serving, "-C", place.tree).error
    etcd = place.tree / "nodes/cp-1/etc/kubernetes/pki/etcd/healthcheck-client.crt"
    assert "API servers refuse the certificate" in place.run(*command, etcd, "-C", place.tree).error
    (place.tree / "pki/ca.crt").unlink()
    (place.tree / "pki/ca.key").unlink()
    gone = place.run(*command, serving, "-C", place.tree).error
    assert gone.startswith("the authority is not the one that is recorded: pki/ca.crt is missing")
