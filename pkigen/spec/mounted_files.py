"""Warnings about files that flags name and that a static Pod's container does not see.

Beside what its image has only what its volumes mount is there, and most programs stop where a file that they
are to read is missing. `K/` is staging/src/k8s.io/ in Kubernetes' source, v1.36.2.
"""

from __future__ import annotations

import enum
import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from pkigen.layout import is_within
from pkigen.spec import own_mounts
from pkigen.spec.component_flags import KnownProgram
from pkigen.spec.findings import EXTERNAL_ETCD, Location, SpecFinding, warning
from pkigen.spec.model import ManagedFiles, Runtime
from pkigen.spec.translation import quote
from pkigen.spec.values import has_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pkigen.spec.components import Component, ExtraArg
    from pkigen.spec.model import ClusterSpec


class FileUse(enum.Enum):
    """What a program does at the path that a flag names."""

    READ = enum.auto()
    """It reads what is there."""
    WRITTEN = enum.auto()
    """It makes what is not there."""


_READ: Final = FileUse.READ
_WRITTEN: Final = FileUse.WRITTEN
# From K/apiserver/pkg/server/options, its serving.go and authentication.go, and
# K/component-base/metrics/options.go.
_OF_ALL: Final = {
    "allow-metric-labels-manifest": _READ,
    "client-ca-file": _READ,
    "requestheader-client-ca-file": _READ,
    "tls-cert-file": _READ,
    "tls-private-key-file": _READ,
    "tls-sni-cert-key": _READ,
}
# Likewise, and from its authorization.go. Into cert-dir they write a pair where there is none
# (MaybeDefaultWithSelfSignedCerts).
_OF_CONTROLLERS: Final = {
    **_OF_ALL,
    "authentication-kubeconfig": _READ,
    "authorization-kubeconfig": _READ,
    "cert-dir": _WRITTEN,
    "kubeconfig": _READ,
}
_SIGNERS: Final = ("", "kube-apiserver-client-", "kubelet-client-", "kubelet-serving-", "legacy-unknown-")
NAMED_FILES: Final[Mapping[KnownProgram, Mapping[str, FileUse]]] = {
    # From K/apiserver/pkg/server/options (admission.go, audit.go, egress_selector.go, etcd.go, feature.go and
    # tracing.go), pkg/kubeapiserver/options, pkg/controlplane/apiserver/options and
    # cmd/kube-apiserver/app/options. It does without cert-dir, because pkigen gives tls-cert-file.
    KnownProgram.API_SERVER: {
        **_OF_ALL,
        "admission-control-config-file": _READ,
        "audit-log-path": _WRITTEN,
        "audit-policy-file": _READ,
        "audit-webhook-config-file": _READ,
        "authentication-config": _READ,
        "authentication-token-webhook-config-file": _READ,
        "authorization-config": _READ,
        "authorization-policy-file": _READ,
        "authorization-webhook-config-file": _READ,
        "cloud-config": _READ,
        "debug-socket-path": _WRITTEN,
        "egress-selector-config-file": _READ,
        "encryption-provider-config": _READ,
        "etcd-cafile": _READ,
        "etcd-certfile": _READ,
        "etcd-keyfile": _READ,
        "kubelet-certificate-authority": _READ,
        "kubelet-client-certificate": _READ,
        "kubelet-client-key": _READ,
        "oidc-ca-file": _READ,
        "peer-ca-file": _READ,
        "proxy-client-cert-file": _READ,
        "proxy-client-key-file": _READ,
        "service-account-key-file": _READ,
        "service-account-signing-key-file": _READ,
        "token-auth-file": _READ,
        "tracing-config-file": _READ,
    },
    # From cmd/kube-controller-manager/app/options, K/controller-manager/pkg/leadermigration/options and
    # K/cloud-provider/options.
    KnownProgram.CONTROLLER_MANAGER: {
        **_OF_CONTROLLERS,
        "cloud-config": _READ,
        **{f"cluster-signing-{signer}{kind}-file": _READ for signer in _SIGNERS for kind in ("cert", "key")},
        "flex-volume-plugin-dir": _READ,
        "leader-migration-config": _READ,
        "pv-recycler-pod-template-filepath-hostpath": _READ,
        "pv-recycler-pod-template-filepath-nfs": _READ,
        "root-ca-file": _READ,
        "service-account-private-key-file": _READ,
    },
    # From cmd/kube-scheduler/app/options; what write-config-to says makes it write and end.
    KnownProgram.SCHEDULER: {**_OF_CONTROLLERS, "config": _READ},
    # From etcd's server/embed/config.go; its directories of data are judged by `restated_rules`.
    KnownProgram.ETCD: {
        "auth-token": _READ,
        "cert-file": _READ,
        "client-cert-file": _READ,
        "client-crl-file": _READ,
        "client-key-file": _READ,
        "config-file": _READ,
        "discovery-cacert": _READ,
        "discovery-cert": _READ,
        "discovery-key": _READ,
        "key-file": _READ,
        "log-outputs": _WRITTEN,
        "peer-cert-file": _READ,
        "peer-client-cert-file": _READ,
        "peer-client-key-file": _READ,
        "peer-crl-file": _READ,
        "peer-key-file": _READ,
        "peer-trusted-ca-file": _READ,
        "trusted-ca-file": _READ,
    },
}
"""Every flag of a static Pod's program that names a file, in the versions that pkigen knows."""
# Both hold what was given before, too (k8s.io's NamedCertKeyArray, and a StringArrayVar).
_GROWING: Final = frozenset({"service-account-key-file", "tls-sni-cert-key"})
# Of every container, whatever is mounted (the default devices and mounts of the OCI's runtime specification).
_OF_EVERY_CONTAINER: Final = ("/dev", "/proc", "/sys")


def _path(value: str) -> Iterable[str]:
    return (value,)


def _files_of_pairs(value: str) -> Iterable[str]:
    """`cert,key` or `cert,key:name,name` (component-base, cli/flag, NamedCertKey)."""
    return value.partition(":")[0].split(",")


def _log_of_audits(value: str) -> Iterable[str]:
    """A file, or standard output (K/apiserver/pkg/server/options/audit.go, getWriter)."""
    return () if value == "-" else (value,)


def _keys_of_tokens(value: str) -> Iterable[str]:
    """`jwt,pub-key=FILE,priv-key=FILE,sign-method=…` (etcd's server/auth/options.go)."""
    options = (option.partition("=") for option in value.split(",")[1:])
    return [file for name, _, file in options if name in {"pub-key", "priv-key"}]


def _log_outputs(value: str) -> Iterable[str]:
    """The files among etcd's outputs of logs, whose others have fixed names (embed/config_logging.go)."""
    others = {"default", "stderr", "stdout", "systemd/journal"}
    return [each.removeprefix("file://") for each in value.split(",") if each not in others]


_SYNTAXES: Final[Mapping[str, Callable[[str], Iterable[str]]]] = {
    "audit-log-path": _log_of_audits,
    "auth-token": _keys_of_tokens,
    "log-outputs": _log_outputs,
    "tls-sni-cert-key": _files_of_pairs,
}
"""How values are read that are not just a path."""


class _Mount(NamedTuple):
    """A path in the container, from the host."""

    path: str
    writable: bool
    is_own: bool


class _Container(NamedTuple):
    """A program in its static Pod, and where its spec says what is mounted there."""

    program: KnownProgram
    at: Location
    arguments: Sequence[ExtraArg]
    mounts: tuple[_Mount, ...]
    way_out: str
    """What to do with a file that it does not see."""
    way_out_for_writing: str
    given: tuple[Location, ...]


def _unseen(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Files that flags name are in a volume; an image may have some, which nobody here knows."""
    if spec.spec.runtime is Runtime.SYSTEMD or not spec.manages(ManagedFiles.MANIFESTS):
        return
    for container in _containers(spec):
        for name, use in NAMED_FILES[container.program].items():
            for place in _counting(container.arguments, name):
                at = (*container.at, "extraArgs", place, "value")
                for file in _files(name, container.arguments[place].value):
                    yield from _judged(container, at, file, use)


def _files_of_external_etcd(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Nor does kubeadm mount all of these: a directory with the same beginning passes for covered."""
    external = spec.spec.etcd.external
    if external is None or spec.spec.runtime is Runtime.SYSTEMD or not spec.manages(ManagedFiles.MANIFESTS):
        return
    container = _api_server(spec)
    given = {argument.name for argument in container.arguments}
    for flag, key, file in (
        ("etcd-cafile", "caFile", external.ca_file),
        ("etcd-certfile", "certFile", external.cert_file),
        ("etcd-keyfile", "keyFile", external.key_file),
    ):
        if file and flag not in given:
            yield from _judged(container, (*EXTERNAL_ETCD, key), file, FileUse.READ)


def _containers(spec: ClusterSpec) -> Iterator[_Container]:
    what = spec.spec
    yield _api_server(spec)
    yield _of_component(
        KnownProgram.CONTROLLER_MANAGER,
        "controllerManager",
        what.controller_manager,
        own_mounts.of_controller_manager(what),
    )
    yield _of_component(KnownProgram.SCHEDULER, "scheduler", what.scheduler, own_mounts.of_scheduler(what))
    if what.etcd.external is None:
        yield _etcd(spec)


def _api_server(spec: ClusterSpec) -> _Container:
    own = own_mounts.of_api_server(spec.spec)
    return _of_component(KnownProgram.API_SERVER, "apiServer", spec.spec.api_server, own)


def _of_component(
    program: KnownProgram, key: str, component: Component, own: Mapping[str, str]
) -> _Container:
    """A component with pkigen's mounts and those of the spec; of two with one name the later one stays."""
    mounts = {name: _Mount(path, writable=False, is_own=True) for name, path in own.items()}
    for volume in component.extra_volumes:
        path = posixpath.normpath(volume.mount_path)
        mounts[volume.name] = _Mount(path, writable=not volume.read_only, is_own=False)
    volumes = f"{key}.extraVolumes (hostPath and mountPath)"
    return _Container(
        program=program,
        at=("spec", key),
        arguments=component.extra_args,
        mounts=tuple(mounts.values()),
        way_out=f"add it, or its directory, to {volumes}",
        way_out_for_writing=f"add its directory to {volumes}",
        given=(("spec", key, "extraVolumes"),),
    )


def _etcd(spec: ClusterSpec) -> _Container:
    """A member of etcd, whose volumes are always the same."""
    what = spec.spec
    paths = own_mounts.of_etcd(what).values()
    way_out = f"put it in {' or '.join(paths)}"
    return _Container(
        program=KnownProgram.ETCD,
        at=("spec", "etcd"),
        arguments=what.etcd.extra_args,
        mounts=tuple(_Mount(path, writable=True, is_own=True) for path in paths),
        way_out=way_out,
        way_out_for_writing=way_out,
        given=(("spec", "etcd", "dataDir"),),
    )


def _counting(arguments: Sequence[ExtraArg], name: str) -> Sequence[int]:
    """The places of a flag that its program looks at."""
    places = [place for place, argument in enumerate(arguments) if argument.name == name]
    return places if name in _GROWING else places[-1:]


def _files(name: str, value: str) -> Iterator[str]:
    """The files that a flag names; what stands for a variable is not known."""
    if not has_variable(value):
        yield from filter(None, _SYNTAXES.get(name, _path)(value))


def _judged(container: _Container, at: Location, file: str, use: FileUse) -> Iterator[SpecFinding]:
    """What is wrong with a file's place in a container, if anything."""
    # The images of Kubernetes run their programs in the root directory.
    path = f"/{posixpath.normpath(f'/{file}').lstrip('/')}"
    if any(is_within(path, directory) for directory in _OF_EVERY_CONTAINER):
        return
    message = _fault(container, path, use)
    if message is not None:
        yield warning(
            at,
            f"{quote(file)} is in {message}",
            ("spec", "runtime"),
            ("spec", "manage"),
            ("spec", "certificates"),
            *container.given,
        )


def _fault(container: _Container, path: str, use: FileUse) -> str | None:
    """Where a file is, if its program can make nothing of it there."""
    covering = [mount for mount in container.mounts if is_within(path, mount.path)]
    # Of mounts in one another the inner one is seen.
    mount = max(covering, key=lambda each: len(each.path), default=None)
    if mount is None:
        nowhere = f"no volume of {container.program}'s Pod"
        if use is FileUse.READ:
            return f"{nowhere}, which sees it only if its image has it: {container.way_out}"
        return f"{nowhere}, and lost with the container: {container.way_out_for_writing}"
    if use is FileUse.READ or mount.writable:
        return None
    elsewhere = f"choose another directory, and {container.way_out_for_writing}"
    way_out = elsewhere if mount.is_own else "remove its readOnly"
    return f"{mount.path}, which {container.program}'s Pod mounts read-only: {way_out}"


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (_unseen, _files_of_external_etcd)
