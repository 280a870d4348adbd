"""Bootstrap tokens, and everything else that a node needs to join (`cluster-bootstrap/token/api`)."""

from __future__ import annotations

import re
from dataclasses import field
from pathlib import PurePath
from typing import TYPE_CHECKING

from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry, Section, encode
from pkigen.access.yaml_text import Value, dump, dump_all
from pkigen.errors import AccessError
from pkigen.notation import base64_text, timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
# 16 of 36 characters are 82 bits: nobody guesses them at an API server within a token's life.
_ID_LENGTH, _SECRET_LENGTH = 6, 16
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
# `BootstrapGroupPattern` (cluster-bootstrap/token/api): with any other group the whole token is refused.
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
DEFAULT_GROUP = "system:bootstrappers:kubeadm:default-node-token"
"""What kubeadm binds to `system:node-bootstrapper` (`kubeadm/app/constants`)."""
USER = "tls-bootstrap-token-user"
"""What kubeadm calls the user of bootstrap-kubelet.conf."""
CLUSTER = "kubernetes"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapToken:
    """A token of its two parts; the first may be known, the second never."""

    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What the node presents."""
        return f"{self.id}.{self.secret}"


def generate(entropy: Callable[[int], bytes]) -> BootstrapToken:
    """A random token, each character as likely as the others."""
    return BootstrapToken(id=_characters(entropy, _ID_LENGTH), secret=_characters(entropy, _SECRET_LENGTH))


def parse(text: str) -> BootstrapToken:
    """A token that somebody brought.

    Raises:
        AccessError: It is none; the message does not quote it.
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise AccessError("the bootstrap token must be six, a dot and sixteen of the characters a-z and 0-9")
    return BootstrapToken(id=match[1], secret=match[2])


def secret_manifest(
    token: BootstrapToken, *, expires: datetime, groups: tuple[str, ...], description: str
) -> str:
    """The Secret that makes the API server accept the token until it expires.

    Raises:
        AccessError: A group is none that such a token may have.
    """
    for group in groups:
        if not _GROUP.fullmatch(group):
            raise AccessError(
                f"{group[:80]!r} is not a group for bootstrap tokens",
                hint=f"they begin with system:bootstrappers:, such as {DEFAULT_GROUP}",
            )
    data: dict[str, Value] = {
        "auth-extra-groups": ",".join(sorted(set(groups))),
        "description": description,
        "expiration": timestamp(expires),
        "token-id": token.id,
        "token-secret": token.secret,
        "usage-bootstrap-authentication": "true",
        # Without it `kubeadm join` finds no signature on `cluster-info`, and cannot trust it by the token.
        "usage-bootstrap-signing": "true",
    }
    return dump(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"bootstrap-token-{token.id}", "namespace": "kube-system"},
            # In the clear, as nobody could compare it in base64; the API server moves it to `data`.
            "stringData": data,
            "type": "bootstrap.kubernetes.io/token",
        }
    )


def bindings_manifest(groups: tuple[str, ...]) -> str:
    """The bindings that let bearers request a kubelet's certificate and get it (kubeadm's `tlsbootstrap.go`).

    kubeadm's group has kubeadm's bindings; every other has its own, or they would take kubeadm's away.
    """
    objects: list[Mapping[str, Value]] = []
    for group in sorted(set(groups)):
        subject: Mapping[str, Value] = {"apiGroup": _RBAC, "kind": "Group", "name": group}
        for name, role in _NODE_ROLES.items():
            own = f"kubeadm:{name}" if group == DEFAULT_GROUP else f"pkigen:{name}:{group}"
            objects.append(_binding("ClusterRoleBinding", own, "ClusterRole", role, subject))
    return dump_all(objects)


def discovery_manifest(trust_bundle: bytes, server: str) -> str:
    """The ConfigMap `cluster-info`, which nodes read before they trust a server (kubeadm's `clusterinfo.go`).

    The bootstrap signer of the controller manager adds a signature for each token; the discovery hash is
    compared with the CA in it. It holds nothing secret, and everybody may read it.
    """
    cluster = NamedEntry(
        # kubeadm leaves the name empty, too (`clusterinfo.go`): a joining node takes the only cluster that
        # there is.
        name="",
        fields={"certificate-authority-data": base64_text(trust_bundle), "server": server},
        origin=PurePath(),
    )
    config = Kubeconfig(
        path=PurePath(),
        entries={Section.CLUSTER: {"": cluster}, Section.CONTEXT: {}, Section.USER: {}},
    )
    metadata: Mapping[str, Value] = {"name": "cluster-info", "namespace": _PUBLIC}
    rule: Mapping[str, Value] = {
        "apiGroups": [""],
        "resourceNames": ["cluster-info"],
        "resources": ["configmaps"],
        "verbs": ["get"],
    }
    return dump_all(
        [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"kubeconfig": encode(config)},
            },
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "Role",
                "metadata": {"name": _READERS, "namespace": _PUBLIC},
                "rules": [rule],
            },
            _binding(
                "RoleBinding",
                _READERS,
                "Role",
                _READERS,
                # A node asks for it before it shows its token to anybody (kubeadm's `discovery/token`).
                {"apiGroup": _RBAC, "kind": "User", "name": "system:anonymous"},
                namespace=_PUBLIC,
            ),
        ]
    )


_RBAC = "rbac.authorization.k8s.io"
_PUBLIC = "kube-public"
_READERS = "kubeadm:bootstrap-signer-clusterinfo"
_NODE_ROLES = {
    "kubelet-bootstrap": "system:node-bootstrapper",
    "node-autoapprove-bootstrap": "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
}


def _binding(
    kind: str,
    name: str,
    role_kind: str,
    role: str,
    subject: Mapping[str, Value],
    *,
    namespace: str | None = None,
) -> Mapping[str, Value]:
    """A binding of one subject to one role; in a namespace, or for the whole cluster."""
    place = {} if namespace is None else {"namespace": namespace}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name, **place},
        "roleRef": {"apiGroup": _RBAC, "kind": role_kind, "name": role},
        "subjects": [subject],
    }


def _characters(entropy: Callable[[int], bytes], count: int) -> str:
    """Bytes beyond a multiple of the alphabet are drawn again, or its first characters would be likelier."""
    fair = 256 - 256 % len(_ALPHABET)
    found = ""
    while len(found) < count:
        found += "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in entropy(count) if byte < fair)
    return found[:count]
