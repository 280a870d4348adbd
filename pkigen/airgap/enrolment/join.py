"""On the node: joins certificates that were carried there with the keys that never left it.

A certificate is matched by its public key, among the keys of the pending request and those that are in use:
changes that do not concern the keys can be sent without a new request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509

from pkigen import layout
from pkigen.airgap.bundles.opened import entries_of
from pkigen.airgap.carrier.archive import Member
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.paths import require_known
from pkigen.airgap.enrolment.pending import read_pending
from pkigen.crypto.keys import UnsupportedKeyError, load_own_private, public_der
from pkigen.crypto.names import extension_of
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.errors import BundleError
from pkigen.layout import KEY_MODE
from pkigen.records import dataclass
from pkigen.state.observed import (
    KEY_PLACEHOLDER,
    Fault,
    client_certificate_pem,
    client_key_pem,
    read_file,
    with_client_key,
)

if TYPE_CHECKING:
    from pkigen.airgap.bundles.opened import Bundle
    from pkigen.state.observed import Reader

_CERTIFICATE, _KEY = ".crt", ".key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A bundle with the node's own keys in it; `answers` says that the pending request is answered by it."""

    bundle: Bundle
    answers: bool


def join(bundle: Bundle, reader: Reader, *, directory: str | None = None) -> Joined:
    """Put the node's keys to the certificates of a bundle that comes without.

    Args:
        bundle: Of any kind; one that brings its keys stays as it is.
        reader: The node's root directory.
        directory: Where certificates stand on this host, if a person says that it is not /etc/kubernetes/pki.

    Raises:
        BundleError: There is no key on this node for one of its certificates.
    """
    if bundle.label.kind is not BundleKind.CERTIFICATES:
        return Joined(bundle=bundle, answers=False)
    pending = read_pending(reader)
    made = dict(_identified(pem) for _, pem in pending.keys) if pending is not None else {}
    work = _Joining(bundle, reader, made, directory or layout.CERTIFICATES_DIRECTORY)
    work.join()
    # Once more, for the paths that the keys have added.
    require_known(work.files, directory=directory)
    members = [
        # A path that the manifest has not is that of a key.
        Member(path=path, mode=work.modes.get(path, KEY_MODE), data=work.files[path])
        for path in sorted(work.files)
    ]
    joined = replace(bundle, manifest=replace(bundle.manifest, files=entries_of(members)), files=work.files)
    # Where a request keeps every key, the certificates alone say that it is answered.
    return Joined(bundle=joined, answers=pending is not None and work.used == set(made))


class _Joining:
    """One bundle beside the keys of its node; `files` is what will be installed."""

    def __init__(self, bundle: Bundle, reader: Reader, made: dict[bytes, bytes], directory: str) -> None:
        self._bundle = bundle
        self._directory = directory
        self._reader = reader
        self._made = made
        self.files = dict(bundle.files)
        self.modes = {entry.path: entry.mode for entry in bundle.manifest.files}
        self.used: set[bytes] = set()
        self._without: list[str] = []

    def join(self) -> None:
        """Find a key for every certificate; refuse the whole bundle where one has none."""
        for path, data in self._bundle.files.items():
            if path.endswith(_CERTIFICATE):
                self._pair(path, data)
            # Only a kubeconfig that came with the placeholder for its key takes one.
            elif with_client_key(data, b"") is not None:
                self._kubeconfig(path, data)
        if self._without:
            raise BundleError(
                f"no key on this host matches the certificate in {', '.join(sorted(self._without))}",
                hint="nothing was written; it answers another request than the pending one, if any: "
                "`pkigen airgap node request` makes one",
            )

    def _pair(self, path: str, data: bytes) -> None:
        """Find the key of a certificate; a CA's has none on purpose, and a bundle's own key is used."""
        certificate = self._leaf(path, data)
        beside = path.removesuffix(_CERTIFICATE) + _KEY
        if _is_authority(certificate) or beside in self._bundle.files:
            return
        # It may still be in the kubeconfig that embedded it until now.
        kubeconfig = f"{layout.KUBERNETES_DIRECTORY}/{path.split('/')[-2]}.conf".lstrip("/")
        key = self._key_for(certificate, self._in_file(beside), self._in_kubeconfig(kubeconfig))
        if key is None:
            self._without.append(f"/{path}")
        else:
            self.files[beside] = key

    def _kubeconfig(self, path: str, data: bytes) -> None:
        """Put the key into a kubeconfig that came without it, or note that this host has none."""
        certificate = self._leaf(path, client_certificate_pem(data))
        # It may still be in the file that the kubeconfig named until now.
        named = f"{layout.credentials_directory(self._directory, path)}/client.key".lstrip("/")
        key = self._key_for(certificate, self._in_kubeconfig(path), self._in_file(named))
        complete = with_client_key(data, key) if key is not None else None
        if complete is None:
            self._without.append(f"/{path}")
        else:
            self.files[path] = complete

    @staticmethod
    def _leaf(path: str, data: bytes) -> x509.Certificate:
        """The first certificate of a file; raises `BundleError` where it cannot be read."""
        found = parse_certificates(data)
        if isinstance(found, str):
            raise BundleError(f"{path} in the bundle {found}", hint="nothing was written")
        return found[0]

    def _in_file(self, path: str) -> bytes | None:
        """What a file of this host holds; None where there is none."""
        found = read_file(self._reader, path)
        return None if isinstance(found, Fault) else found.data

    def _in_kubeconfig(self, path: str) -> bytes | None:
        """The key that a kubeconfig of this host embeds."""
        content = self._in_file(path)
        return None if content is None else client_key_pem(content)

    def _key_for(self, certificate: x509.Certificate, *installed: bytes | None) -> bytes | None:
        """The node's key for a certificate, that of the pending request first; None where it has none."""
        wanted = public_der(certificate.public_key())
        # By public key, not by name: a certificate for another key would be of no use beside this one.
        if wanted in self._made:
            self.used.add(wanted)
            return self._made[wanted]
        return next((pem for pem in installed if pem is not None and _is_key_of(wanted, pem)), None)


def _is_key_of(public: bytes, pem: bytes) -> bool:
    """Whether it is the private key for a public one."""
    # A kubeconfig that never had its key put in.
    if pem == KEY_PLACEHOLDER:
        return False
    try:
        return _identified(pem)[0] == public
    except UnsupportedKeyError:
        return False


def _identified(pem: bytes) -> tuple[bytes, bytes]:
    """A private key with its public half, by which it is found."""
    return public_der(load_own_private(pem)), pem


def _is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate is a CA's."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca
