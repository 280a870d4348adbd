"""Which certificate an API server shows, by the name that it is asked for."""

from __future__ import annotations

import pytest

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.shown_certificates import ShownCertificates
from tests.rotation.test_effective_flags import PKI, extra, inventory


@pytest.mark.parametrize(
    ("pairs", "shown"),
    [
        # By itself it is shown for its DNS names and its common name, and for no address.
        (("etcd/server",), {"localhost": "etcd-server", "cp1": "etcd-server", "127.0.0.1": "apiserver"}),
        (("etcd/server:127.0.0.1",), {"localhost": "apiserver", "127.0.0.1": "etcd-server"}),
        # The earlier one of two, but a name that the flag gives before one that stands in a certificate.
        (("etcd/server", "etcd/peer"), {"localhost": "etcd-server"}),
        (("etcd/server", "etcd/peer:localhost"), {"localhost": "etcd-peer", "cp1": "etcd-server"}),
        (("etcd/server:cp1", "etcd/peer:cp1"), {"cp1": "etcd-server", "localhost": "apiserver"}),
    ],
)
def test_whose_certificate_is_shown_for_a_name(pairs: tuple[str, ...], shown: dict[str, str]) -> None:
    """As `BuildNamedCertificates` of the API server decides it."""
    flags = []
    for pair in pairs:
        file, _, names = pair.partition(":")
        flags.append(("tls-sni-cert-key", f"{PKI}/{file}.crt,{PKI}/{file}.key{names and ':' + names}"))
    cluster = inventory(apiServer=extra(*flags))
    certificates = ShownCertificates(cluster, CommandLines(cluster))
    (node,) = cluster.cluster.control_plane
    found = {name: next(certificates.by(node, (name,)))[0] for name in shown}
    assert found == {name: f"cp1/{certificate}" for name, certificate in shown.items()}
