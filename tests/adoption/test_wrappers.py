"""A component is found behind what starts it, and nothing else is taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.adoption.wrappers import unwrapped
from pkigen.desired.readers import ComponentName
from tests.adoption.test_reading import cluster_of, program

if TYPE_CHECKING:
    from tests.adoption.altered_nodes import AlteredNode

LOGGED = (
    "mkfifo /tmp/pipe; (tee -a /var/log/kube-apiserver.log < /tmp/pipe & ) ; "
    "exec /usr/local/bin/kube-apiserver --a=1 '--b=2 3' > /tmp/pipe 2>&1"
)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["/bin/sh", "-c", LOGGED], ["/usr/local/bin/kube-apiserver", "--a=1", "--b=2 3"]),
        (["sh", "-ec", "kube-apiserver --a=1 && true"], ["kube-apiserver", "--a=1"]),
        (["bash", "-c", "kube-apiserver \\\n  --a=1\necho done"], ["kube-apiserver", "--a=1"]),
        (
            ["/go-runner", "--log-file=/x.log", "/bin/kube-apiserver", "--a=1"],
            ["/bin/kube-apiserver", "--a=1"],
        ),
        (["kube-apiserver", "--a=1"], ["kube-apiserver", "--a=1"]),
        (["/bin/watch", "kube-apiserver"], ["/bin/watch", "kube-apiserver"]),
        (["sh", "/run.sh", "kube-apiserver"], ["sh", "/run.sh", "kube-apiserver"]),
        (["sh", "-c", "kube-apiserver 'unfinished"], ["sh", "-c", "kube-apiserver 'unfinished"]),
        (["sh", "-c"], ["sh", "-c"]),
        ([], []),
    ],
)
def test_what_is_started_in_the_end(words: list[str], found: list[str]) -> None:
    assert unwrapped(words, tuple(ComponentName)) == found


def test_an_api_server_that_a_shell_starts(node: AlteredNode) -> None:
    manifest = yaml.safe_load(node.path("manifests/kube-apiserver.yaml").read_text())
    container = manifest["spec"]["containers"][0]
    before = program(cluster_of(node.root, node.now), ComponentName.API_SERVER).flags
    container["command"] = ["/bin/sh", "-c", "exec " + " ".join(container["command"]) + " > /dev/null 2>&1"]
    node.write("manifests/kube-apiserver.yaml", yaml.safe_dump(manifest).encode())
    assert program(cluster_of(node.root, node.now), ComponentName.API_SERVER).flags == before
