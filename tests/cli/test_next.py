"""`pkigen next` on real directories: what the clock and the commands before it make of them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from tests.cli.program import DAY, HOME, InProcess, photograph

if TYPE_CHECKING:
    from pathlib import Path

WIDER = HOME.replace("  nodes:", "  apiServer: {certSANs: [api.example.com]}\n  nodes:")
ON_NODES = HOME.replace("  nodes:", "  certificates: {nodeKeys: node}\n  nodes:")


def asked(pkigen: InProcess, tree: Path, *arguments: object) -> dict[str, Any]:
    before = photograph(tree)
    result = pkigen("next", "-C", tree, "-o", "json", *arguments)
    assert photograph(tree) == before
    content: dict[str, Any] = result.json
    assert (content["apiVersion"], content["kind"], content["cluster"]) == ("pkigen/v1", "Next", "home")
    assert result.code == (0 if content["task"] is None else 3), result
    return content


def task(pkigen: InProcess, tree: Path, *arguments: object) -> tuple[str, str]:
    found = asked(pkigen, tree, *arguments)["task"]
    return found["kind"], found["command"]


def test_after_init_the_trees_go_to_the_nodes_and_then_nothing_is_to_do(
    pkigen: InProcess, tree: Path
) -> None:
    assert task(pkigen, tree) == ("distribute", f"pkigen next -C {tree} --live")
    assert asked(pkigen, tree, "--assume-distributed")["task"] is None
    pkigen.now += 8 * DAY
    content = asked(pkigen, tree)
    assert content["task"] is None
    # dev1's certificate is the first that ends.
    assert content["event"]["sentence"].startswith("user:dev1 is due")
    result = pkigen("next", "-C", tree)
    assert (result.code, result.err) == (0, "")
    assert result.out == "nothing to do until 2026-12-12 03:00 UTC: then user:dev1 is due for renewal\n"


def test_what_a_year_brings(pkigen: InProcess, tree: Path, spec: Path) -> None:
    pkigen.now += 340 * DAY
    found = asked(pkigen, tree, spec)["task"]
    assert (found["kind"], found["command"]) == ("renew", f"pkigen renew {spec} -C {tree}")
    assert found["nodes"] == ["cp-1"]
    assert pkigen("renew", spec, "-C", tree, "--yes").code == 0
    change = asked(pkigen, tree)["task"]
    assert (change["kind"], change["nodes"]) == ("distribute", ["cp-1"])
    assert "(renew)" in change["sentence"]
    assert asked(pkigen, tree, "--assume-distributed")["task"] is None


def test_an_expired_cluster_is_rescued(pkigen: InProcess, tree: Path, spec: Path) -> None:
    pkigen.now += 400 * DAY
    assert task(pkigen, tree, spec)[0] == "rescue"
    pkigen.now += 4000 * DAY  # the CAs, too: nothing can be planned any more
    result = pkigen("next", "-C", tree, spec)
    assert result.code == 3
    assert "the cluster is expired: ca, etcd-ca, front-proxy-ca have expired" in result.out
    assert f"\n  pkigen rescue {spec} -C {tree}\n" in result.out
    assert pkigen("rescue", spec, "-C", tree, "--yes").code == 0
    assert task(pkigen, tree)[0] == "distribute"


def test_a_spec_that_asks_for_more(pkigen: InProcess, tree: Path, spec: Path) -> None:
    spec.write_text(WIDER)
    assert task(pkigen, tree, spec) == ("apply", f"pkigen apply {spec} -C {tree}")
    # What the lock file holds is done.
    assert task(pkigen, tree)[0] == "distribute"


def test_a_rotation_half_way_and_its_end(pkigen: InProcess, tree: Path, spec: Path) -> None:
    rotate = ("rotate", "sa", spec, "-C", tree, "--yes")
    assert pkigen(*rotate).code == 0
    command = f"pkigen rotate sa -C {tree} --assume-distributed"
    assert task(pkigen, tree) == ("rotate", command)
    assert pkigen(*rotate, "--assume-distributed").code == 0
    assert asked(pkigen, tree, "--assume-distributed")["task"] is None, "tokens of the old key are valid"
    pkigen.now += 400 * DAY
    assert pkigen("renew", spec, "-C", tree, "--yes").code == 0
    found = asked(pkigen, tree)["task"]
    assert found["sentence"].startswith("the rotation of sa is promoted: ")
    assert found["sentence"].endswith("finish")


def test_a_ca_in_its_last_years(pkigen: InProcess, tree: Path, spec: Path) -> None:
    pkigen.now += 3630 * DAY
    assert pkigen("renew", spec, "-C", tree, "--yes").code == 0
    found = asked(pkigen, tree, "--assume-distributed")["task"]
    assert found["kind"] == "rotate"
    assert found["command"].startswith("pkigen rotate ca ")


def test_nodes_that_must_ask(pkigen: InProcess, tmp_path: Path) -> None:
    spec, tree = tmp_path / "home.yaml", tmp_path / "home"
    spec.write_text(ON_NODES)
    assert pkigen("init", spec, "-C", tree).code == 0
    found = asked(pkigen, tree)["task"]
    assert (found["kind"], found["nodes"]) == ("ask", ["cp-1"])


def test_another_authority_comes_first(pkigen: InProcess, tree: Path) -> None:
    key = tree / "pki/sa.key"
    key.write_bytes((tree / "pki/ca.key").read_bytes())
    pkigen.now += 340 * DAY
    assert task(pkigen, tree) == ("authority", f"pkigen verify -C {tree}")


def test_a_checkout_without_secrets(pkigen: InProcess, tree: Path) -> None:
    for path in [*tree.rglob("*.key"), *tree.rglob("*.conf"), *(tree / "users").rglob("*")]:
        if path.is_file():
            path.unlink()
    shutil.rmtree(tree / ".pkigen/backups", ignore_errors=True)
    content = asked(pkigen, tree)
    assert content["task"]["kind"] == "distribute"
    assert "sa" in content["withheld"]
    pkigen.now += 340 * DAY
    assert task(pkigen, tree)[0] == "renew"
    assert "cannot be judged without the private files" in pkigen("next", "-C", tree).err


def test_a_directory_that_is_none(pkigen: InProcess, tmp_path: Path) -> None:
    assert pkigen("next", "-C", tmp_path).code == 2
