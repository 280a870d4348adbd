# noqa: INP001 -- the script beside it imports it
"""A headless Chromium that looks at pages: what overlaps, what is too wide, when it paints, how it prints.

It is spoken to over two pipes (`--remote-debugging-pipe`): no port is opened. One process looks at all pages.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

_FROM_US, _TO_US = 3, 4
_FREE = 10
"""The first number that no standard stream and no pipe of the browser's has."""
_PIECE = 1 << 16
_MEASURE = (Path(__file__).with_name("measure.js")).read_text(encoding="utf-8")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-extensions",
    "--remote-debugging-pipe",
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A screen, or a sheet of paper: sizes are in CSS pixels."""

    width: int
    height: int = 900
    dark: bool = False
    printed: bool = False


LOOKS = {
    "phone": Look(width=390, height=844),
    "phone-dark": Look(width=390, height=844, dark=True),
    "desktop": Look(width=1280),
    "desktop-dark": Look(width=1280, dark=True),
    # A4 without the margins of 14 mm that the page asks for: 182 mm of 96 pixels to the inch.
    "print": Look(width=688, height=1017, printed=True),
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What there was to see: overlapping texts, and by how much the page is too wide.

    `paint` is the first contentful paint, in milliseconds after the navigation began; `violations` are those
    of axe-core where it was given.
    """

    texts: int
    overlaps: list[list[str]]
    wide: int
    paper: str
    paint: float
    violations: list[str] = field(default_factory=list)


def program() -> str | None:
    """The browser of this machine."""
    return shutil.which("chromium") or shutil.which("google-chrome")


class BrowserError(Exception):
    """It does not do what it is asked to."""


class Browser:
    """One process of Chromium, with one page at a time."""

    def __init__(self) -> None:
        found = program()
        if found is None:
            raise BrowserError("no chromium is installed")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # First out of the way of the two numbers that they are to have.
        high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _FREE) for each in (theirs_in, theirs_out)]
        null = os.open(os.devnull, os.O_RDWR)
        self._pid = os.posix_spawn(
            found,
            [found, *_OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
                (os.POSIX_SPAWN_DUP2, high[0], _FROM_US),
                (os.POSIX_SPAWN_DUP2, high[1], _TO_US),
            ],
            setpgroup=0,
        )
        for each in (theirs_in, theirs_out, *high, null):
            os.close(each)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        os.close(self._out)
        os.close(self._in)
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._profile.cleanup()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for one thing of the protocol's, and wait for the answer.

        Raises:
            BrowserError: It refuses, or has ended.
        """
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        _write(self._out, json.dumps(request).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _wait_for(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._in, _PIECE)
            if not piece:
                raise BrowserError("the browser has ended")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, or of its promise."""
        found = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, timeout=120_000
        )
        if "exceptionDetails" in found:
            raise BrowserError(str(found["exceptionDetails"].get("exception", found)))
        return found["result"].get("value")

    # -- looking ------------------------------------------------------------------------------------------

    def open(self, page: Path, look: Look) -> None:
        """Show a page as on a screen of that size, in that light, or as on paper."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=look.width,
            height=look.height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if look.dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="print" if look.printed else "", features=[scheme])
        # The page forbids every script: those of this one who looks come from outside.
        self.ask("Page.setBypassCSP", enabled=True)
        self.ask("Page.navigate", url=page.resolve().as_uri())
        self._wait_for("Page.loadEventFired")

    def look(self, page: Path, look: Look, *, axe: str = "") -> Seen:
        """Open a page, and see what is wrong with it."""
        self.open(page, look)
        found = self.evaluate(f"({_MEASURE})()")
        violations = self.evaluate(f"{axe};\n{_AXE}") if axe else []
        return Seen(**found, violations=violations)

    def photograph(self, to: Path) -> None:
        """The part of the page that the screen shows, as PNG."""
        to.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def print(self, to: Path) -> None:
        """All of the page, as PDF on A4."""
        found = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        to.write_bytes(base64.b64decode(found["data"]))


_AXE = "axe.run().then(all => all.violations.map(one => one.id + ': ' + one.nodes[0].html.slice(0, 120)))"


def _write(to: int, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]
