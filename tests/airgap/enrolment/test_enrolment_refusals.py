"""What is refused on the way from the node and back, each with its own message, and nothing written."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pkigen.access.requests import make_request
from pkigen.airgap.carrier.bundle_key import BundleKey, fingerprint
from pkigen.airgap.carrier.csr_review import request_for
from pkigen.airgap.carrier.envelope import unwrap, wrap
from pkigen.airgap.carrier.paths import PENDING, REQUEST_KEY
from pkigen.airgap.carrier.requests import (
    AnswerSet,
    Purpose,
    RequestSet,
    read_requests,
    write_answers,
    write_requests,
)
from pkigen.crypto.age import Identity
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.keys import ALGORITHMS, load_own_private
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.inventory import derive
from pkigen.spec.model import ClusterSpec
from tests.airgap.enrolment.enrolment_site import SMALL, EnrolmentSite, with_node
from tests.samples import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.program import Result

DAY = timedelta(days=1)
# The point whose coordinate is 0, in Bech32: everybody shares the same secret with it.
LOW_ORDER = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"
SERVING, CLIENT = "worker-1/kubelet-serving", "worker-1/kubelet.conf"
P256 = ALGORITHMS[KeyAlgorithm.ECDSA_P256]


class Border(EnrolmentSite):
    """A cluster of which worker-1 has asked, and nobody has answered yet."""

    @property
    def path(self) -> Path:
        """The request on the medium."""
        return self.medium / "prod.worker-1.request"

    @property
    def key(self) -> BundleKey:
        """What worker-1 signs with: a node that is not to be trusted can sign anything."""
        return BundleKey.of_file((self.root("worker-1") / REQUEST_KEY).read_bytes())

    @property
    def signer(self) -> str:
        return fingerprint(self.key.public)

    @property
    def asked(self) -> RequestSet:
        return read_requests(unwrap(self.path.read_bytes(), pin=None))

    def sign(self, requests: RequestSet, key: BundleKey | None = None) -> None:
        """Put another request on the medium."""
        self.path.write_bytes(write_requests(requests, key or self.key))

    def refused(self, *more: object) -> Result:
        """The authority refuses, and is as it was; no answer is on the medium."""
        before = snapshot(self.tree)
        result = self.run(*self.approving("worker-1", "--yes", *(more or ("--pin", self.signer))))
        assert result.code in {1, 2}, result
        assert snapshot(self.tree) == before
        assert not (self.medium / "prod.worker-1.bundle").exists()
        return result


@pytest.fixture(scope="module")
def _border(tmp_path_factory: pytest.TempPathFactory) -> Border:
    places = Border.made(tmp_path_factory.mktemp("border") / "site", SMALL)
    places.request("worker-1")
    assert isinstance(places, Border)
    return places


@pytest.fixture
def border(_border: Border, tmp_path: Path) -> Border:
    copied = _border.copy(tmp_path / "site")
    return Border(base=copied.base, spec=copied.spec, now=copied.now)


def test_each_refusal_has_its_own_message(border: Border) -> None:
    good = border.path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    stranger = BundleKey(seed=bytes(range(32)))
    asked = border.asked
    said: dict[str, str] = {"nobody is pinned": border.run(*border.approving("worker-1", "--yes")).error}

    def put(what: str, data: bytes | None = None, requests: RequestSet | None = None) -> None:
        if requests is not None:
            data = write_requests(requests, border.key)
        border.path.write_bytes(data or good)
        said[what] = border.refused().error

    put("flipped bit", bytes(flipped))
    put("cut off", good[:60])
    put("no bundle", b"x" * 500)
    put("another signer", write_requests(asked, stranger))
    put("another cluster", requests=replace(asked, cluster="staging"))
    put("an unknown node", requests=replace(asked, origin="worker-9"))
    put("another purpose", requests=replace(asked, purpose=Purpose.AUTHORITY))
    put("no recipient", requests=replace(asked, recipient=None))
    put("a recipient of low order", requests=replace(asked, recipient=LOW_ORDER))
    put("a recipient with a typing error", requests=replace(asked, recipient=f"{LOW_ORDER[:-1]}q"))
    put("the future", requests=replace(asked, created=asked.created + DAY))
    put("expired", requests=replace(asked, created=asked.created - 31 * DAY))
    put("a deviation", requests=replace(asked, requests=asked.requests[:1]))
    put("not in pkigen's canonical form", wrap(asked.label, b"{}", border.key))
    answers = AnswerSet(
        cluster="prod", origin="worker-1", created=border.now, nonce=asked.nonce, certificates=()
    )
    put("an answer", write_answers(answers, border.key))
    assert len(set(said.values())) == len(said), said
    for what, words in {
        "nobody is pinned": "no request key of worker-1 is pinned",
        "flipped bit": "changed after it was signed",
        "another signer": "but the key of worker-1 is",
        "another cluster": "another cluster: staging, and this is prod",
        "an unknown node": "no node 'worker-9'",
        "a recipient of low order": "no answer can be sealed to the recipient that it names",
        "a recipient with a typing error": "a character is wrong or missing",
        "the future": "in the future of this host's clock",
        "expired": "expired",
    }.items():
        assert words in said[what], said[what]
    border.path.write_bytes(good)
    border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))


def test_every_bit_is_under_the_signature(border: Border) -> None:
    good = border.path.read_bytes()
    for place in range(0, len(good), len(good) // 20):
        changed = bytearray(good)
        changed[place] ^= 1
        border.path.write_bytes(bytes(changed))
        border.refused()


def test_a_node_whose_keys_the_authority_makes(border: Border) -> None:
    asked = replace(border.asked, origin="cp-1")
    (border.medium / "prod.cp-1.request").write_bytes(write_requests(asked, border.key))
    result = border.run(*border.approving("cp-1", "--pin", border.signer, "--yes"))
    assert result.code == 2
    assert "the keys of cp-1 are made by the authority" in result.error


def test_nobody_agrees(border: Border) -> None:
    before = snapshot(border.tree)
    result = border.run(*border.approving("worker-1", "--pin", border.signer))
    assert result.code == 1
    assert SERVING in result.out  # what it would issue was shown
    assert snapshot(border.tree) == before


def test_another_recipient_than_the_specs(border: Border) -> None:
    border.write_spec(with_node(border.spec, "worker-1", ageRecipient=Identity.generate().recipient.text))
    border.good("apply", border.file, "-C", border.tree, "--yes")
    assert "another age recipient than the spec" in border.refused().error


def test_a_tree_that_is_not_what_the_spec_asks_for(border: Border) -> None:
    spec = copy.deepcopy(border.spec)
    spec["spec"]["controlPlaneEndpoint"] = "api.prod.example.com:6443"
    border.write_spec(spec)
    result = border.refused()
    assert "other changes are pending" in result.error
    assert "pkigen apply" in result.hint


# -- requests that ask for something else -----------------------------------------------------------------


def item(identifier: str) -> Any:
    cluster = ClusterSpec.model_validate(SMALL)
    return derive(cluster).certificates[identifier]


MASTERS = Subject(common_name="kubernetes-admin", organizations=("system:masters",))
OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a subject": (lambda: replace(item(CLIENT), subject=MASTERS), "system:masters"),
    "usages": (lambda: replace(item(CLIENT), profile=Profile.PEER), "extendedKeyUsage"),
    "a CA": (lambda: replace(item(CLIENT), profile=Profile.CA), "basicConstraints"),
    "names": (lambda: replace(item(CLIENT), sans=SANs.of("api.prod.example.com")), "api.prod.example.com"),
    "a kind of key": (lambda: replace(item(CLIENT), key_algorithm=KeyAlgorithm.RSA_2048), "RSA-2048"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_request_that_asks_for_more(border: Border, what: str) -> None:
    other, words = OTHERS[what]
    asked, wanted = border.asked, other()
    key = ALGORITHMS[wanted.key_algorithm].generate()
    border.sign(replace(asked, requests=(asked.requests[0], (CLIENT, request_for(wanted, key)))))
    result = border.refused()
    assert "does not match the spec in " in result.error
    assert words in result.err
    assert CLIENT in result.err


def test_all_deviations_are_said_at_once(border: Border) -> None:
    asked = border.asked
    wrong = request_for(replace(item(CLIENT), subject=MASTERS), P256.generate())
    border.sign(replace(asked, requests=((CLIENT, wrong), ("worker-1/more.conf", wrong))))
    result = border.refused()
    assert "in 3 places" in result.error
    assert f"{SERVING}: it was not requested" in result.err
    assert "worker-1/more.conf: the spec has no such certificate" in result.err


def test_the_key_of_a_person(border: Border, tmp_path: Path) -> None:
    """Whoever asked for himself with a key must not have it certified as a node's, too."""
    key = P256.generate()
    csr = tmp_path / "ann.csr"
    csr.write_bytes(make_request(Subject(common_name="ann"), key))
    border.good("access", "sign", "--csr", csr, "--user", "ann", "-C", border.tree)
    border.good("apply", border.file, "-C", border.tree, "--yes")
    asked = border.asked
    border.sign(replace(asked, requests=(asked.requests[0], (CLIENT, request_for(item(CLIENT), key)))))
    assert f"{CLIENT}: its key is that of request:ann" in border.refused().err


def test_keys_of_others(border: Border) -> None:
    """Whoever holds a CA's key, or another node's, must not have it certified as a node's own."""
    asked = border.asked
    for path, owner in {
        "pki/ca.key": "ca",
        "pki/sa.key": "sa",
        "nodes/cp-1/etc/kubernetes/pki/apiserver.key": "cp-1/apiserver",
    }.items():
        key = load_own_private((border.tree / path).read_bytes())
        border.sign(replace(asked, requests=(asked.requests[0], (CLIENT, request_for(item(CLIENT), key)))))
        result = border.refused()
        assert f"{CLIENT}: its key is that of {owner}" in result.err
    same = P256.generate()
    both = tuple((each, request_for(item(each), same)) for each in (SERVING, CLIENT))
    border.sign(replace(asked, requests=both))
    assert f"{CLIENT}: its key is that of {SERVING}" in border.refused().err


# -- replays ----------------------------------------------------------------------------------------------


def test_an_old_request_is_not_approved_again(border: Border) -> None:
    old = border.path.read_bytes()
    border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))
    border.good(*border.installing("worker-1", "--pin", border.pin, "--yes"))
    border.now += DAY
    border.request("worker-1")
    border.good(*border.approving("worker-1", "--yes"))
    (border.medium / "prod.worker-1.bundle").unlink()
    border.path.write_bytes(old)
    assert "a newer one, of 2026-03-02T12:00:00Z, was approved already" in border.refused("--yes").error


@pytest.mark.parametrize("ago", [timedelta(), DAY], ids=["the last one", "an older one"])
def test_another_request_with_the_number_of_an_approved_one(border: Border, ago: timedelta) -> None:
    border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))
    first = border.asked
    if ago:
        border.good(*border.installing("worker-1", "--pin", border.pin, "--yes"))
        border.now += ago
        border.request("worker-1")
        border.good(*border.approving("worker-1", "--yes"))
    (border.medium / "prod.worker-1.bundle").unlink()
    border.now += DAY
    border.sign(replace(first, created=border.now))
    said = border.refused("--yes").error
    assert said == f"another request with the number {first.nonce[:8]} was approved before"


def test_the_keys_are_shown_before_anybody_agrees(border: Border) -> None:
    result = border.run(*border.approving("worker-1", "--pin", border.signer))
    assert result.code == 1
    for identifier, request in border.asked.requests:
        key = x509.load_pem_x509_csr(request).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert f"key of {identifier}: sha256:{hashlib.sha256(spki).hexdigest()}\n" in result.out


def test_a_request_that_was_approved_with_other_keys(border: Border) -> None:
    border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))
    (border.medium / "prod.worker-1.bundle").unlink()
    asked = border.asked
    other = request_for(item(CLIENT), P256.generate())
    border.sign(replace(asked, requests=(asked.requests[0], (CLIENT, other))))
    assert f"{CLIENT} is now for another key" in border.refused("--yes").error


def test_a_node_that_was_set_up_anew(border: Border) -> None:
    border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))
    (border.medium / "prod.worker-1.bundle").unlink()
    former = border.signer
    (border.root("worker-1") / REQUEST_KEY).unlink()
    border.now += DAY
    border.request("worker-1", "--anew")
    assert "but the key of worker-1 is" in border.refused("--yes").error
    done = border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))
    assert f"note: worker-1 signed its last request with another key: {former}" in done.err


# -- on the node ------------------------------------------------------------------------------------------


def refused_on_node(border: Border, *command: object) -> Result:
    before = snapshot(border.root("worker-1"))
    result = border.run(*command)
    assert result.code in {1, 2}, result
    assert snapshot(border.root("worker-1")) == before
    return result


def test_the_spec_must_leave_the_keys_to_the_node(border: Border) -> None:
    command = (
        "airgap",
        "node",
        "request",
        border.file,
        "--root",
        border.root("worker-1"),
        "--out",
        border.medium,
    )
    said = {
        refused_on_node(border, *command, "--node", "cp-1").error,
        refused_on_node(border, *command, "--node", "worker-9").error,
    }
    assert len(said) == 2


def test_a_pending_request_is_not_lost_by_accident(border: Border) -> None:
    border.write_spec(with_node(border.spec, "worker-1", certSANs=["worker-1.example.com"]))
    result = refused_on_node(border, *border.requesting("worker-1"))
    assert "asks for something else than the spec" in result.error
    assert "--anew" in result.hint
    border.write_spec({**SMALL, "metadata": {"name": "other"}})
    assert "that of worker-1 in prod" in refused_on_node(border, *border.requesting("worker-1")).error
    border.write_spec(SMALL)
    border.now += 31 * DAY
    assert "too old to be approved" in refused_on_node(border, *border.requesting("worker-1")).error
    pending = border.root("worker-1") / PENDING
    pending.write_bytes(pending.read_bytes()[:-9])
    assert "is damaged" in refused_on_node(border, *border.requesting("worker-1")).error
    border.request("worker-1", "--anew")


def test_an_answer_finds_no_key(border: Border) -> None:
    """The answer to a request that was given up, and the same where the keys are damaged."""
    border.good(*border.approving("worker-1", "--pin", border.signer, "--yes"))
    pending = border.root("worker-1") / PENDING
    kept = pending.read_bytes()
    border.now += DAY
    border.request("worker-1", "--anew")
    result = refused_on_node(border, *border.installing("worker-1", "--pin", border.pin, "--yes"))
    assert "no key on this host matches the certificate in /etc/kubernetes/kubelet.conf, " in result.error
    assert "/var/lib/kubelet/pki/kubelet.crt" in result.error
    pending.unlink()
    result = refused_on_node(border, *border.installing("worker-1", "--pin", border.pin, "--yes"))
    assert "no key on this host" in result.error
    pending.write_bytes(kept[:-20])
    result = refused_on_node(border, *border.installing("worker-1", "--pin", border.pin, "--yes"))
    assert "is damaged" in result.error
    pending.write_bytes(kept)
    pending.chmod(0o600)
    border.good(*border.installing("worker-1", "--pin", border.pin, "--yes"))


def test_a_damaged_request_key(border: Border) -> None:
    (border.root("worker-1") / REQUEST_KEY).write_bytes(b"x")
    result = refused_on_node(border, *border.requesting("worker-1"), "--anew")
    assert f"/{REQUEST_KEY} is not a key that pkigen has made" in result.error
