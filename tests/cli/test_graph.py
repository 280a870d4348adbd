"""The trust graph in each of its forms, and what is chosen of it."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.cli.reports import graph_forms
from pkigen.cli.reports.trust_drawing import svg
from pkigen.cli.reports.trust_picture import picture
from pkigen.desired.connections import Peer
from pkigen.desired.trust_graph import Connection, Health, Presentation, Shower, TrustGraph
from tests.cli.pages import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import InProcess


def connection(client: str, server: str, *, health: Health = Health.HOLDS) -> Connection:
    """`component@node` to `component@node`."""
    ends = [
        Peer(component=each.partition("@")[0], node=each.partition("@")[2] or None)
        for each in (client, server)
    ]
    shown = Presentation(
        shown_by=Shower.CLIENT,
        certificate=f"{ends[0].node}/some-client",
        bundle="nodes/x/etc/kubernetes/pki/ca.crt",
        health=health,
        refusals=("it is refused",) if health is Health.BROKEN else (),
    )
    return Connection(client=ends[0], server=ends[1], presentations=(shown,))


def graph(*found: Connection) -> TrustGraph:
    return TrustGraph(connections=found)


def test_nodes_of_a_component_share_a_box() -> None:
    found = graph(*(connection(f"kubelet@w-{each}", "kube-apiserver@cp-1") for each in range(12)))
    drawn = picture(found)
    assert [(box.title, box.where) for box in drawn.boxes] == [
        ("kubelet", "w-0 … w-11 (12)"),
        ("kube-apiserver", "cp-1"),
    ]
    (arrow,) = drawn.arrows
    assert arrow.state == "holds"
    assert len(picture(found, full=True).boxes) == 13


def test_a_node_that_is_refused_has_a_box_of_its_own() -> None:
    found = [connection(f"kubelet@w-{each}", "kube-apiserver@cp-1") for each in range(12)]
    found[3] = connection("kubelet@w-3", "kube-apiserver@cp-1", health=Health.BROKEN)
    drawn = picture(graph(*found))
    kubelets = {box.where for box in drawn.boxes if box.title == "kubelet"}
    assert kubelets == {"w-3", "w-0 … w-11 (11)"}
    assert {arrow.client.where: arrow.state for arrow in drawn.arrows} == {
        "w-3": "refused",
        "w-0 … w-11 (11)": "holds",
    }
    for number in range(8):
        found[number] = connection(f"kubelet@w-{number}", "kube-apiserver@cp-1", health=Health.BROKEN)
    (arrow,) = picture(graph(*found)).arrows
    assert arrow.state == "8 of 12 refused"


def test_what_is_refused_stands_out_in_every_form() -> None:
    found = graph(
        connection("kube-apiserver@cp-1", "etcd@cp-1"),
        connection("kube-apiserver@cp-1", "kubelet@w-1", health=Health.BROKEN),
    )
    drawn = picture(found)
    assert len(re.findall(r'class="arrow broken"', svg(drawn, cluster="c"))) == 1
    assert "kube-apiserver to kubelet is refused" in svg(drawn, cluster="c")
    assert graph_forms.dot(drawn, cluster="c").count("style=bold") == 1
    assert graph_forms.mermaid(drawn).splitlines()[-1] == "  linkStyle 0 stroke:#b3261e"
    text = "\n".join(line.text for line in graph_forms.lines(found))
    assert text.count("it is refused") == 1


def test_boxes_do_not_lie_over_one_another(pkigen: InProcess, tree: Path) -> None:
    drawn = pkigen("graph", tree, "-o", "svg").out
    places = re.findall(r'translate\(([\d.]+),([\d.]+)\)"><rect width="([\d.]+)" height="([\d.]+)"', drawn)
    boxes = [tuple(map(float, each)) for each in places]
    assert len(boxes) > 10
    for number, (x, y, width, height) in enumerate(boxes):
        for other, (left, top, wide, high) in enumerate(boxes):
            if number != other:
                assert x + width <= left or left + wide <= x or y + height <= top or top + high <= y
    size = re.search(r'viewBox="0 0 (\d+) ([\d.]+)"', drawn)
    assert size is not None
    assert all(x + width <= float(size[1]) and y + height <= float(size[2]) for x, y, width, height in boxes)
    assert 'xmlns="http://www.w3.org/2000/svg"' in drawn
    assert {"title", "desc"} <= {tag for tag, _ in Reader(drawn).elements}


@pytest.mark.parametrize(
    ("words", "client", "server"),
    [
        (("--from", "apiserver", "--to", "etcd"), {"kube-apiserver"}, {"etcd", "etcd peer"}),
        (("--to", "kubelet"), {"kube-apiserver"}, {"kubelet"}),
        (("--from", "dev1"), {"user dev1"}, {"kube-apiserver"}),
        (("--from", "Pods"), {"Pods, as published"}, {"kube-apiserver"}),
    ],
)
def test_what_is_chosen(
    words: tuple[str, ...], client: set[str], server: set[str], pkigen: InProcess, tree: Path
) -> None:
    content = pkigen("graph", tree, *words, "-o", "json").json
    assert content["kind"] == "TrustGraph"
    assert {each["client"]["component"] for each in content["connections"]} == client
    assert {each["server"]["component"] for each in content["connections"]} <= server
    assert yaml.safe_load(pkigen("graph", tree, *words, "-o", "yaml").out) == content


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("--from", "kubelett"), "there is no client 'kubelett' here", "did you mean kubelet?"),
        (("--to", "nobody"), "there is no server 'nobody' here", "choose from etcd, kubelet, kube-apiserver"),
        (("--node", "cp-9"), "there is no node 'cp-9' in this cluster", "did you mean cp-1?"),
        (("--ca", "etcd"), "nobody here trusts a CA 'etcd'", "did you mean etcd-ca?"),
    ],
)
def test_what_is_not_there_is_refused(
    words: tuple[str, ...], said: str, hint: str, pkigen: InProcess, tree: Path
) -> None:
    result = pkigen("graph", tree, *words)
    assert (result.code, result.out) == (2, "")
    assert result.error == said
    assert hint in result.hint


def test_the_graph_and_verify_agree(pkigen: InProcess, tree: Path) -> None:
    (tree / "nodes/cp-1/etc/kubernetes/pki/front-proxy-client.crt").unlink()
    broken = [
        each
        for each in pkigen("graph", "-C", tree, "-o", "json").json["connections"]
        if each["health"] == "broken"
    ]
    found = [
        each
        for each in pkigen("verify", "-C", tree, "-o", "json").json["findings"]
        if each["reason"] == "broken-edge"
    ]
    assert len(broken) == len(found) == 1
    assert broken[0]["presentations"][0]["refusals"] == [found[0]["detail"]]


def test_one_node_and_nodes_of_others(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "nodes/cp-1", tmp_path / "copy/cp-1")
    own = pkigen("graph", tree, "--node", "cp-1", "-o", "json").json["connections"]
    others = pkigen("graph", tmp_path / "copy", "--node", "cp-1", "-o", "json").json["connections"]
    for found in (own, others):
        ends = {(each["client"]["component"], each["server"]["component"]) for each in found}
        assert {("kube-apiserver", "etcd"), ("kube-scheduler", "kube-apiserver")} <= ends
        assert all(each["health"] == "holds" for each in found), json.dumps(found, indent=1)


def test_the_text_is_a_small_picture(pkigen: InProcess, tree: Path) -> None:
    lines = pkigen("graph", tree, "--from", "apiserver", "--to", "etcd").out.splitlines()
    assert lines == [
        "kube-apiserver (cp-1) ── apiserver-etcd-client ───▶ etcd (cp-1)",
        "                      ◀─ etcd-server ──────────────",
        "  etcd judges by etcd/ca.crt: holds, until 2027-11-22 03:00 UTC",
        "  kube-apiserver judges by etcd/ca.crt: holds, until 2027-11-22 03:00 UTC",
    ]
    explained = pkigen("explain", "apiserver-etcd-client", "-C", tree).out
    assert "\n".join(lines) in explained


def test_the_timeline_in_a_terminal(pkigen: InProcess, tree: Path) -> None:
    lines = pkigen("status", "-C", tree, "--timeline").out.splitlines()
    first = lines.index(next(line for line in lines if line.startswith("user:dev1")))
    assert first == 2
    assert re.fullmatch(r"user:dev1 +│█*▒* +2026-12-22 +30d", lines[first])
    assert lines[first + 1] == "    the API server answers 401 Unauthorized to this user"
    assert all(len(line) <= 80 for line in lines if "█" in line)
    # An hour is no cell of a year, and is seen.
    start, pkigen.now = pkigen.now, pkigen.now + timedelta(days=30, hours=-1)
    assert re.search(r"(?m)^user:dev1 +░+│▒ +2026-12-22 ", pkigen("status", "-C", tree, "--timeline").out)
    pkigen.now = start.replace(year=2027, month=10)
    later = pkigen("status", "-C", tree, "--timeline", "--node", "cp-1").out
    assert re.search(r"apiserver +░+│█*▒+ +2027-11-22", later)
    result = pkigen("status", "-C", tree, "--timeline", "-o", "json")
    assert (result.code, result.error) == (2, "--timeline and -o json cannot be combined")
