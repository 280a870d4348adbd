"""Many clusters: each by itself, one typo stops no other, and a second run does what is left."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.app import run
from pkigen.cli.fleet.documents import fleet_schema
from pkigen.cli.fleet.endings import failures, require_all
from pkigen.cli.fleet.visits import Failure, SiteVisit
from pkigen.cli.system import System
from pkigen.errors import PkigenError
from tests.cli.program import NOW, contents, copy_of
from tests.cli.schemas import closed

if TYPE_CHECKING:
    from types import ModuleType

    from tests.cli.program import InProcess

SITE = """\
apiVersion: pkigen/v1
kind: Cluster
metadata:
  name: $(name)
spec:
  kubernetesVersion: v1.36.2
  apiServer:
    bindPort: $(port)
  nodes:
    - name: $(name)-cp
      roles: [control-plane]
      addresses: [$(address)]
"""
ROWS = "name,address,port\nberlin,10.1.0.1,6443\nhamburg,10.2.0.1,7443\n"
FLEET = """\
apiVersion: pkigen/v1
kind: Fleet
metadata:
  name: edge
spec:
  template: site.yaml
  rows: sites.csv
"""


def write(place: Path, *, rows: str = ROWS, site: str = SITE, fleet: str = FLEET) -> Path:
    place.mkdir(exist_ok=True)
    (place / "site.yaml").write_text(site)
    (place / "sites.csv").write_text(rows)
    (place / "fleet.yaml").write_text(fleet)
    return place / "fleet.yaml"


@pytest.fixture(scope="session")
def made_fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet of two clusters that are made; never changed."""
    place = tmp_path_factory.mktemp("fleet") / "edge"
    file = write(place)
    assert run(["fleet", "apply", str(file), "--yes", "--jobs", "1"], system=System(clock=lambda: NOW)) == 0
    return place


@pytest.fixture
def fleet(made_fleet: Path, tmp_path: Path) -> Path:
    """A fleet of one's own, as its file."""
    return copy_of(made_fleet, tmp_path / "edge") / "fleet.yaml"


# -- one typo stops no other ------------------------------------------------------------------------------


def test_what_is_wrong_with_one_site_is_told_and_the_others_are_made(
    pkigen: InProcess, tmp_path: Path
) -> None:
    rows = (
        ROWS + "bad,10.3.0.300,6443\nworse,10.4.0.1,no\n,10.5.0.1,1\nshort,10.6.0.1\nberlin,10.7.0.1,6443\n"
    )
    file = write(tmp_path / "edge", rows=rows)
    result = pkigen("fleet", "apply", file, "--yes", "--jobs", 1)
    assert result.code == 1
    assert result.out == "made, 18 issued, 36 changes: hamburg\n"
    assert sorted(each.name for each in (tmp_path / "edge/clusters").iterdir()) == ["hamburg"]
    csv = tmp_path / "edge/sites.csv"
    place = "spec.nodes[0].addresses[0]"
    shared = f"its directory would be {tmp_path}/edge/clusters/berlin, which is also that of {csv}:8"
    for line in (
        f"failed: bad: {csv}:4:1: address: {place}: must be an IP address, not '10.3.0.300'",
        f"failed: worse: {csv}:5:1: port: spec.apiServer.bindPort: must be a whole number, not 'no'",
        f"failed: {csv}:6: {csv}:6:1: name: is empty, and the template asks for it",
        f"failed: {csv}:7: {csv}:7:1: has 2 cells where the first line names 3 columns",
        f"failed: {csv}:2: {csv}:2:1: {shared}",
    ):
        assert line in result.err.splitlines()
    assert result.error.startswith("6 of 7 clusters failed: ")
    assert result.hint == f"put that right, then `pkigen fleet apply {file}` does what is left"
    # What was wrong is put right: only what is left is done.
    before = contents(tmp_path / "edge/clusters/hamburg")
    (tmp_path / "edge/sites.csv").write_text(ROWS)
    again = pkigen("fleet", "apply", file, "--yes", "--jobs", 1)
    assert (again.code, again.out) == (0, "made, 18 issued, 36 changes: berlin\nnothing to do: hamburg\n")
    assert contents(tmp_path / "edge/clusters/hamburg") == before


def test_a_fault_of_the_template_is_told_once_for_all(pkigen: InProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "edge", site=SITE.replace("v1.36.2", "v1.36"))
    result = pkigen("fleet", "plan", file, "--jobs", 1)
    assert result.code == 1
    (line,) = [each for each in result.err.splitlines() if each.startswith("failed")]
    assert line.startswith(
        f"failed: berlin, hamburg: {tmp_path}/edge/site.yaml:6:22: spec.kubernetesVersion: "
    )


def test_a_damaged_cluster_stops_no_other(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "clusters/berlin/pki.lock").write_text("{")
    for command in (("plan",), ("apply", "--yes"), ("renew", "--yes"), ("status",)):
        result = pkigen("fleet", command[0], fleet, *command[1:], "--jobs", 2)
        assert result.code == 1
        assert "1 of 2 clusters failed: berlin" in result.error
        assert "failed: berlin: " in result.err
        assert "hamburg" in result.out


def test_a_directory_of_another_cluster_is_not_taken_over(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "clusters/berlin").rename(fleet.parent / "clusters/bremen")
    (fleet.parent / "sites.csv").write_text(ROWS.replace("berlin", "bremen"))
    result = pkigen("fleet", "plan", fleet, "--jobs", 1)
    assert "is cluster berlin, and the spec is for bremen" in result.err


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ({"fleet": "kind: Cluster"}, ["kind: must be Fleet, not 'Cluster'", "apiVersion: must be pkigen/v1"]),
        ({"fleet": FLEET + "  row: x\n"}, ["spec.row: is not a key here; did you mean rows?"]),
        (
            {"fleet": FLEET.replace("site.yaml", "gone.yaml")},
            ["gone.yaml: cannot be read: no such file or directory"],
        ),
        (
            {"fleet": FLEET.replace("  rows: sites.csv\n", "")},
            ["spec.rows: is missing: name a CSV or YAML file"],
        ),
        ({"fleet": FLEET + "  expirySpread: 50%\n"}, ["spec.expirySpread: must be a share from 0% to 25%"]),
        ({"site": SITE.replace("$(port)", "$(prot)")}, ["no row has a column 'prot'; did you mean port?"]),
        ({"site": SITE + "  $(name): x\n"}, ["a key cannot have gaps: a row fills in values"]),
        ({"fleet": ""}, ["is empty: write apiVersion: pkigen/v1, kind: Fleet"]),
    ],
)
def test_what_describes_no_fleet(
    pkigen: InProcess, tmp_path: Path, change: dict[str, str], sentences: list[str]
) -> None:
    file = write(tmp_path / "edge", **change)
    for words in (("fleet", "plan", file), ("validate", file)):
        result = pkigen(*words)
        assert result.code == 2
        for sentence in sentences:
            assert sentence in result.err or (
                words[0] == "validate" and "Fleet" not in change.get("fleet", "Fleet")
            )
    assert not (tmp_path / "edge/clusters").exists()


def test_a_row_that_is_cut_off_is_told_of_the_row(pkigen: InProcess, tmp_path: Path) -> None:
    """Alone, it is no reason to say that there is no such column: the first line names it."""
    file = write(tmp_path / "edge")
    header, first, *_ = ROWS.splitlines()
    (file.parent / "sites.csv").write_text(f"{header}\n{first.rpartition(',')[0]}\n")
    result = pkigen("fleet", "plan", file)
    assert "where the first line names" in result.err
    assert "no row has a column" not in result.err


def test_a_saved_plan_without_its_beginning(pkigen: InProcess, fleet: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("")
    refused = pkigen("fleet", "apply", fleet, plan, "--yes")
    assert (refused.code, refused.error) == (2, f"none of {fleet}, {plan} is a saved plan of a fleet")


def test_a_hint_names_the_cluster_that_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure(message="it is stale", hint="`pkigen plan` shows why")
    sites = [SimpleNamespace(label=name, root=Path("clusters") / name) for name in ("berlin", "kiel")]
    visited: list[SiteVisit[None]] = [SiteVisit(site=each, failure=failure) for each in sites]  # type: ignore[arg-type]
    assert [each["hint"] for each in failures(visited)] == [
        "`pkigen plan -C clusters/berlin` shows why",
        "`pkigen plan -C clusters/kiel` shows why",
    ]
    with pytest.raises(PkigenError):
        require_all(visited, again="pkigen fleet apply fleet.yaml")
    assert capsys.readouterr().err == (
        "failed: berlin, kiel: it is stale\nhint: `pkigen plan -C clusters/berlin` shows why\n"
    )


# -- what is the same afterwards --------------------------------------------------------------------------


def test_a_cluster_of_a_fleet_is_one_like_any_other(pkigen: InProcess, fleet: Path) -> None:
    berlin = fleet.parent / "clusters/berlin"
    assert pkigen("plan", "-C", berlin, "--exit-code").code == 0
    assert pkigen("verify", "-C", berlin).code == 0
    text = (berlin / "cluster.yaml").read_text()
    assert text.startswith("# Made by `pkigen fleet` from site.yaml: ")
    assert "    expirySpread: 10%\n" in text
    ends = {
        each["expires"][:10]
        for each in pkigen("status", "-C", berlin, "-o", "json").json["certificates"]
        if each["expires"]
    }
    assert len(ends) > 10


def test_a_plan_is_reviewed_as_one_file_and_carried_out_exactly(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS.replace(".1,", ".9,") + "munich,10.3.0.1,6443\n")
    plan = fleet.parent / "reviewed.json"
    planned = pkigen("fleet", "plan", fleet, "--save", plan, "--exit-code", "--jobs", 1)
    assert planned.code == 3
    assert "munich: new, 36 to create" in planned.out
    assert "expiries are spread: " in planned.out
    assert f"apply exactly this plan with `pkigen fleet apply {fleet} {plan}`" in planned.err
    saved = json.loads(plan.read_text())
    assert saved == pkigen("fleet", "plan", fleet, "-o", "json", "--jobs", 2).json
    assert saved["summary"] == {"unchanged": 0, "changed": 2, "new": 1, "absent": 0, "failed": 0}
    assert {each["plan"]["kind"] for each in saved["clusters"]} == {"Plan"}
    # One cluster changes in between: its part is refused, and no other.
    assert pkigen("renew", "--all", "-C", fleet.parent / "clusters/berlin", "--yes").code == 0
    before = contents(fleet.parent / "clusters/berlin")
    applied = pkigen("fleet", "apply", plan, "--yes", "--jobs", 1)
    assert applied.code == 1
    assert "failed: berlin: the saved plan is stale: " in applied.err
    assert "hint: plan the fleet again and review the new plan" in applied.err
    assert contents(fleet.parent / "clusters/berlin") == before
    assert "hamburg" in applied.out
    assert "munich" in applied.out
    # Carried out once more, it finds what it did done.
    again = pkigen("fleet", "apply", plan, "--yes", "--jobs", 1)
    assert again.out.endswith("nothing to do: hamburg, munich\n")


def test_an_encrypted_authority_is_opened_for_the_whole_fleet(pkigen: InProcess, fleet: Path) -> None:
    """Without what opens it, a reviewed renewal is done elsewhere; with it, what is left, and no more."""
    passphrase = fleet.parent / "words"
    passphrase.write_text("correct horse battery staple")
    passphrase.chmod(0o600)
    (fleet.parent / "site.yaml").write_text(f"{SITE}  certificates:\n    distributeCAKeys: false\n")
    assert pkigen("fleet", "apply", fleet, "--yes", "--force", "--jobs", 1).code == 0
    encrypted = ("--passphrase-file", passphrase, "-C", fleet.parent / "clusters/berlin", "--yes")
    assert pkigen("airgap", "authority", "encrypt", *encrypted).code == 0
    assert "berlin, hamburg: nothing to do" in pkigen("fleet", "plan", fleet, "--jobs", 1).out
    plan = fleet.parent / "renewal.json"
    assert pkigen("fleet", "renew", fleet, "--all", "--save", plan, "--jobs", 1).code == 0
    half = pkigen("fleet", "apply", plan, "--yes", "--jobs", 1)
    assert (half.code, half.out.splitlines()[-1][:7]) == (1, "applied")
    assert "failed: berlin: its authority is encrypted\nhint: give what opens it: " in half.err
    assert f"hint: put that right, then `pkigen fleet apply {fleet} {plan}` does what is left" in half.err
    hamburg = contents(fleet.parent / "clusters/hamburg")
    rest = pkigen("fleet", "apply", plan, "--yes", "--jobs", 1, "--passphrase-file", passphrase)
    assert rest.code == 0, rest.err
    assert rest.out.splitlines()[-2:] == [
        "applied, 13 issued, 13 changes: berlin",
        "nothing to do: hamburg",
    ]
    assert contents(fleet.parent / "clusters/hamburg") == hamburg


def test_documents_follow_the_published_schema(
    jsonschema: ModuleType, pkigen: InProcess, fleet: Path
) -> None:
    valid = jsonschema.Draft202012Validator(closed(fleet_schema()), format_checker=jsonschema.FormatChecker())

    def document(*words: object) -> dict[str, Any]:
        content: dict[str, Any] = pkigen("fleet", *words, "-o", "json", "--jobs", 1).json
        assert [error.message for error in valid.iter_errors(content)] == []
        return content

    quiet = document("plan", fleet)
    assert quiet["expiries"] is None
    (fleet.parent / "sites.csv").write_text(
        ROWS.replace("10.1.0.1", "10.1.0.9") + "munich,10.3.0.1,6443\nbad,300,1\n"
    )
    planned = document("plan", fleet)
    assert planned["summary"] == {"unchanged": 1, "changed": 1, "new": 1, "absent": 0, "failed": 1}
    assert planned["failures"][0]["problems"]
    assert document("apply", fleet, "--yes")["failures"]
    assert document("renew", fleet, "--all", "--yes")["clusters"][0]["backup"]
    assert document("status", fleet)["absent"] == ["bad"]
    # The control: what is none of these documents is refused.
    for change in ({"kind": "FleetStatus"}, {"more": 1}, {"clusters": [{}]}, {"digest": "1"}):
        assert list(valid.iter_errors({**planned, **change}))


def test_a_plan_that_was_changed_is_refused(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS.replace(".1,", ".9,"))
    plan = fleet.parent / "reviewed.json"
    assert pkigen("fleet", "plan", fleet, "--save", plan, "--jobs", 1).code == 0
    text = plan.read_text()
    for changed in (
        text.replace("hamburg", "hamburk"),
        json.dumps(json.loads(text)),
        text.replace('"risks": []', '"risks": [], "x": 1', 1),
        text[:-40],
        text + "\n",
    ):
        assert changed != text
        plan.write_text(changed)
        result = pkigen("fleet", "apply", fleet, plan, "--yes")
        assert result.code == 1
        assert "is not a fleet's plan as pkigen saved it" in result.error


def test_nothing_is_changed_without_consent(
    pkigen: InProcess, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS.replace(".1,", ".9,"))
    before = contents(fleet.parent / "clusters")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    result = pkigen("fleet", "apply", fleet, "--jobs", 1)
    assert (result.code, result.error) == (1, "not applied")
    assert contents(fleet.parent / "clusters") == before
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    agreed = pkigen("fleet", "apply", fleet, "--jobs", 1)
    assert agreed.code == 0
    assert "apply these changes to 2 clusters? [y/N]: " in agreed.err


def test_renewals_are_due_on_different_days(pkigen: InProcess, fleet: Path) -> None:
    days = []
    for day in (312, 336):
        pkigen.now = NOW + timedelta(days=day)
        document = pkigen("fleet", "renew", fleet, "--yes", "-o", "json", "--jobs", 1).json
        days.append(sum(each["issued"] for each in document["clusters"]))
    assert sum(days) == 26  # all leaves of both, none twice
    assert all(days)
    status = pkigen("fleet", "status", fleet, "--fail-within", "renewBefore", "--jobs", 1)
    assert status.code == 0, status.out


def test_what_a_renewal_leaves_alone(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS.replace("10.1.0.1", "10.1.0.9") + "munich,10.3.0.1,6443\n")
    result = pkigen("fleet", "renew", fleet, "--all", "--yes", "--jobs", 1)
    assert result.code == 1
    assert "not made yet (`pkigen fleet apply` makes it): munich" in result.out
    assert "applied, 13 issued, 13 changes: hamburg" in result.out
    assert "failed: berlin: " in result.err


# -- looking ----------------------------------------------------------------------------------------------


def test_metrics_of_all_clusters_are_one_document(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS + "munich,10.3.0.1,6443\n")
    result = pkigen("fleet", "status", fleet, "-o", "prometheus", "--jobs", 1)
    assert result.code == 0
    lines = result.out.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == len([line for line in lines if line.startswith("# HELP")])
    current = ""
    for line in lines:
        current = line.split()[2] if line.startswith("# TYPE") else current
        assert line.startswith(("#", f"{current}{{cluster="))
    for cluster in ("berlin", "hamburg"):
        own = pkigen("status", "-C", fleet.parent / "clusters" / cluster, "-o", "prometheus").out
        assert {line for line in own.splitlines() if line} <= set(lines)
    assert (
        f'pkigen_cluster_read_error{{cluster="berlin",directory="{fleet.parent}/clusters/berlin"}} 0' in lines
    )


def test_the_status_of_all_clusters(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS + "munich,10.3.0.1,6443\nbad,300,1\n")
    document = pkigen("fleet", "status", fleet, "-o", "json", "--jobs", 2).json
    assert [each["cluster"] for each in document["clusters"]] == ["berlin", "hamburg"]
    assert document["absent"] == ["munich", "bad"]
    own = pkigen("status", "-C", fleet.parent / "clusters/berlin", "-o", "json").json
    assert document["clusters"][0]["certificates"] == own["certificates"]
    text = pkigen("fleet", "status", fleet, "--jobs", 1).out
    assert [line.split()[0] for line in text.splitlines()] == [
        "CLUSTER",
        "berlin",
        "hamburg",
        "munich",
        "bad",
    ]
    markdown = pkigen("fleet", "status", fleet, "-o", "markdown", "--jobs", 1).out
    assert markdown.count("\n| `") == 4
    file = fleet.parent / "out.prom"
    assert pkigen("fleet", "status", fleet, "--textfile", file, "-o", "prometheus", "--jobs", 1).out == ""
    assert file.read_text().startswith("# HELP")
    late = pkigen("fleet", "status", fleet, "--fail-within", "8760h", "--jobs", 1)
    assert late.code == 4
    assert "finding: hamburg: hamburg-cp/apiserver" in late.err


def test_the_page_of_all_clusters(pkigen: InProcess, fleet: Path) -> None:
    result = pkigen("fleet", "report", fleet)
    assert result.code == 0
    assert "berlin" in result.out
    assert "hamburg" in result.out


def test_plans_for_a_pull_request(pkigen: InProcess, fleet: Path) -> None:
    (fleet.parent / "sites.csv").write_text(ROWS.replace(".1,", ".9,") + "bad,300,1\n")
    result = pkigen("fleet", "plan", fleet, "-o", "markdown", "--jobs", 1)
    assert "### Fleet `edge`: 2 of 3 clusters to change" in result.out
    assert result.out.count("<details><summary><code>") == 2
    assert "- **Failed**: `bad`: `" in result.out
    full = pkigen("fleet", "plan", fleet, "--full", "--jobs", 1)
    assert "berlin-cp/apiserver" in full.out


# -- directories of specs ---------------------------------------------------------------------------------


def test_a_directory_of_specs(pkigen: InProcess, made: Path, tmp_path: Path) -> None:
    place = tmp_path / "sites"
    place.mkdir()
    text = SITE.replace("$(port)", "6443").replace("$(address)", "10.1.0.1")
    (place / "one.yaml").write_text(text.replace("$(name)", "one"))
    spread = text.replace("$(name)", "two") + "  certificates: {expirySpread: 5%}\n"
    (place / "two.yaml").write_text(spread)
    (place / "typo.yml").write_text("apiVersion: pkigen/v1\n")
    copy_of(made / "home", place / "home")
    result = pkigen("fleet", "apply", place, "--yes", "--jobs", 1)
    assert result.code == 1
    assert "1 of 4 clusters failed: typo" in result.error
    assert result.out == "made, 18 issued, 36 changes: one, two\nnothing to do: home\n"
    assert "expirySpread: 10%" in (place / "one/cluster.yaml").read_text()
    assert (place / "two/cluster.yaml").read_text() == spread  # as it is
    plan = pkigen("fleet", "plan", place, "--jobs", 1)
    assert "not spread: 1 cluster whose spec is used as it is" in plan.out
    valid = pkigen("validate", place, "-o", "json")
    assert valid.code == 2
    assert [each["valid"] for each in valid.json["validations"]] == [True, True, False, True]


def test_many_specs_are_validated_at_once(pkigen: InProcess, spec: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(spec.read_text().replace("10.0.0.11", "300"))
    result = pkigen("validate", wrong, spec, write(tmp_path / "edge"))
    assert result.code == 2
    assert result.error == "1 problem in 1 of 4 specs"
    assert f"{wrong}:10:" in result.err
    assert [line.partition(" is ")[0] for line in result.out.splitlines()] == [
        str(spec),
        f"{tmp_path}/edge/sites.csv:2",
        f"{tmp_path}/edge/sites.csv:3",
    ]


def test_a_directory_that_is_none(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no spec and no cluster's directory" in pkigen("fleet", "plan", tmp_path / "empty").error
    assert "is a cluster's directory, not a fleet" in pkigen("fleet", "plan", tree).error
    assert "is a cluster's directory, not a spec" in pkigen("validate", tree).error
