"""From an item of the inventory to its bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
from copy import copy
from typing import TYPE_CHECKING, Any

from pkigen.desired.certificate_items import subject_on
from pkigen.desired.certificates import (
    API_SERVER_KUBELET_CLIENT,
    CLUSTER_ADMINS,
    NODES_GROUP,
)
from pkigen.desired.derivation import addon_files
from pkigen.desired.generations import ENCRYPTION_KEY_SIZE
from pkigen.desired.items import FileKind
from pkigen.desired.overrides import OverrideRecord
from pkigen.desired.rendering import access, api_server, authentication, nodes, read_back
from pkigen.desired.rendering.contexts import (
    AuthenticationConfiguration,
    AuthorizationConfiguration,
    CertificateKubeconfig,
    ClusterAdmins,
    EncryptionConfiguration,
    EncryptionKey,
    KubeletClient,
    NodeRotation,
    PublishedTrust,
    TokenKubeconfig,
)
from pkigen.desired.rendering.node_files import template_of
from pkigen.desired.rendering.templates import Language, Templates
from pkigen.errors import TemplateError
from pkigen.notation import base64_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredFile, DesiredKubeconfig, DesiredToken
    from pkigen.spec.model import ClusterSpec, Node


_API_SERVER_FLAGS = frozenset({FileKind.KUBE_APISERVER, FileKind.KUBE_APISERVER_FLAGS})


@dataclass(frozen=True, slots=True)
class _Addon:
    """Objects of the whole cluster: their template and how its context is made."""

    template: str
    context: Callable[[ClusterSpec], Any]


_ADDONS = {
    FileKind.ADDON_CLUSTER_ADMINS: _Addon("cluster-admins", lambda _: ClusterAdmins(group=CLUSTER_ADMINS)),
    FileKind.ADDON_KUBELET_CLIENT: _Addon(
        "apiserver-kubelet-client",
        lambda cluster: KubeletClient(user=subject_on(API_SERVER_KUBELET_CLIENT, cluster, "").common_name),
    ),
    FileKind.ADDON_NODE_ROTATION: _Addon(
        "node-certificate-rotation", lambda _: NodeRotation(group=NODES_GROUP)
    ),
    FileKind.ADDON_IAM: _Addon("iam", access.of_iam),
}


class Renderer:
    """Renders every file and kubeconfig of an inventory.

    Args:
        inventory: What must exist, and the templates that render it.
        overrides_name: How the lock file names their folder; its path by default.
    """

    def __init__(self, inventory: Inventory, *, overrides_name: str | None = None) -> None:
        self._cluster = inventory.cluster
        self._inventory = inventory
        self._nodes = {node.name: node for node in inventory.cluster.spec.nodes}
        self._users = {user.stem: user for user in inventory.cluster.spec.users}
        self._groups = {group.stem: group for group in inventory.cluster.groups}
        self._templates = inventory.templates or Templates(None)
        self._overrides_name = overrides_name or str(self._templates.folder)
        # What the built-in templates render is checked by the tests, for every kind of file.
        self._checked = self._templates.are_overridden
        self._digests: dict[DesiredFile, bytes] = {}

    def digest(self) -> str:
        """The SHA-256 of the templates.

        Raises:
            TemplateError: One of them cannot be read.
        """
        return self._templates.digest()

    def overrides(self) -> OverrideRecord | None:
        """Which templates replace pkigen's own; None where none does.

        Raises:
            TemplateError: One of them cannot be read.
        """
        digest = self._templates.overrides_digest()
        return None if digest is None else OverrideRecord(directory=self._overrides_name, sha256=digest)

    def digest_of(
        self, item: DesiredFile, *, secrets: tuple[bytes, ...] = (), trust_bundle: bytes = b""
    ) -> bytes:
        """The SHA-256 of a file, which is rendered for it only if it was not before.

        A user's template may render something else each time: then a staged file must not be taken for what
        the spec gives, so its digest is not remembered.

        Args:
            item: From the inventory.
            secrets: As for `file`.
            trust_bundle: As for `file`.

        Raises:
            TemplateError: With the template's file and line.
        """
        # What holds a secret or a bundle depends on more than the item, so it is not remembered.
        known = None if secrets or trust_bundle else self._digests.get(item)
        return known or hashlib.sha256(self.file(item, secrets=secrets, trust_bundle=trust_bundle)).digest()

    def file(self, item: DesiredFile, *, secrets: tuple[bytes, ...] = (), trust_bundle: bytes = b"") -> bytes:
        """Render a file.

        Args:
            item: From the inventory.
            secrets: The encryption keys as base64, the one that writes first, for the
                EncryptionConfiguration only.
            trust_bundle: PEM, of the CA that the file holds (`DesiredFile.trust`).

        Raises:
            TemplateError: With the template's file and line.
        """
        content = self._file(item, secrets, trust_bundle)
        if not (secrets or trust_bundle or self._checked):
            self._digests[item] = hashlib.sha256(content).digest()
        return content

    def _file(self, item: DesiredFile, secrets: tuple[bytes, ...], trust_bundle: bytes) -> bytes:
        """Render a file, without remembering its digest."""
        match item.kind:
            case FileKind.ENCRYPTION_CONFIGURATION:
                return self._encryption_configuration(secrets)
            case kind if kind in _ADDONS:
                addon = _ADDONS[kind]
                return self._render(f"addons/{addon.template}.yaml", addon.context(self._cluster))
            case FileKind.ADDON_TRUST_BUNDLE:
                context = PublishedTrust(trust_bundle=trust_bundle.decode("ascii"))
                return self._render("addons/cluster-trust-bundle.yaml", context)
            case FileKind.AUTHENTICATION_CONFIGURATION | FileKind.LOGIN_KUBECONFIG:
                return self._of_issuers(item, trust_bundle)
            case FileKind.ADDON_USER | FileKind.ADDON_GROUP:
                return self._rights(item)
            case _ if item.node is not None:
                return self.node_file(item.kind, self._nodes[item.node])
            case _:
                raise _nobodys(item)

    def _of_issuers(self, item: DesiredFile, trust_bundle: bytes) -> bytes:
        """What API servers and people know of the issuers of tokens."""
        if item.kind is FileKind.AUTHENTICATION_CONFIGURATION:
            given = authentication.context_of(self._cluster, trust_bundle)
            return self._render("authentication-config.yaml", given)
        login = authentication.login_context(self._cluster, item.user or "", trust_bundle)
        return self._render("login-kubeconfig.yaml", login)

    def _rights(self, item: DesiredFile) -> bytes:
        """The RBAC objects of one user or group."""
        if item.group is not None:
            return self._render("addons/group.yaml", access.of_group(self._groups[item.group]))
        if item.user is not None:
            return self._render("addons/user.yaml", access.of_user(self._users[item.user]))
        raise _nobodys(item)

    def addons(self, cluster: ClusterSpec) -> Iterator[tuple[str, bytes]]:
        """The addons of any spec by path, but for what publishes a CA.

        Raises:
            TemplateError: With the template's file and line.
        """
        other = copy(self)
        other._cluster = cluster  # noqa: SLF001 -- it is one of these
        other._digests = {}  # noqa: SLF001
        other._users = {user.stem: user for user in cluster.spec.users}  # noqa: SLF001
        other._groups = {group.stem: group for group in cluster.groups}  # noqa: SLF001
        for item in addon_files(cluster):
            if item.managed and item.trust is None:
                yield item.path, other.file(item)

    def node_file(self, kind: FileKind, node: Node) -> bytes:
        """Render a file of one node, whether or not it is to be written.

        Raises:
            TemplateError: With the template's file and line.
        """
        file = template_of(kind, self._cluster)
        context = file.context(self._inventory, node, self._templates)
        content = self._render(file.template, context, file.language)
        if self._checked and kind in _API_SERVER_FLAGS:
            given = read_back.arguments(content.decode(), kind) or ()
            api_server.require_startable(self._cluster, given, self._templates, file.template)
        elif self._checked and kind is FileKind.KUBELET_CONFIGURATION:
            nodes.require_gates(self._cluster, content.decode(), self._templates.place(file.template))
        return content

    def kubeconfig(
        self, item: DesiredKubeconfig, *, trust_bundle: bytes, certificate: bytes, key: bytes
    ) -> bytes:
        """Render a kubeconfig.

        Args:
            item: From the inventory.
            trust_bundle: PEM, the CA certificates that clients verify the server with.
            certificate: PEM, the client's.
            key: PEM, the client's private key.

        Raises:
            TemplateError: With the template's file and line, without any part of the key.
        """
        context = CertificateKubeconfig(
            **_without_credential(item, trust_bundle),
            certificate=base64_text(certificate),
            key=base64_text(key),
        )
        return self._render("kubeconfig.yaml", context, secret=True)

    def token_kubeconfig(self, item: DesiredToken, *, trust_bundle: bytes, token: str) -> bytes:
        """Render a kubeconfig with a token.

        Args:
            item: From the inventory.
            trust_bundle: PEM, the CA certificates that clients verify the server with.
            token: The service account's.

        Raises:
            TemplateError: With the template's file and line, without any part of the token.
        """
        context = TokenKubeconfig(**_without_credential(item, trust_bundle), token=token)
        return self._render("token-kubeconfig.yaml", context, secret=True)

    def _encryption_configuration(self, secrets: tuple[bytes, ...]) -> bytes:
        """The configuration that API servers encrypt by; `TemplateError` where there is no key."""
        encryption = self._cluster.spec.encryption
        if encryption is None or not secrets:
            raise TemplateError("an EncryptionConfiguration needs spec.encryption and a key")
        context = EncryptionConfiguration(
            provider=encryption.provider,
            resources=encryption.resources,
            keys=tuple(map(_encryption_key, secrets)),
        )
        return self._render("encryption-config.yaml", context, secret=True)

    def _render(
        self, name: str, context: Any, language: Language = Language.YAML, *, secret: bool = False
    ) -> bytes:
        """Run a template, and read the result back where the template is somebody's own."""
        text = self._templates.render(name, language, context, secret=secret)
        # An override is a program of somebody else's: what it renders is read back before it is used. What an
        # API server would not start with is never written, whoever has rendered it.
        if self._checked or isinstance(context, AuthenticationConfiguration | AuthorizationConfiguration):
            read_back.check(text, context, self._templates.place(name))
        return text.encode()


def _nobodys(item: DesiredFile) -> TemplateError:
    """The refusal to render what no entry of the spec stands for."""
    return TemplateError(f"{item.path} belongs to no node and no user")


def _without_credential(item: DesiredKubeconfig | DesiredToken, trust_bundle: bytes) -> dict[str, Any]:
    """The fields of a `KubeconfigContext`."""
    return {
        "server": item.server,
        "cluster": item.cluster,
        "user": item.user,
        "context": item.context,
        "namespace": item.namespace,
        "trust_bundle": base64_text(trust_bundle),
    }


def _encryption_key(secret: bytes) -> EncryptionKey:
    """A key under a name of its own: stored data names its key, so the name must follow when that rotates.

    Raises:
        TemplateError: It is not such a key.
    """
    try:
        key = base64.b64decode(secret, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != ENCRYPTION_KEY_SIZE:
        msg = f"the encryption key must be {ENCRYPTION_KEY_SIZE} bytes in base64"
        raise TemplateError(msg)
    return EncryptionKey(name=encryption_key_name(secret), secret=secret.decode("ascii"))


def encryption_key_name(secret: bytes) -> str:
    """What an EncryptionConfiguration calls a key, given as base64."""
    return f"key-{hashlib.sha256(base64.b64decode(secret)).hexdigest()[:16]}"
