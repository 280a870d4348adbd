"""Feed the observer and the readers of lock files and ledgers with damaged bytes: nothing may raise.

    python -m tests.state.fuzz_observed [--inputs 100000] [--seed 1] [--save DIRECTORY]

Inputs are mutations of good files and of the corpus in `tests/state/corpus/`, and plain noise. An input that
raises is written into the directory given with `--save`, to be kept in the corpus.
"""

from __future__ import annotations

import base64
import random
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.ca_fitness import remarks, unfit
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import private_pem
from pkigen.crypto.names import SANs, Subject, sans_of, subject_of
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.generations import CA, InKubeconfig, KeyPairFiles
from pkigen.desired.items import DesiredCertificate
from pkigen.reconcile.checks import Case, examine
from pkigen.state.ledger import appended, head_of, mismatches, problems
from pkigen.state.lockfile import certificate_facts, read_lock
from pkigen.state.observed import observe_bundle, observe_certificate, observe_file, observe_key_pair
from pkigen.store import FileContent, MissingError
from tests.fuzzing import campaign, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parent / "corpus"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_PATHS = KeyPairFiles(certificate="x.crt", key="x.key")


@dataclass(frozen=True)
class Bytes:
    """A reader of one file: the same bytes at every path."""

    data: bytes

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        """Give the bytes."""
        if len(self.data) > limit:
            raise MissingError(path)
        return FileContent(data=self.data, mode=0o600, size=len(self.data), uid=0, gid=0, links=1)


def _made() -> tuple[Issuer, bytes, bytes]:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = CertificateContent(
        subject=Subject(common_name="kubernetes"),
        sans=SANs(),
        profile=Profile.CA,
        validity=timedelta(days=900),
    )
    chance = random.Random(3)  # noqa: S311 -- serials that can be had again
    made = issue(root, key=ca_key, issuer=None, now=NOW, entropy=chance.randbytes)
    issuer = Issuer(certificate=made.certificate, key=ca_key)
    leaf = CertificateContent(
        subject=Subject(common_name="leaf", organizations=("a", "b")),
        sans=SANs.of("cp-1", "10.0.0.1", "fd00::1"),
        profile=Profile.PEER,
        validity=timedelta(days=90),
    )
    certificate = issue(leaf, key=key, issuer=issuer, now=NOW, entropy=chance.randbytes).certificate
    return issuer, certificate_pem(certificate, issuer.certificate), private_pem(key)


ISSUER, CERTIFICATE, KEY = _made()
ETCD_SERVER = next(kind for kind in CERTIFICATES if kind.name == "etcd-server")
DESIRED = DesiredCertificate(
    kind=ETCD_SERVER,
    id=ETCD_SERVER.id_on("cp-1"),
    node="cp-1",
    issuer=CA.ETCD,
    subject=Subject(common_name="leaf", organizations=("a", "b")),
    sans=SANs.of("cp-1", "10.0.0.1", "fd00::1"),
    profile=Profile.PEER,
    validity=timedelta(days=90),
    renew_before=timedelta(days=30),
    key_algorithm=KeyAlgorithm.ECDSA_P256,
    location=_PATHS,
)


def seeds() -> list[bytes]:
    """Good files of every kind that is read, and the corpus."""
    kubeconfig = b"".join(
        b"    %s: %s\n" % (name, base64.b64encode(data))
        for name, data in (
            (b"certificate-authority-data", certificate_pem(ISSUER.certificate)),
            (b"client-certificate-data", CERTIFICATE),
            (b"client-key-data", KEY),
        )
    )
    ledger, head = appended(b"", [], now=NOW)
    line = b'{"sequence": 1, "previous": "%s", "time": "x", "event": "issued", "id": "ca"}\n' % (b"0" * 64)
    lock = b'{"files": {"a": {}}, "spec": {"x": 1}, "ledger": {"entries": 3, "head": "%s"}}'
    rsa_pem = private_pem(rsa.generate_private_key(65537, 2048))
    good = [CERTIFICATE, KEY, rsa_pem, kubeconfig, ledger + line, line * 3, lock % head.hash.encode()]
    return [*good, *(path.read_bytes() for path in sorted(CORPUS.glob("*")) if path.is_file())]


def digest(data: bytes) -> None:
    """Everything that the core does with bytes from the disk."""
    reader = Bytes(data)
    parsed = parse_certificates(data)
    if not isinstance(parsed, str):
        for each in parsed:
            sans_of(each), subject_of(each), certificate_facts(each), remarks(each)
        unfit(parsed, public_key=None, now=NOW)
        PathVerifier(NOW).server(parsed, [ISSUER.certificate], "cp-1")
        PathVerifier(NOW).client(parsed, parsed)
    for location in (_PATHS, InKubeconfig(kubeconfig="x.conf")):
        observed = observe_certificate(reader, location)
        examine(
            Case(
                desired=DESIRED,
                observed=observed,
                issuer=ISSUER.certificate,
                issuer_replaced=False,
                chain=(),
                now=NOW,
            )
        )
    observe_bundle(reader, "x")
    observe_file(reader, "x")
    observe_key_pair(reader, "x", "y")
    lock = read_lock(reader)
    list(problems(data, head=lock.ledger if lock else None))
    list(mismatches(data))
    head_of(data)


_DICTIONARY = (
    b"-----BEGIN CERTIFICATE-----",
    b"-----END CERTIFICATE-----",
    b"PRIVATE KEY-----",
    b"\n",
    b"\r\n",
    b"=",
    b"null",
    b"1e999",
    b"-1",
    b"[[[[",
    b"{}",
    b'"\\ud800"',
    b"\xff",
    b"\x00" * 8,
    b"9" * 5000,
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Random changes, mostly of what stands inside PEM or base64: else hardly any input would parse."""
    blocks = list(_BLOCK.finditer(data))
    if not blocks or chance.random() < 0.25:
        return damaged(data, chance, _DICTIONARY)
    block = chance.choice(blocks)
    inner = base64.b64decode(block[0] + b"==")
    inner = mutated(inner, chance) if b"-----BEGIN" in inner else _der(inner, chance)
    return data[: block.start()] + base64.b64encode(inner) + data[block.end() :]


_BLOCK = re.compile(rb"(?:[A-Za-z0-9+/]{20,}={0,2}\n?)+")


def _der(data: bytes, chance: random.Random) -> bytes:
    """Mostly substitutions, which leave the lengths of DER as they are."""
    if chance.random() < 0.2:
        return damaged(data, chance, _DICTIONARY)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(changed))
        changed[place] = chance.choice(
            (changed[place] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 0xFF)
        )
    return bytes(changed)


def inputs(seed: int) -> Iterator[bytes]:
    """Endlessly many, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 -- inputs that can be had again
    good = seeds()
    yield from good
    while True:
        yield (
            chance.randbytes(chance.randint(0, 300))
            if chance.random() < 0.02
            else mutated(chance.choice(good), chance)
        )


def main() -> int:
    """Run; the exit code says whether something raised."""
    parsed = 0

    def look(data: bytes) -> None:
        nonlocal parsed
        parsed += not isinstance(parse_certificates(data), str)
        digest(data)

    return campaign(
        "what reads bytes from the disk", inputs, look, lambda: f"{parsed} of them parsed as certificates"
    )


if __name__ == "__main__":
    sys.exit(main())
