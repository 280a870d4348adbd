"""Feature gates in `extraArgs`, by the version."""

from __future__ import annotations

import re
import subprocess

import pytest

from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.feature_gates import chosen, gate_changes, known_gates, pairs
from tests.desired.rendering.reference_programs import find
from tests.spec.sources import assert_starts, case, loaded, problems, spec, warnings


def gates(version: str, value: str, component: str = "apiServer") -> str:
    body = f"  {component}: {{extraArgs: [{{name: feature-gates, value: '{value}'}}]}}\n"
    return spec(body).replace("v1.36.2", version)


AT = "spec.apiServer.extraArgs[0].value: "
REFUSED = [
    case(
        "locked-by-becoming-stable",
        gates("v1.37.0", "ClusterTrustBundle=false,PodCertificateRequest=false"),
        f"7:56: {AT}'ClusterTrustBundle' is true for good since v1.37, and kube-apiserver stops otherw",
        f"7:56: {AT}'PodCertificateRequest' is true for good since v1.37, and kube-apiserver stops",
    ),
    case(
        "locked-off",
        gates("v1.37.0", "DeclarativeValidationTakeover=true"),
        f"7:56: {AT}'DeclarativeValidationTakeover' is false for good since v1.37,",
    ),
    case(
        "removed",
        gates("v1.37.1", "SidecarContainers=true"),
        f"7:56: {AT}'SidecarContainers' is no feature gate of v1.37 any more, and kube-apiserver sto",
    ),
    case(
        "removed-later",
        gates("v1.38.0", "SeparateTaintEvictionController=true", "controllerManager"),
        "7:64: spec.controllerManager.extraArgs[0].value: 'SeparateTaintEvictionController' is no",
    ),
    case(
        "not-there-yet",
        gates("v1.33.0", "PodCertificateRequest=true", "kubelet"),
        "7:54: spec.kubelet.extraArgs[0].value: 'PodCertificateRequest' is a feature gate from v1.34 on, and "
        "kubelet stops when it is given before: remove it",
    ),
    case("neither", gates("v1.36.2", "AllBeta=perhaps"), f"7:56: {AT}'AllBeta' must be set to true or"),
    case("no-value", gates("v1.36.2", "Whatever"), f"7:56: {AT}'Whatever' must be set to true or false"),
    case(
        "of-one-node",
        spec("").replace(
            "192.0.2.1]}",
            "192.0.2.1], kubeletExtraArgs: [{name: feature-gates, value: SidecarContainers=0}]}",
        ),
        "6:117: spec.nodes[0].kubeletExtraArgs[0].value: 'SidecarContainers' is true for good",
    ),
]
TAKEN = [
    case("before-it-is-locked", gates("v1.36.2", "ClusterTrustBundle=false, PodCertificateRequest=true")),
    case("as-it-is-locked", gates("v1.37.0", "ClusterTrustBundle=true")),
    case("before-it-is-gone", gates("v1.36.2", "SidecarContainers=true")),
    case("named-for-kubernetes", gates("v1.36.2", "kube:ClusterTrustBundle=true")),
    case("of-etcd", gates("v1.36.2", "CompactHashCheck=true", "etcd")),
    case("all", gates("v1.36.2", "AllAlpha=true,AllBeta=F")),
    case("allowed", gates("v1.33.0", "PodCertificateRequest=true") + "  allowUnknownFlags: true\n"),
]
EMULATED = "[{name: emulated-version, value: '%s'}, {name: feature-gates, value: %s}]"
OFF = "StructuredAuthenticationConfiguration=false"


@pytest.mark.parametrize("emulated", ["1.33", "kube=1.33"])
def test_a_version_that_is_emulated_lets_one_set_its_own_gates(emulated: str) -> None:
    assert not loaded(spec(f"  apiServer: {{extraArgs: {EMULATED % (emulated, OFF)}}}\n")).warnings


@pytest.mark.parametrize(
    ("emulated", "gates", "says"),
    [
        ("1.36", OFF, "is true for good since v1.34"),
        ("1.33", "PodCertificateRequest=true", "is a feature gate from v1.34 on"),
        ("1.33", "KMSv2=true", "is no feature gate of v1.36 any more"),
    ],
)
def test_a_version_that_is_emulated_has_no_others(emulated: str, gates: str, says: str) -> None:
    (found,) = problems(spec(f"  apiServer: {{extraArgs: {EMULATED % (emulated, gates)}}}\n"))
    assert says in found


WARNED = [
    case(
        "misspelt",
        gates("v1.36.2", "ClusterTrustBundel=true"),
        f"7:56: {AT}'ClusterTrustBundel' is no feature gate that pkigen knows; did you mean Cluster",
    ),
    case(
        "planned",
        gates("v1.38.0", "KubeletCertCNValidation=true"),
        "5:22: spec.kubernetesVersion: v1.38 was not released",
        f"7:56: {AT}'KubeletCertCNValidation' is no feature gate that pkigen knows",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_refused(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "_expected"), TAKEN)
def test_taken(source: str, _expected: tuple[str, ...]) -> None:
    assert not loaded(source).warnings


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warned(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


def test_the_last_value_counts() -> None:
    assert chosen(["A=true,B=true", " A = false "]) == {"A": False, "B": True}
    assert list(pairs("kube:A=true,other:B=true,,=x,C")) == [("A", "true"), ("C", "")]


def test_changes_and_gates_say_the_same() -> None:
    """What the reference lists is what is refused."""
    known = known_gates()
    for change in gate_changes():
        for name in change["gates"]:
            gate = known[name]
            assert change["version"] == (gate.removed if change["what"] == "removed" else gate.locked), name
    assert all(gate.since < (gate.removed or 99) for gate in known.values())


@pytest.mark.live
def test_the_api_server_agrees_on_what_is_locked() -> None:
    """One run with every gate of v1.36 that is locked, set to what it is not; and with some that are not."""
    program = find(KnownProgram.API_SERVER)
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    if "v1.36." not in said:
        pytest.skip(f"{said.strip()} is of another version than the list")
    there = {name: gate for name, gate in known_gates().items() if (gate.removed or 99) > 36}
    locked = {name: gate for name, gate in there.items() if (gate.locked or 99) <= 36}
    settings = [f"{name}={str(not gate.value).lower()}" for name, gate in locked.items()]
    given = ",".join((*settings, "ClusterTrustBundle=false", "PodCertificateRequest=false"))
    result = subprocess.run(
        [program, f"--feature-gates={given}"], check=False, capture_output=True, text=True, timeout=300
    )
    refused = set(re.findall(r"cannot set feature gate (\w+) to", result.stderr))
    assert refused == set(locked)
