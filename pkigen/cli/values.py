"""Values on the command line, read by the spec's own rules where it has them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pkigen.errors import UsageError
from pkigen.notation import dir_option, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

_PROXIES = ("http", "https", "socks5")  # client-go transport/spdy and clientcmd's validateClusterInfo
_T = TypeVar("_T")


def duration(text: str, option: str) -> timedelta:
    """A duration as in the spec.

    Raises:
        UsageError: It is none.
    """
    return _read(parse_duration, text, option, hint="write it as 720h, 90m or 1h30m")


def backup_id(text: str | None) -> str | None:
    """The ID of a backup.

    Raises:
        UsageError: It is the name of a directory or a file: the PKI directory, or its spec.
    """
    if text and Path(text).is_dir():
        raise UsageError(
            f"{text} is a directory, and no backup's ID",
            hint=f"name the cluster's directory with {dir_option(text)}",
        )
    if text and Path(text).exists():
        raise UsageError(
            f"{text} is a file, and no backup's ID", hint="`pkigen rollback --list` lists the IDs"
        )
    return text


def object_name(text: str | None) -> str | None:
    """The name of an object; also of a kubeconfig's `tls-server-name`."""
    from pkigen.spec.values import parse_dns_name

    return None if text is None else _read(parse_dns_name, text, "--name")


def namespace(text: str | None) -> str | None:
    """A namespace."""
    from pkigen.spec.values import parse_dns_label

    return None if text is None else _read(parse_dns_label, text, "--namespace")


def server_name(text: str | None) -> str | None:
    """A name or an address that a serving certificate can have."""
    from pkigen.spec.addresses import parse_san

    return None if text is None else _read(parse_san, text, "--tls-server-name")


def moment(text: str | None, option: str, *, now: datetime) -> datetime | None:
    """A moment in time as RFC 3339 has it, with its zone, or `now`; None where none is given."""

    def read(given: str) -> datetime:
        if given == "now":
            return now
        try:
            found = datetime.fromisoformat(given)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise ValueError("must be `now`, or a time with its zone, such as 2026-11-27T12:00:00Z")
        return found

    return None if text is None else _read(read, text, option)


def server_url(text: str | None) -> str | None:
    """Where an API server is: https, for without TLS neither side knows the other."""
    return None if text is None else _url(text, "--server", ("https",))


def proxy_url(text: str | None) -> str | None:
    """A proxy of one of the kinds that kubectl can use."""
    return None if text is None else _url(text, "--proxy-url", _PROXIES)


def _url(text: str, option: str, schemes: tuple[str, ...]) -> str:
    """A URL of one of the schemes, with a host that can be one; raises `UsageError` naming the option."""
    from urllib.parse import urlsplit

    from pkigen.spec.addresses import parse_host_port

    def read(url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:  # with brackets around what is no address
            raise ValueError("must be a URL whose host is a name, or an address (IPv6 in brackets)") from None
        # `urlsplit` removes tabs and line feeds before it splits: what it took apart is not what would be
        # written.
        if parts.scheme not in schemes or not url.isascii() or not url.isprintable() or " " in url:
            msg = f"must be a URL with {' or '.join(schemes)}, such as {schemes[0]}://host.example.com:6443"
            raise ValueError(msg)
        # Behind the last `@` is the host; a proxy's URL may have user and password before it (RFC 3986
        # 3.2.1).
        parse_host_port(parts.netloc.rpartition("@")[2])
        # client-go drops both before it appends the API's paths (rest/client.go `NewRESTClient`).
        if parts.query or parts.fragment:
            raise ValueError("must have neither query nor fragment")
        return url

    return _read(read, text, option)


def _read(parse: Callable[[str], _T], text: str, option: str, *, hint: str = "") -> _T:
    """Read an option's text; its `ValueError` becomes a `UsageError` about the option."""
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}", hint=hint) from None
