"""By what adopted objects are recognized: digests, and no secret in them, of objects in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.age import Identity
from pkigen.crypto.keys import private_pem, public_der
from pkigen.desired.adopted import ABSENT, Adopted
from pkigen.desired.generations import CA
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredCopy, MaterialKind
from pkigen.reconcile.adopted_state import TOLERATED, certificate_state, copy_state
from pkigen.state.authority import CACertificates
from pkigen.state.observed import Fault, FaultKind, ObservedCertificate
from pkigen.state.reasons import Reason
from pkigen.state.vault import SealedVault
from pkigen.store import FileContent, UnreadableError
from tests.rotation.phases import Photograph
from tests.samples import CP1, spec
from tests.state.fuzz_observed import CERTIFICATE, ISSUER

LEAF, ABOVE = x509.load_pem_x509_certificates(CERTIFICATE)
INVENTORY = derive(spec(CP1))
API, SCHEDULER = (INVENTORY.certificates[f"cp-1/{each}"] for each in ("apiserver", "scheduler.conf"))
CONFIG = INVENTORY.kubeconfigs[SCHEDULER.file]
PATH = "nodes/cp-1/etc/kubernetes/pki/ca.key"
COPY = DesiredCopy(path=PATH, node="cp-1", mode=0o600, material=MaterialKind.CA_KEY, ca=CA.KUBERNETES)
PAIR = ec.generate_private_key(ec.SECP256R1())
SEC1 = PAIR.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)
SOMEBODY, NOBODY = True, False
"""Who reads it, as it is recorded."""
SEEN = ObservedCertificate(
    certificate=LEAF,
    chain=(ABOVE,),
    public_key=b"public",
    certificate_fault=None,
    key_fault=None,
    modes=(("a.crt", 0o644), ("a.key", 0o7)),
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(*parts: Any) -> str:
    """As it stands in the lock files of clusters that were taken over."""
    return sha256(json.dumps(parts).encode())


def state(
    item: Any = API, seen: ObservedCertificate = SEEN, text: bytes | None = None, **asked: Any
) -> Adopted:
    """What a certificate is, in a directory that has nothing but, at most, its file."""
    reader = Photograph({} if text is None else {item.file: text})
    others = {"kubeconfig": None, "trust_bundle": None, "issuer": None, "named": False}
    return certificate_state(item, seen, **{"reader": reader, **others, **asked})


def copied(text: bytes | None, *, wanted: bytes | None = None, **asked: Any) -> Adopted:
    """What a copy is; the directory has nothing but it."""
    reader = Photograph({} if text is None else {PATH: text})
    return copy_state(COPY, **{"reader": reader, "wanted": wanted, "named": False, **asked})


def test_what_may_differ_says_neither_that_it_fails_nor_that_its_time_is_over() -> None:
    assert set(Reason) - TOLERATED == {
        Reason.KEY_MISMATCH,
        Reason.UNKNOWN_ISSUER,
        Reason.LIVES_TOO_LONG,
        Reason.NOT_YET_VALID,
        Reason.EXPIRED,
        Reason.EXPIRES_SOON,
        Reason.REQUESTED,
        Reason.MEMBER_MOVES,
        Reason.VERIFIES_KUBELETS,
        Reason.ANONYMOUS_CHANGED,
        Reason.CREDENTIAL_CHANGED,
        Reason.LOCATION_CHANGED,
        Reason.NOT_WANTED,
        Reason.ROTATION,
        Reason.ROLLBACK,
        Reason.NOT_SEALED,
        Reason.AWAITS_REQUEST,
        Reason.KEY_NOT_ALONE,
        Reason.REVOKED,
        Reason.REVOCATION_OVER,
        Reason.SHARED_KEY,
    }


# -- certificates -------------------------------------------------------------------------------------------


def test_a_certificate_by_what_an_earlier_pkigen_has_recorded() -> None:
    """Computed in another way, all that was taken over would be issued again."""
    sans, profile = list(API.sans.texts()), API.profile.name
    prints = [sha256(each.public_bytes(serialization.Encoding.DER)) for each in (LEAF, ABOVE)]
    assert state(named=True) == Adopted(
        found=digest(prints, sha256(b"public"), ""),
        wanted=digest(SOMEBODY, "", str(API.subject), sans, profile, "ECDSA-P256", None, ""),
        modes="0644 0007",
    )
    spki = f"sha256:{sha256(public_der(ISSUER.certificate.public_key()))}"
    embedded = replace(SEEN, chain=(), public_key=None, skeleton=b"\x01\xff", modes=())
    asked: dict[str, Any] = {
        "kubeconfig": CONFIG,
        "issuer": CACertificates(certificate=ISSUER.certificate, chain=()),
    }
    around = [CONFIG.server, CONFIG.cluster, CONFIG.user]
    sans, profile = list(SCHEDULER.sans.texts()), SCHEDULER.profile.name
    for bundle in (b"bundle", None):
        assert state(SCHEDULER, embedded, trust_bundle=bundle, **asked) == Adopted(
            found=digest(prints[:1], sha256(b""), "01ff"),
            wanted=digest(
                NOBODY,
                spki,
                str(SCHEDULER.subject),
                sans,
                profile,
                "ECDSA-P256",
                around,
                sha256(bundle or b""),
            ),
            modes="",
        )


@pytest.mark.parametrize("field", ["server", "cluster", "user"])
def test_whatever_a_kubeconfig_says_is_asked_of_it(field: str) -> None:
    changed: dict[str, Any] = {field: "other"}
    other = replace(CONFIG, **changed)
    assert state(SCHEDULER, kubeconfig=other).wanted != state(SCHEDULER, kubeconfig=CONFIG).wanted
    assert state(SCHEDULER, kubeconfig=other).found == state(SCHEDULER, kubeconfig=CONFIG).found


def without(fault: Fault | None) -> ObservedCertificate:
    return replace(SEEN, certificate=None, chain=(), certificate_fault=fault)


def test_of_a_certificate_that_is_absent_only_who_reads_it_counts() -> None:
    gone = without(Fault(path=API.file, kind=FaultKind.MISSING, message="is missing"))
    assert state(seen=gone).found == ABSENT
    assert state(seen=gone).wanted == state(SCHEDULER, seen=gone, kubeconfig=CONFIG).wanted == digest(NOBODY)
    assert state(seen=gone, named=True).wanted == digest(SOMEBODY)


@pytest.mark.parametrize("fault", [Fault(path="x", kind=FaultKind.UNREADABLE, message="is empty"), None])
def test_what_is_no_certificate_is_known_by_its_text_without_its_secrets(fault: Fault | None) -> None:
    torn = without(fault)
    assert state(seen=torn, text=b"torn").found == sha256(b"torn")
    assert state(seen=torn).found == sha256(b"")
    text = b'a: 1\nclient-key-data: c2\n  token: t\n"password" : "p", "x": 1\n\'token\': u\nlast: 2\n'
    masked = b"a: 1\nclient-key-data:\n  token:\n\"password\" :\n'token':\nlast: 2\n"
    assert state(SCHEDULER, torn, text=text).found == sha256(masked)


# -- copies -------------------------------------------------------------------------------------------------


def test_a_copy_by_what_an_earlier_pkigen_has_recorded() -> None:
    found = sha256(b"text")
    for named in (True, False):
        assert copied(b"text", wanted=b"other", named=named) == Adopted(
            found=found, wanted=digest(named, 0o600, sha256(b"other")), modes="0600"
        )
    # A material that is still to be made.
    assert copied(b"text").wanted == digest(NOBODY, 0o600, sha256(b""))


def test_of_a_copy_that_is_absent_only_who_reads_it_counts() -> None:
    for named in (True, False):
        gone = Adopted(found=ABSENT, wanted=digest(named), modes="")
        assert copied(None, named=named) == copied(None, wanted=b"other", named=named) == gone


class Unreadable:
    """A directory that is full of links."""

    def read(self, path: str, *, limit: int = 0) -> FileContent:
        raise UnreadableError(f"{path}: {limit}", reason="is a link")


def test_a_copy_that_cannot_be_read_is_known_by_why() -> None:
    assert copied(None, reader=Unreadable()) == Adopted(
        found=digest("is a link"),
        wanted=digest(NOBODY, 0o600, sha256(b"")),
        modes="",
    )
    torn = without(Fault(path=API.file, kind=FaultKind.UNREADABLE, message="is a link"))
    assert state(seen=torn, reader=Unreadable()).found == sha256(b"")


def test_a_private_key_is_known_by_its_public_half() -> None:
    public = sha256(public_der(PAIR.public_key()))
    for text in (private_pem(PAIR), SEC1, b"# mine\n" + SEC1):
        assert copied(text).found == public
        assert copied(b"text", wanted=text).wanted == digest(NOBODY, 0o600, public)
    # Of one that is damaged nothing of what it holds; it is told from others by what is wrong with it.
    damaged = (
        b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(b"secret") + b"\n-----END PRIVATE KEY-----\n"
    )
    assert copied(damaged).found not in {sha256(damaged), sha256(b""), public}
    assert copied(damaged).found == copied(damaged.replace(b"c2Vj", b"b3Ro")).found
    # What merely ends as an encrypted key begins is text.
    assert copied(b"text age-").found == sha256(b"text age-")


def test_a_key_that_is_encrypted_is_known_by_its_public_half_too() -> None:
    """So that closing the authority ends nothing that was tolerated."""
    vault = SealedVault.new(Identity.generate().recipient)
    plain = private_pem(PAIR)
    closed = [vault.close("pki/ca.key", plain) for _ in range(2)]
    assert closed[0] != closed[1]
    record = vault.files([sha256(each) for each in closed])
    for each in closed:
        reader = Photograph({**record, PATH: each})
        assert copied(None, reader=reader, wanted=each) == copied(plain, wanted=plain)
    # One that the record does not know has no public half.
    assert copied(closed[0]).found not in {sha256(closed[0]), copied(plain).found}
