"""Certificates that the live tests make themselves: impostors, requests, and CAs that a user brings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.live.hosts import Identity

if TYPE_CHECKING:
    from pathlib import Path

IssuerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_LIFE = timedelta(hours=6)


def name(common_name: str, *organizations: str) -> x509.Name:
    """A subject as Kubernetes reads it: a user and groups."""
    groups = (x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations)
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def write_key(path: Path, key: IssuerKey | None = None) -> IssuerKey:
    """Make a key, if none is given, and a file of it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    return key


def request_pem(path: Path, subject: x509.Name) -> str:
    """Make a key at `path` and a certificate signing request for it."""
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(write_key(path), hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def forged_like(original: Path, folder: Path) -> Identity:
    """A certificate with the subject and names of another, from a CA that nobody knows."""
    model = x509.load_pem_x509_certificate(original.read_bytes())
    authority = make_ca(folder, "unknown-ca", parent=None)
    return _write(folder, "forged", model.subject, authority, _extensions_of(model))


def client_of(authority: Identity, folder: Path, common_name: str) -> Identity:
    """A client certificate of a CA."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return _write(folder, common_name, name(common_name), authority, [usage])


def server_of(authority: Identity, folder: Path, address: str) -> Identity:
    """The certificate of a server at an address, which may be a client too."""
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return _write(folder, "server", name(address), authority, [names, usage])


def make_ca(
    folder: Path,
    common_name: str,
    *,
    parent: Identity | None,
    key: IssuerKey | None = None,
    path_length: int | None = None,
) -> Identity:
    """A root, or an intermediate of another CA; of P-256 unless a key is given."""
    extensions: list[x509.ExtensionType] = [
        x509.BasicConstraints(ca=True, path_length=path_length),
        x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        ),
    ]
    return _write(folder, common_name, name(common_name), parent, extensions, key)


def _extensions_of(model: x509.Certificate) -> list[x509.ExtensionType]:
    copied = (x509.SubjectAlternativeName, x509.ExtendedKeyUsage)
    return [each.value for each in model.extensions if isinstance(each.value, copied)]


def _write(
    folder: Path,
    stem: str,
    subject: x509.Name,
    authority: Identity | None,
    extensions: list[x509.ExtensionType],
    own: IssuerKey | None = None,
) -> Identity:
    made = Identity(certificate=folder / f"{stem}.crt", key=folder / f"{stem}.key")
    key = signer = write_key(made.key, own)
    issuer, issuer_key_id = subject, x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    if authority is not None:
        above = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
        issuer = above.subject
        issuer_key_id = above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        loaded = serialization.load_pem_private_key(authority.key.read_bytes(), password=None)
        assert isinstance(loaded, IssuerKey)
        signer = loaded
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + (_LIFE if authority is not None else 2 * _LIFE))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
        )
    )
    for extension in extensions:
        critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
        builder = builder.add_extension(extension, critical=critical)
    made.certificate.write_bytes(
        builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return made
