"""What is observed of certificates, keys and kubeconfigs, part by part, over trees in memory."""

from __future__ import annotations

import base64
import hashlib
import sys
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.age import Identity
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import private_pem, public_der, public_pem
from pkigen.desired.generations import CertificateFile, InKubeconfig, KeyPairFiles
from pkigen.errors import UnsafePathError
from pkigen.state.observed import (
    KEY_PLACEHOLDER,
    NO_EMBEDDED_CERTIFICATE,
    Fault,
    FaultKind,
    ObservedCertificate,
    ObservedFile,
    WithheldContent,
    client_certificate_pem,
    client_key_pem,
    content_at,
    exists,
    is_withheld,
    key_identity,
    observe_bundle,
    observe_certificate,
    observe_certificate_alone,
    observe_file,
    observe_key_pair,
    observe_presented,
    sealed_key,
    with_client_key,
)
from pkigen.state.seals import LARGEST_RECORD, RECORD_PATH, SealRecord
from pkigen.state.vault import sealed_key_of
from pkigen.store import FileContent, RefusedError, UnreadableError
from tests.rotation.phases import Photograph
from tests.state.fuzz_observed import CERTIFICATE, ISSUER, KEY

LEAF, ABOVE = x509.load_pem_x509_certificates(CERTIFICATE)
CA = certificate_pem(ISSUER.certificate)
OTHER = ec.generate_private_key(ec.SECP256R1())
PAIR = KeyPairFiles(certificate="x.crt", key="x.key")
CONFIG = InKubeconfig(kubeconfig="x.conf")
MISSING, UNREADABLE = FaultKind
HALF = public_der(LEAF.public_key())


def kubeconfig(certificate: bytes | None = CERTIFICATE, key: bytes | None = KEY) -> bytes:
    parts = {
        "certificate-authority-data": CA,
        "client-certificate-data": certificate,
        "client-key-data": key,
    }
    lines = [
        f"    {name}: {base64.b64encode(data).decode()}\n" for name, data in parts.items() if data is not None
    ]
    return "".join(["apiVersion: v1\n", *lines, "  name: x\n"]).encode()


def tree(**files: bytes) -> Photograph:
    return Photograph({name.replace("_", "."): data for name, data in files.items()})


class Withholding(Photograph):
    """Private files are not looked at."""

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        found = super().read(path, limit=limit)
        if not path.endswith(".key"):
            return found
        return WithheldContent(data=b"", mode=0o600, size=0, uid=0, gid=0, links=1)


class Directories(Photograph):
    """A directory stands at every path."""

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:  # noqa: ARG002 -- a reader's
        raise UnreadableError(path, reason="is a directory")


def fault(path: str, kind: FaultKind, message: str) -> Fault:
    return Fault(path=path, kind=kind, message=message)


# -- two files ------------------------------------------------------------------------------------------


def test_a_certificate_with_its_chain_and_its_key() -> None:
    assert observe_certificate(tree(x_crt=CERTIFICATE, x_key=KEY), PAIR) == ObservedCertificate(
        certificate=LEAF,
        chain=(ABOVE,),
        public_key=HALF,
        certificate_fault=None,
        key_fault=None,
        modes=(("x.crt", 0o600), ("x.key", 0o600)),
    )


def test_a_certificate_whose_key_is_elsewhere() -> None:
    alone = CertificateFile(certificate="x.crt")
    for files in (tree(x_crt=CERTIFICATE), tree(x_crt=CERTIFICATE, x_key=b"damaged")):
        found = observe_certificate(files, alone)
        assert (found.certificate, found.public_key, found.key_fault) == (LEAF, None, None)
        assert found.modes == (("x.crt", 0o600),)
        assert observe_certificate_alone(files, PAIR) == found


def test_each_half_has_its_own_fault() -> None:
    found = observe_certificate(tree(), PAIR)
    assert found.certificate_fault == fault("x.crt", MISSING, "is missing")
    assert found.key_fault == fault("x.key", MISSING, "is missing")
    assert (found.certificate, found.chain, found.public_key, found.modes) == (None, (), None, ())
    found = observe_certificate(tree(x_crt=CERTIFICATE), PAIR)
    assert (found.certificate, found.certificate_fault) == (LEAF, None)
    assert found.key_fault == fault("x.key", MISSING, "is missing")
    found = observe_certificate(tree(x_crt=b"damaged", x_key=KEY), PAIR)
    assert (found.certificate, found.chain, found.public_key, found.key_fault) == (None, (), HALF, None)
    assert found.certificate_fault is not None
    assert (found.certificate_fault.path, found.certificate_fault.kind) == ("x.crt", UNREADABLE)
    found = observe_certificate(tree(x_crt=CERTIFICATE, x_key=b" \n"), PAIR)
    assert (found.certificate, found.public_key) == (LEAF, None)
    assert found.key_fault == fault("x.key", UNREADABLE, "is empty")
    assert found.modes == (("x.crt", 0o600), ("x.key", 0o600))
    found = observe_certificate(tree(x_crt=CERTIFICATE, x_key=b"damaged"), PAIR)
    assert found.key_fault == fault("x.key", UNREADABLE, "is not a PEM private key")
    found = observe_certificate(Directories({}), PAIR)
    assert found.certificate_fault == fault("x.crt", UNREADABLE, "is a directory")
    assert found.key_fault == fault("x.key", UNREADABLE, "is a directory")


def test_a_key_that_is_withheld_counts_as_the_certificates() -> None:
    files = Withholding({"x.crt": CERTIFICATE, "x.key": private_pem(OTHER)})
    found = observe_certificate(files, PAIR)
    assert (found.public_key, found.key_fault) == (HALF, None)
    assert (is_withheld(files, "x.key"), is_withheld(files, "x.crt")) == (True, False)
    alone = Withholding({"x.key": KEY})
    assert observe_certificate(alone, PAIR).key_fault == fault("x.key", UNREADABLE, "is empty")
    pair = observe_key_pair(Withholding({"x.key": KEY, "x.pub": b"public"}), "x.key", "x.pub")
    assert (pair.private, pair.public, pair.private_fault) == (b"", b"public", None)


# -- kubeconfigs ----------------------------------------------------------------------------------------


def test_a_kubeconfig_holds_both() -> None:
    text = kubeconfig()
    found = observe_certificate(tree(x_conf=text), CONFIG)
    masked = text.replace(base64.b64encode(KEY), base64.b64encode(KEY_PLACEHOLDER))
    assert found == ObservedCertificate(
        certificate=LEAF,
        chain=(ABOVE,),
        public_key=HALF,
        certificate_fault=None,
        key_fault=None,
        modes=(("x.conf", 0o600),),
        skeleton=hashlib.sha256(masked).digest(),
    )
    assert observe_certificate_alone(tree(x_conf=text), CONFIG) == replace(
        found, public_key=None, skeleton=None
    )
    assert observe_bundle(tree(x_conf=text), "x.conf") == (ISSUER.certificate,)
    assert (client_certificate_pem(text), client_key_pem(text)) == (CERTIFICATE, KEY)


def test_the_skeleton_leaves_out_the_key_and_nothing_else() -> None:
    def skeleton(text: bytes) -> bytes | None:
        return observe_certificate(tree(x_conf=text), CONFIG).skeleton

    assert skeleton(kubeconfig()) == skeleton(kubeconfig(key=private_pem(OTHER)))
    assert skeleton(kubeconfig()) != skeleton(kubeconfig() + b"\n")
    assert skeleton(kubeconfig()) != skeleton(b"\n" + kubeconfig())
    assert skeleton(kubeconfig(key=None)) is None


@pytest.mark.parametrize("observe", [observe_certificate, observe_certificate_alone])
@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        (tree(), MISSING, "is missing"),
        (Directories({}), UNREADABLE, "is a directory"),
        (tree(x_conf=kubeconfig(certificate=None)), UNREADABLE, NO_EMBEDDED_CERTIFICATE),
        (tree(x_conf=kubeconfig(certificate=b"x")), UNREADABLE, "its client certificate "),
        (
            tree(x_conf=b"    client-certificate-data: A\n    client-key-data: A\n"),
            UNREADABLE,
            "its client certificate is empty",
        ),
    ],
)
def test_without_a_certificate_nothing_is_known(
    observe: object, files: Photograph, kind: FaultKind, message: str
) -> None:
    found = observe(files, CONFIG)  # type: ignore[operator]
    assert isinstance(found, ObservedCertificate)
    assert found.certificate_fault is not None
    assert (found.certificate_fault.path, found.certificate_fault.kind) == ("x.conf", kind)
    assert found.certificate_fault.message.startswith(message)
    assert found.key_fault == found.certificate_fault
    assert (found.certificate, found.chain, found.public_key, found.skeleton) == (None, (), None, None)
    assert found.modes == ((("x.conf", 0o600),) if files.files else ())


def test_a_kubeconfig_without_a_key_or_with_a_damaged_one() -> None:
    found = observe_certificate(tree(x_conf=kubeconfig(key=None)), CONFIG)
    assert (found.certificate, found.public_key) == (LEAF, None)
    assert found.key_fault == fault("x.conf", MISSING, "has no embedded client key")
    for key, said in ((b"x", "its client key is not a PEM private key"), (b" ", "its client key is empty")):
        found = observe_certificate(tree(x_conf=kubeconfig(key=key)), CONFIG)
        assert (found.certificate, found.public_key) == (LEAF, None)
        assert found.key_fault == fault("x.conf", UNREADABLE, said)
        assert found.skeleton == observe_certificate(tree(x_conf=kubeconfig()), CONFIG).skeleton


def test_what_follows_the_end_of_base64_is_not_passed_over() -> None:
    """Go decodes it strictly: whoever reads the kubeconfig there gets nothing."""
    data = base64.b64encode(CERTIFICATE + b" " * (-len(CERTIFICATE) % 3))
    text = b"    client-certificate-data: %s=AAAA\n" % data
    found = observe_certificate(tree(x_conf=text), CONFIG)
    assert found.certificate_fault == fault("x.conf", UNREADABLE, "its client certificate is empty")


def test_a_withheld_key_is_put_back_where_it_was_withheld_alone() -> None:
    withheld = kubeconfig(key=KEY_PLACEHOLDER)
    assert with_client_key(withheld, KEY) == kubeconfig()
    assert with_client_key(kubeconfig(), private_pem(OTHER)) is None
    assert with_client_key(kubeconfig(key=None), KEY) is None


# -- what others present, and bundles -------------------------------------------------------------------


def test_what_is_presented_is_known_by_its_content() -> None:
    assert observe_presented(tree(any=CERTIFICATE), "any").certificate == LEAF
    assert observe_presented(tree(any=kubeconfig()), "any").public_key == HALF
    assert observe_presented(tree(any=CERTIFICATE), "any").public_key is None
    assert observe_presented(tree(), "any").certificate_fault == fault("any", MISSING, "is missing")
    found = observe_presented(tree(any=CA), "any")
    said = "is the certificate of a CA, which is nothing to present"
    assert (found.certificate, found.certificate_fault) == (None, fault("any", UNREADABLE, said))


def test_bundles() -> None:
    assert observe_bundle(tree(any=CA + CERTIFICATE), "any") == (ISSUER.certificate, LEAF, ABOVE)
    assert observe_bundle(tree(), "any") == fault("any", MISSING, "is missing")
    for text in (b"", b"damaged", CA + KEY, b"    certificate-authority-data: A\n" + CA):
        found = observe_bundle(tree(any=text), "any")
        assert isinstance(found, Fault)
        assert (found.path, found.kind) == ("any", UNREADABLE)


def test_a_private_key_beside_certificates_is_not_kept_in_memory() -> None:
    text = CA + KEY
    files = tree(any=text)
    before = sys.getrefcount(text)
    assert isinstance(observe_bundle(files, "any"), Fault)
    assert sys.getrefcount(text) == before


# -- keys -----------------------------------------------------------------------------------------------


def test_a_key_pair_is_observed_by_halves() -> None:
    public = public_pem(OTHER.public_key())
    found = observe_key_pair(tree(x_key=KEY, x_pub=public), "x.key", "x.pub")
    assert (found.private, found.public, found.private_fault) == (HALF, public, None)
    assert found.modes == (("x.key", 0o600), ("x.pub", 0o600))
    found = observe_key_pair(tree(x_pub=public), "x.key", "x.pub")
    assert (found.private, found.public) == (None, public)
    assert (found.private_fault, found.modes) == (
        fault("x.key", MISSING, "is missing"),
        (("x.pub", 0o600),),
    )
    found = observe_key_pair(tree(x_key=b"damaged"), "x.key", "x.pub")
    assert (found.private, found.public) == (None, None)
    assert found.private_fault == fault("x.key", UNREADABLE, "is not a PEM private key")
    assert found.modes == (("x.key", 0o600),)


def test_a_sealed_key_is_known_by_the_record() -> None:
    identity = Identity.generate()
    sealed, secret = identity.recipient.close(KEY), identity.recipient.close(b"QUJD")
    record = SealRecord(recipient=identity.recipient.text, keys={})
    record = record.with_key(sealed, sealed_key_of("pki/ca.key", KEY))
    record = record.with_key(secret, sealed_key_of("pki/encryption.key", b"QUJD")).signed(identity)

    class Strict(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
            assert limit == LARGEST_RECORD
            return super().read(path, limit=limit)

    files = Strict({RECORD_PATH: record.encode()})
    assert key_identity(files, sealed) == HALF
    assert key_identity(files, KEY) == HALF
    unknown = f"is sealed, and {RECORD_PATH} does not know it"
    assert key_identity(files, secret) == unknown, "a secret has no public half"
    assert key_identity(files, identity.recipient.close(KEY)) == unknown
    assert key_identity(tree(), sealed) == unknown
    known = sealed_key(files, secret)
    assert known is not None
    assert known.size == 3
    assert sealed_key(tree(), sealed) is None
    assert sealed_key(Photograph({RECORD_PATH: b"{}"}), sealed) is None


# -- any file -------------------------------------------------------------------------------------------


def test_any_file_by_mode_and_digest() -> None:
    found = observe_file(tree(any=b"content"), "any")
    assert found == ObservedFile(path="any", mode=0o600, sha256=hashlib.sha256(b"content").digest())
    assert observe_file(tree(), "any") == fault("any", MISSING, "is missing")
    assert observe_file(Directories({}), "any") == fault("any", UNREADABLE, "is a directory")


def test_whether_anything_stands_at_a_path() -> None:
    assert (exists(tree(any=b""), "any"), exists(tree(), "any"), exists(Directories({}), "any")) == (
        True,
        False,
        True,
    )
    assert (content_at(tree(any=b"x"), "any"), content_at(tree(), "any")) == (b"x", None)


def test_what_is_no_path_holds_nothing_and_what_is_withheld_is_no_fault() -> None:
    class Failing(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:  # noqa: ARG002 -- a reader's
            raise error

    error: Exception = UnsafePathError("../x leads out of the directory")
    assert content_at(Failing({}), "../x") is None
    with pytest.raises(UnsafePathError):
        observe_file(Failing({}), "../x")
    error = RefusedError("x cannot be read")
    for ask in (content_at, exists, observe_file, observe_bundle):
        with pytest.raises(RefusedError):
            ask(Failing({}), "x")


def test_each_reading_has_the_limit_that_was_given() -> None:
    limits: list[int] = []

    class Noting(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
            limits.append(limit)
            return super().read(path, limit=limit)

    observe_file(Noting({}), "any", limit=7)
    exists(Noting({}), "any", limit=8)
    observe_file(Noting({}), "any")
    exists(Noting({}), "any")
    assert limits == [7, 8, 1 << 20, 1 << 20]
