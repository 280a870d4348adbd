"""Values of etcd's flags that it can read, and stops at; names that programs do not know."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.desired.rendering.reference_programs import find_etcd_3_6
from tests.spec.sources import loaded, problems, spec

if TYPE_CHECKING:
    from pathlib import Path

STOPS = [
    *("heartbeat-interval=0", "heartbeat-interval=300", "election-timeout=400", "election-timeout=60000"),
    *("compact-hash-check-time=0", "corrupt-check-time=-1s", "max-learners=-1", "tls-min-version=1.2"),
    *("cipher-suites=x", "cipher-suites=", "log-level=x", "log-format=x", "logger=", "log-outputs="),
    *("log-outputs=default,stderr", "enable-log-rotation=true", "auto-compaction-mode=x", "auth-token=x"),
    *("auto-compaction-retention=x", "auto-compaction-retention=-1", "auth-token=simple,x"),
    *("discovery-srv=x", "discovery-token=x", "initial-cluster-state=x", "v2-deprecation=not-yet"),
    *("listen-metrics-urls=http://host:1", "tls-min-version=TLS1.3 tls-max-version=TLS1.2"),
    *("tls-min-version=TLS1.3 cipher-suites=TLS_AES_128_GCM_SHA256",),
    *("experimental-corrupt-check-time=1s corrupt-check-time=1s",),
    *("enable-distributed-tracing=true distributed-tracing-sampling-rate=-1",),
]
RUNS = [
    *("log-level=WARN", "log-level=", "log-format=", "max-learners=0", "corrupt-check-time=0"),
    *(
        "heartbeat-interval=500 election-timeout=2500",
        "auto-compaction-retention=5m",
        "auto-compaction-retention=",
        "auth-token=",
    ),
    *("tls-min-version=", "distributed-tracing-sampling-rate=-1", "cipher-suites=TLS_AES_128_GCM_SHA256"),
]


def flags(component: str, given: str) -> str:
    pairs = [dict(zip(("name", "value"), each.split("=", 1), strict=True)) for each in given.split()]
    return spec(f"  {component}: {{extraArgs: {json.dumps(pairs)}}}\n")


@pytest.mark.parametrize("given", STOPS)
def test_what_etcd_stops_at_is_refused(given: str) -> None:
    (problem,) = problems(flags("etcd", given))
    assert "spec.etcd.extraArgs[" in problem
    assert "stops" in problem


# Not among those that a real etcd is started with: it would listen there.
URLS = ["listen-metrics-urls=UNIX:///m", "listen-metrics-urls=http://127.0.0.1:2381?a=b:c#d:e"]


@pytest.mark.parametrize("given", [*RUNS, *URLS])
def test_what_etcd_takes_is_taken(given: str) -> None:
    loaded(flags("etcd", given))


def test_a_flag_beside_the_one_that_pkigen_sets() -> None:
    (problem,) = problems(flags("etcd", "experimental-watch-progress-notify-interval=1s"))
    assert "excludes watch-progress-notify-interval, which pkigen sets: etcd stops" in problem


@pytest.mark.parametrize(
    "given",
    [
        *("tls-min-version=TLS1.2", "tls-cipher-suites=x", "logging-format=", "storage-backend=etcd2"),
        *("audit-log-path=- audit-log-mode=x", "enable-admission-plugins=PodSecurityPolicy"),
        *("disable-admission-plugins=noderestriction", "enable-admission-plugins=NodeRestriction,"),
    ],
)
def test_names_that_an_api_server_does_not_know(given: str) -> None:
    (problem,) = problems(flags("apiServer", given))
    assert "stops at it" in problem


@pytest.mark.parametrize(
    "given", ["audit-log-mode=x", "tls-cipher-suites=", "enable-admission-plugins=", "storage-backend="]
)
def test_names_that_nobody_looks_at(given: str) -> None:
    loaded(flags("apiServer", given))


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("scheduler", "leader-elect=false leader-elect-resource-lock=x"),
        ("controllerManager", "leader-elect=0 leader-elect-resource-lock=x"),
        ("controllerManager", "secure-port=0 tls-min-version=x tls-cipher-suites=x"),
        ("apiServer", 'enable-admission-plugins="NodeRestriction","AlwaysPullImages"'),
        ("scheduler", 'tls-cipher-suites="TLS_AES_128_GCM_SHA256",TLS_AES_256_GCM_SHA384'),
    ],
)
def test_what_is_switched_off_or_quoted_is_taken(component: str, given: str) -> None:
    loaded(flags(component, given))


@pytest.mark.parametrize(
    "given",
    [
        *("leader-elect-resource-lock=x", "leader-elect=true leader-elect-resource-lock=x"),
        *("tls-min-version=x", 'tls-cipher-suites="TLS_AES_128_GCM_SHA256"x', 'tls-cipher-suites="x'),
    ],
)
def test_names_that_a_scheduler_does_not_know(given: str) -> None:
    (problem,) = problems(flags("scheduler", given))
    assert "stops at it" in problem


def test_plugins_of_another_version_are_a_warning() -> None:
    source = flags("apiServer", "enable-admission-plugins=SecurityContextDeny").replace("v1.36.2", "v1.29.0")
    assert any("is no admission plugin" in str(each) for each in loaded(source).warnings)


def command(given: str, directory: Path) -> list[str]:
    """An etcd that would start, but for what it is given."""
    urls = ("listen-client-urls", "advertise-client-urls", "listen-peer-urls")
    return [
        find_etcd_3_6(),
        f"--data-dir={directory}/data",
        "--initial-cluster=default=http://localhost:2380",
        *(f"--{name}=http://127.0.0.1:0" for name in urls),
        *(f"--{each}" for each in given.split()),
    ]


@pytest.mark.live
@pytest.mark.parametrize("given", STOPS)
def test_etcd_agrees(given: str, tmp_path: Path) -> None:
    result = subprocess.run(command(given, tmp_path), check=False, capture_output=True, timeout=300)
    assert result.returncode != 0


@pytest.mark.live
@pytest.mark.parametrize("given", ["", *(each for each in RUNS if "WARN" not in each)])
def test_etcd_starts(given: str, tmp_path: Path) -> None:
    with subprocess.Popen(command(given, tmp_path), stderr=subprocess.PIPE, text=True) as etcd:
        assert etcd.stderr is not None
        assert any("ready to serve client requests" in line for line in etcd.stderr)
        etcd.kill()
