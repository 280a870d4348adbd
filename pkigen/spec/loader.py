"""A spec file, in pkigen's own format or kubeadm's, to a `ClusterSpec`; all problems at once."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import stat
from dataclasses import field
from typing import TYPE_CHECKING, Final

from pkigen.errors import Problem, SpecError
from pkigen.records import dataclass
from pkigen.spec import yaml_source
from pkigen.spec.builder import SpecSource, build
from pkigen.spec.dialects import KUBEADM_GROUP, KUBEADM_NEWEST, Dialect, HostFacts
from pkigen.spec.model import API_VERSION, KIND, ClusterSpec
from pkigen.spec.translation import quote
from pkigen.spec.validation import Severity, findings
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, YAMLNode, child

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from pkigen.spec.certificate_rules import OverridableKind

logger = logging.getLogger(__name__)

# How long a pipe may stay without a writer.
_PATIENCE = 1_000  # milliseconds
_KEPT_BY_KUBEADM: Final = (
    "kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}'"
)
_RECORDS: Final = {
    "Lock": f"must be {KIND}: this is the lock file of a PKI directory, which is made from the spec",
    "Fleet": f"must be {KIND}: this is the file of a fleet, which `pkigen fleet` takes",
    "Plan": f"must be {KIND}: this is a saved plan, which `pkigen apply FILE` carries out",
}
_NO_FACTS = HostFacts(hostname=None, default_address=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSpec:
    """A valid spec, the bytes that it was read from, and what its author should know nevertheless."""

    spec: ClusterSpec
    text: bytes = field(repr=False)
    warnings: tuple[Problem, ...]
    dialect: Dialect


def load(path: Path, *, kinds: Collection[OverridableKind], host: HostFacts = _NO_FACTS) -> LoadedSpec:
    """Read a spec file.

    Args:
        path: The file.
        kinds: Every kind of certificate that there is, for the names that `overrides` may use.
        host: What a kubeadm configuration may leave out, as kubeadm would find it out.

    Raises:
        SpecError: It cannot be read or is invalid; with every problem.
    """
    return load_text(content_of(path), file=str(path), kinds=kinds, host=host)


def content_of(path: Path) -> bytes:
    """The bytes of a file that a person wrote.

    Raises:
        SpecError: It cannot be read.
    """
    try:
        return _content(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        message = f"cannot be read: {reason.lower() if reason else 'this is not a file name'}"
        raise SpecError([_whole_file(str(path), message)]) from None


def _content(path: Path) -> bytes:
    """At most one byte more than a spec may have.

    Raises:
        OSError: It cannot be read; a named pipe also where nobody opens its other end.
        ValueError: This is no file name.
    """
    # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _await_writer(descriptor)
        # From here on a slow writer is waited for: without it a read from a pipe would end at the first
        # pause.
        os.set_blocking(descriptor, True)
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(yaml_source.LARGEST_FILE + 1)
    finally:
        os.close(descriptor)


def _await_writer(pipe: int) -> None:
    """Let a shell's `<(…)` take its time, but do not wait for a writer that never comes.

    Raises:
        OSError: Nobody has the pipe open for writing.
    """
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if poll.poll(_PATIENCE):
        return
    with contextlib.suppress(BlockingIOError):  # a writer that is silent so far
        os.read(pipe, 1)  # without one, the end at once
        raise OSError(errno.EPIPE, "no program writes to this pipe")


def load_text(
    text: bytes, *, file: str, kinds: Collection[OverridableKind], host: HostFacts = _NO_FACTS
) -> LoadedSpec:
    """Read a spec from bytes.

    Args:
        text: The file's content.
        file: The name that its problems begin with.
        kinds: Every kind of certificate that there is, for the names that `overrides` may use.
        host: What a kubeadm configuration may leave out, as kubeadm would find it out.

    Raises:
        SpecError: It is invalid; with every problem.
    """
    documents, problems = yaml_source.read_documents(text, file=file)
    if not documents:
        what = "is empty: 'pkigen init --example single' prints a spec to start from"
        raise SpecError([*problems, Problem(file=file, line=1, column=1, path="", message=what)])
    return load_documents(documents, text=text, file=file, kinds=kinds, host=host, problems=problems)


def load_documents(
    documents: list[YAMLNode],
    *,
    text: bytes,
    file: str,
    kinds: Collection[OverridableKind],
    host: HostFacts = _NO_FACTS,
    problems: Iterable[Problem] = (),
) -> LoadedSpec:
    """Read a spec from the documents of a file.

    Args:
        documents: What the file says; there is one at least.
        text: The file's content.
        file: The name that its problems begin with.
        kinds: Every kind of certificate that there is, for the names that `overrides` may use.
        host: What a kubeadm configuration may leave out, as kubeadm would find it out.
        problems: What was wrong with the file already.

    Raises:
        SpecError: It is invalid; with every problem.
    """
    problems = list(problems)
    dialect = dialect_of(documents)
    if dialect is Dialect.KUBEADM:
        from pkigen.spec.kubeadm.conversion import convert  # noqa: PLC0415 -- only kubeadm's users pay for it

        source = convert(documents, file=file, host=host)
    else:
        source = _own(documents, file)
    problems.extend(source.problems)
    warnings = list(source.warnings)
    built = build(source, file=file)
    problems.extend(built.problems)
    if built.spec is not None:
        for finding in findings(built.spec, kinds):
            # What such a finding is about was left out or made up: its own problem is told already.
            if built.tree.concerns_void(finding):
                continue
            place = built.tree.place(finding.at, on_key=finding.on_key)
            problem = Problem(
                file=file, line=place.line, column=place.column, path=place.path, message=finding.message
            )
            (problems if finding.severity is Severity.ERROR else warnings).append(problem)
    if built.spec is None or problems:
        raise SpecError(_sorted(problems))
    logger.info(
        "read %s: cluster %s, Kubernetes %s, %d nodes, %d users (%s)",
        file,
        built.spec.name,
        built.spec.spec.kubernetes_version,
        len(built.spec.spec.nodes),
        len(built.spec.spec.users),
        dialect.value,
    )
    return LoadedSpec(spec=built.spec, text=text, warnings=_sorted(warnings), dialect=dialect)


def dialect_of(documents: list[YAMLNode]) -> Dialect:
    """Which format a file has, by the groups of its documents' `apiVersion`."""
    versions = [version.value for document in documents if (version := child(document, "apiVersion"))]
    groups = [str(version).partition("/")[0] for version in versions]
    # After a document of our own, one of kubeadm's is a second document, and told as such.
    if KUBEADM_GROUP in groups and groups[0] != API_VERSION.partition("/")[0]:
        return Dialect.KUBEADM
    return Dialect.PKIGEN


def _own(documents: list[YAMLNode], file: str) -> SpecSource:
    """The one document of pkigen's own format.

    Raises:
        SpecError: It is of another format.
    """
    root = documents[0]
    problems = [
        extra.problem("a second document begins here: one file describes one cluster", file=file, path="")
        for extra in documents[1:]
    ]
    version = child(root, "apiVersion")
    if isinstance(version, ScalarNode) and not str(version.value).startswith("pkigen/"):
        wanted = f"{API_VERSION}, or {KUBEADM_NEWEST} for a kubeadm configuration"
        message = f"must be {wanted}, not {quote(version.text)}"
        if child(root, "data", "ClusterConfiguration") is not None:
            message = f"is that of a ConfigMap: what kubeadm keeps in it is read with `{_KEPT_BY_KUBEADM}`"
        raise SpecError([*problems, version.problem(message, file=file, path="apiVersion")])
    kind = child(root, "kind")
    if isinstance(kind, ScalarNode) and kind.value in _RECORDS:
        raise SpecError([*problems, kind.problem(_RECORDS[str(kind.value)], file=file, path="kind")])
    for key, value in (("apiVersion", API_VERSION), ("kind", KIND)):
        if isinstance(root, MappingNode) and key not in root.entries:
            problems.append(root.problem(f"is missing: write {key}: {value}", file=file, path=key))
    return SpecSource(root=root, problems=tuple(problems))


def _whole_file(file: str, message: str) -> Problem:
    return Problem(file=file, line=0, column=0, path="", message=message)


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: (problem.line, problem.column)))
