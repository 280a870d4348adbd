#!/usr/bin/env python3
"""Write `pkigen/spec/component_flags.json`: the flags that programs know, and those that are gone.

    python scripts/component_flags.py DIR

The flags of today are asked of the programs in that directory: what `--help` lists, and which of `_HIDDEN`
they take although it does not. Flags that are gone stand in `_REMOVED`, each group with the change that
removed it; the script stops if a program still takes one of them. The types of values stand in `--help`, too;
etcd's, which does not tell them, are seen by which of `_PROBES` each flag takes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    _Row = tuple[tuple[str, ...], str, str, list[str]]

_DATA: Final = Path(__file__).parents[1] / "pkigen" / "spec" / "component_flags.json"
_LISTED: Final = re.compile(r"^\s+(?:-\w, )?--([A-Za-z0-9][\w.-]*)", re.MULTILINE)
# pflag's UnquoteUsage: one blank before the type, none after a boolean's name; etcd prints defaults instead.
_TYPED: Final = re.compile(r"^\s+(?:-\w, )?--([A-Za-z0-9][\w.-]*)(?: (\w+))?(?:   |$)", re.MULTILINE)
_TYPES: Final = (
    *("bool", "int", "int32", "float", "float32", "duration", "ip"),
    *("Level", "int32Slice", "portRange", "namedCertKey"),
)
# Names that Go and the API server know, in the help of these flags.
_LISTS: Final = {
    "cipherSuites": ("tls-cipher-suites", "values: ([^.]*)"),
    "admissionPlugins": ("disable-admission-plugins", "list of admission plugins: ([^.]*)"),
}
# What each type of Go's package `flag` and of etcd's `pkg/flags` takes of `_PROBES`; a text takes all.
_PROBES: Final = ("true", "1", "-1", "4294967296", "5s", "http://127.0.0.1:1", "*")
_PROBED: Final = {
    ("true", "1"): "bool",
    ("1", "-1", "4294967296"): "int",
    ("1", "4294967296"): "uint",
    ("1",): "uint32",
    ("5s",): "duration",
    ("http://127.0.0.1:1",): "urls",
    ("http://127.0.0.1:1", "*"): "origins",
}
_UNKNOWN: Final = ("unknown flag: ", "flag provided but not defined: ")
_APISERVER, _KCM, _SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
_KUBELET, _ETCD = "kubelet", "etcd"

# What `MarkHidden` and `MarkDeprecated` name in Kubernetes' source, and what etcd 3.5 had besides.
_HIDDEN: Final = [
    "admission-control",
    "allow-untagged-cloud",
    "apiserver-count",
    "audit-webhook-batch-initial-backoff",
    "default-watch-cache-size",
    "enable-logs-handler",
    "healthz-port",
    "kubelet-port",
    "kubelet-read-only-port",
    "maximum-dead-containers",
    "maximum-dead-containers-per-container",
    "minimum-container-ttl-duration",
    "node-sync-period",
    "experimental-allocatable-ignore-eviction",
    "experimental-mounter-path",
    "config-file",
    "enable-v2",
    "v2-deprecation",
    "discovery",
    "discovery-proxy",
    "discovery-fallback",
    "enable-pprof",
]

_KLOG: Final = [
    "add-dir-header",
    "alsologtostderr",
    "log-backtrace-at",
    "log-dir",
    "log-file",
    "log-file-max-size",
    "logtostderr",
    "one-output",
    "skip-headers",
    "skip-log-headers",
    "stderrthreshold",
]

# (programs, the first version without the flags, the source, the flags); the version is "" where all that is
# known is that the newest of these programs takes none of them (`_check` asks it).
_REMOVED: Final = (
    ((_APISERVER, _KCM, _SCHEDULER, _KUBELET), "1.26", "kubernetes#112120", _KLOG),
    ((_APISERVER,), "1.11", "kubernetes#58968, #61386", ["tls-ca-file"]),
    ((_APISERVER,), "1.22", "kubernetes#101178", ["kubelet-https"]),
    (
        (_APISERVER,),
        "1.24",
        "CHANGELOG-1.20 and CHANGELOG-1.24 (kubernetes#95856)",
        ["address", "insecure-bind-address", "insecure-port", "port"],
    ),
    ((_APISERVER,), "1.25", "kubernetes#108624", ["service-account-api-audiences"]),
    ((_APISERVER,), "1.26", "kubernetes#112797", ["master-service-namespace"]),
    ((_APISERVER,), "1.33", "CHANGELOG-1.33", ["cloud-config", "cloud-provider"]),
    (
        (_APISERVER,),
        "",
        "v1.36.2 does not take them",
        [
            "basic-auth-file",
            "enable-swagger-ui",
            "etcd-quorum-read",
            "portal-net",
            "repair-malformed-updates",
            "ssh-keyfile",
            "ssh-user",
            "storage-versions",
        ],
    ),
    ((_KCM,), "1.24", "CHANGELOG-1.24", ["address", "port"]),
    ((_SCHEDULER,), "1.24", "kubernetes#106865", ["address", "port"]),
    ((_KCM,), "1.25", "kubernetes#108476", ["experimental-cluster-signing-duration"]),
    ((_KCM,), "1.25", "CHANGELOG-1.25", ["deleting-pods-burst", "deleting-pods-qps", "register-retry-count"]),
    (
        (_KCM,),
        "1.31",
        "kubernetes#124017, #124948",
        [
            "horizontal-pod-autoscaler-downscale-delay",
            "horizontal-pod-autoscaler-upscale-delay",
            "volume-host-allow-local-loopback",
            "volume-host-cidr-denylist",
        ],
    ),
    ((_KCM,), "1.27", "kubernetes#111411, #113710", ["enable-taint-manager", "pod-eviction-timeout"]),
    (
        (_SCHEDULER,),
        "1.23",
        "kubernetes#105424",
        ["policy-config-file", "policy-configmap", "policy-configmap-namespace", "use-legacy-policy-config"],
    ),
    ((_KUBELET,), "", "v1.36.2 does not take them", ["allow-privileged", "dynamic-config-dir"]),
    (
        (_KUBELET,),
        "1.24",
        "kubernetes#106907",
        [
            "cni-bin-dir",
            "cni-cache-dir",
            "cni-conf-dir",
            "docker-endpoint",
            "experimental-dockershim-root-directory",
            "image-pull-progress-deadline",
            "network-plugin",
            "network-plugin-mtu",
        ],
    ),
    ((_KUBELET,), "1.27", "kubernetes#114017, #116015", ["container-runtime", "master-service-namespace"]),
    (
        (_KUBELET,),
        "1.31",
        "kubernetes#122082, #122363",
        ["iptables-drop-bit", "iptables-masquerade-bit", "keep-terminated-pod-volumes"],
    ),
    ((_KUBELET,), "1.35", "kubernetes#133779", ["pod-infra-container-image"]),
    (
        (_ETCD,),
        "1.34",
        "not in etcd 3.6.14; v1.34 is the first with etcd 3.6",
        [
            "enable-v2",
            "experimental-enable-v2v3",
            "proxy",
            "proxy-dial-timeout",
            "proxy-failure-wait",
            "proxy-read-timeout",
            "proxy-refresh-interval",
            "proxy-write-timeout",
        ],
    ),
)
# What a later version does not take any more, although these programs do.
_LEAVING: Final = (
    ((_KCM,), "1.37", "kubernetes#138002", ["concurrent-service-syncs"]),
    # Not in v3.7.1's server/embed/config.go; v1.37 is the first with etcd 3.7.
    ((_ETCD,), "1.37", "etcd#20109 (v2 discovery)", ["discovery", "discovery-proxy"]),
    (
        (_KUBELET,),
        "1.37",
        "kubernetes#139870",
        [
            "application-metrics-count-limit",
            "boot-id-file",
            "container-hints",
            "containerd",
            "containerd-namespace",
            "enable-load-reader",
            "event-storage-age-limit",
            "event-storage-event-limit",
            "global-housekeeping-interval",
            "log-cadvisor-usage",
            "machine-id-file",
            "storage-driver-buffer-duration",
            "storage-driver-db",
            "storage-driver-host",
            "storage-driver-password",
            "storage-driver-secure",
            "storage-driver-table",
            "storage-driver-user",
        ],
    ),
)
# What a later version takes, and these programs do not.
_COMING: Final = (((_KCM,), "1.37", "kubernetes#140014", ["concurrent-disruption-syncs"]),)
# What these programs take, and earlier ones do not. Of etcd: in v3.6.14, not in v3.5.33's
# server/etcdmain/config.go; v1.34 is the first with etcd 3.6.
_NEW: Final = (
    (
        (_ETCD,),
        "1.34",
        "not in etcd 3.5.33; v1.34 is the first with etcd 3.6",
        [
            "bootstrap-defrag-threshold-megabytes",
            "compact-hash-check-time",
            "compaction-batch-limit",
            "compaction-sleep-interval",
            "corrupt-check-time",
            "discovery-cacert",
            "discovery-cert",
            "discovery-dial-timeout",
            "discovery-endpoints",
            "discovery-insecure-skip-tls-verify",
            "discovery-insecure-transport",
            "discovery-keepalive-time",
            "discovery-keepalive-timeout",
            "discovery-key",
            "discovery-password",
            "discovery-request-timeout",
            "discovery-token",
            "discovery-user",
            "distributed-tracing-address",
            "distributed-tracing-instance-id",
            "distributed-tracing-sampling-rate",
            "distributed-tracing-service-name",
            "downgrade-check-time",
            "enable-distributed-tracing",
            "feature-gates",
            "log-format",
            "max-learners",
            "memory-mlock",
            "peer-skip-client-san-verification",
            "snapshot-catchup-entries",
            "warning-apply-duration",
            "warning-unary-request-duration",
            "watch-progress-notify-interval",
        ],
    ),
)
# Types of what only etcd 3.5 has: v3.5.33's server/etcdmain/config.go.
_OLD_TYPES: Final = {
    "enable-v2": "bool",
    "proxy-dial-timeout": "uint",
    "proxy-failure-wait": "uint",
    "proxy-read-timeout": "uint",
    "proxy-refresh-interval": "uint",
    "proxy-write-timeout": "uint",
}
# etcd 3.6 deprecated them, 3.7 refuses them (kubernetes#132838); v1.37 is the first with etcd 3.7 (#140333).
_EXPERIMENTAL: Final = "experimental-"


def main() -> None:
    """Ask the programs and write the file."""
    directory = Path(sys.argv[1])
    components = {
        program: _component(directory / program)
        for program in (_APISERVER, _KCM, _SCHEDULER, _KUBELET, _ETCD)
    }
    names = {key: _names(directory / _APISERVER, *where) for key, where in _LISTS.items()}
    _DATA.write_text(json.dumps({"names": names, "components": components}, indent=1) + "\n")


def _names(program: Path, flag: str, pattern: str) -> list[str]:
    """The names that the help of a flag lists."""
    rows = re.findall(rf"^ +--{flag} .*(?:\n {{20,}}.*)*", _answer(program), re.MULTILINE)
    names = {name for row in rows for found in re.findall(pattern, row) for name in found.split(", ")}
    return sorted(names) or sys.exit(f"error: --{flag} lists no names")


def _component(program: Path) -> dict[str, object]:
    listed = set(_LISTED.findall(_answer(program)))
    known = listed | {flag for flag in _HIDDEN if _takes(program, flag)}
    gone, leaving = _groups(program, _REMOVED), _groups(program, _LEAVING)
    new = _groups(program, _NEW)
    _check(program, _flags(gone), _flags(new) - known)
    experimental = sorted(flag for flag in known if flag.startswith(_EXPERIMENTAL))
    if program.name == _ETCD and experimental:
        leaving.append({"version": "1.37", "source": "kubernetes#132838, #140333", "flags": experimental})
    return {
        "flags": sorted(known - _flags(leaving)),
        "removed": [*gone, *leaving],
        "added": [*_groups(program, _COMING), *new],
        "types": _probed(program, known) if program.name == _ETCD else _types(_answer(program)),
    }


def _types(listed: str) -> dict[str, list[str]]:
    """The flags of each type whose values `spec/flag_values` reads."""
    found: dict[str, list[str]] = {kind: [] for kind in _TYPES}
    for name, kind in sorted(_TYPED.findall(listed)):
        found.get(kind or "bool", []).append(name)
    return found


def _probed(program: Path, flags: Iterable[str]) -> dict[str, list[str]]:
    """The same of a program whose help tells no types: it reads all flags before it prints its version."""
    found: dict[str, list[str]] = {kind: [] for kind in _PROBED.values()}
    for flag in sorted(flags):
        taken = tuple(value for value in _PROBES if _reads(program, f"--{flag}={value}"))
        if taken in _PROBED:
            found[_PROBED[taken]].append(flag)
    for flag, kind in _OLD_TYPES.items():
        found[kind].append(flag)
    return {kind: sorted(flags) for kind, flags in found.items()}


def _flags(groups: Iterable[dict[str, Any]]) -> set[str]:
    return {flag for group in groups for flag in group["flags"]}


def _groups(program: Path, rows: Iterable[_Row]) -> list[dict[str, Any]]:
    return [
        {"version": version, "source": source, "flags": sorted(flags)}
        for programs, version, source, flags in rows
        if program.name in programs
    ]


def _check(program: Path, gone: set[str], missing: set[str]) -> None:
    """Stop if the program takes a flag that is said to be gone, or none that is said to be new."""
    if missing:
        sys.exit(f"error: {program.name} does not take {', '.join(sorted(missing))}")
    back = sorted(flag for flag in gone if _takes(program, flag))
    if back:
        sys.exit(f"error: {program.name} still takes {', '.join(back)}")


def _takes(program: Path, flag: str) -> bool:
    """Whether the program knows the flag, of whatever value."""
    return not any(text in _answer(program, f"--{flag}=1") for text in _UNKNOWN)


def _reads(program: Path, argument: str) -> bool:
    """Whether the program can read a flag's value."""
    command = [str(program), argument, "--version"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def _answer(program: Path, *arguments: str) -> str:
    command = [str(program), *arguments, "--help"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return result.stdout + result.stderr


if __name__ == "__main__":
    main()
