"""A machine that runs playbooks of the collection, and hosts that are reached by SSH alone."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.live.hosts import Machine, Network

COLLECTION = Path(__file__).parents[2] / "ansible"
STAND_IN = Path(__file__).with_name("stand_in_node.py")
_SECONDS = 1800
_SETTINGS = """
[defaults]
collections_path = {place}/collections
local_tmp = {place}/local
remote_tmp = /run/ansible
fact_caching = jsonfile
fact_caching_connection = {place}/facts
private_key_file = {place}/user
host_key_checking = False
timeout = 10
[ssh_connection]
pipelining = True
ssh_args = -C -o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=10
ssh_extra_args = -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5
control_path_dir = {place}/cm
"""


def require() -> None:
    """Skip the test where Ansible or an sshd is missing."""
    if program("ansible-playbook") is None:
        pytest.skip(
            "no ansible-playbook: `pip install --group ansible`, or PKIGEN_TEST_ANSIBLE names its folder"
        )
    if _sshd() is None:
        pytest.skip("no sshd (openssh-server)")


def program(name: str) -> str | None:
    """A program of Ansible's: of this environment, or from the folder that PKIGEN_TEST_ANSIBLE names."""
    folder = os.environ.get("PKIGEN_TEST_ANSIBLE") or str(Path(sys.executable).parent)
    return shutil.which(name, path=folder)


def _sshd() -> str | None:
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The control machine: it has the PKI directory and the collection, and a network to the hosts."""

    machine: Machine
    place: Path
    root: Path
    """The PKI directory."""
    hosts: dict[str, Machine] = field(default_factory=dict)

    @classmethod
    def plug_in(cls, network: Network, place: Path, root: Path, address: str) -> Control:
        """Make the machine, its settings and its inventory, as `pkigen inventory` says it."""
        empty = place / "control-tree"
        empty.mkdir()
        folder = place / "programs"
        machine = network.machine("control", empty, addresses=[address], programs=folder, scratch=place)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
        collections = place / "collections/ansible_collections/pkigen"
        collections.mkdir(parents=True)
        (collections / "pki").symlink_to(COLLECTION)
        (place / "ansible.cfg").write_text(_SETTINGS.format(place=place))
        inventory = place / "inventory"
        inventory.mkdir()
        script = inventory / "cluster.sh"
        script.write_text(f"#!/bin/sh\nexec {sys.executable} -m pkigen -C {root} inventory -o ansible\n")
        script.chmod(0o755)
        made = cls(machine=machine, place=place, root=root)
        (inventory / "machines.yml").write_text(yaml.safe_dump({"all": {"vars": made.settings}}))
        return made

    @property
    def settings(self) -> dict[str, Any]:
        """What is set beside the inventory of pkigen."""
        return {
            "ansible_python_interpreter": sys.executable,
            "ansible_user": "root",
            "pkigen_become": shutil.which("sudo") is not None,  # who logs in is root already
            "pkigen_timeout": 900,  # the machine may be busy
            "pkigen_program": [sys.executable, "-m", "pkigen"],
            "pkigen_program_on_node": [sys.executable, "-m", "pkigen"],
        }

    def serve(self, machine: Machine, address: str) -> None:
        """Give a host an sshd, and what stands for systemd and crictl."""
        self.hosts[machine.name] = machine
        place = self.place
        configuration = place / f"{machine.name}-sshd"
        configuration.write_text(
            f"HostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nListenAddress {address}\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxSessions 50\n"
            f"PidFile none\nSetEnv PATH=/usr/local/bin:{os.environ.get('PATH', os.defpath)}\n"
        )
        user = "id sshd 2>/dev/null || echo 'sshd:x:122:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd"
        machine.run("sh", "-c", f"mkdir -p /run/sshd && {user}")
        machine.start("sshd", [_sshd() or "", "-D", "-e", "-f", str(configuration)])
        for name in ("systemctl", "crictl"):
            script = place / "programs" / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} {name} "$@"\n')
            script.chmod(0o755)

    def start(self, playbook: str, *options: str, inventory: Path | None = None) -> subprocess.Popen[str]:
        """Start a playbook of the collection, or of a path; its process leads a group of its own."""
        found = program("ansible-playbook")
        assert found is not None
        named = playbook if "/" in playbook else f"pkigen.pki.{playbook}"
        command = [found, "-i", str(inventory or self.place / "inventory")]
        entered = ["nsenter", "--target", str(self.machine.pid), "--mount", "--net", "--uts", "--"]
        return subprocess.Popen(
            [*entered, *command, named, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(self.place / "ansible.cfg"),
                "HOME": str(self.place),
                "PATH": f"{Path(found).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            },
        )

    def run(self, playbook: str, *options: str, inventory: Path | None = None) -> tuple[int, str]:
        """Run a playbook to its end; its exit code, and all that it printed."""
        process = self.start(playbook, *options, inventory=inventory)
        said, _ = process.communicate(timeout=_SECONDS)
        with (self.place / "said.log").open("a") as log:
            log.write(f"### {playbook} {options}\n{said}")
        return process.returncode, said

    def must(self, playbook: str, *options: str, inventory: Path | None = None) -> str:
        """Run a playbook, which must succeed."""
        code, said = self.run(playbook, *options, inventory=inventory)
        assert code == 0, said[-6000:]
        return said

    def told(self) -> str:
        """What playbooks have printed, and what they have left on the control machine beside their input."""
        left = (path for name in ("facts", "local", ".ansible") for path in (self.place / name).rglob("*"))
        texts = (path.read_text(errors="ignore") for path in left if path.is_file())
        return "".join(((self.place / "said.log").read_text(), *texts))


def canaries(root: Path) -> set[str]:
    """A line of every private key in the files below a directory."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {line for file in files for line in key_lines(file.read_text(errors="ignore"))}


def key_lines(text: str) -> set[str]:
    """Lines of every private key in a text, as they are and as kubeconfigs embed them."""
    embedded = re.findall(r"client-key-data: (\S+)", text)
    found = {each[40:90] for each in embedded}
    for each in (text, *(base64.b64decode(each).decode() for each in embedded)):
        for body in re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.+?)\n-----END", each, re.DOTALL):
            found.update(line for line in body.splitlines() if len(line) > 30)
    return found
