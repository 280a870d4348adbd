"""The CAs and signing keys, their generations during a rotation, and where each one stands."""

from __future__ import annotations

import enum
from dataclasses import field, replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import UsageError
from pkigen.notation import suggestion
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class CA(enum.StrEnum):
    """The three root CAs, by kubeadm's file names."""

    # kubeadm's certificatesDir: pki/ca.crt, pki/etcd/ca.crt, pki/front-proxy-ca.crt (certlist.go).
    KUBERNETES = "ca"
    ETCD = "etcd/ca"
    FRONT_PROXY = "front-proxy-ca"

    @property
    def certificate_name(self) -> str:
        """Its name in `overrides`, plans and reports."""
        return self.value.replace("/", "-")

    @classmethod
    def of_id(cls, identifier: str) -> CA:
        """The CA whose signing certificate has this id.

        Raises:
            ValueError: It is the id of something else, be it another generation such as `ca-next`.
        """
        for ca in cls:
            if ca_id(ca) == identifier:
                return ca
        msg = f"{identifier} is not the id of a CA"
        raise ValueError(msg)


class Phase(enum.StrEnum):
    """How far the rotation of a CA, of the service account key or of the encryption key is."""

    STABLE = "stable"
    PREPARED = "prepared"
    PROMOTED = "promoted"


class Slot(enum.StrEnum):
    """Where the authority keeps the generations of one thing: the suffix of its file names."""

    # The current one keeps the name that components and kubeadm know: a rotation changes no flag.
    CURRENT = ""
    NEXT = "-next"
    PREVIOUS = "-previous"


OTHER_SLOT = {Phase.PREPARED: Slot.NEXT, Phase.PROMOTED: Slot.PREVIOUS}
"""Which generation is trusted beside the current one, which signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPairFiles:
    """A certificate and its private key as two PEM files."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """A certificate alone, as a PEM file: its private key is elsewhere for good."""

    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InKubeconfig:
    """A certificate and its private key embedded in a kubeconfig."""

    kubeconfig: str


Location = KeyPairFiles | CertificateFile | InKubeconfig
"""Where a certificate stands, and its private key with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotations:
    """Which rotations are in progress, by the id of what rotates; and what number each CA's next one has.

    `crossed` are the CAs whose new generation has a cross certificate by the old one (RFC 4949).
    """

    phases: Mapping[str, Phase] = field(default_factory=dict)
    next_generations: Mapping[str, int] = field(default_factory=dict)
    crossed: frozenset[str] = frozenset()

    def phase(self, identifier: str) -> Phase:
        """The phase of one CA, of `sa` or of `encryption-key`."""
        return self.phases.get(identifier, Phase.STABLE)

    def with_crossed(self, paths: Collection[str]) -> Rotations:
        """The same with the cross certificates that are among these paths: one that was lost is missed."""
        # The lock file lists what was written: a cross certificate whose file is lost is still wanted, and is
        # made again.
        known = {ca_id(ca) for ca in CA if cross_path(ca) in paths} & self.phases.keys()
        return replace(self, crossed=self.crossed | known)

    def crossing(self, identifiers: Iterable[str]) -> Rotations:
        """The same with cross certificates for the next generations of these CAs."""
        return replace(self, crossed=self.crossed | (set(identifiers) & self.phases.keys()))

    def other(self, identifier: str) -> Slot | None:
        """Which generation is trusted beside the current one; None while nothing rotates."""
        return OTHER_SLOT.get(self.phase(identifier))

    def slots(self, identifier: str) -> tuple[Slot, ...]:
        """The generations that are there, the one that signs first."""
        other = self.other(identifier)
        # Bundles are written in this order: what reads only the first certificate reads the one that signs.
        return (Slot.CURRENT,) if other is None else (Slot.CURRENT, other)


_CALLED = {"kubernetes": CA.KUBERNETES, "etcd": CA.ETCD, "front-proxy": CA.FRONT_PROXY}
CA_NAMES = tuple(ca.certificate_name for ca in CA)
"""What CAs are called on every command line: by their certificates' names, or as `_CALLED` has them."""
CA_WORDS = (*CA_NAMES, *_CALLED)
"""All of these."""


def ca_named(name: str) -> CA | None:
    """The CA that somebody means, by its certificate's name (`etcd-ca`) or as it is called (`etcd`)."""
    called = {**_CALLED, **dict(zip(CA_NAMES, CA, strict=True))}
    return called.get(name)


def require_ca(name: str) -> CA:
    """The same, of who must name one.

    Raises:
        UsageError: No CA has this name.
    """
    found = ca_named(name)
    if found is None:
        raise UsageError(
            f"there is no CA {name!r}",
            hint=suggestion(name, CA_WORDS) or f"choose from {', '.join(CA_NAMES)}",
        )
    return found


def certificate_named(name: str) -> str:
    """The name of a CA's certificate for what the CA is called; every other name as it is."""
    found = ca_named(name)
    return name if found is None else ca_id(found)


def ca_id(ca: CA) -> str:
    """The id of a CA's certificate."""
    return ca.certificate_name


# The ids of what is no CA; sizes are in bytes.
SA = "sa"


ENCRYPTION_KEY = "encryption-key"


# In bytes: secretbox takes no other size, and AES takes this one (apiserver, validation_encryption.go).
ENCRYPTION_KEY_SIZE = 32


BUNDLE_KEY = "bundle-key"


BUNDLE_KEY_PATH = layout.authority_path("bundle.key")


BUNDLE_KEY_SIZE = 32  # an Ed25519 seed (RFC 8032 5.1.5): any 32 random bytes are one


def sa_name(slot: Slot, name: str) -> str:
    """The file name of a generation of the service account key, such as `sa-next.pub`."""
    return name.replace(".", f"{slot}.")


def accepted_sa_keys(rotations: Rotations) -> tuple[tuple[str, Slot], ...]:
    """The public keys by which API servers accept tokens: each one's file on a node, and its generation.

    A key keeps its file for as long as it is accepted. So *promote* changes the one file that signs and no
    flag: an API server that starts in the midst of the copying accepts the tokens of both keys all the same.
    """
    first, second = layout.SA_PUBLIC_KEY, sa_name(Slot.NEXT, layout.SA_PUBLIC_KEY)
    match rotations.phase(SA):
        case Phase.STABLE:
            return ((first, Slot.CURRENT),)
        case Phase.PREPARED:
            return ((first, Slot.CURRENT), (second, Slot.NEXT))
        case Phase.PROMOTED:
            return ((first, Slot.PREVIOUS), (second, Slot.CURRENT))


def cross_path(ca: CA) -> str:
    """Where the authority keeps the certificate of a CA's new key by its old generation."""
    return layout.authority_path(f"{ca}-cross.crt")


def sa_path(slot: Slot, name: str) -> str:
    """Where the authority keeps a generation of the service account key."""
    return layout.authority_path(sa_name(slot, name))


def encryption_key_path(slot: Slot) -> str:
    """Where the authority keeps a generation of the key that encrypts Secrets."""
    return layout.authority_path(f"encryption{slot}.key")


def pair_at(stem: str) -> KeyPairFiles:
    """A certificate and its key as two files that are called alike."""
    return KeyPairFiles(certificate=f"{stem}.crt", key=f"{stem}.key")


def ca_location(ca: CA, slot: Slot = Slot.CURRENT) -> KeyPairFiles:
    """Where the authority keeps a generation of a CA."""
    return pair_at(layout.authority_path(f"{ca}{slot}"))


PRIVATE_PATHS = (
    *(ca_location(ca, slot).key for ca in CA for slot in Slot),
    *(sa_path(slot, layout.SA_PRIVATE_KEY) for slot in Slot),
    *(encryption_key_path(slot) for slot in Slot),
    BUNDLE_KEY_PATH,
)
"""Every private file that an authority can have, of every generation."""
