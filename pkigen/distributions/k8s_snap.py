"""Canonical Kubernetes (k8s-snap): the CAs inside of the file for `k8s bootstrap --file`.

Source: canonical/k8s-snap `docs/src/_parts/bootstrap_config.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.access.yaml_text import dump
from pkigen.desired.generations import CA
from pkigen.distributions.exported import ExportedFile

if TYPE_CHECKING:
    from pkigen.distributions.authority_files import AuthorityFiles

# It has a CA for clients of its own: both are the cluster's. Its datastore makes its own certificates.
_KEYS: Final = {CA.KUBERNETES: ("ca", "client-ca"), CA.FRONT_PROXY: ("front-proxy-ca",)}


def bootstrap_file(authority: AuthorityFiles) -> tuple[ExportedFile, ...]:
    """The part of the bootstrap configuration that names CAs and the service account key."""
    found = {"service-account-key": authority.sa_keys[0].decode("ascii")}
    for ca, names in _KEYS.items():
        files = authority.cas[ca]
        for name in names:
            found[f"{name}-crt"] = files.certificate.decode("ascii")
            found[f"{name}-key"] = files.key.decode("ascii")
    content = dump(dict(sorted(found.items()))).encode()
    return (ExportedFile(path="bootstrap.yaml", content=content, is_secret=True),)
