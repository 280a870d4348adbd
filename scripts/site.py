#!/usr/bin/env python3
"""Builds the documentation as a site: every page of docs/, and the pages beside it that they lead to.

python scripts/site.py [DIRECTORY]

The site is written to build/site unless another directory is named. A link to a page, or to a part of one,
that does not exist ends the build. The pages keep the places that they have here, so that a link means the
same on the site, in a checkout and where Git repositories are shown.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parent.parent
CONFIGURATION = TOP / "docs" / "zensical.toml"
SITE = TOP / "build" / "site"


_PATTERNS = (
    *("*.md", "docs/**/*.md", "docs/*.schema.json", "examples/**/*.*"),
    *("docs/images/*.png", "benchmarks/README.md", "sample-output/README.md", "ansible/README.md"),
)


def pages(top: Path = TOP) -> Iterator[Path]:
    """Every file that the site is made of, relative to the top of the checkout."""
    yield from (path.relative_to(top) for pattern in _PATTERNS for path in top.glob(pattern))


def build(site: Path, *, top: Path = TOP) -> subprocess.CompletedProcess[str]:
    """Copy the pages to a place of their own, build there, and put the site where it is wanted."""
    with tempfile.TemporaryDirectory(prefix="pkigen-site-") as name:
        place = Path(name)
        for page in pages(top):
            target = place / "pages" / page
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(top / page, target)
        shutil.copyfile(top / CONFIGURATION.relative_to(TOP), place / CONFIGURATION.name)
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict"],
            cwd=place,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode == 0:
            shutil.rmtree(site, ignore_errors=True)
            shutil.copytree(place / "site", site)
    return done


def main(arguments: list[str]) -> int:
    """Build the site, and say where it is."""
    site = Path(arguments[0]) if arguments else SITE
    done = build(site)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        return 1
    print(f"{site / 'index.html'}: {sum(1 for _ in site.rglob('*.html'))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
