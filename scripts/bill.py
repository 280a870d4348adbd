#!/usr/bin/env python3
"""Bills of materials, as CycloneDX 1.6: what is in a wheel, a kit, a package, an environment, by version.

    python scripts/bill.py                     requirements/pkigen.cdx.json, which the wheel carries (PEP 770)
    python -I bill.py --wheels DIRECTORY       of a directory of wheels, to standard output
    python -I bill.py --installed DIRECTORY    of an environment, or of a directory of packages, likewise

Only the standard library is used: the offline kit carries this file, and its install script runs it. The same
files give the same text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import zipfile
from email.parser import HeaderParser
from importlib.metadata import Distribution, MetadataPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OWN = "pkigen"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def bill(main: Mapping[str, Any], parts: Iterable[Mapping[str, Any]]) -> str:
    """What something is, and what it is made of."""
    components = sorted(parts, key=lambda each: str(each["bom-ref"]).lower())
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": components,
        "dependencies": [
            {"ref": main["bom-ref"], "dependsOn": [str(each["bom-ref"]) for each in components]}
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def component(
    name: str, version: str, *, metadata: Mapping[str, str] | None = None, query: str = ""
) -> dict[str, Any]:
    """One Python package, as far as its own metadata describe it."""
    facts = metadata or {}
    licence, summary = facts.get("License-Expression"), facts.get("Summary")
    purl = f"pkg:pypi/{normal(name)}@{version}{query}"
    return {
        "type": "application" if name == OWN else "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        **({"description": summary} if summary else {}),
        **({"licenses": [{"expression": licence}]} if licence else {}),
        "purl": purl,
    }


def normal(name: str) -> str:
    """The one spelling of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


# -- wheels -----------------------------------------------------------------------------------------------


def of_wheels(wheels: Iterable[Path]) -> str:
    """A directory of wheels: pkigen's own, and what it needs, with the digest of each."""
    components = [of_wheel(each) for each in wheels]
    return bill(_own(components), [each for each in components if each["name"] != OWN])


def of_wheel(wheel: Path) -> dict[str, Any]:
    """One wheel, as its own metadata describe it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each))
        facts = HeaderParser().parsestr(archive.read(name).decode())
    found = component(
        facts["Name"],
        facts["Version"],
        metadata={key: facts[key] for key in ("Summary", "License-Expression") if facts[key]},
        query=f"?file_name={wheel.name}",
    )
    return {
        **found,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
    }


def of_lock(version: str, lock: str) -> str:
    """The wheel itself: what it was made and tested with, by the lock file; it contains none of it."""
    return bill(component(OWN, version), [component(name, pin) for name, pin in _PIN.findall(lock)])


# -- what is installed --------------------------------------------------------------------------------------


def of_installed(places: Iterable[Path], *, main: Mapping[str, Any] | None = None) -> str:
    """What is installed in directories of packages: pkigen, and what it needs of what is there.

    Args:
        places: The directories.
        main: What it is all part of; pkigen itself, if nothing is said.
    """
    components = [
        component(
            each.metadata["Name"],
            each.version,
            metadata={
                key: each.metadata[key] for key in ("Summary", "License-Expression") if key in each.metadata
            },
        )
        for each in needed(places)
    ]
    if main is not None:
        return bill(main, components)
    return bill(_own(components), [each for each in components if each["name"] != OWN])


def needed(places: Iterable[Path]) -> list[Distribution]:
    """pkigen, and what it needs, directly or not: an installer beside it is no part of it."""
    there = {
        normal(each.metadata["Name"]): each
        for each in MetadataPathFinder.find_distributions(
            MetadataPathFinder.Context(path=[str(each) for each in places])
        )
    }
    found: dict[str, Distribution] = {}
    waiting = [OWN]
    while waiting:
        name = waiting.pop()
        if name in there and name not in found:
            found[name] = there[name]
            waiting += [_required(each) for each in there[name].requires or [] if "extra ==" not in each]
    return list(found.values())


def _required(requirement: str) -> str:
    """The name in a requirement; what is for another system is not there."""
    name = _NAME.match(requirement)
    return normal(name[0]) if name else ""


def _own(components: Iterable[dict[str, Any]]) -> dict[str, Any]:
    for each in components:
        if each["name"] == OWN:
            return each
    raise SystemExit(f"error: there is no {OWN} here")


def _whole(purl: str | None) -> dict[str, Any] | None:
    """What the packages are part of: `pkg:deb/pkigen@1.0?arch=amd64`."""
    if purl is None:
        return None
    version = purl.partition("@")[2].partition("?")[0]
    return {"type": "application", "bom-ref": purl, "name": OWN, "version": version, "purl": purl}


def main() -> int:
    """Write the wheel's bill, or print that of an environment."""
    parser = argparse.ArgumentParser(description="Write a bill of materials.")
    parser.add_argument("--wheels", type=Path, metavar="DIRECTORY", help="the wheels that are described")
    parser.add_argument("--installed", type=Path, metavar="DIRECTORY", help="the packages that are described")
    parser.add_argument("--part-of", metavar="PURL", help="what the packages are part of [pkigen]")
    options = parser.parse_args()
    if options.wheels is not None:
        sys.stdout.write(of_wheels(sorted(options.wheels.glob("*.whl"))))
        return 0
    place: Path | None = options.installed
    if place is not None:
        packages = sorted(place.glob("lib/python*/site-packages")) or [place]
        sys.stdout.write(of_installed(packages, main=_whole(options.part_of)))
        return 0
    top = Path(__file__).resolve().parents[1]
    stated = re.search(r'__version__ = "(.+)"', (top / OWN / "__init__.py").read_text(encoding="utf-8"))
    lock = (top / "requirements/runtime.txt").read_text(encoding="utf-8")
    version = stated[1] if stated else ""
    (top / "requirements/pkigen.cdx.json").write_text(of_lock(version, lock), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
