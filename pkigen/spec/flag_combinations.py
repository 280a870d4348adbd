"""Flags of the API server that do not go together: with them it says so, and does not start.

Sources are `pkg/kubeapiserver/options/{authentication,authorization,admission}.go`,
`pkg/controlplane/apiserver/options/validation.go` and apiserver `pkg/server/options/etcd.go`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass
from pkigen.spec.flag_values import is_true, listed
from pkigen.spec.versions import REQUEST_HEADER_OVERLAP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pkigen.spec.values import KubernetesVersion

AUTHENTICATION_FLAG: Final = "authentication-config"
AUTHORIZATION_FLAG: Final = "authorization-config"
MODE: Final = "authorization-mode"
# authorization.go, AreLegacyFlagsSet
LEGACY_AUTHORIZATION: Final = (
    MODE,
    "authorization-webhook-config-file",
    "authorization-webhook-version",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
)
_OIDC: Final = "oidc-"
_NEEDED_BY_OIDC: Final = ("oidc-issuer-url", "oidc-client-id")
_MODES: Final = frozenset({"ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"})
# What a mode needs, and what needs the mode.
_FILES_OF_MODES: Final = {
    "ABAC": "authorization-policy-file",
    "Webhook": "authorization-webhook-config-file",
}
_SIGNING: Final = "service-account-signing-endpoint"
_OWN_SIGNING: Final = ("service-account-signing-key-file", "service-account-key-file")
_RELOAD, _ENCRYPTION = "encryption-provider-config-automatic-reload", "encryption-provider-config"
_CLIENTS, _PROXIES, _NAMES = "client-ca-file", "requestheader-client-ca-file", "requestheader-allowed-names"
_OLD_ADMISSION: Final = "admission-control"
_ADMISSION: Final = ("enable-admission-plugins", "disable-admission-plugins")


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Flags that the API server refuses together: those to look at, the one to change first, and why."""

    flags: tuple[str, ...]
    message: str
    stops: bool = True
    """Whether the API server does not start; else it is only unsafe."""


class Given:
    """The flags that an API server is started with, each with its values in order."""

    def __init__(self, flags: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = defaultdict(list)
        for name, value in flags:
            self._values[name].append(value)

    def named(self, *names: str) -> tuple[str, ...]:
        """Those of some flags that are given."""
        return tuple(name for name in names if name in self._values)

    def beginning(self, prefix: str) -> tuple[str, ...]:
        """The flags that are given with a prefix."""
        return tuple(name for name in self._values if name.startswith(prefix))

    def value(self, name: str) -> str:
        """The value that counts; empty where none is given."""
        # pflag sets a plain flag anew at each occurrence, so that the last one counts.
        return self._values.get(name, [""])[-1]

    def listed(self, name: str) -> list[str]:
        """The parts of a flag that is a list, which each occurrence adds to (pflag, StringSlice)."""
        return [part for value in self._values.get(name, ()) for part in listed(value) if part]


def combinations(
    flags: Iterable[tuple[str, str]], version: KubernetesVersion, *, file_has_anonymous: bool
) -> Iterator[Combination]:
    """What the API server would not take of its whole command line.

    Args:
        flags: Names and values, in order.
        version: Of Kubernetes.
        file_has_anonymous: Whether the file of authentication-config says who comes in unknown.
    """
    given = Given(flags)
    for rule in _RULES:
        yield from rule(given)
    yield from _overlap(given, version)
    if file_has_anonymous and given.named("anonymous-auth"):
        yield Combination(
            flags=("anonymous-auth",),
            message="'anonymous-auth' excludes spec.authentication.anonymous: remove the flag",
        )


def _oidc(given: Given) -> Iterator[Combination]:
    """One issuer by flags, or any number of them by a file."""
    flags = given.beginning(_OIDC)
    if given.value(AUTHENTICATION_FLAG):
        for name in flags:
            yield Combination(
                flags=(name, AUTHENTICATION_FLAG),
                message=f"{name!r} excludes {AUTHENTICATION_FLAG}: "
                "write the issuer into spec.authentication.jwt",
            )
    elif flags and not all(given.value(name) for name in _NEEDED_BY_OIDC):
        yield Combination(
            flags=flags, message=f"{flags[0]!r} needs {' and '.join(_NEEDED_BY_OIDC)}, both of them"
        )


def _authorization(given: Given) -> Iterator[Combination]:
    """Authorizers in a file, or by flags; and the files that modes have."""
    if given.value(AUTHORIZATION_FLAG):
        for name in given.named(*LEGACY_AUTHORIZATION):
            yield Combination(
                flags=(name, AUTHORIZATION_FLAG),
                message=f"{name!r} excludes {AUTHORIZATION_FLAG}: remove one of them",
            )
    else:
        yield from _modes(given, given.listed(MODE))


def _modes(given: Given, modes: Sequence[str]) -> Iterator[Combination]:
    """Each mode once, with the file that it has; and no file without its mode."""
    for mode, file in _FILES_OF_MODES.items():
        if mode in modes and not given.value(file):
            yield Combination(flags=(MODE,), message=f"the mode {mode} needs {file}")
        elif given.value(file) and mode not in modes:
            yield Combination(flags=(file,), message=f"{file!r} needs the mode {mode} in {MODE}")
    for mode in modes:
        if mode not in _MODES:
            known = ", ".join(sorted(_MODES))
            yield Combination(flags=(MODE,), message=f"{mode!r} is no mode: choose of {known}")
    if len(set(modes)) != len(modes):
        yield Combination(flags=(MODE,), message=f"{','.join(modes)!r} names a mode twice")


def _signing(given: Given) -> Iterator[Combination]:
    """Tokens are signed with a file's key, or by a program that has its own."""
    files = [name for name in given.named(*_OWN_SIGNING) if given.value(name)]
    if given.value(_SIGNING) and files:
        yield Combination(
            flags=(_SIGNING, *files),
            message=f"{_SIGNING!r} excludes {' and '.join(files)}, which tokens are signed and verified with "
            "here: remove it",
        )


def _encryption(given: Given) -> Iterator[Combination]:
    """Nothing is reloaded that is not there."""
    if is_true(given.value(_RELOAD)) and not given.value(_ENCRYPTION):
        yield Combination(flags=(_RELOAD,), message=f"{_RELOAD!r} needs {_ENCRYPTION}: set spec.encryption")


def _admission(given: Given) -> Iterator[Combination]:
    """The plugins are listed the old way, or the new one."""
    if given.named(_OLD_ADMISSION):
        for name in given.named(*_ADMISSION):
            yield Combination(
                flags=(_OLD_ADMISSION, name), message=f"{_OLD_ADMISSION!r} excludes {name}: use the latter"
            )


_RULES: Final[tuple[Callable[[Given], Iterator[Combination]], ...]] = (
    _oidc,
    _authorization,
    _signing,
    _encryption,
    _admission,
)


def _overlap(given: Given, version: KubernetesVersion) -> Iterator[Combination]:
    """Where every client's CA is that of proxies too, names are all that keeps clients from being anybody."""
    is_one = given.value(_CLIENTS) and given.value(_CLIENTS) == given.value(_PROXIES)
    if is_one and not given.listed(_NAMES):
        stops = REQUEST_HEADER_OVERLAP.holds(version)
        since = f"Kubernetes v1.{REQUEST_HEADER_OVERLAP.since} does not start so"
        yield Combination(
            flags=(_NAMES, _PROXIES, _CLIENTS),
            message=f"{_NAMES} is empty, and {_CLIENTS} and {_PROXIES} are one file: every client could "
            f"speak in anybody's name, and {since}; name those who may",
            stops=stops,
        )


def first_of(flags: Sequence[str], places: Mapping[str, int]) -> int | None:
    """The place of the first of some flags that has one."""
    return next((places[name] for name in flags if name in places), None)
