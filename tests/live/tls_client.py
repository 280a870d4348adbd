"""One HTTP request, described by JSON on standard input; the answer goes to standard output as JSON.

A program of its own, because it runs in the network of a machine of `hosts.py`.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 30
# Python turned these on by default in 3.13: what 3.13 refuses must be refused here, whatever Python this is.
_STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def _context(asked: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=asked["ca"])
    context.verify_flags |= _STRICT
    if asked["ca"] is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if asked["identity"] is not None:
        context.load_cert_chain(*asked["identity"])
    return context


def _connected(asked: dict[str, Any]) -> http.client.HTTPConnection:
    url = urlsplit(asked["url"])
    host, port = asked["connect"] or (url.hostname, url.port)
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    connection.sock = socket.create_connection((host, port), timeout=_SECONDS)
    if url.scheme == "https":
        connection.sock = _context(asked).wrap_socket(connection.sock, server_hostname=url.hostname)
    return connection


def _ask(asked: dict[str, Any]) -> dict[str, Any]:
    url = urlsplit(asked["url"])
    target = url.path + (f"?{url.query}" if url.query else "")
    headers = {"Host": url.netloc, **asked["headers"]}
    body = None
    if asked["body"] is not None:
        body = json.dumps(asked["body"]).encode()
        headers["Content-Type"] = "application/json"
    try:
        connection = _connected(asked)
        connection.request("GET" if body is None else "POST", target, body=body, headers=headers)
        response = connection.getresponse()
        return {"status": response.status, "body": response.read().decode(errors="replace"), "error": None}
    except (OSError, http.client.HTTPException) as error:
        return {"status": None, "body": "", "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    asked = json.load(sys.stdin)
    deadline = time.monotonic() + asked["until"]
    answer = _ask(asked)
    while answer["status"] != http.HTTPStatus.OK and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = _ask(asked)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
