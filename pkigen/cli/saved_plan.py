"""A plan that was saved to be reviewed: applied only where the same plan, field by field, is made now."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkigen import layout
from pkigen.airgap.offline.outstanding import outstanding
from pkigen.cli.console import note
from pkigen.cli.plan_difference import moved, verb
from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.desired.generations import CA, ca_id
from pkigen.desired.revocations import UNCHANGED, CredentialId, Revocation, RevocationChange
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import timestamp
from pkigen.reconcile.checkout import without_secrets
from pkigen.reconcile.plan import Keep, Plan
from pkigen.reconcile.risks import risks
from pkigen.reconcile.surveyed import Selection
from pkigen.records import dataclass
from pkigen.rotation.phases import WantedStep
from pkigen.state.ledger import agreed_at, read_ledger
from pkigen.state.observed import observe_file
from pkigen.state.reasons import Reason
from pkigen.state.views import HashedView

if TYPE_CHECKING:
    from pkigen.cli.reports.plan_document import PlannedRevocation, PlannedStep, RevocationRequest
    from pkigen.cli.session import Session
    from pkigen.desired.inventory import Inventory
    from pkigen.rotation.rollback import ProposedRollback
    from pkigen.rotation.steps import ProposedStep
    from pkigen.state.observed import Reader, Tree

# Far more than a plan of thousands of nodes has; what is larger would fill the memory before it is refused.
_LARGEST_PLAN = 1 << 28
_SHOWN = 10
# The kind stands in the first lines of what `--save` writes, so that a file of any size is told apart at
# once.
_BEGINNING_LENGTH = 512
_BEGINNING = re.compile(rb'\s*\{.*"kind"\s*:\s*"Plan"', re.DOTALL)
_AGAIN = "run `pkigen plan --save`, or the command that it was saved with, again and review the new plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What a plan was asked for beside what the spec says: `renew` and `rescue` ask for more than `apply`."""

    selection: Selection | None = None
    reuses_keys: bool = False
    revocation: RevocationChange = UNCHANGED

    @classmethod
    def of(cls, content: dict[str, Any] | None, revocation: RevocationRequest | None = None) -> PlanRequest:
        """What the fields `selection` and `revocation` of a saved plan say."""
        if revocation is not None:
            return cls(revocation=revocation_change(revocation))
        if content is None:
            return cls()
        within = content["within"]
        selection = Selection(
            within=None if within is None else timedelta(seconds=within),
            ids=frozenset(content["ids"]),
            only=content["only"],
            revived=frozenset(map(CA.of_id, content["revived"])),
        )
        return cls(selection=selection, reuses_keys=content["reuseKeys"])

    @property
    def content(self) -> dict[str, Any] | None:
        """The field `selection` of a plan."""
        wanted = self.selection
        if wanted is None:
            return None
        within = None if wanted.within is None else wanted.within.total_seconds()
        return {
            "within": within,
            "ids": sorted(wanted.ids),
            "only": wanted.only,
            "reuseKeys": self.reuses_keys,
            "revived": sorted(map(ca_id, wanted.revived)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRequest:
    """What `rotate` was asked for: the step, what the operator vouches for, and whether keys are kept."""

    wanted: WantedStep
    reuses_keys: bool = False

    @classmethod
    def of(cls, step: PlannedStep) -> StepRequest:
        """What a saved plan says."""
        wanted = WantedStep(
            identifiers=tuple(step.identifiers),
            step=step.step,
            distributed=step.distributed,
            force=step.force,
            live=step.live,
            cross_sign=step.cross_sign,
        )
        return cls(wanted=wanted, reuses_keys=step.reuse_keys)

    def content(self, proposed: ProposedStep) -> dict[str, Any]:
        """The field `rotation` of a plan."""
        return {
            "identifiers": list(proposed.identifiers),
            "step": str(proposed.step),
            "distributed": self.wanted.distributed,
            "live": self.wanted.live,
            "force": self.wanted.force,
            "crossSign": self.wanted.cross_sign,
            "reuseKeys": self.reuses_keys,
            "premises": list(proposed.premises),
        }


def revocation_change(request: RevocationRequest) -> RevocationChange:
    """What a saved plan puts on the list of revoked credentials, or takes off it.

    Raises:
        ValueError: It names no credential.
    """
    return RevocationChange(
        revoked=tuple(map(_revocation, request.revoked)), lifted=tuple(map(_revocation, request.lifted))
    )


def _revocation(planned: PlannedRevocation) -> Revocation:
    return Revocation(
        credential=CredentialId.parse(planned.credential),
        of=planned.of,
        reason=planned.reason,
        revoked=planned.revoked,
        expires=planned.not_after,
    )


_OF_APPLY = PlanRequest()


def plan_content(
    plan: Plan,
    inventory: Inventory,
    reader: Reader,
    request: PlanRequest = _OF_APPLY,
    *,
    spec: str | None = None,
) -> dict[str, Any]:
    """Everything that is reviewed of a plan, with the digest over it.

    Args:
        plan: What would be done.
        inventory: What must exist.
        reader: The directory.
        request: What it was asked for.
        spec: The SHA-256 of the spec that becomes the directory's own.
    """
    pending = outstanding(reader)
    content = {
        **structured.plan(plan, inventory, risks(plan, inventory)),
        "spec": spec,
        "request": structured.request_out(pending.requests if pending is not None else None),
        "selection": request.content,
        "rollback": None,
        "rotation": None,
    }
    return structured.bound(content)


def step_content(proposed: ProposedStep, reader: Reader, request: StepRequest) -> dict[str, Any]:
    """The same of a step of a rotation."""
    inventory = proposed.after.inventory
    content = {
        **plan_content(proposed.plan, inventory, reader),
        "risks": list(proposed.risks),
        "rotation": request.content(proposed),
    }
    return structured.bound(content)


def rollback_content(proposed: ProposedRollback, reader: Reader) -> dict[str, Any]:
    """The same of a rollback; it is made from what the backups hold, and from what stands in its place."""
    rollback = proposed.rollback
    # A rollback follows from files and from backups, not from the spec: their digests are what it is bound
    # to.
    present = HashedView(reader)
    for action in rollback.changes:
        # With each change of the ledger the lock file is another one: that is no other rollback.
        if action.id != layout.LOCK_FILE:
            observe_file(present, action.id, limit=_LARGEST_PLAN)
    held = {f"{each.backup}/{each.path}": each.sha256 for each in rollback.restores}
    actions = tuple(replace(each, reason=each.reason or Reason.ROLLBACK) for each in rollback.changes)
    plan = Plan(actions=actions, observed={**present.digests, **held}, in_cluster=proposed.in_cluster)
    content = {
        **plan_content(plan, proposed.after.inventory, reader),
        "risks": list(proposed.risks),
        "rollback": {"backup": rollback.backup, "undoes": [each.id for each in rollback.undone]},
    }
    return structured.bound(content)


def is_saved_plan(path: Path) -> bool:
    """Whether a file begins as `--save` begins it; whoever reads it whole says what is wrong with it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return _BEGINNING.match(stream.read(_BEGINNING_LENGTH)) is not None
    except OSError:
        return False  # it is taken for a spec, and whoever reads that says why it cannot be read


class CarriedOutError(PkigenError):
    """What a saved plan asks for was done by it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What was reviewed."""

    path: Path
    content: dict[str, Any]
    document: PlanDocument

    @classmethod
    def read(cls, path: Path) -> SavedPlan:
        """Read what `--save` wrote.

        Raises:
            UsageError: It is something else.
            PkigenError: It was edited since.
        """
        try:
            if path.stat().st_size > _LARGEST_PLAN:
                raise UsageError(f"{path} is too large to be a saved plan")
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read: {(error.strerror or 'input/output error').lower()}"
            ) from None
        # Nested too deeply, which no plan is.
        except (ValueError, RecursionError):
            content = None
        return cls.of(path, content)

    @classmethod
    def of(cls, path: Path, content: Any) -> SavedPlan:
        """A plan that was saved in a file, by itself or with others; raises as `read` does."""
        if not isinstance(content, dict) or not isinstance(content.get("digest"), str):
            raise UsageError(f"{path} is not a saved plan", hint="save one with `pkigen plan --save FILE`")
        if structured.bound(content)["digest"] != content["digest"]:
            raise PkigenError(f"{path} was changed after it was saved: its digest is another", hint=_AGAIN)
        try:
            document = PlanDocument.of(content)
            # Read here already, so that what names no credential is refused like any other damage.
            PlanRequest.of(None, document.revocation)
        except ValueError:
            raise UsageError(f"{path} is not a plan of this version of pkigen", hint=_AGAIN) from None
        return cls(path=path, content=content, document=document)

    @property
    def digest(self) -> str:
        """By what it is known to the ledger of the directory that it was carried out in."""
        return str(self.content["digest"])

    @property
    def request(self) -> PlanRequest:
        """What it was asked for."""
        return PlanRequest.of(self.content.get("selection"), self.document.revocation)

    @property
    def step(self) -> StepRequest | None:
        """The step of a rotation that it is; None for every other plan."""
        found = self.document.rotation
        return StepRequest.of(found) if found is not None else None

    @property
    def changes_list(self) -> bool:
        """Whether it revokes credentials, or lets some pass again, and does nothing else."""
        return self.document.revocation is not None

    @property
    def backup(self) -> str | None:
        """Before which change it goes back; None for every plan that is no rollback."""
        found = self.document.rollback
        return found.backup if found is not None else None

    @property
    def is_public(self) -> bool:
        """Whether it was made without the private files, and leaves alone what it could not judge."""
        return bool(self.content.get("withheld"))

    def require_current_in(self, session: Session, tree: Tree, made: Plan) -> frozenset[str]:
        """See that the plan of a directory is the one that was reviewed.

        Args:
            session: The command.
            tree: The directory.
            made: What is to be done there.

        Returns:
            The ids of what is to be done there and was not reviewed, because it could not be judged.

        Raises:
            CarriedOutError: It was carried out already.
            PkigenError: It is another one; what is different is said.
        """
        view = without_secrets(tree, session.inventory) if self.is_public else None
        if view is None:
            arriving = session.arriving(tree)
            content = plan_content(made, session.inventory, tree, self.request, spec=arriving)
            self.require_current(content, ledger=read_ledger(tree))
            return frozenset()
        # Made once more without the secrets, as it was for the review, or the two could not be compared field
        # by field.
        seen = session.at(view)
        public = seen.plan(view, self.request.selection)
        arriving = session.arriving(view)
        content = plan_content(public, seen.inventory, view, self.request, spec=arriving)
        self.require_current(content, ledger=read_ledger(tree))
        reviewed = {str(each["id"]): verb(each) for each in self.content["actions"]}
        now = {each.id: f"{each.verb} ({each.reason})" for each in made.actions if not isinstance(each, Keep)}
        for identifier, change in reviewed.items():
            if now.get(identifier) != change:
                found = now.get(identifier, "nothing")
                raise PkigenError(
                    f"the saved plan is stale: with the private files {identifier} is another change: "
                    f"{change} → {found}",
                    hint=_AGAIN,
                )
        return frozenset(now.keys() - reviewed.keys())

    def require_current(self, content: dict[str, Any], *, ledger: bytes = b"") -> None:
        """See that the plan that would be made now is the one that was reviewed.

        Args:
            content: The plan of now, as `plan_content` gives it.
            ledger: The directory's, which knows the plans that were carried out in it.

        Raises:
            CarriedOutError: It was carried out already.
            PkigenError: It is another one; what is different is said.
        """
        # As a file has it: enums are texts, and tuples lists.
        now = json.loads(json.dumps(content))
        different = list(moved(self.content, now))
        if not different:
            return
        # Not before: what was carried out and undone since may be carried out again.
        done = agreed_at(ledger, self.digest)
        if done is not None:
            raise CarriedOutError(
                f"the saved plan was carried out already, at {timestamp(done)}",
                hint="nothing was changed; `pkigen plan` says what is to be done now",
            )
        for line in different[1:_SHOWN]:
            note(f"changed since: {line}")
        more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
        raise PkigenError(
            f"the saved plan is stale: now there would be another one: {different[0]}{more}",
            hint=_AGAIN,
        )


def require_forced(saved: SavedPlan, *, force: bool) -> None:
    """Refuse a step with risks that whoever applies it has not agreed to.

    Raises:
        PkigenError: It has some.
    """
    risks = saved.document.risks
    if risks and not force:
        raise PkigenError(f"the saved plan is dangerous: {risks[0]}", hint="if this is intended, add --force")
