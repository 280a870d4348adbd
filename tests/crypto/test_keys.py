"""Private keys: which are accepted, how they are made in other processes, and that no `repr` shows one."""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import importlib
import inspect
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import pkigen
from pkigen.crypto import keys
from pkigen.crypto.issuance import Issuer
from pkigen.crypto.key_makers import generated
from pkigen.crypto.keys import (
    KeyAlgorithm,
    UnsupportedKeyError,
    algorithm_of,
    describe,
    load_own_private,
    load_private,
    private_pem,
    public_der,
    public_pem,
)
from pkigen.errors import PkigenError
from pkigen.store import FileContent
from tests.samples import World, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW, FAST = KeyAlgorithm.RSA_2048, KeyAlgorithm.ECDSA_P256


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pkcs8(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined, no-any-return]


# -- loading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_keys_are_written_as_kubeadm_writes_them_and_read_back(algorithm: KeyAlgorithm) -> None:
    key = keys.ALGORITHMS[algorithm].generate()
    pem = private_pem(key)
    # kubeadm's forms (client-go `keyutil/key.go`): PKCS #1 and SEC 1
    label = b"RSA PRIVATE KEY" if algorithm.startswith("RSA") else b"EC PRIVATE KEY"
    assert pem.startswith(b"-----BEGIN " + label)
    assert public_pem(key).startswith(b"-----BEGIN PUBLIC KEY-----")
    for load in (load_private, load_own_private):
        for text in (pem, pkcs8(key)):
            again = load(text)
            assert algorithm_of(again) is algorithm
            assert public_der(again) == public_der(key)
            assert private_pem(again) == pem
    assert public_pem(key.public_key()) == public_pem(key)
    assert describe(key) == describe(key.public_key()) == algorithm


def test_unusual_keys_have_names() -> None:
    assert describe(ec.generate_private_key(ec.SECP521R1())) == "ECDSA on secp521r1"
    assert describe(rsa_key().public_key()) == "RSA-2048"
    assert describe(ed25519.Ed25519PrivateKey.generate().public_key()) == "Ed25519"
    assert algorithm_of(ec.generate_private_key(ec.SECP521R1())) is None


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "is not a PEM private key"),
        (b"\xff\xfe", "is not a PEM private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not a PEM private key"),
        (pkcs8(ed25519.Ed25519PrivateKey.generate()), "is a key of kind Ed25519"),
        (pkcs8(x25519.X25519PrivateKey.generate()), "is a key of kind X25519"),
        (pkcs8(dsa.generate_private_key(2048)), "is a key of kind DSA"),
        (2 * pkcs8(ec.generate_private_key(ec.SECP256R1())), "holds more than one private key"),
    ],
)
def test_what_is_refused(pem: bytes, reason: str) -> None:
    for load in (load_private, load_own_private):
        with pytest.raises(UnsupportedKeyError, match=reason) as caught:
            load(pem)
        assert caught.value.__cause__ is None  # the parser's own text may quote the input
        assert b"PRIVATE KEY" not in str(caught.value).encode()


def test_a_damaged_rsa_key_is_found_without_testing_its_primes() -> None:
    good, other = rsa_key().private_numbers(), rsa.generate_private_key(65537, 2048).private_numbers()
    names = ("p", "q", "d", "dmp1", "dmq1", "iqmp")
    assert load_own_private(pkcs1(good.public_numbers, {name: getattr(good, name) for name in names}))
    for part in names:
        pem = pkcs1(
            good.public_numbers, {name: getattr(other if name == part else good, name) for name in names}
        )
        for load in (load_own_private, load_private):
            with pytest.raises(UnsupportedKeyError, match=r"is a damaged RSA key|is not a PEM private key"):
                load(pem)


def pkcs1(public: rsa.RSAPublicNumbers, parts: dict[str, int]) -> bytes:
    """An RSA key of any numbers, whether or not they belong together (RFC 8017 A.1.2)."""

    def tagged(tag: int, body: bytes) -> bytes:
        size = len(body)
        length = (
            bytes([size])
            if size < 0x80
            else bytes([0x81, size])
            if size < 0x100
            else b"\x82" + size.to_bytes(2, "big")
        )
        return bytes([tag]) + length + body

    private = (parts[name] for name in ("d", "p", "q", "dmp1", "dmq1", "iqmp"))
    integers = (
        tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
        for number in (0, public.n, public.e, *private)
    )
    text = base64.encodebytes(tagged(0x30, b"".join(integers)))
    return b"-----BEGIN RSA PRIVATE KEY-----\n%s-----END RSA PRIVATE KEY-----\n" % text


# -- making them --------------------------------------------------------------------------------------


def test_keys_come_in_the_order_in_which_they_were_asked_for() -> None:
    wanted = [FAST, SLOW, KeyAlgorithm.ECDSA_P384, SLOW, KeyAlgorithm.RSA_3072, FAST, SLOW]
    with generated(wanted) as made:
        found = list(made)
    assert [algorithm_of(key) for key in found] == wanted
    assert len({public_der(key) for key in found}) == len(wanted)
    # A key from another process is as good as one of our own.
    assert all(algorithm_of(load_private(private_pem(key))) for key in found)


def children() -> list[int]:
    """The processes whose parent is this one, zombies included."""
    return [int(text) for text in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split() if text]


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    before = children()
    with generated([SLOW] * 3) as made:
        next(made)
        assert len(children()) == len(before) + 3
    assert children() == before
    with pytest.raises(KeyboardInterrupt), generated([SLOW] * 3):
        raise KeyboardInterrupt
    assert children() == before


def test_one_key_or_one_core_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forks"))
    for cores, wanted in ((1, [SLOW, SLOW]), (4, [SLOW]), (None, [SLOW, SLOW]), (4, [FAST] * 9), (4, [])):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        with generated(wanted) as made:
            assert [algorithm_of(key) for key in made] == wanted


def test_a_child_that_died_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = set(children())
    with generated([KeyAlgorithm.RSA_4096] * 4) as made:
        for child in set(children()) - before:
            os.kill(child, signal.SIGKILL)
        with pytest.raises(PkigenError, match="a process that generates keys has died"):
            list(made)
    assert set(children()) == before


def test_a_process_that_cannot_be_made_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    real, allowed = os.fork, iter([True])

    def fork() -> int:
        if next(allowed, False):
            return real()
        raise BlockingIOError("resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    before, opened = children(), descriptors()
    with pytest.raises(BlockingIOError), generated([SLOW] * 3):
        pytest.fail("it was entered")
    assert children() == before
    assert descriptors() == opened


PARENT = """
import fcntl, json, os, sys
from pkigen.crypto.key_makers import KeyAlgorithm, generated
os.cpu_count = lambda: 3
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
with generated([KeyAlgorithm.RSA_2048] * 600) as made:
    next(made)
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    for child in children:
        opened = [os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")]
        print(json.dumps([child, *opened]))
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a lock while it has keys made."""
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", PARENT, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, lock
        process.kill()


def test_children_hold_no_lock_and_die_with_their_parent(parent: tuple[subprocess.Popen[str], Path]) -> None:
    process, lock = parent
    assert process.stdout is not None
    told: list[list[str]] = []
    while (line := process.stdout.readline().strip()) != "ready":
        told.append(json.loads(line))
    makers = [int(each[0]) for each in told]
    assert len(makers) == 3
    for _, *opened in told:
        assert not any("lock" in each for each in opened)
        # Standard streams and the one end of its own pipe: at most four files.
        assert len(opened) <= 4
    with lock.open("r+b") as stream:
        with pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send_signal(signal.SIGKILL)
        process.wait()
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free at once, whatever the children do
    deadline = time.monotonic() + 120
    while any(alive(child) for child in makers):
        assert time.monotonic() < deadline, "a child outlived its parent"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}  # a zombie is init's to collect


# -- secrecy ------------------------------------------------------------------------------------------


CORE = tuple(
    module.name
    for room in ("crypto", "desired", "reconcile", "state", "store")
    for module in pkgutil.walk_packages([str(Path(pkigen.__file__).parent / room)], f"pkigen.{room}.")
)
"""Every module whose types may have private keys in their hands."""


def test_no_repr_shows_a_field_that_may_hold_a_key() -> None:
    """Fields of type bytes or key in dataclasses of the core: hidden, or known to be public."""
    public = {
        ("AlgorithmRow", "generate"),  # a function
        ("Delivered", "certificate"),
        ("ObservedFile", "sha256"),
        ("ObservedCertificate", "public_key"),
        ("ObservedCertificate", "skeleton"),  # a digest, with the key left out
        ("ObservedToken", "skeleton"),
        ("ObservedKeyPair", "private"),  # the SPKI of the private half: what is public in it
        ("ObservedKeyPair", "public"),
        ("SealedKey", "public"),
        ("SealedKey", "sha256"),  # a digest of 256 random bits or more
        ("Surveyed", "sha256"),
    }
    shown = {
        (kind.__name__, each.name)
        for module in map(importlib.import_module, CORE)
        for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
        if isinstance(kind, type)
        for each in dataclasses.fields(kind)
        if each.repr and any(word in str(each.type) for word in ("bytes", "PrivateKey"))
    }
    names = {name for name, _ in shown}
    assert "Issuer" not in names
    assert "FileContent" not in names
    assert shown <= public


def test_key_material_in_the_hands_of_dataclasses(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(encryption={}))
    world.apply()
    key = load_private(world.read("pki/ca.key"))
    issuer = Issuer(certificate=world.certificate("ca"), key=key)
    body = private_pem(key).decode().splitlines()[1]
    with world.writing() as store:
        content = store.read("pki/ca.key")
    secret = world.read("pki/encryption.key").decode()
    told = "".join(map(repr, (issuer, content, world.plan(), world.inventory, world.verify(), world.tools())))
    assert isinstance(content, FileContent)
    assert body not in told
    assert secret not in told
    assert "PRIVATE KEY-----" not in told
