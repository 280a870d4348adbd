"""Files that are damaged, missing, left out of the copy, or too many."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pkigen.access.kubeconfigs import Section
from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.inspection import named_files
from pkigen.adoption.put_away import is_put_away
from pkigen.adoption.severity import AuditSeverity
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import ForeignCluster, ForeignNode, Program


def damaged_file(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """What could not be read for what it should be."""
    for node in cluster.nodes:
        # Once each: several flags may lead to one damaged file.
        for each in dict.fromkeys(node.unread):
            put_away = is_put_away(each.spot.path)
            yield AuditFinding(
                rule=AuditRule.DAMAGED_FILE,
                severity=AuditSeverity.INFORMATION if put_away else AuditSeverity.ERROR,
                spot=each.spot,
                detail=f"it {each.problem}" if not each.problem.startswith("its ") else each.problem,
            )


def missing_file(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """What a flag names and is not there; a directory that was not copied says nothing of its files."""
    for node in cluster.nodes:
        named = {
            (program.component, value): program for program in node.programs for value in _required(program)
        }
        absent: dict[str, Program] = {}
        for (_, value), program in named.items():
            path = program.flags.host_path(value)
            if node.tree.file(path) is None:
                absent.setdefault(path, program)
        for path, program in absent.items():
            yield _absent(node, program, path)


def _required(program: Program) -> Iterator[str]:
    """What a component does not start without; a kubelet's kubeconfig is made where it joins."""
    if program.component is ComponentName.KUBELET:
        return (value for value in (program.flags.value("client-ca-file"), *_serving(program)) if value)
    return named_files(program)


def _serving(program: Program) -> tuple[str, str]:
    return program.flags.value("tls-cert-file"), program.flags.value("tls-private-key-file")


def _absent(node: ForeignNode, program: Program, path: str) -> AuditFinding:
    if node.tree.has_directory(posixpath.dirname(path)):
        return AuditFinding(
            rule=AuditRule.MISSING_FILE,
            severity=AuditSeverity.ERROR,
            spot=node.spot(path),
            detail=f"{program} reads it, and it is missing",
        )
    return AuditFinding(
        rule=AuditRule.NOT_COPIED,
        severity=AuditSeverity.INFORMATION,
        spot=node.spot(path),
        detail=f"{program} reads it, and its directory is not here",
    )


def dangling_context(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """A kubeconfig whose current context leads to nothing in it: who uses it is nobody, or dials nobody."""
    for _, kubeconfig in cluster.each_kubeconfig():
        content = kubeconfig.content
        context = content.entries[Section.CONTEXT].get(content.current_context)
        if context is None:
            lacking = [f"the context {content.current_context}"] if content.current_context else []
        else:
            lacking = [
                f"the {section} {context.text(section)}"
                for section in (Section.CLUSTER, Section.USER)
                if context.text(section) and content.find(section, context.text(section)) is None
            ]
        if lacking:
            yield AuditFinding(
                rule=AuditRule.DAMAGED_FILE,
                severity=AuditSeverity.ERROR,
                spot=kubeconfig.spot,
                detail=f"its current-context leads to {' and '.join(lacking)}, which it does not have",
            )


def overlapping_manifests(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """Two files that start the same component."""
    for node in cluster.nodes:
        for component in ComponentName:
            running = tuple(node.running(component))
            for other in running[1:]:
                yield AuditFinding(
                    rule=AuditRule.OVERLAPPING_MANIFESTS,
                    severity=AuditSeverity.ERROR,
                    spot=other.spot,
                    detail=f"it starts {component}, as {running[0].spot.path} does: only one of them can run",
                )
