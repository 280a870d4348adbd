"""Which files of a foreign cluster's nodes become which files of its PKI directory."""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.adoption.bare_pki import bare_pkis
from pkigen.adoption.foreign_users import people
from pkigen.adoption.places import Places, ca_key
from pkigen.adoption.put_away import is_put_away
from pkigen.adoption.topology import kubelet_name
from pkigen.crypto.ca_fitness import chain_of
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import UnsupportedKeyError, load_private, public_der, public_pem
from pkigen.crypto.pem_blocks import read_pem
from pkigen.desired.generations import CA, Slot, ca_id, ca_location, sa_path
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    DesiredKubeconfig,
    DesiredSecret,
)
from pkigen.desired.readers import ComponentName
from pkigen.errors import AdoptionError
from pkigen.reconcile.adopt import Import
from pkigen.records import dataclass
from pkigen.spec.certificates import CAKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography import x509

    from pkigen.adoption.found import ForeignCluster, ForeignNode, Spot
    from pkigen.adoption.node_tree import FoundFile
    from pkigen.adoption.topology import KnownNode
    from pkigen.crypto.issuance import Entropy
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired

_PRIVATE_BITS: Final = 0o700
_KUBELET_PKI: Final = f"{layout.KUBELET_DIRECTORY}/pki"


def imports(
    inventory: Inventory, nodes: Sequence[KnownNode], apart: Sequence[ForeignNode], *, entropy: Entropy
) -> Iterator[Import]:
    """Everything that an inventory asks for and that the nodes have.

    Args:
        inventory: What the description of the cluster asks for.
        nodes: The nodes that were described.
        apart: PKIs that were given beside them: what they have of the authority's, nodes need not have.
        entropy: For the one thing that only pkigen has: the key that seals bundles.

    Raises:
        AdoptionError: A CA or a key of the authority's is missing, or nodes disagree about one.
    """
    yield from _Imports(inventory, nodes, apart).all(entropy)


def left_out(cluster: ForeignCluster, found: Iterable[Import]) -> Iterator[Spot]:
    """The kubeconfigs and private keys of nodes that are not among what is taken over.

    Without what a kubelet makes for itself, what is put away, and PKIs that were given beside nodes.
    """
    taken: dict[str, set[bytes]] = defaultdict(set)
    for each in found:
        place = each.path.split("/")
        # By node; what has no node is the authority's, and lies on every node.
        # By content and not by path, for what is taken over lies under other names here.
        taken[place[1] if place[0] == layout.NODES else ""].add(each.content)
    bare = bare_pkis(cluster)
    for node in (each for each in cluster.nodes if each not in bare):
        known = taken[kubelet_name(node) or node.name] | taken[""]
        for file in node.files:
            if _is_credential(node, file) and file.data not in known:
                yield node.spot(file.path)


def _is_credential(node: ForeignNode, file: FoundFile) -> bool:
    if file.path.startswith(f"{_KUBELET_PKI}/") or is_put_away(file.path):
        return False
    content = node.contents.get(file.path)
    return bool(content.private) if content is not None else node.kubeconfig(file.path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A file of one node."""

    node: str
    file: FoundFile


class _Imports:
    def __init__(
        self, inventory: Inventory, nodes: Sequence[KnownNode], apart: Sequence[ForeignNode]
    ) -> None:
        self._apart = apart
        self._inventory = inventory
        self._nodes = {node.name: node for node in nodes}
        self._places = Places(inventory, nodes)
        self._people = {f"user:{name}": found for name, found in people(nodes).items()}

    def all(self, entropy: Entropy) -> Iterator[Import]:
        """The authority's own first: what it lacks is told before anything else."""
        present = [
            ca for ca in self._inventory.authorities if ca is not CA.FRONT_PROXY or self._has_front_proxy
        ]
        missing = [name for name in map(self._missing_key, present) if name]
        if missing and self._inventory.ca_keys is CAKeys.SITE:
            raise AdoptionError(
                f"no node has the private key of {' and '.join(missing)}: without it nothing of that CA is "
                "renewed or issued, and the CA is not rotated",
                hint="copy it from wherever it is to its place beside the certificate, or give the directory "
                "that has it beside the nodes; a cluster whose CAs are elsewhere for good (kubeadm's "
                "external CA) has none of these keys on its nodes",
            )
        for ca in present:
            yield from self._authority(ca)
        for item in self._inventory.items:
            yield from self._of(item, entropy)

    @property
    def _has_front_proxy(self) -> bool:
        """Whether API servers judge front proxies, which clusters made by hand do without."""
        judged = (
            program.flags.value("requestheader-client-ca-file")
            for node in self._nodes.values()
            for program in node.found.running(ComponentName.API_SERVER)
        )
        return any(judged) or any(self._held(f"{CA.FRONT_PROXY}.crt"))

    def _of(self, item: Desired, entropy: Entropy) -> Iterator[Import]:
        match item:
            case DesiredKeyPair():
                yield from self._token_key()
            case DesiredSecret():
                key = base64.b64encode(entropy(item.size))
                yield Import(path=item.path, mode=layout.SECRET_MODE, content=key, private=True)
            case DesiredKubeconfig(node=None):
                yield from self._of_person(item)
            case DesiredCertificate(issuer=None):
                # A CA: `_authority` has taken it over.
                pass
            case DesiredCertificate() | DesiredCopy() | DesiredKubeconfig() | DesiredFile():
                for path in item.paths if item.node is not None else ():
                    yield from self._of_node(item.node or "", path)
            case _:
                pass

    def _of_node(self, node: str, path: str) -> Iterator[Import]:
        """A node's own file, with its mode; but what is private stays so, whatever it was there."""
        file = self._places.file(node, path.removeprefix(f"{layout.NODES}/{node}"))
        if file is not None:
            mode = file.mode & _PRIVATE_BITS if layout.is_private(path) else file.mode
            yield Import(path=path, mode=mode, content=file.data)

    def _of_person(self, item: DesiredKubeconfig) -> Iterator[Import]:
        found = self._people.get(item.id)
        if found is not None:
            node = next(each for each in self._nodes.values() if each.found.name == found.spot.node)
            file = node.found.tree.file(found.spot.path)
            if file is not None:
                yield Import(path=item.path, mode=file.mode & _PRIVATE_BITS, content=file.data)

    # -- the authority --------------------------------------------------------------------------------

    def _held(self, name: str) -> Iterator[_Held]:
        """A file of the directory of certificates, on every node that has it, whatever its name is there."""
        directory = self._inventory.cluster.spec.certificates.directory
        for node in self._nodes.values():
            file = self._places.file(node.name, f"{directory}/{name}")
            if file is not None:
                yield _Held(node=node.name, file=file)

    def _key_of(self, ca: CA) -> bytes | None:
        """The private key of a CA: where it belongs, else wherever a node has it."""
        own = next((held.file.data for held in self._held(f"{ca}.key") if _public(held.file.data)), None)
        return own or next(self._keys_elsewhere(ca), None)

    def _keys_elsewhere(self, ca: CA) -> Iterator[bytes]:
        directory = self._inventory.cluster.spec.certificates.directory
        for node in self._nodes.values():
            file = ca_key(node.found, ca, f"{directory}/{ca}.key")
            if file is not None:
                yield file.data
        yield from self._keys_apart(ca)

    def _keys_apart(self, ca: CA) -> Iterator[bytes]:
        """The same of the PKIs that were given beside the nodes."""
        files = (held.file.data for held in self._held(f"{ca}.crt"))
        wanted = {public_der(each.public_key()) for data in files for each in read_pem(data).certificates}
        for other in self._apart:
            held = {path for path, content in other.contents.items() if wanted.intersection(content.private)}
            yield from (file.data for file in map(other.tree.file, sorted(held)) if file is not None)

    def _missing_key(self, ca: CA) -> str | None:
        directory = self._inventory.cluster.spec.certificates.directory
        if self._key_of(ca) is not None:
            return None
        damaged = (
            f"; that of {held.node} {fault}"
            for held in self._held(f"{ca}.key")
            for fault in read_pem(held.file.data).faults
        )
        return f"{ca_id(ca)} ({directory}/{ca}.key{next(damaged, '')})"

    def _authority(self, ca: CA) -> Iterator[Import]:
        """A CA with its chain and its key; a root that is trusted beside it is its previous generation."""
        held = list(self._held(f"{ca}.crt"))
        if not held:
            raise AdoptionError(f"no node has the certificate of {ca_id(ca)} ({ca}.crt)")
        certificates = _same(ca, held)
        key = self._key_of(ca)
        signer = _signer(ca, certificates, _public(key) if key is not None else b"")
        chain = chain_of(signer, certificates)
        others = [each for each in certificates if each not in chain]
        # With nothing else in it, the file stays as it is, byte for byte.
        whole = held[0].file.data if len(certificates) == 1 else certificate_pem(*chain)
        yield Import(path=ca_location(ca).certificate, mode=layout.CERTIFICATE_MODE, content=whole)
        if key is not None and self._inventory.ca_keys is CAKeys.SITE:
            yield Import(path=ca_location(ca).key, mode=layout.KEY_MODE, content=key, private=True)
        # A CA has one previous generation; another could not be told from it.
        if len(others) > 1:
            raise AdoptionError(
                f"{held[0].node}: {ca}.crt has {len(others)} CAs beside the one that signs, not one",
                hint="remove from it the CAs that no certificate of the cluster comes from any more",
            )
        for other in others:
            path = ca_location(ca, Slot.PREVIOUS).certificate
            yield Import(path=path, mode=layout.CERTIFICATE_MODE, content=certificate_pem(other))

    def _token_key(self) -> Iterator[Import]:
        """The key that signs service accounts' tokens, which all control-plane nodes share."""
        held = list(self._held(layout.SA_PRIVATE_KEY))
        if not held:
            raise AdoptionError(
                f"no node has {layout.SA_PRIVATE_KEY}, which signs service accounts' tokens",
                hint="copy the whole directory of certificates of a control-plane node",
            )
        if len({_public(each.file.data) for each in held}) > 1:
            names = " and ".join(each.node for each in held)
            raise AdoptionError(
                f"{names} have different {layout.SA_PRIVATE_KEY}: tokens of one are void on the other"
            )
        data = held[0].file.data
        try:
            content = public_pem(load_private(data))
        except UnsupportedKeyError as error:
            raise AdoptionError(
                f"{held[0].node}: {layout.SA_PRIVATE_KEY} {error}",
                hint="copy it again from its node: it signs service accounts' tokens",
            ) from None
        private, public = (
            sa_path(Slot.CURRENT, layout.SA_PRIVATE_KEY),
            sa_path(Slot.CURRENT, layout.SA_PUBLIC_KEY),
        )
        yield Import(path=private, mode=layout.KEY_MODE, content=data, private=True)
        yield Import(path=public, mode=layout.PUBLIC_MODE, content=content)


def _public(data: bytes) -> bytes:
    """The public half of the private key in a file; empty where it holds none."""
    return next(iter(read_pem(data).private), b"")


def _same(ca: CA, held: Sequence[_Held]) -> tuple[x509.Certificate, ...]:
    """The certificates of a CA's file, which must be the same on every node."""
    first, *others = ((each.node, read_pem(each.file.data).certificates) for each in held)
    for node, certificates in others:
        # In any order: a bundle is a set.
        if set(certificates) != set(first[1]):
            raise AdoptionError(
                f"{first[0]} and {node} have different CAs in {ca}.crt",
                hint="`pkigen verify TREE` of the same files says which connections that breaks",
            )
    if not first[1]:
        raise AdoptionError(
            f"{first[0]}: {ca}.crt holds no certificate", hint="copy it again from its node, as PEM"
        )
    return first[1]


def _signer(ca: CA, certificates: Sequence[x509.Certificate], public: bytes) -> x509.Certificate:
    """The certificate whose key is here; without a key the first, which servers name first, too."""
    if not public:
        return certificates[0]
    found = [each for each in certificates if public_der(each.public_key()) == public]
    if not found:
        raise AdoptionError(
            f"the private key of {ca_id(ca)} does not belong to the certificate in {ca}.crt",
            hint="`pkigen verify TREE` of the same files shows on which node",
        )
    return found[0]
