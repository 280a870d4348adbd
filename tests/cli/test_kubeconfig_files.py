"""Components' kubeconfigs that name their credentials by path: made, switched to and from, and judged."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cli.program import DAY, HOME, InProcess

if TYPE_CHECKING:
    from pathlib import Path

EMBEDDED = HOME.replace("  users:", "  certificates: {kubeconfigs: embedded}\n  users:")
FILES = EMBEDDED.replace("embedded", "files")
COMPONENTS = ("controller-manager", "scheduler", "kubelet")
NODE = "nodes/cp-1/etc/kubernetes"


class Tree:
    """A PKI directory, and the commands on it."""

    def __init__(self, place: Path, run: InProcess, text: str, *options: str) -> None:
        self.spec, self.root, self._run = place / "spec.yaml", place / "home", run
        self.spec.write_text(text)
        assert run("init", self.spec, "-C", self.root, *options).code == 0

    def planned(self, text: str, *options: object) -> str:
        self.spec.write_text(text)
        done = self._run("plan", self.spec, "-C", self.root, *options)
        assert done.code == 0, done.err
        return done.out

    def apply(self, text: str) -> dict[str, Any]:
        self.spec.write_text(text)
        done = self._run("apply", self.spec, "-C", self.root, "--yes", "-o", "json")
        assert done.code == 0, done.err
        found: dict[str, Any] = done.json
        return found

    def verified(self) -> str:
        done = self._run("verify", "-C", self.root)
        return "" if done.code == 0 else done.out

    def credential(self, component: str) -> tuple[bytes, bytes]:
        """The certificate and the key that a component's kubeconfig embeds or names."""
        content = yaml.safe_load((self.root / NODE / f"{component}.conf").read_text())
        user = content["users"][0]["user"]
        found = []
        for field in ("client-certificate", "client-key"):
            if field in user:
                found.append((self.root / "nodes/cp-1" / user[field].lstrip("/")).read_bytes())
            else:
                found.append(base64.b64decode(user[f"{field}-data"]))
        return found[0], found[1]

    def credentials(self) -> list[tuple[bytes, bytes]]:
        return [self.credential(component) for component in COMPONENTS]

    def own(self, component: str) -> Path:
        return self.root / NODE / "pki" / component


@pytest.fixture
def embedding(tmp_path: Path, pkigen: InProcess) -> Tree:
    return Tree(tmp_path, pkigen, EMBEDDED)


@pytest.fixture
def naming(tmp_path: Path, pkigen: InProcess) -> Tree:
    return Tree(tmp_path, pkigen, FILES)


def test_what_is_made(naming: Tree) -> None:
    assert naming.verified() == ""
    for component in COMPONENTS:
        content = yaml.safe_load((naming.root / NODE / f"{component}.conf").read_text())
        directory = f"/etc/kubernetes/pki/{component}"
        assert content["clusters"][0]["cluster"]["certificate-authority"] == f"{directory}/ca.crt"
        assert content["users"][0]["user"] == {
            "client-certificate": f"{directory}/client.crt",
            "client-key": f"{directory}/client.key",
        }
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in naming.own(component).iterdir()}
        assert modes == {"ca.crt": 0o644, "client.crt": 0o644, "client.key": 0o600}
    for person in ("admin", "super-admin"):
        assert "client-key-data" in (naming.root / NODE / f"{person}.conf").read_text()


def test_the_scheduler_sees_its_own_files_and_no_others(naming: Tree) -> None:
    pod = yaml.safe_load((naming.root / NODE / "manifests/kube-scheduler.yaml").read_text())
    mounted = {each["hostPath"]["path"] for each in pod["spec"]["volumes"]}
    assert mounted == {"/etc/kubernetes/scheduler.conf", "/etc/kubernetes/pki/scheduler"}


def test_there_and_back_with_the_same_certificates_and_keys(embedding: Tree) -> None:
    before = embedding.credentials()
    for text in (FILES, EMBEDDED, FILES):
        assert embedding.planned(text).count("(location-changed)") == len(COMPONENTS)
        embedding.apply(text)
        assert embedding.credentials() == before
        assert embedding.verified() == ""
        named = [embedding.own(component).is_dir() for component in COMPONENTS]
        assert set(named) == {text == FILES}
    ledger = (embedding.root / ".pkigen/ledger.jsonl").read_text().splitlines()
    issued = [each for each in map(json.loads, ledger) if each.get("id", "").endswith("scheduler.conf")]
    assert len(issued) == 1


@pytest.mark.parametrize(
    "options", [(), ("--full",), ("-o", "json"), ("-o", "markdown", "--full")], ids=" ".join
)
def test_a_plan_of_the_switch_shows_no_key(embedding: Tree, options: tuple[str, ...]) -> None:
    for text in (FILES, EMBEDDED):
        keys = [key for _, key in embedding.credentials()]
        said = embedding.planned(text, *options)
        for key in keys:
            lines = [line for line in key.decode().splitlines() if line and "-----" not in line]
            assert not any(line in said for line in (*lines, base64.b64encode(key).decode()))
        embedding.apply(text)


def test_the_switch_says_what_must_restart(embedding: Tree) -> None:
    restarts = embedding.apply(FILES)["restarts"]
    assert {(each["component"], each["effect"]) for each in restarts} == {
        ("kube-controller-manager", "restart"),
        ("kube-scheduler", "restart"),
        ("kubelet", "restart"),
    }


def test_what_is_due_is_renewed_where_it_has_to_be(embedding: Tree, pkigen: InProcess) -> None:
    before = embedding.credential("scheduler")
    pkigen.now += 360 * DAY
    assert "renew cp-1/scheduler.conf" in embedding.planned(FILES, "--full")
    embedding.apply(FILES)
    after = embedding.credential("scheduler")
    assert before[0] != after[0]
    assert embedding.verified() == ""


def test_a_key_that_lies_there_already_is_not_taken(embedding: Tree) -> None:
    before = embedding.credentials()
    embedding.own("scheduler").mkdir()
    shutil.copy2(embedding.root / NODE / "pki/apiserver.key", embedding.own("scheduler") / "client.key")
    embedding.apply(FILES)
    assert embedding.credentials() == before
    assert embedding.verified() == ""


@pytest.mark.parametrize("name", ["client.crt", "client.key", "ca.crt"])
def test_what_is_missing_is_made_again(naming: Tree, name: str) -> None:
    (naming.own("scheduler") / name).unlink()
    assert "missing" in naming.verified()
    naming.apply(FILES)
    assert naming.verified() == ""


@pytest.mark.parametrize(
    ("name", "other", "reason"),
    [
        ("client.key", "pki/apiserver.key", "key-mismatch"),
        ("client.crt", "pki/front-proxy-client.crt", "unknown-issuer"),
        ("ca.crt", "pki/etcd/ca.crt", "content-changed"),
    ],
)
def test_what_is_another_is_found(naming: Tree, name: str, other: str, reason: str) -> None:
    shutil.copyfile(naming.root / NODE / other, naming.own("scheduler") / name)
    assert reason in naming.verified()


def test_another_ca_breaks_the_connection(naming: Tree) -> None:
    shutil.copyfile(naming.root / NODE / "pki/etcd/ca.crt", naming.own("scheduler") / "ca.crt")
    assert "broken-edge: kube-scheduler on cp-1" in naming.verified()


def test_an_open_key_is_closed(naming: Tree) -> None:
    key = naming.own("kubelet") / "client.key"
    key.chmod(0o644)
    assert "mode 0644, must be 0600" in naming.verified()
    naming.apply(FILES)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_checkout_without_secrets_plans_the_switch(
    embedding: Tree, tmp_path: Path, pkigen: InProcess
) -> None:
    """What it saves is carried out where the secrets are, completely."""
    for number, text in enumerate((FILES, EMBEDDED)):
        before = embedding.credentials()
        clone, saved = tmp_path / f"clone-{number}", tmp_path / f"plan-{number}"
        shutil.copytree(embedding.root, clone, ignore=shutil.ignore_patterns("*.key", "*.conf", "backups"))
        embedding.spec.write_text(text)
        done = pkigen("plan", embedding.spec, "-C", clone, "--save", saved)
        assert done.code == 0, done.err
        assert done.out.count("(location-changed)") == len(COMPONENTS)
        applied = pkigen("apply", saved, embedding.spec, "-C", embedding.root, "--yes")
        assert applied.code == 0, applied.err
        assert embedding.credentials() == before
        assert embedding.verified() == ""


def test_an_encrypted_authority(tmp_path: Path, pkigen: InProcess) -> None:
    """Leaves' keys are never sealed, wherever they stand."""
    passphrase = tmp_path / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text("correct horse battery staple\n")
    text = EMBEDDED.replace("kubeconfigs:", "distributeCAKeys: false, kubeconfigs:")
    tree = Tree(tmp_path, pkigen, text, "--encrypt-authority", "--passphrase-file", str(passphrase))
    before = tree.credentials()
    tree.spec.write_text(text.replace("embedded", "files"))
    done = pkigen(
        *("apply", tree.spec, "-C", tree.root, "--yes"),
        *("--passphrase-file", passphrase),
    )
    assert done.code == 0, done.err
    assert tree.credentials() == before


def test_a_rollback_brings_the_kubeconfigs_back(embedding: Tree, pkigen: InProcess) -> None:
    before = embedding.credentials()
    embedding.apply(FILES)
    done = pkigen("rollback", "-C", embedding.root, "--yes")
    assert done.code == 0, done.err
    assert embedding.credentials() == before
    assert "client-key-data" in (embedding.root / NODE / "scheduler.conf").read_text()


def test_what_a_kubeconfig_of_the_tree_names_is_found_there(naming: Tree, pkigen: InProcess) -> None:
    kubeconfig = naming.root / NODE / "scheduler.conf"
    for done in (
        pkigen("explain", kubeconfig, "-C", naming.root),
        pkigen("access", "kubeconfig", "show", kubeconfig),
    ):
        assert done.code == 0, done.err
        assert "user:       system:kube-scheduler" in done.out
        assert "cannot be read" not in done.out


def test_a_kubelet_forgets_its_own_certificate_for_one_that_is_brought_back(
    naming: Tree, pkigen: InProcess
) -> None:
    assert pkigen("renew", "kubelet.conf", "-C", naming.root, "--yes").code == 0
    done = pkigen("rollback", "-C", naming.root, "--yes", "-o", "json")
    assert done.code == 0, done.err
    (step,) = (each for each in done.json["restarts"] if each["component"] == "kubelet")
    assert "rm -f /var/lib/kubelet/pki/kubelet-client-current.pem" in json.dumps(step)


def test_the_runbook_of_a_rotation_says_how_long_to_wait(
    naming: Tree, pkigen: InProcess, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    done = pkigen("rotate", "ca", "kubernetes", "-C", naming.root, "--yes", "--runbook", book)
    assert done.code == 0, done.err
    said = "".join(path.read_text() for path in sorted(book.rglob("*")) if path.is_file())
    assert "looked at every five minutes: wait that long" in said
