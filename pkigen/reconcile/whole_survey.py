"""One survey of a directory for all who ask about it: for its certificates, its plan, what `verify` finds.

Who asks one question streams instead (`Survey`), and keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crew import ALL_HANDS, Hands
from pkigen.reconcile.division import Summary, summaries
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.survey import Survey
from pkigen.records import dataclass
from pkigen.state.authority import load_all, look_at_all
from pkigen.state.views import HashedView, MovedView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pkigen.desired.generations import CA
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.progress import Progress
    from pkigen.reconcile.surveyed import Selection, Surveyed
    from pkigen.state.authority import CACertificates
    from pkigen.state.observed import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSurvey:
    """Every object of a directory as it was found, where nothing is selected and nothing moves.

    `reader` has the digests of what was read, `faults` say what is wrong with which CA.
    """

    reader: HashedView
    authorities: Mapping[CA, CACertificates]
    faults: Mapping[CA, str]
    objects: tuple[Surveyed, ...]


def survey_whole(
    inventory: Inventory,
    tree: Tree,
    renderer: Renderer,
    *,
    now: datetime,
    progress: Progress = SILENCE,
) -> WholeSurvey:
    """Look at every object once.

    Args:
        inventory: What must exist.
        tree: The PKI directory.
        renderer: Says what rendered files must hold.
        now: The present, in UTC.
        progress: Is told of each object that is looked at.
    """
    # The view through which a plan reads, so that its digests are the same.
    reader = HashedView(MovedView(tree, ()))
    authorities, faults = look_at_all(reader, inventory, now=now)
    survey = Survey(
        inventory=inventory,
        reader=reader,
        renderer=renderer,
        authorities=authorities,
        now=now,
        progress=progress,
    )
    return WholeSurvey(reader=reader, authorities=authorities, faults=faults, objects=tuple(survey.objects()))


def survey_for_plan(
    inventory: Inventory,
    moved: MovedView,
    renderer: Renderer,
    *,
    now: datetime,
    selection: Selection,
    progress: Progress,
    seen: WholeSurvey | None,
    hands: Hands = ALL_HANDS,
) -> tuple[HashedView, Iterable[Summary]]:
    """What a plan is made from: every object, and the view that has the digests of what was read.

    Args:
        inventory: What must exist.
        moved: The directory, as it is after its files have moved.
        renderer: Says what rendered files must hold.
        now: The present, in UTC.
        selection: What `renew` asks for.
        progress: Is told of each object that is looked at.
        seen: The survey of this directory, where there is one, and nothing is selected or moved.
        hands: How many processes share it.

    Raises:
        AuthorityError: A CA is half there or unfit.
    """
    if seen is not None:
        # Only whether each CA may sign is still to be asked.
        load_all(moved, inventory, now=now)
        return seen.reader, map(Summary.of, seen.objects)
    reader = HashedView(moved)
    survey = Survey(
        inventory=inventory,
        reader=reader,
        renderer=renderer,
        authorities=load_all(reader, inventory, now=now, revived=selection.revived),
        now=now,
        selection=selection,
        progress=progress,
    )
    return reader, summaries(survey, hands=hands)
