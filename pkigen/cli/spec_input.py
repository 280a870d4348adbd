"""The spec as it comes in, with what kubeadm would look up on this host."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from pathlib import Path

from pkigen.desired import certificates
from pkigen.spec.dialects import HostFacts
from pkigen.spec.loader import LoadedSpec, load, load_text

_LARGEST_SPEC = 16 << 20


def read_spec(spec: Path) -> LoadedSpec:
    """Load a spec from a file, or from standard input where it is called `-`."""
    kinds, host = certificates.CERTIFICATES, host_facts()
    if str(spec) == "-":
        text = sys.stdin.buffer.read(_LARGEST_SPEC + 1)
        return load_text(text, file="standard input", kinds=kinds, host=host)
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
