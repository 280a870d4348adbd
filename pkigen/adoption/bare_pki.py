"""Files of a PKI that say nothing of any node: what easy-rsa, cfssl and openssl make, where they made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.crypto.keys import public_der
from pkigen.crypto.names import is_ca, subject_of
from pkigen.desired.readers import ComponentName
from pkigen.errors import AdoptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from pkigen.adoption.found import ForeignCluster, ForeignNode

_MOST_NAMED: Final = 4
_COMPLETE: Final = "copy all of /etc/kubernetes, with manifests, and the units, of every control-plane node"
_GATHER: Final = (
    "give the nodes' files beside it: `pkigen adopt --gather NODE` prints how to bring them here; keys of "
    "CAs that no node has are then found in it"
)


def is_bare(node: ForeignNode) -> bool:
    """Whether a source has certificates or keys, and nothing that a node has beside them."""
    return bool(node.contents) and not node.programs and not node.kubeconfigs


def bare_pkis(cluster: ForeignCluster) -> tuple[ForeignNode, ...]:
    """The sources that are no nodes, beside others that are."""
    bare = tuple(node for node in cluster.nodes if is_bare(node))
    # Where there is nothing else, they are all that there is to examine: `verify` then takes each for a node.
    return bare if len(bare) < len(cluster.nodes) else ()


def require_api_server(cluster: ForeignCluster) -> None:
    """See that something says what the cluster is.

    Raises:
        AdoptionError: Nothing does; the error says what was found instead.
    """
    if any(cluster.running(ComponentName.API_SERVER)):
        return
    if all(map(is_bare, cluster.nodes)) and cluster.nodes:
        raise AdoptionError(
            f"{_named(cluster)}, and no manifest or unit of an API server says what they are for",
            hint=_GATHER,
        )
    raise AdoptionError(
        "no API server is among these nodes: what the cluster is, its manifest or its unit says",
        hint=_COMPLETE,
    )


def _named(cluster: ForeignCluster) -> str:
    """The CAs of a PKI, by name, and how many certificates there are beside them."""
    certificates = dict.fromkeys(found.certificate for found in cluster.each_certificate())
    named = list(_authorities(cluster, certificates))
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    cas = ", ".join(named[:_MOST_NAMED]) + more or "none"
    others = len(certificates) - len(named)
    return f"this is a PKI (CAs: {cas}; {others} other certificate{'' if others == 1 else 's'})"


def _authorities(cluster: ForeignCluster, certificates: Iterable[x509.Certificate]) -> Iterator[str]:
    held = {key for node in cluster.nodes for content in node.contents.values() for key in content.private}
    for each in filter(is_ca, certificates):
        known = public_der(each.public_key()) in held
        yield f"{subject_of(each)} ({'with' if known else 'without'} its key)"
