"""One root above all sites: one request file, one answer for all, and each site takes its own alone."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.fleet.documents import fleet_schema
from pkigen.cli.system import System
from tests.cli.program import NOW, contents, copy_of
from tests.cli.schemas import closed
from tests.cli.test_fleet import FLEET

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.cli.program import InProcess

SITE = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: $(name)}
spec:
  kubernetesVersion: v1.36.2
  certificates: {authority: offline}
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [$(address)]}
"""
ROWS = "name,address\nberlin,10.1.0.1\nhamburg,10.2.0.1\n"


@pytest.fixture(scope="session")
def asked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sides, with the request of two sites; never changed."""
    place = tmp_path_factory.mktemp("root") / "edge"
    place.mkdir()
    (place / "site.yaml").write_text(SITE)
    (place / "sites.csv").write_text(ROWS)
    (place / "fleet.yaml").write_text(FLEET)
    system = System(clock=lambda: NOW)
    for words in (
        ("airgap", "authority", "init", place / "fleet.yaml", "--authority", place / "offline"),
        ("fleet", "request", place / "fleet.yaml", "--request", place / "edge.requests", "--jobs", "1"),
    ):
        assert run([str(each) for each in words], system=system) == 0
    return place


@pytest.fixture
def place(asked_once: Path, tmp_path: Path) -> Path:
    return copy_of(asked_once, tmp_path / "edge")


class Sides:
    """Both sides of a fleet."""

    def __init__(self, pkigen: InProcess, place: Path) -> None:
        self.pkigen, self.place = pkigen, place
        self.fleet = place / "fleet.yaml"
        authority = ("--authority", place / "offline")
        self._authority = authority
        made = pkigen("airgap", "authority", "init", self.fleet, *authority, "-o", "json").json
        self.key = made["authorityKey"]
        self.fingerprint = self.request().json["fingerprint"]

    def request(self, *more: object):  # noqa: ANN201 -- a result
        file = self.place / "edge.requests"
        return self.pkigen(
            "fleet", "request", self.fleet, "--request", file, "--jobs", 1, "-o", "json", *more
        )

    def sign(self, *more: object):  # noqa: ANN201 -- a result
        words = ("airgap", "authority", "sign", self.place / "edge.requests", "--spec", self.fleet)
        return self.pkigen(*words, *self._authority, "--yes", *more)

    def accept(self, *more: object):  # noqa: ANN201 -- a result
        words = ("fleet", "accept", self.fleet, self.place / "edge.answers", "--yes", "--jobs", 1)
        return self.pkigen(*words, *more)


@pytest.fixture
def sides(pkigen: InProcess, place: Path) -> Sides:
    return Sides(pkigen, place)


def test_one_request_and_one_answer_make_all_sites(sides: Sides) -> None:
    pending = sides.request().json
    assert [(each["cluster"], each["certificates"]) for each in pending["clusters"]] == [
        ("berlin", 3),
        ("hamburg", 3),
    ]
    assert not any(each["isNew"] for each in pending["clusters"])  # the same again
    assert sides.sign("--pin", sides.fingerprint).code == 0
    accepted = sides.accept("--pin", sides.key)
    assert (accepted.code, accepted.out) == (0, "made, 16 issued, 34 changes: berlin, hamburg\n")
    assert sides.accept().out == "nothing to do: berlin, hamburg\n"
    for cluster in ("berlin", "hamburg"):
        root = sides.place / "clusters" / cluster
        assert sides.pkigen("verify", "-C", root).code == 0
        assert sides.pkigen("plan", "-C", root, "--exit-code").code == 0
    assert sides.pkigen("fleet", "plan", sides.fleet, "--exit-code", "--jobs", 1).code == 0
    assert sides.request().json["file"] is None


def test_documents_follow_the_published_schema(jsonschema: ModuleType, sides: Sides) -> None:
    valid = jsonschema.Draft202012Validator(closed(fleet_schema()), format_checker=jsonschema.FormatChecker())
    found = [
        sides.request().json,
        sides.sign("--pin", sides.fingerprint, "-o", "json").json,
        sides.accept("--pin", sides.key, "-o", "json").json,
        sides.request().json,
    ]
    assert [each["kind"] for each in found] == [
        "FleetRequested",
        "FleetAnswered",
        "FleetApplied",
        "FleetRequested",
    ]
    for content in found:
        assert [error.message for error in valid.iter_errors(content)] == []


def test_another_site_comes_later(sides: Sides) -> None:
    assert sides.sign("--pin", sides.fingerprint).code == 0
    assert sides.accept("--pin", sides.key).code == 0
    (sides.place / "sites.csv").write_text(ROWS + "munich,10.3.0.1\n")
    refused = sides.pkigen("fleet", "apply", sides.fleet, "--yes", "--jobs", 1)
    assert "hint: `pkigen fleet request FLEET` requests them for all sites in one file" in refused.err
    asked = sides.request().json
    assert [each["certificates"] for each in asked["clusters"]] == [0, 0, 3]
    # Its key is not known yet; those of the others are.
    unknown = sides.sign()
    assert unknown.code == 1
    assert "failed: munich: the key of munich is not known here" in unknown.err
    assert sides.sign("--pin", asked["fingerprint"]).code == 0
    accepted = sides.accept("--pin", sides.key)
    assert accepted.out == "no answer in this file: berlin, hamburg\nmade, 16 issued, 34 changes: munich\n"


def test_a_request_that_was_answered_gets_the_same_answer(sides: Sides) -> None:
    assert sides.sign("--pin", sides.fingerprint).code == 0
    answers = (sides.place / "edge.answers").read_bytes()
    again = sides.sign()
    assert "was answered before: the same answer again" in again.err
    assert (sides.place / "edge.answers").read_bytes() == answers


def altered(file: Path, cluster: str, data: bytes) -> None:
    """Another part for one cluster, in a file of the form that pkigen writes."""
    content = json.loads(file.read_text())
    for each in content["files"]:
        if each["cluster"] == cluster:
            each["file"] = base64.b64encode(data).decode()
    indent = 2 if "\n  " in file.read_text() else None
    file.write_text(json.dumps(content, indent=indent, sort_keys=True) if indent else json.dumps(content))


def test_a_file_that_is_another_than_was_compared_is_not_signed(sides: Sides) -> None:
    file = sides.place / "edge.requests"
    before = contents(sides.place / "offline")
    original = file.read_bytes()
    for changed in (original.replace(b"berlin", b"berlim"), original[:-30], b"{}", original + b" "):
        file.write_bytes(changed)
        result = sides.sign("--pin", sides.fingerprint)
        assert result.code == 1
        assert re.search(r"fingerprint is|no FleetRequests file", result.error)
    file.write_bytes(original)
    wrong = sides.sign("--pin", sides.key)
    assert wrong.error.startswith(f"the file's fingerprint is {sides.fingerprint}, not ")
    assert contents(sides.place / "offline").keys() == before.keys()


def test_one_sites_wrong_request_stops_no_other(sides: Sides) -> None:
    # On this side, hamburg is another cluster.
    (sides.place / "site.yaml").write_text(SITE.replace("offline}", "offline, keyAlgorithm: $(algorithm)}"))
    rows = "name,address,algorithm\nberlin,10.1.0.1,ECDSA-P256\nhamburg,10.2.0.1,RSA-3072\n"
    (sides.place / "sites.csv").write_text(rows)
    result = sides.sign("--pin", sides.fingerprint)
    assert result.code == 1
    assert "refused: hamburg: ca: " in result.err
    assert "1 of 2 clusters failed: hamburg" in result.error
    (sides.place / "site.yaml").write_text(SITE)
    (sides.place / "sites.csv").write_text(ROWS)
    accepted = sides.accept("--pin", sides.key)
    assert "made, 16 issued, 34 changes: berlin" in accepted.out
    assert "no answer in this file: hamburg" in accepted.out


def test_an_answer_is_for_its_own_site_only(sides: Sides) -> None:
    assert sides.sign("--pin", sides.fingerprint).code == 0
    file = sides.place / "edge.answers"
    parts = {each["cluster"]: each["file"] for each in json.loads(file.read_text())["files"]}
    text = file.read_text().replace(parts["hamburg"], parts["berlin"])
    file.write_text(text)
    result = sides.accept("--pin", sides.key)
    assert result.code == 1
    assert "failed: hamburg: " in result.err
    assert "made, 16 issued, 34 changes: berlin" in result.out


def test_a_fleets_root_is_no_clusters_authority(sides: Sides, tmp_path: Path) -> None:
    spec = tmp_path / "berlin.yaml"
    spec.write_text(SITE.replace("$(name)", "edge").replace("$(address)", "10.1.0.1"))
    words = ("airgap", "authority", "init", spec, "--authority", sides.place / "offline")
    assert "this authority is for the fleet edge, and the spec is for edge" in sides.pkigen(*words).error
    local = tmp_path / "local"
    local.mkdir()
    for name in ("site.yaml", "sites.csv", "fleet.yaml"):
        text = (sides.place / name).read_text()
        (local / name).write_text(text.replace("authority: offline", "validity: 24h"))
    refused = sides.pkigen("airgap", "authority", "init", local / "fleet.yaml")
    assert "this cluster's authority is local" in refused.error
    offline = local / "site.yaml"
    offline.write_text(SITE.replace("authority: offline", "authority: offline, caKeys: offline"))
    refused = sides.pkigen("airgap", "authority", "init", local / "fleet.yaml")
    assert "hamburg has caKeys: offline" in refused.error
