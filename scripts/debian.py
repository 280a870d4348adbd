#!/usr/bin/env python3
"""Make a Debian package of the offline kit: pkigen and what it needs, for the Python of one Debian release.

    python scripts/offline.py dist/offline --python 3.11
    python scripts/debian.py dist/offline dist [--python 3.11] [--machine x86_64]

No network and no other program than pip and dpkg-deb is needed; nothing of the kit is run. Debian's own
libraries are too old for pkigen, so the package brings those of the kit below /usr/lib/pkigen, where nothing
else finds them. Its times are SOURCE_DATE_EPOCH, or that of the last commit: the same kit gives the same
package, byte for byte. DEBFULLNAME and DEBEMAIL say who is responsible for it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from textwrap import indent
from typing import Any

TOP = Path(__file__).resolve().parent.parent
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
LIBRARY = "usr/lib/pkigen"
SHARED = {
    "share/man": "usr/share/man",
    "share/bash-completion": "usr/share/bash-completion",
    "share/zsh/site-functions": "usr/share/zsh/vendor-completions",
    "share/fish/vendor_completions.d": "usr/share/fish/vendor_completions.d",
    "share/pkigen": "usr/share/pkigen",
}
"""Where Debian has what the wheel brings beside its modules."""
WORTHLESS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "sboms", "licenses")
"""Of each package's metadata: what pip notes, and what the package says in Debian's places."""

PROGRAM = """\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/pkigen")
from pkigen.__main__ import main

main()
"""
# As dh_python3 writes them: Debian compiles what it installs, and takes it away again.
POSTINST = """\
#!/bin/sh
set -e
if command -v py3compile >/dev/null 2>&1; then
    py3compile -p pkigen /usr/lib/pkigen
fi
"""
PRERM = """\
#!/bin/sh
set -e
if command -v py3clean >/dev/null 2>&1; then
    py3clean -p pkigen
fi
find /usr/lib/pkigen -type d -name __pycache__ -prune -exec rm -r {} +
"""
CONTROL = """\
Package: pkigen
Version: {version}
Section: admin
Priority: optional
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: python3 (>= {python}~), python3 (<< {after}~), libc6 (>= 2.28), libgcc-s1
Suggests: age, git
Description: Kubernetes cluster PKI from one declarative spec
 pkigen turns one spec file into the whole PKI of a Kubernetes cluster: the CAs,
 every certificate, the service account keys, the kubeconfigs and the manifests
 that use them, for every node. After that it renews, reissues, rotates without
 downtime, revokes, and verifies its own work.
 .
 It needs no cluster, no network and no daemon. The Python libraries that it
 needs are part of the package and are seen by nothing else.
"""
OVERRIDES = """\
# The wheels of the lock file, by hash, are what is tested; their libraries are private and stripped or not
# as their makers have built them.
pkigen: embedded-library *
pkigen: unstripped-binary-or-object *
pkigen: hardening-no-fortify-functions *
pkigen: hardening-no-bindnow *
pkigen: package-contains-documentation-outside-usr-share-doc *
# What CONTRIBUTING.md asks for goes to the maintainers, and no bug in Debian's tracker is closed by it.
pkigen: initial-upload-closes-no-bugs *
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the package is for, and the moment that stands in it."""

    python: str
    machine: str
    epoch: int
    maintainer: str

    @property
    def architecture(self) -> str:
        """The machine, as Debian calls it."""
        return ARCHITECTURES[self.machine]

    @property
    def after(self) -> str:
        """The first Python whose libraries it does not have."""
        major, minor = self.python.split(".")
        return f"{major}.{int(minor) + 1}"


def main() -> int:
    """Make the package; the result is the exit code."""
    parser = argparse.ArgumentParser(description="Make a Debian package of the offline kit.")
    parser.add_argument("kit", type=Path, help="what scripts/offline.py has made")
    parser.add_argument("out", type=Path, help="the directory that gets the package and its SBOM")
    parser.add_argument("--python", default="3.11", metavar="X.Y", help="of the release [3.11, Debian 12's]")
    parser.add_argument(
        "--machine", choices=ARCHITECTURES, default=platform.machine(), help="of the package [this one]"
    )
    options = parser.parse_args()
    target = Target(python=options.python, machine=options.machine, epoch=_epoch(), maintainer=_maintainer())
    kit: Path = options.kit.resolve()
    if not (kit / "SHA256SUMS").is_file():
        print(f"error: {kit} is no offline kit: make one with scripts/offline.py", file=sys.stderr)
        return 1
    try:
        package = _make(kit, options.out.resolve(), target)
    except subprocess.CalledProcessError as error:
        print(f"error: no package: see what {Path(error.cmd[0]).name} said above", file=sys.stderr)
        return 1
    print(f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package}")
    return 0


def _epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    said = subprocess.run(
        ["/usr/bin/git", "-C", TOP, "log", "-1", "--format=%ct"], check=False, capture_output=True, text=True
    )
    if said.returncode:
        raise SystemExit("error: this is no Git checkout: set SOURCE_DATE_EPOCH to the time of the package")
    return int(said.stdout)


def _maintainer() -> str:
    name = os.environ.get("DEBFULLNAME", "pkigen maintainers")
    return f"{name} <{os.environ.get('DEBEMAIL', 'maintainers@pkigen.invalid')}>"


def _make(kit: Path, out: Path, target: Target) -> Path:
    _run("sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS", place=kit)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "root"
        _install(kit, root / LIBRARY, target)
        (own,) = (root / LIBRARY).glob("pkigen-*.dist-info")
        version = _debian(own.name.removesuffix(".dist-info").partition("-")[2])
        name = f"pkigen_{version}_{target.architecture}"
        sbom = _bill(root / LIBRARY, version, target)
        _place(root, version, target, sbom)
        _control(root, version, target)
        _settle(root, target.epoch)
        package = out / f"{name}.deb"
        _run("dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", root, package, epoch=target.epoch)
    (out / f"{name}.cdx.json").write_text(sbom, encoding="utf-8")
    return package


def _debian(version: str) -> str:
    """A version of Python's, so that Debian orders it likewise: what comes before a release after `~`."""
    return re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", version)


def _install(kit: Path, library: Path, target: Target) -> None:
    """Unpack the wheels for the target, by hash and without running anything of them."""
    platforms = [f"--platform={name}_{target.machine}" for name in PLATFORMS]
    _run(
        *(
            sys.executable,
            "-I",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
            "--isolated",
        ),
        *("--no-index", "--find-links", kit / "wheelhouse", "--only-binary=:all:", "--require-hashes"),
        *(
            "--no-deps",
            "--no-compile",
            "--implementation=cp",
            f"--python-version={target.python}",
            *platforms,
        ),
        *("--target", library, "--requirement", kit / "requirements.txt"),
    )


def _bill(library: Path, version: str, target: Target) -> str:
    purl = f"pkg:deb/pkigen@{version}?arch={target.architecture}"
    command = (sys.executable, "-I", TOP / "scripts" / "bill.py", "--installed", library, "--part-of", purl)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# -- what stands where ------------------------------------------------------------------------------------


def _place(root: Path, version: str, target: Target, sbom: str) -> None:
    """Debian's places for what is no module."""
    library, documents = root / LIBRARY, root / "usr/share/doc/pkigen"
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(
        _copyright(library, json.loads(sbom)["components"]), encoding="utf-8"
    )
    (documents / "pkigen.cdx.json").write_text(sbom, encoding="utf-8")
    _pack(documents / "changelog.gz", _changelog(version, target))
    _pack(documents / "NEWS.gz", (TOP / "CHANGELOG.md").read_text(encoding="utf-8"))
    for source, to in SHARED.items():
        if (library / source).is_dir():
            shutil.copytree(library / source, root / to, dirs_exist_ok=True)
    for page in (root / "usr/share/man").rglob("*.[1-9]"):
        _pack(page.with_name(f"{page.name}.gz"), page.read_text(encoding="utf-8"))
        page.unlink()
    for name in ("share", "bin"):
        shutil.rmtree(library / name, ignore_errors=True)
    for each in library.glob("*.dist-info"):
        for name in WORTHLESS:
            found = each / name
            shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
    program = root / "usr/bin/pkigen"
    program.parent.mkdir()
    program.write_text(PROGRAM, encoding="utf-8")
    overrides = root / "usr/share/lintian/overrides/pkigen"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(OVERRIDES, encoding="utf-8")


_APACHE = "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"
_COMMON = "    The Apache License 2.0: /usr/share/common-licenses/Apache-2.0"


def _copyright(library: Path, packages: list[dict[str, Any]]) -> str:
    """Whose each part is, with the licences that the parts bring."""
    lines = [
        "pkigen is distributed under the Apache License 2.0; on Debian its text is in",
        "/usr/share/common-licenses/Apache-2.0. Copyright: the authors of pkigen.",
        "",
        f"Below {LIBRARY} are Python packages of others, each under its own licence.",
    ]
    for each in packages:
        if each["name"] == "pkigen":
            continue
        said = each["licenses"][0]["expression"] if "licenses" in each else "see below"
        lines += ["", f"{each['name']} {each['version']}: {said}"]
        for path in sorted(_licences(library, each)):
            text = path.read_text(encoding="utf-8").rstrip()
            # Debian has this long one in one place, and asks that it is not repeated (Policy 12.5).
            lines += ["", _COMMON if _APACHE in text else indent(text, "    ")]
    return "\n".join(lines) + "\n"


def _licences(library: Path, package: dict[str, Any]) -> list[Path]:
    wheel = library / f"{package['name'].replace('-', '_')}-{package['version']}.dist-info"
    found = [each for each in library.glob("*.dist-info") if each.name.lower() == wheel.name.lower()]
    names = re.compile(r"licen[cs]e|copying|notice|authors", re.IGNORECASE)
    return [path for each in found for path in each.rglob("*") if path.is_file() and names.match(path.name)]


def _changelog(version: str, target: Target) -> str:
    moment = format_datetime(datetime.fromtimestamp(target.epoch, tz=UTC))
    return (
        f"pkigen ({version}) unstable; urgency=medium\n\n"
        f"  * What is new stands in NEWS.gz.\n\n -- {target.maintainer}  {moment}\n"
    )


def _pack(path: Path, text: str) -> None:
    """Compressed as Debian asks for, without a name or a time."""
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _control(root: Path, version: str, target: Target) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    folder = root / "DEBIAN"
    folder.mkdir()
    text = CONTROL.format(
        version=version,
        architecture=target.architecture,
        maintainer=target.maintainer,
        size=size,
        python=target.python,
        after=target.after,
    )
    (folder / "control").write_text(text, encoding="utf-8")
    # MD5 is what dpkg compares with, to find damage and not to prove who made it.
    sums = (
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
        for path in files
    )
    (folder / "md5sums").write_text("".join(sums), encoding="utf-8")
    (folder / "postinst").write_text(POSTINST, encoding="utf-8")
    (folder / "prerm").write_text(PRERM, encoding="utf-8")


_PROGRAMS = ("usr/bin/pkigen", "DEBIAN/postinst", "DEBIAN/prerm")


def _settle(root: Path, epoch: int) -> None:
    """The same modes and times, whoever makes it and when."""
    programs = {root / each for each in _PROGRAMS}
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (epoch, epoch))


def _run(*command: str | Path, place: Path | None = None, epoch: int | None = None) -> None:
    environment = {**os.environ, **({"SOURCE_DATE_EPOCH": str(epoch)} if epoch is not None else {})}
    subprocess.run(command, check=True, cwd=place, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
