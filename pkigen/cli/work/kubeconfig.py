"""The work of `pkigen access kubeconfig`: files as they are read and merged."""

from __future__ import annotations

from pathlib import Path

from pkigen.access import merge
from pkigen.access.collisions import CollisionError
from pkigen.access.kubeconfigs import LARGEST_KUBECONFIG, Kubeconfig, load
from pkigen.cli.access_sources import read_bounded
from pkigen.cli.console import note
from pkigen.errors import AccessError, UsageError


def precedence_of(*, rename: bool, first_wins: bool) -> merge.Precedence:
    """What becomes of a name that means two things."""
    if rename and first_wins:
        raise UsageError("--rename and --first-wins exclude each other")
    if rename:
        return merge.Precedence.RENAMED
    return merge.Precedence.FIRST_WINS if first_wins else merge.Precedence.REFUSED


def merged_configs(configs: list[Kubeconfig], precedence: merge.Precedence) -> merge.Merged:
    """All kubeconfigs as one; what collides is said.

    Raises:
        CollisionError: Something does.
    """
    try:
        return merge.unambiguous(configs, precedence)
    except CollisionError as error:
        for collision in error.collisions:
            note(str(collision))
        raise


def read_kubeconfig(path: Path) -> Kubeconfig:
    """One kubeconfig.

    Raises:
        AccessError: It cannot be read, or is too large.
    """
    data = read_bounded(path, limit=LARGEST_KUBECONFIG)
    if len(data) > LARGEST_KUBECONFIG:
        raise AccessError(f"{path} is larger than {LARGEST_KUBECONFIG >> 20} MiB, the limit for a kubeconfig")
    return load(data, path)
