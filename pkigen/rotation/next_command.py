"""The command that takes the next step of a rotation, as it is said to somebody who is to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.rotation.phases import COMMANDS, OBSERVABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pkigen.rotation.step_names import RotationStep


def next_command(
    identifiers: Sequence[str],
    cluster: str = "",
    *,
    step: RotationStep | None = None,
    distributed: bool = False,
) -> str:
    """How a rotation goes on once every node has the files of the step before.

    Args:
        identifiers: What rotates; several CAs go on together.
        cluster: How a command line names the cluster; empty where that is not needed.
        step: Named where the command is not to choose it.
        distributed: Whether the operator vouches for the nodes anyway.
    """
    first, *more = (COMMANDS[identifier] for identifier in identifiers)
    # As far as endpoints show it, the step itself looks at them; for the rest somebody has to vouch.
    is_seen = OBSERVABLE.issuperset(identifiers) and not distributed
    words = (
        "pkigen rotate",
        first,
        *(each.removeprefix("ca ") for each in more),
        cluster,
        f"--phase {step}" if step is not None else "",
        "--live" if is_seen else "--assume-distributed",
    )
    return " ".join(filter(None, words))
