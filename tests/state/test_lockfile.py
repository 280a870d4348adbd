"""The lock file: what is written into it, what later runs take from it, and what is no lock file."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import CertificateContent, issue
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.adopted import Adopted
from pkigen.desired.inventory import EtcdMembership
from pkigen.desired.overrides import OverrideRecord
from pkigen.desired.revocations import CredentialId, Revocation
from pkigen.errors import PkigenError
from pkigen.spec.model import ClusterSpec
from pkigen.state.ledger import EMPTY, Head
from pkigen.state.lockfile import (
    FORMAT,
    LARGEST_LOCK,
    certificate_facts,
    lock_digest,
    read_lock,
    spec_facts,
    with_authority,
    with_ledger,
)
from pkigen.store import FileContent, RefusedError, UnreadableError
from tests.rotation.phases import NOW, SMALL, Photograph

if TYPE_CHECKING:
    from pkigen.state.lockfile import Lock

CLUSTER = ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": SMALL})
REVOKED = {
    "of": "dev1",
    "reason": "lost",
    "revoked": "2026-11-20T03:00:00Z",
    "notAfter": "2026-11-25T03:00:00Z",
}
LEAST: dict[str, Any] = {"files": {}, "spec": {}}
WHOLE: dict[str, Any] = {
    "apiVersion": "pkigen/v1",
    "ledger": {"entries": 7, "head": "ab" * 32},
    "authority": {"pki/ca.crt": "sha256:1"},
    "spec": spec_facts(CLUSTER),
    "files": {"pki/ca.crt": {}, "pki/ca.key": {}},
    "certificates": {
        "ca": {"fingerprint": "sha256:2", "spki": "sha256:3"},
        "etcd-ca": {"fingerprint": "sha256:4", "spki": "sha256:5"},
    },
    "etcd": {"founders": ["cp-1"], "joined": ["cp-2"]},
    "adopted": {"cp-1/apiserver": {"found": "f", "wanted": "w", "modes": "m"}},
    "templates": {"directory": "../own", "sha256": "6"},
}


def as_file(content: object) -> bytes:
    return json.dumps(content).encode()


def lock_of(data: bytes) -> Lock | None:
    return read_lock(Photograph({"pki.lock": data}))


def lock_with(**changes: object) -> Lock:
    found = lock_of(as_file({**LEAST, **changes}))
    assert found is not None
    return found


def test_everything_that_is_recorded_is_read() -> None:
    lock = lock_of(as_file(WHOLE))
    assert lock is not None
    assert lock.paths == {"pki/ca.crt", "pki/ca.key"}
    assert lock.ledger == Head(entries=7, hash="ab" * 32)
    assert lock.spec == WHOLE["spec"]
    assert lock.cluster() == CLUSTER
    assert lock.fingerprints == {"ca": "sha256:2", "etcd-ca": "sha256:4"}
    assert lock.keys == {"sha256:3": "ca", "sha256:5": "etcd-ca"}
    assert lock.etcd == EtcdMembership(founders=("cp-1",), joined=("cp-2",))
    assert lock.adopted == {"cp-1/apiserver": Adopted(found="f", wanted="w", modes="m")}
    assert lock.templates == OverrideRecord(directory="../own", sha256="6")
    assert lock.authority == {"pki/ca.crt": "sha256:1"}
    assert lock.revoked == ()


def test_its_form_is_the_one_that_earlier_ones_have() -> None:
    assert (FORMAT, LARGEST_LOCK) == ("pkigen/v1", 1 << 28)


def test_what_a_lock_file_leaves_out_is_nothing() -> None:
    lock = lock_with()
    assert (lock.paths, lock.ledger, lock.fingerprints, lock.keys) == (frozenset(), EMPTY, {}, {})
    assert (lock.etcd, lock.adopted, lock.revoked) == (EtcdMembership(), {}, ())
    assert (lock.templates, lock.authority) == (None, None), "not recorded is not the same as none"
    assert lock_with(authority={}).authority == {}
    assert lock_with(ledger={}).ledger == EMPTY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"files": {}, "spec": {}, "ledger": {"entries": 1e999, "head": ""}}',
        *map(
            as_file,
            [
                [],
                {"spec": {}},
                {"files": {}},
                {**LEAST, "files": 1},
                {**LEAST, "ledger": {"entries": 1}},
                {**LEAST, "ledger": {"head": "00"}},
                {**LEAST, "ledger": {"entries": "many", "head": "00"}},
                {**LEAST, "certificates": {"ca": {"spki": "1"}}},
                {**LEAST, "certificates": {"ca": {"fingerprint": "1"}}},
                {**LEAST, "certificates": []},
                {**LEAST, "etcd": {"left": []}},
                {**LEAST, "adopted": {"x": {"found": "1", "wanted": "2"}}},
                {**LEAST, "templates": {"directory": "x"}},
                {**LEAST, "templates": {"sha256": "x"}},
                {**LEAST, "revoked": {"nobody": REVOKED}},
                {**LEAST, "authority": ["pki/ca.crt"]},
            ],
        ),
    ],
)
def test_what_cannot_be_understood_is_no_lock_file(content: bytes) -> None:
    assert lock_of(content) is None


def test_what_the_system_withholds_is_not_taken_for_a_new_directory() -> None:
    class Failing(Photograph):
        def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
            assert (path, limit) == ("pki.lock", LARGEST_LOCK)
            raise error

    error: PkigenError = UnreadableError("pki.lock is a directory", reason="is a directory")
    assert read_lock(Photograph({})) is None
    assert read_lock(Failing({})) is None
    error = RefusedError("pki.lock cannot be read")
    with pytest.raises(RefusedError):
        read_lock(Failing({}))


def test_revoked_credentials_until_they_have_expired() -> None:
    name = f"X509SHA256={'ab' * 32}"
    lock = lock_with(revoked={name: REVOKED})
    assert lock.revoked == (Revocation.read(name, REVOKED),)
    assert lock.revoked[0].credential == CredentialId.parse(name)
    assert lock.over(NOW) == ()
    assert lock.over(NOW + timedelta(days=4)) == lock.revoked


def test_a_spec_of_another_pkigen_is_asked_for_again() -> None:
    with pytest.raises(PkigenError, match=r"the spec in pki\.lock is not valid for this pkigen") as found:
        lock_with(spec={"kind": "Cluster", "spec": {"later": True}}).cluster()
    assert found.value.hint == "apply the spec's own file again: `pkigen apply SPEC`"


def test_another_end_of_the_ledger_changes_nothing_else() -> None:
    changed = with_ledger(as_file(WHOLE), Head(entries=9, hash="cd" * 32))
    assert json.loads(changed) == {**WHOLE, "ledger": {"entries": 9, "head": "cd" * 32}}
    assert list(json.loads(changed)) == list(WHOLE)
    assert lock_digest(changed) == lock_digest(as_file(WHOLE)), "the ledger itself records this digest"
    assert lock_digest(changed) != lock_digest(as_file({**WHOLE, "etcd": {}}))
    assert lock_digest(as_file(LEAST)) == hashlib.sha256(b'{\n "files": {},\n "spec": {}\n}\n').hexdigest()


def test_the_keys_of_the_authority_stand_behind_the_ledger() -> None:
    keys = {"pki/ca.crt": "sha256:9"}
    without = {key: value for key, value in WHOLE.items() if key != "authority"}
    for content in (WHOLE, without):
        changed = json.loads(with_authority(as_file(content), keys))
        assert changed == {**WHOLE, "authority": keys}
        assert list(changed) == list(WHOLE)
    assert json.loads(with_authority(as_file(LEAST), keys)) == {**LEAST, "authority": keys}


def test_the_order_of_nodes_and_users_in_the_spec_does_not_count() -> None:
    def facts(order: int) -> str:
        spec = {
            **SMALL,
            "nodes": SMALL["nodes"][::order],
            "users": [{"name": "dev1"}, {"name": "dev2"}][::order],
            "groups": [{"name": "a"}, {"name": "b"}][::order],
            "certificates": {
                "overrides": dict(
                    [("apiserver", {"validity": "48h"}), ("admin", {"validity": "24h"})][::order]
                )
            },
        }
        document = {"metadata": {"name": "prod"}, "spec": spec}
        found = spec_facts(ClusterSpec.model_validate(document))
        assert ClusterSpec.model_validate(found) is not None
        return json.dumps(found)

    assert facts(1) == facts(-1)
    found = json.loads(facts(-1))
    assert list(found)[:2] == ["apiVersion", "kind"]
    assert [each["name"] for each in found["spec"]["nodes"]] == ["cp-1", "cp-2", "worker-1", "worker-2"]
    assert list(found["spec"]["certificates"]["overrides"]) == ["admin", "apiserver"]


def test_what_is_default_anyway_is_left_out_of_the_spec() -> None:
    found = spec_facts(CLUSTER)
    assert (found["apiVersion"], found["kind"]) == ("pkigen/v1", "Cluster")
    assert set(found["spec"]) == set(SMALL), "in the words of the spec file"
    assert "certificates" not in found["spec"]


def test_what_is_told_of_a_certificate() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name="prod"), sans=SANs(), profile=Profile.CA, validity=timedelta(days=30)
    )
    certificate = issue(content, key=key, issuer=None, now=NOW, entropy=os.urandom).certificate
    found = certificate_facts(certificate)
    assert found["fingerprint"] == f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"
    assert int(found["serial"], 16) == certificate.serial_number
    assert found["serial"] == f"{certificate.serial_number:x}"
    assert found["notAfter"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert found["notBefore"] == f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert (found["subject"], found["sans"]) == ("CN=prod", [])
    assert found["spki"] == spki_fingerprint(public_der(key.public_key()))
    assert found["key"] == "ECDSA-P256"
