"""Files that a person asked for outside the PKI directory: saved plans, runbooks, metrics."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pkigen.airgap.carrier.destination import is_stream, obstacle, put, put_parts
from pkigen.cli.console import flush, note
from pkigen.cli.reports.cluster_text import cluster_lines, cluster_script
from pkigen.cli.reports.plan_text import copying_text, leftovers_text, restart_text, runbook_script
from pkigen.cli.reports.rotation_runbook import rotation_runbook
from pkigen.cli.reports.tables import page
from pkigen.errors import PkigenError, UsageError
from pkigen.reconcile.restart_map import restart_map
from pkigen.reconcile.rollout import rollout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pkigen.cli.session import Session
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.plan import Action, Plan
    from pkigen.rotation.step_names import RotationStep
    from pkigen.state.observed import Reader

logger = logging.getLogger(__name__)

_CHOOSE: Final = "choose a directory that exists and is yours"
_FREE_SPACE: Final = "free space there, or choose another place"
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_text(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Put a file in place whole or not at all; a reader never sees half of it.

    Raises:
        PkigenError: It cannot be written.
    """
    flush()  # what was said before comes before, should the file be standard output
    try:
        put(path, content.encode(), mode=mode)
    except OSError as error:
        raise _unwritable(path, error) from None


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """The same of a file that is too large to be in memory.

    Raises:
        PkigenError: It cannot be written.
    """
    flush()
    try:
        put_parts(path, parts, mode=0o644)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> PkigenError:
    """Say why a file cannot be written, and what helps against that."""
    hint = _FREE_SPACE if error.errno in _FULL else _CHOOSE
    return PkigenError(f"{path} cannot be written: {_reason(error)}", hint=hint)


def _reason(error: OSError) -> str:
    return (error.strerror or "input/output error").lower()


def require_writable(*paths: Path) -> None:
    """See that files can be written, before anything is made that would be lost otherwise.

    Raises:
        PkigenError: One cannot.
    """
    for path in paths:
        reason = obstacle(path)
        if reason is not None:
            raise PkigenError(
                f"{path} cannot be written: {reason}",
                hint=_CHOOSE,
            )


def _there_already(path: Path) -> PkigenError:
    """The refusal to replace a file that may hold the only copy of a key."""
    return PkigenError(
        f"{path} exists already",
        hint="it may be the only copy of a key: move it away, or choose another --out",
    )


def write_new(path: Path, content: str, *, mode: int) -> None:
    """Make a file that must not be there yet, with its mode from the first moment on.

    Raises:
        PkigenError: It is there, or cannot be written.
    """
    try:
        # With O_EXCL a link at the end of the path is refused already (open(2)); O_NOFOLLOW says that it is
        # meant.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise _there_already(path) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, mode)  # whatever the umask left of it
            stream.write(content)
            stream.flush()
            # A new key exists nowhere else: after a power cut its file must not be empty.
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    logger.info("wrote %s: mode %04o", path, mode)


def write_all_new(*files: tuple[Path, str, int]) -> None:
    """Make several new files, each with its content and mode: all of them or none.

    Raises:
        PkigenError: One is there, be it a link that leads nowhere, or cannot be written.
    """
    for path, _, _ in files:
        # Not `exists`: a link that leads nowhere would be followed, and make a file elsewhere.
        if os.path.lexists(path):
            raise _there_already(path)
    made: list[Path] = []
    try:
        for path, content, mode in files:
            write_new(path, content, mode=mode)
            made.append(path)
    except PkigenError:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def write_secret(path: Path, content: str) -> None:
    """Put a file with a secret in place: nobody else can read it at any moment.

    Into what is no regular file it is written all the same, for a pipe is how it comes to a program without
    ever being on a disk; who reads there is up to whoever named it, and said.

    Raises:
        PkigenError: It cannot be written.
    """
    require_writable(path)
    if is_stream(path):
        note(f"note: {path} is no regular file: whoever reads there gets the secret")
    write_text(path, content, mode=0o600)


def make_directory(path: Path, *, mode: int = 0o755) -> None:
    """Make a directory and those above it, where they are not there yet.

    Raises:
        PkigenError: It cannot be made.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise PkigenError(f"{path} cannot be made: {_reason(error)}") from None


def require_below(directory: Path, path: Path) -> None:
    """See that no link leads from a directory that a person named to somewhere else.

    Raises:
        PkigenError: One does.
    """
    # From the inside out, and not with `resolve`: which link it is has to be named.
    for each in (path, *path.parents):
        if each == directory:
            return
        if each.is_symlink():
            raise PkigenError(
                f"{each} is a symbolic link",
                hint=f"what is written stays below {directory}: name the directory that the link leads to",
            )


def require_outside(root: Path, path: Path) -> None:
    """See that nothing else is written where an authority is.

    Args:
        root: The PKI directory.
        path: What a person named, or stands in for it.

    Raises:
        UsageError: It is there, or below it.
    """
    # Resolved on both sides: /var may be a link, and `..` may lead back.
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise UsageError(
            f"{path} is in the PKI directory {root}, where nothing else belongs",
            hint="name another place with --out",
        )


def write_runbook(
    directory: Path,
    session: Session,
    changes: Iterable[Action],
    in_cluster: Sequence[ClusterStep],
) -> None:
    """Write the restart map as text and as a script, and what is to be done in the cluster likewise.

    Args:
        directory: Where to.
        session: Of what must exist after these changes.
        changes: What is distributed.
        in_cluster: The commands that change the running cluster.
    """
    changes, inventory = tuple(changes), session.inventory
    root = str(session.root.absolute())  # whoever reads it may stand anywhere
    steps = restart_map(inventory, changes)
    make_directory(directory)
    restarts = restart_text(steps) if steps else ("  nothing has to restart",)
    after = (line.text for line in cluster_lines(in_cluster, root))
    text = page((*copying_text(steps), *restarts, *leftovers_text(inventory, changes), *after))
    write_text(
        directory / "restart.txt", f"cluster {inventory.cluster.name}, one step after the other:\n{text}\n"
    )
    script = runbook_script(rollout(inventory, changes), inventory.cluster.name)
    write_text(directory / "restart.sh", script, mode=0o755)
    files = "restart.txt and restart.sh"
    if in_cluster:
        commands = cluster_script(in_cluster, inventory.cluster.name, root)
        write_text(directory / "cluster.sh", page(commands) + "\n", mode=0o755)
        files = "restart.txt, restart.sh and cluster.sh"
    note(f"runbook: {directory}/{files}")


def write_rotation_runbook(
    directory: Path,
    session: Session,
    reader: Reader,
    plan: Plan,
    *,
    identifiers: Sequence[str],
    step: RotationStep,
) -> None:
    """Write what is to be done after a step of a rotation, and the restart script that goes with it."""
    write_runbook(directory, session, plan.changes, plan.in_cluster)
    text = rotation_runbook(
        session.inventory,
        reader,
        plan,
        identifiers=identifiers,
        step=step,
        now=session.now,
        root=str(session.root.absolute()),
    )
    write_text(directory / "rotation.txt", text)
    note(f"runbook: {directory}/rotation.txt says what to do, in order")
