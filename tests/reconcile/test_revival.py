"""A cluster whose certificates have all ended, the CAs too, comes back without any API server."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from pkigen.airgap.bundles.opened import open_bundle
from pkigen.airgap.carrier.envelope import unwrap
from pkigen.cli.system import System
from pkigen.crypto.age import Identity
from pkigen.crypto.keys import public_der
from pkigen.errors import BundleError
from tests.cli.program import HOME, NOW, InProcess, Result, changed, contents
from tests.faults.scenes import chosen, wanted
from tests.state.encrypted_cluster import NEVER_ON_NODES, EncryptedCluster, telling
from tests.store.faults import CountingFileSystem, CrashingFileSystem, SimulatedCrashError

if TYPE_CHECKING:
    from pathlib import Path

YEARS = timedelta(days=366)
CAS = ("pki/ca.crt", "pki/etcd/ca.crt", "pki/front-proxy-ca.crt")
HA = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.example.com:6443
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}
    - {name: cp-3, roles: [control-plane], addresses: [10.0.0.13]}
    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}
"""


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> EncryptedCluster:
    """An encrypted authority of NOW; never changed."""
    return EncryptedCluster.made(tmp_path_factory.mktemp("rescued"))


@pytest.fixture
def place(original: EncryptedCluster, tmp_path: Path) -> EncryptedCluster:
    return original.copied(tmp_path / "place")


def certificates(root: Path) -> dict[str, x509.Certificate]:
    return {
        str(path.relative_to(root)): x509.load_pem_x509_certificate(path.read_bytes())
        for path in root.rglob("*.crt")
        if ".pkigen" not in path.parts
    }


def rescue(pkigen: InProcess, place: EncryptedCluster, *more: object) -> Result:
    return pkigen("rescue", "-C", place.root, "--yes", "--authority-identity", place.key, *more)


def test_when_everything_has_ended_it_comes_back(place: EncryptedCluster, pkigen: InProcess) -> None:
    pkigen.now = NOW + 11 * YEARS
    before = certificates(place.root)
    assert all(each.not_valid_after_utc < pkigen.now for each in before.values())
    # What is there for ordinary days cannot do it.
    refused = pkigen("apply", place.spec, "-C", place.root, "--yes", "--identity", place.key)
    assert "it expired 20" in refused.error
    assert pkigen("verify", "-C", place.root).code == 4
    done = rescue(pkigen, place)
    assert done.code == 0, done
    after = certificates(place.root)
    assert after.keys() == before.keys()
    assert all(each.not_valid_before_utc <= pkigen.now < each.not_valid_after_utc for each in after.values())
    for path in CAS:
        assert public_der(after[path].public_key()) == public_der(before[path].public_key())  # type: ignore[arg-type]
        assert after[path].subject == before[path].subject
        assert after[path].not_valid_after_utc - pkigen.now > 9 * YEARS
    capped = {path for path, each in after.items() if each.not_valid_after_utc - pkigen.now < timedelta(364)}
    assert capped == set()
    assert pkigen("verify", "-C", place.root).code == 0
    assert pkigen("plan", place.spec, "-C", place.root, "--exit-code").code == 0


def test_a_second_run_changes_nothing_and_says_the_runbook_again(
    place: EncryptedCluster, pkigen: InProcess
) -> None:
    pkigen.now = NOW + 11 * YEARS
    assert rescue(pkigen, place).code == 0
    before = contents(place.root)
    again = pkigen("rescue", "-C", place.root, "--yes")  # nothing is to be signed: nobody is asked
    assert again.code == 0
    assert "nothing to do" in again.out
    assert "1. New trees" in again.out
    assert contents(place.root) == before


def test_cas_that_last_are_left_alone(place: EncryptedCluster, pkigen: InProcess) -> None:
    pkigen.now = NOW + 2 * YEARS
    before = contents(place.root)
    assert rescue(pkigen, place).code == 0
    after = contents(place.root)
    assert {path for path in changed(before, after) if path.startswith("pki/")} == set()
    assert pkigen("verify", "-C", place.root).code == 0


def test_without_encryption_nobody_is_asked(tmp_path: Path, pkigen: InProcess) -> None:
    (tmp_path / "home.yaml").write_text(HOME)
    assert pkigen("init", tmp_path / "home.yaml", "-C", tmp_path / "home").code == 0
    pkigen.now = NOW + 11 * YEARS
    done = pkigen("rescue", tmp_path / "home.yaml", "-C", tmp_path / "home", "--yes", "-o", "json")
    assert done.code == 0
    assert {"ca", "etcd-ca", "front-proxy-ca", "cp-1/apiserver"} <= set(done.json["issued"])
    assert pkigen("verify", "-C", tmp_path / "home").code == 0


@pytest.mark.faults
def test_killed_anywhere_the_next_run_ends_it(
    place: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    later = NOW + 11 * YEARS

    def run(tree: EncryptedCluster, filesystem: CountingFileSystem) -> Result:
        words = ("rescue", "-C", tree.root, "--yes", "--authority-identity", tree.key)
        return pkigen(*words, system=System(clock=lambda: later, filesystem=filesystem))

    counting = CountingFileSystem()
    assert run(place.copied(tmp_path / "counted"), counting).code == 0
    pkigen.now = later
    for at in chosen(range(1, counting.count + 1), wanted(4)):
        tree = place.copied(tmp_path / str(at))
        with pytest.raises(SimulatedCrashError):
            run(tree, CrashingFileSystem(at))
        assert rescue(pkigen, tree).code == 0
        assert pkigen("verify", "-C", tree.root).code == 0
        shutil.rmtree(tree.root.parent)


def test_an_intermediate_that_ended_is_not_ours_to_renew(place: EncryptedCluster, pkigen: InProcess) -> None:
    pkigen.now = NOW + 11 * YEARS
    before = certificates(place.root)["pki/ca.crt"]
    # A certificate of the same key from another authority: the etcd CA signs the Kubernetes CA.
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        load_pem_private_key,
    )

    builder = x509.CertificateBuilder(
        subject_name=before.subject,
        issuer_name=certificates(place.root)["pki/etcd/ca.crt"].subject,
        public_key=before.public_key(),
        serial_number=before.serial_number,
        not_valid_before=before.not_valid_before_utc,
        not_valid_after=before.not_valid_after_utc,
    )
    for extension in before.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    signer = load_pem_private_key(place.opened("pki/etcd/ca.key"), password=None)
    issued = builder.sign(signer, hashes.SHA256())  # type: ignore[arg-type]
    (place.root / "pki/ca.crt").write_bytes(issued.public_bytes(Encoding.PEM))
    tree = contents(place.root)
    refused = rescue(pkigen, place)
    assert "only its issuer can renew it" in refused.error
    assert contents(place.root) == tree


def test_a_rotation_that_time_has_overtaken_is_refused(place: EncryptedCluster, pkigen: InProcess) -> None:
    words = ("rotate", "ca", "etcd", place.spec, "-C", place.root, "--yes", "--identity", place.key)
    assert pkigen(*words).code == 0
    pkigen.now = NOW + 11 * YEARS
    tree = contents(place.root)
    refused = rescue(pkigen, place)
    assert "the etcd-ca CA expired during its rotation" in refused.error
    assert contents(place.root) == tree
    for path in place.root.glob("pki/etcd/ca-next.*"):
        path.unlink()
    assert rescue(pkigen, place).code == 0
    assert pkigen("verify", "-C", place.root).code == 0


# -- the runbook ----------------------------------------------------------------------------------------


def test_the_runbook_is_in_the_order_in_which_things_need_one_another(
    tmp_path: Path, pkigen: InProcess
) -> None:
    (tmp_path / "prod.yaml").write_text(HA)
    assert pkigen("init", tmp_path / "prod.yaml", "-C", tmp_path / "prod").code == 0
    pkigen.now = NOW + 11 * YEARS
    done = pkigen("rescue", "-C", tmp_path / "prod", "--yes", "--runbook", tmp_path / "book")
    book = (tmp_path / "book/rescue.txt").read_text()
    assert book.strip() in done.out
    # A script that waits for each member of etcd in turn would wait for ever, and from a kit's directory it
    # would have seen no component run.
    assert [each.name for each in (tmp_path / "book").iterdir()] == ["rescue.txt"]
    titles = re.findall(r"^\d+\. ([\w'-]+)", book, re.MULTILINE)
    assert titles == [
        *("New", "Every", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        *("kubelet", "Clients"),
    ]
    sections = re.split(r"^\d+\. ", book, flags=re.MULTILINE)
    for number, nodes in ((3, 3), (4, 3), (5, 3), (6, 3), (7, 4)):
        told = sections[number]
        assert len(set(re.findall(r"^   on ([\w-]+):", told, re.MULTILINE))) == nodes, told
        # No check waits for one member alone: the last restart comes before the first check.
        assert told.rindex("   on ") < told.index("done when")
    assert "--server https://10.0.0.12:6443" in sections[4]
    assert "openssl s_client -connect 10.0.0.13:2379" in sections[3]
    assert sections[7].count("kubelet-client-current.pem") == 4


def test_who_holds_keys_elsewhere_has_to_ask(tmp_path: Path, pkigen: InProcess) -> None:
    spec = HA.replace("addresses: [10.0.0.21]}", "addresses: [10.0.0.21], keys: node}")
    (tmp_path / "prod.yaml").write_text(spec)
    assert pkigen("init", tmp_path / "prod.yaml", "-C", tmp_path / "prod").code == 0
    pkigen.now = NOW + 11 * YEARS
    done = pkigen("rescue", "-C", tmp_path / "prod", "--yes")
    assert done.code == 0, done
    assert "Nodes that hold their own keys request certificates again: worker-1." in done.out
    again = pkigen("rescue", "-C", tmp_path / "prod", "--yes")
    assert "nothing to do" in again.out


# -- the kit --------------------------------------------------------------------------------------------

WORDS = "five words for the safe"


@pytest.fixture(scope="session")
def kit(original: EncryptedCluster, tmp_path_factory: pytest.TempPathFactory) -> EncryptedCluster:
    """A place with a kit in `media/`; never changed."""
    from pkigen.cli.app import run  # noqa: PLC0415

    place = original.copied(tmp_path_factory.mktemp("kit") / "place")
    words = place.root.parent / "words"
    words.touch(mode=0o600)
    words.write_text(WORDS)
    templates = place.root.parent / "templates"
    templates.mkdir()
    command = ["airgap", "bundle", "create", place.spec, "-C", place.root, "--rescue"]
    command += ["--out", place.root.parent / "media", "--passphrase-file", words]
    command += ["--authority-identity", place.key, "--templates", templates]
    assert run([str(each) for each in command], system=System(clock=lambda: NOW)) == 0
    return place


def from_kit(pkigen: InProcess, kit: EncryptedCluster, root: Path, *more: object) -> Result:
    folder = kit.root.parent
    words = ("rescue", folder / "media/home.rescue", "-C", root, "--passphrase-file", folder / "words")
    return pkigen(*words, "--authority-identity", kit.key, "--yes", *more)


def test_from_the_kit_alone(kit: EncryptedCluster, tmp_path: Path, pkigen: InProcess) -> None:
    """The authority's machine is gone, and eleven years later there are the kit and what opens it."""
    pkigen.now = NOW + 11 * YEARS
    root = tmp_path / "back"
    done = from_kit(pkigen, kit, root)
    assert done.code == 0, done
    assert "is restored from the kit" in done.err
    assert pkigen("verify", "-C", root).code == 0
    old, new = certificates(kit.root), certificates(root)
    assert old.keys() == new.keys()
    for path in CAS:
        assert public_der(new[path].public_key()) == public_der(old[path].public_key())  # type: ignore[arg-type]
    assert (root / "users/dev1.conf").exists()
    assert (root / "cluster.yaml").read_text() == kit.spec.read_text()
    before = contents(root)
    assert "nothing to do" in from_kit(pkigen, kit, root).out
    assert contents(root) == before


def test_the_kit_holds_the_authority_as_it_is_and_no_node(kit: EncryptedCluster) -> None:
    data = (kit.root.parent / "media/home.rescue").read_bytes()
    secrets = {line for path in NEVER_ON_NODES for line in telling(kit.opened(path))}
    assert not any(secret in data for secret in secrets)
    from pkigen.crypto.age import Passphrase  # noqa: PLC0415

    bundle = open_bundle(unwrap(data, pin=None), Passphrase(WORDS))
    assert not any(secret in file for secret in secrets for file in bundle.files.values())
    assert {path.split("/")[0] for path in bundle.files} == {
        *("pki", "pki.lock", ".pkigen", "cluster.yaml", "rescue.txt")
    }
    assert b"1. New trees" in bundle.files["rescue.txt"]


def test_what_is_not_this_kit_is_refused_and_nothing_is_written(
    kit: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    root, media = tmp_path / "back", kit.root.parent / "media"
    pin = "aaaaa-aaaaa-aaaaa-aaaaa-aaaaa"
    assert " is pinned" in from_kit(pkigen, kit, root, "--pin", pin).error
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text(WORDS + "!")
    words = ("rescue", media / "home.rescue", "-C", root, "--yes", "--passphrase-file", wrong)
    assert "the passphrase is wrong" in pkigen(*words).error
    other = pkigen("airgap", "bundle", "install", media / "home.rescue", "--root", tmp_path, "--node", "cp-1")
    assert other.code != 0
    assert not root.exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "pki.lock").write_text("{}")
    assert "was not restored from this kit" in from_kit(pkigen, kit, foreign).error
    assert contents(foreign) == {"pki.lock": b"{}"}


def test_any_flipped_bit_of_a_kit_is_refused(kit: EncryptedCluster) -> None:
    data = (kit.root.parent / "media/home.rescue").read_bytes()
    for bit in chosen(range(len(data) * 8), 1000):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BundleError):
            unwrap(bytes(flipped), pin=None)
    unwrap(data, pin=None)


def test_a_kit_for_a_recipient_needs_the_pin(
    kit: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    """Anybody can seal for a recipient, so the signature has to be that of a known key."""
    key = tmp_path / "safe.age"
    identity = Identity.generate()
    key.touch(mode=0o600)
    key.write_text(identity.text)
    command = ("airgap", "bundle", "create", kit.spec, "-C", kit.root, "--rescue", "--out", tmp_path)
    made = pkigen(*command, "--recipient", identity.recipient.text, "--authority-identity", kit.key)
    assert made.code == 0, made
    pin = made.out.rstrip().rpartition(" ")[2]
    words = ("rescue", tmp_path / "home.rescue", "-C", tmp_path / "back", "--yes", "--identity", key)
    assert "no bundle key is pinned for the kit" in pkigen(*words).error
    assert not (tmp_path / "back").exists()
    assert pkigen(*words, "--pin", pin, "--authority-identity", kit.key).code == 0


def test_a_kit_is_of_a_settled_directory(place: EncryptedCluster, tmp_path: Path, pkigen: InProcess) -> None:
    place.spec.write_text(place.spec.read_text().replace("10.0.0.11", "10.0.0.12"))
    command = (
        "airgap",
        "bundle",
        "create",
        place.spec,
        "-C",
        place.root,
        "--rescue",
        "--out",
        tmp_path / "media",
    )
    refused = pkigen(*command, "--authority-identity", place.key)
    assert "does not match the spec: " in refused.error
    assert not (tmp_path / "media").exists()


def test_the_ledger_goes_on_where_the_kit_ended(
    kit: EncryptedCluster, tmp_path: Path, pkigen: InProcess
) -> None:
    pkigen.now = NOW + 11 * YEARS
    assert from_kit(pkigen, kit, tmp_path / "back").code == 0
    old = (kit.root / ".pkigen/ledger.jsonl").read_bytes()
    new = (tmp_path / "back/.pkigen/ledger.jsonl").read_bytes()
    assert new.startswith(old)
    last = json.loads(new.splitlines()[-1])
    assert datetime.fromisoformat(last["time"]) == pkigen.now
