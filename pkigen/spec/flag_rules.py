"""Rules about flags in `extraArgs`: a program that gets one that it does not take stops at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.spec import feature_gates
from pkigen.spec.compatibility_flags import EMULATED, emulated_minor, registry_faults
from pkigen.spec.component_flags import KnownProgram, known_flags
from pkigen.spec.etcd_gates import etcd_gates
from pkigen.spec.etcd_settings import etcd_settings
from pkigen.spec.feature_gates import known_gates
from pkigen.spec.findings import NODES, Location, SpecFinding, last, warning
from pkigen.spec.flag_combinations import (
    AUTHENTICATION_FLAG,
    AUTHORIZATION_FLAG,
    MODE,
    combinations,
    first_of,
)
from pkigen.spec.flag_names import ADMISSION, ASKED_MINOR, name_fault, plugin_fault
from pkigen.spec.flag_values import listed, value_fault
from pkigen.spec.model import ManagedFiles
from pkigen.spec.translation import quote, suggestion
from pkigen.spec.values import NEWEST_RELEASED, KubernetesVersion, has_variable
from pkigen.spec.versions import (
    AUTHORIZATION_FILE_REPLACES_MODE,
    NOT_RELEASED,
    STRUCTURED_AUTHORIZATION,
    etcd_tag,
    tag_version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.spec.component_flags import KnownFlags
    from pkigen.spec.components import ExtraArg
    from pkigen.spec.feature_gates import KnownGate
    from pkigen.spec.model import ClusterSpec

_VERSION: Final[Location] = ("spec", "kubernetesVersion")
# component-base's verflag and cobra; a value of false would do nothing.
_ENDING: Final = frozenset({"help", "version"})
_PERMISSION: Final[Location] = ("spec", "allowUnknownFlags")
_API_SERVER: Final[Location] = ("spec", "apiServer", "extraArgs")


def _release(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What is not released may still change."""
    version = spec.spec.kubernetes_version
    if NOT_RELEASED.holds(version):
        yield warning(
            _VERSION,
            f"v1.{version.minor} was not released when this pkigen was made: docs/reference/versions.md says "
            f"what is known of it; all else is written as for v1.{NEWEST_RELEASED}",
        )


def _flags(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A component gets flags that it knows: not removed ones, and unknown ones only where that is allowed."""
    for program, at, arguments in _given(spec):
        for place, argument in enumerate(arguments):
            message = flag_fault(spec, program, argument.name)
            if message is not None:
                yield SpecFinding(at=(*at, place, "name"), message=message, given=(_VERSION, _PERMISSION))


def _given(spec: ClusterSpec) -> Iterator[tuple[KnownProgram, Location, tuple[ExtraArg, ...]]]:
    """Every list of flags, with its program and its place."""
    what = spec.spec
    yield KnownProgram.API_SERVER, _API_SERVER, what.api_server.extra_args
    yield (
        KnownProgram.CONTROLLER_MANAGER,
        ("spec", "controllerManager", "extraArgs"),
        what.controller_manager.extra_args,
    )
    yield KnownProgram.SCHEDULER, ("spec", "scheduler", "extraArgs"), what.scheduler.extra_args
    if what.etcd.external is None:
        yield KnownProgram.ETCD, ("spec", "etcd", "extraArgs"), what.etcd.extra_args
    yield KnownProgram.KUBELET, ("spec", "kubelet", "extraArgs"), what.kubelet.extra_args
    for index, node in enumerate(what.nodes):
        yield KnownProgram.KUBELET, (*NODES, index, "kubeletExtraArgs"), node.kubelet_extra_args


def flag_fault(spec: ClusterSpec, program: KnownProgram, name: str) -> str | None:
    """What is wrong with the name of a flag, if anything."""
    if name in _ENDING:
        return f"{quote(name)} makes {program} print something and end: remove it"
    known, minor = known_flags(program), spec.spec.kubernetes_version.minor
    own_etcd = spec.spec.etcd.image_tag if program is KnownProgram.ETCD else None
    # An etcd of one's own is judged by its tag, for it need not be the one of this release of Kubernetes.
    if name in known.at(minor) if own_etcd is None else _etcd_takes(own_etcd, name, known):
        return None
    if name in known.removed:
        since = known.removed[name]
        when = f"since v1.{since}" if since is not None else "any more"
        return f"{quote(name)} is not a flag of {program} {when}, which stops when it is given: remove it"
    if spec.spec.allow_unknown_flags:
        return None
    near = suggestion(name, known.at(minor))
    otherwise = "; if it has it all the same, set spec.allowUnknownFlags: true"
    return f"{quote(name)} is not a known flag of {program} in Kubernetes v1.{minor}{near or otherwise}"


def _etcd_takes(tag: str, name: str, known: KnownFlags) -> bool:
    """Whether an etcd of one's own takes a flag; one whose tag is no version may be of any."""
    own = tag_version(tag)
    if name in known.added:
        return not own or own[:2] >= _etcd_of(known.added[name])
    if name not in known.removed:
        return name in known.current
    since = known.removed[name]
    return not own or since is None or own[:2] < _etcd_of(since)


def _etcd_of(minor: int) -> tuple[int, ...]:
    """The minor version of etcd that belongs to one of Kubernetes 1."""
    return tag_version(etcd_tag(KubernetesVersion(major=1, minor=minor, patch=0)))[:2]


def _gates(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Feature gates that the version knows, and lets one set so; those of etcd are in `etcd_gates`."""
    for program, at, arguments in _given(spec):
        for place, argument in enumerate(arguments):
            if argument.name != feature_gates.FLAG or program is KnownProgram.ETCD:
                continue
            for name, setting in feature_gates.pairs(argument.value):
                here: Location = (*at, place, "value")
                fault = gate_fault(spec, program, name, setting)
                if fault is not None:
                    yield SpecFinding(at=here, message=fault, given=(_VERSION, _PERMISSION))
                elif name not in known_gates():
                    yield warning(here, _unknown_gate(spec, program, name), _VERSION)


def gate_fault(spec: ClusterSpec, program: KnownProgram, name: str, setting: str) -> str | None:
    """Why a program stops at a feature gate that is set so; None where it does not, or nobody knows."""
    value, gate = feature_gates.as_boolean(setting), known_gates().get(name)
    if value is None:
        return f"{quote(name)} must be set to true or false"
    why = _why_it_stops(spec, program, gate, value=value) if gate is not None else None
    return f"{quote(name)} {why}: remove it" if why is not None else None


def _why_it_stops(spec: ClusterSpec, program: KnownProgram, gate: KnownGate, *, value: bool) -> str | None:
    """What is wrong with a known gate, after its name."""
    # component-base featuregate/feature_gate.go: at one that it does not know, and at a locked one.
    minor, stops = spec.spec.kubernetes_version.minor, f"{program} stops when it is given"
    if gate.removed is not None and minor >= gate.removed:
        return f"is no feature gate of v1.{minor} any more, and {stops}"
    behaves_as = _emulated(spec, program) or minor
    if behaves_as < gate.since and not spec.spec.allow_unknown_flags:
        return f"is a feature gate from v1.{gate.since} on, and {stops} before"
    if gate.locked is not None and behaves_as >= gate.locked and value != gate.value:
        only = str(gate.value).lower()
        return f"is {only} for good since v1.{gate.locked}, and {program} stops otherwise"
    return None


def _emulated(spec: ClusterSpec, program: KnownProgram) -> int | None:
    """The minor version whose gates a program has by `--emulated-version`; None where it has its own."""
    for each, _, arguments in _given(spec):
        if each is program:
            return emulated_minor(argument.value for argument in arguments if argument.name == EMULATED)
    return None


def _values(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Values that programs can read, and names that they know."""
    for program, at, arguments in _given(spec):
        given = {argument.name: argument.value for argument in arguments}
        for place, argument in enumerate(arguments):
            if flag_fault(spec, program, argument.name) is not None:
                continue
            message = value_fault(program, argument.name, argument.value) or name_fault(
                program, argument.name, argument.value, given
            )
            if message is not None:
                yield SpecFinding(at=(*at, place, "value"), message=message)


def _etcd_settings(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Values that etcd stops at; flags that it does not take are told already."""
    given = spec.spec.etcd.extra_args
    refused = {each.name for each in given if flag_fault(spec, KnownProgram.ETCD, each.name) is not None}
    yield from etcd_settings(spec, refused)


def _admission_plugins(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Plugins that the API server has; other versions than the one that was asked may have others."""
    version = spec.spec.kubernetes_version
    for place, argument in enumerate(spec.spec.api_server.extra_args):
        if argument.name not in ADMISSION or has_variable(argument.value):
            continue
        here: Location = (*_API_SERVER, place, "value")
        for word in listed(argument.value):
            message = plugin_fault(word)
            if message is None:
                continue
            if version.minor == ASKED_MINOR and not spec.spec.allow_unknown_flags:
                message += ", and the API server stops at it"
                yield SpecFinding(at=here, message=message, given=(_VERSION, _PERMISSION))
            else:
                message += (
                    f" of v1.{ASKED_MINOR}; {KnownProgram.API_SERVER} stops if it does not know it either"
                )
                yield warning(here, message, _VERSION)


def _components(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Components, and versions to behave as, that programs know; other builds may know others."""
    if spec.spec.allow_unknown_flags:
        return
    for program, at, arguments in _given(spec):
        given = ((argument.name, argument.value) for argument in arguments)
        for name, fault in registry_faults(program, spec.spec.kubernetes_version, given):
            here = (*at, last(arguments, name) or 0, "value")
            yield SpecFinding(at=here, message=fault, given=(_VERSION, _PERMISSION))


def _unknown_gate(spec: ClusterSpec, program: KnownProgram, name: str) -> str:
    minor = spec.spec.kubernetes_version.minor
    there = [each for each, gate in known_gates().items() if gate.removed is None or minor < gate.removed]
    near = suggestion(name, there) or f"; {program} stops if it does not know it either"
    return f"{quote(name)} is no feature gate that pkigen knows{near}"


def _combinations(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Flags that do not go together, among themselves or with what pkigen sets."""
    given = spec.spec.api_server.extra_args
    places = {argument.name: place for place, argument in enumerate(given)}
    # kubeadm's `extraArgs` replace a default of the same name, and so do these.
    own = [(name, value) for name, value in _set_by_pkigen(spec) if name not in places]
    authentication = spec.spec.authentication
    has_anonymous = authentication is not None and authentication.anonymous is not None
    for each in combinations(
        (*own, *((argument.name, argument.value) for argument in given)),
        spec.spec.kubernetes_version,
        file_has_anonymous=has_anonymous,
    ):
        place = first_of(each.flags, places)
        if place is None:
            continue
        # What pkigen does not write may say otherwise, and so the flags here are a record of it at most.
        finding = SpecFinding(
            at=(*_API_SERVER, place, "name"),
            message=each.message,
            given=(_VERSION, ("spec", "encryption"), ("spec", "manage")),
        )
        is_ours = each.stops and spec.manages(ManagedFiles.MANIFESTS)
        yield finding if is_ours else warning(finding.at, finding.message, *finding.given)


def _structured(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A file of authorizers, where the version reads one."""
    version = spec.spec.kubernetes_version
    if spec.spec.api_server.structured_authorization and not STRUCTURED_AUTHORIZATION.holds(version):
        yield SpecFinding(
            at=("spec", "apiServer", "structuredAuthorization"),
            message=f"needs Kubernetes v1.{STRUCTURED_AUTHORIZATION.since} or later",
            given=(_VERSION,),
        )


def _set_by_pkigen(spec: ClusterSpec) -> Iterator[tuple[str, str]]:
    """Of the flags that pkigen gives the API server by itself, those that exclude or need others."""
    what, directory = spec.spec, spec.spec.certificates.directory
    yield "client-ca-file", f"{directory}/ca.crt"
    yield "requestheader-client-ca-file", f"{directory}/front-proxy-ca.crt"
    yield "requestheader-allowed-names", ",".join(spec.front_proxies)
    yield "service-account-key-file", f"{directory}/{layout.SA_PUBLIC_KEY}"
    yield "service-account-signing-key-file", f"{directory}/{layout.SA_PRIVATE_KEY}"
    if what.encryption is not None:
        yield "encryption-provider-config", f"{directory}/{layout.ENCRYPTION_CONFIGURATION}"
    if what.authentication is not None and what.authentication.has_file:
        yield AUTHENTICATION_FLAG, f"{directory}/{layout.AUTHENTICATION_CONFIGURATION}"
    # A file of one's own takes the mode's place, and flags that exclude pkigen's file take that.
    named = {argument.name for argument in what.api_server.extra_args}
    if AUTHORIZATION_FLAG not in named or not AUTHORIZATION_FILE_REPLACES_MODE.holds(what.kubernetes_version):
        yield MODE, "Node,RBAC"


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _release,
    _flags,
    _values,
    _gates,
    _components,
    _admission_plugins,
    etcd_gates,
    _etcd_settings,
    _combinations,
    _structured,
)
