"""No text of a library's exception, and no object's `repr`, is told to people, whatever is damaged."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.access.requests import make_request
from pkigen.airgap.carrier.bundle_key import BundleKey
from pkigen.crypto.names import Subject
from tests.access.team_cluster import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.program import InProcess

RAW = (
    "<Certificate(",
    "panicked",
    "internal error",
    "<Name(",
    "Traceback",
    " at 0x",
    "ValueError",
    "TypeError",
    "Exception",
    "Error(",
)

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "binary": lambda _: b"\x00\xff\xfe\x30\x82",
    "garbled": lambda data: data.replace(b"M", b"A", 40),
    "inside": lambda data: data[: len(data) // 2] + b"AAAAAAAA" + data[len(data) // 2 + 8 :],
    "words": lambda _: b"-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n",
}

FILES = (
    *("pki/ca.crt", "pki/ca.key", "pki/etcd/ca.crt", "pki/sa.pub", "pki.lock"),
    *("users/dev1.conf", "users/web.deployer.conf", ".pkigen/ledger.jsonl"),
    *(
        f"nodes/cp-1/etc/kubernetes/{name}"
        for name in ("admin.conf", "pki/apiserver.crt", "pki/etcd/server.crt")
    ),
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(pkigen: InProcess, tmp_path: Path, damage: str) -> None:
    spec, tree = tmp_path / "team.yaml", tmp_path / "team"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", tree).code == 0
    for name in FILES:
        file = tree / name
        whole = file.read_bytes()
        file.write_bytes(DAMAGES[damage](whole))
        for arguments in (
            ("plan", spec, "-C", tree),
            ("verify", "-C", tree, spec),
            ("explain", file, "-C", tree),
            ("access", "kubeconfig", "show", file),
        ):
            result = pkigen(*arguments)
            assert not [raw for raw in RAW if raw in result.out + result.err], result.out + result.err
        file.write_bytes(whole)


def carried(folder: Path) -> Iterator[tuple[Path, tuple[object, ...]]]:
    """Files that come from elsewhere, and what reads each of them."""
    tree, key = folder / "team", ec.generate_private_key(ec.SECP256R1())
    request = folder / "ann.csr"
    request.write_bytes(make_request(Subject(common_name="ann"), key))
    yield request, ("access", "sign", "--csr", request, "--user", "ann", "-C", tree)
    yield request, ("access", "csr", "manifest", "--csr", request)
    token = folder / "token"
    found = re.search(r"token: (\S+)", (tree / "users/web.deployer.conf").read_text())
    assert found is not None
    token.write_text(found[1])
    yield token, ("explain", token, "-C", tree)
    archive = folder / "node.tar"
    with tarfile.open(archive, "w") as made:
        made.add(tree / "nodes/cp-1/etc", "etc")
    yield archive, ("verify", archive)
    template = folder / "templates/units/kubelet.service.j2"
    template.parent.mkdir(parents=True)
    template.write_text("{{ kubelet.no }} {% if MM %}MM{% endif %}\n")
    yield template, ("plan", folder / "team.yaml", "-C", tree, "--templates", folder / "templates")
    saved = folder / "saved.plan"
    yield saved, ("apply", saved, "-C", tree, "--yes")
    yield folder / "team.yaml", ("validate", folder / "team.yaml")
    aws = folder / "aws-auth.yaml"
    aws.write_text("kind: ConfigMap\ndata: {mapRoles: 'MM: [', mapUsers: '3'}\n")
    yield aws, ("access", "iam", "-C", tree, "--current", aws)
    bundle = folder / "prod.cp-1.bundle"
    bundle.write_bytes(BundleKey(seed=bytes(32)).public * 9)
    yield bundle, ("airgap", "bundle", "inspect", bundle)
    yield bundle, ("airgap", "node", "approve", folder / "team.yaml", bundle, "-C", tree, "--out", folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_from_elsewhere(pkigen: InProcess, tmp_path: Path, damage: str) -> None:
    spec, tree = tmp_path / "team.yaml", tmp_path / "team"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", tree).code == 0
    assert pkigen("renew", spec, "cp-1/apiserver", "-C", tree, "--save", tmp_path / "saved.plan").code == 0
    for file, arguments in carried(tmp_path):
        whole = file.read_bytes()
        file.write_bytes(DAMAGES[damage](whole))
        result = pkigen(*arguments)
        assert not [raw for raw in RAW if raw in result.out + result.err], (arguments, result)
        file.write_bytes(whole)


def test_certificates_where_others_belong(pkigen: InProcess, tmp_path: Path) -> None:
    """What the path verifier refuses, it refuses in words."""
    spec, tree = tmp_path / "team.yaml", tmp_path / "team"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", tree).code == 0
    pki = tree / "nodes/cp-1/etc/kubernetes/pki"
    names = (
        "apiserver",
        "apiserver-kubelet-client",
        "etcd/server",
        "front-proxy-client",
        "apiserver-etcd-client",
    )
    pairs = {name: [(pki / f"{name}{end}").read_bytes() for end in (".crt", ".key")] for name in names}
    for name, other in zip(names, (*names[1:], names[0]), strict=True):
        for end, content in zip((".crt", ".key"), pairs[other], strict=True):
            (pki / f"{name}{end}").write_bytes(content)
    told = pkigen("verify", "-C", tree, spec)
    assert told.code != 0
    assert "does not allow" in told.out
    for result in (
        told,
        pkigen("plan", spec, "-C", tree),
        pkigen("explain", pki / "apiserver.crt", "-C", tree),
    ):
        assert not [raw for raw in RAW if raw in result.out + result.err], result.out + result.err


@pytest.mark.parametrize("depth", [300, 900, 100_000])
def test_a_lock_file_that_nests_without_end(pkigen: InProcess, tmp_path: Path, depth: int) -> None:
    spec, tree, request = tmp_path / "team.yaml", tmp_path / "team", tmp_path / "ana.csr"
    spec.write_text(SPEC)
    request.write_bytes(make_request(Subject(common_name="ana"), ec.generate_private_key(ec.SECP256R1())))
    assert pkigen("init", spec, "-C", tree).code == 0
    lock = tree / "pki.lock"
    good = lock.read_text()
    lock.write_text(good.removesuffix("\n}\n") + f',\n "deep": {"[" * depth}{"]" * depth}\n}}\n')
    # It could be decoded, and not be encoded again.
    for command in (
        ("access", "token", "--service-account", "default/web"),
        ("access", "sign", "--csr", request, "--user", "dev1"),
    ):
        refused = pkigen(*command, "-C", tree)
        assert refused.code == 1
        assert "this directory has no readable pki.lock" in refused.err
    assert pkigen("apply", "-C", tree, "--yes").code == 0
    assert lock.read_text().count("deep") == 0
    # What was replaced is in the backup, and comes back as it was.
    back = pkigen("rollback", "-C", tree, "--yes")
    assert back.code == 0
    assert "None" not in back.out
    assert lock.read_text().count("deep") == 1
    assert pkigen("apply", "-C", tree, "--yes").code == 0
    assert pkigen("verify", "-C", tree).code == 0
