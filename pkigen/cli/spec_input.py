"""The spec as it comes in, with what kubeadm would look up on this host."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from pkigen import layout
from pkigen.desired import certificates
from pkigen.errors import UsageError
from pkigen.notation import dir_option
from pkigen.spec.dialects import HostFacts
from pkigen.spec.loader import LoadedSpec, load, load_text

_LARGEST_SPEC = 16 << 20
_ENDINGS = (".yaml", ".yml", ".json")


def read_spec(spec: Path) -> LoadedSpec:
    """Load a spec from a file, or from standard input where it is called `-`.

    Raises:
        UsageError: It is a directory.
        SpecError: It cannot be read or is invalid.
    """
    if str(spec) == "-":
        # One byte more than is allowed: the loader tells by it that there is more.
        return read_spec_text(sys.stdin.buffer.read(_LARGEST_SPEC + 1), "standard input")
    if spec.is_dir():
        what = "a cluster's directory" if (spec / layout.LOCK_FILE).is_file() else "a directory"
        raise UsageError(
            f"{spec} is {what}, not a spec",
            hint=f"name a cluster's directory with -C: {dir_option(spec)}",
        )
    return load(spec, kinds=certificates.CERTIFICATES, host=host_facts())


def named_spec(arguments: Iterable[str]) -> tuple[Path | None, list[str]]:
    """The spec among arguments that name other things too, and those.

    It is what ends like YAML or JSON, comes from a shell's `<(…)`, or is `-` for standard input.

    Raises:
        UsageError: There are two.
    """
    specs: list[str] = []
    others: list[str] = []
    for each in arguments:
        is_spec = each == "-" or each.startswith(("/dev/fd/", "/dev/stdin")) or each.endswith(_ENDINGS)
        (specs if is_spec else others).append(each)
    if len(specs) > 1:
        raise UsageError(f"{' and '.join(specs)} are two specs", hint="a command works on one cluster")
    return (Path(specs[0]) if specs else None), others


def read_spec_text(text: bytes, file: str | Path) -> LoadedSpec:
    """Load a spec from bytes that were read already; problems name the file."""
    return load_text(text, file=str(file), kinds=certificates.CERTIFICATES, host=host_facts())


def host_facts() -> HostFacts:
    """What kubeadm would fill into a configuration that leaves the node's name or address out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it asks the kernel for the default route's address.
            probe.connect(("192.0.2.1", 9))
            address = ip_address(probe.getsockname()[0])
        except OSError:
            address = None
    return HostFacts(hostname=socket.gethostname().lower() or None, default_address=address)
