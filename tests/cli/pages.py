"""Reads pages as a person does who looks at one part of them, and as a browser that checks them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_EMPTY = {"meta", "link", "br", "img", "hr", "input"}
_MEASURE = """
<script>
function look() {
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.data.trim()) continue;
    const element = node.parentElement;
    if (element.closest('title, desc, script, style, .skip')) continue;
    const closed = element.closest('details:not([open])');
    if (closed && !element.closest('summary')) continue;
    if (getComputedStyle(element).visibility === 'hidden') continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const each of range.getClientRects())
      if (each.width > 1 && each.height > 1 && each.right > 0)
        boxes.push([each.left, each.top, each.right, each.bottom, node.data.trim().slice(0, 40)]);
  }
  boxes.sort((a, b) => a[1] - b[1]);
  const overlaps = [];
  for (let i = 0; i < boxes.length; i++)
    for (let j = i + 1; j < boxes.length && boxes[j][1] < boxes[i][3]; j++) {
      const across = Math.min(boxes[i][2], boxes[j][2]) - Math.max(boxes[i][0], boxes[j][0]);
      const down = Math.min(boxes[i][3], boxes[j][3]) - Math.max(boxes[i][1], boxes[j][1]);
      if (across > 2 && down > 5) overlaps.push([boxes[i][4], boxes[j][4]]);
    }
  const root = document.documentElement;
  return {texts: boxes.length, overlaps: overlaps.slice(0, 5), wide: root.scrollWidth - root.clientWidth,
          width: root.clientWidth,
          paper: getComputedStyle(document.body).backgroundColor};
}
function tell(found) { parent.postMessage(JSON.stringify(found), '*'); }
addEventListener('load', () => {
  const found = look();
  if (typeof axe === 'undefined') { tell(found); return; }
  axe.run().then(result => {
    found.violations = result.violations.map(each => each.id + ': ' + each.nodes[0].html.slice(0, 120));
    tell(found);
  });
});
</script>
"""
_FRAME = """\
<!DOCTYPE html><body style="margin:0">
<iframe src="measured.html" style="border:0;height:900px;width:WIDTHpx"></iframe>
<script>
addEventListener('message', message => {
  const place = document.createElement('pre');
  place.id = 'measured';
  place.textContent = message.data;
  document.body.appendChild(place);
});
</script>
"""


def browser() -> str | None:
    """A headless browser of this machine."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def measured(
    page: str, place: Path, *, width: int, dark: bool = False, printed: bool = False
) -> dict[str, Any]:
    """What a browser sees: texts that overlap, what is too wide; and axe-core, where AXE_CORE names it."""
    page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)
    if printed:
        page = page.replace("@media print", "@media all")
    axe = os.environ.get("AXE_CORE")
    library = f"<script>{Path(axe).read_text(encoding='utf-8')}</script>" if axe else ""
    path = place / "measured.html"
    path.write_text(page.replace("</body>", f"{library}{_MEASURE}</body>"), encoding="utf-8")
    frame = place / "frame.html"
    frame.write_text(_FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    program = browser()
    assert program is not None
    done = subprocess.run(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={place}/profile",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--window-size=1400,900",
            "--virtual-time-budget=20000",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:]
    content: dict[str, Any] = json.loads(
        found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return content


class Reader(HTMLParser):
    """Collects the text of each section by its heading's id, and every element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.sections: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._inside: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in _EMPTY:
            self._inside.append((tag, attributes.get("aria-labelledby") or ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._inside, tag
        assert self._inside.pop()[0] == tag, f"{tag} is closed, and is not open"

    def handle_data(self, data: str) -> None:
        if any(tag in {"style", "script"} for tag, _ in self._inside):
            return
        self.texts.append(data)
        for tag, name in self._inside:
            if tag == "section":
                self.sections.setdefault(name.partition("-")[2], []).append(data)

    def text(self, section: str | None = None) -> str:
        """The words of a section, or all of them."""
        found = self.texts if section is None else self.sections[section]
        return " ".join(" ".join(found).split())
