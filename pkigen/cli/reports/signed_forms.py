"""Certificates for keys that others keep, in the forms of `pkigen status`: only the ledger knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.status_forms import gauge, labels_text
from pkigen.cli.reports.tables import blocks
from pkigen.notation import residual, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pkigen.state.signed_certificates import SignedCertificate

_HEADER = ("USER", "GROUPS", "EXPIRES", "RESIDUAL", "SIGNED BY", "SERIAL")
_NARROW = ("SERIAL", "SIGNED BY", "EXPIRES", "GROUPS")


def lines(signed: Sequence[SignedCertificate], *, now: datetime, width: int | None = None) -> Iterator[Line]:
    """A table of those that still work; nothing where there are none."""
    if not signed:
        return
    yield Line("")
    yield Line("for keys that their owners keep:", Tone.TITLE)
    cells = [
        (
            each.user,
            ", ".join(each.subject.organizations) or "-",
            f"{each.expires:%Y-%m-%d %H:%M}",
            residual(each.expires - now),
            each.signer or "pkigen",
            each.serial,
        )
        for each in signed
    ]
    tones = [Tone.TITLE, *(Tone.PLAIN for _ in signed)]
    for tone, block in zip(tones, blocks(_HEADER, cells, width=width, narrow=_NARROW), strict=True):
        yield from (Line(each, tone) for each in block)


def structure(signed: Sequence[SignedCertificate]) -> list[dict[str, Any]]:
    """The same for `-o json` and `-o yaml`."""
    return [
        {
            "user": each.user,
            "groups": list(each.subject.organizations),
            "expires": timestamp(each.expires),
            "signedBy": each.signer or "pkigen",
            "serial": each.serial,
            "fingerprint": each.fingerprint,
        }
        for each in signed
    ]


def prometheus(signed: Sequence[SignedCertificate], *, cluster: str) -> str:
    """One metric, of pkigen's own: x509-certificate-exporter knows no certificate without a file."""
    samples = [
        (
            labels_text(
                # In decimal, as x509-certificate-exporter gives serial numbers: its queries then find these,
                # too.
                {"cluster": cluster, "subject_CN": each.user, "serial_number": str(int(each.serial, 16))}
            ),
            int(each.expires.timestamp()),
        )
        for each in signed
    ]
    explanation = "Unix timestamp of the NotAfter of a certificate whose key its owner keeps."
    text = "\n".join(gauge("pkigen_signed_not_after", explanation, samples))
    return f"{text}\n" if samples else ""
