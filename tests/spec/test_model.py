"""The model in Python's hands: typed values, derived values, and the schema for editors."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest
from pydantic import ValidationError

from pkigen.notation import format_duration, parse_duration
from pkigen.spec.json_schema import json_schema
from pkigen.spec.model import (
    CERTIFICATE_NAMES,
    Certificates,
    ClusterSpec,
    ExtraArg,
    Networking,
    Node,
    Role,
    Spec,
)
from pkigen.spec.values import KubernetesVersion, parse_period
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
    ("text", "seconds"),
    [("8760h", 31_536_000), ("1h30m", 5_400), ("45s", 45), ("8760h0m0s", 31_536_000), ("90m", 5_400)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", [True, 0, 1.5, None, -3])
def test_durations_are_text(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be a duration such as 8760h|must be longer"):
        parse_period(value)


def test_long_paths_are_refused() -> None:
    with pytest.raises(ValidationError, match="5000 characters long: a path may have 4095"):
        Certificates(directory="/" + "x" * 4_999)


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


def test_the_schema_is_for_what_people_write() -> None:
    schema = json_schema()
    assert schema["required"] == ["apiVersion", "kind", "metadata", "spec"]
    assert "kubernetesVersion" in schema["$defs"]["Spec"]["properties"]
    assert schema["$defs"]["Node"]["additionalProperties"] is False


def test_the_schema_says_of_each_field_what_the_source_says() -> None:
    schema = json_schema()
    networking = schema["$defs"]["Networking"]["properties"]
    assert networking["dnsDomain"]["description"] == "The cluster's DNS suffix."
    # Written in the class that the API server shares with the other components.
    assert schema["$defs"]["APIServer"]["properties"]["extraArgs"]["description"]


def test_the_schema_describes_every_field() -> None:
    schema = json_schema()
    fields = {
        f"{name}.{key}": field
        for name, definition in {**schema["$defs"], "ClusterSpec": schema}.items()
        for key, field in definition.get("properties", {}).items()
    }
    assert len(fields) > 100
    assert [name for name, field in fields.items() if not field.get("description")] == []


def test_the_defaults_of_the_schema_are_what_it_asks_for() -> None:
    fields = {
        name: field
        for definition in json_schema()["$defs"].values()
        for name, field in definition.get("properties", {}).items()
        if "pattern" in field and "default" in field
    }
    assert fields["startupTimeout"]["default"] == "4m"
    for name, field in fields.items():
        assert re.search(field["pattern"], field["default"]), name


def test_certificates_have_one_name_each() -> None:
    assert len(set(CERTIFICATE_NAMES)) == len(CERTIFICATE_NAMES)
