"""The forms of what `pkigen verify` finds: text, JSON, SARIF, JUnit and Markdown."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from pkigen import __version__
from pkigen.adoption.findings import RULES, AuditRule
from pkigen.adoption.severity import AuditSeverity
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.tables import page
from pkigen.cli.reports.version import API_VERSION
from pkigen.notation import printable, timestamp
from pkigen.records import dataclass
from pkigen.state.reasons import Anomaly, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pkigen.adoption.findings import AuditFinding
    from pkigen.adoption.found import ForeignCluster
    from pkigen.reconcile.observations import Verified

_LEVELS: Final = {
    AuditSeverity.ERROR: "error",
    AuditSeverity.WARNING: "warning",
    # SARIF has no more than these and `none`, which means that a result passed (2.1.0, 3.27.10).
    AuditSeverity.INFORMATION: "note",
}
_TONES: Final = {
    AuditSeverity.ERROR: Tone.RISK,
    AuditSeverity.WARNING: Tone.CHANGES,
    AuditSeverity.INFORMATION: Tone.QUIET,
}
REMARK: Final = "remark"
_OWN_RULES: Final = (
    *(str(each) for each in Reason if each not in {Reason.REQUESTED, Reason.ROTATION, Reason.ROLLBACK}),
    *map(str, Anomaly),
    REMARK,
)
"""All that `verify` can report of a PKI directory of pkigen's own."""
_WIDEST: Final = max(map(len, AuditSeverity))
_SARIF: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_PROJECT: Final = "https://pypi.org/project/pkigen/"
# The complement of the production Char (XML 1.0, 2.2): escaping does not help, since not even a character
# reference may name what is outside of it.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>|#~])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """One finding as every form needs it: `file` is relative to what was given, empty where it is no file."""

    rule: str
    severity: AuditSeverity
    place: str
    file: str
    detail: str
    why: str = ""
    remedy: str = ""
    cis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What was looked at, and what was found: `rules` are all that could have been, with their reasons."""

    directory: str
    time: datetime
    counts: dict[str, int]
    rules: dict[str, str]
    findings: tuple[Reported, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing has to be done."""
        return all(each.severity is AuditSeverity.INFORMATION for each in self.findings)


def of_foreign(
    cluster: ForeignCluster, findings: Sequence[AuditFinding], *, directory: str, connections: int
) -> AuditReport:
    """A report on a cluster that pkigen did not make."""
    return AuditReport(
        directory=directory,
        time=cluster.now,
        counts={
            "nodes": len(cluster.nodes),
            "certificates": sum(len(node.certificates) for node in cluster.nodes),
            "connections": connections,
        },
        rules={str(rule): RULES[rule].why for rule in AuditRule},
        findings=tuple(
            Reported(
                rule=str(each.rule),
                severity=each.severity,
                place=str(each.spot),
                file=each.spot.shown,
                detail=each.detail,
                why=each.why,
                remedy=each.remedy,
                cis=each.cis,
            )
            for each in findings
        ),
    )


def of_verified(verified: Verified, *, directory: str, now: datetime) -> AuditReport:
    """A report on a PKI directory of pkigen's own."""
    findings = [
        *((AuditSeverity.ERROR, each.subject, str(each.reason), each.detail) for each in verified.findings),
        *((AuditSeverity.INFORMATION, each.subject, REMARK, each.detail) for each in verified.remarks),
    ]
    return AuditReport(
        directory=directory,
        time=now,
        counts={"objects": verified.objects, "connections": verified.edges},
        rules=dict.fromkeys(_OWN_RULES, ""),
        findings=tuple(
            Reported(rule=rule, severity=severity, place=subject, file="", detail=detail)
            for severity, subject, rule, detail in findings
        ),
    )


def lines(report: AuditReport) -> Iterator[Line]:
    """Lines for people: what to do stands once below each kind of finding that is more than information."""
    for each in report.findings:
        number = f" (CIS {each.cis})" if each.cis else ""
        text = f"{each.severity:<{_WIDEST}} {each.place}: {each.rule}: {each.detail}{number}"
        yield Line(text, _TONES[each.severity])
        if each.why and each.severity is not AuditSeverity.INFORMATION:
            yield Line(f"    why: {each.why}")
            yield Line(f"    do:  {each.remedy}")
    yield Line(_summary(report), Tone.WELL if report.is_clean else Tone.RISK)


def _summary(report: AuditReport) -> str:
    found = Counter(each.severity for each in report.findings)
    counts = [f"{number} {what}" for what, number in report.counts.items()]
    errors, warnings, others = (found[severity] for severity in AuditSeverity)
    parts = (*counts, f"{errors} errors", f"{warnings} warnings", f"{others} for information")
    return ", ".join(part if not part.startswith("1 ") else part.removesuffix("s") for part in parts)


def structure(report: AuditReport) -> dict[str, Any]:
    """The stable structure behind `-o json` and `-o yaml`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Audit",
        "directory": report.directory,
        "time": timestamp(report.time),
        **report.counts,
        "findings": [
            {
                "severity": str(each.severity),
                "rule": each.rule,
                "place": each.place,
                "path": each.file,
                "detail": each.detail,
                "why": each.why,
                "remedy": each.remedy,
                "cis": each.cis or None,
            }
            for each in report.findings
        ],
    }


def sarif(report: AuditReport) -> str:
    """SARIF 2.1.0, as code scanning services read it."""
    rules = [
        {
            "id": rule,
            "shortDescription": {"text": rule.replace("-", " ")},
            "fullDescription": {"text": why or rule.replace("-", " ")},
        }
        for rule, why in report.rules.items()
    ]
    # All rules, not only those that found something: services show by them what was checked.
    driver = {"name": "pkigen", "version": __version__, "informationUri": _PROJECT, "rules": rules}
    order = list(report.rules)
    run = {"tool": {"driver": driver}, "results": [_result(each, order) for each in report.findings]}
    return json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(found: Reported, order: list[str]) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": found.place}]}
    if found.file:
        # A URI reference, in which blanks and the like are percent-encoded (SARIF 2.1.0, 3.4.3).
        location["physicalLocation"] = {"artifactLocation": {"uri": quote(found.file)}}
    remedy = f" What to do: {found.remedy}." if found.remedy else ""
    return {
        "ruleId": found.rule,
        "ruleIndex": order.index(found.rule),
        "level": _LEVELS[found.severity],
        "message": {"text": f"{found.place}: {found.detail}.{remedy}"},
        "locations": [location],
        "properties": {"cis": found.cis} if found.cis else {},
    }


def junit(report: AuditReport) -> str:
    """JUnit's XML as CI servers read it: one case for each kind of finding, failed from a warning on."""
    # Every rule is a case, also one that found nothing: CI servers then show what was tested.
    cases = {rule: [each for each in report.findings if each.rule == rule] for rule in report.rules}
    failures = sum(1 for found in cases.values() if any(map(_fails, found)))
    suites = ET.Element("testsuites")
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    suite = ET.SubElement(suites, "testsuite", {"name": _xml(f"pkigen verify {report.directory}"), **counts})
    for rule, found in cases.items():
        _add_case(suite, rule, found)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode")


def _fails(found: Reported) -> bool:
    return found.severity is not AuditSeverity.INFORMATION


def _add_case(suite: ET.Element, rule: str, found: Sequence[Reported]) -> None:
    case = ET.SubElement(suite, "testcase", classname="pkigen.verify", name=rule, time="0")
    failed, others = list(filter(_fails, found)), list(filterfalse(_fails, found))
    if failed:
        # Findings come sorted, the gravest first; a case has one `failure`, and servers show its message in
        # lists.
        worst = failed[0]
        failure = ET.SubElement(case, "failure", type=str(worst.severity), message=_xml(worst.detail))
        failure.text = _xml("\n".join(map(_told, failed)))
    if others:
        ET.SubElement(case, "system-out").text = _xml("\n".join(map(_told, others)))


def _told(found: Reported) -> str:
    remedy = f" ({found.remedy})" if found.remedy else ""
    return printable(f"[{found.severity}] {found.place}: {found.detail}{remedy}")


def _xml(value: str) -> str:
    """Text without the characters that no XML may hold (XML 1.0, 2.2)."""
    return _NOT_XML.sub("\ufffd", value)


def markdown(report: AuditReport) -> str:
    """A table for an issue or a merge request."""
    rows = [
        "| severity | where | what | why, and what to do |",
        "|---|---|---|---|",
        *(_row(each) for each in report.findings),
    ]
    return page(["# pkigen verify", "", *(rows if report.findings else []), "", _escaped(_summary(report))])


def _row(found: Reported) -> str:
    number = f" (CIS {found.cis})" if found.cis else ""
    why = f"{found.why}: {found.remedy}" if found.why else ""
    cells: Iterable[str] = (str(found.severity), found.place, f"{found.rule}: {found.detail}{number}", why)
    return "| " + " | ".join(_escaped(printable(each)) for each in cells) + " |"


def _escaped(value: str) -> str:
    return _MARKDOWN.sub(r"\\\1", value)
