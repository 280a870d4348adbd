"""What `pkigen fleet request` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.airgap.offline.collection import Collection
from pkigen.cli.console import note, say_line
from pkigen.cli.fleet import changes
from pkigen.cli.fleet.endings import failures
from pkigen.cli.reports.fleet_text import counted
from pkigen.cli.reports.version import API_VERSION
from pkigen.notation import quoted

if TYPE_CHECKING:
    from typing import Any

    from pkigen.cli.fleet.requests import SiteRequest
    from pkigen.cli.fleet.visits import SiteVisit


def say_requested(
    run: changes.Run, target: Path, collection: Collection, requests: list[SiteRequest]
) -> None:
    """Say what was requested, and where it goes."""
    if not requests:
        say_line("nothing to request: every site has what the offline authority gives, and nothing is due")
        return
    certificates = sum(each.certificates for each in requests)
    say_line(
        f"request: {target}, requests {counted(certificates, 'certificate')} for "
        f"{counted(len(requests), 'site')} from the offline authority of {run.fleet.name}"
    )
    say_line(
        f"fingerprint of the file: {collection.fingerprint} (new sites: the authority pins it: "
        "`pkigen airgap authority sign --pin`)"
    )
    note(
        f"next: carry {target} and the fleet's specs to the authority; there "
        f"`pkigen airgap authority sign {quoted(target.name)} --spec FLEET`; bring the answer back: "
        f"`pkigen fleet accept {quoted(run.fleet.place)} ANSWER`"
    )


def requested_content(
    run: changes.Run, target: Path, collection: Collection, found: list[SiteVisit[SiteRequest]]
) -> dict[str, Any]:
    """The same as a structure."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FleetRequested",
        "fleet": run.fleet.name,
        "file": str(target) if collection.parts else None,
        "fingerprint": collection.fingerprint if collection.parts else None,
        "clusters": [
            {
                "cluster": each.found.cluster,
                "directory": str(each.site.root),
                "certificates": each.found.certificates,
                "isNew": each.found.is_new,
            }
            for each in found
            if each.found is not None
        ],
        "failures": failures(found),
    }
