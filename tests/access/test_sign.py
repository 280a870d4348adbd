"""`pkigen access sign`: what is issued, and what never is."""

from __future__ import annotations

import base64
import hashlib
import stat
from datetime import timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.cli.system import System
from pkigen.crypto.keys import load_private
from pkigen.state.observed import client_key_pem
from tests.access.made_requests import issued_certificate, issued_names, plain, request
from tests.access.team_cluster import SPEC, TeamCluster
from tests.cli.program import NOW, photograph, unaddressed

LOCK = ".pkigen/lock"


def test_only_the_approved_identity_is_issued(place: TeamCluster) -> None:
    asked = request(
        plain("somebody", "wheel"),
        None,
        x509.SubjectAlternativeName([x509.DNSName("api.example.com")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.BasicConstraints(ca=False, path_length=None),
        x509.TLSFeature([x509.TLSFeatureType.status_request]),
    )
    result = place.sign(asked, "--group", "dev", "--group", "ops")
    assert result.code == 0, result.err
    issued = issued_certificate(result.out)
    assert issued_names(issued) == ("ann", {"dev", "ops"})
    with pytest.raises(x509.ExtensionNotFound):
        issued.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.not_valid_after_utc == NOW + timedelta(days=30)
    for said in (
        "requested: O=wheel, CN=somebody; key ECDSA-P256",
        "subjectAltName: 'DNS:api.example.com' (not issued)",
        "extendedKeyUsage: serverAuth (not issued)",
        "basicConstraints: no CA (not issued)",
        "TLSFeature (not issued)",
        "only the approved one is issued",
        "until 2026-12-22 03:00 UTC (720h by default)",
        "unless `pkigen access revoke` ends it",
    ):
        assert said in unaddressed(result.err)
    place.assert_clean()
    last = place.ledger()[-1]
    assert (last["event"], last["id"], last["subject"]) == ("signed", "request:ann", "CN=ann,O=dev,O=ops")
    assert last["serial"] == f"{issued.serial_number:x}"


@pytest.mark.parametrize("owner", ["ca", "etcd-ca", "sa", "cp-1/apiserver", "cp-1/admin.conf"])
def test_a_key_of_the_cluster_is_certified_for_nobody(place: TeamCluster, owner: str) -> None:
    paths = {"ca": "pki/ca.key", "etcd-ca": "pki/etcd/ca.key", "sa": "pki/sa.key"}
    node = place.tree / "nodes/cp-1/etc/kubernetes"
    if owner.endswith(".conf"):
        key = client_key_pem((node / "admin.conf").read_bytes()) or b""
    else:
        key = (place.tree / paths.get(owner, "nodes/cp-1/etc/kubernetes/pki/apiserver.key")).read_bytes()
    before = {**photograph(place.tree), LOCK: None}  # which was held
    result = place.sign(request(None, load_private(key)))
    assert (result.code, result.out) == (1, "")
    assert f"error: the key of this request is that of {owner}: " in result.err
    assert {**photograph(place.tree), LOCK: None} == before


@pytest.mark.parametrize(
    ("kind", "slot", "phases"),
    [(kind, slot, phases) for kind in ("ca", "sa") for slot, phases in (("-next", 1), ("-previous", 2))],
)
def test_a_key_of_another_generation_is_certified_for_nobody(
    place: TeamCluster, kind: str, slot: str, phases: int
) -> None:
    """What a rotation adds, and what it is about to remove, is trusted as much as the present."""
    which = ("ca", "kubernetes") if kind == "ca" else ("sa",)
    for more in ((), ("--assume-distributed",))[:phases]:
        rotated = place.run("rotate", *which, place.spec, "-C", place.tree, "--yes", *more)
        assert rotated.code == 0, rotated
    key = load_private((place.tree / f"pki/{kind}{slot}.key").read_bytes())
    result = place.sign(request(None, key))
    assert (result.code, result.out) == (1, "")
    assert f"error: the key of this request is that of {kind}" in result.err


def test_a_key_that_a_renewal_replaced_is_certified_for_nobody(place: TeamCluster) -> None:
    """Its old certificate is valid until it expires."""
    key = load_private((place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.key").read_bytes())
    assert place.run("renew", place.spec, "apiserver", "-C", place.tree, "--yes").code == 0
    result = place.sign(request(None, key))
    assert (result.code, result.out) == (1, "")
    assert "error: the key of this request is that of cp-1/apiserver: " in result.err


def test_a_key_that_pkigen_made_for_a_person_is_certified_for_nobody_else(place: TeamCluster) -> None:
    """Neither while it is in the kubeconfig nor when a renewal has replaced it."""
    key = load_private(client_key_pem((place.tree / "users/plain.conf").read_bytes()) or b"")
    for renews in (False, True):
        if renews:
            assert place.run("renew", place.spec, "user:plain", "-C", place.tree, "--yes").code == 0
        result = place.sign(request(None, key))
        assert (result.code, result.out) == (1, "")
        assert "error: the key of this request is that of user:plain: " in result.err


def test_a_key_that_was_certified_for_another_name(place: TeamCluster) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for _ in range(2):  # the same name once more is a renewal
        first = place.sign(request(None, key))
        assert (first.code, "certified before" in first.err) == (0, False)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert f"; key ECDSA-P256 sha256:{hashlib.sha256(spki).hexdigest()}\n" in first.err
    second = place.sign(request(None, key), "--group", "dev", user="bob")
    assert (second.code, "note: the same key was certified before for ann" in second.err) == (0, True)


def test_a_kubeconfig_with_the_key_by_its_path(place: TeamCluster) -> None:
    out = place.folder / "ann.conf"
    result = place.sign(
        request(), "--kubeconfig", out, "--key-path", "/home/ann/ann.key", "--validity", "24h",
        "--namespace", "web", "--server", "https://api:6443", "--tls-server-name", "kubernetes",
        "--proxy-url", "socks5://proxy:1080",
    )  # fmt: skip
    assert (result.code, result.out) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    content = yaml.safe_load(out.read_text())
    (cluster,) = content["clusters"]
    assert cluster["cluster"]["tls-server-name"] == "kubernetes"
    assert cluster["cluster"]["proxy-url"] == "socks5://proxy:1080"
    authority = (place.tree / "pki/ca.crt").read_bytes()
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == authority
    (user,) = content["users"]
    assert user["user"]["client-key"] == "/home/ann/ann.key"
    assert set(user["user"]) == {"client-certificate-data", "client-key"}
    assert content["contexts"][0]["context"] == {"cluster": "team", "user": "ann", "namespace": "web"}
    assert content["current-context"] == "ann@team"


def test_a_declared_person_has_groups_validity_and_namespace_of_the_spec(place: TeamCluster) -> None:
    out, kubeconfig = place.folder / "dev1.crt", place.folder / "dev1.conf"
    result = place.sign(
        request(plain("dev1")), "--out", out, "--kubeconfig", kubeconfig, "--key-path", "k", user="dev1"
    )
    assert (result.code, result.out) == (0, "")
    issued = issued_certificate(out.read_text())
    assert issued_names(issued) == ("dev1", {"platform-team"})
    assert issued.not_valid_after_utc == NOW + timedelta(hours=168)
    assert yaml.safe_load(kubeconfig.read_text())["contexts"][0]["context"]["namespace"] == "web"
    assert "other groups" not in result.err
    other = place.sign(request(), "--group", "dev", user="dev1")
    assert other.code == 0
    assert "note: the spec gives dev1 other groups: platform-team" in other.err
    asked = place.write("glass.csr", request(plain("glass", "system:masters")))
    words = ("access", "sign", "--csr", asked, "--user", "glass")
    assert place.run(*words, place.spec, "-C", place.tree).code == 0
    (place.tree / "cluster.yaml").unlink()
    refused = place.run(
        *words, "-C", place.tree
    )  # the reason of pki.lock, which others can write, does not count
    assert (refused.code, refused.error) == (1, "the group 'system:masters' is reserved for Kubernetes")
    assert "pki.lock cannot vouch for it" in refused.hint
    assert place.run(*words, "-C", place.tree, "--allow-system-identity", "break glass").code == 0


def test_it_ends_with_its_ca_and_says_so(place: TeamCluster) -> None:
    result = place.sign(request(), "--validity", "200000h")
    authority = x509.load_pem_x509_certificate((place.tree / "pki/ca.crt").read_bytes())
    assert issued_certificate(result.out).not_valid_after_utc == authority.not_valid_after_utc
    assert "shortened to its CA's validity" in result.err


def test_a_spec_with_its_directory_and_standard_input(
    place: TeamCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        class buffer:  # noqa: N801 -- sys.stdin's own name
            @staticmethod
            def read(limit: int) -> bytes:
                return request()[:limit]

    monkeypatch.setattr("sys.stdin", Stdin)
    result = place.run("access", "sign", "--csr", "-", "--user", "ann", place.spec, "-C", place.tree)
    assert result.code == 0, result.err
    place.assert_clean()


def test_a_ledger_that_somebody_changed_is_put_on_record_first(place: TeamCluster) -> None:
    ledger = place.tree / ".pkigen/ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-1]))
    (place.tree / "cluster.yaml").unlink()
    assert "the ledger does not confirm" in place.sign(request()).error
    asked = place.write("client.csr", request())
    words = ("access", "sign", "--csr", asked, "--user", "ann", place.spec, "-C", place.tree)
    refused = place.run(*words)
    assert refused.error.startswith("the authority is not the one that is recorded: ")
    assert ".pkigen/ledger.jsonl is older than what pki.lock records" in refused.error
    applying = ("apply", place.spec, "-C", place.tree, "--yes")
    assert place.run(*applying).code == 1
    assert place.run(*applying, "--force").code == 0
    assert [entry["event"] for entry in place.ledger()[-2:]] == ["mismatch", "recorded"]
    assert place.run(*words).code == 0


@pytest.mark.parametrize("new", ['"system:masters"', '"platform-admins"'])
def test_a_lock_file_that_somebody_edited_decides_nothing(place: TeamCluster, new: str) -> None:
    lock = place.tree / "pki.lock"
    edited = lock.read_text().replace('"platform-team"', new)
    lock.write_text(edited)
    (place.tree / "cluster.yaml").unlink()
    before = photograph(place.tree)
    for words in (
        ("access", "sign", "--csr", place.write("a.csr", request()), "--user", "dev1", "-C", place.tree),
        ("access", "token", "-C", place.tree, "--service-account", "web/bot"),
        ("access", "bootstrap-token", "-C", place.tree, "--out", place.folder / "tokens"),
    ):
        refused = place.run(*words)
        assert (refused.code, refused.out) == (1, "")
        assert refused.error == f"the ledger does not confirm {lock}: it is not what was written last"
        assert "give the spec's file instead" in refused.hint
    assert photograph(place.tree) == before
    given = (place.spec, "-C", place.tree)
    assert place.run("access", "sign", "--csr", place.folder / "a.csr", "--user", "dev1", *given).code == 0
    assert place.run("apply", place.spec, "-C", place.tree, "--yes").code == 0
    assert place.sign(request(), user="dev1").code == 0


def test_what_is_issued_is_shown_before_it_is(place: TeamCluster) -> None:
    said = place.sign(request(), "--group", "dev", user="ann").err
    assert said.index("\nissuing: ") < said.index("\nissued: ")


def test_where_nothing_can_be_written_nothing_is_signed(place: TeamCluster) -> None:
    path = place.write("client.csr", request())
    before = photograph(place.folder)
    for options in (
        ("--out", place.folder / "none/x.crt"),
        ("--out", place.tree),
        ("--kubeconfig", place.folder / "none/x.conf", "--out", place.folder / "x.crt"),
    ):
        result = place.sign(path, *options)
        assert (result.code, result.out) == (1, "")
        assert "cannot be written" in result.error
        assert photograph(place.folder) == before


def test_wrong_usage(place: TeamCluster) -> None:
    assert place.sign(request(), "--key-path", "x").error == "--key-path can only be used with --kubeconfig"
    same = place.sign(request(), "--kubeconfig", place.folder / "x", "--out", place.folder / "x")
    assert same.error == "--out and --kubeconfig are the same file"
    for option, value, said in (
        ("--server", "http://api:6443", "must be a URL with https"),
        ("--server", "api:6443", "must be a URL with https"),
        ("--server", "https://a b", "must be a URL with https"),
        ("--server", "https://", "must be a host"),
        ("--server", "https://api?x", "neither query nor fragment"),
        ("--server", "https://[2001:db8:]:6443", "IPv6 in brackets"),
        ("--server", "https://[2001:db8::1:6443", "IPv6 in brackets"),
        ("--server", "https://2001:db8::1]:6443", "IPv6 in brackets"),
        ("--server", "https://api:99999", "a port between 1 and 65535"),
        ("--server", "https://api..example.com:6443", "must be a lower-case DNS name"),
        ("--proxy-url", "ftp://p", "must be a URL with http or https or socks5"),
        ("--tls-server-name", "a b", "must be an IP address, a DNS name"),
        ("--namespace", "Web", "must be a DNS label"),
    ):
        wrong = place.sign(request(), option, value)
        assert (wrong.code, wrong.out) == (2, "")
        assert wrong.error.startswith(f"{option} ")
        assert said in wrong.error
    missing = place.run("access", "sign", "--csr", place.folder / "none", "--user", "ann", "-C", place.tree)
    assert missing.error.endswith("none cannot be read: no such file or directory")
    absent = place.run(
        "access", "sign", "--csr", "-", "--user", "ann", place.spec, "-C", place.folder / "none"
    )
    assert absent.error.endswith("none does not exist")
    (place.tree / "pki.lock").write_text("{}")
    broken = place.run(
        "access", "sign", "--csr", place.write("c", request()), "--user", "ann", place.spec, "-C", place.tree
    )
    assert "no readable pki.lock" in broken.error
    (place.tree / "pki/ca.key").unlink()
    (place.tree / "pki/ca.crt").unlink()
    gone = place.run(
        "access", "sign", "--csr", place.folder / "c", "--user", "ann", place.spec, "-C", place.tree
    )
    assert "pki/ca.crt is missing, and the ledger records it" in gone.error
    (place.tree / ".pkigen/ledger.jsonl").unlink()
    gone = place.run(
        "access", "sign", "--csr", place.folder / "c", "--user", "ann", place.spec, "-C", place.tree
    )
    assert gone.error == "the PKI directory has no CA that could sign"


def test_the_same_clock_and_randomness_give_the_same_certificate(place: TeamCluster) -> None:
    path = place.write("client.csr", request())
    system = System(clock=lambda: NOW, entropy=lambda count: bytes(range(count)))
    arguments = ("access", "sign", "--csr", path, "--user", "ann", "-C", place.tree)
    assert place.pkigen(*arguments, system=system).out == place.pkigen(*arguments, system=system).out
    assert "team" in SPEC
