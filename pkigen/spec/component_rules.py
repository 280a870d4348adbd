"""Rules about etcd and the settings of control-plane components."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen.spec import own_mounts
from pkigen.spec.findings import (
    EXTERNAL_ETCD,
    NODES,
    Location,
    SpecFinding,
    no_effect,
    repeats,
    warning,
)
from pkigen.spec.model import ManagedFiles, Runtime
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pkigen.spec.components import Component
    from pkigen.spec.model import ClusterSpec


def _external_files(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Certificate, key and CA of an external etcd go together, as kubeadm wants them."""
    # K/apis/kubeadm/validation/validation.go, ValidateEtcd
    external = spec.spec.etcd.external
    if external is None:
        return
    if (external.cert_file is None) != (external.key_file is None):
        given, missing = ("certFile", "keyFile") if external.cert_file else ("keyFile", "certFile")
        yield SpecFinding(
            at=(*EXTERNAL_ETCD, given), message=f"also needs {missing}", given=((*EXTERNAL_ETCD, missing),)
        )
    elif external.cert_file is not None and external.ca_file is None:
        yield SpecFinding(
            at=(*EXTERNAL_ETCD, "certFile"), message="also needs caFile", given=((*EXTERNAL_ETCD, "caFile"),)
        )


def _external_endpoints(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """The endpoints of an external etcd are https, all of them if any is."""
    # likewise
    external = spec.spec.etcd.external
    if external is None:
        return
    secured = external.ca_file or external.cert_file or external.key_file
    schemes = {endpoint.partition(":")[0] for endpoint in external.endpoints}
    for index, endpoint in enumerate(external.endpoints):
        at: Location = (*EXTERNAL_ETCD, "endpoints", index)
        if not endpoint.startswith("http:"):
            continue
        if secured:
            yield SpecFinding(at=at, message="must begin with https:// because certificate files are given")
        elif len(schemes) > 1:
            yield SpecFinding(at=at, message="must begin with https:// like the other endpoints")
        else:
            yield warning(at, "is not encrypted: every Secret crosses the network in clear text")
    for place in repeats(external.endpoints):
        yield warning((*EXTERNAL_ETCD, "endpoints", place), "is given twice: remove it")


def _endpoints_for_nodes(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """API servers dial an external etcd; where they are another distribution's, nobody here does."""
    external = spec.spec.etcd.external
    if external is not None and not external.endpoints and spec.spec.nodes:
        yield SpecFinding(at=(*EXTERNAL_ETCD, "endpoints"), message="must not be empty", given=(NODES,))


def _settings_of_external_etcd(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Settings of members have no effect where etcd is external."""
    etcd = spec.spec.etcd
    if etcd.external is None:
        return
    # Only what was written: defaults say nothing that could have no effect.
    for name in sorted(etcd.model_fields_set - {"external"}):
        key = type(etcd).model_fields[name].alias or name
        yield no_effect(("spec", "etcd", key), "etcd is external")


def _volumes(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No two extra volumes share a name or a mount path; units have none."""
    for key, component in _components(spec):
        volumes = component.extra_volumes
        at: Location = ("spec", key, "extraVolumes")
        for place in repeats([volume.name for volume in volumes]):
            yield SpecFinding(
                at=(*at, place, "name"),
                message=f"{quote(volumes[place].name)} is the name of an earlier volume already",
            )
        for place in repeats([volume.mount_path for volume in volumes]):
            yield SpecFinding(
                at=(*at, place, "mountPath"),
                message=f"{quote(volumes[place].mount_path)} is the mount path of an earlier volume already",
            )
        if volumes and spec.spec.runtime is Runtime.SYSTEMD:
            why = "with the systemd runtime, programs see the host's files as they are"
            yield no_effect(at, why, ("spec", "runtime"))


def _volumes_over_ours(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No extra volume is mounted where one of pkigen's is; one with the same name takes its place."""
    # pkg/apis/core/validation/validation.go, ValidateVolumeMounts: they are unique in a container.
    ours = {
        "apiServer": own_mounts.of_api_server(spec.spec),
        "controllerManager": own_mounts.of_controller_manager(spec.spec),
        "scheduler": own_mounts.of_scheduler(spec.spec),
    }
    for key, component in _components(spec):
        replaced = {volume.name for volume in component.extra_volumes}
        taken = {path: name for name, path in ours[key].items() if name not in replaced}
        for place, volume in enumerate(component.extra_volumes):
            owner = taken.get(volume.mount_path)
            if owner is not None and spec.spec.runtime is not Runtime.SYSTEMD:
                yield SpecFinding(
                    at=("spec", key, "extraVolumes", place, "mountPath"),
                    message=f"{quote(volume.mount_path)} is mounted by pkigen already: Kubernetes refuses "
                    f"the Pod; name the volume {owner} to have it in the place of pkigen's",
                )


def _own_mounts(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No two of pkigen's own mounts are at one path: certificates, the host's CAs and etcd's data."""
    if spec.spec.runtime is Runtime.SYSTEMD or not spec.manages(ManagedFiles.MANIFESTS):
        return
    directory, data = spec.spec.certificates.directory, spec.spec.etcd.data_dir
    if directory == own_mounts.CA_CERTIFICATES and spec.spec.nodes:
        yield SpecFinding(
            at=("spec", "certificates", "directory"),
            message=f"{directory} is mounted for the host's own CAs: Kubernetes refuses the Pod; change it",
            given=(("spec", "runtime"), ("spec", "manage")),
        )
    if data == f"{directory}/etcd" and spec.etcd_members:
        yield SpecFinding(
            at=("spec", "etcd", "dataDir"),
            message=f"{data} is where etcd's certificates are: Kubernetes refuses the Pod; change it",
            given=(("spec", "runtime"), ("spec", "manage"), ("spec", "certificates", "directory")),
        )


def _environments(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A variable that is given twice has its last value; units take theirs from drop-ins."""
    environments = {key: component.extra_envs for key, component in _components(spec)}
    environments["etcd"] = spec.spec.etcd.extra_envs
    for key, variables in environments.items():
        at: Location = ("spec", key, "extraEnvs")
        for place in repeats([variable.name for variable in variables]):
            name = quote(variables[place].name)
            yield warning((*at, place, "name"), f"{name} is given twice: this one is used")
        if variables and spec.spec.runtime is Runtime.SYSTEMD:
            why = "with the systemd runtime, set the environment in a drop-in of the unit"
            yield no_effect(at, why, ("spec", "runtime"))


def _startup(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Only static Pods have a startup probe, whose length this is."""
    if "startup_timeout" in spec.spec.model_fields_set and spec.spec.runtime is Runtime.SYSTEMD:
        why = "with the systemd runtime, units wait for their programs without limit"
        yield no_effect(("spec", "startupTimeout"), why, ("spec", "runtime"))


def _components(spec: ClusterSpec) -> Iterable[tuple[str, Component]]:
    """The components that take extra volumes and variables, by their key in the spec."""
    return (
        ("apiServer", spec.spec.api_server),
        ("controllerManager", spec.spec.controller_manager),
        ("scheduler", spec.spec.scheduler),
    )


def _signers(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Files of a single signer and the common ones exclude one another, or no controller starts."""
    # cmd/kube-controller-manager/app/certificates.go: it starts no controller at all then.
    given = spec.spec.controller_manager.extra_args
    whole = {f"cluster-signing-{kind}-file": spec.signs_on_nodes for kind in ("cert", "key")}
    for argument in given:
        if argument.name in whole:
            whole[argument.name] = bool(argument.value)
    parts = [
        place
        for place, argument in enumerate(given)
        if _OF_ONE_SIGNER.fullmatch(argument.name) and argument.value
    ]
    if parts and all(whole.values()):
        yield SpecFinding(
            at=("spec", "controllerManager", "extraArgs", parts[0]),
            message=f"{given[parts[0]].name} cannot be combined with cluster-signing-cert-file, which pkigen "
            'sets: the controller manager stops; give cluster-signing-cert-file and -key-file the value ""',
            given=(("spec", "certificates", "distributeCAKeys"),),
        )


_OF_ONE_SIGNER: Final = re.compile(
    "cluster-signing-(kubelet-serving|kubelet-client|kube-apiserver-client|legacy-unknown)-(cert|key)-file"
)

RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _external_files,
    _external_endpoints,
    _endpoints_for_nodes,
    _settings_of_external_etcd,
    _volumes,
    _volumes_over_ours,
    _own_mounts,
    _environments,
    _startup,
    _signers,
)
