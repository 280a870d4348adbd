"""Values of flags, as the programs read them."""

from __future__ import annotations

import json
import subprocess

import pytest

from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.flag_values import value_fault
from tests.desired.rendering.reference_programs import find, find_etcd_3_6
from tests.spec.sources import loaded, problems, spec

API_SERVER, CONTROLLER_MANAGER = KnownProgram.API_SERVER, KnownProgram.CONTROLLER_MANAGER
SCHEDULER, KUBELET = KnownProgram.SCHEDULER, KnownProgram.KUBELET
ETCD = KnownProgram.ETCD
URLS = "listen-client-urls"
VALUES = [
    *((API_SERVER, "profiling", each, True) for each in ("true", "T", "0", "FALSE")),
    *((API_SERVER, "profiling", each, False) for each in ("", "yes", "tRUE", "true ", "2")),
    *((API_SERVER, "audit-log-maxage", each, True) for each in ("0", "-1", "+7", "0x1F", "0b11", "0o17")),
    *(
        (API_SERVER, "audit-log-maxage", each, True)
        for each in ("017", "1_000", "0_7", "9223372036854775807")
    ),
    *((API_SERVER, "audit-log-maxage", each, False) for each in ("", "ten", "1.0", "1e3", "08", "1__0")),
    *((API_SERVER, "audit-log-maxage", each, False) for each in ("_1", "1_", " 1", "9223372036854775808")),
    *((CONTROLLER_MANAGER, "concurrent-gc-syncs", each, True) for each in ("2147483647", "-2147483648")),
    *((CONTROLLER_MANAGER, "concurrent-gc-syncs", each, False) for each in ("2147483648", "-2147483649")),
    *((SCHEDULER, "kube-api-qps", each, True) for each in ("50", "5e1", "-.5", "1.", "Inf", "0x1p4", "1_0")),
    *((SCHEDULER, "kube-api-qps", each, False) for each in ("", "fast", "5e", "1e999", ".", "50 ", "\u0665")),
    *(
        (KUBELET, "node-status-update-frequency", each, True)
        for each in ("10s", "1h30m", "1.5h", "0", "-.5s")
    ),
    *((KUBELET, "node-status-update-frequency", each, True) for each in ("+1ms2us", "2µs", "100ns", "1.s")),
    *(
        (KUBELET, "node-status-update-frequency", each, False)
        for each in ("", "10", "1d", "10 s", "s", "1h 2m")
    ),
    *((KUBELET, "node-status-update-frequency", each, False) for each in ("2562048h", "1h-2m", ".s", "10S")),
    *((API_SERVER, "bind-address", each, True) for each in ("10.0.0.1", "::", " 10.0.0.1 ", "")),
    *((API_SERVER, "bind-address", each, False) for each in ("10.0.0.01", "fe80::1%eth0", "here", "1.2.3")),
    *((API_SERVER, "v", each, True) for each in ("4", "010", "2147483647")),
    *((API_SERVER, "v", each, False) for each in ("", "x", "-1", "0x1", "2147483648", "\u0665")),
    *((API_SERVER, "tls-curve-preferences", each, True) for each in ("29", "0x1d,23")),
    *((API_SERVER, "tls-curve-preferences", each, False) for each in ("", "X25519", "23, 24", "[23]")),
    *(
        (API_SERVER, "service-node-port-range", each, True)
        for each in ("30000-32767", "", " 1-2 ", "5", "1+0")
    ),
    *(
        (API_SERVER, "service-node-port-range", each, False)
        for each in ("x", "2-1", "1-70000", "-1", "1 - 2")
    ),
    *((API_SERVER, "service-node-port-range", each, False) for each in ("60000+9999", "1+", "70000")),
    *((API_SERVER, "tls-sni-cert-key", each, True) for each in ("a,b", " a , b ", "a,b:c,d")),
    *((API_SERVER, "tls-sni-cert-key", each, False) for each in ("", "a", "a,b,c")),
    *((ETCD, "snapshot-count", each, True) for each in ("0", "0x10", "1_000", "18446744073709551615")),
    *(
        (ETCD, "snapshot-count", each, False)
        for each in ("", "many", "-1", "+1", "1.5", "18446744073709551616")
    ),
    *((ETCD, "max-concurrent-streams", each, True) for each in ("0", "4294967295")),
    *((ETCD, "max-concurrent-streams", each, False) for each in ("-1", "4294967296", "all")),
    *((ETCD, "quota-backend-bytes", each, True) for each in ("-1", "8589934592")),
    *((ETCD, "quota-backend-bytes", each, False) for each in ("8Gi", "8589934592.0")),
    *((ETCD, "pre-vote", each, True) for each in ("true", "F", "0")),
    *((ETCD, "pre-vote", each, False) for each in ("", "on", "yes")),
    *((ETCD, "corrupt-check-time", each, True) for each in ("1h", "0")),
    *((ETCD, "corrupt-check-time", each, False) for each in ("", "60", "1d")),
    *(
        (ETCD, URLS, each, True)
        for each in ("", "http://h:", "https://[::1]:2379", "HTTP://a:1", "unix:///x")
    ),
    *(
        (ETCD, URLS, each, True)
        for each in ("http://a:1, http://b:2", "http://[fe80::1%25eth0]:1", "http://u@a:1")
    ),
    *(
        (ETCD, URLS, each, False)
        for each in ("*", "http://h", "https://::1:2379", "http://a:b", "http://a:1/")
    ),
    *(
        (ETCD, URLS, each, False)
        for each in ("tcp://a:1", "http://a:1,", "http://[1.2.3.4]:1", "http://a b:1")
    ),
    *((ETCD, "cors", each, True) for each in ("*", "https://a:1")),
    *((ETCD, "cors", each, False) for each in ("", "*,https://a:1", "https://a")),
    *(
        (KUBELET, "node-status-update-frequency", each, True)
        for each in ("9223372036854775807ns", "-9223372036854775808ns", "2562047h47m16.854775807s")
    ),
    *(
        (KUBELET, "node-status-update-frequency", each, False)
        for each in ("9223372036854775808ns", "-9223372036854775809ns", "2562047h47m16.854775808s")
    ),
    *((API_SERVER, "service-node-port-range", each, True) for each in ("030000-0032767", "00030000+09")),
    *((API_SERVER, "tls-sni-cert-key", each, False) for each in ("a,b:", "a,b: ")),
    *(
        (KUBELET, "address", each, True)
        for each in ("010.0.0.01", "::ffff:010.0.0.1", "00000::00a", "10.0.0.1", "::", "")
    ),
    *((KUBELET, "address", each, False) for each in (" 10.0.0.1 ", "10.0.0.256", "10.0.0.", "x")),
]


@pytest.mark.parametrize(("program", "flag", "value", "is_taken"), VALUES)
def test_what_is_taken(program: KnownProgram, flag: str, value: str, *, is_taken: bool) -> None:
    fault = value_fault(program, flag, value)
    assert (fault is None) == is_taken
    assert fault is None or f"{program} stops at it" in fault


def flags(component: str, *given: tuple[str, str]) -> str:
    arguments = [{"name": name, "value": value} for name, value in given]
    return spec(f"  {component}: {{extraArgs: {json.dumps(arguments)}}}\n")


def test_it_is_told_at_its_place() -> None:
    source = flags("scheduler", ("leader-elect", "yes"), ("leader-elect-lease-duration", "15"))
    first, second = problems(source)
    assert (
        "7:61: spec.scheduler.extraArgs[0].value: must be true or false, not 'yes': kube-scheduler" in first
    )
    assert "extraArgs[1].value: must be a duration with a unit, such as 30s or 1h30m, not '15'" in second


def test_what_nobody_knows_is_not_judged() -> None:
    """Variables of the Pod, and texts."""
    loaded(flags("apiServer", ("audit-log-maxage", "$(DAYS)"), ("audit-log-path", "anything")))
    loaded(flags("etcd", ("snapshot-count", "$(MANY)"), ("initial-cluster-token", "anything")))


def test_what_etcd_cannot_read_is_told_at_its_place() -> None:
    (problem,) = problems(flags("etcd", ("snapshot-count", "many")))
    message = "must be a whole number without a sign, not 'many': etcd stops at it"
    assert f"7:58: spec.etcd.extraArgs[0].value: {message}" in problem


def test_an_etcd_that_others_run_is_not_asked() -> None:
    external = "external: {endpoints: ['https://192.0.2.9:2379']}"
    loaded(spec(f"  etcd: {{{external}, extraArgs: [{{name: snapshot-count, value: many}}]}}\n"))


@pytest.mark.live
@pytest.mark.parametrize("program", [API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KUBELET, ETCD])
def test_the_programs_agree(program: KnownProgram) -> None:
    """Flags are read before the version is printed."""
    path = find_etcd_3_6() if program is ETCD else find(program)
    for each, flag, value, is_taken in VALUES:
        if each is program:
            command = [path, f"--{flag}={value}", "--version"]
            result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
            assert (flag, value, result.returncode == 0) == (flag, value, is_taken), result.stderr
