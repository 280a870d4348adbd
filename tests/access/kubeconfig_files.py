"""Kubeconfigs as files: written for a test, and what kubectl and pkigen make of them."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.cli.program import NOW
from tests.desired.rendering.reference_programs import find

if TYPE_CHECKING:
    from pathlib import Path

    from tests.access.team_cluster import TeamCluster


def viewed(*paths: Path, flags: tuple[str, ...] = ()) -> Any:
    """What a real kubectl makes of kubeconfigs."""
    done = subprocess.run(
        [find("kubectl"), "config", "view", "--raw", "-o", "json", *flags],
        env={**os.environ, "KUBECONFIG": os.pathsep.join(map(str, paths)), "HOME": str(paths[0].parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown(place: TeamCluster, content: str, *, later: timedelta = timedelta()) -> str:
    """What `pkigen access kubeconfig show` says of a kubeconfig, now or later."""
    place.pkigen.now = NOW + later
    result = place.run("access", "kubeconfig", "show", place.write("shown", content))
    assert result.code == 0, result.err
    return result.out


def written(user: str, cluster: str = "server: 'https://x:6443'") -> str:
    """A kubeconfig of one user and one cluster, both in YAML's flow form."""
    return (
        "kind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: k, cluster: {{{cluster}}}}}]\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
        f"users: [{{name: u, user: {{{user}}}}}]\n"
    )
