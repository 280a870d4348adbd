"""A survey that is shared among processes: what plans, lock files and `verify` take of it, object by object.

Whoever streams cannot tell how many processes have looked: the same objects come in the same order with the
same digests, and an error comes where one process would have met it. What crosses the pipe is small and
holds no secret.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pkigen.crew import ALL_HANDS, Hands, shared
from pkigen.reconcile.surveyed import kept
from pkigen.records import dataclass
from pkigen.state.lockfile import certificate_facts, told_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.items import Desired
    from pkigen.reconcile.checks import Finding
    from pkigen.reconcile.plan import Action
    from pkigen.reconcile.survey import Survey, Surveyable
    from pkigen.reconcile.surveyed import Surveyed

    Facts = Mapping[str, Any]
    Travelling = tuple[
        Action | None, tuple[Finding, ...], Facts | None, bytes | None, datetime | None, Adopted | None
    ]

T = TypeVar("T", bound="Desired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is told of one object once it was looked at.

    `facts` are those of its certificate, `expires` is the end of its token, or the first one of the CAs that
    stand above its certificate in the file.
    """

    item: Desired
    action: Action
    findings: tuple[Finding, ...] = ()
    facts: Facts | None = None
    sha256: bytes | None = None
    expires: datetime | None = None
    adopted: Adopted | None = None

    @classmethod
    def of(cls, surveyed: Surveyed, known: Mapping[str, Facts] | None = None) -> Summary:
        """Sum up one object.

        Args:
            surveyed: The object.
            known: Facts of certificates that were told already, by fingerprint.
        """
        present = surveyed.observed.certificate if surveyed.observed is not None else None
        told = known.get(told_fingerprint(present)) if known and present is not None else None
        return cls(
            item=surveyed.item,
            action=surveyed.action,
            findings=surveyed.findings,
            facts=told or (certificate_facts(present) if present is not None else None),
            sha256=surveyed.sha256,
            expires=surveyed.expires or _end_above(surveyed),
            adopted=surveyed.adopted,
        )

    def travelling(self) -> Travelling:
        """The form for a pipe: the item is known on the other side, and so is what is merely kept."""
        action = None if self.action == kept(self.item) else self.action
        return action, self.findings, self.facts, self.sha256, self.expires, self.adopted

    @classmethod
    def arrived(cls, item: Desired, form: Travelling) -> Summary:
        """What such a form stands for."""
        action, findings, facts, sha256, expires, adopted = form
        return cls(
            item=item,
            action=kept(item) if action is None else action,
            findings=findings,
            facts=facts,
            sha256=sha256,
            expires=expires,
            adopted=adopted,
        )


def _end_above(surveyed: Surveyed) -> datetime | None:
    """When the first of the CAs ends that stand above a certificate in its file: it need not end before."""
    above = surveyed.observed.chain if surveyed.observed is not None else ()
    return min((each.not_valid_after_utc for each in above), default=None)


def summaries(
    survey: Survey, *, known: Mapping[str, Facts] | None = None, hands: Hands = ALL_HANDS
) -> Iterator[Summary]:
    """Look at every object of a survey, issuers first, on all cores where there are many.

    Args:
        survey: The survey; in a process that was forked it is a copy.
        known: Facts of certificates that were told already, by fingerprint.
        hands: How many processes share it.
    """
    parts, size = divided(survey.items, hands.chunk), hands.for_objects(len(survey))
    with shared(partial(_look, survey, known), parts, size) as found:
        if found is None:
            for surveyed in survey.objects():
                yield Summary.of(surveyed, known)
            return
        # After the fork: showing progress may start a thread, and a process with threads should not fork.
        with survey.progress.over(survey.what, len(survey)) as step:
            for item, (form, read) in zip(survey.items, found, strict=True):
                if survey.hashed is not None:
                    survey.hashed.take_up(read)
                yield Summary.arrived(item, form)
                step()


def _look(
    survey: Survey, known: Mapping[str, Facts] | None, item: Surveyable
) -> tuple[Travelling, list[str]]:
    """Look at one object in a process of its own: what is told of it, and what was read."""
    read = survey.hashed.listen() if survey.hashed is not None else []
    return Summary.of(survey.look(item), known).travelling(), read


def divided(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Consecutive objects, at least `size` at a time but for the last, and never a node's in two parts.

    What is found of one object of a node says what another one of it must be like (`Survey`).
    """
    parts: list[Sequence[T]] = []
    begun = 0
    for at in range(1, len(items)):
        node = getattr(items[at], "node", None)
        is_within = node is not None and node == getattr(items[at - 1], "node", None)
        if at - begun >= size and not is_within:
            parts.append(items[begun:at])
            begun = at
    parts.append(items[begun:])
    return parts
