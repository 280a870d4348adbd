"""What the commands for people and workloads begin with: a cluster, small input files, and shared options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pkigen.access.kubeconfigs import Access
from pkigen.cli import values
from pkigen.cli.grouped import grouped
from pkigen.cli.session import Session
from pkigen.desired.generations import CA
from pkigen.errors import AccessError
from pkigen.records import dataclass
from pkigen.spec.model import ClusterSpec
from pkigen.state.authority import certificates_of
from pkigen.state.authority_record import require_recorded
from pkigen.state.observed import Reader

LARGEST_REFERENCE = 1 << 20

NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="The kubeconfig's default namespace.  [default: the spec's]",
        callback=values.namespace,
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The API server.  [default: the spec's]",
        callback=values.server_url,
    ),
]
ServerNameOption = Annotated[
    str | None,
    typer.Option(
        "--tls-server-name",
        metavar="NAME",
        help="The name to verify in the server's certificate (tls-server-name).",
        callback=values.server_name,
    ),
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        "--proxy-url",
        metavar="URL",
        help="A proxy URL (http, https, socks5).",
        callback=values.proxy_url,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaching:
    """How a kubeconfig's owner reaches the cluster, as far as the command line says it."""

    namespace: str | None
    server: str | None
    tls_server_name: str | None
    proxy_url: str | None

    def access(self, cluster: ClusterSpec, *, trust_bundle: bytes, user: str, home: str | None) -> Access:
        """What a kubeconfig says of a cluster and of where in it somebody works.

        Args:
            cluster: The spec says what the command line does not.
            trust_bundle: What the API server's certificate is verified with.
            user: What the kubeconfig calls its user.
            home: The namespace where somebody works by default.
        """
        return Access(
            cluster=cluster.name,
            server=self.server or cluster.cluster_server,
            trust_bundle=trust_bundle,
            user=user,
            namespace=self.namespace or home,
            tls_server_name=self.tls_server_name,
            proxy_url=self.proxy_url,
        )


def _reaching(
    *,
    namespace: NamespaceOption = None,
    server: ServerOption = None,
    tls_server_name: ServerNameOption = None,
    proxy_url: ProxyOption = None,
) -> Reaching:
    """How a kubeconfig reaches its API server, from the options that several commands share."""
    return Reaching(namespace=namespace, server=server, tls_server_name=tls_server_name, proxy_url=proxy_url)


reaching = grouped(_reaching)
"""A command that is given a `Reaching`, and its options."""


def trust_bundle(session: Session, reader: Reader) -> bytes:
    """What clients verify the API server's certificate with.

    Raises:
        AccessError: There is no CA, or a rotation is only half prepared.
        AuthorityError: The authority is another one than is recorded.
    """
    require_recorded(reader)
    found = certificates_of(reader, session.inventory, CA.KUBERNETES, now=session.now)
    bundle = found.trust_bundle if found is not None else None
    if bundle is None:
        raise AccessError("the PKI directory has no complete CA", hint="`pkigen plan` says what is missing")
    return bundle


def read_bounded(path: Path, *, limit: int) -> bytes:
    """The bytes of a file, or of standard input for `-`, and one more than `limit` at most.

    Raises:
        AccessError: It cannot be read.
    """
    if str(path) == "-":
        return sys.stdin.buffer.read(limit + 1)
    try:
        with path.open("rb") as stream:
            return stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise AccessError(
            f"{path} cannot be read: {reason.lower() if reason else 'this is not a file name'}"
        ) from None


def reference_reader(kubeconfig: Path) -> Callable[[Path], bytes | str]:
    """What reads the files that a kubeconfig names, or says why there are none."""
    return lambda path: read_reference(_at_node(kubeconfig, path))


def _at_node(kubeconfig: Path, path: Path) -> Path:
    """Where a file stands that a kubeconfig names: in a node's tree, or a copy of it, below its root."""
    root = next((each for each in kubeconfig.absolute().parents if each.name == "etc"), None)
    if root is None or not path.is_absolute():
        return path
    inside = root.parent / path.relative_to("/")
    return inside if inside.is_file() else path


def read_reference(path: Path) -> bytes | str:
    """The bytes of a file that a kubeconfig names by its path here, or why there are none."""
    try:
        data = read_bounded(path, limit=LARGEST_REFERENCE)
    except AccessError as error:
        return error.message
    return data if len(data) <= LARGEST_REFERENCE else f"{path} is larger than {LARGEST_REFERENCE} bytes"
