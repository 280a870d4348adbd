from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.cli.program import DAY, HOME, InProcess, changed, contents, unaddressed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODE = "nodes/cp-1/etc/kubernetes"
API_SERVER = f"{NODE}/pki/apiserver.crt"
LEAVES = 14


def certificate(tree: Path, path: str = API_SERVER) -> x509.Certificate:
    return x509.load_pem_x509_certificate((tree / path).read_bytes())


def certificates(before: dict[str, bytes], tree: Path) -> set[str]:
    """What a renewal wrote, the lock file left out."""
    return changed(before, contents(tree)) - {"pki.lock"}


def test_nothing_is_due(pkigen: InProcess, spec: Path, tree: Path) -> None:
    before = contents(tree)
    result = pkigen("renew", spec, "-C", tree, "--yes")
    assert (result.code, result.out, result.err) == (0, "nothing to do\n", "")
    assert contents(tree) == before


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("apiserver", {f"{NODE}/pki/apiserver.crt", f"{NODE}/pki/apiserver.key"}),
        ("cp-1/apiserver", {f"{NODE}/pki/apiserver.crt", f"{NODE}/pki/apiserver.key"}),
        ("etcd-server", {f"{NODE}/pki/etcd/server.crt", f"{NODE}/pki/etcd/server.key"}),
        ("admin.conf", {f"{NODE}/admin.conf"}),
        ("user:dev1", {"users/dev1.conf"}),
    ],
)
def test_by_name(pkigen: InProcess, spec: Path, tree: Path, name: str, written: set[str]) -> None:
    before = contents(tree)
    pkigen.now += 10 * DAY
    result = pkigen("renew", spec, name, "-C", tree, "--yes", "-o", "json")
    assert result.code == 0, result.err
    assert certificates(before, tree) == written
    assert {(action["action"], action["reason"]) for action in result.json["actions"]} == {
        ("renew", "requested")
    }
    assert pkigen("verify", "-C", tree).code == 0


def test_several_names(pkigen: InProcess, spec: Path, tree: Path) -> None:
    result = pkigen("renew", spec, "apiserver", "scheduler.conf", "-C", tree, "--yes", "-o", "json")
    assert sorted(result.json["issued"]) == ["cp-1/apiserver", "cp-1/scheduler.conf"]


def test_a_name_renews_nothing_else_not_even_what_has_expired(
    pkigen: InProcess, spec: Path, tree: Path
) -> None:
    """A person whose time is over does not get a new certificate because a server got one."""
    before = contents(tree)
    pkigen.now += 40 * DAY
    result = pkigen("renew", spec, "apiserver", "-C", tree, "--yes", "-o", "json")
    assert (result.code, result.json["issued"]) == (0, ["cp-1/apiserver"])
    assert certificates(before, tree) == {f"{NODE}/pki/apiserver.crt", f"{NODE}/pki/apiserver.key"}
    assert pkigen("renew", spec, "ca", "-C", tree, "--yes").code == 0
    result = pkigen("plan", spec, "-C", tree, "-o", "json")
    assert [(action["id"], action["reason"]) for action in result.json["actions"]] == [
        ("user:dev1", "expired")
    ]
    result = pkigen("renew", spec, "-C", tree, "--yes", "-o", "json")
    assert (result.code, result.json["issued"]) == (0, ["user:dev1"])


KUBEADMS = (
    "apiserver",
    "apiserver-kubelet-client",
    "apiserver-etcd-client",
    "front-proxy-client",
    "etcd-server",
    "etcd-peer",
    "etcd-healthcheck-client",
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
)
"""What `kubeadm certs renew` takes (kubeadm 1.36, `cmd/kubeadm/app/phases/certs/renewal/manager.go`)."""


def test_every_name_of_kubeadms(pkigen: InProcess, spec: Path, tree: Path) -> None:
    result = pkigen("renew", spec, *KUBEADMS, "-C", tree, "--yes", "-o", "json")
    assert (result.code, sorted(result.json["issued"])) == (0, sorted(f"cp-1/{name}" for name in KUBEADMS))
    result = pkigen("renew", spec, "all", "-C", tree, "--yes")
    assert (result.code, result.hint) == (2, "every leaf is renewed by --all")


@pytest.mark.parametrize("reuse", [False, True])
def test_all_with_new_keys_or_the_old_ones(
    pkigen: InProcess,
    spec: Path,
    tree: Path,
    reuse: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    before, old = contents(tree), certificate(tree)
    pkigen.now += 30 * DAY
    options = ["--reuse-keys"] if reuse else []
    result = pkigen("renew", spec, "--all", "-C", tree, "--yes", "-o", "json", *options)
    assert result.code == 0, result.err
    assert len(result.json["issued"]) == LEAVES
    new = certificate(tree)
    assert (new.public_key() == old.public_key()) is reuse
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc - old.not_valid_after_utc == 30 * DAY
    assert new.subject == old.subject
    written = certificates(before, tree)
    assert any(name.endswith(".key") for name in written) is not reuse
    assert not any(name.startswith("pki/") for name in written)
    assert not any(name.endswith((".yaml", "ca.crt", "sa.key")) for name in written)
    assert pkigen("verify", "-C", tree).code == 0


def test_what_is_due(pkigen: InProcess, spec: Path, tree: Path) -> None:
    pkigen.now += 350 * DAY
    result = pkigen("renew", spec, "-C", tree, "--yes")
    assert result.code == 0
    assert re.search(r"~ renew \(expires-soon\) +cp-1 +8 certificates, 5 kubeconfigs\n", result.out)
    assert f"applied: {LEAVES} issued" in result.out
    assert pkigen("renew", spec, "-C", tree).out == "nothing to do\n"


def test_within(pkigen: InProcess, spec: Path, tree: Path) -> None:
    pkigen.now += 5 * DAY
    assert pkigen("renew", spec, "-C", tree, "--within", "24h").out == "nothing to do\n"
    result = pkigen("renew", spec, "-C", tree, "--within", "8700h", "--yes", "-o", "json")
    assert len(result.json["issued"]) == LEAVES
    assert pkigen("plan", spec, "-C", tree, "--exit-code").code == 0


def test_expired_certificates(pkigen: InProcess, spec: Path, tree: Path) -> None:
    pkigen.now += 400 * DAY
    result = pkigen("renew", spec, "-C", tree, "--yes")
    assert re.search(r"~ renew \(expired\) +cp-1 +8 certificates, 5 kubeconfigs\n", result.out)
    assert pkigen("verify", "-C", tree).code == 0


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (
            ["ca", "apiserver"],
            "a CA cannot be renewed together with other certificates",
            "renew the other certificates afterwards",
        ),
        (["apiservr"], "there is no certificate 'apiservr' in this cluster", "did you mean apiserver?"),
        (["zzz"], "there is no certificate 'zzz'", "choose from "),
        (["sa"], "there is no certificate 'sa'", "choose from "),
        (["apiserver", "--all"], "names cannot be combined with --all", "give one of them"),
        (["apiserver", "--within", "1h"], "names cannot be combined with --all", "give one of them"),
        (["--within", "1 fortnight"], "--within ", "write it as 720h"),
    ],
)
def test_wrong_usage(
    pkigen: InProcess, spec: Path, tree: Path, arguments: list[str], error: str, hint: str
) -> None:
    before = contents(tree)
    result = pkigen("renew", spec, *arguments, "-C", tree, "--yes")
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(error)
    assert hint in result.hint
    assert contents(tree) == before


def test_no_tree_to_renew(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    result = pkigen("renew", spec, "--all", "-C", tmp_path / "nope", "--yes")
    assert (result.code, result.out) == (1, "")
    assert result.error == f"{tmp_path}/nope does not exist"
    assert not (tmp_path / "nope").exists()


@pytest.mark.parametrize(
    "drift",
    [
        lambda spec, _: spec.write_text(HOME.replace("10.0.0.11", "10.0.0.12")),
        lambda spec, _: spec.write_text(HOME.replace("v1.36.2", "v1.36.3")),
        lambda _, tree: (tree / NODE / "manifests/etcd.yaml").write_text("other"),
        lambda _, tree: (tree / "pki/sa.pub").chmod(0o666),
        lambda _, tree: (tree / NODE / "pki/front-proxy-client.key").unlink(),
    ],
)
@pytest.mark.parametrize("what", [["--all"], ["apiserver"], []])
def test_renew_makes_no_other_change(
    pkigen: InProcess, spec: Path, tree: Path, drift: Callable[[Path, Path], None], what: list[str]
) -> None:
    drift(spec, tree)
    before = contents(tree)
    result = pkigen("renew", spec, *what, "-C", tree, "--yes")
    assert (result.code, result.out) == (1, "")
    assert "renew only renews" in result.error
    assert "pkigen apply" in result.hint
    assert contents(tree) == before


def test_a_ca_that_ends_soon_is_said(pkigen: InProcess, spec: Path, tree: Path) -> None:
    pkigen.now += 3500 * DAY
    result = pkigen("renew", spec, "-C", tree, "--yes")
    assert result.code == 0
    assert "note: the ca CA itself expires 2036-11-19, in 150d" in result.err.replace("149d", "150d")
    assert "rotate it: `pkigen rotate ca`" in unaddressed(result.err)
    assert "cp-1/apiserver was shortened to its CA's validity" in result.err
    assert certificate(tree).not_valid_after_utc == certificate(tree, "pki/ca.crt").not_valid_after_utc
    # What its CA shortens cannot be helped by renewing again.
    assert pkigen("renew", spec, "-C", tree, "--yes").out == "nothing to do\n"


def test_an_expired_ca_cannot_renew(pkigen: InProcess, spec: Path, tree: Path) -> None:
    before = contents(tree)
    pkigen.now += 4000 * DAY
    result = pkigen("renew", spec, "--all", "-C", tree, "--yes")
    assert (result.code, result.out) == (1, "")
    assert "it expired 2036-11-19" in result.error
    assert contents(tree) == before


def test_renew_asks(pkigen: InProcess, spec: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io  # noqa: PLC0415

    before = contents(tree)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    result = pkigen("renew", spec, "--all", "-C", tree)
    assert (result.code, result.error) == (1, "not applied")
    assert contents(tree) == before


def test_a_saved_renewal_is_applied_exactly(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "plan.json"
    before = contents(tree)
    options = ("apiserver", "admin.conf", "--reuse-keys", "--save", saved)
    shown = pkigen("renew", spec, *options, "-C", tree)
    assert shown.code == 0
    assert "~ renew apiserver on cp-1: valid until " in shown.out
    assert contents(tree) == before
    pkigen.now += 2 * DAY
    place = ("apply", spec, "-C", tree, saved, "--yes")
    applied = pkigen(*place)
    assert (applied.code, applied.error) == (0, "")
    assert "applied: 2 issued, 2 changes" in applied.out
    key = "nodes/cp-1/etc/kubernetes/pki/apiserver.key"
    assert contents(tree)[key] == before[key], "--reuse-keys is part of what was reviewed"
    assert "the saved plan was carried out already" in pkigen(*place).error
