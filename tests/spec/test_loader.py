"""Files to specs: what cannot be opened, how problems are told, and how long five thousand nodes take."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from pkigen.desired.certificates import CERTIFICATES
from pkigen.errors import Problem, SpecError
from pkigen.spec.dialects import Dialect
from pkigen.spec.loader import load, load_text
from tests.spec.sources import HEAD, NODE, cluster, loaded, problems, spec

SMALLEST = (HEAD + NODE).encode()


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_without_a_word(example: Path) -> None:
    found = load(example, kinds=CERTIFICATES)
    assert found.warnings == ()
    assert found.dialect is Dialect.PKIGEN


def test_there_are_examples() -> None:
    names = {path.stem for path in EXAMPLES}
    assert {"single", "ha", "external-etcd", "dual-stack", "systemd", "users"} <= names


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "none.yaml", kinds=CERTIFICATES)
    assert str(caught.value.problems[0]) == f"{tmp_path}/none.yaml: cannot be read: no such file or directory"


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="1 problem in the spec") as caught:
        load(tmp_path, kinds=CERTIFICATES)
    assert str(caught.value.problems[0]) == f"{tmp_path}: cannot be read: is a directory"


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SpecError) as caught:
        load(pipe, kinds=CERTIFICATES)
    assert str(caught.value.problems[0]) == f"{pipe}: cannot be read: no program writes to this pipe"


@pytest.mark.parametrize("pause", [0.0, 1.5])
def test_a_pipe_is_read_to_its_end(pause: float, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ["sh", "-c", f"exec > {pipe}; sleep {pause}; cat {EXAMPLES[0]}"]
    with subprocess.Popen(command) as writer:
        assert load(pipe, kinds=CERTIFICATES) == load(EXAMPLES[0], kinds=CERTIFICATES)
    assert writer.returncode == 0


def test_no_file_name() -> None:
    with pytest.raises(SpecError) as caught:
        load(Path("a\0b"), kinds=CERTIFICATES)
    assert caught.value.problems[0].message.startswith("cannot be read: ")


def test_load_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(SMALLEST)
    assert load(path, kinds=CERTIFICATES).spec.name == "t"


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(2**36)
    with pytest.raises(SpecError) as caught:
        load(path, kinds=CERTIFICATES)
    assert str(caught.value.problems[0]) == f"{path}:1:1: is larger than 16 MiB, which no cluster needs"


def test_all_problems_come_in_the_order_of_the_file() -> None:
    text = (
        "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: "
        "}\nspec:\n"
        "  kubernetesVersion: 1\n  kubernetesVersion: 2\n  nodes: {}\n  runtime: x\n"
    )
    assert [problem.split(":")[0] for problem in problems(text)] == ["3", "5", "6", "7", "8"]


def test_a_problem_reads_well() -> None:
    with pytest.raises(SpecError) as caught:
        load_text(spec("  runtime: static-pod\n").encode(), file="dir/cluster.yaml", kinds=CERTIFICATES)
    problem = caught.value.problems[0]
    assert problem == Problem(
        file="dir/cluster.yaml",
        line=7,
        column=12,
        path="spec.runtime",
        message="must be static-pods or systemd, not 'static-pod'; did you mean static-pods?",
    )
    assert str(problem).startswith("dir/cluster.yaml:7:12: spec.runtime: must be")


def test_the_dialect_is_told() -> None:
    assert loaded(spec("")).dialect is Dialect.PKIGEN
    assert loaded(cluster("")).dialect is Dialect.KUBEADM


def test_five_thousand_nodes() -> None:
    lines = [
        f"    - {{name: node-{i}, roles: [{'control-plane' if i < 3 else 'worker'}], "
        f'addresses: [10.{i >> 8}.{i & 255}.1, "fd00::{i + 1:x}"], certSANs: [n{i}.example.com]}}\n'
        for i in range(5_000)
    ]
    text = f"{HEAD}  controlPlaneEndpoint: api.example.com\n  nodes:\n{''.join(lines)}"
    start = time.perf_counter()
    found = loaded(text)
    print(f"5,000 nodes: {time.perf_counter() - start:.2f} s")  # noqa: T201 -- a figure for people
    assert len(found.spec.spec.nodes) == 5_000
    assert found.warnings == ()
