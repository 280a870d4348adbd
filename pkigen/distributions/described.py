"""The spec of a cluster whose nodes are another distribution's, from what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.access.yaml_text import dump
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.generations import CA
from pkigen.spec.loader import load_text
from pkigen.spec.model import API_VERSION, KIND
from pkigen.spec.values import NEWEST_RELEASED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.access.yaml_text import Value
    from pkigen.distributions.found import FoundAuthority
    from pkigen.distributions.imported import ImportedAuthority
    from pkigen.spec.loader import LoadedSpec

_FILE: Final = "the description of the cluster"
_NAME: Final = "kubernetes"
_HEAD: Final = """\
# What `pkigen adopt --from {distribution}` found. The nodes are its own (`nodes: []`): the authority and
# people's kubeconfigs are made here, and `pkigen export --as {distribution}` writes the authority for it.
"""


def described(
    found: FoundAuthority, taken: ImportedAuthority, *, distribution: str
) -> tuple[str, LoadedSpec, tuple[str, ...]]:
    """The spec as text, the same loaded, and what it does not say because nothing is known of it.

    Raises:
        SpecError: What is there cannot be said in a spec.
    """
    unknown = tuple(_unknown(found, taken))
    head = _HEAD.format(distribution=distribution) + "".join(f"# Not known: {each}.\n" for each in unknown)
    # Loaded from its text, not made beside it, so that what is written is what was validated.
    text = head + dump(_content(found, taken))
    return text, load_text(text.encode(), file=_FILE, kinds=CERTIFICATES), unknown


def _content(found: FoundAuthority, taken: ImportedAuthority) -> dict[str, Value]:
    spec: dict[str, Value] = {
        "kubernetesVersion": found.version or f"v1.{NEWEST_RELEASED}.0",
        # The nodes' files stay the distribution's: nothing is rendered for them, whatever versions pkigen
        # knows.
        "manage": [],
        "nodes": [],
    }
    if found.endpoint:
        spec["controlPlaneEndpoint"] = found.endpoint
    certificates: dict[str, Value] = {}
    # ECDSA P-256 is what the spec means by default; an algorithm that pkigen does not make cannot be named.
    if taken.algorithm not in {None, KeyAlgorithm.ECDSA_P256}:
        certificates["keyAlgorithm"] = str(taken.algorithm)
    if not taken.keys_are_here:
        certificates |= {"authority": "offline", "caKeys": "offline"}
    if certificates:
        spec["certificates"] = certificates
    if CA.ETCD not in taken.cas:
        # No endpoints: no API server flags are rendered from them here.
        spec["etcd"] = {"external": {"endpoints": []}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": found.name or _NAME}, "spec": spec}


def _unknown(found: FoundAuthority, taken: ImportedAuthority) -> Iterator[str]:
    if not found.name:
        yield f"what the cluster is called; {_NAME} is assumed (--name)"
    if not found.version:
        yield f"which Kubernetes runs; v1.{NEWEST_RELEASED}.0 is assumed (--kubernetes-version)"
    if not found.endpoint:
        yield "where its API server is; set controlPlaneEndpoint before you give anybody a kubeconfig"
    if CA.ETCD not in taken.cas:
        yield "the CA of its etcd, which is taken for external"
    if CA.FRONT_PROXY not in taken.cas:
        yield "the CA of its front proxy; the next `pkigen apply` makes one"
    if not taken.keys_are_here:
        yield "the private keys of its CAs, which are taken to be with an offline authority"
    yield "who has certificates of its CAs: add users, and what exists goes on as it is"
