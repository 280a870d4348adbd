"""The forms of `pkigen status`: a table, a structure, Prometheus metrics, a calendar."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pkigen import __version__
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.status import due
from pkigen.cli.reports.tables import blocks
from pkigen.cli.reports.version import API_VERSION
from pkigen.notation import residual, timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cryptography import x509

    from pkigen.cli.reports.status import StatusRow

_HEADER = ("NODE", "CERTIFICATE", "EXPIRES", "RESIDUAL", "CA", "STATE")


_NARROW = ("CA", "STATE", "EXPIRES", "CERTIFICATE")
"""What leaves the row first where a terminal is narrow."""


def lines(found: Iterable[StatusRow], *, now: datetime, width: int | None = None) -> Iterator[Line]:
    """A summary and a table within the terminal's width; the residual time is that of the chain."""
    listed = list(found)
    yield Line(summary(listed, now=now), Tone.RISK if any(not row.works for row in listed) else Tone.PLAIN)
    yield Line("")
    tones = [Tone.TITLE, *(_tone(row, now) for row in listed)]
    laid_out = blocks(_HEADER, _cells(listed, now), width=width, narrow=_NARROW)
    for tone, block in zip(tones, laid_out, strict=True):
        yield from (Line(each, tone) for each in block)


def summary(found: Iterable[StatusRow], *, now: datetime) -> str:
    """How many there are and how they are, and what stops working next."""
    listed = list(found)
    certificates = sum(row.is_certificate for row in listed)
    counted = {
        "expired": sum(_is_expired(row, now) for row in listed),
        "broken": sum(not row.works and not _is_expired(row, now) for row in listed),
        "to renew": sum(_is_due(row, now) for row in listed),
    }
    return ", ".join(
        (
            f"{certificates} certificate{'' if certificates == 1 else 's'}",
            *(f"{count} {what}" for what, count in counted.items() if count or what == "expired"),
            *_next(listed, now),
        )
    )


def _next(found: Iterable[StatusRow], now: datetime) -> Iterator[str]:
    """What stops working next, if anything does."""
    to_come = [(row.effective, row.id) for row in found if row.effective is not None and row.effective > now]
    yield from (f"next: {name} in {residual(end - now)}" for end, name in sorted(to_come)[:1])


def _is_due(row: StatusRow, now: datetime) -> bool:
    """Whether something works that is to be renewed."""
    return row.works and due(row, now=now, within=None)


def _is_expired(row: StatusRow, now: datetime) -> bool:
    return row.effective is not None and row.effective <= now


def _tone(row: StatusRow, now: datetime) -> Tone:
    if not row.works or _is_expired(row, now):
        return Tone.RISK
    return Tone.CHANGES if row.reasons or _is_due(row, now) else Tone.PLAIN


def _cells(found: Iterable[StatusRow], now: datetime) -> Iterator[tuple[str, ...]]:

    for row in found:
        yield (
            row.node or "-",
            row.name if row.node else row.id,
            f"{row.expires:%Y-%m-%d %H:%M}" if row.expires else "-",
            residual(row.effective - now) if row.effective else "-",
            row.ca or "-",
            ", ".join(row.reasons) or "ok",
        )


def structure(found: Iterable[StatusRow], *, cluster: str, now: datetime) -> dict[str, Any]:
    """The stable structure behind `-o json` and `-o yaml`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "cluster": cluster,
        "time": timestamp(now),
        "certificates": [
            {
                "id": row.id,
                "node": row.node,
                "name": row.name,
                "path": row.path,
                "issuer": row.ca,
                "expires": timestamp(row.expires) if row.expires else None,
                "effectiveExpiry": timestamp(row.effective) if row.effective else None,
                "residualSeconds": int((row.effective - now).total_seconds()) if row.effective else None,
                "reasons": list(row.reasons),
                "details": list(row.details),
            }
            for row in found
        ],
    }


_METRICS = {
    "x509_cert_not_before": "Unix timestamp of the certificate's NotBefore.",
    "x509_cert_not_after": "Unix timestamp of the certificate's NotAfter.",
    "x509_cert_expired": "1 if the certificate is expired, 0 otherwise.",
    "x509_cert_expires_in_seconds": "Seconds until the certificate's NotAfter, when this was written.",
    "x509_cert_valid_since_seconds": "Seconds since the certificate's NotBefore, when this was written.",
}


def prometheus(found: Iterable[StatusRow], *, cluster: str, now: datetime, root: str) -> str:
    """Prometheus text with the metric and label names of enix/x509-certificate-exporter, versions 3 and 4.

    Every sample has the cluster, too: the files of several clusters lie side by side for one node_exporter,
    which fails where two samples have the same name and labels. Clusters of one name differ in the directory.
    """
    all_rows = list(found)
    places = _PlaceLabels(cluster=cluster, root=PurePosixPath(root))
    lines = [
        *_certificate_gauges([row for row in all_rows if row.is_certificate], now, places),
        *_token_gauge([row for row in all_rows if not row.is_certificate], places),
        *_reading_gauges(all_rows, now, places),
    ]
    # The last line has to end, too (Prometheus text format 0.0.4).
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlaceLabels:
    """What the labels say of the PKI directory; its root is absolute."""

    cluster: str
    root: PurePosixPath

    def of(self, row: StatusRow) -> dict[str, str]:
        """Where something stands."""
        path = self.root / row.path
        embedded = {"embedded_kind": "user", "embedded_key": row.embedded_key} if row.embedded_key else {}
        return {"cluster": self.cluster, "filename": path.name, "filepath": str(path), **embedded}


def _certificate_gauges(found: list[StatusRow], now: datetime, places: _PlaceLabels) -> Iterator[str]:
    readable = [
        (_certificate_labels(row, row.certificate, places), row.certificate)
        for row in found
        if row.certificate is not None
    ]
    unreadable = [labels_text(places.of(row)) for row in found if row.certificate is None]
    for metric, explanation in _METRICS.items():
        samples = ((labels, _value(metric, certificate, now)) for labels, certificate in readable)
        yield from gauge(metric, explanation, samples)
    faults = [*((labels, 0) for labels, _ in readable), *((labels, 1) for labels in unreadable)]
    yield from gauge("x509_cert_error", "1 if the certificate cannot be read, 0 otherwise.", faults)


def _token_gauge(found: list[StatusRow], places: _PlaceLabels) -> Iterator[str]:
    """The exporter knows no tokens, so this name is pkigen's own; without a token there is no such metric."""
    tokens = [
        (labels_text({**places.of(row), "id": row.id}), int(row.expires.timestamp()))
        for row in found
        if row.expires is not None
    ]
    if tokens:
        yield from gauge("pkigen_token_not_after", "Unix timestamp of the token's expiry.", tokens)


def _reading_gauges(found: list[StatusRow], now: datetime, places: _PlaceLabels) -> Iterator[str]:
    unreadable = sum(row.certificate is None and row.is_certificate for row in found)
    labels = labels_text({"cluster": places.cluster, "directory": str(places.root)})
    yield from gauge(
        "x509_read_errors", "Number of certificates that cannot be read.", [(labels, unreadable)]
    )
    yield from gauge(
        "x509_read_timestamp", "Unix timestamp of this reading.", [(labels, int(now.timestamp()))]
    )


_ATTRIBUTES = frozenset({"C", "ST", "L", "O", "OU", "CN"})
_LINE = 75  # octets


def gauge(metric: str, explanation: str, samples: Iterable[tuple[str, int]]) -> Iterator[str]:
    """The lines of one metric: what it is, and each of its samples."""
    yield f"# HELP {metric} {explanation}"
    yield f"# TYPE {metric} gauge"
    for labels, value in samples:
        yield f"{metric}{labels} {value}"


def calendar(found: Iterable[StatusRow], *, cluster: str, now: datetime) -> str:
    """An iCalendar (RFC 5545) of expiries, with a reminder thirty days ahead."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//pkigen//{__version__}//EN"]
    for row in found:
        if row.effective is not None:
            lines += _event(row, row.effective, cluster, now)
    lines.append("END:VCALENDAR")
    # CRLF on every line, whatever the system has (RFC 5545 3.1).
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(row: StatusRow, end: datetime, cluster: str, now: datetime) -> list[str]:
    """RFC 5545 wants UID and DTSTAMP in every event (3.6.1)."""
    what = f"{cluster}: {'certificate' if row.is_certificate else 'token of'} {row.id} expires"
    return [
        "BEGIN:VEVENT",
        # The same for every generation: a calendar that reads this again moves the event.
        f"UID:{_escaped(f'{cluster}/{row.id}')}@pkigen",
        f"DTSTAMP:{now:%Y%m%dT%H%M%SZ}",
        f"DTSTART:{end:%Y%m%dT%H%M%SZ}",
        f"SUMMARY:{_escaped(what)}",
        f"DESCRIPTION:{_escaped(row.path)}",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:-P30D",
        f"DESCRIPTION:{_escaped(what)}",
        "END:VALARM",
        "END:VEVENT",
    ]


def _escaped(value: str) -> str:
    # The backslash first: the others bring some of their own.
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> Iterator[str]:
    """Lines of at most 75 octets, the space that begins a continuation among them (RFC 5545 3.1)."""
    part, octets = "", 0
    # By characters, so that no line ends within one.
    for character in line:
        size = len(character.encode())
        if octets + size > _LINE:
            yield part
            part, octets = " ", 1
        part, octets = part + character, octets + size
    yield part


def _value(metric: str, certificate: x509.Certificate, now: datetime) -> int:
    """One metric of one certificate, in seconds, by the names of x509-certificate-exporter."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    match metric:
        case "x509_cert_not_before":
            return int(begin.timestamp())
        case "x509_cert_not_after":
            return int(end.timestamp())
        case "x509_cert_expires_in_seconds":
            return int((end - now).total_seconds())
        case "x509_cert_valid_since_seconds":
            return int((now - begin).total_seconds())
        case _:
            # At its NotAfter a certificate is still valid (RFC 5280 4.1.2.5: from notBefore through notAfter,
            # inclusive).
            return int(now > end)


def _certificate_labels(row: StatusRow, certificate: x509.Certificate, places: _PlaceLabels) -> str:
    return labels_text(
        {
            **places.of(row),
            "serial_number": str(certificate.serial_number),
            **_names("issuer", certificate.issuer),
            **_names("subject", certificate.subject),
        }
    )


def _names(prefix: str, name: x509.Name) -> dict[str, str]:
    """The first value of each attribute, as the exporter has it; what is not there is no label."""
    found: dict[str, str] = {}
    for attribute in name:
        if attribute.rfc4514_attribute_name in _ATTRIBUTES:
            found.setdefault(f"{prefix}_{attribute.rfc4514_attribute_name}", str(attribute.value))
    return found


def labels_text(labels: dict[str, str]) -> str:
    """Labels in braces, in the order of their names."""
    return "{" + ",".join(f'{key}="{_quoted(value)}"' for key, value in sorted(labels.items())) + "}"


def _quoted(value: str) -> str:
    # The backslash first, or it would escape the escapes (text format 0.0.4, label values).
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
