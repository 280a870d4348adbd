"""How plans look: folded for people, as Markdown for pull requests, as JSON that follows its schema."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pkigen.cli.app import run
from pkigen.cli.console import say_lines
from pkigen.cli.fleet.documents import fleet_schema
from pkigen.cli.reports import structured
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.plan_document import PlanDocument, plan_schema
from pkigen.cli.reports.plan_lines import plan_lines
from pkigen.cli.reports.plan_markdown import code, fenced, plan_markdown
from pkigen.cli.reports.rollout_document import rollout_schema
from pkigen.cli.system import System
from pkigen.desired.generations import CA, ca_id
from pkigen.desired.inventory import derive
from pkigen.notation import printable
from pkigen.reconcile.plan import Plan, Reissue, Rewrite
from pkigen.state.reasons import Reason
from tests.cli.program import DAY, HOME, NOW, REPOSITORY, InProcess, copy_of
from tests.cli.schemas import closed
from tests.samples import CP1, CP2, CP3, W1, W2, spec

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

THREE = HOME.replace(
    "  users:",
    "    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}\n"
    "    - {name: cp-3, roles: [control-plane], addresses: [10.0.0.13]}\n"
    "  controlPlaneEndpoint: api.example.com:6443\n  users:",
)
WIDER = THREE.replace("  users:", "  apiServer:\n    certSANs: [api2.example.com]\n  users:")
END = f"{NOW + timedelta(days=365):%Y-%m-%d}"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("three")
    (place / "three.yaml").write_text(THREE)
    arguments = ["init", str(place / "three.yaml"), "-C", str(place / "home")]
    assert run(arguments, system=System(clock=lambda: NOW)) == 0
    return place


def test_an_identical_change_on_many_nodes_is_one_line(
    pkigen: InProcess, three: Path, tmp_path: Path
) -> None:
    file = tmp_path / "three.yaml"
    file.write_text(WIDER)
    lines = pkigen("plan", file, "-C", three / "home").out.splitlines()
    change = f"SANs + api2.example.com, valid until {END}"
    assert lines[:2] == [
        "certificates:",
        f"  ! reissue apiserver on cp-1, cp-2, cp-3: {change} (sans-changed)",
    ]
    assert len(lines) <= 20
    assert lines[-2].startswith("3 to reissue, ")
    assert lines[-1] == f"spec: {file} becomes {three / 'home/cluster.yaml'}"


def test_the_diff_of_a_file_is_shown_once(pkigen: InProcess, three: Path, tmp_path: Path) -> None:
    file = tmp_path / "three.yaml"
    arguments = "  apiServer:\n    extraArgs: [{name: profiling, value: 'false'}]\n  users:"
    file.write_text(THREE.replace("  users:", arguments))
    short = pkigen("plan", file, "-C", three / "home").out.splitlines()
    place = f"{MANIFEST} on cp-1, cp-2, cp-3"
    assert short[:4] == [
        "configuration files:",
        f"  ~ rewrite {place}: +1 -0 lines (content-changed)",
        f"{place}:",
        "  +    - --profiling=false",
    ]
    full = pkigen("plan", file, "-C", three / "home", "--full").out
    for node in ("cp-1", "cp-2", "cp-3"):
        path = f"nodes/{node}{MANIFEST}"
        assert f"    --- {path}\n    +++ {path}\n    @@ -" in full


def test_a_first_plan_is_a_table(pkigen: InProcess, three: Path, tmp_path: Path) -> None:
    dry = ("init", three / "three.yaml", "-C", tmp_path / "new", "--dry-run")
    lines = pkigen(*dry).out.splitlines()
    assert len(lines) <= 20
    assert [line for line in lines if "cp-1, cp-2, cp-3  " in line or "cp-2, cp-3  " in line]
    assert lines[-1].endswith(" to create, 0 unchanged")
    full = pkigen(*dry, "--full").out.splitlines()
    content = pkigen(*dry, "-o", "json").json
    assert sum(line.startswith("+ create ") for line in full) == len(content["actions"]) > 70


def test_a_saved_plan_is_shown_as_plan_showed_it(pkigen: InProcess, three: Path, tmp_path: Path) -> None:
    file, saved = tmp_path / "three.yaml", tmp_path / "plan.json"
    file.write_text(WIDER)
    planned = pkigen("plan", file, "-C", three / "home", "--save", saved)
    shown = pkigen("show", saved)
    assert (shown.code, shown.err) == (0, "")
    assert planned.out == f"{shown.out}spec: {file} becomes {three / 'home/cluster.yaml'}\n"
    assert pkigen("show", saved, "-o", "json").json == json.loads(saved.read_text())
    assert "- `! reissue apiserver on cp-1, cp-2, cp-3: " in pkigen("show", saved, "-o", "markdown").out
    assert len(pkigen("show", saved, "--full").out.splitlines()) > len(shown.out.splitlines())
    refused = pkigen("show", saved, "--runbook", tmp_path / "runbook")
    assert (refused.code, refused.error) == (2, "--runbook needs a change")
    assert pkigen("show", "-C", three / "home", "--full").error == "--full and -o markdown need a saved plan"
    saved.write_text(saved.read_text().replace("api2", "api3"))
    assert "was changed after it was saved" in pkigen("show", saved).error


def test_risks_come_first(pkigen: InProcess, three: Path, tmp_path: Path) -> None:
    root = copy_of(three / "home", tmp_path / "home")
    for name in ("ca.crt", "ca.key"):
        (root / "pki" / name).unlink()
    result = pkigen("plan", three / "three.yaml", "-C", root)
    assert result.out.startswith("risk: it makes a new ca CA")
    assert "> [!CAUTION]" in pkigen("plan", three / "three.yaml", "-C", root, "-o", "markdown").out


def test_colours_are_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [Line("risk: a\x1b[2J", Tone.RISK), Line("plain")]
    say_lines(lines)
    assert capsys.readouterr().out == "risk: a\\x1b[2J\nplain\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    say_lines(lines)
    assert capsys.readouterr().out == "\x1b[1;38;5;196mrisk: a\\x1b[2J\x1b[0m\nplain\n"
    monkeypatch.setenv("NO_COLOR", "1")
    say_lines(lines)
    assert "\x1b" not in capsys.readouterr().out


# -- Markdown -----------------------------------------------------------------------------------------

HOSTILE = [
    "a`b``c",
    "`",
    "a|b",
    "</details><script>alert(1)</script>",
    "x\n\n# title\n",
    "[a](http://b)",
    "```\nout",
    "@everyone #1 *b* _i_",
    "- item",
    "\u202eright",
    " ",
]


def structure(text: str) -> list[tuple[str, str]]:
    """The kinds of tokens of a document, and what is not in code."""
    found = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        children = token.children or []
        found += [(each.type, "" if each.type == "code_inline" else each.content) for each in children]
        found.append((token.type, token.info))
    return found


def document(text: str) -> PlanDocument:
    """A plan in which somebody's text stands wherever one can."""
    inventory = derive(spec(CP1, CP2, CP3, W1, W2, controlPlaneEndpoint="api.example.com:6443"))
    path = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
    actions = (
        Reissue(
            id="cp-1/apiserver",
            paths=("nodes/cp-1/etc/kubernetes/pki/apiserver.crt",),
            node="cp-1",
            reason=Reason.SANS_CHANGED,
            details=(f"SANs + {text}",),
        ),
        Rewrite(
            id=path,
            paths=(path,),
            node="cp-1",
            reason=Reason.CONTENT_CHANGED,
            details=(text,),
            diff=("@@ -1 +1 @@", f"+{text}"),
        ),
    )
    content = structured.plan(Plan(actions=actions), inventory, (text,))
    content["leftovers"] = [{"node": "cp-1", "files": [text]}]
    content["cautions"] = content["notJudged"] = [text]
    content["cluster"] = text
    return PlanDocument.of(structured.bound(content))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_changes_the_structure_of_markdown(text: str) -> None:
    plain = plan_markdown(document("abc"))
    shown = plan_markdown(document(text))
    assert len(plain.splitlines()) == len(shown.splitlines())
    # The digest differs, and stands in code.
    assert structure(shown) == structure(plain)


@given(st.text())
def test_a_code_span_shows_what_it_is_given(text: str) -> None:
    (inline,) = [each for each in MarkdownIt().parse(f"- {code(f'+ {text}')}") if each.type == "inline"]
    assert [each.type for each in inline.children or []] == ["code_inline"]
    assert (inline.children or [])[0].content == printable(f"+ {text}")


@given(st.lists(st.text(), min_size=1))
def test_a_block_ends_only_where_it_ends(lines: list[str]) -> None:
    tokens = MarkdownIt().parse("\n".join((*fenced(lines, "diff"), "after")))
    assert [each.type for each in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


def test_no_text_changes_the_structure_of_lines() -> None:
    plain = list(plan_lines(document("abc"), full=True))
    for text in HOSTILE:
        assert len(list(plan_lines(document(text), full=True))) == len(plain)


def test_a_long_diff_is_left_out_of_a_comment_and_named() -> None:
    content: dict[str, Any] = json.loads(document("abc").model_dump_json(by_alias=True))
    content["actions"][1]["diff"] += ["+" + "x" * 100] * 1000
    plan = PlanDocument.of(content)
    assert "1 diffs are too long for a comment" in plan_markdown(plan)
    assert len(plan_markdown(plan)) < 65_536 < len(plan_markdown(plan, full=True))


# -- the schema -----------------------------------------------------------------------------------------


def test_the_published_schema_is_the_models(jsonschema: ModuleType, pkigen: InProcess) -> None:
    published = json.loads((REPOSITORY / "docs/plan.schema.json").read_text())
    assert published == plan_schema() == pkigen("validate", "--schema", "plan").json
    jsonschema.Draft202012Validator.check_schema(published)
    steps = json.loads((REPOSITORY / "docs/rollout.schema.json").read_text())
    assert steps == rollout_schema() == pkigen("validate", "--schema", "rollout").json
    jsonschema.Draft202012Validator.check_schema(steps)
    fleets = json.loads((REPOSITORY / "docs/fleet.schema.json").read_text())
    assert fleets == fleet_schema() == pkigen("validate", "--schema", "fleet").json
    jsonschema.Draft202012Validator.check_schema(fleets)


def test_real_plans_of_every_kind_follow_the_schema(
    jsonschema: ModuleType, pkigen: InProcess, three: Path, tmp_path: Path
) -> None:
    file, root = tmp_path / "three.yaml", copy_of(three / "home", tmp_path / "home")
    file.write_text(THREE)

    def plan(*options: object) -> Any:
        return pkigen("plan", file, "-C", root, "-o", "json", *options).json

    plans = {
        "nothing": plan(),
        "new": pkigen("init", file, "-C", tmp_path / "n", "--dry-run", "-o", "json").json,
    }
    file.write_text(WIDER.replace("name: cp-3", "name: cp-4"))
    plans["changed"] = plan()
    file.write_text(THREE)
    pkigen.now += 340 * DAY
    plans["renewed"] = plan()
    pkigen.now -= 340 * DAY
    assert pkigen("rotate", "ca", "kubernetes", file, "-C", root, "--yes").code == 0
    (root / "pki" / "sa.key").write_text("rubbish")
    plans["rotating"] = plan()
    (root / "pki" / "ca.key").unlink()
    (root / "pki" / "ca.crt").unlink()
    plans["dangerous"] = plan()
    offline = file.read_text().replace("  users:", "  certificates: {nodeKeys: node}\n  users:")
    file.write_text(offline)
    plans["waiting"] = pkigen("init", file, "-C", tmp_path / "none", "--dry-run", "-o", "json").json
    validator = jsonschema.Draft202012Validator(
        closed(plan_schema()), format_checker=jsonschema.FormatChecker()
    )
    for name, content in plans.items():
        assert [error.message for error in validator.iter_errors(content)] == [], name
    verbs = {action["action"] for content in plans.values() for action in content["actions"]}
    assert verbs >= {"create", "reissue", "rewrite", "renew", "remove"}
    assert plans["waiting"]["waiting"]
    assert plans["rotating"]["rotations"] == {ca_id(CA.KUBERNETES): "prepared"}
    assert plans["dangerous"]["risks"]
    # The control: a plan that is none is refused.
    for change in ({"digest": "1"}, {"more": 1}, {"actions": [{}]}):
        assert list(validator.iter_errors({**plans["changed"], **change}))
