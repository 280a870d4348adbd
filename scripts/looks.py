#!/usr/bin/env python3
"""Write `docs/images`: what a report looks like on a desktop, a phone, and paper, in light and in dark.

    python scripts/looks.py [--axe node_modules/axe-core/axe.min.js]

Needs Chromium. The pages are looked at before they are photographed: one whose texts overlap, that scrolls
sideways, or in which axe-core finds a violation ends it with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pkigen.cli.app import run
from pkigen.cli.system import System
from scripts.browser import LOOKS, Browser

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.prod.example.com:6443
  certificates: {keyAlgorithm: ECDSA-P256}
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}
    - {name: cp-3, roles: [control-plane], addresses: [10.0.0.13]}
    - {name: worker-1, roles: [worker], addresses: [10.0.1.1]}
    - {name: worker-2, roles: [worker], addresses: [10.0.1.2]}
    - {name: worker-3, roles: [worker], addresses: [10.0.1.3]}
    - {name: worker-4, roles: [worker], addresses: [10.0.1.4]}
    - {name: worker-5, roles: [worker], addresses: [10.0.1.5]}
  users:
    - {name: dev1, groups: [web]}
"""
_BEGIN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
_LATER = _BEGIN + timedelta(days=8)


def report() -> Path:
    """The page of a cluster of eight nodes, of which one lacks a file; the working directory gets all."""
    Path("prod.yaml").write_text(SPEC, encoding="utf-8")
    tree, page = Path("prod"), Path("report.html")
    began, later = System(clock=lambda: _BEGIN), System(clock=lambda: _LATER)
    with redirect_stdout(sys.stderr):
        codes = [
            run(["init", "prod.yaml", "-C", str(tree)], system=began),
            run(["rotate", "ca", "etcd", "-C", str(tree), "--yes"], system=later),
        ]
        (tree / "nodes/cp-2/etc/kubernetes/pki/apiserver-kubelet-client.crt").unlink()
        codes.append(run(["report", str(tree), "--out", str(page)], system=later))
    if any(codes):
        raise SystemExit(f"error: exit codes {codes}")
    return page


def main() -> int:
    """Look at the page in every way, and photograph it."""
    parser = argparse.ArgumentParser(description="Write the pictures of the documentation.")
    parser.add_argument("--axe", type=Path, metavar="FILE", help="axe-core, to be run in the page")
    file: Path | None = parser.parse_args().axe
    axe = file.read_text(encoding="utf-8") if file is not None else ""
    FOLDER.mkdir(exist_ok=True)
    bad = 0
    with tempfile.TemporaryDirectory() as folder, chdir(folder), Browser() as browser:
        page = report()
        for name, look in LOOKS.items():
            seen = browser.look(page, look, axe=axe)
            is_bad = bool(seen.overlaps or seen.wide or seen.violations)
            bad += is_bad
            print(f"{name}: first paint after {seen.paint:.0f} ms{f', {seen}' if is_bad else ''}")
            browser.photograph(FOLDER / f"report-{name}.png")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
