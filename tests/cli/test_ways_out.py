"""CAs that are expired, signed elsewhere, or under names that nobody reads: the way out is one that works."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.cli.program import DAY, NOW, InProcess, unaddressed

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

CAS = {"ca": "pki/ca", "etcd-ca": "pki/etcd/ca", "front-proxy-ca": "pki/front-proxy-ca"}
COMMANDS = [("plan",), ("apply", "--yes"), ("renew", "--yes"), ("rotate", "ca", "kubernetes", "--yes")]
UNUSED = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


def test_a_lost_lock_file_is_made_again_and_no_new_cluster(pkigen: InProcess, tree: Path) -> None:
    (tree / "pki.lock").unlink()
    for command in (("verify",), ("status",)):
        refused = pkigen(*command, "-C", tree)
        assert (refused.code, refused.error) == (2, f"{tree} has lost its pki.lock, by which this goes")
        assert f"`pkigen apply -C {tree}` make it again" in refused.hint
    assert pkigen("apply", "-C", tree, "--yes").code == 0
    assert pkigen("verify", "-C", tree).code == 0


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(
    name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, lasts: timedelta
) -> bytes:
    """A CA below `corp`, or that root itself, which began a day ago."""
    usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, **dict.fromkeys(UNUSED, False))
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named("corp"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + lasts)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def bring_intermediate(root: Path, stem: str, *, own: timedelta, above: timedelta) -> None:
    """An intermediate with its root, as an organization hands them out."""
    top, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (root / stem).parent.mkdir(parents=True, exist_ok=True)
    chain = authority("site", key, top, own) + authority("corp", top, top, above)
    (root / f"{stem}.crt").write_bytes(chain)
    (root / f"{stem}.key").touch(mode=0o600)
    (root / f"{stem}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.parametrize("ca", CAS)
@pytest.mark.parametrize(
    ("own", "above", "said"),
    [
        (400 * DAY, 900 * DAY, "it expired 2027-12-27"),
        (900 * DAY, 400 * DAY, "CN=corp above it in the file expired 2027-12-27"),
        (400 * DAY, 400 * DAY, "it expired 2027-12-27"),
    ],
    ids=["intermediate", "root", "both"],
)
def test_only_its_issuer_renews_what_was_signed_elsewhere(
    pkigen: InProcess, spec: Path, tmp_path: Path, ca: str, own: timedelta, above: timedelta, said: str
) -> None:
    root = tmp_path / "brought"
    bring_intermediate(root, CAS[ca], own=own, above=above)
    assert pkigen("init", spec, "-C", root).code == 0
    pkigen.now += 450 * DAY
    for command in COMMANDS:
        result = pkigen(*command, spec, "-C", root)
        assert (result.code, result.error) == (1, f"{CAS[ca]}.crt is unfit as the {ca} CA: {said} 03:00 UTC")
        assert "only whoever issued what has expired can renew it, for the same key" in result.hint
        assert f"put it into {CAS[ca]}.crt" in result.hint
        assert "rescue" not in result.hint
    refused = pkigen("rescue", spec, "-C", root, "--yes")
    assert refused.code == 1
    assert "rescue" not in refused.hint


@pytest.mark.parametrize("ca", CAS)
def test_what_pkigen_made_is_rescued(pkigen: InProcess, tmp_path: Path, spec: Path, ca: str) -> None:
    spec.write_text(spec.read_text() + f"  certificates: {{overrides: {{{ca}: {{validity: 9000h}}}}}}\n")
    root = tmp_path / "short"
    assert pkigen("init", spec, "-C", root).code == 0
    pkigen.now += 400 * DAY
    for command in COMMANDS:
        result = pkigen(*command, spec, "-C", root)
        assert f"{CAS[ca]}.crt is unfit as the {ca} CA: it expired" in result.error
        assert "`pkigen rescue` renews an expired CA" in unaddressed(result.hint)
    assert pkigen("rescue", spec, "-C", root, "--yes").code == 0
    assert pkigen("verify", "-C", root, spec).code == 0


@pytest.mark.parametrize("command", [("init",), ("init", "--dry-run")], ids=" ".join)
@pytest.mark.parametrize(
    ("stem", "certificate", "key"),
    [
        ("pki/ca", "pki/ca.pem", "pki/ca-key.pem"),
        ("pki/etcd/ca", "pki/etcd/ca.pem", "pki/etcd/ca-key.pem"),
        ("pki/etcd/ca", "pki/etcd-ca.pem", "pki/etcd-ca-key.pem"),
        ("pki/etcd/ca", "pki/etcd-ca.crt", "pki/etcd-ca.key"),
        ("pki/front-proxy-ca", "pki/front-proxy-ca.cer", "pki/front-proxy-ca.key.pem"),
        ("pki/front-proxy-ca", "pki/front-proxy/ca.crt", "pki/front-proxy/ca.key"),
    ],
)
def test_no_ca_is_made_beside_one_that_lies_there_unread(
    pkigen: InProcess,
    made: Path,
    spec: Path,
    tmp_path: Path,
    command: tuple[str, ...],
    stem: str,
    certificate: str,
    key: str,
) -> None:
    root = tmp_path / "brought"
    for name, ours in ((certificate, f"{stem}.crt"), (key, f"{stem}.key")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / "home" / ours, root / name)
    result = pkigen(*command, spec, "-C", root)
    assert (result.code, result.out) == (1, "")
    assert "not read under this name, so a new CA would be made beside it" in result.error
    for name, ours in ((certificate, f"{stem}.crt"), (key, f"{stem}.key")):
        assert f"{name} to {ours}" in result.hint
        (root / ours).parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(root / ours)
    assert pkigen("init", spec, "-C", root).code == 0
    assert (root / f"{stem}.crt").read_bytes() == (made / "home" / f"{stem}.crt").read_bytes()
