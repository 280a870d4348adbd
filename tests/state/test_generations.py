"""The CAs of an authority, read from its files: both generations, what joins them, the way out of faults."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pkigen.crypto.cross_certification import cross_certify
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue, key_usage
from pkigen.crypto.keys import load_private, private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA, Phase, Rotations, Slot
from pkigen.desired.inventory import derive
from pkigen.errors import AuthorityError
from pkigen.notation import timestamp
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority import (
    CACertificates,
    certificates_of,
    load_all,
    load_certificates,
    load_issuer,
    look_at_all,
    sharing,
    unrecorded_sharing,
)
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, World, spec

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)
CAS = {"pki/ca": "kubernetes", "pki/etcd/ca": "etcd-ca", "pki/front-proxy-ca": "front-proxy-ca"}


def entropy(count: int) -> bytes:
    return bytes(range(1, count + 1))


def root(
    name: str,
    key: ec.EllipticCurvePrivateKey | None = None,
    *,
    days: int = 3650,
    above: Issuer | None = None,
) -> Issuer:
    key = key or ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name=name), sans=SANs.of(), profile=Profile.CA, validity=days * DAY
    )
    return Issuer(
        certificate=issue(content, key=key, issuer=above, now=NOW, entropy=entropy).certificate, key=key
    )


def files(made: dict[str, Issuer], *, keys: bool = True) -> dict[str, bytes]:
    found = {f"{stem}.crt": certificate_pem(ca.certificate) for stem, ca in made.items()}
    return found | ({f"{stem}.key": private_pem(ca.key) for stem, ca in made.items()} if keys else {})


@pytest.fixture(scope="module")
def current() -> dict[str, Issuer]:
    return {stem: root(name) for stem, name in CAS.items()}


def load(
    found: dict[str, bytes], *, other: Slot | None = None, keys: CAKeys = CAKeys.SITE, ca: CA = CA.ETCD
) -> CACertificates | None:
    return load_certificates(Photograph(found), ca, now=NOW, keys=keys, other=other)


def refused(found: dict[str, bytes], **options: object) -> tuple[str, str]:
    with pytest.raises(AuthorityError) as error:
        load(found, **options)  # type: ignore[arg-type]
    return error.value.message, error.value.hint


# -- two generations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [Slot.NEXT, Slot.PREVIOUS])
def test_the_generation_beside_the_one_that_signs(current: dict[str, Issuer], slot: Slot) -> None:
    present, second = current["pki/etcd/ca"], root("etcd-ca-g2")
    alone = load(files(current), other=slot)
    assert alone is not None
    assert (alone.other, alone.complete, alone.trust_bundle) == (None, False, None)
    both = load({**files(current), **files({f"pki/etcd/ca{slot}": second})}, other=slot)
    assert both is not None
    assert (both.certificate, both.other, both.complete) == (present.certificate, second.certificate, True)
    # What stands above it is no anchor, and is not compared: here it is the CA itself.
    below = root("etcd-ca-g2", above=present)
    chain = certificate_pem(below.certificate, present.certificate)
    chained = {**files({f"pki/etcd/ca{slot}": below}), f"pki/etcd/ca{slot}.crt": chain}
    longer = load({**files(current), **chained}, other=slot)
    assert longer is not None
    assert longer.other == below.certificate
    without = load(files(current))
    assert without is not None
    assert (without.other, without.complete) == (None, True)
    assert load({}, other=slot) is None


def test_generations_that_a_verifier_cannot_tell_apart(current: dict[str, Issuer]) -> None:
    present = current["pki/etcd/ca"]
    same_key = files({"pki/etcd/ca-next": root("another", present.key)})
    message, hint = refused({**files(current), **same_key}, other=Slot.NEXT)
    assert message == "pki/etcd/ca-next.crt has the same key as the other generation of this CA"
    assert hint == "give each generation a key and a name of its own"
    # The same name is told apart by the key identifiers, where both have one.
    assert (
        load({**files(current), **files({"pki/etcd/ca-next": root("etcd-ca")})}, other=Slot.NEXT) is not None
    )
    for bare in (self_signed("etcd-ca"), with_identifier_of("etcd-ca", present.certificate)):
        message, _ = refused({**files(current), **files({"pki/etcd/ca-next": bare})}, other=Slot.NEXT)
        assert message.startswith(
            "pki/etcd/ca-next.crt cannot be told from the other generation: the same subject"
        )
    other_name = files({"pki/etcd/ca-next": self_signed("etcd-ca-g2")})
    assert load({**files(current), **other_name}, other=Slot.NEXT) is not None


def with_identifier_of(name: str, other: x509.Certificate) -> Issuer:
    found = other.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return self_signed(name, found)


def self_signed(name: str, *extensions: x509.ExtensionType) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + 3650 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(is_ca=True, enciphers_keys=False), critical=True)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    return Issuer(certificate=builder.sign(key, hashes.SHA256()), key=key)


def test_a_generation_that_signs_nothing_more_may_have_ended(current: dict[str, Issuer]) -> None:
    ended = files({"pki/etcd/ca-previous": root("etcd-ca-g0", days=1)}, keys=False)
    later = NOW + 2 * DAY
    found = load_certificates(
        Photograph({**files(current), **ended}), CA.ETCD, now=later, keys=CAKeys.SITE, other=Slot.PREVIOUS
    )
    assert found is not None
    assert found.other is not None
    assert found.other.not_valid_after_utc < later


# -- the cross certificate --------------------------------------------------------------------------------


def crossed_files(current: dict[str, Issuer]) -> dict[str, bytes]:
    """The etcd CA is promoted, and its predecessor has certified it."""
    old, new = root("etcd-ca-g0", days=40), current["pki/etcd/ca"]
    cross = cross_certify(new.certificate, issuer=old, now=NOW, entropy=entropy).certificate
    found = {**files(current), **files({"pki/etcd/ca-previous": old}, keys=False)}
    return {**found, "pki/etcd/ca-cross.crt": certificate_pem(cross)}


def crossing(phase: Phase, *, crossed: bool = True) -> Rotations:
    return Rotations(phases={"etcd-ca": phase}, crossed=frozenset({"etcd-ca"} if crossed else ()))


def test_the_cross_certificate_serves_while_both_generations_are_trusted(current: dict[str, Issuer]) -> None:
    found = crossed_files(current)
    inventory = derive(spec(CP1), rotations=crossing(Phase.PROMOTED))
    read = certificates_of(Photograph(found), inventory, CA.ETCD, now=NOW)
    assert read is not None
    assert read.cross is not None
    assert certificate_pem(read.cross) == found["pki/etcd/ca-cross.crt"]
    ends = read.cross.not_valid_after_utc
    for now, serves in ((ends - timedelta(seconds=1), True), (ends, False), (ends + DAY, False)):
        later = certificates_of(Photograph(found), inventory, CA.ETCD, now=now)
        assert later is not None
        assert (later.cross is not None) == serves
    others = derive(spec(CP1), rotations=crossing(Phase.PROMOTED, crossed=False))
    plain = certificates_of(Photograph(found), others, CA.ETCD, now=NOW)
    assert plain is not None
    assert plain.cross is None
    for changed in (b"rubbish", certificate_pem(current["pki/ca"].certificate)):
        damaged = certificates_of(
            Photograph({**found, "pki/etcd/ca-cross.crt": changed}), inventory, CA.ETCD, now=NOW
        )
        assert damaged is not None
        assert damaged.cross is None
    lost = {path: data for path, data in found.items() if "-previous" not in path}
    incomplete = certificates_of(Photograph(lost), inventory, CA.ETCD, now=NOW)
    assert incomplete is not None
    assert (incomplete.complete, incomplete.cross) == (False, None)
    assert certificates_of(Photograph({}), inventory, CA.ETCD, now=NOW) is None


def test_before_the_new_generation_signs_no_cross_certificate_is_sent(current: dict[str, Issuer]) -> None:
    found = {path.replace("-previous", "-next"): data for path, data in crossed_files(current).items()}
    found |= files({"pki/etcd/ca-next": root("etcd-ca-g2")})
    inventory = derive(spec(CP1), rotations=crossing(Phase.PREPARED))
    read = certificates_of(Photograph(found), inventory, CA.ETCD, now=NOW)
    assert read is not None
    assert read.other is not None
    assert read.cross is None


# -- halves, and keys in the wrong place -------------------------------------------------------------------


def test_half_of_a_ca_is_none(current: dict[str, Issuer]) -> None:
    whole = files({"pki/etcd/ca": current["pki/etcd/ca"]})
    key = {"pki/etcd/ca.key": whole["pki/etcd/ca.key"]}
    beside = "put the CA's certificate there as PEM, and its key beside it"
    belongs = "put the CA's certificate there as PEM, as pki/etcd/ca.key belongs to it"
    assert refused(key) == ("pki/etcd/ca.crt is missing, but pki/etcd/ca.key is there", belongs)
    message, hint = refused({**key, "pki/etcd/ca.crt": b"rubbish"})
    assert "but" not in message
    assert hint == belongs
    message, hint = refused({"pki/etcd/ca.crt": b"rubbish"})
    assert message.startswith("pki/etcd/ca.crt ")
    assert hint == beside
    message, hint = refused({"pki/etcd/ca.crt": whole["pki/etcd/ca.crt"]})
    assert message == "pki/etcd/ca.key is missing: pki/etcd/ca.crt cannot sign without its key"
    assert hint.startswith("put the CA's private key beside its certificate")


def test_keys_of_an_offline_authority_are_not_here(current: dict[str, Issuer]) -> None:
    offline = files(current, keys=False)
    assert load(offline, keys=CAKeys.OFFLINE) is not None
    assert load({}, keys=CAKeys.OFFLINE) is None
    for found in (files(current), {"pki/etcd/ca.key": b"rubbish"}):
        message, hint = refused(found, keys=CAKeys.OFFLINE)
        assert message == "pki/etcd/ca.key exists, but the spec keeps the CA keys at the offline authority"
        assert hint == "move it there; for CA keys at the site, set caKeys: site"


def test_the_key_that_signs(current: dict[str, Issuer]) -> None:
    found = files(current)
    read = load(found)
    assert read is not None
    issuer = load_issuer(Photograph(found), CA.ETCD, read)
    assert issuer.key.private_numbers() == current["pki/etcd/ca"].key.private_numbers()  # type: ignore[union-attr]
    assert (issuer.certificate, issuer.chain) == (read.certificate, read.chain)
    above = current["pki/ca"].certificate
    chained = CACertificates(certificate=read.certificate, chain=(above,))
    assert load_issuer(Photograph(found), CA.ETCD, chained).chain == (above,)
    following = load_issuer(
        Photograph({"pki/etcd/ca-next.key": found["pki/ca.key"]}), CA.ETCD, read, slot=Slot.NEXT
    )
    assert following.key.private_numbers() == current["pki/ca"].key.private_numbers()  # type: ignore[union-attr]
    sealed = b"age-encryption.org/v1\nrest"
    for data, said in (
        (None, "pki/etcd/ca.key is missing: nothing can be signed with it here"),
        (sealed, "pki/etcd/ca.key is sealed: it cannot sign before it is opened"),
        (b"rubbish", "pki/etcd/ca.key "),
    ):
        with pytest.raises(AuthorityError) as error:
            load_issuer(Photograph({} if data is None else {"pki/etcd/ca.key": data}), CA.ETCD, read)
        assert error.value.message.startswith(said)


# -- all of them -------------------------------------------------------------------------------------------


def test_all_or_none_and_two_with_one_key(current: dict[str, Issuer]) -> None:
    inventory = derive(spec(CP1))
    found = files(current)
    assert set(load_all(Photograph(found), inventory, now=NOW)) == set(CA)
    without = {path: data for path, data in found.items() if "etcd" not in path}
    assert set(load_all(Photograph(without), inventory, now=NOW)) == {CA.KUBERNETES, CA.FRONT_PROXY}
    double = {**found, **files({"pki/etcd/ca": root("etcd-ca", current["pki/ca"].key)})}
    said = (
        "pki/ca.crt and pki/etcd/ca.crt have the same key: every client of one would be accepted by the other"
    )
    with pytest.raises(AuthorityError) as error:
        load_all(Photograph(double), inventory, now=NOW)
    assert (error.value.message, error.value.hint) == (said, "give each CA a key of its own")
    taken = load_all(Photograph(double), inventory, now=NOW, taking_over=True)
    assert sharing(taken) == {CA.ETCD: CA.KUBERNETES}
    assert list(unrecorded_sharing(Photograph(double), taken)) == [said]
    assert sharing(load_all(Photograph(found), inventory, now=NOW)) == {}
    present, faults = look_at_all(Photograph(double), inventory, now=NOW)
    assert (set(present), faults) == (set(CA), {CA.KUBERNETES: said})


@pytest.mark.parametrize(("taken", "stem"), [("pki/etcd/ca", "pki/ca"), ("pki/ca", "pki/etcd/ca")])
def test_what_is_recorded_of_one_ca_is_not_recorded_of_another(taken: str, stem: str, tmp_path: Path) -> None:
    """The key of one in the place of another's: whoever one lets in, the other would let in from now on."""
    world = World(root=tmp_path / "prod", cluster=spec(CP1, certificates={"keyAlgorithm": "ECDSA-P256"}))
    world.apply()
    found = dict(Photograph.of(world.root).files)
    assert set(load_all(Photograph(found), world.inventory, now=world.now)) == set(CA)
    key = load_private(found[f"{taken}.key"])
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    found |= files({stem: root("another", key)})
    with pytest.raises(AuthorityError, match="have the same key"):
        load_all(Photograph(found), world.inventory, now=world.now)


def test_a_key_of_the_generation_beside_counts_too(current: dict[str, Issuer]) -> None:
    inventory = derive(spec(CP1), rotations=Rotations(phases={"etcd-ca": Phase.PREPARED}))
    found = {**files(current), **files({"pki/etcd/ca-next": root("etcd-ca-g2", current["pki/ca"].key)})}
    with pytest.raises(AuthorityError, match=r"pki/ca\.crt and pki/etcd/ca\.crt have the same key"):
        load_all(Photograph(found), inventory, now=NOW)


def test_one_that_has_ended_is_shown_all_the_same_and_may_be_revived(current: dict[str, Issuer]) -> None:
    inventory = derive(spec(CP1))
    short = root("etcd-ca", days=2)
    found = {**files(current), **files({"pki/etcd/ca": short})}
    later = short.certificate.not_valid_after_utc
    present, faults = look_at_all(Photograph(found), inventory, now=later)
    assert present[CA.ETCD].certificate == short.certificate
    assert set(present) == set(CA)
    assert list(faults) == [CA.ETCD]
    assert "pki/etcd/ca.crt is unfit as the etcd-ca CA" in faults[CA.ETCD]
    with pytest.raises(AuthorityError) as error:
        load_all(Photograph(found), inventory, now=later)
    assert error.value.hint.startswith("`pkigen rescue` renews an expired CA with the key that it has; ")
    revived = load_all(Photograph(found), inventory, now=later, revived=(CA.ETCD,))
    assert revived[CA.ETCD].certificate == short.certificate
    with pytest.raises(AuthorityError):
        load_all(Photograph(found), inventory, now=later, revived=(CA.KUBERNETES,))
    # One that is not there is nothing to revive.
    assert CA.ETCD not in load_all(
        Photograph({path: data for path, data in found.items() if "etcd" not in path}),
        inventory,
        now=NOW,
        revived=(CA.ETCD,),
    )


def test_the_way_out_of_an_unfit_one(current: dict[str, Issuer]) -> None:
    found = files(current)
    clock = f"this machine's clock says {timestamp(NOW - 2 * DAY)}: set it if that is wrong"
    with pytest.raises(AuthorityError) as early:
        load_certificates(Photograph(found), CA.ETCD, now=NOW - 2 * DAY, keys=CAKeys.SITE)
    assert early.value.hint == f"{clock}; if it is right, ask whoever issued the CA"
    ended = current["pki/etcd/ca"].certificate.not_valid_after_utc
    offline = Photograph(files(current, keys=False))
    with pytest.raises(AuthorityError) as late:
        load_certificates(offline, CA.ETCD, now=ended, keys=CAKeys.OFFLINE)
    assert late.value.hint.startswith("only whoever issued what has expired can renew it, for the same key: ")
    assert "put it into pki/etcd/ca.crt then" in late.value.hint
    assert "`pkigen airgap authority request etcd-ca`" in late.value.hint
    two = {**found, "pki/etcd/ca.crt": found["pki/etcd/ca.crt"] + certificate_pem(root("old").certificate)}
    _, hint = refused(two)
    assert hint.startswith("keep in pki/etcd/ca.crt the one whose key is beside it")
    assert "move the other to pki/etcd/ca-previous.crt, and its key beside it" in hint
    assert refused({**found, "pki/etcd/ca.crt": certificate_pem(no_ca())})[1] == "provide a CA that is fit"


def test_an_intermediate_is_renewed_by_whoever_issued_it() -> None:
    above = root("above", days=4000)
    short = root("etcd-ca", days=2, above=above)
    key = files({"pki/etcd/ca": short})["pki/etcd/ca.key"]
    ended = short.certificate.not_valid_after_utc
    for chain in ((short.certificate,), (short.certificate, above.certificate)):
        found = {"pki/etcd/ca.crt": certificate_pem(*chain), "pki/etcd/ca.key": key}
        with pytest.raises(AuthorityError) as late:
            load_certificates(Photograph(found), CA.ETCD, now=ended, keys=CAKeys.SITE)
        assert late.value.hint.startswith("only whoever issued what has expired can renew it")
    # What has ended is shown, with what stands above it.
    between = root("between", days=3, above=above)
    lowest = root("etcd-ca", days=2, above=between)
    lines = certificate_pem(lowest.certificate, between.certificate, above.certificate)
    tree = Photograph({**files({"pki/etcd/ca": lowest}), "pki/etcd/ca.crt": lines})
    present, faults = look_at_all(tree, derive(spec(CP1)), now=ended)
    assert present[CA.ETCD].chain == (lowest.certificate, between.certificate)
    assert set(faults) == {CA.ETCD}
    # With its root in the file it is still one CA: nothing has to be taken apart.
    other_key = {"pki/etcd/ca.crt": certificate_pem(no_ca(above), above.certificate), "pki/etcd/ca.key": key}
    assert refused(other_key)[1] == "provide a CA that is fit"


def no_ca(above: Issuer | None = None) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
    issuer = above.certificate.subject if above else subject
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), 1)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    return builder.sign(above.key if above else key, hashes.SHA256())  # type: ignore[arg-type]
