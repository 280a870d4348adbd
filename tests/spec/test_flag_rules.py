"""Rules about the names of flags in `extraArgs`."""

from __future__ import annotations

import subprocess

import pytest

from pkigen.spec.component_flags import KnownProgram, flag_types, known_flags
from tests.desired.rendering.reference_programs import find
from tests.spec.sources import CLUSTER, INIT, assert_starts, case, loaded, problems, spec

PROGRAMS = {"etcd": KnownProgram.ETCD, "kubelet": KnownProgram.KUBELET}
FITTING = {"bool": "'true'", "int": "'1'", "uint": "'1'", "Level": "'1'"}
NAMES = {"logging-format": "json"}


def extra(component: str, *names: str) -> str:
    """Flags with values that fit: what is asked here are the names."""
    types = flag_types(PROGRAMS.get(component, KnownProgram.API_SERVER))
    values = ((name, NAMES.get(name) or FITTING.get(types.get(name, ""), "x")) for name in names)
    flags = ", ".join(f"{{name: {name}, value: {value}}}" for name, value in values)
    return spec(f"  {component}: {{extraArgs: [{flags}]}}\n")


def at(version: str, source: str) -> str:
    assert "v1.36.2" in source
    return source.replace("v1.36.2", version)


REFUSED = [
    case(
        "ends-at-once",
        extra("apiServer", "version"),
        "7:34: spec.apiServer.extraArgs[0].name: 'version' makes kube-apiserver print something and end",
    ),
    case(
        "removed",
        extra("apiServer", "insecure-port"),
        "7:34: spec.apiServer.extraArgs[0].name: 'insecure-port' is not a flag of "
        "kube-apiserver since v1.24,",
    ),
    case(
        "removed-long-ago",
        extra("apiServer", "audit-log-path", "tls_ca_file"),
        "7:68: spec.apiServer.extraArgs[1].name: 'tls-ca-file' is not a flag of kube-apiserver since v1.11,",
    ),
    case(
        "removed-at-some-time",
        extra("apiServer", "basic-auth-file"),
        "7:34: spec.apiServer.extraArgs[0].name: 'basic-auth-file' is not a flag of kube-apiserver any more,",
    ),
    case(
        "removed-though-unknown-ones-may-be-there",
        extra("scheduler", "logtostderr") + "  allowUnknownFlags: true\n",
        "7:34: spec.scheduler.extraArgs[0].name: 'logtostderr' is not a flag of kube-scheduler since v1.26,",
    ),
    case(
        "misspelt",
        extra("apiServer", "audit-log-pth"),
        "7:34: spec.apiServer.extraArgs[0].name: 'audit-log-pth' is not a known flag of kube-apiserver in "
        "Kubernetes v1.36; did you mean audit-log-path?",
    ),
    case(
        "of-another-component",
        extra("scheduler", "service-account-key-file"),
        "7:34: spec.scheduler.extraArgs[0].name: 'service-account-key-file' is not a known flag of kube-sch",
    ),
    case(
        "unlike-any",
        extra("controllerManager", "zzz"),
        "7:42: spec.controllerManager.extraArgs[0].name: 'zzz' is not a known flag of kube-"
        "controller-manager in Kubernetes v1.36; if it has it all the same, set spec.allowUnknownFlags: true",
    ),
    case(
        "etcd-before-3.6",
        extra("etcd", "enable-v2"),
        "7:29: spec.etcd.extraArgs[0].name: 'enable-v2' is not a flag of etcd since v1.34,",
    ),
    case(
        "etcd-3.7",
        at("v1.37.0", extra("etcd", "experimental-compaction-batch-limit")),
        "7:29: spec.etcd.extraArgs[0].name: 'experimental-compaction-batch-limit' is not a "
        "flag of etcd since v1.37",
    ),
    case(
        "discovery-of-v2",
        at("v1.37.0", extra("etcd", "discovery", "discovery-srv-name")),
        "7:29: spec.etcd.extraArgs[0].name: 'discovery' is not a flag of etcd since v1.37,",
    ),
    case(
        "etcd-3.7-of-ones-own",
        extra("etcd", "experimental-compaction-batch-limit").replace("etcd: {", "etcd: {imageTag: v3.7.1, "),
        "7:47: spec.etcd.extraArgs[0].name: 'experimental-compaction-batch-limit' is not a flag of etcd",
    ),
    case(
        "etcd-3.6-of-ones-own",
        at("v1.33.0", extra("etcd", "enable-v2").replace("etcd: {", "etcd: {imageTag: 3.6.0-0, ")),
        "7:48: spec.etcd.extraArgs[0].name: 'enable-v2' is not a flag of etcd since v1.34",
    ),
    case(
        "etcd-3.5",
        at("v1.33.0", extra("etcd", "max-learners")),
        "7:29: spec.etcd.extraArgs[0].name: 'max-learners' is not a known flag of etcd in Kubernetes v1.33",
    ),
    case(
        "etcd-3.5-of-ones-own",
        extra("etcd", "feature-gates")
        .replace("etcd: {", "etcd: {imageTag: 3.5.24-0, ")
        .replace(": x", ": ''"),
        "7:49: spec.etcd.extraArgs[0].name: 'feature-gates' is not a known flag of etcd",
    ),
    case(
        "cadvisors",
        at("v1.37.0", extra("kubelet", "containerd")),
        "7:32: spec.kubelet.extraArgs[0].name: 'containerd' is not a flag of kubelet since v1.37, which",
    ),
    case(
        "not-there-yet",
        extra("controllerManager", "concurrent-disruption-syncs"),
        "7:42: spec.controllerManager.extraArgs[0].name: 'concurrent-disruption-syncs' is not a known",
    ),
    case(
        "planned",
        at("v1.37.0", extra("apiServer", "enable-kubelet-cert-cn-validation")),
        "7:34: spec.apiServer.extraArgs[0].name: 'enable-kubelet-cert-cn-validation' is not a known flag of",
    ),
    case(
        "kubelet-common",
        extra("kubelet", "network-plugin"),
        "7:32: spec.kubelet.extraArgs[0].name: 'network-plugin' is not a flag of kubelet since v1.24,",
    ),
    case(
        "kubelet-of-one-node",
        spec("").replace("192.0.2.1]}", "192.0.2.1], kubeletExtraArgs: [{name: node-ips, value: x}]}"),
        "6:95: spec.nodes[0].kubeletExtraArgs[0].name: 'node-ips' is not a known flag of kubelet in "
        "Kubernetes v1.36; did you mean node-ip?",
    ),
    case(
        "kubeadm",
        INIT + CLUSTER + "apiServer: {extraArgs: [{name: insecure-bind-address, value: 0.0.0.0}]}\n",
        "9:32: ClusterConfiguration.apiServer.extraArgs[0].name: 'insecure-bind-address' is not a flag of",
    ),
]

TAKEN = [
    case("logging", extra("apiServer", "v", "vmodule", "logging-format")),
    case("with-underscores", extra("apiServer", "log_flush_frequency").replace("value: x", "value: 5s")),
    case(
        "feature-gates",
        extra("kubelet", "feature-gates", "v").replace("value: x", "value: AllAlpha=false", 1),
    ),
    case("hidden-from-help", extra("apiServer", "apiserver-count")),
    case(
        "still-there",
        at("v1.32.4", extra("apiServer", "cloud-provider", "cloud_config")).replace(": x", ": /dev/null"),
    ),
    case("still-there-at-the-kubelet", at("v1.34.1", extra("kubelet", "pod-infra-container-image"))),
    case("old-etcd", at("v1.33.1", extra("etcd", "enable-v2"))),
    case("experimental-before-3.7", extra("etcd", "experimental-compaction-batch-limit")),
    case("new-in-v1.37", at("v1.37.0", extra("controllerManager", "concurrent-disruption-syncs"))),
    case(
        "an-older-etcd-than-the-default",
        at(
            "v1.37.0",
            extra("etcd", "experimental-memory-mlock").replace("etcd: {", "etcd: {imageTag: 3.6.8-0, "),
        ),
    ),
    case(
        "an-etcd-of-no-version",
        at(
            "v1.37.0",
            extra("etcd", "experimental-memory-mlock").replace("etcd: {", "etcd: {imageTag: ours, "),
        ),
    ),
    case("an-etcd-of-ones-own", extra("etcd", "enable-v2").replace("etcd: {", "etcd: {imageTag: 3.5.9, ")),
    case("allowed", extra("apiServer", "zzz") + "  allowUnknownFlags: true\n"),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_refused(source: str, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "_expected"), TAKEN)
def test_taken(source: str, _expected: tuple[str, ...]) -> None:
    assert not loaded(source).warnings


@pytest.mark.parametrize("program", KnownProgram)
def test_no_flag_is_both_there_and_gone(program: KnownProgram) -> None:
    known = known_flags(program)
    assert not known.current & set(known.removed)
    assert "v" in known.current or program is KnownProgram.ETCD


@pytest.mark.live
@pytest.mark.parametrize("program", KnownProgram)
def test_programs_agree(program: KnownProgram) -> None:
    """Of the flags that are said to be there, the real program refuses none."""
    path = find(program)
    if not any(version in _said(path, "--version") for version in ("v1.36.", "etcd Version: 3.6.")):
        pytest.skip(f"this {program} is of another version than the list")
    for flag in sorted(known_flags(program).at(36)):
        if flag in {"help", "version"}:
            continue
        said = _said(path, f"--{flag}=1", "--help")
        assert "unknown flag: " not in said, flag
        assert "not defined: " not in said, flag


def _said(*command: str) -> str:
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    return result.stdout + result.stderr
