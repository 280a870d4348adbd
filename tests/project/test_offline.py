"""The tool goes where there is no network: wheelhouse, install script and zipapp, run under `unshare -n`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pkigen
from scripts.bill import of_lock
from scripts.offline import INSTALL
from tests import unmeasured
from tests.cli.program import HOME
from tests.pages.blocks import commands_for, compare
from tests.project.test_wheel import declared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.pages.blocks import Command

TOP = Path(__file__).resolve().parents[2]
CUT_OFF = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")


WITH_TOOLS = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def without_network(
    *command: str | Path, cwd: Path, python: str | Path = sys.executable
) -> subprocess.CompletedProcess[str]:
    if shutil.which("unshare") is None or subprocess.run([*CUT_OFF, "true"], check=False).returncode:
        pytest.skip("the network cannot be cut off here")
    environment = {**os.environ, "HOME": str(cwd), "PIP_NO_INDEX": "1", "SHIV_ROOT": str(cwd / ".shiv")}
    environment["PYTHON"] = str(python)
    return subprocess.run(
        [*CUT_OFF, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_network_is_really_cut_off(tmp_path: Path) -> None:
    script = "import socket; socket.create_connection(('192.0.2.1', 9), 2)"
    done = without_network(sys.executable, "-c", script, cwd=tmp_path)
    assert "Network is unreachable" in done.stderr


def documented(number: int) -> tuple[Command, ...]:
    """The commands of docs/how-to/air-gap.md: how the kit is made, and how it is installed."""
    return commands_for("tests/project/test_offline.py", TOP / "docs/how-to/air-gap.md")[number]


def test_the_kit_is_made_as_documented(kit: Path) -> None:
    making, listing = documented(0)
    said = kit.with_suffix(".said").read_text().splitlines()
    assert making.words.split()[:3] == ["python", "scripts/offline.py", "dist/offline"]
    assert listing.words == "ls dist/offline"
    of_pythons = re.compile(r"\S+: \d+ wheels for Python 3[0-9, .]+ on (?:x86_64|aarch64|, )+")
    assert making.shown is not None
    assert all(of_pythons.fullmatch(lines[0]) for lines in (said, making.shown))
    assert compare(making.shown[1:], said[1:]).fault is None
    present = sorted(path.name for path in kit.iterdir())
    assert listing.shown == ("  ".join(present),)


def test_installed_as_documented_and_run_without_a_network(kit: Path, tmp_path: Path) -> None:
    commands = documented(1)
    script = "\n".join(each.words for each in commands)
    for shown, present in (("/media/usb/offline", kit), ("/opt/pkigen", tmp_path / "pkigen")):
        assert shown in script
        script = script.replace(shown, str(present))
    installed = without_network("sh", "-ec", script, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    shown = tuple(line for each in commands for line in each.shown or ())
    assert compare(shown, installed.stdout.splitlines()).fault is None, installed.stdout
    _works([tmp_path / "pkigen/bin/pkigen"], tmp_path)
    _lists_what_it_is(tmp_path / "pkigen/sbom.cdx.json")


def test_the_zipapp_runs_without_a_network(kit: Path, tmp_path: Path) -> None:
    _works([sys.executable, kit / "pkigen.pyz"], tmp_path)
    first = (kit / "pkigen.pyz").read_bytes().partition(b"\n")[0]
    assert first.decode() == "#!/usr/bin/env python{}.{}".format(*sys.version_info)


def _works(program: Sequence[str | Path], place: Path) -> None:
    """A cluster is made and a node packed: templates, native libraries and all."""
    (place / "home.yaml").write_text(HOME)
    words = place / "words"
    words.write_text("correct horse battery staple")
    words.chmod(0o600)
    for arguments in (
        ("init", "home.yaml"),
        ("verify", "-C", "home"),
        ("airgap", "bundle", "create", "-C", "home", "--out", "media", "--passphrase-file", "words"),
    ):
        done = without_network(*program, *arguments, cwd=place)
        assert done.returncode == 0, done.stderr
    assert (place / "media/home.cp-1.bundle").exists()


def test_what_was_changed_on_the_way_is_not_installed(kit: Path, tmp_path: Path) -> None:
    carried = tmp_path / "kit"
    shutil.copytree(kit, carried)
    victim = next((carried / "wheelhouse").glob("jinja2-*"))
    victim.write_bytes(victim.read_bytes() + b"\0")
    done = without_network("sh", carried / "install.sh", tmp_path / "pkigen", cwd=tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "pkigen").exists()


EVIL = "import os; open({proof!r}, 'w').write(str(os.getuid()))\n"


@pytest.mark.parametrize(
    "name",
    [
        "platform.py",
        "sys.py",
        "site.py",
        "venv.py",
        "venv/__init__.py",
        "pip/__main__.py",
        "wheelhouse/x.whl",
        "-x",
    ],
)
def test_what_lies_beside_it_is_neither_run_nor_installed(kit: Path, tmp_path: Path, name: str) -> None:
    """Although every sum is right: the file is one that nobody has listed."""
    carried, proof = tmp_path / "kit", tmp_path / "proof"
    shutil.copytree(kit, carried)
    (carried / name).parent.mkdir(exist_ok=True)
    (carried / name).write_text(EVIL.format(proof=str(proof)))
    done = without_network("sh", "install.sh", tmp_path / "pkigen", cwd=carried)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: there is something in this directory that SHA256SUMS does not list:\n"
    )
    assert f"./{name}\n" in done.stderr
    assert not proof.exists()
    assert not (tmp_path / "pkigen").exists()


@pytest.mark.parametrize("name", ["platform.py", "wheelhouse"])
def test_a_link_beside_it_is_none_of_its_files(kit: Path, tmp_path: Path, name: str) -> None:
    carried = tmp_path / "kit"
    shutil.copytree(kit, carried)
    if (carried / name).is_dir():
        (carried / name).rename(tmp_path / name)
    (carried / name).symlink_to(tmp_path / name)
    done = without_network("sh", carried / "install.sh", tmp_path / "pkigen", cwd=tmp_path)
    assert done.returncode == 1
    assert "does not list" in done.stderr
    assert not (tmp_path / "pkigen").exists()


def test_python_takes_no_module_from_where_it_stands(tmp_path: Path) -> None:
    """Were a file overlooked, it still would not be imported; the control shows that it could be."""
    proof = tmp_path / "proof"
    (tmp_path / "platform.py").write_text(EVIL.format(proof=str(proof)))
    calls = re.findall(r'^.*"\$python" (.*)$|^"\$to/bin/python" (.*)$', INSTALL, re.MULTILINE)
    assert len(calls) == 5
    for call in (first or second for first, second in calls):
        assert call.startswith("-I "), call
    for isolated, taken in (((), True), (("-I",), False)):
        # Coverage imports the library's own before anything else.
        command = [sys.executable, *isolated, "-c", "import platform"]
        subprocess.run(command, cwd=tmp_path, env=unmeasured.environment(), check=True)
        assert proof.exists() == taken
        proof.unlink(missing_ok=True)


def test_another_python_is_refused_with_a_reason(kit: Path, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3.6\n")
    other.chmod(0o755)
    command = ("sh", kit / "install.sh", tmp_path / "pkigen")
    done = without_network(*command, cwd=tmp_path, python=other)
    assert done.returncode == 1
    assert f"error: this kit is for Python {sys.version_info[0]}.{sys.version_info[1]}" in done.stderr
    assert not (tmp_path / "pkigen").exists()


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        ("linux riscv64 glibc", "error: this kit is for x86_64 aarch64, and this machine is riscv64"),
        ("linux x86_64 ", "error: this kit is for Linux with glibc, and this is linux x86_64"),
        ("darwin arm64 ", "error: this kit is for Linux with glibc, and this is darwin arm64"),
    ],
)
def test_another_machine_is_refused_with_a_reason(
    kit: Path, tmp_path: Path, machine: str, sentence: str
) -> None:
    other = tmp_path / "python"
    answers = f'case $3 in *platform*) echo "{machine}" ;; *) exec "{sys.executable}" "$@" ;; esac'
    other.write_text(f"#!/bin/sh\n{answers}\n")
    other.chmod(0o755)
    done = without_network("sh", kit / "install.sh", tmp_path / "pkigen", cwd=tmp_path, python=other)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / "pkigen").exists()


# e_machine of an ELF file, at its offset (elf(5)).
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
_E_MACHINE = slice(18, 20)


@pytest.mark.parametrize("machine", ELF_MACHINES)
def test_all_of_the_lock_is_there_for_each_machine(kit: Path, tmp_path: Path, machine: str) -> None:
    """pip chooses from the kit as it would there; what it chooses is code for that machine."""
    chosen = tmp_path / "chosen"
    asked = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
    found = ("--no-index", "--find-links", kit / "wheelhouse", "--require-hashes")
    platforms = (f"--platform=manylinux_2_28_{machine}", f"--platform=manylinux_2_17_{machine}")
    done = without_network(
        *asked, *found, *platforms, "--dest", chosen, "-r", kit / "requirements.txt", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    names = {canonicalize_name(path.name.partition("-")[0]) for path in chosen.iterdir()}
    assert names == {*locked(), "pkigen"} - {"colorama"}, "that one is for Windows"
    native = 0
    for path in chosen.iterdir():
        with zipfile.ZipFile(path) as wheel:
            for name in wheel.namelist():
                if name.endswith(".so"):
                    native += 1
                    with wheel.open(name) as library:
                        head = library.read(20)
                    assert head[:4] == b"\x7fELF"
                    assert int.from_bytes(head[_E_MACHINE], "little") == ELF_MACHINES[machine], name
    assert native >= 5, "cffi, cryptography, markupsafe, pydantic-core, pyrage, pyyaml"


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--machine", "riscv64"), 2, "choose from"),
        (("--python", "9.9"), 1, "error: no kit for Python 9.9 on "),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    tmp_path: Path, options: tuple[str, ...], code: int, sentence: str
) -> None:
    """Without an index pip finds nothing for any Python."""
    out = tmp_path / "kit"
    done = without_network(sys.executable, TOP / "scripts/offline.py", out, *options, cwd=tmp_path)
    assert (done.returncode, out.exists()) == (code, False)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_the_scripts_are_clean(kit: Path) -> None:
    if shutil.which("shellcheck", path=WITH_TOOLS["PATH"]) is None:
        pytest.skip("shellcheck is not installed")
    script = (TOP / ".ci/run").read_text() if (TOP / ".ci/run").exists() else "#!/bin/sh\n"
    for text in ((kit / "install.sh").read_text(), script):
        done = subprocess.run(
            ["shellcheck", "-"], input=text, capture_output=True, text=True, check=False, env=WITH_TOOLS
        )
        assert (done.returncode, done.stdout) == (0, "")


def test_the_zipapp_has_a_bill_of_its_own(kit: Path) -> None:
    _lists_what_it_is(kit / "pkigen.pyz.cdx.json")


def _lists_what_it_is(bill: Path) -> None:
    """pkigen and what it needs: an installer beside it is no part of it."""
    pins = {name: version for name, version in locked().items() if name != "colorama"}
    text = bill.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    content = json.loads(text)
    assert content["metadata"]["component"]["name"] == "pkigen"
    assert {canonicalize_name(each["name"]): each["version"] for each in content["components"]} == pins


def test_the_wheel_carries_a_bill_that_is_in_step_with_the_lock(kit: Path) -> None:
    (wheel,) = (kit / "wheelhouse").glob("pkigen-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if "/sboms/" in each)
        text = archive.read(name).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {each["name"]: each["version"] for each in json.loads(text)["components"]} == locked()


def test_the_written_bill_is_that_of_this_version() -> None:
    """After a change of the version or the lock: `python scripts/bill.py`."""
    lock = (TOP / "requirements/runtime.txt").read_text()
    assert (TOP / "requirements/pkigen.cdx.json").read_text() == of_lock(pkigen.__version__, lock)


WORKS_FROM_THE_WHEEL = {
    "uvx": ("uvx", "--offline", "--no-index", "--find-links", "KIT", "--from", "WHEEL", "pkigen"),
    "pipx": ("pipx", "run", "--pip-args=--no-index --find-links KIT", "--spec", "WHEEL", "pkigen"),
}


@pytest.mark.parametrize("program", WORKS_FROM_THE_WHEEL)
def test_it_runs_from_the_wheel_without_being_installed(program: str, kit: Path, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (wheel,) = (kit / "wheelhouse").glob("pkigen-*.whl")
    command = [
        each.replace("KIT", str(kit / "wheelhouse")).replace("WHEEL", str(wheel))
        for each in WORKS_FROM_THE_WHEEL[program]
    ]
    done = without_network(*command, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"pkigen {pkigen.__version__}\n"), done.stderr
    made = without_network(*command, "init", "--example", "single", cwd=tmp_path)
    assert made.stdout.startswith("# "), made.stderr


def test_the_bill_of_materials_is_valid_and_names_every_wheel(kit: Path) -> None:
    text = (kit / "sbom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace("SHA-256", "SHA-255"))
    content = json.loads(text)
    components = [content["metadata"]["component"], *content["components"]]
    assert {"pkigen", "cryptography", "pyrage", "Jinja2"} <= {each["name"] for each in components}
    wheels = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels_of(kit)}
    stated = {each["purl"].partition("?file_name=")[2]: each["hashes"][0]["content"] for each in components}
    assert stated == wheels


def test_the_lock_holds_all_that_the_wheels_need(kit: Path) -> None:
    """Every dependency of every wheel is in the kit, in a version that it accepts."""
    metadata = {}
    for path in wheels_of(kit):
        with zipfile.ZipFile(path) as wheel:
            (name,) = (each for each in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each))
            found = HeaderParser().parsestr(wheel.read(name).decode())
            metadata[canonicalize_name(found["Name"])] = found
    for needing in metadata.values():
        for text in needing.get_all("Requires-Dist", []):
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                version = metadata[canonicalize_name(needed.name)]["Version"]
                assert needed.specifier.contains(version), (needing["Name"], text, version)


def wheels_of(kit: Path) -> list[Path]:
    return sorted((kit / "wheelhouse").glob("*.whl"))


def locked(name: str = "runtime") -> dict[str, str]:
    """A lock: a version for each name, by hash and from no address."""
    text = (TOP / f"requirements/{name}.txt").read_text()
    assert "://" not in text
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found = {}
    for block in re.split(r"\n(?=\S)", lines.strip()):
        match = re.match(r"([a-z0-9-]+)==(\S+)", block)
        assert match, block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
        found[match[1]] = match[2]
    return found


def test_the_lock_is_in_step_with_the_project() -> None:
    """Whoever adds a dependency, or asks for a newer one, renews the lock too."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    pins = locked()
    for text in project["dependencies"]:
        needed = Requirement(text)
        assert needed.specifier.contains(pins[canonicalize_name(needed.name)]), text
    for each in declared(distribution("pkigen")):
        name = canonicalize_name(each.metadata["Name"])
        assert name in pins, f"{name} is needed at run time and not in the lock"


def test_what_runs_while_the_kit_is_made_is_locked_too() -> None:
    """Both builders, and everything that they bring."""
    pins = locked("build")
    asked = tomllib.loads((TOP / "pyproject.toml").read_text())
    lines = (TOP / "requirements/build.in").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {str(each) for each in map(Requirement, asked["build-system"]["requires"])} <= set(
        map(str, wanted)
    )
    for needed in wanted:
        assert needed.specifier.contains(pins[canonicalize_name(needed.name)]), needed
        for each in declared(distribution(needed.name)):
            assert canonicalize_name(each.metadata["Name"]) in pins, each.metadata["Name"]


def test_no_program_of_the_build_comes_from_elsewhere() -> None:
    script = (TOP / "scripts/offline.py").read_text()
    assert "shutil.which" not in script
    assert "--no-build-isolation" in script
    started = re.findall(r"_run\(\n?\s*(.*?),", script)
    assert started
    assert set(started) == {'tools / "python"', "sys.executable", 'programs / "python"', '*(tools / "python"'}
