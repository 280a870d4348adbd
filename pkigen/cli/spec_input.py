"""The spec as it comes in, with what kubeadm would look up on this host."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from pathlib import Path

from pkigen import layout
from pkigen.desired import certificates
from pkigen.errors import UsageError
from pkigen.spec.dialects import HostFacts
from pkigen.spec.loader import LoadedSpec, load, load_text

_LARGEST_SPEC = 16 << 20


def read_spec(spec: Path) -> LoadedSpec:
    """Load a spec from a file, or from standard input where it is called `-`.

    Raises:
        UsageError: It is a directory.
        SpecError: It cannot be read or is invalid.
    """
    kinds, host = certificates.CERTIFICATES, host_facts()
    if str(spec) == "-":
        text = sys.stdin.buffer.read(_LARGEST_SPEC + 1)
        return load_text(text, file="standard input", kinds=kinds, host=host)
    if spec.is_dir():
        what = "a PKI directory" if (spec / layout.LOCK_FILE).is_file() else "a directory"
        raise UsageError(
            f"{spec} is {what}, not a spec",
            hint="give the file of the spec; a directory goes with the option for it, such as --out",
        )
    return load(spec, kinds=kinds, host=host)


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
