"""A file by what it holds, in words: a kubeconfig, certificates, a request or a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access import explanation
from pkigen.access.certificate_text import of_chain
from pkigen.access.credentials import of_entry, of_token, only_certificates
from pkigen.access.kubeconfig_summary import credential_lines, lines
from pkigen.access.kubeconfigs import Section, load
from pkigen.access.requests import read_request
from pkigen.errors import AccessError
from pkigen.state.observed import parse_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.access.credentials import Credential
    from pkigen.access.kubeconfigs import Kubeconfig

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
    if any(begin in data for begin in _REQUESTS):
        return _of_request(path, data)
    if b"-----BEGIN CERTIFICATE-----" in data and b"kind:" not in data:
        parsed = parse_certificates(only_certificates(data))
        if isinstance(parsed, str):
            raise AccessError(f"{path} {parsed}")
        what, *said = of_chain(parsed, cluster, now=now)
        return (f"{path}: {what}", *said)
    text = data.strip().decode("ascii", "replace")
    if _is_token(text):
        return (f"{path}: a token", *_credential(of_token(text, now=now), cluster, now))
    return _of_kubeconfig(_kubeconfig(data, path), cluster, read, now)


def _of_request(path: Path, data: bytes) -> tuple[str, ...]:
    request = read_request(data)
    return (
        f"{path}: a certificate signing request, {request.subject}; key {request.key_description}",
        "  it grants no access by itself: `pkigen sign` or the cluster makes a certificate from it",
        *(f"  asks for:   {extension}" for extension in request.extensions),
    )


def _is_token(text: str) -> bool:
    """Whether it is one word, as a token is and no kubeconfig."""
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
    return (*shown, *(f"  {line}" for line in explanation.of_credential(found, cluster)))


def _kubeconfig(data: bytes, path: Path) -> Kubeconfig:
    """A file that is nothing else, or an error that says what it is."""
    if b"PRIVATE KEY-----" in data:
        raise AccessError(f"{path} is a private key", hint="explain the certificate that belongs to it")
    if b"-----BEGIN PUBLIC KEY-----" in data:
        raise AccessError(f"{path} is a public key", hint="`pkigen explain sa DIR` says what it verifies")
    try:
        return load(data, path)
    except AccessError:
        if b"clusters" in data or b"contexts" in data:
            raise
        raise AccessError(
            f"{path} is neither a kubeconfig nor a PEM certificate, a request or a token",
            hint="a spec or a PKI directory is the second argument: `pkigen explain WHO SPEC`",
        ) from None


def _credential(found: Credential, cluster: explanation.Cluster | None, now: datetime) -> Iterator[str]:
    for line in (*credential_lines(found, now=now), *explanation.of_credential(found, cluster)):
        yield f"  {line}"
