"""Whatever stands in other people's files, a terminal is told no more than text, and a line stays a line."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.cli import console
from pkigen.cli.reports import structured
from pkigen.cli.reports.tables import page, table
from pkigen.errors import Problem
from pkigen.notation import printable
from tests.cli.program import contents

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import InProcess, Result

HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202eb\rrisk: none\nnote: forged\x00\udcff"
SHOWN = r"a\x1b]0;owned\x07\x9b31m\u202eb\rrisk: none\nnote: forged\x00\udcff"


def assert_harmless(result: Result) -> None:
    """Nothing of a result moves a cursor, and no line begins with what a file put after an end of line."""
    for text in (result.out, result.err):
        lines = text.split("\n")
        assert all(line.isprintable() for line in lines), text
        assert not [line for line in lines if line.lstrip().startswith(("note: forged", "risk: none"))], text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("cp-1 → etcd, élan", "cp-1 → etcd, élan"), ("a\tb", r"a\tb"), (HOSTILE, SHOWN)],
)
def test_a_text_on_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_printed_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("one\ntwo " + HOSTILE.partition("\n")[0])
    console.note("three\x1b[2J")
    console.error(HOSTILE, hint=HOSTILE)
    console.warn([Problem(file="spec.yaml", line=1, column=2, path="", message=HOSTILE)])
    out, err = capsys.readouterr()
    assert out == "one\n" + r"two a\x1b]0;owned\x07\x9b31m\u202eb\rrisk: none" + "\n"
    lines = err.splitlines()
    assert lines[:3] == [r"three\x1b[2J", f"error: {SHOWN}", f"hint: {SHOWN}"]
    assert lines[3].startswith("warning: ")
    assert lines[3].endswith(SHOWN)
    assert len(lines) == 4


def test_documents_keep_their_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    assert capsys.readouterr().out == "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


def test_lines_and_cells_hold_what_is_in_them() -> None:
    assert page(["one", HOSTILE]) == f"one\n{SHOWN}"
    assert table(("NAME", "X"), [(HOSTILE, "y")]).splitlines()[1:] == [f"{SHOWN}  y"]


def token_of(claims: dict[str, object]) -> str:
    """A token that nobody signed, with these claims."""
    parts = ({"alg": "RS256", "kid": HOSTILE}, claims)
    encoded = [json.dumps(part).encode(errors="surrogatepass") for part in parts]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*encoded, b"sig"))


def test_claims_of_a_token(pkigen: InProcess, tmp_path: Path) -> None:
    text = HOSTILE.replace("\udcff", "")
    path = tmp_path / "token"
    path.write_text(
        token_of({"sub": f"system:serviceaccount:{text}:b", "iss": text, "aud": [text], "exp": 4e9})
    )
    assert_harmless(pkigen("explain", path))


def test_names_in_a_kubeconfig(pkigen: InProcess, tmp_path: Path) -> None:
    text = HOSTILE.replace("\udcff", "")
    config = {
        "kind": "Config",
        "current-context": text,
        "clusters": [{"name": text, "cluster": {"server": "https://a:6443"}}],
        "contexts": [{"name": text, "context": {"cluster": text, "user": text, "namespace": text}}],
        "users": [{"name": text, "user": {"token": token_of({"sub": text})}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    for command in (("access", "kubeconfig", "show"), ("access", "kubeconfig", "merge"), ("explain",)):
        assert_harmless(pkigen(*command, path))


def test_names_of_files(pkigen: InProcess, tree: Path) -> None:
    for name in ("x\nnote: forged", "\x1b[2J"):
        (tree / "nodes/cp-1" / name).write_text("-----BEGIN PRIVATE KEY-----")
    result = pkigen("verify", "-C", tree)
    assert result.code == 4
    assert_harmless(result)


def test_a_manifest_of_a_backup(pkigen: InProcess, spec: Path, tree: Path) -> None:
    pkigen(
        "renew", spec, "cp-1/apiserver" if "nodes/cp-1" in str(contents(tree)) else "apiserver", "-C", tree
    )
    for manifest in tree.glob(".pkigen/backups/*/manifest*"):
        manifest.write_text(manifest.read_text().replace("renew", "renew\\u001b[2J\\nnote: forged"))
    assert_harmless(pkigen("show", tree))
    assert_harmless(pkigen("rollback", "-C", tree, "--list"))


def test_what_a_person_names(pkigen: InProcess) -> None:
    for arguments in (("validate", HOSTILE), ("status", "-C", HOSTILE), (HOSTILE,), ("explain", HOSTILE)):
        assert_harmless(pkigen(*(each.replace("\x00", "") for each in arguments)))


@pytest.mark.parametrize("form", ["text", "markdown", "json", "sarif", "junit"])
@pytest.mark.parametrize("text", [HOSTILE.replace("\udcff", ""), "a\x00b", "a\x07\x1b[2Jb"])
def test_flags_of_a_cluster_that_others_made(pkigen: InProcess, tmp_path: Path, text: str, form: str) -> None:
    """Paths that no file can have, too: nothing stands there."""
    manifests = tmp_path / "etc/kubernetes/manifests"
    manifests.mkdir(parents=True)
    (tmp_path / "etc/kubernetes/pki").mkdir()
    command = ["kube-apiserver", f"--client-ca-file=/{text}", f"--{text}=1", f"--tls-cert-file={text}"]
    container = {"name": "kube-apiserver", "image": text, "command": command}
    pod = {"kind": "Pod", "metadata": {"name": text}, "spec": {"containers": [container]}}
    (manifests / "kube-apiserver.yaml").write_text(json.dumps(pod))
    result = pkigen("verify", tmp_path, "-o", form)
    assert "internal error" not in result.err, result
    assert_harmless(result)


@pytest.mark.parametrize(
    "text", ["x\nnote: forged", "a" * 90 + " note: forged", "b " * 60 + "\nnote: forged " * 9, "\n"]
)
def test_no_line_of_yaml_begins_with_what_others_wrote(text: str) -> None:
    content = {"text": text, "list": [{"text": text}]}
    dumped = structured.dump(content, "yaml")
    assert yaml.safe_load(dumped) == content
    assert not any(line.lstrip().startswith("note") for line in dumped.split("\n"))
