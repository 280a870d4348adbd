"""What the spec takes back from a person, and until when the credentials work nevertheless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.program import DAY, HOME, InProcess, Result, unaddressed

if TYPE_CHECKING:
    from pathlib import Path

NODES = HOME.partition("  users:\n")[0]
ACCESS = """\
  users:
    - name: dev1
      groups: [dev, web team]
      clusterRoles: [view]
      roles:
        - {namespace: web, role: deployer}
        - {namespace: web, rules: [{apiGroups: [""], verbs: [get], resources: [pods]}]}
    - {name: Ann Lee, clusterRoles: [edit]}
    - kind: ServiceAccount
      name: bot
      namespace: ci
      uid: 3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b
      clusterRoles: [view]
"""


@pytest.fixture
def tree(pkigen: InProcess, tmp_path: Path) -> Path:
    (tmp_path / "before.yaml").write_text(NODES + ACCESS)
    assert pkigen("init", tmp_path / "before.yaml", "-C", tmp_path / "tree").code == 0
    return tmp_path / "tree"


def planned(pkigen: InProcess, tree: Path, users: str) -> Result:
    (tree.parent / "after.yaml").write_text(NODES + users)
    return pkigen("plan", tree.parent / "after.yaml", "-C", tree, "--full")


def lines_below(result: Result, action: str) -> list[str]:
    """The details that stand below one action of a plan."""
    lines = iter(result.out.splitlines())
    assert any(line.startswith(action) for line in lines), result.out
    found = []
    for line in lines:
        if not line.startswith("    "):
            break
        found.append(line.strip())
    return found


def test_what_stays_of_somebody_who_goes(pkigen: InProcess, tree: Path) -> None:
    result = planned(pkigen, tree, "")
    _, works = lines_below(result, "- remove users/dev1.conf")
    assert unaddressed(works) == (
        "client certificates of dev1 work until 2026-12-22 03:00 UTC, unless `pkigen access revoke` ends "
        "them; what is bound to the name and the groups dev, web team goes with its binding"
    )
    assert lines_below(result, "- remove users/ci.bot.conf")[1:] == [
        "the token in it works until 2026-12-22 03:00 UTC, or until its ServiceAccount is deleted"
    ]


def test_what_stays_on_a_node_that_goes(pkigen: InProcess, tmp_path: Path) -> None:
    """A worker can be revoked; nothing but a rotation helps against who has a control plane's keys."""
    tree, after = tmp_path / "tree", tmp_path / "after.yaml"
    more = (
        "    - {name: cp-9, roles: [control-plane], addresses: [10.0.0.19]}\n"
        "    - {name: w-9, roles: [worker], addresses: [10.0.0.29]}\n"
    )
    (tmp_path / "before.yaml").write_text(NODES + more)
    after.write_text(NODES)
    assert pkigen("init", tmp_path / "before.yaml", "-C", tree).code == 0
    result = pkigen("plan", after, "-C", tree, "--full")
    _, worker = lines_below(result, "- remove nodes/w-9")
    assert unaddressed(worker).endswith("work until they expire: wipe it, or `pkigen access revoke node:w-9`")
    assert pkigen("access", "revoke", "node:w-9", "--reason", "gone", "--dry-run", "-C", tree).code == 0
    _, control_plane = lines_below(result, "- remove nodes/cp-9")
    assert control_plane == (
        "the node keeps its files, ca.key, sa.key among them: wipe it; who has read those is an "
        "administrator until they are rotated"
    )
    # Nobody is told to copy anything to it afterwards.
    assert pkigen("apply", after, "-C", tree, "--yes", "--force").code == 0
    told = pkigen("next", "-C", tree).out
    assert "-9" not in told.replace(str(tree), "")  # where the tree is says nothing


PROXY = "  authentication: {proxies: [{name: gate}]}\n"


@pytest.mark.parametrize("runtime", ["static-pods", "systemd"])
def test_what_comes_and_goes_with_a_proxy(runtime: str, pkigen: InProcess, tmp_path: Path) -> None:
    """API servers restart for its name; who takes it away is told who believes it until when."""
    nodes, tree = f"{NODES}  runtime: {runtime}\n", tmp_path / "tree"
    restarts = "kube-apiserver is recreated" if runtime == "static-pods" else "kube-apiserver must restart"
    (tmp_path / "before.yaml").write_text(nodes)
    (tmp_path / "after.yaml").write_text(nodes + PROXY)
    assert pkigen("init", tmp_path / "before.yaml", "-C", tree).code == 0
    assert restarts in pkigen("plan", tmp_path / "after.yaml", "-C", tree).out
    assert pkigen("apply", tmp_path / "after.yaml", "-C", tree, "--yes").code == 0
    result = pkigen("plan", tmp_path / "before.yaml", "-C", tree, "--full")
    assert restarts in result.out
    (_, believed) = lines_below(result, "- remove users/proxy-gate.conf")
    assert believed.startswith("API servers believe it until they run without its name in --requestheader-")
    assert "`kubectl -n kube-system delete configmap extension-apiserver-authentication`" in believed


def test_the_latest_certificate_of_a_person_counts(pkigen: InProcess, tree: Path) -> None:
    pkigen.now += 5 * DAY
    spec = tree.parent / "before.yaml"
    assert pkigen("renew", spec, "user:dev1", "-C", tree, "--yes").code == 0
    # A shorter one later: the renewed one goes on working.
    pkigen.now += DAY
    spec.write_text(spec.read_text().replace("groups: [dev, web team]", "groups: [dev]\n      validity: 24h"))
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
    lines = lines_below(planned(pkigen, tree, ""), "- remove users/dev1.conf")
    assert "client certificates of dev1 work until 2026-12-27 03:00 UTC" in lines[1]


@pytest.mark.parametrize("content", [b"", b"nothing", b"\xff", b"[]\n---\nkind: 1\nmetadata: {name: x}\n"])
def test_files_that_cannot_be_read_say_nothing(pkigen: InProcess, tree: Path, content: bytes) -> None:
    for name in ("users/dev1.conf", "addons/user-dev1.yaml"):
        (tree / name).write_bytes(content)
    result = planned(pkigen, tree, "")
    assert result.code == 0
    assert lines_below(result, "- remove users/dev1.conf") == ["it is no longer in the spec"]
    # What the spec asked for until now is known all the same.
    assert " delete clusterrolebinding pkigen:dev1,clusterrole:view --ignore-not-found\n" in result.out


def test_a_group_that_goes_stays_in_earlier_certificates(pkigen: InProcess, tree: Path) -> None:
    result = planned(pkigen, tree, ACCESS.replace("[dev, web team]", "[dev]"))
    lines = lines_below(result, "! reissue user:dev1")
    assert (
        "earlier certificates of dev1 are in web team until 2026-12-22 03:00 UTC, unless `pkigen access "
        "revoke` ends them; what is bound there goes with its binding"
    ) in map(unaddressed, lines)
    result = planned(pkigen, tree, ACCESS.replace("[dev, web team]", "[dev, web team, more]"))
    assert "earlier certificates" not in result.out
