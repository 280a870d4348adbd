"""A pull request shows its plan in a clone without secrets; one protected machine applies exactly that."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen import layout
from pkigen.desired.generations import InKubeconfig, KeyPairFiles
from pkigen.desired.inventory import derive
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    DesiredSecret,
    DesiredToken,
    MaterialKind,
)
from tests.cli.program import DAY, HOME, REPOSITORY, InProcess, unaddressed
from tests.samples import CP1, W1
from tests.samples import spec as cluster_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMED = "  apiServer:\n    certSANs: [api2.example.com]\n"
WIDER = HOME.replace("  users:", "  apiServer:\n    certSANs: [api2.example.com]\n  encryption: {}\n  users:")
ENCRYPTED = HOME.replace("  users:", "  encryption: {}\n  users:")
MOVED = WIDER.replace("  users:", "  controlPlaneEndpoint: api.example.com:6443\n  users:")


def git(place: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, "-C", str(place), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


class Clones:
    """The protected machine's clone with its private files, and a runner's without."""

    def __init__(self, place: Path, pkigen: InProcess) -> None:
        self.run = pkigen
        self.origin, self.machine, self.runner = place / "origin.git", place / "machine", place / "runner"
        git(place, "init", "-q", "--bare", str(self.origin))
        git(place, "clone", "-q", str(self.origin), str(self.machine))
        self.write(self.machine, ENCRYPTED)
        assert pkigen("init", self.machine / "home.yaml", "-C", self.machine / "home").code == 0
        self.push("make the cluster")
        git(place, "clone", "-q", str(self.origin), str(self.runner))

    def write(self, clone: Path, text: str) -> None:
        (clone / "home.yaml").write_text(text)

    def push(self, message: str) -> None:
        git(self.machine, "add", "-A")
        git(self.machine, "commit", "-qm", message)
        git(self.machine, "push", "-q", "origin", "HEAD")

    def plan(self, clone: Path, *options: object) -> str:
        result = self.run("plan", clone / "home.yaml", "-C", clone / "home", *options)
        assert result.code == 0, result.err
        return result.out


@pytest.fixture
def clones(tmp_path: Path, pkigen: InProcess) -> Clones:
    return Clones(tmp_path, pkigen)


def secrets(tree: Path) -> Iterator[Path]:
    for path in tree.rglob("*"):
        if path.is_file() and re.search(rb"PRIVATE KEY|client-key-data|secret:|token:", path.read_bytes()):
            yield path


def test_the_clone_has_no_secret_and_the_plan_needs_none(clones: Clones) -> None:
    assert list(secrets(clones.machine / "home"))
    assert list(secrets(clones.runner / "home")) == []
    assert "nothing to do, " in clones.plan(clones.runner)
    assert "whose private files are not in this checkout" in clones.plan(clones.runner)


def test_a_plan_of_one_clone_is_applied_in_the_other(clones: Clones, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    for clone in (clones.runner, clones.machine):
        clones.write(clone, WIDER)
    markdown = clones.plan(clones.runner, "--save", saved, "-o", "markdown")
    assert "- `! reissue apiserver on cp-1: SANs + api2.example.com, " in markdown
    assert "not judged: " in markdown
    clones.run.now += DAY  # reviews take their time
    tree = clones.machine / "home"
    applied = clones.run("apply", clones.machine / "home.yaml", "-C", tree, saved, "--yes")
    assert (applied.code, applied.error) == (0, "")
    assert "applied: 1 issued, 1 changes" in applied.out
    assert "nothing to do, " in clones.plan(clones.machine)
    assert clones.run("verify", "-C", tree).code == 0


def test_an_edit_after_the_review_is_refused(clones: Clones, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    for clone in (clones.runner, clones.machine):
        clones.write(clone, WIDER)
    clones.plan(clones.runner, "--save", saved)
    place = (clones.machine / "home.yaml", "-C", clones.machine / "home", saved, "--yes")
    clones.write(clones.machine, WIDER.replace("api2", "api3"))
    refused = clones.run("apply", *place)
    assert refused.code == 1
    assert "the saved plan is stale" in refused.error
    assert "SANs + api3.example.com" in refused.error
    clones.write(clones.machine, WIDER)
    saved.write_text(saved.read_text().replace("api2.example.com", "api4.example.com"))
    assert "was changed after it was saved" in clones.run("apply", *place).error
    assert "api3" not in clones.plan(clones.machine)


def test_what_could_not_be_judged_stays_for_another_plan(clones: Clones, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    for clone in (clones.runner, clones.machine):
        clones.write(clone, MOVED)
    clones.plan(clones.runner, "--save", saved)
    reviewed = {each["id"] for each in json.loads(saved.read_text())["actions"]}
    withheld = json.loads(saved.read_text())["withheld"]
    assert "cp-1/admin.conf" not in reviewed
    assert {"cp-1/admin.conf", "cp-1/apiserver", "sa", "ca"} <= set(withheld)
    tree = clones.machine / "home"
    before = (tree / "nodes/cp-1/etc/kubernetes/admin.conf").read_bytes()
    applied = clones.run("apply", clones.machine / "home.yaml", "-C", tree, saved, "--yes")
    assert applied.code == 0
    assert "changes that the saved plan could not judge stay for `pkigen plan`" in unaddressed(applied.err)
    assert (tree / "nodes/cp-1/etc/kubernetes/admin.conf").read_bytes() == before
    rest = json.loads(clones.plan(clones.machine, "-o", "json"))["actions"]
    assert rest
    assert not {each["id"] for each in rest} & reviewed


def test_the_documented_pipeline(tmp_path: Path) -> None:
    """The commands of docs/how-to/pull-requests.md, as a runner and the protected machine run them."""
    text = (REPOSITORY / "docs/how-to/pull-requests.md").read_text()
    pipeline, script = re.findall(r"^```(?:yaml|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    steps = [str(step.get("run", "")) for step in yaml.safe_load(pipeline)["jobs"]["plan"]["steps"]]
    commands = [step for step in steps if step.startswith("pkigen ")]
    assert len(commands) == 2
    program = tmp_path / "bin" / "pkigen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pkigen "$@"\n')
    program.chmod(0o755)
    names = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def run(place: Path, lines: str) -> None:
        done = subprocess.run(
            ["sh", "-ec", lines], cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    origin, machine, runner = (tmp_path / name for name in ("origin.git", "machine", "runner"))
    run(tmp_path, "git init -q --bare origin.git; git clone -q origin.git machine")
    (machine / "cluster.yaml").write_text(HOME)
    publish = "git add -A; git commit -qm change; git push -qu origin HEAD"
    run(machine, f"pkigen init cluster.yaml -C prod; {publish}")
    run(tmp_path, f"git clone -q {origin} runner; cd runner; git checkout -qb wider")
    (runner / "prod/cluster.yaml").write_text(HOME.replace("  users:", f"{NAMED}  users:"))
    run(runner, "\n".join(commands))
    assert "SANs + api2.example.com" in (runner / "plan.md").read_text()
    (machine / "prod/cluster.yaml").write_text((runner / "prod/cluster.yaml").read_text())
    run(machine, publish)  # as merging does
    (machine / "plan.json").write_text((runner / "plan.json").read_text())
    run(machine, re.sub(r"^\$ ", "", script, flags=re.MULTILINE))
    run(machine, "pkigen verify -C prod")
    run(runner, "git checkout -qf -; git pull -q; pkigen plan -C prod --exit-code")


def test_status_and_verify_judge_what_can_be_judged(clones: Clones) -> None:
    tree = clones.runner / "home"
    rows = {each["id"]: each for each in clones.run("status", "-C", tree, "-o", "json").json["certificates"]}
    assert rows["cp-1/apiserver"]["expires"]
    assert (rows["cp-1/apiserver"]["reasons"], rows["ca"]["reasons"]) == ([], [])
    assert rows["cp-1/admin.conf"]["expires"] is None
    assert rows["cp-1/admin.conf"]["reasons"] == ["not-judged"]
    assert clones.run("status", "-C", tree, "--fail-within", "24h").code == 0
    verified = clones.run("verify", "-C", tree, "-o", "json")
    assert (verified.code, verified.json["findings"]) == (0, [])
    remarks = {each["subject"] for each in verified.json["remarks"]}
    assert {"cp-1/admin.conf", "cp-1/apiserver", "sa", "pki.lock"} <= remarks
    # What is public is judged as ever.
    (tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt").write_text("rubbish")
    broken = clones.run("verify", "-C", tree, "-o", "json")
    assert broken.code == 4
    assert {"unreadable", "broken-edge"} <= {each["reason"] for each in broken.json["findings"]}
    clones.run.now += 360 * DAY
    assert clones.run("status", "-C", tree, "--fail-within", "720h").code == 4


@pytest.mark.parametrize(
    "words", [("apply",), ("renew", "--all"), ("rescue",), ("rotate", "ca", "kubernetes"), ("rotate", "sa")]
)
def test_nothing_is_issued_in_a_checkout(clones: Clones, words: tuple[str, ...]) -> None:
    clones.write(clones.runner, WIDER)
    result = clones.run(*words, clones.runner / "home.yaml", "-C", clones.runner / "home", "--yes")
    assert result.error == "this is a checkout without private files: nothing can be issued here"


def test_a_directory_that_lost_some_keys_is_no_checkout(clones: Clones) -> None:
    tree = clones.machine / "home"
    for path in (tree / "nodes").rglob("*.key"):
        path.unlink()
    plan = json.loads(clones.plan(clones.machine, "-o", "json"))
    assert plan["withheld"] == []
    assert "key-missing" in {each["reason"] for each in plan["actions"]}


def test_a_tracked_private_file_is_found(clones: Clones) -> None:
    tree = clones.machine / "home"
    assert clones.run("verify", "-C", tree).code == 0
    git(clones.machine, "add", "-f", "home/pki/ca.key")
    result = clones.run("verify", "-C", tree, "-o", "json")
    assert result.code == 4
    assert [(each["subject"], each["reason"]) for each in result.json["findings"]] == [
        ("pki/ca.key", "tracked-secret")
    ]


def test_every_private_file_of_the_inventory_is_private_by_name() -> None:
    private, public = set[str](), set[str]()
    for item in derive(
        cluster_spec(CP1, W1, encryption={}, users=[{"name": "dev1", "groups": ["dev"]}])
    ).items:
        match item:
            case DesiredCertificate(location=KeyPairFiles() as files):
                private.add(files.key)
                public.add(files.certificate)
            case DesiredCertificate(location=InKubeconfig() as place):
                private.add(place.kubeconfig)
            case DesiredKeyPair():
                private.add(item.private_path)
                public.add(item.public_path)
            case DesiredSecret() | DesiredToken():
                private.add(item.path)
            case DesiredCopy():
                keys = {MaterialKind.CA_KEY, MaterialKind.SA_PRIVATE_KEY}
                (private if item.material in keys else public).add(item.path)
            case DesiredFile():
                (private if item.secret else public).add(item.path)
    assert len(private) > 20 < len(public)
    assert [path for path in private if not layout.is_private(path)] == []
    assert [path for path in public if layout.is_private(path)] == []
