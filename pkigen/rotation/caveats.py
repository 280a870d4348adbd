"""What no proof can see of a step: whether the nodes, and time, have caught up with the files.

The proof is about files. Tokens and certificates outlive the key that has signed them, and files that were
never copied change nothing on their node: the operator has to vouch for that, or it shows at the endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, Phase, ca_id
from pkigen.errors import RotationError
from pkigen.notation import dir_option
from pkigen.rotation.evidence import Evidence, weigh
from pkigen.rotation.phases import OBSERVABLE
from pkigen.rotation.step_names import RotationStep
from pkigen.state.ledger import promoted_and_back, promoted_at, read_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pkigen.reconcile.planner import Planner
    from pkigen.rotation.live import Live
    from pkigen.rotation.phases import WantedStep
    from pkigen.store import Store


class Caveats:
    """One step, judged by what lies outside of the files: the nodes, and time."""

    def __init__(self, before: Planner, store: Store, wanted: WantedStep) -> None:
        self._before = before
        self._store = store
        self._wanted = wanted

    def risks(self, step: RotationStep) -> Iterator[str]:
        """What the step may break, one sentence each."""
        match step:
            case RotationStep.FINISH:
                yield from self._risks_of_finishing()
            case RotationStep.ROLLBACK:
                for identifier in self._promoted_before():
                    yield (
                        f"the next {identifier} was promoted earlier: what it has signed since then is "
                        "refused from now on"
                    )
            # The other steps drop nothing: whatever was signed before them is accepted after them, too.
            case _:
                return

    def obstacle(self, step: RotationStep, seen: Live | None) -> RotationError | None:
        """Why the step must not be taken now; None where nothing stands against it."""
        match step:
            # Force gives up the tokens of the old key, which Pods get anew when they are restarted. It is no
            # way to drop a CA, or a key that Secrets need.
            case RotationStep.FINISH if self._wanted.identifiers == (SA,):
                if self._wanted.force:
                    return None
                return self._living_tokens() or self._undistributed(step, seen)
            case RotationStep.PROMOTE | RotationStep.FINISH:
                return self._undistributed(step, seen)
            case RotationStep.ROLLBACK:
                return self._unreadable_secrets()
            # Prepare relies on no earlier step, and nothing depends on the next generation yet.
            case _:
                return None

    def _risks_of_finishing(self) -> Iterator[str]:
        """What breaks where the key of tokens is dropped by force."""
        # Without force the step is refused for as long as such a token may live (`_living_tokens`).
        if not self._wanted.force or self._wanted.identifiers != (SA,):
            return
        until = self._tokens_end()
        # An unknown end counts as one that lies ahead.
        if until is None or until > self._before.now:
            yield (
                f"tokens of the previous key that are valid until {_moment(until)} are refused from now "
                "on: whoever holds one (Pods, until they are restarted; files; legacy token Secrets) loses "
                "access"
            )
        if not self._wanted.distributed:
            yield (
                "an API server or controller manager that has not restarted with the promoted key continues "
                "to sign with the previous one: what it signs is refused"
            )

    def _promoted_before(self) -> Iterator[str]:
        """What has been in use and was taken back: dropping it now drops what it has signed."""
        ledger = read_ledger(self._store)
        rotations = self._before.inventory.rotations
        for identifier in self._wanted.identifiers:
            # The files of a prepared and of a promoted and taken back generation are the same: the ledger
            # knows.
            if rotations.phase(identifier) is Phase.PREPARED and promoted_and_back(ledger, identifier):
                yield identifier

    def _unreadable_secrets(self) -> RotationError | None:
        """Why a next encryption key that was in use must stay; None where no Secret needs it any more."""
        # For a rollback the operator's word means that every Secret has been written again with the present
        # key.
        if self._wanted.distributed or ENCRYPTION_KEY not in self._promoted_before():
            return None
        return RotationError(
            "the next encryption key was promoted earlier: Secrets may be encrypted with it",
            hint="write every Secret again (the rollback's runbook has the command), then confirm "
            "it with --assume-distributed",
        )

    def _living_tokens(self) -> RotationError | None:
        """Why the previous key of tokens must stay; None once the last token that it signed has ended."""
        until = self._tokens_end()
        # Where the ledger does not say, nobody knows that they have ended.
        if until is not None and until <= self._before.now:
            return None
        return RotationError(
            f"tokens of the previous key may be valid until {_moment(until)} "
            "(serviceAccounts.maxTokenLifetime)",
            hint="wait, or add --force: every token of the previous key is then refused at once, "
            "and Pods that hold one lose access until they are restarted",
        )

    def _tokens_end(self) -> datetime | None:
        """When the last token of the previous key ends; None where the ledger does not say."""
        promoted = promoted_at(read_ledger(self._store), SA)
        longest = self._before.inventory.cluster.spec.service_accounts.max_token_lifetime
        # From the promotion on the next key signs; the last token before it has at most the longest lifetime.
        return promoted + longest if promoted is not None else None

    def _undistributed(self, step: RotationStep, seen: Live | None) -> RotationError | None:
        """Why the nodes may lack the step before; None where they are seen to have it, or vouched for."""
        state, earlier, served = _BEFORE[step]
        # Before the operator's word: what an endpoint shows outweighs what somebody believes.
        if seen is not None and seen.findings:
            return RotationError(
                f"not every endpoint serves its {served} certificate: {seen.findings[0]}",
                hint=f"follow the runbook of {earlier} there, and check again with "
                f"`pkigen verify --live {dir_option(self._store.root)}`",
            )
        if self._wanted.distributed:
            return None
        if self._wanted.evidence is not None:
            return self._unproven()
        # No handshake shows what only clients present, nor the keys of tokens and Secrets.
        hidden = [identifier for identifier in self._wanted.identifiers if identifier not in OBSERVABLE]
        if seen is None:
            return RotationError(
                f"it is not confirmed that every node has the {state} files and has restarted what must "
                "restart",
                hint=f"check it with `pkigen verify --live {dir_option(self._store.root)}`, then confirm "
                f"it with --assume-distributed{'' if hidden else '; or do both at once with --live'}",
            )
        if hidden:
            return RotationError(
                f"no endpoint shows whether {' and '.join(hidden)} has reached every node",
                hint="follow the runbook, then confirm it with --assume-distributed",
            )
        return None

    def evidence(self) -> Evidence | None:
        """What the audit logs say, if there are any; None where no client certificate is in them."""
        log = self._wanted.evidence
        if log is None:
            return None
        ledger, inventory = read_ledger(self._store), self._before.inventory
        return weigh(log, ledger, inventory, identifier=ca_id(CA.KUBERNETES), now=self._before.now)

    def _unproven(self) -> RotationError | None:
        """Why the audit logs do not show that nobody needs the previous generation; None where they do."""
        # etcd writes no such log, and aggregated API servers log elsewhere what the front proxy brings.
        others = [each for each in self._wanted.identifiers if each != ca_id(CA.KUBERNETES)]
        if others:
            return RotationError(
                f"an audit log shows nothing of {' and '.join(others)}: API servers log their own clients",
                hint=f"finish {ca_id(CA.KUBERNETES)} by itself with --evidence, and the others "
                "with --live or --assume-distributed",
            )
        found = self.evidence()
        if found is None:
            return RotationError(
                "the audit log names no client certificate",
                hint="the credential's id is in every event since Kubernetes v1.32, unless the audit policy "
                "leaves the event out",
            )
        if found.obstacle is None:
            return None
        return RotationError(
            found.obstacle,
            hint="give whoever it is the present file; come back with a log that has a day without it"
            if found.outdated
            else "give the logs of all API servers from an hour before the promotion until now",
        )


_BEFORE = {
    RotationStep.PROMOTE: ("prepared", RotationStep.PREPARE, "present"),
    RotationStep.FINISH: ("promoted", RotationStep.PROMOTE, "promoted"),
}
"""What every node must have before a step: which files, by which step; and what endpoints serve then."""


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "an unknown time"
