"""What a PEM file holds, block after block, and what is said of a block that cannot be read."""

from __future__ import annotations

import base64
import warnings

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import private_pem, public_der, public_pem
from pkigen.crypto.pem_blocks import PEMContent, private_blocks, read_pem
from tests.crypto.test_pem_certificates import NAME, changed
from tests.state.fuzz_observed import CORPUS
from tests.state.test_generations import root

CA, OTHER = root("kubernetes"), root("other")
KEY = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM, PRIVATE, PUBLIC = certificate_pem(CA.certificate), private_pem(KEY), public_pem(KEY)

P256 = bytes.fromhex("2a8648ce3d030107")
UNKNOWN_CURVE = public_der(KEY.public_key()).replace(P256, P256[:-1] + b"\x7f")


def block(kind: str, data: bytes = b"\0", head: str = "") -> bytes:
    return f"-----BEGIN {kind}-----\n{head}{base64.b64encode(data).decode()}\n-----END {kind}-----\n".encode()


def test_each_kind_of_block_has_its_place() -> None:
    # The older form, which Go reads under its own name.
    older = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert b"RSA PUBLIC KEY" in older
    data = PRIVATE + PEM + block("X509 CRL") + PUBLIC + older + certificate_pem(OTHER.certificate)
    found = read_pem(data)
    assert found == PEMContent(
        certificates=(CA.certificate, OTHER.certificate),
        private=(public_der(KEY.public_key()),),
        public=(public_der(KEY.public_key()), public_der(RSA.public_key())),
        faults=(),
        holds_private=True,
    )
    assert found.token_keys == (
        *found.private,
        *found.public,
        *(public_der(each.certificate.public_key()) for each in (CA, OTHER)),
    )


def test_a_file_without_a_private_key_holds_none() -> None:
    assert not read_pem(PEM + PUBLIC).holds_private
    assert read_pem(b"").certificates == ()


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (PEM[:-30], ["holds a damaged PEM block"]),
        (PEM + b"-----BEGIN ", ["holds a damaged PEM block"]),
        (PEM.replace(b"END CERTIFICATE", b"END SOMETHING"), ["holds a damaged PEM block"]),
        (block("CERTIFICATE"), ["holds a certificate that cannot be read (ValueError)"]),
        (block("CERTIFICATE") * 2, ["holds a certificate that cannot be read (ValueError)"]),
        (block("PUBLIC KEY"), ["holds a public key that cannot be read"]),
        (block("PUBLIC KEY", UNKNOWN_CURVE), ["holds a public key that cannot be read"]),
        (block("RSA PUBLIC KEY"), ["holds a public key that cannot be read"]),
        (
            block("PUBLIC KEY") + PEM[:-30],
            ["holds a damaged PEM block", "holds a public key that cannot be read"],
        ),
    ],
)
def test_what_cannot_be_read_is_said_once(data: bytes, faults: list[str]) -> None:
    assert list(read_pem(data).faults) == faults


def test_a_private_key_that_cannot_be_read_is_held_all_the_same() -> None:
    for data in (block("EC PRIVATE KEY"), b"-----END PRIVATE KEY-----"):
        found = read_pem(data)
        assert (found.private, found.holds_private) == ((), True)


def test_a_damaged_block_takes_no_other_with_it() -> None:
    found = read_pem(block("CERTIFICATE") + PEM + block("PUBLIC KEY") + PUBLIC)
    assert found.certificates == (CA.certificate,)
    assert found.public == (public_der(KEY.public_key()),)
    assert len(found.faults) == 2


@pytest.mark.parametrize(("count", "faults"), [(256, ()), (257, ("holds more than 256 PEM blocks",))])
def test_so_many_blocks_are_read_and_no_more(count: int, faults: tuple[str, ...]) -> None:
    found = read_pem(PUBLIC * count)
    assert (len(found.public), found.faults) == (256, faults)
    assert len(private_blocks(PRIVATE * count)) == 256


def test_headers_may_stand_before_the_content() -> None:
    head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"
    (fault,) = read_pem(block("EC PRIVATE KEY", head=head)).faults
    assert "passphrase" in fault


UNREADABLE = {
    **{name: (CORPUS / f"{name}.crt").read_bytes() for name in ("san-garbage", "point-not-on-curve")},
    "issuer": changed(NAME, b"\x0c\x0akubern\xe9tes", 0),
    "subject": changed(NAME, b"\x0c\x0akubern\xe9tes", 1),
    "begin": changed(b"\x17\x0d2", b"\x17\x0dX", 0),
    "end": changed(b"\x17\x0d2", b"\x17\x0dX", 1),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_every_check_relies_on_is_readable_or_the_certificate_is_not(data: bytes) -> None:
    found = read_pem(data)
    assert found.certificates == ()
    assert found.faults[0].startswith("holds a certificate that cannot be read (")


def test_what_pyca_warns_of_is_read_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_pem((CORPUS / "negative-serial.crt").read_bytes())
    assert (len(found.certificates), found.faults) == (1, ())


def test_private_keys_are_taken_out_as_they_are() -> None:
    traditional = RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert private_blocks(PEM + PRIVATE + PUBLIC + b"a\n" + traditional) == (PRIVATE, traditional)
    assert private_blocks(PEM) == ()
