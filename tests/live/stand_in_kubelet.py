"""A server in place of a kubelet's: port 10250, a serving certificate, clients of the cluster's CA only.

Arguments: address, certificate, key, CA. It answers every GET with the path asked for and the client's name,
and ends when its standard input does.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PORT = 10250


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        peer = self.connection.getpeercert() or {}
        names = [pair[1] for part in peer["subject"] for pair in part if pair[0] == "commonName"]
        body = f"{self.path.partition('?')[0]} {' '.join(names)}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Thousands of lines would say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that turns away is what some tests want."""


def _end_with_standard_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    address, certificate, key, ca = sys.argv[1:]
    _Server.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go does: any CA of the bundle is an anchor
    server = _Server((address, _PORT), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)  # noqa: T201 -- whoever started it waits for this
    server.serve_forever()


if __name__ == "__main__":
    main()
