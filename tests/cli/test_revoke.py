"""`access revoke` and `access unrevoke`: who is meant, what is written, what is refused, and what stays."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkigen.cli.system import System
from tests.cli.program import DAY, InProcess, MadeTrees, Result, changed, contents, unaddressed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

TEAM = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: team}
spec:
  kubernetesVersion: %s
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}
  users:
    - {name: dev1, groups: [dev]}
    - {name: dev2, groups: [dev]}
    - {name: worker-1, groups: [dev]}
    - {name: bot, kind: ServiceAccount, namespace: web, uid: 3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b}
"""
FILE = "nodes/cp-1/etc/kubernetes/pki/authorization-config.yaml"
WHY = ("--reason", "laptop stolen", "--yes")


@pytest.fixture
def team(made_trees: MadeTrees, tmp_path: Path) -> Path:
    text = TEAM % "v1.36.2"
    (tmp_path / "team.yaml").write_text(text)
    return made_trees.copy(text, tmp_path / "team")


def made(pkigen: InProcess, place: Path, text: str) -> Path:
    spec, tree = place / "team.yaml", place / "team"
    spec.write_text(text)
    done = pkigen("init", spec, "-C", tree)
    assert done.code == 0, done
    return tree


def fingerprint(kubeconfig: Path) -> str:
    content = yaml.safe_load(kubeconfig.read_text())
    pem = base64.b64decode(content["users"][0]["user"]["client-certificate-data"])
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def listed(tree: Path) -> set[str]:
    """What the file refuses, the marker left out."""
    lock = set(json.loads((tree / "pki.lock").read_text()).get("revoked", {}))
    text = (tree / FILE).read_text()
    found = set(re.findall(r"'((?:X509SHA256|JTI)=[^']+)'", text))
    users = {f"USER={each}" for each in re.findall(r"'(system:node:[^']+)'", text)}
    marker = found - lock
    assert len(marker) == (1 if lock else 0)
    assert (found | users) - marker == lock
    return lock


def test_a_user_is_refused_and_only_the_list_changes(pkigen: InProcess, team: Path) -> None:
    before = contents(team)
    result = pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    assert result.code == 0, result
    own = fingerprint(team / "users/dev1.conf")
    assert f"revoke X509SHA256={own} of user:dev1, valid until" in result.out
    assert "cp-1: kube-apiserver reloads by itself" in result.out
    assert f"{FILE.replace('cp-1', 'NODE')} → /etc/kubernetes/pki/authorization-config.yaml" in result.out
    assert "`pkigen renew user:dev1` makes another" in unaddressed(result.err)
    assert changed(before, contents(team)) == {FILE, "pki.lock"}
    assert listed(team) == {f"X509SHA256={own}"}
    entry = json.loads((team / ".pkigen/ledger.jsonl").read_text().splitlines()[-2])
    assert (entry["event"], entry["id"], entry["of"], entry["reason"]) == (
        "revoked",
        f"X509SHA256={own}",
        "user:dev1",
        "laptop stolen",
    )
    verified = pkigen("verify", "-C", team)
    assert (verified.code, "is revoked (laptop stolen)" in verified.err) == (0, True)
    assert pkigen("plan", "-C", team, "--exit-code").code == 0
    again = pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    assert (again.code, again.out.splitlines()[0]) == (0, "nothing to do")


def test_status_and_explain_know(pkigen: InProcess, team: Path) -> None:
    pkigen("access", "revoke", "dev1", "web/bot", *WHY, "-C", team)
    status = pkigen("status", "-C", team, "-o", "json").json
    row = next(each for each in status["certificates"] if each["id"] == "user:dev1")
    assert row["reasons"] == ["revoked"]
    assert {each["of"] for each in status["revoked"]} == {"user:dev1", "serviceaccount:web:bot"}
    assert "revoked: X509SHA256=" in pkigen("status", "-C", team).out
    for what in ("dev1", team / "users/dev1.conf"):
        assert re.search(
            r"revoked: +2026-11-22 03:00 UTC: laptop stolen", pkigen("explain", what, "-C", team).out
        )
    token = pkigen("explain", team / "users/web.bot.conf", "-C", team)
    assert "revoked: 2026-11-22 03:00 UTC: laptop stolen; API servers refuse it" in token.out
    assert "revoked" not in pkigen("explain", "dev2", "-C", team).out
    message = (
        'Error from server (InternalError): an error on the server ("Internal Server Error: \\"/api\\": Post '
        '\\"https://127.0.0.1:0/this-credential-is-revoked?timeout=1s\\": dial tcp 127.0.0.1:0: connect: '
        'connection refused") has prevented the request from succeeding'
    )
    said = pkigen("explain", "--error", message, "-C", team).out
    assert "the credential was revoked" in said
    assert "of user:dev1" in said


def test_a_renewed_certificate_is_not_on_the_list(pkigen: InProcess, team: Path) -> None:
    old = fingerprint(team / "users/dev1.conf")
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    pkigen.now += timedelta(hours=1)
    assert pkigen("renew", "user:dev1", "-C", team, "--yes").code == 0
    assert listed(team) == {f"X509SHA256={old}"}
    assert "1 earlier certificate of it" in pkigen("explain", "dev1", "-C", team).out
    # What was issued before a moment, and not what was issued since.
    moment = pkigen.now.isoformat()
    assert pkigen("access", "revoke", "dev1", "--before", moment, *WHY, "-C", team).code == 0
    assert listed(team) == {f"X509SHA256={old}"}
    pkigen.now += timedelta(hours=1)
    assert pkigen("access", "revoke", "dev1", "--before", "now", *WHY, "-C", team).code == 0
    assert listed(team) == {f"X509SHA256={each}" for each in (old, fingerprint(team / "users/dev1.conf"))}


def test_what_has_expired_comes_off_the_list(pkigen: InProcess, team: Path) -> None:
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    pkigen.now += 5 * DAY
    assert pkigen("renew", "--all", "-C", team, "--yes").code == 0
    pkigen.now += 25 * DAY
    pkigen("renew", "user:dev1", "user:dev2", "user:worker-1", "serviceaccount:web:bot", "-C", team, "--yes")
    assert listed(team) != set()
    pkigen.now += timedelta(minutes=10)
    verified = pkigen("verify", "-C", team)
    assert (verified.code, "what has expired comes off the list" in verified.err) == (0, True), verified
    plan = pkigen("plan", "-C", team)
    assert "what has expired comes off the list: X509SHA256=" in plan.out
    assert "(revocation-over)" in plan.out
    assert pkigen("apply", "-C", team, "--yes").code == 0
    assert listed(team) == set()
    assert "Webhook" not in (team / FILE).read_text()
    assert pkigen("plan", "-C", team, "--exit-code").code == 0


def test_a_node_is_refused_whatever_it_has_got_for_itself(pkigen: InProcess, team: Path) -> None:
    result = pkigen("access", "revoke", "node:worker-1", *WHY, "-C", team)
    assert result.code == 0, result
    own = fingerprint(team / "nodes/worker-1/etc/kubernetes/kubelet.conf")
    assert listed(team) == {f"X509SHA256={own}", "USER=system:node:worker-1"}
    assert "also what the kubelet has got for itself" in result.err
    assert "warning" not in result.err
    assert pkigen("access", "unrevoke", "node:worker-1", "--yes", "-C", team).code == 0
    assert listed(team) == set()
    stolen = pkigen("access", "revoke", "cp-1", *WHY, "--force", "-C", team)
    assert "warning: cp-1 has the key of the CA" in stolen.err
    assert "USER=system:node:cp-1" in listed(team)


def _serial(tree: Path) -> str:
    return str(json.loads((tree / "pki.lock").read_text())["certificates"]["user:dev1"]["serial"])


def _pem(tree: Path) -> str:
    content = yaml.safe_load((tree / "users/dev1.conf").read_text())
    file = tree.parent / "dev1.crt"
    file.write_bytes(base64.b64decode(content["users"][0]["user"]["client-certificate-data"]))
    return str(file)


WAYS: dict[str, Callable[[Path], str]] = {
    "a user": lambda _: "user:dev1",
    "a serial": _serial,
    "a serial as openssl shows it": lambda tree: ":".join(re.findall("..?", _serial(tree).upper().zfill(40))),
    "a SHA-256": lambda tree: fingerprint(tree / "users/dev1.conf"),
    "a SHA-256 as the lock file has it": lambda tree: f"sha256:{fingerprint(tree / 'users/dev1.conf')}",
    "a credential id": lambda tree: f"X509SHA256={fingerprint(tree / 'users/dev1.conf')}",
    "a kubeconfig": lambda tree: str(tree / "users/dev1.conf"),
    "a certificate": _pem,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_name_it_means_the_same(way: str, pkigen: InProcess, team: Path) -> None:
    assert pkigen("access", "revoke", WAYS[way](team), *WHY, "-C", team).code == 0
    assert listed(team) == {f"X509SHA256={fingerprint(team / 'users/dev1.conf')}"}
    assert pkigen("access", "unrevoke", WAYS[way](team), "--yes", "-C", team).code == 0
    assert listed(team) == set()


def test_a_token_by_its_id_by_its_file_and_by_its_account(pkigen: InProcess, team: Path) -> None:
    token = yaml.safe_load((team / "users/web.bot.conf").read_text())["users"][0]["user"]["token"]
    (team.parent / "token").write_text(token)
    for who in (team.parent / "token", team / "users/web.bot.conf", "web/bot", "serviceaccount:web:bot"):
        assert pkigen("access", "revoke", who, *WHY, "-C", team).code == 0
        (found,) = listed(team)
        assert found.startswith("JTI=")
        assert pkigen("access", "unrevoke", found, "--yes", "-C", team).code == 0
    unknown = pkigen("access", "revoke", "JTI=8b2f", *WHY, "-C", team)
    assert (unknown.code, "is not in the ledger" in unknown.err) == (0, True)
    assert listed(team) == {"JTI=8b2f"}
    pkigen.now += 3650 * DAY
    assert "JTI=8b2f" in listed(team)


def test_a_plan_that_is_saved_is_applied_exactly(pkigen: InProcess, team: Path, tmp_path: Path) -> None:
    before, plan = contents(team), tmp_path / "plan.json"
    saved = pkigen("access", "revoke", "dev1", "--reason", "x", "--save", plan, "-C", team)
    assert saved.code == 0
    assert contents(team) == before
    assert "revoke X509SHA256=" in pkigen("show", plan).out
    pkigen.now += DAY
    # An edited spec neither makes it stale nor comes along.
    spec = team / "cluster.yaml"
    text = spec.read_text()
    spec.write_text(text.replace("10.0.0.21", "10.0.0.22"))
    done = pkigen("apply", plan, "-C", team, "--yes")
    assert done.code == 0, done
    spec.write_text(text)
    assert listed(team) == {f"X509SHA256={fingerprint(team / 'users/dev1.conf')}"}
    stale = pkigen("apply", plan, "-C", team, "--yes")
    assert (stale.code, "the saved plan is stale" in stale.error) == (1, True)
    content = json.loads(plan.read_text())
    content["revocation"]["revoked"][0]["credential"] = "JTI=other"
    plan.write_text(json.dumps(content))
    edited = pkigen("apply", plan, "-C", team, "--yes")
    assert (edited.code, "was changed after it was saved" in edited.error) == (1, True)


@pytest.mark.parametrize("form", ["text", "json", "yaml"])
def test_a_dry_run_writes_nothing(form: str, pkigen: InProcess, team: Path) -> None:
    before = contents(team)
    result = pkigen("access", "revoke", "dev1", "--reason", "x", "--dry-run", "-o", form, "-C", team)
    assert (result.code, "dry run: nothing was written" in result.err) == (0, True)
    assert "X509SHA256=" in result.out
    assert contents(team) == before


def test_json_names_what_is_revoked(pkigen: InProcess, team: Path) -> None:
    result = pkigen("access", "revoke", "dev1", *WHY, "-o", "json", "-C", team)
    (each,) = result.json["revocation"]["revoked"]
    assert (each["of"], each["reason"]) == ("user:dev1", "laptop stolen")
    assert {step["effect"] for step in result.json["restarts"]} == {"reloads by itself"}


def test_without_consent_nothing_is_written(pkigen: InProcess, team: Path) -> None:
    before = contents(team)
    result = pkigen("access", "revoke", "dev1", "--reason", "x", "-C", team)
    assert result.code == 1
    assert contents(team) == before


def test_what_else_is_to_be_done_stays_for_later(pkigen: InProcess, team: Path) -> None:
    broken = team / "nodes/worker-1/var/lib/kubelet/config.yaml"
    broken.write_text("{}\n")
    result = pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    assert (result.code, "1 other changes stay for `pkigen apply`" in unaddressed(result.err)) == (0, True)
    assert broken.read_text() == "{}\n"
    assert len(listed(team)) == 1
    assert pkigen("apply", "-C", team, "--yes").code == 0
    assert len(listed(team)) == 1


# -- what neither a lost record nor a rollback undoes ------------------------------------------------------


def test_a_lost_lock_file_lets_nobody_in(pkigen: InProcess, team: Path) -> None:
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    own = listed(team)
    (team / "pki.lock").unlink()
    (team / FILE).unlink()
    assert pkigen("apply", "-C", team, "--yes", "--force").code == 0
    assert listed(team) == own


def test_an_edited_lock_file_lets_nobody_in(pkigen: InProcess, team: Path) -> None:
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    own, text = listed(team), (team / FILE).read_text()
    lock = json.loads((team / "pki.lock").read_text())
    del lock["revoked"]
    (team / "pki.lock").write_text(json.dumps(lock, indent=1) + "\n")
    assert pkigen("verify", "-C", team).code == 4
    assert pkigen("apply", "-C", team, "--yes", "--force").code == 0
    assert (listed(team), (team / FILE).read_text()) == (own, text)


@pytest.mark.parametrize("revoked", [[], {"JTI=it's": {}}, {"JTI=a": {"of": 1}}, {"JTI=a": None}, 5])
def test_a_damaged_list_is_no_list(revoked: Any, pkigen: InProcess, team: Path) -> None:
    lock = json.loads((team / "pki.lock").read_text())
    lock["revoked"] = revoked
    (team / "pki.lock").write_text(json.dumps(lock, indent=1) + "\n")
    assert pkigen("verify", "-C", team).code in {1, 2, 4}
    text = (team / FILE).read_text()
    pkigen("apply", "-C", team, "--yes", "--force")
    assert (team / FILE).read_text() == text


def test_a_rollback_does_not_let_anybody_in_for_good(pkigen: InProcess, team: Path) -> None:
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    text = (team / FILE).read_text()
    refused = pkigen("rollback", "-C", team, "--yes")
    assert (refused.code, "1 revoked credential" in refused.error + refused.out + refused.err) == (1, True)
    assert pkigen("rollback", "-C", team, "--yes", "--force").code == 0
    assert (team / FILE).read_text() != text
    assert pkigen("verify", "-C", team).code == 4
    assert pkigen("apply", "-C", team, "--yes").code == 0
    assert (team / FILE).read_text() == text


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "code", "error", "hint"),
    [
        ("nobody", 2, "nothing here is called 'nobody'", "give a user, a node"),
        # A token that somebody has pasted is longer than any file's name.
        ("e" * 300, 2, "nothing here is called 'eee", "give a user, a node"),
        ("dev", 2, "nothing here is called 'dev'", "did you mean dev"),
        ("worker-1", 2, "'worker-1' is a user and a node", "user:worker-1 or node:worker-1"),
        ("cp-1/super-admin.conf", 1, "passes before every authorizer", "rotate ca kubernetes"),
        ("cp-1/apiserver", 1, "is a serving certificate", ""),
        ("cp-1/etcd-server", 1, "is for etcd", ""),
        ("cp-1/front-proxy-client", 1, "is for aggregated API servers", ""),
        ("ca", 1, "rotate the CA instead", ""),
        ("JTI=it's", 2, "must be JTI= and a token's id", ""),
        ("USER=system:node:worker-1", 2, "is what a node is revoked by", "node:worker-1"),
        ("USER=dev1", 2, "must be USER=system:node:", ""),
        (f"X509SHA256={'A' * 64}", 2, "in lower case", ""),
    ],
)
def test_what_cannot_be_revoked(
    who: str, code: int, error: str, hint: str, pkigen: InProcess, team: Path
) -> None:
    before = contents(team)
    result = pkigen("access", "revoke", who, *WHY, "-C", team)
    assert result.code == code, result
    assert error in result.error
    assert hint in result.hint
    assert contents(team) == before


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 201, "\x1b[2J"])
def test_a_reason_is_one_line(reason: str, pkigen: InProcess, team: Path) -> None:
    result = pkigen("access", "revoke", "dev1", "--reason", reason, "--yes", "-C", team)
    assert (result.code, "--reason must be one line" in result.error) == (2, True)


@pytest.mark.parametrize("before", ["yesterday", "2026-11-22", "2026-11-22T03:00:00"])
def test_a_moment_has_a_zone(before: str, pkigen: InProcess, team: Path) -> None:
    result = pkigen("access", "revoke", "dev1", "--before", before, *WHY, "-C", team)
    assert (result.code, "--before must be `now`, or a time with its zone" in result.error) == (2, True)


def test_a_file_of_another_cluster(pkigen: InProcess, team: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = made(pkigen, tmp_path / "other", TEAM % "v1.36.2")
    result = pkigen("access", "revoke", other / "users/dev1.conf", *WHY, "-C", team)
    assert (result.code, "lets nobody into this cluster" in result.error) == (1, True)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\0\1", "neither a kubeconfig nor"),
        (b"word", "is no token of a service account"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate"),
        (b"apiVersion: v1\nkind: Config\n", "has no certificate and no token in it"),
    ],
)
def test_a_file_without_a_credential(
    content: bytes, error: str, pkigen: InProcess, team: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    result = pkigen("access", "revoke", tmp_path / "file", *WHY, "-C", team)
    assert result.code in {1, 2}, result
    assert error in result.error or error.startswith("neither")


def _signed_by_the_cluster(tree: Path, now: datetime, *groups: str) -> bytes:
    """What a controller manager signs: the ledger does not know it."""
    authority = x509.load_pem_x509_certificate((tree / "pki/ca.crt").read_bytes())
    key = serialization.load_pem_private_key((tree / "pki/ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    names = [(NameOID.COMMON_NAME, "ci"), *((NameOID.ORGANIZATION_NAME, each) for each in groups)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*each) for each in names]))
        .issuer_name(authority.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + 100 * DAY)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def test_a_certificate_that_the_cluster_has_signed_itself(
    pkigen: InProcess, team: Path, tmp_path: Path
) -> None:
    (tmp_path / "ci.crt").write_bytes(_signed_by_the_cluster(team, pkigen.now))
    result = pkigen("access", "revoke", tmp_path / "ci.crt", *WHY, "-C", team)
    assert (result.code, "the cluster has signed it itself" in result.err) == (0, True), result
    assert "of CN=ci, valid until 2027-03-02" in result.out
    (tmp_path / "root.crt").write_bytes(_signed_by_the_cluster(team, pkigen.now, "system:masters"))
    masters = pkigen("access", "revoke", tmp_path / "root.crt", *WHY, "-C", team)
    assert (masters.code, "passes before every authorizer" in masters.error) == (1, True)
    forced = pkigen("access", "revoke", tmp_path / "root.crt", "--force", *WHY, "-C", team)
    assert (forced.code, len(listed(team))) == (0, 2)


def test_a_kubeconfig_gives_away_every_user_in_it(pkigen: InProcess, team: Path, tmp_path: Path) -> None:
    merged = yaml.safe_load((team / "users/dev1.conf").read_text())
    merged["users"] += yaml.safe_load((team / "users/web.bot.conf").read_text())["users"]
    (tmp_path / "merged.conf").write_text(yaml.safe_dump(merged))
    assert pkigen("access", "revoke", tmp_path / "merged.conf", *WHY, "-C", team).code == 0
    assert {each.partition("=")[0] for each in listed(team)} == {"X509SHA256", "JTI"}


@pytest.mark.parametrize(
    ("claims", "code", "error"),
    [
        ({"sub": "system:serviceaccount:web:bot"}, 1, "has no id (jti)"),
        ({"sub": "system:serviceaccount:web:bot", "jti": "it's"}, 1, "the id of the token of"),
        ({"sub": "system:serviceaccount:web:bot", "jti": "8b2f", "exp": 4102444800}, 0, ""),
    ],
)
def test_a_token_of_somebody_else(
    claims: dict[str, Any], code: int, error: str, pkigen: InProcess, team: Path, tmp_path: Path
) -> None:
    parts = ({"alg": "RS256"}, claims)
    text = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts]
    (tmp_path / "token").write_text(".".join([*text, "c2ln"]))
    result = pkigen("access", "revoke", tmp_path / "token", *WHY, "-C", team)
    assert (result.code, error in result.error) == (code, True), result


def test_nothing_of_that_name_is_revoked(pkigen: InProcess, team: Path) -> None:
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    result = pkigen("access", "unrevoke", "dev2", "--yes", "-C", team)
    assert (result.code, result.error) == (2, "nothing that is revoked is called 'dev2'")
    assert result.hint == "revoked: user:dev1"


# -- versions, flags, and clusters of others ---------------------------------------------------------------


def _api_server(text: str, entry: str) -> str:
    return text.replace("  nodes:\n", f"  apiServer: {entry}\n  nodes:\n", 1)


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        (TEAM % "v1.31.4", "cannot refuse a single credential", "rotate the CA"),
        (
            _api_server(TEAM % "v1.36.2", "{extraArgs: [{name: authorization-mode, value: 'Node,RBAC'}]}"),
            "authorize by flags (--authorization-mode in spec.apiServer.extraArgs)",
            "take the flags of authorization out of extraArgs",
        ),
        (
            _api_server(
                TEAM % "v1.36.2", "{extraArgs: [{name: authorization-config, value: /etc/own.yaml}]}"
            ),
            "authorize by /etc/own.yaml",
            "put an authorizer that refuses the credential into your own",
        ),
        (
            _api_server(TEAM % "v1.36.2", "{structuredAuthorization: false}"),
            "authorize by flags (spec.apiServer.structuredAuthorization)",
            "set spec.apiServer.structuredAuthorization: true",
        ),
    ],
)
def test_where_no_api_server_would_know(
    text: str, error: str, hint: str, pkigen: InProcess, tmp_path: Path
) -> None:
    tree = made(pkigen, tmp_path, text)
    before = contents(tree)
    result = pkigen("access", "revoke", "dev1", *WHY, "-C", tree)
    assert result.code == 1, result
    assert error in result.error
    assert hint in result.hint
    assert contents(tree) == before


KUBEADM = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 10.0.0.11}
nodeRegistration: {name: cp-1}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
%s"""
OWN = """\
apiServer:
  extraArgs: [{name: authorization-config, value: /etc/kubernetes/pki/authorization-config.yaml}]
"""


def test_a_kubeadm_configuration_asks_for_it_by_the_flag(pkigen: InProcess, tmp_path: Path) -> None:
    tree = made(pkigen, tmp_path, KUBEADM % "")
    result = pkigen("access", "revoke", "cp-1/admin.conf", *WHY, "-C", tree)
    assert (result.code, "in a kubeadm configuration: the extraArg authorization-config" in result.hint) == (
        1,
        True,
    )
    (tree / "cluster.yaml").write_text(KUBEADM % OWN)
    asked = pkigen("access", "revoke", "cp-1/admin.conf", *WHY, "-C", tree)
    assert asked.code == 1  # the edited spec counts once it is applied
    assert pkigen("apply", "-C", tree, "--yes").code == 0
    assert pkigen("access", "revoke", "cp-1/admin.conf", *WHY, "-C", tree).code == 0
    assert len(listed(tree)) == 1


def test_manifests_of_somebody_else_have_to_name_the_file(pkigen: InProcess, tmp_path: Path) -> None:
    text = (TEAM % "v1.36.2").replace("  nodes:\n", "  manage: []\n  nodes:\n", 1)
    tree = made(pkigen, tmp_path, text)
    assert not (tree / FILE).exists()
    result = pkigen("access", "revoke", "dev1", *WHY, "-C", tree)
    assert (result.code, "structuredAuthorization: true" in result.hint) == (1, True)
    (tree / "cluster.yaml").write_text(_api_server(text, "{structuredAuthorization: true}"))
    assert pkigen("apply", "-C", tree, "--yes").code == 0
    assert (tree / FILE).exists()
    manifest = tree / "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
    manifest.parent.mkdir(exist_ok=True)
    for flag, code in (("mode=Node,RBAC", 1), ("config=/etc/kubernetes/pki/authorization-config.yaml", 0)):
        command = ["kube-apiserver", f"--authorization-{flag}"]
        pod = {"metadata": {"name": "kube-apiserver", "namespace": "kube-system"}, "kind": "Pod"}
        pod["spec"] = {"containers": [{"name": "kube-apiserver", "command": command}]}
        manifest.write_text(yaml.safe_dump(pod))
        result = pkigen("access", "revoke", "dev1", *WHY, "-C", tree)
        assert result.code == code, result
    assert len(listed(tree)) == 1


# -- what running API servers say --------------------------------------------------------------------------


def _live(pkigen: InProcess, tree: Path, refused: set[str], *, form: str = "text") -> Result:
    def ask(_endpoint: object, body: dict[str, Any]) -> dict[str, Any]:
        (asked,) = body["spec"].get("extra", {"": [f"USER={body['spec']['user']}"]}).values()
        return {"kind": "SubjectAccessReview", "status": {"denied": asked[0] in refused, "allowed": False}}

    def dial(_endpoint: object, _identity: object) -> tuple[bytes, ...]:
        raise ConnectionRefusedError

    system = replace(System(clock=lambda: pkigen.now), ask=ask, dial=dial)
    return pkigen("verify", "--live", "-o", form, "-C", tree, system=system)


def test_an_api_server_that_is_behind_is_named(pkigen: InProcess, team: Path) -> None:
    assert _live(pkigen, team, set(), form="json").json["revocations"] == []
    pkigen("access", "revoke", "dev1", *WHY, "-C", team)
    behind = _live(pkigen, team, set())
    assert behind.code == 4
    assert "kube-apiserver on cp-1 (10.0.0.11:6443): revocations: still lets pass X509SHA256=" in behind.out
    assert "revocations: 1, refused by 0 of 1 API servers" in behind.out
    everything = set(re.findall(r"X509SHA256=[0-9a-f]{64}", (team / FILE).read_text()))
    current = _live(pkigen, team, everything)
    assert "revocations: 1, refused by 1 of 1 API servers" in current.out
    (each,) = _live(pkigen, team, everything, form="json").json["revocations"]
    assert each == {"node": "cp-1", "address": "10.0.0.11:6443", "list": "current", "detail": ""}


def test_a_name_with_a_space_is_one_word_of_a_printed_command(pkigen: InProcess, team: Path) -> None:
    spec = team / "cluster.yaml"
    spec.write_text(spec.read_text().replace("{name: dev1", "{name: 'dev 1 $(id)'"))
    assert pkigen("apply", "-C", team, "--yes").code == 0
    said = pkigen("access", "revoke", "user:dev 1 $(id)", *WHY, "-C", team)
    for told in (said, pkigen("verify", "-C", team)):
        assert f"`pkigen renew 'user:dev 1 $(id)' -C {team}` makes another" in told.err
