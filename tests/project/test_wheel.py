"""The wheel and the source archive: complete, and runnable anywhere with nothing but what they declare."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name

import pkigen
from scripts.completions import completion
from tests.pages.blocks import commands_for

TOP = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, and the wheel that is built from it, as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(TOP)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def installed(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `pkigen` of a fresh environment that holds the wheel, what it declares to need and nothing else."""
    place = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    (packages,) = place.glob("lib/python*/site-packages")
    for needed in declared(distribution("pkigen")):
        link(needed, packages)
    (wheel,) = archives.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    return place / "bin" / "pkigen"


def declared(root: Distribution) -> list[Distribution]:
    """Everything that a distribution needs, directly or not, as its metadata say."""
    found: dict[str, Distribution] = {}
    waiting = list(root.requires or [])
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in found or (
            requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        ):
            continue
        found[requirement.name] = distribution(requirement.name)
        waiting += found[requirement.name].requires or []
    return list(found.values())


def link(needed: Distribution, packages: Path) -> None:
    """Make an installed distribution visible in another environment, without a package index."""
    for name in {file.parts[0] for file in needed.files or []} - {"..", "__pycache__"}:
        target = packages / name
        if not target.exists():
            target.symlink_to(Path(str(needed.locate_file(name))))


def run(program: Path | str, *arguments: str, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(program), *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def main_job(program: Path | str, folder: Path) -> None:
    """What a newcomer does first."""
    assert run(program, "--version", cwd=folder) == f"pkigen {pkigen.__version__}\n"
    spec = run(program, "init", "--example", "single", cwd=folder)
    assert spec.rstrip() == (TOP / "examples" / "single.yaml").read_text(encoding="utf-8").rstrip()
    (folder / "cluster.yaml").write_text(spec, encoding="utf-8")
    run(program, "init", "cluster.yaml", "-C", "home", cwd=folder)
    run(program, "verify", "-C", "home", cwd=folder)
    assert (folder / "home/nodes/cp1/etc/kubernetes/manifests/kube-apiserver.yaml").is_file()


def test_the_wheel_runs_elsewhere(installed: Path, tmp_path: Path) -> None:
    main_job(installed, tmp_path)
    place = run(installed.parent / "python", "-c", "import pkigen; print(pkigen.__file__)", cwd=tmp_path)
    assert not Path(place.strip()).is_relative_to(TOP)


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of everything that an installation from source needs, as a package index would have them."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    backend = distribution("hatchling")
    for needed in (backend, *declared(backend), *declared(distribution("pkigen"))):
        repack(needed, folder)
    return folder


def repack(installed: Distribution, folder: Path) -> None:
    """Make a wheel of an installed distribution, as its own metadata describe it."""
    stated = re.findall(r"^Tag: (\S+)$", installed.read_text("WHEEL") or "", re.MULTILINE)
    tag = next(str(tag) for tag in sys_tags() if str(tag) in stated)
    name = canonicalize_name(installed.metadata["Name"]).replace("-", "_")
    of_installer = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    with zipfile.ZipFile(folder / f"{name}-{installed.version}-{tag}.whl", "w") as wheel:
        inside = [
            file
            for file in installed.files or []
            if ".." not in file.parts and file.suffix != ".pyc" and file.name not in of_installer
        ]
        for file in inside:
            wheel.write(str(file.locate()), str(file))
        (metadata,) = {file.parts[0] for file in inside if file.parts[0].endswith(".dist-info")}
        wheel.writestr(f"{metadata}/RECORD", "".join(f"{file},,\n" for file in inside))


@pytest.fixture(scope="module")
def checkout(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the source archive holds: everything that is installed from a checkout."""
    place = tmp_path_factory.mktemp("checkout")
    (archive,) = archives.glob("*.tar.gz")
    shutil.unpack_archive(archive, place, filter="data")
    (top,) = place.iterdir()
    return top


def test_it_is_installed_as_documented(checkout: Path, wheelhouse: Path) -> None:
    """By the README; what pip would load from an index is here already. The tutorial does the same first."""
    ((readme,),), ((tutorial,),) = (
        commands_for("tests/project/test_wheel.py", TOP / page)
        for page in ("README.md", "docs/tutorial/first-cluster.md")
    )
    installing, _, reaching = tutorial.words.rpartition(" && ")
    assert readme.words.startswith(f"{installing} && ")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse), "PIP_NO_COMPILE": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = f"{readme.words}\n{reaching}\ncommand -v pkigen\npkigen verify -C prod"
    done = subprocess.run(
        ["sh", "-ec", script], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"\n{checkout}/.venv/bin/pkigen\n" in done.stdout


def test_the_checkout_runs_from_anywhere(tmp_path: Path) -> None:
    main_job(Path(sys.executable).parent / "pkigen", tmp_path)


def test_a_user_overrides_a_template_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    overrides = tmp_path / "mine" / "manifests"
    overrides.mkdir(parents=True)
    original = (TOP / "templates/manifests/kube-scheduler.yaml.j2").read_text(encoding="utf-8")
    (overrides / "kube-scheduler.yaml.j2").write_text(f"# ours\n{original}", encoding="utf-8")
    arguments = ("init", str(TOP / "examples/single.yaml"), "-C", "home", "--templates", "mine")
    run(installed, *arguments, cwd=tmp_path)
    manifest = tmp_path / "home/nodes/cp1/etc/kubernetes/manifests/kube-scheduler.yaml"
    assert manifest.read_text(encoding="utf-8").startswith("# ours\n")


def test_the_wheel_holds_every_template_and_example(archives: Path) -> None:
    (wheel,) = archives.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in (("templates", "_templates"), ("examples", "_examples")):
        wanted = {path.relative_to(TOP / folder).as_posix() for path in files(TOP / folder)}
        assert {f"pkigen/{inside}/{name}" for name in wanted} <= names
    assert "pkigen/py.typed" in names
    for schema in (TOP / "docs").glob("*.schema.json"):
        assert f"pkigen-{pkigen.__version__}.data/data/share/pkigen/{schema.name}" in names
    shared = f"pkigen-{pkigen.__version__}.data/data/share"
    assert {f"{shared}/man/man1/{page.name}" for page in (TOP / "docs/man").iterdir()} <= names
    assert not {name for name in names if name.startswith(("tests/", "templates/"))}


def test_the_wheel_brings_what_shells_complete_by(archives: Path) -> None:
    """As the program says itself; after a change: `python scripts/completions.py`."""
    (wheel,) = archives.glob("*.whl")
    places = {
        "bash": "share/bash-completion/completions/pkigen",
        "zsh": "share/zsh/site-functions/_pkigen",
        "fish": "share/fish/vendor_completions.d/pkigen.fish",
    }
    with zipfile.ZipFile(wheel) as archive:
        for shell, place in places.items():
            (name,) = (each for each in archive.namelist() if each.endswith(f".data/data/{place}"))
            assert archive.read(name).decode() == completion(shell)


def test_the_source_archive_can_be_tested(archives: Path) -> None:
    (archive,) = archives.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    folders = ("pkigen", "templates", "examples", "tests", "sample-output", "scripts", "benchmarks")
    for folder in (*folders, "docs", "requirements", "completions"):
        wanted = {path.relative_to(TOP).as_posix() for path in files(TOP / folder)}
        assert wanted
        assert wanted - names == set()
    assert {"LICENSE", "README.md", "pyproject.toml", "ARCHITECTURE.md", "CHANGELOG.md"} <= names
    assert {"Dockerfile", ".dockerignore"} <= names


def files(folder: Path) -> list[Path]:
    """What Git would keep of a folder."""
    caches = {"__pycache__", ".mypy_cache", ".pytest_cache", ".hypothesis"}
    return [path for path in folder.rglob("*") if path.is_file() and not caches & set(path.parts)]


def test_the_version_is_stated_once() -> None:
    stated = re.search(r'^__version__ = "(.+)"$', (TOP / "pkigen/__init__.py").read_text(), re.MULTILINE)
    assert stated
    assert distribution("pkigen").version == stated[1]


def test_the_tests_find_their_program() -> None:
    assert shutil.which("pkigen", path=str(Path(sys.executable).parent))
