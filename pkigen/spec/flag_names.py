"""Names that flags take as their values: at one that it does not know a program stops.

The programs of v1.36.2 and etcd 3.6.14 gave these answers when they were asked. Modes of authorization are in
`flag_combinations`, feature gates in `feature_gates`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass
from pkigen.spec.component_flags import KnownProgram, known_names
from pkigen.spec.flag_values import is_false, listed
from pkigen.spec.translation import quote, suggestion
from pkigen.spec.values import has_variable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LONGEST_LIST: Final = 8
_TLS_VERSIONS: Final = frozenset({"VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"})
_MEDIA_TYPES: Final = frozenset(
    {"application/json", "application/vnd.kubernetes.protobuf", "application/yaml"}
)
_AUDIT_MODES: Final = frozenset({"batch", "blocking", "blocking-strict"})
_AUDIT_VERSIONS: Final = frozenset({"audit.k8s.io/v1"})
_LEADERS: Final = frozenset({KnownProgram.CONTROLLER_MANAGER, KnownProgram.SCHEDULER})
ASKED_MINOR: Final = 36
"""The minor version of Kubernetes 1 whose admission plugins are known."""
ADMISSION: Final = frozenset({"enable-admission-plugins", "disable-admission-plugins"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagNames:
    """The names that a flag takes.

    `is_list`: several, between commas. `or_none`: an empty value stands for none. `only_with`: the flag
    without which nobody looks at this one. `unless_off`: the flag that, false or 0, has nobody look either.
    """

    names: frozenset[str]
    is_list: bool = False
    any_case: bool = False
    or_none: bool = False
    only_with: str | None = None
    unless_off: str | None = None

    def counts(self, value: str, given: Mapping[str, str]) -> bool:
        """Whether the program looks at a value, beside all flags that it is given."""
        is_idle = self.unless_off is not None and is_false(given.get(self.unless_off, ""))
        is_given = self.only_with is None or bool(given.get(self.only_with))
        return bool(value or not self.or_none) and is_given and not is_idle


def name_fault(program: KnownProgram, name: str, value: str, given: Mapping[str, str]) -> str | None:
    """Why a program stops at a name that a flag is given; None where it does not, or nobody knows.

    Args:
        program: The program.
        name: The flag.
        value: What it is given; what stands for a variable is not known.
        given: All flags beside it.
    """
    known = _table(program).get(name)
    if known is None or has_variable(value) or not known.counts(value, given):
        return None
    split = listed if program is not KnownProgram.ETCD else _between_commas
    for word in split(value) if known.is_list else (value,):
        if (word.lower() if known.any_case else word) not in known.names:
            choice = _choice(word, known.names)
            return f"{quote(word)} is none that {program} knows, which stops at it{choice}"
    return None


def _between_commas(value: str) -> list[str]:
    """The parts of a list of etcd's (its `pkg/flags`)."""
    return value.split(",")


def plugin_fault(word: str) -> str | None:
    """Why an API server of the version that was asked stops at the name of an admission plugin."""
    # It writes errors for the rest of the list, too: the first is enough.
    known = known_names("admissionPlugins")
    return None if word in known else f"{quote(word)} is no admission plugin{suggestion(word, known)}"


def _choice(word: str, names: Collection[str]) -> str:
    listed = f": choose of {', '.join(sorted(names))}" if len(names) <= _LONGEST_LIST else ""
    return suggestion(word, sorted(names)) or listed


@cache
def _table(program: KnownProgram) -> Mapping[str, FlagNames]:
    """The flags of a program whose names are known."""
    if program is KnownProgram.ETCD:
        return _of_etcd()
    # These two serve nothing at port 0 (`SecureServingOptions.ApplyTo`).
    port = "secure-port" if program in _LEADERS else None
    suites = known_names("cipherSuites")
    rows = {
        # component-base cli/flag/ciphersuites_flag.go
        "tls-min-version": FlagNames(names=_TLS_VERSIONS, or_none=True, unless_off=port),
        "tls-cipher-suites": FlagNames(names=suites, is_list=True, or_none=True, unless_off=port),
        "logging-format": FlagNames(names=frozenset({"json", "text"})),
    }
    if program in _LEADERS:
        # component-base config/validation `ValidateLeaderElectionConfiguration`
        locks = frozenset({"leases"})
        rows["leader-elect-resource-lock"] = FlagNames(names=locks, unless_off="leader-elect")
    if program is KnownProgram.API_SERVER:
        rows |= _API_SERVER
    return rows


# apiserver pkg/server/options/{audit,etcd}.go
_API_SERVER: Final = {
    "audit-log-format": FlagNames(names=frozenset({"json", "legacy"}), only_with="audit-log-path"),
    "audit-log-mode": FlagNames(names=_AUDIT_MODES, only_with="audit-log-path"),
    "audit-log-version": FlagNames(names=_AUDIT_VERSIONS, only_with="audit-log-path"),
    "audit-webhook-mode": FlagNames(names=_AUDIT_MODES, only_with="audit-webhook-config-file"),
    "audit-webhook-version": FlagNames(names=_AUDIT_VERSIONS, only_with="audit-webhook-config-file"),
    "storage-backend": FlagNames(names=frozenset({"etcd3"}), or_none=True),
    "storage-media-type": FlagNames(names=_MEDIA_TYPES, or_none=True),
}


def _of_etcd() -> Mapping[str, FlagNames]:
    """The same of etcd 3.5, 3.6 and 3.7 (server/etcdmain/config.go, server/embed, client/pkg/tlsutil)."""
    versions = FlagNames(names=frozenset({"TLS1.2", "TLS1.3"}), or_none=True)
    levels = frozenset({"debug", "info", "warn", "error", "dpanic", "panic", "fatal"})
    return {
        "auto-compaction-mode": FlagNames(names=frozenset({"periodic", "revision"})),
        "cipher-suites": FlagNames(names=known_names("cipherSuites"), is_list=True),
        "discovery-fallback": FlagNames(names=frozenset({"exit", "proxy"})),
        "initial-cluster-state": FlagNames(names=frozenset({"existing", "new"})),
        "log-format": FlagNames(names=frozenset({"console", "json"}), or_none=True),
        "log-level": FlagNames(names=levels, any_case=True, or_none=True),
        "logger": FlagNames(names=frozenset({"zap"})),
        "tls-max-version": versions,
        "tls-min-version": versions,
    }
