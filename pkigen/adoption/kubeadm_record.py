"""What kubeadm has recorded of a cluster: its ClusterConfiguration, alone or in its ConfigMap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pkigen.adoption.programs import at
from pkigen.errors import AdoptionError, SpecError
from pkigen.records import dataclass
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

_KIND: Final = "ClusterConfiguration"
_HINT: Final = "kubectl -n kube-system get configmap kubeadm-config -o yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeadmRecord:
    """What no file of a node says as well; empty where it is not given."""

    api_version: str = ""
    """In which version of kubeadm's format it is."""
    name: str = ""
    version: str = ""
    endpoint: str = ""
    dns_domain: str = ""
    service_subnets: tuple[str, ...] = ()
    pod_subnets: tuple[str, ...] = ()
    validity: str = ""
    ca_validity: str = ""
    api_server_names: tuple[str, ...] = ()


def read_record(data: bytes, *, file: str) -> KubeadmRecord:
    """Read a ClusterConfiguration, or a ConfigMap that holds one.

    Raises:
        AdoptionError: It is neither.
    """
    for document in _documents(data, file):
        if at(document, "kind") == "ConfigMap":
            return read_record(_text(document, "data", _KIND).encode(), file=file)
        if at(document, "kind") == _KIND:
            return KubeadmRecord(
                api_version=_text(document, "apiVersion"),
                name=_text(document, "clusterName"),
                version=_text(document, "kubernetesVersion"),
                endpoint=_text(document, "controlPlaneEndpoint"),
                dns_domain=_text(document, "networking", "dnsDomain"),
                service_subnets=_texts(document, "networking", "serviceSubnet"),
                pod_subnets=_texts(document, "networking", "podSubnet"),
                validity=_hours(_text(document, "certificateValidityPeriod")),
                ca_validity=_hours(_text(document, "caCertificateValidityPeriod")),
                api_server_names=_listed(document, "apiServer", "certSANs"),
            )
    raise AdoptionError(f"{file} holds no {_KIND}", hint=f"`{_HINT}` prints it")


def _documents(data: bytes, file: str) -> Iterator[Any]:
    try:
        found, _ = read_documents(data, file=file)
    except SpecError as error:
        raise AdoptionError(str(error.problems[0]), hint=f"`{_HINT}` prints it") from None
    return (each.value for each in found)


def _text(document: Any, *keys: str) -> str:
    value = at(document, *keys)
    return value if isinstance(value, str) else ""


def _texts(document: Any, *keys: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in _text(document, *keys).split(",") if each.strip())


def _listed(document: Any, *keys: str) -> tuple[str, ...]:
    value = at(document, *keys)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _hours(text: str) -> str:
    """A duration as kubeadm writes it (`8760h0m0s`), as a spec has it."""
    # Go prints all three units (time.Duration `String`); a spec that people edit has the one that says
    # something.
    return text.replace("h0m0s", "h")
