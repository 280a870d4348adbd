"""Credentials that are revoked, before real API servers that go on running: three, one of which is behind.

The users' certificates, a kubelet's and a service account's tokens are valid throughout: whoever is refused
is refused because of the one file that was copied. A fuzzed list, and fuzzed files, show that pkigen writes
none that an API server would not read.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.desired.rendering import Renderer, authorization, read_back
from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.errors import TemplateError
from pkigen.spec.model import ClusterSpec
from tests.cli.program import REPOSITORY as TOP
from tests.live import programs
from tests.live.control_plane import CREATE, Cluster, apply_addons, boot_static_pods, make, plug_in, spec_text
from tests.live.hosts import Network
from tests.live.rotating import current, deliver, pkigen_in
from tests.pages.blocks import commands_for
from tests.pages.shell import PageShell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.hosts import Identity, Machine

pytestmark = pytest.mark.live

_NODES = {f"cp-{number}": f"10.83.0.{number}" for number in (1, 2, 3)}
_RULES = [{"apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["get", "list", "create"]}]
_SECONDS = 300
_FILE = "/etc/kubernetes/pki/authorization-config.yaml"
_NAMESPACES = "/api/v1/namespaces"
_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_ENTRIES = 20_000


def _spec(nodes: dict[str, str]) -> dict[str, Any]:
    first, *others = nodes.values()
    return {
        "controlPlaneEndpoint": f"{first}:6443",
        "apiServer": {"certSANs": others},
        "nodes": [
            *(
                {"name": name, "roles": ["control-plane"], "addresses": [address]}
                for name, address in nodes.items()
            ),
            {"name": "worker-1", "roles": ["worker"], "addresses": ["10.83.0.21"]},
            {"name": "worker-2", "roles": ["worker"], "addresses": ["10.83.0.22"]},
        ],
        "users": [{"name": name, "groups": ["team"], "rules": _RULES} for name in ("dev1", "dev2")],
    }


@dataclass(kw_only=True)
class Site:
    """A cluster whose API servers run, and what its clients hold."""

    cluster: Cluster
    folder: Path
    nodes: dict[str, str]
    held: dict[str, Identity] = field(default_factory=dict)

    @property
    def machine(self) -> Machine:
        return self.cluster.machines["cp-1"]

    def hold(self, name: str, kubeconfig: Path) -> None:
        """Copy a kubeconfig, for somebody who keeps it."""
        copy = self.folder / f"{name}.conf"
        shutil.copy(kubeconfig, copy)
        self.held[name] = self.cluster.identity_of(copy)

    def status(
        self, who: str, node: str, path: str = _NAMESPACES, body: object = None, token: str | None = None
    ) -> int | None:
        """What an API server answers to somebody."""
        answer = self.machine.request(
            f"https://{self.nodes[node]}:6443{path}",
            ca=self.cluster.pki(node) / "ca.crt",
            identity=self.held[who] if token is None else None,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            body=body,
        )
        return answer.status

    def everywhere(
        self, who: str, path: str = _NAMESPACES, token: str | None = None
    ) -> dict[str, int | None]:
        return {node: self.status(who, node, path, token=token) for node in self.nodes}

    def pkigen(self, *arguments: str | Path, code: int = 0) -> str:
        done = pkigen_in(self.machine, *arguments, "-C", self.cluster.out)
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def revoke(self, who: str | Path) -> None:
        """Revoke, copy the one file, and wait until it is read."""
        self.pkigen("access", "revoke", who, "--reason", "a test", "--yes")
        self.copy(*self.nodes)

    def copy(self, *nodes: str) -> None:
        for node in nodes:
            deliver(self.cluster, node)
        deadline = time.monotonic() + _SECONDS
        while any(self.holds()[node] != "current" for node in nodes):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def holds(self) -> dict[str, str]:
        """What `verify --live` says that each API server knows."""
        done = pkigen_in(self.machine, "verify", "--live", "-o", "json", "-C", self.cluster.out)
        assert done.stdout, done.stderr
        return {each["node"]: each["list"] for each in json.loads(done.stdout)["revocations"]}

    def pids(self) -> dict[str, int]:
        return {node: current(self.cluster.machines[node], "kube-apiserver").popen.pid for node in self.nodes}


def _booted(tmp_path: Path, nodes: dict[str, str]) -> Iterator[Site]:
    programs.require(*programs.LEAST)
    if programs.version("kube-apiserver") < (1, 32, 0):
        pytest.skip("structured authorization is stable from v1.32 on")
    made = make(tmp_path, spec_text("prod", _spec(nodes)))
    # As the page calls it.
    made = Cluster(out=made.out.rename(tmp_path / "prod"), scratch=tmp_path)
    with Network() as network:
        plug_in(network, made, {name: (address,) for name, address in nodes.items()})
        boot_static_pods(made, elected_on="nobody")
        apply_addons(made, "cp-1", made.kubeconfig("cp-1", "super-admin.conf"))
        held = tmp_path / "held"
        held.mkdir()
        yield Site(cluster=made, folder=held, nodes=nodes)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from _booted(tmp_path, _NODES)


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Site]:
    yield from _booted(tmp_path, {"cp-1": _NODES["cp-1"]})


_EVERYWHERE = dict.fromkeys(_NODES, 200)
_NOWHERE = dict.fromkeys(_NODES, 500)


def test_what_is_revoked_is_refused_without_a_restart(site: Site) -> None:
    for name in ("dev1", "dev2"):
        site.hold(name, site.cluster.out / f"users/{name}.conf")
    pids = site.pids()
    _user(site, _shell(site))
    _kubelet(site)
    _token(site)
    _masters(site)
    site.pkigen("access", "unrevoke", site.folder / "dev1.conf", "worker-1", "--yes")
    site.copy(*site.nodes)
    assert site.everywhere("dev1") == _EVERYWHERE
    assert site.status("worker-1", "cp-1", "/api/v1/nodes/worker-1") == 404
    assert site.pids() == pids


def _shell(site: Site) -> PageShell:
    """On the first control plane, with a `pkigen` that runs there: it connects to API servers."""
    place = site.cluster.scratch
    program = place / "bin/pkigen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec env PYTHONPATH={TOP} "{sys.executable}" -m pkigen "$@"\n')
    program.chmod(0o755)
    inside = ("nsenter", "--target", str(site.machine.pid), "--mount", "--net", "--pid", "--uts")
    return PageShell(place=place, programs=program.parent, machine=(*inside, f"--wd={place}"))


def _user(site: Site, page: PageShell) -> None:
    """The experiment of docs/how-to/revocation.md: a control plane that has not got the file yet is named."""
    revoking, after = commands_for("tests/live/test_revocation.py", TOP / "docs/how-to/revocation.md")
    assert site.everywhere("dev1") == site.everywhere("dev2") == _EVERYWHERE
    page.follow(revoking)
    site.copy("cp-1", "cp-2")
    assert site.everywhere("dev1") == {"cp-1": 500, "cp-2": 500, "cp-3": 200}
    assert site.everywhere("dev2") == _EVERYWHERE
    page.follow(after[:1])
    site.copy("cp-3")
    assert site.everywhere("dev1") == _NOWHERE
    written = {"metadata": {"name": "one"}}
    assert site.status("dev1", "cp-1", _CONFIG_MAPS, written) == 500
    assert site.status("dev2", "cp-1", _CONFIG_MAPS, written) == 201
    # Somebody's next certificate passes, and the old one still does not.
    page.follow(after[1:])
    site.hold("dev1-renewed", site.cluster.out / "users/dev1.conf")
    assert site.everywhere("dev1-renewed") == _EVERYWHERE
    assert site.everywhere("dev1") == _NOWHERE


def _kubelet(site: Site) -> None:
    """A node, and whatever it may have got for itself: a new certificate of its kubelet is no way in."""
    for name in ("worker-1", "worker-2"):
        site.hold(name, site.cluster.kubeconfig(name, "kubelet.conf"))
    # No Node has registered: who may ask is told that it is not there.
    assert site.status("worker-1", "cp-1", "/api/v1/nodes/worker-1") == 404
    site.revoke("worker-1")
    site.pkigen("renew", "worker-1/kubelet.conf", "--yes")
    site.hold("worker-1-renewed", site.cluster.kubeconfig("worker-1", "kubelet.conf"))
    for who in ("worker-1", "worker-1-renewed"):
        assert site.status(who, "cp-1", "/api/v1/nodes/worker-1") == 500
    assert site.status("worker-2", "cp-1", "/api/v1/nodes/worker-2") == 404


def _token(site: Site) -> None:
    """One token of a service account, and not the other."""
    admin = site.cluster.kubeconfig("cp-1", "super-admin.conf")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot"}}
    site.cluster.kubectl("cp-1", admin, *CREATE, stdin=json.dumps(account))
    tokens = [site.cluster.kubectl("cp-1", admin, "create", "token", "bot").strip() for _ in range(2)]
    (site.folder / "token").write_text(tokens[0])
    assert [site.status("", "cp-1", _CONFIG_MAPS, token=each) for each in tokens] == [403, 403]
    site.revoke(site.folder / "token")
    assert [site.status("", "cp-1", _CONFIG_MAPS, token=each) for each in tokens] == [500, 403]


def _masters(site: Site) -> None:
    """What no list keeps out is refused by pkigen, and changes nothing where somebody insists."""
    name, why = "cp-1/super-admin.conf", ("--reason", "a test", "--yes")
    site.hold("super-admin", site.cluster.kubeconfig("cp-1", "super-admin.conf"))
    site.pkigen("access", "revoke", name, *why, code=1)
    site.pkigen("access", "revoke", name, *why, "--force")
    site.copy(*site.nodes)
    assert site.everywhere("super-admin") == _EVERYWHERE


# -- no file that an API server would not read -------------------------------------------------------------


def _entries(source: random.Random) -> Iterator[str]:
    """Malformed ids of every kind, and some that are right."""
    pieces = ["X509SHA256=", "JTI=", "USER=", "system:node:", "'", '"', "\\", "]) || true || ([", "\n", "\0"]
    pieces += [
        "a",
        "0",
        "F",
        "-",
        ".",
        "/",
        "+",
        "=",
        "@",
        "~",
        ":",
        " ",
        ",",
        "{{",
        "}}",
        "#",
        "é",
        "\u2028",
    ]
    pieces += [f"{source.getrandbits(256):064x}" for _ in range(4)]
    for _ in range(_ENTRIES):
        kind = source.choice(["X509SHA256=", "JTI=", "USER=system:node:", ""])
        # In some, digits and letters alone.
        few = pieces if source.random() < 0.7 else pieces[10:20]
        body = "".join(source.choice(few) for _ in range(source.randrange(6)))
        yield f"{kind}{source.getrandbits(256):064x}" if source.random() < 0.1 else f"{kind}{body}"


def _mutated(text: str, source: random.Random) -> Iterator[str]:
    """The file with one thing changed: a value, a key, a line, a character."""
    lines = text.splitlines(keepends=True)
    values = ["", "[]", "{}", "null", "1", "true", "'x'", "0s", "31s", "NoOpinion", "rbac", "Node", "v1beta1"]
    for _ in range(2000):
        changed = list(lines)
        place = source.randrange(len(changed))
        match source.randrange(5):
            case 0:
                del changed[place]
            case 1:
                changed.insert(place, changed[source.randrange(len(changed))])
            case 2:
                changed[place] = f"{changed[place].partition(':')[0]}: {source.choice(values)}\n"
            case 3:
                at = source.randrange(len(changed[place]))
                changed[place] = changed[place][:at] + source.choice("' \"x:0-[") + changed[place][at + 1 :]
            case _:
                changed = changed[:place]
        yield "".join(changed)


@dataclass(kw_only=True)
class ReloadingServer:
    """An API server that is given one file after the other."""

    site: Site
    admin: Identity

    def reloads(self, status: str) -> int:
        answer = self.site.machine.request(
            f"https://{self.site.nodes['cp-1']}:6443/metrics",
            ca=self.site.cluster.pki("cp-1") / "ca.crt",
            identity=self.admin,
        )
        name = "apiserver_authorization_config_controller_automatic_reloads_total"
        lines = (line for line in answer.body.splitlines() if line.startswith(name) and f'"{status}"' in line)
        return sum(int(float(line.split()[-1])) for line in lines)

    def take(self, text: str) -> bool:
        """Whether the running API server reads a file: it must be another one than the last."""
        before = {status: self.reloads(status) for status in ("success", "failure")}
        self.site.machine.run("sh", "-c", f"cat >{_FILE}.new && mv {_FILE}.new {_FILE}", stdin=text)
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            if self.reloads("failure") > before["failure"]:
                return False
            if self.reloads("success") > before["success"]:
                return True
            time.sleep(0.05)
        raise AssertionError("the file was not looked at")


def _rendered(spec: ClusterSpec, revoked: list[Revocation]) -> str:
    inventory = derive(spec, revocations=RevocationList(active=tuple(revoked)))
    file = next(
        each
        for each in inventory.items
        if isinstance(each, DesiredFile) and each.kind is FileKind.AUTHORIZATION_CONFIGURATION
    )
    return Renderer(inventory).file(file).decode()


def test_no_fuzzed_list_makes_a_file_that_an_api_server_refuses(single: Site) -> None:
    source = random.Random(14)  # noqa: S311 -- always the same
    spec = ClusterSpec.model_validate(yaml.safe_load((single.cluster.scratch / "cluster.yaml").read_text()))
    now = datetime.now(UTC)
    accepted: list[Revocation] = []
    for text in _entries(source):
        try:
            credential = CredentialId.parse(text)
        except ValueError:
            continue
        accepted.append(Revocation(credential=credential, of=text, reason=text, revoked=now, expires=None))
    single.hold("admin", single.cluster.kubeconfig("cp-1", "super-admin.conf"))
    server = ReloadingServer(site=single, admin=single.held["admin"])
    assert 1000 < len(accepted) < _ENTRIES / 2
    for part in range(0, len(accepted), 500):
        assert server.take(_rendered(spec, accepted[part : part + 500]))
    assert server.take(_rendered(spec, accepted))

    # The judge of files, beside the API server: what it lets through is read.
    full, context = _rendered(spec, accepted[:2]), authorization.context_of(spec, accepted[:2])
    let_through, broken = 0, []
    last: object = None
    for text in _mutated(full, source):
        try:
            read_back.check(text, context, "the file")
        except TemplateError:
            broken.append(text)
            continue
        content = yaml.safe_load(text)
        if content != last:  # an API server does not look at what says the same
            assert server.take(full.replace("timeout: 1s", f"timeout: {2 + let_through % 9}s"))
            assert server.take(text), text
            last, let_through = content, let_through + 1
    # The control: of the files that the judge refuses, the API server refuses most.
    refused = 0
    for number, text in enumerate(source.sample(broken, 40)):
        assert server.take(full.replace("timeout: 1s", f"timeout: {11 + number % 9}s"))
        refused += not server.take(text)
    assert let_through >= 10
    assert refused >= 25
    sys.stdout.write(
        f"{_ENTRIES} entries, {len(accepted)} of them ids: every file was read. 2000 changed files: "
        f"{let_through} let through, all read; of 40 others the API server refused {refused}\n"
    )
