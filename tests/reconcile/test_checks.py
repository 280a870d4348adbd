"""One case for each reason why a certificate is not what it must be."""

from __future__ import annotations

import base64
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from pkigen.desired.generations import CA
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import (
    ADMIN,
    API,
    MINUTE,
    PKI,
    TreeCase,
    assert_planned,
    assert_put_right,
    edit,
    follow,
    reissued,
    signer,
    stranger,
    without_extension,
)
from tests.samples import CP1, CP2, CP3, ENDPOINT, W1, W2, World, spec

if TYPE_CHECKING:
    from pathlib import Path


EKU = x509.ExtendedKeyUsage.oid
CASES: dict[str, TreeCase] = {
    "missing": (
        lambda w: w.path(f"{API}.crt").unlink(),
        "cp-1/apiserver",
        "create",
        Reason.MISSING,
        f"{API}.crt is missing",
    ),
    "missing-kubeconfig": (
        lambda w: w.path(ADMIN).unlink(),
        "cp-1/admin.conf",
        "create",
        Reason.MISSING,
        f"{ADMIN} is missing",
    ),
    "unreadable": (
        lambda w: w.path(f"{API}.crt").write_bytes(b"\xff\x00"),
        "cp-1/apiserver",
        "reissue",
        Reason.UNREADABLE,
        f"{API}.crt holds no PEM certificates",
    ),
    "unreadable-empty": (
        lambda w: w.path(f"{API}.crt").write_bytes(b""),
        "cp-1/apiserver",
        "reissue",
        Reason.UNREADABLE,
        f"{API}.crt is empty",
    ),
    "unreadable-kubeconfig": (
        lambda w: w.path(ADMIN).write_bytes(b"apiVersion: v1\n"),
        "cp-1/admin.conf",
        "reissue",
        Reason.UNREADABLE,
        "is not a kubeconfig with an embedded client certificate",
    ),
    "key-missing": (
        lambda w: w.path(f"{API}.key").unlink(),
        "cp-1/apiserver",
        "reissue",
        Reason.KEY_MISSING,
        f"private key {API}.key is missing",
    ),
    "key-missing-in-kubeconfig": (
        lambda w: edit(w, ADMIN, b"client-key-data", b"client-kex-data"),
        "cp-1/admin.conf",
        "reissue",
        Reason.KEY_MISSING,
        f"private key {ADMIN} has no embedded client key",
    ),
    "key-unreadable": (
        lambda w: w.path(f"{API}.key").write_bytes(b"nothing"),
        "cp-1/apiserver",
        "reissue",
        Reason.KEY_UNREADABLE,
        f"private key {API}.key is not a PEM private key",
    ),
    "key-mismatch": (
        lambda w: shutil.copy(w.path(f"{PKI}/front-proxy-client.key"), w.path(f"{API}.key")),
        "cp-1/apiserver",
        "reissue",
        Reason.KEY_MISMATCH,
        "private key does not match the certificate's ECDSA-P256 key",
    ),
    "unknown-issuer": (
        lambda w: reissued(w, "cp-1/apiserver", issuer=stranger()),
        "cp-1/apiserver",
        "reissue",
        Reason.UNKNOWN_ISSUER,
        "signed by an unknown CA named 'CN=kubernetes', not by ca",
    ),
    "issuer-replaced": (
        lambda w: [w.path(f"pki/front-proxy-ca.{kind}").unlink() for kind in ("crt", "key")],
        "cp-1/front-proxy-client",
        "reissue",
        Reason.ISSUER_REPLACED,
        "its CA front-proxy-ca is replaced",
    ),
    "subject-changed": (
        lambda w: (
            follow(w, users=[{"name": "dev1"}]),
            w.apply(),
            follow(w, users=[{"name": "dev1", "groups": ["ops"]}]),
        ),
        "user:dev1",
        "reissue",
        Reason.SUBJECT_CHANGED,
        "subject - CN=dev1 + CN=dev1,O=ops",
    ),
    "sans-changed": (
        lambda w: follow(w, {**CP1, "certSANs": ["api2.example.com"]}, W1),
        "cp-1/apiserver",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs + api2.example.com",
    ),
    "sans-both-ways": (
        lambda w: follow(w, {**CP1, "addresses": ["10.0.0.9"]}, W1),
        "cp-1/kubelet-serving",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs + 10.0.0.9 - 10.0.0.11",
    ),
    "sans-of-another-kind": (
        lambda w: reissued(w, "cp-1/kubelet-serving", change=addresses_as_names),
        "cp-1/kubelet-serving",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs + 10.0.0.11 - DNS:10.0.0.11",
    ),
    "sans-critical": (
        lambda w: reissued(w, "cp-1/kubelet-serving", change=critical_names),
        "cp-1/kubelet-serving",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs are critical, must not be",
    ),
    "extensions-changed": (
        lambda w: reissued(w, "cp-1/apiserver", change=without_extension(EKU)),
        "cp-1/apiserver",
        "reissue",
        Reason.EXTENSIONS_CHANGED,
        "differs in extendedKeyUsage",
    ),
    "algorithm-changed": (
        lambda w: follow(w, certificates={"overrides": {"apiserver": {"keyAlgorithm": "ECDSA-P384"}}}),
        "cp-1/apiserver",
        "reissue",
        Reason.ALGORITHM_CHANGED,
        "key algorithm - ECDSA-P256 + ECDSA-P384",
    ),
    "chain-changed": (
        lambda w: reissued(w, "cp-1/apiserver", chain=(signer(w, CA.KUBERNETES).certificate,)),
        "cp-1/apiserver",
        "rewrite",
        Reason.CHAIN_CHANGED,
        "holds 1 certificates after its own, must hold the 0 between it and its trust anchor",
    ),
    "outlives-issuer": (
        lambda w: reissued(w, "cp-1/apiserver", change=lambda b: outliving(w, b)),
        "cp-1/apiserver",
        "reissue",
        Reason.OUTLIVES_ISSUER,
        "expires 2036-03-01 12:00 UTC, after its CA (2036-02-27 12:00 UTC)",
    ),
    "not-yet-valid": (
        lambda w: reissued(w, "cp-1/apiserver", begin=timedelta(days=2)),
        "cp-1/apiserver",
        "reissue",
        Reason.NOT_YET_VALID,
        "is not valid before 2026-03-03 11:55 UTC, in the future: check this machine's clock",
    ),
    "expired": (
        lambda w: reissued(w, "cp-1/apiserver", begin=-4 * MINUTE, validity=MINUTE),
        "cp-1/apiserver",
        "renew",
        Reason.EXPIRED,
        "expired 2026-03-01 11:57 UTC",
    ),
    "expires-soon": (
        lambda w: reissued(w, "cp-1/apiserver", validity=timedelta(days=29, hours=5)),
        "cp-1/apiserver",
        "renew",
        Reason.EXPIRES_SOON,
        "expires 2026-03-30 17:00 UTC, in 29d",
    ),
}


def addresses_as_names(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    names = x509.SubjectAlternativeName([x509.DNSName("cp-1"), x509.DNSName("10.0.0.11")])
    return without_extension(names.oid)(builder).add_extension(names, critical=False)


def critical_names(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    oid = x509.SubjectAlternativeName.oid
    names = next(each.value for each in builder._extensions if each.oid == oid)  # noqa: SLF001
    return without_extension(oid)(builder).add_extension(names, critical=True)


def outliving(world: World, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    end = signer(world, CA.KUBERNETES).certificate.not_valid_after_utc + timedelta(days=3)
    builder._not_valid_after = end.replace(tzinfo=None)  # noqa: SLF001 -- it can be set only once
    return builder


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    assert_planned(world, CASES[name])
    assert_put_right(world, CASES[name])


def test_certificates_swapped_between_nodes(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, CP2, CP3, W1, W2, **ENDPOINT))
    world.apply()
    path = "nodes/{}/var/lib/kubelet/pki/kubelet.{}"
    for kind in ("crt", "key"):
        one, other = (world.path(path.format(name, kind)) for name in ("worker-1", "worker-2"))
        first = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(first)
    changes = {action.id: action for action in world.plan().changes}
    assert set(changes) == {"worker-1/kubelet-serving", "worker-2/kubelet-serving"}
    assert changes["worker-1/kubelet-serving"].details == (
        "subject - CN=system:node:worker-2,O=system:nodes + CN=system:node:worker-1,O=system:nodes",
        "SANs + worker-1 + 10.0.0.21 - worker-2 - 10.0.0.22",
    )


def test_everything_that_is_wrong_is_told_and_the_weightiest_decides(world: World) -> None:
    reissued(world, "cp-1/kubelet-serving", begin=-4 * MINUTE, validity=MINUTE, change=critical_names)
    action = next(each for each in world.plan().changes if each.id == "cp-1/kubelet-serving")
    assert (action.verb, action.reason) == ("reissue", Reason.SANS_CHANGED)
    assert action.details == ("SANs are critical, must not be", "expired 2026-03-01 11:57 UTC")


def test_embedded_data_is_really_compared(world: World) -> None:
    """Another user's certificate and key in admin.conf, which belong together: the subject tells."""
    stolen = world.read("nodes/cp-1/etc/kubernetes/super-admin.conf")
    world.path(ADMIN).write_bytes(stolen)
    action = next(each for each in world.plan().changes if each.id == "cp-1/admin.conf")
    assert action.reason is Reason.SUBJECT_CHANGED
    assert base64.b64encode(world.pem("cp-1/admin.conf")) in stolen
