from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from pkigen.adoption.audit import audit
from pkigen.adoption.findings import RULES, AuditRule
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.severity import AuditSeverity
from tests.adoption.altered_nodes import AlteredNode, moment
from tests.adoption.defects import DEFECTS, INFORMATION

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from pkigen.adoption.findings import AuditFinding
    from tests.adoption.defects import Defect

NAMES = ("cp-1", "cp-2", "cp-3", "worker-1")


def altered(made: Path, place: Path, defect: Defect, now: datetime) -> tuple[AuditFinding, ...]:
    return changed(made, place, defect.make, now)


def changed(
    made: Path, place: Path, change: Callable[[dict[str, AlteredNode]], None], now: datetime
) -> tuple[AuditFinding, ...]:
    nodes = {}
    for name in NAMES:
        shutil.copytree(made / name, place / name, symlinks=True)
        nodes[name] = AlteredNode(root=place / name, now=now)
    change(nodes)
    return audit(inspect(node_trees(place), now=now))


def told(found: tuple[AuditFinding, ...]) -> list[str]:
    return [f"{each.severity}: {each.spot}: {each.rule}: {each.detail}" for each in found]


def require_found(found: tuple[AuditFinding, ...], defect: Defect) -> None:
    fitting = [
        each
        for each in found
        if each.rule is defect.rule and each.severity is defect.severity and defect.path in each.spot.path
    ]
    assert fitting, told(found)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_is_found(defect: Defect, of_pkigen: Path, tmp_path: Path, now: datetime) -> None:
    require_found(altered(of_pkigen, tmp_path, defect, now), defect)


@pytest.mark.live
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_is_found_in_kubeadms_tree(defect: Defect, of_kubeadm: Path, tmp_path: Path) -> None:
    # After kubeadm, which asks the clock itself.
    require_found(altered(of_kubeadm, tmp_path, defect, moment()), defect)


def test_nothing_is_found_in_a_clean_tree(of_pkigen: Path, now: datetime) -> None:
    found = audit(inspect(node_trees(of_pkigen), now=now))
    assert [each for each in found if each.severity is not INFORMATION] == []


@pytest.mark.parametrize("prefix", ["", "peer-"])
def test_an_etcd_with_a_ca_asks_for_certificates(
    prefix: str, of_pkigen: Path, tmp_path: Path, now: datetime
) -> None:
    """Whatever the other flags say; `tests/live/test_flags_that_lead_elsewhere.py` has a real one refuse."""

    def turn_off(nodes: dict[str, AlteredNode]) -> None:
        nodes["cp-1"].set_flag("etcd", f"{prefix}client-cert-auth", "false")
        nodes["cp-1"].set_flag("etcd", f"{prefix}auto-tls", "true")

    unaltered = audit(inspect(node_trees(of_pkigen), now=now))
    assert told(changed(of_pkigen, tmp_path, turn_off, now)) == told(unaltered)


def test_a_file_of_another_user_is_found(node: AlteredNode) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it gives a file to somebody else")
    os.chown(node.path("pki/ca.crt"), 1000, 1000)
    (found,) = (
        each
        for each in audit(inspect(node_trees(node.root), now=node.now))
        if each.rule is AuditRule.WRONG_OWNER
    )
    assert (found.spot.path, found.severity, found.cis) == (
        "/etc/kubernetes/pki/ca.crt",
        AuditSeverity.WARNING,
        "1.1.19",
    )


def test_a_copy_that_belongs_to_one_person_says_nothing_of_owners(node: AlteredNode) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it gives files to somebody else")
    for path in (node.root, *node.root.rglob("*")):
        os.chown(path, 1000, 1000)
    found = audit(inspect(node_trees(node.root), now=node.now))
    assert [each for each in found if each.rule is AuditRule.WRONG_OWNER] == []


def test_there_are_more_than_sixty() -> None:
    """As many as are promised; each is found in trees of both makers, by the two tests above."""
    names = {defect.name for defect in DEFECTS}
    assert len(names) == len(DEFECTS) >= 60


def test_every_rule_says_why_and_what_to_do() -> None:
    assert set(RULES) == set(AuditRule)
    assert all(each.why and each.remedy for each in RULES.values())


def test_every_rule_has_a_defect_or_a_test_of_its_own() -> None:
    elsewhere = {
        AuditRule.WRONG_OWNER,
        AuditRule.NOT_COPIED,
        AuditRule.KUBELET_UNVERIFIED,
        AuditRule.RECORD_DIFFERS,
    }
    assert set(AuditRule) - {defect.rule for defect in DEFECTS} == elsewhere
