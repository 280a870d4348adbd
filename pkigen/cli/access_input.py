"""How a kubeconfig reaches its cluster: options that several commands share, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli import values
from pkigen.cli.grouped import grouped
from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.access.kubeconfigs import Access
    from pkigen.spec.model import ClusterSpec

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
        from pkigen.access.kubeconfigs import Access

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
