"""Talos: `secrets.yaml`, both ways, and patches of machine configurations while two CAs are trusted.

Source: siderolabs/talos `pkg/machinery/config/generate/secrets` (bundle.go, ca.go) and
`pkg/machinery/config/types/k8s` (apiserver_ca.go, aggregator_ca.go, service_account.go); siderolabs/crypto
`x509/certificate_key.go` says which PEM types are read.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pkigen.access import bootstrap
from pkigen.access.yaml_text import dump_all
from pkigen.crypto.ed25519_ca import SEED, ed25519_ca
from pkigen.desired.generations import CA
from pkigen.desired.rendering.quoting import yaml_scalar
from pkigen.distributions.documents import documents
from pkigen.distributions.exported import ExportedFile
from pkigen.distributions.found import CAPair, FoundAuthority
from pkigen.errors import AdoptionError
from pkigen.notation import base64_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pkigen.access.yaml_text import Value
    from pkigen.distributions.authority_files import AuthorityFiles
    from pkigen.distributions.documents import Document
    from pkigen.distributions.exported import ExportMeans
    from pkigen.distributions.found import Source

_NAMES: Final = {CA.ETCD: "etcd", CA.KUBERNETES: "k8s", CA.FRONT_PROXY: "k8saggregator"}
_TOKENS: Final = "k8sserviceaccount"
_OWN: Final = "os"
"""The CA of Talos' own API, which is no cluster's."""
_CERTIFICATE: Final = "crt"
_KEY: Final = "key"
# Exactly one of the two that encrypt Secrets is there.
_SETTINGS: Final = (
    ("cluster", "id"),
    ("cluster", "secret"),
    ("secrets", "bootstraptoken"),
    ("secrets", "aescbcencryptionsecret"),
    ("secrets", "secretboxencryptionsecret"),
    ("trustdinfo", "token"),
)
_OPTIONAL: Final = frozenset({"aescbcencryptionsecret", "secretboxencryptionsecret"})
_SECRET: Final = 32  # in bytes: DefaultClusterIDSize, DefaultClusterSecretSize, and a key of secretbox
_SERIAL: Final = 20  # in bytes, the most that RFC 5280 4.1.2.2 allows
_VALIDITY: Final = timedelta(hours=87600)  # CAValidityTime
_FILE: Final = "secrets.yaml"

_BARE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+/=_.-]{4,}")
_NUMBER: Final = re.compile(r"[0-9a-fA-FoxX._eE+-]+")

Sections = dict[str, dict[str, str]]
"""The file, but for `certs`."""


def secrets_file(authority: AuthorityFiles, means: ExportMeans) -> tuple[ExportedFile, ...]:
    """`secrets.yaml`, and what every machine configuration is patched with while two CAs are trusted.

    What is Talos' own in it comes from the file that there is already, else it is made.
    """
    document = None if means.base is None else _bundle(means.base)
    sections = _made(means) if document is None else _kept(document)
    certs = {
        _NAMES[ca]: {_CERTIFICATE: base64_text(files.certificate), _KEY: base64_text(files.key)}
        for ca, files in authority.cas.items()
    }
    # The file has room for one; what judges tokens beside it goes into the patches.
    certs[_TOKENS] = {_KEY: base64_text(authority.sa_keys[0])}
    certs[_OWN] = _made_ca(means) if document is None else _kept_ca(document)
    content = "".join(_lines(sections, dict(sorted(certs.items()))))
    found = ExportedFile(path=_FILE, content=content.encode(), is_secret=True)
    return (found, *_patches(authority))


def _lines(sections: Sections, certs: Sections) -> Iterator[str]:
    """In the form of Talos' own writer: four blanks for each level, in the order of its type."""
    for section, entries in sections.items():
        yield f"{section}:\n"
        for name, value in entries.items():
            yield f"    {name}: {_scalar(value)}\n"
    yield "certs:\n"
    for section, entries in certs.items():
        yield f"    {section}:\n"
        for name, value in entries.items():
            yield f"        {name}: {_scalar(value)}\n"


def _scalar(value: str) -> str:
    """A token or base64, bare where no reader takes it for a number, as Talos' writer has it."""
    is_bare = _BARE.fullmatch(value) is not None and _NUMBER.fullmatch(value) is None
    return value if is_bare else str(yaml_scalar(value))


def _made(means: ExportMeans) -> Sections:
    entropy = means.entropy
    return {
        "cluster": {
            # URL-safe, where the secret is plain base64, as Talos' own generator writes them.
            "id": base64.urlsafe_b64encode(entropy(_SECRET)).decode("ascii"),
            "secret": base64_text(entropy(_SECRET)),
        },
        "secrets": {
            "bootstraptoken": bootstrap.generate(entropy).text,
            "secretboxencryptionsecret": base64_text(entropy(_SECRET)),
        },
        # Of the same form (genToken).
        "trustdinfo": {"token": bootstrap.generate(entropy).text},
    }


def _made_ca(means: ExportMeans) -> dict[str, str]:
    certificate, key = ed25519_ca(
        means.entropy(SEED),
        means.entropy(_SERIAL),
        organization="talos",
        # X.509 has whole seconds; with a fraction it would begin later than it says.
        now=means.now.replace(microsecond=0),
        validity=_VALIDITY,
    )
    return {_CERTIFICATE: base64_text(certificate), _KEY: base64_text(key)}


def _kept(document: Document) -> Sections:
    sections: Sections = {}
    # In Talos' order, so that the file that is written differs from the base in `certs` alone.
    for section, name in _SETTINGS:
        value = document.text(section, name)
        if value:
            sections.setdefault(section, {})[name] = value
        # Made anew it would cut the running nodes off: each of these is in their machine configurations.
        elif name not in _OPTIONAL:
            raise AdoptionError(
                f"{document.file} has no {section}.{name}", hint="give a whole secrets.yaml with --base"
            )
    return sections


def _kept_ca(document: Document) -> dict[str, str]:
    found = {name: document.text("certs", _OWN, name) for name in (_CERTIFICATE, _KEY)}
    if not all(found.values()):
        raise AdoptionError(
            f"{document.file} has no certs.{_OWN} with certificate and key",
            hint="give a whole secrets.yaml with --base",
        )
    return found


def _bundle(source: Source) -> Document:
    for document in documents(source):
        # Machine configurations have CAs under other names, and no private key on workers: `talosctl` makes
        # the bundle.
        if document.mapping("certs"):
            return document
    raise AdoptionError(
        "no document among these files has certs, as secrets.yaml does",
        hint="`talosctl gen secrets` writes one; of a running cluster, `talosctl gen secrets "
        "--from-controlplane-config FILE` does",
    )


# -- while two generations are trusted --------------------------------------------------------------------


def _patches(authority: AuthorityFiles) -> Iterator[ExportedFile]:
    """Patches that have every node accept both, without a private key."""
    kinds = {CA.KUBERNETES: "KubeAPIServerCAConfig", CA.FRONT_PROXY: "KubeAggregatorCAConfig"}
    overlaps = {ca: authority.cas[ca] for ca in kinds if authority.cas[ca].other}
    found: list[Mapping[str, Value]] = [
        _document(kinds[ca], {"acceptedCAs": [files.certificate.decode(), files.other.decode()]})
        for ca, files in overlaps.items()
    ]
    if len(authority.sa_public) > 1:
        keys = [each.decode() for each in authority.sa_public]
        found.append(_document("KubeServiceAccountConfig", {"accepted": {"publicKeys": keys}}))
    if found:
        # Two forms of the same: newer releases read the documents of their own, older ones
        # `cluster.acceptedCAs` of v1alpha1.
        yield ExportedFile(path="accepted.yaml", content=dump_all(found).encode(), is_secret=False)
    files = overlaps.get(CA.KUBERNETES)
    if files is not None:
        accepted = [{_CERTIFICATE: base64_text(each)} for each in (files.certificate, files.other)]
        content = dump_all([{"cluster": {"acceptedCAs": accepted}}])
        yield ExportedFile(path="accepted-v1alpha1.yaml", content=content.encode(), is_secret=False)


def _document(kind: str, content: Mapping[str, Value]) -> Mapping[str, Value]:
    return {"apiVersion": "v1alpha1", "kind": kind, **content}


# -- the other way ----------------------------------------------------------------------------------------


def read_secrets_file(source: Source) -> FoundAuthority:
    """The cluster's CAs and the key of its service accounts, of `secrets.yaml`."""
    document = _bundle(source)
    note = (
        f"what is Talos' own stays in {document.file}: the cluster's id and secret, the tokens, the key that "
        "encrypts Secrets, the CA of its API; keep the file, and export with --base"
    )
    return FoundAuthority(
        cas={ca: _pair(document, name) for ca, name in _NAMES.items()},
        sa_keys=document.decoded("certs", _TOKENS, _KEY),
        notes=(note,),
    )


def _pair(document: Document, name: str) -> tuple[CAPair, ...]:
    certificate = document.decoded("certs", name, _CERTIFICATE)
    if not certificate:
        return ()
    key = document.decoded("certs", name, _KEY)
    return (CAPair(place=f"{document.place}: certs.{name}", certificate=certificate, key=key),)
