"""YAML as it comes: what is refused before it is a spec, each at its place, and how little that costs."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.certificates import CERTIFICATES
from pkigen.spec import yaml_source
from pkigen.spec.loader import load_text

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.spec.sources import HEAD, NODE, assert_starts, case, loaded, nodes, problems, spec

REFUSED = [
    case("empty", "", "1:1: is empty: 'pkigen init --example single' prints a spec to start from"),
    case(
        "only-a-comment",
        "# nothing\n",
        "1:1: is empty: 'pkigen init --example single' prints a spec to start from",
    ),
    case(
        "only-null", "---\n...\n", "1:1: is empty: 'pkigen init --example single' prints a spec to start from"
    ),
    case("scalar", "hello\n", "1:1: must be a mapping of keys to values, not 'hello'"),
    case("list", "- a\n", "1:1: must be a mapping of keys to values, not a list"),
    case(
        "unclosed",
        "a: [1, 2",
        "2:1: is not YAML: did not find expected ',' or ']' while parsing a flow sequence that began",
    ),
    case("tab", "a:\n\tb: 1\n", "2:1: has a tab where YAML wants spaces: indent with spaces"),
    case(
        "colon-in-value",
        "a: b: c\n",
        "1:5: is not YAML: a ':' with a space after it must be quoted, or the indentation is wrong",
    ),
    case("at-sign", "a: @b\n", "1:4: is not YAML: '@' cannot begin a value; put the value in quotes"),
    case(
        "unclosed-quote",
        "a: 'b\n",
        "2:1: is not YAML: found unexpected end of stream while scanning a quoted scalar that began",
    ),
    case(
        "bad-indentation",
        "a:\n    b: 1\n  c: 2\n",
        "3:3: is not YAML: did not find expected key while parsing a block mapping that began at",
    ),
    case("nul", b"a: \x00\n", "1:4: has the unprintable character U+0000: remove it"),
    case("control", b"ab\ncd: \x1b[31m\n", "2:5: has the unprintable character U+001B: remove it"),
    case("latin-1", b"a: b\nc: \xe9", "2:4: is not UTF-8: byte 0xe9; save the file as UTF-8"),
    case("utf-16", b"\xff\xfea\x00:\x00 \x00b\x00", "1:1: is UTF-16: save it as UTF-8"),
    case("utf-32", "a: b".encode("utf-32"), "1:1: is UTF-32: save it as UTF-8"),
    case(
        "yaml-version-2-docs",
        spec("---\nkind: Cluster\n"),
        "8:1: a second document begins here: one file describes one cluster",
    ),
    case(
        "duplicate-key",
        spec("  runtime: systemd\n  runtime: static-pods\n"),
        "8:3: spec.runtime: is given twice, first at line 7, column 3: keep one",
    ),
    case(
        "duplicate-nested",
        nodes("    - {name: a, name: b, roles: [control-plane], addresses: [192.0.2.1]}\n"),
        "7:17: spec.nodes[0].name: is given twice, first at line 7, column 8: keep one",
    ),
    case(
        "merge-key",
        spec("  networking: &n {dnsDomain: x.y}\n  etcd:\n    <<: *n\n"),
        "7:19: spec.etcd.dnsDomain: is not a key here; known are",
    ),
    case(
        "merge-of-text",
        spec("  etcd:\n    <<: [{dataDir: /e}, /f]\n"),
        '8:9: spec.etcd["<<"]: must be a mapping or a list of mappings, whose keys are merged in here',
    ),
    case(
        "merge-twice",
        spec("  etcd:\n    <<: {dataDir: /e}\n    <<: {imageTag: v1}\n"),
        '9:5: spec.etcd["<<"]: is given twice, first at line 8, column 5: keep one',
    ),
    case("number-key", spec("  1: x\n"), "7:3: spec: a key must be text, which '1' is not: put it in quotes"),
    case("null-key", spec("  ~: x\n"), "7:3: spec: a key must be text, which '~' is not: put it in quotes"),
    case(
        "list-key",
        spec("  ? [a]\n  : b\n"),
        "7:5: spec: a key must be text, which this is not: put it in quotes",
    ),
    case(
        "python-tag",
        spec("  networking: !!python/object:os.system {}\n"),
        "7:15: spec.networking: the tag !!python/object:os.system is not understood: remove it",
    ),
    case(
        "binary-tag",
        spec("  imageRepository: !!binary aGk=\n"),
        "7:20: spec.imageRepository: the tag !!binary is not understood: remove it",
        "7:20: spec.imageRepository: must be a registry, and a lower-case path in it, such as",
    ),
    case(
        "local-tag",
        spec("  imageRepository: !mine x\n"),
        "7:20: spec.imageRepository: the tag !mine is not understood: remove it",
    ),
    case(
        "no-anchor",
        spec("  networking: *nowhere\n"),
        "7:15: spec.networking: the alias *nowhere has no anchor &nowhere before it",
    ),
    case(
        "recursive",
        spec("  networking: &n {a: *n}\n"),
        "7:22: spec.networking.a: the alias *n stands within its own anchor: write the value out",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


SMALLEST = (HEAD + NODE).encode()


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
    assert load_text(text, file="f", kinds=CERTIFICATES).spec == loaded(SMALLEST).spec


def test_json_is_yaml() -> None:
    text = loaded(SMALLEST).spec.model_dump_json(by_alias=True, exclude_none=True)
    assert load_text(text.encode(), file="f", kinds=CERTIFICATES).spec == loaded(SMALLEST).spec


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
