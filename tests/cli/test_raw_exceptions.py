"""No text of a library's exception, and no object's `repr`, is told to people, whatever is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.access.team_cluster import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.program import InProcess

RAW = ("<Certificate(", "<Name(", "Traceback", " at 0x", "ValueError", "TypeError", "Exception", "Error(")

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
