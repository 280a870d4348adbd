"""`verify` and `status` of clusters that pkigen did not make: what is read, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pkigen.adoption.audit import audit
from pkigen.adoption.checks.validity import notice_of
from pkigen.adoption.findings import AuditRule
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.judgements import judgements
from pkigen.adoption.recorded import record_beside
from pkigen.adoption.severity import AuditSeverity
from pkigen.cli.console import say, say_lines
from pkigen.cli.options import VerifyForm
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports import audit_forms, structured
from pkigen.cli.reports.status import StatusRow
from pkigen.cli.system import System

if TYPE_CHECKING:
    from cryptography import x509

    from pkigen.adoption.findings import AuditFinding
    from pkigen.adoption.found import ForeignCluster, FoundCertificate
    from pkigen.cli.reports.audit_forms import AuditReport


def verify_foreign(system: System, directory: Path, form: VerifyForm) -> None:
    """Say what is wrong with the files of a cluster that pkigen did not make.

    Raises:
        StoreError: They cannot be read.
        typer.Exit: Something has to be done.
    """
    cluster = replace(inspect(node_trees(directory), now=system.clock()), record=record_beside(directory))
    connections = sum(1 for _ in judgements(cluster))
    report = audit_forms.of_foreign(
        cluster, audit(cluster), directory=str(directory), connections=connections
    )
    say_report(report, form)
    if not report.is_clean:
        raise typer.Exit(ExitCode.FINDINGS)


def say_report(report: AuditReport, form: VerifyForm) -> None:
    """Print what was found."""
    match form:
        case VerifyForm.TEXT:
            say_lines(audit_forms.lines(report))
        case VerifyForm.SARIF:
            say(audit_forms.sarif(report))
        case VerifyForm.JUNIT:
            say(audit_forms.junit(report))
        case VerifyForm.MARKDOWN:
            say(audit_forms.markdown(report))
        case _:
            say(structured.dump(audit_forms.structure(report), form))


# What else is found makes a certificate unusual or weak, but it still works.
_DATED = frozenset({AuditRule.EXPIRED, AuditRule.NOT_YET_VALID})


def foreign_rows(directory: Path, *, now: datetime) -> list[StatusRow]:
    """Every certificate of a cluster that pkigen did not make, what expires first on top.

    Raises:
        StoreError: Its files cannot be read.
    """
    rows = rows_of(inspect(node_trees(directory), now=now))
    return sorted(rows, key=lambda row: (row.effective is None, row.effective, row.id))


def rows_of(cluster: ForeignCluster) -> Iterator[StatusRow]:
    """Every certificate of a cluster that pkigen did not make, node by node."""
    found: dict[str, list[AuditFinding]] = {}
    for finding in audit(cluster):
        if finding.severity is not AuditSeverity.INFORMATION:
            found.setdefault(str(finding.spot), []).append(finding)
    ends = _ends(cluster)
    for each in _listed(cluster):
        yield _row(each, ends, found.get(str(each.spot), []))


def _listed(cluster: ForeignCluster) -> Iterator[FoundCertificate]:
    """All but the CAs that kubeconfigs repeat."""
    for node in cluster.nodes:
        # Every kubeconfig of a node embeds its CA: listed each time it would drown what differs.
        in_files = {each.certificate for each in node.certificates if not each.spot.part}
        for each in node.certificates:
            if not (each.spot.part.startswith("cluster ") and each.certificate in in_files):
                yield each


def _row(found: FoundCertificate, ends: dict[x509.Name, datetime], findings: list[AuditFinding]) -> StatusRow:
    certificate, spot = found.certificate, found.spot
    end = certificate.not_valid_after_utc
    number = f"#{found.position + 1}" if found.position else ""
    issuer = certificate.issuer.rfc4514_string()
    return StatusRow(
        id=f"{spot}{number}",
        node=spot.node,
        name=f"{spot.path}{number}",
        path=spot.shown or spot.path,
        ca=issuer if certificate.issuer != certificate.subject else None,
        embedded_key=spot.part.removeprefix("user ") if spot.part.startswith("user ") else None,
        certificate=certificate,
        expires=end,
        effective=min(end, ends.get(certificate.issuer, end)),
        due_from=end - notice_of(certificate),
        reasons=tuple(dict.fromkeys(str(each.rule) for each in findings)),
        details=tuple(each.detail for each in findings),
        works=not any(each.rule in _DATED for each in findings),
    )


def _ends(cluster: ForeignCluster) -> dict[x509.Name, datetime]:
    """When the last CA of each name ends."""
    found: dict[x509.Name, datetime] = {}
    for each in cluster.each_certificate():
        end = each.certificate.not_valid_after_utc
        # By name, and the last: a verifier takes any CA of that name whose key fits, so that a renewed CA
        # counts.
        found[each.certificate.subject] = max(end, found.get(each.certificate.subject, end))
    return found
