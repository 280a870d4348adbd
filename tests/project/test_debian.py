"""The Debian package: what stands in it, and that it works in a Debian 12 that has nothing but Python."""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import pkigen

TOP = Path(__file__).resolve().parents[2]
EPOCH = 1_700_000_000
ROOT = os.environ.get("DEBIAN_ROOT")
"""A Debian 12 with Python: `debootstrap --variant=minbase --include=python3 bookworm DIRECTORY` makes one."""


def made(kit: Path, out: Path) -> Path:
    done = subprocess.run(
        [sys.executable, TOP / "scripts/debian.py", kit, out],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.deb"))


@pytest.fixture(scope="module")
def package(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the kit is for this Python, and Debian 12 has 3.11")
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    return made(kit, tmp_path_factory.mktemp("debian"))


@pytest.fixture(scope="module")
def files(package: Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """What the package installs, by path."""
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            found[member.name.removeprefix("./")] = (member, file.read() if file else b"")
    return found


def test_whose_it_is_and_what_it_needs(package: Path) -> None:
    said = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, text=True).stdout
    fields = dict(re.findall(r"^(\S+): (.*)$", said, re.MULTILINE))
    assert (fields["Package"], fields["Version"]) == ("pkigen", pkigen.__version__)
    assert fields["Architecture"] == {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    assert fields["Depends"].startswith("python3 (>= 3.11~), python3 (<< 3.12~), libc6")


def test_modes_owners_and_times(files: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    programs = {name for name, (member, _) in files.items() if member.isfile() and member.mode & 0o111}
    assert programs == {"usr/bin/pkigen"}
    for name, (member, _) in files.items():
        assert (member.uid, member.gid) == (0, 0), name
        assert member.mode in {0o644, 0o755}, name
        assert member.mtime == EPOCH, name
        assert member.isfile() or member.isdir(), name
        assert "__pycache__" not in name, name


def test_everything_that_the_wheel_brings_is_in_its_place(
    kit: Path, files: dict[str, tuple[tarfile.TarInfo, bytes]]
) -> None:
    (wheel,) = (kit / "wheelhouse").glob("pkigen-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        shared = [name for name in names if ".data/data/share/" in name]
        assert shared
        for name in shared:
            target = name.partition(".data/data/")[2].replace("zsh/site-functions", "zsh/vendor-completions")
            is_page = target.startswith("share/man/")
            data = files[f"usr/{target}{'.gz' if is_page else ''}"][1]
            assert (gzip.decompress(data) if is_page else data) == archive.read(name), name
    modules = {name for name in names if name.startswith("pkigen/")}
    assert {f"usr/lib/pkigen/{name}" for name in modules} <= files.keys()
    assert not [name for name in files if name.startswith(("usr/lib/pkigen/share", "usr/lib/pkigen/bin"))]


def test_the_copyright_has_the_licence_of_every_part(files: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    text = files["usr/share/doc/pkigen/copyright"][1].decode()
    parts = json.loads(files["usr/share/doc/pkigen/pkigen.cdx.json"][1])["components"]
    for each in parts:
        if each["name"] != "pkigen":
            assert f"\n{each['name']} {each['version']}: " in text
    assert "/usr/share/common-licenses/Apache-2.0" in text


def test_the_bill_of_materials(package: Path, files: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    text = files["usr/share/doc/pkigen/pkigen.cdx.json"][1].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert package.with_suffix(".cdx.json").read_text() == text
    content = json.loads(text)
    assert content["metadata"]["component"]["purl"].startswith("pkg:deb/pkigen@")
    installed = {
        tuple(re.findall(r"^(?:Name|Version): (.+)$", data.decode(), re.MULTILINE)[:2])
        for name, (_, data) in files.items()
        if name.endswith(".dist-info/METADATA")
    }
    assert {(each["name"], each["version"]) for each in content["components"]} == installed


@pytest.mark.sweep
def test_the_same_kit_gives_the_same_package(kit: Path, package: Path, tmp_path: Path) -> None:
    assert made(kit, tmp_path / "again").read_bytes() == package.read_bytes()


def test_what_is_no_kit_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TOP / "scripts/debian.py", tmp_path, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "out").exists()


# -- a clean Debian 12 ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def debian(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can change the root directory")
    root = tmp_path_factory.mktemp("root") / "debian"
    if ROOT:
        subprocess.run(["cp", "-a", ROOT, root], check=True)
    elif os.environ.get("PKIGEN_DEBIAN") and shutil.which("debootstrap"):
        debootstrap = ["debootstrap", "--variant=minbase", "--include=python3", "bookworm", root]
        subprocess.run(debootstrap, check=True, capture_output=True)
    else:
        pytest.skip("DEBIAN_ROOT names no Debian 12, and PKIGEN_DEBIAN=1 does not ask debootstrap for one")
    shutil.copy(package, root / "tmp/pkigen.deb")
    inside(root, "dpkg --install /tmp/pkigen.deb")
    return root


def inside(root: Path, script: str) -> str:
    done = subprocess.run(
        ["unshare", "--net", "chroot", root, "/bin/bash", "-ec", f"cd /tmp; {script}"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.live
def test_it_works_in_a_clean_debian(debian: Path) -> None:
    said = inside(
        debian, "pkigen --version; pkigen init --example single > spec.yaml; pkigen init spec.yaml -C home"
    )
    assert said.startswith(f"pkigen {pkigen.__version__}\n")
    assert "0 findings" in inside(debian, "pkigen verify -C home")
    # Compiled when it was installed: nobody but root can do it later.
    assert inside(debian, "find /usr/lib/pkigen/pkigen -name '*.pyc' | head -1")


@pytest.mark.live
def test_the_shell_completes_in_it(debian: Path) -> None:
    complete = "COMP_WORDS=(pkigen ver); COMP_CWORD=1; _pkigen_completion pkigen; echo ${COMPREPLY[*]}"
    load = "source /usr/share/bash-completion/completions/pkigen"
    assert inside(debian, f"{load}; {complete}") == "verify\n"


@pytest.mark.live
def test_it_goes_without_a_trace(debian: Path) -> None:
    assert inside(debian, "dpkg --verify pkigen") == ""
    inside(debian, "dpkg --remove pkigen")
    left = inside(debian, "find / -xdev -name '*pkigen*' -not -path '/tmp/*' -not -path '/var/lib/dpkg/*'")
    assert left == ""
    inside(debian, "dpkg --install /tmp/pkigen.deb")
