"""What comes over the medium is not believed: each way in which it can be wrong has its own sentence.

Whatever is refused, nothing is written on either side; beside every refusal stands what is let through.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint
from pkigen.airgap.carrier.csr_review import request_for
from pkigen.airgap.carrier.requests import Purpose, write_requests
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.issuance import Issuer, certificate_pem, issue_for
from pkigen.crypto.keys import ALGORITHMS, load_private
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.inventory import derive
from pkigen.desired.items import content_of
from pkigen.spec.loader import load
from pkigen.state.observed import client_key_pem
from tests.airgap.offline.offline_sides import CAS, DAY, NOW, VARIANTS, OfflineSides, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pkigen.desired.items import DesiredCertificate

STRANGER = BundleKey(seed=bytes(range(32)))


@pytest.fixture(scope="module", params=VARIANTS)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OfflineSides:
    """Both sides with the first request on the medium; never changed."""
    places = OfflineSides.new(tmp_path_factory.mktemp(request.param) / "places", request.param)
    places.make_authority()
    places.init()
    (places.place / "pins").write_text(f"{places.site_pin}\n{places.authority_pin}\n")
    return places


def refused(places: OfflineSides, *arguments: object) -> tuple[str, str]:
    """The sentence and the hint; nothing was written anywhere."""
    before = snapshot(places.place)
    result = places.pkigen(*arguments)
    assert result.code in {1, 2}, result
    assert snapshot(places.place) == before
    assert result.hint
    return result.error, result.err


# -- at the offline side ------------------------------------------------------------------------------


def inventory_of(places: OfflineSides) -> Mapping[str, DesiredCertificate]:
    return derive(load(places.spec, kinds=CERTIFICATES).spec).certificates


def a_key(algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256) -> ec.EllipticCurvePrivateKey:
    key = ALGORITHMS[algorithm].generate()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def first(places: OfflineSides) -> str:
    """An id that this variant's site asks for."""
    return "ca" if "ca" in dict(places.requests().requests) else "cp-1/apiserver"


def other_subject(item: DesiredCertificate) -> bytes:
    return request_for(
        replace(item, subject=Subject(common_name="root", organizations=("system:masters",))), a_key()
    )


def other_names(item: DesiredCertificate) -> bytes:
    return request_for(replace(item, sans=SANs.of(*item.sans.texts(), "evil.example.com")), a_key())


def other_key(item: DesiredCertificate) -> bytes:
    return request_for(item, a_key(KeyAlgorithm.ECDSA_P384))


def other_usages(item: DesiredCertificate) -> bytes:
    return request_for(replace(item, profile=Profile.CLIENT), a_key())


def another_depth(item: DesiredCertificate) -> bytes:
    """A CA without a path length where one of 0 is meant, or a CA where a leaf is."""
    return request_for(replace(item, profile=Profile.CA), a_key())


def unproven(item: DesiredCertificate) -> bytes:
    """A request for a key that whoever made it has not got: one byte of its signature is another."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    der = bytearray(x509.load_pem_x509_csr(request_for(item, a_key())).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


FORGED: dict[str, tuple[Callable[[DesiredCertificate], bytes], str]] = {
    "subject": (other_subject, "it asks for the subject 'CN=root,O=system:masters'"),
    "names": (other_names, "it asks for other names than the spec has: [+] evil.example.com"),
    "key algorithm": (other_key, "its key is ECDSA-P384, where the spec has ECDSA-P256"),
    "usages": (other_usages, "extendedKeyUsage|basicConstraints"),
    "path length, or a CA for a leaf": (another_depth, "basicConstraints"),
    "no proof of the key": (unproven, "the request has an invalid signature"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_request_for_what_the_spec_does_not_allow(name: str, asked: OfflineSides, tmp_path: Path) -> None:
    """Even where the site's own key has signed the request: nothing but the spec decides."""
    places = asked.copy(tmp_path / "places")
    make, sentence = FORGED[name]
    identifier = first(places)
    carry(places, {identifier: make(inventory_of(places)[identifier])})
    error, said = refused(places, *places.sign_arguments(), "--pin", asked.pins[0])
    assert error.startswith(f"the spec does not allow this request: {identifier}: "), error
    assert re.search(f"refused: {re.escape(identifier)}: .*({sentence})", said), said


def carry(
    places: OfflineSides, changed: dict[str, bytes], *, key: BundleKey | None = None, **label: object
) -> None:
    """Put a request on the medium that the site's key has signed, with some of its parts changed."""
    requests = places.requests()
    merged = {**dict(requests.requests), **changed}
    kept = tuple(sorted((identifier, pem) for identifier, pem in merged.items() if pem))
    own = BundleKey.of_file((places.site / "pki/bundle.key").read_bytes())
    forged = replace(requests, requests=kept, **label)  # type: ignore[arg-type]
    places.request_file.write_bytes(write_requests(forged, key or own))


@pytest.mark.parametrize(
    ("identifier", "variants", "sentence"),
    [
        ("cp-9/apiserver", VARIANTS, "the spec has no such certificate"),
        ("cp-1/admin.conf", ("site",), "the site signs it itself, with ca"),
        ("ca", ("offline",), "it is this authority's own CA, whose key does not change"),
        ("ca-next", ("offline",), "it is this authority's own CA, whose key does not change"),
    ],
)
def test_a_request_for_what_is_not_asked_for_here(
    identifier: str, variants: tuple[str, ...], sentence: str, asked: OfflineSides, tmp_path: Path
) -> None:
    places = asked.copy(tmp_path / "places")
    if ("site" if first(places) == "ca" else "offline") not in variants:
        pytest.skip("the other variant")
    item = inventory_of(places).get(identifier) or inventory_of(places)["ca"]
    carry(places, {identifier: request_for(item, a_key())})
    error, _ = refused(places, *places.sign_arguments(), "--pin", asked.pins[0])
    assert f"{identifier}: {sentence}" in error


def test_two_certificates_for_one_key(asked: OfflineSides, tmp_path: Path) -> None:
    places = asked.copy(tmp_path / "places")
    one, other, *_ = dict(places.requests().requests)
    key = a_key()
    items = inventory_of(places)
    carry(places, {each: request_for(items[each], key) for each in (one, other)})
    error, _ = refused(places, *places.sign_arguments(), "--pin", asked.pins[0])
    assert f"{other}: its key is that of {one}" in error


def test_a_request_for_the_key_of_the_authority_itself(asked: OfflineSides, tmp_path: Path) -> None:
    places = asked.copy(tmp_path / "places")
    own = places.authority / ("pki/root.key" if first(places) == "ca" else "pki/front-proxy-ca.key")
    identifier = first(places)
    carry(places, {identifier: request_for(inventory_of(places)[identifier], load_private(own.read_bytes()))})
    error, _ = refused(places, *places.sign_arguments(), "--pin", asked.pins[0])
    assert f"{identifier}: its key is that of the CA " in error


def test_a_request_for_the_key_of_a_successor(cluster: OfflineSides) -> None:
    """It will be that of a CA: nothing else may be certified for it, not even before it is in use."""
    if first_of(cluster) != "ca":
        pytest.skip("the authority's own CAs have no successor from elsewhere")
    cluster.ask("--next", "ca")
    cluster.sign()
    cluster.accept()
    key = load_private((cluster.site / "pki/ca-next.key").read_bytes())
    cluster.ask("etcd-ca")
    carry(cluster, {"etcd-ca": request_for(inventory_of(cluster)["etcd-ca"], key)})
    error, _ = refused(cluster, *cluster.sign_arguments())
    assert error.endswith("etcd-ca: its key is that of ca-next: each certificate needs its own key")


def test_a_request_for_a_key_that_another_certificate_has(cluster: OfflineSides) -> None:
    """Also where that was certified long ago: the ledger knows every key."""
    earlier = dict(cluster.requests().requests)
    names = ("ca", "etcd-ca") if first_of(cluster) == "ca" else ("cp-1/apiserver", "cp-1/admin.conf")
    cluster.ask(names[0])
    items = inventory_of(cluster)
    if first_of(cluster) == "ca":
        key = load_private((cluster.site / "pki/etcd/ca.key").read_bytes())
    else:
        config = (cluster.site / "nodes/cp-1/etc/kubernetes/admin.conf").read_bytes()
        key = load_private(client_key_pem(config) or b"")
    assert names[1] in earlier
    carry(cluster, {names[0]: request_for(items[names[0]], key)})
    error, _ = refused(cluster, *cluster.sign_arguments())
    assert error.endswith(f"{names[0]}: its key is that of {names[1]}: each certificate needs its own key")


def test_requests_from_elsewhere(asked: OfflineSides, tmp_path: Path) -> None:
    places = asked.copy(tmp_path / "places")
    sign = (*places.sign_arguments(), "--pin", asked.pins[0])
    good = places.request_file.read_bytes()

    error, _ = refused(places, *places.sign_arguments())
    assert error == "no key of the site is pinned here"

    carry(places, {}, key=STRANGER)
    error, _ = refused(places, *sign)
    assert error == f"it is signed by {fingerprint(STRANGER.public)}, but {asked.pins[0]} is pinned"

    for place in range(16, len(good), len(good) // 12):
        places.request_file.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        error, _ = refused(places, *sign)
        assert " is pinned" in error or "its signature is invalid" in error, place
    places.request_file.write_bytes(good[:-7])
    assert "its signature is invalid" in refused(places, *sign)[0]
    places.request_file.write_bytes(good[:100])
    assert refused(places, *sign)[0] == "it is cut off"

    places.request_file.write_bytes(good)
    carry(places, {}, cluster="test", origin="test")
    assert refused(places, *sign)[0] == "it is for another cluster: test, where the spec is for prod"
    places.request_file.write_bytes(good)
    carry(places, {}, purpose=Purpose.NODE)
    assert refused(places, *sign)[0] == "it is a node's request, which the site itself answers"

    for away, words in ((DAY, "in the future of this host's clock"), (-31 * DAY, "it has expired")):
        places.request_file.write_bytes(good)
        carry(places, {}, created=places.requests().created + away)
        assert words in refused(places, *sign)[0]

    places.request_file.write_bytes(good)
    carry(places, dict.fromkeys(dict(places.requests().requests), b""))
    if first(places) == "ca":  # with the CAs over there, an empty request is one for their certificates
        assert refused(places, *sign)[0] == "it requests no certificate"

    places.request_file.write_bytes(good)
    places.done(*sign)
    carry(places, {}, nonce="0" * 32, created=places.requests().created - DAY)
    assert "and a newer one, of " in refused(places, *sign)[0]
    places.request_file.write_bytes(good)
    # From now on the site's key is known, and another is refused although somebody names it.
    error, _ = refused(places, *places.sign_arguments(), "--pin", fingerprint(STRANGER.public))
    assert error.startswith("the key that is pinned here is ")


def test_an_answer_is_no_request_and_a_request_no_answer(places: OfflineSides) -> None:
    answer, request = places.answer_file.read_bytes(), places.request_file.read_bytes()
    places.request_file.write_bytes(answer)
    site, authority = places.pins
    error, _ = refused(places, *places.sign_arguments())
    assert " is pinned" in error
    places.answer_file.write_bytes(request)
    error, _ = refused(places, *places.accept_arguments(), "--pin", site)
    assert error == "it is a file of kind request, not answer"
    error, _ = refused(places, *places.accept_arguments(), "--pin", authority)
    assert " is pinned" in error


def test_the_two_sides_have_different_specs(asked: OfflineSides, tmp_path: Path) -> None:
    places = asked.copy(tmp_path / "places")
    sign = (*places.sign_arguments(), "--pin", asked.pins[0])
    good = places.spec_there.read_text()
    places.spec_there.write_text(good.replace("name: prod", "name: other"))
    assert refused(places, *sign)[0].startswith("this authority is for prod, and the spec is for other")
    other = "offline" if first(places) == "ca" else "site"
    places.spec_there.write_text(re.sub("caKeys: [a-z]+", f"caKeys: {other}", good))
    assert "this authority was made for caKeys: " in refused(places, *sign)[0]
    places.spec_there.write_text(good.replace("caKeys", "keyAlgorithm: ECDSA-P384, caKeys"))
    assert "its key is ECDSA-P256, where the spec has ECDSA-P384" in refused(places, *sign)[0]
    places.spec_there.write_text(good)
    places.done(*sign)


def test_no_authority_there(asked: OfflineSides, tmp_path: Path) -> None:
    places = asked.copy(tmp_path / "places")
    elsewhere = tmp_path / "empty"
    arguments = ["airgap", "authority", "sign", places.request_file, "--spec", places.spec_there, "--yes"]
    assert "does not exist" in refused(places, *arguments, "--authority", elsewhere)[0]
    elsewhere.mkdir()
    assert (
        "this is not the directory of an offline authority"
        in refused(places, *arguments, "--authority", elsewhere)[0]
    )


def test_a_request_that_was_answered_gets_the_same_answer_and_no_other(
    original: OfflineSides, tmp_path: Path
) -> None:
    places = original.copy(tmp_path / "places")
    answer = places.answer_file.read_bytes()
    ledger = (places.authority / ".pkigen/ledger.jsonl").read_bytes()
    places.answer_file.unlink()
    places.now = NOW + DAY
    assert "the same answer is written again, nothing is signed" in places.sign().err
    assert places.answer_file.read_bytes() == answer
    assert (places.authority / ".pkigen/ledger.jsonl").read_bytes() == ledger
    # The number of an answered request does not open the door to another one.
    identifier = first(places)
    carry(places, {identifier: request_for(inventory_of(places)[identifier], a_key())})
    error, _ = refused(places, *places.sign_arguments())
    assert error == f"another request with the number {places.requests().nonce[:8]} was answered before"


# -- at the site --------------------------------------------------------------------------------------


def test_answers_from_elsewhere(places: OfflineSides) -> None:
    accept = (*places.accept_arguments(), "--pin", places.pins[1])
    good = places.answer_file.read_bytes()
    assert refused(places, *places.accept_arguments())[0] == ("no key of the authority is pinned here")
    for place in range(16, len(good), len(good) // 12):
        places.answer_file.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        error, _ = refused(places, *accept)
        assert " is pinned" in error or "its signature is invalid" in error, place
    places.answer_file.write_bytes(good)
    answers = places.answers()
    places.forge(replace(answers, nonce="0" * 32))
    assert refused(places, *accept)[0] == (
        f"it answers another request, 00000000; {answers.nonce[:8]} is pending"
    )
    places.forge(replace(answers, cluster="test", origin="test"))
    assert (
        refused(places, *accept)[0] == "it is for another cluster: test, and the pending request is for prod"
    )
    places.answer_file.write_bytes(good)
    places.now = NOW + 30 * DAY
    assert refused(places, *accept)[0].startswith("it expired 2026-12-24 12:00 UTC")
    places.now = NOW
    places.accept("--pin", places.pins[1])
    # Once more: nothing waits for it any more.
    assert "has no pending request" in refused(places, *places.accept_arguments())[0]


def test_one_missing_one_too_many(places: OfflineSides) -> None:
    accept = (*places.accept_arguments(), "--pin", places.pins[1])
    answers = places.answers()
    identifier = first(places)
    fewer = tuple(each for each in answers.certificates if each[0] != identifier)
    places.forge(replace(answers, certificates=fewer))
    assert refused(places, *accept)[0].endswith(f"{identifier}: its certificate is missing")
    more = tuple(sorted((*answers.certificates, ("zz/apiserver", answers.certificates[0][1]))))
    places.forge(replace(answers, certificates=more))
    assert refused(places, *accept)[0].endswith("zz/apiserver: it was not requested")
    places.forge(answers)
    places.done(*accept)


def spoilt(places: OfflineSides, **changes: object) -> bytes:
    """The first certificate of an answer, issued anew by the right authority with something else in it."""
    identifier = first(places)
    item = inventory_of(places)[identifier]
    present = parse_certificates(dict(places.answers().certificates)[identifier])
    assert not isinstance(present, str)
    signer = "root" if identifier == "ca" else "ca"
    above = parse_certificates((places.authority / f"pki/{signer}.crt").read_bytes())
    assert not isinstance(above, str)
    issuer = Issuer(
        certificate=above[0], key=load_private((places.authority / f"pki/{signer}.key").read_bytes())
    )
    now = changes.pop("now", NOW)
    key = changes.pop("public_key", present[0].public_key())
    with_what = replace(content_of(item), **changes)  # type: ignore[arg-type]
    issued = issue_for(with_what, public_key=key, issuer=issuer, now=now, entropy=lambda n: bytes([7]) * n)  # type: ignore[arg-type]
    return certificate_pem(issued.certificate, *present[1:])


SPOILT: dict[str, tuple[dict[str, object], str]] = {
    "for another key": ({"public_key": a_key().public_key()}, "private key .*does not match"),
    "other usages": ({"profile": Profile.PEER}, "basicConstraints|extendedKeyUsage|differs in"),
    "a longer life": ({"validity": timedelta(hours=87601)}, "it is valid for longer than the "),
    "not begun": ({"now": NOW + DAY}, "is not valid before 2026-11-25"),
    "over": ({"now": NOW - 2 * DAY, "validity": DAY}, "it expired|expired 2026"),
    "another name": ({"subject": Subject(common_name="evil")}, "it is called CN=evil|subject - CN=evil"),
    "another SAN": ({"sans": SANs.of("evil.example.com")}, "its names are evil|SANs"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_certificate_that_is_not_what_was_asked_for(name: str, places: OfflineSides) -> None:
    """Signed by the right authority, in an answer with the right signature, and still not taken."""
    changes, sentence = SPOILT[name]
    if name == "over":
        changes = {**changes, "now": NOW - timedelta(minutes=1), "validity": timedelta(seconds=30)}
    answers = places.answers()
    identifier = first(places)
    certificates = {**dict(answers.certificates), identifier: spoilt(places, **changes)}
    places.forge(replace(answers, certificates=tuple(sorted(certificates.items()))))
    error, said = refused(places, *places.accept_arguments(), "--pin", places.pins[1])
    assert error.startswith(f"the answer does not match the request: {identifier}: "), error
    assert re.search(sentence, error), error
    assert f"refused: {identifier}: " in said


def test_certificates_in_each_others_place_and_of_somebody_else(places: OfflineSides) -> None:
    accept = (*places.accept_arguments(), "--pin", places.pins[1])
    answers = places.answers()
    own = dict(answers.certificates)
    one, other = list(dict(places.requests().requests))[:2]
    places.forge(
        replace(answers, certificates=tuple(sorted({**own, one: own[other], other: own[one]}.items())))
    )
    assert refused(places, *accept)[0].startswith(f"the answer does not match the request: {one}: ")
    places.forge(replace(answers, certificates=tuple(sorted({**own, one: self_signed(own[one])}.items()))))
    assert refused(places, *accept)[0].startswith(f"the answer does not match the request: {one}: ")
    garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    places.forge(replace(answers, certificates=tuple(sorted({**own, one: garbage}.items()))))
    assert f"{one}: it holds a certificate that cannot be read" in refused(places, *accept)[0]


def self_signed(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    like = x509.load_pem_x509_certificate(pem)
    key = a_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(like.subject)
        .issuer_name(like.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
    )
    for extension in like.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_another_ca_than_the_one_that_is_trusted(cluster: OfflineSides) -> None:
    """An answer cannot exchange a CA: that would be a rotation, and cut everybody off at once."""
    if first_of(cluster) == "ca":
        pytest.skip("the CA keys are here")
    cluster.ask("apiserver")
    for name in ("ca.crt", "ca.key"):
        (cluster.authority / "pki" / name).unlink()
    (cluster.authority / "authority.json").unlink()
    unmade = cluster.pkigen(
        "airgap", "authority", "init", cluster.spec_there, "--authority", cluster.authority
    )
    assert "is not the one that is recorded: pki/ca.crt is missing" in unmade.error
    (cluster.authority / ".pkigen/ledger.jsonl").unlink()
    cluster.make_authority()
    cluster.sign()
    error, _ = refused(cluster, *cluster.accept_arguments())
    assert "ca: it is another CA than the one that this cluster trusts: that would be a rotation" in error


def first_of(places: OfflineSides) -> str:
    return "ca" if (places.site / "pki/ca.key").exists() else "cp-1/apiserver"


def test_the_spec_has_changed_in_between(places: OfflineSides) -> None:
    accept = (*places.accept_arguments(), "--pin", places.pins[1])
    good = places.spec.read_text()
    more = "    - {name: worker-2, roles: [worker], addresses: [10.0.0.22]}\n  users:\n"
    changes = {
        "another key": (
            good.replace("caKeys", "keyAlgorithm: ECDSA-P384, caKeys"),
            "where the spec has ECDSA-P384",
        ),
        "another name": (
            good.replace("  kubelet:", "  apiServer: {certSANs: [x.example.com]}\n  kubelet:"),
            "cp-1/apiserver: it asks for other names than the spec has: - x.example.com",
        ),
        "one more": (
            good.replace("  users:\n", more),
            r"worker-2/kubelet.conf \(missing\) was not requested|worker-2",
        ),
        "one less": (
            re.sub(r"    - \{name: worker-1.*\n", "", good),
            "worker-1.*the spec has no such certificate",
        ),
    }
    for name, (text, sentence) in changes.items():
        if first(places) == "ca" and name != "another key":
            continue  # what the site signs itself may change
        places.spec.write_text(text)
        error, _ = refused(places, *accept)
        assert error.startswith("the spec has changed since the request was made: "), (name, error)
        assert re.search(sentence, error), (name, error)
    places.spec.write_text(
        good.replace("  kubelet:", "  apiServer: {extraArgs: [{name: v, value: '3'}]}\n  kubelet:")
    )
    places.done(*accept)  # what no certificate depends on may change


def test_nothing_is_out(tmp_path: Path, original: OfflineSides) -> None:
    places = original.copy(tmp_path / "places")
    (places.site / "pki/pending.json").unlink()
    accept = (*places.accept_arguments(), "--pin", places.pins[1])
    assert "has no pending request" in refused(places, *accept)[0]


def test_a_damaged_request_in_the_directory(places: OfflineSides) -> None:
    path = places.site / "pki/pending.json"
    path.write_bytes(path.read_bytes()[:-40])
    accept = (*places.accept_arguments(), "--pin", places.pins[1])
    error, said = refused(places, *accept)
    assert error == "pki/pending.json is damaged"
    assert "--again" in said
    places.ask("--again")
    places.sign()
    places.accept("--pin", places.pins[1])


def test_names_that_mean_nothing(cluster: OfflineSides) -> None:
    ask = ("airgap", "authority", "request", cluster.spec, "-C", cluster.site)
    assert "there is no certificate 'apisever'" in refused(cluster, *ask, "apisever")[0]
    assert "there is no CA 'cb'" in refused(cluster, *ask, "--next", "cb")[0]
    if first_of(cluster) == "ca":
        assert (
            refused(cluster, *ask, "apiserver")[0] == "cp-1/apiserver is not signed by the offline authority"
        )
    there = (
        "airgap",
        "authority",
        "renew",
        cluster.spec_there,
        "nobody",
        "--authority",
        cluster.authority,
        "--yes",
    )
    assert "this authority has no CA 'nobody'" in refused(cluster, *there)[0]
    assert set(CAS) >= {"ca"}
