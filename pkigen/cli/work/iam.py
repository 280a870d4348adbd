"""The work of `pkigen access iam`: what is mapped now, and what was before."""

from __future__ import annotations

from pathlib import Path

import typer

from pkigen.access.iam import LARGEST_CONFIG_MAP, Current, read_current
from pkigen.cli.access_sources import read_bounded
from pkigen.cli.session import Session, open_record, open_spec
from pkigen.cli.system import system_of
from pkigen.errors import AccessError
from pkigen.reconcile.cluster_changes import unmapped


def known_mappings(file: Path) -> Current:
    """The cluster's present ConfigMap."""
    data = read_bounded(file, limit=LARGEST_CONFIG_MAP)
    if len(data) > LARGEST_CONFIG_MAP:
        raise AccessError(f"{file} is larger than any ConfigMap")
    if not data:
        raise AccessError(
            f"{_named(file)} is empty: kubectl has failed, or the cluster has no ConfigMap aws-auth",
            hint="if the cluster has none, leave --current out",
        )
    return read_current(data, _named(file))


def _named(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def given_up_mappings(session: Session, spec: Path | None) -> frozenset[str]:
    """What an earlier spec had mapped, as long as nobody has said that the cluster was told.

    Raises:
        AccessError: There is nothing to map, and nothing to take out.
    """
    found: frozenset[str] = frozenset()
    if spec is None:
        with session.reading() as store:
            found = unmapped(store, session.inventory.cluster)
    if not session.inventory.cluster.spec.iam and not found:
        raise AccessError("spec.iam is empty", hint="each entry needs arn, username and groups")
    return found


def described(context: typer.Context, spec: Path | None, directory: Path | None) -> Session:
    """A spec alone will do: no file of the cluster is needed."""
    if spec is None:
        return open_record(context, None, directory)
    return open_spec(system_of(context), spec, root=Path())
