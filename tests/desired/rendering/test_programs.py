"""What real programs say of the rendered files: kubectl, the published schemas, systemd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pkigen.desired.rendering import file_syntax
from pkigen.desired.rendering.quoting import environment_argument
from pkigen.spec.values import NEWEST_RELEASED
from tests.desired.rendering.clusters import MINORS, TOPOLOGIES, cluster, render
from tests.desired.rendering.hostile_strings import every
from tests.desired.rendering.reference_programs import boot_systemd, find

UNITS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
TARGETS = Path("/lib/systemd/system")


@pytest.mark.parametrize("topology", ["single", "dedicated"])  # people; IPv6
def test_kubectl_reads_every_kubeconfig(topology: str, tmp_path: Path) -> None:
    kubectl = find("kubectl")
    files = render(cluster(runtime="systemd", **TOPOLOGIES[topology]))
    kubeconfigs = {path: content for path, content in files.items() if path.endswith(".conf")}
    assert len(kubeconfigs) >= 5
    for number, content in enumerate(kubeconfigs.values()):
        file = tmp_path / f"{number}.conf"
        file.write_bytes(content)
        command = [kubectl, "config", "view", "--raw", "--kubeconfig", str(file), "-o", "json"]
        output = subprocess.run(command, capture_output=True, check=True, timeout=300).stdout
        seen = json.loads(output)
        seen.pop("preferences", None)
        assert seen == yaml.safe_load(content)


@pytest.mark.parametrize("minor", [minor for minor in MINORS if minor <= NEWEST_RELEASED])
def test_objects_follow_the_published_schemas(minor: int) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate in this Python")
    checked = set()
    for path, content in render(cluster(version=f"v1.{minor}.0", **TOPOLOGIES["ha"])).items():
        name = path.rpartition("/")[2]
        if name not in checked and ("/manifests/" in path or path.startswith("addons/")):
            for document in yaml.safe_load_all(content):
                validate.validate(document, f"1.{minor}", strict=True)
            checked.add(name)
    assert len(checked) == (11 if minor >= 37 else 10)


def _unknown(help_text: str, flags: list[str]) -> list[str]:
    """Those of the flags that a program's help does not list."""
    listed = set(re.findall(r"^ +(?:-\w, )?(--[a-z0-9-]+)", help_text, re.MULTILINE))
    return [flag for flag in flags if flag.partition("=")[0] not in listed]


@pytest.mark.parametrize("component", [unit for unit in UNITS if unit != "etcd"])
def test_a_program_knows_every_flag_that_it_is_given(component: str) -> None:
    """Of its own version; what pkigen renders for the others differs from it only where tables say so."""
    program = find(component)
    said = subprocess.run([program, "--version"], capture_output=True, check=True, text=True, timeout=300)
    version = said.stdout.split()[-1]
    if not version.startswith(tuple(f"v1.{minor}." for minor in MINORS)):
        pytest.skip(f"{program} is {version}")
    shown = subprocess.run([program, "--help"], capture_output=True, check=True, text=True, timeout=300)
    help_text = shown.stdout + shown.stderr
    seen: set[str] = set()
    for topology in TOPOLOGIES.values():
        files = render(cluster(version=version, runtime="systemd", **topology))
        for path, content in files.items():
            if path.endswith(f"/flags/{component}.env"):
                (flags,) = file_syntax.environment(content.decode()).values()
                assert _unknown(help_text, flags) == []
                seen.update(flags)
    assert seen
    assert _unknown(help_text, ["--pod-infra-container-image=pause"]) != []  # gone since v1.35


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A root folder with the units and flag files of one node, and programs that do nothing."""
    root = tmp_path / "host"
    files = render(cluster(runtime="systemd", **TOPOLOGIES["single"]))
    for path, content in files.items():
        if path.startswith("nodes/cp-1/"):
            file = root / path.removeprefix("nodes/cp-1/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    programs = root / "usr/local/bin"
    programs.mkdir(parents=True)
    for name in UNITS:
        shutil.copy("/bin/true", programs / name)
    return root


def test_systemd_accepts_the_units(host: Path) -> None:
    program = find("systemd-analyze")
    units = host / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    (host / "lib").symlink_to("usr/lib")
    for target in TARGETS.glob("*.target"):
        shutil.copy(target, units / target.name, follow_symlinks=False)
    if not (units / "sysinit.target").exists():
        pytest.skip(f"systemd's own targets are not in {TARGETS}")
    own = [str(host / f"etc/systemd/system/{name}.service") for name in UNITS]
    command = [program, "verify", f"--root={host}", "--man=no", "--generators=no", *own]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.live
def test_systemd_gives_a_program_exactly_its_arguments(tmp_path: Path) -> None:
    arguments = [f"--a={value}" for value in every(1000) if value.isprintable() and len(value) < 1000]
    words = " \\\n".join(environment_argument(argument) for argument in arguments)
    (tmp_path / "flags.env").write_text(f'PROBE_FLAGS="\\\n{words}\\\n"\n')
    (tmp_path / "probe.py").write_text(
        f"import json, sys\nopen({str(tmp_path / 'part')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
    )
    (tmp_path / "probe.service").write_text(
        "[Unit]\nDefaultDependencies=no\nSuccessAction=exit-force\nFailureAction=exit-force\n"
        "[Service]\nType=oneshot\nEnvironment=LC_ALL=C.UTF-8\n"
        f"EnvironmentFile={tmp_path}/flags.env\n"
        f"ExecStart={sys.executable} {tmp_path}/probe.py $PROBE_FLAGS\n"
    )
    prepared = f"mkdir /run/units; cp {tmp_path}/probe.service /run/units"
    output = boot_systemd(tmp_path, prepared, unit="probe.service", seconds=60)
    assert (tmp_path / "part").exists(), output
    seen: list[Any] = json.loads((tmp_path / "part").read_text())
    assert seen == arguments
