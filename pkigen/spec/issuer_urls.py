"""What the URL of an issuer of tokens may be."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pkigen.spec.values import parse_line

_SUCH_AS: Final = "must be a URL such as https://login.example.org"
_HOST: Final = re.compile(r"[a-z0-9._:%-]+")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_issuer_url(value: str) -> str:
    """A URL by the API server's rules (`validateURL` of `pkg/apis/apiserver/validation`), and with a host."""
    parse_line(value)
    if value.split() != [value]:
        raise ValueError("must be a URL without spaces")
    try:
        url = urlsplit(value)
        # The port is only asked for to be read: urllib refuses a wrong one then, and not before.
        host, _ = url.hostname, url.port
    except ValueError as error:
        msg = f"{_SUCH_AS}: {error}"
        raise ValueError(msg) from error
    if url.scheme != "https":
        raise ValueError("must begin with https://: the API server takes no other")
    if not _HOST.fullmatch(host or ""):
        raise ValueError(_SUCH_AS)
    # Go's net/url reads no other.
    if _BROKEN_ESCAPE.search(value):
        raise ValueError("has a % that two hexadecimal digits do not follow")
    for part, what in (
        (url.username or url.password, "a user name or a password"),
        (url.query, "a query"),
        (url.fragment, "a fragment"),
    ):
        if part:
            msg = f"must not contain {what}"
            raise ValueError(msg)
    return value
