"""What Graphviz and Mermaid draw of the trust graph is what was meant, whatever somebody called a node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pkigen.cli.reports import graph_forms
from pkigen.cli.reports.trust_picture import Picture, bundle_name, certificate_name, picture
from pkigen.desired.trust_graph import Health, TrustGraph
from pkigen.notation import printable
from scripts.browser import Browser, program
from tests.cli.test_graph import connection

HOSTILE = (
    'a"b',
    "back\\slash",
    "\\N\\G\\l",
    "two\nlines",
    "<script>alert(1)</script>",
    "<b>bold</b><br>",
    "&amp; &lt; &#34; &",
    'x"] --> evil["y',
    '"; evil -> b0; "',
    "%%{init: {'theme': 'dark'}}%%",
    "#quot; #35;",
    "`code` **bold**",
    "end",
    "$$x^2$$",
    "fa:fa-car :::evil",
    "1. one",
    "- one",
    "\u202egnp.exe",
    "ключ 鍵 🔑",
)
SVG = "{http://www.w3.org/2000/svg}"
MERMAID = Path(os.environ["MERMAID"]).read_text(encoding="utf-8") if "MERMAID" in os.environ else ""


def hostile() -> Picture:
    """A component, a node and a certificate of every name; one of them is refused."""
    found = []
    for name in HOSTILE:
        health = Health.BROKEN if name == "end" else Health.HOLDS
        plain = connection(f"{name}@{name}", "kube-apiserver@cp-1", health=health)
        (shown,) = plain.presentations
        found.append(replace(plain, presentations=(replace(shown, certificate=f"cp-1/{name}"),)))
    return picture(TrustGraph(connections=tuple(found)))


def boxes_of(drawn: Picture) -> list[list[str]]:
    return [[printable(each) for each in (box.title, box.where) if each] for box in drawn.boxes]


def labels_of(drawn: Picture) -> list[list[str]]:
    found = []
    for arrow in drawn.arrows:
        ((shown,),) = (each.presentations for each in arrow.connections)
        name = printable(certificate_name(shown.certificate))
        line = f"client shows {name}, judged by {bundle_name(shown.bundle)}"
        found.append([line, "refused"] if arrow.health is Health.BROKEN else [line])
    return sorted(found)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")
def test_what_graphviz_draws() -> None:
    drawn = hostile()
    text = graph_forms.dot(drawn, cluster=HOSTILE[0])
    done = subprocess.run(["dot", "-Tsvg"], input=text, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    groups = list(ET.fromstring(done.stdout).iter(f"{SVG}g"))  # noqa: S314 -- it is dot's
    boxes = [each for each in groups if each.get("class") == "node"]
    shown = {each.findtext(f"{SVG}title"): [one.text for one in each.iter(f"{SVG}text")] for each in boxes}
    assert [shown[f"b{number}"] for number in range(len(shown))] == boxes_of(drawn)
    arrows = [each for each in groups if each.get("class") == "edge"]
    assert sorted([one.text for one in each.iter(f"{SVG}text")] for each in arrows) == labels_of(drawn)


DRAW = """
mermaid.initialize({startOnLoad: false, securityLevel: "strict"});
(async () => {
  document.body.innerHTML = (await mermaid.render("drawn", TEXT)).svg;
  const all = selector => [...document.querySelectorAll(selector)];
  const lines = each => each.innerText.replaceAll("\\u2060", "").split("\\n");
  return {
    boxes: all(".nodeLabel").map(lines), labels: all("span.edgeLabel").map(lines),
    arrows: all(".flowchart-link").length,
  };
})()
"""


@pytest.mark.live
@pytest.mark.skipif(program() is None, reason="no chromium is installed")
@pytest.mark.skipif(not MERMAID, reason="MERMAID names no mermaid.min.js")
def test_what_mermaid_draws() -> None:
    drawn = hostile()
    text = graph_forms.mermaid(drawn)
    with Browser() as browser:
        browser.evaluate(MERMAID)
        shown = browser.evaluate(DRAW.replace("TEXT", json.dumps(text)))
    assert sorted(shown["boxes"]) == sorted(boxes_of(drawn))
    assert sorted(shown["labels"]) == labels_of(drawn)
    assert shown["arrows"] == len(drawn.arrows)
