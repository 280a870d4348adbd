"""Clients that ask without pause, each request over a connection of its own: JSON by argv in, JSON out.

What counts, for every series of requests: `asked`; `refused`, when one end turned the other away (TLS, 401,
403, anything that a server says of certificates), which no failover excuses; `failed`, when no endpoint
answered in time; `retried`, attempts at an endpoint that was down, without a leader, or with half of a new
key pair, as any client of etcd or of a load balancer makes them. Acknowledged writes are listed.

SIGHUP makes clients read the CAs anew that they hold, as a restart does. SIGTERM ends them.
"""

from __future__ import annotations

import base64
import http.client
import json
import signal
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_ATTEMPT_SECONDS = 6
_OF_TRUST = ("x509", "certificate", "tls:")


class RefusedError(Exception):
    """One end turned the other away."""


class DownError(Exception):
    """Nobody is there, or nobody leads."""


@dataclass
class Series:
    """One client."""

    settings: dict[str, Any]
    stop: threading.Event
    asked: int = 0
    retried: int = 0
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    authorities: str | None = None
    down: set[str] = field(default_factory=set)

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            self.asked += 1
            if self._ask(number) and self.settings["kind"] == "etcd":
                self.written.append(number)
            time.sleep(self.settings.get("pause", 0))

    def _ask(self, number: int) -> bool:
        urls = self.settings["urls"]
        deadline = time.monotonic() + self.settings["deadline"]
        attempt = number
        while True:
            url = urls[attempt % len(urls)]
            try:
                self._require_ready(url)
                self._once(url, number)
            except RefusedError as error:
                self.refused.append(f"{time.strftime('%X')} {url}: {error}")
                return False
            except DownError as error:
                self.down.add(url)
                if time.monotonic() > deadline:
                    self.failed.append(f"{time.strftime('%X')} {url}: {error}")
                    return False
                self.retried += 1
                attempt += 1
                time.sleep(0.02)
            else:
                return True

    def _require_ready(self, url: str) -> None:
        """An API server that was down is asked again once it is ready, as a load balancer would have it.

        Before that it has no roles and no service accounts yet, and turns everybody away.
        """
        if url not in self.down or self.settings["kind"] != "api":
            return
        split = urlsplit(url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            connection = http.client.HTTPSConnection(
                split.hostname or "", split.port, timeout=_ATTEMPT_SECONDS, context=context
            )
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise DownError(repr(error)) from None
        if status != HTTPStatus.OK:
            raise DownError(f"not ready: {status}")
        self.down.discard(url)

    def _once(self, url: str, number: int) -> None:
        if self.settings["kind"] == "etcd":
            key, value = f"steady/{self.settings['name']}/{number:06}", f"value {number}"
            self._exchange(url, "/v3/kv/put", {"key": _b64(key), "value": _b64(value)})
            found = json.loads(self._exchange(url, "/v3/kv/range", {"key": _b64(key)}))
            if base64.b64decode(found["kvs"][0]["value"]).decode() != value:
                raise RefusedError(f"{key} is not what was written")
        else:
            self._exchange(url, self.settings["path"], self.settings.get("body"))

    def _exchange(self, url: str, path: str, body: object) -> str:
        split = urlsplit(url)
        headers = {"Host": split.netloc, **self.settings.get("headers", {})}
        token = self.settings.get("token")
        if token is not None:
            headers["Authorization"] = f"Bearer {Path(token).read_text(encoding='ascii').strip()}"
        try:
            connection = http.client.HTTPSConnection(
                split.hostname or "", split.port, timeout=_ATTEMPT_SECONDS, context=self._context()
            )
            data = None if body is None else json.dumps(body)
            connection.request("GET" if data is None else "POST", path, body=data, headers=headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            connection.close()
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise DownError(repr(error)) from None
        except ssl.SSLError as error:
            if error.reason == "TLSV1_ALERT_INTERNAL_ERROR":
                # A server between its new certificate and its new key; clients try again.
                raise DownError(repr(error)) from None
            raise RefusedError(repr(error)) from None
        except (OSError, http.client.HTTPException) as error:
            raise DownError(repr(error)) from None
        if response.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
            return text
        said = f"{response.status} {text[:300]}"
        if response.status < HTTPStatus.INTERNAL_SERVER_ERROR or any(word in text for word in _OF_TRUST):
            raise RefusedError(said)
        raise DownError(said)

    def _context(self) -> ssl.SSLContext:
        """The client's files as they are now; the CAs as they were when it started, where it holds them."""
        folder = Path(self.settings["folder"])
        if folder.is_symlink():  # it is changed in one go
            folder = folder.readlink()
        if self.authorities is None or not self.settings.get("holds"):
            self.authorities = (folder / self.settings["ca"]).read_text(encoding="ascii")
        context = ssl.create_default_context(cadata=self.authorities)
        if self.settings.get("certificate"):
            try:
                context.load_cert_chain(folder / self.settings["certificate"], folder / self.settings["key"])
            except ssl.SSLError as error:
                # The certificate and its key are two files, and one of them was new already.
                raise ConnectionError(repr(error)) from None
        return context


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def main() -> None:
    stop = threading.Event()
    series = [Series(settings, stop) for settings in json.loads(sys.argv[1])]

    def restart(*_: object) -> None:
        for each in series:
            each.authorities = None

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, restart)
    threads = [threading.Thread(target=each.run) for each in series]
    for thread in threads:
        thread.start()
    print("asking", flush=True)  # noqa: T201 -- whoever started it waits for this
    while not stop.wait(0.1):
        pass
    for thread in threads:
        thread.join()
    json.dump(
        {
            each.settings["name"]: {
                "asked": each.asked,
                "retried": each.retried,
                "refused": each.refused,
                "failed": each.failed,
                "written": each.written,
            }
            for each in series
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
