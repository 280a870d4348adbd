"""`pkigen export --recipient`: what SOPS and age open, and nobody else."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pkigen.crypto.age import Identity
from tests.cli.program import REPOSITORY, InProcess, contents
from tests.live.programs import find
from tests.pages.blocks import commands_for

if TYPE_CHECKING:
    from pathlib import Path

VALUE = re.compile(r"ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:str\]")


def sealed(pkigen: InProcess, tree: Path, distribution: str, out: Path, *whom: Identity) -> dict[str, bytes]:
    named = [word for each in whom for word in ("--recipient", each.recipient.text)]
    result = pkigen("-C", tree, "export", "--as", distribution, "--out", out, *named)
    assert result.code == 0, result
    assert "sops decrypt" in result.err
    found = contents(out)
    assert b"PRIVATE KEY" not in b"".join(found.values())
    return found


def opened(documents: list[dict[str, Any]], identity: Identity) -> list[dict[str, Any]]:
    """As SOPS does it (aes/cipher.go, sops.go): each value by its path, and the MAC over all of them."""
    metadata = documents[0]["sops"]
    (wrapped,) = (each["enc"] for each in metadata["age"] if each["recipient"] == identity.recipient.text)
    key = identity.open(base64.b64decode("".join(wrapped.split("\n")[1:-2])))
    digest = hashlib.sha512()

    def plain(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {name: plain(below, f"{path}{name}:") for name, below in value.items()}
        match = VALUE.fullmatch(value)
        text = decrypted(match, path) if match else value
        digest.update(text.encode())
        return text

    def decrypted(match: re.Match[str], additional: str) -> str:
        data, nonce, tag = (base64.b64decode(part) for part in match.groups())
        return AESGCM(key).decrypt(nonce, data + tag, additional.encode()).decode()

    found = [plain({k: v for k, v in each.items() if k != "sops"}, "") for each in documents]
    mac = VALUE.fullmatch(metadata["mac"])
    assert mac is not None
    assert decrypted(mac, metadata["lastmodified"]) == digest.hexdigest().upper(), "MAC mismatch"
    return found


def test_secrets_are_sealed_value_by_value(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    first, second = Identity.generate(), Identity.generate()
    (content,) = sealed(pkigen, tree, "cluster-api", tmp_path / "out", first, second).values()
    documents = list(yaml.safe_load_all(content))
    assert [each["metadata"]["name"] for each in documents] == [
        f"home-{name}" for name in ("ca", "etcd", "proxy", "sa")
    ], "what applies them reads which they are"
    assert pkigen("-C", tree, "export", "--as", "cluster-api", "--out", tmp_path / "plain").code == 0
    plain = list(yaml.safe_load_all((tmp_path / "plain/home-secrets.yaml").read_text()))
    assert opened(documents, first) == opened(documents, second) == plain
    documents[1]["type"] = "Opaque"
    with pytest.raises(AssertionError, match="MAC mismatch"):
        opened(documents, first)
    documents[0]["data"]["tls.crt"] = documents[0]["data"]["tls.key"]
    with pytest.raises(InvalidTag):
        opened(documents, first)


def test_a_real_sops_opens_them(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    sops = find("sops")
    if sops is None:
        pytest.skip("no sops beside this Python or on PATH")
    identity = Identity.generate()
    (tmp_path / "key.txt").write_text(f"{identity.text}\n")
    assert pkigen("-C", tree, "export", "--as", "k8s-snap", "--out", tmp_path / "plain").code == 0
    assert pkigen("-C", tree, "export", "--as", "cluster-api", "--out", tmp_path / "plain").code == 0
    for distribution, name in (("cluster-api", "home-secrets"), ("k8s-snap", "bootstrap")):
        sealed(pkigen, tree, distribution, tmp_path / distribution, identity)
        file = tmp_path / distribution / f"{name}.sops.yaml"
        done = decrypt(sops, file, tmp_path)
        assert done.returncode == 0, done.stderr
        original = list(yaml.safe_load_all((tmp_path / f"plain/{name}.yaml").read_text()))
        assert list(yaml.safe_load_all(done.stdout)) == original
    changed = re.sub(
        "namespace: default",
        "namespace: other",
        (tmp_path / "cluster-api/home-secrets.sops.yaml").read_text(),
    )
    (tmp_path / "changed.sops.yaml").write_text(changed)
    refused = decrypt(sops, tmp_path / "changed.sops.yaml", tmp_path)
    assert refused.returncode != 0
    assert "MAC mismatch" in refused.stderr


def test_the_page_opens_them(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    """By the programs that it names; what it applies is what a `kubectl` of the test was given."""
    if find("sops") is None or find("age") is None:
        pytest.skip("no sops or no age beside this Python or on PATH")
    page = REPOSITORY / "docs/how-to/distributions.md"
    (commands,) = commands_for("tests/distributions/test_sealing.py", page)
    identity = Identity.generate()
    (tmp_path / "key.txt").write_text(f"{identity.text}\n")
    for distribution in ("cluster-api", "k0s"):
        sealed(pkigen, tree, distribution, tmp_path / f"prod-{distribution}", identity)
        assert pkigen("-C", tree, "export", "--as", distribution, "--out", tmp_path / "plain").code == 0
    made = tmp_path / "prod-cluster-api/home-secrets.sops.yaml"
    made.rename(made.with_name("prod-secrets.sops.yaml"))
    stand_in = tmp_path / "programs/kubectl"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nset -e\ntest "$*" = "apply -f -"\ncat > applied\n')
    stand_in.chmod(0o755)
    places = (stand_in.parent, *(program.parent for name in ("sops", "age") if (program := find(name))))
    searched = os.pathsep.join((*map(str, places), os.environ["PATH"]))
    subprocess.run(
        ["sh", "-ec", "\n".join(each.words for each in commands)],
        cwd=tmp_path,
        check=True,
        timeout=120,
        env={**os.environ, "PATH": searched, "HOME": str(tmp_path)},
    )
    original = list(yaml.safe_load_all((tmp_path / "plain/home-secrets.yaml").read_text()))
    assert list(yaml.safe_load_all((tmp_path / "applied").read_text())) == original
    assert (tmp_path / "ca.key").read_bytes() == (tmp_path / "plain/ca.key").read_bytes()


def decrypt(sops: Path, file: Path, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sops, "decrypt", file],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "SOPS_AGE_KEY_FILE": str(place / "key.txt"), "HOME": str(place)},
    )


def test_other_files_are_sealed_whole(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    identity = Identity.generate()
    found = sealed(pkigen, tree, "k0s", tmp_path / "out", identity)
    assert pkigen("-C", tree, "export", "--as", "k0s", "--out", tmp_path / "plain").code == 0
    plain = contents(tmp_path / "plain")
    for name, content in found.items():
        if name.endswith(".age"):
            lines = content.decode().split("\n")
            assert identity.open(base64.b64decode("".join(lines[1:-2]))) == plain[name.removesuffix(".age")]
        else:
            assert content == plain[name]
    assert {name.removesuffix(".age") for name in found} == set(plain)
    assert sum(name.endswith(".key.age") for name in found) == 4
