"""Who still uses the old CA: audit logs held against the ledger, before `finish`."""

from __future__ import annotations

import json
import shutil
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkigen.errors import UsageError
from pkigen.rotation.audit_log import AuditLog
from tests.cli.program import REPOSITORY
from tests.pages.blocks import commands_for, compare
from tests.rotation.phases import DAY, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.cli.program import Result

HOUR = timedelta(hours=1)
_ID = "authentication.kubernetes.io/credential-id"


def event(username: str, credential: str, moment: datetime, **more: Any) -> dict[str, Any]:
    """One event as an API server of 1.36.2 writes it (the live test has real ones)."""
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "user": {"username": username, "groups": ["system:authenticated"], "extra": {_ID: [credential]}},
        "requestReceivedTimestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.000001Z",
        **more,
    }


class Promoted:
    """A cluster whose CA is promoted, and what each certificate's fingerprint is."""

    def __init__(self, workshop: Workshop) -> None:
        workshop.step("ca kubernetes", "prepare")
        self.workshop = workshop
        self.old = self._fingerprints()
        workshop.now += DAY
        workshop.step("ca kubernetes", "promote")
        self.new = self._fingerprints()
        self.since = workshop.now
        workshop.now += 3 * DAY

    def copied(self, to: Path) -> Promoted:
        """One of one's own."""
        found = copy(self)
        shutil.copytree(self.workshop.place, to)
        found.workshop = replace(self.workshop, place=to)
        return found

    def _fingerprints(self) -> dict[str, str]:
        lock = json.loads((self.workshop.tree / "pki.lock").read_text())
        return {
            name: f"X509SHA256={entry['fingerprint'].removeprefix('sha256:')}"
            for name, entry in lock["certificates"].items()
        }

    def log(self, events: Iterable[dict[str, Any]], name: str = "audit.log") -> Path:
        path = self.workshop.place / name
        path.write_text("".join(f"{json.dumps(each)}\n" for each in events))
        return path

    def steady(self) -> list[dict[str, Any]]:
        """The scheduler all the time: its old certificate until an hour after promote, then the new one."""
        found = []
        for hours in range(-4, 72):
            side = self.old if hours < 1 else self.new
            found.append(
                event("system:kube-scheduler", side["cp-1/scheduler.conf"], self.since + hours * HOUR)
            )
        return found

    def finish(self, *logs: Path) -> Result:
        options = [f"--evidence {log}" for log in logs]
        return self.workshop.rotate("ca", "kubernetes", "--phase finish", *options)


@pytest.fixture(scope="module")
def _promoted(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    place = tmp_path_factory.mktemp("promoted") / "workshop"
    shutil.copytree(original, place)
    return Promoted(Workshop(place=place))


@pytest.fixture
def promoted(_promoted: Promoted, tmp_path: Path) -> Promoted:
    return _promoted.copied(tmp_path / "workshop")


def test_a_log_without_the_old_ca_is_evidence(promoted: Promoted) -> None:
    result = promoted.finish(promoted.log(promoted.steady()))
    assert result.code == 0, result
    assert (
        "2 client certificates used between 2026-11-22 23:00 and 2026-11-26 02:00 UTC, 0 would" in result.err
    )
    assert promoted.workshop.phases() == {}


def test_whoever_still_uses_it_is_named_with_his_file(promoted: Promoted) -> None:
    since = promoted.since
    events = [
        *promoted.steady(),
        event("dev1", promoted.old["user:dev1"], since + 70 * HOUR),
        event("system:node:worker-1", promoted.old["worker-1/kubelet.conf"], since + 2 * HOUR),
        event("system:node:worker-2", promoted.old["worker-2/kubelet.conf"], since - HOUR),
    ]
    refused = promoted.finish(promoted.log(events))
    assert refused.code == 1
    assert refused.error.startswith("the previous CA is still in use: dev1 with certificate ")
    assert "(users/dev1.conf): 1 requests, the last 2026-11-26 01:00 UTC" in refused.error
    assert "it was used within the last day of the log (and 1 more)" in refused.error
    lines = [line for line in refused.err.splitlines() if line.startswith("would be refused: ")]
    assert [line.split()[3] for line in lines] == ["dev1", "system:node:worker-1"]
    assert "(nodes/worker-1/etc/kubernetes/kubelet.conf)" in lines[1]
    assert "no certificate of the present CA has taken its place" in lines[1]
    assert promoted.workshop.phases() == {"ca": "promoted"}


def test_a_copy_that_is_used_beside_the_new_one_is_not_given_up(promoted: Promoted) -> None:
    """The scheduler has its new file; somebody has kept the old one."""
    late = event("system:kube-scheduler", promoted.old["cp-1/scheduler.conf"], promoted.since + 60 * HOUR)
    refused = promoted.finish(promoted.log([*promoted.steady(), late]))
    assert refused.code == 1
    assert "system:kube-scheduler with certificate" in refused.error


def test_several_logs_are_one_as_documented(promoted: Promoted) -> None:
    """The page's command, and what it says; with the first log alone nothing stands against it."""
    page = REPOSITORY / "docs/how-to/rotation.md"
    ((command,),) = commands_for("tests/rotation/test_evidence.py", page)
    late = [promoted.since + hours * HOUR for hours in range(40, 71)]
    others = [
        f"{node}/{name}" for node in ("cp-1", "cp-2") for name in ("controller-manager.conf", "admin.conf")
    ]
    events = [event("dev1", promoted.old["user:dev1"], moment) for moment in late]
    events += [
        event("somebody", promoted.new[name], late[0])
        for name in (*others, "worker-1/kubelet.conf", "worker-2/kubelet.conf")
    ]
    logs = (promoted.log(promoted.steady()), promoted.log(events, "audit-2.log"))
    words = command.words
    for node, log in zip(("cp-1", "cp-2"), logs, strict=True):
        words = words.replace(f"{node}/audit.log", str(log))
    refused = promoted.workshop.run(*words.split()[1:], "-C", promoted.workshop.tree)
    assert refused.code == 1
    assert command.shown is not None
    # Of two members of etcd, which the page does not have, there is a warning.
    said = [line for line in refused.err.splitlines() if not line.startswith("warning: ")]
    assert compare(command.shown, said).fault is None
    assert promoted.finish(logs[0]).code == 0


@pytest.mark.parametrize(("first", "code"), [(-2, 1), (2, 0)])
def test_what_the_ledger_does_not_know_is_known_by_when_it_was_first_used(
    promoted: Promoted, first: int, code: int
) -> None:
    """A kubelet's own certificate: what was used before promote is of the old CA."""
    own = f"X509SHA256={'ab' * 32}"
    times = range(first, 72, 3)
    events = [event("system:node:worker-1", own, promoted.since + hours * HOUR) for hours in times]
    result = promoted.finish(promoted.log([*promoted.steady(), *events]))
    assert result.code == code
    assert code == 0 or "abababababababab, which the ledger does not know" in result.error


def test_a_log_that_begins_too_late_cannot_tell(promoted: Promoted) -> None:
    own = f"X509SHA256={'ab' * 32}"
    events = promoted.steady()[6:]
    events += [event("system:node:worker-1", own, promoted.since + hours * HOUR) for hours in range(6, 72)]
    refused = promoted.finish(promoted.log(events))
    assert refused.code == 1
    assert "the log does not reach back before the promotion" in refused.error


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (slice(None, 30), "the audit log ends at 2026-11-24 04:00 UTC, more than a day ago"),
        (slice(60, None), "the audit log covers less than a day since the promotion"),
    ],
)
def test_a_log_that_says_too_little(promoted: Promoted, kept: slice, told: str) -> None:
    refused = promoted.finish(promoted.log(promoted.steady()[kept]))
    assert (refused.code, refused.error) == (1, told)
    assert "from an hour before the promotion until now" in refused.hint


def test_a_log_without_certificates_says_nothing(promoted: Promoted) -> None:
    tokens = [event("system:serviceaccount:a:b", "JTI=1", promoted.since + HOUR)]
    refused = promoted.finish(promoted.log(tokens))
    assert (refused.code, refused.error) == (1, "the audit log names no client certificate")


def test_it_says_nothing_of_other_cas(promoted: Promoted) -> None:
    for step in ("prepare", "promote"):
        promoted.workshop.step("ca front-proxy", step)
    log = promoted.log(promoted.steady())
    refused = promoted.workshop.rotate("ca", "front-proxy", "--phase finish", f"--evidence {log}")
    assert refused.code == 1
    assert refused.error.startswith("an audit log shows nothing of front-proxy-ca")


def test_it_is_about_finish(workshop: Workshop, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(event("a", f"X509SHA256={'0' * 64}", workshop.now)))
    refused = workshop.rotate("ca", "kubernetes", f"--evidence {log}")
    assert (refused.code, refused.error) == (2, "--evidence is about finish, and the next step is prepare")
    both = workshop.rotate("ca", "kubernetes", f"--evidence {log}", f"--save {tmp_path / 'step.json'}")
    assert (both.code, both.error) == (2, "--save and --evidence cannot be combined")
    gone = workshop.rotate("ca", "kubernetes", f"--evidence {tmp_path / 'none'}")
    assert (gone.code, gone.error) == (2, f"{tmp_path / 'none'} cannot be read: No such file or directory")


# -- hostile and broken logs ------------------------------------------------------------------------

GOOD = json.dumps(event("a", f"X509SHA256={'0' * 64}", datetime(2026, 11, 22, 3, 0))).encode()  # noqa: DTZ001


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b"not json"], "log:1 is not JSON"),
        ([GOOD, b"{", GOOD], "log:2 is not JSON"),
        ([GOOD, b"[" * 100_000, GOOD], "log:2 is not JSON"),
        ([b"[]"], "log:1 is no event of audit.k8s.io"),
        ([b'{"apiVersion": "v1", "kind": "Event"}'], "log:1 is no event of audit.k8s.io"),
        ([GOOD.replace(b"2026-11-22T", b"yesterday")], "log:1 has no requestReceivedTimestamp"),
        ([GOOD.replace(b"000001Z", b"000001")], "log:1 has no requestReceivedTimestamp"),
    ],
)
def test_what_is_no_log_is_told_by_its_line(lines: list[bytes], told: str) -> None:
    with pytest.raises(UsageError) as error:
        AuditLog().read(lines, "log")
    assert error.value.message.startswith(told)


def test_a_last_line_that_is_being_written_is_passed_over() -> None:
    log = AuditLog()
    log.read([GOOD, GOOD[: len(GOOD) // 2]], "log")
    assert [use.count for use in log.uses.values()] == [1]


def test_only_the_whole_id_counts() -> None:
    log = AuditLog()
    for credential in (
        f"X509SHA256={'0' * 63}",
        f"X509SHA256={'0' * 65}",
        f"x X509SHA256={'0' * 64}",
        "JTI=a",
    ):
        log.read([GOOD.replace(f"X509SHA256={'0' * 64}".encode(), credential.encode())], "log")
    assert log.uses == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(user=JSON, stamp=JSON)
def test_whatever_stands_in_an_event_is_counted_or_told(user: object, stamp: object) -> None:
    content = {
        "apiVersion": "audit.k8s.io/v1",
        "user": user,
        "requestReceivedTimestamp": stamp,
        "note": f"X509SHA256={'0' * 64}",
    }
    log = AuditLog()
    log.read([json.dumps(content).encode()], "log")
    assert log.uses == {}
