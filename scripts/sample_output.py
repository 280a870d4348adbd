#!/usr/bin/env python3
"""Makes `sample-output/`: what `pkigen init` leaves for `examples/ha.yaml`, without its private keys.

    python scripts/sample_output.py [--check]

Runs the real command. Certificates, serials and dates differ from run to run, so the sample is only replaced
when its description differs from the fresh one's: then something about pkigen's output has changed, and the
diff shows what. `--check` changes nothing and exits 1 in that case.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pkigen.crypto.keys import describe

TOP = Path(__file__).resolve().parent.parent
SPEC = TOP / "examples" / "ha.yaml"
SAMPLE = TOP / "sample-output"
TREE = "prod"
MODES = "modes.txt"

PRIVATE_KEY = b"(the private key that stands here is withheld)\n"
IN_YAML = b"WITHHELD"
_SECRETS_IN_YAML = re.compile(rb"(?m)^(\s*(?:- )?(?:client-key-data|secret): ).+$")
_CERTIFICATES_IN_YAML = re.compile(r"(?m)^(\s*(?:client-certificate|certificate-authority)-data: )(\S+)$")
_DIFFERING = (
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "<time>"),
    (re.compile(r'("serial": )"[0-9a-f]+"'), r'\1"<serial>"'),
    (re.compile(r'("sequence": )\d+'), r"\1<number>"),  # one new entry would otherwise show as all of them
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
)


def fresh(place: Path) -> None:
    """Run `pkigen init`, and keep what it made under `place`, without keys, with a list of all modes."""
    made = place / "made"
    pkigen = [sys.executable, "-m", "pkigen"]
    subprocess.run([*pkigen, "init", str(SPEC), "-C", str(made)], check=True, stdout=subprocess.DEVNULL)
    lines = []
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        name = path.relative_to(made)
        # Who held the directory last, a process of this machine; and what would hide the sample from Git.
        if name.as_posix() in {".pkigen/lock", ".gitignore"}:
            continue
        lines.append(f"{stat.S_IMODE(path.stat().st_mode):04o} {name}\n")
        target = place / TREE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(withheld(name, path.read_bytes()))
        target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)  # all that Git keeps
    (place / MODES).write_text("".join(lines), encoding="utf-8")
    shutil.rmtree(made)


def withheld(name: Path, content: bytes) -> bytes:
    """A file without its private keys and secrets."""
    if name.suffix == ".key":
        return PRIVATE_KEY
    if name.suffix in {".conf", ".yaml"}:
        return _SECRETS_IN_YAML.sub(rb"\1" + IN_YAML, content)
    return content


def description(place: Path) -> dict[str, str]:
    """Each file as text, with what differs from run to run described or masked."""
    names = [
        MODES,
        *(path.relative_to(place).as_posix() for path in (place / TREE).rglob("*") if path.is_file()),
    ]
    return {name: _described(place / name) for name in sorted(names) if (place / name).is_file()}


def _described(path: Path) -> str:
    executable = "executable\n" if os.access(path, os.X_OK) else ""
    content = path.read_bytes()
    if path.suffix == ".crt":
        return executable + _certificates(content)
    if path.suffix == ".pub":
        return executable + describe(serialization.load_pem_public_key(content))
    text = _CERTIFICATES_IN_YAML.sub(
        lambda match: match[1] + _certificates(base64.b64decode(match[2])), content.decode()
    )
    for pattern, mask in _DIFFERING:
        text = pattern.sub(mask, text)
    return executable + text


def _certificates(pem: bytes) -> str:
    return "\n".join(_certificate(each) for each in x509.load_pem_x509_certificates(pem))


def _certificate(certificate: x509.Certificate) -> str:
    lines = [
        f"subject {certificate.subject.rfc4514_string()}",
        f"issuer {certificate.issuer.rfc4514_string()}",
        f"valid for {certificate.not_valid_after_utc - certificate.not_valid_before_utc}",
        f"key {describe(certificate.public_key())}",
        f"signature {certificate.signature_algorithm_oid.dotted_string}",
    ]
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier):
            shown = "<key identifier>"
        elif isinstance(value, x509.SubjectAlternativeName):
            shown = ", ".join(f"{type(name).__name__} {name.value}" for name in value)
        else:
            shown = str(value)
        lines.append(f"{extension.oid.dotted_string}{' critical' if extension.critical else ''}: {shown}")
    return "\n".join(lines)


def difference(committed: dict[str, str], made: dict[str, str]) -> list[str]:
    """What is not the same, as a diff."""
    lines = []
    for name in sorted(committed.keys() | made.keys()):
        old, new = committed.get(name, "").splitlines(), made.get(name, "").splitlines()
        if name not in committed or name not in made:
            lines.append(f"{name}: {'is no longer made' if name in committed else 'is new'}")
        else:
            lines += difflib.unified_diff(old, new, name, name, lineterm="", n=1)
    return lines


def main() -> int:
    """Compare, and replace the sample where it differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say whether the sample is current")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fresh(place)
        lines = difference(description(SAMPLE), description(place))
        if not lines:
            print("sample-output is current")
            return 0
        print("\n".join(lines))
        if options.check:
            print(
                "error: sample-output is not what pkigen makes; run scripts/sample_output.py", file=sys.stderr
            )
            return 1
        shutil.rmtree(SAMPLE / TREE, ignore_errors=True)
        shutil.copytree(place / TREE, SAMPLE / TREE)
        shutil.copyfile(place / MODES, SAMPLE / MODES)
    print("sample-output is replaced")
    return 0


if __name__ == "__main__":
    sys.exit(main())
