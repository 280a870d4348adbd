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
    if any(character.isspace() for character in value):
        raise ValueError("must be a URL without spaces")
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError as error:
        msg = f"{_SUCH_AS}: {error}"
        raise ValueError(msg) from error
    if url.scheme != "https":
        raise ValueError("must begin with https://: the API server takes no other")
    if not host or not _HOST.fullmatch(host):
        raise ValueError(_SUCH_AS)
    # Go's net/url reads no other.
    if _BROKEN_ESCAPE.search(value):
        raise ValueError("has a % that two hexadecimal digits do not follow")
    if url.username is not None or url.password is not None:
        raise ValueError("must not contain a user name or a password")
    if url.query:
        raise ValueError("must not contain a query")
    if url.fragment:
        raise ValueError("must not contain a fragment")
    return value
