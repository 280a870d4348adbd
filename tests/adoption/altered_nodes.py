"""Nodes of a cluster as they lie in a directory, and everything that can go wrong with their files."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkigen.crypto.keys import private_pem

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.crypto.keys import PrivateKey

PKI = "etc/kubernetes/pki"
DAY = timedelta(days=1)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA of the tests: its certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        return pem_of(self.certificate)


def pem_of(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def new_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common_name: str, *organizations: str) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def new_ca(common_name: str, now: datetime, *, key: PrivateKey | None = None, days: int = 3650) -> Issuer:
    """A CA that nobody knows yet."""
    key = key or new_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name))
        .issuer_name(name_of(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3000 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Issuer(certificate=builder.sign(key, hashes.SHA256()), key=key)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def sans(*names: str) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def alike(  # noqa: PLR0913 -- each is a way to be wrong
    certificate: x509.Certificate,
    issuer: Issuer,
    key: PrivateKey,
    *,
    subject: x509.Name | None = None,
    names: x509.SubjectAlternativeName | None = None,
    usages: list[x509.ObjectIdentifier] | None = _ABSENT,
    is_ca: bool = False,
    validity: tuple[datetime, datetime] | None = None,
    serial: int | None = None,
) -> x509.Certificate:
    """A certificate as another one is, but for what is given; `usages=None` is none at all."""
    begin, end = validity or (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(_usage(signs=is_ca), critical=True)
        .add_extension(_authority(issuer.certificate), critical=False)
    )
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName) and names is None:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        if isinstance(extension.value, x509.ExtendedKeyUsage) and usages is _ABSENT:
            builder = builder.add_extension(extension.value, critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    if usages not in (None, _ABSENT):
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's key as it is called there: Go 1.25 has made other identifiers of it than before."""
    try:
        named = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlteredNode:
    """One node's root directory, and the ways to change what is in it."""

    root: Path
    now: datetime

    def path(self, name: str) -> Path:
        """A file below /etc/kubernetes."""
        return self.root / "etc/kubernetes" / name

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.path(name).read_bytes())

    def key(self, name: str) -> PrivateKey:
        key = serialization.load_pem_private_key(self.path(name).read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        return key

    def issuer(self, name: str = "ca") -> Issuer:
        return Issuer(certificate=self.certificate(f"pki/{name}.crt"), key=self.key(f"pki/{name}.key"))

    def write(self, name: str, data: bytes) -> None:
        mode = self.path(name).stat().st_mode & 0o777 if self.path(name).exists() else 0o600
        self.path(name).write_bytes(data)
        self.path(name).chmod(mode)

    def reissue(self, name: str, issuer: Issuer, *, key: PrivateKey | None = None, **changes: Any) -> None:
        """A certificate of pki/, and its key, issued again with something else in it."""
        key = key or new_key()
        old = self.certificate(f"pki/{name}.crt")
        self.write(f"pki/{name}.crt", pem_of(alike(old, issuer, key, **changes)))
        self.write(f"pki/{name}.key", private_pem(key))

    def kubeconfig(self, name: str) -> dict[str, Any]:
        content = yaml.safe_load(self.path(name).read_text())
        assert isinstance(content, dict)
        return content

    def write_kubeconfig(self, name: str, content: dict[str, Any]) -> None:
        self.write(name, yaml.safe_dump(content).encode())

    def login(self, name: str) -> x509.Certificate:
        """The certificate that a kubeconfig holds, or whose file it names."""
        user = self.kubeconfig(name)["users"][0]["user"]
        if "client-certificate-data" in user:
            return x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
        return x509.load_pem_x509_certificate(
            (self.root / user["client-certificate"].lstrip("/")).read_bytes()
        )

    def reissue_login(
        self, name: str, issuer: Issuer, *, key: PrivateKey | None = None, **changes: Any
    ) -> None:
        """A kubeconfig's certificate and key, issued again with something else in it."""
        key = key or new_key()
        content = self.kubeconfig(name)
        content["users"][0]["user"] = {
            "client-certificate-data": base64.b64encode(
                pem_of(alike(self.login(name), issuer, key, **changes))
            ).decode(),
            "client-key-data": base64.b64encode(private_pem(key)).decode(),
        }
        self.write_kubeconfig(name, content)

    def set_cluster(self, name: str, **fields: Any) -> None:
        """Fields of a kubeconfig's cluster; None takes one away."""
        content = self.kubeconfig(name)
        cluster = content["clusters"][0]["cluster"]
        for key, value in fields.items():
            cluster.pop(key.replace("_", "-"), None)
            if value is not None:
                cluster[key.replace("_", "-")] = value
        self.write_kubeconfig(name, content)

    def set_flag(self, component: str, name: str, value: str | None) -> None:
        """A flag of a static Pod; None takes it away."""
        manifest = f"manifests/{component}.yaml"
        content = yaml.safe_load(self.path(manifest).read_text())
        command = content["spec"]["containers"][0]["command"]
        command[:] = [each for each in command if not each.startswith(f"--{name}=")]
        if value is not None:
            command.append(f"--{name}={value}")
        self.write(manifest, yaml.safe_dump(content).encode())

    def set_kubelet(self, content: dict[str, Any]) -> None:
        """Settings of the kubelet's configuration file."""
        file = self.root / "var/lib/kubelet/config.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | content))

    def rotate_kubelet(self, issuer: Issuer, *, days: int = 364) -> None:
        """What a kubelet has after it has rotated: two files with a link to the newer one."""
        directory = self.root / "var/lib/kubelet/pki"
        directory.mkdir(parents=True, exist_ok=True)
        old = self.login("kubelet.conf")
        for begin, end in ((-700, -335), (-1, days)):
            key = new_key()
            validity = (self.now + begin * DAY, self.now + end * DAY)
            data = pem_of(alike(old, issuer, key, validity=validity)) + private_pem(key)
            dated = directory / f"kubelet-client-{self.now + begin * DAY:%Y-%m-%d-%H-%M-%S}.pem"
            dated.write_bytes(data)
            dated.chmod(0o600)
        current = directory / "kubelet-client-current.pem"
        current.unlink(missing_ok=True)
        current.symlink_to(f"/var/lib/kubelet/pki/{dated.name}")
        content = self.kubeconfig("kubelet.conf")
        named = "/var/lib/kubelet/pki/kubelet-client-current.pem"
        content["users"][0]["user"] = {"client-certificate": named, "client-key": named}
        self.write_kubeconfig("kubelet.conf", content)

    def copy_from_own(self, name: str, other: str) -> None:
        shutil.copy2(self.path(name), self.path(other))

    def copy_from(self, other: AlteredNode, *names: str) -> None:
        for name in names:
            shutil.copy2(other.path(name), self.path(name))


def moment() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
