"""A file by what it holds, in words: a kubeconfig, certificates, a request or a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access import explanation, outcome
from pkigen.access.certificate_text import of_chain
from pkigen.access.credentials import of_entry, of_token, only_certificates, token_of
from pkigen.access.kubeconfig_summary import credential_lines, lines
from pkigen.access.kubeconfigs import Section, load
from pkigen.access.request_forms import request_pem
from pkigen.access.requests import read_request
from pkigen.crypto.pem import certificate_as_pem, other_form
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.access.credentials import Credential
    from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry

_SEQUENCE = b"\x30"  # X.690 8.9: every DER request begins with it
_REQUESTS = (b"-----BEGIN CERTIFICATE REQUEST", b"-----BEGIN NEW CERTIFICATE REQUEST")


def file_text(
    path: Path,
    data: bytes,
    cluster: explanation.Cluster | None,
    *,
    read: Callable[[Path], bytes | str],
    now: datetime,
) -> tuple[str, ...]:
    """Explain a file: what it is, and what whoever has it may do.

    Args:
        path: What it is called.
        data: What it holds.
        cluster: Where to look things up; None where no cluster is given.
        read: Reads what a kubeconfig refers to, or says why it cannot.
        now: The present, in UTC.

    Raises:
        AccessError: It is nothing that can be explained.
    """
    if not data.strip():
        raise AccessError(f"{path} is empty")
    # DER has no marks: what can be made PEM of is read as such.
    if b"-----BEGIN " not in data:
        data = certificate_as_pem(data) or data
    request = _request(data)
    if request is not None:
        return _of_request(path, request)
    # A kubeconfig, or a manifest, may have PEM in it: its kind tells it apart.
    if b"-----BEGIN CERTIFICATE-----" in data and b"kind:" not in data:
        parsed = parse_certificates(only_certificates(data))
        if isinstance(parsed, str):
            raise AccessError(f"{path} {parsed}")
        what, *said = of_chain(parsed, cluster, now=now)
        return (f"{path}: {what}", *said)
    text = data.strip().decode("ascii", "replace")
    if _is_token(text):
        return (f"{path}: a token", *_token(text, cluster, now))
    return _of_kubeconfig(_kubeconfig(data, path), cluster, read, now)


def _request(data: bytes) -> bytes | None:
    """A request as PEM, also out of a manifest as `csr manifest` writes it, of DER or of base64."""
    if any(begin in data for begin in _REQUESTS):
        return data
    is_der = data.startswith(_SEQUENCE)
    is_yaml = not is_der and b":" in data
    if b"-----BEGIN " in data or (is_yaml and b"CertificateSigningRequest" not in data):
        return None
    pem = request_pem(data)
    # What could not be read as a request comes back as it was.
    return pem if pem != data else None


def _token(text: str, cluster: explanation.Cluster | None, now: datetime) -> Iterator[str]:
    yield from _credential(of_token(text, now=now), cluster, now)
    if cluster is not None:
        yield from (f"  {line}" for line in outcome.of_token(text, cluster))


def _of_request(path: Path, data: bytes) -> tuple[str, ...]:
    request = read_request(data)
    return (
        f"{path}: a certificate signing request, {request.subject}; key {request.key_description}",
        "  it grants no access by itself: `pkigen access sign` or the cluster makes a certificate from it",
        *(f"  asks for:   {extension}" for extension in request.extensions),
    )


def _is_token(text: str) -> bool:
    """Whether it is one word, as a token is and no kubeconfig."""
    # YAML has a colon even on a single line, and no token has one.
    return text.isascii() and text.isprintable() and len(text.split()) == 1 and ":" not in text


def _of_kubeconfig(
    config: Kubeconfig,
    cluster: explanation.Cluster | None,
    read: Callable[[Path], bytes | str],
    now: datetime,
) -> tuple[str, ...]:
    shown = tuple(lines(config, read, now=now))
    context = config.find(Section.CONTEXT, config.current_context)
    user = config.find(Section.USER, context.text("user")) if context is not None else None
    if user is None:
        return shown
    found = of_entry(user, read, now=now)
    verdict = _verdict(config, context, user, cluster, read)
    return (*shown, *(f"  {line}" for line in (*explanation.of_credential(found, cluster), *verdict)))


def _verdict(
    config: Kubeconfig,
    context: NamedEntry | None,
    user: NamedEntry,
    cluster: explanation.Cluster | None,
    read: Callable[[Path], bytes | str],
) -> Iterator[str]:
    """What this cluster would make of it."""
    if cluster is None:
        return
    server = config.find(Section.CLUSTER, context.text("cluster")) if context is not None else None
    if server is not None:
        yield from outcome.of_server(server, read, cluster)
    token, _ = token_of(user, read)
    yield from outcome.of_token(token, cluster)


def _kubeconfig(data: bytes, path: Path) -> Kubeconfig:
    """A file that is nothing else, or an error that says what it is."""
    if b"PRIVATE KEY-----" in data:
        raise AccessError(f"{path} is a private key", hint="explain the certificate that belongs to it")
    if b"-----BEGIN PUBLIC KEY-----" in data:
        raise AccessError(f"{path} is a public key", hint="`pkigen explain sa` says what it verifies")
    try:
        return load(data, path)
    except AccessError:
        # Meant to be a kubeconfig: what is wrong with it says more than what it is not.
        if b"clusters" in data or b"contexts" in data:
            raise
        form = other_form(data)
        if form is not None:
            raise AccessError(f"{path} holds {form}") from None
        raise AccessError(
            f"{path} is neither a kubeconfig nor a PEM certificate, a request or a token",
            hint="a spec is the second argument, a directory follows -C: `pkigen explain WHO -C DIR`",
        ) from None


def _credential(found: Credential, cluster: explanation.Cluster | None, now: datetime) -> Iterator[str]:
    for line in (*credential_lines(found, now=now), *explanation.of_credential(found, cluster)):
        yield f"  {line}"
