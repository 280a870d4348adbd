"""The OIDC discovery documents, as the API server serves them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkigen.crypto.keys import private_pem, public_pem

if TYPE_CHECKING:
    from pkigen.crypto.keys import PrivateKey
    from tests.access.team_cluster import TeamCluster

ISSUER = "https://kubernetes.default.svc.cluster.local"


# -- the discovery documents -------------------------------------------------------------------------------


def test_the_documents_are_written_where_verifiers_look(place: TeamCluster) -> None:
    out = place.folder / "www"
    result = place.run(
        "access", "oidc", "write", "-C", place.tree, "--out", out, "--jwks-uri", "https://oidc.example/keys"
    )
    assert result.out.splitlines() == [
        f"{out}/.well-known/openid-configuration",
        f"{out}/openid/v1/jwks",
    ]
    configuration = json.loads((out / ".well-known/openid-configuration").read_text())
    assert configuration == {
        "issuer": ISSUER,
        "jwks_uri": "https://oidc.example/keys",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    assert "publish" in result.err
    default = place.run("access", "oidc", "configuration", "-C", place.tree).json
    assert default["jwks_uri"] == "https://10.0.0.11:6443/openid/v1/jwks"
    assert place.run("access", "oidc", "configuration", "-C", place.tree, "--jwks-uri", "http://x").code == 1


def exchange(place: TeamCluster, key: PrivateKey) -> None:
    (place.tree / "pki/sa.key").write_bytes(private_pem(key))
    (place.tree / "pki/sa.pub").write_bytes(public_pem(key))


def test_nobody_is_told_to_believe_a_key_that_is_not_recorded(place: TeamCluster) -> None:
    before = place.run("access", "oidc", "jwks", "-C", place.tree).json
    kept = (place.tree / "pki/sa.pub").read_bytes()
    exchange(place, ec.generate_private_key(ec.SECP256R1()))
    out = place.folder / "www"
    for command in (("jwks",), ("configuration",), ("write", "--out", out)):
        refused = place.run("access", "oidc", *command, "-C", place.tree)
        assert (refused.code, refused.out) == (1, "")
        assert refused.error == "pki/sa.pub is another key than the one that is recorded"
    assert not out.exists()
    # In a checkout there is no private key to compare.
    (place.tree / "pki/sa.key").unlink()
    assert place.run("access", "oidc", "jwks", "-C", place.tree).code == 1
    (place.tree / "pki/sa.pub").write_bytes(kept)
    assert place.run("access", "oidc", "jwks", "-C", place.tree).json == before


def test_rsa_keys_are_published_as_go_jose_writes_them(place: TeamCluster) -> None:
    key = rsa.generate_private_key(65537, 2048)
    exchange(place, key)
    assert place.run("apply", "--yes", "--force", "-C", place.tree).code == 0
    (published,) = place.run("access", "oidc", "jwks", "-C", place.tree).json["keys"]
    assert list(published) == ["use", "kty", "kid", "alg", "n", "e"]
    assert (published["alg"], published["e"]) == ("RS256", "AQAB")
    assert (
        int.from_bytes(base64.urlsafe_b64decode(published["n"] + "=="), "big")
        == key.public_key().public_numbers().n
    )


def test_keys_that_cannot_be_published(place: TeamCluster) -> None:
    (place.tree / "pki/sa.pub").write_text("x")
    assert "is not a PEM public key" in place.run("access", "oidc", "jwks", "-C", place.tree).error
    (place.tree / "pki/sa.pub").unlink()
    assert place.run("access", "oidc", "jwks", "-C", place.tree).error == "pki/sa.pub is missing"


@pytest.mark.parametrize("linked", [".well-known", "openid", "openid/v1", "openid/v1/jwks"])
def test_the_documents_stay_below_their_directory(place: TeamCluster, linked: str) -> None:
    out, outside = place.folder / "www", place.folder / "outside"
    outside.mkdir()
    (out / linked).parent.mkdir(parents=True)
    (out / linked).symlink_to(outside)
    failed = place.run(
        "access", "oidc", "write", "-C", place.tree, "--out", out, "--jwks-uri", "https://oidc.example/keys"
    )
    assert (failed.code, failed.error) == (1, f"{out / linked} is a symbolic link")
    assert list(outside.iterdir()) == []
