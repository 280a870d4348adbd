"""Components before feature gates, and the versions as which programs are to behave."""

from __future__ import annotations

import subprocess

import pytest

from pkigen.spec.compatibility_flags import emulated_minor, registry_faults
from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.values import KubernetesVersion
from tests.desired.rendering.reference_programs import find
from tests.spec.sources import assert_starts, case, loaded, problems, spec

V1_36 = KubernetesVersion(major=1, minor=36, patch=2)
AT = "spec.apiServer.extraArgs[0].value: "


def flags(*given: tuple[str, str], component: str = "apiServer") -> str:
    listed = ", ".join(f"{{name: {name}, value: '{value}'}}" for name, value in given)
    return spec(f"  {component}: {{extraArgs: [{listed}]}}\n")


REFUSED = [
    case(
        "a-gate-of-no-component",
        flags(("feature-gates", "wardle:BanFlunder=true")),
        f"7:56: {AT}'wardle' is no component of kube-apiserver, which stops: leave it out",
    ),
    case(
        "some-gates-with-kube",
        flags(("feature-gates", "kube:AllBeta=true,AllAlpha=false"), component="scheduler"),
        "7:56: spec.scheduler.extraArgs[0].value: 'AllAlpha' is set with kube: before it and others",
    ),
    case(
        "some-flags-with-kube",
        flags(("feature-gates", "AllBeta=true"), ("feature-gates", "kube:AllAlpha=false")),
        "7:",
    ),
    case(
        "a-kubelet's",
        flags(("feature-gates", "kube:AllBeta=true"), component="kubelet"),
        "7:54: spec.kubelet.extraArgs[0].value: kubelet knows no components, and stops: leave",
    ),
    case(
        "of-etcd",
        flags(("feature-gates", "kube:InitialCorruptCheck=true"), component="etcd"),
        "7:51: spec.etcd.extraArgs[0].value: etcd knows no components, and stops: leave",
    ),
    case(
        "too-old",
        flags(("emulated-version", "1.32")),
        f"7:59: {AT}'1.32' is not between 1.33 and 1.36, and kube-apiserver stops",
    ),
    case("newer-than-itself", flags(("emulated-version", "kube=v1.37")), f"7:59: {AT}'v1.37' is not between"),
    case("with-a-patch", flags(("emulated-version", "1.36.2")), f"7:59: {AT}'1.36.2' must be a version with"),
    case("twice", flags(("emulated-version", "1.35,kube=1.34")), f"7:59: {AT}kube has two versions, and"),
    case("of-another", flags(("emulated-version", "x=1.3")), f"7:59: {AT}'x' is no component of kube-apis"),
    case(
        "compatible-with-what-is-newer",
        flags(("emulated-version", "1.34"), ("min-compatibility-version", "1.35")),
        "7:",
    ),
]
TAKEN = [
    case("kube-alone", flags(("feature-gates", "kube:AllBeta=true, kube:AllAlpha=false"))),
    case("nothing", flags(("feature-gates", ""), ("emulated-version", ""))),
    case("with-a-v", flags(("emulated-version", " kube = v1.33.0 "))),
    case("compatible", flags(("emulated-version", "1.34"), ("min-compatibility-version", "1.34"))),
    case("allowed", flags(("feature-gates", "wardle:A=true")) + "  allowUnknownFlags: true\n"),
    case("before-there-were-limits", flags(("emulated-version", "1.31")).replace("v1.36.2", "v1.32.0")),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_refused(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "_expected"), TAKEN)
def test_taken(source: str, _expected: tuple[str, ...]) -> None:
    loaded(source)


def test_where_it_is_said() -> None:
    """At the flag that is wrong; which of two gates is, nobody can know."""
    both = flags(("emulated-version", "1.34"), ("min-compatibility-version", "1.35"))
    (said,) = problems(both)
    assert "extraArgs[1].value: '1.35' is not between 1.33 and 1.34" in said
    assert emulated_minor(["x=1.2", "kube=1.34"]) == 34
    assert emulated_minor(["x=1.2"]) is None


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature-gates", "AllBeta=false"),
        ("feature-gates", "kube:AllBeta=false"),
        ("feature-gates", "kube:AllBeta=false,AllAlpha=false"),
        ("feature-gates", "wardle:AllBeta=false"),
        ("emulated-version", "1.32"),
        ("emulated-version", "1.33"),
        ("emulated-version", "kube=v1.36.0"),
        ("emulated-version", "1.36.2"),
        ("emulated-version", "1.37"),
        ("emulated-version", "1.35,kube=1.35"),
        ("emulated-version", "wardle=1.35"),
        ("emulated-version", "1"),
        ("emulated-version", ""),
        ("min-compatibility-version", "1.32"),
        ("min-compatibility-version", "1.36"),
        ("min-compatibility-version", "1.37"),
    ],
)
def test_a_scheduler_agrees(name: str, value: str) -> None:
    """It comes to look for its kubeconfig only where it takes the flag."""
    program = find(KnownProgram.SCHEDULER)
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    if "v1.36." not in said:
        pytest.skip(f"{said.strip()} has other limits")
    arguments = [program, f"--{name}={value}", "--kubeconfig=/not-there"]
    result = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=300)
    takes_it = "stat /not-there: no such file" in result.stderr
    assert takes_it == (not list(registry_faults(KnownProgram.SCHEDULER, V1_36, [(name, value)])))
