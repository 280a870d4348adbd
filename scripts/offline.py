#!/usr/bin/env python3
"""Make what a site without a network needs: a wheelhouse with hashes, an install script, a zipapp, an SBOM.

    python scripts/offline.py dist/offline

Run it where there is a package index, on the same kind of machine and with the same Python as the site's. The
dependencies are those of requirements/runtime.txt, by their hashes. Carry the directory, and there:

    sh install.sh /opt/pkigen
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOCK = TOP / "requirements" / "runtime.txt"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")

INSTALL = """\
#!/bin/sh
# Install pkigen from this directory, without a network: sh install.sh [DIR]
set -eu
to=${1:-/opt/pkigen}
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS
"${PYTHON:-python3}" -m venv "$to"
"$to/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links wheelhouse \\
    --require-hashes --requirement requirements.txt
"$to/bin/pkigen" --version
"""


def main() -> int:
    """Make the directory; the result is the exit code."""
    parser = argparse.ArgumentParser(description="Make the offline kit.")
    parser.add_argument("out", type=Path, help="the directory to make")
    out: Path = parser.parse_args().out.resolve()
    if out.exists():
        print(f"error: {out} exists", file=sys.stderr)
        return 1
    wheelhouse = out / "wheelhouse"
    wheelhouse.mkdir(parents=True)
    # --only-binary: the site has no compiler, and nothing that is carried runs code when it is installed.
    _run(*PIP, "download", "--require-hashes", "--only-binary=:all:", "-r", str(LOCK), "-d", str(wheelhouse))
    _run(*PIP, "wheel", "--no-deps", "--wheel-dir", str(wheelhouse), str(TOP))
    own = next(wheelhouse.glob("pkigen-*.whl"))
    pin = f"pkigen=={own.name.split('-')[1]}"
    text = f"{LOCK.read_text(encoding='utf-8')}{pin} \\\n    --hash=sha256:{_sha256(own)}\n"
    (out / "requirements.txt").write_text(text, encoding="utf-8")
    (out / "install.sh").write_text(INSTALL, encoding="utf-8")
    (out / "sbom.json").write_text(_sbom(wheelhouse), encoding="utf-8")
    _zipapp(out, wheelhouse)
    sums = (
        f"{_sha256(path)}  {path.relative_to(out)}\n" for path in sorted(out.rglob("*")) if path.is_file()
    )
    (out / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    print(f"{out}: {len(list(wheelhouse.iterdir()))} wheels; there: sh install.sh /opt/pkigen")
    return 0


def _zipapp(out: Path, wheelhouse: Path) -> None:
    """One file with everything in it; native code is unpacked below ~/.shiv at its first start."""
    shiv = shutil.which("shiv", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if shiv is None:
        print("note: shiv is not installed: no zipapp", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as place:
        site = Path(place) / "site"
        wheels = [str(path) for path in sorted(wheelhouse.glob("*.whl"))]
        _run(*PIP, "install", "--no-index", "--no-deps", "--no-compile", "--target", str(site), *wheels)
        options = ("--console-script", "pkigen", "--reproducible", "--python", "/usr/bin/env python3")
        _run(shiv, "--site-packages", str(site), *options, "--output-file", str(out / "pkigen.pyz"))


def _sbom(wheelhouse: Path) -> str:
    """What is in the wheelhouse, as CycloneDX 1.6; the same wheels give the same text."""
    components = []
    for path in sorted(wheelhouse.glob("*.whl")):
        name, version = path.name.split("-")[:2]
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        components.append(
            {
                "type": "application" if name == "pkigen" else "library",
                "bom-ref": purl,
                "name": name.replace("_", "-"),
                "version": version,
                "purl": purl,
                "hashes": [{"alg": "SHA-256", "content": _sha256(path)}],
            }
        )
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": components,
    }
    return json.dumps(content, indent=1) + "\n"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
