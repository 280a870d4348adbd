"""The Dockerfile, as far as that can be shown without a container engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent.parent
DOCKERFILE = (TOP / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, arguments in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found


def test_hadolint_has_no_complaint() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(TOP / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_last_stage_runs_pkigen_as_nobody_in_particular() -> None:
    last = dict(stages()[-1])
    assert last["ENTRYPOINT"] == '["pkigen"]'
    assert last["USER"] == "65532:65532"
    assert last["COPY"].startswith("--from=builder /opt/pkigen ")
    assert "RUN" not in last
    assert {"title", "description", "licenses"} <= set(re.findall(r"image\.(\w+)=", last["LABEL"]))


def test_both_stages_use_the_same_base_which_an_argument_chooses() -> None:
    """One argument for the whole reference: a tag, or a digest."""
    assert [arguments.split()[0] for name, arguments in instructions() if name == "FROM"] == ["${BASE}"] * 2
    (argument,) = (arguments for name, arguments in instructions() if name == "ARG")
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+", argument)


def test_the_builder_takes_the_kit_and_nothing_else() -> None:
    assert dict(stages()[0])["COPY"] == "dist/offline /kit"
    kept = [line for line in (TOP / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert kept == ["*", "!dist/offline"]


@pytest.fixture(scope="module")
def image(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the builder's steps make of the kit, at another place than /opt/pkigen."""
    place = tmp_path_factory.mktemp("image")
    (steps,) = (arguments for name, arguments in stages()[0] if name == "RUN")
    command = steps.replace("/opt/pkigen", str(place / "pkigen")).replace("/kit/", f"{kit}/")
    command = command.replace("PYTHON=python ", f"PYTHON={sys.executable} ")
    done = subprocess.run(["sh", "-ec", command], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place / "pkigen"


def test_the_builder_leaves_no_package_installer(image: Path) -> None:
    assert {path.name for path in (image / "bin").iterdir()} >= {"pkigen", "python"}
    (packages,) = image.glob("lib/python*/site-packages")
    assert not [each.name for place in (image / "bin", packages) for each in place.glob("pip*")]
    assert list(image.rglob("pkigen/__pycache__/*.pyc"))


def test_it_works_with_a_read_only_root(image: Path, tmp_path: Path) -> None:
    shutil.copy(TOP / "examples" / "single.yaml", tmp_path / "cluster.yaml")
    script = (
        'mount --bind "$2" "$2" && mount -o remount,bind,ro / && cd "$2" && '
        'if touch /usr/probe 2>/dev/null; then exit 99; fi && "$1" init cluster.yaml && "$1" verify -C home'
    )
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run(
        [*alone, "mount", "-o", "remount,bind,ro", "/"], check=False, capture_output=True
    ).returncode:
        pytest.skip("this machine lets nobody make a mount namespace")
    done = subprocess.run(
        [*alone, "sh", "-ec", script, "sh", str(image / "bin" / "pkigen"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
