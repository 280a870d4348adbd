"""Files as they come: encodings, line ends, what cannot be opened, and how much a hostile one costs."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.errors import Problem, SpecError
from pkigen.spec import yaml_source
from pkigen.spec.dialects import Dialect
from pkigen.spec.loader import load, load_text
from pkigen.spec.yaml_nodes import show_path
from pkigen.spec.yaml_scalars import Disputed
from pkigen.spec.yaml_source import read_documents
from tests.spec.sources import HEAD, NODE, assert_starts, cluster, loaded, problems, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST = (HEAD + NODE).encode()
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(params=["libyaml", "pure Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure Python":
        monkeypatch.setattr(yaml_source, "Parser", yaml.SafeLoader)
    return str(request.param)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_without_a_word(example: Path) -> None:
    found = load(example)
    assert found.warnings == ()
    assert found.dialect is Dialect.PKIGEN


def test_there_are_examples() -> None:
    names = {path.stem for path in EXAMPLES}
    assert {"single", "ha", "external-etcd", "dual-stack", "systemd", "users"} <= names


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "text",
    [
        SMALLEST,
        b"\xef\xbb\xbf" + SMALLEST,
        SMALLEST.replace(b"\n", b"\r\n"),
        SMALLEST.replace(b"\n", b"\r"),
        b"%YAML 1.2\n---\n" + SMALLEST + b"...\n",
        b"---\n---\n" + SMALLEST + b"---\n# nothing more\n",
        b"# caf\xc3\xa9 \xf0\x9f\x94\x91\n" + SMALLEST,
        SMALLEST.rstrip(),
        SMALLEST.replace(b"t}", b"!!str t}")
        .replace(b"[192", b"!!seq [192")
        .replace(b"metadata:", b"metadata: !!map"),
        SMALLEST.replace(b"name: t", b"name: ! t").replace(b"name: a", b"name: &a a"),
    ],
    ids=[
        "plain",
        "bom",
        "crlf",
        "cr",
        "directive",
        "empty-documents",
        "unicode",
        "no-newline",
        "tags",
        "anchor",
    ],
)
def test_harmless_forms(text: bytes) -> None:
    assert load_text(text, file="f").spec == loaded(SMALLEST).spec


def test_json_is_yaml() -> None:
    text = loaded(SMALLEST).spec.model_dump_json(by_alias=True, exclude_none=True)
    assert load_text(text.encode(), file="f").spec == loaded(SMALLEST).spec


def test_aliases_in_small_numbers() -> None:
    text = spec(
        '  apiServer: {certSANs: &names [x.example, "192.0.2.9"]}\n  etcd: {serverCertSANs: *names}\n'
    )
    found = loaded(text).spec.spec
    assert found.etcd.server_cert_sans == found.api_server.cert_sans == ("x.example", "192.0.2.9")


def test_a_problem_in_an_anchor_is_told_where_it_stands_for_each_use() -> None:
    text = spec("  apiServer: {certSANs: &names [10.0.0]}\n  etcd: {peerCertSANs: *names}\n")
    assert_starts(
        problems(text),
        ("7:33: spec.apiServer.certSANs[0]: must be an IP", "7:33: spec.etcd.peerCertSANs[0]: must be an IP"),
    )


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value.problems[0]) == f"{tmp_path}/none.yaml: cannot be read: no such file or directory"


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="1 problem in the spec") as caught:
        load(tmp_path)
    assert str(caught.value.problems[0]) == f"{tmp_path}: cannot be read: is a directory"


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SpecError) as caught:
        load(pipe)
    assert str(caught.value.problems[0]) == f"{pipe}: cannot be read: nobody writes to this pipe"


@pytest.mark.parametrize("pause", [0.0, 1.5])
def test_a_pipe_is_read_to_its_end(pause: float, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ["sh", "-c", f"exec > {pipe}; sleep {pause}; cat {EXAMPLES[0]}"]
    with subprocess.Popen(command) as writer:
        assert load(pipe) == load(EXAMPLES[0])
    assert writer.returncode == 0


def test_no_file_name() -> None:
    with pytest.raises(SpecError) as caught:
        load(Path("a\0b"))
    assert caught.value.problems[0].message.startswith("cannot be read: ")


def test_load_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(SMALLEST)
    assert load(path).spec.name == "t"


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(2**36)
    with pytest.raises(SpecError) as caught:
        load(path)
    assert str(caught.value.problems[0]) == f"{path}:1:1: is larger than 16 MiB, which no cluster needs"


def _bomb(levels: int = 9) -> str:
    lines = [f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(levels)]
    return "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *lines])


def _deepening_aliases() -> str:
    chain = [f"k{i}: &a{i} [*a{i - 1}]" for i in range(1, 100)]
    return "\n".join(["k0: &a0 [x]", *chain])


HOSTILE = {
    "bomb": (_bomb(), "5:8: e[0]: aliases repeat more than 10000 values: write them out"),
    "nested aliases": (_deepening_aliases(), "63:12: k62[0]: is nested more than 64 levels deep"),
    "deep list": (
        "[\n" * 100_000,
        "65:1: [0][0][0][0][0][0][0][0][0][0][0][0]…: is nested more than 64 levels",
    ),
    "deep mapping": ("{a: " * 100_000, "1:257: a.a.a.a.a.a.a.a.a.a.a.a…: is nested more than 64 levels deep"),
    "deep block": (
        "\n".join(" " * i + "a:" for i in range(100)),
        "65:65: a.a.a.a.a.a.a.a.a.a.a.a…: is nested",
    ),
    "long scalar": (f'a: "{"x" * 2**22}"', "1:1: apiVersion: is missing"),
    "long key": (f"{'x' * 2**22}: 1", "1:1: is longer than 65536 characters"),
    "long comment": ("#" * 2**24, "1:1: is empty"),
}


@pytest.fixture
def cost() -> Iterator[Any]:
    start, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - start < 10  # about two seconds on an idle machine
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200 * 1024


@pytest.mark.usefixtures("cost")
@pytest.mark.parametrize(("text", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_cost_little(text: str, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


@pytest.mark.usefixtures("cost", "parser")
def test_a_line_of_brackets_is_deep_whichever_parser_sees_it_first() -> None:
    # libyaml looks ahead to the line's end, and since 0.2.6 it has a limit of its own.
    assert problems("[" * 100_000)[0].endswith("is nested more than 64 levels deep, which no spec needs")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" + "a," * 1_100, "1:2000: [999]: has more than 1000 values"),
        ("--- a\n" * 1_100, "1001:5: has more than 1000 values, which no cluster needs"),
        ("".join(f"k{i}: 1\n" for i in range(600)), "500:7: k499: has more than 1000 values"),
        ("a: &a x\nb: [" + "*a," * 1_100, "2:2990: b[995]: has more than 1000 values"),
    ],
    ids=["values", "documents", "keys", "aliases"],
)
def test_values_are_counted(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "_MOST_VALUES", 1_000)  # the real bound would take seconds here
    assert problems(text)[0].startswith(expected)


@pytest.mark.parametrize("text", [_bomb(), "[\n" * 2000, "a: &a [*a]"])
def test_the_pure_parser_is_bounded_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = problems(text)
    monkeypatch.setattr(yaml_source, "Parser", yaml.SafeLoader)
    assert problems(text) == expected


def test_long_values_are_not_repeated() -> None:
    text = spec(f"  controlPlaneEndpoint: {'x' * 60_000}!\n  {'k' * 60_000}: 1\n  runtime: {'r' * 60_000}\n")
    assert all(len(problem) < 400 for problem in problems(text))


def test_many_unknown_keys_are_told_without_searching_for_each() -> None:
    found = problems(spec("".join(f"  kubelet{i}: 1\n" for i in range(1_200))))
    assert len(found) == 1_200
    assert found[0].endswith("did you mean kubelet?")
    assert found[-1].endswith("is no key here")


def test_all_problems_come_in_the_order_of_the_file() -> None:
    text = (
        "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: T}\nspec:\n"
        "  kubernetesVersion: 1\n  kubernetesVersion: 2\n  nodes: []\n  runtime: x\n"
    )
    assert [problem.split(":")[0] for problem in problems(text)] == ["3", "5", "6", "7", "8"]


def test_a_value_of_a_refused_key_is_left_out() -> None:
    found = problems(spec("  networking: {1: {a: b}, ~: c, dnsDomain: X}\n"))
    assert_starts(
        found,
        (
            "7:16: spec.networking: a key must be text, which '1' is not",
            "7:27: spec.networking: a key must be text, which '~' is not",
            "7:44: spec.networking.dnsDomain: must be a lower-case DNS name",
        ),
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("Null", None), ("nULL", "nULL"),
        ("true", True), ("FALSE", False), ("tRue", "tRue"), ("yes", "yes"), ("off", "off"), ("n", "n"),
        ("0", 0), ("-0", 0), ("+7", 7), ("012", Disputed("012")), ("-012", Disputed("-012")),
        ("0600", Disputed("0600")), ("00", Disputed("00")), ("1" * 40, int("1" * 40)),
        ("0o14", 12), ("0x1F", 31), ("0b11", "0b11"), ("1_000", "1_000"), ("10:20", "10:20"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-3", -0.0015), ("1.2.3", "1.2.3"),
        (".inf", float("inf")), ("-.INF", float("-inf")), ("+.Inf", float("inf")), ("inf", "inf"),
        ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("=", "="),
        ("e3", "e3"), (".", "."), ("0.5", 0.5), ("1" * 41, Disputed("1" * 41)), ("012.5", 12.5),
        ("'012'", "012"), ("0" * 41 + "x", "0" * 41 + "x"),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("! 5", "5"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    documents, found = read_documents(f"[{text}]".encode(), file="f")
    assert not found
    assert documents[0].value == [value]
    assert [type(item) for item in documents[0].value] == [type(value)]


def test_not_a_number() -> None:
    documents, _ = read_documents(b"[.nan]", file="f")
    assert str(documents[0].value) == "[nan]"


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ((), ""),
        (("spec", "nodes", 2, "addresses", 0), "spec.nodes[2].addresses[0]"),
        (("spec", "admin.conf", "x"), 'spec["admin.conf"].x'),
        (('a"b\n\u202e',), '["a\\"b\\n\\u202e"]'),
        (("é",), '["\\u00e9"]'),
    ],
)
def test_paths(steps: tuple[str | int, ...], shown: str) -> None:
    assert show_path(steps) == shown


def test_a_problem_reads_well() -> None:
    with pytest.raises(SpecError) as caught:
        load_text(spec("  runtime: static-pod\n").encode(), file="dir/cluster.yaml")
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
