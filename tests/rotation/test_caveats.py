"""What no proof sees of a step: what stands against it, and what it may break, without a directory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pkigen import layout
from pkigen.desired.generations import Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.rotation.audit_log import AuditLog, CredentialUse
from pkigen.rotation.caveats import Caveats
from pkigen.rotation.phases import WantedStep
from pkigen.rotation.step_names import RotationStep
from pkigen.state.ledger import Event, LedgerEntry, appended
from pkigen.store import FileContent, MissingError
from tests.rotation.phases import NOW
from tests.samples import CP1, spec

if TYPE_CHECKING:
    from pkigen.rotation.live import Live

PREPARE, PROMOTE, FINISH, ROLLBACK = RotationStep
LIFETIME, SECOND = timedelta(hours=24), timedelta(seconds=1)
CLUSTER = spec(CP1, serviceAccounts={"maxTokenLifetime": "24h"})
PROMOTED = NOW - timedelta(days=3)


def ledger_of(*steps: tuple[str, str, timedelta]) -> bytes:
    """A ledger with the steps of rotations, and how long each is ago."""
    ledger = b""
    for identifier, step, ago in steps:
        line = LedgerEntry(event=Event.ROTATED, id=identifier, reason=None, facts={"step": step})
        ledger, _ = appended(ledger, [line], now=NOW - ago)
    return ledger


@dataclass(frozen=True)
class Directory:
    """A PKI directory of which nothing but the ledger counts; None where it has none."""

    ledger: bytes | None = None
    root: Path = Path("prod")

    def read(self, path: str, *, limit: int = 0) -> FileContent:
        assert (path, limit > 1 << 20) == (layout.LEDGER_FILE, True)
        if self.ledger is None:
            raise MissingError(f"{path} is missing")
        return FileContent(data=self.ledger, mode=0o600, size=len(self.ledger), uid=0, gid=0, links=1)


def caveats(
    *identifiers: str, ledger: bytes | None = None, phases: dict[str, Phase] | None = None, **wanted: Any
) -> Caveats:
    inventory = derive(CLUSTER, Rotations(phases=phases or {}))
    before, store = SimpleNamespace(now=NOW, inventory=inventory), Directory(ledger)
    return Caveats(cast("Any", before), cast("Any", store), WantedStep(identifiers=identifiers, **wanted))


def live(*findings: str) -> Live:
    """What a look at the endpoints has found."""
    return cast("Live", SimpleNamespace(findings=findings))


def against(found: Caveats, step: RotationStep, seen: Live | None = None) -> tuple[str, str | None] | None:
    error = found.obstacle(step, seen)
    return (str(error), error.hint) if error is not None else None


# -- tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "until"),
    [(LIFETIME, None), (LIFETIME - SECOND, "2026-11-22 03:00 UTC"), (None, "an unknown time")],
)
def test_the_key_of_tokens_stays_until_the_last_one_has_ended(
    ago: timedelta | None, until: str | None
) -> None:
    ledger = ledger_of(("sa", "promote", ago)) if ago is not None else None
    vouched = caveats("sa", ledger=ledger, distributed=True)
    expected = (
        f"tokens of the previous key may be valid until {until} (serviceAccounts.maxTokenLifetime)",
        (
            "wait, or add --force: every token of the previous key is then refused at once, "
            "and Pods that hold one lose access until they are restarted"
        ),
    )
    assert against(vouched, FINISH) == (None if until is None else expected)
    # By force it is dropped, and then it is told whom that locks out.
    assert list(vouched.risks(FINISH)) == []
    forced = caveats("sa", ledger=ledger, distributed=True, force=True)
    assert against(forced, FINISH) is None
    tokens = (
        f"tokens of the previous key that are valid until {until} are refused from now on: whoever holds "
        "one (Pods, until they are restarted; files; legacy token Secrets) loses access"
    )
    assert list(forced.risks(FINISH)) == ([] if until is None else [tokens])
    # Nobody has vouched for it that every API server signs with the promoted key.
    unsaid = list(caveats("sa", ledger=ledger, force=True).risks(FINISH))
    assert unsaid == [
        *([] if until is None else [tokens]),
        (
            "an API server or controller manager that has not restarted with the promoted key continues "
            "to sign with the previous one: what it signs is refused"
        ),
    ]


def test_tokens_that_have_ended_say_nothing_of_the_nodes() -> None:
    error = against(caveats("sa", ledger=ledger_of(("sa", "promote", LIFETIME))), FINISH)
    assert error is not None
    assert error[0].startswith("it is not confirmed that every node has the promoted files")


@pytest.mark.parametrize("identifiers", [("ca",), ("sa", "ca"), ("encryption-key",)])
def test_force_drops_nothing_but_the_key_of_tokens(identifiers: tuple[str, ...]) -> None:
    forced = caveats(*identifiers, force=True)
    assert list(forced.risks(FINISH)) == []
    assert against(forced, FINISH) is not None


# -- a way back ---------------------------------------------------------------------------------------------

BACK = [("ca", "prepare", 3 * LIFETIME), ("ca", "promote", 2 * LIFETIME), ("ca", "rollback", LIFETIME)]


def test_what_was_promoted_and_taken_back_is_dropped_at_a_risk() -> None:
    ledger = ledger_of(*BACK, ("etcd-ca", "prepare", LIFETIME))
    prepared = {"ca": Phase.PREPARED, "etcd-ca": Phase.PREPARED}
    found = caveats("etcd-ca", "ca", ledger=ledger, phases=prepared)
    assert list(found.risks(ROLLBACK)) == [
        "the next ca was promoted earlier: what it has signed since then is refused from now on"
    ]
    assert against(found, ROLLBACK) is None
    assert list(found.risks(PREPARE)) == list(found.risks(PROMOTE)) == list(found.risks(FINISH)) == []
    # It is the one that signs: a rollback makes it the next one, and drops nothing.
    promoted = caveats("ca", ledger=ledger_of(*BACK[:2]), phases={"ca": Phase.PROMOTED})
    assert list(promoted.risks(ROLLBACK)) == []


def test_a_key_that_secrets_may_need_is_not_dropped() -> None:
    ledger = ledger_of(*(("encryption-key", step, ago) for _, step, ago in BACK))
    prepared = {"encryption-key": Phase.PREPARED}
    wanted = caveats("encryption-key", ledger=ledger, phases=prepared)
    assert against(wanted, ROLLBACK) == (
        "the next encryption key was promoted earlier: Secrets may be encrypted with it",
        (
            "write every Secret again (the rollback's runbook has the command), then confirm it with "
            "--assume-distributed"
        ),
    )
    assert (
        against(caveats("encryption-key", ledger=ledger, phases=prepared, distributed=True), ROLLBACK) is None
    )
    fresh = ledger_of(("encryption-key", "prepare", LIFETIME))
    assert against(caveats("encryption-key", ledger=fresh, phases=prepared), ROLLBACK) is None
    assert against(wanted, PREPARE) is None


# -- the nodes ----------------------------------------------------------------------------------------------

UNCONFIRMED = "it is not confirmed that every node has the {} files and has restarted what must restart"
CHECK = "check it with `pkigen verify --live -C prod`, then confirm it with --assume-distributed"


@pytest.mark.parametrize(
    ("step", "state", "earlier", "served"),
    [(PROMOTE, "prepared", "prepare", "present"), (FINISH, "promoted", "promote", "promoted")],
)
def test_every_node_has_the_step_before(step: RotationStep, state: str, earlier: str, served: str) -> None:
    unsaid = caveats("ca", "etcd-ca")
    assert against(unsaid, step) == (UNCONFIRMED.format(state), f"{CHECK}; or do both at once with --live")
    assert against(unsaid, step, live()) is None
    # What only clients present no endpoint shows.
    hidden = caveats("ca", "front-proxy-ca", "sa")
    assert against(hidden, step) == (UNCONFIRMED.format(state), CHECK)
    assert against(hidden, step, live()) == (
        "no endpoint shows whether front-proxy-ca and sa has reached every node",
        "follow the runbook, then confirm it with --assume-distributed",
    )
    vouched = caveats("ca", "front-proxy-ca", distributed=True)
    assert against(vouched, step) is None
    assert against(vouched, step, live()) is None
    # What is seen outweighs what is believed.
    assert against(vouched, step, live("etcd on cp-1: old", "kubelet on cp-1: old")) == (
        f"not every endpoint serves its {served} certificate: etcd on cp-1: old",
        f"follow the runbook of {earlier} there, and check again with `pkigen verify --live -C prod`",
    )
    assert against(unsaid, PREPARE) is None


# -- audit logs ---------------------------------------------------------------------------------------------

LEDGER = ledger_of(("ca", "promote", NOW - PROMOTED))


def log_of(*uses: tuple[str, timedelta, timedelta]) -> AuditLog:
    """Who used a certificate from when to when, counted from the promotion."""
    log = AuditLog()
    for name, first, last in uses:
        log.uses[name, name] = CredentialUse(
            username=name, fingerprint=name, first=PROMOTED + first, last=PROMOTED + last, count=2
        )
    return log


NEW = ("new", 2 * SECOND, timedelta(days=3))
FRAME = ("frame", -timedelta(hours=2), -timedelta(hours=1))


def test_a_log_in_which_nobody_has_an_old_certificate() -> None:
    found = caveats("ca", ledger=LEDGER, evidence=log_of(FRAME, NEW))
    evidence = found.evidence()
    assert evidence is not None
    assert (evidence.certificates, evidence.outdated, evidence.gap) == (2, (), None)
    assert against(found, FINISH) is None
    assert caveats("ca", ledger=LEDGER).evidence() is None
    # What is seen outweighs it, and what is vouched for needs no proof.
    assert against(found, FINISH, live("etcd on cp-1: old")) is not None
    assert against(caveats("ca", ledger=LEDGER, evidence=AuditLog(), distributed=True), FINISH) is None


def test_logs_that_prove_nothing() -> None:
    def told(log: AuditLog, *others: str) -> tuple[str, str | None]:
        error = against(caveats("ca", *others, ledger=LEDGER, evidence=log), FINISH)
        assert error is not None
        return error

    outdated, hint = told(log_of(FRAME, NEW, ("old", -SECOND, timedelta(days=3))))
    assert outdated.startswith("the previous CA is still in use: old with certificate old")
    assert hint == "give whoever it is the present file; come back with a log that has a day without it"
    assert told(log_of(FRAME)) == (
        "the audit log ends at 2026-11-19 02:00 UTC, more than a day ago",
        "give the logs of all API servers from an hour before the promotion until now",
    )
    assert told(AuditLog()) == (
        "the audit log names no client certificate",
        (
            "the credential's id is in every event since Kubernetes v1.32, unless the audit policy leaves "
            "the event out"
        ),
    )
    assert told(log_of(FRAME, NEW), "etcd-ca", "front-proxy-ca") == (
        "an audit log shows nothing of etcd-ca and front-proxy-ca: API servers log their own clients",
        "finish ca by itself with --evidence, and the others with --live or --assume-distributed",
    )
