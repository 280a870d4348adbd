"""The forms of `pkigen status`: a table, a structure, Prometheus metrics, a calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pkigen import __version__
from pkigen.checks import common_names, residual
from pkigen.ledger import timestamp
from pkigen.reporting.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from pkigen.inventory import Subject
    from pkigen.reporting.status import Row

_HEADER = ("NODE", "CERTIFICATE", "EXPIRES", "RESIDUAL", "CA", "STATE")


def text(found: Iterable[Row], *, now: datetime) -> str:
    """A table; the residual time is that of the chain."""

    def line(row: Row) -> tuple[str, ...]:
        state = ", ".join(row.reasons) or "ok"
        return (
            row.node or "-",
            row.name if row.node else row.id,
            f"{row.expires:%Y-%m-%d %H:%M}" if row.expires else "-",
            residual(row.effective - now) if row.effective else "-",
            row.ca or "-",
            state,
        )

    return table(_HEADER, (line(row) for row in found))


def structure(found: Iterable[Row], *, cluster: str, now: datetime) -> dict[str, Any]:
    """The stable structure behind `-o json` and `-o yaml`."""
    return {
        "apiVersion": "pkigen/v1",
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


_METRICS = (
    ("x509_cert_not_before", "Indicates the certificate's not before timestamp"),
    ("x509_cert_not_after", "Indicates the certificate's not after timestamp"),
    ("x509_cert_expired", "Indicates if the certificate is expired"),
)


def prometheus(found: Iterable[Row], *, now: datetime, root: str) -> str:
    """Prometheus text with the metric and label names of enix/x509-certificate-exporter."""
    all_rows = list(found)
    readable = [(row, row.certificate) for row in all_rows if row.certificate is not None]
    lines = []
    for metric, explanation in _METRICS:
        lines += [f"# HELP {metric} {explanation}", f"# TYPE {metric} gauge"]
        for row, certificate in readable:
            lines.append(f"{metric}{{{_labels(row, certificate, root)}}} {_value(metric, certificate, now)}")
    errors = sum(1 for row in all_rows if row.certificate is None and row.is_certificate)
    tokens = [(row, row.expires) for row in all_rows if not row.is_certificate and row.expires is not None]
    if tokens:
        lines += [
            "# HELP pkigen_token_not_after Indicates the token's expiry timestamp",
            "# TYPE pkigen_token_not_after gauge",
        ]
    for row, expires in tokens:
        path = PurePosixPath(root) / row.path
        labels = f'filename="{_quoted(path.name)}",filepath="{_quoted(str(path))}",id="{_quoted(row.id)}"'
        lines.append(f"pkigen_token_not_after{{{labels}}} {int(expires.timestamp())}")
    lines += [
        "# HELP x509_read_errors Indicates the number of read failure(s)",
        "# TYPE x509_read_errors gauge",
        f"x509_read_errors {errors}",
        "# HELP pkigen_status_timestamp_seconds When this was written",
        "# TYPE pkigen_status_timestamp_seconds gauge",
        f"pkigen_status_timestamp_seconds {int(now.timestamp())}",
    ]
    return "\n".join(lines) + "\n"


def calendar(found: Iterable[Row], *, cluster: str, now: datetime) -> str:
    """An iCalendar (RFC 5545) of expiries, with a reminder thirty days ahead."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//pkigen//{__version__}//EN"]
    for row in found:
        if row.effective is not None:
            lines += _event(row, row.effective, cluster, now)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(row: Row, end: datetime, cluster: str, now: datetime) -> list[str]:
    what = f"{cluster}: {'certificate' if row.is_certificate else 'token of'} {row.id} expires"
    return [
        "BEGIN:VEVENT",
        f"UID:{cluster}-{row.id}-{end:%Y%m%dT%H%M%SZ}@pkigen",
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
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> Iterator[str]:
    """Lines of at most 75 octets (RFC 5545 3.1); everything we write is ASCII."""
    first, rest = line[:75], line[75:]
    yield first
    while rest:
        yield f" {rest[:74]}"
        rest = rest[74:]


def _value(metric: str, certificate: x509.Certificate, now: datetime) -> int:
    match metric:
        case "x509_cert_not_before":
            return int(certificate.not_valid_before_utc.timestamp())
        case "x509_cert_not_after":
            return int(certificate.not_valid_after_utc.timestamp())
        case _:
            return int(now.astimezone(UTC) > certificate.not_valid_after_utc)


def _labels(row: Row, certificate: x509.Certificate, root: str) -> str:
    path = PurePosixPath(root) / row.path
    issuer = _names("issuer", common_names(certificate.issuer))
    subject = _names("subject", common_names(certificate.subject))
    embedded = {"embedded_kind": "user", "embedded_key": row.name} if row.in_kubeconfig else {}
    labels = {
        "filename": path.name,
        "filepath": str(path),
        "serial_number": str(certificate.serial_number),
        **issuer,
        **subject,
        **embedded,
    }
    return ",".join(f'{key}="{_quoted(value)}"' for key, value in sorted(labels.items()))


def _names(prefix: str, name: Subject) -> dict[str, str]:
    result = {f"{prefix}_CN": name.common_name}
    if name.organizations:
        result[f"{prefix}_O"] = ",".join(name.organizations)
    return result


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
