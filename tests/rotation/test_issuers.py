"""The connection of API servers to issuers of tokens: no proof sees it, and every step says so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.rotation.issuers import issuer_premises, issuer_risks
from pkigen.rotation.step_names import RotationStep
from tests.rotation.phases import NOW, SMALL, Photograph, Workshop, spec_text
from tests.samples import spec

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.desired.inventory import Inventory

URL = "https://login.example.org"
PREPARED, PROMOTED = Phase.PREPARED, Phase.PROMOTED
UNSEEN = f"the server of the issuer {URL} is not in the proof"
GONE = f"the server of the issuer {URL} shows no certificate that the "
RISK = "spec.authentication.jwt people names the certificate of one generation of "


def issuer(authority: str | None) -> dict[str, Any]:
    return {
        "jwt": [
            {
                "name": "people",
                "issuer": {"url": URL, "audiences": ["k"], "certificateAuthority": authority},
                "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}},
            }
        ]
    }


def inventory(authority: str | None, phases: dict[str, Phase]) -> Inventory:
    return derive(spec(authentication=issuer(authority)), Rotations(phases=phases))


def pem(name: str) -> str:
    key, subject = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
    )
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("authority", "what", "phases", "step", "expected"),
    [
        ("cluster", "ca", {}, RotationStep.PREPARE, UNSEEN),
        ("cluster", "ca", {"ca": PREPARED}, RotationStep.PROMOTE, UNSEEN),
        ("cluster", "ca", {"ca": PROMOTED}, RotationStep.FINISH, f"{GONE}previous ca has signed"),
        ("cluster", "ca", {"ca": PREPARED}, RotationStep.ROLLBACK, f"{GONE}next ca has signed"),
        ("cluster", "ca", {"ca": PROMOTED}, RotationStep.ROLLBACK, UNSEEN),
        ("cluster", "etcd-ca", {"etcd-ca": PROMOTED}, RotationStep.FINISH, ""),
        (None, "ca", {"ca": PROMOTED}, RotationStep.FINISH, ""),
    ],
)
def test_the_issuers_certificate_is_assumed(
    authority: str | None, what: str, phases: dict[str, Phase], step: RotationStep, expected: str
) -> None:
    found = list(issuer_premises(inventory(authority, phases), (what,), step))
    assert [each[: len(expected)] for each in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("names", "what", "phases", "step", "is_risk"),
    [
        (["current"], "ca", {}, RotationStep.PREPARE, True),
        (["current"], "ca", {"ca": PREPARED}, RotationStep.PROMOTE, True),
        (["current", "next"], "ca", {"ca": PREPARED}, RotationStep.PROMOTE, False),
        (["previous"], "ca", {"ca": PROMOTED}, RotationStep.FINISH, True),
        (["previous", "current"], "ca", {"ca": PROMOTED}, RotationStep.FINISH, False),
        (["current"], "ca", {"ca": PROMOTED}, RotationStep.ROLLBACK, True),
        (["current"], "ca", {"ca": PREPARED}, RotationStep.ROLLBACK, False),
        (["etcd"], "etcd-ca", {"etcd-ca": PREPARED}, RotationStep.PROMOTE, True),
        (["etcd"], "ca", {"ca": PREPARED}, RotationStep.PROMOTE, False),
        (["other"], "ca", {"ca": PREPARED}, RotationStep.PROMOTE, False),
    ],
)
def test_a_ca_that_is_written_down_stays_as_it_is(
    names: list[str], what: str, phases: dict[str, Phase], step: RotationStep, *, is_risk: bool
) -> None:
    pems = {name: pem(name) for name in ("previous", "current", "next", "etcd", "other")}
    files = {"pki/ca.crt": "current", "pki/etcd/ca.crt": "etcd"}
    if phases.get("ca") is PREPARED:
        files["pki/ca-next.crt"] = "next"
    if phases.get("ca") is PROMOTED:
        files["pki/ca-previous.crt"] = "previous"
    reader = Photograph({path: pems[name].encode() for path, name in files.items()})
    cluster = inventory("".join(pems[name] for name in names), phases)
    found = list(issuer_risks(cluster, reader, (what,), step))
    assert [each[: len(RISK + what)] for each in found] == ([RISK + what] if is_risk else [])


@pytest.mark.parametrize("authority", [None, "cluster"])
def test_where_no_certificate_is_written_down_there_is_no_risk(authority: str | None) -> None:
    reader = Photograph({"pki/ca.crt": pem("current").encode()})
    cluster = inventory(authority, {"ca": PREPARED})
    assert list(issuer_risks(cluster, reader, ("ca",), RotationStep.PROMOTE)) == []


@pytest.mark.parametrize(
    ("what", "file", "way_out"),
    [
        ("ca", "pki/ca.crt", "write certificateAuthority: cluster"),
        ("etcd-ca", "pki/etcd/ca.crt", "add the other generation's"),
        ("front-proxy-ca", "pki/front-proxy-ca.crt", "add the other generation's"),
    ],
)
def test_the_way_out_is_the_clusters_name_for_its_ca_alone(what: str, file: str, way_out: str) -> None:
    current = pem("current")
    reader = Photograph({file: current.encode()})
    (risk,) = issuer_risks(inventory(current, {}), reader, (what,), RotationStep.PREPARE)
    assert risk.endswith(f"the server of {URL} once its certificate is of the other generation; {way_out}")


def test_a_step_shows_both(tmp_path: Path) -> None:
    nodes = {"nodes": SMALL["nodes"][:1]}
    workshop = Workshop(place=tmp_path).made(
        spec_text({**SMALL, **nodes, "authentication": issuer("cluster")})
    )
    workshop.step("ca kubernetes", "prepare")
    result = workshop.step("ca kubernetes", "promote")
    assert f"assumed: {UNSEEN}" in " ".join(result.err.split())
