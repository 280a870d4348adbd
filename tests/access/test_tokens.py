"""`pkigen access token`, and the kubeconfigs of declared service accounts that plans keep in date."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from pkigen.cli.system import System
from pkigen.crypto import service_account_tokens as tokens
from tests.access.team_cluster import UID, TeamCluster
from tests.cli.program import NOW, photograph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


ISSUER = "https://kubernetes.default.svc.cluster.local"


CONF = "users/web.deployer.conf"


def key_set(place: TeamCluster) -> KeySet:
    return KeySet.import_key_set(place.run("access", "oidc", "jwks", "-C", place.tree).json)


def token_of(path: Path) -> str:
    text: str = yaml.safe_load(path.read_text())["users"][0]["user"]["token"]
    return text


def test_a_token_says_what_the_api_servers_own_say(place: TeamCluster) -> None:
    result = place.run("access", "token", "--service-account", "web/deployer", "-C", place.tree)
    assert result.code == 0, result.err
    decoded = jwt.decode(result.out.strip(), key_set(place), algorithms=["ES256"])
    public = serialization.load_pem_public_key((place.tree / "pki/sa.pub").read_bytes())
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    kid = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert decoded.header == {"alg": "ES256", "kid": kid}
    now = int(NOW.timestamp())
    assert decoded.claims == {
        "aud": [ISSUER],
        "exp": now + 3600,
        "iat": now,
        "iss": ISSUER,
        "jti": decoded.claims["jti"],
        "kubernetes.io": {"namespace": "web", "serviceaccount": {"name": "deployer", "uid": UID}},
        "nbf": now,
        "sub": "system:serviceaccount:web:deployer",
    }
    assert decoded.claims["jti"][14] == "4"
    assert "warning" not in result.err
    assert result.out.strip() not in result.err
    place.assert_clean()
    entry = place.ledger()[-1]
    assert (entry["event"], entry["id"]) == ("signed", "serviceaccount:web:deployer")
    assert entry["tokenId"] == decoded.claims["jti"]
    signature = result.out.strip().rpartition(".")[2]
    assert all(signature.encode() not in (data or b"") for _, _, data in photograph(place.tree).values())


def test_what_a_token_cannot_do_is_said(place: TeamCluster) -> None:
    result = place.run(
        "access",
        "token",
        "--service-account",
        "web/other",
        "--audience",
        "vault",
        "--audience",
        "s3",
        "-C",
        place.tree,
    )
    claims = jwt.decode(result.out.strip(), key_set(place), algorithms=["ES256"]).claims
    assert claims["aud"] == ["vault", "s3"]
    assert claims["kubernetes.io"]["serviceaccount"] == {"name": "other"}
    for said in (
        "warning: it has no UID, so the API server refuses it",
        "kubectl -n web get serviceaccount other -o jsonpath='{.metadata.uid}'",
        "the API server itself refuses it: it is for other audiences",
        "bound to no Pod",
    ):
        assert said in result.err


def test_a_kubeconfig_instead(place: TeamCluster) -> None:
    out = place.folder / "t.conf"
    result = place.run(
        "access",
        "token",
        "--service-account",
        "web/deployer",
        "--kubeconfig",
        out,
        "--uid",
        UID,
        place.spec,
        "-C",
        place.tree,
    )
    assert (result.code, result.out) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert yaml.safe_load(out.read_text())["contexts"][0]["context"]["namespace"] == "web"
    assert tokens.is_signed_by(_read(token_of(out)), (place.tree / "pki/sa.pub").read_bytes())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--service-account", "deployer"], "must be a namespace, a slash and a name"),
        (["--service-account", "a.b/c"], "must be a namespace, a slash and a name"),
        (["--service-account", "web/Deployer"], "must be a namespace, a slash and a name"),
        (["--service-account", f"web/{'a' * 254}"], "must be a namespace, a slash and a name"),
        (["--service-account", "web/a..b"], "must be a namespace, a slash and a name"),
        (["--service-account", f"{'a' * 64}/x"], "must be a namespace, a slash and a name"),
        (["--service-account", "web/x", "--uid", "7"], "--uid must be an object's UID"),
        (["--service-account", "web/x", "--validity", "1"], "--validity must be a duration"),
        (["--service-account", "web/x", "--validity", "0s"], "--validity must be longer than zero"),
        (
            ["--service-account", "web/x", "--validity", "8761h"],
            "longer than 8760h, the limit of this cluster",
        ),
        (["--service-account", "web/x", "--audience", ""], "--audience must be printable text"),
        (["--service-account", "web/x", "--audience", "a\nb"], "--audience must be printable text"),
    ],
)
def test_wrong_usage(place: TeamCluster, options: list[str], said: str) -> None:
    before = photograph(place.tree)
    result = place.run("access", "token", *options, "-C", place.tree)
    assert (result.code, result.out) == (2, "")
    assert said in result.error
    assert photograph(place.tree) == before


def test_the_name_of_an_account_is_a_subdomain_and_no_label(place: TeamCluster) -> None:
    """Only the whole name has a limit, of 253 characters (`IsDNS1123Subdomain`)."""
    for name in ("a" * 253, f"{'a' * 100}.b-c"):
        result = place.run("access", "token", "--service-account", f"web/{name}", "-C", place.tree)
        assert result.code == 0
        token = tokens.read(result.out.strip())
        assert isinstance(token, tokens.Token)
        assert token.claims["sub"] == f"system:serviceaccount:web:{name}"


def test_a_token_ends_before_the_key_that_signed_it_may_go(place: TeamCluster) -> None:
    longest = ("access", "token", "--service-account", "web/x", "--validity", "8760h")
    assert place.run(*longest, "-C", place.tree).code == 0
    place.replace("  users:\n", "  serviceAccounts: {maxTokenLifetime: 24h}\n  users:\n")
    refused = place.run(*longest, place.spec, "-C", place.tree)
    assert refused.code == 2
    assert "spec.users[3].validity: is longer than spec.serviceAccounts.maxTokenLifetime (24h)" in refused.err
    place.replace(f", uid: {UID}", f", validity: 24h, uid: {UID}")
    place.replace("namespace: web}\n  iam", "namespace: web, validity: 1h}\n  iam")
    refused = place.run(*longest, place.spec, "-C", place.tree)
    assert refused.error == "--validity is longer than 24h, the limit of this cluster"
    out = place.folder / "none" / "t.conf"
    before = photograph(place.tree)
    options = ("access", "token", "--service-account", "web/deployer", "--kubeconfig", out, "-C", place.tree)
    assert "cannot be written" in place.run(*options).error
    assert photograph(place.tree) == before, "no token is on record that nobody got"


def test_the_issuer_and_the_audiences_of_the_api_server(place: TeamCluster) -> None:
    flags = (
        "  apiServer: {extraArgs: ["
        "{name: service-account-issuer, value: https://oidc.example.com}, "
        "{name: service-account-issuer, value: https://old.example.com}, "
        "{name: service-account-jwks-uri, value: https://oidc.example.com/keys}]}\n  nodes:\n"
    )
    place.replace("  nodes:\n", flags)
    assert place.run("apply", place.spec, "-C", place.tree, "--yes").code == 0
    claims = _read(token_of(place.tree / CONF)).claims
    assert claims["iss"] == "https://oidc.example.com"
    assert claims["aud"] == ["https://oidc.example.com", "https://old.example.com"]
    found = place.run("access", "oidc", "configuration", "-C", place.tree).json
    assert (found["issuer"], found["jwks_uri"]) == (
        "https://oidc.example.com",
        "https://oidc.example.com/keys",
    )
    place.replace("{name: service-account-jwks-uri,", "{name: api-audiences, value: 'a,b'}, {name: v,")
    place.replace("value: https://oidc.example.com/keys}", "value: '2'}")
    assert place.run("apply", place.spec, "-C", place.tree, "--yes").code == 0
    assert _read(token_of(place.tree / CONF)).claims["aud"] == ["a", "b"]
    place.assert_clean()


# -- declared accounts -------------------------------------------------------------------------------------


def plan(place: TeamCluster) -> dict[str, Any]:
    result = place.run("plan", place.spec, "-C", place.tree, "-o", "json")
    content: dict[str, Any] = result.json
    return {action["id"]: (action["action"], action["reason"]) for action in content["actions"]}


def test_a_declared_account_has_a_kubeconfig_that_only_its_owner_reads(place: TeamCluster) -> None:
    assert stat.S_IMODE((place.tree / CONF).stat().st_mode) == 0o600
    token = _read(token_of(place.tree / CONF))
    assert token.expires == NOW + timedelta(days=30)
    addon = list(yaml.safe_load_all((place.tree / "addons/user-web.deployer.yaml").read_text()))
    assert [each["kind"] for each in addon if each] == ["ServiceAccount", "RoleBinding"]
    assert addon[-1]["subjects"] == [{"kind": "ServiceAccount", "name": "deployer", "namespace": "web"}]
    assert not (place.tree / "users/web.robot.conf").exists()
    assert "kind: ServiceAccount" in (place.tree / "addons/user-web.robot.yaml").read_text()
    assert "token" not in (place.tree / "pki.lock").read_text()


def test_status_shows_when_a_token_ends(place: TeamCluster) -> None:
    rows = place.run("status", "-C", place.tree, "-o", "json").json["certificates"]
    (row,) = [row for row in rows if row["id"] == "serviceaccount:web:deployer"]
    assert (row["expires"], row["path"]) == ("2026-12-22T03:00:00Z", CONF)
    metrics = place.run("status", "-C", place.tree, "-o", "prometheus").out
    assert f'id="serviceaccount:web:deployer"}} {int((NOW + timedelta(days=30)).timestamp())}' in metrics
    assert f'x509_read_errors{{cluster="team",directory="{place.tree}"}} 0' in metrics
    place.pkigen.now = NOW + timedelta(days=29)
    assert place.run("status", "-C", place.tree, "--fail-within", "48h").code == 4


DAMAGE: dict[str, Callable[[str, str], str]] = {
    "server": lambda text, _: text.replace("10.0.0.11", "10.0.0.12"),
    "no token": lambda text, _: text.replace("    token:", "    other:"),
    "signature": lambda text, token: text.replace(token, token[:-6] + "AAAAAA"),
    "no jwt": lambda text, token: text.replace(token, "abc"),
    "damaged": lambda text, token: text.replace(token, "a.b.c"),
    "long": lambda text, token: text.replace(token, f"{token}{'A' * tokens.LONGEST_TOKEN}"),
    "no end": lambda text, token: text.replace(token, _jwt({"alg": "ES256"}, {})),
}


OTHERWISE: dict[str, Callable[[TeamCluster], object]] = {
    "missing": lambda place: (place.tree / CONF).unlink(),
    "mode": lambda place: (place.tree / CONF).chmod(0o644),
    "uid": lambda place: place.replace(UID, UID.replace("3f", "4f")),
    "expired": lambda place: place.at(NOW + timedelta(days=31)),
    "soon": lambda place: place.at(NOW + timedelta(days=21)),
    "not declared": lambda place: place.replace(f", uid: {UID}", ""),
}


def _damage(place: TeamCluster, how: str) -> None:
    if how in OTHERWISE:
        OTHERWISE[how](place)
        return
    path = place.tree / CONF
    path.write_text(DAMAGE[how](path.read_text(), token_of(path)))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("missing", ("create", "missing")),
        ("mode", ("rewrite", "mode")),
        ("server", ("rewrite", "content-changed")),
        ("no token", ("reissue", "unreadable")),
        ("signature", ("reissue", "unknown-issuer")),
        ("no jwt", ("reissue", "unreadable")),
        ("damaged", ("reissue", "unreadable")),
        ("long", ("reissue", "unreadable")),
        ("no end", ("reissue", "unknown-issuer")),
        ("uid", ("reissue", "subject-changed")),
        ("expired", ("renew", "expired")),
        ("soon", ("renew", "expires-soon")),
        ("not declared", None),
    ],
)
def test_plans_keep_a_token_in_date(place: TeamCluster, how: str, expected: tuple[str, str] | None) -> None:
    before = token_of(place.tree / CONF)
    _damage(place, how)
    found = plan(place)
    if expected is None:
        assert found[CONF] == ("remove", "not-wanted")
    else:
        assert found["serviceaccount:web:deployer"] == expected
    assert place.run("apply", place.spec, "-C", place.tree, "--yes").code == 0
    assert plan(place) == {}
    assert (place.tree / CONF).exists() == (expected is not None)
    if expected is not None:
        same = token_of(place.tree / CONF) == before
        assert same == (expected[0] == "rewrite")
        assert stat.S_IMODE((place.tree / CONF).stat().st_mode) == 0o600


def resigned(place: TeamCluster, **changes: int | None) -> None:
    """The same token with other times, signed by the true key, as whoever had it once could."""
    path = place.tree / CONF
    text, old = path.read_text(), token_of(path)
    key = ECKey.import_key((place.tree / "pki/sa.key").read_bytes())
    claims = {name: value for name, value in (_read(old).claims | changes).items() if value is not None}
    header = {"alg": "ES256", "kid": _read(old).key_id}
    path.write_text(text.replace(old, jwt.encode(header, claims, key, default_type=None)))


AT_NOW, DAYS = int(NOW.timestamp()), 86400


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": AT_NOW + 365 * DAYS}, None),
        ({"exp": AT_NOW + 365 * DAYS + 1}, "lives-too-long"),
        ({"exp": AT_NOW + 3650 * DAYS}, "lives-too-long"),
        ({"exp": 253402300799}, "lives-too-long"),
        ({"exp": AT_NOW + 300 * DAYS, "nbf": AT_NOW - 100 * DAYS}, "lives-too-long"),
        ({"exp": AT_NOW + 400 * DAYS, "nbf": None}, "lives-too-long"),
        ({"exp": AT_NOW + 300 * DAYS, "nbf": None}, None),
        ({"nbf": AT_NOW + 60}, None),
        ({"nbf": AT_NOW + 61}, "not-yet-valid"),
        ({"nbf": AT_NOW + 365 * DAYS, "exp": AT_NOW + 366 * DAYS}, "not-yet-valid"),
        ({"exp": None}, "unreadable"),
        ({"exp": 10**18}, "unreadable"),
    ],
)
def test_times_that_no_token_of_ours_has_are_a_finding(
    place: TeamCluster, changes: dict[str, int | None], reason: str | None
) -> None:
    resigned(place, **changes)
    verified = place.run("verify", "-C", place.tree)
    assert verified.code == (0 if reason is None else 4), verified
    assert (f"serviceaccount:web:deployer: {reason}: its token " in verified.out) == (reason is not None)
    if reason is not None:
        assert plan(place)["serviceaccount:web:deployer"] == ("reissue", reason)
        assert place.run("apply", place.spec, "-C", place.tree, "--yes").code == 0
    assert place.run("verify", "-C", place.tree).code == 0


def test_a_bound_that_is_lowered_is_for_tokens_that_are_there_too(place: TeamCluster) -> None:
    resigned(place, exp=AT_NOW + 300 * DAYS)
    place.replace("  nodes:\n", "  serviceAccounts: {maxTokenLifetime: 2400h}\n  nodes:\n")
    verified = place.run("verify", "-C", place.tree, place.spec)
    assert (
        "expires 2027-09-18 03:00 UTC, 300d after it becomes valid, and serviceAccounts.maxTokenLifetime is "
        "2400h" in (verified.out)
    )


def test_a_token_can_be_asked_for_and_follows_a_rotation_of_its_key(place: TeamCluster) -> None:
    rotate = ("rotate", "sa", place.spec, "-C", place.tree, "--yes")
    first = token_of(place.tree / CONF)
    assert place.run(*rotate).code == 0
    assert token_of(place.tree / CONF) == first
    assert len(place.run("access", "oidc", "jwks", "-C", place.tree).json["keys"]) == 2
    assert plan(place) == {}
    promoted = place.run(*rotate, "--assume-distributed")
    assert promoted.code == 0, promoted.err
    second = token_of(place.tree / CONF)
    assert second != first
    keys = key_set(place)
    # `promote` changes no flag (inventory.accepted_sa_keys), and so not the order either.
    assert [key.kid for key in keys.keys] == [_read(first).key_id, _read(second).key_id]
    for token in (first, second):
        jwt.decode(token, keys, algorithms=["ES256"])
    said = place.run("access", "token", "--service-account", "web/deployer", "-C", place.tree).err
    assert "API servers that lack the promoted key refuse it" in said


def test_a_token_is_renewed_when_asked_for(place: TeamCluster) -> None:
    first = token_of(place.tree / CONF)
    renew = ("renew", place.spec, "-C", place.tree, "--yes")
    assert place.run(*renew, "serviceaccount:web:deployer").code == 0
    second = token_of(place.tree / CONF)
    assert second != first
    assert place.run(*renew, "--all").code == 0
    assert token_of(place.tree / CONF) != second
    assert (
        place.run(*renew, "serviceaccount:web:deploier").hint == "did you mean serviceaccount:web:deployer?"
    )


def test_the_same_clock_and_randomness_give_the_same_token(place: TeamCluster) -> None:
    system = System(clock=lambda: NOW, entropy=lambda count: bytes(range(count)))
    arguments = ("access", "token", "--service-account", "web/deployer", "-C", place.tree)
    assert place.pkigen(*arguments, system=system).out == place.pkigen(*arguments, system=system).out


def test_a_key_that_is_made_anew_signs_every_token_anew(place: TeamCluster) -> None:
    (place.tree / "pki/sa.key").unlink()
    assert plan(place)["serviceaccount:web:deployer"] == ("reissue", "issuer-replaced")


def _jwt(*parts: object) -> str:
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join((*encoded, "AA"))


def _read(text: str) -> tokens.Token:
    found = tokens.read(text)
    assert isinstance(found, tokens.Token), found
    return found
