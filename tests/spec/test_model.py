"""The model in Python's hands: typed values and derived values."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest

from pkigen.spec.certificates import Certificates
from pkigen.spec.components import ExtraArg
from pkigen.spec.model import ClusterSpec, Networking, Node, Role, Spec
from pkigen.spec.values import KubernetesVersion
from tests.spec.sources import HEAD, NODE, loaded, nodes, spec

CP = Node(name="a", roles=(Role.CONTROL_PLANE,), addresses=(ip_address("192.0.2.1"),))


def test_typed_values_are_taken_as_they_are() -> None:
    version = KubernetesVersion(major=1, minor=36, patch=2)
    made = Spec(
        kubernetes_version=version,
        networking=Networking(service_subnets=(ip_network("10.96.0.0/12"),)),
        certificates=Certificates(validity=timedelta(hours=8760)),
        nodes=(CP,),
    )
    assert made == loaded(HEAD + NODE).spec.spec
    assert str(made.kubernetes_version) == "v1.36.2"


def test_a_spec_survives_its_own_json() -> None:
    before = loaded(
        spec("  certificates: {validity: 1h30m, overrides: {ca: {keyAlgorithm: RSA-4096}}}\n")
    ).spec
    assert ClusterSpec.model_validate(json.loads(before.model_dump_json(by_alias=True))) == before


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("", "https://192.0.2.1:6443"),
        ("  controlPlaneEndpoint: api.example\n", "https://api.example:6443"),
        ("  controlPlaneEndpoint: API.example:443\n", "https://api.example:443"),
        ('  controlPlaneEndpoint: "2001:db8::1"\n', "https://[2001:db8::1]:6443"),
        ('  controlPlaneEndpoint: "[2001:db8::1]:443"\n', "https://[2001:db8::1]:443"),
    ],
)
def test_the_clusters_server(endpoint: str, server: str) -> None:
    assert loaded(spec(endpoint)).spec.cluster_server == server


def test_a_node_has_its_own_port() -> None:
    found = loaded(
        nodes('    - {name: a, roles: [control-plane], addresses: ["fd00::1"], bindPort: 7443}\n')
    ).spec
    assert found.local_server(found.control_plane[0]) == "https://[fd00::1]:7443"


def test_kubelets_are_found_at_all_their_addresses() -> None:
    assert CP.kubelet_addresses == CP.addresses
    arguments = (
        ExtraArg(name="node-ip", value="192.0.2.9"),
        ExtraArg(name="node-ip", value="fd00::1, 192.0.2.1,"),
    )
    node = CP.model_copy(update={"kubelet_extra_args": arguments})
    assert [str(address) for address in node.kubelet_addresses] == ["192.0.2.1", "fd00::1"]


def test_no_part_of_the_model_is_built_where_it_is_imported() -> None:
    """Each would cost a millisecond of every run; the whole is built once, when the first spec is read."""
    program = (
        "from pkigen.spec import model; "
        "print([name for name, kind in vars(model).items() if getattr(kind, '__pydantic_complete__', 0)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
