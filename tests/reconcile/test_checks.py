"""One case for each reason why a certificate is not what it must be."""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.crypto.issuance import CertificateContent, Issuer, issue
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA
from pkigen.desired.inventory import derive
from pkigen.desired.items import content_of
from pkigen.reconcile.checks import Case, examine
from pkigen.state.observed import Fault, FaultKind, ObservedCertificate
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
from tests.samples import CP1, CP2, CP3, ENDPOINT, NOW, W1, W2, World, spec

if TYPE_CHECKING:
    from datetime import datetime
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


# -- without a directory ----------------------------------------------------------------------------------

DAY = timedelta(days=1)
ITEM = derive(spec(CP1)).certificates["cp-1/apiserver"]
CONTENT = content_of(ITEM)
OURS, THEIRS = stranger(), stranger()
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP384R1())


def made(
    content: CertificateContent = CONTENT,
    *,
    key: ec.EllipticCurvePrivateKey = KEY,
    issuer: Issuer | None = OURS,
    now: datetime = NOW,
) -> x509.Certificate:
    return issue(content, key=key, issuer=issuer, now=now, entropy=os.urandom).certificate


LEAF = made()
SEEN = ObservedCertificate(
    certificate=LEAF,
    chain=(),
    public_key=public_der(KEY.public_key()),
    certificate_fault=None,
    key_fault=None,
    modes=(),
)
SOUND = Case(
    desired=ITEM, observed=SEEN, issuer=OURS.certificate, issuer_replaced=False, chain=(), now=NOW + DAY
)
END = LEAF.not_valid_after_utc
OFFSITE = replace(SOUND, desired=derive(spec(CP1, certificates={"nodeKeys": "node"})).certificates[ITEM.id])
ROOT = replace(
    SOUND,
    desired=derive(spec(CP1)).certificates["ca"],
    observed=replace(SEEN, certificate=OURS.certificate, public_key=public_der(OURS.key.public_key())),
    issuer=None,
)


def reasons_of(case: Case, **observed: object) -> list[str]:
    seen = replace(case.observed, **observed)  # type: ignore[arg-type]
    return [finding.reason.value for finding in examine(replace(case, observed=seen))]


def detail_of(case: Case, **observed: object) -> str:
    seen = replace(case.observed, **observed)  # type: ignore[arg-type]
    (finding,) = examine(replace(case, observed=seen))
    return finding.detail


def fault(kind: FaultKind) -> Fault:
    return Fault(path="x.crt", kind=kind, message="is so")


NOTHING = {"certificate": None, "public_key": None}
GONE, TORN = fault(FaultKind.MISSING), fault(FaultKind.UNREADABLE)


def test_of_what_is_right_nothing_is_found() -> None:
    assert examine(SOUND) == examine(OFFSITE) == examine(ROOT) == ()


def test_what_is_not_there_is_told_and_nothing_else() -> None:
    assert reasons_of(SOUND, **NOTHING, certificate_fault=GONE, key_fault=GONE) == ["missing"]
    assert detail_of(SOUND, **NOTHING, certificate_fault=GONE, key_fault=GONE) == "x.crt is so"
    assert reasons_of(SOUND, **NOTHING, certificate_fault=TORN, key_fault=TORN) == [
        "unreadable",
        "key-unreadable",
    ]
    assert reasons_of(SOUND, certificate=None, certificate_fault=TORN) == ["unreadable"]
    assert reasons_of(SOUND, public_key=None, key_fault=GONE) == ["key-missing"]
    assert detail_of(SOUND, public_key=None, key_fault=TORN) == "private key x.crt is so"
    # A CA that is replaced is no news of what has never been.
    replaced = replace(SOUND, issuer=None, issuer_replaced=True)
    assert reasons_of(replaced, **NOTHING, certificate_fault=GONE) == ["missing"]
    assert reasons_of(replaced, chain=(LEAF,)) == ["issuer-replaced"]
    assert reasons_of(SOUND, **NOTHING, certificate_fault=TORN, chain=(LEAF,)) == ["unreadable"]
    assert detail_of(replaced) == "its CA ca is replaced"


def test_a_key_elsewhere_is_asked_for_and_is_not_missed_here() -> None:
    assert reasons_of(OFFSITE, **NOTHING, certificate_fault=GONE, key_fault=GONE) == ["awaits-request"]
    replaced = replace(OFFSITE, issuer=None, issuer_replaced=True)
    assert reasons_of(replaced, **NOTHING, certificate_fault=GONE) == ["awaits-request"]
    assert "no request of cp-1 for it" in detail_of(OFFSITE, **NOTHING, certificate_fault=GONE)
    assert reasons_of(OFFSITE, **NOTHING, certificate_fault=TORN) == ["unreadable"]
    assert reasons_of(OFFSITE, public_key=None, key_fault=GONE) == []
    assert reasons_of(OFFSITE, public_key=public_der(OTHER_KEY.public_key())) == []
    assert reasons_of(SOUND, public_key=public_der(OTHER_KEY.public_key())) == ["key-mismatch"]
    assert "ECDSA-P256 key" in detail_of(SOUND, public_key=public_der(OTHER_KEY.public_key()))


def test_only_the_signature_tells_two_cas_of_one_name_apart() -> None:
    theirs = replace(SOUND, issuer=THEIRS.certificate)
    assert reasons_of(theirs)[0] == "unknown-issuer"
    before = replace(theirs, previous_issuer=OURS.certificate)
    assert reasons_of(before)[0] == "issuer-replaced"
    assert examine(before)[0].detail == "signed by the previous generation of ca"
    assert reasons_of(replace(SOUND, previous_issuer=THEIRS.certificate)) == []


def test_who_has_another_name_has_signed_nothing() -> None:
    elsewhere = replace(SOUND, issuer=LEAF)
    assert reasons_of(elsewhere)[0] == "unknown-issuer"
    assert reasons_of(replace(SOUND, previous_issuer=LEAF)) == []


def renumbered(certificate: x509.Certificate, number: str, other: str) -> x509.Certificate:
    """The same with another object identifier, which nobody gave out, wherever one stood."""
    der = certificate.public_bytes(Encoding.DER)
    assert bytes.fromhex(number) in der
    return x509.load_der_x509_certificate(der.replace(bytes.fromhex(number), bytes.fromhex(other)))


def that_can_sign_nothing() -> x509.Certificate:
    """A CA of our name whose key only agrees on keys (RFC 8410)."""
    ca = OURS.certificate
    builder = x509.CertificateBuilder(
        subject_name=ca.subject,
        issuer_name=ca.subject,
        public_key=x25519.X25519PrivateKey.generate().public_key(),
        serial_number=1,
        not_valid_before=ca.not_valid_before_utc,
        not_valid_after=ca.not_valid_after_utc,
    )
    return builder.sign(OURS.key, hashes.SHA256())


def test_a_signature_that_cannot_be_checked_is_nobody_s() -> None:
    """Neither id-ecPublicKey nor ecdsa-with-SHA256 (RFC 5480, RFC 5758), but numbers beside them."""
    of_no_known_kind = renumbered(OURS.certificate, "2a8648ce3d0201", "2a8648ce3d027f")
    oddly_signed = renumbered(LEAF, "2a8648ce3d040302", "2a8648ce3d04037f")
    for issuer in (of_no_known_kind, that_can_sign_nothing()):
        assert reasons_of(replace(SOUND, issuer=issuer))[0] == "unknown-issuer"
        assert reasons_of(replace(SOUND, previous_issuer=issuer)) == []
    assert reasons_of(SOUND, certificate=oddly_signed)[0] == "unknown-issuer"


def with_names(*names: x509.GeneralName, critical: bool) -> x509.Certificate:
    """The same with other names, which may be none."""
    builder = x509.CertificateBuilder(
        subject_name=LEAF.subject,
        issuer_name=LEAF.issuer,
        public_key=KEY.public_key(),
        serial_number=LEAF.serial_number,
        not_valid_before=LEAF.not_valid_before_utc,
        not_valid_after=LEAF.not_valid_after_utc,
    )
    for each in LEAF.extensions:
        if not isinstance(each.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(each.value, critical=each.critical)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
    return builder.sign(OURS.key, hashes.SHA256())  # type: ignore[arg-type]


def test_names_are_present_and_not_critical() -> None:
    own = LEAF.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert reasons_of(SOUND, certificate=with_names(*own, critical=False)) == []
    assert reasons_of(SOUND, certificate=with_names(*own, critical=True)) == ["sans-changed"]
    critical = with_names(*own, critical=True)
    assert detail_of(SOUND, certificate=critical) == "SANs are critical, must not be"
    nameless = replace(SOUND, desired=replace(ITEM, sans=SANs()))
    empty = with_names(critical=False)
    assert detail_of(nameless, certificate=empty) == "SANs are present, but empty"
    none = made(replace(CONTENT, sans=SANs()))
    assert reasons_of(nameless, certificate=none) == []
    assert reasons_of(SOUND, certificate=none) == ["sans-changed"]


def test_names_are_compared_as_sets_and_by_their_kind() -> None:
    sans, subject = CONTENT.sans, Subject(common_name="x")
    fewer = replace(CONTENT, sans=replace(sans, dns_names=sans.dns_names[1:]))
    assert reasons_of(SOUND, certificate=made(fewer)) == ["sans-changed"]
    assert detail_of(SOUND, certificate=made(fewer)) == f"SANs + {sans.dns_names[0]}"
    more = replace(CONTENT, sans=replace(sans, dns_names=(*sans.dns_names, "x")))
    assert detail_of(SOUND, certificate=made(more)) == "SANs - x"
    turned = replace(CONTENT, sans=replace(sans, dns_names=sans.dns_names[::-1]))
    assert reasons_of(SOUND, certificate=made(turned)) == []
    renamed = made(replace(CONTENT, subject=subject))
    assert reasons_of(SOUND, certificate=renamed) == ["subject-changed"]
    assert detail_of(SOUND, certificate=renamed) == f"subject - CN=x + {ITEM.subject}"


def test_key_usages_and_chain_are_those_of_the_spec() -> None:
    strong = made(key=OTHER_KEY)
    public = public_der(OTHER_KEY.public_key())
    assert reasons_of(SOUND, certificate=strong, public_key=public) == ["algorithm-changed"]
    assert detail_of(SOUND, certificate=strong, public_key=public).endswith("- ECDSA-P384 + ECDSA-P256")
    client = made(replace(CONTENT, profile=Profile.CLIENT))
    assert "extensions-changed" in reasons_of(SOUND, certificate=client)
    assert reasons_of(SOUND, chain=(THEIRS.certificate,)) == ["chain-changed"]
    assert detail_of(replace(SOUND, chain=(THEIRS.certificate,) * 2)).startswith(
        "holds 0 certificates after its own, must hold the 2 "
    )
    # Nobody looks a CA up by its name, and what stands after it is its own affair.
    for seen in ({"chain": (LEAF,)}, {"certificate": THEIRS.certificate}):
        assert set(reasons_of(ROOT, **seen)) <= {"key-mismatch"}


def test_time_is_told_to_the_moment() -> None:
    begin = LEAF.not_valid_before_utc
    window = ITEM.renew_before
    for now, found in (
        (begin, []),
        (begin - timedelta(seconds=1), ["not-yet-valid"]),
        (END - window - timedelta(seconds=1), []),
        (END - window, ["expires-soon"]),
        (END - timedelta(seconds=1), ["expires-soon"]),
        (END, ["expired"]),
    ):
        assert reasons_of(replace(SOUND, now=now)) == found
    assert reasons_of(replace(SOUND, renew_within=END - SOUND.now)) == ["expires-soon"]
    assert reasons_of(replace(SOUND, now=END - window, renew_within=DAY)) == []
    assert f"expires {END:%Y-%m-%d %H:%M} UTC, in " in detail_of(replace(SOUND, now=END - window))
    assert detail_of(replace(SOUND, now=END)) == f"expired {END:%Y-%m-%d %H:%M} UTC"


def test_what_ends_with_its_ca_is_not_due_and_what_outlives_it_is_wrong() -> None:
    last = OURS.certificate.not_valid_after_utc
    capped = made(replace(CONTENT, validity=timedelta(days=20_000)))
    assert capped.not_valid_after_utc == last
    assert reasons_of(replace(SOUND, now=last - DAY), certificate=capped) == []
    short = issue(
        CertificateContent(
            subject=Subject(common_name="kubernetes"), sans=SANs(), profile=Profile.CA, validity=30 * DAY
        ),
        key=OURS.key,
        issuer=None,
        now=NOW,
        entropy=os.urandom,
    ).certificate
    assert reasons_of(replace(SOUND, issuer=short)) == ["outlives-issuer"]
    ends = f"{short.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    assert detail_of(replace(SOUND, issuer=short)) == (
        f"expires {END:%Y-%m-%d %H:%M} UTC, after its CA ({ends})"
    )


def test_a_root_is_judged_by_its_age_alone() -> None:
    last = OURS.certificate.not_valid_after_utc
    assert reasons_of(replace(ROOT, now=last)) == ["expired"]
    assert reasons_of(replace(ROOT, now=last - DAY)) == ["expires-soon"]
    strong = replace(ROOT, desired=replace(ROOT.desired, key_algorithm="ECDSA-P384"))
    assert reasons_of(strong) == []
    assert reasons_of(replace(ROOT, desired=replace(ROOT.desired, subject=ITEM.subject))) == []
