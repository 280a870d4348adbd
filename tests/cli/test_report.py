"""The page that shows a cluster: what five people ask, what must never be in it, and how it looks."""

from __future__ import annotations

import base64
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.layout import is_private
from scripts.browser import LOOKS, Browser, program
from tests.cli.pages import Reader
from tests.cli.program import DAY, NOW, InProcess, photograph

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_browser = pytest.mark.skipif(program() is None, reason="no chromium is installed")


def spec_of(nodes: int, *, name: str = "prod") -> str:
    lines = [
        "apiVersion: pkigen/v1",
        "kind: Cluster",
        f"metadata: {{name: {name}}}",
        "spec:",
        "  kubernetesVersion: v1.36.2",
        "  controlPlaneEndpoint: api.example.com:6443",
        "  certificates: {keyAlgorithm: ECDSA-P256}",
        "  nodes:",
    ]
    control = 3 if nodes > 3 else 1
    lines += [
        f"    - {{name: cp-{each}, roles: [control-plane], addresses: [10.0.0.{each}]}}"
        for each in range(1, control + 1)
    ]
    lines += [
        f"    - {{name: worker-{each}.europe-west-4.clusters.example.com, roles: [worker], "
        f"addresses: [10.1.{each // 200}.{each % 200 + 1}]}}"
        for each in range(nodes - control)
    ]
    return "\n".join(lines) + "\n"


def page_of(pkigen: InProcess, *words: object) -> str:
    result = pkigen("report", *words)
    assert result.code == 0, result.err
    return result.out


# -- what five people ask -----------------------------------------------------------------------------------


def test_what_expires_first_and_what_breaks_then(pkigen: InProcess, tree: Path) -> None:
    read = Reader(page_of(pkigen, tree))
    verdict = read.text("").partition("Do next")[0]
    assert "The first to expire is user:dev1, on 2026-12-22 03:00 UTC, in 30d." in verdict
    assert "What stops then: the API server answers 401 Unauthorized to this user." in verdict
    rows = read.text("timeline")
    assert rows.index("user:dev1") < rows.index("apiserver")
    assert "the node becomes NotReady within a minute" in rows
    shown = presentations(pkigen, tree)
    first = min(shown, key=lambda each: str(each["effectiveExpiry"]))
    assert (first["certificate"], first["effectiveExpiry"]) == ("user:dev1", "2026-12-22T03:00:00Z")


def presentations(pkigen: InProcess, *words: object) -> list[dict[str, Any]]:
    """What the graph says of who presents what."""
    found = pkigen("graph", *words, "-o", "json").json["connections"]
    return [shown for each in found for shown in each["presentations"]]


def test_is_anything_wrong(pkigen: InProcess, tree: Path) -> None:
    well = Reader(page_of(pkigen, tree))
    assert "✓ All is well." in well.text()
    assert "Nothing is wrong." in well.text("findings")
    (tree / "nodes/cp-1/etc/kubernetes/pki/apiserver-kubelet-client.crt").unlink()
    read = Reader(page_of(pkigen, tree))
    assert "✕ Broken." in read.text()
    assert "1 connection refused" in read.text()
    assert "cp-1/apiserver-kubelet-client missing" in read.text("findings")
    assert "`pkigen plan` shows how `pkigen apply` puts it right" in read.text("findings")
    assert re.search(r"kube-apiserver \(cp-1\) kubelet \(cp-1\) ✕ refused", read.text("graph"))
    broken = [
        each for each in pkigen("graph", tree, "-o", "json").json["connections"] if each["health"] == "broken"
    ]
    assert [(each["client"]["component"], each["server"]["component"]) for each in broken] == [
        ("kube-apiserver", "kubelet")
    ]


def test_an_expired_cluster_is_said_to_be_so(pkigen: InProcess, tree: Path) -> None:
    pkigen.now = NOW + 400 * DAY
    read = Reader(page_of(pkigen, tree))
    assert "certificates expired" in read.text("")
    assert "the cluster is expired" in read.text("")
    pkigen.now = NOW + 350 * DAY
    assert "! " in Reader(page_of(pkigen, tree)).text("timeline")


def test_who_trusts_this_ca(pkigen: InProcess, tree: Path) -> None:
    graph = Reader(page_of(pkigen, tree)).text("graph")
    trusted = graph.partition("Who trusts which CA")[2]
    rows = re.search(r"etcd-ca (.*?)front-proxy-ca (.*)", trusted)
    assert rows is not None
    assert "kube-apiserver on cp-1, by etcd/ca.crt" in rows[1]
    assert "kube-scheduler" not in rows[1]
    assert rows[2] == "aggregated API servers on cp-1, by front-proxy-ca.crt"
    found = pkigen("graph", tree, "--ca", "front-proxy-ca", "-o", "json").json["connections"]
    assert {each["server"]["component"] for each in found} == {"aggregated API servers, as published"}


def test_how_far_is_the_rotation(pkigen: InProcess, tree: Path) -> None:
    assert pkigen("rotate", "ca", "etcd", "-C", tree, "--yes").code == 0
    read = Reader(page_of(pkigen, tree))
    assert "etcd-ca is prepared" in read.text("")
    assert "etcd-ca prepared prepare pkigen rotate ca etcd --phase promote" in read.text("rotations")
    assert "ca stable never rotated pkigen rotate ca kubernetes" in read.text("rotations")
    trusts = [shown["trusts"] for shown in presentations(pkigen, tree, "--to", "etcd")]
    assert trusts
    assert all(set(each) == {"etcd-ca", "etcd-ca-next"} for each in trusts)


def test_what_changed_last_week(pkigen: InProcess, tree: Path) -> None:
    pkigen.now = NOW + 20 * DAY
    assert pkigen("renew", "-C", tree, "--yes", "cp-1/apiserver").code == 0
    pkigen.now += 3 * DAY
    text = Reader(page_of(pkigen, tree)).text("changes")
    assert "1 change in the last 7 days, the last one 3d ago: issued cp-1/apiserver" in text
    assert text.count("within the last 7 days") == 1
    assert "2026-11-22 03:00 23d ago" in text
    ends = {each["certificate"]: each["effectiveExpiry"] for each in presentations(pkigen, tree)}
    assert (ends["cp-1/apiserver"], ends["cp-1/etcd-server"]) == (
        "2027-12-12T03:00:00Z",
        "2027-11-22T03:00:00Z",
    )
    pkigen.now += 30 * DAY
    assert "nothing was changed in the last 7 days" in Reader(page_of(pkigen, tree)).text("changes")


# -- what must never be in it -------------------------------------------------------------------------------


def test_what_is_revoked(pkigen: InProcess, tree: Path) -> None:
    """Who may not come in any more, that nothing has to be done about it, and when it was decided."""
    assert "is revoked" not in Reader(page_of(pkigen, tree)).text()
    revoked = pkigen("-C", tree, "access", "revoke", "dev1", "--reason", "laptop <stolen>", "--yes")
    assert revoked.code == 0, revoked
    text = Reader(page_of(pkigen, tree)).text()
    assert "is revoked (laptop <stolen>)" in text
    assert "nothing has to be done: it is as somebody wanted it" in text
    assert "access revoke" in text


def test_no_private_byte_and_nothing_changed(pkigen: InProcess, tree: Path) -> None:
    before = photograph(tree)
    page = page_of(pkigen, tree)
    assert photograph(tree) == before
    secrets = 0
    for path in tree.rglob("*"):
        if path.is_file() and is_private(str(path.relative_to(tree))):
            for line in path.read_text().splitlines():
                words = [
                    word for word in re.findall(r"[A-Za-z0-9+/=]{24,}", line) if "CERTIFICATE" not in word
                ]
                for word in words:
                    secrets += 1
                    assert word not in page
                    assert base64.b64encode(word.encode()).decode() not in page
    assert secrets > 50


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}\u202e'


def test_hostile_names_are_text(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    place = tmp_path / 'c"><script>alert(2)<' / "cp-1"
    shutil.copytree(tree / "nodes/cp-1", place)
    (place / "etc/kubernetes/pki/apiserver.key").chmod(0o644)
    conf = place / "etc/kubernetes/admin.conf"
    conf.with_name(HOSTILE.replace("/", "_") + ".conf").write_bytes(conf.read_bytes())
    page = page_of(pkigen, place.parent)
    read = Reader(page)
    assert not [tag for tag, _ in read.elements if tag in {"script", "img", "iframe", "object", "link"}]
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert "alert(1)" in read.text()
    assert "{{ 7*7 }}" in read.text()
    assert "\u202e" not in page
    assert "\\u202e" in page
    drawn = Reader(pkigen("graph", place.parent, "-o", "svg").out)
    assert not [tag for tag, _ in drawn.elements if tag in {"script", "img"}]
    dot = pkigen("graph", place.parent, "-o", "dot").out
    assert '\\">' in dot
    mermaid = pkigen("graph", place.parent, "-o", "mermaid").out
    assert "<script" not in mermaid


def test_it_needs_no_network_and_no_script(pkigen: InProcess, tree: Path) -> None:
    page = page_of(pkigen, tree)
    read = Reader(page)
    for tag, attributes in read.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, value)
    assert "url(" not in page
    assert "@import" not in page
    assert not [tag for tag, _ in read.elements if tag == "script"]


def test_it_is_marked_up_for_readers_of_every_kind(pkigen: InProcess, tree: Path) -> None:
    read = Reader(page_of(pkigen, tree))
    tags = [tag for tag, _ in read.elements]
    assert {"header", "main", "footer", "nav", "h1", "caption"} <= set(tags)
    assert tags.count("h1") == 1
    assert all(attributes.get("scope") in {"row", "col"} for tag, attributes in read.elements if tag == "th")
    drawings = [attributes for tag, attributes in read.elements if tag == "svg"]
    assert drawings
    assert all(attributes["role"] == "img" for attributes in drawings)
    assert tags.count("title") == len(drawings) + 1 + tags.count("path"), "each has a name, and each arrow"
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for t, a in read.elements if t == "a"} <= set(map(str, ids))


# -- clusters of others, fleets -----------------------------------------------------------------------------


def test_nodes_that_pkigen_did_not_make(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "nodes/cp-1", tmp_path / "copy/cp-1")
    (tmp_path / "copy/cp-1/etc/kubernetes/pki/apiserver.key").chmod(0o644)
    read = Reader(page_of(pkigen, tmp_path / "copy"))
    assert "pkigen did not make this cluster" in read.text("")
    assert "chmod 600 it" in read.text("findings")
    assert "every client of this API server refuses its certificate" in read.text("timeline")
    assert "kube-scheduler" in read.text("graph")
    assert "rotations" not in read.sections
    result = pkigen("report", tmp_path / "copy", "--live")
    assert (result.code, result.out) == (2, "")


def test_a_fleet_is_one_page_what_needs_somebody_first(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    shutil.copytree(tree, fleet / "a-well")
    shutil.copytree(tree, fleet / "b-broken")
    (fleet / "b-broken/nodes/cp-1/etc/kubernetes/pki/apiserver.crt").unlink()
    shutil.copytree(tree, fleet / "c-unreadable")
    (fleet / "c-unreadable/pki.lock").write_text("{")
    out = tmp_path / "report.html"
    result = pkigen("report", fleet, "--out", out)
    assert result.code == 1
    assert "c-unreadable" in result.err
    read = Reader(out.read_text())
    table = read.text().partition("All clusters")[2].partition("Cluster home")[0]
    assert table.index("c-unreadable") < table.index("b-broken") < table.index("a-well")
    assert "✕ Not read" in table
    assert "✓ All is well" in table
    # A screen reader lists the parts of all clusters together, and two clusters may have one name.
    names = [str(found["aria-labelledby"]) for tag, found in read.elements if tag == "section"]
    parts = [name.split() for name in names if name != "fleet"]
    assert {tuple(each[-2:]) for each in parts} == {("c0", "c0-place"), ("c1", "c1-place")}
    assert len(names) == len(set(names))


def test_what_is_no_cluster_is_refused(pkigen: InProcess, tmp_path: Path) -> None:
    result = pkigen("report", tmp_path, "--out", tmp_path / "report.html")
    assert result.code == 2
    assert "is no cluster's directory" in result.error
    assert not (tmp_path / "report.html").exists()


# -- what has reached which node ----------------------------------------------------------------------------


def test_what_has_reached_which_node(pkigen: InProcess, tree: Path) -> None:
    from pkigen.cli.system import System  # noqa: PLC0415

    def nobody(*_: object) -> tuple[bytes, ...]:
        raise ConnectionRefusedError(111, "Connection refused")

    result = pkigen("report", tree, "--live", system=System(clock=lambda: NOW, dial=nobody))
    assert result.code == 0
    reached = Reader(result.out).text("rotations").partition("What has reached which node")[2]
    assert "kubelet ? unreachable 1: cp-1" in reached
    assert "pkigen report --live" not in reached


# -- how it looks -------------------------------------------------------------------------------------------


def test_no_label_of_the_timeline_reaches_into_the_next_column(pkigen: InProcess, tree: Path) -> None:
    pkigen.now = NOW + 308 * DAY
    page = page_of(pkigen, tree)
    axis = page.partition('<div class="axis"')[2].partition("</div>")[0]
    lines = {float(at) for at in re.findall(r'class="tick" x1="([\d.]+)%"', page)}
    labels = {float(at) for at in re.findall(r'<span style="left:([\d.]+)%">\d', axis)}
    assert max(lines) > 96
    assert labels == lines - {max(lines)}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for all pages: it takes longer to start than to look."""
    with Browser() as found:
        yield found


@pytest.fixture(scope="module", params=[1, 8])
def looked_at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(request.param, tmp_path_factory.mktemp("cluster"))


def written(nodes: int, place: Path) -> Path:
    from pkigen.cli.app import run  # noqa: PLC0415
    from pkigen.cli.system import System  # noqa: PLC0415

    (place / "spec.yaml").write_text(spec_of(nodes))
    system = System(clock=lambda: NOW)
    assert run(["init", str(place / "spec.yaml"), "-C", str(place / "prod")], system=system) == 0
    if nodes > 1:
        (place / "prod/nodes/cp-1/etc/kubernetes/pki/apiserver-kubelet-client.crt").unlink()
    later = System(clock=lambda: NOW + timedelta(days=340))
    assert run(["report", str(place / "prod"), "--out", str(place / "report.html")], system=later) == 0
    return place / "report.html"


AXE = Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8") if "AXE_CORE" in os.environ else ""


@needs_browser
@pytest.mark.live
def test_nothing_overlaps_and_nothing_scrolls_sideways(chromium: Browser, looked_at: Path) -> None:
    for name, look in LOOKS.items():
        found = chromium.look(looked_at, look, axe=AXE)
        assert found.texts > 50
        assert (found.overlaps, found.wide, found.violations) == ([], 0, []), name
        assert look.dark == (found.paper == "rgb(13, 17, 23)")


@needs_browser
@pytest.mark.live
def test_the_looking_notices(chromium: Browser, looked_at: Path, tmp_path: Path) -> None:
    """The control: a page whose texts do overlap, one that is too wide, and one that is hard to read."""
    page, changed = looked_at.read_text(), tmp_path / "changed.html"
    changed.write_text(page.replace("<footer>", '<p style="width:3000px;max-width:none">wide</p><footer>'))
    assert chromium.look(changed, LOOKS["phone"]).wide > 0
    over = '<p>below below</p><p style="margin-top:-1.6em">above above</p><footer>'
    changed.write_text(page.replace("<footer>", over))
    assert chromium.look(changed, LOOKS["phone"]).overlaps
    changed.write_text(page.replace("<footer>", '<p style="color:#ccc;background:#fff">pale</p><footer>'))
    assert bool(chromium.look(changed, LOOKS["phone"], axe=AXE).violations) == bool(AXE)


@needs_browser
@pytest.mark.live
@pytest.mark.sweep
@pytest.mark.parametrize("nodes", [50, 1000])
def test_large_clusters(chromium: Browser, nodes: int, tmp_path: Path) -> None:
    path = written(nodes, tmp_path)
    assert path.stat().st_size < 5_000_000
    for name, look in LOOKS.items():
        found = chromium.look(path, look, axe=AXE)
        assert (found.overlaps, found.wide, found.violations) == ([], 0, []), name
        # Generous to a busy machine: half a second is usual, and what would be too slow takes many.
        assert found.paint < 3000
