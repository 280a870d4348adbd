"""Requests of several nodes in one run: approved together, or none of them."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.carrier import media
from pkigen.airgap.carrier.bundle_key import BundleKey
from pkigen.airgap.carrier.envelope import unwrap
from pkigen.airgap.carrier.requests import read_requests, write_requests
from tests.airgap.enrolment.enrolment_site import SPEC, EnrolmentSite, with_node
from tests.airgap.offline.offline_sides import snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Result

NODES = ("cp-1", "etcd-1", "worker-1")


class Asked(EnrolmentSite):
    """Every node has asked; the files are on the medium."""

    def file_of(self, node: str) -> Path:
        return self.medium / f"prod.{node}.request"

    @property
    def signers(self) -> dict[str, str]:
        """What people have said on the telephone."""
        return {node: unwrap(self.file_of(node).read_bytes(), pin=None).fingerprint for node in NODES}

    def approving_all(self, *more: object, pins: dict[str, str] | None = None) -> tuple[object, ...]:
        pins = self.signers if pins is None else pins
        return (
            *("airgap", "node", "approve", self.file, *map(self.file_of, NODES), "-C", self.tree),
            *("--out", self.medium, *more),
            *(word for node, pin in pins.items() for word in ("--pin", f"{node}={pin}")),
        )

    def refused(self, *arguments: object) -> Result:
        """Nothing is issued and nothing is packed."""
        before = snapshot(self.tree)
        result = self.run(*arguments)
        assert result.code in {1, 2}, result
        assert snapshot(self.tree) == before
        assert not list(self.medium.glob("*.bundle"))
        return result

    def forge(self, node: str, signer: str, **changes: object) -> None:
        """A request of a node as another node's own key would sign it."""
        key = BundleKey.of_file((self.root(signer) / "var/lib/pkigen/request.key").read_bytes())
        asked = read_requests(unwrap(self.file_of(node).read_bytes(), pin=None))
        self.file_of(node).write_bytes(write_requests(replace(asked, **changes), key))


@pytest.fixture(scope="module")
def _asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    places = Asked.made(tmp_path_factory.mktemp("several") / "site", SPEC)
    for node in NODES:
        places.request(node)
    assert isinstance(places, Asked)
    return places


@pytest.fixture
def asked(_asked: Asked, tmp_path: Path) -> Asked:
    copied = _asked.copy(tmp_path / "site")
    return Asked(base=copied.base, spec=copied.spec, now=copied.now)


def test_all_are_issued_in_one_change_and_answered_one_by_one(asked: Asked) -> None:
    before = (asked.tree / ".pkigen/ledger.jsonl").read_text()
    done = asked.good(*asked.approving_all("--yes"))
    for node, signer in asked.signers.items():
        assert f"requested by {node} at " in done.out
        assert f"signed by {signer}" in done.out
        asked.good(*asked.installing(node, "--pin", asked.pin, "--yes"))
    assert asked.run("verify", "-C", asked.tree).code == 0
    added = (asked.tree / ".pkigen/ledger.jsonl").read_text().removeprefix(before).splitlines()
    entries = [json.loads(line) for line in added]
    assert sorted(each["id"] for each in entries if each["event"] == "approved") == sorted(NODES)
    assert len({each["time"] for each in entries}) == 1, "one change"


def test_nobody_agrees(asked: Asked) -> None:
    asked.refused(*asked.approving_all())


def test_one_that_is_refused_holds_up_all_and_every_refusal_is_said(asked: Asked) -> None:
    damaged = bytearray(asked.file_of("etcd-1").read_bytes())
    damaged[-1] ^= 1
    pins = {**asked.signers, "worker-1": asked.signers["cp-1"]}
    asked.file_of("etcd-1").write_bytes(damaged)
    done = asked.refused(*asked.approving_all("--yes", pins=pins))
    assert f"{asked.file_of('etcd-1')}: its signature is invalid" in done.err
    assert f"{asked.file_of('worker-1')}: it is signed by" in done.err
    assert str(asked.file_of("cp-1")) not in done.err
    assert "2 of 3 requests are refused" in done.error


def test_what_is_wrong_in_each_is_said_at_once(asked: Asked) -> None:
    spec = with_node(
        with_node(asked.spec, "cp-1", addresses=["10.0.0.12"]), "worker-1", addresses=["10.0.0.9"]
    )
    asked.write_spec(spec)
    asked.good("apply", asked.file, "-C", asked.tree, "--yes")
    done = asked.refused(*asked.approving_all("--yes"))
    assert "cp-1/apiserver: " in done.err
    assert "worker-1/kubelet-serving: " in done.err
    assert "the requests do not match the spec in" in done.error


def test_a_node_cannot_speak_for_another_that_is_approved_with_it(asked: Asked) -> None:
    """Both keys are pinned, each for its node."""
    pins = asked.signers
    asked.forge("worker-1", "etcd-1")
    done = asked.refused(*asked.approving_all("--yes", pins=pins))
    assert f"it is signed by {pins['etcd-1']}, but the key of worker-1 is {pins['worker-1']}" in done.err


def test_a_node_cannot_ask_for_another_that_is_approved_with_it(asked: Asked) -> None:
    other = read_requests(unwrap(asked.file_of("cp-1").read_bytes(), pin=None))
    own = read_requests(unwrap(asked.file_of("worker-1").read_bytes(), pin=None))
    admin = next(each for each in other.requests if each[0] == "cp-1/admin.conf")
    asked.forge("worker-1", "worker-1", requests=tuple(sorted((*own.requests, admin))))
    done = asked.refused(*asked.approving_all("--yes"))
    assert "cp-1/admin.conf: the spec has no such certificate" in done.err


def test_two_nodes_cannot_have_one_key(asked: Asked) -> None:
    """A copied machine: the second one has the first one's keys."""
    spec = with_node(asked.spec, "worker-2", keys="node")
    asked.write_spec(spec)
    asked.good("apply", asked.file, "-C", asked.tree, "--yes")
    asked.request("worker-2")
    theirs = read_requests(unwrap(asked.file_of("worker-1").read_bytes(), pin=None)).requests
    renamed = tuple((identifier.replace("worker-1", "worker-2"), pem) for identifier, pem in theirs)
    asked.forge("worker-2", "worker-2", requests=renamed)
    signer = unwrap(asked.file_of("worker-2").read_bytes(), pin=None).fingerprint
    done = asked.refused(
        *asked.approving_all("--yes"), asked.file_of("worker-2"), "--pin", f"worker-2={signer}"
    )
    assert "worker-2/kubelet-serving: its key is that of worker-1/kubelet-serving" in done.err


def test_two_requests_of_one_node(asked: Asked) -> None:
    copy = asked.medium / "copy"
    copy.write_bytes(asked.file_of("cp-1").read_bytes())
    done = asked.refused(*asked.approving_all("--yes"), copy)
    assert "are both requests of cp-1" in done.error


@pytest.mark.parametrize(
    ("pin", "sentence"),
    [
        ("{cp-1}", "does not say which node has this key, and there are 3 requests"),
        ("cp-9={cp-1}", "the spec has no node 'cp-9'"),
        ("cp-1={worker-1}", "--pin gives two keys for cp-1"),
        ("cp-1=", "'' is not a fingerprint"),
    ],
)
def test_pins_that_leave_it_open(asked: Asked, pin: str, sentence: str) -> None:
    for node, signer in asked.signers.items():
        pin = pin.replace(f"{{{node}}}", signer)
    done = asked.refused(*asked.approving_all("--yes"), "--pin", pin)
    assert done.code == 2
    assert sentence in done.error


def test_a_medium_that_takes_nothing_is_found_before_anything_is_issued(asked: Asked) -> None:
    file = asked.base / "file"
    file.write_text("")
    command = [file if word == asked.medium else word for word in asked.approving_all("--yes")]
    assert asked.refused(*command).error == f"{file} cannot be written: not a directory"
    before = snapshot(asked.root("cp-1"))
    command = [file if word == asked.medium else word for word in asked.requesting("cp-1")]
    assert asked.run(*command, "--anew").error == f"{file} cannot be written: not a directory"
    assert snapshot(asked.root("cp-1")) == before


def test_a_medium_that_fills_up_is_answered_by_running_it_again(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = media.put
    room = iter((True, False))

    def small(path: Path, data: bytes, *, mode: int) -> None:
        if not next(room):
            raise OSError(errno.ENOSPC, "No space left on device")
        put(path, data, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr(media, "put", small)
        done = asked.run(*asked.approving_all("--yes"))
    assert (done.code, "no space left" in done.error) == (1, True)
    assert "are issued: run this again" in done.hint
    assert len(list(asked.medium.glob("*.bundle"))) == 1
    before = snapshot(asked.tree)
    asked.good(*asked.approving_all())
    assert len(list(asked.medium.glob("*.bundle"))) == 3
    assert snapshot(asked.tree) == before


def test_a_request_is_no_bundle(asked: Asked) -> None:
    done = asked.run("airgap", "bundle", "inspect", asked.file_of("cp-1"))
    assert done.code == 1
    assert f"it is the request of cp-1 of prod, signed by {asked.signers['cp-1']}" in done.error
    assert "node approve" in done.hint


def test_those_that_were_approved_before_are_answered_again(asked: Asked) -> None:
    asked.good(*asked.approving("cp-1", "--pin", f"cp-1={asked.signers['cp-1']}", "--yes"))
    served = (asked.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt").read_bytes()
    done = asked.good(*asked.approving_all("--yes"))
    assert "the request of cp-1 was approved before" in done.err
    assert "cp-1/apiserver" not in done.out
    assert (asked.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt").read_bytes() == served
    for node in NODES:
        asked.good(*asked.installing(node, "--pin", asked.pin, "--yes"))
    again = asked.good(*asked.approving_all(pins={}))
    assert again.out.count(".bundle: ") == 3, "nothing is left to agree to, and the keys are known"
