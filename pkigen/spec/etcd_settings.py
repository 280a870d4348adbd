"""Values of etcd's flags that it can read, and stops at all the same: alone, or with others.

They are those of server/embed/config.go's `Validate` and of what it calls, alike in v3.5.33, v3.6.14 and
v3.7.1 where nothing else is said. etcd 3.6.14 gave these answers when it was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.spec.findings import Location, SpecFinding
from pkigen.spec.flag_values import duration_value, integer_value, is_address, is_true
from pkigen.spec.model import ManagedFiles
from pkigen.spec.translation import quote
from pkigen.spec.values import has_variable
from pkigen.spec.versions import ETCD_FEATURE_GATES_SINCE, etcd_tag, tag_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pkigen.spec.model import ClusterSpec

    _Fault = tuple[str, str]
    """A flag, and why etcd stops at it."""

_AT: Final[Location] = ("spec", "etcd", "extraArgs")
_GIVEN: Final[tuple[Location, ...]] = (
    ("spec", "kubernetesVersion"),
    ("spec", "etcd", "imageTag"),
    ("spec", "manage"),
)
_HEARTBEAT, _ELECTION = "heartbeat-interval", "election-timeout"
_DEFAULTS: Final = {_HEARTBEAT: 100, _ELECTION: 1000}
_LONGEST_ELECTION: Final = 50_000
_BEATS: Final = 5
_LEAST, _MOST = "tls-min-version", "tls-max-version"
# A ticker of no or less time panics (server/etcdserver/server.go and corrupt.go).
_POSITIVE: Final = ("compact-hash-check-time", "experimental-compact-hash-check-time")
_NOT_NEGATIVE: Final = ("corrupt-check-time", "experimental-corrupt-check-time")
_TRACING: Final = ("enable-distributed-tracing", "distributed-tracing-sampling-rate")
_MOST_SAMPLES: Final = 1_000_000
_EXPERIMENTAL: Final = "experimental-"
_DISCOVERY: Final = ("discovery", "discovery-srv", "discovery-endpoints")
_OUTPUTS, _DEFAULT_OUTPUT, _JOURNAL = "log-outputs", "default", "systemd/journal"
_DEPRECATION: Final = "v2-deprecation"
_STAGES: Final = frozenset({"write-only", "write-only-skip-check", "write-only-drop-data", "gone"})
_OLD_STAGE: Final = "not-yet"


def etcd_settings(spec: ClusterSpec, refused: Collection[str]) -> Iterator[SpecFinding]:
    """What the cluster's etcd would not take of its flags, each of which it can read.

    Args:
        spec: The cluster.
        refused: Flags that this etcd does not take whatever their value.
    """
    etcd = spec.spec.etcd
    if etcd.external is not None or not spec.manages(ManagedFiles.MANIFESTS):
        return
    places = {argument.name: place for place, argument in enumerate(etcd.extra_args)}
    # What stands for a variable is not known.
    given = {
        each.name: each.value
        for each in etcd.extra_args
        if not has_variable(each.value) and each.name not in refused
    }
    version = tag_version(etcd.image_tag or etcd_tag(spec.spec.kubernetes_version))
    for name, message in _faults(given, has_gates=version >= ETCD_FEATURE_GATES_SINCE):
        if name in places:
            here = (*_AT, places[name], "value")
            yield SpecFinding(at=here, message=f"{message}: etcd stops", given=_GIVEN)


def _faults(given: Mapping[str, str], *, has_gates: bool) -> Iterator[_Fault]:
    for rule in _RULES:
        yield from rule(given)
    yield from _said_twice(given, has_gates=has_gates)
    yield from _stages(given, new=has_gates)


def _election(given: Mapping[str, str]) -> Iterator[_Fault]:
    """A member is not missed before it could be heard five times."""
    read = {name: integer_value(given.get(name, str(default))) for name, default in _DEFAULTS.items()}
    beat, election = read[_HEARTBEAT], read[_ELECTION]
    if beat is None or election is None:
        return
    if beat == 0:
        yield _HEARTBEAT, "must be greater than 0"
    elif election > _LONGEST_ELECTION:
        yield _ELECTION, f"must be at most {_LONGEST_ELECTION} (ms)"
    elif election < _BEATS * beat:
        name = _ELECTION if _ELECTION in given else _HEARTBEAT
        yield name, f"{_ELECTION} ({election} ms) must be at least five times {_HEARTBEAT} ({beat} ms)"


def _numbers(given: Mapping[str, str]) -> Iterator[_Fault]:
    for name, value in given.items():
        time = duration_value(value) if name in (*_POSITIVE, *_NOT_NEGATIVE) else None
        if time is not None and (time < 0 or (time == 0 and name in _POSITIVE)):
            yield name, "must be greater than 0" if name in _POSITIVE else "must not be negative"


def _counts(given: Mapping[str, str]) -> Iterator[_Fault]:
    if (integer_value(given.get("max-learners", "1")) or 0) < 0:
        yield "max-learners", "must not be negative"
    for prefix in ("", _EXPERIMENTAL):
        enabled, rate = (f"{prefix}{name}" for name in _TRACING)
        samples = integer_value(given.get(rate, "0"))
        if is_true(given.get(enabled, "")) and samples is not None and not 0 <= samples <= _MOST_SAMPLES:
            yield rate, f"must be between 0 and {_MOST_SAMPLES}"


def _tls(given: Mapping[str, str]) -> Iterator[_Fault]:
    least, most = given.get(_LEAST, ""), given.get(_MOST, "")
    if most and least > most:
        yield _LEAST, f"is greater than {_MOST} ({most})"
    if least == "TLS1.3" and "cipher-suites" in given:
        yield (
            "cipher-suites",
            f"nobody can choose those of TLS 1.3, the only version that {_LEAST} leaves",
        )


def _compaction(given: Mapping[str, str]) -> Iterator[_Fault]:
    """A plain number, of hours or revisions, or a duration."""
    name = "auto-compaction-retention"
    # An empty text is none (embed/etcd.go).
    value = given.get(name) or "0"
    # strconv.Atoi knows decimal digits and a sign alone.
    is_number = value.removeprefix("+").isdecimal() and value.isascii()
    if not is_number and duration_value(value) is None:
        yield name, f"{quote(value)} is neither a whole number nor a duration such as 30m"


def _outputs(given: Mapping[str, str]) -> Iterator[_Fault]:
    """Where logs go: the default is nowhere beside another place, and a log that is rotated is one file."""
    outputs = set(given.get(_OUTPUTS, _DEFAULT_OUTPUT).split(","))
    files = outputs - {_DEFAULT_OUTPUT, _JOURNAL, "stdout", "stderr"}
    if "" in outputs:
        yield _OUTPUTS, "must not be empty"
    elif len(outputs) > 1 and outputs & {_DEFAULT_OUTPUT, _JOURNAL}:
        one = _DEFAULT_OUTPUT if _DEFAULT_OUTPUT in outputs else _JOURNAL
        yield _OUTPUTS, f"{one!r} excludes every other output"
    if is_true(given.get("enable-log-rotation", "")) and len(files) != 1:
        yield "enable-log-rotation", f"needs {_OUTPUTS} with exactly one file"


def _token(given: Mapping[str, str]) -> Iterator[_Fault]:
    kind, *options = given.get("auth-token", "").split(",")
    pairs = [option.split("=") for option in options]
    if kind not in {"", "simple", "jwt"} or any(len(pair) != len(("name", "value")) for pair in pairs):
        yield "auth-token", "must be simple or jwt, with options of the form name=value"


def _bootstrap(given: Mapping[str, str]) -> Iterator[_Fault]:
    """What pkigen lists are the members; a member does not look for them elsewhere, too."""
    # An empty list would be none to etcd, and is up to who gives it.
    if given.get("initial-cluster", "members"):
        for name in _DISCOVERY:
            if given.get(name):
                yield name, "excludes initial-cluster, which pkigen sets"
    if bool(given.get("discovery-token")) != bool(given.get("discovery-endpoints")):
        name = "discovery-token" if given.get("discovery-token") else "discovery-endpoints"
        yield name, "discovery-token and discovery-endpoints go together"


def _bindings(given: Mapping[str, str]) -> Iterator[_Fault]:
    """`checkBindURLs`: etcd listens at addresses, and at no other name than localhost; `checkHostURLs`."""
    for name in ("listen-client-urls", "listen-peer-urls", "listen-metrics-urls", "listen-client-http-urls"):
        for url in filter(None, given.get(name, "").split(",")):
            scheme, _, rest = url.strip().partition("://")
            before_query = rest.partition("#")[0].partition("?")[0]
            host = before_query.rpartition("@")[2].rpartition(":")[0].strip("[]")
            # net/url reads schemes in any case.
            if not scheme.lower().startswith("unix") and host != "localhost" and not is_address(host):
                yield name, f"{quote(url)} must have an IP address, or localhost"
    for name in ("advertise-client-urls", "initial-advertise-peer-urls"):
        for url in filter(None, given.get(name, "").split(",")):
            if "://:" in url:
                yield name, f"{quote(url)} must have a host"


def _said_twice(given: Mapping[str, str], *, has_gates: bool) -> Iterator[_Fault]:
    """A flag under the name that it had, beside the one that it has (`experimentalFlagMigrationMap`)."""
    # pkigen gives etcd 3.6 one of them itself.
    names = {*given, "watch-progress-notify-interval"} if has_gates else set(given)
    for name in given:
        later = name.removeprefix(_EXPERIMENTAL)
        if later != name and later in names:
            yield name, f"excludes {later}{'' if later in given else ', which pkigen sets'}"


def _stages(given: Mapping[str, str], *, new: bool) -> Iterator[_Fault]:
    known = _STAGES if new else _STAGES | {_OLD_STAGE}
    for stage in given.get(_DEPRECATION, "gone").split(","):
        if stage not in known:
            yield _DEPRECATION, f"{quote(stage)} is none of {', '.join(sorted(known))}"


_RULES: Final[tuple[Callable[[Mapping[str, str]], Iterator[_Fault]], ...]] = (
    _election,
    _numbers,
    _counts,
    _tls,
    _compaction,
    _outputs,
    _token,
    _bootstrap,
    _bindings,
)
