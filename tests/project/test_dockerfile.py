"""The Dockerfile, as far as that can be shown without a container engine."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent.parent
DOCKERFILE = (TOP / "Dockerfile").read_text(encoding="utf-8")
NO_INDEX = re.compile(r"NewConnectionError|Temporary failure in name resolution|Could not find a version")


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


def test_both_stages_use_the_same_python_which_an_argument_chooses() -> None:
    images = [arguments.split()[0] for name, arguments in instructions() if name == "FROM"]
    assert len(images) == 2
    assert set(images) == {"docker.io/library/python:${PYTHON_VERSION}-slim-${DEBIAN_VERSION}"}
    arguments = [value for name, value in instructions() if name == "ARG"]
    assert [value.partition("=")[0] for value in arguments] == ["PYTHON_VERSION", "DEBIAN_VERSION"]


def copied() -> list[tuple[str, str]]:
    """What the builder takes from the checkout: source and target."""
    pairs = []
    for name, arguments in stages()[0]:
        if name == "COPY":
            *sources, target = arguments.split()
            pairs += [(source, target) for source in sources]
    return pairs


def test_what_the_builder_copies_is_not_ignored() -> None:
    allowed = [line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source, _ in copied():
        assert (TOP / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the builder's steps make of its copies, at another place than /opt/pkigen."""
    place = tmp_path_factory.mktemp("image")
    source = place / "source"
    source.mkdir()
    for name, target in copied():
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(TOP / name, source / target)
    (steps,) = (arguments for name, arguments in stages()[0] if name == "RUN")
    command = steps.replace("/opt/pkigen", str(place / "pkigen")).replace("python -m", f"{sys.executable} -m")
    done = subprocess.run(["sh", "-ec", command], cwd=source, capture_output=True, text=True, check=False)
    if done.returncode and NO_INDEX.search(done.stdout + done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return place / "pkigen"


def test_the_builder_leaves_no_package_installer(image: Path) -> None:
    assert {path.name for path in (image / "bin").iterdir()} >= {"pkigen", "python"}
    assert not list(image.rglob("pip"))
    assert list(image.rglob("pkigen/__pycache__/*.pyc"))


def test_it_works_with_a_read_only_root(image: Path, tmp_path: Path) -> None:
    shutil.copy(TOP / "examples" / "single.yaml", tmp_path / "cluster.yaml")
    script = (
        'mount --bind "$2" "$2" && mount -o remount,bind,ro / && cd "$2" && '
        'if touch /usr/probe 2>/dev/null; then exit 99; fi && "$1" init cluster.yaml && "$1" verify home'
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
