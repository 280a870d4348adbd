"""A kubeconfig in summary: its user and groups, when it expires, and what will stop working next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.access.credentials import Credential, CredentialKind, content, of_entry
from pkigen.access.kubeconfig_faults import cluster_faults, is_encrypted, user_faults
from pkigen.access.kubeconfigs import Section
from pkigen.crypto.names import subject_of
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.notation import residual
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Something that stops working at a known time."""

    when: datetime
    what: str


def lines(config: Kubeconfig, read: Callable[[Path], bytes | str], *, now: datetime) -> Iterator[str]:
    """The kubeconfig in words, one context after the other; never a key or a token."""
    for path in config.unknown:
        yield f"{path} is not understood by kubectl"
    contexts = config.entries[Section.CONTEXT]
    if not contexts:
        yield "it has no context: kubectl would talk to localhost:8080"
    elif not config.current_context:
        yield "it has no current context: choose one with `kubectl config use-context NAME` or --context"
    elif config.current_context not in contexts:
        yield f"its current context {config.current_context!r} is not there"
    for name, context in sorted(contexts.items()):
        mark = " (current)" if name == config.current_context else ""
        yield f"context {name}{mark}"
        yield from (f"  {line}" for line in _context(config, context, read, now))


def _context(
    config: Kubeconfig, context: NamedEntry, read: Callable[[Path], bytes | str], now: datetime
) -> Iterator[str]:
    """Everything that ends on the way is gathered, so that the first of them can be told last."""
    endings: list[Ending] = []
    cluster = config.find(Section.CLUSTER, context.text("cluster"))
    if cluster is None:
        yield f"cluster:    {context.text('cluster')!r} is not in this file"
    else:
        yield from _cluster(cluster, read, endings, now)
    yield f"namespace:  {context.text('namespace') or 'default'}"
    user = config.find(Section.USER, context.text("user"))
    if user is None:
        yield f"user:       {context.text('user')!r} is not in this file"
        return
    credential = of_entry(user, read, now=now)
    yield from credential_lines(credential, now=now)
    yield from (f"broken:     {fault}" for fault in user_faults(user))
    if user.text("as"):
        groups = ", ".join(user.texts("as-groups"))
        yield f"acts as:    {user.text('as')}{f' in {groups}' if groups else ''}, if it may impersonate"
    if credential.expires is not None:
        endings.append(
            Ending(
                when=credential.expires,
                what=f"the {credential.kind} expires, and the API server answers 401",
            )
        )
    yield from next_ending(endings, now=now)


def credential_lines(credential: Credential, *, now: datetime) -> Iterator[str]:
    """Who the bearer is."""
    yield f"credential: {credential.kind}"
    if credential.user:
        yield f"user:       {credential.user}"
    if credential.groups:
        yield f"groups:     {', '.join(credential.groups)}"
    if credential.expires is not None:
        yield f"until:      {credential.expires:%Y-%m-%d %H:%M} UTC ({time_left(credential.expires, now)})"
    elif credential.kind is CredentialKind.SERVICE_ACCOUNT_TOKEN:
        yield "until:      never expires; deleting its Secret or the service account revokes it"
    yield from (f"            {detail}" for detail in credential.details)
    yield from (f"broken:     {fault}" for fault in credential.faults)


def next_ending(endings: list[Ending], *, now: datetime) -> Iterator[str]:
    """What stops working first."""
    past = [ending for ending in endings if ending.when <= now]
    coming = sorted((ending for ending in endings if ending.when > now), key=lambda ending: ending.when)
    for ending in past:
        yield f"broken now: since {ending.when:%Y-%m-%d %H:%M} UTC {ending.what}"
    # What is to come matters once nothing is broken already.
    if coming and not past:
        yield f"next:       {coming[0].when:%Y-%m-%d %H:%M} UTC {coming[0].what}"


def _cluster(
    cluster: NamedEntry, read: Callable[[Path], bytes | str], endings: list[Ending], now: datetime
) -> Iterator[str]:
    yield f"cluster:    {cluster.name} at {cluster.text('server') or 'no server'}"
    if cluster.text("server") and not is_encrypted(cluster.text("server")):
        yield "            without https:// kubectl sends no credential, and verifies nobody"
    yield from (f"broken:     {fault}" for fault in cluster_faults(cluster))
    for field, words in (
        ("tls-server-name", "server must be named"),
        ("proxy-url", "through the proxy"),
    ):
        if cluster.text(field):
            yield f"            {words} {cluster.text(field)}"
    data = content(cluster, "certificate-authority", read)
    if cluster.flag("insecure-skip-tls-verify"):
        yield "            the server is not verified at all: anybody in between can impersonate it"
        # client-go transport/transport.go, TLSConfigFor.
        if data is not None:
            yield "broken:     kubectl refuses a CA beside insecure-skip-tls-verify"
        return
    yield from _trusts(data, endings, now)


def _trusts(data: bytes | str | None, endings: list[Ending], now: datetime) -> Iterator[str]:
    """Whom kubectl verifies the server by."""
    if data is None:
        yield "trusts:     the CAs of this machine's system"
        return
    parsed = data if isinstance(data, str) else parse_certificates(data)
    if isinstance(parsed, str):
        yield f"trusts:     its CA {parsed}"
        return
    for certificate in parsed:
        end = certificate.not_valid_after_utc
        yield f"trusts:     {subject_of(certificate)} until {end:%Y-%m-%d} ({time_left(end, now)})"
    # The last one of the bundle: until then the server may still present what it accepts.
    last = max(certificate.not_valid_after_utc for certificate in parsed)
    endings.append(Ending(when=last, what="the CA expires, and kubectl refuses the server's certificate"))


def time_left(end: datetime, now: datetime) -> str:
    """How long until an end, or since when it is past."""
    return f"in {residual(end - now)}" if end > now else f"{residual(now - end)} ago"
