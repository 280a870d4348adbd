"""What is refused before it is a spec at all: each at its place, none with a traceback."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, nodes, problems, spec

BAD_YAML = [
    case("empty", "", "1:1: is empty: 'pkigen example' prints a spec to start from"),
    case("only-a-comment", "# nothing\n", "1:1: is empty: 'pkigen example' prints a spec to start from"),
    case("only-null", "---\n...\n", "1:1: is empty: 'pkigen example' prints a spec to start from"),
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
        "9:5: spec.etcd: merge keys (<<) are no part of YAML 1.2: write the keys out",
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


@pytest.mark.parametrize(("source", "expected"), BAD_YAML)
def test_yaml_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)
