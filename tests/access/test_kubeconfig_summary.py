"""What `pkigen access kubeconfig show` says of a kubeconfig."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.access.kubeconfig_files import shown, written

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster

# -- show --------------------------------------------------------------------------------------------------


def test_who_it_is_until_when_and_what_breaks_next(place: TeamCluster) -> None:
    text = (place.tree / "users/dev1.conf").read_text()
    assert shown(place, text).splitlines() == [
        "context dev1@team (current)",
        "  cluster:    team at https://10.0.0.11:6443",
        "  trusts:     CN=kubernetes until 2036-11-19 (in 10y)",
        "  namespace:  web",
        "  credential: client certificate",
        "  user:       dev1",
        "  groups:     platform-team, system:authenticated",
        "  until:      2026-11-29 03:00 UTC (in 7d)",
        "  next:       2026-11-29 03:00 UTC the client certificate expires, and the API server answers 401",
    ]
    late = shown(place, text, later=timedelta(days=8))
    assert "until:      2026-11-29 03:00 UTC (1d ago)" in late
    assert "broken:     the client certificate expired 2026-11-29 03:00 UTC" in late
    assert "broken now: since 2026-11-29 03:00 UTC the client certificate expires" in late
    assert "is not valid before" in shown(place, text, later=-timedelta(days=1))
    assert "PRIVATE" not in late


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("insecure-skip-tls-verify: true", "the server is not verified at all"),
        ("server: x", "trusts:     the CAs of this machine's system"),
        ("certificate-authority: none", "trusts:     its CA"),
        ("certificate-authority: empty", "trusts:     its CA is empty"),
        ("proxy-url: 'http://p'", "through the proxy http://p"),
        ("tls-server-name: api", "server must be named api"),
    ],
)
def test_clusters_of_all_kinds(place: TeamCluster, cluster: str, said: str) -> None:
    place.write("empty", "")
    assert said in shown(place, written("token: x", cluster))


def test_what_a_context_lacks(place: TeamCluster) -> None:
    out = shown(place, "kind: Config\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n")
    for said in ("it has no current context", "'k' is not in this file", "'u' is not in this file"):
        assert said in out
    assert "'d' is not there" in shown(place, "current-context: d\ncontexts: [{name: c, context: {}}]\n")
