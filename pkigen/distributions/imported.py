"""Which files of a PKI directory another distribution's CAs and keys become, generation by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.ca_fitness import has_signed
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import (
    UnsupportedKeyError,
    describe,
    load_private,
    public_der,
    public_half,
    public_pem,
)
from pkigen.crypto.names import is_self_issued
from pkigen.crypto.pem_blocks import private_blocks, read_pem
from pkigen.desired.generations import CA, Slot, ca_id, ca_location, cross_path, sa_path
from pkigen.errors import AdoptionError
from pkigen.reconcile.adopt import Import
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cryptography import x509

    from pkigen.crypto.keys import PrivateKey
    from pkigen.distributions.found import CAPair, FoundAuthority

_GENERATIONS: Final = 2
_ONE_AFTER_ANOTHER: Final = "finish there what is under way, and adopt then: two generations are the most"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAuthority:
    """What becomes of it: the files, and what a spec has to say of them.

    Attributes:
        files: The files of the PKI directory.
        cas: The CAs that are there.
        keys_are_here: Whether their private keys are; of all CAs, or of none.
        algorithm: That of the cluster's CA, if pkigen makes such keys.
        notes: What is not as it was.
    """

    files: tuple[Import, ...]
    cas: frozenset[CA]
    keys_are_here: bool
    algorithm: KeyAlgorithm | None
    notes: tuple[str, ...]


def imported(found: FoundAuthority) -> ImportedAuthority:
    """Sort what was found into generations.

    Raises:
        AdoptionError: Something is missing, damaged, or of more generations than two.
    """
    generations = {ca: _Generations(ca, pairs) for ca, pairs in found.present()}
    keys_are_here = _keys_are_here(generations)
    return ImportedAuthority(
        files=(*(file for each in generations.values() for file in each.files()), *_token_keys(found)),
        cas=frozenset(generations),
        keys_are_here=keys_are_here,
        algorithm=_algorithm(generations[CA.KUBERNETES].signer),
        notes=tuple(note for each in generations.values() for note in each.notes()),
    )


def _keys_are_here(generations: Mapping[CA, _Generations]) -> bool:
    """Whether the CAs' private keys are; all of them, or none."""
    if CA.KUBERNETES not in generations:
        raise AdoptionError(
            "the cluster's own CA is not among these files", hint="add its certificate and key"
        )
    # A spec says for all CAs together where their keys are (`certificates.caKeys`): some here and some
    # elsewhere cannot be said.
    lacking = [each for each in generations.values() if not each.pair.key]
    if lacking and len(lacking) != len(generations):
        raise AdoptionError(
            f"the private key of {' and '.join(ca_id(each.ca) for each in lacking)} is not beside its "
            f"certificate ({lacking[0].pair.place})",
            hint="add it; where the keys of all CAs are elsewhere for good, leave all of them out",
        )
    return not lacking


def _algorithm(signer: x509.Certificate) -> KeyAlgorithm | None:
    name = describe(signer.public_key())
    return next((each for each in KeyAlgorithm if each == name), None)


class _Generations:
    """The generations of one CA, from all places that have it."""

    def __init__(self, ca: CA, pairs: tuple[CAPair, ...]) -> None:
        self.ca = ca
        self.pair = pairs[0]
        self._certificates = _certificates(self.pair)
        self.signer, self._cross = _signer(self.pair, self._certificates)
        self._chain = _chain(self.signer, self._certificates)
        # By key, not by bytes: the same CA may have other certificates beside it in the other file.
        self._second = next((each for each in pairs[1:] if not self._is_the_same(each)), None)
        self._before = self._other_generation()

    def _is_the_same(self, pair: CAPair) -> bool:
        """Whether another place has the same CA."""
        signer, _ = _signer(pair, _certificates(pair))
        return public_der(signer.public_key()) == public_der(self.signer.public_key())

    def _other_generation(self) -> tuple[x509.Certificate, ...]:
        """What is trusted beside it: the CA of a second place, else another key's in the same file."""
        if self._second is not None:
            certificates = _certificates(self._second)
            return _chain(_signer(self._second, certificates)[0], certificates)
        # A second certificate of a key that is in the chain is no other CA: it is the cross certificate, or a
        # renewed one.
        keys = {public_der(each.public_key()) for each in self._chain}
        others = [each for each in self._certificates if public_der(each.public_key()) not in keys]
        if not others:
            return ()
        chain = _chain(others[0], others)
        if len(chain) != len(others):
            raise AdoptionError(
                f"{self.pair.place} has more than one CA beside the one that signs",
                hint="remove from a copy the CAs that no certificate comes from any more",
            )
        return chain

    def files(self) -> Iterator[Import]:
        """A CA with what stands above it and its key, and the generation before it."""
        # As it was found where that is all of it: written anew it would be another file.
        whole = (
            self.pair.certificate
            if _is_plain(self.pair.certificate, self._chain)
            else certificate_pem(*self._chain)
        )
        yield _public_file(ca_location(self.ca).certificate, whole)
        if self.pair.key:
            yield _private_file(ca_location(self.ca).key, self.pair.key)
        if not self._before:
            return
        before = ca_location(self.ca, Slot.PREVIOUS)
        yield _public_file(before.certificate, certificate_pem(*self._before))
        if self._second is not None and self._second.key:
            yield _private_file(before.key, self._second.key)
        if self._is_crossed and self._cross is not None:
            yield _public_file(cross_path(self.ca), certificate_pem(self._cross))

    @property
    def _is_crossed(self) -> bool:
        """Whether the certificate of the same key is one by the generation before."""
        return self._cross is not None and any(has_signed(each, self._cross) for each in self._before)

    def notes(self) -> Iterator[str]:
        """What whoever adopts it should know."""
        name = ca_id(self.ca)
        if self._second is not None:
            yield (
                f"{self.pair.place} and {self._second.place} are two CAs, where pkigen has one: the first is "
                f"{name}, the second is kept as the generation before it, and both are trusted"
            )
        elif self._before:
            yield (
                f"{self.pair.place} has a second CA: it is taken for the generation before; "
                f"`pkigen rotate ca {self.ca.certificate_name} --phase finish` ends it"
            )
        taken = {*self._chain, *self._before, *((self._cross,) if self._is_crossed else ())}
        left = len(set(self._certificates) - taken)
        if left:
            yield f"{self.pair.place}: {left} more of its certificates, of the same keys, are not taken over"


def _certificates(pair: CAPair) -> tuple[x509.Certificate, ...]:
    content = read_pem(pair.certificate)
    if content.faults:
        raise AdoptionError(f"{pair.place} {content.faults[0]}", hint="copy it again")
    if not content.certificates:
        raise AdoptionError(f"{pair.place} holds no certificate", hint="give it as PEM")
    # Once each: `cat` of two bundles repeats what they have in common, and that is no third generation.
    return tuple(dict.fromkeys(content.certificates))


def _signer(
    pair: CAPair, certificates: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, x509.Certificate | None]:
    """The certificate whose key is beside it, and another of the same key that an older CA has signed.

    Without a key it is the first, which is the one whose leaves are sent with the others.
    """
    public = _public_half(pair) if pair.key else public_der(certificates[0].public_key())
    own = [each for each in certificates if public_der(each.public_key()) == public]
    if not own:
        raise AdoptionError(
            f"the private key beside {pair.place} belongs to none of its certificates",
            hint="copy both again, from the same node",
        )
    # A root is the generation itself; of an intermediate the cross certificate stands before (RFC 5246
    # 7.4.2 has each certify the one before it, and rotate-ca wants the old way first).
    signer = next((each for each in own if is_self_issued(each)), own[-1])
    return signer, next((each for each in own if each is not signer), None)


def _chain(
    signer: x509.Certificate, certificates: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """A CA with what stands above it, up to a root: a cross certificate of the root's key leads elsewhere."""
    chain = [signer]
    # Roots first: of an issuer's two certificates, the one that it is trusted by.
    among = sorted(certificates, key=lambda each: not is_self_issued(each))
    while not is_self_issued(chain[-1]):
        above = next((each for each in among if has_signed(each, chain[-1])), None)
        # Two CAs that have certified each other are a circle without a root.
        if above is None or above in chain:
            break
        chain.append(above)
    return tuple(chain)


def _public_half(pair: CAPair) -> bytes:
    try:
        return public_half(pair.key)
    except UnsupportedKeyError as error:
        raise AdoptionError(f"the private key beside {pair.place} {error}", hint="copy it again") from None


def _is_plain(content: bytes, chain: Sequence[x509.Certificate]) -> bool:
    """Whether a file holds a CA with its chain in their order, and nothing else that is a certificate."""
    return read_pem(content).certificates == tuple(chain)


def _by_identity(sa_keys: bytes) -> dict[bytes, tuple[PrivateKey, bytes]]:
    """Each key of a file with its block, by its public half: one that is there twice is one generation."""
    found: dict[bytes, tuple[PrivateKey, bytes]] = {}
    # What is no PEM at all is read as one key, which says what it is instead.
    for block in private_blocks(sa_keys) or [sa_keys]:
        try:
            key = load_private(block)
        except UnsupportedKeyError as error:
            raise AdoptionError(f"the key of service accounts {error}", hint="copy it again") from None
        found.setdefault(public_der(key), (key, block))
    return found


def _token_keys(found: FoundAuthority) -> Iterator[Import]:
    """The key that signs service accounts' tokens, and the one before it."""
    if not found.sa_keys.strip():
        raise AdoptionError(
            "the private key that signs service accounts' tokens is not among these files",
            hint="copy it from a control-plane node: without it no token of the cluster can be judged",
        )
    by_identity = _by_identity(found.sa_keys)
    keys = [key for key, _ in by_identity.values()]
    if len(keys) > _GENERATIONS:
        raise AdoptionError(
            f"there are {len(keys)} keys of service accounts, and {_GENERATIONS} generations are kept",
            hint="remove from a copy those that no token is signed with any more; the first one signs",
        )
    known = by_identity.keys()
    accepted = set(read_pem(found.sa_public).token_keys)
    # A public key alone verifies tokens, but pkigen keeps each generation with its private half, so that
    # `rotate sa` can go back to it.
    if accepted - known:
        raise AdoptionError(
            f"tokens of {len(accepted)} keys are accepted, and only {len(accepted & known)} of them are here",
            hint=_ONE_AFTER_ANOTHER,
        )
    # A single key stays as it was found, byte for byte.
    contents = (
        (found.sa_keys,)
        if len(private_blocks(found.sa_keys)) <= 1
        else [block for _, block in by_identity.values()]
    )
    for slot, key, content in zip((Slot.CURRENT, Slot.PREVIOUS), keys, contents, strict=False):
        yield _private_file(sa_path(slot, layout.SA_PRIVATE_KEY), content)
        yield _public_file(sa_path(slot, layout.SA_PUBLIC_KEY), public_pem(key))


def _public_file(path: str, content: bytes) -> Import:
    return Import(path=path, mode=layout.CERTIFICATE_MODE, content=content)


def _private_file(path: str, content: bytes) -> Import:
    return Import(path=path, mode=layout.KEY_MODE, content=content, private=True)
