"""Serves the files of a directory over https, as an issuer of tokens serves its documents.

A program of its own, because it runs in the network of a machine of `hosts.py`: certificate, key, directory,
address and port are its arguments.
"""

from __future__ import annotations

import functools
import http.server
import ssl
import sys


def main() -> None:
    certificate, key, directory, host, port = sys.argv[1:]
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    server = http.server.ThreadingHTTPServer((host, int(port)), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
