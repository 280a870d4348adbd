"""Commands that pkigen says to run next run as they were said, also where a directory's name has a space."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

from pkigen.cli.system import System
from pkigen.notation import quoted
from tests.cli.program import InProcess, copy_of

if TYPE_CHECKING:
    from pathlib import Path

_SAID = re.compile(r"\bpkigen ([a-z][^`\n]*)")


def nobody(*_: object) -> tuple[bytes, ...]:
    raise OSError("nobody answers")


def said(text: str, verb: str) -> list[str]:
    """The words of the one command with a verb, as a shell reads them."""
    (command,) = (each for each in _SAID.findall(text) if each.startswith(f"{verb} "))
    return shlex.split(command)


def looked(pkigen: InProcess, command: list[str]) -> bool:
    """Whether a command has dialled the cluster: then it was understood."""
    result = pkigen(*command, system=System(clock=lambda: pkigen.now, dial=nobody))
    return result.code == 4 and "unreachable: nobody answers" in result.err + result.out


def test_the_check_before_a_promotion(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "the cluster")
    assert pkigen("rotate", "ca", "kubernetes", "-C", root, "--yes").code == 0
    refused = pkigen("rotate", "ca", "kubernetes", "-C", root, "--yes")
    assert refused.code == 1
    assert looked(pkigen, said(refused.hint, "verify"))


def test_the_steps_of_a_rotation(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "the cluster")
    rotation = ["rotate", "ca", "front-proxy", "-C", root]
    begun = pkigen(*rotation, "--yes")
    assert begun.code == 0
    for phase in ("promote", "finish"):
        command = said(begun.err, "rotate")
        for look in ("plan", "status"):
            assert said(pkigen(look, "-C", root).out, "rotate") == command
        assert command[-3:] == ["--phase", phase, "--assume-distributed"]
        begun = pkigen(*command, "--yes")
        assert begun.code == 0, begun
    assert pkigen(*said(begun.err, "rollback"), "--yes", "--force").code == 0


def test_the_check_of_a_ca_that_endpoints_show(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "the cluster")
    begun = pkigen("rotate", "ca", "kubernetes", "-C", root, "--yes")
    dialled = pkigen(*said(begun.err, "rotate"), system=System(clock=lambda: pkigen.now, dial=nobody))
    assert (dialled.code, "not every endpoint serves" in dialled.error) == (1, True)
    assert looked(pkigen, said(dialled.hint, "verify"))


def test_the_proof_of_a_rescue(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    root, folder = copy_of(tree, tmp_path / "the cluster"), tmp_path / "runbook"
    pkigen.now = pkigen.now.replace(year=pkigen.now.year + 11)
    done = pkigen("rescue", "-C", root, "--yes", "--runbook", folder)
    assert done.code == 0, done
    lines = "".join(path.read_text() for path in sorted(folder.iterdir())).splitlines()
    (proof,) = (line for line in lines if "proof: " in line)
    assert looked(pkigen, said(proof, "verify"))
    copied = next(line for line in lines if "rsync --archive" in line)
    assert f"{root}/nodes/NAME/" in shlex.split(copied)


def test_the_first_kubectl(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    root = tmp_path / "the cluster"
    done = pkigen("init", spec, "-C", root)
    (command,) = re.findall(r"`(kubectl [^`]*)`", done.out + done.err)
    assert f"{root}/addons/" in shlex.split(command)


HOSTILE = "a b's \\ \x1b[2J\n\udcff\udcc3é→"


def test_a_word_is_read_by_a_shell_as_it_was() -> None:
    for word in ("plain", "", "a b", HOSTILE, *HOSTILE, "\udcff0", "\x010"):
        text = quoted(word)
        assert text.isprintable()
        read = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True)
        assert os.fsdecode(read.stdout) == word


def test_what_has_to_be_done_first(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "no such place"
    refused = pkigen("init", spec, "-C", place / "home")
    assert shlex.split(refused.hint.removeprefix("create it: ")) == ["mkdir", "-p", str(place)]
    secret = tmp_path / "a secret"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o644)
    medium = ("airgap", "bundle", "create", "--out", tmp_path)
    refused = pkigen(*medium, "-C", tree, "--passphrase-file", secret)
    assert shlex.split(refused.hint.partition(";")[0]) == ["chmod", "600", str(secret)]


def test_a_directory_whose_name_does_not_print(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "home\udcff\x1b")
    task = pkigen("next", "-C", root).out.splitlines()[-1]
    command = f"set -- {task}; printf '%s' \"$4\""
    read = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert os.fsdecode(read.stdout) == str(root)
