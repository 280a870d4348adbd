#!/usr/bin/env python3
"""Make what a site without a network needs: a wheelhouse with hashes, an install script, a zipapp, SBOMs.

    python scripts/offline.py dist/offline [--python 3.11 --python 3.13] [--machine x86_64 --machine aarch64]

Run it where there is a package index. The dependencies are those of requirements/runtime.txt, by hash, and
none of them is run. What is run, to build the wheel and the zipapp, is what requirements/build.txt names, by
hash too. Carry the directory, and there, once the sum of SHA256SUMS is the one that is printed here:

    sha256sum --check --strict SHA256SUMS && sh install.sh /opt/pkigen
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOCK = TOP / "requirements" / "runtime.txt"
TOOLS = TOP / "requirements" / "build.txt"
# Isolated: no module that lies where it is started, or where a variable says, is taken for Python's own.
PIP = ("-I", "-m", "pip", "--disable-pip-version-check", "--quiet")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
# glibc 2.28 is Debian 10's and RHEL 8's; pip does not derive the older tags from the newer one.
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")

MACHINES = ("x86_64", "aarch64")

INSTALL = """\
#!/bin/sh
# Install pkigen from this directory, without a network: sh install.sh [DIR]
# For Python {pythons} on Linux with glibc 2.28 or newer, {machines}.
# Nothing can vouch for itself. So before this is run, compare with what the maker of the kit has said
#   sha256sum SHA256SUMS
# and then see that every file is the one that it names, this one too:
#   sha256sum --check --strict SHA256SUMS
set -eu
LC_ALL=C
export LC_ALL
to=${{1:-/opt/pkigen}}
case $to in /*) ;; *) to=$PWD/$to ;; esac
python=${{PYTHON:-python3}}
supported=" {pythons} "
machines=" {machines} "
CDPATH='' cd -- "$(dirname -- "$0")"
sha256sum --check --quiet --strict SHA256SUMS
listed=$(sed 's/^[0-9a-f]*  /.\\//' SHA256SUMS | sort)
present=$(find . ! -type d ! -path ./SHA256SUMS | sort)
if [ "$present" != "$listed" ] || [ -n "$(find . ! -type d ! -type f)" ]; then
    echo "error: there is something in this directory that SHA256SUMS does not list:" >&2
    printf '%s\\n%s\\n' "$listed" "$present" | sort | uniq -u | tr -cd '[:print:]\\n' >&2
    echo "hint: take the kit as it was made; nothing was run or installed" >&2
    exit 1
fi
# -I: no module that lies here, or where a variable says, is taken for one of Python's own.
version=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $supported in
*" $version "*) ;;
*)
    echo "error: this kit is for Python {pythons}, and $python is $version" >&2
    echo "hint: name another with PYTHON=…, or make the kit with --python $version" >&2
    exit 1
    ;;
esac
machine=$("$python" -I -c 'import platform as p, sys; print(sys.platform, p.machine(), p.libc_ver()[0])')
case $machine in
"linux "*" glibc") ;;
*)
    echo "error: this kit is for Linux with glibc, and this is ${{machine% }}" >&2
    exit 1
    ;;
esac
machine=${{machine#linux }}
machine=${{machine% glibc}}
case $machines in
*" $machine "*) ;;
*)
    echo "error: this kit is for {machines}, and this machine is $machine" >&2
    echo "hint: make the kit with --machine $machine" >&2
    exit 1
    ;;
esac
"$python" -I -m venv "$to"
"$to/bin/python" -I -m pip install --isolated --quiet --disable-pip-version-check --no-index \\
    --find-links wheelhouse --only-binary=:all: --require-hashes --requirement requirements.txt
"$to/bin/python" -I bill.py --installed "$to" >"$to/sbom.cdx.json"
"$to/bin/pkigen" --version
"""


def main() -> int:
    """Make the directory; the result is the exit code."""
    parser = argparse.ArgumentParser(description="Make the offline kit.")
    parser.add_argument("out", type=Path, help="the directory to make")
    parser.add_argument(
        "--python", action="append", metavar="X.Y", help=f"a Python of the site; may be repeated [{RUNNING}]"
    )
    parser.add_argument(
        "--machine", action="append", choices=MACHINES, help="of the site; may be repeated [this one]"
    )
    options = parser.parse_args()
    out: Path = options.out.resolve()
    pythons: list[str] = options.python or [RUNNING]
    machines: list[str] = options.machine or [platform.machine()]
    if out.exists():
        print(f"error: {out} exists", file=sys.stderr)
        return 1
    try:
        _make(out, pythons, machines)
    except BaseException as error:
        # Half a kit would be found out at the site.
        shutil.rmtree(out, ignore_errors=True)
        if not isinstance(error, subprocess.CalledProcessError):
            raise
        kinds = f"Python {', '.join(pythons)} on {', '.join(machines)}"
        print(f"error: no kit for {kinds}: see what pip said above", file=sys.stderr)
        return 1
    count = len(list((out / "wheelhouse").iterdir()))
    print(f"{out}: {count} wheels for Python {', '.join(pythons)} on {', '.join(machines)}")
    print(f"{_sha256(out / 'SHA256SUMS')}  SHA256SUMS (compare it at the site: sha256sum SHA256SUMS)")
    return 0


def _make(out: Path, pythons: list[str], machines: list[str]) -> None:
    wheelhouse = out / "wheelhouse"
    wheelhouse.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        tools = _tools(Path(place) / "tools")
        for python, machine in product(pythons, machines):
            _download(tools, wheelhouse, python, machine)
        _run(
            tools / "python",
            *PIP,
            *("wheel", "--no-deps", "--no-index", "--no-build-isolation"),
            *("--wheel-dir", wheelhouse, TOP),
        )
        own = next(wheelhouse.glob("pkigen-*.whl"))
        pin = f"pkigen=={own.name.split('-')[1]}"
        text = f"{LOCK.read_text(encoding='utf-8')}{pin} \\\n    --hash=sha256:{_sha256(own)}\n"
        (out / "requirements.txt").write_text(text, encoding="utf-8")
        script = INSTALL.format(pythons=" ".join(pythons), machines=" ".join(machines))
        (out / "install.sh").write_text(script, encoding="utf-8")
        (out / "sbom.json").write_text(_bill("--wheels", wheelhouse), encoding="utf-8")
        shutil.copyfile(TOP / "scripts" / "bill.py", out / "bill.py")
        if RUNNING in pythons and platform.machine() in machines:
            _zipapp(tools, out, Path(place) / "site")
    sums = (
        f"{_sha256(path)}  {path.relative_to(out)}\n" for path in sorted(out.rglob("*")) if path.is_file()
    )
    (out / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def _tools(place: Path) -> Path:
    """What runs here, by hash, in an environment of its own; the result is where its programs are."""
    _run(sys.executable, "-I", "-m", "venv", place)
    programs = place / "bin"
    _run(
        programs / "python",
        *PIP,
        *("install", "--require-hashes", "--only-binary=:all:", "--no-deps", "-r", str(TOOLS)),
    )
    return programs


def _download(tools: Path, wheelhouse: Path, python: str, machine: str) -> None:
    """Everything in the lock, for one kind of host.

    Only wheels: the site has no compiler, and nothing that is carried runs code when it is installed. Without
    dependencies: the lock is complete, and pip would ask for those of the Python that runs it.
    """
    places = (f"--platform={name}_{machine}" for name in PLATFORMS)
    _run(
        tools / "python",
        *PIP,
        *("download", "--require-hashes", "--only-binary=:all:", "--no-deps", "--implementation=cp"),
        *(f"--python-version={python}", *places, "-r", str(LOCK), "-d", str(wheelhouse)),
    )


def _zipapp(tools: Path, out: Path, site: Path) -> None:
    """One file with everything in it, for this Python; native code is unpacked below ~/.shiv at first."""
    _run(
        tools / "python",
        *PIP,
        *("install", "--no-index", "--find-links", str(out / "wheelhouse"), "--require-hashes"),
        *("--no-compile", "--target", str(site), "-r", str(out / "requirements.txt")),
    )
    _run(
        *(tools / "python", "-I", tools / "shiv", "--site-packages", site, "--console-script", "pkigen"),
        *("--reproducible", "--python", f"/usr/bin/env python{RUNNING}", "--output-file", out / "pkigen.pyz"),
    )
    (out / "pkigen.pyz.cdx.json").write_text(_bill("--installed", site), encoding="utf-8")


def _bill(*words: str | Path) -> str:
    """What the script says that the kit carries, too."""
    command = (sys.executable, "-I", TOP / "scripts" / "bill.py", *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
